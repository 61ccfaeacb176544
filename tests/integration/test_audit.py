# SPDX-License-Identifier: Apache-2.0
"""capif-hsm audit finds known secrets where they are, and only there."""

import base64
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import unittest

import tap

AUDIT = [os.environ['BUILD_DIR'] + '/tools/capif-hsm', 'audit']
TIMEOUT = 60

# It gets what it shall hold on a pipe, masked, and says when it has it.  In
# mappings and one octet at a time, since Python's own objects leave copies.
HOLD = r'''
import mmap, os
line, held = mmap.mmap(-1, 1 << 16), mmap.mmap(-1, 1 << 16)
for i in range(os.readv(0, [line])):
    held[i] = line[i] ^ 0x55
print('holding', flush=True)
os.read(0, 1)
'''

# Threads that have the secret from one write() to the next getppid(), and
# not in a single octet elsewhere; C, as Python copies what it touches.
BLINK = r'''
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static unsigned char masked[32];
static volatile sig_atomic_t stop, got;
static volatile unsigned long rounds;
static void on(int sig) { (void)sig; got++; }
static void *blink(void *arg)
{
    volatile unsigned char secret[32];
    (void)arg;
    while (!stop) {
        for (int i = 0; i < 32; i++) secret[i] = masked[i] ^ 0x55;
        getppid();
        for (int i = 0; i < 32; i++) secret[i] = 0;
        getppid();
        rounds++;
    }
    return NULL;
}
static void *idle(void *arg)
{
    while (!stop) getppid();
    return arg;
}
int main(int argc, char **argv)
{
    pthread_t t[3];
    char c;
    int late = argc > 1 && argv[1][0] == 'l';
    if (read(0, masked, 32) != 32) return 1;
    signal(SIGUSR1, on);
    pthread_create(&t[0], NULL, idle, NULL);
    pthread_create(&t[1], NULL, idle, NULL);
    if (!late) pthread_create(&t[2], NULL, blink, NULL);
    puts("holding");
    fflush(stdout);
    while (read(0, &c, 1) == 1 && c != 'q') {
        if (c == 't') pthread_create(&t[2], NULL, blink, NULL);
        printf("got %d rounds %lu\n", (int)got, rounds);
        fflush(stdout);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) pthread_join(t[i], NULL);
    return 42;
}
'''


def setUpModule():
    global tmp
    tmp = tempfile.TemporaryDirectory(prefix='audit-')
    with open(tmp.name + '/blink.c', 'w', encoding='ascii') as f:
        f.write(BLINK)
    subprocess.run(['cc', '-O1', '-o', tmp.name + '/blink',
                    tmp.name + '/blink.c', '-pthread'], check=True)


def tearDownModule():
    tmp.cleanup()


def masked(data):
    return bytes(c ^ 0x55 for c in data)


