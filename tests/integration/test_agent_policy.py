# SPDX-License-Identifier: Apache-2.0
"""capif-hsmd's policy: who may use which key, and for what."""

import os
import unittest

from agent import (DENIED, MEMORY, NOBODY, OK, PARAM, Agent, Ended,
                   Token)
from tap import main

TBS = bytes(32)
N = 32
# What is done with a key, by its word of `use`.
WORDS = 'sign', 'derive', 'wrap', 'unwrap', 'generate'


def setUpModule():
    global token
    token = Token()
    with_all = Agent(token)
    with with_all.client() as c:
        for label in 'ec', 'other':
            c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=' + label)
        c.must('GENERATE', 0, 0, 2048, 1 | 8, 'pkcs11:object=rsa')
    with_all.stop()
    for label in 'kek', 'otherkek':
        token.tool('--keygen', '--key-type', 'AES:32', '--label', label,
                   '--usage-wrap')
    token.tool('--keygen', '--key-type', 'GENERIC:32', '--label', 'psk')
    token.tool('--keygen', '--key-type', 'GENERIC:32', '--label', 'loose',
               '--extractable')


def tearDownModule():
    token.remove()


def rule(label, use, *users):
    return '[key %s]\nusers = %s\nuse = %s\n' % (
        label, ', '.join(map(str, users or (0,))), use)


def rest(word):
    return ', '.join(w for w in WORDS if w != word)


