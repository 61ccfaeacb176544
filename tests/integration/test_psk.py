# SPDX-License-Identifier: Apache-2.0
"""Security method 1 across the domains, against programs of others: design 6
and 10 (OQ-4, 9, 15, 16)."""

import json
import os
import re
import socket
import ssl
import struct

import domains
import psk as P
from domains import API, BUILD, PATH, run

OTHER = '3gpp-as-session-with-qos'
OTHER_PATH = '/' + OTHER + '/v1/subscriptions.json'


def setUpModule():
    global d, one, two
    d = P.Case.d = domains.Domains()
    d.add_api(OTHER)
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()


def flip(secret, bit=0):
    raw = bytearray(secret)
    raw[bit // 8] ^= 1 << bit % 8
    return raw.hex()


class Peers(P.Case):
    def test_openssl_with_what_the_invoker_of_quickstart_knows(self):
        """KEY and P1 of `capif`, and the PSK by Python's hmac."""
        who = d.known_invoker()
        capif = (BUILD + '/tools/capif',)
        for command in (('negotiate', '--methods', 'PSK'), ('psk',)):
            run(*capif, command[0], '--dir', 'invoker', '--api', API,
                *command[1:], cwd=d.dir)
        kept, context, own = (json.loads(domains.read(
            '%s/invoker/%s.json' % (d.dir, n)))
            for n in ('session', 'context', 'psk'))
        psk = P.Psk(context['securityInfo'][0], domains.unb64(kept['key']),
                    domains.unb64(kept['p1']))
        self.assertEqual(psk.info['binding'], kept['binding'])
        self.assertEqual(psk.value, domains.unb64(own['key']))
        self.assertEqual(psk.identity, own['identity'])
        P.initiate(who)
        self.works(psk)

    def test_openssl_with_a_session_of_python_over_tls_1_3(self):
        psk = P.ready(one)
        self.assertEqual(psk.info['binding'], 'tls13-exporter')
        self.works(psk)

    def test_openssl_with_a_session_of_python_over_tls_1_2(self):
        psk = P.ready(one, tls=ssl.TLSVersion.TLSv1_2)
        self.assertEqual(psk.info['binding'], 'tls12-master-secret')
        self.works(psk)

    def negotiate_by_s_client(self, *options):
        """(what s_client says, its key log, the context's entry)"""
        found = one.discover()
        body = json.dumps({
            'securityInfo': [one.wish(found[API], methods=['PSK'])],
            'supportedFeatures': '0',
            'notificationDestination': 'https://invoker.invalid/n'})
        request = ('PUT %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n'
                   'Content-Type: application/json\r\nContent-Length: %d\r\n'
                   '\r\n%s' % (one.context, d.a.id, len(body), body))
        keylog = d.extra + '/keylog'
        r = P.s_client(d.a.port, d.a.id, '-CAfile', d.a.ca,
                       '-verify_return_error', '-cert', one.crt, '-key',
                       one.key, '-keylogfile', keylog, *options,
                       request=request.encode())
        self.assertEqual(r.status, 201, r)
        text = domains.read(keylog)
        os.remove(keylog)
        return r.tls, text, r.json()['securityInfo'][0]

    def test_openssl_with_a_session_of_openssl_over_tls_1_3(self):
        said, keylog, entry = self.negotiate_by_s_client(
            '-tls1_3', '-keymatexport', 'EXPORTER-3GPP-TS33122-AEFPSK',
            '-keymatexportlen', '32')
        key, p1 = P.session_key(keylog, None)
        self.assertIn('Keying material: ' + key.hex().upper(), said)
        psk = P.Psk(entry, key, p1)
        self.assertEqual(psk.info['binding'], 'tls13-exporter')
        P.initiate(one)
        self.works(psk)

    def test_p1_is_the_channel_binding_that_openssl_exports(self):
        said, keylog, _ = self.negotiate_by_s_client(
            '-tls1_3', '-keymatexport', 'EXPORTER-Channel-Binding',
            '-keymatexportlen', '32')
        self.assertIn('Keying material: '
                      + P.session_key(keylog, None)[1].hex().upper(), said)

    def test_openssl_with_a_session_of_openssl_over_tls_1_2(self):
        said, keylog, entry = self.negotiate_by_s_client('-tls1_2')
        self.assertIn('Extended master secret: yes', said)
        p1 = bytes.fromhex(re.search(r'Session-ID: (\w+)', said).group(1))
        self.assertEqual(len(p1), 32)
        key = bytes.fromhex(re.search(r'Master-Key: (\w+)', said).group(1))
        self.assertEqual(P.session_key(keylog, p1), (key, p1))
        psk = P.Psk(entry, key, p1)
        self.assertEqual(psk.info['binding'], 'tls12-master-secret')
        P.initiate(one)
        self.works(psk)

    def test_tls_1_2_without_extended_master_secret(self):
        """RFC 7627: there, the master secret may be another session's, too."""
        no_extended_master_secret = 1  # ssl.h: SSL_OP_BIT(0)
        wish = one.wish(one.discover()[API], methods=['PSK'])
        for options, good in ((no_extended_master_secret, False), (0, True)):
            try:
                a = P.put_kept(one, [wish], ssl.TLSVersion.TLSv1_2,
                               options)[0]
                self.assertEqual(a.status == 201, good, a)
            except domains.DIED:
                self.assertFalse(good)

    def test_gnutls(self):
        for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            psk = P.ready(one, tls=tls)
            r = P.gnutls(d, psk)
            self.answered(r)
            self.assertIn('PSK authentication', r.tls)

    def test_chacha20_poly1305(self):
        r = self.works(P.ready(one), '-ciphersuites',
                       'TLS_CHACHA20_POLY1305_SHA256')
        self.assertIn('TLS_CHACHA20_POLY1305_SHA256', r.tls)

    def test_other_group_after_a_hello_retry_request(self):
        self.works(P.ready(one), '-groups', 'P-521:P-384')

    def test_interface_with_both_apis_each_with_its_own_psk(self):
        first, second = P.ready(one, API, OTHER)
        self.assertNotEqual(first.value, second.value)
        self.works(first)
        self.works(second, path=OTHER_PATH)

    def test_new_psk_works_while_the_old_one_does(self):
        old = P.ready(one)
        new = P.ready(one)
        self.assertNotEqual(old.identity, new.identity)
        self.assertNotEqual(old.value, new.value)
        for psk in (new, old, new):
            self.works(psk)

    def test_aef_that_was_restarted_fetches_the_psk_anew(self):
        psk = P.ready(one)
        d.restart('aef-b')
        self.refused(psk)
        P.initiate(one)
        self.works(psk)


class Refused(P.Case):
    @classmethod
    def setUpClass(cls):
        cls.psk, cls.others = P.ready(one), P.ready(two)

    def setUp(self):
        self.works(self.psk)

    def test_psk_with_one_bit_changed(self):
        for bit in (0, 7, 100, 255):
            self.refused(self.psk, value=flip(self.psk.value, bit))

    def test_psk_that_is_shorter_or_empty_of_entropy(self):
        for value in (self.psk.hex()[:-2], '00' * 32, '00'):
            self.refused(self.psk, value=value)

    def test_unknown_identity(self):
        ccf, invoker, psk_id = self.psk.identity.split('/')
        for identity in ('/'.join((ccf, invoker, 'psk-0123456789abcdef')),
                         '/'.join((ccf, 'inv-0123456789abcdef', psk_id)),
                         '/'.join((d.b.id, invoker, psk_id))):
            self.refused(self.psk, identity=identity)

    def test_identity_of_another_invoker(self):
        self.refused(self.psk, identity=self.others.identity)
        ccf, _, psk_id = self.psk.identity.split('/')
        self.refused(self.psk, identity='/'.join((ccf, two.id, psk_id)))

    def test_malformed_identity(self):
        good = self.psk.identity
        for identity in ('x', '/', '//', '///', good + '/', '/' + good,
                         good[:-1], good.replace('/', '//'), good.upper(),
                         good + ' ', 'x' * 127, '%s%n', '\u00e9/\u00e9/\u00e9',
                         '/'.join(good.split('/')[:2])):
            self.refused(self.psk, identity=identity)

    def test_gnutls_sees_the_same_alert(self):
        texts = set()
        for psk, value in ((self.psk, flip(self.psk.value)),
                           (self.others, self.psk.hex())):
            texts.add(re.search(r'Received alert \[(\d+)\]',
                                P.gnutls(d, psk, value).text).group(1))
        self.assertEqual(texts, {str(P.BAD_BINDER)})

    def test_refusals_are_alike_to_the_octet(self):
        """Wrong key, unknown identity, malformed one: the same octets."""
        seen = set()
        for kw in ({'value': flip(self.psk.value)}, {'identity': 'x'},
                   {'identity': self.others.identity},
                   {'identity': self.psk.identity[:-1] + '~'}):
            r = self.refused(self.psk, '-msg', **kw)
            seen.add(tuple(re.findall(r'<<<.*\n(?:    .*\n)+', r.text)))
        self.assertEqual(len(seen), 1, seen)
        self.assertIn('02 %02x' % P.BAD_BINDER, str(seen))

    def test_tls_1_2_psk(self):
        for cipher in ('PSK', 'ECDHE-PSK-CHACHA20-POLY1305',
                       'PSK-AES128-GCM-SHA256'):
            r = P.s_client(d.service, d.aef_name, '-tls1_2', '-cipher',
                           cipher, *P.psk_options(self.psk))
            self.assertEqual(r.alert, P.HANDSHAKE_FAILURE, r)

    def hello(self, *modes):
        """A ClientHello that can be answered by a PSK alone: it names no
        signature algorithms.  Its binder is of zeros."""
        def ext(kind, data):
            return struct.pack('>HH', kind, len(data)) + data
        identity = self.psk.identity.encode()
        share = bytes.fromhex('09' + '00' * 31)
        exts = b''.join((
            ext(43, b'\x02\x03\x04'), ext(10, b'\0\x02\0\x1d'),
            ext(51, struct.pack('>HHH', 36, 29, 32) + share),
            ext(45, bytes([len(modes), *modes])),
            ext(41, struct.pack('>HH', len(identity) + 6, len(identity))
                + identity + bytes(4) + b'\0\x21\x20' + bytes(32))))
        body = (b'\3\3' + os.urandom(32) + b'\0' + b'\0\x02\x13\x01'
                + b'\x01\0' + struct.pack('>H', len(exts)) + exts)
        with socket.create_connection(('127.0.0.1', d.service), 10) as s:
            s.sendall(b'\x16\3\1' + struct.pack('>H', len(body) + 4) + b'\x01'
                      + struct.pack('>I', len(body))[1:] + body)
            return s.recv(100)

    def test_psk_ke_alone(self):
        """psk_dhe_ke gets as far as the binder; psk_ke is no PSK at all."""
        def fatal(alert):
            return b'\x15\3\3\0\2\2' + bytes([alert])
        self.assertEqual(self.hello(1), fatal(P.BAD_BINDER))
        missing_extension = 109
        self.assertEqual(self.hello(0), fatal(missing_extension))
        self.assertEqual(self.hello(2), fatal(missing_extension))

    def test_psk_ke_alone_of_gnutls_authenticates_nobody(self):
        r = P.gnutls(d, self.psk, priority='NORMAL:-VERS-ALL:+VERS-TLS1.3:'
                     '-KX-ALL:+PSK', options=('--insecure',))
        self.assertNotIn('PSK authentication', r.tls)
        self.assertEqual(r.status, 401, r)

    def test_early_data_is_not_accepted(self):
        early = d.extra + '/early'
        with open(early, 'wb') as f:
            f.write(P.get(d.aef_name, PATH + '?early'))
        r = P.s_client(
            d.service, d.aef_name, '-tls1_3', '-psk_session',
            domains.write(d.extra + '/psk.pem', P.session_pem(self.psk)),
            '-psk_identity', self.psk.identity, '-early_data', early,
            request=P.get(d.aef_name, PATH))
        os.remove(d.extra + '/psk.pem')
        self.assertIn('Early data was rejected', r.tls)
        self.assertIn('Reused, TLSv1.3', r.tls)
        self.assertEqual(r.text.count('HTTP/1.1 '), 1)
        self.assertNotIn('?early', domains.read(d.dir + '/backend/log'))

    def test_no_ticket_to_resume_with(self):
        out = d.extra + '/ticket'
        self.works(self.psk, '-sess_out', out)
        if os.path.exists(out):
            r = P.s_client(d.service, d.aef_name, '-sess_in', out,
                           request=P.get(d.aef_name, PATH))
            self.assertNotEqual(r.status, 200, r)
            os.remove(out)

    def test_interface_that_the_psk_is_not_for(self):
        first, second = P.ready(two, API, OTHER)
        for psk, path in ((first, OTHER_PATH), (second, PATH),
                          (self.psk, OTHER_PATH)):
            r = P.call(d, psk, path=path)
            self.assertIn(r.status, (401, 403), r)
            self.assertNotIn('b-42', r.body)
        self.assertEqual(P.call(d, first, path='/none/x').status, 404)

    def test_interface_changes_within_one_connection(self):
        r = P.s_client(
            d.service, d.aef_name, '-tls1_3', *P.psk_options(self.psk),
            request=P.get(d.aef_name, PATH).replace(
                b'Connection: close\r\n', b'')
            + P.get(d.aef_name, OTHER_PATH))
        self.assertEqual(re.findall(r'HTTP/1.1 (\d+)', r.text)[:2],
                         ['200', '401'], r)


class Methods(P.Case):
    """What was selected is what must be used (OQ-16)."""

    def select(self, who, *methods):
        a = who.put(who.wish(who.discover()[API], methods=methods))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(a.json()['securityInfo'][0]['selSecurityMethod'],
                         methods[0])
        P.initiate(who)

    def test_token_or_certificate_where_psk_was_selected(self):
        who = d.a.onboard()
        self.select(who, 'OAUTH')
        token = who.token()
        self.assertEqual(who.call(token).status, 200)
        psk = P.ready(who)
        self.wrong_method(who.call(token), 'PSK')
        self.wrong_method(who.call(None), 'PSK')
        self.assertEqual(who.ask_token().status, 400)
        self.works(psk)

    def test_psk_or_certificate_where_oauth_was_selected(self):
        who = d.a.onboard()
        psk = P.ready(who)
        self.works(psk)
        self.select(who, 'OAUTH')
        self.wrong_method(P.call(d, psk), 'OAUTH')
        self.wrong_method(who.call(None), 'OAUTH')
        self.assertEqual(who.call(who.token()).status, 200)

    def test_psk_or_token_where_pki_was_selected(self):
        who = d.a.onboard()
        self.select(who, 'OAUTH')
        token = who.token()
        psk = P.ready(who)
        self.works(psk)
        self.select(who, 'PKI')
        self.wrong_method(P.call(d, psk), 'PKI')
        self.wrong_method(who.call(token), 'PKI')
        self.assertEqual(who.call(None).status, 200)

    def test_token_over_a_psk_connection_is_bound_to_a_certificate(self):
        who = d.a.onboard()
        psk = P.ready(who)
        self.select(who, 'OAUTH')
        r = P.call(d, psk, headers=[('Authorization',
                                     'Bearer ' + who.token())])
        self.assertEqual(r.status, 401, r)


class Secrets(P.Case):
    """The last class by its name, so that it runs last."""

    def test_no_secret_in_logs_or_stores(self):
        self.no_secret_in_files(40)


if __name__ == '__main__':
    domains.main()
