# SPDX-License-Identifier: Apache-2.0
"""Where private keys are: in tokens, which never gave one away."""

import os
import re
import unittest

import domains

SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so'
WANT = {'ccf-a': {'ca', 'jws', 'tls'}, 'ccf-b': {'ca', 'jws', 'tls'},
        'aef-b': {'aef', 'apf', 'amf', 'transport'}}
PRIVATE = (b'PRIVATE KEY-----', b'"d":', b'"d" :')


def setUpModule():
    global d
    d = domains.Domains()


def tearDownModule():
    d.stop()


class Keys(unittest.TestCase):
    def private_keys(self, name):
        """{label: access flags} as another PKCS#11 program sees them."""
        out = domains.run(
            'pkcs11-tool', '--module', SOFTHSM, '--token-label', name,
            '--login', '--pin', domains.read('%s/%s/pin' % (d.dir, name)),
            '--list-objects', '--type', 'privkey',
            env=d.env(name)).decode()
        blocks = re.split(r'^Private Key Object', out, flags=re.M)[1:]
        return {re.search(r'label:\s+(\S+)', b).group(1):
                {f.strip() for f in re.search(r'Access:\s+(.*)', b)
                 .group(1).split(',')} for b in blocks}, len(blocks)

    def check(self, name):
        keys, count = self.private_keys(name)
        self.assertEqual(set(keys), WANT[name])
        self.assertEqual(count, len(WANT[name]))
        for label, flags in keys.items():
            with self.subTest(label=label):
                self.assertLessEqual({'sensitive', 'always sensitive',
                                      'never extractable', 'local'}, flags)
                self.assertNotIn('extractable', flags)

    def test_private_keys_of_ccf_a_never_left_its_token(self):
        self.check('ccf-a')

    def test_private_keys_of_ccf_b_never_left_its_token(self):
        self.check('ccf-b')

    def test_private_keys_of_aef_b_never_left_its_token(self):
        self.check('aef-b')

    def test_no_file_but_the_invoker_s_holds_a_private_key(self):
        found = set()
        for path in d.files():
            with open(path, 'rb') as f:
                data = f.read()
            if any(mark in data for mark in PRIVATE):
                found.add(os.path.relpath(path, d.dir))
        self.assertEqual(found, {'invoker/invoker.key'})

    def test_pins_are_in_no_other_file(self):
        for name in WANT:
            pin = domains.read('%s/%s/pin' % (d.dir, name)).encode()
            self.assertGreaterEqual(len(pin), 16)
            for path in d.files():
                if path != '%s/%s/pin' % (d.dir, name):
                    with open(path, 'rb') as f:
                        self.assertNotIn(pin, f.read(), path)

    def test_secrets_are_for_their_owner_only(self):
        for path in d.files():
            if path.endswith(('/pin', '.key', '/token', '/enrolment',
                              '.object', '/store.db')):
                self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)

    def test_logs_hold_no_token_and_no_enrolment(self):
        secrets = [domains.read(d.dir + p).strip().encode() for p in (
            '/invoker/token', '/invoker/enrolment', '/aef-b/enrolment')]
        for name in WANT:
            with open('%s/%s/log' % (d.dir, name), 'rb') as f:
                log = f.read()
            self.assertIn(b'event=ready', log)
            for secret in secrets:
                self.assertNotIn(secret, log)
                self.assertNotIn(secret.split(b'.')[2], log)


if __name__ == '__main__':
    domains.main()
