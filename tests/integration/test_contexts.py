# SPDX-License-Identifier: Apache-2.0
"""Security contexts, discovery, publishing, and what ends an invoker."""

import json
import os
import re
import subprocess
import types
import unittest

import domains
from domains import API, BUILD, VS, make_key

LOCAL = 'local-api'


def setUpModule():
    global d, one, two, found, home, away, local, b2, b2_api
    d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')
    away = d.b.register(aef_b3='aef3.domain-b.example')
    local = home.publish(home.describe(LOCAL)).json()
    b2, b2_api = second_aef()
    one, two = d.a.onboard(), d.a.onboard()
    found = one.discover()


def tearDownModule():
    d.stop()


def second_aef():
    """aef-b2 of domain B, by `capif register` and `capif publish`; domain B
    does not name it in its agreement with A."""
    where = d.extra + '/aef-b2'
    os.mkdir(where)
    keys = {r: make_key('%s/%s.key' % (where, r.lower()))
            for r in ('AEF', 'APF', 'AMF')}
    domains.write(where + '/enrolment', d.b.enrolment(
        'provider', '--aef', 'aef-b2=aef2.domain-b.example'))
    common = ('--dir', where, '--ccf', d.b.url, *d.b.connect, '--ca', d.b.ca)
    domains.run(BUILD + '/tools/capif', 'register', *common, '--enrolment',
                where + '/enrolment', *('%s=%s' % i for i in keys.items()))
    doc = away.describe('api-of-b2', 'aef-b2', d.a.id)
    api = domains.write(where + '/api.json', json.dumps(doc))
    out = subprocess.run(
        [BUILD + '/tools/capif', 'publish', *common, '--key', keys['APF'],
         api], stderr=subprocess.PIPE, text=True, check=True)
    doc['apiId'] = re.search(r'api-[0-9a-f]{16}', out.stderr).group()
    doc['ccfId'] = d.b.id
    return (types.SimpleNamespace(crt=where + '/aef.crt', key=keys['AEF']),
            doc)


