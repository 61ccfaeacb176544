# SPDX-License-Identifier: Apache-2.0
"""The CCF as an authorization server: RFC 8414 metadata, RFC 7662
introspection, and AEFs that use it (design 10, OQ-13)."""

import json
import time
import unittest
import urllib.parse

import domains
from domains import API, FORM, changed, jws_parts, make_csr, make_key

METADATA = '/.well-known/oauth-authorization-server'
JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
INACTIVE = {'active': False}
FAR = '3gpp-far'


def setUpModule():
    global d, home, away, one, good, claims
    d = domains.Domains()
    for name in 'ccf-a', 'ccf-b':
        d.reconfigure(name, 'aefs = aef-b1\n', 'aefs = aef-b1, aef-b2\n')
    home = d.a.register(aef_a1='a1.domain-a.example',
                        aef_a2='a2.domain-a.example')
    home.a1, home.a2 = (m for m in home.members if m.role == 'AEF')
    assert home.publish(home.describe('one', 'aef-a1')).status == 201
    assert home.publish(home.describe('two', 'aef-a1')).status == 201
    assert home.publish(home.describe('far', 'aef-a2')).status == 201
    away = d.b.register(aef_b2='b2.domain-b.example')
    a = away.publish(away.describe(FAR, 'aef-b2', d.a.id))
    assert a.status == 201, a
    one = d.a.onboard().negotiate('one', 'two', 'far', FAR)
    good = one.token('3gpp#aef-a1:one,two;aef-a2:far')
    claims = jws_parts(good)[1]


def tearDownModule():
    d.stop()


def ask(who, token, **form):
    return who.request('POST', '/oauth/introspect', headers={
        'Content-Type': FORM}, body=urllib.parse.urlencode(
            {'token': token, **form}))


def but(**new):
    """The good token's claims with others; None takes one away."""
    out = dict(claims, **new)
    return {k: v for k, v in out.items() if v is not None}


class Metadata(unittest.TestCase):
    def metadata(self, ccf):
        a = ccf.request('GET', METADATA)
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.headers['Content-Type'], 'application/json')
        return a.json()

    def test_metadata_of_both(self):
        for ccf in d.a, d.b:
            self.assertEqual(self.metadata(ccf), {
                'issuer': ccf.url,
                'token_endpoint': ccf.url + '/oauth/token',
                'introspection_endpoint': ccf.url + '/oauth/introspect',
                'jwks_uri': ccf.url + '/.well-known/jwks.json',
                'grant_types_supported': ['client_credentials', JWT_BEARER],
                'token_endpoint_auth_methods_supported': ['tls_client_auth'],
                'introspection_endpoint_auth_methods_supported':
                    ['tls_client_auth'],
                'tls_client_certificate_bound_access_tokens': True})

    def test_end_points_are_there(self):
        meta = self.metadata(d.a)
        path = {k: v[len(d.a.url):] for k, v in meta.items()
                if isinstance(v, str)}
        self.assertEqual(d.a.request('GET', path['jwks_uri']).status, 200)
        a = one.ask_token(path=path['token_endpoint'])
        self.assertEqual(a.status, 200, a)
        a = home.a1.request('POST', path['introspection_endpoint'],
                            headers={'Content-Type': FORM},
                            body='token=' + a.json()['access_token'])
        self.assertTrue(a.json()['active'])

    def test_grant_that_nobody_can_use_is_not_there(self):
        undo = d.reconfigure('ccf-a', 'methods = PSK,PKI,OAUTH',
                             'methods = PSK,PKI')
        try:
            self.assertEqual(self.metadata(d.a)['grant_types_supported'],
                             ['client_credentials'])
        finally:
            undo()


