# SPDX-License-Identifier: Apache-2.0
"""Access_Control_Policy and Routing_Info: what 29.222 has of them, GET by
AEFs; AMFs set what that shows at the same place, see ccfd(8)."""

from case import Case, w


class Guarded(Case):
    """An API, and what its AMF says of it."""

    path = None
    doc = None

    def setUp(self):
        name = 'guarded-' + self._testMethodName[5:]
        self.api = w.home.publish(w.home.describe(name)).json()
        self.ids, self.query = [self.api['apiId']], {'aef-id': w.home.aef.id}

    def go(self, *args, **kw):
        return self.call(self.API, 'GET', self.path, *args, **kw)

    def set(self, doc):
        a = w.home.amf.request('PUT', self.where(), body=doc)
        self.assertEqual(a.status, 201, a)

    def get(self):
        self.go(404, w.home.aef, self.ids, query=self.query)
        self.set(self.doc)
        self.go(401, None, self.ids, query=self.query)
        for who in w.one, w.home.apf:
            self.go(403, who, self.ids, query=self.query)
        self.go(400, w.home.aef, self.ids, valid=False)
        self.go(404, w.home.aef, ['api-none'], query=self.query)
        got = self.go(200, w.home.aef, self.ids, query=self.query)
        self.assertEqual({k: got[k] for k in self.doc}, self.doc)
        return got


class Policy(Guarded):
    API = 'Access_Control_Policy'
    path = '/accessControlPolicyList/{serviceApiId}'

    def where(self):
        return ('/access-control-policy/v1/accessControlPolicyList/%s'
                '?aef-id=%s' % (self.api['apiId'], w.home.aef.id))

    def test_get(self):
        self.doc = {'apiInvokerPolicies': [
            {'apiInvokerId': who.id, 'allowedTotalInvocations': 100,
             'allowedInvocationsPerSecond': 5, 'allowedInvocationTimeRangeList':
             [{'startTime': '2026-01-01T00:00:00Z',
               'stopTime': '2036-01-01T00:00:00Z'}]}
            for who in sorted((w.one, w.two), key=lambda x: x.id)]}
        self.get()
        got = self.go(200, w.home.aef, self.ids, query=dict(
            self.query, **{'api-invoker-id': w.two.id,
                           'supported-features': 'f'}))
        self.assertEqual([x['apiInvokerId'] for x in
                          got['apiInvokerPolicies']], [w.two.id])


class Routing(Guarded):
    API = 'Routing_Info'
    path = '/service-apis/{serviceApiId}'

    def where(self):
        return '/capif-routing-info/v1/service-apis/%s?aef-id=%s' % (
            self.api['apiId'], w.home.aef.id)

    def test_get(self):
        self.doc = {'routingRules': [{
            'ipv4AddrRanges': [{'start': '192.0.2.1', 'end': '192.0.2.9'}],
            'aefProfile': self.api['aefProfiles'][0]}]}
        self.get()
        self.go(200, w.home.aef, self.ids,
                query=dict(self.query, **{'supp-feat': 'f'}))
