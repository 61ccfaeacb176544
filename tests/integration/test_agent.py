# SPDX-License-Identifier: Apache-2.0
"""capif-hsmd and clients that mean no good: what they send and ask for."""

import hashlib
import hmac
import os

import cbor
from agent import (DENIED, GONE, MECH, NOT_FOUND, OK, OPS, PARAM, Agent,
                   Case, Ended, Token)
from tap import main
from wire import make_key, run

WILD = (1 << 32, (1 << 32) + 1, 1 << 63, (1 << 64) - 1)
F = 1 << 32  # the first number of a connection
N = 32  # octets of a secret
TBS = hashlib.sha256(b'tbs').digest()


def setUpModule():
    global token, agent
    token = Token()
    agent = Case.agent = Agent(token, wrap='any')
    with agent.client() as c:
        c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=ec')
        c.must('GENERATE', 0, 0, 2048, 1 | 8, 'pkcs11:object=rsa')
    token.tool('--keygen', '--key-type', 'AES:32', '--label', 'kek',
               '--usage-wrap')


def tearDownModule():
    code = agent.stop()
    token.remove()
    assert code == 0, code


class Octets(Case):
    """What is sent is no message, or none that may be sent."""

    def test_a_byte_at_a_time_and_then_silence(self):
        secret = b'half of it' * 4
        whole = self.c.request('IMPORT', secret, 0)
        for octet in whole:
            self.assertTrue(self.c.quiet())
            self.c.send(bytes([octet]))
            self.works(self.other)
        self.assertEqual(self.c.answer()[1], OK)
        silent = [agent.client(hello=False) for _ in range(8)]
        for i, c in enumerate(silent):
            c.send(whole[:1 + i * 5])
        self.works(self.other)
        for c in silent:
            self.assertTrue(c.quiet())
            c.close()

    def ends(self, data, hello=True):
        with agent.client(hello=hello) as c:
            try:
                c.send(data)
            except Ended:
                pass
            self.assertTrue(c.ended(), data[:40])

    def test_garbage(self):
        before = len(agent.refused())
        for data in (b'GET / HTTP/1.1\r\n\r\n', b'\xff' * 100, b'\x80',
                     b'\0', b'\x9f', b'\x81\xf6', b'\xa0', b'\xc0\x81\0',
                     b'\x81\x81\0', b'\x5b' + b'\xff' * 8,
                     b'\x81\x5b' + b'\xff' * 8, b'\x98\x61', b'\x83\0\0\x61\0'):
            for hello in True, False:
                self.ends(data, hello)
        new = agent.refused()[before:]
        self.assertEqual(len(new), 26)
        for line in new:
            self.assertIn('uid=%d pid=%d what="no message"'
                          % (os.getuid(), os.getpid()), line)

    def test_garbage_after_requests(self):
        for _ in range(16):
            self.ends(self.c.request('RANDOM', 1) * 3 + b'\xff')

    def test_too_long_messages(self):
        n = 65536 - len(cbor.encode([1, 6, b'', 0])) - 2
        fits = agent.client()
        fits.send(cbor.encode([1, OPS.index('IMPORT'), bytes(n), 0]))
        self.assertEqual(fits.answer()[1], PARAM)  # too long for a secret
        fits.close()
        self.ends(cbor.encode([1, OPS.index('IMPORT'), bytes(n + 1), 0]))
        self.ends(b'\x84\1\6\x5a\0\1\0\0')
        self.ends(b'\x84\1\6\x5a' + b'\xff' * 4)

    def test_before_hello(self):
        for op, args in EVERY:
            if op == 'HELLO':
                continue
            with agent.client(hello=False) as c:
                self.assertEqual(c.ask(op, *args)[:2],
                                 [PARAM, 'HELLO comes first'])
                self.assertEqual(c.status('HELLO', 2, 'pkcs11:'), 3)
                self.assertEqual(c.status(op, *args), PARAM)
                c.must('HELLO', 1, 'pkcs11:')
                self.works(c)

    def test_unknown_operations(self):
        for op in (len(OPS), 255, *WILD):
            self.ends(cbor.encode([1, op]))
            self.ends(cbor.encode([1, op, 1, 1]))

    def test_other_types_and_counts(self):
        for op, args in EVERY:
            number = OPS.index(op)
            for wrong in ([*args, 0], [*args, b''], list(args)[:-1]):
                self.ends(cbor.encode([1, number, *wrong]))
            for i, arg in enumerate(args):
                for other in 0, b'', '':
                    if type(other) is not type(arg):
                        wrong = list(args)
                        wrong[i] = other
                        self.ends(cbor.encode([1, number, *wrong]))
        self.ends(cbor.encode([b'1', 0]))
        self.ends(cbor.encode([1]))

    def test_number_0_is_not_answered(self):
        n = self.c.must('IMPORT', bytes(N), 0)
        self.c.send(cbor.encode([0, OPS.index('DROP'), n])
                    + cbor.encode([0, OPS.index('RANDOM'), 16]))
        self.refuses('MAC', n, b'')
        self.assertTrue(self.c.quiet())

    def test_pipelined(self):
        want = {}
        data = b''
        for i in range(1, 300):
            data += self.c.request('RANDOM', i)
            want[self.c.last] = i
        self.c.send(data)
        for _ in range(len(want)):
            a = self.c.answer()
            self.assertEqual(len(a[3]), want.pop(a[0]))
        self.assertEqual(want, {})


