# SPDX-License-Identifier: Apache-2.0
"""What the AEF passes on, and what it keeps to itself, in both directions."""

import hashlib
import json
import random
import subprocess
import threading
import time
import unittest

import domains
from domains import API, DIED, PATH

PREFIX = '/' + API


def setUpModule():
    global d, one, token, back, where
    d = domains.Domains()
    d.describe(domains.resource('/subscriptions.json'))
    one = d.a.onboard().negotiate()
    token = one.token()
    back = domains.Backend(d)
    where = ('127.0.0.1', 'localhost', ':%d' % d.backend)


def tearDownModule():
    back.stop()
    d.stop()


def call(path=PATH, method='GET', **kw):
    return one.call(token, path, method, **kw)


class Answers(unittest.TestCase):
    def hides_the_backend(self, a):
        text = '\n'.join('%s: %s' % h for h in a.headers.items()) + a.text()
        for word in where:
            self.assertNotIn(word, text)

    def problem(self, a, status):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertEqual(a.json()['status'], status)
        self.hides_the_backend(a)

    def test_good_answer_is_passed_on(self):
        back.gives(200, [('Content-Type', 'application/json'),
                         ('ETag', '"7"'), ('Cache-Control', 'no-cache')])
        a = call()
        self.assertEqual((a.status, a.body), (200, b'{"cellId":"b-42"}'))
        self.assertEqual(a.headers['Content-Type'], 'application/json')
        self.assertEqual(a.headers['ETag'], '"7"')
        self.assertEqual(a.headers['Cache-Control'], 'no-cache')
        self.assertEqual(back.seen[0].path, '/v1/subscriptions.json')

    def test_client_errors_are_passed_on(self):
        for status in (400, 404, 409, 412, 422):
            back.gives(status, [('Content-Type', 'application/problem+json')],
                       b'{"detail":"no such subscription"}')
            a = call()
            self.assertEqual(a.status, status)
            self.assertIn(b'no such subscription', a.body)

    def test_content_of_errors_that_is_not_the_api_s_is_not_passed_on(self):
        for kind, passes in (('application/json', True), ('text/html', False),
                             ('application/vnd.x+json; v=1', True),
                             ('application/problem+xml', True),
                             ('application/jsonp', False), (None, False)):
            back.gives(409, [('Content-Type', kind)] if kind else [],
                       b'not Backend')
            a = call()
            self.assertEqual(a.status, 409)
            self.assertEqual(b'not Backend' in a.body, passes, kind)
            self.assertEqual(a.headers['Content-Type'],
                             kind if passes else 'application/problem+json')

    def test_answers_without_a_body(self):
        for status in (204, 304):
            back.gives(status, [('ETag', '"7"')], b'')
            a = call()
            self.assertEqual((a.status, a.body), (status, b''))
            self.assertEqual(a.headers['ETag'], '"7"')

    def test_head_is_answered_without_a_body(self):
        back.gives(200, [('Content-Type', 'text/plain')], b'12345')
        a = call(method='HEAD')
        self.assertEqual((a.status, a.body), (200, b''))
        self.assertEqual(back.seen[0].command, 'HEAD')
        self.assertIn(a.headers['Content-Length'], ('5', None))

    def test_500_with_a_stack_trace_is_not_passed_on(self):
        trace = b'Traceback: File "/srv/app.py", line 7, db.internal:5432'
        for status in (500, 501, 502, 504, 599):
            back.gives(status, [('Content-Type', 'text/plain'),
                                ('Server', 'Werkzeug/2.2'),
                                ('X-Debug', 'yes')], trace)
            a = call()
            self.problem(a, 502)
            self.assertNotIn(b'Traceback', a.body)
            self.assertNotIn(b'db.internal', a.body)
            for name in ('Server', 'X-Debug'):
                self.assertIsNone(a.headers[name])

    def test_503_comes_with_retry_after_and_nothing_else(self):
        back.gives(503, [('Server', 'x')], b'pool of db.internal exhausted')
        a = call()
        self.problem(a, 503)
        self.assertTrue(a.headers['Retry-After'])
        self.assertNotIn(b'db.internal', a.body)

    def test_headers_that_tell_of_the_backend_are_dropped(self):
        back.gives(200, [(n, 'secret-' + n) for n in (
            'Server', 'Via', 'X-Powered-By', 'X-AspNet-Version',
            'X-Backend', 'X-Forwarded-Server', 'Set-Cookie',
            'WWW-Authenticate', 'Access-Control-Allow-Origin', 'Alt-Svc',
            'Strict-Transport-Security', 'Link', 'Refresh')])
        a = call()
        self.assertEqual(a.status, 200)
        self.assertNotIn('secret-', str(a.headers))

    def test_hop_by_hop_headers_are_dropped(self):
        back.gives(200, [('Connection', 'X-Hop'), ('X-Hop', 'secret-1'),
                         ('Keep-Alive', 'secret-2'), ('Trailer', 'secret-3'),
                         ('Upgrade', 'secret-4'), ('TE', 'secret-5'),
                         ('Proxy-Authenticate', 'secret-6'),
                         ('Proxy-Connection', 'secret-7')])
        a = call()
        self.assertEqual(a.status, 200)
        self.assertNotIn('secret-', str(a.headers))

    def test_location_of_the_backend_becomes_the_api_s(self):
        base = 'http://127.0.0.1:%d' % d.backend
        for location in (base + '/v1/subscriptions/7',
                         '/v1/subscriptions/7'):
            back.gives(201, [('Location', location)])
            a = call(method='POST', body=b'x')
            self.assertEqual(a.status, 201)
            self.assertEqual(a.headers['Location'],
                             PREFIX + '/v1/subscriptions/7')

    def test_location_elsewhere_is_dropped(self):
        for location in ('http://db.internal/x', 'https://10.0.0.1/',
                         '//db.internal/x', 'http://127.0.0.1:%d.evil/x'
                         % d.backend, 'http://127.0.0.1:%d@evil/'
                         % d.backend, 'ftp://127.0.0.1/', '../x'):
            back.gives(302, [('Location', location)])
            a = call()
            self.assertEqual(a.status, 302)
            self.assertIsNone(a.headers['Location'], location)
            self.hides_the_backend(a)
            self.assertEqual(len(back.seen), 1)  # not followed

    def test_backend_that_is_down(self):
        global back
        back.stop()
        try:
            self.problem(call(), 502)
        finally:
            back = domains.Backend(d)
        self.assertEqual(call().status, 200)

    def test_backend_that_speaks_no_http(self):
        def garbage(h):
            h.wfile.write(b'SSH-2.0-OpenSSH_9.2 db.internal\r\n\r\n')
            h.close_connection = True
        back.answer = garbage
        a = call()
        self.problem(a, 502)
        self.assertNotIn(b'SSH', a.body)

    def test_backend_that_ends_early_gives_no_complete_answer(self):
        def short(h):
            h.send_response_only(200)
            h.send_header('Content-Length', '1000')
            h.end_headers()
            h.wfile.write(b'x' * 500)
            h.close_connection = True
        back.answer = short
        with self.assertRaises(DIED):
            call()

    def test_early_end_of_a_chunked_answer_is_seen_too(self):
        def short(h):
            h.send_response_only(200)
            h.send_header('Transfer-Encoding', 'chunked')
            h.end_headers()
            h.wfile.write(b'5\r\nhello\r\n5\r\nwo')
            h.close_connection = True
        back.answer = short
        with self.assertRaises(DIED):
            call()


