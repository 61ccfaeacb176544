# SPDX-License-Identifier: Apache-2.0
"""Events (TS 29.222 8.3): who is told of what, when, how often, and in which
order."""

import datetime
import signal
import threading

import domains
import events
import receiver
from events import ALL, MEMBERS, ONBOARD, events_of, ids_of, stored
from owners import patch, put


def setUpModule():
    global d, told, home, away, one, two
    w = events.start()
    d, told, home, away, one, two = w.d, w.told, w.home, w.away, w.one, w.two


def tearDownModule():
    events.stop()


class Told(events.Events):
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

    def test_invocations_each_once(self):
        kinds = ['SERVICE_API_INVOCATION_' + x for x in ('SUCCESS', 'FAILURE')]
        api = self.publish()
        self.subscribe(home.amf, kinds, supportedFeatures='4')
        entry = {'apiId': api['apiId'], 'apiName': api['apiName'],
                 'apiVersion': 'v1', 'resourceName': 'r', 'protocol': 'HTTP_2',
                 'invocationTime': '2026-01-02T03:04:05Z'}
        logs = [dict(entry, result=x) for x in ('200', '404')]
        doc = {'aefId': home.aef.id, 'apiInvokerId': one.id}

        def log(key, *entries):
            a = home.aef.request('POST', '/api-invocation-logs/v1/%s/logs'
                                 % home.aef.id, headers={
                                     'Idempotency-Key': key},
                                 body=dict(doc, logs=entries))
            self.assertEqual(a.status, 201, a)
        log('first', *logs)
        log('first', *logs)  # once more, as nobody answered
        log('second', logs[0])
        self.assertEqual(
            [(n.body['events'], n.body['eventDetail'])
             for n in self.notes('', 3)],
            [(kind, {'invocationLogs': [dict(doc, logs=[x])]})
             for kind, x in zip(kinds + kinds[:1], logs + logs[:1])])

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
        far = d.a.register(**{'aef_e%d' % (100 + self.n): 'e.example'})
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


if __name__ == '__main__':
    domains.main()
