# SPDX-License-Identifier: Apache-2.0
"""A northbound API of the tests' own."""

import http.server
import os
import socket
import threading


class Backend:
    """In place of quickstart's.  answer is called with the handler of each
    request, which is in seen."""

    def __init__(self, d):
        self.seen, self.answer = [], self.plain
        if os.path.exists(d.dir + '/backend.pid'):
            d.end('backend')
        this = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def read_body(self):
                if self.headers.get('Transfer-Encoding') != 'chunked':
                    return self.rfile.read(
                        int(self.headers.get('Content-Length') or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b''.join(parts)

            def handle_any(self):
                self.body = self.read_body()
                this.seen.append(self)
                this.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any
            do_HEAD = do_PATCH = do_OPTIONS = handle_any

            def setup(self):
                super().setup()
                this.open.append(self.connection)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, request, client_address):
                pass  # the AEF or stop() went away: what tests look at

        self.open = []
        self.server = Server(('127.0.0.1', d.backend), Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    @staticmethod
    def plain(h, status=200, headers=(), body=b'{"cellId":"b-42"}'):
        h.send_response_only(status)
        for name, value in headers:
            h.send_header(name, value)
        if status not in (204, 304):
            h.send_header('Content-Length', str(len(body)))
        h.end_headers()
        if h.command != 'HEAD':
            h.wfile.write(body)

    def gives(self, status=200, headers=(), body=b'{"cellId":"b-42"}'):
        self.seen.clear()
        self.answer = lambda h: self.plain(h, status, headers, body)

    def stop(self):
        self.server.shutdown()
        self.server.socket.close()
        for connection in self.open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # closed before
