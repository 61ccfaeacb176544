# SPDX-License-Identifier: Apache-2.0
"""The requirements of TR 23.722 6.3.2, one test each, at the edge between an
invoker and CAPIF: the CCF (CAPIF-1e) and the AEF (CAPIF-2e)."""

import socket
import ssl
import subprocess
import threading
import time
import unittest

import domains
import psk as P
from domains import API, DIED, PATH, Https

OTHER = '3gpp-as-session-with-qos'
SECRET = b'the-cell-of-somebody'
BEHIND = 'cell-7.internal.operator.example'


def setUpModule():
    global d, home, back, one, token, forged_ca
    d = domains.Domains()
    d.describe(domains.resource('/subscriptions.json'))
    d.add_api(OTHER)
    home = d.a.register(aef_in='in.domain-a.example',
                        aef_deep='deep.domain-a.example')
    back = domains.Backend(d)
    one = d.a.onboard().negotiate()
    token = one.token()
    forged_ca = domains.ForeignCa(d.extra + '/forged', 'CA of ' + d.b.id)


def tearDownModule():
    back.stop()
    d.stop()


class Wire:
    """A relay that sees all octets, and may change one of them."""

    def __init__(self, port, change=None):
        self.far, self.change = port, change
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.seen = {True: b'', False: b''}  # towards CAPIF, and from it
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        near = self.listener.accept()[0]
        far = socket.create_connection(('127.0.0.1', self.far))
        for pair in ((near, far, True), (far, near, False)):
            threading.Thread(target=self.copy, args=pair, daemon=True).start()

    def copy(self, source, sink, there):
        try:
            while data := source.recv(65536):
                self.seen[there] += data
                if self.change == there and self.armed:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction ended it

    armed = False


def ask(conn, path=PATH, text=None, method='GET', body=None):
    headers = {'Authorization': 'Bearer ' + text} if text else {}
    conn.request(method, path, body, headers)
    return domains.Answer(conn.getresponse())


def capif(command, *args):
    return subprocess.run(
        [domains.BUILD + '/tools/capif', command, '--dir', 'invoker', '--api',
         API, *args], cwd=d.dir, capture_output=True, text=True, timeout=30,
        check=False)


def by_wire(change=None):
    wire = Wire(d.service, change)
    conn = Https(d.aef_name, wire.port, d.b.ca, one)
    conn.connect()
    wire.armed = True
    return wire, conn


