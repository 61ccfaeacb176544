# SPDX-License-Identifier: Apache-2.0
"""Two trust domains as tools/quickstart makes them, and what tests do there.

A test file makes Domains in setUpModule(), stops them in tearDownModule() and
calls main() at its end.  Everything is under one fresh directory, listens on
127.0.0.1, and is ended by process id.
"""

import json
import os
import random
import select
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.parse

import sanitizers
import third as third_domain
from backend import Backend
from tap import main
from wire import (DIED, Answer, ForeignCa, Https, b64, changed, https, jws,
                  jws_hmac, jws_parts, make_csr, make_key, read, run, unb64,
                  write)

__all__ = ['API', 'BUILD', 'DAEMONS', 'DIED', 'FORM', 'PATH', 'SOURCE', 'VS',
           'Answer', 'Backend', 'Domains', 'ForeignCa', 'Https', 'Invoker',
           'Member', 'b64', 'changed', 'https', 'jws', 'jws_hmac', 'jws_parts', 'main',
           'make_csr', 'make_key', 'read', 'run', 'unb64', 'write']

BUILD = os.environ['BUILD_DIR']
# Where ccfd and aefd are from: a build with sanitizers, say.
DAEMONS = os.environ.get('DAEMONS_DIR', BUILD)
SOURCE = os.environ['SOURCE_DIR']
API = '3gpp-monitoring-event'
OPERATIONS = ('GET', 'POST', 'PUT', 'PATCH', 'DELETE')
PATH = '/' + API + '/v1/subscriptions.json'
VS = 'vendorSpecific-capif-hsm'
FORM = 'application/x-www-form-urlencoded'


# ---- who takes part --------------------------------------------------------

class Ccf:
    def __init__(self, d, side, port):
        self.d, self.side, self.name, self.port = d, side, 'ccf-' + side, port
        self.id = 'ccf.domain-%s.example' % side
        self.url = 'https://%s:%d' % (self.id, port)
        self.ca = '%s/%s/ca.crt' % (d.dir, self.name)
        self.conf = '%s/%s/%s.cnf' % (d.dir, self.name, self.name)
        self.connect = ('--connect', '%s:%d:127.0.0.1:%d' % (self.id, port,
                                                             port))

    def request(self, method, path, who=None, **kw):
        return https(self.id, self.port, self.ca, method, path, who, **kw)

    def env(self):
        """For a program that uses this CCF's keys and configuration."""
        return self.d.env(self.name)

    def kid(self):
        return json.loads(read('%s/%s/jwks.json' % (self.d.dir, self.name))
                          )['keys'][0]['kid']

    def sign(self, claims, typ='at+jwt', **header):
        """A JWS by this CCF's own key, in its token."""
        head = {'alg': 'ES256', 'typ': typ, 'kid': self.kid()}
        head.update(header)
        return jws({k: v for k, v in head.items() if v is not None}, claims,
                   'pkcs11:object=jws;type=private', self.env())

    def enrolment(self, role='invoker', *options):
        return run(BUILD + '/tools/capif-hsm', 'enrol', '--config', self.conf,
                   *options, role, env=self.env()).decode().strip()

    def onboard_request(self, enrolment, csr, **more):
        doc = {'onboardingInformation': {'apiInvokerPublicKey': csr},
               'notificationDestination': 'https://invoker.invalid/n',
               'supportedFeatures': '0'}
        doc.update(more)
        return self.request(
            'POST', '/api-invoker-management/v1/onboardedInvokers', body=doc,
            headers={'Authorization': 'Bearer ' + enrolment})

    def onboard(self):
        return Invoker(self)

    def register(self, **aefs):
        return Provider(self, aefs)


class Member:
    """Somebody with a software key and a certificate by a CCF."""

    def __init__(self, ccf):
        self.ccf = ccf
        self.dir = tempfile.mkdtemp(dir=ccf.d.extra)
        self.key = make_key(self.dir + '/key.pem')
        self.crt = self.dir + '/crt.pem'

    def request(self, method, path, **kw):
        return self.ccf.request(method, path, self, **kw)


