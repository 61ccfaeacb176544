# SPDX-License-Identifier: Apache-2.0
"""PSK envelopes (design 7): what CCF-A gives to CCF-B, and what a CCF-B that
lies can do with it."""

import http.server
import json
import re
import socket
import ssl
import threading
import time

import domains
import psk as P
from domains import API, BUILD, PATH, VS, run

OTHER = '3gpp-as-session-with-qos'


def setUpModule():
    global d, one, two, home
    d = P.Case.d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe('local')).status == 201
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()


class FakeCcf:
    """CCF-B, played by Python in the real one's place: a certificate of
    domain B's CA, and for each invoker the document that a test gives."""

    def __init__(self):
        self.docs = {}
        base = d.extra + '/fake-ccf'
        key = domains.make_key(base + '.key')
        domains.write(base + '.csr', domains.make_csr(key))
        domains.write(base + '.ext', 'subjectAltName=DNS:%s\n' % d.b.id)
        run('openssl', 'x509', '-req', '-in', base + '.csr', '-CA', d.b.ca,
            '-CAkey', 'pkcs11:object=ca;type=private', '-days', '2',
            '-extfile', base + '.ext', '-out', base + '.crt',
            env=d.env('ccf-b'))
        d.end('ccf-b')
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(base + '.crt', key)
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                who = self.path.split('/')[-1].split('?')[0]
                body = json.dumps(this.docs.get(who, {})).encode()
                self.send_response(200 if who in this.docs else 404)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass

        self.server = Server(('127.0.0.1', d.b.port), Handler)
        self.server.socket = tls.wrap_socket(self.server.socket,
                                             server_side=True)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        d.begin('ccf-b')


def envelope_in(doc):
    return json.loads(doc['securityInfo'][0]['authenticationInfo'])[
        'pskEnvelope']


def with_envelope(doc, envelope, **vs):
    doc = json.loads(json.dumps(doc))
    entry = doc['securityInfo'][0]
    info = json.loads(entry['authenticationInfo'])
    info['pskEnvelope'] = envelope
    entry['authenticationInfo'] = json.dumps(info)
    entry[VS].update(vs)
    return doc


