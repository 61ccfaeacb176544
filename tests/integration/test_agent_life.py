# SPDX-License-Identifier: Apache-2.0
"""capif-hsmd's life: how it starts, what it denies itself, how it ends, and
what that is for processes that use it."""

import ctypes
import os
import pwd
import resource
import signal
import socket
import subprocess
import sys
import unittest

from agent import ALL, BUILD, EVERYTHING, NOBODY, Agent, Token, until
from tap import main
from wire import read, run, write

USER = pwd.getpwuid(NOBODY).pw_name
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH = 16
EPERM = 1

# Signs whenever it is told to; its keys are loaded once.
SIGNER = r'''
import ctypes, os, sys
c = ctypes.CDLL('libcrypto.so.3')
for f in 'OSSL_STORE_open OSSL_STORE_load OSSL_STORE_INFO_get1_PKEY ' \
         'EVP_MD_CTX_new'.split():
    getattr(c, f).restype = ctypes.c_void_p
P = ctypes.c_void_p
assert c.OPENSSL_init_crypto(ctypes.c_uint64(0x40), None) == 1
store = c.OSSL_STORE_open(sys.argv[1].encode(), None, None, None, None)
assert store, 'open'
info = c.OSSL_STORE_load(P(store))
assert info, 'load'
key = c.OSSL_STORE_INFO_get1_PKEY(P(info))
assert key, 'key'
def error():
    data, text = ctypes.c_char_p(), b''
    c.ERR_get_error_all.restype = ctypes.c_ulong
    while c.ERR_get_error_all(None, None, None, ctypes.byref(data), None):
        text += (data.value or b'') + b';'
    return text.decode()
def sign():
    ctx = c.EVP_MD_CTX_new()
    out, n = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
    ok = c.EVP_DigestSignInit_ex(P(ctx), None, b'SHA256', None, None, P(key),
                                 None) == 1 \
        and c.EVP_DigestSign(P(ctx), out, ctypes.byref(n), b'm',
                             ctypes.c_size_t(1)) == 1
    c.EVP_MD_CTX_free(P(ctx))
    return 'ok' if ok else error()
for line in sys.stdin:
    if line.strip() == 'sign':
        print(sign(), flush=True)
        continue
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            os._exit(0 if sign() == 'ok' and sign() == 'ok' else 1)
        pids.append(pid)
    mine = sign()
    bad = [p for p in pids if os.waitpid(p, 0)[1] != 0]
    print(mine if not bad else 'children failed', flush=True)
'''


def setUpModule():
    global token
    token = Token()
    agent = Agent(token)
    with agent.client() as c:
        c.must('GENERATE', 1, 1, 0, 1, 'pkcs11:object=ec')
    agent.stop()


def tearDownModule():
    token.remove()


class Case(unittest.TestCase):
    def begin(self, *args, **options):
        agent = Agent(token, *args, **options)
        self.addCleanup(agent.stop, signal.SIGKILL)
        return agent

    def works(self, agent):
        with agent.client() as c:
            self.assertEqual(len(c.must('RANDOM', 16)), 16)


