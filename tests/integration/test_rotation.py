# SPDX-License-Identifier: Apache-2.0
"""SIGHUP, and new keys in the place of old ones, while all goes on."""

import json
import os
import signal
import socket
import sqlite3
import threading
import time
import unittest

import domains
import psk
from domains import BUILD, make_csr, read, run, write


def setUpModule():
    global d, one
    d = domains.Domains()
    one = d.a.onboard().negotiate()


def tearDownModule():
    d.stop()


def log_of(name):
    return read('%s/%s/log' % (d.dir, name))


def wait_log(name, words, since):
    """The line after that length of the log that has one of words."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for line in log_of(name)[since:].splitlines():
            if any(w in line for w in words):
                return line
        time.sleep(0.01)
    raise AssertionError('no %s in\n%s' % (words, log_of(name)[since:]))


def hup(name):
    """The line that says what became of it."""
    since = len(log_of(name))
    d.send(name, signal.SIGHUP)
    return wait_log(name, ('event=reloaded', 'event=reload-failed'), since)


def good(name):
    line = hup(name)
    assert 'event=reloaded' in line, log_of(name)


def rotate(ccf, what, *options):
    if what == 'kek':
        options += ('--so-pin-file', '%s/%s/so-pin' % (d.dir, ccf.name),
                    '--hsm-config', '%s/%s/hsmd.cnf' % (d.dir, ccf.name))
    return run(BUILD + '/tools/capif-hsm', 'rotate', '--config', ccf.conf,
               *options, what, env=ccf.env()).decode()


def jwks(ccf):
    return [k['kid'] for k in
            ccf.request('GET', '/.well-known/jwks.json').json()['keys']]


def issuer(crt):
    return run('openssl', 'x509', '-noout', '-issuer', '-ext',
               'authorityKeyIdentifier', stdin=crt.encode()).decode()


class Load:
    """Requests without end, each over a connection of its own and over one
    that is kept; counts what fails."""

    def __init__(self, ccf, who):
        self.ccf, self.who = ccf, who
        self.n, self.failed, self.stop = 0, [], False
        self.threads = [threading.Thread(target=f)
                        for f in (self.fresh, self.kept)]

    def note(self, ask):
        try:
            status = ask()
            if status != 200:
                self.failed.append(status)
        except OSError as e:
            self.failed.append(repr(e))
        self.n += 1

    path = '/service-apis/v1/allServiceAPIs?api-invoker-id='

    def fresh(self):
        while not self.stop:
            self.note(lambda: self.ccf.request(
                'GET', self.path + self.who.id, self.who).status)

    def kept(self):
        conn = domains.Https(self.ccf.id, self.ccf.port, self.ccf.ca,
                             self.who)

        def ask():
            conn.request('GET', self.path + self.who.id)
            return domains.Answer(conn.getresponse()).status

        while not self.stop:
            self.note(ask)
        conn.close()

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *what):
        self.stop = True
        for t in self.threads:
            t.join()

    def more(self, n):
        """Wait until there were n more."""
        until, end = self.n + n, time.monotonic() + 60
        while self.n < until and time.monotonic() < end:
            time.sleep(0.01)
        assert self.n >= until


class Case(unittest.TestCase):
    def keep(self, *paths):
        """Put these files back at the end, and reload."""
        was = {p: read(p) for p in paths}

        def back():
            for p, text in was.items():
                write(p, text)
            good('ccf-a')
            good('ccf-b')

        self.addCleanup(back)


class Reload(Case):
    def setUp(self):
        self.keep(d.a.conf)
        self.text = read(d.a.conf)

    def change(self, old, new):
        assert old in self.text, old
        write(d.a.conf, self.text.replace(old, new, 1))

    def refused(self, old, new, why):
        self.change(old, new)
        before = jwks(d.a)
        since = len(log_of('ccf-a'))
        self.assertIn('event=reload-failed', hup('ccf-a'))
        self.assertIn(why, log_of('ccf-a')[since:])
        self.assertEqual(jwks(d.a), before)
        self.assertEqual(one.ask_token().status, 200)

    def test_what_is_wrong_changes_nothing(self):
        self.refused('[ccf]\n', '[ccf]\nunknown = 1\n', 'unknown option')
        self.refused('[ccf]\n', '[ccf\n', 'configuration format')
        uri = ' = pkcs11:object='
        self.refused('jws-key' + uri, 'jws-key%sno' % uri, 'jws-key-unusable')
        self.refused('\nkek' + uri, '\nkek%sno' % uri, 'kek-unusable')
        self.refused('ca-key' + uri, 'ca-key%stls, x' % uri, 'ca-unusable')
        self.refused('\nkey' + uri + 'tls', '\nkey' + uri + 'jws',
                     'key-mismatch')
        self.refused('/ccf-b/jwks.json', '/ccf-b/none.json',
                     'no file with a JWK set')
        self.refused('/ccf-b/ca.crt', '/ccf-b/jwks.json',
                     'no PEM file of certificates')
        self.refused('jws-key' + uri, 'jws-key = ,pkcs11:object=',
                     'not a list of possible values')

    def test_no_file(self):
        os.rename(d.a.conf, d.a.conf + '.away')
        try:
            self.assertIn('event=reload-failed', hup('ccf-a'))
        finally:
            os.rename(d.a.conf + '.away', d.a.conf)
        self.assertEqual(one.ask_token().status, 200)

    def test_what_can_not_change_while_it_runs(self):
        why = "can't change while it runs: restart"
        self.refused('listen = 127.0.0.1:%d' % d.a.port,
                     'listen = 127.0.0.1:%d' % (d.a.port + 100), why)
        self.refused('store.db', 'other.db', why)
        self.refused('[ccf]\n', '[ccf]\nworkers = 2\n', why)
        since = len(log_of('ccf-a'))
        write(d.a.conf, self.text.replace(d.a.id, 'ccf.other.example'))
        self.assertIn('event=reload-failed', hup('ccf-a'))
        self.assertIn(why, log_of('ccf-a')[since:])

    def test_what_can(self):
        self.change('[ccf]\n', '[ccf]\ntoken-lifetime = 77\n')
        good('ccf-a')
        self.assertEqual(one.ask_token().json()['expires_in'], 77)

    def test_a_partner_that_is_no_more(self):
        ca = domains.ForeignCa(d.extra + '/partner-ca')
        crt, key = ca.issue('DNS:ccf.third.example')
        write(d.a.conf, self.text + '\n[partner third]\n'
              'ccf-id = ccf.third.example\nurl = https://ccf.third.example\n'
              'ca = %s\njwks = %s/ccf-b/jwks.json\naefs = x\n'
              % (ca.crt, d.dir))
        good('ccf-a')
        third = domains.Https(d.a.id, d.a.port, d.a.ca, (crt, key))
        third.request('GET', '/service-apis/v1/allServiceAPIs'
                      '?api-invoker-id=x')
        self.assertEqual(domains.Answer(third.getresponse()).status, 403)
        write(d.a.conf, self.text)
        good('ccf-a')
        # neither over a connection of before, nor over a new one
        third.request('GET', '/service-apis/v1/allServiceAPIs'
                      '?api-invoker-id=x')
        self.assertEqual(domains.Answer(third.getresponse()).status, 401)
        third.close()
        with self.assertRaises(OSError):
            d.a.request('GET', '/service-apis/v1/allServiceAPIs'
                        '?api-invoker-id=x', (crt, key))

    def test_a_request_that_is_under_way_keeps_its_partner(self):
        with socket.create_server(('127.0.0.1', 0)) as silent:
            self.change('address = 127.0.0.1:%d' % d.b.port,
                        'address = 127.0.0.1:%d' % silent.getsockname()[1])
            good('ccf-a')
            got = []
            t = threading.Thread(target=lambda: got.append(one.discover()))
            t.start()
            peer = silent.accept()[0]
            for text in (self.text.split('[partner')[0], self.text) * 2:
                write(d.a.conf, text)
                good('ccf-a')
            peer.close()
            t.join()
        self.assertEqual(len(got), 1)
        self.assertIn(domains.API, one.discover())


class Jws(Case):
    def test_rotation(self):
        old_token, old_enrolment = one.token(), d.a.enrolment()
        old = jwks(d.a)
        self.assertEqual(one.call(old_token).status, 200)
        said = rotate(d.a, 'jws')
        self.assertIn('object=jws-2;type=private', said)
        self.assertIn('SIGHUP', said)
        self.assertEqual(jwks(d.a), old)
        with Load(d.a, one) as load:
            load.more(20)
            good('ccf-a')
            load.more(20)
        self.assertEqual(load.failed, [])
        new = jwks(d.a)
        self.assertEqual((len(new), new[1:]), (len(old) + 1, old))
        token = one.token()
        self.assertEqual(domains.jws_parts(token)[0]['kid'], new[0])
        # B knows no more than it did: the old one holds there
        self.assertEqual(one.call(old_token).status, 200)
        self.assertEqual(one.call(token).status, 401)
        write(d.dir + '/ccf-a/jwks.json', d.a.request(
            'GET', '/.well-known/jwks.json').text())
        good('ccf-b')
        # for one invoker, the AEF asks once a second
        end = time.monotonic() + 10
        while one.call(token).status != 200 and time.monotonic() < end:
            pass
        self.assertEqual(one.call(token).status, 200)
        self.assertEqual(one.call(old_token).status, 200)
        # what an older key has signed is good for an enrolment, too
        self.assertEqual(d.a.onboard_request(
            old_enrolment, make_csr(one.key)).status, 201)
        self.assertEqual(d.a.onboard_request(
            d.a.enrolment(), make_csr(one.key)).status, 201)
        # and is good no more when its key is out
        late = d.a.enrolment()
        rotate(d.a, 'jws')
        text = read(d.a.conf)
        line = [x for x in text.splitlines() if x.startswith('jws-key')][0]
        self.assertIn('object=jws-3;type=private, ', line)
        write(d.a.conf, text.replace(line, line.split(',')[0]))
        good('ccf-a')
        self.assertEqual(len(jwks(d.a)), 1)
        self.assertEqual(d.a.onboard_request(
            late, make_csr(one.key)).status, 401)

    def test_all_else_in_the_file_stays(self):
        self.keep(d.a.conf)
        was = read(d.a.conf)
        strange = was.replace('jws-key = ', 'jws-key\t=   ').replace(
            '[partner', '# jws-key = x\n\t[partner') + '\n\n# no newline'
        write(d.a.conf, strange)
        os.chmod(d.a.conf, 0o640)
        rotate(d.a, 'jws')
        text = read(d.a.conf)
        self.assertEqual(os.stat(d.a.conf).st_mode & 0o777, 0o640)
        old = [x for x in strange.splitlines() if x.startswith('jws-key')][0]
        new = [x for x in text.splitlines() if x.startswith('jws-key')][0]
        self.assertTrue(new.startswith('jws-key\t=   pkcs11:object=jws-'))
        self.assertEqual(text.replace(new, old), strange)
        good('ccf-a')

    def refused(self, text, why, what='jws'):
        write(d.a.conf, text)
        with self.assertRaises(AssertionError) as failed:
            rotate(d.a, what)
        self.assertIn(why, str(failed.exception))
        self.assertEqual(read(d.a.conf), text)

    def test_what_it_can_not_rewrite_it_refuses(self):
        self.keep(d.a.conf)
        was = read(d.a.conf)
        line = [x for x in was.splitlines() if x.startswith('jws-key')][0]
        value = line.split(' = ')[1]
        self.refused(was.replace(line, 'x = %s\njws-key = $x' % value),
                     'by hand')
        self.refused(was.replace(line, 'jws-key = "%s"' % value), 'by hand')
        self.refused(was.replace(line, 'jws-key = ' + ','.join([value] * 8)),
                     'full')
        self.refused(was.replace(line, ''), 'not in the configuration')
        self.refused(was.replace(line, line + ';id=%01'), 'by `object')


class Kek(Case):
    def setUp(self):
        # Envelopes are signed by the JWS key, which the AEF knows by a file.
        write(d.dir + '/ccf-a/jwks.json', d.a.request(
            'GET', '/.well-known/jwks.json').text())
        d.restart('aef-b')

    def under(self):
        db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % d.dir,
                             uri=True)
        try:
            return {k: n for k, n in db.execute(
                'SELECT kek, count(*) FROM psk GROUP BY kek')}
        finally:
            db.close()

    def test_rotation(self):
        who = d.a.onboard()
        before = [psk.negotiate(who) for _ in range(20)]
        self.assertEqual(len(self.under()), 1)
        old = list(self.under())[0]
        rotate(d.a, 'kek')
        since = len(log_of('ccf-a'))
        # a connection of before, whose KEY is under the old one
        conn = domains.Https(d.a.id, d.a.port, d.a.ca, who)
        conn.connect()
        conn.request('GET', '/.well-known/jwks.json')
        domains.Answer(conn.getresponse())
        with Load(d.a, who) as load:
            load.more(10)
            good('ccf-a')
            line = wait_log('ccf-a', ['event=kek-unused'], since)
            load.more(10)
        conn.close()
        self.assertEqual(load.failed, [])
        self.assertIn('object=kek ', line.replace('"', ' ') + ' ')
        self.assertIn('count=', wait_log('ccf-a', ['event=rewrapped'], since))
        self.assertNotIn(old, self.under())
        # the old KEK is not needed for what was negotiated before
        text = read(d.a.conf)
        line = [x for x in text.splitlines() if x.startswith('kek =')][0]
        self.assertEqual(line, 'kek = pkcs11:object=kek-2, pkcs11:object=kek')
        write(d.a.conf, text.replace(line, line.split(',')[0]))
        good('ccf-a')
        psk.initiate(who)
        r = psk.call(d, before[-1])
        self.assertEqual(r.status, 200, r.text)
        after = psk.ready(who)
        self.assertEqual(psk.call(d, after).status, 200)

    def test_it_is_the_security_officer_s(self):
        with self.assertRaises(AssertionError) as failed:
            run(BUILD + '/tools/capif-hsm', 'rotate', '--config', d.a.conf,
                'kek', env=d.a.env())
        self.assertIn('--so-pin-file', str(failed.exception))


class Tls(Case):
    def test_under_load(self):
        def served():
            conn = domains.Https(d.a.id, d.a.port, d.a.ca)
            conn.connect()
            try:
                return conn.sock.getpeercert(True)
            finally:
                conn.close()

        seen = {served()}
        with Load(d.a, one) as load:
            for _ in range(3):
                load.more(10)
                self.assertIn('object=tls-', rotate(d.a, 'tls'))
                good('ccf-a')
                load.more(10)
                seen.add(served())
        self.assertEqual(load.failed, [])
        self.assertEqual(len(seen), 4)
        self.assertEqual(read(d.a.conf).count('/ccf-a/ccf-'), 1)
        # to the partner it goes with the new one
        self.assertIn(domains.API, one.discover())


class Ca(Case):
    def test_rotation(self):
        old = d.a.onboard()
        rotate(d.a, 'ca')
        before = d.a.onboard()  # still by the old one
        self.assertEqual(issuer(read(before.crt)), issuer(read(old.crt)))
        good('ccf-a')
        new = d.a.onboard()
        self.assertNotEqual(issuer(read(new.crt)), issuer(read(old.crt)))
        run('openssl', 'verify', '-CAfile', d.a.ca, new.crt, old.crt)
        good('ccf-b')  # the agreement names the same file
        for who in (old, before, new):
            who.negotiate()
            self.assertEqual(who.call(who.token()).status, 200, who)
        self.assertEqual(len(jwks(d.a)), len(set(jwks(d.a))))
        # a server certificate under the new CA
        rotate(d.a, 'tls')
        good('ccf-a')
        for who in (old, new):
            self.assertIn(domains.API, who.discover())
        # it starts with all that, too
        d.restart('ccf-a')
        for who in (old, new):
            self.assertEqual(who.call(who.token()).status, 200)


if __name__ == '__main__':
    domains.main()
