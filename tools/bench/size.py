# SPDX-License-Identifier: Apache-2.0
"""Does a CCF get slower, or larger, with what it has to keep?

One ccfd on each of four stores, a small and a large one of each kind, with
keys in a token behind an agent; the same requests to all of them in turns,
over connections that are kept.  Run by tools/bench/run size; the filling is
also what tests/integration/test_size.py uses.
"""

import argparse
import json
import os
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import time
import urllib.parse

sys.path.insert(0, os.environ['SOURCE_DIR'] + '/tests/integration')
import domains  # pylint: disable=wrong-import-position
import pg  # pylint: disable=wrong-import-position

SMALL = (100, 100, 1000)  # invokers, APIs, log entries
LARGE = (100000, 10000, 1000000)
OWN_LOGS = 10  # as many as each invoker has
TARGET = 1.5
BEGAN = 1767225600  # 2026-01-01, and one entry a second


# ---- stores ----------------------------------------------------------------

class Lite:
    kind = 'SQLite'

    def __init__(self, path):
        self.where = path

    def sql(self, text):
        db = sqlite3.connect(self.where, timeout=60)
        with db:
            rows = [r for s in text.split(';\n') for r in db.execute(s)]
        db.close()
        return rows

    def settle(self):
        self.sql('PRAGMA wal_checkpoint(TRUNCATE)')


class Server:
    kind = 'PostgreSQL'

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.where = cluster.database(name)

    def sql(self, text):
        out = self.cluster.sql(self.name, text)
        return [line.split('|') for line in out.split('\n') if line]

    def settle(self):
        self.sql('VACUUM ANALYZE')


def literal(text):
    return "'%s'" % text.replace("'", "''")


def like(doc, **parts):
    """An SQL expression: a real document, but for texts that are replaced by
    expressions."""
    text = doc if isinstance(doc, str) else json.dumps(
        doc, separators=(',', ':'))
    out = [(False, text)]
    for old, new in parts.values():
        assert old in text, old
        out = [piece for is_sql, t in out for piece in (
            [(is_sql, t)] if is_sql else
            [x for k, part in enumerate(t.split(old))
             for x in ([(True, new)] if k else []) + [(False, part)]])]
    return ' || '.join(t if is_sql else literal(t) for is_sql, t in out)


def rows(n, insert, select):
    """As many rows, numbered from 0 by g."""
    return ('WITH RECURSIVE n(g) AS (SELECT CAST(0 AS BIGINT) UNION ALL'
            ' SELECT g + 1 FROM n WHERE g < %d) INSERT INTO %s SELECT %s'
            ' FROM n' % (n - 1, insert, select))


def invoker(g):
    return "('inv-' || (%s * 2654435761 %% 4294967296))" % g


def api(g):
    return "('api-' || (%s * 2654435761 %% 4294967296))" % g


