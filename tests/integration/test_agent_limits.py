# SPDX-License-Identifier: Apache-2.0
"""capif-hsmd and clients that are too many, want too much or never end."""

import itertools
import os
import select
import signal

import cbor
from agent import (EVERYTHING, MEMORY, NOBODY, OK, OPS, PATIENCE, Agent,
                   Case, Ended, Token, until)
from tap import main

F = 1 << 32  # the first number of a connection
N = 32  # octets of a secret


def setUpModule():
    global token, agent
    token = Token()
    agent = Case.agent = Agent(token, objects=1024)
    with agent.client() as c:
        c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=ec')


def tearDownModule():
    code = agent.stop()
    token.remove()
    assert code == 0, code


class Numbers(Case):
    """A million objects, and a thousand deaths."""

    def fill(self, c, n):
        """Ask for n, a batch at a time; how many there are."""
        given = 0
        for at in range(0, n, 500):
            batch = min(500, n - at)
            c.send(b''.join(c.request('IMPORT', b's' * N, 0)
                            for _ in range(batch)))
            for _ in range(batch):
                a = c.answer()
                self.assertIn(a[1], (OK, MEMORY))
                given += a[1] == OK
        return given

    def test_a_million_imports(self):
        self.assertEqual(self.fill(self.c, 2000), 1024)
        rss = agent.rss()
        for _ in range(100):
            self.assertEqual(self.fill(self.c, 10000), 0)
            n = self.other.must('IMPORT', bytes(N), 0)
            self.other.must('MAC', n, b'')
        self.assertLess(agent.rss(), rss + 4096)
        self.c.must('DROP', F)
        self.assertEqual(self.fill(self.c, 10), 1)

    def test_all_connections_together(self):
        many = [agent.client() for _ in range(5)]
        self.assertEqual([self.fill(c, 1100) for c in many],
                         [1024] * 4 + [0])
        many[0].close()
        until(lambda: self.fill(many[4], 1) == 1)
        until(lambda: self.fill(many[4], 1100) >= 1000)
        for c in many:
            c.close()
        until(lambda: self.fill(self.other, 1) == 1)
        # What died with the connections has made room for as many again.
        until(lambda: self.fill(self.c, 1024) == 1024)
        self.c.close()
        self.c = agent.client()

    def test_memory_of_what_is_gone(self):
        """SoftHSM 2.6 keeps some 250 octets of each object that is destroyed;
        and each thread's part of the heap has to grow once."""
        for rounds in 20, 10:
            rss = agent.rss()
            for _ in range(rounds):
                with agent.client() as c:
                    until(lambda: self.fill(c, 1000) == 1000)
        self.assertLess(agent.rss(), rss + 4096)

    def test_keys_count_too(self):
        for _ in range(1024):
            last = self.c.status('FIND', 'pkcs11:object=ec', 1, 0)
        self.assertEqual(last, OK)
        self.assertEqual(self.c.status('FIND', 'pkcs11:object=ec', 1, 0),
                         MEMORY)
        self.assertEqual(self.c.status('KEK_FIND', 'pkcs11:object=ec'),
                         MEMORY)

    def test_a_thousand_deaths(self):
        whole = (self.c.request('IMPORT', bytes(N), 0)
                 + self.c.request('RANDOM', 4000)
                 + self.c.request('GENERATE', 9, 0, 0, 0, 'pkcs11:'))
        rss = 0
        for i in range(1000):
            c = agent.client(hello=False) if i % 2 else None
            while c is None:  # the last ones may not be gone yet
                try:
                    c = agent.client()
                except Ended:
                    pass
            try:
                c.send(whole[:1 + i % len(whole)])
            except Ended:
                pass
            c.close()
            if i % 100 == 0:
                self.works(self.other)
            if i == 100:
                rss = agent.rss()
        self.assertLess(agent.rss(), rss + 4096)


def flood(to, request, answers, ready):
    """For ever, as fast as it can; it says so when it has begun."""
    try:
        with to.client() as c:
            for i in itertools.count():
                c.send(request if answers else request * 1000)
                for _ in range(answers):
                    c.s.recv(100)
                if i == 100:
                    os.close(ready)
    finally:
        os._exit(1)


class Crowds(Case):
    def test_too_many_of_a_user_and_in_total(self):
        small = Agent(token, EVERYTHING.replace('0,', '0, %d,' % NOBODY),
                      clients=6, clients_per_user=4)
        held = [small.client() for _ in range(4)]
        with self.assertRaises(Ended):
            small.client()
        self.assertIn('what="too many clients of this user"',
                      small.refused()[-1])
        held += [small.client(NOBODY) for _ in range(2)]
        with self.assertRaises(Ended):
            small.client(NOBODY)
        self.assertIn('what="too many clients"', small.refused()[-1])
        self.assertEqual(len(small.refused()), 2)
        for c in held:
            self.works(c)
        held[0].close()

        def again():
            try:
                with small.client(NOBODY) as c:
                    return c.status('RANDOM', 1) == OK
            except Ended:
                return False
        until(again)
        for c in held:
            c.close()
        self.assertEqual(small.stop(), 0)

    def test_one_that_never_reads(self):
        flood = b''.join(self.c.request('RANDOM', 4096) for _ in range(50))
        with self.assertRaises(Ended):
            while True:
                self.c.send(flood)
                self.works(self.other)
        self.assertTrue(self.c.ended())

    def test_a_turn_ends(self):
        """Who has a lot to ask, with nothing to be answered but the last,
        does not have all of it done before somebody who came later."""
        one = Agent(token, workers=1)

        def second_is_first():
            with one.client() as much, one.client() as little:
                os.kill(one.pid, signal.SIGSTOP)
                until(lambda: one.status('State')[0] == 'T')
                much.send(cbor.encode([0, OPS.index('DROP'), 1]) * 45000
                          + much.request('RANDOM', 1))
                little.send(little.request('RANDOM', 1))
                os.kill(one.pid, signal.SIGCONT)
                first = select.select([much.s, little.s], [], [], PATIENCE)[0]
                much.answer()
                little.answer()
                return first == [little.s]
        # Both may be there by the time that we look.
        self.assertTrue(any(second_is_first() for _ in range(10)))
        self.assertEqual(one.stop(), 0)

    def test_one_that_never_ends_keeps_nobody_waiting(self):
        """Not even with one worker, and in whatever way it asks."""
        one = Agent(token, workers=1)
        for number in 0, 1:
            ready, ended = os.pipe()
            pid = os.fork()
            if pid == 0:
                flood(one, cbor.encode([number, OPS.index('DROP'), 1]),
                      number, ended)
            try:
                os.close(ended)
                self.assertEqual(os.read(ready, 1), b'')
                os.close(ready)
                for _ in range(20):
                    with one.client(hello=False) as c:
                        c.s.settimeout(1)  # a turn takes milliseconds
                        c.must('HELLO', 1, 'pkcs11:')
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.assertEqual(one.stop(), 0)


if __name__ == '__main__':
    main()
