# SPDX-License-Identifier: Apache-2.0
"""What does aefd cost as a gateway, against programs of others?

Requests through aefd against the same through nginx as a TLS reverse proxy,
from the same load generator to the same backend; the memory of connections
that stay open; TLS-PSK with a key in a token against openssl s_server with
one in memory.  Neighbouring rounds take turns, and what counts is the median
of their ratios.  Run by tools/bench/run gateway.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.environ['SOURCE_DIR'] + '/tests/integration')
import domains  # pylint: disable=wrong-import-position
import psk as P  # pylint: disable=wrong-import-position

NEEDED = {'nginx': 'nginx-light', 'wrk': 'wrk', 'openssl': 'openssl'}
SIZES = {'small': 100, 'large': 1 << 20}
TARGETS = {'small': 0.5, 'large': 0.9}
CONNECTIONS, MEMORY_TARGET = 1000, 64
PSK_TARGETS = {'in process': 1.25, 'agent': 1.6}
MODULE = os.environ.get('SOFTHSM2_MODULE', '/usr/lib/softhsm/libsofthsm2.so')
PARTS = (*SIZES, 'memory', 'psk')
TICKS = os.sysconf('SC_CLK_TCK')


def median(values):
    return statistics.median(values)


# ---- who serves ------------------------------------------------------------

class Nginx:
    """One with its own configuration, that ends with us."""

    def __init__(self, d, name, workers, http):
        self.dir = '%s/%s' % (d.extra, name)
        os.mkdir(self.dir)
        conf = domains.write(self.dir + '/nginx.conf', '''
daemon off;
%spid %s/pid;
error_log %s/error;
worker_processes %d;
worker_rlimit_nofile 8192;
events { worker_connections 4096; }
http {
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    %s
%s}
''' % ('user root;\n' if os.getuid() == 0 else '', self.dir, self.dir,
            workers, ''.join('%s_temp_path %s/%s;\n' % (n, self.dir, n)
                             for n in ('client_body', 'proxy', 'fastcgi',
                                       'uwsgi', 'scgi')), http))
        self.child = subprocess.Popen(
            [shutil.which('nginx'), '-p', self.dir, '-e',
             self.dir + '/error', '-c', conf], stdin=subprocess.DEVNULL)

    def pids(self):
        """Its workers."""
        return [int(p) for p in domains.read(
            '/proc/%d/task/%d/children' % (2 * (self.child.pid,))).split()]

    def stop(self):
        self.child.terminate()
        self.child.wait()


def backend(d):
    """In place of quickstart's."""
    d.end('backend')
    files = d.extra + '/files'
    os.makedirs(files + '/v1')
    for name, size in SIZES.items():
        domains.write('%s/v1/%s' % (files, name), size * 'x')
    return Nginx(d, 'backend', 2, '''
    sendfile on;
    tcp_nopush on;
    open_file_cache max=10;
    server { listen 127.0.0.1:%d reuseport; root %s; }
''' % (d.backend, files))


