# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of the test's own: in a fresh directory, on a Unix
socket alone, run as `postgres` by root, ended by process id."""

import glob
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time


class Cluster:
    def __init__(self):
        found = glob.glob('/usr/lib/postgresql/*/bin/initdb')
        assert found, ('PostgreSQL is not installed; tools/packages.check '
                       'names its package')
        self.bin = os.path.dirname(sorted(found)[-1])
        self.dir = tempfile.mkdtemp(prefix='capif-pg-')
        self.as_user = {}
        if os.getuid() == 0:
            who = pwd.getpwnam('postgres')
            os.chown(self.dir, who.pw_uid, who.pw_gid)
            self.as_user = {'user': who.pw_uid, 'group': who.pw_gid,
                            'extra_groups': []}
        self.log = self.dir + '/log'
        self.server = None
        with self.open_log() as log:
            subprocess.run(
                [self.bin + '/initdb', '-D', 'data', '-U', 'capif', '-A',
                 'trust', '-N', '--no-locale', '--encoding=UTF8'],
                cwd=self.dir, stdout=log, stderr=log, check=True,
                **self.as_user)
        self.up()

    def open_log(self):
        return open(self.log, 'ab')

    def up(self):
        """Start it, and return when it answers."""
        with self.open_log() as log:
            self.server = subprocess.Popen(
                [self.bin + '/postgres', '-D', 'data', '-k', self.dir, '-c',
                 'listen_addresses=', '-c', 'fsync=off'], cwd=self.dir,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **self.as_user)
        deadline = time.time() + 30
        while subprocess.run([self.bin + '/pg_isready', '-q', '-h', self.dir],
                             check=False).returncode != 0:
            assert self.server.poll() is None and time.time() < deadline, (
                'PostgreSQL does not start')
            time.sleep(0.05)

    def down(self, sig=signal.SIGINT):
        """When it returns, none of its processes is left: after SIGKILL some
        live a moment longer, and the next server would not start."""
        self.server.send_signal(sig)
        self.server.wait()
        deadline = time.time() + 30
        while any(self.is_its(name) for name in os.listdir('/proc')):
            assert time.time() < deadline, 'PostgreSQL does not end'
            time.sleep(0.01)

    def is_its(self, name):
        try:
            return os.readlink('/proc/%s/cwd' % name) == self.dir + '/data'
        except OSError:
            return False  # no process, or not one any more

    def stop(self):
        self.down()
        shutil.rmtree(self.dir)

    def sql(self, database, text):
        return subprocess.run(
            [self.bin + '/psql', '-qXAt', '-v', 'ON_ERROR_STOP=1', '-h',
             self.dir, '-U', 'capif', database], input=text, text=True,
            stdout=subprocess.PIPE, check=True).stdout.strip()

    def database(self, name):
        """A fresh one; its URI."""
        self.sql('postgres', 'CREATE DATABASE ' + name)
        return 'postgresql://capif@/%s?host=%s' % (name, self.dir)

    def copy(self, path, name):
        """An SQLite store's rows, into one whose schema is there."""
        def literal(value):
            if value is None:
                return 'NULL'
            return "'%s'" % str(value).replace("'", "''")

        db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
        text = 'BEGIN;\n'
        for table in ('enrolment', 'grp', 'member', 'api', 'context', 'psk',
                      'partner_key'):
            for row in db.execute('SELECT * FROM ' + table):
                text += 'INSERT INTO %s VALUES (%s);\n' % (
                    table, ', '.join(literal(v) for v in row))
        db.close()
        self.sql(name, text + 'COMMIT;\n')
