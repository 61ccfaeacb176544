# SPDX-License-Identifier: Apache-2.0
"""Peers that are slow, or dead, keep nobody else waiting at the AEF; and a
revocation ends the invoker's connections however busy it is."""

import selectors
import socket
import ssl
import threading
import time
import unittest

import domains
import psk as P
from domains import API, PATH

OTHER = '3gpp-as-session-with-qos'
OTHER_PATH = '/' + OTHER + '/v1/subscriptions.json'
HANGING = 24   # more than there are workers
SOON = 5       # seconds; whoever hangs does so for 30
BUSY = 200
WITHIN = 2     # seconds, design 10, OQ-19


def setUpModule():
    global d, slow, other, token, back, hangs
    d = domains.Domains()
    d.add_api(OTHER)
    hangs = Hangs()
    undo = '%s.json\nbackend = http://127.0.0.1:' % OTHER
    d.reconfigure('aef-b', undo + str(d.backend), undo + str(hangs.port))
    slow, other = (d.a.onboard().negotiate(API, OTHER) for _ in range(2))
    token = other.token()
    back = domains.Backend(d)


def tearDownModule():
    back.stop()
    hangs.stop()
    d.stop()


class Hangs:
    """A backend that takes connections, and no more."""

    def __init__(self):
        self.sock = socket.create_server(('127.0.0.1', 0), backlog=512)
        self.port = self.sock.getsockname()[1]

    def stop(self):
        self.sock.close()


def head(text, path=PATH, method='GET', more=''):
    return ('%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n%s\r\n'
            % (method, path, d.aef_name, text, more)).encode()


class Isolation(unittest.TestCase):
    def setUp(self):
        back.gives()
        self.text = slow.token()
        self.open = []

    def tearDown(self):
        for sock in self.open:
            sock.close()

    def hang(self, data=None):
        """Connections of the slow one, each with a request or a part of it;
        without TLS if that is None."""
        tls = ssl.create_default_context(cafile=d.b.ca)
        tls.load_cert_chain(slow.crt, slow.key)
        for _ in range(HANGING):
            sock = socket.create_connection(('127.0.0.1', d.service))
            if data is not None:
                sock = tls.wrap_socket(sock, server_hostname=d.aef_name)
                sock.sendall(data)
            self.open.append(sock)

    def others_go_on(self):
        for _ in range(2 * HANGING):
            began = time.monotonic()
            a = other.call(token)
            self.assertEqual((a.status, a.body), (200, b'{"cellId":"b-42"}'))
            self.assertLess(time.monotonic() - began, SOON)

    def test_slow_readers(self):
        large = 'x' * (20 << 20)

        def answer(h):
            back.plain(h, body=large.encode() if 'large' in h.path
                       else b'{"cellId":"b-42"}')
        back.answer = answer
        self.hang(head(self.text, '/' + API + '/large'))
        self.others_go_on()

    def test_slow_writers(self):
        self.hang(head(self.text, method='POST',
                       more='Content-Length: 1000000\r\n') + b'x')
        self.others_go_on()

    def test_writers_of_half_a_head(self):
        self.hang(head(self.text)[:100])
        self.others_go_on()

    def test_those_who_say_nothing(self):
        self.hang()
        self.others_go_on()

    def test_dead_backend_of_another_api(self):
        self.hang(head(self.text, OTHER_PATH))
        self.others_go_on()

    def test_dead_token(self):
        """Nobody can connect, and the log says why; others' errors it does
        not tell."""
        mark = 'event=tls-failed'
        tls = ssl.create_default_context(cafile=d.a.ca)
        with self.assertRaises(ssl.SSLCertVerificationError):
            tls.wrap_socket(socket.create_connection(
                ('127.0.0.1', d.service)), server_hostname=d.aef_name)
        self.assertEqual(other.call(token).status, 200)
        self.assertNotIn(mark, P.log(d, 'aef-b'))
        d.end('hsmd-aef-b')
        try:
            with self.assertRaises(domains.DIED):
                other.call(token)
            text = P.log_with(d, mark)
            self.assertEqual(text.count(mark), 1)
            self.assertIn('why="the token is gone"', text)
        finally:
            d.begin('hsmd-aef-b')
            d.restart('aef-b')
        self.others_go_on()

    def test_dead_ccf(self):
        """Those whom the AEF knows go on; it can't know others now."""
        self.others_go_on()
        new = d.a.onboard().negotiate()
        text = new.token()
        d.pause('ccf-b')
        try:
            answers = []
            threads = [threading.Thread(
                target=lambda: answers.append(new.call(text).status))
                for _ in range(HANGING)]
            for t in threads:
                t.start()
            self.others_go_on()
            for t in threads:
                t.join()
        finally:
            d.resume('ccf-b')
        self.assertEqual(answers, [503] * HANGING)
        self.assertEqual(new.call(text).status, 200)


