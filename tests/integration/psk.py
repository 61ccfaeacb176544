# SPDX-License-Identifier: Apache-2.0
"""Security method 1 as the tests do it: Python's hmac for TS 33.122 A.1 and
RFC 8446, and programs of others for TLS."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import tempfile
import time
import unittest

import domains
from domains import API, PATH, VS

# What libssl says of a binder that does not hold: illegal_parameter in 3.0,
# decrypt_error, as RFC 8446 4.2.11 has it, in 3.5.
OPENSSL = subprocess.run(['openssl', 'version'], capture_output=True,
                         text=True, check=True).stdout
BAD_BINDER = 47 if OPENSSL.startswith('OpenSSL 3.0.') else 51
HANDSHAKE_FAILURE = 40
GNUTLS = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK'


# ---- derivations -----------------------------------------------------------

def sha256_mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def aefpsk(key, p0, p1):
    """TS 33.122 A.1."""
    return sha256_mac(key, b'\x7a' + b''.join(
        p + len(p).to_bytes(2, 'big') for p in (p0, p1)))


def p0_of(interface):
    return json.dumps(interface, sort_keys=True,
                      separators=(',', ':')).encode()


def expand_label(secret, label, context, length=32):
    """HKDF-Expand-Label of RFC 8446 7.1, one block."""
    label = b'tls13 ' + label
    return sha256_mac(secret, length.to_bytes(2, 'big')
                      + bytes([len(label)]) + label
                      + bytes([len(context)]) + context + b'\x01')[:length]


def exporter(secret, label):
    """RFC 8446 7.5 with an empty context."""
    empty = hashlib.sha256(b'').digest()
    return expand_label(expand_label(secret, label, empty), b'exporter',
                        empty)


def session_key(keylog, session_id):
    """KEY and P1 from a key log (and, for TLS 1.2, the session ID)."""
    lines = dict(line.split(' ', 1) for line in keylog.splitlines()
                 if not line.startswith('#'))
    if 'CLIENT_RANDOM' in lines:
        return bytes.fromhex(lines['CLIENT_RANDOM'].split()[1]), session_id
    secret = bytes.fromhex(lines['EXPORTER_SECRET'].split()[1])
    return (exporter(secret, b'EXPORTER-3GPP-TS33122-AEFPSK'),
            exporter(secret, b'EXPORTER-Channel-Binding'))


class Psk:
    """What an invoker knows of one: its identity and its value."""

    seen = []  # all values of KEY and PSK there ever were

    def __init__(self, entry, key, p1):
        self.entry = entry
        self.info = json.loads(entry['authenticationInfo'])
        self.identity = self.info['pskIdentity']
        self.value = aefpsk(key, p0_of(self.info['interface']), p1)
        self.seen += [key, self.value]

    def hex(self):
        return self.value.hex()


def put_kept(who, wishes, tls=None, options=0):
    """PUT the context; (answer, KEY, P1) of the session that did it."""
    conn = domains.Https(who.ccf.id, who.ccf.port, who.ccf.ca, who, tls)
    conn.tls.options |= options
    fd, path = tempfile.mkstemp(dir=who.ccf.d.extra)
    os.close(fd)
    conn.tls.keylog_filename = path
    try:
        conn.request('PUT', who.context, json.dumps({
            'securityInfo': wishes, 'supportedFeatures': '0',
            'notificationDestination': 'https://invoker.invalid/n'}),
            {'Content-Type': 'application/json'})
        answer = domains.Answer(conn.getresponse())
        return (answer, *session_key(domains.read(path),
                                     conn.sock.session.id))
    finally:
        conn.close()


def negotiate(who, *names, tls=None):
    """One Psk a name."""
    found = who.discover()
    a, key, p1 = put_kept(who, [who.wish(found[n], methods=['PSK'])
                                for n in names or (API,)], tls)
    assert a.status == 201, a
    psks = [Psk(e, key, p1) for e in a.json()['securityInfo']]
    return psks if names else psks[0]


def initiate(who, port=None, name=None):
    """Authentication initiation: the AEF asks its CCF anew."""
    d = who.ccf.d
    a = domains.https(name or d.aef_name, port or d.control, d.b.ca, 'POST',
                      '/aef-security/v1/check-authentication', body={
                          'apiInvokerId': who.id, 'supportedFeatures': '0',
                          VS: {'srcCcfId': who.ccf.id}})
    assert a.status == 200, a


def ready(who, *names, **kw):
    psk = negotiate(who, *names, **kw)
    initiate(who)
    return psk


def forms(secret):
    """A secret as it might be written."""
    return (secret, secret.hex().encode(), secret.hex().upper().encode(),
            base64.b64encode(secret).rstrip(b'='),
            base64.urlsafe_b64encode(secret).rstrip(b'='))


# ---- peers -----------------------------------------------------------------

class Reply:
    """What a program got: of HTTP, or of TLS that failed."""

    def __init__(self, done):
        self.text = done.stdout.decode(errors='replace')
        head, _, self.body = self.text.partition('HTTP/1.1 ')
        self.tls = head
        self.status = int(self.body[:3]) if self.body else None
        self.headers, _, self.body = self.body.partition('\r\n\r\n')
        _, _, alert = self.text.partition('SSL alert number ')
        self.alert = int(alert.split()[0]) if alert else None

    def json(self):
        return json.JSONDecoder().raw_decode(self.body)[0]

    def __str__(self):
        return self.text[-3000:]


def get(name, path, headers=()):
    return ('GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n' % (
        path, name, ''.join('%s: %s\r\n' % h for h in headers))).encode()


def s_client(port, name, *options, request=b'', env=None):
    return Reply(subprocess.run(
        ['openssl', 's_client', '-connect', '127.0.0.1:%d' % port,
         '-servername', name, '-ign_eof', *options], input=request, env=env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
        check=False))


def psk_options(psk, value=None, identity=None):
    return ('-psk', value or psk.hex(), '-psk_identity',
            identity or psk.identity)


def call(d, psk, *more, path=PATH, value=None, identity=None, headers=()):
    return s_client(d.service, d.aef_name, '-tls1_3', *more,
                    *psk_options(psk, value, identity),
                    request=get(d.aef_name, path, headers))


def gnutls(d, psk, value=None, priority=GNUTLS, options=()):
    """gnutls-cli ends with its input, so that is kept open."""
    with subprocess.Popen(
            ['gnutls-cli', '--port', str(d.service), '--sni-hostname',
             d.aef_name, '--pskusername', psk.identity, '--pskkey',
             value or psk.hex(), '--priority', priority, *options,
             '127.0.0.1'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT) as child:
        try:
            child.stdin.write(get(d.aef_name, PATH))
            child.stdin.flush()
        except BrokenPipeError:
            pass  # refused before it read that
        child.stdout_all = child.stdout.read()
        try:
            child.stdin.close()
        except BrokenPipeError:
            pass
    return Reply(subprocess.CompletedProcess((), child.returncode,
                                             child.stdout_all))


def token_get(d, owner, crt, key, ccf, path):
    """GET at a CCF with a certificate whose key is in owner's token."""
    return s_client(ccf.port, ccf.id, '-quiet', '-CAfile', ccf.ca,
                    '-verify_return_error', '-cert',
                    '%s/%s/%s' % (d.dir, owner, crt), '-key',
                    'pkcs11:object=%s;type=private' % key,
                    request=get(ccf.id, path), env=d.env(owner))