EVERY = (('HELLO', (1, 'pkcs11:')), ('TOKENS', ('pkcs11:',)),
         ('FIND', ('pkcs11:', 7, 0)), ('SIGN', (F, 0, 2, 2, 0, TBS)),
         ('SECRET_FIND', ('pkcs11:object=kek',)),
         ('KEK_FIND', ('pkcs11:object=kek',)), ('IMPORT', (bytes(N), 0)),
         ('DERIVE', (F, b'm', 0)), ('EXTRACT', (F, b'm', 0)),
         ('P_SHA256', (F, b's', 48, 0)), ('MAC', (F, b'mac')),
         ('WRAP_AES', (F, F)), ('UNWRAP_AES', (F, bytes(40), 0)),
         ('WRAP_RSA', (b'\xc5' * 256, b'\1\0\1', F)),
         ('UNWRAP_RSA', (F, bytes(256), N, 0)), ('RANDOM', (16,)),
         ('GENERATE', (1, 1, 0, 1, 'pkcs11:object=new')), ('DROP', (F,)))


class Arguments(Case):
    def test_ranges(self):
        key, s = self.c.key('ec'), self.c.must('IMPORT', bytes(N), 1)
        rsa = self.c.key('rsa')
        kek = self.c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        self.c.must('SIGN', key, 0, 2, 2, 0, TBS)
        for x in WILD:
            self.refuses('HELLO', x, 'pkcs11:', want=3)
        for x in (8, 255, *WILD):
            self.refuses('FIND', 'pkcs11:', x, 0)
        for i, borders in enumerate(((4,), (5,), (5,), (4097,))):
            for x in borders + WILD:
                args = [1, 2, 2, 0]
                args[i] = x
                self.refuses('SIGN', rsa, *args, TBS)
        for x in (2, 3, 255) + WILD:
            self.refuses('IMPORT', bytes(N), x)
            self.refuses('DERIVE', s, b'm', x)
            self.refuses('EXTRACT', s, b'm', x)
            self.refuses('P_SHA256', s, b'm', N, x)
            self.refuses('UNWRAP_AES', kek, bytes(40), x)
            self.refuses('UNWRAP_RSA', rsa, bytes(256), N, x)
        for x in (0, 513) + WILD:
            self.refuses('P_SHA256', s, b'm', x, 0)
        for x in (513,) + WILD:
            self.refuses('UNWRAP_RSA', rsa, bytes(256), x, 0)
        for x in (0, 4097) + WILD:
            self.refuses('RANDOM', x)
        for i, borders in enumerate(((5,), (4,), (16385,), (16,))):
            for x in borders + WILD:
                args = [1, 1, 0, 1]
                args[i] = x
                self.refuses('GENERATE', *args, 'pkcs11:object=x')
        self.assertEqual(self.c.find('pkcs11:', 1).keys(),
                         {(1, 'ec'), (1, 'rsa')})

    def test_lengths(self):
        s = self.c.must('IMPORT', bytes(N), 1)
        for n in 0, 513, 60000:
            self.refuses('IMPORT', bytes(n), 0)
        self.refuses('DERIVE', s, b'', 0)
        self.refuses('EXTRACT', s, bytes(65), 0)
        kek = self.c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        for n in 0, 8, 16, 23, 25:
            self.refuses('UNWRAP_AES', kek, bytes(n), 0)
        self.assertNotEqual(self.c.status('UNWRAP_AES', kek, bytes(60000),
                                          0), OK)
        for n, e in ((b'', b''), (bytes(256), bytes(3)), (b'\1', b'\1'),
                     (b'\xff' * 256, b''), (b'\xff' * 256, b'\xff' * 257),
                     (b'', b'\3'), (b'\xff' * 2049, b'\1\0\1'),
                     (b'\xff' * 30000, b'\xff' * 30000),
                     (b'\xff' * 5000, b'\1\0\1')):
            self.assertNotEqual(self.c.status('WRAP_RSA', n, e, s), OK)
        keys = self.c.find('pkcs11:', 1)
        for name in 'ec', 'rsa':
            for mech in range(4):
                for n in 0, 1, 1000, 65000:
                    self.c.ask('SIGN', keys[1, name][0], mech, 2, 2, 4096,
                               bytes(n))
            for n in 0, 1, 255, 257, 65000:
                self.assertNotEqual(self.c.status(
                    'UNWRAP_RSA', keys[1, name][0], bytes(n), N, 0), OK)
        for n in 0, 65000:
            self.c.must('MAC', s, bytes(n))
            self.c.must('P_SHA256', s, bytes(n), N, 0)
        for op in 'HELLO', 'TOKENS', 'SECRET_FIND', 'KEK_FIND':
            for uri in 'pkcs11', 'pkcs11:%', 'pkcs11:' + 'x' * 60000:
                args = (1, uri) if op == 'HELLO' else (uri,)
                self.assertNotEqual(self.c.status(op, *args), OK)

    def test_an_answer_that_would_be_too_long(self):
        before = self.c.find('pkcs11:', 1).keys()
        for n in 60000, 65400, 65480, 65495:
            self.refuses('GENERATE', 1, 1, 0, 1,
                         'pkcs11:object=' + 'l' * n)
        self.refuses('GENERATE', 1, 1, 0, 1,
                     'pkcs11:object=x;id=' + 'l' * 65480)
        self.assertEqual(self.c.find('pkcs11:', 1).keys(), before)

    def test_first_of_find(self):
        for first in (1000, *WILD):
            a = self.c.ask('FIND', 'pkcs11:', 7, first)
            self.assertEqual(a, [OK, '', 0])

    def test_numbers(self):
        """Never given, another connection's, dropped, of the other kind."""
        key, s = self.c.key('ec'), self.c.must('IMPORT', bytes(N), 1)
        rsa = self.c.key('rsa')
        kek = self.c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        gone = self.c.must('IMPORT', bytes(N), 1)
        self.c.must('DROP', gone)
        self.c.must('DROP', gone)  # nothing
        theirs = [self.other.must('IMPORT', bytes(N), 1)
                  for _ in range(40)][-1]
        bad = [0, 1, F - 1, gone, gone + F, s + F, s - F, key + F, theirs,
               s & 0xffffffff, (1 << 64) - 1, (1 << 64) - F]
        self.assertEqual(len({key, s, rsa, kek, *bad}), 4 + len(set(bad)))
        for x in [*bad, s, kek]:
            self.refuses('SIGN', x, 0, 2, 2, 0, TBS)
            self.refuses('UNWRAP_RSA', x, bytes(256), N, 0)
        for x in [*bad, key, rsa]:
            self.refuses('DERIVE', x, b'm', 0)
            self.refuses('EXTRACT', x, b'm', 0)
            self.refuses('P_SHA256', x, b'm', N, 0)
            self.refuses('MAC', x, b'm')
            self.refuses('WRAP_AES', x, s)
            self.refuses('WRAP_AES', kek, x)
            self.refuses('UNWRAP_AES', x, bytes(40), 0)
            self.refuses('WRAP_RSA', b'\xc5' * 256, b'\1\0\1', x)
        for x in bad:
            self.c.must('DROP', x)
        self.c.must('MAC', s, b'm')
        self.c.must('SIGN', key, 0, 2, 2, 0, TBS)
        self.other.must('MAC', theirs, b'm')
        again = self.c.must('IMPORT', bytes(N), 1)
        self.assertNotEqual(again, gone)
        self.refuses('MAC', gone, b'm')


