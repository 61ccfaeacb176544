# SPDX-License-Identifier: Apache-2.0
"""Each call of an invoker is reported to the CCF, once, whoever dies when."""

import datetime
import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
import unittest

import domains
import psk as P
from domains import API, BUILD, PATH, read, write

PREFIX = '/' + API


def setUpModule():
    global d, back, one, token, state
    d = P.Case.d = domains.Domains()
    d.reconfigure('aef-b', '[aef]\n', '[aef]\nreport-interval = 1\n')
    d.describe(domains.resource('/subscriptions.json', 'GET', 'POST'),
               domains.resource('/{file}', 'GET'))
    back = domains.Backend(d)
    one = d.a.onboard().negotiate()
    token = one.token()
    state = d.dir + '/aef-b/state/'


def tearDownModule():
    back.stop()
    d.stop()


def logged(uri=None):
    """What CCF-B has: (domain of the invoker, its id, entry)."""
    with sqlite3.connect('file:%s/ccf-b/store.db?mode=ro' % d.dir,
                         uri=True) as db:
        rows = [(ccf, who, json.loads(doc)) for ccf, who, doc in db.execute(
            'SELECT invoker_ccf, invoker_id, doc FROM invocation')]
    return [r for r in rows if uri is None or r[2]['uri'] == uri]


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise AssertionError('not in %d s' % seconds)
        time.sleep(0.05)


def waiting():
    """Files that hold calls."""
    with os.scandir(state) as entries:
        return [e.name for e in entries if e.name.endswith(('.open', '.log'))
                and size(e.path) > 0]


def size(path):
    try:
        return os.path.getsize(path)
    except FileNotFoundError:  # it has just been handed over
        return 0


class Entries(unittest.TestCase):
    def setUp(self):
        back.gives()

    def entry(self, uri, n=1):
        wait_for(lambda: len(logged(uri)) >= n)
        found = logged(uri)
        self.assertEqual(len(found), n, found)
        return found[-1]

    def test_a_call_is_logged_with_what_is_known_of_it(self):
        before, had = time.time(), len(logged(PATH))
        a = one.call(token, PATH + '?secret=x', method='POST')
        self.assertEqual(a.status, 200, a)
        ccf, who, entry = self.entry(PATH, had + 1)
        self.assertEqual((ccf, who), (d.a.id, one.id))
        when = entry.pop('invocationTime')
        self.assertTrue(when.endswith('Z'), when)
        at = datetime.datetime.fromisoformat(
            when.replace('Z', '+00:00')).timestamp()
        self.assertTrue(before - 1 < at < time.time() + 1, when)
        self.assertIn(entry.pop('invocationLatency'), range(10000))
        self.assertEqual(entry, {
            'apiId': d.b.onboard().discover()[API]['apiId'], 'apiName': API,
            'apiVersion': 'v1', 'resourceName': 'subscriptions.json',
            'protocol': 'HTTP_1_1', 'operation': 'POST', 'result': '200',
            'uri': PATH, 'srcInterface': {
                'ipv4Addr': '127.0.0.1', 'securityMethods': ['OAUTH']}})

    def test_what_has_to_be_escaped(self):
        uri = PREFIX + '/v1/a"b%22c'
        self.assertEqual(one.call(token, uri).status, 200)
        self.entry(uri)

    def test_results(self):
        """Of the API, and of the AEF in its place."""
        n = 0
        for status, result in ((201, 201), (204, 204), (301, 301), (404, 404),
                               (409, 409), (500, 502), (503, 503)):
            n += 1
            uri = '%s/v1/result-%d' % (PREFIX, n)
            back.gives(status, body=b'' if status == 204 else b'{}')
            self.assertEqual(one.call(token, uri).status, result)
            self.assertEqual(self.entry(uri)[2]['result'], str(result))

    def test_refusals(self):
        uri = PREFIX + '/v1/subscriptions.json'
        had = len(logged(uri))
        self.assertEqual(one.call(token, uri, 'HEAD').status, 200)
        other = d.b.onboard()
        a = other.put(other.wish(other.discover()[API], methods=['PKI']))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(other.call(None, uri).status, 200)
        self.entry(uri, had + 2)
        late = one.negotiate()
        uri = PREFIX + '/v1/wrong-method'
        wrong = d.a.onboard()
        a = wrong.put(wrong.wish(wrong.discover()[API], methods=['PKI']))
        self.assertEqual(wrong.call(late.token(), uri).status, 401)
        P.ready(wrong)
        a = wrong.call(None, uri)
        self.assertEqual(a.status, 403, a)
        ccf, who, entry = self.entry(uri)
        self.assertEqual((who, entry['result']), (wrong.id, '403'))

    def test_who_can_t_prove_who_he_is_leaves_no_entry(self):
        uri = PREFIX + '/v1/nobody'
        self.assertEqual(one.call(token[:-8] + 'AAAAAAAA', uri).status, 401)
        self.assertEqual(d.call(token, None, uri).status, 401)
        self.assertEqual(one.call(None, uri).status, 403)
        self.assertEqual(one.call(token, uri).status, 200)
        self.entry(uri, 2)

    def test_nor_does_who_forges_a_token_that_the_ccf_is_asked_about(self):
        undo = [d.reconfigure('aef-b', '[aef]\n',
                              '[aef]\ntoken-check = introspect\n'),
                d.reconfigure('ccf-b', '[ccf]\n',
                              '[ccf]\noauth-client-auth = server\n')]
        try:
            header, claims, _ = token.split('.')
            claims = json.loads(domains.unb64(claims))
            del claims['cnf']
            forged = '%s.%s.%s' % (header, domains.b64(
                json.dumps(claims).encode()), 'A' * 86)
            for uri, method in ((PREFIX + '/v1/forged', 'DELETE'),
                                (PREFIX + '/v1/forged', 'GET'),
                                (PREFIX + '/v1/a/b', 'GET')):
                a = d.call(forged, None, uri, method)
                self.assertEqual(a.status, 401, a)
                self.assertIsNone(a.headers['Allow'])
            uri = PREFIX + '/v1/not-forged'
            self.assertEqual(one.call(token, uri).status, 200)
            self.entry(uri)
            self.assertEqual(logged(PREFIX + '/v1/forged'), [])
        finally:
            for fn in reversed(undo):
                fn()

    def test_refusals_in_plenty_are_not_all_reported(self):
        uri = PREFIX + '/v1/plenty'
        n = 60
        for _ in range(n):
            self.assertEqual(one.call(token, uri, 'PATCH').status, 405)
        self.assertEqual(one.call(token, uri).status, 200)
        wait_for(lambda: any(e['result'] == '200' for _, _, e in logged(uri)))
        kept = [e for _, _, e in logged(uri) if e['result'] == '405']
        self.assertIn(len(kept), range(1, n + 1))

    def test_whoever_leaves_without_an_answer(self):
        uri, come = PREFIX + '/v1/left', threading.Event()
        back.answer = lambda h: (come.set(), time.sleep(1))
        conn = domains.Https(d.aef_name, d.service, d.b.ca, one)
        conn.request('GET', uri, headers={'Authorization': 'Bearer ' + token})
        self.assertTrue(come.wait(10))
        conn.close()
        self.assertEqual(self.entry(uri)[2]['result'], '499')

    def test_nothing_secret_is_in_the_files(self):
        d.pause('ccf-b')
        try:
            self.assertEqual(one.call(token, PATH + '?k=verysecret').status,
                             200)
            wait_for(waiting)
            for f in waiting():
                text = read(state + f)
                self.assertNotIn('verysecret', text)
                for part in token.split('.'):
                    self.assertNotIn(part, text)
        finally:
            d.resume('ccf-b')