class Crowd:
    """Connections with answers that never end."""

    def __init__(self, who, n):
        tls = ssl.create_default_context(cafile=d.b.ca)
        tls.load_cert_chain(who.crt, who.key)
        request = head(who.token())
        self.all = []
        for _ in range(n):
            sock = tls.wrap_socket(
                socket.create_connection(('127.0.0.1', d.service)),
                server_hostname=d.aef_name)
            sock.sendall(request)
            self.all.append(sock)

    def stop(self):
        for sock in self.all:
            sock.close()


def read_some(sock):
    """Octets; 0: closed."""
    try:
        return len(sock.recv(65536))
    except ssl.SSLWantReadError:
        return None
    except (ssl.SSLError, ConnectionError):
        return 0


class Busy(unittest.TestCase):
    def endless(self, h):
        h.send_response_only(200)
        h.send_header('Transfer-Encoding', 'chunked')
        h.end_headers()
        try:
            while not self.over.wait(0.2):
                h.wfile.write(b'8\r\nbusy...\n\r\n')
        except OSError:
            pass  # cut off

    def watch(self, until):
        """Read from all; {socket: when it was closed, None: it lives}."""
        at = {s: None for crowd in self.crowds for s in crowd.all}
        got = dict.fromkeys(at, 0)
        with selectors.DefaultSelector() as chosen:
            for sock in at:
                sock.setblocking(False)
                chosen.register(sock, selectors.EVENT_READ)
            while time.monotonic() < until:
                for key, _ in chosen.select(0.1):
                    n = read_some(key.fileobj)
                    if n == 0:
                        at[key.fileobj] = time.monotonic()
                        chosen.unregister(key.fileobj)
                    elif n:
                        got[key.fileobj] += n
        return at, got

    def test_revocation_of_one_of_two_who_have_200_busy_connections(self):
        self.over = threading.Event()
        back.answer = self.endless
        gone = d.a.onboard().negotiate()
        self.crowds = [Crowd(gone, BUSY // 2), Crowd(other, BUSY // 2)]
        try:
            at, got = self.watch(time.monotonic() + 1)
            self.assertEqual(set(at.values()), {None})
            self.assertTrue(min(got.values()) > 0)
            a = gone.request('DELETE', gone.context)
            began = time.monotonic()
            self.assertEqual(a.status, 204, a)
            at, got = self.watch(began + WITHIN)
            theirs, stay = ([at[s] for s in c.all] for c in self.crowds)
            self.assertNotIn(None, theirs)
            self.assertEqual(set(stay), {None})
            print('# %d connections closed after %.2f to %.2f s' % (
                len(theirs), min(theirs) - began, max(theirs) - began))
            # Those that stay have gone on all the time.
            for sock in self.crowds[1].all:
                self.assertGreater(got[sock], 0)
        finally:
            self.over.set()
            for crowd in self.crowds:
                crowd.stop()


if __name__ == '__main__':
    domains.main()
