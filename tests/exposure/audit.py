# SPDX-License-Identifier: Apache-2.0
"""What is looked for, where, and what was found: the needles, the scanner
(`capif-hsm audit`), a build directory with step.py in the programs' place, and
the table at the end."""

import collections
import json
import os
import re
import shutil
import socketserver
import stat
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ['BUILD_DIR']
SCANNER = os.environ.get('EXPOSURE_SCANNER', BUILD + '/tools/capif-hsm')
CAP_SYS_PTRACE = 19
DAEMONS = ('ccf-a', 'ccf-b', 'aef-b')
RECORDER = '''openssl_conf = openssl_init
[openssl_init]
providers = providers
%s[providers]
aaa = recorder_provider
default = default_provider
[default_provider]
activate = 1
[recorder_provider]
activate = 1
module = %s/tests/exposure/recorder.so
'''
# The maximum, of libssl's default; curl takes no notice of MaxProtocol.
TLS12 = '''ssl_conf = ssl
[ssl]
system_default = system_default
[system_default]
Protocol = ALL,-TLSv1.3
'''

Found = collections.namedtuple('Found', 'phase target secret count encodings')


def may_look():
    """ccfd and aefd are not dumpable, so that takes a capability."""
    with open('/proc/self/status', encoding='ascii') as f:
        effective = int(re.search('CapEff:\t([0-9a-f]+)', f.read())[1], 16)
    return bool(effective >> CAP_SYS_PTRACE & 1)


def class_of(secret):
    return int(secret[0])


def kind_of(secret):
    """Without the number that tells connections apart."""
    return secret.partition('#')[0]


# ---- needles ---------------------------------------------------------------

class Needles:
    """`CLASS.NAME HEX` lines as keys.py and the recorder append them; one
    name for each value, that of the lowest class."""

    def __init__(self, path):
        self.path = path
        open(path, 'w', encoding='ascii').close()

    def add(self, name, value):
        with open(self.path, 'a', encoding='ascii') as f:
            f.write('%s %s\n' % (name, value.hex()))

    def lines(self, prefix):
        """How many there are, of the same value too."""
        with open(self.path, encoding='ascii') as f:
            return sum(line.startswith(prefix) for line in f)

    def all(self):
        with open(self.path, encoding='ascii') as f:
            lines = sorted(enumerate(f), key=lambda x: (x[1][0], x[0]))
        values, n = {}, collections.Counter()
        for _, line in lines:
            name, value = line.split()
            if len(value) < 16 or value in values:
                continue
            n[name] += 1
            values[value] = '%s#%d' % (name, n[name])
        return {name: bytes.fromhex(value) for value, name in values.items()}


# ---- the scanner -----------------------------------------------------------

class Scanner:
    """The only place that knows how `capif-hsm audit` is called."""

    def __init__(self, needles, targets, phase, *options):
        self.phase = phase
        self.child = subprocess.Popen(
            [SCANNER, 'audit', '--needles', needles, '--phase',
             phase.replace(' ', '-'), '--format', 'tsv', *options]
            + ['%s=%s' % t for t in targets],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        if '--syscalls' in options:
            line = self.child.stderr.readline()
            if line.strip() != 'ready':
                raise AssertionError(line + self.child.communicate()[1])

    def end(self):
        """(list of Found, number of looks by target)."""
        out, err = self.child.communicate(timeout=120)
        if self.child.returncode not in (0, 1):
            raise AssertionError('%s: %s' % (self.phase, err))
        found, looks = [], {}
        for line in out.splitlines():
            row = line.split('\t')
            if row[0] == '#':
                looks[row[2]] = int(row[3].partition('=')[2])
            elif int(row[3]) > 0:  # it says of each what it looked for
                found.append(Found(self.phase, row[1], row[2], int(row[3]),
                                   row[4]))
        assert bool(found) == bool(self.child.returncode), out
        return found, looks


# ---- programs --------------------------------------------------------------

class Programs:
    """A build directory for tools/quickstart, and the answers to step.py."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='capif-exposure-')
        self.build = self.dir + '/build'
        self.needles = Needles(self.dir + '/needles')
        self.before = self.after = lambda argv, cwd: None
        self.conf = lambda conf: conf
        self.failed = None
        for place, name in (('tools', 'capif'), ('tools', 'capif-hsm'),
                            ('ccf', 'ccfd'), ('aef', 'aefd')):
            os.makedirs(self.build + '/' + place, exist_ok=True)
            path = '%s/%s/%s' % (self.build, place, name)
            with open(path, 'w', encoding='ascii') as f:
                f.write('#!/bin/sh\nexec %s %s/step.py %s "$@"\n'
                        % (sys.executable, HERE, name))
            os.chmod(path, stat.S_IRWXU)
        for place in ('provider', 'hsm'):
            os.symlink(BUILD + '/' + place, self.build + '/' + place)
        for name, more in (('recorder', ''), ('recorder12', TLS12)):
            with open('%s/%s.cnf' % (self.dir, name), 'w',
                      encoding='ascii') as f:
                f.write(RECORDER % (more.partition('\n')[0] + '\n'
                                    if more else '', BUILD)
                        + more.partition('\n')[2])
        os.environ['EXPOSURE_DIR'] = self.dir
        os.environ['EXPOSURE_BUILD'] = BUILD
        self.serve()

    def serve(self):
        this = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                event = json.loads(self.rfile.readline())
                answer = {}
                try:
                    if event['what'] == 'daemon':
                        answer['conf'] = this.conf(event['conf'])
                    else:
                        getattr(this, event['what'])(event['argv'],
                                                     event['cwd'])
                except Exception as e:  # told to the test
                    this.failed = this.failed or e
                self.wfile.write(json.dumps(answer).encode() + b'\n')

        self.server = socketserver.ThreadingUnixStreamServer(
            self.dir + '/socket', Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def write(self, needles):
        """The scanner's file."""
        path = self.dir + '/known'
        with open(path, 'w', encoding='ascii') as f:
            for name, value in needles.items():
                f.write('%s %s\n' % (name, value.hex()))
        return path

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.dir)