class Negotiation(unittest.TestCase):
    def refused(self, a, status, *words, cause=None):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertEqual(a.json().get('cause'), cause, a)
        for word in words:
            self.assertIn(word, a.json()['detail'])

    def no_context(self, who):
        """Nothing half-made: no token, and nothing for the AEFs."""
        a = who.ask_token()
        self.assertEqual(a.json().get('error'), 'unauthorized_client', a)
        self.assertEqual(home.aef.request('GET', who.context).status, 404)

    def test_context_in_both_domains(self):
        a = one.put(one.wish(found[API]), one.wish(found[LOCAL]))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(a.headers['Location'], d.a.url + one.context)
        info = a.json()['securityInfo']
        self.assertEqual([i['selSecurityMethod'] for i in info],
                         ['OAUTH', 'OAUTH'])
        self.assertEqual([i['aefId'] for i in info], ['aef-b1', 'aef-a1'])
        self.assertEqual([i[VS]['ccfId'] for i in info], [d.b.id, d.a.id])
        self.assertEqual(one.call(one.token()).status, 200)

    def test_put_again_replaces_the_context(self):
        who = d.a.onboard().negotiate(API, LOCAL)
        who.negotiate(LOCAL)
        a = who.ask_token()
        self.assertEqual(a.json()['scope'], '3gpp#aef-a1:' + LOCAL)

    def test_update_replaces_the_context(self):
        who = d.a.onboard().negotiate(API)
        a = who.request('POST', who.context + '/update', body={
            'securityInfo': [who.wish(found[LOCAL])],
            'notificationDestination': 'https://invoker.invalid/n'})
        self.assertEqual(a.status, 200, a)
        self.assertEqual(who.ask_token().json()['scope'],
                         '3gpp#aef-a1:' + LOCAL)

    def test_update_of_no_context(self):
        who = d.a.onboard()
        a = who.request('POST', who.context + '/update', body={
            'securityInfo': [who.wish(found[LOCAL])],
            'notificationDestination': 'https://invoker.invalid/n'})
        self.refused(a, 404)
        self.no_context(who)

    def test_unknown_api(self):
        for at in ({}, {VS: {'ccfId': d.a.id}}):
            a = two.put(dict({'aefId': 'aef-a1', 'apiId': 'api-unknown',
                              'prefSecurityMethods': ['OAUTH']}, **at))
            self.refused(a, 400, 'api-unknown')
        self.no_context(two)

    def test_unknown_api_in_domain_b(self):
        a = two.put({'aefId': 'aef-b1', 'apiId': 'api-unknown', VS: {
            'ccfId': d.b.id}, 'prefSecurityMethods': ['OAUTH']})
        self.refused(a, 403, d.b.id)
        self.no_context(two)

    def test_unknown_domain(self):
        wish = dict(two.wish(found[API]))
        wish[VS] = {'ccfId': 'ccf.domain-c.example'}
        self.refused(two.put(wish), 403, 'ccf.domain-c.example')
        self.no_context(two)

    def test_api_that_is_not_at_this_aef(self):
        a = two.put(two.wish(found[LOCAL], 'aef-a9'))
        self.refused(a, 403)
        self.no_context(two)

    def test_api_that_is_not_shared_with_domain_a(self):
        secret = away.describe('secret', 'aef-b3')
        api = away.publish(secret).json()
        self.assertNotIn('secret', two.discover())
        self.refused(two.put(two.wish(api, 'aef-b1')), 403, d.b.id)
        self.no_context(two)

    def test_one_bad_entry_makes_no_context_of_the_good_ones(self):
        bad = two.wish(found[API], 'aef-b9')
        a = two.put(two.wish(found[LOCAL]), two.wish(found[API]), bad)
        self.refused(a, 403)
        self.no_context(two)

    # ---- what the agreement names ----

    def test_aef_of_b_that_ccf_a_s_agreement_does_not_name(self):
        self.assertNotIn('api-of-b2', two.discover())
        self.refused(two.put(two.wish(b2_api)), 403, d.b.id)
        self.no_context(two)

    def test_aef_of_b_that_ccf_b_s_agreement_does_not_name(self):
        undo = d.reconfigure('ccf-a', 'aefs = aef-b1\n',
                             'aefs = aef-b1, aef-b2\n')
        try:
            a = two.put(two.wish(b2_api))
            self.refused(a, 403, d.b.id + ' refuses')
            self.no_context(two)
        finally:
            undo()

    def test_aef_of_b_that_both_agreements_name(self):
        undo = [d.reconfigure(ccf, 'aefs = aef-b1\n',
                              'aefs = aef-b1, aef-b2\n')
                for ccf in ('ccf-a', 'ccf-b')]
        try:
            who = d.a.onboard()
            self.assertIn('api-of-b2', who.discover())
            self.assertEqual(who.put(who.wish(b2_api)).status, 201)
        finally:
            for one_undo in undo:
                one_undo()

    # ---- methods ----

    def test_method_that_is_not_supported(self):
        undo = d.reconfigure('ccf-a', 'listen = ',
                             'security-methods = PKI,OAUTH\nlisten = ')
        try:
            a = two.put(two.wish(found[LOCAL], methods=['PSK']))
            self.refused(a, 403, 'on offer', 'PKI', 'OAUTH',
                         cause='SECURITY_METHOD_NOT_SUPPORTED')
            self.no_context(two)
        finally:
            undo()

    def test_method_that_is_not_supported_in_domain_b(self):
        undo = d.reconfigure('ccf-b', 'methods = PSK,PKI,OAUTH',
                             'methods = OAUTH')
        try:
            a = two.put(two.wish(found[API], methods=['PSK', 'PKI']))
            self.refused(a, 403, d.b.id, 'on offer', 'OAUTH',
                         cause='SECURITY_METHOD_NOT_SUPPORTED')
            self.no_context(two)
        finally:
            undo()

    def test_method_that_the_api_does_not_offer(self):
        doc = home.describe('token-api')
        doc['aefProfiles'][0]['securityMethods'] = ['OAUTH']
        self.assertEqual(home.publish(doc).status, 201)
        api = two.discover()['token-api']
        a = two.put(two.wish(api, methods=['PSK', 'PKI']))
        self.refused(a, 403, 'on offer', 'OAUTH',
                     cause='SECURITY_METHOD_NOT_SUPPORTED')
        self.assertNotIn('PSK', a.json()['detail'])
        self.no_context(two)

    def test_first_preferred_method_that_is_allowed_is_chosen(self):
        who = d.a.onboard()
        for methods, sel in ((['QKD', 'OAUTH', 'PSK'], 'OAUTH'),
                             (['QKD', 'PSK', 'OAUTH'], 'PSK'),
                             (['PKI', 'PSK', 'OAUTH'], 'PKI')):
            a = who.put(who.wish(found[API], methods=methods))
            self.assertEqual(a.status, 201, a)
            self.assertEqual(a.json()['securityInfo'][0]['selSecurityMethod'],
                             sel)

    # ---- whose ----

    def test_context_of_another_invoker(self):
        one.negotiate()
        for method, more in (('PUT', ''), ('POST', '/update')):
            a = two.request(method, one.context + more, body={
                'securityInfo': [two.wish(found[LOCAL])],
                'notificationDestination': 'https://invoker.invalid/n'})
            self.refused(a, 403)
        self.refused(two.request('DELETE', one.context), 403)
        self.assertEqual(one.token().count('.'), 2)

    def test_context_of_nobody(self):
        a = two.request('DELETE', '/capif-security/v1/trustedInvokers/inv-x')
        self.refused(a, 403)

    def test_aef_sees_only_its_own_part_of_a_context(self):
        one.negotiate(API, LOCAL)
        a = home.aef.request('GET', one.context + '?authenticationInfo=true'
                             '&authorizationInfo=true')
        self.assertEqual(a.status, 200, a)
        self.assertEqual([i['aefId'] for i in a.json()['securityInfo']],
                         ['aef-a1'])
        self.assertIn('authorizationInfo', a.json()['securityInfo'][0])
        a = home.aef.request('GET', one.context)
        self.assertNotIn('authorizationInfo', a.json()['securityInfo'][0])
        self.assertNotIn('authenticationInfo', a.json()['securityInfo'][0])
        one.negotiate(API)
        self.assertEqual(home.aef.request('GET', one.context).status, 404)

    def test_other_aef_of_domain_b_does_not_see_the_context(self):
        one.negotiate(API)
        path = one.context + '?vs-src-ccf-id=' + d.a.id
        for aef in (away.aef, b2):
            self.assertEqual(d.b.request('GET', path, aef).status, 404)


