# SPDX-License-Identifier: Apache-2.0
"""Every verb of openssl that takes a key, by the table in verbs.py and its
two sequels, with keys in files, in SoftHSM and in NSS softokn: a test for each
row and kind of key.  The first two are there again where OpenSSL asks the
provider before its own.

VERBS may be a regular expression, for the rows of that name alone.
"""

import base64
import json
import os
import re
import shlex
import subprocess
import time
import unittest

import hsms
import verbs
import verbs_token
import verbs_x509
from tap import main
from wire import read, run, write

ROWS = verbs.ROWS + verbs_x509.ROWS + verbs_token.ROWS
MD = {'p384': 'sha384', 'p521': 'sha512'}
KEY = bytes(range(32))

CA_CONF = '''[ca]
default_ca = this
[this]
database = index.txt
new_certs_dir = .
rand_serial = yes
default_days = 1
default_crl_days = 1
policy = any
unique_subject = no
[any]
commonName = supplied
'''

TS_CONF = '''[tsa]
default_tsa = this
[this]
serial = serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
'''


class Table(unittest.TestCase):
    keys_are = None

    @classmethod
    def setUpClass(cls):
        cls.keys = cls.keys_are()
        cls.addClassCleanup(cls.keys.stop)
        cls.top, ca = cls.keys.dir, cls.keys.ca
        write(cls.top + '/ca.cnf', CA_CONF)
        write(cls.top + '/ts.cnf', TS_CONF)
        with open(cls.top + '/hexkey', 'wb') as f:
            f.write(KEY)
        key = cls.top + '/soft.key'
        hsms.soft('genpkey', '-algorithm', 'RSA', '-out', key)
        hsms.soft('pkey', '-in', key, '-pubout', '-out', cls.top + '/soft.pub')
        ca.certify(cls.top + '/soft.pub', 'soft', 'leaf',
                   cls.top + '/soft.crt')
        hsms.soft('req', '-new', '-key', key, '-subj', '/CN=csr', '-out',
                  cls.top + '/soft.csr')
        if issubclass(cls.keys_are, hsms.Hsm):
            for kind in cls.keys.kinds:
                cls.keys.certify_inside(kind)

    def values(self, kind):
        k = self.keys
        md = MD.get(kind, 'sha256')
        signs_all = kind.startswith('ed')
        return {
            'kind': kind, 'top': self.top, 'root': k.ca.crt,
            'provider': k.provider,    # as the configuration names it
            'key': k.key(kind),        # the private key
            'public': k.public(kind),  # the public one where that is
            'cert': k.cert(kind),      # the leaf certificate where that is
            'pem': k.pem(kind),        # a PEM file for the private key
            'pub': k.pub(kind),        # the public key as software knows it
            'csr': self.top + '/soft.csr',
            'leaf': k.leaf(kind), 'tsa': '%s/%s.tsa' % (self.top, kind),
            'ca': '%s/%s.ca' % (self.top, kind),
            'ocsp': '%s/%s.ocsp' % (self.top, kind),
            'md': md, 'camd': 'default' if signs_all else md,
            'cmsmd': 'sha512' if signs_all else md,
            'digest': '' if signs_all else '-digest ' + md,
            'genopts': '-algorithm ' + ' '.join(hsms.Files.algorithm(kind)),
            'hexkey': KEY.hex(), 'address': self.address}

    def play(self, row, kind):
        self.kind, self.server = kind, None
        self.address = '127.0.0.1:%d' % hsms.free_port()
        self.dir = '%s/%s-%s' % (self.top, row.name.replace(' ', '-'), kind)
        os.mkdir(self.dir)
        self.file('msg', 'to be signed\n')
        self.file('other', 'to be signed.\n')
        values = self.values(kind)
        try:
            for line in row.script.replace('\\\n', '').splitlines():
                if line.strip():
                    words = shlex.split(line.strip().format(**values))
                    getattr(self, 'do_' + words[0])(*words[1:])
        finally:
            if self.server is not None:
                self.server.stop()

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, text=''):
        write(self.path(name), text + '\n' if name == 'serial' else text)

    def bytes(self, name):
        with open(self.path(name), 'rb') as f:
            return f.read()

    # ---- the lines of a script

    def openssl(self, env, words):
        argv, out, both, stdin = ['openssl'], None, False, b''
        words = iter(words)
        for w in words:
            if w in ('>', '>&'):
                out, both = next(words), w == '>&'
            elif w == '<':
                stdin = self.bytes(next(words))
            else:
                argv.append(w)
        done = subprocess.run(
            argv, input=stdin, env=env, cwd=self.dir, timeout=60, check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if both else subprocess.PIPE)
        if out is not None:
            with open(self.path(out), 'wb') as f:
                f.write(done.stdout)
        said = done.stdout if both else done.stderr
        return done.returncode, '%s: %d: %s' % (
            ' '.join(argv), done.returncode, said.decode(errors='replace'))

    def do_token(self, *words, env=None):
        code, said = self.openssl(env or self.keys.env, words)
        self.assertEqual(code, 0, said)

    def do_soft(self, *words):
        self.do_token(*words, env=hsms.SOFT)

    def do_refused(self, *words, env=None):
        code, said = self.openssl(env or self.keys.env, words)
        self.assertGreater(code, 0, said)

    def do_fails(self, *words):
        self.do_refused(*words, env=hsms.SOFT)

    def do_judges(self, who, *words):
        """What it says counts: OpenSSL 3.0 ends with 0 all the same."""
        self.openssl(self.keys.env if who == 'token' else hsms.SOFT, words)

    def do_same(self, a, b):
        self.assertEqual(self.bytes(a), self.bytes(b))

    def do_differ(self, a, b):
        self.assertNotEqual(self.bytes(a), self.bytes(b))

    def do_has(self, name, pattern):
        self.assertRegex(read(self.path(name)), pattern)

    def do_lacks(self, name, pattern):
        self.assertNotRegex(read(self.path(name)), pattern)

    def do_empty(self, name):
        self.assertEqual(self.bytes(name), b'')

    def do_serve(self, who, *words):
        self.server = hsms.Running(
            ['openssl', 's_server', '-accept', self.address, '-naccept',
             '1', *words], self.path('server'),
            self.keys.env if who == 'token' else hsms.SOFT, self.dir)
        for _ in range(200):
            if 'ACCEPT' in self.server.said():
                return
            if self.server.child.poll() is not None:
                break
            time.sleep(0.05)
        self.fail('s_server: ' + self.server.said())

    def do_served(self):
        code = self.server.child.wait(20)
        self.assertEqual(code, 0, self.server.said())

    def do_call(self, name, *args):
        getattr(self, name)(*args)

    # ---- what `call` calls

    def same_key(self, got, want):
        """Two PEM files have the same SubjectPublicKeyInfo."""
        self.assertEqual(*(run('openssl', 'pkey', '-pubin', '-in',
                               self.path(f), '-pubout', '-outform', 'DER',
                               env=hsms.SOFT) for f in (got, want)))

    def hex_of(self, public, text):
        """The octets that `pkey -text` shows in public are in text, too."""
        lines = re.findall(r'(?m)^ +((?:[0-9a-f]{2}:?)+)$',
                           read(self.path(public)))
        self.assertGreater(len(lines), 1)
        self.assertIn(''.join(lines), ''.join(
            re.sub(r'\s+', '', read(self.path(text)))))

    def uri_in(self, name, attribute):
        uris = hsms.uris_in(read(self.path(name)))
        self.assertEqual(len(uris), 1, read(self.path(name)))
        self.assertIn(attribute, re.split('[:;?]', uris[0]))
        self.assertNotIn('pin-', uris[0])

    def never_private(self, *words):
        """Whether it succeeds with the URI or fails is not said."""
        code, said = self.openssl(self.keys.env, words + ('>', 'got'))
        self.assertGreaterEqual(code, 0, said)
        self.assertNotIn(b'PRIVATE KEY', self.bytes('got'))
        if code == 0:
            self.uri_in('got', 'object=' + self.kind)

    def damage(self, name):
        data = bytearray(self.bytes(name))
        data[-9] ^= 1
        with open(self.path(name), 'wb') as f:
            f.write(data)

    def damage_pem(self, name):
        """Its last octets are the signature's."""
        head, *body, tail = read(self.path(name)).split('-----BEGIN')[
            -1].splitlines()
        data = bytearray(base64.b64decode(''.join(body)))
        data[-9] ^= 1
        self.file(name, '-----BEGIN%s\n%s%s\n' % (
            head, base64.encodebytes(data).decode(), tail))

    def octets(self, name, *parts):
        with open(self.path(name), 'wb') as f:
            f.write(bytes.fromhex(''.join(parts)))

    def decrypt(self, how, e, got):
        """By p11.py."""
        with open(self.path(got), 'wb') as f:
            f.write(self.keys.p11('decrypt', self.kind, how,
                                  stdin=self.bytes(e)))

    def export(self, label, name):
        self.keys.export(label, self.kind, self.path(name))

    def flags(self, label, *want):
        has = json.loads(self.keys.p11('flags', label))
        self.assertEqual({}, {w: has for w in want
                              if has[w.lstrip('!')] == w.startswith('!')})

    def listed(self, *names):
        """`storeutl` counts as p11.py does."""
        private, public, certs = map(int, self.keys.p11('count').split())
        for name, want in zip(names, ((private, public, certs),
                                      (private, 0, 0), (0, 0, certs))):
            text = read(self.path(name))
            self.assertEqual(want, tuple(
                len(re.findall(r'(?m)^\d+: %s$' % what, text))
                for what in ('Pkey', 'Public key', 'Certificate')), text)
            self.assertIn('Total found: %d\n' % sum(want), text)

    def written(self, name):
        private, public, certs = map(int, self.keys.p11('count').split())
        text = read(self.path(name))
        uris = hsms.uris_in(text)
        self.assertEqual((len(set(uris)), len(uris)), (private, private))
        self.assertEqual((text.count('BEGIN PUBLIC KEY'),
                          text.count('BEGIN CERTIFICATE')), (public, certs))

    def rand(self):
        """All random octets come from the token: there are none without."""
        found = re.search(r'(\S+) @ ' + self.keys.provider, run(
            'openssl', 'list', '-random-generators',
            env=self.keys.env).decode())
        self.assertIsNotNone(found, 'no random generator')
        random = 'random = %s\nproperties = provider=sealed\n' % found.group(1)
        env = dict(self.keys.env,
                   OPENSSL_CONF=self.keys.conf('rand.cnf', random))
        a, b = (run('openssl', 'rand', '64', env=env) for _ in range(2))
        self.assertEqual((len(a), len(b)), (64, 64))
        self.assertNotEqual(a, b)
        bad = write(self.path('bad.cnf'), re.sub(
            'token = .*', 'token = pkcs11:token=not',
            read(env['OPENSSL_CONF'])))
        self.do_refused('rand', '64', env=dict(env, OPENSSL_CONF=bad))


def method(row, kind):
    return lambda self: self.play(row, kind)


def table(keys):
    """A case with a method for each row that applies, and each kind."""
    body = {'keys_are': keys}
    for row in ROWS:
        if keys.name in row.where and re.search(os.environ.get('VERBS', ''),
                                                row.name):
            for kind in keys.kinds:
                if kind in row.kinds:
                    name = 'test_%s_%s_%s' % (
                        keys.__name__, row.name.replace(' ', '_'), kind)
                    assert name not in body, name
                    body[name] = method(row, kind)
    return type(keys.__name__, (Table,), body)


Files = table(hsms.Files)
FilesFirst = table(hsms.FilesFirst)
SoftHsm = table(hsms.SoftHsm)
SoftHsmFirst = table(hsms.SoftHsmFirst)
Nss = unittest.skipUnless(hsms.Nss.module, 'no libsoftokn3.so: set '
                          'NSS_MODULE')(table(hsms.Nss))

if __name__ == '__main__':
    main()
