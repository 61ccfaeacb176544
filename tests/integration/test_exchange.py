# SPDX-License-Identifier: Apache-2.0
"""Token exchange at CCF-B: RFC 7523 as RFC 10070 tightens it, S1 6.24.2.2.2;
and where CCF-B has CCF-A's verification keys from."""

import concurrent.futures
import json
import subprocess
import threading
import time
import unittest
import urllib.parse

import domains
from domains import API, FORM, VS, jws, jws_parts

JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
TYP = 'authorization-grant+jwt'
OTHER = '3gpp-as-session-with-qos'
SCOPE = '3gpp#aef-b1:' + API


def setUpModule():
    global d, one, two, home, claims
    d = domains.Domains()
    d.add_api(OTHER)
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe('local')).status == 201
    one = d.a.onboard().negotiate(API, 'local')
    two = d.a.onboard().negotiate()
    claims = jws_parts(assertion())[1]


def tearDownModule():
    d.stop()


def ask_assertion(who=None, **form):
    who = who or one
    form = {'grant_type': 'client_credentials', 'client_id': who.id,
            'resource': d.b.url, **form}
    return who.ask_token({k: v for k, v in form.items() if v is not None})


def assertion(who=None, **form):
    a = ask_assertion(who, **form)
    assert a.status == 200, a
    return a.json()['access_token']


def exchange(text, who=None, path='/oauth/token', headers=None, **form):
    form = {'grant_type': JWT_BEARER, 'assertion': text, **form}
    return d.b.request(
        'POST', path, who or one, headers=headers or {'Content-Type': FORM},
        body=urllib.parse.urlencode({k: v for k, v in form.items()
                                     if v is not None}))


def fresh(**new):
    """Good claims, never used, with others; None takes one away."""
    now = int(time.time())
    fresh.n = getattr(fresh, 'n', 0) + 1
    out = {**claims, 'iat': now, 'exp': now + 60, 'jti': 't%d' % fresh.n,
           **new}
    return {k: v for k, v in out.items() if v is not None}


def signed(typ=TYP, **new):
    return d.a.sign(fresh(**new), typ)


