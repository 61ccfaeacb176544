# SPDX-License-Identifier: Apache-2.0
"""Each numbered step of Solution #24's procedures, by itself: 6.24.2.1,
6.24.2.2.1 and 6.24.2.2.2.  What passes between the CCFs, and between the AEF
and its CCF, is watched."""

import json
import time
import unittest
import urllib.parse

import domains
import psk
from domains import API, DIED, FORM, VS, jws_parts
from test_authorization import ccf_certificate
from watch import Watch, change, second_certificate, thumbprint

TOKEN_API = 'token-api'
LOCAL = 'local-api'


def setUpModule():
    global d, one, home, backend, to_a, to_b, from_aef, as_b, as_aef
    d = domains.Domains()
    backend = domains.Backend(d)
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe(LOCAL)).status == 201
    d.add_api(TOKEN_API)
    as_a, as_b = (ccf_certificate(c, c.id) for c in (d.a, d.b))
    to_b = Watch(d.b, as_a, [d.a.ca])
    to_a = Watch(d.a, as_b, [d.b.ca])
    as_aef = second_certificate(d)
    from_aef = Watch(d.b, as_aef, [d.b.ca])
    for name, own, watch in (('ccf-a', d.b, to_b), ('ccf-b', d.a, to_a)):
        d.reconfigure(name, 'address = 127.0.0.1:%d' % own.port,
                      'address = 127.0.0.1:%d' % watch.port)
    d.reconfigure('aef-b', 'ccf-address = 127.0.0.1:%d' % d.b.port,
                  'ccf-address = 127.0.0.1:%d' % from_aef.port)
    one = d.a.onboard()


def tearDownModule():
    backend.stop()
    d.stop()
    for watch in to_a, to_b, from_aef:
        watch.stop()


def clear():
    for watch in to_a, to_b, from_aef:
        watch.clear()


def negotiated(method, who=None, name=API):
    """Somebody new, who has negotiated that; and the answer's entry."""
    who = who or d.a.onboard()
    a = who.put(who.wish(who.discover()[name], methods=[method]))
    assert a.status == 201, a
    clear()
    return who, a.json()['securityInfo'][0]


def initiate(who, **doc):
    return domains.https(
        d.aef_name, d.control, d.b.ca, 'POST',
        '/aef-security/v1/check-authentication', body={
            'apiInvokerId': who.id, 'supportedFeatures': '0',
            VS: {'srcCcfId': who.ccf.id}, **doc})


def info_of(entry, name='authenticationInfo'):
    return json.loads(entry[name])


def query_of(seen):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(seen.path).query))


