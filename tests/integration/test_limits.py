# SPDX-License-Identifier: Apache-2.0
"""Access control policies at the AEF: how often, how fast and when an invoker
may call, counted over four workers each of two aefd with one store."""

import datetime
import json
import os
import random
import signal
import threading
import time
import unittest

import domains
import pg
from domains import API, BUILD, read, write

THREADS = 8


def setUpModule():
    global d, cluster, back, api_id
    cluster = pg.Cluster()
    d = domains.Domains()
    d.reconfigure('aef-b', '[aef]\n', '[aef]\nstore = %s\n'
                  % cluster.database('counts'))
    os.mkdir(d.dir + '/aef-b2')
    write(d.dir + '/aef-b2/softhsm2.conf',
          read(d.dir + '/aef-b/softhsm2.conf'))
    write(d.dir + '/aef-b2/aef-b2.cnf', read(d.dir + '/aef-b/aef-b.cnf')
          .replace('aef-b/state', 'aef-b2/state'))
    d.begin('aef-b2')
    back = domains.Backend(d)
    api_id = d.b.onboard().discover()[API]['apiId']


def tearDownModule():
    back.stop()
    d.stop()
    cluster.stop()


def fresh(ccf):
    """An invoker of whom the AEFs know nothing yet."""
    who = ccf.onboard().negotiate()
    who.text = who.token()
    return who


def policy(*who, **limits):
    """Set by the AMF of quickstart's provider, as the only one."""
    path = write(d.extra + '/policy.json', json.dumps({
        'apiInvokerPolicies': [dict({
            'apiInvokerId': w.id if w.ccf is d.b
            else '%s/%s' % (w.ccf.id, w.id)}, **limits) for w in who]}))
    domains.run(BUILD + '/tools/capif', 'policy', '--dir', 'aef-b', '--ccf',
                d.b.url, *d.b.connect, '--ca', d.b.ca, '--key',
                'pkcs11:object=amf', '--api', api_id, '--aef', 'aef-b1', path,
                env=d.env('aef-b'), cwd=d.dir)


def restart():
    """Both are killed, and know nothing of invokers any more."""
    for aef in 'aef-b', 'aef-b2':
        d.restart(aef, signal.SIGKILL)


def at(seconds):
    return (datetime.datetime.now(datetime.timezone.utc)
            + datetime.timedelta(seconds=seconds)).isoformat()


def wait_for(what):
    end = time.monotonic() + 20
    while not what():
        if time.monotonic() > end:
            raise AssertionError('not in 20 s')
        time.sleep(0.05)