def info_as_aef(d, who):
    """What CCF-B tells aef-b1 of an invoker."""
    return token_get(
        d, 'aef-b', 'aef.crt', 'aef', d.b, '%s?authenticationInfo=true'
        '&authorizationInfo=true&vs-src-ccf-id=%s' % (who.context,
                                                      who.ccf.id))


def info_as_ccf_b(d, who, **query):
    """What CCF-A tells CCF-B of an invoker of its own."""
    query = {'authenticationInfo': 'true', 'vs-aef-id': 'aef-b1',
             **{k.replace('_', '-'): v for k, v in query.items()}}
    return token_get(d, 'ccf-b', 'ccf.crt', 'tls', d.a, who.context + '?'
                     + '&'.join('%s=%s' % q for q in query.items()
                                if q[1] is not None))


# ---- an SSL_SESSION of OpenSSL, for s_client's early data ------------------

def der(tag, *parts):
    data = b''.join(parts)
    assert len(data) < 256
    return bytes([tag]) + (bytes([0x81]) if len(data) > 127 else b'') \
        + bytes([len(data)]) + data


def session_pem(psk):
    """ssl/ssl_asn1.c: a TLS 1.3 PSK that allows early data."""
    body = der(0x30, der(2, b'\x01'), der(2, b'\x03\x04'),
               der(4, b'\x13\x01'), der(4), der(4, psk.value),
               der(0xa2, der(2, b'\x0e\x10')),
               der(0xaf, der(2, b'\x10\x00')))
    return ('-----BEGIN SSL SESSION PARAMETERS-----\n%s'
            '-----END SSL SESSION PARAMETERS-----\n'
            % base64.encodebytes(body).decode())


# ---- what tests have in common ---------------------------------------------

def log(d, name='aef-b'):
    return domains.read('%s/%s/log' % (d.dir, name))


def log_with(d, mark, name='aef-b', seen=0):
    """The log from seen on, once mark is in it."""
    end = time.monotonic() + 5
    while mark not in log(d, name)[seen:]:
        assert time.monotonic() < end, mark
        time.sleep(0.005)
    return log(d, name)[seen:]


class Case(unittest.TestCase):
    d = None  # set by setUpModule()

    def answered(self, r):
        """The northbound API's answer, by the PSK and no certificate."""
        self.assertEqual(r.status, 200, r)
        self.assertIn('b-42', r.body)
        self.assertNotIn('BEGIN CERTIFICATE', r.tls)

    def works(self, psk, *more, **kw):
        r = call(self.d, psk, *more, **kw)
        self.answered(r)
        self.assertIn('Reused, TLSv1.3', r.tls)
        return r

    def refused(self, psk, *more, alert=BAD_BINDER, **kw):
        r = call(self.d, psk, *more, **kw)
        self.assertEqual(r.alert, alert, r)
        self.assertIsNone(r.status, r)
        return r

    def wrong_method(self, a, want):
        self.assertEqual(a.status, 403, a)
        self.assertEqual(a.json()['cause'], 'WRONG_SECURITY_METHOD')
        self.assertEqual(a.json()['detail'], want)

    def no_secret_in_files(self, at_least):
        """Nothing that ever was a KEY or a PSK; the invoker's own are."""
        self.assertGreaterEqual(len(Psk.seen), at_least)
        wanted = {f for s in Psk.seen for f in forms(s)}
        n = 0
        for path in self.d.files():
            if path.startswith(self.d.dir + '/invoker/'):
                continue
            with open(path, 'rb') as f:
                data = f.read()
            n += 1
            for form in wanted:
                self.assertNotIn(form, data, path)
        self.assertGreater(n, 30)