class Child:
    """A process that holds something while the block lasts."""

    def __init__(self, argv, data):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, bufsize=0)
        self.p.stdin.write(masked(data))
        self.heard()
        self.pid = self.p.pid

    def heard(self):
        line = self.p.stdout.readline()
        if not line:
            raise AssertionError('it ended')
        return line.decode().strip()

    def ask(self, text):
        self.p.stdin.write(text)
        return self.heard()

    def end(self):
        if not self.p.stdin.closed:
            self.p.stdin.close()
        return self.p.wait(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.end()
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise
        finally:
            self.p.stdout.close()


def holder(data):
    return Child([sys.executable, '-S', '-E', '-c', HOLD], data)


def blinker(data, *args):
    return Child([tmp.name + '/blink', *args], data)


class Audit(unittest.TestCase):
    def setUp(self):
        # In each half characters that the alphabets of base64 don't share.
        self.key = b'\xff' * 4 + secrets.token_bytes(24) + b'\xff' * 4
        self.other = secrets.token_bytes(32)
        self.needles = tempfile.mkstemp(dir=tmp.name)
        os.write(self.needles[0], ('# two\nkey %s\n\nother %s\n' % (
            self.key.hex(), self.other.hex())).encode())
        os.close(self.needles[0])
        self.needles = self.needles[1]

    def audit(self, *args, needles=None, stdin=b''):
        return subprocess.run(
            [*AUDIT, '--needles', needles or self.needles, '--format', 'tsv',
             *map(str, args)], input=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)

    def start(self, *args):
        p = subprocess.Popen(
            [*AUDIT, '--needles', self.needles, '--format', 'tsv',
             *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)
        self.addCleanup(p.stdout.close)
        self.addCleanup(p.stderr.close)
        return p

    def rows(self, out):
        """{(target, secret): (count, [encodings])}"""
        rows = [line.split('\t') for line in out.decode().splitlines()]
        return {(r[1], r[2]): (int(r[3]), r[4].split(','))
                for r in rows if r[0] != '#'}

    def looks(self, out):
        return {t: int(n) for t, n in re.findall(
            r'(?m)^#\t[^\t]*\t([^\t]*)\tlooks=(\d+)$', out.decode())}

    def expect(self, done, status, target, count, encodings):
        self.assertEqual(done.returncode, status, done)
        rows = self.rows(done.stdout)
        self.assertEqual(rows[target, 'key'], (count, encodings), rows)
        self.assertEqual(rows[target, 'other'], (0, ['-']), rows)

    def failing(self, done, *what):
        self.assertEqual(done.returncode, 2, done)
        self.assertEqual(done.stdout, b'')
        for text in what:
            self.assertIn(text, done.stderr.decode())
        self.assertNotIn(self.key.hex()[:14], done.stderr.decode())

    # ---- one pass

    def encodings(self):
        k = self.key
        std = base64.b64encode
        url = base64.urlsafe_b64encode
        yield 'raw', k
        yield 'raw-half', k[:16]
        yield 'raw-half', k[16:]
        yield 'reversed', k[::-1]
        yield 'reversed-half', k[:16][::-1]
        yield 'hex', k.hex().encode()
        yield 'hex-half', k[16:].hex().encode()
        yield 'hex-upper', k.hex().upper().encode()
        for before in (b'', b'a', b'ab', b'abc'):
            yield 'base64', std(before + k + b'xyz')
            yield 'base64url', url(before + k + b'xyz')
            yield 'base64-half', std(before + k[:16])
            yield 'base64url-half', url(before + k[:16])

    def test_each_encoding_is_found_in_memory(self):
        for name, data in self.encodings():
            with self.subTest(name), holder(b'....' + data) as child:
                self.expect(self.audit('x=%d' % child.pid), 1, 'x', 1, [name])

    def test_a_clean_process_has_nothing(self):
        with holder(self.key[:15] + bytes([self.key[15] ^ 1])) as child:
            self.expect(self.audit('--phase', 'clean', 'x=%d' % child.pid),
                        0, 'x', 0, ['-'])

    def test_places_are_counted(self):
        data = b'..'.join([self.key] * 3 + [self.key[:16], self.key.hex()
                                            .encode()])
        with holder(data) as child:
            self.expect(self.audit('x=%d' % child.pid), 1, 'x', 5,
                        ['raw', 'hex', 'raw-half'])

    def test_lines_are_as_the_page_says(self):
        with holder(self.key) as a, holder(b'-') as b:
            done = self.audit('--phase', 'p 1', 'a=%d' % a.pid, b.pid)
            with open('/proc/%d/comm' % b.pid, encoding='ascii') as f:
                name = '%s %d' % (f.read().strip(), b.pid)
        self.assertEqual(done.stdout.decode().splitlines(), [
            'p 1\ta\tkey\t1\traw', 'p 1\ta\tother\t0\t-',
            'p 1\t%s\tkey\t0\t-' % name, 'p 1\t%s\tother\t0\t-' % name])
        self.assertEqual(done.stderr, b'')

    def test_table_has_totals_and_no_secret(self):
        with holder(self.key) as a, holder(self.key) as b:
            done = self.audit('--format', 'table', 'aa=%d' % a.pid,
                              'bb=%d' % b.pid)
        text = done.stdout.decode()
        self.assertEqual(done.returncode, 1)
        self.assertRegex(text, r'(?m)^secret +aa +bb +total')
        self.assertRegex(text, r'(?m)^key +1 +1 +2 +raw$')
        self.assertRegex(text, r'(?m)^other +0 +0 +0 +-$')
        self.assertRegex(text, r'(?m)^total +1 +1 +2$')
        self.assertRegex(text, r'(?m)^  key, aa: raw at 0x[0-9a-f]+ of ')
        self.assertNotIn(self.key.hex()[:14], text)

    def test_needles_from_standard_input(self):
        with open(self.needles, 'rb') as f, holder(self.key) as child:
            self.expect(self.audit('x=%d' % child.pid, needles='-',
                                   stdin=f.read()), 1, 'x', 1, ['raw'])

    # ---- files

    def file(self, *parts, name='f'):
        where = tempfile.mkdtemp(dir=tmp.name)
        path = os.path.join(where, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as f:
            f.write(b''.join(parts))
        return where, path

    def test_a_file_across_the_borders_of_chunks(self):
        for size in (0, 1 << 16, 1 << 18, 5 << 16, 1 << 20):
            for before in (0, 1, 15, 31, 32, 63, 64, 100):
                _, path = self.file(b'\1' * max(0, size - before), self.key,
                                    b'\2' * (1 << 19))
                self.expect(self.audit(path), 1, path[-64:], 1, ['raw'])
                os.unlink(path)

    def test_a_directory(self):
        where, _ = self.file(self.key, name='a/b/c')
        os.mkfifo(where + '/fifo')
        os.symlink('/proc/self/mem', where + '/link')
        os.symlink('a', where + '/again')
        with open(where + '/second', 'wb') as f:
            f.write(self.key[16:])
        self.expect(self.audit('d=%s/' % where), 1, 'd', 2,
                    ['raw', 'raw-half'])

    def test_processes_and_files_at_once(self):
        _, path = self.file(self.key)
        with holder(b'-') as child:
            done = self.audit('p=%d' % child.pid, 'f=' + path)
        self.expect(done, 1, 'f', 1, ['raw'])
        self.expect(done, 1, 'p', 0, ['-'])

    # ---- continuously

    def ready(self, p):
        self.assertEqual(p.stderr.readline(), b'ready\n')

    def test_continuously(self):
        _, path = self.file(self.key[::-1])
        with holder(b'-') as child:
            p = self.start('--continuously', 'f=' + path, 'p=%d' % child.pid)
            self.ready(p)
            child.end()
            self.assertEqual(p.stderr.readline(), b'p: ended\n')
            p.stdin.close()
            out = p.stdout.read()
            self.assertEqual(p.wait(TIMEOUT), 1)
        looks, rows = self.looks(out), self.rows(out)
        self.assertGreater(looks['f'], looks['p'])
        self.assertEqual(rows['f', 'key'], (looks['f'], ['reversed']))
        self.assertEqual(rows['p', 'key'], (0, ['-']))

    def test_continuously_ends_with_the_last_process(self):
        with holder(self.key) as child:
            p = self.start('--continuously', 'p=%d' % child.pid)
            self.ready(p)
            child.end()
            out = p.stdout.read()
            p.stdin.close()
            self.assertEqual(p.wait(TIMEOUT), 1)
        self.assertGreaterEqual(self.rows(out)['p', 'key'][0], 1)

    # ---- at system calls

    def trace_end(self, p, end=True):
        if end:
            p.stdin.close()
        out, err = p.stdout.read(), p.stderr.read()
        status = p.wait(TIMEOUT)
        p.stdin.close()
        calls = re.search(rb'x: system calls: (\d+), looks: (\d+), octets '
                          rb'looked at: (\d+)\n', err)
        self.assertEqual(int(calls.group(2)), self.looks(out)['x'])
        return status, self.rows(out), int(calls.group(1)), out, err

    def blinked(self, child):
        """From now on it has had the secret at least once, whoever else had
        the processors meanwhile."""
        end = None
        while end is None or rounds < end:
            rounds = int(child.ask(b'?').split()[3])
            end = end or rounds + 2

    def undisturbed(self, child):
        """All of its threads run, nobody traces them, and it ends well."""
        for tid in os.listdir('/proc/%d/task' % child.pid):
            with open('/proc/%d/task/%s/status' % (child.pid, tid),
                      encoding='ascii') as f:
                text = f.read()
            self.assertIn('TracerPid:\t0\n', text)
            self.assertNotRegex(text, r'State:\t[tT]')
        self.assertRegex(child.ask(b'?'), '^got ')
        self.assertEqual(child.end(), 42)

    def test_a_secret_between_two_system_calls(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            self.blinked(child)
            status, rows, calls, _, _ = self.trace_end(p)
            self.assertGreaterEqual(calls, 10)
            self.assertEqual(status, 1)
            self.assertGreaterEqual(rows['x', 'key'][0], 1)
            self.assertIn('raw', rows['x', 'key'][1])
            self.assertEqual(rows['x', 'other'], (0, ['-']))
            self.undisturbed(child)

    def test_a_secret_of_a_later_thread(self):
        with blinker(self.key, 'late') as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            child.ask(b't')
            self.blinked(child)
            tids = os.listdir('/proc/%d/task' % child.pid)
            self.assertEqual(len(tids), 4)
            for tid in tids:  # others' looks may find it, too
                with open('/proc/%d/task/%s/status' % (child.pid, tid),
                          encoding='ascii') as f:
                    self.assertIn('TracerPid:\t%d\n' % p.pid, f.read())
            status, rows, _, _, _ = self.trace_end(p)
            self.assertEqual(status, 1)
            self.assertIn('raw', rows['x', 'key'][1])
            self.undisturbed(child)

    def test_no_secret_at_system_calls(self):
        with blinker(self.other[::-1][:31] + b'-') as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            self.blinked(child)
            status, rows, _, _, _ = self.trace_end(p)
            self.assertEqual(rows['x', 'key'], (0, ['-']))
            self.assertEqual(status, 1)  # of the other there is a half
            self.assertEqual(rows['x', 'other'][1], ['reversed-half'])
            self.undisturbed(child)

    def test_signals_are_passed_on(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            os.kill(child.pid, signal.SIGUSR1)
            while not child.ask(b'?').startswith('got 1 '):
                pass
            self.trace_end(p)
            self.undisturbed(child)

    def state(self, child):
        with open('/proc/%d/stat' % child.pid, encoding='ascii') as f:
            return f.read().rpartition(')')[2].split()[0]

    def test_a_stopped_process_stays_stopped(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
            self.trace_end(p)
            self.assertEqual(self.state(child), 'T')
            os.kill(child.pid, signal.SIGCONT)
            os.waitpid(child.pid, os.WCONTINUED)
            self.undisturbed(child)

    def test_a_continued_process_goes_on(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            os.kill(child.pid, signal.SIGSTOP)
            os.waitpid(child.pid, os.WUNTRACED)
            os.kill(child.pid, signal.SIGCONT)
            self.assertRegex(child.ask(b'?'), '^got ')
            self.trace_end(p)
            self.undisturbed(child)

    def test_a_traced_process_may_end(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            self.blinked(child)
            self.assertEqual(child.end(), 42)
            status, _, _, _, err = self.trace_end(p, end=False)
            self.assertEqual(status, 1)
            self.assertIn(b'x: ended\n', err)

    def test_the_process_outlives_its_tracer(self):
        with blinker(self.key) as child:
            p = self.start('--syscalls', 'x=%d' % child.pid)
            self.ready(p)
            p.kill()
            p.wait()
            p.stdin.close()
            self.undisturbed(child)

    # ---- errors

    def test_no_such_process(self):
        with holder(b'-') as child:
            child.end()
            self.failing(self.audit('x=%d' % child.pid), 'x', 'No such')

    def test_no_such_file(self):
        done = self.audit('f=/nowhere/at/all')
        self.assertEqual(done.returncode, 2)
        self.assertIn(b'error: f: /nowhere/at/all: No such', done.stderr)

    def test_bad_needles(self):
        _, path = self.file(('a %s\nb %sx\n' % (self.other.hex(), self.key
                                                .hex())).encode())
        self.failing(self.audit('/tmp/', needles=path), path + ': line 2: ')
        _, path = self.file(b'a 01020304050607\n')
        self.failing(self.audit('/tmp/', needles=path), 'line 1: ',
                     'less than 8')
        self.failing(self.audit('/tmp/', needles='/nowhere'), 'No such')

    def test_itself_is_no_target(self):
        p = subprocess.run(
            ['sh', '-c', 'exec "$0" "$@" $$', *AUDIT, '--needles',
             self.needles], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            timeout=TIMEOUT, check=False)
        self.failing(p, 'this process')

    def test_command_lines(self):
        for args in ([], ['nothing'], ['x=12y'], ['0'],
                     ['--continuously', '--syscalls', '1'],
                     ['--syscalls', '/tmp/'], ['--format', 'xml', '/tmp/'],
                     ['--phase', 'a\tb', '/tmp/']):
            with self.subTest(args=args):
                self.failing(self.audit(*args), 'error: ')
        self.failing(self.audit('--continuously', '/tmp/', needles='-'),
                     'error: ')
        with holder(b'-') as child:
            self.failing(self.audit(child.pid, 'x=%d' % child.pid), 'also')


if __name__ == '__main__':
    tap.main()