def reference(d, port, workers):
    """As aefd: P-256, TLS 1.3, a client's certificate that is asked for, kept
    connections to the backend."""
    crt, key = d.extra + '/nginx.crt', d.extra + '/nginx.key'
    domains.run('openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
                '/CN=' + d.aef_name, '-keyout', key, '-out', crt)
    return Nginx(d, 'reference', workers, '''
    upstream api { server 127.0.0.1:%d; keepalive 64; }
    server {
        listen 127.0.0.1:%d ssl reuseport;
        ssl_certificate %s;
        ssl_certificate_key %s;
        ssl_client_certificate %s;
        ssl_verify_client optional;
        ssl_protocols TLSv1.2 TLSv1.3;
        location /%s/ {
            proxy_pass http://api/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "";
        }
    }
''' % (d.backend, port, crt, key, d.a.ca, domains.API))


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = domains.read('/proc/%d/stat' % pid).rpartition(')')[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


# ---- requests --------------------------------------------------------------

class Load:
    """wrk, with the invoker's token and certificate."""

    def __init__(self, d, o, invoker):
        self.d, self.o, self.invoker = d, o, invoker
        self.env = dict(os.environ, CLIENT_CERT=invoker.crt,
                        CLIENT_KEY=invoker.key,
                        LD_PRELOAD=domains.BUILD
                        + '/tools/bench/client-cert.so')

    def run(self, port, name, pids):
        """(requests a second, milliseconds of CPU time a request)"""
        before = cpu_seconds(pids)
        done = subprocess.run(
            ['wrk', '--threads', '1', '--connections',
             str(self.o.connections), '--duration', '%ds' % self.o.seconds,
             '--timeout', '10s', '--header', 'Host: ' + self.d.aef_name,
             '--header', 'Authorization: Bearer ' + self.token,
             'https://127.0.0.1:%d/%s/v1/%s' % (port, domains.API, name)],
            env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False)
        rate = re.search(r'Requests/sec: +([\d.]+)', done.stdout)
        n = re.search(r'(\d+) requests in', done.stdout)
        assert (done.returncode == 0 and rate and float(rate[1]) > 0
                and 'Non-2xx' not in done.stdout
                and 'Socket errors' not in done.stdout), done.stdout
        return (float(rate[1]),
                (cpu_seconds(pids) - before) * 1000 / int(n[1]))

    def check(self, name, port, ca):
        a = domains.https(
            self.d.aef_name, port, ca, 'GET',
            '/%s/v1/%s' % (domains.API, name),
            self.invoker, headers={'Authorization': 'Bearer ' + self.token})
        assert (a.status, len(a.body)) == (200, SIZES[name]), a

    def measure(self, name, sides):
        """sides: aefd's and nginx's (port, ca, pids)."""
        rates, costs = [], []
        self.token = self.invoker.token()
        for port, ca, _ in sides:
            self.check(name, port, ca)
        for r in range(self.o.rounds + 1):  # the first is to get warm
            self.token = self.invoker.token()
            got = [self.run(port, name, pids()) for port, _, pids in
                   (sides if r % 2 else sides[::-1])]
            if r % 2 == 0:
                got.reverse()
            if r > 0:
                rates.append([x[0] for x in got])
                costs.append([x[1] for x in got])
        return rates, costs


def report(name, rates, costs):
    ratios = [a / b for a, b in rates]
    print('%-8s %10.0f %10.0f %7.2f   %5.2f to %5.2f %10.3f %10.3f %7.2f' % (
        name, median(a for a, _ in rates), median(b for _, b in rates),
        median(ratios), min(ratios), max(ratios),
        median(a for a, _ in costs), median(b for _, b in costs),
        median(a / b for a, b in costs if b > 0)), flush=True)
    if median(ratios) < TARGETS[name]:
        print('         below %.1f' % TARGETS[name])


def throughput(d, o, invoker):
    port = domains.free_ports(1)
    back, proxy = backend(d), None
    try:
        proxy = reference(d, port, o.workers)
        sides = [(d.service, d.b.ca, lambda: [d.pid('aef-b')]),
                 (port, d.extra + '/nginx.crt', proxy.pids)]
        load = Load(d, o, invoker)
        print('%-8s %10s %10s %7s   %13s %10s %10s %7s' % (
            'answer', 'aefd/s', 'nginx/s', 'ratio', 'range', 'CPU, ms',
            'of nginx', 'ratio'))
        for name in o.only or SIZES:
            if name in SIZES:
                report(name, *load.measure(name, sides))
        if 'memory' in (o.only or PARTS):
            memory(d, invoker)
    finally:
        back.stop()
        if proxy is not None:
            proxy.stop()


# ---- memory ----------------------------------------------------------------

def resident(d):
    text = domains.read('/proc/%d/status' % d.pid('aef-b'))
    return int(re.search(r'VmRSS:\s+(\d+)', text)[1]) / 1024


def memory(d, invoker):
    """Each connection has had one answer."""
    d.restart('aef-b')
    token, kept = invoker.token(), []
    headers = {'Authorization': 'Bearer ' + token}
    for n in range(CONNECTIONS + 1):
        conn = domains.Https(d.aef_name, d.service, d.b.ca, invoker)
        conn.request('GET', '/%s/v1/small' % domains.API, headers=headers)
        r = conn.getresponse()
        assert r.status == 200 and len(r.read()) == SIZES['small']
        kept.append(conn)
        if n == 0:
            one = resident(d)
    all_of_them = resident(d)
    print('memory: %.1f MiB with 1 connection, %.1f with %d: %.1f KiB each' % (
        one, all_of_them, CONNECTIONS + 1,
        (all_of_them - one) * 1024 / CONNECTIONS), flush=True)
    kept[0].request('GET', '/%s/v1/small' % domains.API, headers=headers)
    assert kept[0].getresponse().status == 200, 'not all were open'
    for conn in kept:
        conn.close()
    if all_of_them >= MEMORY_TARGET:
        print('not under %d MiB' % MEMORY_TARGET)


# ---- TLS-PSK ---------------------------------------------------------------

class SServer:
    """With the same key, in its memory."""

    def __init__(self, d, psk, port):
        self.log = open(d.extra + '/s_server', 'wb')
        self.child = subprocess.Popen(
            ['openssl', 's_server', '-accept', '127.0.0.1:%d' % port,
             '-nocert', '-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256',
             '-num_tickets', '0', '-psk_identity', psk.identity, '-psk',
             psk.hex()], stdin=subprocess.PIPE, stdout=self.log,
            stderr=self.log)
        end = time.monotonic() + 10
        while 'ACCEPT' not in domains.read(self.log.name):
            assert self.child.poll() is None and time.monotonic() < end
            time.sleep(0.01)

    def stop(self):
        self.child.terminate()
        self.child.communicate()
        self.log.close()


def handshakes(d, o, title, psk):
    port = domains.free_ports(1)
    server = SServer(d, psk, port)
    pids = [[d.pid('aef-b'), d.pid('hsmd-aef-b')], [server.child.pid]]
    before = [cpu_seconds(p) for p in pids]
    try:
        out = domains.run(
            domains.BUILD + '/tools/bench/psk-bench', str(o.handshakes),
            stdin=''.join('%d %s %s\n' % (p, psk.identity, psk.hex())
                          for p in (d.service, port)).encode()).decode()
        cpu = [(cpu_seconds(p) - b) * 1e6 / o.handshakes
               for p, b in zip(pids, before)]
    finally:
        server.stop()
    took = [[float(x) for x in line.split()] for line in out.splitlines()]
    took = took[len(took) // 10:]  # the others are to get warm
    ratio = median(a / b for a, b in took)
    print('%-12s %10.0f %10.0f %7.2f %10.0f %11.0f' % (
        title, median(a for a, _ in took), median(b for _, b in took), ratio,
        *cpu), flush=True)
    if ratio > PSK_TARGETS[title]:
        print('             above %.2f' % PSK_TARGETS[title])


def pre_shared(d, o, invoker):
    psk = P.ready(invoker)
    print('%-12s %10s %10s %7s %10s %11s' % (
        'TLS-PSK, us', 'aefd', 's_server', 'ratio', 'CPU', 'of s_server'))
    handshakes(d, o, 'agent', psk)
    d.reconfigure('aef-b', 'agent = %s/aef-b/hsmd.sock\n' % d.dir,
                  'pkcs11-module = %s\npin-file = %s/aef-b/pin\n'
                  'derive = transient\n' % (MODULE, d.dir))
    P.initiate(invoker)
    handshakes(d, o, 'in process', psk)


# ---- all of it -------------------------------------------------------------

def parse():
    p = argparse.ArgumentParser(prog='tools/bench/run gateway',
                                description=__doc__.split('\n\n', 1)[0])
    p.add_argument('--rounds', type=int, default=10)
    p.add_argument('--seconds', type=int, default=3, help='a round')
    p.add_argument('--connections', type=int, default=32)
    p.add_argument('--workers', type=int, default=4,
                   help='of aefd, and as many of nginx')
    p.add_argument('--handshakes', type=int, default=2000)
    p.add_argument('--only', nargs='+', choices=PARTS)
    return p.parse_args()


def main():
    o = parse()
    missing = [package for program, package in NEEDED.items()
               if shutil.which(program) is None]
    if missing:
        sys.exit('gateway: missing: apt-get install ' + ' '.join(missing))
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       2 * (resource.getrlimit(resource.RLIMIT_NOFILE)[1],))
    d = domains.Domains()
    try:
        d.reconfigure('aef-b', '[aef]\n', '[aef]\nworkers = %d\n' % o.workers)
        d.describe(domains.resource('/{file}'))
        began = time.time()
        throughput(d, o, d.a.onboard().negotiate())
        if 'psk' in (o.only or PARTS):
            pre_shared(d, o, d.a.onboard())
        print('%.0f s' % (time.time() - began))
    finally:
        d.stop()


if __name__ == '__main__':
    main()
