# SPDX-License-Identifier: Apache-2.0
"""Revocation at the AEF (TS 29.222 6.2.2.3, TS 23.222 8.23, design 10 OQ-19):
what an invoker of domain A had at domain B's AEF is refused when the AEF has
been told, its connections are closed, and those of others live on."""

import json
import re
import subprocess
import time

import domains
import psk as P
from domains import API, DIED, PATH, VS, Https

OTHER = '3gpp-as-session-with-qos'
OTHER_PATH = '/' + OTHER + '/v1/subscriptions.json'
REVOKE = '/aef-security/v1/revoke-authorization'
SEVERAL = 6  # connections, so that more than one worker has some
SECONDS = 2  # design 10, OQ-19


def setUpModule():
    global d, bystander
    d = P.Case.d = domains.Domains()
    d.add_api(OTHER)
    bystander = d.a.onboard().negotiate(API, OTHER)


def tearDownModule():
    d.stop()


def post(owner, crt, key, port, name, path, body, kind='application/json'):
    """With a certificate whose key is in owner's token."""
    text = body if isinstance(body, str) else json.dumps(body)
    return P.s_client(
        port, name, '-quiet', '-CAfile', d.b.ca, '-verify_return_error',
        '-cert', '%s/%s/%s' % (d.dir, owner, crt), '-key',
        'pkcs11:object=%s;type=private' % key, env=d.env(owner),
        request=('POST %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n'
                 'Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s' % (
                     path, name, kind, len(text), text)).encode())


def delete_as_aef(who, *ids):
    """Of some APIs, by the AEF at its own CCF."""
    return post('aef-b', 'aef.crt', 'aef', d.b.port, d.b.id,
                '%s/delete?vs-src-ccf-id=%s' % (who.context, d.a.id),
                {'apiInvokerId': who.id, 'apiIds': list(ids),
                 'cause': 'OVERLIMIT_USAGE', 'aefId': 'aef-b1'})


def revoke_as_ccf(body, owner='ccf-b', **kw):
    return post(owner, 'ccf.crt', 'tls', d.control, d.aef_name, REVOKE, body,
                **kw)


def request(who='inv-x', **info):
    info = {'apiInvokerId': who, 'apiIds': ['api-x'],
            'cause': 'UNEXPECTED_REASON', 'aefId': 'aef-b1',
            VS: {'srcCcfId': d.a.id, 'apiNames': [API]}, **info}
    return {'revokeInfo': {k: v for k, v in info.items() if v is not None},
            'supportedFeatures': '0'}


class Open:
    """Connections with a certificate and perhaps a token, in use."""

    def __init__(self, who, token=None, path=PATH):
        self.head = {'Authorization': 'Bearer ' + token} if token else {}
        self.path = path
        self.all = [Https(d.aef_name, d.service, d.b.ca, who)
                    for _ in range(SEVERAL)]
        self.use()

    def use(self):
        for conn in self.all:
            conn.request('GET', self.path, headers=self.head)
            a = domains.Answer(conn.getresponse())
            assert a.status == 200, a

    def closed(self, end):
        """By the AEF, and in time."""
        for conn in self.all:
            conn.sock.settimeout(max(end - time.monotonic(), 0.001))
            try:
                assert conn.sock.recv(1) == b''
            except DIED:
                pass  # a reset will do
            conn.close()

    def live(self):
        self.use()
        for conn in self.all:
            conn.close()