class Invoker(Member):
    def __init__(self, ccf):
        super().__init__(ccf)
        a = ccf.onboard_request(ccf.enrolment(), make_csr(self.key))
        assert a.status == 201, a
        self.id = a.json()['apiInvokerId']
        self.onboarding = a.headers['Location'].split('/')[-1]
        write(self.crt,
              a.json()['onboardingInformation']['apiInvokerCertificate'])
        self.context = '/capif-security/v1/trustedInvokers/' + self.id
        self.token_path = '/capif-security/v1/securities/%s/token' % self.id

    def discover(self):
        a = self.request('GET', '/service-apis/v1/allServiceAPIs'
                         '?api-invoker-id=' + self.id)
        assert a.status == 200, a
        return {x['apiName']: x
                for x in a.json().get('serviceAPIDescriptions', [])}

    def wish(self, api, aef=None, methods=('OAUTH',)):
        return {'aefId': aef or api['aefProfiles'][0]['aefId'],
                'apiId': api['apiId'], 'prefSecurityMethods': list(methods),
                VS: {'ccfId': api['ccfId']}}

    def put(self, *wishes, **kw):
        return self.request('PUT', self.context, body={
            'securityInfo': list(wishes), 'supportedFeatures': '0',
            'notificationDestination': 'https://invoker.invalid/n'}, **kw)

    def negotiate(self, *names):
        found = self.discover()
        a = self.put(*(self.wish(found[n]) for n in names or (API,)))
        assert a.status == 201, a
        return self

    def ask_token(self, form=None, path=None, **kw):
        if form is None:
            form = {'grant_type': 'client_credentials', 'client_id': self.id}
        if not isinstance(form, str):
            form = urllib.parse.urlencode(form)
        kw.setdefault('headers', {'Content-Type': FORM})
        return self.request('POST', path or self.token_path, body=form, **kw)

    def token(self, scope=None):
        form = {'grant_type': 'client_credentials', 'client_id': self.id}
        if scope is not None:
            form['scope'] = scope
        a = self.ask_token(form)
        assert a.status == 200, a
        return a.json()['access_token']

    def call(self, token, path=PATH, method='GET', **kw):
        return self.ccf.d.call(token, self, path, method, **kw)


class Provider:
    """AEFs, an APF and an AMF with software keys."""

    def __init__(self, ccf, aefs):
        self.ccf = ccf
        self.members = {}
        funcs, options = [], []
        for aef in aefs:
            options += ['--aef', '%s=%s' % (aef.replace('_', '-'),
                                            aefs[aef])]
            funcs.append('AEF')
        for role in funcs + ['APF', 'AMF']:
            m = Member(ccf)
            m.role = role
            self.members[m] = make_csr(m.key)
        a = ccf.request(
            'POST', '/api-provider-management/v1/registrations',
            body={'regSec': ccf.enrolment('provider', *options),
                  'apiProvFuncs': [{'apiProvFuncRole': m.role,
                                    'regInfo': {'apiProvPubKey': csr}}
                                   for m, csr in self.members.items()]})
        assert a.status == 201, a
        self.registration = a.headers['Location'].split('/')[-1]
        self.doc = a.json()
        for m, func in zip(self.members, a.json()['apiProvFuncs']):
            m.id = func['apiProvFuncId']
            write(m.crt, func['regInfo']['apiProvCert'])
            setattr(self, m.role.lower(), m)

    def describe(self, name, aef=None, partner=None):
        d = self.ccf.d
        doc = json.loads(read(d.dir + '/aef-b/api.json'))
        doc['apiName'] = name
        doc['aefProfiles'][0]['aefId'] = aef or self.aef.id
        if partner is None:
            del doc['shareableInfo']
        else:
            doc['shareableInfo'] = {'isShareable': True,
                                    'capifProvDoms': [partner]}
        return doc

    def publish(self, doc, who=None, apf=None):
        return self.ccf.request(
            'POST', '/published-apis/v1/%s/service-apis'
            % (apf or self.apf.id), who or self.apf, body=doc)


def resource(uri, *operations):
    return {'resourceName': uri.strip('/'), 'commType': 'REQUEST_RESPONSE',
            'uri': uri, 'operations': list(operations or OPERATIONS)}


# ---- both domains ----------------------------------------------------------

def free_ports(n):
    """The first of n consecutive free ports, below the ephemeral ones."""
    first = list(range(20000, 32000, n))
    random.shuffle(first)
    for base in first:
        held = []
        try:
            for port in range(base, base + n):
                held.append(socket.socket())
                held[-1].bind(('127.0.0.1', port))
            return base
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    raise AssertionError('no free ports')


