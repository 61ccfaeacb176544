# SPDX-License-Identifier: Apache-2.0
"""Access control policies and topology hiding: who sets and reads them, and
what they mean for discovery, negotiation, tokens, AEFs and events."""

import copy
import urllib.parse

import domains
import receiver
from domains import VS
from owners import Case, patch, put

POLICY = '/access-control-policy/v1/accessControlPolicyList/'
ROUTING = '/capif-routing-info/v1/service-apis/'


def setUpModule():
    global d, one, two, home, away, told, p1, p2
    d = domains.Domains()
    told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ', 'notification-ca = %s\nkek = ' % told.ca)
    home = d.a.register(aef_p1='p1.domain-a.example',
                        aef_p2='p2.domain-a.example')
    p1, p2 = [m for m in home.members if m.role == 'AEF']
    away = d.a.register(aef_p3='p3.domain-a.example')
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()
    told.stop()


def entry(who, **limits):
    name = who if isinstance(who, str) else who.id
    return dict({'apiInvokerId': name}, **limits)


NONE = {'allowedTotalInvocations': 0}


def policy(*entries, others_denied=False):
    return {'apiInvokerPolicies': sorted(
        entries, key=lambda e: e['apiInvokerId']),
            VS: {'othersDenied': others_denied}}


class Base(Case):
    def setUp(self):
        """An API at both AEFs of home."""
        self.name = self._testMethodName[5:].replace('_', '-')[:60]
        doc = home.describe(self.name, 'aef-p1')
        other = copy.deepcopy(doc['aefProfiles'][0])
        other['aefId'] = 'aef-p2'
        other['interfaceDescriptions'][0]['fqdn'] = 'p2.domain-a.example'
        doc['aefProfiles'].append(other)
        self.api = home.publish(doc).json()
        self.id = self.api['apiId']

    def path(self, base=POLICY, aef='aef-p1', api=None, **more):
        query = urllib.parse.urlencode(dict({'aef-id': aef}, **more))
        return base + (api or self.id) + '?' + query

    def set(self, *entries, aef='aef-p1', status=201, **kw):
        doc = policy(*entries, **kw)
        a = put(home.amf, self.path(aef=aef), doc)
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.json(), doc)
        return doc

    def sees(self, who):
        """At which AEFs he discovers the API."""
        api = who.discover().get(self.name, {'aefProfiles': []})
        return [p['aefId'] for p in api['aefProfiles']]

    def negotiate(self, who, aef='aef-p1'):
        return who.put(who.wish(self.api, aef))