class Exchange(unittest.TestCase):
    def refused(self, a, error='invalid_grant', status=400, why=None):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.json()['error'], error, a)
        self.assertEqual(a.headers['Cache-Control'], 'no-store')
        if why is not None:
            self.assertIn(why, a.json()['error_description'])

    def good(self, a, scope=SCOPE):
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.json()['token_type'], 'Bearer')
        self.assertEqual(a.json()['scope'], scope)
        return a.json()['access_token']

    # ---- what is right ----

    def test_assertion_has_what_rfc_7523_wants(self):
        a = ask_assertion()
        head, c = jws_parts(a.json()['access_token'])
        self.assertEqual(head['typ'], TYP)
        self.assertEqual(c['iss'], d.a.url)
        self.assertEqual(c['aud'], d.b.url)
        self.assertEqual((c['sub'], c['client_id']), (one.id, one.id))
        self.assertEqual(c['scope'], SCOPE)
        self.assertEqual(c['exp'] - c['iat'], 60)
        self.assertTrue(c['jti'] and c['cnf']['x5t#S256'])
        self.assertEqual(a.json()['expires_in'], 60)
        self.assertNotEqual(a.json()['token_type'], 'Bearer')
        self.assertEqual(a.headers['Cache-Control'], 'no-store')

    def test_assertion_lives_no_longer_than_a_token(self):
        undo = d.reconfigure('ccf-a', '[ccf]\n', '[ccf]\ntoken-lifetime = 9\n')
        try:
            c = jws_parts(assertion())[1]
        finally:
            undo()
        self.assertEqual(c['exp'] - c['iat'], 9)

    def test_exchanged_token_is_of_ccf_b_for_the_invoker_of_a(self):
        token = self.good(exchange(assertion()))
        head, c = jws_parts(token)
        self.assertEqual(head['typ'], 'at+jwt')
        self.assertEqual(head['kid'], d.b.kid())
        self.assertEqual(c['ccfId'], d.b.id)
        self.assertEqual(c['invokerCcfId'], d.a.id)
        self.assertEqual((c['sub'], c['client_id']), (one.id, one.id))
        self.assertEqual(c['aud'], ['aef-b1'])
        self.assertEqual(c['cnf'], claims['cnf'])
        self.assertEqual(one.call(token).status, 200)

    def test_client_id_may_be_there_and_must_agree(self):
        self.good(exchange(assertion(), client_id=one.id))
        self.refused(exchange(assertion(), client_id=two.id),
                     'invalid_client', 401)

    def test_path_of_29_222_serves_as_well(self):
        self.good(exchange(assertion(), path=one.token_path))
        self.refused(exchange(assertion(), path=two.token_path),
                     'invalid_client', 401)

    def test_part_of_the_scope(self):
        three = d.a.onboard().negotiate(API, OTHER)
        both = '3gpp#aef-b1:%s,%s' % (API, OTHER)
        self.good(exchange(assertion(three), three), both)
        self.good(exchange(assertion(three), three, scope=SCOPE))

    def test_assertion_made_by_hand_passes(self):
        """So that what follows proves something."""
        self.good(exchange(signed()))

    # ---- the assertion ----

    def test_replayed(self):
        text = assertion()
        self.good(exchange(text))
        self.refused(exchange(text), why='used before')
        d.restart('ccf-b')
        self.refused(exchange(text), why='used before')

    def test_replayed_under_the_same_jti(self):
        self.good(exchange(signed(jti='same')))
        self.refused(exchange(signed(jti='same')), why='used before')

    def test_refused_one_is_not_used_up(self):
        text = assertion()
        self.refused(exchange(text, two))
        self.refused(exchange(text, scope='3gpp#aef-b1:' + OTHER),
                     'invalid_scope')
        self.good(exchange(text))

    def test_two_at_the_same_time(self):
        text, got = assertion(), []
        threads = [threading.Thread(target=lambda: got.append(
            exchange(text).status)) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(got), [200] + [400] * 7)

    def test_wrong_audience(self):
        for aud in ([d.b.url], [d.b.url, d.a.url], d.a.url, d.b.id, None,
                    d.b.url + '/', d.b.url + '/oauth/token', 'aef-b1', []):
            self.refused(exchange(signed(aud=aud)),
                         why='another authorization server')

    def test_wrong_typ(self):
        for typ in ('at+jwt', 'JWT', 'jwt', 'enrol+jwt', None, ''):
            self.refused(exchange(signed(typ)), why='not an authorization')

    def test_wrong_issuer(self):
        for iss in (d.a.id, d.b.url, 'https://ccf.domain-c.example', one.id,
                    None):
            self.refused(exchange(signed(iss=iss)), why="client's own CCF")

    def test_access_token_of_a_as_assertion(self):
        self.refused(exchange(one.token()))

    def test_assertion_as_access_token(self):
        a = one.call(assertion())
        self.assertEqual(a.status, 401, a)

    def test_exchanged_token_as_assertion(self):
        self.refused(exchange(self.good(exchange(assertion()))))

    def test_no_jws(self):
        for text in ('x', 'a.b.c', '..', 'x' * 9000):
            self.refused(exchange(text))

    def test_of_another_invoker(self):
        self.refused(exchange(assertion(two), one), why='another client')
        self.refused(exchange(signed(sub=two.id, client_id=two.id)),
                     why='another client')
        self.refused(exchange(signed(sub=two.id)), why='another client')

    def test_bound_to_another_certificate(self):
        cnf = jws_parts(assertion(two))[1]['cnf']
        for other in (cnf, {}, None, {'x5t#S256': ''}):
            self.refused(exchange(signed(cnf=other)),
                         why='another certificate')

    def test_expired(self):
        now = int(time.time())
        for exp in (now - 1, None, str(now + 60)):
            self.refused(exchange(signed(exp=exp)), why='expired')
        self.refused(exchange(signed(exp=now + 3600)), why='too long')

    def test_not_yet_valid(self):
        later = int(time.time()) + 120
        self.refused(exchange(signed(nbf=later)), why='not yet valid')
        self.refused(exchange(signed(iat=later, exp=later + 60)))

    def test_without_an_id(self):
        for jti in (None, '', 1, 'j' * 129):
            self.refused(exchange(signed(jti=jti)), why='without an id')

    def test_signed_by_another_key(self):
        self.refused(exchange(d.b.sign(fresh(), TYP)), why='signature')
        self.refused(exchange(d.b.sign(fresh(), TYP, kid=d.a.kid())),
                     why='signature')
        key = domains.make_key(d.extra + '/attacker.key')
        for kid in d.a.kid(), 'x':
            self.refused(exchange(jws(
                {'alg': 'ES256', 'typ': TYP, 'kid': kid}, fresh(), key)),
                why='signature')
        self.refused(exchange(d.a.sign(fresh(), TYP, kid=None)),
                     why='signature')

    # ---- scope ----

    def test_scope_wider_than_the_assertion(self):
        three = d.a.onboard().negotiate(API, OTHER)
        text = assertion(three, scope=SCOPE)
        self.refused(exchange(text, three, scope='3gpp#aef-b1:%s,%s'
                              % (API, OTHER)), 'invalid_scope')
        self.good(exchange(text, three))

    def test_assertion_wider_than_what_b_has_negotiated(self):
        for scope in ('3gpp#aef-b1:' + OTHER, SCOPE + ',' + OTHER,
                      '3gpp#aef-a1:local'):
            self.refused(exchange(signed(scope=scope)), 'invalid_scope')

    def test_assertion_without_scope(self):
        for scope in (None, '', 'all', [SCOPE]):
            self.refused(exchange(signed(scope=scope)), why='no scope')

    def test_negotiated_by_another_method_since(self):
        three = d.a.onboard().negotiate()
        text = assertion(three)
        found = three.discover()[API]
        self.assertEqual(three.put(three.wish(found, methods=['PKI'])).status,
                         201)
        self.refused(exchange(text, three), 'invalid_scope')

    def test_a_asserts_nothing_of_other_domains(self):
        self.refused(ask_assertion(scope='3gpp#aef-a1:local'),
                     'invalid_scope')
        only = d.a.onboard().negotiate('local')
        self.refused(ask_assertion(only), 'invalid_scope')
        self.refused(ask_assertion(d.a.onboard()), 'unauthorized_client')

    # ---- who ----

    def test_without_certificate(self):
        a = d.b.request('POST', '/oauth/token', headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode(
                            {'grant_type': JWT_BEARER,
                             'assertion': assertion()}))
        self.refused(a, 'invalid_client', 401)

    def test_invoker_of_b_with_an_assertion_of_a(self):
        self.refused(exchange(assertion(), d.b.onboard()),
                     'unauthorized_client')

    def test_others_of_domain_a(self):
        self.refused(exchange(assertion(), home.aef), 'invalid_client', 401)

    def test_partners_invoker_has_no_other_way_in(self):
        """Its certificate counts at the token end-point for this grant."""
        a = d.b.request('POST', '/oauth/token', one,
                        headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode({
                            'grant_type': 'client_credentials',
                            'client_id': one.id}))
        self.refused(a, 'invalid_client', 401)
        for method, path, status in (
                ('GET', '/service-apis/v1/allServiceAPIs?api-invoker-id='
                 + one.id, 401), ('PUT', one.context, 401)):
            self.assertEqual(d.b.request(method, path, one, body={}
                                         if method == 'PUT' else None).status,
                             status)

    def test_invoker_whose_certificate_a_has_revoked(self):
        who = d.a.onboard().negotiate()
        text = assertion(who)
        a = who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        self.assertEqual(a.status, 204, a)
        undo = d.reconfigure('ccf-b', '[ccf]\n', '[ccf]\ncrl-interval = 1\n')
        try:
            end = time.monotonic() + 20
            while (a := exchange(text, who)).status != 401:
                self.assertIn(a.status, (200, 400), a)  # no CRL yet
                self.assertLess(time.monotonic(), end)
                time.sleep(0.1)
        finally:
            undo()
        self.refused(a, 'invalid_client', 401)

    def test_malformed_requests(self):
        self.refused(exchange(None), 'invalid_request')
        self.refused(exchange(assertion(), grant_type='x'), 'invalid_client',
                     401)
        self.refused(exchange(assertion(), headers={
            'Content-Type': 'application/json'}), 'invalid_request')
        text = 'grant_type=%s&assertion=a&assertion=b' % JWT_BEARER
        self.refused(d.b.request('POST', '/oauth/token', one, body=text,
                                 headers={'Content-Type': FORM}),
                     'invalid_request')

    # ---- the agreement ----

    def test_resource_that_is_no_partner(self):
        for resource in ('https://ccf.domain-c.example', d.b.id, d.b.url + '/',
                         'x', 'https://%s' % d.b.id):
            self.refused(ask_assertion(resource=resource), 'invalid_target')

    def test_resource_that_is_ccf_a_itself(self):
        a = ask_assertion(resource=d.a.url)
        self.assertEqual(a.json()['token_type'], 'Bearer')
        self.assertEqual(a.json()['scope'], '3gpp#aef-a1:local')

    def without_oauth(self, name):
        return d.reconfigure(name, 'methods = PSK,PKI,OAUTH',
                             'methods = PSK,PKI')

    def test_partner_without_oauth_at_a(self):
        undo = self.without_oauth('ccf-a')
        try:
            self.refused(ask_assertion(), 'invalid_target')
        finally:
            undo()

    def test_partner_without_oauth_at_b(self):
        text = assertion()
        undo = self.without_oauth('ccf-b')
        try:
            self.refused(exchange(text), 'unauthorized_client')
        finally:
            undo()
        self.good(exchange(text))

    def test_entry_says_where_tokens_are_exchanged(self):
        found = one.discover()
        a = one.put(one.wish(found[API]), one.wish(found['local']))
        there, here = a.json()['securityInfo']
        self.assertEqual(there[VS]['issuer'], d.b.url)
        self.assertNotIn('issuer', here[VS])

    # ---- the HSM ----

    def test_assertion_is_good_again_when_the_hsm_is_back(self):
        text = assertion()
        d.end('hsmd-ccf-b')
        try:
            a = exchange(text)
            self.assertEqual(a.status, 503, a)
            self.assertTrue(a.headers['Retry-After'])
        except domains.DIED:
            pass  # nor can it do TLS then
        finally:
            d.begin('hsmd-ccf-b')
        d.restart('ccf-b')
        self.good(exchange(text))