class Domains:
    """Domains A and B; with third, a CCF-C that has an agreement with A."""

    def __init__(self, third=False):
        self.top = tempfile.mkdtemp(prefix='capif-it-')
        self.dir, self.extra = self.top + '/qs', self.top + '/extra'
        os.mkdir(self.extra)
        self.children = {}
        self.base = free_ports(7 if third else 6)
        self.control, self.service, self.backend = (self.base + i
                                                    for i in (3, 4, 5))
        self.a = Ccf(self, 'a', self.base + 1)
        self.b = Ccf(self, 'b', self.base + 2)
        self.aef_name = 'aef.domain-b.example'
        # To a file: daemons keep what they inherit open.
        with open(self.top + '/quickstart.log', 'wb') as log:
            done = subprocess.run(
                [SOURCE + '/tools/quickstart', '--keep', '--dir', self.dir,
                 '--build', BUILD, '--daemons', DAEMONS, '--base-port',
                 str(self.base)],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, timeout=120,
                check=False)
        if done.returncode != 0:
            raise AssertionError(read(self.top + '/quickstart.log'))
        if third:
            self.c = Ccf(self, 'c', self.base + 6)
            third_domain.make(self)

    def stop(self):
        for name in list(self.children):
            self.resume(name)
        run(SOURCE + '/tools/quickstart', '--stop', '--dir', self.dir)
        for child, thread in self.children.values():
            child.wait()
            thread.join()
            child.stderr.close()
        sanitizers.check(self)
        shutil.rmtree(self.top)

    def env(self, name):
        return dict(os.environ,
                    SOFTHSM2_CONF='%s/%s/softhsm2.conf' % (self.dir, name),
                    OPENSSL_CONF='%s/%s/%s.cnf' % (self.dir, name, name))

    def files(self):
        """All that is in files, and neither a socket nor a FIFO."""
        for where, _, names in os.walk(self.dir):
            for name in names:
                path = os.path.join(where, name)
                if os.path.isfile(path):
                    yield path

    def make_token(self, name):
        """One more token behind an agent, with its PINs in files."""
        top = '%s/%s' % (self.dir, name)
        os.makedirs(top + '/tokens')
        for pin in 'pin', 'so-pin':
            write('%s/%s' % (top, pin), os.urandom(8).hex())
            os.chmod('%s/%s' % (top, pin), 0o600)
        write(top + '/softhsm2.conf',
              'directories.tokendir = %s/tokens\n' % top)
        run('softhsm2-util', '--init-token', '--free', '--label', name,
            '--pin', read(top + '/pin'), '--so-pin', read(top + '/so-pin'),
            env=self.env(name))
        conf = read(self.dir + '/ccf-a/hsmd.cnf').split('[key')[0]
        write(top + '/hsmd.cnf', conf.replace('ccf-a', name)
              + '[key *]\nusers = %d\nuse = sign, derive, wrap, unwrap, '
              'generate\n' % os.getuid())
        self.begin('hsmd-' + name)

    def known_invoker(self):
        """The one that quickstart onboarded, as `capif` left it."""
        state = json.loads(read(self.dir + '/invoker/invoker.json'))
        inv = object.__new__(Invoker)
        inv.ccf, inv.dir, inv.id = (self.a, self.dir + '/invoker',
                                    state['apiInvokerId'])
        inv.crt, inv.key = inv.dir + '/invoker.crt', inv.dir + '/invoker.key'
        return inv

    def call(self, token, who, path=PATH, method='GET', headers=(), **kw):
        headers = dict(headers)
        if token is not None:
            headers['Authorization'] = 'Bearer ' + token
        return https(self.aef_name, self.service, self.b.ca, method, path,
                     who, headers=headers, **kw)

    def aef_control(self, method, path, who=None, **kw):
        return https(self.aef_name, self.control, self.b.ca, method, path,
                     who, **kw)

    def log(self, name):
        """What the daemon has logged: dicts of its lines."""
        return [dict(x.split('=', 1) for x in shlex.split(line) if '=' in x)
                for line in read('%s/%s/log' % (self.dir, name)).splitlines()]

    # -- daemons: ccf-a, ccf-b, aef-b, backend, and the agents hsmd-ccf-a,
    # hsmd-ccf-b, hsmd-aef-b --

    def pid(self, name):
        return int(read('%s/%s.pid' % (self.dir, name)))

    def send(self, name, sig):
        os.kill(self.pid(name), sig)

    def pause(self, name):
        self.send(name, signal.SIGSTOP)

    def resume(self, name):
        if os.path.exists('%s/%s.pid' % (self.dir, name)):
            self.send(name, signal.SIGCONT)

    def end(self, name, sig=signal.SIGTERM):
        """End it, and return when it is gone."""
        pid = self.pid(name)
        fd = os.pidfd_open(pid)
        try:
            os.kill(pid, sig)
            if not select.select([fd], [], [], 30)[0]:
                raise AssertionError(name + ' does not end')
        finally:
            os.close(fd)
        os.remove('%s/%s.pid' % (self.dir, name))
        if name in self.children:
            child, thread = self.children.pop(name)
            child.wait()
            thread.join()
            child.stderr.close()
            return child.returncode
        return None

    def begin(self, name):
        """As quickstart does; returns when it says event=ready."""
        token, conf, log_file = name, name, 'log'
        program = DAEMONS + '/ccf/ccfd'
        if name.startswith('hsmd-'):
            token, program = name[len('hsmd-'):], BUILD + '/hsm/capif-hsmd'
            conf, log_file = 'hsmd', 'hsmd.log'
        elif name.startswith('aef'):
            program = DAEMONS + '/aef/aefd'
        env = dict(os.environ, SOFTHSM2_CONF='%s/%s/softhsm2.conf'
                   % (self.dir, token))
        child = subprocess.Popen(
            [program, '%s/%s.cnf' % (token, conf)], cwd=self.dir,
            env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        write('%s/%s.pid' % (self.dir, name), '%d\n' % child.pid)
        ready = threading.Event()
        ended = threading.Event()

        def follow():
            with open('%s/%s/%s' % (self.dir, token, log_file), 'a',
                      encoding='utf-8') as log:
                for line in child.stderr:
                    log.write(line)
                    log.flush()
                    if 'event=ready' in line:
                        ready.set()
            ended.set()
            ready.set()

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        self.children[name] = (child, thread)
        if not ready.wait(30) or ended.is_set():
            raise AssertionError(name + ' does not start')

    def restart(self, name, sig=signal.SIGTERM):
        self.end(name, sig)
        self.begin(name)

    def reconfigure(self, name, old, new):
        """Change a daemon's configuration, and restart it with that."""
        path = '%s/%s/%s.cnf' % (self.dir, name, name)
        text = read(path)
        assert old in text, old
        write(path, text.replace(old, new))
        self.restart(name)
        return lambda: (write(path, text), self.restart(name))

    def describe(self, *resources, versions=('v1',)):
        """Have the API other resources than quickstart's at its AEF."""
        doc = json.loads(read(self.dir + '/aef-b/api.json'))
        doc['aefProfiles'][0]['versions'] = [
            {'apiVersion': v, 'resources': resources} for v in versions]
        path = self.extra + '/described.json'
        before = read(path) if os.path.exists(path) else None
        write(path, json.dumps(doc))
        if before is None:
            return self.reconfigure('aef-b', self.dir + '/aef-b/api.json',
                                    path)
        self.restart('aef-b')
        return lambda: (write(path, before), self.restart('aef-b'))

    def add_api(self, name):
        """A second API of aef-b1, published by quickstart's own APF."""
        doc = json.loads(read(self.dir + '/aef-b/api.json'))
        doc['apiName'] = name
        profile = doc['aefProfiles'][0]
        profile['interfaceDescriptions'][0]['apiPrefix'] = '/' + name
        path = write('%s/%s.json' % (self.extra, name), json.dumps(doc))
        run(BUILD + '/tools/capif', 'publish', '--dir', 'aef-b', '--ccf',
            self.b.url, *self.b.connect, '--ca', self.b.ca, '--key',
            'pkcs11:object=apf', path, env=self.env('aef-b'), cwd=self.dir)
        section = '[api %s]\n' % API
        return self.reconfigure(
            'aef-b', section,
            '[api %s]\ndescription = %s\nbackend = http://127.0.0.1:%d\n\n'
            % (name, path, self.backend) + section)