class Policy(Base):
    def test_life_of_a_list(self):
        self.refused(p1.request('GET', self.path()), 404)
        doc = self.set(entry(one, allowedTotalInvocations=3,
                             allowedInvocationsPerSecond=2,
                             allowedInvocationTimeRangeList=[{
                                 'startTime': '2026-01-01T00:00:00Z',
                                 'stopTime': '2027-01-01T00:00:00+01:00'}]),
                       entry(two))
        self.assertEqual(self.ok(p1.request('GET', self.path())), doc)
        self.refused(p2.request('GET', self.path(aef='aef-p2')), 404)
        doc = self.set(entry(two), others_denied=True, status=200)
        self.assertEqual(self.ok(p1.request('GET', self.path())), doc)
        a = home.amf.request('DELETE', self.path())
        self.assertEqual((a.status, a.body), (204, b''))
        self.refused(home.amf.request('DELETE', self.path()), 404)
        self.refused(p1.request('GET', self.path()), 404)

    def test_one_invoker_of_it(self):
        far = '%s/inv-1' % d.b.id
        self.set(entry(one, allowedTotalInvocations=3), entry(far))
        for name, entries in ((one.id, [entry(
                one, allowedTotalInvocations=3)]), (far, [entry(far)]),
                              (two.id, []), ('inv-1', [])):
            got = self.ok(p1.request('GET', self.path(**{
                'api-invoker-id': name, 'supported-features': '0'})))
            self.assertEqual(got, policy(*entries))
        for name in ('', 'x y', d.a.id + '/inv-1', 'X.y/inv-1', '/', 'é'):
            self.invalid(p1.request('GET', self.path(**{
                'api-invoker-id': name})), 'api-invoker-id')
        self.invalid(p1.request('GET', self.path(**{
            'supported-features': 'x'})), 'supported-features')

    def test_who_may(self):
        doc = self.set()
        self.refused(put(away.amf, self.path(), doc), 403)
        self.refused(away.amf.request('DELETE', self.path()), 403)
        self.refused(put(home.amf, self.path(aef='aef-p3'), doc), 403)
        self.refused(put(home.amf, self.path(aef='aef-none'), doc), 404)
        self.refused(put(home.amf, self.path(api='api-none'), doc), 404)
        self.refused(p2.request('GET', self.path()), 403)
        self.refused(away.aef.request('GET', self.path(aef='aef-p3')), 403)
        self.refused(p1.request('GET', self.path(api='api-none')), 404)
        for who in (one, home.apf, home.amf):
            self.refused(who.request('GET', self.path()), 403)
        for who in (one, home.apf, p1):
            self.refused(put(who, self.path(), doc), 403)
            self.refused(who.request('DELETE', self.path()), 403)
        for method, who in (('GET', p1), ('PUT', home.amf),
                            ('DELETE', home.amf)):
            self.refused(d.a.request(method, self.path(), body=None
                                     if method != 'PUT' else doc), 401)
            self.invalid(who.request(method, POLICY + self.id, body=None
                                     if method != 'PUT' else doc), 'aef-id')
        self.assertEqual(self.ok(p1.request('GET', self.path())), doc)

    def test_malformed_lists_change_nothing(self):
        doc = self.set(entry(one))
        at = '/apiInvokerPolicies/0'
        times = at + '/allowedInvocationTimeRangeList/0'
        for bad, param in (
                ({'apiInvokerPolicies': 1}, '/apiInvokerPolicies'),
                ({'apiInvokerPolicies': [1]}, at),
                ({'apiInvokerPolicies': [{}]}, at + '/apiInvokerId'),
                ({'apiInvokerPolicies': [entry('x y')]}, at),
                ({'apiInvokerPolicies': [entry(d.a.id + '/x')]}, at),
                ({'apiInvokerPolicies': [entry('x'), entry('x')]},
                 '/apiInvokerPolicies/1'),
                ({VS: 1}, '/' + VS),
                ({VS: {'othersDenied': 1}}, '/%s/othersDenied' % VS),
                ({'apiInvokerPolicies': [entry(
                    'x', allowedTotalInvocations=-1)]},
                 at + '/allowedTotalInvocations'),
                ({'apiInvokerPolicies': [entry(
                    'x', allowedInvocationsPerSecond='1')]},
                 at + '/allowedInvocationsPerSecond'),
                ({'apiInvokerPolicies': [entry(
                    'x', allowedInvocationTimeRangeList=[
                        {'startTime': 'now'}])]}, times + '/startTime'),
                ({'apiInvokerPolicies': [entry(
                    'x', allowedInvocationTimeRangeList=[
                        {'startTime': '2026-01-02T00:00:00Z',
                         'stopTime': '2026-01-01T00:00:00Z'}])]}, times)):
            with self.subTest(bad):
                self.invalid(put(home.amf, self.path(), bad), param)
        for text in ('', '{', '[]', '{"a":1,"a":2}'):
            self.refused(home.amf.request('PUT', self.path(), body=text,
                                          headers={'Content-Type':
                                                   'application/json'}), 400)
        self.refused(put(home.amf, self.path(), {'x': 'A' * 300000}), 413)
        self.assertEqual(self.ok(p1.request('GET', self.path())), doc)

    def test_discovery(self):
        self.assertEqual(self.sees(one), ['aef-p1', 'aef-p2'])
        self.set(entry(one, **NONE))
        self.assertEqual(self.sees(one), ['aef-p2'])
        self.assertEqual(self.sees(two), ['aef-p1', 'aef-p2'])
        self.set(entry(two), aef='aef-p2', others_denied=True)
        self.assertEqual(self.sees(one), [])
        self.assertEqual(self.sees(two), ['aef-p1', 'aef-p2'])
        self.assertEqual(home.amf.request('DELETE', self.path()).status, 204)
        self.assertEqual(self.sees(one), ['aef-p1'])

    def test_onboarding_list(self):
        want = {'apiList': {'serviceAPIDescriptions': [
            {'apiName': self.name}]}}
        csr = domains.make_csr(one.key)
        for aefs, denied in ((['aef-p1', 'aef-p2'], ()),
                             (['aef-p2'], ('aef-p1',)), ([], ('aef-p2',))):
            for aef in denied:
                self.set(aef=aef, others_denied=True)
            got = d.a.onboard_request(d.a.enrolment(), csr, **want).json()
            apis = got.get('apiList', {}).get('serviceAPIDescriptions', [])
            self.assertEqual([p['aefId'] for a in apis
                              for p in a['aefProfiles']], aefs)

    def test_negotiation(self):
        self.set(entry(one, **NONE))
        a = self.negotiate(one)
        self.refused(a, 403)
        self.assertIn('access policy', a.json()['detail'])
        self.assertEqual(self.negotiate(one, 'aef-p2').status, 201)
        self.assertEqual(self.negotiate(two).status, 201)
        named = {'interfaceDetails': self.api['aefProfiles'][0][
            'interfaceDescriptions'][0], 'apiId': self.id,
                 'prefSecurityMethods': ['OAUTH']}
        self.refused(one.put(named), 403)

    def test_negotiation_where_it_is_not_active(self):
        path = '/published-apis/v1/%s/service-apis/%s' % (home.apf.id, self.id)
        self.ok(patch(home.apf, path, {'apiStatus': {'aefIds': ['aef-p2']}}))
        a = self.negotiate(one)
        self.refused(a, 403)
        self.assertIn('not active', a.json()['detail'])
        self.assertEqual(self.negotiate(one, 'aef-p2').status, 201)

    def scope(self, who, asked=None):
        form = {'grant_type': 'client_credentials', 'client_id': who.id}
        if asked:
            form['scope'] = asked
        return who.ask_token(form)

    def test_tokens(self):
        a = one.put(one.wish(self.api, 'aef-p1'), one.wish(self.api,
                                                           'aef-p2'))
        self.assertEqual(a.status, 201, a)
        both = '3gpp#aef-p1:%s;aef-p2:%s' % (self.name, self.name)
        second = '3gpp#aef-p2:' + self.name
        self.assertEqual(self.scope(one).json()['scope'], both)
        self.assertEqual(self.scope(one, both).json()['scope'], both)
        self.set(entry(one, **NONE))
        self.assertEqual(self.scope(one).json()['scope'], second)
        self.assertEqual(self.scope(one, second).json()['scope'], second)
        for asked in (both, '3gpp#aef-p1:' + self.name):
            a = self.scope(one, asked)
            self.assertEqual((a.status, a.json()['error']),
                             (400, 'invalid_scope'), a)
        self.set(aef='aef-p2', others_denied=True)
        a = self.scope(one)
        self.assertEqual((a.status, a.json()['error']),
                         (400, 'invalid_scope'), a)

    def test_tokens_of_two_apis_of_one_name(self):
        """A scope can't tell them apart: what opens one opens the other."""
        twin = home.publish({k: v for k, v in self.api.items()
                             if k not in ('apiId', 'ccfId')}).json()
        self.assertEqual(self.negotiate(one).status, 201)
        self.assertEqual(self.scope(one).status, 200)
        a = put(home.amf, self.path(api=twin['apiId']),
                policy(entry(one, **NONE)))
        self.assertEqual(a.status, 201)
        self.assertEqual(self.scope(one).json()['error'], 'invalid_scope')

    def test_tokens_of_an_api_that_is_gone(self):
        self.assertEqual(self.negotiate(one).status, 201)
        self.assertEqual(self.scope(one).status, 200)
        a = home.apf.request('DELETE', '/published-apis/v1/%s/service-apis/%s'
                             % (home.apf.id, self.id))
        self.assertEqual(a.status, 204)
        self.assertEqual(self.scope(one).json()['error'], 'invalid_scope')

    def test_what_the_aef_is_told(self):
        self.assertEqual(self.negotiate(one).status, 201)
        path = one.context + '?authorizationInfo=true'
        self.assertEqual(p1.request('GET', path).status, 200)
        self.set(entry(one, **NONE))
        self.refused(p1.request('GET', path), 404)
        self.set(entry(one), status=200)
        self.assertEqual(p1.request('GET', path).status, 200)

    def test_ends_with_the_api_and_the_profile(self):
        self.set(entry(one, **NONE))
        self.set(entry(one, **NONE), aef='aef-p2')
        path = '/published-apis/v1/%s/service-apis/%s' % (home.apf.id,
                                                          self.id)
        doc = dict(self.api, aefProfiles=self.api['aefProfiles'][:1])
        self.ok(put(home.apf, path, doc))
        self.ok(put(home.apf, path, self.api))
        self.assertEqual(self.sees(one), ['aef-p2'])
        self.assertEqual(home.apf.request('DELETE', path).status, 204)
        self.refused(p1.request('GET', self.path()), 404)