class PartnerKeys(unittest.TestCase):
    """Section [partner ccf-a] of CCF-B, in other ways."""

    def setUp(self):
        self.undo = []

    def tearDown(self):
        for undo in reversed(self.undo):
            undo()

    def change(self, name, old, new):
        self.undo.append(d.reconfigure(name, old, new))

    def fetches(self):
        return [x for x in d.log('ccf-b') if x.get('event') == 'partner-keys']

    def wait_for_fetch(self, more_than):
        end = time.monotonic() + 20
        while len(self.fetches()) <= more_than:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)

    def jwks_line(self):
        return 'jwks = %s/ccf-a/jwks.json\n' % d.dir

    def wrong_file(self):
        return 'jwks = %s/ccf-b/jwks.json\n' % d.dir

    def status(self):
        return exchange(assertion()).status

    def until_good(self):
        """A partner is asked for unknown keys once in 5 seconds, no more."""
        end = time.monotonic() + 20
        while self.status() != 200:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def rotate(self):
        """CCF-A signs with another key from now on."""
        key = domains.make_key(d.extra + '/new-jws.key')
        self.change('ccf-a', 'jws-key = pkcs11:object=jws;type=private',
                    'jws-key = ' + key)

    def test_file_alone_by_default(self):
        self.change('ccf-b', self.jwks_line(), self.wrong_file())
        n = len(self.fetches())
        self.assertEqual(self.status(), 400)
        self.assertEqual(len(self.fetches()), n)

    def test_fetched_without_a_file(self):
        n = len(self.fetches())
        self.change('ccf-b', self.jwks_line(), 'jwks-fetch = yes\n')
        self.until_good()
        self.wait_for_fetch(n)

    def test_fetched_keys_outlive_the_daemon_and_the_partner(self):
        text = assertion()
        self.change('ccf-b', self.jwks_line(), 'jwks-fetch = yes\n')
        self.until_good()
        d.end('ccf-a')
        try:
            d.restart('ccf-b')
            self.assertEqual(exchange(text).status, 200)
        finally:
            d.begin('ccf-a')

    def test_file_stays_good_beside_what_is_fetched(self):
        self.rotate()
        self.change('ccf-b', self.jwks_line(), self.jwks_line()
                    + 'jwks-fetch = yes\njwks-interval = 1\n')
        self.until_good()
        a = exchange(d.a.sign(fresh(), TYP))  # by the old key
        self.assertEqual(a.status, 200, a)

    def test_new_key_is_fetched_at_once(self):
        self.change('ccf-b', self.jwks_line(), self.jwks_line()
                    + 'jwks-fetch = yes\n')
        self.assertEqual(self.status(), 200)
        time.sleep(5)  # since the last fetch, in real time
        n = len(self.fetches())
        self.rotate()
        self.assertEqual(self.status(), 200)
        self.assertEqual(len(self.fetches()), n + 1)

    def test_who_comes_while_it_is_fetched_is_told_to_come_again(self):
        """Two at the same time: one waits for the keys, and the other is not
        told that its assertion is bad."""
        self.change('ccf-b', self.jwks_line(), self.jwks_line()
                    + 'jwks-fetch = yes\n')
        self.assertEqual(self.status(), 200)
        time.sleep(5)  # since the last fetch, in real time
        self.rotate()
        texts = [assertion(), assertion()]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            d.pause('ccf-a')
            try:
                asked = [pool.submit(exchange, t) for t in texts]
                first = next(concurrent.futures.as_completed(asked))
            finally:
                d.resume('ccf-a')
        self.assertEqual(first.result().status, 503)
        self.assertEqual(first.result().headers['Retry-After'], '1')
        again = texts[asked.index(first)]
        self.assertEqual(sorted(a.result().status for a in asked), [200, 503])
        self.assertEqual(exchange(again).status, 200)

    def test_invented_kids_cause_few_fetches(self):
        self.change('ccf-b', self.jwks_line(), 'jwks-fetch = yes\n')
        self.until_good()
        began, n = time.monotonic(), len(self.fetches())
        for i in range(50):
            a = exchange(d.a.sign(fresh(), TYP, kid='x%d' % i))
            # No such key; or the partner was asked too short a while ago.
            self.assertIn(a.status, (400, 503), a)
        took = time.monotonic() - began
        self.assertLessEqual(len(self.fetches()) - n, 1 + took / 5)

    def test_keys_are_fetched_again_after_the_interval(self):
        self.change('ccf-b', self.jwks_line(), self.jwks_line()
                    + 'jwks-fetch = yes\njwks-interval = 1\n')
        self.wait_for_fetch(len(self.fetches()) + 1)

    def test_partner_that_shows_another_certificate_gives_no_keys(self):
        n = len(self.fetches())
        address = 'address = 127.0.0.1:%d' % d.a.port
        self.change('ccf-b', address, 'address = 127.0.0.1:%d' % d.b.port)
        self.change('ccf-b', self.jwks_line(), self.wrong_file()
                    + 'jwks-fetch = yes\njwks-interval = 1\n')
        end = time.monotonic() + 20
        while not [x for x in d.log('ccf-b')
                   if x.get('event') == 'partner-keys-failed']:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        self.assertEqual(len(self.fetches()), n)

    def test_neither_file_nor_fetching_is_an_error(self):
        path = d.extra + '/neither.cnf'
        domains.write(path, domains.read(d.b.conf).replace(
            self.jwks_line(), ''))
        done = subprocess.run([domains.DAEMONS + '/ccf/ccfd', path],
                              env=d.b.env(), stderr=subprocess.PIPE,
                              timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'[partner ccf-a] jwks: required without jwks-fetch',
                      done.stderr)


class CommandLine(unittest.TestCase):
    """What quickstart has shown already, and when there is nothing to
    exchange."""

    def capif(self, *args):
        return subprocess.run(
            [domains.BUILD + '/tools/capif', *args, '--dir', 'invoker',
             '--api', API], cwd=d.dir, stderr=subprocess.PIPE, timeout=30,
            stdout=subprocess.PIPE, check=False)

    def test_token_exchange(self):
        done = self.capif('token', '--exchange')
        self.assertEqual(done.returncode, 0, done.stderr)
        token = domains.read(d.dir + '/invoker/token').strip()
        self.assertEqual(jws_parts(token)[1]['ccfId'], d.b.id)
        self.assertIn(b'assertion of ' + d.a.id.encode(), done.stderr)

    def test_nothing_to_exchange(self):
        self.assertEqual(self.capif('negotiate', '--methods',
                                    'PKI').returncode, 0)
        done = self.capif('token', '--exchange')
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'OAUTH was not selected', done.stderr)
        context = d.dir + '/invoker/context.json'
        self.assertEqual(json.loads(domains.read(context))['securityInfo'][0]
                         ['selSecurityMethod'], 'PKI')


if __name__ == '__main__':
    domains.main()
