# SPDX-License-Identifier: Apache-2.0
"""That the scanner sees what is there: needles planted in a process and in
files, each in one encoding alone."""

import os
import subprocess
import sys
import tempfile
import time
import unittest

import psk as P
from audit import Scanner


def planted():
    """(needles, what is to be held): each needle in one encoding alone."""
    needles, held = {}, []
    for name, how in (
            ('raw', lambda v: v), ('reversed', lambda v: v[::-1]),
            ('hex', lambda v: v.hex().encode()),
            ('HEX', lambda v: v.hex().upper().encode()),
            ('base64', lambda v: P.forms(v)[3]),
            ('base64url', lambda v: P.forms(v)[4]),
            ('first-half', lambda v: v[:16]),
            ('second-half', lambda v: v[16:]),
            ('half-reversed', lambda v: v[15::-1]),
            ('half-hex', lambda v: v[:16].hex().encode()),
            ('half-base64url', lambda v: P.forms(v[:16])[4])):
        value = os.urandom(32)
        while P.forms(value)[3] == P.forms(value)[4]:
            value = os.urandom(32)  # both alphabets must be needed
        needles['1.planted-' + name] = value
        held.append(os.urandom(5) + how(value))
    return needles, b'\0'.join(held)


class Holder:
    """A process that holds data, and now and then makes a system call."""

    CODE = ('import os, sys, time\n'
            'held = sys.stdin.buffer.read(int(sys.argv[1]))\n'
            'os.write(1, b"x")\n'
            'while True: time.sleep(0.01)\n')

    def __init__(self, data):
        self.child = subprocess.Popen(
            [sys.executable, '-c', self.CODE, str(len(data))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.child.stdin.write(data)
        self.child.stdin.flush()
        self.child.stdout.read(1)
        self.pid = self.child.pid

    def stop(self):
        self.child.kill()
        self.child.communicate()


class Planted(unittest.TestCase):
    def setUp(self):
        self.needles, self.data = planted()
        top = tempfile.TemporaryDirectory(prefix='capif-exposure-')
        self.addCleanup(top.cleanup)
        self.dir, self.file = top.name, top.name + '/needles'
        with open(self.file, 'w', encoding='ascii') as f:
            for name, value in self.needles.items():
                f.write('%s %s\n' % (name, value.hex()))

    def found_all(self, target, *options, seconds=0):
        scanner = Scanner(self.file, [('held', target)], 'planted', *options)
        time.sleep(seconds)
        found, looks = scanner.end()
        self.assertEqual({f.secret for f in found},
                         set(self.needles))
        self.assertEqual({f.target for f in found}, {'held'})
        return looks

    def test_every_encoding_is_found_in_a_process(self):
        holder, other = Holder(self.data), Holder(b'x' * len(self.data))
        self.addCleanup(holder.stop)
        self.addCleanup(other.stop)
        self.found_all(holder.pid)
        for option in '--continuously', '--syscalls':
            looks = self.found_all(holder.pid, option, seconds=0.3)
            self.assertGreater(looks['held'], 1)
        found, _ = Scanner(self.file, [('other', other.pid)], 'p').end()
        self.assertEqual(found, [])

    def test_every_encoding_is_found_in_files(self):
        where = self.dir + '/held/below'
        os.makedirs(where)
        with open(where + '/file', 'wb') as f:
            f.write(self.data)
        self.found_all(where + '/file')
        self.found_all(os.path.dirname(where))
