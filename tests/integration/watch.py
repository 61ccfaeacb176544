# SPDX-License-Identifier: Apache-2.0
"""Somebody in the middle of CAPIF-6e or CAPIF-3, who can be that because the
tests have the CAs of all domains: sees what is asked and answered, and passes
it on unaltered."""

import hashlib
import http.server
import json
import sqlite3
import ssl
import threading
import time

import domains
from domains import b64, run
from test_authorization import ccf_certificate, certificate


class Seen:
    """One request and its answer."""

    def __init__(self, handler, sent, answer):
        self.method, self.path = handler.command, handler.path
        self.peer = dict(handler.connection.getpeercert()['subject'][0])[
            'commonName']
        self.sent = json.loads(sent) if sent else None
        self.status = answer.status
        self.got = answer.json() if answer.body else None


class Watch:
    """In front of ccf, with its name; to it, who is whom the requests are
    of.  cas: whose certificates to ask for."""

    def __init__(self, ccf, who, cas):
        self.seen = seen = []
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def handle_any(self):
                body = self.rfile.read(
                    int(self.headers.get('Content-Length') or 0))
                kind = self.headers.get('Content-Type')
                a = domains.https(
                    ccf.id, ccf.port, ccf.ca, self.command, self.path, who,
                    headers={'Content-Type': kind} if kind else {},
                    body=body or None)
                with lock:
                    seen.append(Seen(self, body if kind == 'application/json'
                                     else b'', a))
                self.send_response_only(a.status)
                for name in ('Content-Type', 'Location', 'Retry-After'):
                    if name in a.headers:
                        self.send_header(name, a.headers[name])
                self.send_header('Content-Length', str(len(a.body)))
                self.end_headers()
                self.wfile.write(a.body)

            do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = handle_any

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # whoever asked has gone

        front = ccf_certificate(ccf, ccf.id)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(front.crt, front.key)
        tls.verify_mode = ssl.CERT_REQUIRED
        for ca in cas:
            tls.load_verify_locations(ca)
        self.server = Server(('127.0.0.1', 0), Handler)
        self.port = self.server.server_address[1]
        self.server.socket = tls.wrap_socket(self.server.socket,
                                             server_side=True,
                                             do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.socket.close()

    def clear(self):
        self.seen.clear()

    def one(self, method, part):
        """The only request seen since clear() whose path has part."""
        found = [s for s in self.seen
                 if s.method == method and part in s.path]
        assert len(found) == 1, [(s.method, s.path) for s in self.seen]
        return found[0]


def thumbprint(crt):
    return b64(hashlib.sha256(run('openssl', 'x509', '-in', crt, '-outform',
                                  'DER')).digest())


def change(d, ccf, sql, *args):
    """Change one row behind a CCF's back."""
    db = sqlite3.connect('%s/%s/store.db' % (d.dir, ccf))
    with db:
        n = db.execute(sql, args).rowcount
    db.close()
    assert n == 1


def second_certificate(d):
    """The AEF's key is in its token: CCF-B takes another one for its own."""
    now = [time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + t))
           for t in (-60, 3600)]
    m = certificate(d.b, 'URI:urn:capif:%s:aef:aef-b1' % d.b.id, *now)
    change(d, 'ccf-b', "UPDATE member SET thumbprint = ? WHERE id = 'aef-b1'",
           thumbprint(m.crt))
    return m
