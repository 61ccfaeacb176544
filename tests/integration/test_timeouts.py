# SPDX-License-Identifier: Apache-2.0
"""Silence at each step of a call through the AEF, of the backend and of the
invoker, has an end; and nothing of it is left."""

import socket
import ssl
import threading
import time
import unittest

import domains
from domains import API, DIED, PATH

OTHER = '3gpp-as-session-with-qos'
TIMEOUT = 2    # seconds, as configured
SOON = 20      # by then at the latest: libcurl looks at 5 seconds' average
CONNECT = 3    # capif/client.c


def setUpModule():
    global d, back, one, token, full
    d = domains.Domains()
    d.add_api(OTHER)
    d.describe(domains.resource('/subscriptions.json'))
    full = Full()
    text = '%s.json\nbackend = http://127.0.0.1:' % OTHER
    d.reconfigure('aef-b', text + str(d.backend), text + str(full.port))
    d.reconfigure('aef-b', '[aef]\n', '[aef]\ntimeout = %d\n' % TIMEOUT)
    one = d.a.onboard().negotiate(API, OTHER)
    token = one.token()
    back = domains.Backend(d)


def tearDownModule():
    back.stop()
    full.stop()
    d.stop()


class Full:
    """A listener with no room: SYNs get no answer."""

    def __init__(self):
        self.sock = socket.socket()
        self.sock.bind(('127.0.0.1', 0))
        self.sock.listen(0)
        self.port = self.sock.getsockname()[1]
        self.taken = []
        while True:
            s = socket.socket()
            s.settimeout(0.5)
            self.taken.append(s)
            try:
                s.connect(('127.0.0.1', self.port))
            except TimeoutError:
                return

    def stop(self):
        for s in self.taken + [self.sock]:
            s.close()


class Case(unittest.TestCase):
    def setUp(self):
        self.began = time.monotonic()
        back.gives()

    def in_time(self, least=TIMEOUT):
        """Whole seconds are counted: it may be one less."""
        took = time.monotonic() - self.began
        self.assertGreaterEqual(took, least - 1)
        self.assertLess(took, SOON)

    def works(self):
        back.gives()
        self.assertEqual(one.call(token).status, 200)


class Backends(Case):
    def silent_after(self, data):
        """The backend says that much; returns what tells that it is rid of
        its connection."""
        gone = threading.Event()

        def answer(h):
            h.close_connection = True
            h.wfile.write(data)
            h.connection.settimeout(SOON)
            if h.connection.recv(1) == b'':
                gone.set()
        back.answer = answer
        return gone

    def no_answer(self, a, gone):
        self.assertEqual(a.status, 504, a)
        self.assertEqual(a.json()['detail'], 'the API does not answer')
        self.in_time()
        self.assertTrue(gone.wait(SOON))
        self.works()

    def test_one_that_says_nothing(self):
        gone = self.silent_after(b'')
        self.no_answer(one.call(token), gone)

    def test_one_that_says_half_a_head(self):
        gone = self.silent_after(b'HTTP/1.1 200 OK\r\nContent-Ty')
        self.no_answer(one.call(token), gone)

    def test_one_that_stops_in_the_middle_of_a_body(self):
        for framing, part in (('Content-Length: 1000', 'x' * 500),
                              ('Transfer-Encoding: chunked',
                               '5\r\nhello\r\n5\r\nwo')):
            with self.subTest(framing=framing):
                self.began = time.monotonic()
                gone = self.silent_after(
                    ('HTTP/1.1 200 OK\r\n%s\r\n\r\n%s'
                     % (framing, part)).encode())
                with self.assertRaises(DIED):
                    one.call(token)
                self.in_time()
                self.assertTrue(gone.wait(SOON))
                self.works()

    def test_one_that_can_not_be_connected_with(self):
        a = one.call(token, '/%s/v1/subscriptions.json' % OTHER)
        self.assertEqual(a.status, 504, a)
        self.in_time(min(TIMEOUT, CONNECT))
        self.works()

    def test_slow_but_not_silent(self):
        """It takes longer in all, and nothing is cut off."""
        def answer(h):
            h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n')
            for _ in range(8):
                h.wfile.write(b'xy')
                time.sleep(TIMEOUT / 5)
        back.answer = answer
        self.assertEqual(one.call(token).body, b'xy' * 8)
        self.assertGreater(time.monotonic() - self.began, TIMEOUT)


