# SPDX-License-Identifier: Apache-2.0
"""HTTP as it must not be understood in two ways (RFC 9112), at a CCF and at
an AEF, which also passes bodies on as they come."""

import hashlib
import os
import socket
import ssl
import threading
import time

import domains
from domains import API, DIED, PATH
from owners import Case

MEG = 1 << 20
JWKS = '/.well-known/jwks.json'


def setUpModule():
    global d, one, token, back
    d = domains.Domains()
    d.reconfigure('aef-b', '[aef]\n', '[aef]\nbody-max = %d\n' % (64 * MEG))
    d.describe(domains.resource('/subscriptions.json'))
    one = d.a.onboard().negotiate()
    token = one.token()
    back = domains.Backend(d)


def tearDownModule():
    back.stop()
    d.stop()


class Raw:
    """A connection on which anything can be said."""

    def __init__(self, at='ccf'):
        ctx = ssl.create_default_context(
            cafile=d.a.ca if at == 'ccf' else d.b.ca)
        if at != 'ccf':
            ctx.load_cert_chain(one.crt, one.key)
        self.name, port = ((d.a.id, d.a.port) if at == 'ccf'
                           else (d.aef_name, d.service))
        self.sock = ctx.wrap_socket(socket.create_connection(
            ('127.0.0.1', port), 10), server_hostname=self.name)
        self.buf = b''

    def say(self, text):
        self.sock.sendall(text if isinstance(text, bytes) else text.encode())

    def line(self):
        while b'\r\n' not in self.buf:
            more = self.sock.recv(65536)
            assert more, self.buf
            self.buf += more
        line, self.buf = self.buf.split(b'\r\n', 1)
        return line.decode()

    def answer(self, head=False):
        """(status, fields) of the next one, whose body is read."""
        status = int(self.line().split(' ')[1])
        fields = {}
        while line := self.line():
            name, value = line.split(': ', 1)
            fields[name.lower()] = value
        left = 0 if head else int(fields.get('content-length', 0))
        while len(self.buf) < left:
            self.buf += self.sock.recv(65536)
        self.buf = self.buf[left:]
        return status, fields

    def ended(self):
        """Nothing more, and an end that TLS knows of."""
        self.sock.settimeout(10)
        return self.buf == b'' and self.sock.recv(1) == b''


# A route that nobody may use without a certificate.
MEMBERS = 'POST /capif-security/v1/trustedInvokers/x/delete HTTP/1.1'


def head(*fields, line='GET %s HTTP/1.1' % JWKS, host=True):
    return '\r\n'.join([line] + (['Host: x'] if host else []) + list(fields)
                       + ['', ''])


class Heads(Case):
    def test_what_is_refused_ends_the_connection(self):
        chunked = 'Transfer-Encoding: chunked'
        for text, status in (
                (head(host=False), 400), (head('Host: y'), 400),
                (head(' folded'), 400), (head('X : y'), 400),
                (head('X: y\x00'), 400), (head('X: y\rZ: z'), 400),
                (head().replace('\r\n', '\n') + '\r\n\r\n', 400),
                (head('Content-Length: 1', 'Content-Length: 1'), 400),
                (head('Content-Length: 1', chunked), 400),
                (head('Content-Length: +1'), 400),
                (head('Transfer-Encoding: gzip, chunked'), 501),
                (head('Transfer-Encoding: xchunked'), 501),
                (head(line='GET /a b HTTP/1.1'), 400),
                (head(line='GET / HTTP/2.0'), 505),
                (head(line='get'), 400), (head('Expect: x'), 417),
                (head('X: ' + 20000 * 'x'), 431),
                (head(*101 * ['X: y']), 431)):
            for at in 'ccf', 'aef':
                with self.subTest(text=text[:60], at=at):
                    c = Raw(at)
                    c.say(text)
                    got, fields = c.answer()
                    self.assertEqual(got, status)
                    self.assertEqual(fields['connection'], 'close')
                    self.assertTrue(c.ended())

    def test_one_after_the_other(self):
        c = Raw()
        c.say(head() + head(line='HEAD %s HTTP/1.1' % JWKS) + '\r\n'
              + head(line='GET /none HTTP/1.1') + head('Connection: close')
              + head())
        self.assertEqual(c.answer()[0], 200)
        self.assertEqual(c.answer(head=True)[0], 405)
        self.assertEqual(c.answer()[0], 404)
        self.assertEqual(c.answer()[0], 200)
        self.assertTrue(c.ended())

    def test_http_1_0(self):
        c = Raw()
        c.say(head(line='GET %s HTTP/1.0' % JWKS, host=False))
        self.assertEqual(c.answer()[0], 200)
        self.assertTrue(c.ended())

    def test_octet_by_octet(self):
        c = Raw()
        for octet in head():
            c.say(octet)
        self.assertEqual(c.answer()[0], 200)

    def test_a_body_that_nobody_wants(self):
        """Up to a MiB it is read and dropped, and the connection goes on."""
        c = Raw()
        c.say(head('Content-Length: %d' % (512 * 1024)))
        c.say(512 * 1024 * b'x' + head().encode())
        self.assertEqual(c.answer()[0], 413)
        self.assertEqual(c.answer()[0], 200)

    def test_100_continue(self):
        c = Raw()
        form = 'Content-Type: ' + domains.FORM
        c.say(head(form, 'Content-Length: 7', 'Expect: 100-continue',
                   line='POST /oauth/token HTTP/1.1'))
        self.assertEqual(c.line(), 'HTTP/1.1 100 Continue')
        self.assertEqual(c.line(), '')
        c.say('a=1&b=2' + head())
        self.assertEqual(c.answer()[0], 401)
        self.assertEqual(c.answer()[0], 200)

    def test_100_continue_where_it_is_refused(self):
        c = Raw()
        c.say(head('Content-Length: 99999', 'Expect: 100-continue',
                   line='POST /oauth/token HTTP/1.1'))
        status, fields = c.answer()
        self.assertEqual((status, fields['connection']), (413, 'close'))

    def test_who_shows_no_certificate_is_refused_before_the_body(self):
        for more in (['Content-Length: 100'],
                     ['Transfer-Encoding: chunked', 'Expect: 100-continue']):
            c = Raw()
            c.say(head('Content-Type: application/json', *more, line=MEMBERS))
            self.assertEqual(c.answer()[0], 401)


