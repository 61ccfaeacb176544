# SPDX-License-Identifier: Apache-2.0
"""Who may do what at a CCF: certificates, enrolments, the token end-point."""

import base64
import re
import ssl
import threading
import time
import unittest

import domains
from domains import (DIED, FORM, b64, changed, jws_hmac, jws_parts, make_csr,
                     make_key)

API = domains.API
ONBOARD = '/api-invoker-management/v1/onboardedInvokers'
REGISTER = '/api-provider-management/v1/registrations'
PUBLISH = '/published-apis/v1/{}/service-apis'
CONTEXT = '/capif-security/v1/trustedInvokers/{}'
TOKEN = '/capif-security/v1/securities/{}/token'
TOKENS = (TOKEN, '/oauth/token')
JWKS = '/.well-known/jwks.json'
METADATA = '/.well-known/oauth-authorization-server'

# Who may use what, of a CCF's own members; None: it is not the certificate
# that decides.  A route that is not listed here makes the tests fail.
MAY = {
    ('POST', ONBOARD): None,
    ('PUT', ONBOARD + '/{}'): ('invoker',),
    ('PATCH', ONBOARD + '/{}'): ('invoker',),
    ('DELETE', ONBOARD + '/{}'): ('invoker',),
    ('POST', REGISTER): None,
    ('PUT', REGISTER + '/{}'): ('amf',),
    ('PATCH', REGISTER + '/{}'): ('amf',),
    ('DELETE', REGISTER + '/{}'): ('amf',),
    ('POST', PUBLISH): ('apf',),
    ('GET', PUBLISH): ('apf',),
    ('GET', PUBLISH + '/{}'): ('apf',),
    ('PUT', PUBLISH + '/{}'): ('apf',),
    ('PATCH', PUBLISH + '/{}'): ('apf',),
    ('DELETE', PUBLISH + '/{}'): ('apf',),
    ('GET', '/service-apis/v1/allServiceAPIs'): ('invoker',),
    ('PUT', CONTEXT): ('invoker',),
    ('POST', CONTEXT + '/update'): ('invoker',),
    ('GET', CONTEXT): ('aef',),
    ('DELETE', CONTEXT): ('invoker',),
    ('POST', TOKEN): None,
    ('POST', '/oauth/token'): None,
    ('POST', '/oauth/introspect'): ('aef',),
    ('GET', METADATA): None,
    ('GET', JWKS): None,
}
ROUTES = re.findall(r'\{ "([A-Z]+)", "([^"]+)",',
                    domains.read(domains.SOURCE + '/ccf/routes.c'))


def setUpModule():
    global d, one, two, inv_b, home, key, csr
    d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')
    one, two = d.a.onboard().negotiate(), d.a.onboard()
    inv_b = d.b.onboard()
    key = make_key(d.extra + '/shared.key')
    csr = make_csr(key)


def tearDownModule():
    d.stop()


def try_route(ccf, method, route, who):
    path = route.replace('{}', who.id if who else 'x')
    headers = {}
    body = None
    if method in ('POST', 'PUT', 'PATCH'):
        body = '{"regSec":"x.y.z"}'
        headers['Content-Type'] = ('application/merge-patch+json'
                                   if method == 'PATCH'
                                   else 'application/json')
    if route in TOKENS:
        body = 'grant_type=client_credentials&client_id=' + (
            who.id if who else 'x')
        headers['Content-Type'] = FORM
    return ccf.request(method, path, who, headers=headers, body=body)


