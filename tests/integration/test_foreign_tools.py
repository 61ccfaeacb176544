# SPDX-License-Identifier: Apache-2.0
"""Programs that others wrote, against what this project makes."""

import json
import os
import subprocess
import unittest

import domains
from domains import API, PATH, run

JWS_KEY = 'pkcs11:object=jws;type=private'
CA_KEY = 'pkcs11:object=ca;type=private'


def setUpModule():
    global d, one, token, apf
    d = domains.Domains()
    one = d.known_invoker()
    token = domains.read(d.dir + '/invoker/token')


def tearDownModule():
    d.stop()


def curl(name, port, ca, *more):
    return run('curl', '--silent', '--show-error', '--fail', '--noproxy', '*',
               '--resolve', '%s:%d:127.0.0.1' % (name, port), '--cacert', ca,
               *more)


class Tokens(unittest.TestCase):
    def test_jose_verifies_a_token_against_the_published_jwks(self):
        jwks = curl(d.b.id, d.b.port, d.b.ca,
                    d.b.url + '/.well-known/jwks.json')
        path = domains.write(d.extra + '/jwks.json', jwks.decode())
        claims = json.loads(run('jose', 'jws', 'ver', '--input=-', '--key='
                                + path, '--detach=-', stdin=token.encode()))
        self.assertEqual(claims['client_id'], one.id)
        self.assertEqual(claims['ccfId'], d.b.id)  # who gave it in exchange
        head, body, sig = token.split('.')
        bad = '.'.join((head, body, domains.changed(sig, 40)))
        with self.assertRaises(AssertionError):
            run('jose', 'jws', 'ver', '--input=-', '--key=' + path,
                '--detach=-', stdin=bad.encode())

    def test_jose_verifies_an_enrolment(self):
        claims = run('jose', 'jws', 'ver', '--input=-', '--detach=-',
                     '--key=' + d.dir + '/ccf-a/jwks.json',
                     stdin=d.a.enrolment().encode())
        self.assertEqual(json.loads(claims)['role'], 'invoker')

    def test_kid_is_the_rfc_7638_thumbprint_that_jose_computes(self):
        jwk = json.dumps(json.loads(domains.read(
            d.dir + '/ccf-a/jwks.json'))['keys'][0])
        kid = run('jose', 'jwk', 'thp', '--input=-', stdin=jwk.encode())
        self.assertEqual(kid.decode().strip(), d.a.kid())


class Certificates(unittest.TestCase):
    def verify(self, ca, path, *purposes):
        for purpose in purposes:
            out = run('openssl', 'verify', '-x509_strict', '-CAfile', ca,
                      '-purpose', purpose, path)
            self.assertIn(b': OK', out)

    def test_openssl_accepts_the_certificates_of_the_ccfs(self):
        for ccf in (d.a, d.b):
            path = '%s/%s/ccf.crt' % (d.dir, ccf.name)
            self.verify(ccf.ca, path, 'sslserver', 'sslclient')
            run('openssl', 'verify', '-x509_strict', '-CAfile', ccf.ca,
                '-verify_hostname', ccf.id, path)
            self.verify(ccf.ca, ccf.ca, 'any')

    def test_openssl_accepts_the_certificate_of_the_aef(self):
        path = d.dir + '/aef-b/aef.crt'
        self.verify(d.b.ca, path, 'sslserver', 'sslclient')
        run('openssl', 'verify', '-x509_strict', '-CAfile', d.b.ca,
            '-verify_hostname', d.aef_name, path)

    def test_openssl_accepts_the_certificates_of_apf_and_amf(self):
        for name in ('apf', 'amf'):
            self.verify(d.b.ca, '%s/aef-b/%s.crt' % (d.dir, name),
                        'sslclient')

    def test_openssl_accepts_the_certificate_of_the_invoker(self):
        self.verify(d.a.ca, one.crt, 'sslclient')

    def test_openssl_refuses_other_purposes_and_other_domains(self):
        for ca, path, purpose in ((d.a.ca, one.crt, 'sslserver'),
                                  (d.b.ca, one.crt, 'sslclient'),
                                  (d.b.ca, d.dir + '/aef-b/apf.crt',
                                   'sslserver')):
            with self.assertRaises(AssertionError):
                self.verify(ca, path, purpose)


