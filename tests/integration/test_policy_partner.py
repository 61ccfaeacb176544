# SPDX-License-Identifier: Apache-2.0
"""Access control policies and topology hiding of domain B, as the invokers of
domain A meet them."""

import copy
import urllib.parse

import domains
from domains import VS
from owners import Case, put

POLICY = '/access-control-policy/v1/accessControlPolicyList/'
ROUTING = '/capif-routing-info/v1/service-apis/'
NONE = {'allowedTotalInvocations': 0}


def setUpModule():
    global d, one, two, theirs
    d = domains.Domains()
    for name in 'ccf-a', 'ccf-b':
        d.reconfigure(name, 'aefs = aef-b1', 'aefs = aef-b1,aef-q1,aef-q2')
    # what B changes is seen in A at once
    d.reconfigure('ccf-a', 'kek = ', 'partner-cache = 0\nkek = ')
    theirs = d.b.register(aef_q1='q1.domain-b.example',
                          aef_q2='q2.domain-b.example')
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()


class Partner(Case):
    def setUp(self):
        """An API at both AEFs of B's provider, shared with A."""
        self.name = self._testMethodName[5:].replace('_', '-')
        doc = theirs.describe(self.name, 'aef-q1', partner=d.a.id)
        behind = copy.deepcopy(doc['aefProfiles'][0])
        behind['aefId'] = 'aef-q2'
        behind['interfaceDescriptions'][0]['fqdn'] = 'q2.domain-b.example'
        doc['aefProfiles'].append(behind)
        a = theirs.publish(doc)
        self.assertEqual(a.status, 201, a)
        self.api = a.json()

    def path(self, base=POLICY, aef='aef-q1'):
        return base + self.api['apiId'] + '?' + urllib.parse.urlencode(
            {'aef-id': aef})

    def set(self, *entries, aef='aef-q1', others_denied=False):
        a = put(theirs.amf, self.path(aef=aef), {
            'apiInvokerPolicies': [dict({'apiInvokerId': name}, **limits)
                                   for name, limits in entries],
            VS: {'othersDenied': others_denied}})
        self.assertIn(a.status, (200, 201), a)

    def far(self, who, **limits):
        return '%s/%s' % (d.a.id, who.id), limits

    def sees(self, who):
        api = who.discover().get(self.name, {'aefProfiles': []})
        return [p['aefId'] for p in api['aefProfiles']]

    def negotiates(self, who, status, aef='aef-q1'):
        a = who.put(who.wish(self.api, aef))
        if status == 403:
            self.refused(a, 403)
        else:
            self.assertIn(a.status, (200, 201), a)
        return a

    def test_one_invoker_is_denied(self):
        """By its id with its CCF's before it; the rest of A's see the API."""
        self.set(self.far(one, **NONE))
        self.assertEqual(self.sees(two), ['aef-q1', 'aef-q2'])
        self.negotiates(one, 403)
        self.negotiates(one, 200, 'aef-q2')
        self.negotiates(two, 200)

    def test_an_invoker_of_b_with_the_same_id_is_somebody_else(self):
        self.set((one.id, NONE))
        self.negotiates(one, 200)
        self.set((one.id, {}), others_denied=True)
        self.negotiates(one, 403)

    def test_others_denied(self):
        for aef in 'aef-q1', 'aef-q2':
            self.set(('inv-x', {}), aef=aef, others_denied=True)
        self.assertEqual(self.sees(one), [])
        self.negotiates(two, 403)
        self.set(self.far(two), others_denied=True)
        self.assertEqual(self.sees(two), ['aef-q1'])
        self.negotiates(two, 200)
        self.negotiates(one, 403)

    def test_only_the_entry_point_is_shown(self):
        self.assertEqual(self.sees(one), ['aef-q1', 'aef-q2'])
        rules = {'routingRules': [{'aefProfile':
                                   self.api['aefProfiles'][1]}]}
        a = put(theirs.amf, self.path(ROUTING), rules)
        self.assertEqual(a.status, 201, a)
        self.assertEqual(self.sees(one), ['aef-q1'])
        self.negotiates(one, 200)
        hidden = self.negotiates(one, 403, 'aef-q2').json()['detail']
        # as of an AEF that the API is not at
        self.assertEqual(hidden, self.negotiates(
            one, 403, 'aef-b1').json()['detail'])
        a = theirs.amf.request('DELETE', self.path(ROUTING))
        self.assertEqual(a.status, 204, a)
        self.assertEqual(self.sees(one), ['aef-q1', 'aef-q2'])
        self.negotiates(one, 200, 'aef-q2')


if __name__ == '__main__':
    domains.main()