class Envelope(P.Case):
    """CCF-B passes it on, and can do nothing else with it."""

    @classmethod
    def setUpClass(cls):
        cls.who, cls.other = d.a.onboard(), d.a.onboard()
        cls.psks = [P.negotiate(w) for w in (cls.who, cls.other)]
        cls.docs = [P.info_as_aef(d, w) for w in (cls.who, cls.other)]
        cls.aef2 = SecondAef()
        cls.fake = FakeCcf()

    @classmethod
    def tearDownClass(cls):
        cls.fake.stop()
        cls.aef2.stop()

    def setUp(self):
        for r in self.docs:
            self.assertEqual(r.status, 200, r)
        self.psk, self.doc = self.psks[0], self.docs[0].json()
        self.envelope = envelope_in(self.doc)
        self.head, self.claims = domains.jws_parts(self.envelope)

    def give(self, envelope, who=None, **vs):
        """To aef-b1; returns what it logs of it."""
        who = who or self.who
        seen = len(P.log(d))
        self.fake.docs[who.id] = with_envelope(self.doc, envelope, **vs)
        P.initiate(who)
        return re.findall(r'event=psk-\w+ .*',
                          P.log_with(d, 'event=check-auth', 'aef-b', seen))

    def not_taken(self, envelope, why, who=None, psk=None):
        events = self.give(envelope, who)
        self.assertEqual(len(events), 1, events)
        self.assertIn('psk-refused', events[0])
        self.assertIn(why, events[0])
        self.refused(psk or self.psk)

    def forged(self, **new):
        """The claims as CCF-A would sign them if it said so."""
        claims = dict(self.claims, **new)
        return d.a.sign({k: v for k, v in claims.items() if v is not None},
                        typ='psk-envelope+jwt')

    def test_jose_verifies_that_ccf_a_signed_it(self):
        out = run('jose', 'jws', 'ver', '--input=-', '--detach=-', '--key='
                  + d.dir + '/ccf-a/jwks.json', stdin=self.envelope.encode())
        claims = json.loads(out)
        self.assertEqual(set(claims), {
            'ccfId', 'apiInvokerId', 'aefId', 'interface', 'pskId', 'iat',
            'exp', 'wrap'})
        self.assertEqual(set(claims['wrap']), {'alg', 'kid', 'ek'})
        self.assertEqual(
            (claims['ccfId'], claims['apiInvokerId'], claims['aefId'],
             claims['interface']),
            (d.a.id, self.who.id, 'aef-b1', self.psk.info['interface']))
        self.assertEqual('/'.join((claims['ccfId'], claims['apiInvokerId'],
                                   claims['pskId'])), self.psk.identity)
        self.assertEqual(self.head['typ'], 'psk-envelope+jwt')
        with self.assertRaises(AssertionError):
            run('jose', 'jws', 'ver', '--input=-', '--detach=-', '--key='
                + d.dir + '/ccf-b/jwks.json', stdin=self.envelope.encode())

    def test_it_holds_no_key(self):
        texts = [self.docs[0].text.encode(), json.dumps(self.claims).encode(),
                 domains.unb64(self.claims['wrap']['ek'])]
        for secret in P.Psk.seen:
            for form in P.forms(secret):
                for text in texts:
                    self.assertNotIn(form, text)

    def test_ccf_b_changes_a_claim(self):
        head, body, sig = self.envelope.split('.')
        iface = dict(self.claims['interface'], apiPrefix='/' + OTHER)
        for name, value in (('apiInvokerId', self.other.id),
                            ('aefId', 'aef-b2'), ('interface', iface),
                            ('exp', self.claims['exp'] + 1),
                            ('iat', self.claims['iat'] + 1),
                            ('pskId', 'psk-0123456789abcdef'),
                            ('ccfId', d.b.id),
                            ('wrap', dict(self.claims['wrap'], ek='AAAA'))):
            with self.subTest(name):
                changed = domains.b64(dict(self.claims, **{name: value}))
                self.not_taken('.'.join((head, changed, sig)),
                               'signature does not hold')

    def test_ccf_b_changes_the_signature(self):
        head, body, sig = self.envelope.split('.')
        for bad in (domains.changed(sig, 0), domains.changed(sig, 50),
                    domains.b64(bytes(64)), sig[:-2]):
            self.not_taken('.'.join((head, body, bad)), '"')

    def test_ccf_b_signs_it_itself(self):
        mine = domains.make_key(d.extra + '/mine.key')
        for claims in (self.claims, dict(self.claims, ccfId=d.b.id)):
            for kid in (self.head['kid'], d.b.kid()):
                for key, env in ((mine, None),
                                 ('pkcs11:object=jws;type=private',
                                  d.env('ccf-b'))):
                    self.not_taken(domains.jws(dict(self.head, kid=kid),
                                               claims, key, env),
                                   'signature does not hold')

    def test_ccf_b_says_that_its_own_key_is_ccf_a_s(self):
        """Of a partner's keys, the AEF has its own knowledge."""
        mine = domains.make_key(d.extra + '/mine2.key')
        raw = run('openssl', 'pkey', '-in', mine, '-pubout', '-outform',
                  'DER')[-64:]
        jwk = {'kty': 'EC', 'crv': 'P-256', 'kid': 'mine', 'alg': 'ES256',
               'x': domains.b64(raw[:32]), 'y': domains.b64(raw[32:])}
        good = self.doc
        doc = json.loads(json.dumps(good))
        doc['securityInfo'][0]['authorizationInfo'] = json.dumps(
            {'v': 1, 'issuers': [{'ccfId': d.a.id, 'jwks': {'keys': [jwk]}}]})
        self.doc = doc
        try:
            for claims in (self.claims, dict(
                    self.claims, exp=self.claims['exp'] + 9999)):
                self.not_taken(domains.jws(dict(self.head, kid='mine'),
                                           claims, mine),
                               'signature does not hold')
        finally:
            self.doc = good

    def test_no_or_another_algorithm(self):
        none = domains.b64({'alg': 'none', 'typ': 'psk-envelope+jwt'})
        self.not_taken('.'.join((none, domains.b64(self.claims), '')), '"')
        self.not_taken(domains.jws_hmac(dict(self.head, alg='HS256'),
                                        self.claims, b'x' * 32), '"')

    def test_jws_of_ccf_a_that_is_no_envelope(self):
        for typ in ('at+jwt', 'JWT', None):
            self.not_taken(d.a.sign(self.claims, typ=typ), 'signature')

    def test_replay_for_another_invoker(self):
        self.not_taken(self.envelope, 'for another invoker', self.other,
                       self.psks[1])
        self.refused(self.psks[0])

    def test_what_only_ccf_a_could_say(self):
        """Each check by itself: the signature holds."""
        iface = self.claims['interface']
        wrap = self.claims['wrap']
        ek = bytearray(domains.unb64(wrap['ek']))
        ek[0] ^= 1
        for why, new in (
                ('for another invoker', {'apiInvokerId': self.other.id}),
                ('for another AEF', {'aefId': 'aef-b2'}),
                ('for another interface',
                 {'interface': dict(iface, port=iface['port'] + 1)}),
                ('for another interface',
                 {'interface': dict(iface, apiPrefix='/x')}),
                ('for another interface',
                 {'interface': dict(iface, fqdn='x.example')}),
                ('for another interface', {'interface': None}),
                ('expired', {'exp': int(time.time()) - 1}),
                ('malformed', {'exp': None}),
                ('malformed', {'pskId': '../x'}),
                ('malformed', {'wrap': None}),
                ('unknown algorithm', {'wrap': dict(wrap, alg='RSA1_5')}),
                ('unwrapped', {'wrap': dict(wrap, ek=domains.b64(
                    bytes(ek)))}),
                ('unwrapped', {'wrap': dict(wrap, ek='AAAA')})):
            with self.subTest(new=new):
                self.not_taken(self.forged(**new), why)

    def test_second_aef_refuses_it_and_can_not_unwrap_it(self):
        aef2 = self.aef2
        aef2.give(self.fake, self.who, self.doc, self.envelope)
        self.assertIn('for another AEF', aef2.said())
        aef2.give(self.fake, self.who, self.doc, self.forged(
            aefId='aef-b2', interface=aef2.interface))
        self.assertIn("it can't be unwrapped", aef2.said())
        self.assertNotIn('psk-taken', P.log(d, 'aef-b2'))
        r = P.s_client(aef2.service, aef2.name, '-tls1_3',
                       *P.psk_options(self.psk),
                       request=P.get(aef2.name, PATH))
        self.assertEqual(r.alert, P.BAD_BINDER, r)

    def test_the_good_one_is_taken_after_all_that(self):
        events = self.give(self.envelope)
        self.assertIn('psk-taken', events[0])
        self.works(self.psk)
        self.assertEqual(self.give(self.envelope), [])  # not twice
        self.works(self.psk)


