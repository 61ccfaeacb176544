# SPDX-License-Identifier: Apache-2.0
"""Certificates that are revoked, and the lists that say so."""

import threading
import time
import unittest

import domains
from domains import BUILD, make_csr, make_key, read, run, write
from test_rotation import good, hup, log_of, rotate, wait_log

import test_rotation


def setUpModule():
    global d, ca_dir
    d = domains.Domains()
    test_rotation.d = d
    ca_dir = d.dir + '/ccf-a/'
    for ccf in d.a, d.b:
        text = read(ccf.conf)
        write(ccf.conf, text.replace('[ccf]\n', '[ccf]\ncrl-interval = 1\n'))
        good(ccf.name)


def tearDownModule():
    d.stop()


def get(ccf, path, **kw):
    return ccf.request('GET', path, **kw)


class Crl:
    """One as OpenSSL's command line shows it, its signature checked."""

    def __init__(self, ccf, path=None, ca=None):
        a = get(ccf, path or '/crl/' + ccf.id)
        assert a.status == 200, a
        assert a.headers['Content-Type'] == 'application/pkix-crl', a.headers
        self.der = a.body
        file = d.extra + '/crl.der'
        with open(file, 'wb') as f:
            f.write(a.body)
        done = run('sh', '-c', 'openssl crl -inform DER -in "$1" -CAfile "$2"'
                   ' -noout -text -nameopt RFC2253 2>&1', 'sh', file,
                   ca or ccf.ca).decode()
        assert 'verify OK' in done, done
        self.text = done
        lines = [x.strip() for x in done.splitlines()]
        self.number = int(lines[lines.index('X509v3 CRL Number:') + 1])
        self.serials = [x.split(': ')[1] for x in lines
                        if x.startswith('Serial Number: ')]


def serial(crt):
    return run('openssl', 'x509', '-noout', '-serial', '-in',
               crt).decode().strip().split('=')[1]


def point(crt):
    """The path of the CRL distribution point."""
    text = run('openssl', 'x509', '-noout', '-ext', 'crlDistributionPoints',
               '-in', crt).decode()
    return text.split('URI:')[1].split()[0]


def issuer_of(crt):
    text = run('openssl', 'x509', '-noout', '-ext', 'authorityKeyIdentifier',
               '-in', crt).decode()
    return text.split('\n')[1].strip().replace(':', '').lower()


