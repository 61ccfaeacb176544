# SPDX-License-Identifier: Apache-2.0
"""How what the CCF owes to others gets there: requests are put into the store
by hand, so that nothing but the courier is looked at."""

import json
import re
import signal
import sqlite3
import time
import unittest

import domains
import receiver


def setUpModule():
    global d, told
    d = domains.Domains()
    told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ', 'notification-ca = %s\nconnect = '
                  'there.example:443=127.0.0.1:%d\nkek = '
                  % (told.ca, told.port))


def tearDownModule():
    d.stop()
    told.stop()


def owe(*notices, trust='public', lane=None, lives=60):
    """Notices of one transaction, as (id, URL, body)."""
    db = sqlite3.connect(d.dir + '/ccf-a/store.db', timeout=10)
    with db:
        for name, url, body in notices:
            db.execute("INSERT INTO lane VALUES (?, '', 0, 0, 0, 0)"
                       " ON CONFLICT DO NOTHING", (lane or url,))
            db.execute('INSERT INTO notice (id, lane, method, url, trust, doc,'
                       ' expires) VALUES (?, ?, ?, ?, ?, ?, ?)',
                       (name, lane or url, 'POST', url, trust,
                        json.dumps(body), int((time.time() + lives) * 1000)))
    db.close()


def left(*urls):
    """How many are still owed there."""
    db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % d.dir, uri=True)
    try:
        return sum(db.execute('SELECT COUNT(*) FROM notice WHERE url = ?',
                              (u,)).fetchone()[0] for u in urls)
    finally:
        db.close()


class Courier(unittest.TestCase):
    def setUp(self):
        told.clear()
        told.answer = lambda n: 204
        self.url = told.url + self._testMethodName

    def owe(self, n, **kw):
        owe(*(('%s-%d' % (self._testMethodName[:20], i), self.url, {'n': i})
              for i in range(n)), **kw)

    def order(self, n, seconds=10):
        """The numbers that arrived, once there are n requests."""
        got = told.wait(lambda seen: len(seen) >= n, seconds)
        self.assertIsNotNone(got, len(told.seen()))
        return [x.body['n'] for x in got]

    def gone(self):
        end = time.monotonic() + 10
        while left(self.url):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def test_in_order_with_the_certificate_of_the_ccf(self):
        self.owe(5)
        self.assertEqual(self.order(5), list(range(5)))
        self.gone()
        n = told.seen()[0]
        self.assertIn(('DNS', d.a.id), n.peer['subjectAltName'])
        self.assertEqual(n.headers['Content-Type'], 'application/json')
        self.assertEqual([x.key for x in told.seen()],
                         ['"test_in_order_with_t-%d"' % i for i in range(5)])

    def test_again_until_it_is_taken_and_nothing_overtakes(self):
        answers = iter([503, 500, 429, 401])
        told.answer = lambda n: next(answers, 204)
        self.owe(2)
        self.assertEqual(self.order(6), [0, 0, 0, 0, 0, 1])
        self.assertEqual(len({x.key for x in told.seen()}), 2)
        self.gone()

    def test_what_is_refused_does_not_stop_the_others(self):
        told.answer = lambda n: (400, 404, 307)[n.body['n']]
        self.owe(3)
        self.assertEqual(self.order(3), [0, 1, 2])
        self.gone()
        log = domains.read(d.dir + '/ccf-a/log')
        self.assertEqual(len(re.findall('event=notice-dropped .*test_what_is_',
                                        log)), 3)

    def test_too_old_is_given_up(self):
        told.answer = lambda n: 503
        self.owe(2, lives=1)
        self.gone()
        self.assertGreaterEqual(len(told.seen()), 2)

    def test_one_destination_does_not_wait_for_another(self):
        told.answer = lambda n: 503 if n.body == {'n': 'slow'} else 204
        owe(('slow', self.url, {'n': 'slow'}))
        told.wait(lambda seen: seen)
        owe(('quick', self.url + '/quick', {'n': 0}))
        self.assertIsNotNone(told.wait(
            lambda seen: any(x.key == '"quick"' for x in seen)))
        self.assertEqual(left(self.url), 1)
        told.answer = lambda n: 204
        self.gone()

    def test_connect_says_where_a_name_is(self):
        # The receiver's certificate has that name, too.
        owe(('there', 'https://there.example/x', {'n': 0}))
        self.assertEqual(self.order(1), [0])

    def test_who_is_not_the_destination_gets_nothing(self):
        self.owe(1, trust='own')  # its certificate is not of the domain
        end = time.monotonic() + 10
        while 'test_who_is_not_the' not in domains.read(d.dir + '/ccf-a/log'):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        self.assertEqual(told.seen(), [])
        self.assertEqual(left(self.url), 1)

    def test_killed_between_attempts_it_goes_on(self):
        told.answer = lambda n: 503
        self.owe(3)
        told.wait(lambda seen: seen)
        d.end('ccf-a', signal.SIGKILL)
        told.clear()
        told.answer = lambda n: 204
        d.begin('ccf-a')
        # A lease may have to end first.
        self.assertEqual(self.order(3, 20), [0, 1, 2])
        self.gone()


if __name__ == '__main__':
    domains.main()