class Start(Case):
    def fails(self, says, rules=EVERYTHING, **options):
        agent = self.begin(rules, start=False, **options)
        self.assertIn(says, agent.fails())
        self.assertFalse(os.path.exists(agent.path))

    def test_wrong_configurations(self):
        self.fails('colour', colour='blue')
        self.fails('sessions', sessions=0)
        self.fails('workers', workers=257)
        self.fails('wrap', wrap='some')
        self.fails('lock-memory', lock_memory='perhaps')
        self.fails('[key LABEL]', rules='')
        self.fails('no such user', rules='[key *]\nusers = nosuch\n'
                   'use = sign\n')
        for number in '-1', '4294967296', '12x', '99999999999999999999':
            self.fails('no such user', rules='[key *]\nusers = %s\n'
                       'use = sign\n' % number)
        self.fails('use', rules='[key *]\nusers = 0\nuse = steal\n')
        self.fails('users', rules='[key *]\nuse = sign\n')
        self.fails('pin-credential', pin_credential='pin')
        self.fails('there is no such user', user='nosuch')
        self.fails('nosuch.so', pkcs11_module='/nosuch.so')

    def test_pin_files(self):
        for mode in 0o640, 0o604, 0o660:
            path = write(token.dir + '/open', token.pin)
            os.chmod(path, mode)
            self.fails('only its owner', pin_file=path)
        os.chmod(path, 0o600)
        agent = self.begin(pin_file=path)
        self.works(agent)
        self.fails('No such file', pin_file=token.dir + '/nosuch')
        write(path, '')
        self.fails('empty', pin_file=path)
        write(path, '0000wrong')
        self.fails('CKR_PIN_INCORRECT', pin_file=path)

    def test_pin_credential(self):
        where = token.dir + '/credentials'
        os.mkdir(where)
        os.chmod(write(where + '/token', token.pin), 0o400)
        env = {'CREDENTIALS_DIRECTORY': where}
        agent = self.begin(pin_file=None, pin_credential='token', env=env)
        with agent.client() as c:
            c.must('SIGN', c.key('ec'), 0, 2, 2, 0, bytes(32))
        self.fails('nosuch', pin_file=None, pin_credential='nosuch', env=env)
        self.fails('CREDENTIALS_DIRECTORY', pin_file=None,
                   pin_credential='token')

    def test_a_stale_socket_and_a_live_one(self):
        agent = self.begin()
        agent.stop(signal.SIGKILL)
        self.assertTrue(os.path.exists(agent.path))
        agent.start()
        self.works(agent)
        second = self.begin(start=False, listen=agent.path)
        self.assertIn('somebody else does', second.fails())
        self.works(agent)
        self.assertEqual(agent.stop(), 0)
        path = write(token.dir + '/file', 'precious')
        third = self.begin(start=False, listen=path)
        self.assertIn('not a socket', third.fails())
        self.assertEqual(read(path), 'precious')

    def test_socket_activation(self):
        path = token.dir + '/systemd.sock'
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()

            def activate():
                os.dup2(s.fileno(), 3)
                os.set_inheritable(3, True)
                os.environ['LISTEN_PID'] = str(os.getpid())

            # A shell knows its process id, which exec keeps.
            agent = self.begin(start=False, listen=path,
                               env={'LISTEN_FDS': '1'},
                               argv=['sh', '-c', 'LISTEN_PID=$$ exec "$@"',
                                     'sh'], preexec=activate)
            agent.start(close_fds=False)
            self.works(agent)
            self.assertEqual(agent.stop(), 0)
            self.assertTrue(os.path.exists(path))  # it is not the agent's
            agent.env['LISTEN_PID'] = '1'
            agent.argv = agent.argv[4:]
            agent.preexec = None
            self.assertIn('somebody else does', agent.fails())

    def test_the_end(self):
        for sig in signal.SIGTERM, signal.SIGINT:
            agent = self.begin()
            busy, idle = agent.client(), agent.client()
            busy.send(b''.join(busy.request('RANDOM', 64)
                               for _ in range(100)))
            self.assertEqual(agent.stop(sig), 0)
            self.assertFalse(os.path.exists(agent.path))
            self.assertTrue(busy.ended() and idle.ended())


