# SPDX-License-Identifier: Apache-2.0
"""6.24.2.1 by tables: each order of methods that an invoker may offer × what
the interface supports × the CCF's policy, and, across domains, × what the
agreement is at either side; then several AEFs of several domains in one
request.  One TAP line a combination; what must come out is said by choice(),
which knows nothing of how the CCFs do it."""

import itertools
import json
import sqlite3
import time
import unittest

import domains
from domains import API, VS, Answer, Https

ALL = ('PSK', 'PKI', 'OAUTH')
ORDERS = [p for n in (1, 2, 3) for p in itertools.permutations(ALL, n)]
OFFERS = ORDERS + [('QKD',), ('QKD', 'OAUTH'), ('QKD', 'PSK', 'PKI')]
SETS = [c for n in (3, 2, 1) for c in itertools.combinations(ALL, n)]
NONE = 'no method in common'


def choice(offered, *limits):
    """The first of the invoker's that nobody has anything against."""
    for method in offered:
        if method in ALL and all(method in limit for limit in limits):
            return method
    return NONE


class Supports:
    """An API and what its interface supports; methods None: nothing said."""

    def __init__(self, name, profile, interface=None, domain=False):
        self.name, self.profile, self.interface = name, profile, interface
        self.domain = domain

    def methods(self):
        said = self.interface or self.profile or ALL
        # A PSK is bound to an interface (TS 33.122 A.1), which a domain name
        # is not.
        return [m for m in said if not (self.domain and m == 'PSK')]

    def publish(self, provider, aef, partner=None):
        doc = provider.describe(self.name, aef, partner)
        profile = doc['aefProfiles'][0]
        del profile['securityMethods']
        if self.profile:
            profile['securityMethods'] = list(self.profile)
        if self.interface:
            profile['interfaceDescriptions'][0]['securityMethods'] = list(
                self.interface)
        if self.domain:
            del profile['interfaceDescriptions']
            profile['domainName'] = 'aef.example'
        a = provider.publish(doc)
        assert a.status == 201, a

    def __str__(self):
        if self.interface:
            return 'interface:' + '+'.join(self.interface)
        return ('domain name:' if self.domain else 'profile:') + (
            '+'.join(self.profile) if self.profile else 'nothing said')


def supports():
    out = [Supports('s0', None)]
    out += [Supports('p%d' % i, s) for i, s in enumerate(SETS)]
    # An interface's word overrides that of its profile.
    out += [Supports('i%d' % i, [m for m in ALL if m not in s] or ['PSK'], s)
            for i, s in enumerate(SETS)]
    return out + [Supports('d', ALL, domain=True)]


SUPPORTS = supports()
LOCAL = [(ALL, 'kek'), (('PKI', 'OAUTH'), 'kek'), (('PSK',), 'kek'),
         (('OAUTH',), 'kek'), (ALL, 'no kek')]
# Policy of CCF-B, agreement at A, agreement at B.
REMOTE = [(ALL, ALL, ALL), (('PKI', 'OAUTH'), ALL, ALL),
          (('PSK',), ALL, ALL), (ALL, ('PKI',), ALL), (ALL, ALL, ('OAUTH',)),
          (ALL, ('PSK', 'PKI'), ('PKI', 'OAUTH')), (ALL, ('PKI',), ('OAUTH',)),
          (('OAUTH',), ('PSK', 'OAUTH'), ('PSK', 'PKI'))]


def setUpModule():
    global d, w
    d = domains.Domains(third=True)
    w = World()


def tearDownModule():
    w.configure({})
    d.stop()


