# SPDX-License-Identifier: Apache-2.0
"""A fresh token with keys of all kinds, made without the provider under test,
and certificates for them by a CA in software."""

import base64
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import p11
from wire import run, write

BUILD = os.environ['BUILD_DIR']
HERE = os.path.dirname(os.path.abspath(__file__))
PIN = '31415926'
PEM = 'PKCS#11 PROVIDER URI'
SOFT = dict(os.environ, OPENSSL_CONF='/dev/null')

CONF = '''openssl_conf = openssl_init
[openssl_init]
providers = providers
%s[providers]
%s
[default_provider]
activate = 1
[sealed_provider]
activate = 1
module = %s/provider/sealed.so
pkcs11-module = %s
token = %s
pin-file = %s
%s%s'''

# OpenSSL asks in the order of the names, once it looked one up.
LAST = 'default = default_provider\nsealed = sealed_provider'
FIRST = 'aaa = sealed_provider\ndefault = default_provider'

EXTENSIONS = '''[leaf]
subjectAltName = DNS:localhost, IP:127.0.0.1
keyUsage = critical, digitalSignature, keyEncipherment, keyAgreement
extendedKeyUsage = serverAuth, clientAuth, emailProtection
authorityKeyIdentifier = keyid
[tsa]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[ocsp]
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
'''


def module(variable, *paths):
    """The first that is there, or what the environment names; or None."""
    given = os.environ.get(variable)
    return given or next((p for p in paths if os.access(p, os.R_OK)), None)


def soft(*argv, **kw):
    """openssl, knowing of no token."""
    return run('openssl', *argv, env=SOFT, **kw)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def uri_pem(uri):
    """The file that stands for a key where only a file will do."""
    body = base64.b64encode(p11.der(
        0x30, p11.der(26, b'PKCS#11 Provider URI v1.0'),
        p11.der(12, uri.encode()))).decode()
    return '-----BEGIN %s-----\n%s-----END %s-----\n' % (
        PEM, ''.join(body[i:i + 64] + '\n' for i in range(0, len(body), 64)),
        PEM)


def uris_in(text):
    """What such blocks say; each must be exactly as uri_pem() makes it."""
    out = []
    for block in re.findall('-----BEGIN %s-----.*?-----END %s-----\n'
                            % (PEM, PEM), text, re.S):
        der = base64.b64decode(''.join(block.splitlines()[1:-1]))
        uri = der[der.index(b'pkcs11:'):].decode()
        assert uri_pem(uri) == block, block
        out.append(uri)
    return out


class Ca:
    """A root in software, and what it certifies: any public key."""

    def __init__(self, where):
        self.dir = where
        self.crt, self.key = where + '/root.crt', where + '/root.key'
        self.ext = write(where + '/extensions', EXTENSIONS)
        soft('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout',
             self.key, '-subj', '/CN=Root', '-days', '2', '-addext',
             'basicConstraints=critical,CA:TRUE', '-addext',
             'keyUsage=critical,keyCertSign,cRLSign', '-addext',
             'subjectKeyIdentifier=hash', '-out', self.crt)
        self.csr = where + '/any.csr'
        soft('req', '-new', '-key', self.key, '-subj', '/CN=any', '-out',
             self.csr)

    def certify(self, pub, name, use, out):
        """Certificate of the public key in pub, with the extensions use."""
        soft('x509', '-req', '-in', self.csr, '-force_pubkey', pub, '-subj',
             '/CN=' + name, '-CA', self.crt, '-CAkey', self.key, '-days', '2',
             '-extfile', self.ext, '-extensions', use, '-out', out)
        return out


class Keys:
    """What all have: certificates, and a directory that is gone at the end."""
    name, kinds = None, ()
    provider, providers = 'sealed', LAST

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='sealed-it-')
        self.ca = Ca(self.dir)
        self.set_up()
        for kind in self.kinds:
            for use in ('leaf', 'tsa', 'ocsp', 'ca'):
                self.ca.certify(self.pub(kind), kind, use,
                                '%s/%s.%s' % (self.dir, kind, use))

    def set_up(self):
        raise NotImplementedError

    def stop(self):
        shutil.rmtree(self.dir)

    def pub(self, kind):
        return '%s/%s.pub' % (self.dir, kind)

    def leaf(self, kind):
        return '%s/%s.leaf' % (self.dir, kind)


class Files(Keys):
    """Ordinary keys: they show that a test asks for nothing unusual."""
    name = 'files'
    kinds = ('rsa2048', 'p256', 'p384', 'p521', 'ed25519', 'ed448', 'x25519')

    def set_up(self):
        self.env = SOFT
        for kind in self.kinds:
            soft('genpkey', '-algorithm', *self.algorithm(kind), '-out',
                 self.key(kind))
            soft('pkey', '-in', self.key(kind), '-pubout', '-out',
                 self.pub(kind))

    @staticmethod
    def algorithm(kind):
        if kind.startswith('rsa'):
            return ('RSA', '-pkeyopt', 'rsa_keygen_bits:' + kind[3:])
        if kind[0] == 'p':
            return ('EC', '-pkeyopt', 'group:P-' + kind[1:])
        return (kind.upper(),)

    def key(self, kind):
        return '%s/%s.key' % (self.dir, kind)

    pem = key
    public, cert = Keys.pub, Keys.leaf