class Negotiation_6_24_2_1(unittest.TestCase):
    def setUp(self):
        self.api = one.discover()[API]
        clear()

    def test_6_24_2_1_step_1_mutual_tls_of_invoker_and_ccf_a(self):
        who, conn = one, domains.Https(d.a.id, d.a.port, d.a.ca, one)
        conn.connect()
        names = [v for k, v in conn.sock.getpeercert()['subjectAltName']
                 if k == 'DNS']
        self.assertEqual(names, [d.a.id])
        conn.close()
        body = {'securityInfo': [who.wish(self.api)], 'supportedFeatures':
                '0', 'notificationDestination': 'https://invoker.invalid/n'}
        a = d.a.request('PUT', who.context, None, body=body)
        self.assertEqual(a.status, 401, a)
        stranger = domains.ForeignCa(d.extra + '/stranger').issue(
            'URI:urn:capif:%s:invoker:%s' % (d.a.id, who.id))
        with self.assertRaises(DIED):
            d.a.request('PUT', who.context, stranger, body=body)
        self.assertEqual(to_b.seen, [])

    def test_6_24_2_1_step_2_discovery_then_security_method_request(self):
        self.assertEqual(self.api['ccfId'], d.b.id)  # the CCF information
        self.assertEqual(self.api['aefProfiles'][0]['aefId'], 'aef-b1')
        wish = one.wish(self.api, methods=['QKD', 'PKI'])
        self.assertEqual(wish[VS]['ccfId'], d.b.id)
        a = one.put(wish)
        self.assertEqual(a.status, 201, a)
        entry = a.json()['securityInfo'][0]
        for name in ('aefId', 'apiId', 'prefSecurityMethods'):
            self.assertEqual(entry[name], wish[name])

    def test_6_24_2_1_step_3_ccf_a_finds_out_the_domain(self):
        found = one.discover()
        who = d.a.onboard()  # who has nothing that this would take back
        clear()
        self.assertEqual(who.put(who.wish(found[LOCAL])).status, 201)
        self.assertEqual(to_b.seen, [])
        without = one.wish(self.api)
        del without[VS]  # what was published says it, too
        for wish in one.wish(self.api), without:
            clear()
            self.assertEqual(one.put(wish).status, 201)
            self.assertEqual(len(to_b.seen), 1)
        clear()
        for ccf_id in d.a.id, 'ccf.domain-z.example':
            wish = one.wish(self.api)
            wish[VS] = {'ccfId': ccf_id}
            self.assertIn(one.put(wish).status, (400, 403))
        self.assertEqual(to_b.seen, [])

    def test_6_24_2_1_step_4_security_method_request_of_ccf_a_to_ccf_b(self):
        offered = ['PKI', 'OAUTH']
        one.put(one.wish(self.api, methods=offered))
        seen = to_b.one('PUT', '/capif-security/v1/trustedInvokers/')
        self.assertTrue(seen.path.endswith('/' + one.id))
        self.assertEqual(seen.peer, d.a.id)
        self.assertEqual(seen.sent['securityInfo'], [
            {'aefId': 'aef-b1', 'apiId': self.api['apiId'],
             'prefSecurityMethods': offered}])
        self.assertEqual(seen.sent[VS]['srcCcfId'], d.a.id)
        self.assertTrue(seen.sent['notificationDestination'].startswith(
            d.a.url))

    def test_6_24_2_1_step_5_ccf_b_selects_for_each_aef_and_api(self):
        provider = d.b.register(aef_b7='aef7.domain-b.example')
        doc = provider.describe('pki-alone', 'aef-b7', d.a.id)
        doc['aefProfiles'][0]['securityMethods'] = ['PKI']
        self.assertEqual(provider.publish(doc).status, 201)
        undo = [d.reconfigure(n, 'aefs = aef-b1\n', 'aefs = aef-b1, aef-b7\n')
                for n in ('ccf-a', 'ccf-b')]
        try:
            found = one.discover()
            clear()
            one.put(*(one.wish(found[n], methods=['OAUTH', 'PKI'])
                      for n in (API, 'pki-alone')))
            chosen = to_b.one('PUT', one.id).got['securityInfo']
            self.assertEqual([x['selSecurityMethod'] for x in chosen],
                             ['OAUTH', 'PKI'])
        finally:
            for u in undo:
                u()
        undo = d.reconfigure('ccf-b', '[ccf]\n',
                             '[ccf]\nsecurity-methods = PKI\n')
        try:
            clear()
            one.put(one.wish(self.api, methods=['OAUTH', 'PKI']))
            chosen = to_b.one('PUT', one.id).got['securityInfo']
            self.assertEqual([x['selSecurityMethod'] for x in chosen],
                             ['PKI'])
        finally:
            undo()

    def test_6_24_2_1_step_6_security_method_response_of_ccf_b(self):
        one.put(one.wish(self.api, methods=['OAUTH']))
        seen = to_b.one('PUT', one.id)
        self.assertEqual(seen.status, 201)
        entry = seen.got['securityInfo'][0]
        self.assertEqual(entry['aefId'], 'aef-b1')
        self.assertEqual(entry['selSecurityMethod'], 'OAUTH')
        self.assertEqual(info_of(entry)['clientAuth'], 'mutual')
        self.assertEqual(info_of(entry)['caCertificates'],
                         [domains.read(d.b.ca)])

    def test_6_24_2_1_step_7_security_method_response_to_the_invoker(self):
        a = one.put(one.wish(self.api, methods=['OAUTH']))
        self.assertEqual(a.status, 201)
        there = to_b.one('PUT', one.id).got['securityInfo'][0]
        here = a.json()['securityInfo'][0]
        for name in ('aefId', 'apiId', 'selSecurityMethod',
                     'authenticationInfo'):
            self.assertEqual(here[name], there[name])