class Filler:
    """Copies of what a real CCF made, in the store of one."""

    def __init__(self, store, who, home, known):
        self.store, self.who, self.home, self.known = store, who, home, known

    def fill(self, n_invokers, n_apis, n_logs):
        self.store.sql(';\n'.join(
            self.invokers(n_invokers) + self.apis(n_apis)
            + self.logs(n_logs, n_invokers, n_apis)
            + self.logs_of_one(n_logs)))
        self.store.settle()

    def one(self, text):
        return self.store.sql(text)[0][0]

    def invokers(self, n):
        who = self.who
        grp = self.one("SELECT doc FROM grp WHERE id = '%s'" % who.onboarding)
        ctx = self.one("SELECT doc FROM context WHERE invoker_id = '%s'"
                       % who.id)
        return [
            rows(n, 'grp', "'onb-' || g, "
                 + like(grp, id=(who.id, invoker('g')))),
            rows(n, 'member (ccf_id, role, id, group_id, thumbprint)',
                 "'%s', 'invoker', %s, 'onb-' || g,"
                 " 'no-such-thumbprint-' || g" % (who.ccf.id, invoker('g'))),
            rows(n, 'context (ccf_id, invoker_id, expires, doc)',
                 "'%s', %s, 4000000000, %s" % (who.ccf.id, invoker('g'),
                                               literal(ctx)))]

    def apis(self, n):
        doc = self.one("SELECT doc FROM api WHERE api_id = '%s'"
                       % self.known['apiId'])
        # Half of them have the name of the one that is negotiated: a scope
        # can't tell them apart.  All have a policy, which denies nothing.
        name = "(CASE g %% 2 WHEN 0 THEN 'name-' || g ELSE %s END)" % literal(
            self.known['apiName'])
        policies = rows(n, 'policy (api_id, aef_id, group_id, others_denied)',
                        "%s, '%s', '%s', 0" % (api('g'), self.home.aef.id,
                                               self.home.registration))
        return [policies, rows(n, 'api (ccf_id, api_id, apf_id, doc, api_name,'
                     ' group_id)', "'%s', %s, '%s', %s, %s, '%s'" % (
                         self.who.ccf.id, api('g'), self.home.apf.id,
                         like(doc, id=(self.known['apiId'], api('g')),
                              name=(self.known['apiName'], name)),
                         name, self.home.registration))]

    def log_rows(self, n, g, stamp, who, api_id, name):
        entry = log_entry(self.known)
        return rows(
            n, 'invocation (group_id, log_id, time, received, aef_id,'
            ' invoker_ccf, invoker_id, api_id, api_name, api_version,'
            ' resource, protocol, operation, result, src_addr, src_port,'
            ' src_prefix, dst_addr, dst_port, dst_prefix, doc)',
            "'%s', 'log-' || %s, CAST(%s AS BIGINT) * 1000000, %s, '%s', '%s',"
            " %s, %s, %s, 'v1', 'subscriptions', 'HTTP_1_1', 'GET', '200',"
            " 'ipv4Addr=192.0.2.7', '40000', '', 'fqdn=aef.example', '443',"
            " '', %s" % (
                self.home.registration, g, stamp, stamp, self.home.aef.id,
                self.who.ccf.id, who, api_id, name,
                like(entry, id=(self.known['apiId'], api_id),
                     name=(self.known['apiName'], name))))

    def logs(self, n, n_invokers, n_apis):
        return [self.log_rows(n, 'g', '(%d + g)' % BEGAN,
                              invoker('(g %% %d)' % n_invokers),
                              api('(g %% %d)' % n_apis),
                              "('name-' || (g %% %d))" % n_apis)]

    def logs_of_one(self, n):
        return [self.log_rows(OWN_LOGS, "'own-' || g",
                              '(%d + g * %d)' % (BEGAN, n // OWN_LOGS),
                              literal(self.who.id),
                              literal(self.known['apiId']),
                              literal(self.known['apiName']))]


def log_entry(known):
    return {'apiId': known['apiId'], 'apiName': known['apiName'],
            'apiVersion': 'v1', 'resourceName': 'subscriptions',
            'uri': '/v1/subscriptions.json', 'protocol': 'HTTP_1_1',
            'operation': 'GET', 'result': '200',
            'invocationTime': '2026-01-01T00:00:00.123Z',
            'invocationLatency': 12,
            'inputParameters': {'monitoringType': 'LOCATION_REPORTING'},
            'outputParameters': {'cellId': 'b-42'},
            'srcInterface': {'ipv4Addr': '192.0.2.7', 'port': 40000},
            'destInterface': {'fqdn': 'aef.example', 'port': 443}}


# ---- who serves ------------------------------------------------------------

class Instance(domains.Ccf):
    """A ccfd with domain A's keys, and a store of its own."""

    def __init__(self, d, port, store, name):
        super().__init__(d, 'a', port)
        self.store, self.label = store, name
        text = domains.read(self.conf).split('[partner')[0]
        self.conf = '%s/ccf-a/%s.cnf' % (d.dir, name)
        lines = ['listen = 127.0.0.1:%d' % port if x.startswith('listen =')
                 else 'store = ' + store.where if x.startswith('store =')
                 else x for x in text.split('\n')]
        domains.write(self.conf, '\n'.join(lines))
        self.begin_it()

    def env(self):
        return dict(self.d.env('ccf-a'), OPENSSL_CONF=self.conf)

    def begin_it(self):
        path = self.conf + '.log'
        with open(path, 'wb') as log:
            self.child = subprocess.Popen(
                [domains.BUILD + '/ccf/ccfd', self.conf], cwd=self.d.dir,
                env=dict(os.environ, SOFTHSM2_CONF=self.d.dir
                         + '/ccf-a/softhsm2.conf'),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.time() + 30
        while 'event=ready' not in domains.read(path):
            assert self.child.poll() is None and time.time() < deadline, (
                domains.read(path))
            time.sleep(0.05)

    def end_it(self):
        self.child.terminate()
        self.child.wait()

    def memory(self):
        text = domains.read('/proc/%d/status' % self.child.pid)
        return {line.split(':')[0]: int(line.split()[1]) / 1024
                for line in text.split('\n') if line.startswith('Vm')}

    def people(self):
        """A provider with one API, and an invoker that negotiated it."""
        self.home = self.register(aef_s1='aef.example')
        for name in 'bench-one-of-its-name', 'bench-api':
            a = self.home.publish(self.home.describe(name))
            assert a.status == 201, a
        self.known = a.json()
        self.who = self.onboard().negotiate('bench-api')
        return Filler(self.store, self.who, self.home, self.known)


class Kept:
    """A connection that is kept, with as little around it as there can be."""

    def __init__(self, ccf, who):
        context = ssl.create_default_context(cafile=ccf.ca)
        context.load_cert_chain(who.crt, who.key)
        self.name = ccf.id
        self.sock = context.wrap_socket(
            socket.create_connection(('127.0.0.1', ccf.port)),
            server_hostname=ccf.id)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request):
        """Milliseconds, and the body."""
        began = time.perf_counter()
        self.sock.sendall(request)
        data = b''
        while b'\r\n\r\n' not in data:
            data += self.more()
        head, _, body = data.partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 200'), data[:500]
        length = [int(h.split(b':')[1]) for h in head.split(b'\r\n')
                  if h.lower().startswith(b'content-length:')][0]
        parts, n = [body], len(body)
        while n < length:
            parts.append(self.more())
            n += len(parts[-1])
        return (time.perf_counter() - began) * 1000, b''.join(parts)

    def more(self):
        data = self.sock.recv(65536)
        assert data, 'closed'
        return data


def request(ccf, method, path, query=None, form=None):
    if query:
        path += '?' + urllib.parse.urlencode(query)
    body = urllib.parse.urlencode(form) if form else ''
    head = '%s %s HTTP/1.1\r\nHost: %s\r\n' % (method, path, ccf.id)
    if form:
        head += 'Content-Type: %s\r\nContent-Length: %d\r\n' % (
            domains.FORM, len(body))
    return (head + '\r\n' + body).encode()


def stamp(seconds):
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(BEGAN + seconds))


