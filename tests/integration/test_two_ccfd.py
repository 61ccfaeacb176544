# SPDX-License-Identifier: Apache-2.0
"""Two ccfd on one PostgreSQL store and one address are one CCF: one of them is
killed again and again under load, and nothing that was answered is lost, nor
any event lost or doubled."""

import itertools
import json
import os
import random
import signal
import threading
import time
import unittest

import domains
import pg
import receiver
from domains import DIED

ROUNDS = 6
THREADS = 4
EVENTS = ['SERVICE_API_AVAILABLE', 'SERVICE_API_UPDATE',
          'SERVICE_API_UNAVAILABLE']


def setUpModule():
    global d, cluster, home, told
    cluster = pg.Cluster()
    d = domains.Domains()
    told = receiver.Receiver(d)
    file, uri = d.dir + '/ccf-a/store.db', cluster.database('domain_a')
    d.reconfigure('ccf-a', 'store = ' + file, 'store = %s\nnotification-ca = '
                  '%s' % (uri, told.ca))
    cluster.copy(file, 'domain_a')
    os.mkdir(d.dir + '/ccf-a2')
    domains.write(d.dir + '/ccf-a2/ccf-a2.cnf', domains.read(d.a.conf))
    d.begin('ccf-a2')
    home = d.a.register(aef_a1='aef.domain-a.example')


def tearDownModule():
    d.stop()
    told.stop()
    cluster.stop()


class Api:
    """One API's life, as far as it is known: what was asked, and what was
    answered.  None: it is not known whether it was done."""

    def __init__(self, n):
        self.name, self.id = 'two-%d' % n, None
        self.published = self.unpublished = False
        self.updates, self.maybe = 0, 0

    def go(self, method, path='', body=None):
        """False: the connection dropped."""
        url = '/published-apis/v1/%s/service-apis%s' % (home.apf.id, path)
        try:
            a = home.apf.request(method, url, body=body)
        except DIED:
            return False
        assert a.status in (200, 201, 204), a
        if a.status == 201:
            self.id = a.json()['apiId']
        return True

    def run(self):
        doc = home.describe(self.name)
        self.published = self.go('POST', '', doc) or None
        if not self.published:
            return
        path = '/' + self.id
        for i in range(2):
            if self.go('PUT', path, dict(doc, description=str(i))):
                self.updates += 1
            else:
                self.maybe += 1
        self.unpublished = self.go('DELETE', path) or None


class Load:
    """Threads that run APIs' lives until they are stopped."""

    def __init__(self):
        self.apis, self.failures = [], []
        self.done, self.count = threading.Event(), itertools.count()
        self.threads = [threading.Thread(target=self.work)
                        for _ in range(THREADS)]
        for t in self.threads:
            t.start()

    def work(self):
        while not self.done.is_set():
            api = Api(next(self.count))
            self.apis.append(api)
            try:
                api.run()
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(e)

    def stop(self):
        self.done.set()
        for t in self.threads:
            t.join()


def drained():
    """Nothing is left to be told."""
    return cluster.sql('domain_a', 'SELECT (SELECT count(*) FROM event) +'
                       " (SELECT count(*) FROM notice WHERE url LIKE '%s%%')"
                       % told.url) == '0'


class Two(unittest.TestCase):
    def subscribe(self, **more):
        told.clear()
        a = home.amf.request(
            'POST', '/capif-events/v1/%s/subscriptions' % home.amf.id, body={
                'events': EVENTS, 'notificationDestination': told.url, **more})
        self.assertEqual(a.status, 201, a)
        self.addCleanup(home.amf.request, 'DELETE',
                        a.headers['Location'].replace(d.a.url, ''))

    def wait_until_told(self):
        end = time.monotonic() + 60  # a lease is 15 s
        while not drained():
            self.assertLess(time.monotonic(), end, 'it is not told')
            time.sleep(0.1)

    def events(self):
        """{apiId: [event, ...]} in order of arrival, repetitions told by
        their Idempotency-Key left out."""
        out, keys = {}, set()
        for n in told.seen():
            if n.key not in keys:
                keys.add(n.key)
                for api in n.body['eventDetail']['apiIds']:
                    out.setdefault(api, []).append(n.body['events'])
        return out

    def check(self, api, there, told_of):
        """What was done once is there, and told of once."""
        if api.id is None:
            return
        self.assertEqual(told_of[:1], EVENTS[:1], api.name)
        self.assertEqual(told_of.count(EVENTS[0]), 1)
        n = told_of.count(EVENTS[1])
        self.assertGreaterEqual(n, api.updates)
        self.assertLessEqual(n, api.updates + api.maybe)
        self.assertEqual(told_of.count(EVENTS[2]), 0 if there else 1)
        if not there:
            self.assertEqual(told_of[-1], EVENTS[2])
        if api.unpublished is not None:
            self.assertEqual(there, not api.unpublished)

    def test_either_is_killed_under_load(self):
        rng = random.Random(1)
        self.subscribe(supportedFeatures='0')
        load = Load()
        for i in range(ROUNDS):
            # Not a wait for anything: the moment of the kill.
            time.sleep(0.5 + rng.random())
            name = ('ccf-a', 'ccf-a2')[i % 2]
            d.end(name, signal.SIGKILL)
            time.sleep(rng.random() * 0.3)
            d.begin(name)
        load.stop()
        self.assertEqual(load.failures, [])
        self.wait_until_told()
        there = {x['apiId'] for x in json.loads(home.apf.request(
            'GET', '/published-apis/v1/%s/service-apis'
            % home.apf.id).body)}
        events = self.events()
        for api in load.apis:
            self.check(api, api.id in there, events.get(api.id, []))
        known = {x.id for x in load.apis}
        lost = sum(a.published is None for a in load.apis)
        # Published, though the answer was lost: these are told of, too.
        self.assertLessEqual(len(set(events) - known), lost)
        self.assertLessEqual(there, set(events))
        self.assertGreater(sum(a.unpublished is True for a in load.apis), 20)
        print('# %d APIs, %d notifications, of which %d repeated' % (
            len(load.apis), len(told.seen()), len(told.seen()) - len(
                {n.key for n in told.seen()})))

    def test_timers_fire_once(self):
        self.subscribe(supportedFeatures='4', eventReq={
            'notifMethod': 'PERIODIC', 'repPeriod': 1})
        ids = []
        for i in range(3):
            a = home.publish(home.describe('timer-%d' % i))
            self.assertEqual(a.status, 201, a)
            ids.append(a.json()['apiId'])
            self.assertIsNotNone(told.wait(lambda seen: any(
                ids[-1] in n.body['eventDetail']['apiIds'] for n in seen)))
        self.assertEqual(self.events(), {i: EVENTS[:1] for i in ids})
        self.assertEqual(len(told.seen()), len({n.key for n in told.seen()}))


if __name__ == '__main__':
    domains.main()