class Requirements(unittest.TestCase):
    def setUp(self):
        back.gives()

    def test_AR_6_3_2_a_topology_is_hidden(self):
        """By discovery, and by what comes through the AEF."""
        doc = home.describe('hidden', 'aef-in')
        deep = home.describe('hidden', 'aef-deep')['aefProfiles'][0]
        deep['interfaceDescriptions'][0]['fqdn'] = 'deep.domain-a.example'
        doc['aefProfiles'].append(deep)
        api_id = home.publish(doc).json()['apiId']
        self.assertIn('aef-deep', str(one.discover()['hidden']))
        a = home.amf.request(
            'PUT', '/capif-routing-info/v1/service-apis/%s?aef-id=aef-in'
            % api_id, body={'routingRules': [{'aefProfile': deep}]})
        self.assertEqual(a.status, 201, a)
        self.assertNotIn('deep', str(one.discover()['hidden']))

        for status in 200, 302, 404, 500:
            back.gives(status, [
                ('Server', BEHIND), ('Via', BEHIND), ('X-Cell', BEHIND),
                ('Location', 'http://%s/x' % BEHIND),
                ('Set-Cookie', 'at=' + BEHIND), ('Content-Type', 'text/html')],
                b'' if status == 200 else BEHIND.encode())
            a = one.call(token)
            self.assertNotIn(BEHIND, str(a.headers) + a.text())
            self.assertNotIn(str(d.backend), str(a.headers) + a.text())

    def test_AR_6_3_2_b_applications_are_authenticated(self):
        """At the CCF, and at the AEF by each of the methods."""
        self.assertEqual(d.a.request('GET', one.context).status, 401)
        self.assertEqual(one.call(None).status, 403)  # another method
        self.assertEqual(d.call(None, None).status, 401)
        self.assertEqual(d.call(None, forged_ca.issue(
            'URI:urn:capif:%s:invoker:%s' % (d.a.id, one.id))).status, 401)
        self.assertEqual(d.call(token[:-8] + 'AAAAAAAA', one).status, 401)
        self.assertEqual(d.call(token, None).status, 401)
        psk = P.ready(d.a.onboard())
        self.assertEqual(P.call(d, psk).status, 200)
        self.assertIsNone(P.call(d, psk, value='00' * 32).status)
        self.assertEqual([r.path for r in back.seen], [PATH[len(API) + 1:]])

    def test_AR_6_3_2_c_applications_are_authorized(self):
        """Who is known, but was not granted the API."""
        other = d.a.onboard()
        a = other.ask_token()
        self.assertEqual(a.json()['error'], 'unauthorized_client', a)
        self.assertEqual(d.call(None, other).status, 401)
        a = one.request('PUT', other.context, body={
            'securityInfo': [one.wish(one.discover()[API])],
            'supportedFeatures': '0',
            'notificationDestination': 'https://invoker.invalid/n'})
        self.assertEqual(a.status, 403, a)
        a = one.ask_token({'grant_type': 'client_credentials',
                           'client_id': one.id,
                           'scope': '3gpp#aef-b1:another-api'})
        self.assertEqual(a.json()['error'], 'invalid_scope', a)
        a = one.call(token, '/%s/v1/subscriptions.json' % OTHER)
        self.assertEqual(a.status, 403, a)
        self.assertIn('insufficient_scope', a.headers['WWW-Authenticate'])
        self.assertEqual(back.seen, [])

    def test_AR_6_3_2_d_authentication_is_mutual(self):
        """CAPIF sees who an invoker is, and an invoker who CAPIF is, by each
        of the methods."""
        forged = forged_ca.issue('URI:urn:capif:%s:invoker:%s' % (d.a.id,
                                                                  one.id))
        with self.assertRaises(DIED):
            d.a.request('GET', one.context, forged)
        self.assertEqual(d.call(None, forged).status, 401)
        for port, name, ca in ((d.a.port, d.a.id, d.b.ca),
                               (d.a.port, d.b.id, d.a.ca),
                               (d.service, d.aef_name, d.a.ca),
                               (d.service, d.b.id, d.b.ca),
                               (d.service, d.aef_name, forged_ca.crt)):
            with self.assertRaises(ssl.SSLCertVerificationError):
                Https(name, port, ca, one).connect()
        for port, name, ca in ((d.a.port, d.a.id, d.a.ca),
                               (d.service, d.aef_name, d.b.ca)):
            conn = Https(name, port, ca, one)
            conn.connect()
            conn.close()
        # With a PSK, the server shows that it has it.
        psk = P.ready(d.a.onboard())
        r = P.call(d, psk)
        self.assertEqual(r.status, 200, r)
        self.assertIn('no peer certificate available', r.tls)
        self.assertIn('Reused, TLSv1.3', r.tls)

    def test_AR_6_3_2_d_the_invoker_of_this_project_looks_too(self):
        """`capif` talks to nobody whose certificate does not verify."""
        for name, args in (('ccf-ca.pem', ('discover',)),
                           ('aef-ca.pem', ('call', PATH[len(API) + 1:]))):
            self.assertEqual(capif(*args).returncode, 0)
            path, n = d.dir + '/invoker/' + name, len(back.seen)
            good = domains.read(path)
            domains.write(path, domains.read(forged_ca.crt))
            done = capif(*args)
            domains.write(path, good)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn('certificate', done.stderr)
            self.assertEqual(len(back.seen), n)

    def test_AR_6_3_2_e_every_invocation_is_controlled(self):
        """On one connection, with one token: until it is taken back."""
        who = d.a.onboard().negotiate()
        text = who.token()
        conn = Https(d.aef_name, d.service, d.b.ca, who)
        for _ in range(3):
            self.assertEqual(ask(conn, text=text).status, 200)
            self.assertEqual(ask(conn).status, 403)
            self.assertEqual(ask(conn, '/other/v1', text).status, 404)
        self.assertEqual(len(back.seen), 3)
        a = who.request('DELETE', who.context)
        self.assertEqual(a.status, 204, a)
        end = time.monotonic() + 10
        while who.call(text).status == 200:  # domain B is being told
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        n = len(back.seen)
        try:
            self.assertEqual(ask(conn, text=text).status, 401)
        except DIED:
            pass  # it has been closed
        self.assertEqual(who.call(text).status, 401)
        self.assertEqual(len(back.seen), n)

    def test_AR_6_3_2_f_confidentiality(self):
        """Nobody on the way reads anything, and nothing goes without TLS."""
        back.gives(body=SECRET)
        wire, conn = by_wire()
        a = ask(conn, PATH + '?' + SECRET.decode(), token, 'POST', SECRET)
        self.assertEqual((a.status, a.body), (200, SECRET))
        conn.close()
        sent, came = wire.seen[True], wire.seen[False]
        self.assertTrue(len(sent) > 1000 and len(came) > 1000)
        for text in (SECRET, token.encode()[:40], b'Bearer', API.encode(),
                     one.id.encode(), b'HTTP/1.1'):
            self.assertNotIn(text, sent + came)
        for port in d.a.port, d.service, d.control:
            with socket.create_connection(('127.0.0.1', port), 20) as s:
                s.sendall(b'GET %s HTTP/1.1\r\nHost: x\r\n\r\n'
                          % PATH.encode())
                try:
                    self.assertNotIn(b'HTTP', s.recv(4096))
                except ConnectionError:
                    pass
            r = P.s_client(port, 'x', '-tls1_2', '-cipher', 'NULL:@SECLEVEL=0')
            self.assertIsNone(r.status)
            self.assertNotIn('BEGIN CERTIFICATE', r.text)

    def test_AR_6_3_2_g_integrity(self):
        """One bit that is changed on the way, either way, ends it."""
        wire, conn = by_wire()
        self.assertEqual(ask(conn, text=token).status, 200)
        conn.close()
        self.assertEqual(len(back.seen), 1)
        for there, reached in ((True, 1), (False, 2)):
            wire, conn = by_wire(there)
            with self.assertRaises(DIED):
                ask(conn, text=token)
            conn.close()
            self.assertEqual(len(back.seen), reached)
        self.assertEqual(one.call(token).status, 200)


if __name__ == '__main__':
    domains.main()