class World:
    def __init__(self):
        self.conf = {n: domains.read(c.conf) for n, c in (
            ('ccf-a', d.a), ('ccf-b', d.b), ('ccf-c', d.c))}
        self.now = {}
        text = self.conf['ccf-a'].replace('aefs = aef-b1\n',
                                          'aefs = aef-b1, aef-b2\n')
        self.conf['ccf-a'] = text
        self.conf['ccf-b'] = self.conf['ccf-b'].replace(
            'aefs = aef-b1\n', 'aefs = aef-b1, aef-b2\n')
        self.now = {'ccf-a': None, 'ccf-b': None}  # to be written
        self.configure({})
        home = d.a.register(aef_a1='aef.domain-a.example')
        away = d.b.register(aef_b2='aef2.domain-b.example')
        far = d.c.register(aef_c1='aef.domain-c.example')
        for s in SUPPORTS:
            s.publish(home, 'aef-a1')
            Supports('b-' + s.name, s.profile, s.interface, s.domain).publish(
                away, 'aef-b2', d.a.id)
        for i, s in enumerate(SETS):
            Supports('c-p%d' % i, s).publish(far, 'aef-c1', d.a.id)
        self.one, self.conn = d.a.onboard(), None
        self.apis = self.one.discover()

    def configure(self, texts):
        """The configurations of some CCFs; the others have their first."""
        for name, first in self.conf.items():
            text = texts.get(name, first)
            if self.now.get(name, first) != text:
                domains.write('%s/%s/%s.cnf' % (d.dir, name, name), text)
                d.restart(name)
                self.now[name] = text
                self.conn = None

    def policy(self, name, methods, kek=True):
        text = self.conf[name]
        if tuple(methods) != ALL:
            text = text.replace('[ccf]\n', '[ccf]\nsecurity-methods = %s\n'
                                % ','.join(methods))
        return text if kek else text.replace('kek = pkcs11:object=kek\n', '')

    @staticmethod
    def agreement(text, partner, methods):
        head, rest = text.split('[partner %s]' % partner)
        return '%s[partner %s]%s' % (head, partner, rest.replace(
            'methods = PSK,PKI,OAUTH', 'methods = ' + ','.join(methods), 1))

    def put(self, *wishes):
        """On one connection for as long as that lasts."""
        if self.conn is None:
            self.conn = Https(d.a.id, d.a.port, d.a.ca, self.one)
        self.conn.request('PUT', self.one.context, json.dumps({
            'securityInfo': list(wishes), 'supportedFeatures': '0',
            'notificationDestination': 'https://invoker.invalid/n'}),
            {'Content-Type': 'application/json'})
        return Answer(self.conn.getresponse())

    def wish(self, name, methods):
        return self.one.wish(self.apis[name], methods=methods)


class Matrix(unittest.TestCase):
    def comes_out(self, want, *asked):
        """want: of each that is asked; a part that fails makes all fail."""
        a = w.put(*(w.wish(name, offer) for name, offer in asked))
        if NONE in want:
            self.assertEqual(a.status, 403, a)
            self.assertEqual(a.json()['cause'],
                             'SECURITY_METHOD_NOT_SUPPORTED')
            return
        self.assertEqual(a.status, 201, a)
        info = a.json()['securityInfo']
        self.assertEqual([x['selSecurityMethod'] for x in info], want)
        self.assertEqual([x['apiId'] for x in info],
                         [w.apis[name]['apiId'] for name, _ in asked])
        self.assertEqual([x[VS]['ccfId'] for x in info],
                         [w.apis[name]['ccfId'] for name, _ in asked])
        self.assertEqual([x['prefSecurityMethods'] for x in info],
                         [list(offer) for _, offer in asked])


