# SPDX-License-Identifier: Apache-2.0
"""What is taken back in one domain, at the AEFs and invokers of the other
(TS 23.222 8.23 and 8.25.3.8, TS 29.222 5.6.2.5)."""

import json
import signal
import subprocess
import time

import domains
import psk as P
import receiver
from domains import API, PATH
from owners import Case

ONBOARD = '/api-invoker-management/v1/onboardedInvokers/'
METHODS = ('PSK', 'PKI', 'OAUTH')
DEADLINE = 20  # more than it ever takes; how long it took is printed


def setUpModule():
    global d, told
    d = P.Case.d = domains.Domains()
    told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ', 'notification-ca = %s\nkek = ' % told.ca)


def tearDownModule():
    d.stop()
    told.stop()


class Pipe:
    """A connection that s_client keeps, for a PSK."""

    def __init__(self, psk):
        self.child = subprocess.Popen(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % d.service,
             '-servername', d.aef_name, '-tls1_3', '-quiet',
             *P.psk_options(psk)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self):
        self.child.stdin.write(P.get(d.aef_name, PATH).replace(
            b'Connection: close\r\n', b''))
        self.child.stdin.flush()
        text = b''
        while b'b-42' not in text:
            more = self.child.stdout.read1(4096)
            assert more, text
            text += more

    def wait(self):
        self.child.wait(DEADLINE)
        self.stop()

    def stop(self):
        self.child.kill()
        self.child.communicate()


class Kept(domains.Https):
    """One with a certificate, and perhaps a token."""

    def __init__(self, who, token):
        super().__init__(d.aef_name, d.service, d.b.ca, who, timeout=DEADLINE)
        self.head = {'Authorization': 'Bearer ' + token} if token else {}

    def ask(self):
        self.request('GET', PATH, headers=self.head)
        a = domains.Answer(self.getresponse())
        assert a.status == 200, a

    def wait(self):
        assert self.sock.recv(1) == b''
        self.close()

    def stop(self):
        self.close()


class User:
    """An invoker of A that uses an API of B, over a connection it keeps."""

    def __init__(self, method):
        self.method, self.psk, self.token = method, None, None
        self.who = d.a.onboard()
        self.negotiate()
        self.conn = (Pipe(self.psk) if method == 'PSK'
                     else Kept(self.who, self.token))
        self.conn.ask()

    def negotiate(self):
        who, method = self.who, self.method
        if method == 'PSK':
            self.psk = P.ready(who)
            return
        a = who.request('PUT', who.context, body={
            'securityInfo': [who.wish(who.discover()[API],
                                      methods=[method])],
            'supportedFeatures': '0',
            'notificationDestination': told.url + who.id})
        assert a.status == 201, a
        self.token = who.token() if method == 'OAUTH' else None

    def gives_up(self):
        a = self.who.request('DELETE', self.who.context)
        assert a.status == 204, a

    def once(self):
        """The status of a call on a connection of its own; None: no TLS."""
        if self.method == 'PSK':
            return P.call(d, self.psk).status
        return self.who.call(self.token).status

    def is_cut(self, what):
        since = time.monotonic()
        self.conn.wait()
        print('# %s, %s: closed after %.2f s' % (
            what, self.method, time.monotonic() - since))
        assert self.once() in (None, 401, 403)


class Revocation(Case):
    def setUp(self):
        self.users = []

    def tearDown(self):
        for u in self.users:
            u.conn.stop()

    def user(self, method):
        self.users.append(User(method))
        return self.users[-1]

    def everywhere(self, what, act):
        """Of one of each method; others keep what they have."""
        for method in METHODS:
            with self.subTest(method=method):
                gone, stays = self.user(method), self.user(method)
                act(gone)
                gone.is_cut(what)
                stays.conn.ask()
                self.assertEqual(stays.once(), 200)

    def as_aef_b(self, path, body):
        """POST by the AEF itself, whose key is in its token."""
        text = json.dumps(body)
        r = P.s_client(
            d.b.port, d.b.id, '-quiet', '-CAfile', d.b.ca,
            '-verify_return_error', '-cert', d.dir + '/aef-b/aef.crt', '-key',
            'pkcs11:object=aef;type=private', env=d.env('aef-b'),
            request=('POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n'
                     'Content-Type: application/json\r\nContent-Length: %d'
                     '\r\n\r\n%s' % (path, d.b.id, len(text), text)).encode())
        return r.status

    def test_by_the_invoker(self):
        self.everywhere('given up', User.gives_up)

    def test_by_offboarding(self):
        def offboard(u):
            a = u.who.request('DELETE', ONBOARD + u.who.onboarding)
            self.assertEqual(a.status, 204, a)
        self.everywhere('offboarded', offboard)

    def test_by_the_aef_and_its_invoker_is_told(self):
        def revoke(u):
            self.assertEqual(self.as_aef_b(
                u.who.context + '/delete?vs-src-ccf-id=' + d.a.id,
                {'apiInvokerId': u.who.id, 'cause': 'OVERLIMIT_USAGE',
                 'apiIds': [u.who.discover()[API]['apiId']]}), 204)
        self.everywhere('by the AEF', revoke)
        for u in self.users[::2]:
            if u.method == 'PSK':
                continue  # has another destination
            got = told.wait(lambda seen, u=u: any(
                n.path == '/' + u.who.id for n in seen), DEADLINE)
            self.assertIsNotNone(got)
            body = [n.body for n in got if n.path == '/' + u.who.id][0]
            self.assertEqual((body['apiInvokerId'], body['cause']),
                             (u.who.id, 'OVERLIMIT_USAGE'))
            a = u.who.ask_token()
            self.assertEqual(a.json()['error'], 'unauthorized_client')

    def test_negotiated_anew(self):
        for method in METHODS:
            u = self.user(method)
            u.gives_up()
            u.conn.wait()
            # A token of A of the second in which B heard of it is too old.
            time.sleep(1 - time.time() % 1)
            u.negotiate()
            self.assertEqual(u.once(), 200)

    def test_with_the_aef_away(self):
        gone, stays = self.user('PKI'), self.user('PKI')
        d.pause('aef-b')
        try:
            gone.gives_up()
        finally:
            d.resume('aef-b')
        gone.is_cut('the AEF is back')
        stays.conn.ask()

    def test_with_the_partner_away(self):
        gone, stays = self.user('OAUTH'), self.user('OAUTH')
        wish = gone.who.wish(gone.who.discover()[API])
        d.pause('ccf-b')
        try:
            gone.gives_up()
            # What is granted now would be ended when B hears of it.
            a = gone.who.put(wish)
            self.assertEqual(a.status, 503, a)
        finally:
            d.resume('ccf-b')
        gone.is_cut('the partner is back')
        stays.conn.ask()

    def test_killed_after_the_answer(self):
        gone, stays = self.user('PKI'), self.user('PKI')
        d.pause('ccf-b')
        try:
            gone.gives_up()
            d.end('ccf-a', signal.SIGKILL)
        finally:
            d.resume('ccf-b')
        d.begin('ccf-a')
        gone.is_cut('restarted')
        stays.conn.ask()


if __name__ == '__main__':
    domains.main()