def operations(ccf, n_logs):
    """name: who asks, what, and how many of what key the answer has."""
    who, home = ccf.who, ccf.home
    audit = '/logs/v1/apiInvocationLogs'
    middle = n_logs // 2

    def asks(query):
        return request(ccf, 'GET', audit, query)

    return {
        'token': (who, request(ccf, 'POST', who.token_path, form={
            'grant_type': 'client_credentials', 'client_id': who.id}),
                  'access_token', 1),
        'discover-by-name': (who, request(
            ccf, 'GET', '/service-apis/v1/allServiceAPIs',
            {'api-invoker-id': who.id, 'api-name': 'bench-one-of-its-name'}),
                             'apiId', 1),
        'security-context': (home.aef, request(
            ccf, 'GET', who.context, {'authenticationInfo': 'true',
                                      'authorizationInfo': 'true'}),
                             'selSecurityMethod', 1),
        'audit: invoker': (home.amf, asks({'api-invoker-id': who.id}),
                           'result', OWN_LOGS),
        'audit: AEF, time': (home.amf, asks({
            'aef-id': home.aef.id, 'time-range-start': stamp(middle + 1),
            'time-range-end': stamp(middle + 50)}), 'result', 50),
        'audit: API and name': (home.amf, asks({
            'api-id': ccf.known['apiId'], 'api-name': 'bench-api'}),
                                'result', OWN_LOGS),
        'audit: newest': (home.amf, asks({}), 'result', 1000),
    }