class Invokers(Case):
    def connect(self):
        tls = ssl.create_default_context(cafile=d.b.ca)
        tls.load_cert_chain(one.crt, one.key)
        sock = tls.wrap_socket(socket.create_connection(
            ('127.0.0.1', d.service)), server_hostname=d.aef_name)
        self.addCleanup(sock.close)
        sock.settimeout(SOON)
        return sock

    def ended(self, sock):
        """Until the AEF ends it; what it has said."""
        said = b''
        try:
            while more := sock.recv(65536):
                said += more
        except DIED:
            pass
        self.in_time()
        return said

    def head(self, method, *fields):
        return '\r\n'.join(['%s %s HTTP/1.1' % (method, PATH), 'Host: x',
                            'Authorization: Bearer ' + token, *fields, '',
                            '']).encode()

    def test_one_that_does_not_even_speak_tls(self):
        sock = socket.create_connection(('127.0.0.1', d.service), SOON)
        self.addCleanup(sock.close)
        self.assertEqual(self.ended(sock), b'')

    def test_one_that_says_nothing(self):
        self.assertEqual(self.ended(self.connect()), b'')

    def test_one_that_sends_half_a_head(self):
        sock = self.connect()
        sock.sendall(self.head('GET')[:60])
        self.assertEqual(self.ended(sock), b'')
        self.assertEqual(back.seen, [])
        self.works()

    def test_one_whose_head_never_ends(self):
        """An octet now and then is not silence, and doesn't help."""
        sock = self.connect()
        with self.assertRaises(DIED):
            for octet in self.head('GET', 'X: ' + 1000 * 'x'):
                sock.sendall(bytes([octet]))
                self.assertLess(time.monotonic() - self.began, SOON)
                time.sleep(TIMEOUT / 10)
        self.assertEqual(back.seen, [])

    def test_one_that_sends_half_a_body(self):
        """Its backend does not wait for the rest, either."""
        ends = []
        handler = back.server.RequestHandlerClass
        was = handler.read_body

        def read_body(h):
            try:
                h.connection.settimeout(SOON)
                ends.append(len(was(h)))
            except (OSError, ValueError):
                ends.append(None)
                raise
        handler.read_body = read_body
        try:
            for framing in 'Content-Length: 1000', 'Transfer-Encoding: chunked':
                with self.subTest(framing=framing):
                    self.began = time.monotonic()
                    sock = self.connect()
                    sock.sendall(self.head('POST', framing) + b'5\r\nhello\r\n')
                    said = self.ended(sock)
                    self.assertTrue(said == b'' or said.startswith(
                        b'HTTP/1.1 504 '), said)
                    end = time.monotonic() + SOON
                    while not ends:
                        self.assertLess(time.monotonic(), end)
                        time.sleep(0.02)
                    self.assertIn(ends.pop(), (None, 10))
        finally:
            handler.read_body = was
        self.works()

    def test_one_that_does_not_read(self):
        """The backend is rid of it, too."""
        gone = threading.Event()

        def answer(h):
            h.close_connection = True
            h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n'
                          % (1 << 30))
            try:
                while True:
                    h.wfile.write((1 << 16) * b'x')
            except OSError:
                gone.set()
        back.answer = answer
        sock = self.connect()
        sock.sendall(self.head('GET'))
        self.assertTrue(gone.wait(SOON))
        self.in_time()
        self.works()


if __name__ == '__main__':
    domains.main()