class Policy(unittest.TestCase):
    def begin(self, rules, **options):
        agent = Agent(token, rules, **options)
        self.addCleanup(lambda: self.assertEqual(agent.stop(), 0))
        return agent

    def client(self, agent, uid=None):
        c = agent.client(uid)
        self.addCleanup(c.close)
        return c

    def is_refused(self, agent, c, what, key, op, *args, uid=0):
        """Denied, and logged with who wanted to do what."""
        before = len(agent.refused())
        a = c.ask(op, *args)
        self.assertEqual(a[0], DENIED, (op, a))
        self.assertIn("the agent's policy forbids", a[1])
        new = agent.refused()[before:]
        self.assertEqual(len(new), 1, new)
        for part in ('uid=%d ' % uid, 'pid=%d ' % os.getpid(),
                     'what="any use"' if what is None else 'what=' + what,
                     'key=' + key):
            self.assertIn(part, new[0])

    def test_a_user_without_a_rule(self):
        agent = self.begin(rule('*', 'sign', 0))
        for hello in True, False:
            with self.assertRaises(Ended):
                with agent.client(NOBODY, hello) as c:
                    c.ask('HELLO', 1, 'pkcs11:')
        self.assertEqual(len(agent.refused()), 2)
        self.assertIn('uid=%d pid=%d what="may use no key"'
                      % (NOBODY, os.getpid()), agent.refused()[0])
        self.assertEqual(len(self.client(agent).must('RANDOM', 9)), 9)

    def test_a_rule_gives_what_it_says(self):
        agent = self.begin(rule('ec', 'sign', NOBODY)
                           + rule('kek', 'wrap, unwrap', 'root')
                           + rule('*', 'derive', 0))
        c = self.client(agent, NOBODY)
        key = c.key('ec')
        self.assertEqual(len(c.must('SIGN', key, 0, 2, 2, 0, TBS)), 64)
        self.is_refused(agent, c, None, 'kek', 'KEK_FIND',
                        'pkcs11:object=kek', uid=NOBODY)
        root = self.client(agent)
        self.is_refused(agent, root, None, 'ec', 'FIND',
                        'pkcs11:object=ec;type=private', 1, 0)
        root.must('KEK_FIND', 'pkcs11:object=kek')

    def test_a_rule_for_labels_that_begin_so(self):
        agent = self.begin(rule('e*', 'sign') + rule('other*', 'sign')
                           + rule('other', 'derive') + rule('*', 'wrap'))
        c = self.client(agent)
        c.must('SIGN', c.key('ec'), 0, 2, 2, 0, TBS)
        # what fits best, whatever comes first
        self.is_refused(agent, c, 'sign', 'other', 'SIGN', c.key('other'), 0,
                        2, 2, 0, TBS)
        self.is_refused(agent, c, 'sign', 'rsa', 'SIGN', c.key('rsa'), 0, 2,
                        2, 0, TBS)
        self.is_refused(agent, c, None, 'otherkek', 'KEK_FIND',
                        'pkcs11:object=otherkek')
        c.must('KEK_FIND', 'pkcs11:object=kek')
        self.is_refused(agent, c, 'unwrap', 'rsa', 'UNWRAP_RSA',
                        c.key('rsa'), bytes(256), N, 0)

    def test_sign_is_needed_to_sign(self):
        agent = self.begin(rule('*', rest('sign')))
        c = self.client(agent)
        for label in 'ec', 'rsa':
            self.is_refused(agent, c, 'sign', label, 'SIGN', c.key(label),
                            0, 2, 2, 0, TBS)
        s = c.must('SECRET_FIND', 'pkcs11:object=psk')[0]
        self.is_refused(agent, c, 'sign', 'psk', 'MAC', s, b'm')
        c.must('DERIVE', s, b'm', 0)

    def test_derive_is_needed_to_derive(self):
        agent = self.begin(rule('*', rest('derive')))
        c = self.client(agent)
        s = c.must('SECRET_FIND', 'pkcs11:object=psk')[0]
        for op, args in (('DERIVE', (b'm', 0)), ('EXTRACT', (b'm', 0)),
                         ('P_SHA256', (b'm', N, 0))):
            self.is_refused(agent, c, 'derive', 'psk', op, s, *args)
        c.must('MAC', s, b'm')
        own = c.must('IMPORT', bytes(N), 0)  # what it has made is its own
        c.must('DERIVE', own, b'm', 0)

    def test_wrap_and_unwrap_are_needed(self):
        every = self.begin(rule('*', ', '.join(WORDS)), wrap='any')
        a = self.client(every)
        kek = a.must('KEK_FIND', 'pkcs11:object=kek')[0]
        s = a.must('IMPORT', bytes(N), 1)
        wrapped = a.must('WRAP_AES', kek, s)
        _, n, e = a.find('pkcs11:object=rsa')[1, 'rsa']
        by_rsa = a.must('WRAP_RSA', n, e, s)
        for word, other in ('wrap', 'unwrap'), ('unwrap', 'wrap'):
            agent = self.begin(rule('*', rest(word)), wrap='any')
            c = self.client(agent)
            kek = c.must('KEK_FIND', 'pkcs11:object=kek')[0]
            s = c.must('IMPORT', bytes(N), 1)
            rsa = c.key('rsa')
            asks = {('wrap', 'kek'): ('WRAP_AES', kek, s),
                    ('wrap', 'rsa'): ('WRAP_RSA', n, e, s),
                    ('unwrap', 'kek'): ('UNWRAP_AES', kek, wrapped, 0),
                    ('unwrap', 'rsa'): ('UNWRAP_RSA', rsa, by_rsa, N, 0)}
            for (needs, label), args in asks.items():
                if needs == word:
                    self.is_refused(agent, c, word, label, *args)
                else:
                    c.must(*args)

    def test_a_token_s_secret_leaves_by_its_own_rule(self):
        """Or sign alone would do, since what is unwrapped is one's own."""
        for use, may in ('sign, derive', False), ('sign, wrap', True):
            agent = self.begin(rule('*', 'wrap, unwrap') + rule('loose', use),
                               wrap='any')
            c = self.client(agent)
            kek = c.must('KEK_FIND', 'pkcs11:object=kek')[0]
            s = c.must('SECRET_FIND', 'pkcs11:object=loose')[0]
            if may:
                c.must('WRAP_AES', kek, s)
            else:
                self.is_refused(agent, c, 'wrap', 'loose', 'WRAP_AES', kek, s)

    def test_a_kek_is_no_secret_and_a_secret_no_kek(self):
        agent = self.begin(rule('*', ', '.join(WORDS)), wrap='any')
        c = self.client(agent)
        kek = c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        s = c.must('IMPORT', bytes(N), 1)
        self.is_refused(agent, c, 'sign', 'kek', 'MAC', kek, b'm')
        self.is_refused(agent, c, 'derive', 'kek', 'DERIVE', kek, b'm', 0)
        for args in ('WRAP_AES', s, s), ('UNWRAP_AES', s, bytes(40), 0):
            self.assertEqual(c.status(*args), DENIED)

    def test_a_key_of_the_client_s_own_wraps_nothing(self):
        c = self.client(self.begin(rule('*', ', '.join(WORDS)), wrap='any'))
        s = c.must('IMPORT', bytes(N), 1)
        self.assertEqual(c.status('WRAP_RSA', b'\xc5' + bytes(254) + b'\x01',
                                  b'\1\0\1', s), DENIED)

    def test_a_short_secret_is_not_derived(self):
        """Octet by octet, MAC would tell which it is."""
        c = self.client(self.begin(rule('*', 'sign')))
        s = c.must('IMPORT', bytes(N), 0)
        self.assertEqual(c.status('P_SHA256', s, b'm', N - 1, 0), PARAM)
        c.must('P_SHA256', s, b'm', N, 0)

    def test_nobody_s_id_is_taken(self):
        """The public half is found by it."""
        c = self.client(self.begin(rule('*', ', '.join(WORDS))))
        c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=one;id=%07')
        self.assertEqual(c.status('GENERATE', 1, 1, 0, 1,
                                  'pkcs11:object=two;id=%07'), DENIED)

    def test_one_user_s_objects_are_not_another_s(self):
        agent = self.begin(rule('*', 'sign', 0, NOBODY), objects=16)
        for _ in range(4):
            c = self.client(agent)
            for _ in range(16):
                c.must('IMPORT', bytes(N), 0)
        self.assertEqual(self.client(agent).status('IMPORT', bytes(N), 0),
                         MEMORY)
        self.client(agent, NOBODY).must('IMPORT', bytes(N), 0)

    def test_generate_is_needed_to_generate(self):
        agent = self.begin(rule('*', rest('generate'))
                           + rule('mine', 'sign, generate'))
        c = self.client(agent)
        self.is_refused(agent, c, 'generate', 'new', 'GENERATE', 1, 1, 0, 1,
                        'pkcs11:object=new')
        for uri in ('object=mine%00', 'object=min', 'object=minee',
                    'object=Mine', 'id=mine', 'object=', ''):
            before = len(agent.refused())
            self.assertNotEqual(c.status('GENERATE', 1, 1, 0, 1,
                                         'pkcs11:' + uri), OK)
            self.assertEqual(len(agent.refused()), before + 1, uri)
        key = c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=mine')[1]
        c.must('SIGN', key, 0, 2, 2, 0, TBS)
        self.assertIn((1, 'mine'), c.find('pkcs11:', 1))
        # The name is taken, by whoever asks.
        self.assertEqual(c.ask('GENERATE', 1, 1, 0, 1,
                               'pkcs11:object=mine')[:1], [DENIED])

    def test_keys_that_may_not_be_used_are_not_found(self):
        agent = self.begin(rule('ec', 'sign', NOBODY) + rule('rsa', 'sign'))
        c = self.client(agent, NOBODY)
        found = c.find('pkcs11:')
        self.assertEqual([x for x in found if x[0] == 1], [(1, 'ec')])
        self.assertIn((2, 'rsa'), found)  # public is public
        for x, (number, _, _) in found.items():
            self.assertEqual(number != 0, x[0] == 1)
        self.assertEqual(list(c.find('pkcs11:', 1)), [(1, 'ec')])
        self.is_refused(agent, c, None, 'rsa', 'FIND',
                        'pkcs11:object=rsa', 1, 0, uid=NOBODY)

    def test_a_label_of_its_own_beats_the_star(self):
        for rules in (rule('*', 'sign, wrap', 0) + rule('ec', 'sign', NOBODY),
                      rule('ec', 'sign', NOBODY) + rule('*', 'sign, wrap',
                                                        0)):
            agent = self.begin(rules)
            c = self.client(agent)
            self.is_refused(agent, c, None, 'ec', 'FIND',
                            'pkcs11:object=ec', 1, 0)
            self.assertEqual({x[1] for x in c.find('pkcs11:', 1)} & {
                'ec', 'other'}, {'other'})
            c.must('SIGN', c.key('other'), 0, 2, 2, 0, TBS)

    def test_no_star_no_other_keys(self):
        agent = self.begin(rule('kek', 'wrap, unwrap'))
        c = self.client(agent)
        c.must('KEK_FIND', 'pkcs11:object=kek')
        self.is_refused(agent, c, None, 'otherkek', 'KEK_FIND',
                        'pkcs11:object=otherkek')
        self.is_refused(agent, c, None, 'psk', 'SECRET_FIND',
                        'pkcs11:object=psk')

    def test_who_does_not_learn_is_ended(self):
        agent = self.begin(rule('*', 'derive'))
        c, other = self.client(agent), self.client(agent)
        key = c.key('ec')
        for _ in range(15):
            self.assertEqual(c.status('SIGN', key, 0, 2, 2, 0, TBS), DENIED)
        c.must('RANDOM', 1)
        self.assertEqual(c.status('SIGN', key, 0, 2, 2, 0, TBS), DENIED)
        with self.assertRaises(Ended):
            for _ in range(10):
                c.must('RANDOM', 1)
        self.assertEqual(len(agent.refused()), 16)
        other.must('RANDOM', 1)

    def test_refusals_at_once(self):
        """All in one batch: it does not fill the log."""
        agent = self.begin(rule('*', 'derive'))
        c = self.client(agent)
        key = c.key('ec')
        c.send(b''.join(c.request('SIGN', key, 0, 2, 2, 0, TBS)
                        for _ in range(500)))
        self.assertTrue(c.ended())
        self.assertEqual(len(agent.refused()), 16)

    def test_labels_in_the_log(self):
        """A name that looks like a log line is none."""
        agent = self.begin(rule('*', 'sign'))
        c = self.client(agent)
        c.ask('GENERATE', 1, 1, 0, 1, 'pkcs11:object=x%0a2026 event=ready'
              + 'y' * 500)
        self.assertEqual(len(agent.log().splitlines()), 2)
        self.assertEqual(agent.log().count('\n2026 '), 0)


if __name__ == '__main__':
    main()
