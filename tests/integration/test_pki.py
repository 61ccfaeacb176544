# SPDX-License-Identifier: Apache-2.0
"""Security method 2 across the domains: mutual TLS under the other domain's
root (design 10, OQ-17)."""

import copy
import hashlib
import json
import sqlite3
import ssl
import time

import domains
import psk as P
from domains import API, PATH, run
from owners import patch
from test_authorization import certificate


def setUpModule():
    global d, home
    d = P.Case.d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')


def tearDownModule():
    d.stop()


class Base(P.Case):
    def pki(self):
        who = d.a.onboard()
        a = who.put(who.wish(who.discover()[API], methods=['PKI']))
        self.assertEqual(a.status, 201, a)
        return who

    def is_of_record(self, who, crt):
        """As if CCF-A had certified him with this one last."""
        pem = domains.read(crt)
        der = ssl.PEM_cert_to_DER_cert(pem[pem.index('-----BEGIN'):])
        with sqlite3.connect(d.dir + '/ccf-a/store.db') as db:
            done = db.execute(
                'UPDATE member SET thumbprint = ? WHERE id = ?',
                (domains.b64(hashlib.sha256(der).digest()), who.id))
            self.assertEqual(done.rowcount, 1)

    def san(self, who):
        return 'URI:urn:capif:%s:invoker:%s' % (d.a.id, who.id)


class Kept(Base):
    """While what the CCF said is good for a minute."""

    def test_certificate_that_ends_while_the_connection_lasts(self):
        who = self.pki()
        soon = [time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + t))
                for t in (-60, 4)]
        short = certificate(d.a, self.san(who), *soon)
        self.is_of_record(who, short.crt)
        conn = domains.Https(d.aef_name, d.service, d.b.ca, short)
        for wait, status in ((0, 200), (0, 200), (5, 401)):
            time.sleep(wait)  # in real time
            conn.request('GET', PATH)
            a = domains.Answer(conn.getresponse())
            self.assertEqual(a.status, status, a)
        conn.close()


class Pki(Base):
    """Mutual TLS under the other domain's root (OQ-17)."""

    @classmethod
    def setUpClass(cls):
        cls.undo = d.reconfigure('aef-b', '[aef]\n',
                                 '[aef]\nsecurity-info-lifetime = 1\n')

    @classmethod
    def tearDownClass(cls):
        cls.undo()

    def no(self, a):
        self.assertEqual(a.status, 401, a)
        self.assertNotIn(b'b-42', a.body)

    def test_certificate_under_domain_a_s_root(self):
        who = self.pki()
        for tls in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            a = who.call(None, tls=tls)
            self.assertEqual(a.status, 200, a)
            self.assertIn(b'b-42', a.body)

    def test_no_certificate(self):
        self.no(d.call(None, None))

    def test_invoker_without_a_context(self):
        self.no(d.a.onboard().call(None))
        self.no(d.b.onboard().call(None))

    def test_domain_b_s_ca_says_that_it_is_domain_a_s_invoker(self):
        who = self.pki()
        base = d.extra + '/cross'
        key = domains.make_key(base + '.key')
        domains.write(base + '.csr', domains.make_csr(key))
        domains.write(base + '.ext', 'subjectAltName=%s\nextendedKeyUsage='
                      'clientAuth\n' % self.san(who))
        for ccf, status in ((d.b, 401), (d.a, 200)):
            run('openssl', 'x509', '-req', '-in', base + '.csr', '-CA',
                ccf.ca, '-CAkey', 'pkcs11:object=ca;type=private', '-days',
                '2', '-extfile', base + '.ext', '-out', base + '.crt',
                env=ccf.env())
            self.is_of_record(who, base + '.crt')
            time.sleep(2)  # until the AEF asks again
            a = d.call(None, (base + '.crt', key))
            self.assertEqual(a.status, status, a)

    def test_certificate_that_was_replaced(self):
        who = self.pki()
        old = copy.copy(who)
        self.assertEqual(who.call(None).status, 200)
        key = domains.make_key(who.dir + '/new.pem')
        a = patch(who, '/api-invoker-management/v1/onboardedInvokers/'
                  + who.onboarding, {'onboardingInformation': {
                      'apiInvokerPublicKey': domains.make_csr(key)}})
        self.assertEqual(a.status, 200, a)
        who.key, who.crt = key, domains.write(
            who.dir + '/new.crt',
            a.json()['onboardingInformation']['apiInvokerCertificate'])
        time.sleep(1.1)  # the CCF is asked again once a second at most
        self.assertEqual(who.call(None).status, 200)
        self.no(old.call(None))

    def test_certificate_that_the_operator_revoked(self):
        """Of domain A; and of domain B, which is the AEF's own."""
        for ccf in d.a, d.b:
            with self.subTest(ccf=ccf.name):
                lost, other = ccf.onboard(), ccf.onboard()
                for who in lost, other:
                    a = who.put(who.wish(who.discover()[API],
                                         methods=['PKI']))
                    self.assertEqual(a.status, 201, a)
                    self.assertEqual(who.call(None).status, 200)
                undo = d.reconfigure(
                    ccf.name, '[ccf]\n',
                    '[ccf]\nrevoked-certificates = %s\n' % lost.crt)
                try:
                    self.gone(lost)
                    self.assertEqual(other.call(None).status, 200)
                finally:
                    undo()

    def test_foreign_ca(self):
        who = self.pki()
        for name in ('Foreign CA', 'CA of ' + d.a.id):
            ca = domains.ForeignCa('%s/%d' % (d.extra, len(name)), name)
            self.no(d.call(None, ca.issue(self.san(who))))

    def test_certificate_of_others_of_domain_a(self):
        self.pki()
        for who in (home.aef, home.apf, home.amf):
            self.no(d.call(None, who))

    def gone(self, who):
        """Within the life of what the AEF knows, and a second more."""
        end = time.monotonic() + 3
        while who.call(None).status == 200 and time.monotonic() < end:
            time.sleep(0.1)
        self.no(who.call(None))

    def test_ccf_a_is_asked_about_the_method(self):
        """6.24.2.2.1 steps 6 to 9: as partner, and by the agreement."""
        who = self.pki()
        r = P.info_as_ccf_b(d, who, vs_sec_method='PKI')
        self.assertEqual(r.status, 200, r)
        info = json.loads(r.json()['securityInfo'][0]['authenticationInfo'])
        self.assertEqual(info['caCertificates'], [domains.read(d.a.ca)])
        for method, status in (('PSK', 404), ('OAUTH', 403), ('QKD', 403),
                               ('', 403)):
            r = P.info_as_ccf_b(d, who, vs_sec_method=method)
            self.assertEqual(r.status, status, r)

    def test_context_that_was_deleted(self):
        who = self.pki()
        self.assertEqual(who.call(None).status, 200)
        self.assertEqual(who.request('DELETE', who.context).status, 204)
        self.gone(who)

    def test_offboarding(self):
        who = self.pki()
        self.assertEqual(who.call(None).status, 200)
        a = who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        self.assertEqual(a.status, 204, a)
        self.gone(who)


if __name__ == '__main__':
    domains.main()
