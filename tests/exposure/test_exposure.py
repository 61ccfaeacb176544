# SPDX-License-Identifier: Apache-2.0
"""No key material in the memory of ccfd and aefd (design 2 and 3): every
secret of classes 1 and 2 is looked for in both CCFs and the AEF, in every
phase of what tools/quickstart does and of what goes wrong.

Needles are the private keys and KEKs, which keys.py made outside of the
tokens; the PINs; and what the invoker's side of each connection derives,
which both ends share (recorder.c).

A look of one moment is taken once everything is done that the needles come
from.  To look at every system call the values must be known before:

- AEFPSK: ccf-a keeps the session's KEY, wrapped, and derives from it each time
  an AEF asks.  The invoker derives the same value in software before anybody
  asked, from the same KEY and P1: so both are known before ccf-a unwraps the
  one and derives the other.
- a PSK's early secret, binder key, finished key and `derived` follow from it
  alone: they are computed here (psk.py) before the first handshake with it, and
  that the recorder then sees the same values on the wire's other end is tested.
- the secrets of a CAPIF-1e handshake can't be known before the server's share.
  Here the invoker stops as soon as it has them, and waits while we look.  In
  TLS 1.2 that is before it sends its ClientKeyExchange, so that all that the
  CCF derives is watched; in TLS 1.3 before its Finished: the CCF has derived
  the handshake and master secrets, and is seen to have nothing of them, and
  all that KEY is made of, and KEY, which follow from them, are watched.

The control is the same audit with SoftHSM in the daemons: it must find keys,
or else nobody looked.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'integration'))

import audit  # noqa: E402
from audit import BUILD, DAEMONS, Scanner, Table  # noqa: E402
from places import Agent, InProcess  # noqa: E402

if not audit.may_look():
    print('1..0 # SKIP only CAP_SYS_PTRACE can look into these processes')
    sys.exit(0)
if shutil.which('gcore') is None:
    print('1..0 # SKIP no gcore: install gdb')
    sys.exit(0)
programs = audit.Programs()
os.environ['BUILD_DIR'] = programs.build

import domains  # noqa: E402  (it takes the build directory when imported)
import psk as P  # noqa: E402
from domains import API, read, run, unb64  # noqa: E402
from planted import Planted  # noqa: E402,F401  (tests of this module)

CALL = '/v1/subscriptions.json'
LOAD_SECONDS = 3


def tearDownModule():
    programs.stop()


# ---- the phases ------------------------------------------------------------

class Phases(unittest.TestCase):
    """What both runs do; the classes below name them as tests, in order."""

    place_class = title = None

    @classmethod
    def setUpClass(cls):
        cls.place = cls.place_class()
        cls.table = Table()
        cls.d, cls.suffix, cls.quiet, cls.method = None, '', False, ''
        programs.needles = audit.Needles(programs.dir + '/needles')
        programs.before, programs.after = cls.before_step, cls.after_step
        programs.conf = cls.place.conf

    @classmethod
    def tearDownClass(cls):
        if cls.d is not None:
            cls.d.stop()
        cls.place.stop()
        for line in cls.table.lines(cls.title):
            print(('# ' + line).rstrip(), flush=True)
        cls.table.save('%s/tests/exposure/%s.tsv' % (
            BUILD, cls.place_class.__name__.lower()))

    # -- looking --

    @classmethod
    def processes(cls, where, names=DAEMONS):
        out = []
        for name in names:
            path = '%s/%s.pid' % (where, name)
            if os.path.exists(path):
                out.append((name, int(read(path))))
        return out

    @classmethod
    def look(cls, phase, targets):
        known = programs.needles.all()
        found, _ = Scanner(programs.write(known), targets, phase).end()
        cls.table.add(phase, [t for t, _ in targets], known, found)

    def watch(self, phase, option, names, action, since):
        """Look while action goes on.  The needles are those known before it:
        what lasts, and of connections those that came since."""
        known = {n: v for n, v in programs.needles.all().items()
                 if audit.class_of(n) == 1
                 or (audit.class_of(n) == 2 and v not in since)}
        scanner = Scanner(programs.write(known),
                          self.processes(self.d.dir, names), phase, option)
        try:
            action()
        finally:
            found, looks = scanner.end()
        for name in names:
            self.assertGreater(looks[name], 10, phase)
        self.table.add(phase, names, known, found)
        print('# %s: %s' % (phase, ', '.join(
            '%d looks at %s' % (looks[n], n) for n in names)))

    def clean(self):
        """Nothing of classes 1 and 2 in what was looked at so far."""
        if programs.failed:
            raise programs.failed
        if self.place.guarded:
            self.assertEqual(self.table.of(1, 2), [])

    # -- steps of `capif` --

    @classmethod
    def before_step(cls, argv, where):
        if argv[0] == 'onboard':
            cls.look('at rest', cls.processes(where))

    @classmethod
    def after_step(cls, argv, where):
        invoker = where + '/invoker'
        if '--methods' in argv:
            cls.method = ' ' + argv[argv.index('--methods') + 1]
        if argv[0] == 'negotiate' and cls.method == ' PSK':
            key = json.loads(read(invoker + '/session.json'))['key']
            programs.needles.add('2.KEY', unb64(key))
        if argv[0] == 'psk':
            cls.know_psk(unb64(json.loads(read(invoker + '/psk.json'))['key']))
        if cls.quiet:
            return
        cls.look(argv[0] + (cls.method if argv[0] in ('negotiate', 'call')
                            else '') + cls.suffix, cls.processes(where))

    @classmethod
    def know_psk(cls, value):
        """What is equal to a PSK: RFC 8446 7.1, of it alone."""
        empty = P.hashlib.sha256(b'').digest()
        early = P.sha256_mac(b'\0' * 32, value)
        binder = P.expand_label(early, b'ext binder', empty)
        for name, secret in (
                ('AEFPSK', value), ('psk-early', early),
                ('psk-binder', binder),
                ('psk-finished', P.expand_label(binder, b'finished', b'')),
                ('psk-derived', P.expand_label(early, b'derived', empty))):
            programs.needles.add('1.' + name, secret)

    def start(self, command, *options, conf=None, hold=None):
        env = dict(os.environ)
        env.pop('OPENSSL_CONF', None)
        if conf is not None:
            env['OPENSSL_CONF'] = '%s/%s.cnf' % (programs.dir, conf)
        if hold is not None:
            env['RECORDER_HOLD'] = hold
        return subprocess.Popen(
            [programs.build + '/tools/capif', command, '--dir', 'invoker',
             '--api', API, *options], cwd=self.d.dir, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def capif(self, command, *options, **kw):
        out, err = self.start(command, *options, **kw).communicate(timeout=60)
        self.assertIn(b'b-42' if command == 'call' else b'', out, err)

    def new_psk(self, conf=None):
        self.capif('negotiate', '--methods', 'PSK', conf=conf)
        self.capif('psk')

    @staticmethod
    def values():
        return set(programs.needles.all().values())

    @staticmethod
    def known_since(since):
        return {n: v for n, v in programs.needles.all().items()
                if v not in since}

    # -- the phases themselves --

    def quickstart(self):
        """At rest, and after registration, publication, onboarding, discovery
        and each of the three methods."""
        type(self).d = domains.Domains()
        self.clean()
        self.assertIn('call OAUTH', [p for p, _, _ in self.table.phases])

    def tls12(self):
        """KEY is the master secret of TLS 1.2."""
        with self.called(' TLS 1.2'):
            self.new_psk(conf='recorder12')
            self.capif('call', CALL)
        self.assertTrue([n for n in programs.needles.all()
                         if n.startswith('2.tls12-master')])
        self.clean()

    @contextlib.contextmanager
    def called(self, suffix):
        """The phases of the steps in here."""
        type(self).suffix = suffix
        try:
            yield
        finally:
            type(self).suffix = ''

    @contextlib.contextmanager
    def unheard(self):
        """No look after each step: something else looks all the time."""
        type(self).quiet = True
        try:
            yield
        finally:
            type(self).quiet = False

    @contextlib.contextmanager
    def held(self, *argv, **kw):
        """`capif`, and a function that waits until it holds a handshake."""
        path = programs.dir + '/hold'
        child = self.start(*argv, hold=path, **kw)

        def wait():
            end = time.monotonic() + 20
            while not os.path.exists(path):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.005)

        def finish():
            if os.path.exists(path):
                os.remove(path)
            out, err = child.communicate(timeout=60)
            self.assertEqual(child.returncode, 0, (out, err))

        wait.release, wait.finish = lambda: os.remove(path), finish
        yield wait
        if child.returncode is None:
            finish()

    def handshakes(self):
        """While the invoker holds a handshake; see above."""
        for phase, n, argv, kw in (
                ('in handshake 1e', 1, ('negotiate', '--methods', 'PSK'), {}),
                ('in handshake 1e TLS 1.2', 1,
                 ('negotiate', '--methods', 'PSK'), {'conf': 'recorder12'}),
                ('in handshake 2e', 2, ('call', CALL), {})):
            if argv[0] == 'call':
                self.capif('psk')
            with self.held(*argv, **kw) as wait:
                for _ in range(n):
                    wait()
                    self.look(phase, self.processes(self.d.dir))
                    wait.release()
        self.clean()

    def session_keys(self):
        """At every system call of ccf-a, from where the invoker held the
        handshake until KEY is kept and the answer sent."""
        for phase, conf in (('KEY of TLS 1.3, every syscall', 'recorder'),
                            ('KEY of TLS 1.2, every syscall', 'recorder12')):
            since = self.values()
            with self.unheard(), self.held('negotiate', '--methods', 'PSK',
                                           conf=conf) as wait:
                wait()
                key = self.key_to_come(self.known_since(since))
                self.watch(phase, '--syscalls', ['ccf-a'], wait.finish, since)
            kept = json.loads(read(self.d.dir + '/invoker/session.json'))
            self.assertEqual(unb64(kept['key']), key)
        self.clean()

    @staticmethod
    def key_to_come(known):
        """Of the session whose other secrets these are."""
        key = None
        for name, value in known.items():
            if name.startswith('2.tls12-master'):
                key = value
            if name.startswith('2.tls13-exp-master'):
                label = b'EXPORTER-3GPP-TS33122-AEFPSK'
                programs.needles.add('2.tls13-exporter', P.expand_label(
                    value, label, P.hashlib.sha256(b'').digest()))
                key = P.exporter(value, label)
                programs.needles.add('2.KEY', key)
        return key

    @contextlib.contextmanager
    def released(self):
        """ccf-a derives a PSK for an AEF in here."""
        seen = P.log(self.d, 'ccf-a').count('event=psk-released')
        yield
        self.assertGreater(
            P.log(self.d, 'ccf-a').count('event=psk-released'), seen)

    def signatures(self):
        """At every system call of both CCFs while they sign certificates."""
        self.watch('certificates, every syscall', '--syscalls',
                   ['ccf-a', 'ccf-b'],
                   lambda: (self.d.a.onboard(), self.d.b.onboard()),
                   self.values())
        self.clean()

    def derivation(self):
        """At every system call of ccf-a from an AEF's question for a PSK to
        the answer; nobody has asked for this one before."""
        since = self.values()
        self.new_psk()
        with self.unheard(), self.released():
            self.watch('derivation, every syscall', '--syscalls', ['ccf-a'],
                       lambda: self.capif('call', CALL), since)
        self.clean()

    def psk_handshake(self):
        """At every system call of an aefd that was just started, and has
        neither the PSK nor what follows from it."""
        self.d.restart('aef-b')
        since, seen = self.values(), programs.needles.lines('1.psk-')
        with self.unheard(), self.released():
            self.watch('PSK handshake, every syscall', '--syscalls',
                       ['aef-b'], lambda: self.capif('call', CALL), since)
        new = self.known_since(since)
        # The recorder saw them, and no other than those known before.
        self.assertEqual(programs.needles.lines('1.psk-'), seen + 4)
        self.assertTrue(new)
        self.assertEqual([n for n in new if n[0] == '1'], [])
        self.clean()

    def load(self):
        """Derivations and PSK handshakes go on while we look."""
        who = self.d.known_invoker()
        kept, context = (json.loads(read('%s/invoker/%s.json' % (
            self.d.dir, n))) for n in ('session', 'context'))
        psk = P.Psk(context['securityInfo'][0], unb64(kept['key']),
                    unb64(kept['p1']))
        done, stop = [0], threading.Event()

        def work():
            while not stop.is_set():
                P.initiate(who)
                if P.call(self.d, psk).status == 200:
                    done[0] += 1

        def action():
            threads = [threading.Thread(target=work) for _ in range(2)]
            for t in threads:
                t.start()
            time.sleep(LOAD_SECONDS)
            stop.set()
            for t in threads:
                t.join()

        self.watch('under load, continuously', '--continuously',
                   list(DAEMONS), action, self.values())
        self.assertGreater(done[0], 3)
        self.look('after load', self.processes(self.d.dir))
        self.clean()

    def cores(self, phase='core', names=DAEMONS):
        """What a debugger would keep of a daemon, and its files."""
        targets = []
        for name in names:
            run('gcore', '-o', '%s/core-%s' % (programs.dir, name),
                self.d.pid(name))
            targets.append((name, '%s/core-%s.%d' % (
                programs.dir, name, self.d.pid(name))))
        self.look(phase, targets)
        for _, path in targets:
            os.remove(path)

    def cores_and_files(self):
        """Cores that gcore makes, logs and stores."""
        self.cores()
        for name in DAEMONS:
            where = '%s/%s/' % (self.d.dir, name)
            self.look('log, store', [
                (name, where + f) for f in sorted(os.listdir(where))
                if f == 'log' or f.startswith('store.db')])
        self.clean()

    def reload(self):
        """A new configuration is read by a restart."""
        for name in DAEMONS:
            self.d.restart(name)
        with self.called(' after restart'):
            self.capif('call', CALL)
        self.clean()

    def crash(self):
        """A core from the moment before it is killed."""
        for name in DAEMONS:
            self.cores('core before SIGKILL', [name])
            self.d.restart(name, signal.SIGKILL)
        with self.called(' after SIGKILL'):
            self.capif('call', CALL)
        self.clean()

    def agents_death(self):
        for name in DAEMONS:
            self.d.restart('hsmd-' + name, signal.SIGKILL)
        with self.called(" after the agent's death"):
            self.new_psk()
            self.capif('call', CALL)
        self.clean()

    def sockets(self):
        """All that the daemons and their agents ever said to each other.
        Traffic secrets are there, since libssl needs them."""
        self.look('sockets', self.place.recordings())
        self.assertIn('socket-ccf-a', {f.target for f in self.table.of(
            3, phase='sockets')})
        self.clean()


class Control(Phases):
    """The class that must find something."""

    place_class = InProcess
    title = 'CONTROL: SoftHSM in the daemons, derive = transient'

    test_control_each_step_of_quickstart = Phases.quickstart
    test_control_psk_of_a_tls_1_2_session = Phases.tls12
    test_control_in_handshakes = Phases.handshakes
    test_control_every_syscall_of_certificates = Phases.signatures
    test_control_every_syscall_of_session_keys = Phases.session_keys
    test_control_every_syscall_of_the_derivation = Phases.derivation
    test_control_every_syscall_of_a_psk_handshake = Phases.psk_handshake
    test_control_under_load = Phases.load
    test_control_cores_and_files = Phases.cores_and_files
    test_control_reload = Phases.reload
    test_control_crash = Phases.crash

    def test_control_finds_keys(self):
        """Of each kind, in each process, by each way of looking."""
        found = self.table.of(1, 2)
        secrets = {audit.kind_of(f.secret) for f in found}
        for secret in ('ccf-a-ca-d', 'ccf-b-ca-d', 'aef-b-aef-d',
                       'aef-b-transport-p', 'AEFPSK', 'psk-early',
                       'psk-binder', 'psk-finished', 'psk-derived'):
            self.assertIn('1.' + secret, secrets)
        self.assertIn('2.tls12-master', secrets)
        self.assertIn('2.KEY', secrets)
        self.assertEqual({f.target for f in found}, set(DAEMONS))
        self.assertEqual(
            {p for p, _, _ in self.table.phases if 'every syscall' in p},
            {f.phase for f in found if 'every syscall' in f.phase})


class Guarded(Phases):
    """The promise."""

    place_class = Agent
    title = 'SoftHSM behind capif-hsmd'

    test_each_step_of_quickstart = Phases.quickstart
    test_psk_of_a_tls_1_2_session = Phases.tls12
    test_in_handshakes = Phases.handshakes
    test_every_syscall_of_certificates = Phases.signatures
    test_every_syscall_of_session_keys = Phases.session_keys
    test_every_syscall_of_the_derivation = Phases.derivation
    test_every_syscall_of_a_psk_handshake = Phases.psk_handshake
    test_under_load = Phases.load
    test_cores_and_files = Phases.cores_and_files
    test_reload = Phases.reload
    test_crash = Phases.crash
    test_agents_death = Phases.agents_death
    test_sockets = Phases.sockets


if __name__ == '__main__':
    domains.main()