class Methods_1_and_2_6_24_2_2_1(unittest.TestCase):
    def test_6_24_2_2_1_step_1_validity_timer_on_capif_1e(self):
        _, entry = negotiated('PSK')
        info = info_of(entry)
        self.assertEqual(info['expiresIn'], 3600)
        end = time.mktime(time.strptime(info['notAfter'],
                                        '%Y-%m-%dT%H:%M:%SZ')) - time.timezone
        self.assertLess(abs(end - time.time() - 3600), 60)

    def test_6_24_2_2_1_step_2_both_derive_the_key(self):
        """Here the invoker; that CCF-A has the same shows in steps 10, 11."""
        for args in (('negotiate', '--methods', 'PSK'), ('psk',)):
            domains.run(domains.BUILD + '/tools/capif', *args, '--dir',
                        'invoker', '--api', API, cwd=d.dir)
        state = {n: json.loads(domains.read('%s/invoker/%s.json' % (d.dir, n)))
                 for n in ('session', 'psk', 'context')}
        info = info_of(state['context']['securityInfo'][0])
        key, p1 = (domains.unb64(state['session'][n]) for n in ('key', 'p1'))
        self.assertEqual(
            psk.aefpsk(key, psk.p0_of(info['interface']), p1),
            domains.unb64(state['psk']['key']))
        self.assertEqual(state['psk']['identity'], '%s/%s/%s' % (
            d.a.id, d.known_invoker().id, info['pskId']))

    def test_6_24_2_2_1_step_3_authentication_initiation_request(self):
        who, _ = negotiated('PSK')
        self.assertEqual(initiate(who).status, 200)
        seen = from_aef.one('GET', '/trustedInvokers/' + who.id)
        self.assertEqual(query_of(seen)['vs-src-ccf-id'], d.a.id)
        clear()
        a = initiate(who, **{VS: {'srcCcfId': 'CCF'}})
        self.assertEqual(a.status, 400, a)
        for missing in ('apiInvokerId', 'supportedFeatures'):
            self.assertEqual(initiate(who, **{missing: None}).status, 400)
        self.assertEqual(from_aef.seen, [])

    def test_6_24_2_2_1_step_4_aef_asks_ccf_b_for_what_it_lacks(self):
        who, _ = negotiated('PKI')
        self.assertEqual(who.call(None).status, 200)
        seen = from_aef.one('GET', '/capif-security/v1/trustedInvokers/')
        self.assertIn('/' + who.id + '?', seen.path)
        self.assertEqual(query_of(seen), {
            'authenticationInfo': 'true', 'authorizationInfo': 'true',
            'vs-src-ccf-id': d.a.id})
        # The AEF's identity is its certificate's.
        self.assertEqual([x[VS]['aefId'] for x in seen.got['securityInfo']],
                         ['aef-b1'])
        clear()
        self.assertEqual(who.call(None).status, 200)
        self.assertEqual(from_aef.seen, [])  # it has it now

    def test_6_24_2_2_1_step_5_ccf_b_looks_at_what_it_has_stored(self):
        who = d.a.onboard()  # of domain A, but not negotiated for this AEF
        clear()
        self.assertEqual(initiate(who).status, 200)
        self.assertEqual(from_aef.one('GET', '/trustedInvokers/' + who.id).status, 404)
        self.assertEqual(to_a.seen, [])
        who, _ = negotiated('PKI')
        self.assertEqual(initiate(who).status, 200)
        self.assertEqual(len(to_a.seen), 1)

    def test_6_24_2_2_1_step_6_ccf_b_asks_ccf_a_about_the_method(self):
        for method in 'PSK', 'PKI':
            who, _ = negotiated(method)
            self.assertEqual(initiate(who).status, 200)
            seen = to_a.one('GET', '/capif-security/v1/trustedInvokers/'
                            + who.id)
            self.assertEqual(seen.peer, d.b.id)
            self.assertEqual(query_of(seen), {
                'authenticationInfo': 'true', 'vs-aef-id': 'aef-b1',
                'vs-sec-method': method})

    def test_6_24_2_2_1_step_6_ccf_b_asks_about_each_method(self):
        """What A does not confirm any more is not granted, whatever other
        method there is at the same AEF."""
        who = d.a.onboard()
        found = who.discover()
        a = who.put(who.wish(found[API], methods=['PSK']),
                    who.wish(found[TOKEN_API], methods=['PKI']))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(self.granted(who), {'PSK', 'PKI'})
        self.assertEqual([query_of(s)['vs-sec-method'] for s in to_a.seen],
                         ['PSK', 'PKI'])
        mine = json.dumps(dict(a.json(), securityInfo=a.json()[
            'securityInfo'][:1]))
        change(d, 'ccf-a', 'UPDATE context SET doc = ? WHERE invoker_id = ?',
               mine, who.id)
        self.assertEqual(self.granted(who), {'PSK'})
        change(d, 'ccf-a', 'DELETE FROM context WHERE invoker_id = ?', who.id)
        self.assertEqual(self.granted(who), None)

    def test_6_24_2_2_1_step_5_what_is_agreed_no_more_is_not_granted(self):
        who, _ = negotiated('OAUTH')
        self.assertEqual(self.granted(who), {'OAUTH'})
        for old, new in (('aefs = aef-b1', 'aefs = aef-b9'),
                         ('methods = PSK,PKI,OAUTH', 'methods = PSK,PKI')):
            undo = d.reconfigure('ccf-b', old, new)
            try:
                self.assertEqual(self.granted(who), None)
            finally:
                undo()
            self.assertEqual(self.granted(who), {'OAUTH'})
            undo = d.reconfigure('ccf-a', old, new)
            try:
                self.assertEqual(who.ask_token().json()['error'],
                                 'invalid_scope')
            finally:
                undo()
            self.assertEqual(who.ask_token().status, 200)

    def granted(self, who):
        """The methods that CCF-B tells its AEF of; None: 404."""
        clear()
        a = d.b.request('GET', '%s?authenticationInfo=true&vs-src-ccf-id=%s'
                        % (who.context, d.a.id), as_aef)
        if a.status == 404:
            return None
        self.assertEqual(a.status, 200, a)
        for x in a.json()['securityInfo']:
            self.assertEqual(info_of(x)['v'], 1)
        return {x['selSecurityMethod'] for x in a.json()['securityInfo']}

    def test_6_24_2_2_1_step_7_ccf_a_authorizes_ccf_b_and_the_aef(self):
        who, _ = negotiated('PSK')
        path = who.context + '?authenticationInfo=true&vs-aef-id=%s' \
            '&vs-sec-method=%s'
        ask = [d.a.request('GET', path % q, as_b).status for q in (
            ('aef-b1', 'PSK'), ('aef-b2', 'PSK'), ('aef-b1', 'OAUTH'),
            ('aef-b1', 'PKI'))]
        # agreed; no such AEF in the agreement; no such method; not selected
        self.assertEqual(ask, [200, 403, 403, 404])
        self.assertEqual(d.a.request('GET', path % ('aef-b1', 'PSK'),
                                     one).status, 403)
        undo = d.reconfigure('ccf-a', 'methods = PSK,PKI,OAUTH',
                             'methods = PKI,OAUTH')
        try:
            self.assertEqual(d.a.request('GET', path % ('aef-b1', 'PSK'),
                                         as_b).status, 403)
        finally:
            undo()

    def test_6_24_2_2_1_step_8_ccf_a_retrieves_by_invoker_and_method(self):
        who, entry = negotiated('PSK')
        initiate(who)
        got = to_a.one('GET', who.id).got['securityInfo'][0]
        envelope = jws_parts(info_of(got)['pskEnvelope'])[1]
        self.assertEqual(envelope['apiInvokerId'], who.id)
        self.assertEqual(envelope['pskId'], info_of(entry)['pskId'])
        self.assertEqual(envelope['aefId'], 'aef-b1')
        who, entry = negotiated('PKI')
        initiate(who)
        info = info_of(to_a.one('GET', who.id).got['securityInfo'][0])
        self.assertNotIn('pskEnvelope', info)
        root = domains.write(d.extra + '/root.pem', info['caCertificates'][0])
        self.assertEqual(info['caCertificates'][0], domains.read(d.a.ca))
        domains.run('openssl', 'verify', '-CAfile', root, who.crt)

    def test_6_24_2_2_1_step_9_the_information_reaches_the_aef(self):
        who, _ = negotiated('PSK')
        initiate(who)
        from_a = to_a.one('GET', who.id).got['securityInfo'][0]
        at_aef = from_aef.one('GET', '/trustedInvokers/' + who.id).got['securityInfo'][0]
        self.assertEqual(info_of(at_aef)['pskEnvelope'],
                         info_of(from_a)['pskEnvelope'])
        who, _ = negotiated('PKI')
        initiate(who)
        at_aef = from_aef.one('GET', '/trustedInvokers/' + who.id).got['securityInfo'][0]
        self.assertEqual(info_of(at_aef)['caCertificates'],
                         [domains.read(d.a.ca)])

    def test_6_24_2_2_1_step_10_authentication_initiation_response(self):
        who, _ = negotiated('PSK')
        a = initiate(who)
        self.assertEqual((a.status, a.json()), (200, {
            'supportedFeatures': '0'}))
        # not before it had it
        from_aef.one('GET', '/trustedInvokers/' + who.id)

    def test_6_24_2_2_1_step_11_mutual_authentication_and_tls(self):
        who = d.a.onboard()
        key = psk.negotiate(who)
        self.assertEqual(initiate(who).status, 200)
        reply = psk.call(d, key)
        self.assertEqual(reply.status, 200, reply)
        self.assertIn('b-42', reply.body)
        who, _ = negotiated('PKI')
        a = who.call(None)
        self.assertEqual(a.status, 200, a)
        self.assertEqual(d.call(None, None).status, 401)