# ---- what was found --------------------------------------------------------

class Table:
    """Secret x process x phase."""

    def __init__(self):
        self.phases = []  # (phase, targets, needles), in the order of time
        self.found = []

    def add(self, phase, targets, needles, found):
        for i, (name, where, known) in enumerate(self.phases):
            if name == phase:
                self.phases[i] = (name, where | set(targets),
                                  known | set(needles))
                break
        else:
            self.phases.append((phase, set(targets), set(needles)))
        self.found += found

    def of(self, *classes, phase=None):
        return [f for f in self.found if class_of(f.secret) in classes
                and phase in (None, f.phase)]

    def lines(self, title):
        yield title
        columns = []
        for _, where, _ in self.phases:
            columns += [t for t in sorted(where) if t not in columns]
        width = [max(len(c), 9) for c in columns]
        yield '%-30s %7s  %s' % ('phase: classes 1+2 (class 3)', 'needles',
                                 ' '.join(c.rjust(w) for c, w
                                          in zip(columns, width)))
        for phase, where, known in self.phases:
            cells = []
            for column in columns:
                here = [f for f in self.found
                        if f.phase == phase and f.target == column]
                n = [sum(f.count for f in here if class_of(f.secret) in c)
                     for c in ((1, 2), (3,))]
                cells.append('%d (%d)' % tuple(n) if column in where else '-')
            yield '%-30s %7d  %s' % (phase, len(known), ' '.join(
                c.rjust(w) for c, w in zip(cells, width)))
        yield ''
        yield 'classes 1 and 2, by secret and process: phase, count, encodings'
        for (secret, target), cells in self.by_secret(1, 2):
            yield '%s in %s: %s' % (secret, target, ', '.join(
                '%s %d [%s]' % (phase, n, ' '.join(sorted(encodings)))
                for phase, (n, encodings) in cells.items()))
        yield 'class 3, by secret and process: in how many phases, most in one'
        for (secret, target), cells in self.by_secret(3):
            yield '%s in %s: %d, %d' % (secret, target, len(cells), max(
                n for n, _ in cells.values()))
        by = {kind_of(f.secret) for f in self.found}
        clean = {kind_of(s) for _, _, known in self.phases
                 for s in known} - by
        yield 'nowhere: ' + ' '.join(sorted(clean))

    def by_secret(self, *classes):
        out = collections.defaultdict(dict)
        for f in self.of(*classes):
            cell = out[kind_of(f.secret), f.target].setdefault(
                f.phase, [0, set()])
            cell[0] += f.count
            cell[1].update(re.split('[,; ]+', f.encodings))
        return sorted(out.items())

    def save(self, path):
        with open(path, 'w', encoding='utf-8') as f:
            f.write('phase\tprocess\tsecret\tcount\n')
            for phase, where, known in self.phases:
                for target in sorted(where):
                    n = collections.Counter({kind_of(s): 0 for s in known})
                    for x in self.found:
                        if (x.phase, x.target) == (phase, target):
                            n[kind_of(x.secret)] += x.count
                    for secret, count in sorted(n.items()):
                        f.write('%s\t%s\t%s\t%d\n' % (phase, target, secret,
                                                      count))