class Tls(unittest.TestCase):
    def client(self, name, port, ca, *more, who=None):
        """s_client's account of a handshake."""
        cert = ('-cert', who.crt, '-key', who.key) if who else ()
        done = subprocess.run(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % port,
             '-servername', name, '-verify_hostname', name, '-CAfile', ca,
             '-verify_return_error', *cert, *more], input=b'',
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20,
            check=False)
        return done.returncode, done.stdout.decode(errors='replace')

    def servers(self):
        yield d.a.id, d.a.port, d.a.ca
        yield d.b.id, d.b.port, d.b.ca
        yield d.aef_name, d.control, d.b.ca
        yield d.aef_name, d.service, d.b.ca

    def completes(self, version, said):
        for name, port, ca in self.servers():
            for who in (None,) if port == d.control else (None, one):
                code, text = self.client(name, port, ca, version, who=who)
                self.assertEqual(code, 0, text)
                self.assertIn('Verification: OK', text)
                self.assertIn('New, %s, Cipher is' % said, text)
                self.assertNotIn('Cipher is (NONE)', text)

    def test_s_client_completes_tls_1_2(self):
        self.completes('-tls1_2', 'TLSv1.2')

    def test_s_client_completes_tls_1_3(self):
        self.completes('-tls1_3', 'TLSv1.3')

    def test_tls_1_1_and_1_0_are_refused(self):
        for name, port, ca in self.servers():
            for version in ('-tls1_1', '-tls1'):
                code, text = self.client(name, port, ca, version, '-cipher',
                                         'ALL:@SECLEVEL=0')
                self.assertNotEqual(code, 0, text)
                self.assertIn('alert protocol version', text)

    def test_weak_suites_are_refused(self):
        for suite in ('AES128-SHA', 'AES128-GCM-SHA256',
                      'ECDHE-ECDSA-AES128-SHA', 'aNULL', 'eNULL'):
            code, text = self.client(
                d.a.id, d.a.port, d.a.ca, '-tls1_2', '-cipher',
                suite + ':@SECLEVEL=0')
            self.assertNotEqual(code, 0, suite)
            self.assertIn('handshake failure', text)

    def test_session_is_not_resumed(self):
        for version in ('-tls1_2', '-tls1_3'):
            for name, port, ca in self.servers():
                saved = d.extra + '/session'
                self.client(name, port, ca, version, '-sess_out', saved)
                if os.path.exists(saved):
                    text = self.client(name, port, ca, version, '-sess_in',
                                       saved)[1]
                    self.assertIn('New, TLSv1.', text)
                    self.assertNotIn('Reused, ', text)
                    os.remove(saved)

    def test_gnutls_cli_connects(self):
        for name, port, ca in self.servers():
            for version in ('1.2', '1.3'):
                out = run('gnutls-cli', '--port', str(port), '--x509cafile',
                          ca, '--sni-hostname', name, '--verify-hostname',
                          name, *(() if port == d.control else (
                              '--x509certfile', one.crt, '--x509keyfile',
                              one.key)), '--priority',
                          'NORMAL:-VERS-ALL:+VERS-TLS' + version,
                          '127.0.0.1', stdin=b'').decode()
                self.assertIn('The certificate is trusted', out)
                self.assertRegex(out, r'Description: \(TLS%s[^)]*\)'
                                 % version.replace('.', r'\.'))
                self.assertIn('Handshake was completed', out)


class Curl(unittest.TestCase):
    def test_curl_uses_the_ccf_s_api(self):
        out = curl(d.a.id, d.a.port, d.a.ca, '--cert', one.crt, '--key',
                   one.key, d.a.url + '/service-apis/v1/allServiceAPIs'
                   '?api-invoker-id=' + one.id)
        self.assertEqual(json.loads(out)['serviceAPIDescriptions'][0][
            'apiName'], API)

    def test_curl_gets_a_token_and_uses_the_northbound_api(self):
        out = curl(d.a.id, d.a.port, d.a.ca, '--cert', one.crt, '--key',
                   one.key, '--data-urlencode', 'client_id=' + one.id,
                   '--data-urlencode', 'grant_type=client_credentials',
                   '--data-urlencode', 'scope=3gpp#aef-b1:' + API,
                   '%s/capif-security/v1/securities/%s/token'
                   % (d.a.url, one.id))
        for version in ('--tlsv1.3', '--tls-max=1.2'):
            args = version.split('=')
            answer = curl(d.aef_name, d.service, d.b.ca, '--cert', one.crt,
                          '--key', one.key, *args, '--header',
                          'Authorization: Bearer '
                          + json.loads(out)['access_token'],
                          'https://%s:%d%s' % (d.aef_name, d.service, PATH))
            self.assertEqual(json.loads(answer)['cellId'], 'b-42')


class OpenSsl(unittest.TestCase):
    def setUp(self):
        self.env = d.a.env()

    def test_openssl_req_with_a_key_in_the_token(self):
        csr = run('openssl', 'req', '-new', '-key', JWS_KEY, '-subj',
                  '/CN=in the token', env=self.env)
        done = subprocess.run(['openssl', 'req', '-verify', '-noout'],
                              input=csr, capture_output=True, check=True)
        # On standard error in OpenSSL 3.0, on standard output in 3.5.
        self.assertIn(b'verify OK', done.stdout + done.stderr)

    def test_openssl_x509_with_a_ca_key_in_the_token(self):
        csr = domains.write(d.extra + '/leaf.csr', domains.make_csr(
            domains.make_key(d.extra + '/leaf.key')))
        out = d.extra + '/leaf.crt'
        run('openssl', 'x509', '-req', '-in', csr, '-CA', d.a.ca, '-CAkey',
            CA_KEY, '-days', '1', '-out', out, env=self.env)
        self.assertIn(b': OK', run('openssl', 'verify', '-CAfile', d.a.ca,
                                   out))

    def test_openssl_dgst_signs_and_the_default_provider_verifies(self):
        public = d.extra + '/public.pem'
        run('openssl', 'pkey', '-in', JWS_KEY, '-pubout', '-out', public,
            env=self.env)
        text = domains.write(d.extra + '/text', 'to be signed\n')
        sig = d.extra + '/sig'
        run('openssl', 'dgst', '-sha256', '-sign', JWS_KEY, '-out', sig, text,
            env=self.env)
        self.assertEqual(run('openssl', 'dgst', '-sha256', '-verify', public,
                             '-signature', sig, text), b'Verified OK\n')
        domains.write(text, 'to be signed.\n')
        with self.assertRaises(AssertionError):
            run('openssl', 'dgst', '-sha256', '-verify', public, '-signature',
                sig, text)

    def test_openssl_writes_out_where_a_private_key_is(self):
        done = run('openssl', 'pkey', '-in', JWS_KEY, env=self.env)
        self.assertIn(b'PKCS#11 PROVIDER URI', done)
        self.assertNotIn(b'PRIVATE KEY', done)


if __name__ == '__main__':
    domains.main()