class Method_3_6_24_2_2_2(unittest.TestCase):
    SCOPE = '3gpp#aef-b1:' + API

    @classmethod
    def setUpClass(cls):
        cls.who, cls.entry = negotiated('OAUTH')

    def form(self, **new):
        return {'grant_type': 'client_credentials', 'client_id': self.who.id,
                'scope': self.SCOPE, **new}

    def test_6_24_2_2_2_step_1_capif_1e(self):
        a = d.a.request('POST', self.who.token_path,
                        headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode(self.form()))
        self.assertEqual((a.status, a.json()['error']),
                         (401, 'invalid_client'))
        self.assertEqual(self.who.ask_token(self.form()).status, 200)

    def test_6_24_2_2_2_step_2_interconnect_token_request(self):
        clear()
        a = self.who.ask_token(self.form())
        self.assertEqual(a.json()['scope'], self.SCOPE)
        self.assertEqual(to_b.seen, [])  # a matter of CCF-A alone

    def test_6_24_2_2_2_step_3_verification_per_oauth_2(self):
        for new, status, error in (
                ({'grant_type': 'password'}, 400, 'unsupported_grant_type'),
                ({'client_id': one.id}, 401, 'invalid_client'),
                ({'scope': '3gpp#aef-b9:' + API}, 400, 'invalid_scope'),
                ({'scope': self.SCOPE + ',x'}, 400, 'invalid_scope'),
                ({'scope': 'x'}, 400, 'invalid_scope')):
            a = self.who.ask_token(self.form(**new))
            self.assertEqual((a.status, a.json()['error']), (status, error))
        a = d.a.onboard()
        self.assertEqual(a.ask_token().json()['error'], 'unauthorized_client')

    def test_6_24_2_2_2_step_4_security_token_of_the_invoker(self):
        a = self.who.ask_token(self.form())
        head, claims = jws_parts(a.json()['access_token'])
        self.assertEqual((head['typ'], head['kid']), ('at+jwt', d.a.kid()))
        self.assertEqual((claims['client_id'], claims['ccfId'],
                          claims['aud'], claims['scope']),
                         (self.who.id, d.a.id, ['aef-b1'], self.SCOPE))
        self.assertEqual(claims['cnf'], {'x5t#S256': thumbprint(
            self.who.crt)})
        self.assertEqual((a.json()['token_type'], a.json()['expires_in']),
                         ('Bearer', 600))

    def test_6_24_2_2_2_step_5_tls_as_the_negotiation_said(self):
        token = self.who.token()
        self.assertEqual(info_of(self.entry)['clientAuth'], 'mutual')
        self.assertEqual(self.who.call(token).status, 200)
        self.assertEqual(d.call(token, None).status, 401)
        undo = d.reconfigure('ccf-b', '[ccf]\n',
                             '[ccf]\noauth-client-auth = server\n')
        try:
            who, entry = negotiated('OAUTH')
            self.assertEqual(info_of(entry)['clientAuth'], 'server')
            self.assertEqual(d.call(who.token(), None).status, 200)
        finally:
            undo()

    def test_6_24_2_2_2_step_5a_authentication_initiation_request(self):
        clear()
        self.assertEqual(initiate(self.who).status, 200)
        self.assertIn('/' + self.who.id + '?',
                      from_aef.one('GET', 'trustedInvokers').path)

    def test_6_24_2_2_2_step_5b_security_information_from_ccf_b(self):
        clear()
        initiate(self.who)
        entry = from_aef.one('GET', '/trustedInvokers/' + self.who.id).got['securityInfo'][0]
        self.assertEqual(entry['selSecurityMethod'], 'OAUTH')
        self.assertEqual(info_of(entry)['caCertificates'],
                         [domains.read(d.a.ca)])
        self.assertEqual(to_a.seen, [])  # provisioned out of band

    def test_6_24_2_2_2_step_5c_authentication_initiation_response(self):
        clear()
        a = initiate(self.who)
        self.assertEqual((a.status, a.json()), (200, {
            'supportedFeatures': '0'}))
        from_aef.one('GET', '/trustedInvokers/' + self.who.id)

    def test_6_24_2_2_2_step_6_invocation_with_the_token(self):
        backend.gives()
        a = self.who.call(self.who.token())
        self.assertEqual(a.status, 200, a)
        a = self.who.call(None)
        self.assertEqual(a.status, 403, a)
        self.assertEqual(a.json()['cause'], 'WRONG_SECURITY_METHOD')
        self.assertEqual(len(backend.seen), 1)
        # What proved the invoker stays at the AEF.
        self.assertNotIn('Authorization', backend.seen[0].headers)

    def test_6_24_2_2_2_step_7_aef_verifies_with_what_ccf_b_has(self):
        clear()
        initiate(self.who)
        entry = from_aef.one('GET', '/trustedInvokers/' + self.who.id).got['securityInfo'][0]
        issuers = {i['ccfId']: i['jwks']
                   for i in info_of(entry, 'authorizationInfo')['issuers']}
        self.assertEqual(issuers[d.a.id], json.loads(domains.read(
            d.dir + '/ccf-a/jwks.json')))
        claims = jws_parts(self.who.token())[1]
        self.assertEqual(self.who.call(d.a.sign(claims)).status, 200)
        self.assertEqual(self.who.call(d.b.sign(claims)).status, 401)
        narrow = dict(claims, scope='3gpp#aef-b1:' + TOKEN_API)
        self.assertEqual(self.who.call(d.a.sign(narrow)).status, 403)

    def test_6_24_2_2_2_step_7_or_ccf_b_verifies(self):
        undo = d.reconfigure('aef-b', '[aef]\n',
                             '[aef]\ntoken-check = introspect\n')
        try:
            clear()
            token = self.who.token()
            self.assertEqual(self.who.call(token).status, 200)
            seen = from_aef.one('POST', '/oauth/introspect')
            self.assertTrue(seen.got['active'])
            self.assertEqual(seen.got['jti'], jws_parts(token)[1]['jti'])
        finally:
            undo()

    def test_6_24_2_2_2_step_7_or_ccf_b_gives_a_token_in_exchange(self):
        a = self.who.ask_token(self.form(resource=d.b.url))
        a = d.b.request('POST', '/oauth/token', self.who,
                        headers={'Content-Type': FORM},
                        body=urllib.parse.urlencode({
                            'grant_type': 'urn:ietf:params:oauth:grant-type:'
                            'jwt-bearer', 'assertion':
                            a.json()['access_token']}))
        self.assertEqual(a.status, 200, a)
        self.assertEqual(jws_parts(a.json()['access_token'])[0]['kid'],
                         d.b.kid())
        self.assertEqual(self.who.call(a.json()['access_token']).status, 200)

    def test_6_24_2_2_2_step_8_the_api_is_invoked(self):
        backend.gives(body=b'{"step":8}')
        a = self.who.call(self.who.token())
        self.assertEqual((a.status, a.json()), (200, {'step': 8}))
        seen = backend.seen[0]
        self.assertEqual(seen.path, domains.PATH[len(API) + 1:])
        self.assertEqual(seen.headers['CAPIF-API-Invoker'],
                         '%s/%s' % (d.a.id, self.who.id))
        backend.gives()
        self.assertEqual(d.call(self.who.token(), one).status, 401)
        self.assertEqual(backend.seen, [])


if __name__ == '__main__':
    domains.main()