class OpenPsk:
    """One with a PSK, by s_client."""

    def __init__(self, psk, path=PATH):
        self.path = path
        self.child = subprocess.Popen(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % d.service,
             '-servername', d.aef_name, '-tls1_3', '-ign_eof',
             *P.psk_options(psk)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.use()

    def use(self):
        self.child.stdin.write(P.get(d.aef_name, self.path).replace(
            b'Connection: close\r\n', b''))
        self.child.stdin.flush()
        said = b''
        while b'b-42' not in said:
            line = self.child.stdout.readline()
            assert line, said
            said += line

    def closed(self, end):
        with self.child:
            self.child.stdout.read()  # until s_client has ended
            assert time.monotonic() < end
            self.child.stdin.close()

    def live(self):
        self.use()
        with self.child:
            self.child.stdin.close()
            self.child.kill()
            self.child.stdout.read()


class Case(P.Case):
    def negotiate(self, who, method, *names):
        found = who.discover()
        a = who.put(*(who.wish(found[n], methods=[method])
                      for n in names or (API,)))
        self.assertEqual(a.status, 201, a)
        return {n: found[n]['apiId'] for n in found}

    def make(self, method, *names):
        who = d.a.onboard()
        who.ids = self.negotiate(who, method, *names)
        return who

    def revokes(self, who, do):
        """do() has the AEF told; (until when it must be over, its line)."""
        seen, start = len(P.log(d)), time.monotonic()
        do()
        text = P.log_with(d, 'event=revoked ccf=%s invoker=%s ' % (
            d.a.id, who.id), seen=seen)
        line = re.search(r'event=revoked .*invoker=%s .*' % who.id, text)
        return start + SECONDS, line.group(0)

    def delete(self, who):
        def do():
            a = who.request('DELETE', who.context)
            self.assertEqual(a.status, 204, a)
        return self.revokes(who, do)

    def delete_as_aef(self, who, *ids):
        def do():
            r = delete_as_aef(who, *ids)
            self.assertEqual(r.status, 204, r)
        return self.revokes(who, do)

    def no(self, a):
        self.assertEqual(a.status, 401, a)
        self.assertEqual(a.error(), 'invalid_token')

    def new_token(self, who):
        """One that is not of the second in which others were revoked."""
        now = int(time.time())
        while int(time.time()) == now:
            time.sleep(0.02)
        return who.token()


class ByInvoker(Case):
    """The context is deleted at CCF-A; the AEF is told by CCF-B."""

    def setUp(self):
        self.others = Open(bystander, bystander.token())

    def test_oauth(self):
        who = self.make('OAUTH')
        token = who.token()
        mine = Open(who, token)
        end, line = self.delete(who)
        self.assertIn(' apis=%s cause=' % API, line)
        mine.closed(end)
        self.negotiate(who, 'OAUTH')
        new = self.new_token(who)
        self.assertEqual(who.call(new).status, 200)
        a = who.call(token)  # though it is not over
        self.no(a)
        self.assertIn('revoked', a.json()['detail'])
        self.others.live()

    def test_oauth_call_is_refused(self):
        who = self.make('OAUTH')
        token = who.token()
        self.assertEqual(who.call(token).status, 200)
        self.delete(who)
        self.no(who.call(token))
        self.others.live()

    def test_pki(self):
        who = self.make('PKI')
        mine = Open(who)
        mine.closed(self.delete(who)[0])
        self.negotiate(who, 'PKI')
        self.assertEqual(who.call(None).status, 200)  # at once
        self.delete(who)
        self.no(who.call(None))
        self.others.live()

    def test_psk(self):
        who = d.a.onboard()
        psk = P.ready(who)
        mine, seen = OpenPsk(psk), len(P.log(d))
        end, _ = self.delete(who)
        ended = 'event=psk-ended ccf=%s invoker=%s psk=%s' % (
            d.a.id, who.id, psk.info['pskId'])
        # Out of the token before it is said to be revoked.
        log = P.log(d)[seen:]
        self.assertLess(log.index(ended), log.index('event=revoked'))
        self.refused(psk)
        mine.closed(end)
        new = P.ready(who)  # at once
        self.works(new)
        self.refused(psk)
        P.initiate(who)
        self.refused(psk)
        self.works(new)
        self.others.live()

    def test_offboarding(self):
        who = self.make('OAUTH')
        token = who.token()
        mine = Open(who, token)

        def do():
            a = who.request('DELETE', '/api-invoker-management/v1/'
                            'onboardedInvokers/' + who.onboarding)
            self.assertEqual(a.status, 204, a)
        mine.closed(self.revokes(who, do)[0])
        self.no(d.call(token, who))
        self.others.live()


class Late(Case):
    """An AEF that was away is told when it is back."""

    def test_what_was_granted_since_is_not_meant(self):
        who = self.make('OAUTH')
        token = who.token()

        def do():
            d.end('aef-b')
            try:
                a = who.request('DELETE', who.context)
                self.assertEqual(a.status, 204, a)
                end = time.monotonic() + 5
                while not self.put(who):
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)
                self.new = self.new_token(who)
            finally:
                d.begin('aef-b')
        self.revokes(who, do)
        self.assertEqual(who.call(self.new).status, 200)
        self.no(who.call(token))

    def put(self, who):
        """503 until CCF-B has been told what was revoked."""
        a = who.put(who.wish(who.discover()[API]))
        self.assertIn(a.status, (201, 503), a)
        return a.status == 201