class Secrets(Case):
    def test_no_answer_has_one(self):
        """Each operation with what it needs, and nothing secret comes."""
        pem = make_key(token.dir + '/known.pem')
        text = run('openssl', 'ec', '-in', pem, '-noout', '-text').decode()
        scalar = bytes.fromhex(''.join(
            text.split('priv:')[1].split('pub:')[0].split()).replace(':', ''))
        run('openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', pem, '-out',
            pem + '8')
        token.import_key(pem + '8', 'known')
        c, value = self.c, os.urandom(N)
        mac = lambda k, m: hmac.new(k, m, hashlib.sha256).digest()
        needles = {'value': value, 'scalar': scalar[-32:],
                   'PIN': token.pin.encode(), 'derived': mac(value, b'm'),
                   'extracted': mac(b'salt', value),
                   'P_SHA256': mac(value, mac(value, b's') + b's')}
        s = c.must('IMPORT', value, 1)
        d = c.must('DERIVE', s, b'm', 1)
        c.must('EXTRACT', s, b'salt', 1)
        c.must('P_SHA256', s, b's', 48, 1)
        kek = c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        wrapped = c.must('WRAP_AES', kek, s)
        again = c.must('UNWRAP_AES', kek, wrapped, 1)
        self.assertEqual(c.must('MAC', again, b'x'), mac(value, b'x'))
        self.assertEqual(c.must('MAC', d, b'x'),
                         mac(needles['derived'], b'x'))
        keys = c.find('pkcs11:')
        _, n, e = keys[1, 'rsa']
        wrapped = c.must('WRAP_RSA', n, e, s)
        again = c.must('UNWRAP_RSA', keys[1, 'rsa'][0], wrapped, N, 1)
        self.assertEqual(c.must('MAC', again, b'x'), mac(value, b'x'))
        c.must('SIGN', keys[1, 'known'][0], 0, 2, 2, 0, TBS)
        c.must('TOKENS', 'pkcs11:')
        c.must('RANDOM', 32)
        for op, args in EVERY:  # once more, with every number in each place
            for number in (s, d, kek, keys[1, 'known'][0]):
                if op not in ('GENERATE', 'DROP'):
                    c.ask(op, *(number if x == F else x for x in args))
        for what in 'object=known', 'object=kek', 'type=secret-key', '':
            for op in 'SECRET_FIND', 'KEK_FIND':
                c.ask(op, 'pkcs11:' + what)
        for name, needle in needles.items():
            for part in needle, needle[::-1], needle[:16], needle[16:]:
                if len(part) >= 16:
                    self.assertFalse(bytes(part) in c.seen, name)
            self.assertFalse(needle.hex().encode() in c.seen, name)
            self.assertNotIn(needle.decode('latin-1'), agent.log())
        # The control: what is asked for with MAC comes, and is found.
        self.assertEqual(c.must('MAC', s, b'm'), needles['derived'])
        self.assertIn(needles['derived'], c.seen)

    def test_a_kek_is_not_wrapped(self):
        kek = self.c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        self.assertIn(self.c.status('WRAP_AES', kek, kek),
                      (DENIED, MECH, PARAM))

    def test_one_that_may_not_travel_is_not_wrapped(self):
        kek = self.c.must('KEK_FIND', 'pkcs11:object=kek')[0]
        s = self.c.must('IMPORT', bytes(N), 0)
        self.refuses('WRAP_AES', kek, s, want=DENIED)

    def test_unknown_names(self):
        for op in 'SECRET_FIND', 'KEK_FIND':
            self.refuses(op, 'pkcs11:object=nobody', want=NOT_FOUND)
        self.assertIn(self.c.status('FIND', 'pkcs11:object=nobody', 7, 0),
                      (NOT_FOUND, GONE))


if __name__ == '__main__':
    main()
