# SPDX-License-Identifier: Apache-2.0
"""What the AEF does with tokens: design 10, OQ-10, OQ-11 and OQ-17."""

import hashlib
import json
import time
import unittest

import domains
from domains import API, b64, changed, jws, jws_hmac, jws_parts, make_key

OTHER = '3gpp-as-session-with-qos'
OTHER_PATH = '/' + OTHER + '/v1/subscriptions.json'


def setUpModule():
    global d, one, two, good, head, claims, attacker, outside
    d = domains.Domains()
    d.add_api(OTHER)
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe('local')).status == 201
    one = d.a.onboard().negotiate(API, OTHER, 'local')
    two = d.a.onboard().negotiate()
    good = one.token('3gpp#aef-b1:' + API)
    head, claims = jws_parts(good)
    attacker = make_key(d.extra + '/attacker.key')
    outside = domains.ForeignCa(d.extra + '/outside')


def tearDownModule():
    d.stop()


def but(**new):
    """The good token's claims with others; None takes one away."""
    out = dict(claims, **new)
    return {k: v for k, v in out.items() if v is not None}


def header(**new):
    out = dict(head, **new)
    return {k: v for k, v in out.items() if v is not None}


def public_pem(key):
    return domains.run('openssl', 'pkey', '-in', key, '-pubout')


def jwk_of(key):
    raw = domains.run('openssl', 'pkey', '-in', key, '-pubout', '-outform',
                      'DER')[-64:]
    return {'kty': 'EC', 'crv': 'P-256', 'x': b64(raw[:32]),
            'y': b64(raw[32:])}


