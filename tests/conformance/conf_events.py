# SPDX-License-Identifier: Apache-2.0
"""The Events API, and what it calls."""

from case import MERGE, Case, w

SUBS = '/{subscriberId}/subscriptions'
SUB = '/{subscriberId}/subscriptions/{subscriptionId}'


class Events(Case):
    API = 'Events'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def setUp(self):
        self.label = 'events-' + self._testMethodName
        self.doc = {
            'events': ['API_INVOKER_UPDATED', 'SERVICE_API_AVAILABLE',
                       'SERVICE_API_UPDATE', 'SERVICE_API_UNAVAILABLE'],
            'eventFilters': [{'apiInvokerIds': [w.one.id]}],
            'eventReq': {'immRep': False, 'notifMethod': 'ON_EVENT_DETECTION',
                         'maxReportNbr': 100},
            'notificationDestination': w.told.url + self.label,
            'requestTestNotification': True, 'supportedFeatures': 'f',
            'websockNotifConfig': {'requestWebsocketUri': True}}
        self.want = dict(self.doc, supportedFeatures='5')
        del self.want['requestTestNotification']
        del self.want['websockNotifConfig']

    def post(self, who):
        self.assertEqual(self.go('POST', SUBS, 201, who, [who.id], self.doc),
                         self.want)
        return [who.id, self.last.headers['Location'].split('/')[-1]]

    def test_post(self):
        self.refused(self.API, 'POST', SUBS, w.one, [w.one.id], self.doc,
                     (w.two, w.home.aef))
        for name, value in (('events', []), ('notificationDestination', None),
                            ('eventFilters', [{'apiIds': []}]),
                            ('supportedFeatures', 'x')):
            self.go('POST', SUBS, 400, w.one, [w.one.id],
                    dict(self.doc, **{name: value}), valid=False)
        for who in (w.one, w.home.aef, w.home.apf, w.home.amf):
            self.post(who)

    def test_callbacks(self):
        self.post(w.one)
        where = self.last.headers['Location']
        api = w.home.publish(w.home.describe('conf-event')).json()
        path = '/published-apis/v1/%s/service-apis/%s' % (w.home.apf.id,
                                                          api['apiId'])
        w.home.apf.request('PUT', path, body=api)
        w.home.apf.request('DELETE', path)
        w.one.request('PATCH', '/api-invoker-management/v1/onboardedInvokers/'
                    + w.one.onboarding, body='{}',
                    headers={'Content-Type': MERGE})
        got = self.called(self.API, 'POST', SUBS, self.label, 5)
        self.assertEqual(got[0], {'subscription': where})
        self.assertEqual([x['events'] for x in got[1:]], [
            'SERVICE_API_AVAILABLE', 'SERVICE_API_UPDATE',
            'SERVICE_API_UNAVAILABLE', 'API_INVOKER_UPDATED'])
        self.assertEqual(got[1]['eventDetail'], {
            'apiIds': [api['apiId']], 'serviceAPIDescriptions': [api]})

    def test_put(self):
        ids = self.post(w.one)
        self.refused(self.API, 'PUT', SUB, w.one, ids, self.doc,
                     (w.two, w.home.aef))
        self.go('PUT', SUB, 404, w.one, [w.one.id, 'sub-none'], self.doc)
        bad = dict(self.doc)
        del bad['events']
        self.go('PUT', SUB, 400, w.one, ids, bad, valid=False)
        self.doc['events'] = self.want['events'] = ['API_INVOKER_UPDATED']
        self.assertEqual(self.go('PUT', SUB, 200, w.one, ids, self.doc),
                         self.want)

    def test_patch(self):
        ids = self.post(w.one)
        doc = {'events': ['SERVICE_API_UPDATE'], 'eventFilters': [{}]}
        self.refused(self.API, 'PATCH', SUB, w.one, ids, doc,
                     (w.two, w.home.aef), kind=MERGE)
        self.go('PATCH', SUB, 404, w.one, [w.one.id, 'sub-none'], doc,
                kind=MERGE)
        self.go('PATCH', SUB, 400, w.one, ids, {'events': []}, kind=MERGE,
                valid=False)
        self.assertEqual(self.go('PATCH', SUB, 200, w.one, ids, doc,
                                 kind=MERGE), dict(self.want, **doc))

    def test_delete(self):
        ids = self.post(w.one)
        self.refused(self.API, 'DELETE', SUB, w.one, ids, None,
                     (w.two, w.home.aef))
        self.go('DELETE', SUB, 204, w.one, ids)
        self.go('DELETE', SUB, 404, w.one, ids)