class Many:
    """Calls of an invoker from some threads, each with connections of its own
    to either aefd: as many as are said, or until then."""

    def __init__(self, who, each=None, until=None):
        self.answers, self.lock = [], threading.Lock()

        def go():
            n = 0
            while n < each if each else time.time() < until:
                a = who.call(who.text)
                with self.lock:
                    self.answers.append(a)
                n += 1

        threads = [threading.Thread(target=go) for _ in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def of(self, status):
        return [a for a in self.answers if a.status == status]


class Limits(unittest.TestCase):
    def setUp(self):
        back.gives()

    def refused(self, answers, detail):
        for a in answers:
            self.assertEqual(a.status, 429)
            self.assertEqual(a.json()['detail'], detail)
            self.assertGreaterEqual(int(a.headers['Retry-After']), 1)

    def test_the_total_is_exact(self):
        for ccf in d.a, d.b:
            with self.subTest(ccf=ccf.name):
                back.gives()
                who = fresh(ccf)
                policy(who, allowedTotalInvocations=50)
                many = Many(who, each=12)
                self.assertEqual(len(many.of(200)), 50)
                self.assertEqual(len(back.seen), 50)
                self.assertEqual(len(many.of(429)), 12 * THREADS - 50)
                self.refused(many.of(429),
                             'as many calls as its policy allows')

    def test_the_total_outlives_both_aefd(self):
        who = fresh(d.b)
        policy(who, allowedTotalInvocations=9)
        self.assertEqual(len(Many(who, each=2).of(200)), 9)
        restart()
        self.assertEqual(len(Many(who, each=2).of(429)), 2 * THREADS)
        self.assertEqual(len(back.seen), 9)
        policy(who, allowedTotalInvocations=12)
        restart()
        self.assertEqual(len(Many(who, each=2).of(200)), 3)
        self.assertEqual(len(back.seen), 12)

    def test_one_invoker_s_calls_are_not_another_s(self):
        one, two = fresh(d.a), fresh(d.b)
        policy(one, two, allowedTotalInvocations=2)
        for who in one, two:
            self.assertEqual(len(Many(who, each=1).of(200)), 2)

    def test_many_invokers_at_once_are_not_in_each_other_s_way(self):
        who = [fresh(d.b) for _ in range(10)]
        policy(*who, allowedTotalInvocations=30)
        answers, lock = [], threading.Lock()

        def go():
            for _ in range(5):
                for one in random.sample(who, len(who)):
                    a = one.call(one.text)
                    with lock:
                        answers.append((one.id, a.status))

        threads = [threading.Thread(target=go) for _ in range(THREADS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for one in who:
            mine = sorted(status for id_, status in answers if id_ == one.id)
            self.assertEqual(mine, 30 * [200] + (5 * THREADS - 30) * [429])

    def test_many_aefd_begin_with_an_empty_store(self):
        conf = read(d.dir + '/aef-b2/aef-b2.cnf')
        old = [x for x in conf.splitlines() if x.startswith('store = ')][0]
        conf = conf.replace(old, 'store = ' + cluster.database('fresh'))
        names = ['aef-b%d' % n for n in range(10, 16)]
        for name in names:
            os.mkdir('%s/%s' % (d.dir, name))
            write('%s/%s/softhsm2.conf' % (d.dir, name), '')
            write('%s/%s/%s.cnf' % (d.dir, name, name),
                  conf.replace('aef-b2/state', name + '/state'))
        threads = [threading.Thread(target=d.begin, args=(name,))
                   for name in names]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for name in names:
            d.end(name)
            self.assertIn('event=ready', read('%s/%s/log' % (d.dir, name)))

    def test_none_at_all(self):
        """Of a total of none the CCF tells its AEF that there is no access."""
        for limit, status in (('allowedInvocationsPerSecond', 403),
                              ('allowedTotalInvocations', 401)):
            who = fresh(d.b)
            policy(who, **{limit: 0})
            self.assertEqual(len(Many(who, each=1).of(status)), THREADS)
        self.assertEqual(back.seen, [])

    def test_the_rate_is_exact_in_each_second(self):
        who = fresh(d.b)
        policy(who, allowedInvocationsPerSecond=5)
        begin = time.time()
        many = Many(who, until=begin + 3.5)
        seconds = int(time.time()) - int(begin) + 1
        self.assertGreaterEqual(len(many.of(200)), 5 * (seconds - 2))
        self.assertLessEqual(len(many.of(200)), 5 * seconds)
        self.assertEqual(len(back.seen), len(many.of(200)))
        self.assertGreater(len(many.of(429)), 0)
        self.refused(many.of(429),
                     'as many calls a second as its policy allows')

    def test_times(self):
        for start, stop, status in ((-60, 60, 200), (500, 900, 429),
                                    (-90, -60, 403)):
            who = fresh(d.b)
            policy(who, allowedInvocationTimeRangeList=[
                {'startTime': at(start), 'stopTime': at(stop)}])
            back.gives()
            a = who.call(who.text)
            self.assertEqual(a.status, status, a)
            self.assertEqual(len(back.seen), status == 200)
            if status == 429:
                self.refused([a], 'its policy does not allow it at this time')
                self.assertAlmostEqual(int(a.headers['Retry-After']), 500,
                                       delta=20)

    def test_without_the_store_only_counted_calls_fail(self):
        counted, other = fresh(d.b), fresh(d.b)
        policy(counted, allowedTotalInvocations=1000000)
        self.assertEqual(counted.call(counted.text).status, 200)
        cluster.down()
        try:
            a = counted.call(counted.text)
            self.assertEqual(a.status, 503, a)
            self.assertEqual(a.headers['Retry-After'], '5')
            self.assertEqual(other.call(other.text).status, 200)
        finally:
            cluster.up()
        end = time.monotonic() + 20
        while counted.call(counted.text).status != 200:
            self.assertLess(time.monotonic(), end)

    def test_the_total_is_exact_in_a_file_of_one_aefd(self):
        d.end('aef-b2')
        conf = d.dir + '/aef-b/aef-b.cnf'
        write(conf, '\n'.join(line for line in read(conf).splitlines()
                              if not line.startswith('store = postgresql')))
        d.restart('aef-b')
        who = fresh(d.b)
        policy(who, allowedTotalInvocations=50)
        many = Many(who, each=12)
        self.assertEqual(len(many.of(200)), 50)
        self.assertEqual(len(back.seen), 50)
        d.restart('aef-b', signal.SIGKILL)
        self.assertEqual(len(Many(who, each=1).of(429)), THREADS)


if __name__ == '__main__':
    domains.main()