class TokenEndPoint(unittest.TestCase):
    """POST /oauth/token, which has no path to agree with."""

    def refused(self, a, status, error):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.json()['error'], error)

    def test_token_as_at_the_path_of_29_222(self):
        a = one.ask_token(path='/oauth/token')
        b = one.ask_token()
        self.assertEqual(a.json()['scope'], b.json()['scope'])
        keys = [set(jws_parts(x.json()['access_token'])[1]) for x in (a, b)]
        self.assertEqual(*keys)

    def test_client_id_is_the_certificates(self):
        form = {'grant_type': 'client_credentials', 'client_id': 'inv-x'}
        self.refused(one.ask_token(form, '/oauth/token'), 401,
                     'invalid_client')
        del form['client_id']
        self.refused(one.ask_token(form, '/oauth/token'), 400,
                     'invalid_request')

    def test_others_grants(self):
        for grant in 'password', 'refresh_token', '':
            form = {'grant_type': grant, 'client_id': one.id}
            self.refused(one.ask_token(form, '/oauth/token'), 400,
                         'unsupported_grant_type')

    def test_aef_is_no_client(self):
        self.refused(home.a1.request(
            'POST', '/oauth/token', headers={'Content-Type': FORM},
            body='grant_type=client_credentials&client_id=aef-a1'), 401,
            'invalid_client')


