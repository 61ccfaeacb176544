# SPDX-License-Identifier: Apache-2.0
"""Topology hiding (TS 23.222 8.27): an API that invokers reach at aef-q1, and
that lives at aef-q2, as the CCF's routing information says."""

import json
import os
import sqlite3
import time
import unittest
import urllib.parse

import domains
import psk as P
from domains import API, Https, Member, read, write
from owners import put

NAME = 'hidden-api'
PREFIX = '/' + NAME
Q1, Q2 = 'q1.domain-b.example', 'q2.domain-b.example'


def setUpModule():
    global d, home, back, entry, inner, api, one, token
    d = P.Case.d = domains.Domains()
    home = d.b.register(aef_q1=Q1, aef_q2=Q2)
    entry, inner = [m for m in home.members if m.role == 'AEF']
    back = domains.Backend(d)
    for m, host, port in (entry, Q1, domains.free_ports(2)), (
            inner, Q2, domains.free_ports(2)):
        m.host, m.service, m.control = host, port, port + 1
    doc = describe(NAME, entry, PREFIX)
    a = home.publish(doc)
    assert a.status == 201, a
    api = a.json()
    a = home.publish(describe('lost-api', entry, '/lost'))
    assert a.status == 201, a
    begin(entry, 'connect = %s:%d=127.0.0.1:%d' % (Q2, inner.service,
                                                   inner.service),
          (NAME, doc, None), ('lost-api', a.json(), None))
    begin(inner, 'entry-points = aef-q1',
          (NAME, describe(NAME, inner, '/behind'),
           'http://127.0.0.1:%d' % d.backend))
    route(NAME, ('10.0.0.0', '10.255.255.255', 1),
          ('127.0.0.0', '127.255.255.255', inner.service))
    one = d.b.onboard().negotiate(NAME, 'lost-api')
    token = one.token()


def tearDownModule():
    back.stop()
    d.stop()


def describe(name, aef, prefix):
    doc = home.describe(name, aef.id)
    profile = doc['aefProfiles'][0]
    profile['interfaceDescriptions'] = [
        {'fqdn': aef.host, 'port': aef.service, 'apiPrefix': prefix}]
    profile['versions'][0]['resources'] = [domains.resource('/{file}', 'GET',
                                                            'POST')]
    return doc


def begin(aef, more, *apis):
    """An aefd with keys in files."""
    os.mkdir('%s/%s' % (d.dir, aef.id))
    text = ['[aef]', 'aef-id = ' + aef.id, 'ccf-id = ' + d.b.id,
            'ccf-url = ' + d.b.url, 'ccf-address = 127.0.0.1:%d' % d.b.port,
            'ca-certificate = ' + d.b.ca, 'certificate = ' + aef.crt,
            'key = ' + aef.key, 'state = %s/%s/state' % (d.dir, aef.id),
            'control-listen = 127.0.0.1:%d' % aef.control,
            'service-listen = 127.0.0.1:%d' % aef.service,
            'report-interval = 1', more]
    for name, doc, backend in apis:
        path = write('%s/%s-%s.json' % (d.extra, aef.id, name),
                     json.dumps(doc))
        text += ['[api %s]' % name, 'description = ' + path]
        text += ['backend = ' + backend] if backend else []
    write('%s/%s/%s.cnf' % (d.dir, aef.id, aef.id), '\n'.join(text) + '\n')
    write('%s/%s/softhsm2.conf' % (d.dir, aef.id), '')
    d.begin(aef.id)


def route(name, *rules):
    doc = []
    for start, end, port in rules:
        profile = describe(name, inner, '/behind')['aefProfiles'][0]
        profile['interfaceDescriptions'][0]['port'] = port
        doc.append({'ipv4AddrRanges': [{'start': start, 'end': end}],
                    'aefProfile': profile})
    a = put(home.amf, '/capif-routing-info/v1/service-apis/%s?%s' % (
        api['apiId'], urllib.parse.urlencode({'aef-id': 'aef-q1'})),
            {'routingRules': doc})
    assert a.status == 201, a


def call(aef, path, who, method='GET', text=None, **headers):
    if text:
        headers['Authorization'] = 'Bearer ' + text
    conn = Https(aef.host, aef.service, d.b.ca, who)
    try:
        conn.request(method, path, headers={
            k.replace('_', '-'): v for k, v in headers.items()})
        return domains.Answer(conn.getresponse())
    finally:
        conn.close()


