# SPDX-License-Identifier: Apache-2.0
"""Events (TS 29.222 8.3): who is told of what, when, how often, and in which
order; and the other notifications of completion and for tests."""

import datetime
import signal
import sqlite3
import threading
import unittest

import domains
import receiver
from owners import Case, patch, put

ALL = ['SERVICE_API_AVAILABLE', 'SERVICE_API_UPDATE',
       'SERVICE_API_UNAVAILABLE']
MEMBERS = ['API_INVOKER_ONBOARDED', 'API_INVOKER_UPDATED',
           'API_INVOKER_OFFBOARDED']
KINDS = {'PATCH': 'application/merge-patch+json', 'PUT': 'application/json'}
ONBOARD = '/api-invoker-management/v1/onboardedInvokers'


def setUpModule():
    global d, told, home, away, one, two
    d = domains.Domains()
    told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ',
                  'notification-ca = %s\nkek = ' % told.ca)
    home = d.a.register(aef_e1='e1.domain-a.example',
                        aef_e2='e2.domain-a.example')
    away = d.a.register(aef_e3='e3.domain-a.example')
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()
    told.stop()


def stored(sql, *args):
    db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % d.dir, uri=True)
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
    n = 0

    def setUp(self):
        told.answer = lambda n: 204
        told.clear()
        Events.n += 1
        self.subscriptions = []

    def tearDown(self):
        for who, path in self.subscriptions:
            who.request('DELETE', path)

    # -- subscribing ---------------------------------------------------------

    def url(self, label='', to=None):
        return '%st%d/%s' % ((to or told).url, Events.n, label)

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
        path = a.headers['Location'][len(d.a.url):]
        self.subscriptions.append((who, path))
        return path

    # -- what happens --------------------------------------------------------

    def publish(self, name='', by=None):
        Events.n_apis = getattr(Events, 'n_apis', 0) + 1
        by = by or home
        a = by.publish(by.describe('ev-%d-%s' % (Events.n_apis, name)))
        self.assertEqual(a.status, 201, a)
        return a.json()

    def path(self, api, by=None):
        return '/published-apis/v1/%s/service-apis/%s' % (
            (by or home).apf.id, api['apiId'])

    def delete(self, who, path):
        a = who.request('DELETE', path)
        self.assertEqual(a.status, 204, a)

    # -- what is told --------------------------------------------------------

    def notes(self, label, wanted, seconds=10, at=None):
        """Those to a destination, once there are so many."""
        path = '/t%d/%s' % (Events.n, label)

        def mine(seen):
            return [n for n in seen if n.path == path]
        got = (at or told).wait(lambda seen: len(mine(seen)) >= wanted,
                                seconds)
        self.assertIsNotNone(got, [n.body for n in told.seen()])
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

    # -- each event ----------------------------------------------------------

    def test_service_apis_with_their_details(self):
        path = self.subscribe(one, ALL, 'full', supportedFeatures='4')
        self.subscribe(home.aef, ALL, 'ids')
        api = self.publish()
        changed = self.ok(patch(home.apf, self.path(api),
                                {'description': 'x'}))
        again = self.ok(put(home.apf, self.path(api), api))
        self.delete(home.apf, self.path(api))
        sub = path.split('/')[-1]
        self.assertEqual([n.body for n in self.notes('full', 4)], [
            {'subscriptionId': sub, 'events': e, 'eventDetail': detail}
            for e, detail in (
                (ALL[0], {'apiIds': [api['apiId']],
                          'serviceAPIDescriptions': [api]}),
                (ALL[1], {'serviceAPIDescriptions': [changed]}),
                (ALL[1], {'serviceAPIDescriptions': [again]}),
                (ALL[2], {'apiIds': [api['apiId']]}))])
        got = self.notes('ids', 4)
        self.assertEqual(events_of(got), [ALL[0], ALL[1], ALL[1], ALL[2]])
        self.assertEqual([n.body['eventDetail'] for n in got],
                         4 * [{'apiIds': [api['apiId']]}])

    def test_invokers_with_their_details(self):
        self.subscribe(home.amf, MEMBERS, 'amf')
        who = d.a.onboard()
        self.subscribe(who, MEMBERS, 'self')
        path = '%s/%s' % (ONBOARD, who.onboarding)
        self.ok(patch(two, '%s/%s' % (ONBOARD, two.onboarding), {}))
        self.ok(patch(who, path, {'apiInvokerInformation': 'x'}))
        self.notes('self', 1)
        self.delete(who, path)
        want = [(MEMBERS[0], who.id), (MEMBERS[1], two.id),
                (MEMBERS[1], who.id), (MEMBERS[2], who.id)]
        self.assertEqual([(n.body['events'], n.body['eventDetail'])
                          for n in self.notes('amf', 4)],
                         [(e, {'apiInvokerIds': [i]}) for e, i in want])
        self.assertEqual(events_of(self.notes('self', 1)), [MEMBERS[1]])

    def test_apis_that_end_with_their_provider(self):
        far = d.a.register(**{'aef_e%d' % (100 + Events.n): 'e.example'})
        api = self.publish('far', far)
        self.subscribe(one, ALL, 'one')
        self.subscribe(far.amf, ALL, 'gone')
        self.delete(far.amf, '/api-provider-management/v1/registrations/'
                    + far.registration)
        got = self.notes('one', 1)
        self.assertEqual(events_of(got), [ALL[2]])
        self.assertEqual(ids_of(got), [api['apiId']])
        self.assertEqual(stored('SELECT COUNT(*) FROM subscription WHERE'
                                ' owner = ?', far.amf.id), [(0,)])

    def test_apis_of_a_partner(self):
        one.discover()  # what was there before
        self.subscribe(one, ALL[:2], 'one')
        undo = d.add_api('ev-partner')
        try:
            api = one.discover()['ev-partner']
            one.discover()  # nothing new
            last = self.publish()
            self.told_apis('one', api, last)
        finally:
            undo()

    # -- which ---------------------------------------------------------------

    def test_filters(self):
        a, b = self.publish(), self.publish()
        self.subscribe(one, [ALL[1], ALL[0]], 'f', eventFilters=[
            {'apiIds': [b['apiId'], 'x'], 'aefIds': ['aef-e2']}])
        self.subscribe(one, [ALL[1], ALL[1]], 'none', eventFilters=[
            {'apiIds': [b['apiId']], 'aefIds': ['aef-e1']},
            {'apiInvokerIds': [one.id]}])
        self.ok(patch(home.apf, self.path(a), {'description': 'x'}))
        self.ok(patch(home.apf, self.path(b), {'description': 'x'}))
        last = self.publish()  # has no filter
        self.told_apis('f', b, last)
        self.nothing('none')

    def test_unknown_events_never_happen(self):
        self.subscribe(one, ['UNHEARD_OF', ALL[0]], 'x')
        self.told_apis('x', self.publish())

    def test_what_was_before_is_not_told(self):
        told.answer = lambda n: 503  # a backlog of notices
        self.subscribe(one, ALL, 'early')
        self.publish()
        self.subscribe(one, ALL, 'late')
        api = self.publish()
        told.answer = lambda n: 204
        self.told_apis('late', api)

    # -- to whom -------------------------------------------------------------

    def test_providers_are_told_of_their_own_domain(self):
        for who, label in ((away.aef, 'aef'), (away.apf, 'apf'),
                           (away.amf, 'amf')):
            self.subscribe(who, ALL, label)
        self.publish()
        last = self.publish('away', away)
        for label in 'aef', 'apf', 'amf':
            self.told_apis(label, last)

    def test_invokers_are_told_of_themselves(self):
        self.subscribe(two, MEMBERS + [
            'SERVICE_API_INVOCATION_SUCCESS', 'ACCESS_CONTROL_POLICY_UPDATE',
            'API_TOPOLOGY_HIDING_CREATED'], 'two')
        d.a.onboard()
        self.ok(patch(one, '%s/%s' % (ONBOARD, one.onboarding), {}))
        self.ok(patch(two, '%s/%s' % (ONBOARD, two.onboarding), {}))
        got = self.notes('two', 1)
        self.assertEqual([n.body['eventDetail'] for n in got],
                         [{'apiInvokerIds': [two.id]}])

    # -- when ----------------------------------------------------------------

    def test_immediate_report(self):
        api = self.publish()
        self.subscribe(one, [ALL[0]], 'now', supportedFeatures='4',
                       eventFilters=[{'apiIds': [api['apiId']]}],
                       eventReq={'immRep': True})
        got = self.notes('now', 1)
        self.assertEqual(got[0].body['eventDetail'], {
            'apiIds': [api['apiId']], 'serviceAPIDescriptions': [api]})
        self.subscribe(one, [ALL[0]], 'all', eventReq={
            'immRep': True, 'maxReportNbr': 2})
        known = {x['apiId'] for x in one.discover().values()}
        got = self.notes('all', 1)
        while len(set(ids_of(got))) < len(known):
            got = self.notes('all', len(got) + 1)
        self.assertEqual(sorted(ids_of(got)), sorted(known))
        self.subscribe(away.amf, [ALL[0]], 'away', eventReq={'immRep': True})
        last = self.publish('away', away)
        self.assertIn(last['apiId'], ids_of(self.notes('away', 1)))
        self.assertNotIn(api['apiId'], ids_of(self.notes('away', 1)))

    def test_immediate_report_of_invokers(self):
        self.subscribe(home.amf, MEMBERS[:1], 'now', eventReq={'immRep': True})
        got = self.notes('now', 1)[0].body
        self.assertEqual(got['events'], MEMBERS[0])
        self.assertLessEqual({one.id, two.id},
                             set(got['eventDetail']['apiInvokerIds']))

    def test_periodic_reports(self):
        self.subscribe(one, ALL, 'p', supportedFeatures='4', eventReq={
            'notifMethod': 'PERIODIC', 'repPeriod': 2})
        apis = [self.publish() for _ in range(3)]
        self.delete(home.apf, self.path(apis[0]))
        got = self.notes('p', 2)
        while ALL[2] not in events_of(got):  # it fell into two periods
            got = self.notes('p', len(got) + 1)
        self.assertLessEqual(len(got), 3)
        available = [n for n in got if n.body['events'] == ALL[0]]
        self.assertEqual(ids_of(available), [x['apiId'] for x in apis])
        self.assertEqual([x for n in available for x in n.body[
            'eventDetail']['serviceAPIDescriptions']], apis)

    def test_one_time(self):
        path = self.subscribe(one, ALL, 'o', eventReq={
            'notifMethod': 'ONE_TIME'})
        self.subscribe(one, ALL, 'm', eventReq={'maxReportNbr': 2})
        self.subscribe(one, ALL, 'all')
        apis = [self.publish() for _ in range(3)]
        self.told_apis('all', *apis)
        self.told_apis('o', apis[0])
        self.told_apis('m', *apis[:2])
        self.refused(patch(one, path, {'events': ALL}), 404)

    def test_expiry(self):
        end = datetime.datetime.now(datetime.timezone.utc).replace(
            microsecond=0) + datetime.timedelta(seconds=2)
        path = self.subscribe(one, ALL, 'e', eventReq={
            'monDur': end.isoformat()})
        first = self.publish()
        self.told_apis('e', first)
        while True:  # until its end, which is no more than two seconds away
            a = patch(one, path, {'events': ALL})
            if a.status != 200:
                break
        self.refused(a, 404)
        self.assertGreaterEqual(datetime.datetime.now(datetime.timezone.utc),
                                end)
        self.subscribe(one, ALL, 'after')
        self.told_apis('after', self.publish())
        self.told_apis('e', first)

    # -- delivery ------------------------------------------------------------

    def rename(self, api, n):
        return [self.ok(patch(home.apf, self.path(api), {
            'description': str(i)}))['description'] for i in range(n)]

    def names(self, notes):
        return [n.body['eventDetail']['serviceAPIDescriptions'][0][
            'description'] for n in notes]

    def test_order(self):
        api = self.publish()
        self.subscribe(one, ALL, 'o', supportedFeatures='4')
        want = self.rename(api, 12)
        got = self.notes('o', 12)
        self.assertEqual(self.names(got), want)
        self.assertEqual(len({n.key for n in got}), 12)
        self.assertIn(('DNS', d.a.id), got[0].peer['subjectAltName'])

    def test_outage_of_the_receiver(self):
        api = self.publish()
        self.subscribe(one, ALL, 'o', supportedFeatures='4')
        told.answer = lambda n: 503
        want = self.rename(api, 3)
        got = self.notes('o', 2)
        self.assertEqual(len({n.key for n in got}), 1)
        told.answer = lambda n: 204
        key, seen = got[0].key, []
        while len(seen) < 3:
            got = self.notes('o', len(got) + 1)
            seen = list(dict.fromkeys(n.key for n in got))
        self.assertEqual(seen[0], key)
        by_key = {n.key: n for n in got}
        self.assertEqual(self.names(by_key[k] for k in seen), want)

    def test_receiver_that_is_not_there(self):
        api = self.publish()
        there = receiver.Receiver(d, like=told)
        port = there.port
        there.stop()
        path = self.subscribe(one, ALL, 'o', supportedFeatures='4', to=there)
        want = self.rename(api, 2)
        again = receiver.Receiver(d, like=told, port=port)
        try:
            self.assertEqual(self.names(self.notes('o', 2, 20, again)), want)
        finally:
            self.delete(one, path)
            again.stop()

    def test_receiver_that_hangs(self):
        api = self.publish()
        self.subscribe(one, ALL, 'o', supportedFeatures='4')
        self.subscribe(one, ALL, 'other')
        stuck = threading.Event()

        def answer(n):
            if n.path.endswith('/o') and not stuck.is_set():
                stuck.wait(30)
            return 204
        told.answer = answer
        want = self.rename(api, 2)
        self.notes('other', 2)  # doesn't wait for it
        got = self.notes('o', 2, 20)  # it is tried again
        self.assertEqual(len({n.key for n in got}), 1)
        stuck.set()
        while len({n.key for n in got}) < 2:
            got = self.notes('o', len(got) + 1, 20)
        by_key = {n.key: n for n in got}
        self.assertEqual(self.names(by_key.values()), want)

    def test_killed_between_commit_and_delivery(self):
        api = self.publish()
        self.subscribe(one, ALL, 'o', supportedFeatures='4')
        told.answer = lambda n: 503
        want = self.rename(api, 4)
        d.end('ccf-a', signal.SIGKILL)
        told.clear()
        told.answer = lambda n: 204
        d.begin('ccf-a')
        got = self.notes('o', 4, 30)  # a lease may have to end first
        self.assertEqual(self.names(got), want)
        self.assertEqual(len({n.key for n in got}), 4)

    # -- the resource --------------------------------------------------------

    def test_put_patch_delete(self):
        a = self.post(one, self.doc(ALL, 'a', supportedFeatures='ff',
                                    websockNotifConfig={},
                                    requestTestNotification=False))
        self.assertEqual(a.status, 201, a)
        path = a.headers['Location'][len(d.a.url):]
        self.assertEqual(a.json(), self.doc(ALL, 'a', supportedFeatures='5'))
        got = self.ok(put(one, path, self.doc(ALL[:1], 'b', eventReq={
            'maxReportNbr': 9})))
        self.assertEqual(got, self.doc(ALL[:1], 'b', supportedFeatures='4',
                                       eventReq={'maxReportNbr': 9}))
        got = self.ok(patch(one, path, {'events': ALL, 'eventReq': None}))
        self.assertEqual(got, self.doc(ALL, 'b', supportedFeatures='4'))
        got = self.ok(put(one, path, self.doc(
            ALL, 'b', supportedFeatures='1', eventReq={'maxReportNbr': 1},
            eventFilters=[{}])))
        self.assertEqual(got, self.doc(ALL, 'b', supportedFeatures='1'))
        api = self.publish()
        self.told_apis('b', api)
        self.delete(one, path)
        self.refused(one.request('DELETE', path), 404)
        self.refused(patch(one, path, {}), 404)
        self.refused(put(one, path, self.doc(ALL)), 404)

    def test_other_owners(self):
        path = self.subscribe(one, ALL)
        foreign = path.replace(one.id, two.id)
        for method, body in (('PUT', '{}'), ('PATCH', '{}'), ('DELETE', None)):
            for who in (two, home.aef, home.apf, home.amf):
                self.refused(who.request(method, path, body=body), 403)
        self.refused(two.request('DELETE', foreign), 404)
        self.refused(put(two, foreign, self.doc(ALL)), 404)
        self.refused(patch(two, foreign, {}), 404)
        self.refused(d.a.request('DELETE', path), 401)
        a = d.a.request('POST', '/capif-events/v1/%s/subscriptions' % one.id,
                        two, body=self.doc(ALL))
        self.refused(a, 403)

    def test_malformed(self):
        self.malformed(one, self.subscribe(one, ALL))

    def test_what_is_wrong_in_the_document(self):
        path = self.subscribe(one, ALL)
        req, dst = '/eventReq', 'notificationDestination'
        for bad, param in (
                ({'events': []}, '/events'), ({'events': 'x'}, '/events'),
                ({'events': ['']}, '/events/0'),
                ({'events': [7]}, '/events/0'),
                ({'eventFilters': []}, '/eventFilters'),
                ({'eventFilters': [7]}, '/eventFilters/0'),
                ({'eventFilters': [{}, {}, {}, {}]}, '/eventFilters'),
                ({'eventFilters': [{'apiIds': []}]},
                 '/eventFilters/0/apiIds'),
                ({'eventFilters': [{'aefIds': [7]}]},
                 '/eventFilters/0/aefIds/0'),
                ({'eventFilters': [{'apiInvokerIds': 'x'}]},
                 '/eventFilters/0/apiInvokerIds'),
                ({'eventReq': []}, req),
                ({'eventReq': {'notifMethod': 'SOMETIMES'}}, req),
                ({'eventReq': {'notifMethod': 'PERIODIC'}}, req),
                ({'eventReq': {'repPeriod': 0}}, req + '/repPeriod'),
                ({'eventReq': {'maxReportNbr': 0}}, req + '/maxReportNbr'),
                ({'eventReq': {'immRep': 'yes'}}, req + '/immRep'),
                ({'eventReq': {'grpRepTime': -1}}, req + '/grpRepTime'),
                ({'eventReq': {'monDur': 'soon'}}, req + '/monDur'),
                ({'eventReq': {'monDur': '2020-01-01T00:00:00Z'}},
                 req + '/monDur'),
                ({'eventReq': {'sampRatio': 50}}, req + '/sampRatio'),
                ({'eventReq': {'partitionCriteria': ['TAC']}},
                 req + '/partitionCriteria'),
                ({'eventReq': {'notifFlag': 'DEACTIVATE'}}, req),
                ({'requestTestNotification': 1}, '/requestTestNotification'),
                ({'supportedFeatures': 'x'}, '/supportedFeatures'),
                ({dst: 7}, '/' + dst), ({dst: 'http://a.example/'}, '/' + dst),
                ({dst: 'https://'}, '/' + dst),
                ({dst: 'https://u@a.example/'}, '/' + dst),
                ({dst: 'https://a.example:0/'}, '/' + dst),
                ({dst: 'https://a.example/#x'}, '/' + dst),
                ({dst: 'https://a.example/ x'}, '/' + dst),
                ({dst: 'https://a.example/%zz'}, '/' + dst)):
            with self.subTest(bad=bad):
                self.invalid(self.post(one, dict(self.doc(ALL), **bad)), param)
                self.invalid(put(one, path, dict(self.doc(ALL), **bad)), param)
                self.invalid(patch(one, path, bad), param)
        self.assertEqual(self.ok(patch(one, path, {})),
                         self.doc(ALL, supportedFeatures='0'))

    # -- tests and completion ------------------------------------------------

    def test_test_notification(self):
        path = self.subscribe(one, ALL, 't', requestTestNotification=True)
        want = {'subscription': d.a.url + path}
        self.assertEqual(self.notes('t', 1)[0].body, want)
        self.ok(put(one, path, self.doc(ALL, 't', supportedFeatures='1',
                                        requestTestNotification=True)))
        self.assertEqual(self.notes('t', 2)[1].body, want)
        self.ok(put(one, path, self.doc(ALL, 't', supportedFeatures='4',
                                        requestTestNotification=True)))
        self.publish()
        self.assertEqual(events_of(self.notes('t', 3)[2:]), [ALL[0]])

    def test_test_notification_of_a_context(self):
        api = self.publish()
        a = one.request('PUT', one.context, body={
            'securityInfo': [{'aefId': home.aef.id, 'apiId': api['apiId'],
                              'prefSecurityMethods': ['OAUTH']}],
            'supportedFeatures': '1', 'requestTestNotification': True,
            'notificationDestination': self.url('c')})
        self.assertEqual(a.status, 201, a)
        self.assertEqual(a.json()['supportedFeatures'], '1')
        self.assertEqual(self.notes('c', 1)[0].body, {
            'subscription': d.a.url + one.context})

    def onboard(self, prefer, **more):
        who = domains.Member(d.a)
        a = d.a.request('POST', ONBOARD, headers={
            'Authorization': 'Bearer ' + d.a.enrolment(), 'Prefer': prefer},
            body=dict({'onboardingInformation': {
                'apiInvokerPublicKey': domains.make_csr(who.key)},
                'notificationDestination': self.url('on')}, **more))
        return who, a

    def test_onboarding_completed_later(self):
        api = self.publish()
        listed = {'serviceAPIDescriptions': [{'apiName': api['apiName']}]}
        who, a = self.onboard('foo, Respond-Async; x=1', apiList=listed,
                              requestTestNotification=True)
        self.assertEqual((a.status, a.body), (202, b''), a)
        self.assertEqual(a.headers['Preference-Applied'], 'respond-async')
        got = self.notes('on', 2)
        link = got[0].body['subscription']
        body = got[1].body
        self.assertEqual(body['resourceLocation'], link)
        self.assertIs(body['result'], True)
        self.assertEqual(body['apiList'], {'serviceAPIDescriptions': [api]})
        doc = body['apiInvokerEnrolmentDetails']
        self.assertEqual(doc['supportedFeatures'], '1')
        domains.write(who.crt, doc['onboardingInformation'][
            'apiInvokerCertificate'])
        path = link[len(d.a.url):]
        for change, fn in (({'apiInvokerInformation': 'x'}, 'PATCH'),
                           (doc, 'PUT')):
            a = who.request(fn, path, body=change, headers={
                'Content-Type': KINDS[fn], 'Prefer': 'respond-async'})
            self.assertEqual((a.status, a.body), (202, b''), a)
        got = self.notes('on', 4)
        self.assertEqual(got[2].body['apiInvokerEnrolmentDetails'],
                         dict(doc, apiInvokerInformation='x'))
        self.assertEqual(got[3].body['apiInvokerEnrolmentDetails'], doc)
        self.assertEqual(got[3].body['resourceLocation'], link)
        self.delete(who, path)

    def test_onboarding_without_preference(self):
        for prefer in ('respond-asynchronously', 'wait=10', ''):
            a = self.onboard(prefer)[1]
            self.assertEqual(a.status, 201, a)
            self.assertIsNone(a.headers['Preference-Applied'])

    def test_refused_onboarding_owes_nothing(self):
        token = d.a.enrolment()
        csr = domains.make_csr(domains.make_key(d.extra + '/twice.key'))
        self.assertEqual(d.a.onboard_request(token, csr).status, 201)
        a = d.a.onboard_request(
            token, csr, requestTestNotification=True,
            supportedFeatures='1', notificationDestination=self.url('r'))
        self.refused(a, 401)
        self.nothing('r')


if __name__ == '__main__':
    domains.main()