class Introspection(unittest.TestCase):
    def active(self, token, who=None):
        a = ask(who or home.a1, token)
        self.assertEqual(a.status, 200, a)
        self.assertIs(a.json()['active'], True, a)
        self.assertEqual(a.headers['Cache-Control'], 'no-store')
        return a.json()

    def inactive(self, token, who=None):
        a = ask(who or home.a1, token)
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.json(), INACTIVE)

    # ---- our own invokers ----

    def test_members_of_the_answer(self):
        want = {k: claims[k] for k in ('scope', 'client_id', 'exp', 'iat',
                                       'nbf', 'sub', 'aud', 'iss', 'jti',
                                       'cnf', 'ccfId')}
        self.assertEqual(self.active(good),
                         dict(want, active=True, token_type='Bearer'))

    def test_each_aef_of_the_audience(self):
        self.active(good, home.a2)
        a1_alone = one.token('3gpp#aef-a1:one')
        self.active(a1_alone)
        self.inactive(a1_alone, home.a2)

    def test_hint_is_ignored(self):
        a = ask(home.a1, good, token_type_hint='refresh_token')
        self.assertTrue(a.json()['active'])

    def test_made_by_hand(self):
        """So that what follows proves something."""
        self.active(d.a.sign(claims))

    def test_expired(self):
        now = int(time.time())
        for exp in (now, now - 1, None, str(now + 60)):
            self.inactive(d.a.sign(but(exp=exp)))
        self.inactive(d.a.sign(but(nbf=now + 60)))

    def test_audience(self):
        for aud in (['aef-a2'], None, [], 'aef-a', 'aef-b1'):
            self.inactive(d.a.sign(but(aud=aud)))

    def test_scope_without_this_aef(self):
        for scope in ('3gpp#aef-a2:far', None, 'x', ''):
            self.inactive(d.a.sign(but(scope=scope)))

    def test_scope_wider_than_the_context(self):
        self.inactive(d.a.sign(but(scope=claims['scope'].replace(
            'one', 'one,three'))))
        self.active(d.a.sign(but(scope='3gpp#aef-a1:one;aef-a2:unknown')))

    def test_signature(self):
        parts = good.split('.')
        for i in range(3):
            bad = list(parts)
            bad[i] = changed(bad[i], len(bad[i]) // 2)
            self.inactive('.'.join(bad))
        self.inactive(d.b.sign(claims))
        self.inactive(d.b.sign(claims, kid=d.a.kid()))
        self.inactive(d.a.sign(claims, kid=None))
        self.inactive(d.a.sign(claims, kid='x'))

    def test_other_things_than_access_tokens(self):
        for typ in ('JWT', 'enrol+jwt', 'authorization-grant+jwt', None):
            self.inactive(d.a.sign(claims, typ))
        self.inactive(d.a.enrolment())
        for text in ('x', 'a.b.c', '..', 'x' * 9000):
            self.inactive(text)

    def test_claims_that_do_not_agree(self):
        self.inactive(d.a.sign(but(sub='inv-x')))
        self.inactive(d.a.sign(but(client_id='inv-x', sub='inv-x')))
        self.inactive(d.a.sign(but(ccfId=d.b.id)))
        self.inactive(d.a.sign(but(ccfId=None)))
        self.inactive(d.a.sign(but(invokerCcfId='ccf.domain-z.example')))
        self.inactive(d.a.sign(but(invokerCcfId=d.b.id)))

    def test_offboarded(self):
        who = d.a.onboard().negotiate('one')
        token = who.token()
        self.active(token)
        a = who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        self.assertEqual(a.status, 204, a)
        self.inactive(token)

    def test_certified_anew(self):
        who = d.a.onboard().negotiate('one')
        token = who.token()
        a = who.request('PATCH', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding, headers={
                            'Content-Type': 'application/merge-patch+json'},
                        body=json.dumps({'onboardingInformation': {
                            'apiInvokerPublicKey': make_csr(
                                make_key(who.dir + '/new.key'))}}))
        self.assertEqual(a.status, 200, a)
        self.inactive(token)

    def test_context_deleted(self):
        who = d.a.onboard().negotiate('one')
        token = who.token()
        self.assertEqual(who.request('DELETE', who.context).status, 204)
        self.inactive(token)
        who.negotiate('one')
        self.inactive(token)  # what is negotiated anew takes a new one
        self.active(who.token())

    def test_context_by_another_method(self):
        who = d.a.onboard().negotiate('one', 'far')
        token = who.token()
        found = who.discover()
        a = who.put(who.wish(found['one'], methods=['PKI']),
                    who.wish(found['far']))
        self.assertEqual(a.status, 201, a)
        self.inactive(token)
        self.active(token, home.a2)

    def test_context_without_one_of_the_apis(self):
        who = d.a.onboard().negotiate('one', 'two')
        both, first = who.token(), who.token('3gpp#aef-a1:one')
        who.negotiate('one')
        self.inactive(both)
        self.active(first)

    # ---- partners' invokers, at our AEFs ----

    def test_partners_token(self):
        token = one.token('3gpp#aef-b2:' + FAR)
        doc = self.active(token, away.aef)
        self.assertEqual(doc['ccfId'], d.a.id)
        self.assertNotIn('invokerCcfId', doc)

    def test_partners_token_at_its_own_aef_is_not_ours(self):
        """CCF-B does not know what A's tokens are worth in A."""
        self.inactive(good, away.aef)

    def test_exchanged_token(self):
        a = one.ask_token({'grant_type': 'client_credentials',
                           'client_id': one.id, 'resource': d.b.url})
        a = d.b.request('POST', '/oauth/token', one,
                        headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode({
                            'grant_type': JWT_BEARER,
                            'assertion': a.json()['access_token']}))
        self.assertEqual(a.status, 200, a)
        doc = self.active(a.json()['access_token'], away.aef)
        self.assertEqual((doc['ccfId'], doc['invokerCcfId']),
                         (d.b.id, d.a.id))

    def partners(self, **new):
        own = jws_parts(one.token('3gpp#aef-b2:' + FAR))[1]
        return dict(own, **new)

    def test_partner_signs_for_its_own_invokers_alone(self):
        theirs = d.b.onboard()
        self.active(d.a.sign(self.partners(invokerCcfId=d.a.id)), away.aef)
        for new in ({'invokerCcfId': d.b.id, 'client_id': theirs.id,
                     'sub': theirs.id}, {'invokerCcfId': d.b.id},
                    {'ccfId': d.b.id}, {'ccfId': d.b.id,
                                        'invokerCcfId': d.a.id}):
            self.inactive(d.a.sign(self.partners(**new)), away.aef)

    def test_partners_invoker_without_a_context_here(self):
        who = d.a.onboard().negotiate(FAR)
        token = who.token()
        self.active(token, away.aef)
        a = d.a.onboard()
        self.inactive(d.a.sign(self.partners(client_id=a.id, sub=a.id)),
                      away.aef)
        found = who.discover()
        self.assertEqual(who.put(who.wish(found[FAR], methods=['PKI'])
                                 ).status, 201)
        self.inactive(token, away.aef)

    # ---- the request ----

    def test_malformed(self):
        for body, kind in (('{"token":"x"}', 'application/json'), ('', FORM),
                           ('tokens=x', FORM), ('token=a&token=b', FORM)):
            a = home.a1.request('POST', '/oauth/introspect',
                                headers={'Content-Type': kind}, body=body)
            self.assertEqual(a.status, 400, a)
            self.assertEqual(a.json()['error'], 'invalid_request')


class Gateway(unittest.TestCase):
    """aefd with token-check = introspect."""

    @classmethod
    def setUpClass(cls):
        cls.undo = d.reconfigure(
            'aef-b', '[aef]\n', '[aef]\ntoken-check = introspect\n'
            'security-info-lifetime = 4\n')
        cls.who = d.a.onboard().negotiate(API)

    @classmethod
    def tearDownClass(cls):
        cls.undo()

    def asked(self, jti):
        return [x['active'] for x in d.log('ccf-b')
                if x.get('event') == 'token-introspected'
                and x.get('jti') == jti]

    def refused(self, a, status=401):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.error(), 'invalid_token')

    def test_each_token_is_asked_about_once_in_a_while(self):
        token = self.who.token()
        jti = jws_parts(token)[1]['jti']
        for _ in range(5):
            self.assertEqual(self.who.call(token).status, 200)
        self.assertEqual(self.asked(jti), ['yes'])
        end = time.monotonic() + 20
        while len(self.asked(jti)) < 2:  # after its time, in real time
            self.assertLess(time.monotonic(), end)
            self.assertEqual(self.who.call(token).status, 200)
            time.sleep(0.2)

    def test_inactive_is_kept_as_well(self):
        token = self.who.token()
        jti = jws_parts(token)[1]['jti']
        bad = token[:-2] + changed(token[-2:], 0)
        for _ in range(5):
            self.refused(self.who.call(bad))
        self.assertEqual(self.asked(jti), ['no'])
        self.assertEqual(self.who.call(token).status, 200)

    def test_certificate_is_checked_here_nevertheless(self):
        token = self.who.token()
        self.assertEqual(self.who.call(token).status, 200)
        other = d.a.onboard().negotiate(API)
        self.refused(d.call(token, other))
        self.refused(d.call(token, None))

    def test_what_is_wrong_here_is_not_asked(self):
        claims = dict(jws_parts(self.who.token())[1], jti='not-asked')
        for new in ({'aud': ['aef-b2']}, {'exp': int(time.time()) - 1},
                    {'cnf': {'x5t#S256': 'x'}}):
            self.refused(self.who.call(d.a.sign(dict(claims, **new))))
        self.assertEqual(self.asked('not-asked'), [])

    def test_own_invoker_certified_anew(self):
        """The key still verifies the token; the CCF knows better."""
        who = d.b.onboard().negotiate(API)
        token = who.token()
        self.assertEqual(who.call(token).status, 200)
        a = who.request('PATCH', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding, headers={
                            'Content-Type': 'application/merge-patch+json'},
                        body=json.dumps({'onboardingInformation': {
                            'apiInvokerPublicKey': make_csr(
                                make_key(who.dir + '/new.key'))}}))
        self.assertEqual(a.status, 200, a)
        end = time.monotonic() + 20
        while who.call(token).status != 401:
            self.assertLess(time.monotonic(), end)
            time.sleep(0.2)

    def test_exchanged_token(self):
        who = self.who
        a = who.ask_token({'grant_type': 'client_credentials',
                           'client_id': who.id, 'resource': d.b.url})
        a = d.b.request('POST', '/oauth/token', who,
                        headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode({
                            'grant_type': JWT_BEARER,
                            'assertion': a.json()['access_token']}))
        token = a.json()['access_token']
        self.assertEqual(who.call(token).status, 200)
        self.assertEqual(self.asked(jws_parts(token)[1]['jti']), ['yes'])

    def test_ccf_that_is_gone(self):
        who = self.who
        seen, unseen = who.token(), who.token()
        self.assertEqual(who.call(seen).status, 200)
        d.end('ccf-b')
        try:
            self.assertEqual(who.call(seen).status, 200)
            a = who.call(unseen)
            self.assertEqual(a.status, 503, a)
            self.assertTrue(a.headers['Retry-After'])
        finally:
            d.begin('ccf-b')
        self.assertEqual(who.call(unseen).status, 200)


if __name__ == '__main__':
    domains.main()