class Hidden(unittest.TestCase):
    def setUp(self):
        back.gives()

    def test_the_call_goes_where_the_rule_for_its_address_says(self):
        a = call(entry, PREFIX + '/v1/one?x=y', one, text=token)
        self.assertEqual((a.status, a.body), (200, b'{"cellId":"b-42"}'), a)
        self.assertEqual(back.seen[0].path, '/v1/one?x=y')
        self.assertEqual(back.seen[0].headers['CAPIF-API-Invoker'],
                         '%s/%s' % (d.b.id, one.id))
        self.assertIsNone(back.seen[0].headers['Authorization'])

    def test_nothing_says_where_it_is(self):
        for location in '/v1/two', 'http://127.0.0.1:%d/v1/two' % d.backend:
            back.gives(303, [('Location', location)], b'')
            a = call(entry, PREFIX + '/v1/one', one, text=token)
            self.assertEqual(a.status, 303)
            self.assertEqual(a.headers['Location'], PREFIX + '/v1/two')
        for status in 200, 404, 500:
            back.gives(status)
            a = call(entry, PREFIX + '/v1/one', one, text=token)
            text = '\n'.join('%s: %s' % h for h in a.headers.items()) \
                + a.text()
            for word in 'q2', 'behind', str(inner.service), str(d.backend):
                self.assertNotIn(word, text)

    def test_the_entry_point_decides(self):
        for path, method, status in ((PREFIX + '/v1/one', 'DELETE', 405),
                                     (PREFIX + '/v1/a/b', 'GET', 404),
                                     ('/behind/v1/one', 'GET', 404)):
            a = call(entry, path, one, method, token)
            self.assertEqual(a.status, status, a)
        self.assertEqual(call(entry, PREFIX + '/v1/one', one).status, 403)
        self.assertEqual(back.seen, [])

    def test_an_api_without_a_route(self):
        a = call(entry, '/lost/v1/one', one, text=token)
        self.assertEqual(a.status, 503, a)
        self.assertEqual(a.headers['Retry-After'], '5')
        self.assertTrue(P.log_with(d, 'event=no-route', 'aef-q1'))

    def test_an_aef_that_is_down_behind(self):
        d.end('aef-q2')
        try:
            a = call(entry, PREFIX + '/v1/one', one, text=token)
            self.assertEqual(a.status, 502, a)
        finally:
            d.begin('aef-q2')
        self.assertEqual(call(entry, PREFIX + '/v1/one', one,
                              text=token).status, 200)

    def test_it_is_reported_once_by_the_entry_point(self):
        uri = PREFIX + '/v1/reported'
        self.assertEqual(call(entry, uri, one, text=token).status, 200)
        end = time.monotonic() + 20
        rows = []
        while not rows and time.monotonic() < end:
            time.sleep(0.1)
            with sqlite3.connect('file:%s/ccf-b/store.db?mode=ro' % d.dir,
                                 uri=True) as db:
                rows = [aef for aef, doc in db.execute(
                    'SELECT aef_id, doc FROM invocation')
                        if json.loads(doc)['uri'].endswith('/v1/reported')]
        self.assertEqual(rows, ['aef-q1'])
        self.assertEqual([f for f in os.listdir(d.dir + '/aef-q2/state')
                          if not f.startswith('count')], [])


class Behind(unittest.TestCase):
    """Who else may call it there: nobody."""

    def setUp(self):
        back.gives()

    def refused(self, who, status=401, path='/behind/v1/one', **more):
        a = call(inner, path, who, **more)
        self.assertEqual(a.status, status, a)
        self.assertEqual(back.seen, [])

    def test_only_its_entry_point(self):
        name = '%s/%s' % (d.b.id, one.id)
        a = call(inner, '/behind/v1/one', entry, CAPIF_API_Invoker=name)
        self.assertEqual(a.status, 200, a)
        back.gives()
        for who in one, inner, home.amf, None:
            self.refused(who, CAPIF_API_Invoker=name)
        self.refused(one, text=token, CAPIF_API_Invoker=name)

    def test_a_certificate_of_somebody_else_s_ca(self):
        fake, real = Member(d.b), domains.run(
            'openssl', 'x509', '-in', entry.crt, '-noout', '-ext',
            'subjectAltName').decode()
        san = [w for w in real.replace(',', ' ').split() if 'urn:capif' in w]
        fake.crt, fake.key = domains.ForeignCa(d.extra + '/fake-ca').issue(
            san[0])
        self.refused(fake, CAPIF_API_Invoker='%s/%s' % (d.b.id, one.id))

    def test_it_must_say_whose_the_call_is(self):
        self.refused(entry, 400)
        for name in '', 'x', '/x', d.b.id + '/', d.b.id + '/a/b', \
                'UPPER.example/x', '%s/%s' % (d.b.id, 'x' * 200):
            self.refused(entry, 400, CAPIF_API_Invoker=name)

    def test_resources_and_operations(self):
        name = '%s/%s' % (d.b.id, one.id)
        self.refused(entry, 405, method='PUT', CAPIF_API_Invoker=name)
        self.refused(entry, 404, '/behind/v1/a/b', CAPIF_API_Invoker=name)
        self.refused(entry, 401, '/other', CAPIF_API_Invoker=name)


if __name__ == '__main__':
    domains.main()