class Load:
    """Calls until it is stopped, each at a URI of its own."""

    def __init__(self, name):
        self.name, self.n, self.answered = name, 0, []
        self.lock, self.over = threading.Lock(), False
        self.threads = [threading.Thread(target=self.go) for _ in range(6)]
        for t in self.threads:
            t.start()

    def go(self):
        while not self.over:
            with self.lock:
                self.n += 1
                uri = '%s/v1/%s-%d' % (PREFIX, self.name, self.n)
            try:
                if one.call(token, uri).status == 200:
                    self.answered.append(uri)
            except domains.DIED:
                pass  # the aefd that took it was killed

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join()


class Durable(unittest.TestCase):
    def setUp(self):
        back.gives()

    def all_once(self, load):
        """All that was answered; what wasn't, at most."""
        wait_for(lambda: not waiting(), 60)
        uris = [e['uri'] for _, _, e in logged()
                if '/%s-' % load.name in e['uri']]
        self.assertEqual(len(uris), len(set(uris)))
        self.assertEqual(set(load.answered) - set(uris), set())
        self.assertGreater(len(load.answered), 20)

    def test_outage_of_the_ccf(self):
        one.call(token)  # so that it is known
        load = Load('outage')
        time.sleep(0.3)
        d.end('ccf-b', signal.SIGKILL)
        time.sleep(1.5)
        d.begin('ccf-b')
        load.stop()
        self.all_once(load)

    def test_aefd_is_killed_again_and_again(self):
        load = Load('killed')
        for _ in range(4):
            time.sleep(0.7)
            d.restart('aef-b', signal.SIGKILL)
        time.sleep(0.5)
        load.stop()
        self.all_once(load)

    def test_both_are_killed_while_it_is_handed_over(self):
        load = Load('both')
        for name in 2 * ['ccf-b', 'aef-b']:
            time.sleep(0.6)
            d.restart(name, signal.SIGKILL)
        time.sleep(0.5)
        load.stop()
        self.all_once(load)


