# SPDX-License-Identifier: Apache-2.0
"""What tests of events and notifications share: two domains, CCF-A of which
notifies a receiver, providers and invokers of it, and subscriptions."""

import sqlite3
from types import SimpleNamespace

import domains
import receiver
from owners import Case

ALL = ['SERVICE_API_AVAILABLE', 'SERVICE_API_UPDATE',
       'SERVICE_API_UNAVAILABLE']
MEMBERS = ['API_INVOKER_ONBOARDED', 'API_INVOKER_UPDATED',
           'API_INVOKER_OFFBOARDED']
ONBOARD = '/api-invoker-management/v1/onboardedInvokers'
w = SimpleNamespace()


def start():
    w.d = d = domains.Domains()
    w.told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ',
                  'notification-ca = %s\nkek = ' % w.told.ca)
    w.home = d.a.register(aef_e1='e1.domain-a.example',
                          aef_e2='e2.domain-a.example')
    w.away = d.a.register(aef_e3='e3.domain-a.example')
    w.one, w.two = d.a.onboard(), d.a.onboard()
    return w


def stop():
    w.d.stop()
    w.told.stop()


def stored(sql, *args):
    db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % w.d.dir, uri=True)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def events_of(notes):
    return [n.body['events'] for n in notes]


def ids_of(notes):
    details = [n.body['eventDetail'] for n in notes]
    return [i for x in details for i in x.get('apiIds') or [
        api['apiId'] for api in x['serviceAPIDescriptions']]]


class Events(Case):
    """Each test has destinations of its own, named by a label."""

    n = 0

    def setUp(self):
        w.told.answer = lambda n: 204
        w.told.clear()
        Events.n += 1
        self.subscriptions = []

    def tearDown(self):
        for who, path in self.subscriptions:
            who.request('DELETE', path)

    # -- subscribing ---------------------------------------------------------

    def url(self, label='', to=None):
        return '%st%d/%s' % ((to or w.told).url, Events.n, label)

    def doc(self, events, label='', **more):
        to = more.pop('to', None)
        return dict({'events': events,
                     'notificationDestination': self.url(label, to)}, **more)

    def post(self, who, doc):
        return who.request('POST', '/capif-events/v1/%s/subscriptions'
                           % who.id, body=doc)

    def subscribe(self, who, events, label='', **more):
        """The path of the subscription."""
        a = self.post(who, self.doc(events, label, **more))
        self.assertEqual(a.status, 201, a)
        path = a.headers['Location'][len(w.d.a.url):]
        self.subscriptions.append((who, path))
        return path

    # -- what happens --------------------------------------------------------

    def publish(self, name='', by=None):
        Events.n_apis = getattr(Events, 'n_apis', 0) + 1
        by = by or w.home
        a = by.publish(by.describe('ev-%d-%s' % (Events.n_apis, name)))
        self.assertEqual(a.status, 201, a)
        return a.json()

    def path(self, api, by=None):
        return '/published-apis/v1/%s/service-apis/%s' % (
            (by or w.home).apf.id, api['apiId'])

    def delete(self, who, path):
        a = who.request('DELETE', path)
        self.assertEqual(a.status, 204, a)

    # -- what is told --------------------------------------------------------

    def notes(self, label, wanted, seconds=10, at=None):
        """Those to a destination, once there are so many."""
        path = '/t%d/%s' % (Events.n, label)

        def mine(seen):
            return [n for n in seen if n.path == path]
        got = (at or w.told).wait(lambda seen: len(mine(seen)) >= wanted,
                                seconds)
        self.assertIsNotNone(got, [n.body for n in w.told.seen()])
        return mine(got)

    def told_apis(self, label, *apis):
        """Exactly these have been told; the last comes last."""
        got = self.notes(label, len(apis))
        self.assertEqual(ids_of(got), [x['apiId'] for x in apis])

    def nothing(self, label):
        """Neither told nor owed."""
        self.assertEqual(self.notes(label, 0), [])
        self.assertEqual(stored('SELECT COUNT(*) FROM notice WHERE url = ?',
                                self.url(label)), [(0,)])