class Discovery(unittest.TestCase):
    def get(self, query, who=None):
        return (who or one).request('GET', '/service-apis/v1/allServiceAPIs'
                                    + query)

    def test_discovery_with_someone_else_s_id(self):
        for other in (two.id, d.a.id, d.b.id, 'x'):
            a = self.get('?api-invoker-id=' + other)
            self.assertEqual(a.status, 403, a)
            self.assertNotIn(b'aefProfiles', a.body)

    def test_discovery_without_an_id(self):
        a = self.get('')
        self.assertEqual((a.status, a.params()[0].lstrip('/')),
                         (400, 'api-invoker-id'))

    def test_discovery_with_filters(self):
        for query, want in (('&api-name=' + API, {API}),
                            ('&aef-id=aef-a1', {LOCAL}),
                            ('&api-name=none', set())):
            a = self.get('?api-invoker-id=' + one.id + query)
            self.assertEqual({x['apiName'] for x in
                              a.json().get('serviceAPIDescriptions', [])}, want)


class Publishing(unittest.TestCase):
    def test_aef_of_another_provider(self):
        a = away.publish(away.describe('stolen', 'aef-b1', d.a.id))
        self.assertEqual(a.status, 403, a)

    def test_aef_of_nobody(self):
        a = away.publish(away.describe('stolen', 'aef-unknown'))
        self.assertEqual(a.status, 403, a)

    def test_own_aef_beside_another_provider_s(self):
        doc = away.describe('stolen', 'aef-b3')
        doc['aefProfiles'].append(away.describe('x', 'aef-b1')[
            'aefProfiles'][0])
        self.assertEqual(away.publish(doc).status, 403)

    def test_apf_id_of_another_provider(self):
        quickstart = json.loads(domains.read(d.dir + '/aef-b/provider.json'))
        for func in quickstart['apiProvFuncs'] + [
                {'apiProvFuncId': away.aef.id}, {'apiProvFuncId': 'x'}]:
            a = away.publish(away.describe('stolen'),
                             apf=func['apiProvFuncId'])
            self.assertEqual(a.status, 403, a)
            for method in ('GET', 'DELETE'):
                a = away.apf.request(
                    method, '/published-apis/v1/%s/service-apis/%s'
                    % (func['apiProvFuncId'], found[API]['apiId']))
                self.assertEqual(a.status, 403, a)

    def test_api_of_another_provider(self):
        for method in ('GET', 'DELETE'):
            a = away.apf.request(
                method, '/published-apis/v1/%s/service-apis/%s'
                % (away.apf.id, found[API]['apiId']))
            self.assertEqual(a.status, 404, a)
        self.assertIn(API, one.discover())

    def test_withdrawn_api_is_not_discovered_any_more(self):
        api = home.publish(home.describe('short-lived')).json()
        self.assertIn('short-lived', one.discover())
        path = '/published-apis/v1/%s/service-apis' % home.apf.id
        a = home.apf.request('DELETE', path + '/' + api['apiId'])
        self.assertEqual(a.status, 204, a)
        self.assertNotIn('short-lived', one.discover())
        self.assertEqual(
            home.apf.request('GET', path + '/' + api['apiId']).status, 404)