class Rules(Base):
    def rules(self, aef='aef-p2', **ranges):
        profile = next(p for p in self.api['aefProfiles']
                       if p['aefId'] == aef)
        return {'routingRules': [dict({'aefProfile': profile}, **ranges)]}

    def hide(self, aef='aef-p1', status=201, **kw):
        doc = self.rules(**kw)
        a = put(home.amf, self.path(ROUTING, aef), doc)
        self.assertEqual((a.status, a.json()), (status, doc), a)
        return doc


class Routing(Rules):
    def test_life_of_a_rule(self):
        path = self.path(ROUTING)
        self.refused(p1.request('GET', path), 404)
        doc = self.hide(ipv4AddrRanges=[{'start': '10.0.0.1',
                                         'end': '10.0.0.9'}],
                        ipv6AddrRanges=[{'start': '2001:db8::1',
                                         'end': '2001:db8::ffff'}])
        self.assertEqual(self.ok(p1.request('GET', path + '&supp-feat=0')),
                         doc)
        self.refused(p2.request('GET', self.path(ROUTING, 'aef-p2')), 404)
        self.invalid(p1.request('GET', path + '&supp-feat=x'), 'supp-feat')
        self.hide(status=200)
        a = home.amf.request('DELETE', path)
        self.assertEqual((a.status, a.body), (204, b''))
        self.refused(home.amf.request('DELETE', path), 404)
        self.refused(p1.request('GET', path), 404)

    def test_who_may(self):
        doc = self.hide()
        path = self.path(ROUTING)
        self.refused(put(away.amf, path, doc), 403)
        self.refused(put(home.amf, self.path(ROUTING, 'aef-p3'), doc), 403)
        self.refused(put(home.amf, self.path(ROUTING, 'aef-x'), doc), 404)
        self.refused(put(home.amf, self.path(ROUTING, api='x'), doc), 404)
        self.refused(p2.request('GET', path), 403)
        self.refused(away.aef.request('GET', self.path(ROUTING, 'aef-p3')),
                     403)
        self.refused(one.request('GET', path), 403)
        self.refused(d.a.request('GET', path), 401)
        self.invalid(p1.request('GET', ROUTING + self.id), 'aef-id')
        foreign = copy.deepcopy(doc)
        foreign['routingRules'][0]['aefProfile']['aefId'] = 'aef-p3'
        self.refused(put(home.amf, path, foreign), 403)
        self.assertEqual(self.ok(p1.request('GET', path)), doc)

    def test_malformed_rules_change_nothing(self):
        doc = self.hide()
        at = '/routingRules/0'
        profile = doc['routingRules'][0]['aefProfile']
        for bad, param in (
                ({}, '/routingRules'), ({'routingRules': []},
                                        '/routingRules'),
                ({'routingRules': [1]}, at),
                ({'routingRules': [{}]}, at + '/aefProfile'),
                ({'routingRules': [{'aefProfile': dict(
                    profile, domainName='x.example')}]}, at + '/aefProfile'),
                (self.rules(ipv4AddrRanges=[]), at + '/ipv4AddrRanges'),
                (self.rules(ipv4AddrRanges=[{'start': '10.0.0.1'}]),
                 at + '/ipv4AddrRanges/0/end'),
                (self.rules(ipv4AddrRanges=[{'start': '::1', 'end': '::2'}]),
                 at + '/ipv4AddrRanges/0/start'),
                (self.rules(ipv6AddrRanges=[{'start': '::2', 'end': '::1'}]),
                 at + '/ipv6AddrRanges/0')):
            with self.subTest(bad):
                a = put(home.amf, self.path(ROUTING), bad)
                self.assertEqual(a.status, 400, a)
                self.assertIn(param, a.params())
        self.assertEqual(self.ok(p1.request('GET', self.path(ROUTING))), doc)

    def test_only_the_entry_point_is_there(self):
        self.assertEqual(self.sees(one), ['aef-p1', 'aef-p2'])
        self.hide()
        self.assertEqual(self.sees(one), ['aef-p1'])
        self.assertEqual(self.negotiate(one).status, 201)
        a = self.negotiate(one, 'aef-p2')
        self.refused(a, 403)
        # as of an AEF that the API is not at
        unknown = self.negotiate(one, 'aef-p3').json()['detail']
        self.assertEqual(a.json()['detail'], unknown)
        behind = {'interfaceDetails': self.api['aefProfiles'][1][
            'interfaceDescriptions'][0], 'apiId': self.id,
                  'prefSecurityMethods': ['OAUTH']}
        self.refused(one.put(behind), 403)
        self.assertEqual(home.amf.request('DELETE', self.path(ROUTING)
                                          ).status, 204)
        self.assertEqual(self.sees(one), ['aef-p1', 'aef-p2'])
        self.assertEqual(self.negotiate(one, 'aef-p2').status, 201)

    def test_ends_with_the_aefs(self):
        """A provider's second AEF is deregistered: no rule is left."""
        other = d.a.register(aef_e1='e1.example', aef_e2='e2.example')
        doc = other.describe(self.name + '-e', 'aef-e1')
        api = other.publish(doc).json()
        behind = dict(api['aefProfiles'][0], aefId='aef-e2')
        path = self.path(ROUTING, 'aef-e1', api['apiId'])
        a = put(other.amf, path, {'routingRules': [{'aefProfile': behind}]})
        self.assertEqual(a.status, 201, a)
        e1 = next(iter(other.members))
        self.assertEqual(e1.request('GET', path).status, 200)
        left = dict(other.doc, apiProvFuncs=[
            f for f in other.doc['apiProvFuncs']
            if f['apiProvFuncId'] != 'aef-e2'])
        self.ok(put(other.amf, '/api-provider-management/v1/registrations/'
                    + other.registration, left))
        self.refused(e1.request('GET', path), 404)