class Tokens(unittest.TestCase):
    def refused(self, token, who=None, status=401, error='invalid_token',
                **kw):
        a = d.call(token, who or one, **kw)
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.error(), error, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertEqual(a.json()['status'], status)
        self.assertTrue(a.json()['detail'])
        self.assertNotIn(b'b-42', a.body)
        return a

    def passes(self, token, who=None, **kw):
        a = d.call(token, who or one, **kw)
        self.assertEqual(a.status, 200, a)
        self.assertIn(b'b-42', a.body)

    # ---- what is right passes, so that what follows proves something ----

    def test_good_token_passes(self):
        self.passes(good)
        self.passes(two.token(), two)

    def test_token_made_by_hand_with_the_key_of_ccf_a_passes(self):
        self.passes(d.a.sign(claims))

    # ---- whose, and for what ----

    def test_token_of_another_invoker(self):
        self.refused(two.token(), one)
        self.refused(good, two)

    def test_token_of_another_invoker_that_claims_this_certificate(self):
        self.refused(d.a.sign(but(client_id=two.id, sub=two.id, iss=two.id)))

    def test_token_whose_sub_and_client_id_differ(self):
        self.refused(d.a.sign(but(sub=two.id)))

    def test_token_bound_to_another_certificate(self):
        cnf = jws_parts(two.token())[1]['cnf']
        self.refused(d.a.sign(but(cnf=cnf)))

    def test_token_bound_to_no_certificate(self):
        self.refused(d.a.sign(but(cnf=None)))

    def test_token_issued_for_another_aef(self):
        self.refused(one.token('3gpp#aef-a1:local'))

    def test_token_whose_audience_alone_is_another_aef(self):
        for aud in (['aef-b2'], 'aef-b2', [], None, ['aef-b'], ['aef-b11']):
            self.refused(d.a.sign(but(aud=aud)))

    def test_token_issued_for_another_api_of_this_aef(self):
        token = one.token('3gpp#aef-b1:' + OTHER)
        self.passes(token, path=OTHER_PATH)
        self.refused(token, status=403, error='insufficient_scope')

    def test_token_whose_scope_has_the_api_at_another_aef(self):
        for scope in ('3gpp#aef-b2:' + API, '3gpp#aef-b1:%sx' % API,
                      'aef-b1:' + API, None):
            self.refused(d.a.sign(but(scope=scope)), status=403,
                         error='insufficient_scope')

    def test_token_for_an_api_that_the_invoker_did_not_negotiate(self):
        scope = '3gpp#aef-b1:' + OTHER
        own = jws_parts(two.token())[1]
        a = d.call(d.a.sign(dict(own, scope=scope)), two, OTHER_PATH)
        self.assertEqual(a.status, 403, a)

    def test_token_of_an_invoker_that_negotiated_nothing(self):
        three = d.a.onboard()
        self.refused(d.a.sign(but(client_id=three.id, sub=three.id,
                                  cnf=None)), three)

    # ---- when ----

    def test_expired_token(self):
        undo = d.reconfigure('ccf-a', '[ccf]\n', '[ccf]\ntoken-lifetime = 2\n')
        try:
            token = one.token('3gpp#aef-b1:' + API)
        finally:
            undo()
        end = jws_parts(token)[1]['exp']
        # Real time must pass here: at most two seconds.
        time.sleep(max(0, end - time.time()) + 0.05)
        self.refused(token)

    def test_token_without_exp(self):
        for exp in (None, str(int(time.time()) + 60), 0):
            self.refused(d.a.sign(but(exp=exp)))

    def test_token_that_is_not_yet_valid(self):
        self.refused(d.a.sign(but(nbf=int(time.time()) + 300)))
        self.refused(d.a.sign(but(nbf='0')))

    # ---- by whom ----

    def changed_part(self, k):
        parts = good.split('.')
        for i in sorted({0, 1, 2, len(parts[k]) // 3, len(parts[k]) // 2,
                         len(parts[k]) * 3 // 4, len(parts[k]) - 2,
                         len(parts[k]) - 1}):
            bad = list(parts)
            bad[k] = changed(parts[k], i)
            self.assertNotEqual(bad, parts)
            self.refused('.'.join(bad))

    def test_changed_byte_in_the_header(self):
        self.changed_part(0)

    def test_changed_byte_in_the_claims(self):
        self.changed_part(1)

    def test_changed_byte_in_the_signature(self):
        self.changed_part(2)

    def test_claims_changed_to_other_good_ones(self):
        a, _, c = good.split('.')
        self.refused('.'.join((a, b64(but(exp=claims['exp'] + 1)), c)))

    def test_truncated_and_lengthened_tokens(self):
        a, b, c = good.split('.')
        for token in (a, a + '.' + b, a + '.' + b + '.', '..', '.' + b + '.',
                      good + 'AAAA', good + '.', good + '.' + c, good[:-1],
                      good + '=', 'x' * 9000):
            self.refused(token)

    def test_signed_by_ccf_b_but_claiming_ccf_a(self):
        self.refused(d.b.sign(claims))
        self.refused(d.b.sign(claims, kid=d.a.kid()))

    def test_signed_by_ccf_a_but_claiming_ccf_b(self):
        self.refused(d.a.sign(but(ccfId=d.b.id)))

    def test_claiming_a_ccf_that_nobody_knows(self):
        self.refused(d.a.sign(but(ccfId='ccf.domain-c.example')))
        self.refused(d.a.sign(but(ccfId=None)))

    def test_signed_by_an_unknown_key_with_the_kid_of_ccf_a(self):
        self.refused(jws(head, claims, attacker))

    def test_alg_none(self):
        for alg in ('none', 'None', 'NONE', ''):
            text = b64(header(alg=alg)) + '.' + b64(claims) + '.'
            self.refused(text)
            self.refused(text + good.split('.')[2])

    def test_no_alg(self):
        self.refused(b64(header(alg=None)) + '.' + '.'.join(
            good.split('.')[1:]))

    def test_alg_hs256_with_the_public_key_as_its_secret(self):
        jwks = domains.read(d.dir + '/ccf-a/jwks.json')
        key = json.loads(jwks)['keys'][0]
        raw = domains.unb64(key['x']) + domains.unb64(key['y'])
        spki = bytes.fromhex('3059301306072a8648ce3d020106082a8648ce3d0301070'
                             '3420004') + raw
        pem = domains.run('openssl', 'pkey', '-pubin', '-inform', 'DER',
                          stdin=spki)
        for secret in (pem, pem.strip(), spki, b'\x04' + raw, jwks.encode(),
                       json.dumps(key).encode(), b''):
            for alg in ('HS256', 'HS384', 'hs256'):
                self.refused(jws_hmac(header(alg=alg), claims, secret))

    def test_alg_that_is_not_the_keys(self):
        for alg in ('ES384', 'ES512', 'RS256', 'PS256', 'EdDSA', 'es256'):
            self.refused(d.a.sign(claims, alg=alg))

    def test_unknown_kid(self):
        self.refused(d.a.sign(claims, kid='AAAA'))
        self.refused(d.a.sign(claims, kid=head['kid'][:-1]))

    def test_no_kid(self):
        self.refused(d.a.sign(claims, kid=None))

    def test_header_with_jku(self):
        url = 'https://attacker.invalid/jwks.json'
        self.refused(jws(header(jku=url), claims, attacker))
        self.refused(d.a.sign(claims, jku=url))

    def test_header_with_jwk(self):
        jwk = jwk_of(attacker)
        self.refused(jws(header(jwk=jwk), claims, attacker))
        self.refused(jws(header(jwk=jwk, kid=None), claims, attacker))
        self.refused(d.a.sign(claims, jwk=jwk))

    def test_header_with_x5c(self):
        x5c = ''.join(domains.read(outside.crt).split('-----')[2].split())
        self.refused(jws(header(x5c=[x5c]), claims, outside.key))
        self.refused(d.a.sign(claims, x5c=[x5c]))
        self.refused(d.a.sign(claims, x5u='https://attacker.invalid/x.pem'))

    def test_header_with_crit(self):
        self.refused(d.a.sign(claims, crit=['exp']))
        self.refused(d.a.sign(claims, crit=['unknown'], unknown=1))

    def test_jws_of_ccf_a_that_is_no_access_token(self):
        self.refused(d.a.enrolment())
        self.refused(d.a.sign(claims, typ='enrol+jwt'))
        self.refused(d.a.sign(claims, typ=None))

    # ---- certificates ----

    def foreign(self, ca):
        return ca.issue('URI:urn:capif:%s:invoker:%s' % (d.a.id, one.id))

    def test_certificate_of_a_foreign_ca(self):
        self.refused(good, self.foreign(outside))

    def test_certificate_of_a_foreign_ca_with_the_name_of_ccf_a_s(self):
        same = domains.ForeignCa(d.extra + '/same', 'CA of ' + d.a.id)
        who = self.foreign(same)
        self.refused(good, who)
        cnf = b64(hashlib.sha256(
            domains.run('openssl', 'x509', '-in', who[0], '-outform', 'DER')
        ).digest())
        self.refused(d.a.sign(but(cnf={'x5t#S256': cnf})), who)

    def test_certificate_of_an_invoker_of_domain_b(self):
        self.refused(good, d.b.onboard())

    def test_no_certificate(self):
        a = d.call(good, None)
        self.assertEqual(a.status, 401, a)
        self.assertEqual(a.error(), 'invalid_token')

    # ---- no token ----

    def test_no_token(self):
        a = d.call(None, None)
        self.assertEqual(a.status, 401, a)
        self.assertEqual(a.headers['WWW-Authenticate'], 'Bearer')
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')

    def test_certificate_instead_of_the_token(self):
        """Design 10, OQ-16: it proves the invoker, by another method."""
        a = d.call(None, one)
        self.assertEqual(a.status, 403, a)
        self.assertEqual(a.json()['cause'], 'WRONG_SECURITY_METHOD')
        self.assertEqual(a.json()['detail'], 'OAUTH')

    def test_token_in_another_scheme_or_place(self):
        for who, status in ((None, 401), (one, 403)):
            for auth in ('Basic ' + good, good, 'Bearer', 'Bearer '):
                a = d.call(None, who, headers={'Authorization': auth})
                self.assertEqual(a.status, status, a)
            a = d.call(None, who, domains.PATH + '?access_token=' + good)
            self.assertEqual(a.status, status, a)

    def test_token_for_a_path_that_is_no_api(self):
        for path in ('/', '/none/x', '/' + API + 'x/y'):
            self.assertEqual(d.call(good, one, path).status, 404)

    def test_good_token_still_passes_after_all_that(self):
        self.passes(good)


if __name__ == '__main__':
    domains.main()