class TheEnd(unittest.TestCase):
    def test_no_token_after_the_context_was_deleted(self):
        who = d.a.onboard().negotiate(API, LOCAL)
        who.token()
        self.assertEqual(who.request('DELETE', who.context).status, 204)
        a = who.ask_token()
        self.assertEqual((a.status, a.json()['error']),
                         (400, 'unauthorized_client'))
        self.assertEqual(who.request('DELETE', who.context).status, 404)
        self.assertEqual(home.aef.request('GET', who.context).status, 404)
        self.assertEqual(who.negotiate(API).token().count('.'), 2)

    def test_everything_is_refused_after_offboarding(self):
        who = d.a.onboard().negotiate(API, LOCAL)
        own = '/api-invoker-management/v1/onboardedInvokers/'
        a = who.request('DELETE', own + one.onboarding)
        self.assertEqual(a.status, 403, a)
        a = who.request('DELETE', own + who.onboarding)
        self.assertEqual(a.status, 204, a)
        a = who.ask_token()
        self.assertEqual((a.status, a.json()['error']),
                         (401, 'invalid_client'))
        for method, path, body in (
                ('PUT', who.context, {}),
                ('POST', who.context + '/update', {}),
                ('DELETE', who.context, None),
                ('DELETE', own + who.onboarding, None),
                ('GET', '/service-apis/v1/allServiceAPIs?api-invoker-id='
                 + who.id, None)):
            a = who.request(method, path, body=body)
            self.assertEqual(a.status, 401, a)
        self.assertEqual(home.aef.request('GET', who.context).status, 404)

    def test_offboarding_is_refused_to_others(self):
        for who in (two, d.b.onboard()):
            a = d.a.request('DELETE', '/api-invoker-management/v1/'
                            'onboardedInvokers/' + one.onboarding, who)
            self.assertIn(a.status, (401, 403), a)
        self.assertEqual(one.negotiate(API).token().count('.'), 2)


if __name__ == '__main__':
    domains.main()