class Hsm(Keys):
    module = label = init_args = None

    def set_up(self):
        self.pin = self.dir + '/pin'
        with open(os.open(self.pin, os.O_CREAT | os.O_WRONLY, 0o600),
                  'w', encoding='ascii') as f:
            f.write(PIN + '\n')
        self.init()
        self.env = dict(os.environ, OPENSSL_CONF=self.conf())
        self.p11('make', *self.kinds)
        for kind in self.kinds:
            self.export(kind, kind, self.pub(kind))
            write(self.pem(kind), uri_pem(self.key(kind)))

    def init(self):
        raise NotImplementedError

    def conf(self, name='openssl.cnf', random='', more=''):
        """An OpenSSL configuration of this token."""
        return write('%s/%s' % (self.dir, name), CONF % (
            'random = random\n' if random else '', self.providers, BUILD,
            self.module,
            'pkcs11:token=' + self.label.replace(' ', '%20'), self.pin,
            'init-args = %s\n' % self.init_args if self.init_args else '',
            more + ('[random]\n' + random if random else '')))

    def p11(self, *argv, stdin=None):
        return run(sys.executable, HERE + '/p11.py', self.module,
                   self.init_args or '', self.label, self.pin, *argv,
                   stdin=stdin)

    def export(self, label, kind, out):
        """The public key, read by p11.py, as a PEM file."""
        soft('pkey', '-pubin', '-inform', 'DER', '-pubout', '-out', out,
             stdin=self.p11('spki', label, kind))

    def certify_inside(self, kind):
        """The leaf certificate goes into the token."""
        path = '%s/%s.der' % (self.dir, kind)
        soft('x509', '-in', self.leaf(kind), '-outform', 'DER', '-out', path)
        self.p11('cert', kind, path)

    def key(self, kind):
        return 'pkcs11:object=%s;type=private' % kind

    def public(self, kind):
        return 'pkcs11:object=%s;type=public' % kind

    def cert(self, kind):
        return 'pkcs11:object=%s;type=cert' % kind

    def pem(self, kind):
        return '%s/%s.pem' % (self.dir, kind)


class SoftHsm(Hsm):
    name = 'softhsm'
    kinds = Files.kinds
    label = 'verbs'
    module = module('SOFTHSM2_MODULE', '/usr/lib/softhsm/libsofthsm2.so',
                    '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
                    '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
                    '/usr/lib64/pkcs11/libsofthsm2.so',
                    '/usr/local/lib/softhsm/libsofthsm2.so')

    def init(self):
        os.mkdir(self.dir + '/tokens', 0o700)
        os.environ['SOFTHSM2_CONF'] = write(
            self.dir + '/softhsm2.conf',
            'directories.tokendir = %s/tokens\nlog.level = ERROR\n' % self.dir)
        run('softhsm2-util', '--module', self.module, '--init-token',
            '--free', '--label', self.label, '--so-pin', '5678', '--pin', PIN)


class SoftHsmFirst(SoftHsm):
    """The provider is asked before the default one, for everything."""
    provider, providers = 'aaa', FIRST


class FilesFirst(Files):
    """The same with keys that are none of its: no token is there to ask."""
    provider = 'aaa'

    def set_up(self):
        super().set_up()
        self.env = dict(os.environ, OPENSSL_CONF=write(
            self.dir + '/openssl.cnf', CONF % (
                '', FIRST, BUILD, SoftHsm.module, 'pkcs11:token=none',
                self.dir + '/none', '', '')), SOFTHSM2_CONF=write(
                    self.dir + '/softhsm2.conf',
                    'directories.tokendir = %s\n' % self.dir))


class Nss(Hsm):
    name = 'nss'
    kinds = ('rsa2048', 'p256', 'p384', 'p521', 'x25519')
    label = 'NSS Certificate DB'
    module = module('NSS_MODULE', '/usr/lib/x86_64-linux-gnu/libsoftokn3.so',
                    '/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so',
                    '/usr/lib/aarch64-linux-gnu/libsoftokn3.so',
                    '/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so',
                    '/usr/lib64/libsoftokn3.so')

    def init(self):
        db = 'sql:%s/nss' % self.dir
        os.mkdir(self.dir + '/nss', 0o700)
        run('certutil', '-N', '-d', db, '-f', self.pin)
        self.init_args = ("configdir='%s' certPrefix='' keyPrefix='' "
                          "secmod='secmod.db' flags=" % db)


class Running:
    """A program in the foreground, ended by its process id."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.log = log
        with open(log, 'wb') as f:
            self.child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.PIPE, stdout=f,
                stderr=subprocess.STDOUT, env=env, cwd=cwd)

    def said(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return f.read()

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdin.close()