class ByAef(Case):
    """Some APIs of a context, by the AEF itself at CCF-B."""

    def test_oauth(self):
        who = self.make('OAUTH', API, OTHER)
        token = who.token()
        mine = Open(who, token)
        others = Open(bystander, bystander.token())
        end, line = self.delete_as_aef(who, who.ids[API])
        self.assertIn(' apis=%s cause=OVERLIMIT_USAGE' % API, line)
        mine.closed(end)
        self.no(who.call(token))
        self.assertEqual(who.call(token, OTHER_PATH).status, 200)
        others.live()

    def test_pki(self):
        who = self.make('PKI', API, OTHER)
        mine = Open(who)
        mine.closed(self.delete_as_aef(who, who.ids[API])[0])
        self.assertEqual(who.call(None).status, 403)
        self.assertEqual(who.call(None, OTHER_PATH).status, 200)

    def test_psk(self):
        who = d.a.onboard()
        ids = {n: x['apiId'] for n, x in who.discover().items()}
        first, second = P.ready(who, API, OTHER)
        gone, stays = OpenPsk(first), OpenPsk(second, OTHER_PATH)
        gone.closed(self.delete_as_aef(who, ids[API])[0])
        self.refused(first)
        stays.live()
        self.works(second, path=OTHER_PATH)
        P.initiate(who)
        self.refused(first)
        self.works(second, path=OTHER_PATH)


class Restart(Case):
    """What the AEF has forgotten, its CCF says again."""

    def test_oauth(self):
        who, other = self.make('OAUTH'), bystander.token()
        old = who.token()
        Open(who, old).closed(self.delete(who)[0])
        self.negotiate(who, 'OAUTH')
        new = self.new_token(who)
        d.restart('aef-b')
        self.no(who.call(old))
        self.assertEqual(who.call(new).status, 200)
        self.no(who.call(old))
        self.assertEqual(bystander.call(other).status, 200)


class Introspection(Case):
    """The CCF's word on a token is kept no longer than the grant."""

    @classmethod
    def setUpClass(cls):
        cls.undo = d.reconfigure('aef-b', '[aef]\n',
                                 '[aef]\ntoken-check = introspect\n')

    @classmethod
    def tearDownClass(cls):
        cls.undo()

    def test_oauth(self):
        who = self.make('OAUTH')
        token = who.token()
        mine = Open(who, token)
        mine.closed(self.delete(who)[0])
        self.negotiate(who, 'OAUTH')
        new = self.new_token(who)
        self.assertEqual(who.call(new).status, 200)
        self.no(who.call(token))


