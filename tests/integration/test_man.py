# SPDX-License-Identifier: Apache-2.0
"""The examples of OSSL_PROVIDER-sealed.7, as the comment at its top says: its
sessions, in one shell and a fresh directory, and each example of an option.
Paths that the page has are replaced by ours, see Page."""

import contextlib
import os
import re
import selectors
import shutil
import subprocess
import tempfile
import time
import unittest

import hsms
from tap import main
from wire import read, run, write

SOURCE = os.environ['SOURCE_DIR'] + '/docs/OSSL_PROVIDER-sealed.7'
SHARED_OBJECT = '/usr/lib/x86_64-linux-gnu/ossl-modules/sealed.so'
SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so'
NSS = '/usr/lib/x86_64-linux-gnu/libsoftokn3.so'
CONF = '/etc/capif/openssl.cnf'
DONE = 'test_man: done: '


def plain(line):
    """A line of a literal block as a reader sees it."""
    return line.replace('\\&', '').replace('\\e', '\\')


def blocks(text):
    """(section, lines) of each literal block."""
    section, lines = None, None
    for line in text.splitlines():
        if line.startswith(('.Sh ', '.Ss ')):
            section = line[4:]
        elif line.startswith('.Bd -literal'):
            lines = []
        elif line == '.Ed':
            yield section, lines
            lines = None
        elif lines is not None:
            lines.append(plain(line))


def commands(lines):
    """[(command, output)] of a session; either may be of several lines."""
    out, more = [], False
    for line in lines:
        if more:
            out[-1][0] += '\n' + line
        elif line.startswith('$ '):
            out.append([line[2:], []])
        else:
            out[-1][1].append(line)
            continue
        more = line.endswith('\\')
    return out


def options(text):
    """(name, value) of each example of an option."""
    return re.findall(r'(?m)^Example:\n\.Dl (\S+) = (.*)$', text)


def pattern(lines):
    """What matches an output that the page has with "..."."""
    out = ''
    for line in lines:
        out += (r'(?:.*\n)*?' if line.strip() == '...' else
                '.*'.join(map(re.escape, line.split('...'))) + r'\n')
    return re.compile(out)


def listening(port):
    """Is anybody listening on it, of IPv4 or IPv6?"""
    want = re.compile(r':%04X \S+ 0A ' % port)
    return any(want.search(read(f)) for f in ('/proc/net/tcp',
                                              '/proc/net/tcp6')
               if os.path.exists(f))