class Certificates(unittest.TestCase):
    def refused_everywhere(self, ccf, who):
        for method, route in ROUTES:
            with self.subTest(method=method, route=route):
                a = try_route(ccf, method, route, who)
                if route in (JWKS, METADATA):  # for everybody
                    self.assertEqual(a.status, 200, a)
                    continue
                self.assertEqual(a.status, 401, a)
                if route in TOKENS:
                    self.assertEqual(a.json()['error'], 'invalid_client')
                else:
                    self.assertEqual(a.headers['Content-Type'],
                                     'application/problem+json')

    def test_every_route_is_known_here(self):
        self.assertEqual(sorted(ROUTES), sorted(MAY))

    def test_invoker_of_domain_a_is_refused_by_every_route_of_ccf_b(self):
        self.refused_everywhere(d.b, one)

    def test_invoker_of_domain_b_is_refused_by_every_route_of_ccf_a(self):
        self.refused_everywhere(d.a, inv_b)

    def test_no_certificate_is_refused_by_every_route(self):
        self.refused_everywhere(d.a, None)

    def other_role(self, role, who):
        for method, route in ROUTES:
            with self.subTest(method=method, route=route):
                may = MAY[method, route]
                if may is not None and role not in may:
                    a = try_route(d.a, method, route, who)
                    self.assertEqual(a.status, 403, a)

    def test_invoker_is_refused_by_routes_of_other_roles(self):
        self.other_role('invoker', one)

    def test_aef_is_refused_by_routes_of_other_roles(self):
        self.other_role('aef', home.aef)

    def test_apf_is_refused_by_routes_of_other_roles(self):
        self.other_role('apf', home.apf)

    def test_amf_is_refused_by_routes_of_other_roles(self):
        self.other_role('amf', home.amf)

    def test_provider_functions_get_no_token(self):
        for who in (home.aef, home.apf, home.amf):
            a = try_route(d.a, 'POST', TOKEN, who)
            self.assertEqual((a.status, a.json()['error']),
                             (401, 'invalid_client'))

    def foreign(self, tls):
        ca = domains.ForeignCa('%s/foreign%d' % (d.extra, tls))
        for ccf in (d.a, d.b):
            who = ca.issue('URI:urn:capif:%s:invoker:%s' % (ccf.id, one.id))
            with self.assertRaises(DIED):
                ccf.request('GET', JWKS, who, tls=tls)
            self.assertEqual(ccf.request('GET', JWKS, tls=tls).status, 200)

    def test_foreign_certificate_is_refused_in_the_tls_1_2_handshake(self):
        self.foreign(ssl.TLSVersion.TLSv1_2)

    def test_foreign_certificate_is_refused_in_the_tls_1_3_handshake(self):
        self.foreign(ssl.TLSVersion.TLSv1_3)

    def test_foreign_ca_with_the_name_of_ours_is_refused_in_the_handshake(
            self):
        ca = domains.ForeignCa(d.extra + '/twin', 'CA of ' + d.a.id)
        who = ca.issue('URI:urn:capif:%s:invoker:%s' % (d.a.id, one.id))
        with self.assertRaises(DIED):
            d.a.request('GET', JWKS, who)