class Streams(Case):
    def setUp(self):
        back.gives()

    def call(self, body, method='POST', **kw):
        return one.call(token, method=method, body=body, **kw)

    def rss(self):
        with open('/proc/%d/status' % d.pid('aef-b')) as f:
            return [int(x.split()[1]) for x in f if x.startswith('VmHWM')][0]

    def test_a_long_body_is_not_kept(self):
        self.call(b'warm')
        before, data = self.rss(), os.urandom(MEG)
        for body in (48 * data, (data for _ in range(48))):
            back.gives()
            a = self.call(body)
            self.assertEqual(a.status, 200, a)
            self.assertEqual(hashlib.sha256(back.seen[0].body).digest(),
                             hashlib.sha256(48 * data).digest())
        self.assertLess(self.rss() - before, 8 * 1024)  # KiB

    def test_too_long(self):
        for body in ((64 * MEG + 1) * b'x', (MEG * b'x' for _ in range(65))):
            try:
                self.assertEqual(self.call(body).status, 413)
            except DIED:
                pass  # it was cut off while it sent
        self.assertEqual(self.call(b'x').status, 200)

    def test_the_backend_answers_before_it_has_all(self):
        def early(h):
            h.close_connection = True
            h.send_response_only(409)
            h.send_header('Content-Length', '0')
            h.send_header('Connection', 'close')
            h.end_headers()
        handler = back.server.RequestHandlerClass
        was, handler.read_body = handler.read_body, lambda h: b''
        back.answer = early
        try:
            self.assertIn(self.call(3 * MEG * b'x').status, (409, 502))
        except DIED:
            pass
        finally:
            handler.read_body = was
        back.gives()
        self.assertEqual(self.call(b'x').status, 200)

    def test_who_stops_in_the_middle(self):
        for framing in ('Content-Length: 1000000', 'Transfer-Encoding: chunked'):
            c = Raw('aef')
            c.say(head('Authorization: Bearer ' + token, framing,
                       line='POST %s HTTP/1.1' % PATH))
            c.say('5\r\nhello\r\n')
            c.sock.close()
        c = Raw('aef')
        c.say(head('Authorization: Bearer ' + token,
                   'Transfer-Encoding: chunked',
                   line='POST %s HTTP/1.1' % PATH) + '5\r\nhelloX\r\n')
        with self.assertRaises(AssertionError):
            c.answer()
        self.assertEqual(self.call(b'x').status, 200)

    def test_back_pressure(self):
        """A backend that reads nothing stops who sends, and not others."""
        go, handler = threading.Event(), back.server.RequestHandlerClass
        was = handler.read_body

        def slow(h):
            go.wait(20)
            return was(h)
        handler.read_body = slow
        sent = []

        def body():
            for _ in range(32):
                sent.append(1)
                yield MEG * b'x'
        got = []
        t = threading.Thread(target=lambda: got.append(self.call(body())))
        try:
            t.start()
            end = time.monotonic() + 10
            seen = -1
            while len(sent) != seen or not sent:  # until it sends no more
                seen = len(sent)
                time.sleep(0.5)
                self.assertLess(time.monotonic(), end)
            self.assertLess(seen, 32)
            handler.read_body = was
            self.assertEqual(self.call(b'x').status, 200)
        finally:
            handler.read_body = was
            go.set()
            t.join()
        self.assertEqual(got[0].status, 200)


if __name__ == '__main__':
    domains.main()