class Files(unittest.TestCase):
    def setUp(self):
        back.gives()

    def test_what_can_t_be_kept_does_not_pass(self):
        uri = PREFIX + '/v1/unkept'
        wait_for(lambda: not waiting())
        d.restart('aef-b')
        os.rename(state, d.extra + '/away')
        try:
            a = one.call(token, uri)
            self.assertEqual(a.status, 503, a)
            self.assertEqual(a.headers['Retry-After'], '5')
            self.assertEqual(back.seen, [])
        finally:
            os.rename(d.extra + '/away', state)
        self.assertEqual(one.call(token, uri).status, 200)
        self.assertTrue(P.log_with(d, 'event=journal-failed'))

    def test_lines_of_no_use_harm_no_others(self):
        uri = PREFIX + '/v1/good-line'
        self.assertEqual(one.call(token, uri).status, 200)
        wait_for(lambda: logged(uri))
        good = '%s %s %s' % (d.a.id, one.id, json.dumps(
            dict(logged(uri)[0][2], uri=uri + '-2')))
        write(d.extra + '/1.log', '\n'.join(
            ['', ' ', '  ', '{}', 'x', 'x y', 'x y z', good, '+7', '+x', '-',
             good[:-30], good[:-1]]))
        os.rename(d.extra + '/1.log', state + '1.log')
        wait_for(lambda: logged(uri + '-2'))
        wait_for(lambda: not os.path.exists(state + '1.log'))
        self.assertEqual(len(logged(uri + '-2')), 1)

    def test_a_file_with_calls_of_many(self):
        uri = PREFIX + '/v1/many'
        self.assertEqual(one.call(token, uri).status, 200)
        wait_for(lambda: logged(uri))
        entry = logged(uri)[0][2]
        # none of the first two batches, which were accepted or refused
        write(d.extra + '/3.log', ''.join('%s inv-%d %s\n' % (
            (d.a.id, d.b.id)[n % 2], n // 2, json.dumps(dict(
                entry, uri='%s-%d' % (uri, n % 40)))) for n in range(120))
              + '+0\n-1\n')
        os.rename(d.extra + '/3.log', state + '3.log')
        wait_for(lambda: os.path.exists(state + '3.log.refused'))
        got = sorted((ccf, who) for ccf, who, e in logged()
                     if e['uri'].startswith(uri + '-'))
        self.assertEqual(got, sorted(
            ((d.a.id, d.b.id)[n % 2], 'inv-%d' % (n // 2))
            for n in range(2, 120)))

    def test_files_of_a_long_outage(self):
        """More than it takes note of at once; the oldest come first."""
        uri = PREFIX + '/v1/outage-file'
        self.assertEqual(one.call(token, uri).status, 200)
        wait_for(lambda: logged(uri))
        entry = logged(uri)[0][2]
        names = ['%03d' % n for n in range(150)]
        d.pause('aef-b')
        try:
            for n in random.sample(names, len(names)):
                write(state + n + '.log', '%s %s %s\n' % (
                    d.a.id, one.id, json.dumps(dict(entry, uri=uri + n))))
        finally:
            d.resume('aef-b')
        wait_for(lambda: not waiting())
        self.assertEqual([e['uri'] for _, _, e in logged()
                          if e['uri'].startswith(uri) and e['uri'] != uri],
                         [uri + n for n in names])

    def test_what_can_t_be_removed(self):
        """It is not tried again and again, nor are others kept."""
        os.mkdir(state + '0.log')
        os.symlink('/etc/passwd', state + '00.log')
        try:
            mark = len(P.log(d))
            uri = PREFIX + '/v1/beside'
            self.assertEqual(one.call(token, uri).status, 200)
            wait_for(lambda: logged(uri))
            self.assertLess(P.log(d)[mark:].count('report-failed'), 5)
        finally:
            os.rmdir(state + '0.log')
            os.remove(state + '00.log')

    def test_what_the_ccf_refuses_stays_for_the_operator(self):
        uri = PREFIX + '/v1/after-refused'
        bad = '%s %s {}' % (d.a.id, one.id)
        write(d.extra + '/2.log', bad + '\n')
        os.rename(d.extra + '/2.log', state + '2.log')
        wait_for(lambda: os.path.exists(state + '2.log.refused'))
        self.assertEqual(read(state + '2.log.refused').splitlines()[0], bad)
        self.assertTrue(P.log_with(d, 'event=report-refused'))
        self.assertEqual(one.call(token, uri).status, 200)
        wait_for(lambda: logged(uri))

    def test_a_directory_is_one_aefd_s(self):
        done = subprocess.run([BUILD + '/aef/aefd', 'aef-b/aef-b.cnf'],
                              cwd=d.dir, env=d.env('aef-b'), timeout=20,
                              stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('state: another aefd is using this directory',
                      done.stderr)


if __name__ == '__main__':
    domains.main()