class Enrolments(unittest.TestCase):
    def onboard(self, enrolment, request=None):
        return d.a.onboard_request(enrolment, request or csr)

    def register(self, enrolment, roles=('AEF',)):
        return d.a.request('POST', REGISTER, body={
            'regSec': enrolment, 'apiProvFuncs': [
                {'apiProvFuncRole': r, 'regInfo': {'apiProvPubKey': csr}}
                for r in roles]})

    def refused(self, a):
        self.assertEqual(a.status, 401, a)
        self.assertEqual(a.json()['cause'], 'ENROLMENT_REFUSED')

    def test_enrolment_signed_by_hand_is_good(self):
        claims = jws_parts(d.a.enrolment())[1]
        self.assertEqual(
            self.onboard(d.a.sign(claims, 'enrol+jwt')).status, 201)

    def test_no_enrolment(self):
        a = d.a.request('POST', ONBOARD, body={})
        self.refused(a)
        self.assertEqual(a.headers['WWW-Authenticate'], 'Bearer')

    def test_enrolment_used_twice(self):
        enrolment = d.a.enrolment()
        self.assertEqual(self.onboard(enrolment).status, 201)
        self.refused(self.onboard(enrolment))

    def test_provider_enrolment_used_twice(self):
        enrolment = d.a.enrolment('provider', '--aef', 'aef-t=a.example')
        self.assertEqual(self.register(enrolment).status, 201)
        self.refused(self.register(enrolment))

    def test_enrolment_used_by_eight_at_once_is_good_for_one(self):
        enrolment, got = d.a.enrolment(), []
        start = threading.Barrier(8)

        def use():
            start.wait()
            got.append(self.onboard(enrolment).status)

        threads = [threading.Thread(target=use) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(got), [201] + 7 * [401])

    def test_enrolment_that_was_used_before_a_restart(self):
        enrolment = d.a.enrolment()
        self.assertEqual(self.onboard(enrolment).status, 201)
        d.restart('ccf-a')
        self.refused(self.onboard(enrolment))

    def test_enrolment_for_the_other_role(self):
        self.refused(self.onboard(d.a.enrolment('provider')))
        self.refused(self.register(d.a.enrolment('invoker')))

    def test_expired_enrolment(self):
        claims = jws_parts(d.a.enrolment())[1]
        for exp in (int(time.time()) - 1, 0, -1, None, 'x', '9999999999'):
            claims['exp'] = exp
            self.refused(self.onboard(d.a.sign(claims, 'enrol+jwt')))

    def test_enrolment_of_the_other_ccf(self):
        self.refused(self.onboard(d.b.enrolment()))
        claims = jws_parts(d.a.enrolment())[1]
        self.refused(self.onboard(d.b.sign(claims, 'enrol+jwt')))
        self.refused(self.onboard(d.b.sign(claims, 'enrol+jwt',
                                           kid=d.a.kid())))

    def test_enrolment_for_the_other_ccf(self):
        for name in ('iss', 'aud'):
            claims = dict(jws_parts(d.a.enrolment())[1], **{name: d.b.id})
            self.refused(self.onboard(d.a.sign(claims, 'enrol+jwt')))

    def test_enrolment_without_jti(self):
        for jti in (None, 7):
            claims = dict(jws_parts(d.a.enrolment())[1], jti=jti)
            self.refused(self.onboard(d.a.sign(claims, 'enrol+jwt')))

    def test_access_token_as_enrolment(self):
        self.refused(self.onboard(one.token()))
        claims = jws_parts(d.a.enrolment())[1]
        self.refused(self.onboard(d.a.sign(claims, 'at+jwt')))

    def test_enrolment_with_alg_none_or_hmac(self):
        head, claims = jws_parts(d.a.enrolment())
        head['alg'] = 'none'
        self.refused(self.onboard('%s.%s.' % (b64(head), b64(claims))))
        head['alg'] = 'HS256'
        jwks = domains.read(d.dir + '/ccf-a/jwks.json').encode()
        self.refused(self.onboard(jws_hmac(head, claims, jwks)))

    def test_enrolment_with_a_changed_byte(self):
        enrolment = d.a.enrolment()
        parts = enrolment.split('.')
        for k in range(3):
            for i in (0, 1, len(parts[k]) // 2, len(parts[k]) - 1):
                bad = list(parts)
                bad[k] = changed(parts[k], i)
                self.refused(self.onboard('.'.join(bad)))
        self.assertEqual(self.onboard(enrolment).status, 201)

    def test_request_that_is_refused_does_not_use_up_the_enrolment(self):
        enrolment = d.a.enrolment()
        self.assertEqual(self.onboard(enrolment, 'no CSR').status, 400)
        self.assertEqual(self.onboard(enrolment).status, 201)

    def test_more_aefs_than_the_enrolment_names(self):
        a = self.register(d.a.enrolment('provider', '--aef',
                                        'aef-u=a.example'), ('AEF', 'AEF'))
        self.assertEqual((a.status, a.params()), (400, ['/apiProvFuncs/1']))

    def test_aef_id_that_is_taken_stays_with_its_owner(self):
        a = self.register(d.a.enrolment('provider', '--aef',
                                        home.aef.id + '=x.example'))
        self.assertIn(a.status, (401, 409), a)
        a = home.aef.request('GET', CONTEXT.replace('{}', one.id))
        self.assertEqual(a.status, 404)  # it is known, and has none there

    def bad_csr(self, request):
        a = self.onboard(d.a.enrolment(), request)
        self.assertEqual((a.status, a.params()), (
            400, ['/onboardingInformation/apiInvokerPublicKey']), a)

    def spoilt(self):
        der = bytearray(base64.b64decode(''.join(csr.split('-----')[2]
                                                 .split())))
        der[-1] ^= 1
        return ('-----BEGIN CERTIFICATE REQUEST-----\n%s\n'
                '-----END CERTIFICATE REQUEST-----\n'
                % base64.b64encode(der).decode())

    def test_csr_with_a_bad_signature(self):
        self.bad_csr(self.spoilt())

    def test_csr_of_a_provider_with_a_bad_signature(self):
        global csr
        good, csr = csr, self.spoilt()
        try:
            a = self.register(d.a.enrolment('provider', '--aef',
                                            'aef-v=a.example'))
        finally:
            csr = good
        self.assertEqual(a.status, 400, a)
        self.assertTrue(a.params()[0].startswith('/apiProvFuncs/0/regInfo'))

    def test_public_key_or_certificate_instead_of_a_csr(self):
        self.bad_csr(domains.run('openssl', 'pkey', '-in', key,
                                 '-pubout').decode())
        self.bad_csr(domains.read(one.crt))

    def test_csr_with_a_weak_key(self):
        weak = d.extra + '/weak.key'
        domains.run('openssl', 'genrsa', '-out', weak, '1024')
        self.bad_csr(make_csr(weak))

    def test_subject_and_names_of_a_csr_are_not_taken_over(self):
        bold = domains.run(
            'openssl', 'req', '-new', '-key', key, '-subj', '/CN=' + one.id,
            '-addext', 'subjectAltName=URI:urn:capif:%s:invoker:%s,DNS:%s'
            % (d.a.id, one.id, d.a.id), '-addext',
            'basicConstraints=critical,CA:TRUE').decode()
        a = self.onboard(d.a.enrolment(), bold)
        self.assertEqual(a.status, 201, a)
        new = a.json()['apiInvokerId']
        text = domains.run('openssl', 'x509', '-noout', '-subject', '-ext',
                           'subjectAltName,basicConstraints', stdin=a.json()[
                               'onboardingInformation'][
                                   'apiInvokerCertificate'].encode()).decode()
        self.assertIn('URI:urn:capif:%s:invoker:%s\n' % (d.a.id, new), text)
        self.assertIn('CA:FALSE', text)
        self.assertNotIn(one.id, text)
        self.assertNotIn('DNS:', text)


class TokenEndPoint(unittest.TestCase):
    def setUp(self):
        self.form = {'grant_type': 'client_credentials', 'client_id': one.id}

    def refused(self, status, error, who=None, form=None, **kw):
        a = (who or one).ask_token(form or self.form, **kw)
        self.assertEqual((a.status, a.json()['error']), (status, error), a)
        self.assertEqual(a.headers['Content-Type'], 'application/json')
        self.assertEqual(a.headers['Cache-Control'], 'no-store')
        self.assertNotIn('access_token', a.json())

    def test_good_request(self):
        a = one.ask_token()
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.headers['Cache-Control'], 'no-store')
        self.assertEqual(a.headers['Pragma'], 'no-cache')
        self.assertEqual(a.json()['token_type'], 'Bearer')
        self.assertEqual(a.json()['expires_in'], 600)
        self.assertEqual(a.json()['scope'], '3gpp#aef-b1:' + API)

    def test_path_of_another_invoker(self):
        self.refused(401, 'invalid_client', path=two.token_path)

    def test_certificate_of_another_invoker(self):
        self.refused(401, 'invalid_client', two, path=one.token_path)

    def test_client_id_of_another_invoker(self):
        self.form['client_id'] = two.id
        self.refused(401, 'invalid_client')

    def test_client_id_with_nul_and_more(self):
        self.form['client_id'] = one.id + '\0' + two.id
        a = one.ask_token(self.form)
        self.assertIn(a.status, (400, 401), a)

    def test_no_certificate(self):
        a = d.a.request('POST', one.token_path, body='grant_type='
                        'client_credentials&client_id=' + one.id,
                        headers={'Content-Type': FORM})
        self.assertEqual((a.status, a.json()['error']),
                         (401, 'invalid_client'))

    def test_missing_grant_type(self):
        del self.form['grant_type']
        self.refused(400, 'invalid_request')

    def test_missing_client_id(self):
        del self.form['client_id']
        self.refused(400, 'invalid_request')

    def test_wrong_grant_type(self):
        for grant in ('password', 'Client_Credentials', 'a"b'):
            self.form['grant_type'] = grant
            self.refused(400, 'unsupported_grant_type')

    def test_duplicate_parameter(self):
        form = 'grant_type=client_credentials&client_id=' + one.id
        for more in ('&client_id=' + one.id, '&grant_type=client_credentials',
                     '&scope=3gpp%23aef-b1:x&scope=3gpp%23aef-b1:x'):
            self.refused(400, 'invalid_request', form=form + more)

    def test_unknown_scope(self):
        for scope in ('3gpp#aef-b1:unknown', '3gpp#aef-b9:' + API, 'x', '',
                      '3gpp#', 'aef-b1:' + API, '3gpp#aef-b1:' + API + ',x',
                      '3gpp#aef-b1:%s;aef-b2:%s' % (API, API), '3gpp#%00'):
            self.form['scope'] = scope
            self.refused(400, 'invalid_scope')

    def test_text_that_is_not_utf_8(self):
        for form in ('grant_type=%%ff&client_id=%s',
                     'grant_type=client_credentials&client_id=%s&scope=%%ff'):
            a = one.ask_token(form % one.id)
            self.assertEqual(a.status, 400, a)
            self.assertIn(a.json()['error'], (
                'invalid_request', 'invalid_scope',
                'unsupported_grant_type'))

    def test_wrong_content_type(self):
        for kind in ('application/json', 'text/plain', FORM + 'x'):
            self.refused(400, 'invalid_request',
                         headers={'Content-Type': kind})

    def test_parameters_in_the_query_are_not_taken(self):
        a = d.a.request('POST', one.token_path + '?grant_type='
                        'client_credentials&client_id=' + one.id, one,
                        headers={'Content-Type': FORM}, body='a=b')
        self.assertEqual((a.status, a.json()['error']),
                         (400, 'invalid_request'))

    def test_no_security_context(self):
        self.refused(400, 'unauthorized_client', two, {
            'grant_type': 'client_credentials', 'client_id': two.id})


if __name__ == '__main__':
    domains.main()