class Page:
    """A directory, and a shell in it."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='sealed-man-')
        os.mkdir(self.dir + '/tokens', 0o700)
        os.mkdir(self.dir + '/etc')
        os.mkdir(self.dir + '/etc/nss', 0o700)
        os.mkdir(self.dir + '/work')
        self.ours = {
            '/etc/capif': self.dir + '/etc',
            '/run/capif-hsm/ccf.sock': self.dir + '/ccf.sock',
            SHARED_OBJECT: hsms.BUILD + '/provider/sealed.so',
            SOFTHSM: hsms.SoftHsm.module,
            NSS: hsms.Nss.module or NSS,
            '8443': str(hsms.free_port()), '8444': str(hsms.free_port())}
        self.env = dict(
            os.environ, PATH=hsms.BUILD + '/tools:' + os.environ['PATH'],
            LC_ALL='C', CREDENTIALS_DIRECTORY=self.dir + '/etc',
            SOFTHSM2_CONF=write(
                self.dir + '/softhsm2.conf', 'directories.tokendir = %s/'
                'tokens\nlog.level = ERROR\n' % self.dir))
        self.env.pop('OPENSSL_CONF', None)
        self.shell = subprocess.Popen(
            ['sh'], cwd=self.dir + '/work', env=self.env, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def stop(self):
        self.shell.stdin.close()
        self.shell.kill()
        self.shell.wait()
        self.shell.stdout.close()
        shutil.rmtree(self.dir)

    def local(self, text):
        return re.sub('|'.join(map(re.escape, self.ours)),
                      lambda m: self.ours[m.group()], text)

    def said(self, seconds=60):
        """What the shell says until a command is done, and its status."""
        text, end = b'', time.monotonic() + seconds
        with selectors.DefaultSelector() as s:
            s.register(self.shell.stdout, selectors.EVENT_READ)
            while not re.search((DONE + r'\d+\n$').encode(), text):
                if not s.select(max(0, end - time.monotonic())):
                    raise AssertionError('no end: ' + text.decode())
                data = os.read(self.shell.stdout.fileno(), 65536)
                if not data:
                    raise AssertionError('no shell: ' + text.decode())
                text += data
        out, _, status = text.decode(errors='replace').rpartition(DONE)
        return out, int(status)

    def run(self, command):
        command = self.local(command)
        # The colon: dash forgets the redirection of what is alone in braces.
        self.shell.stdin.write(
            ('{ :; %s\n} </dev/null; echo "%s$?"\n' % (command, DONE)
             ).encode())
        out, status = self.said()
        port = re.search(r'-accept (\d+)', command)
        if port and command.endswith('&'):  # a server: wait until it is one
            for _ in range(200):
                if listening(int(port.group(1))):
                    break
                time.sleep(0.05)
        return out, status

    def make(self, command, lines):
        """The file of `cat FILE`, if there is none yet."""
        name = re.fullmatch(r'cat (\S+)', command)
        path = name and os.path.join(self.dir + '/work',
                                     self.local(name.group(1)))
        if path and not os.path.exists(path):
            write(path, self.local('\n'.join(lines) + '\n'))
        return path


class Man(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = Page()
        cls.addClassCleanup(cls.page.stop)

    def session(self, lines):
        if NSS in '\n'.join(lines) and not hsms.Nss.module:
            self.skipTest('no libsoftokn3.so: set NSS_MODULE')
        for command, output in commands(lines):
            self.page.make(command, output)
            out, status = self.page.run(command)
            self.assertEqual(status, 0, '%s\n%s' % (command, out))
            if output and not pattern(
                    self.page.local('\n'.join(output)).split('\n')
                    ).fullmatch(out):
                self.fail('%s\n%s--- the page has:\n%s' % (
                    command, out, '\n'.join(output)))

    # ---- options

    def conf(self, name, value):
        """The page's configuration with that option, and what goes with it."""
        conf = read(self.page.local(CONF))
        new = {name: self.page.local(value)}
        if name == 'pin-credential':  # one of these two
            conf = re.sub('(?m)^pin-file = .*\n', '', conf)
        if name == 'init-args':
            new['pkcs11-module'] = hsms.Nss.module
            new['token'] = 'pkcs11:token=NSS%20Certificate%20DB'
        if name == 'agent':
            conf = re.sub('(?m)^(pkcs11-module|pin-file) = .*\n', '', conf)
        for key, text in new.items():
            conf = re.sub('(?m)^%s = .*\n' % key, '', conf)
            conf += '%s = %s\n' % (key, text)
        return write('%s/%s.cnf' % (self.page.dir, name), conf)

    @contextlib.contextmanager
    def agent(self):
        """capif-hsmd for the page's token."""
        conf = write(self.page.dir + '/hsmd.cnf', self.page.local(
            '[hsmd]\nlisten = /run/capif-hsm/ccf.sock\npkcs11-module = %s\n'
            'token = pkcs11:token=demo\npin-file = /etc/capif/pin\n'
            'lock-memory = if-possible\n[key key]\nusers = %d\nuse = sign\n'
            % (SOFTHSM, os.getuid())))
        with subprocess.Popen(
                [hsms.BUILD + '/hsm/capif-hsmd', conf], env=self.page.env,
                stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True) as child:
            self.assertIn('event=ready', child.stderr.readline())
            try:
                yield
            finally:
                child.terminate()

    def option(self, name, value):
        """Its example is taken, and a key of the token signs with it."""
        if name == 'agent':
            with self.agent():
                self.signs(name, value)
        else:
            self.signs(name, value)

    def signs(self, name, value):
        if name == 'init-args' and not hsms.Nss.module:
            self.skipTest('no libsoftokn3.so: set NSS_MODULE')
        env = dict(self.page.env, OPENSSL_CONF=self.conf(name, value))
        where = self.page.dir + '/'
        text = write(where + 'text', name)
        run('openssl', 'dgst', '-sha256', '-sign', 'pkcs11:object=key',
            '-out', where + 'sig', text, env=env)
        run('openssl', 'pkey', '-in', 'pkcs11:object=key', '-pubout', '-out',
            where + 'pub', env=env)
        run('openssl', 'dgst', '-sha256', '-verify', where + 'pub',
            '-signature', where + 'sig', text, env=hsms.SOFT)

    # ---- the convention itself

    def test_each_literal_block_is_a_session(self):
        found = list(blocks(read(SOURCE)))
        self.assertGreater(len(found), 20)
        for section, lines in found:
            self.assertTrue(lines and lines[0].startswith('$ '),
                            (section, lines[:1]))

    def test_no_other_command_is_shown(self):
        self.assertNotRegex(read(SOURCE), r'(?m)^\.D[l1] \$ ')

    def test_output_is_compared(self):
        some = pattern(['a', '...', 'b...d'])
        self.assertTrue(some.fullmatch('a\nx\nbcd\n'))
        self.assertTrue(pattern(['a', '...']).fullmatch('a\n'))
        for out in ('a\n', 'a\nbd', 'a\nx\nbc\n', 'x\na\nbd\n',
                    'a\nbd\nx\n'):
            self.assertFalse(some.fullmatch(out), out)


def add(kind, name, method):
    name = re.sub(r'\W+', '_', 'test_%s_%s' % (kind, name.lower()))
    while hasattr(Man, name):
        name += '_more'
    setattr(Man, name, method)


for _section, _lines in blocks(read(SOURCE)):
    add('session', _section, lambda self, lines=_lines: self.session(lines))
for _name, _value in options(read(SOURCE)):
    add('option', _name, lambda self, n=_name, v=_value: self.option(n, v))

if __name__ == '__main__':
    main()
