# SPDX-License-Identifier: Apache-2.0
"""Subscriptions as resources (TS 29.222 8.3.2), and the other notifications:
of completion, and for tests."""

import domains
import events
from events import ALL, ONBOARD, events_of
from owners import patch, put

KINDS = {'PATCH': 'application/merge-patch+json', 'PUT': 'application/json'}


def setUpModule():
    global d, home, one, two
    w = events.start()
    d, home, one, two = w.d, w.home, w.one, w.two


def tearDownModule():
    events.stop()


class Subscriptions(events.Events):
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
