# SPDX-License-Identifier: Apache-2.0
"""A fresh SoftHSM token, agents for it, and clients that say what they like.

hsm/agent/wire.h has the protocol.  A client of another user is made by
seteuid(), since a socket's peer is who connect()ed.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import cbor
from wire import read, run, write

BUILD = os.environ['BUILD_DIR']
SOFTHSM = os.environ.get('SOFTHSM2_MODULE', '/usr/lib/softhsm/libsofthsm2.so')
OPS = ('HELLO TOKENS FIND SIGN SECRET_FIND KEK_FIND IMPORT DERIVE EXTRACT '
       'P_SHA256 MAC WRAP_AES UNWRAP_AES WRAP_RSA UNWRAP_RSA RANDOM GENERATE '
       'DROP').split()
(OK, PARAM, MEMORY, CONFIG, NOT_FOUND, PIN, MECH, DENIED, BUFFER, SESSION,
 GONE, DEVICE) = range(12)
ALL = 'sign, derive, wrap, unwrap, generate'
EVERYTHING = '[key *]\nusers = 0, %d\nuse = %s\n' % (os.getuid(), ALL)
NOBODY = 65534
PATIENCE = 60  # seconds for what takes far less


def until(what, why='it does not happen'):
    """Poll for what a real process does; its value."""
    end = time.monotonic() + PATIENCE
    while True:
        value = what()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(why)
        time.sleep(0.005)


class Token:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='capif-ag-')
        os.chmod(self.dir, 0o755)  # for other users
        os.mkdir(self.dir + '/tokens')
        self.pin = os.urandom(8).hex()
        self.pin_file = write(self.dir + '/pin', self.pin + '\n')
        os.chmod(self.pin_file, 0o600)
        self.env = dict(os.environ, SOFTHSM2_CONF=write(
            self.dir + '/softhsm2.conf',
            'directories.tokendir = %s/tokens\n' % self.dir))
        run('softhsm2-util', '--init-token', '--free', '--label', 'unit',
            '--pin', self.pin, '--so-pin', '12345678', env=self.env)

    def import_key(self, pem, label):
        run('softhsm2-util', '--import', pem, '--token', 'unit', '--label',
            label, '--id', os.urandom(4).hex(), '--pin', self.pin,
            env=self.env)

    def tool(self, *argv):
        return run('pkcs11-tool', '--module', SOFTHSM, '--token-label',
                   'unit', '--login', '--pin', self.pin, *argv, env=self.env)

    def remove(self):
        shutil.rmtree(self.dir)


class Agent:
    """capif-hsmd; options are those of [hsmd], with _ for -."""

    n = 0

    def __init__(self, token, rules=EVERYTHING, start=True, env=None,
                 preexec=None, argv=(), **options):
        Agent.n += 1
        self.token, self.child, self.preexec = token, None, preexec
        self.name = '%s/a%d' % (token.dir, Agent.n)
        self.env = dict(token.env, **(env or {}))
        conf = {'listen': self.name + '.sock', 'pkcs11-module': SOFTHSM,
                'token': 'pkcs11:token=unit', 'pin-file': token.pin_file,
                'lock-memory': 'if-possible'}
        conf.update((k.replace('_', '-'), v) for k, v in options.items())
        self.path = conf['listen']
        self.argv = [*argv, BUILD + '/hsm/capif-hsmd', self.name + '.cnf']
        write(self.name + '.cnf', '[hsmd]\n' + ''.join(
            '%s = %s\n' % x for x in conf.items() if x[1] is not None)
            + '\n' + rules)
        if start:
            self.start()

    def launch(self, **kw):
        with open(self.name + '.log', 'ab') as log:
            self.child = subprocess.Popen(
                self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, preexec_fn=self.preexec, **kw)
        self.pid = self.child.pid

    def start(self, **kw):
        before = self.log().count('event=ready')
        self.launch(**kw)
        until(lambda: self.log().count('event=ready') > before
              or self.child.poll() is not None)
        if self.child.poll() is not None:
            raise AssertionError('the agent does not start: ' + self.log())
        return self

    def fails(self):
        """Start it, which must fail; what it says."""
        self.launch()
        assert self.child.wait(PATIENCE) not in (0, None), self.log()
        assert self.child.returncode > 0, self.child.returncode
        self.child = None
        return self.log()

    def log(self):
        return read(self.name + '.log') if os.path.exists(
            self.name + '.log') else ''

    def refused(self):
        return [x for x in self.log().splitlines() if 'event=refused' in x]

    def status(self, key):
        for line in read('/proc/%d/status' % self.pid).splitlines():
            if line.startswith(key + ':'):
                return line.split(':')[1].strip()
        raise KeyError(key)

    def rss(self):
        return int(self.status('VmRSS').split()[0])  # KiB

    def stop(self, sig=signal.SIGTERM):
        if self.child is None:
            return None
        self.child.send_signal(sig)
        code = self.child.wait(PATIENCE)
        self.child = None
        return code

    def client(self, uid=None, hello=True):
        return Client(self.path, uid, hello)


class Ended(Exception):
    """The agent has ended the connection."""


class Client:
    def __init__(self, path, uid=None, hello=True):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(PATIENCE)
        self.buf, self.last, self.seen = bytearray(), 0, bytearray()
        if uid is not None:
            os.seteuid(uid)
        try:
            self.s.connect(path)
        finally:
            if uid is not None:
                os.seteuid(0)
        if hello:
            self.must('HELLO', 1, 'pkcs11:token=unit')

    def request(self, op, *args):
        self.last += 1
        return cbor.encode([self.last, OPS.index(op) if isinstance(op, str)
                            else op, *args])

    def send(self, data):
        try:
            self.s.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Ended from e

    def answer(self):
        while True:
            try:
                item, at = cbor.decode(self.buf)
                del self.buf[:at]
                return item
            except IndexError:
                pass
            try:
                data = self.s.recv(65536)
            except ConnectionResetError as e:
                raise Ended from e
            if not data:
                raise Ended
            self.buf += data
            self.seen += data

    def ask(self, op, *args):
        """Status, message and results."""
        self.send(self.request(op, *args))
        a = self.answer()
        assert a[0] == self.last, a
        assert (a[1] == OK) == (a[2] == ''), a
        assert a[1] == OK or len(a) == 3, a
        return a[1:]

    def status(self, op, *args):
        return self.ask(op, *args)[0]

    def must(self, op, *args):
        """The results of what must be done."""
        a = self.ask(op, *args)
        assert a[0] == OK, a
        return a[2] if len(a) == 3 else a[2:]

    def find(self, uri, classes=7):
        """{(class, label): (number, a, b)} of all parts."""
        found, first = {}, 0
        while True:
            a = self.ask('FIND', uri, classes, first)
            assert a[0] == OK, a
            for i in range(3, len(a), 8):
                o = a[i:i + 8]
                found[(o[0], o[7].decode())] = (o[1], o[4], o[5])
            first = a[2]
            if first == 0:
                return found

    def key(self, label):
        return self.find('pkcs11:object=%s;type=private' % label, 1)[
            (1, label)][0]

    def ended(self):
        """Does the agent end it, without more than it has to say?"""
        try:
            while True:
                self.answer()
        except Ended:
            return True
        except TimeoutError:
            return False

    def quiet(self, seconds=0):
        return not select.select([self.s], [], [], seconds)[0]

    def close(self):
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Case(unittest.TestCase):
    """Two clients of the module's agent; the other one is always served."""

    agent = None

    def setUp(self):
        self.c, self.other = self.agent.client(), self.agent.client()

    def tearDown(self):
        self.works(self.other)
        self.c.close()
        self.other.close()

    def works(self, c):
        self.assertEqual(len(c.must('RANDOM', 16)), 16)

    def refuses(self, op, *args, want=PARAM):
        self.assertEqual(self.c.status(op, *args), want, (op, args))
