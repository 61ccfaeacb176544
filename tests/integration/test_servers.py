# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of tokens, and take a PEM file for a key: nginx
with its workers, stunnel and curl.  What they do with an ordinary key, they
do with one in a token."""

import http.client
import http.server
import os
import shutil
import signal
import ssl
import threading
import time
import unittest

import hsms
from tap import main
from wire import DIED, https, run, write

KINDS = ('rsa2048', 'p256')
NAME = 'localhost'
TLS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
WORKERS = 4

NGINX = '''daemon off;
worker_processes %d;
pid nginx.pid;
env OPENSSL_CONF;
env SOFTHSM2_CONF;
%s
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path tmp;
    proxy_temp_path tmp;
    fastcgi_temp_path tmp;
    uwsgi_temp_path tmp;
    scgi_temp_path tmp;
    ssl_session_tickets off;
    ssl_session_cache off;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 127.0.0.1:%d ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        location / { return 200 "$pid"; }
    }
}
'''

STUNNEL = '''foreground = yes
pid =
debug = 5
syslog = no
[tls]
accept = 127.0.0.1:%d
connect = 127.0.0.1:%d
cert = %s
key = %s
sslVersionMin = TLSv1.2
sessionCacheSize = 1
'''


class Load:
    """Threads that each make one new connection after the other."""

    def __init__(self, port, ca, threads=4):
        self.port, self.ca = port, ca
        self.bodies, self.failed, self.done = [], [], False
        self.threads = [threading.Thread(target=self.work, args=(i,))
                        for i in range(threads)]
        for t in self.threads:
            t.start()

    def work(self, i):
        while not self.done:
            i += 1
            try:
                a = https(NAME, self.port, self.ca, 'GET', '/',
                          tls=TLS[i % 2], headers={'Connection': 'close'})
                if a.status != 200:
                    raise http.client.HTTPException(str(a))
                self.bodies.append(a.text())
            except (OSError, http.client.HTTPException) as e:
                self.failed.append(repr(e))

    def wait_for(self, n):
        """Until n more requests are through, or failed."""
        n += self.count()
        end = time.monotonic() + 30
        while self.count() < n and time.monotonic() < end:
            time.sleep(0.02)

    def count(self):
        return len(self.bodies) + len(self.failed)

    def stop(self):
        self.done = True
        for t in self.threads:
            t.join()


class Backend:
    """Over plain HTTP, or over TLS with client certificates: says who asks.
    """

    def __init__(self, tls=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                peer = (self.connection.getpeercert() if tls else None) or {}
                body = ''.join(v for rdn in peer.get('subject', ())
                               for k, v in rdn).encode() or b'nobody'
                self.send_response(200)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass

        self.server = Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_port
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket,
                                                 server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def client_certificates(crt, key, ca, version):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = tls.maximum_version = version
    tls.load_cert_chain(crt, key)
    tls.load_verify_locations(ca)
    tls.verify_mode = ssl.CERT_REQUIRED
    return tls


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid),
              encoding='ascii') as f:
        return {int(x) for x in f.read().split()}


class Programs:
    keys_are = None

    @classmethod
    def setUpClass(cls):
        cls.keys = cls.keys_are()
        cls.addClassCleanup(cls.keys.stop)
        cls.ca = cls.keys.ca.crt

    def start(self, kind, *argv, cwd=None):
        server = hsms.Running(argv, '%s/%s-%s.log' % (
            self.keys.dir, os.path.basename(argv[0]), kind), self.keys.env,
            cwd or self.keys.dir)
        self.addCleanup(server.stop)
        return server

    def up(self, server, port):
        """It listens and has said nothing bad."""
        for _ in range(100):
            if server.child.poll() is not None:
                break
            try:
                https(NAME, port, self.ca, 'GET', '/')
                return
            except DIED as e:
                why = e
            time.sleep(0.05)
        else:
            self.fail('%r: %s' % (why, server.said()))
        self.fail('%d: %s' % (server.child.returncode, server.said()))

    def load(self, port):
        load = Load(port, self.ca)
        self.addCleanup(load.stop)
        return load

    def no_failure(self, load, server):
        load.stop()
        self.assertEqual(load.failed, [], server.said())
        self.assertGreater(len(load.bodies), 20)

    # ---- nginx

    def nginx(self, kind):
        port = hsms.free_port()
        where = '%s/nginx-%s' % (self.keys.dir, kind)
        shutil.rmtree(where, ignore_errors=True)
        os.mkdir(where)
        write(where + '/nginx.conf', NGINX % (
            WORKERS, 'user root;' if os.getuid() == 0 else '', port,
            self.keys.leaf(kind), self.keys.pem(kind)))
        server = self.start(kind, 'nginx', '-p', where, '-c',
                            where + '/nginx.conf', '-e', 'stderr')
        self.up(server, port)
        return server, port

    def workers(self, server, without=frozenset()):
        """Its workers, once there are as many as there should be and none is
        of those."""
        for _ in range(600):
            now = children(server.child.pid)
            if len(now) == WORKERS and not now & without:
                return now
            time.sleep(0.05)
        self.fail('workers: %s: %s' % (now, server.said()))

    def all_kinds(self, test):
        for kind in KINDS:
            with self.subTest(kind=kind):
                test(kind)
                self.doCleanups()

    def test_nginx_reloads_under_load(self):
        self.all_kinds(self.reload)

    def reload(self, kind):
        server, port = self.nginx(kind)
        old = self.workers(server)
        load = self.load(port)
        load.wait_for(40)
        for _ in range(3):
            server.child.send_signal(signal.SIGHUP)
            new = self.workers(server, old)
            load.wait_for(40)
            old = new
        before = len(load.bodies)
        load.wait_for(80)
        self.no_failure(load, server)
        self.assertLessEqual(set(map(int, load.bodies[before + 4:])), new)
        self.assertGreater(len(set(load.bodies)), 3)  # workers that answered

    def test_nginx_replaces_a_worker_that_died(self):
        self.all_kinds(self.replace)

    def replace(self, kind):
        server, port = self.nginx(kind)
        old = self.workers(server)
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        new = self.workers(server, old)
        load = self.load(port)
        load.wait_for(40)
        self.no_failure(load, server)
        self.assertLessEqual(set(map(int, load.bodies)), new)

    # ---- stunnel

    def test_stunnel_serves(self):
        self.all_kinds(self.stunnel)

    def stunnel(self, kind):
        backend = Backend()
        self.addCleanup(backend.stop)
        port = hsms.free_port()
        conf = write('%s/stunnel-%s.conf' % (self.keys.dir, kind), STUNNEL % (
            port, backend.port, self.keys.leaf(kind), self.keys.pem(kind)))
        server = self.start(kind, 'stunnel4', conf)
        self.up(server, port)
        load = self.load(port)
        load.wait_for(80)
        self.no_failure(load, server)
        self.assertEqual(set(load.bodies), {'nobody'})

    # ---- curl

    def test_curl_is_a_client(self):
        self.all_kinds(self.curl)

    def curl(self, kind):
        key = '%s/server.key' % self.keys.dir
        hsms.soft('genpkey', '-algorithm', 'EC', '-pkeyopt', 'group:P-256',
                  '-out', key)
        hsms.soft('pkey', '-in', key, '-pubout', '-out', key + '.pub')
        crt = self.keys.ca.certify(key + '.pub', 'server', 'leaf',
                                   key + '.crt')
        for version in TLS:
            server = Backend(client_certificates(crt, key, self.ca, version))
            self.addCleanup(server.stop)
            said = run('curl', '--silent', '--show-error', '--fail',
                       '--noproxy', '*', '--cacert', self.ca, '--resolve',
                       '%s:%d:127.0.0.1' % (NAME, server.port), '--cert',
                       self.keys.leaf(kind), '--key', self.keys.pem(kind),
                       'https://%s:%d/' % (NAME, server.port),
                       env=self.keys.env)
            self.assertEqual(said.decode(), kind)
            with self.assertRaises(AssertionError):
                run('curl', '--silent', '--fail', '--noproxy', '*',
                    '--cacert', self.ca, '--resolve', '%s:%d:127.0.0.1'
                    % (NAME, server.port), 'https://%s:%d/'
                    % (NAME, server.port), env=self.keys.env)


def programs(keys):
    """A case of the same tests under names of its own."""
    tests = {n.replace('test_', 'test_%s_' % keys.name): f
             for n, f in vars(Programs).items() if n.startswith('test_')}
    return type(keys.name, (Programs, unittest.TestCase),
                dict(tests, keys_are=keys))


Files = programs(hsms.Files)
SoftHsm = programs(hsms.SoftHsm)
Nss = unittest.skipUnless(hsms.Nss.module, 'no libsoftokn3.so: set '
                          'NSS_MODULE')(programs(hsms.Nss))

if __name__ == '__main__':
    main()