class WhoMay(Case):
    """The own CCF, and nobody else."""

    @classmethod
    def setUpClass(cls):
        cls.member = d.b.register(aef_r1='r1.domain-b.example')
        cls.token = bystander.token()

    def ask(self, who):
        return domains.https(d.aef_name, d.control, d.b.ca, 'POST', REVOKE,
                             who, body=request(bystander.id))

    def tearDown(self):
        self.assertEqual(bystander.call(self.token).status, 200)

    def test_nobody(self):
        a = self.ask(None)
        self.assertEqual(a.status, 401, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')

    def test_members_of_domain_b(self):
        for who in (d.b.onboard(), self.member.aef, self.member.apf,
                    self.member.amf):
            self.assertEqual(self.ask(who).status, 403, who.crt)

    def test_the_aef_itself(self):
        r = post('aef-b', 'aef.crt', 'aef', d.control, d.aef_name, REVOKE,
                 request(bystander.id))
        self.assertEqual(r.status, 403, r)

    def test_those_of_domain_a(self):
        """Its CA is none of this AEF's: no further than TLS."""
        with self.assertRaises(DIED):
            self.ask(bystander)
        unknown_ca = 48
        r = revoke_as_ccf(request(bystander.id), owner='ccf-a')
        self.assertEqual((r.status, r.alert), (None, unknown_ca), r)

    def test_who_says_to_be_the_ccf(self):
        ca = domains.ForeignCa(d.extra + '/foreign', 'CA of ' + d.b.id)
        with self.assertRaises(DIED):
            self.ask(ca.issue('URI:urn:capif:%s:ccf:%s' % (d.b.id, d.b.id)))

    def test_other_methods(self):
        for method in ('GET', 'PUT', 'DELETE'):
            a = domains.https(d.aef_name, d.control, d.b.ca, method, REVOKE)
            self.assertEqual(a.status, 405, a)


class Bodies(Case):
    """By the own CCF, but not as it should be."""

    def test_malformed(self):
        for body, param in (
                ('[]', '/'), ('{', '/'),
                ({'supportedFeatures': '0'}, '/revokeInfo'),
                ({'revokeInfo': request()['revokeInfo']},
                 '/supportedFeatures'),
                (request(apiInvokerId=None), '/revokeInfo/apiInvokerId'),
                (request(apiIds=[]), '/revokeInfo/apiIds'),
                (request(apiIds=[7]), '/revokeInfo/apiIds/0'),
                (request(cause=None), '/revokeInfo/cause'),
                (request(aefId='aef-b2'), '/revokeInfo'),
                (request(**{VS: {'apiNames': API}}),
                 '/revokeInfo/%s/apiNames' % VS)):
            with self.subTest(body):
                r = revoke_as_ccf(body)
                self.assertEqual(r.status, 400, r)
                self.assertIn('application/problem+json', r.headers)
                self.assertEqual([p['param'] for p in
                                  r.json()['invalidParams']], [param])

    def test_type_and_size(self):
        r = revoke_as_ccf(request(), kind='text/plain')
        self.assertEqual(r.status, 415, r)
        r = revoke_as_ccf(request(cause='x' * 20000))
        self.assertEqual(r.status, 413, r)

    def test_good(self):
        """Whom it does not know, too; and without any extension."""
        for body, apis in ((request('inv-y'), API),
                           (request('inv-y', aefId=None), API),
                           (request('inv-z', **{VS: None}), r'\*')):
            seen = len(P.log(d))
            r = revoke_as_ccf(body)
            self.assertEqual(r.status, 200, r)
            self.assertEqual(r.json(), {'supportedFeatures': '0'})
            self.assertRegex(P.log_with(d, 'event=revoked', seen=seen),
                             r'invoker=inv-[yz] apis=%s cause=UNEXPECTED_'
                             'REASON' % apis)


class Secrets(P.Case):
    """The last class by its name, so that it runs last."""

    def test_no_secret_in_logs_or_stores(self):
        self.no_secret_in_files(6)


if __name__ == '__main__':
    domains.main()