def check(body, key, n):
    got = body.count(('"%s":' % key).encode())
    assert got == n, '%d times %s, not %d' % (got, key, n)


# ---- measuring -------------------------------------------------------------

def measure(instances, sizes, rounds):
    """{operation: {label: median}}"""
    ops = {i.label: operations(i, sizes[i.label][2]) for i in instances}
    conns, took = {}, {}
    for r in range(rounds):
        for name in ops[instances[0].label]:
            for i in instances:
                who, text, key, n = ops[i.label][name]
                at = (i.label, who)
                if at not in conns:
                    conns[at] = Kept(i, who)
                ms, body = conns[at].ask(text)
                if r < 10:  # the first are to get warm
                    check(body, key, n)
                else:
                    took.setdefault(name, {}).setdefault(i.label, []).append(
                        ms)
    return {name: {label: statistics.median(v) for label, v in by.items()}
            for name, by in took.items()}


def table(times, memory, all_memory):
    ok = True
    print('%-22s %10s %10s %6s   %10s %10s %6s' % (
        'median, ms', 'SQLite', 'large', 'ratio', 'PostgreSQL', 'large',
        'ratio'))
    for name, t in times.items():
        line = '%-22s' % name
        for kind in 'SQLite', 'PostgreSQL':
            small, large = t[kind + '-small'], t[kind + '-large']
            ok = ok and large / small <= TARGET
            line += ' %10.3f %10.3f %6.2f  ' % (small, large, large / small)
        print(line)
    for title, m in ('', memory), (' (all APIs asked for)', all_memory):
        for what in 'VmRSS', 'VmHWM':
            line = '%-22s' % (what + ', MiB')
            for kind in 'SQLite', 'PostgreSQL':
                small = m[kind + '-small'][what]
                large = m[kind + '-large'][what]
                line += ' %10.1f %10.1f %6.2f  ' % (small, large,
                                                    large / small)
            print(line + title)
    return ok


def ask_all(i):
    """An invoker asks for all APIs there are."""
    return Kept(i, i.who).ask(request(
        i, 'GET', '/service-apis/v1/allServiceAPIs',
        {'api-invoker-id': i.who.id}))[0]


def main():
    p = argparse.ArgumentParser(prog='tools/bench/run size',
                                description=__doc__.split('\n\n', 1)[0])
    p.add_argument('--rounds', type=int, default=200)
    p.add_argument('--large', type=int, nargs=3, default=LARGE,
                   metavar=('INVOKERS', 'APIS', 'LOGS'))
    o = p.parse_args()
    d, cluster, instances = domains.Domains(), pg.Cluster(), []
    try:
        port = domains.free_ports(4)
        sizes = {}
        for label, size in ('small', SMALL), ('large', tuple(o.large)):
            for store in (Lite('%s/%s.db' % (d.extra, label)),
                          Server(cluster, label)):
                i = Instance(d, port + len(instances), store,
                             store.kind + '-' + label)
                instances.append(i)
                sizes[i.label] = size
                began = time.time()
                i.people().fill(*size)
                i.end_it()  # its memory is to be that of serving
                i.begin_it()
                print('%s: %d invokers, %d APIs, %d log entries in %.0f s' % (
                    (i.label,) + size + (time.time() - began,)), flush=True)
        times = measure(instances, sizes, o.rounds + 10)
        memory = {i.label: i.memory() for i in instances}
        for i in instances:
            ask_all(i)
        all_memory = {i.label: i.memory() for i in instances}
        if not table(times, memory, all_memory):
            print('a ratio is over %.1f' % TARGET)
    finally:
        for i in instances:
            i.end_it()
        cluster.stop()
        d.stop()


if __name__ == '__main__':
    main()