class Events(Rules):
    NAMES = ['ACCESS_CONTROL_POLICY_UPDATE',
             'ACCESS_CONTROL_POLICY_UNAVAILABLE',
             'API_TOPOLOGY_HIDING_CREATED', 'API_TOPOLOGY_HIDING_REVOKED']

    def subscribe(self, who, *events, **more):
        told.clear()
        a = who.request(
            'POST', '/capif-events/v1/%s/subscriptions' % who.id,
            body=dict({'events': events or self.NAMES,
                       'eventFilters': [{'apiIds': [self.id]}] * len(
                           events or self.NAMES),
                       'notificationDestination': told.url + who.id,
                       'supportedFeatures': '4'}, **more))
        self.assertEqual(a.status, 201, a)

    def heard(self, n):
        got = told.wait(lambda got: len(got) >= n)
        self.assertIsNotNone(got, [x.body for x in told.seen()])
        return [(x.path, x.body['events'], x.body.get('eventDetail'))
                for x in got]

    def test_events_of_policies_and_rules(self):
        self.subscribe(home.amf)
        self.subscribe(away.amf)
        doc = self.set(entry(one))
        rules = self.hide()
        for base in (POLICY, ROUTING):
            home.amf.request('DELETE', self.path(base))
        topo = {'apiTopoHide': dict(rules, apiId=self.id)}
        self.assertEqual(self.heard(4), [
            ('/' + home.amf.id, name, detail) for name, detail in (
                (self.NAMES[0], {'accCtrlPolList': dict(doc, apiId=self.id)}),
                (self.NAMES[2], topo),
                (self.NAMES[1], {'apiIds': [self.id]}),
                (self.NAMES[3], topo))])

    def test_events_show_what_is_discovered(self):
        self.set(others_denied=True)
        self.subscribe(one, 'SERVICE_API_UPDATE', eventFilters=[
            {'apiIds': [self.id]}])
        path = '/published-apis/v1/%s/service-apis/%s' % (home.apf.id,
                                                          self.id)
        self.ok(put(home.apf, path, self.api))
        (_, _, detail), = self.heard(1)
        self.assertEqual([p['aefId'] for p in detail[
            'serviceAPIDescriptions'][0]['aefProfiles']], ['aef-p2'])


if __name__ == '__main__':
    domains.main()