class SecondAef:
    """aef-b2 of domain B, with a token, keys and an aefd of its own; to be
    registered while the real CCF-B is there."""

    def __init__(self):
        self.dir, self.name = d.dir + '/aef-b2', 'aef2.domain-b.example'
        self.conf = self.dir + '/aef-b2.cnf'
        self.control, self.service = d.base, self.free_port()
        d.make_token('aef-b2')
        text = domains.read(d.dir + '/aef-b/aef-b.cnf')
        for old, new in (('/aef-b/', '/aef-b2/'),
                         ('token=aef-b', 'token=aef-b2'),
                         ('aef-id = aef-b1', 'aef-id = aef-b2'),
                         (d.aef_name, self.name),
                         (':%d' % d.control, ':%d' % self.control),
                         (':%d' % d.service, ':%d' % self.service),
                         ('service-port = %d' % d.service,
                          'service-port = %d' % self.service)):
            self.assert_in(old, text)
            text = text.replace(old, new)
        before, _, after = text.partition('[provider]')
        domains.write(self.conf, before + after[after.index('[api'):])
        doc = json.loads(domains.read(d.dir + '/aef-b/api.json'))
        doc['aefProfiles'][0]['aefId'] = 'aef-b2'
        domains.write(self.dir + '/api.json', json.dumps(doc))
        env = d.env('aef-b2')
        run(BUILD + '/tools/capif-hsm', 'keygen', 'pkcs11:object=aef',
            env=env)
        run(BUILD + '/tools/capif-hsm', 'keygen', '--type', 'transport',
            'pkcs11:object=transport', env=env)
        domains.write(self.dir + '/enrolment', d.b.enrolment(
            'provider', '--aef', 'aef-b2=' + self.name))
        run(BUILD + '/tools/capif', 'register', '--dir', 'aef-b2', '--ccf',
            d.b.url, *d.b.connect, '--ca', d.b.ca, '--enrolment',
            'aef-b2/enrolment', 'AEF=pkcs11:object=aef',
            'TRANSPORT=pkcs11:object=transport', env=env, cwd=d.dir)
        self.interface = {'fqdn': self.name, 'port': self.service,
                          'apiPrefix': '/' + API}
        d.begin('aef-b2')

    @staticmethod
    def assert_in(old, text):
        assert old in text, old

    @staticmethod
    def free_port():
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            return s.getsockname()[1]

    def give(self, fake, who, doc, envelope):
        self.seen = len(P.log(d, 'aef-b2'))
        fake.docs[who.id] = with_envelope(doc, envelope, aefId='aef-b2')
        P.initiate(who, self.control, self.name)

    def said(self):
        return P.log_with(d, 'event=check-auth', 'aef-b2', self.seen)

    def stop(self):
        d.end('aef-b2')