class Own(unittest.TestCase):
    def test_a_certificate_says_where(self):
        who = d.a.onboard()
        at = point(who.crt)
        self.assertTrue(at.startswith(d.a.url + '/crl/%s/' % d.a.id), at)
        self.assertEqual(Crl(d.a, at[len(d.a.url):]).der, Crl(d.a).der)

    def test_it_is_kept_until_it_changes(self):
        who = d.a.onboard()
        before = Crl(d.a)
        self.assertEqual(Crl(d.a).der, before.der)
        self.assertNotIn(serial(who.crt), before.serials)
        a = who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        self.assertEqual(a.status, 204)
        after = Crl(d.a)
        self.assertGreater(after.number, before.number)
        self.assertEqual(set(after.serials) - set(before.serials),
                         {serial(who.crt)})
        self.assertEqual(Crl(d.a).der, after.der)
        # others verify with it
        write(d.extra + '/all.pem', read(d.a.ca) + run(
            'openssl', 'crl', '-inform', 'DER', stdin=after.der).decode())
        with self.assertRaises(AssertionError) as failed:
            run('openssl', 'verify', '-crl_check', '-CAfile',
                d.extra + '/all.pem', who.crt)
        self.assertIn('certificate revoked', str(failed.exception))
        run('openssl', 'verify', '-crl_check', '-CAfile',
            d.extra + '/all.pem', d.a.onboard().crt)

    def change(self, who, key):
        path = '/api-invoker-management/v1/onboardedInvokers/'
        a = who.request('PATCH', path + who.onboarding, body={
            'onboardingInformation': {'apiInvokerPublicKey': make_csr(key)}},
            headers={'Content-Type': 'application/merge-patch+json'})
        self.assertEqual(a.status, 200, a)
        return a.json()['onboardingInformation']['apiInvokerCertificate']

    def test_certified_anew(self):
        who = d.a.onboard()
        first = serial(who.crt)
        key = make_key(who.dir + '/new.pem')
        crt = self.change(who, key)
        self.assertIn(first, Crl(d.a).serials)
        write(who.crt, crt)
        who.key = key
        self.assertNotIn(serial(who.crt), Crl(d.a).serials)
        # what changes no key changes no certificate
        number = Crl(d.a).number
        a = who.request(
            'PATCH', '/api-invoker-management/v1/onboardedInvokers/'
            + who.onboarding, body={'apiInvokerInformation': 'x'},
            headers={'Content-Type': 'application/merge-patch+json'})
        self.assertEqual(a.status, 200, a)
        self.assertEqual(Crl(d.a).number, number)
        # and a certificate that was kept so is listed in the end, too
        last = serial(who.crt)
        who.request('DELETE', '/api-invoker-management/v1/'
                    'onboardedInvokers/' + who.onboarding)
        self.assertIn(last, Crl(d.a).serials)

    def test_deregistered(self):
        home = d.a.register(aef_c1='c1.domain-a.example')
        serials = {serial(m.crt) for m in home.members}
        self.assertEqual(len(serials), 3)
        self.assertFalse(serials & set(Crl(d.a).serials))
        a = home.amf.request('DELETE', '/api-provider-management/v1/'
                             'registrations/' + home.registration)
        self.assertEqual(a.status, 204)
        self.assertLessEqual(serials, set(Crl(d.a).serials))

    def test_a_function_that_goes(self):
        home = d.a.register(aef_c2='c2.domain-a.example')
        path = '/api-provider-management/v1/registrations/'
        doc = home.amf.request('PATCH', path + home.registration, body={
            'apiProvFuncs': [f for f in home.doc['apiProvFuncs']
                             if f['apiProvFuncRole'] != 'APF']},
            headers={'Content-Type': 'application/merge-patch+json'})
        self.assertEqual(doc.status, 200, doc)
        serials = Crl(d.a).serials
        self.assertIn(serial(home.apf.crt), serials)
        for m in home.aef, home.amf:
            self.assertNotIn(serial(m.crt), serials)

    def test_many_at_once(self):
        """Numbers only grow, and nothing is forgotten."""
        members = [d.a.onboard() for _ in range(8)]
        seen, stop = [], threading.Event()

        def watch():
            while not stop.is_set():
                a = get(d.a, '/crl/' + d.a.id)
                seen.append((a.status, a.body))

        watcher = threading.Thread(target=watch)
        watcher.start()
        threads = [threading.Thread(target=who.request, args=(
            'DELETE', '/api-invoker-management/v1/onboardedInvokers/'
            + who.onboarding)) for who in members]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        stop.set()
        watcher.join()
        self.assertEqual({s for s, _ in seen}, {200})
        numbers = []
        for _, der in seen:
            text = run('openssl', 'crl', '-inform', 'DER', '-noout',
                       '-crlnumber', stdin=der).decode()
            numbers.append(int(text.strip().split('=')[1], 16))
        self.assertEqual(numbers, sorted(numbers))
        self.assertLessEqual({serial(w.crt) for w in members},
                             set(Crl(d.a).serials))

    def test_not_there(self):
        for path in ('/crl/ccf.unknown.example', '/crl/' + d.a.id + '/00',
                     '/crl/%s/%s' % (d.b.id, '00' * 20)):
            self.assertEqual(get(d.a, path).status, 404, path)
        self.assertEqual(d.a.request('POST', '/crl/' + d.a.id).status, 405)

    def test_after_a_rotation_of_the_ca(self):
        old_ca = d.extra + '/old-ca.crt'
        write(old_ca, read(d.a.ca))
        old = d.a.onboard()
        at_old = point(old.crt)[len(d.a.url):]
        rotate(d.a, 'ca')
        good('ccf-a')
        new = d.a.onboard()
        at_new = point(new.crt)[len(d.a.url):]
        self.assertNotEqual(at_old, at_new)
        for who in old, new:
            who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        by_old, by_new = Crl(d.a, at_old, old_ca), Crl(d.a, at_new)
        self.assertIn(serial(old.crt), by_old.serials)
        self.assertNotIn(serial(new.crt), by_old.serials)
        self.assertEqual(by_new.serials, [serial(new.crt)])
        self.assertEqual(Crl(d.a).der, by_new.der)
        # without the old key there is no list by it any more
        text = read(d.a.conf)
        line = [x for x in text.splitlines() if x.startswith('ca-key')][0]
        write(d.a.conf, text.replace(line, line.split(',')[0]))
        good('ccf-a')
        self.assertEqual(get(d.a, at_old).status, 404)
        write(d.a.conf, text)
        good('ccf-a')
        good('ccf-b')


