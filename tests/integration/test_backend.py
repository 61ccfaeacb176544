# SPDX-License-Identifier: Apache-2.0
"""A server and clients of others at either side of the AEF: nginx behind it,
and curl, s_client, gnutls-cli and http.client before it, with bodies of up to
1 GiB."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import time
import unittest

import domains
import psk as P
from domains import API, read, write

GIB = 1 << 30
SPARE = 8192  # KiB that a large body may cost
WORDS = b'a word of the backend\n'


def setUpModule():
    global d, by_token, token, by_psk, psk, by_cert, nginx
    d = domains.Domains()
    d.describe(domains.resource('/{file}'), domains.resource('/'),
               versions=('v1', 'put', 'streamed', 'zipped'))
    d.end('backend')
    nginx = Nginx()
    nginx.begin()
    by_token = d.a.onboard().negotiate()
    token = by_token.token()
    psk = P.ready(d.a.onboard())
    by_cert = d.a.onboard()
    a = by_cert.put(by_cert.wish(by_cert.discover()[API], methods=['PKI']))
    assert a.status == 201, a


def tearDownModule():
    nginx.end()
    d.stop()


class Nginx:
    def __init__(self):
        self.dir = d.extra + '/nginx'
        self.child = None
        for name in 'www/v1', 'put', 'body', 'unused':
            os.makedirs('%s/%s' % (self.dir, name))
        write(self.dir + '/www/v1/words', WORDS.decode() * 1000)
        self.large = self.dir + '/www/v1/large'
        rng = random.Random(1)
        with open(self.large, 'wb') as out:  # most of it are holes
            for at in range(0, GIB, 64 << 20):
                out.seek(at + rng.randrange(1 << 20))
                out.write(rng.randbytes(65536))
            out.truncate(GIB)
        self.conf = write(self.dir + '/nginx.conf', '''
daemon off;
%(user)spid %(dir)s/pid;
error_log %(dir)s/error;
events { }
http {
    log_format it '$connection $request_method $uri $status';
    access_log %(dir)s/access it;
    default_type text/plain;
    client_max_body_size 0;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/unused;
    fastcgi_temp_path %(dir)s/unused;
    uwsgi_temp_path %(dir)s/unused;
    scgi_temp_path %(dir)s/unused;
    server {
        listen 127.0.0.1:%(port)d;
        server_name backend.internal;
        root %(dir)s/www;
        location /streamed/ {
            alias %(dir)s/www/v1/;
            sub_filter 'of the backend' 'of nginx';
            sub_filter_once off;
            sub_filter_types *;
        }
        location /zipped/ {
            alias %(dir)s/www/v1/;
            gzip on;
            gzip_types *;
        }
        location /put/ {
            alias %(dir)s/put/;
            dav_methods PUT DELETE;
        }
        location = /v1/old { return 301 /v1/words; }
        location = /v1/named {
            server_name_in_redirect on;
            return 301 /v1/words;
        }
        location = /v1/away { return 302 http://10.0.0.7/v1/words; }
        location = /v1/broken { return 500 'at backend.internal:7'; }
    }
}
''' % {'user': 'user root;\n' if os.getuid() == 0 else '', 'dir': self.dir,
       'port': d.backend})

    def begin(self):
        self.child = subprocess.Popen(
            ['nginx', '-e', self.dir + '/error', '-c', self.conf],
            stdin=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(('127.0.0.1', d.backend)).close()
                return
            except ConnectionRefusedError:
                assert self.child.poll() is None, read(self.dir + '/error')
                assert time.monotonic() < end
                time.sleep(0.05)

    def end(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait()

    def accessed(self):
        return [line.split() for line in read(
            self.dir + '/access').splitlines()]


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.file_digest(f, 'sha256').hexdigest()


def url(path):
    return 'https://%s:%d/%s%s' % (d.aef_name, d.service, API, path)


def curl(path, *options, who=None, **kw):
    """With a token, unless it is somebody else; (status, octets out)."""
    auth = () if who else ('--oauth2-bearer', token)
    who = who or by_token
    return subprocess.run(
        ['curl', '-sS', '--resolve', '%s:%d:127.0.0.1' % (
            d.aef_name, d.service), '--cacert', d.b.ca, '--cert', who.crt,
         '--key', who.key, *auth, '-w', '%{stderr}%{http_code}', *options,
         url(path)], stdout=kw.pop('stdout', subprocess.PIPE),
        stderr=subprocess.PIPE, timeout=120, check=False, **kw)


def memory():
    for line in read('/proc/%d/status' % d.pid('aef-b')).splitlines():
        if line.startswith('VmHWM'):
            return int(line.split()[1])
    return None


class Large(unittest.TestCase):
    """1 GiB each way, with its length known and not."""

    @classmethod
    def setUpClass(cls):
        cls.sum = digest(nginx.large)

    def setUp(self):
        d.restart('aef-b')
        self.assertEqual(curl('/v1/words').stdout, WORDS * 1000)
        self.before = memory()

    def tearDown(self):
        self.assertLess(memory() - self.before, SPARE)

    def down(self, path, length):
        done = curl(path, '-D', d.extra + '/head', '-o', d.extra + '/got')
        self.assertEqual(done.stderr, b'200', done)
        head = read(d.extra + '/head').lower()
        self.assertEqual('content-length: %d\n' % GIB in head, length, head)
        self.assertEqual('transfer-encoding: chunked' in head, not length)
        self.assertEqual(os.path.getsize(d.extra + '/got'), GIB)
        self.assertEqual(digest(d.extra + '/got'), self.sum)
        os.remove(d.extra + '/got')

    def test_curl_gets_a_file_of_1_gib(self):
        self.down('/v1/large', True)

    def test_curl_gets_1_gib_of_unknown_length(self):
        self.down('/streamed/large', False)

    def stored(self, name):
        path = '%s/put/%s' % (nginx.dir, name)
        self.assertEqual(os.path.getsize(path), GIB)
        self.assertEqual(digest(path), self.sum)
        os.remove(path)

    def test_curl_puts_a_file_of_1_gib_after_100_continue(self):
        done = curl('/put/sized', '-v', '-T', nginx.large)
        self.assertEqual(done.stderr[-3:], b'201', done)
        self.assertIn(b'HTTP/1.1 100 Continue', done.stderr)
        self.stored('sized')

    def test_curl_puts_1_gib_in_chunks(self):
        with open(nginx.large, 'rb') as f:
            done = curl('/put/chunked', '-T', '-', stdin=f)
        self.assertEqual(done.stderr, b'201', done)
        self.stored('chunked')


class Clients(unittest.TestCase):
    def test_curl_by_certificate(self):
        done = curl('/v1/words', who=by_cert)
        self.assertEqual((done.stderr, done.stdout), (b'200', WORDS * 1000))

    def test_curl_unpacks_what_nginx_has_packed(self):
        done = curl('/zipped/words', '--compressed', '-D', d.extra + '/head')
        self.assertEqual(done.stdout, WORDS * 1000)
        self.assertIn('content-encoding: gzip',
                      read(d.extra + '/head').lower())

    def test_s_client_by_psk(self):
        r = P.call(d, psk, path='/%s/v1/words' % API)
        self.assertEqual(r.status, 200, r)
        self.assertIn(WORDS.decode() * 1000, r.body)

    def test_gnutls_cli_by_psk(self):
        r = P.gnutls(d, psk)
        self.assertEqual(r.status, 404, r)  # of nginx: no such file
        self.assertEqual(nginx.accessed()[-1][2:],
                         [domains.PATH.replace('/' + API, '', 1), '404'])

    def test_http_client_keeps_a_connection_and_so_does_the_aef(self):
        """Also with chunks from an iterator, and what HEAD and 304 lack."""
        conn = domains.Https(d.aef_name, d.service, d.b.ca, by_token)
        n = len(nginx.accessed())

        def ask(method, path, body=None, **headers):
            conn.request(method, '/%s%s' % (API, path), body, dict(
                {k.replace('_', '-'): v for k, v in headers.items()},
                Authorization='Bearer ' + token))
            return domains.Answer(conn.getresponse())
        for parts in [b'one'], [b'one', b'', b'two' * 99999], []:
            a = ask('PUT', '/put/parts', iter(parts))
            self.assertIn(a.status, (201, 204), a)
            a = ask('GET', '/put/parts')
            self.assertEqual(a.body, b''.join(parts))
        a = ask('HEAD', '/v1/words')
        self.assertEqual((a.body, a.headers['Content-Length']),
                         (b'', str(1000 * len(WORDS))))
        etag = a.headers['ETag']
        self.assertEqual(ask('GET', '/v1/words', If_None_Match=etag).status,
                         304)
        a = ask('GET', '/v1/words', Range='bytes=2-7')
        self.assertEqual((a.status, a.body), (206, b'word o'))
        self.assertEqual(a.headers['Content-Range'],
                         'bytes 2-7/%d' % (1000 * len(WORDS)))
        self.assertEqual(ask('DELETE', '/put/parts').status, 204)
        conn.close()
        seen = nginx.accessed()[n:]
        self.assertEqual(len(seen), 10)
        self.assertEqual(len({line[0] for line in seen}), 1, seen)


class Hidden(unittest.TestCase):
    def get(self, path):
        a = by_token.call(token, '/%s%s' % (API, path))
        text = '%s\n%s' % (a.headers, a.text())
        for word in ('nginx', 'backend.internal', '10.0.0.7', '127.0.0.1',
                     ':%d' % d.backend):
            self.assertNotIn(word, text)
        return a

    def test_its_name_and_version(self):
        self.assertEqual(self.get('/v1/words').status, 200)
        self.assertEqual(self.get('/v1/broken').status, 502)

    def test_redirects(self):
        a = self.get('/v1/old')
        self.assertEqual((a.status, a.headers['Location']),
                         (301, '/%s/v1/words' % API))
        self.assertEqual(a.body, b'')
        for path in '/v1/named', '/v1/away':
            self.assertNotIn('Location', self.get(path).headers)

    def test_pages_of_errors(self):
        for path, status in (('/v1/none', 404), ('/put/', 403)):
            a = self.get(path)
            self.assertEqual(a.status, status, a)
            self.assertEqual(a.json()['status'], status)

    def test_it_is_killed_and_comes_again(self):
        conn = domains.Https(d.aef_name, d.service, d.b.ca, by_token)

        def status():
            conn.request('GET', '/%s/v1/words' % API, headers={
                'Authorization': 'Bearer ' + token})
            return domains.Answer(conn.getresponse()).status
        self.assertEqual(status(), 200)
        nginx.end()
        try:
            self.assertEqual(status(), 502)
        finally:
            nginx.begin()
        self.assertEqual(status(), 200)
        conn.close()


if __name__ == '__main__':
    domains.main()