class Agreement(P.Case):
    """What CCF-A hands to CCF-B."""

    def no(self, r, status):
        self.assertEqual(r.status, status, r)
        self.assertNotIn('pskEnvelope', r.text)

    def test_envelope_for_an_aef_that_the_agreement_does_not_name(self):
        P.negotiate(one)
        self.assertEqual(P.info_as_ccf_b(d, one).status, 200)
        for aef in ('aef-b2', 'aef-a1', 'aef-b', 'aef-b1,', '', None):
            self.no(P.info_as_ccf_b(d, one, vs_aef_id=aef), 403)

    def test_context_without_a_psk(self):
        for method in ('OAUTH', 'PKI'):
            one.put(one.wish(one.discover()[API], methods=[method]))
            self.no(P.info_as_ccf_b(d, one), 404)
        self.no(P.info_as_ccf_b(d, d.a.onboard()), 404)

    def test_own_apis_and_unknown_invokers_are_not_a_partner_s_business(self):
        one.put(one.wish(one.discover()['local'], methods=['OAUTH']))
        self.no(P.info_as_ccf_b(d, one), 404)
        self.no(P.info_as_ccf_b(d, one, vs_aef_id='aef-a1'), 403)
        other = d.b.onboard()
        self.no(P.info_as_ccf_b(d, other), 404)

    def test_partner_can_not_ask_for_another_domain_s_invoker(self):
        P.negotiate(one)
        r = P.info_as_ccf_b(d, one, vs_src_ccf_id=d.b.id)
        if r.status == 200:  # the parameter is not a partner's
            self.assertIn(one.id, json.dumps(domains.jws_parts(
                envelope_in(r.json()))[1]))

    def test_agreement_without_psk(self):
        P.negotiate(one)
        undo = d.reconfigure('ccf-a', 'methods = PSK,PKI,OAUTH',
                             'methods = PKI,OAUTH')
        try:
            self.no(P.info_as_ccf_b(d, one), 403)
            a = one.put(one.wish(one.discover()[API], methods=['PSK']))
            self.assertGreaterEqual(a.status, 400, a)
        finally:
            undo()
        self.assertEqual(P.info_as_ccf_b(d, one).status, 200)

    def test_agreement_without_a_transport_key(self):
        P.negotiate(one)
        undo = d.reconfigure('ccf-a', 'transport = ', '# transport = ')
        try:
            self.no(P.info_as_ccf_b(d, one), 403)
        finally:
            undo()

    def test_others_get_nothing(self):
        P.negotiate(one)
        path = one.context + '?authenticationInfo=true&vs-aef-id=aef-b1'
        for who in (one, two, home.apf, home.amf):
            self.assertEqual(d.a.request('GET', path, who).status, 403)
        self.assertEqual(home.aef.request('GET', path).status, 404)
        self.assertEqual(d.a.request('GET', path).status, 401)


class Secrets(P.Case):
    """The last class by its name, so that it runs last."""

    def test_no_secret_in_logs_or_stores(self):
        self.no_secret_in_files(8)


if __name__ == '__main__':
    domains.main()