class Refused(unittest.TestCase):
    """One partner has agreed when another refuses: nothing new is granted."""

    def setUp(self):
        w.configure({})
        self.who = d.a.onboard()

    def put(self, status, *asked):
        a = self.who.put(*(self.who.wish(w.apis[name], methods=offer)
                           for name, offer in asked))
        self.assertEqual(a.status, status, a)

    def granted(self, *names, ccf='ccf-a'):
        """In the end, when revocations have arrived."""
        want = sorted(w.apis[n]['apiId'] for n in names)
        for _ in range(100):
            db = sqlite3.connect('file:%s/%s/store.db?mode=ro' % (d.dir, ccf),
                                 uri=True)
            doc = db.execute('SELECT doc FROM context WHERE invoker_id = ?',
                             (self.who.id,)).fetchone() or ('{}',)
            db.close()
            got = sorted(x['apiId'] for x in json.loads(doc[0]).get(
                'securityInfo', ()))
            if got == want:
                return
            time.sleep(0.1)
        self.assertEqual(got, want)

    def test_first_negotiation_leaves_nothing(self):
        self.put(403, ('b-s0', ['OAUTH']), ('c-p4', ['OAUTH']))
        self.granted()
        self.granted(ccf='ccf-b')
        a = self.who.ask_token()
        self.assertEqual(a.json()['error'], 'unauthorized_client', a)

    def test_what_was_there_stays_and_nothing_is_added(self):
        self.put(201, ('b-s0', ['PSK']), ('b-p5', ['PKI']), ('s0', ALL))
        psk = self.psk_ids()
        self.put(403, ('b-s0', ['PSK']), ('b-p6', ['OAUTH']),
                 ('c-p4', ['OAUTH']))
        # The partner was asked for these in place of those: one was given up.
        self.granted('b-s0', 's0')
        self.granted('b-s0', ccf='ccf-b')
        self.assertEqual(self.psk_ids(), psk)
        self.put(201, ('b-p6', ['OAUTH']), ('c-p4', ['PSK']))
        self.granted('b-p6', 'c-p4')
        self.granted('b-p6', ccf='ccf-b')

    def psk_ids(self):
        db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % d.dir,
                             uri=True)
        ids = db.execute('SELECT psk_id FROM psk WHERE invoker_id = ?',
                         (self.who.id,)).fetchall()
        db.close()
        return ids


def add(name, texts, want, *asked):
    """texts() are the configurations, want what comes out."""
    def test(self):
        w.configure(texts())
        self.comes_out(want, *asked)
    name = 'test_%s: %s' % (name, ', '.join(want))
    assert not hasattr(Matrix, name), name
    setattr(Matrix, name, test)


def add_local(policy, kek):
    def texts():
        return {'ccf-a': w.policy('ccf-a', policy, kek == 'kek')}
    limit = [m for m in ALL if kek == 'kek' or m != 'PSK']
    for s, offer in itertools.product(SUPPORTS, OFFERS):
        add('local, policy %s, %s, %s, offered %s' % (
            '+'.join(policy), kek, s, '>'.join(offer)), texts,
            [choice(offer, s.methods(), policy, limit)], (s.name, offer))


def add_remote(policy, at_a, at_b):
    def texts():
        return {'ccf-a': w.agreement(w.policy('ccf-a', ALL), 'ccf-b', at_a),
                'ccf-b': w.agreement(w.policy('ccf-b', policy), 'ccf-a',
                                     at_b)}
    for s, offer in itertools.product(SUPPORTS, OFFERS):
        add('remote, policy %s, agreed at A %s, at B %s, %s, offered %s' % (
            '+'.join(policy), '+'.join(at_a), '+'.join(at_b), s,
            '>'.join(offer)), texts,
            [choice(offer, s.methods(), policy, at_a, at_b)],
            ('b-' + s.name, offer))


def add_several():
    """One AEF of A, two of B, one of C, in each order of the domains."""
    rows = [[('p0', ('PSK',)), ('b-p0', ('PKI',)), ('c-p0', ('OAUTH',))],
            [('p4', ALL), ('b-p5', ALL), ('c-p6', ALL)],
            [('p0', ('QKD', 'PKI')), ('b-p2', ('PSK', 'PKI')),
             ('c-p3', ('OAUTH', 'PSK'))],
            [('p0', ALL), ('b-p0', ('QKD',)), ('c-p0', ALL)],
            [('p0', ALL), ('b-p0', ALL), ('c-p6', ('PSK', 'PKI'))],
            [('p6', ('PSK',)), ('b-p0', ALL), ('c-p0', ALL)]]
    by_name = {s.name: s.methods() for s in SUPPORTS}
    for row in rows:
        for asked in itertools.permutations(row + [(API, ('OAUTH', 'PKI'))]):
            want = [choice(offer, by_name[name.split('-')[-1]]
                           if name != API else ALL) for name, offer in asked]
            add('several AEFs, ' + ', '.join('%s offered %s' % (
                n, '>'.join(o)) for n, o in asked), dict, want, *asked)


for row in LOCAL:
    add_local(*row)
for row in REMOTE:
    add_remote(*row)
add_several()


if __name__ == '__main__':
    domains.main()
