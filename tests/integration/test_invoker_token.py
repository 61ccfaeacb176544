# SPDX-License-Identifier: Apache-2.0
"""An API invoker with a token of its own: its key, the KEY of the session and
the PSK stay in there (`capif --key --kek`), against both domains."""

import json
import os

import domains
import psk as P
from domains import API, BUILD, read, run, write

NAME = 'own'
CAPIF = BUILD + '/tools/capif'
PATH = '/v1/subscriptions.json'


def setUpModule():
    global d
    d = P.Case.d = domains.Domains()
    make_token()


def tearDownModule():
    d.stop()


def make_token():
    top = '%s/%s' % (d.dir, NAME)
    d.make_token(NAME)
    write('%s/%s.cnf' % (top, NAME),
          read(d.a.conf).split('[ccf]')[0].replace('ccf-a', NAME))
    hsm = BUILD + '/tools/capif-hsm'
    run(hsm, 'keygen', 'pkcs11:object=invoker', env=d.env(NAME))
    run(hsm, 'kek', '--config', top + '/hsmd.cnf', '--so-pin-file',
        top + '/so-pin', 'pkcs11:object=kek', env=d.env(NAME))


def capif(command, *args, env=None):
    return run(CAPIF, command, '--dir', NAME, *args, cwd=d.dir,
               env=env or d.env(NAME))


def onboard(*more):
    aef = []
    for port in d.control, d.service:
        aef += ['--connect', '%s:%d:127.0.0.1:%d' % (d.aef_name, port, port)]
    enrolment = write(d.extra + '/enrolment', d.a.enrolment())
    capif('onboard', '--ccf', d.a.url, *d.a.connect, *aef, '--ca', d.a.ca,
          '--enrolment', enrolment, '--key',
          'pkcs11:object=invoker;type=private', *more)
    capif('discover')


def kept(name):
    return json.loads(read('%s/%s/%s.json' % (d.dir, NAME, name)))


class OwnToken(P.Case):
    @classmethod
    def setUpClass(cls):
        onboard('--kek', 'pkcs11:object=kek')

    def negotiate_and_derive(self):
        capif('negotiate', '--api', API, '--methods', 'PSK')
        capif('psk', '--api', API)

    def test_method_1_with_a_psk_that_is_only_in_the_token(self):
        self.negotiate_and_derive()
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))
        # AES key wrap: eight octets more than KEY's 32 and the PSK's.
        for name in 'session', 'psk':
            doc = kept(name)
            self.assertNotIn('key', doc)
            self.assertEqual(len(domains.unb64(doc['wrappedKey'])), 40)

    def test_the_same_over_tls_1_2(self):
        section = '[openssl_init]\n'
        undo = d.reconfigure('ccf-a', section, """[ssl]
system_default = tls12
[tls12]
MaxProtocol = TLSv1.2
%sssl_conf = ssl
""" % section)
        try:
            capif('negotiate', '--api', API, '--methods', 'PSK')
        finally:
            undo()
        self.assertEqual(kept('session')['binding'], 'tls12-master-secret')
        self.assertEqual(len(domains.unb64(kept('session')['wrappedKey'])),
                         56)
        capif('psk', '--api', API)
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))

    def test_a_wrapped_psk_that_was_changed_is_refused(self):
        self.negotiate_and_derive()
        path = '%s/%s/psk.json' % (d.dir, NAME)
        good, psk = read(path), kept('psk')
        psk['wrappedKey'] = domains.changed(psk['wrappedKey'], 0)
        write(path, json.dumps(psk))
        with self.assertRaisesRegex(AssertionError, 'C_UnwrapKey'):
            capif('call', '--api', API, PATH)
        write(path, good)
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))

    def test_another_session_s_psk_is_refused(self):
        self.negotiate_and_derive()
        old = kept('session')
        capif('negotiate', '--api', API, '--methods', 'PSK')
        write('%s/%s/session.json' % (d.dir, NAME), json.dumps(old))
        capif('psk', '--api', API)
        with self.assertRaisesRegex(AssertionError, 'alert'):
            capif('call', '--api', API, PATH)

    def test_methods_2_and_3_with_the_key_in_the_token(self):
        capif('negotiate', '--api', API, '--methods', 'PKI')
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))
        capif('negotiate', '--api', API, '--methods', 'OAUTH')
        capif('token', '--api', API)
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))

    def test_without_the_provider_there_is_no_plain_key_instead(self):
        """The key in a file, the KEK not in reach."""
        state = kept('invoker')
        path = '%s/%s/invoker.json' % (d.dir, NAME)
        good = read(path)
        invoker = d.a.onboard()
        state.update(key=invoker.key, apiInvokerId=invoker.id)
        crt = read('%s/%s/invoker.crt' % (d.dir, NAME))
        write(path, json.dumps(state))
        write('%s/%s/invoker.crt' % (d.dir, NAME), read(invoker.crt))
        try:
            with self.assertRaisesRegex(AssertionError,
                                        'needs the provider sealed'):
                capif('negotiate', '--api', API, '--methods', 'PSK',
                      env=dict(os.environ, OPENSSL_CONF='/dev/null'))
        finally:
            write(path, good)
            write('%s/%s/invoker.crt' % (d.dir, NAME), crt)


class KeyOnly(P.Case):
    """Without --kek the PSK is derived in software, the key in the token."""

    def test_method_1(self):
        onboard()
        capif('negotiate', '--api', API, '--methods', 'PSK')
        capif('psk', '--api', API)
        self.assertIn(b'b-42', capif('call', '--api', API, PATH))
        self.assertEqual(len(domains.unb64(kept('psk')['key'])), 32)


if __name__ == '__main__':
    domains.main()
