# SPDX-License-Identifier: Apache-2.0
"""Commands, keys, certificates, JWS and HTTPS, as the tests need them."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import subprocess

DIED = (ssl.SSLError, ConnectionError, http.client.IncompleteRead)


# ---- small things ----------------------------------------------------------

def run(*argv, stdin=None, env=None, cwd=None):
    """Standard output of a command that must succeed."""
    done = subprocess.run([str(a) for a in argv], input=stdin, env=env,
                          cwd=cwd, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError('%s: %d: %s' % (
            ' '.join(map(str, argv)), done.returncode,
            done.stderr.decode(errors='replace')))
    return done.stdout


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


def b64(data):
    if isinstance(data, dict):
        data = json.dumps(data, separators=(',', ':'))
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def changed(text, i):
    """text with the base64url character at i changed to one that differs in
    its highest bit, or, of a last character with pad bits, in its lowest."""
    alphabet = ('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
                '0123456789-_')
    i %= len(text)
    return text[:i] + alphabet[alphabet.index(text[i]) ^ 33] + text[i + 1:]


# ---- keys, certificates, JWS ----------------------------------------------

def make_key(path):
    run('openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-out', path)
    return path


def make_csr(key):
    return run('openssl', 'req', '-new', '-key', key, '-subj',
               '/CN=test').decode()


def der_to_rs(der):
    """ECDSA-Sig-Value of P-256 to R || S."""
    assert der[0] == 0x30 and der[2] == 2, der
    n = der[3]
    r, s = der[4:4 + n], der[6 + n:]
    return b''.join(x.lstrip(b'\0').rjust(32, b'\0') for x in (r, s))


def jws(header, claims, key, env=None):
    """ES256 by `openssl dgst`: key may be a file or a pkcs11: URI."""
    text = b64(header) + '.' + b64(claims)
    der = run('openssl', 'dgst', '-sha256', '-sign', key, stdin=text.encode(),
              env=env)
    return text + '.' + b64(der_to_rs(der))


def jws_hmac(header, claims, secret):
    text = b64(header) + '.' + b64(claims)
    return text + '.' + b64(hmac.new(secret, text.encode(),
                                     hashlib.sha256).digest())


def jws_parts(token):
    header, claims, _ = token.split('.')
    return json.loads(unb64(header)), json.loads(unb64(claims))


class ForeignCa:
    """A CA that nobody trusts, and its certificates."""

    def __init__(self, where, name='Foreign CA'):
        os.mkdir(where)
        self.dir, self.n = where, 0
        self.key = make_key(where + '/ca.key')
        self.crt = where + '/ca.crt'
        run('openssl', 'req', '-x509', '-new', '-key', self.key, '-subj',
            '/CN=' + name, '-days', '2', '-out', self.crt)

    def issue(self, san):
        self.n += 1
        base = '%s/%d' % (self.dir, self.n)
        key = make_key(base + '.key')
        write(base + '.csr', make_csr(key))
        write(base + '.ext', 'subjectAltName=%s\nextendedKeyUsage=clientAuth,'
              'serverAuth\nkeyUsage=critical,digitalSignature\n' % san)
        run('openssl', 'x509', '-req', '-in', base + '.csr', '-CA', self.crt,
            '-CAkey', self.key, '-days', '2', '-extfile', base + '.ext',
            '-out', base + '.crt')
        return base + '.crt', key


# ---- HTTPS -----------------------------------------------------------------

class Answer:
    def __init__(self, r):
        self.status, self.headers = r.status, r.headers
        self.reason = r.reason
        self.body = r.read()

    def json(self):
        return json.loads(self.body)

    def text(self):
        return self.body.decode(errors='replace')

    def params(self):
        return [p['param'] for p in self.json().get('invalidParams', [])]

    def error(self):
        """What WWW-Authenticate says (RFC 6750 3), or None."""
        text = self.headers.get('WWW-Authenticate') or ''
        return (text.split('error="')[1].split('"')[0]
                if text.startswith('Bearer error="') else None)

    def __str__(self):
        return '%d %s: %s' % (self.status, dict(self.headers),
                              self.body[:300])


class Https(http.client.HTTPSConnection):
    """To 127.0.0.1, wherever DNS says that the name is.  who has a crt and a
    key, or is a pair of these."""

    def __init__(self, name, port, ca, who=None, tls=None, timeout=20):
        ctx = ssl.create_default_context(cafile=ca)
        if tls is not None:
            ctx.minimum_version = ctx.maximum_version = tls
        if who is not None:
            ctx.load_cert_chain(*(who if isinstance(who, tuple)
                                  else (who.crt, who.key)))
        super().__init__(name, port, context=ctx, timeout=timeout)
        self.tls = ctx

    def connect(self):
        sock = socket.create_connection(('127.0.0.1', self.port),
                                        self.timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self.tls.wrap_socket(sock, server_hostname=self.host)


def https(name, port, ca, method, path, who=None, headers=(), body=None,
          tls=None, timeout=20):
    conn = Https(name, port, ca, who, tls, timeout)
    headers = dict(headers)
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault('Content-Type', 'application/json')
    try:
        conn.request(method, path, body, headers)
        return Answer(conn.getresponse())
    finally:
        conn.close()