class Hardened(Case):
    def test_what_proc_says(self):
        agent = self.begin(lock_memory='yes')
        self.assertEqual(agent.status('NoNewPrivs'), '1')
        self.assertEqual(agent.status('Seccomp'), '2')
        self.assertGreater(int(agent.status('VmLck').split()[0]), 0)
        self.assertIn('Max core file size        0                    0',
                      read('/proc/%d/limits' % agent.pid))
        for task in os.listdir('/proc/%d/task' % agent.pid):
            self.assertIn('Seccomp:\t2\n', read('/proc/%d/task/%s/status'
                                                % (agent.pid, task)))
        self.works(agent)

    def as_user(self, **options):
        """One that becomes nobody, who must be able to have the token."""
        for where, _, names in os.walk(token.dir + '/tokens'):
            for name in [where] + [where + '/' + n for n in names]:
                os.chown(name, NOBODY, -1)
        return self.begin(user=USER, **options)

    def test_another_user(self):
        def in_groups():
            os.setgroups([0, 4, 27])

        agent = self.as_user(preexec=in_groups, objects=4096)
        nobody = pwd.getpwuid(NOBODY)
        self.assertEqual(agent.status('Uid').split(), [str(NOBODY)] * 4)
        self.assertEqual(agent.status('Gid').split(), [str(nobody.pw_gid)] * 4)
        for name, want in (('Groups', ''), ('NoNewPrivs', '1'),
                           ('CapEff', '0' * 16), ('CapPrm', '0' * 16)):
            self.assertEqual(agent.status(name), want)
        with agent.client() as c:
            c.must('SIGN', c.key('ec'), 0, 2, 2, 0, bytes(32))
            for _ in range(4000):
                c.must('IMPORT', bytes(512), 0)
        done = subprocess.run(['cat', token.pin_file], user=NOBODY,
                              capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(agent.stop(), 0)

    def test_another_user_and_little_memory_to_lock(self):
        """It can raise the limit, or says that it can't."""
        def little():
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))

        agent = self.as_user(preexec=little, lock_memory='if-possible')
        locked = 'memory is not locked' not in agent.log()
        self.assertEqual(agent.status('VmLck') != '0 kB', locked)
        self.works(agent)
        agent = self.as_user(preexec=little, lock_memory='yes', start=False)
        if locked:
            self.works(agent.start())
        else:
            self.assertIn("memory can't be locked", agent.fails())

    def attach(self, pid):
        """By a child that is nobody: the error, or 0."""
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setgid(pwd.getpwuid(NOBODY).pw_gid)
            os.setuid(NOBODY)
            ctypes.set_errno(0)
            LIBC.ptrace(PTRACE_ATTACH, pid, None, None)
            error = ctypes.get_errno()
            try:
                with open('/proc/%d/mem' % pid, 'rb'):
                    error = 0
            except OSError:
                pass
            os._exit(error)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def test_not_traceable(self):
        agent = self.as_user()
        self.assertEqual(self.attach(agent.pid), EPERM)
        sleep = subprocess.Popen(['sleep', '60'], user=NOBODY, group=NOBODY,
                                 extra_groups=[])
        try:  # which the same user may trace, so it is not the place
            self.assertEqual(self.attach(sleep.pid), 0)
        finally:
            sleep.kill()
            sleep.wait()
        self.works(agent)

    def test_not_traceable_by_who_has_started_it(self):
        def drop():
            os.setgroups([])
            os.setgid(pwd.getpwuid(NOBODY).pw_gid)
            os.setuid(NOBODY)

        self.as_user().stop()
        os.mkdir(token.dir + '/own')
        pin = write(token.dir + '/own/pin', token.pin)
        os.chmod(pin, 0o600)
        for path in pin, token.dir + '/own':
            os.chown(path, NOBODY, -1)
        agent = self.begin(preexec=drop, pin_file=pin,
                           listen=token.dir + '/own/sock')
        self.assertEqual(agent.status('Uid').split(), [str(NOBODY)] * 4)
        self.assertEqual(self.attach(agent.pid), EPERM)
        self.works(agent)

    def test_system_calls(self):
        """Root's debugger makes it call what it must not."""
        if os.uname().machine != 'x86_64':
            self.skipTest('registers are those of x86-64')
        agent = self.begin()
        calls = {'execve': (59,), 'ptrace': (101,), 'fork': (57,),
                 'socket': (41, socket.AF_INET, socket.SOCK_STREAM),
                 'process_vm_readv': (310, 1), 'kill': (62, agent.pid, 0)}
        with Debugger(agent.pid) as debugger:
            for name, args in calls.items():
                self.assertEqual(debugger.call(*args), -EPERM, name)
            self.assertEqual(debugger.call(39), agent.pid)  # the control
        self.works(agent)