class Bodies(unittest.TestCase):
    def setUp(self):
        self.data = random.Random(20).randbytes(20 << 20)

    def whole(self, body):
        self.assertEqual(len(body), len(self.data))
        self.assertEqual(hashlib.sha256(body).digest(),
                         hashlib.sha256(self.data).digest())

    def test_answer_of_20_mib_is_intact(self):
        back.gives(body=self.data)
        a = call()
        self.assertEqual(a.headers['Content-Length'], str(len(self.data)))
        self.whole(a.body)

    def chunked(self, h):
        h.send_response_only(200)
        h.send_header('Transfer-Encoding', 'chunked')
        h.end_headers()
        at, n = 0, 1
        while at < len(self.data):
            part = self.data[at:at + n]
            h.wfile.write(b'%x\r\n%s\r\n' % (len(part), part))
            at, n = at + n, n * 3 % 300007
        h.wfile.write(b'0\r\n\r\n')

    def test_chunked_answer_of_20_mib_is_intact(self):
        back.answer = self.chunked
        self.whole(call().body)

    @unittest.skipIf(domains.DAEMONS != domains.BUILD,
                     'memory of daemons with sanitizers says nothing')
    def test_answer_of_20_mib_is_not_kept_in_memory_for_a_slow_reader(self):
        def peak():
            for line in open('/proc/%d/status' % d.pid('aef-b'),
                             encoding='ascii'):
                if line.startswith('VmHWM'):
                    return int(line.split()[1])
            return None

        sent = []

        def give(h):
            back.plain(h, body=self.data)
            sent.append(h)
        back.answer = give
        d.restart('aef-b')
        self.assertEqual(call().status, 200)
        before = peak()
        conn = domains.Https(d.aef_name, d.service, d.b.ca, one)
        conn.request('GET', PATH, headers={'Authorization':
                                           'Bearer ' + token})
        r = conn.getresponse()
        body = b''
        while len(body) < len(self.data):
            part = r.read(100000)
            self.assertTrue(part)
            body += part
        conn.close()
        self.whole(body)
        self.assertLess(peak() - before, 8192)  # KiB

    def test_ten_at_once_are_intact(self):
        back.gives(body=self.data[:1 << 20])
        want, got = hashlib.sha256(self.data[:1 << 20]).digest(), []

        def one_call():
            got.append(hashlib.sha256(call().body).digest() == want)
        threads = [threading.Thread(target=one_call) for _ in range(10)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(got, 10 * [True])

    def test_invoker_that_leaves_in_the_middle_does_no_harm(self):
        back.gives(body=self.data)
        for _ in range(5):
            conn = domains.Https(d.aef_name, d.service, d.b.ca, one)
            conn.request('GET', PATH, headers={'Authorization':
                                               'Bearer ' + token})
            self.assertEqual(len(conn.getresponse().read(70000)), 70000)
            conn.close()
        back.gives()
        self.assertEqual(call().status, 200)

    def test_bodies_of_requests_are_intact(self):
        for method in ('POST', 'PUT', 'PATCH', 'DELETE'):
            for size in (0, 1, 65536, 1 << 20):
                with self.subTest(method=method, size=size):
                    back.gives()
                    data = self.data[:size]
                    a = call(method=method, body=data, headers={
                        'Content-Type': 'application/x-test'})
                    self.assertEqual(a.status, 200, a)
                    h = back.seen[0]
                    self.assertEqual((h.command, h.body == data),
                                     (method, True))
                    self.assertEqual(h.headers['Content-Type'],
                                     'application/x-test')

    def test_chunked_body_of_a_request_is_intact(self):
        back.gives()
        parts = [self.data[i * 1000:i * 1000 + 1000] for i in range(300)]
        self.assertEqual(call(method='POST', body=iter(parts)).status, 200)
        self.assertEqual(back.seen[0].body, self.data[:300000])

    def test_endless_line_of_a_chunk_is_cut_off(self):
        conn = domains.Https(d.aef_name, d.service, d.b.ca)
        conn.putrequest('POST', PATH)
        conn.putheader('Transfer-Encoding', 'chunked')
        conn.endheaders()
        with self.assertRaises(DIED):
            for _ in range(32):
                conn.sock.sendall((1 << 20) * b'1')
        conn.close()


class Requests(unittest.TestCase):
    def setUp(self):
        back.gives()

    def headers(self, **kw):
        self.assertEqual(call(**kw).status, 200)
        return back.seen[0].headers

    def test_token_and_certificate_do_not_reach_the_backend(self):
        text = str(self.headers(headers={'Cookie': 'a=b',
                                         'Proxy-Authorization': 'x'}))
        pem = domains.read(one.crt).split('\n')[2]
        for word in ('uthorization', token, token.split('.')[2], pem,
                     'Cookie', 'Bearer'):
            self.assertNotIn(word, text)

    def test_backend_is_told_who_calls(self):
        self.assertEqual(self.headers().get_all('CAPIF-API-Invoker'),
                         ['%s/%s' % (d.a.id, one.id)])

    def test_invoker_s_own_word_on_who_calls_is_replaced(self):
        for name in ('CAPIF-API-Invoker', 'capif-api-invoker'):
            back.gives()
            got = self.headers(headers={name: 'ccf.domain-b.example/root'})
            self.assertEqual(got.get_all('CAPIF-API-Invoker'),
                             ['%s/%s' % (d.a.id, one.id)])
            back.gives()
            got = self.headers(headers={name.replace('-', '_'): 'root'})
            self.assertNotIn('root', str(got))

    def test_headers_that_are_not_listed_do_not_reach_the_backend(self):
        names = ('X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'Via',
                 'X-HTTP-Method-Override', 'X-Original-URL', 'TE', 'Upgrade',
                 'Keep-Alive', 'Expect-CT', 'X-SSL-Client-Cert')
        text = str(self.headers(headers={n: 'secret-value' for n in names}))
        self.assertNotIn('secret-value', text)

    def test_host_is_the_backend_s(self):
        self.assertEqual(self.headers()['Host'],
                         '127.0.0.1:%d' % d.backend)

    def test_useful_headers_reach_the_backend(self):
        sent = {'Accept': 'application/json', 'If-Match': '"7"',
                'Accept-Language': 'de', 'Range': 'bytes=0-1'}
        got = self.headers(headers=sent)
        self.assertEqual({n: got[n] for n in sent}, sent)

    def test_query_reaches_the_backend_as_it_is(self):
        self.assertEqual(call(PATH + '?a=%2F..%2F&b=//').status, 200)
        self.assertEqual(back.seen[0].path,
                         '/v1/subscriptions.json?a=%2F..%2F&b=//')

    def refused_path(self, *paths, status=(400,)):
        for path in paths:
            with self.subTest(path=path):
                a = call(path)
                self.assertIn(a.status, status, a)
                self.assertEqual(a.headers['Content-Type'],
                                 'application/problem+json')
        self.assertEqual(back.seen, [])

    def test_path_with_dots_is_refused(self):
        self.refused_path(PREFIX + '/../x', PREFIX + '/v1/../../x',
                          PREFIX + '/./x', PREFIX + '/..', PREFIX + '/.',
                          '/../' + API + '/x', '/x/..' + PREFIX + '/y')

    def test_path_with_escaped_dots_is_refused(self):
        self.refused_path(*(PREFIX + '/' + dots + '/x' for dots in (
            '%2e%2e', '%2E%2E', '.%2e', '%2e.', '%2e')))

    def test_path_with_empty_segments_is_refused(self):
        self.refused_path(PREFIX + '//x', '/' + PREFIX + '/x',
                          PREFIX + '/v1//x', PREFIX + '//')

    def test_path_with_escaped_slashes_is_refused(self):
        self.refused_path(*(PREFIX + '/v1' + s + 'x' for s in (
            '%2f', '%2F', '%5c', '%5C', '\\', '%00')))

    def test_path_beside_the_prefix_is_no_api(self):
        self.refused_path(PREFIX + 'x/y', '/', '/v1/subscriptions.json',
                          PREFIX.upper() + '/x', '/' + PREFIX[1:-1],
                          PREFIX.replace('g', '%67', 1) + '/x', status=(404,))

    def test_absolute_request_target_is_refused(self):
        for target in ('http://127.0.0.1:%d/x' % d.backend,
                       'https://%s%s' % (d.aef_name, PATH), '*'):
            self.refused_path(target, status=(400, 404))

    def raw(self, head):
        """What an answer to these octets begins with."""
        conn = domains.Https(d.aef_name, d.service, d.b.ca, one)
        conn.connect()
        try:
            conn.sock.sendall(head.encode() + b'\r\n\r\nxxxxxxxx\r\n\r\n')
            return conn.sock.recv(12)
        except DIED:
            return b''
        finally:
            conn.close()

    def test_two_lengths_or_a_length_and_chunks_reach_no_backend(self):
        auth = '%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ' + token
        for more in ('Content-Length: 5\r\nContent-Length: 6',
                     'Content-Length: 6\r\nContent-Length: 5',
                     'Content-Length: 3\r\nTransfer-Encoding: chunked',
                     'Content-Length: -1', 'Content-Length: 1x',
                     'Content-Length: 99999999999999999999'):
            with self.subTest(more=more):
                got = self.raw('POST ' + auth % PATH + '\r\n' + more)
                self.assertNotIn(b' 200', got)
        self.assertEqual(back.seen, [])

    def test_header_continued_on_the_next_line_smuggles_nothing(self):
        self.raw('GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n'
                 'Accept: a\r\n CAPIF-API-Invoker: root' % (PATH, token))
        for h in back.seen:
            self.assertEqual(h.headers.get_all('CAPIF-API-Invoker'),
                             ['%s/%s' % (d.a.id, one.id)])



class OneConnection(unittest.TestCase):
    """What was proved on a connection is proved there, and of that alone."""

    def setUp(self):
        back.gives()
        self.conn = domains.Https(d.aef_name, d.service, d.b.ca, one)

    def tearDown(self):
        self.conn.close()

    def ask(self, text):
        self.conn.request('GET', PATH, headers={
            'Authorization': 'Bearer ' + text})
        return domains.Answer(self.conn.getresponse()).status

    def test_another_token_has_to_prove_itself(self):
        other = d.a.onboard().negotiate().token()
        at = token.rindex('.') + 20
        forged = token[:at] + ('A' if token[at] != 'A' else 'B') \
            + token[at + 1:]
        for text, status in ((token, 200), (token, 200), (forged, 401),
                             (token, 200), (other, 401), (token, 200),
                             (one.token(), 200)):
            self.assertEqual(self.ask(text), status)

    def test_what_the_ccf_says_anew_has_it_prove_itself_again(self):
        undo = d.reconfigure('aef-b', '[aef]\n',
                             '[aef]\nsecurity-info-lifetime = 1\n')
        try:
            for wait in 0, 0, 1.2, 1.2:
                time.sleep(wait)  # in real time
                self.assertEqual(self.ask(token), 200)
        finally:
            undo()

    def test_without_it_the_certificate_proves_nothing_here(self):
        self.assertEqual(self.ask(token), 200)
        self.conn.request('GET', PATH)
        a = domains.Answer(self.conn.getresponse())
        self.assertEqual(a.json().get('cause'), 'WRONG_SECURITY_METHOD', a)
        self.assertEqual(self.ask(token), 200)



class Published(unittest.TestCase):
    """Resources and their operations, as the API's description has them."""

    @classmethod
    def setUpClass(cls):
        cls.undo = d.describe(
            domains.resource('/subscriptions.json', 'GET', 'POST'),
            domains.resource('/subscriptions/{id}', 'DELETE'))

    @classmethod
    def tearDownClass(cls):
        cls.undo()

    def test_operations(self):
        for method, path, status, allow in (
                ('GET', '/v1/subscriptions.json?a=b', 200, None),
                ('HEAD', '/v1/subscriptions.json', 200, None),
                ('POST', '/v1/subscriptions.json', 200, None),
                ('DELETE', '/v1/subscriptions/7', 200, None),
                ('PUT', '/v1/subscriptions.json', 405, 'GET, POST'),
                ('GET', '/v1/subscriptions/7', 405, 'DELETE'),
                ('DELETE', '/v1/subscriptions/7/8', 404, None),
                ('GET', '/v2/subscriptions.json', 404, None),
                ('GET', '', 404, None)):
            back.gives()
            a = call(PREFIX + path, method)
            self.assertEqual(a.status, status, (method, path, a))
            self.assertEqual(a.headers.get('Allow'), allow)
            self.assertEqual(len(back.seen), 1 if status == 200 else 0)

    def test_only_who_is_authorized_learns_of_them(self):
        back.gives()
        a = d.call(token, None, PREFIX + '/v1/none')
        self.assertEqual(a.status, 401, a)

    def test_description_that_is_of_no_use(self):
        conf = domains.read(d.dir + '/aef-b/aef-b.cnf')
        path = d.extra + '/aef.cnf'
        doc = json.loads(domains.read(d.dir + '/aef-b/api.json'))
        for doc, why in (({}, 'is that of another API'),
                         (dict(doc, aefProfiles=[]),
                          'it has no profile of this AEF')):
            domains.write(path + '.json', json.dumps(doc))
            domains.write(path, conf.replace('described.json',
                                             'aef.cnf.json'))
            done = subprocess.run([domains.DAEMONS + '/aef/aefd', path],
                                  env=d.env('aef-b'), timeout=20, check=False,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual(done.returncode, 1)
            self.assertIn('description: ' + why, done.stderr)


if __name__ == '__main__':
    domains.main()