class Partner(unittest.TestCase):
    def ask_b(self):
        """Does B answer A?"""
        return self.who.put(self.who.wish(self.api)).status

    def test_a_revoked_certificate_of_a_ccf(self):
        self.who = d.a.onboard()
        self.api = self.who.discover()[domains.API]
        self.assertEqual(self.ask_b(), 201)
        text = read(d.a.conf)
        old = d.extra + '/old-tls.crt'
        write(old, read([x for x in text.splitlines() if x.startswith(
            'certificate = ')][0].split(' = ')[1]))
        since = len(log_of('ccf-b'))
        write(d.a.conf, text.replace(
            '[ccf]\n', '[ccf]\nrevoked-certificates = %s\n' % old))
        good('ccf-a')
        end = time.monotonic() + 30
        while self.ask_b() != 502 and time.monotonic() < end:
            pass
        self.assertEqual(self.ask_b(), 502)
        self.assertIn('event=crl-fetched partner=' + d.a.id,
                      log_of('ccf-b')[since:])
        self.assertIn('event=certificate-revoked', log_of('ccf-b')[since:])
        at = '/crl/%s/%s' % (d.a.id, issuer_of(old))
        self.assertIn(serial(old), Crl(d.a, at).serials)
        # B gives it to others, too
        self.assertEqual(Crl(d.b, at, d.a.ca).der, Crl(d.a, at).der)
        # and what it lists stays so
        d.restart('ccf-b')
        self.assertEqual(self.ask_b(), 502)
        rotate(d.a, 'tls')
        good('ccf-a')
        self.assertEqual(self.ask_b(), 201)

    def test_certificates_that_are_not_ours(self):
        was = read(d.a.conf)
        text = '\n'.join(x for x in was.splitlines()
                         if not x.startswith('revoked-certificates'))
        for file in (d.dir + '/ccf-b/ccf.crt', d.dir + '/ccf-a/jwks.json'):
            write(d.a.conf, text.replace(
                '[ccf]\n', '[ccf]\nrevoked-certificates = %s\n' % file, 1))
            since = len(log_of('ccf-a'))
            self.assertIn('event=reload-failed', hup('ccf-a'))
            self.assertIn('no PEM file of certificates by this CA',
                          log_of('ccf-a')[since:])
        write(d.a.conf, was)
        good('ccf-a')

    def test_one_that_can_not_be_had(self):
        since = len(log_of('ccf-b'))
        d.end('ccf-a')
        try:
            line = wait_log('ccf-b', ['event=crl-fetch-failed'], since)
            self.assertIn('last=good', line)
            self.assertEqual(
                d.b.request('GET', '/crl/' + d.a.id).status, 200)
        finally:
            d.begin('ccf-a')
        since = len(log_of('ccf-b'))
        self.assertIn(domains.API, d.a.onboard().discover())



if __name__ == '__main__':
    domains.main()
