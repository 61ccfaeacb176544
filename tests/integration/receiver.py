# SPDX-License-Identifier: Apache-2.0
"""Where notifications go: an HTTPS server under a CA of its own, which wants
to see the sender's certificate."""

import http.server
import json
import ssl
import threading

from wire import ForeignCa


class Notification:
    def __init__(self, handler, body):
        self.path, self.headers = handler.path, handler.headers
        self.key = handler.headers['Idempotency-Key']
        self.body = json.loads(body) if body else None
        self.peer = handler.connection.getpeercert()


class Receiver:
    """answer(notification) gives the status, 204 unless it is replaced.
    like: another receiver, whose CA this one has, too."""

    def __init__(self, d, anchors=None, like=None, port=0):
        ca = like.issuer if like else ForeignCa(
            '%s/receiver-%d' % (d.extra, id(self)))
        self.issuer, self.ca, self.got = ca, ca.crt, []
        self.lock = threading.Condition()
        self.answer = lambda n: 204
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_POST(self):
                n = Notification(self, self.rfile.read(
                    int(self.headers.get('Content-Length') or 0)))
                with this.lock:
                    this.got.append(n)
                    this.lock.notify_all()
                self.send_response_only(this.answer(n))
                self.send_header('Content-Length', '0')
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # the sender was killed

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*ca.issue('DNS:localhost,DNS:there.example'))
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(anchors or d.a.ca)
        self.server = Server(('127.0.0.1', port), Handler)
        self.server.socket = tls.wrap_socket(
            self.server.socket, server_side=True,
            do_handshake_on_connect=False)
        self.port = self.server.server_port
        self.url = 'https://localhost:%d/' % self.port
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def seen(self):
        with self.lock:
            return list(self.got)

    def clear(self):
        with self.lock:
            self.got.clear()

    def wait(self, wanted, seconds=10):
        """The notifications, once wanted(them) is true; None: too late."""
        with self.lock:
            ok = self.lock.wait_for(lambda: wanted(self.got), seconds)
            return list(self.got) if ok else None

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