class Debugger:
    """Makes a process that is in a system call do another one."""

    RAX, RIP, ORIG_RAX = 10, 16, 15
    ARGS = 14, 13, 12, 7, 9, 8
    ATTACH, DETACH, STEP, GETREGS, SETREGS = 16, 17, 9, 12, 13

    def __init__(self, pid):
        self.pid, self.regs = pid, (ctypes.c_ulong * 27)()

    def ptrace(self, what, data=None):
        LIBC.ptrace.restype = ctypes.c_long
        if LIBC.ptrace(what, self.pid, None, data) != 0:
            raise OSError(ctypes.get_errno(), 'ptrace %d' % what)

    def __enter__(self):
        self.ptrace(self.ATTACH)
        os.waitpid(self.pid, 0)
        self.ptrace(self.GETREGS, self.regs)
        return self

    def __exit__(self, *_):
        self.ptrace(self.SETREGS, self.regs)
        self.ptrace(self.DETACH)

    def call(self, number, *args):
        regs = type(self.regs)(*self.regs)
        regs[self.RIP] -= 2  # the instruction `syscall`
        regs[self.RAX], regs[self.ORIG_RAX] = number, (1 << 64) - 1
        for place, arg in zip(self.ARGS, args + (0,) * 6):
            regs[place] = arg
        self.ptrace(self.SETREGS, regs)
        self.ptrace(self.STEP)
        os.waitpid(self.pid, 0)
        self.ptrace(self.GETREGS, regs)
        return ctypes.c_long(regs[self.RAX]).value


class Outage(Case):
    def signer(self, agent):
        conf = write(token.dir + '/signer.cnf', '''openssl_conf = init
[init]
providers = providers
[providers]
default = default_provider
sealed = sealed_provider
[default_provider]
activate = 1
[sealed_provider]
activate = 1
module = %s/provider/sealed.so
agent = %s
token = pkcs11:token=unit
''' % (BUILD, agent.path))
        child = subprocess.Popen(
            [sys.executable, '-c', SIGNER, 'pkcs11:object=ec;type=private'],
            env=dict(os.environ, OPENSSL_CONF=conf), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def end():
            child.stdin.close()
            child.stdout.close()
            child.kill()
            child.wait()
        self.addCleanup(end)

        def tell(what='sign'):
            child.stdin.write(what + '\n')
            child.stdin.flush()
            return child.stdout.readline().strip()
        return tell

    def test_killed_and_restarted(self):
        agent = self.begin(objects=64)
        tell = self.signer(agent)
        self.assertEqual(tell(), 'ok')
        self.assertEqual(tell('fork'), 'ok')
        for sig in signal.SIGKILL, signal.SIGTERM, signal.SIGKILL:
            agent.stop(sig)
            for _ in range(3):
                self.assertIn('agent ' + agent.path, tell())
            agent.start()
            self.assertEqual(tell(), 'ok')
            agent.stop(sig)
            agent.start()  # while nobody looks
            self.assertEqual(tell(), 'ok')
            self.assertEqual(tell('fork'), 'ok')

    def test_what_the_dead_had_is_not_kept(self):
        agent = self.begin(objects=16)
        tell = self.signer(agent)
        for _ in range(50):
            self.assertEqual(tell('fork'), 'ok')
        self.assertEqual(tell(), 'ok')

    def test_the_policy_after_a_restart(self):
        agent = self.begin()
        tell = self.signer(agent)
        self.assertEqual(tell(), 'ok')
        agent.stop()
        text = read(agent.name + '.cnf')
        write(agent.name + '.cnf', text.replace(ALL, 'derive'))
        agent.start()
        self.assertIn("policy forbids sign", tell())
        agent.stop()
        write(agent.name + '.cnf', text)
        agent.start()
        self.assertEqual(tell(), 'ok')


if __name__ == '__main__':
    main()
