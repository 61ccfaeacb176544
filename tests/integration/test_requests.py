# SPDX-License-Identifier: Apache-2.0
"""Requests to a CCF that are too large, malformed, or incomplete."""

import copy
import json
import socket
import unittest

import domains
from domains import DIED, FORM, VS, make_csr, make_key

ONBOARD = '/api-invoker-management/v1/onboardedInvokers'
REGISTER = '/api-provider-management/v1/registrations'


def setUpModule():
    global d, one, prov, csr
    d = domains.Domains()
    one = d.a.onboard()
    prov = d.a.register(aef_a1='aef.domain-a.example')
    csr = make_csr(make_key(d.extra + '/shared.key'))


def tearDownModule():
    d.stop()


def context():
    return {'securityInfo': [{'aefId': 'aef-a1', 'apiId': 'api-1',
                              'prefSecurityMethods': ['OAUTH']}],
            'notificationDestination': 'https://invoker.invalid/n',
            'supportedFeatures': '0'}


def onboarding():
    return {'onboardingInformation': {'apiInvokerPublicKey': csr},
            'notificationDestination': 'https://invoker.invalid/n'}


def registration(enrolment='x.y.z'):
    return {'regSec': enrolment, 'apiProvFuncs': [
        {'apiProvFuncRole': 'AEF', 'regInfo': {'apiProvPubKey': csr}}]}


def put(doc, text=None):
    return one.request('PUT', one.context, body=text or doc, headers={
        'Content-Type': 'application/json'})


def onboard(doc, text=None):
    return d.a.request('POST', ONBOARD, body=text or doc, headers={
        'Content-Type': 'application/json',
        'Authorization': 'Bearer ' + d.a.enrolment()})


def register(doc, text=None):
    if isinstance(doc, dict) and doc.get('regSec') == 'x.y.z':
        doc['regSec'] = d.a.enrolment('provider', '--aef', 'aef-x=x.example')
    return d.a.request('POST', REGISTER, body=text or doc, headers={
        'Content-Type': 'application/json'})


def publish(doc, text=None):
    return prov.apf.request(
        'POST', '/published-apis/v1/%s/service-apis' % prov.apf.id,
        body=text or doc, headers={'Content-Type': 'application/json'})


def description():
    return prov.describe('described')


def take(doc, pointer):
    """The object or list that holds pointer, and its last step."""
    steps = [int(s) if s.isdigit() else s for s in pointer.split('/')[1:]]
    for step in steps[:-1]:
        doc = doc[step]
    return doc, steps[-1]


def with_value(doc, pointer, value):
    doc = copy.deepcopy(doc)
    where, step = take(doc, pointer)
    where[step] = value
    return doc


def without(doc, pointer):
    doc = copy.deepcopy(doc)
    where, step = take(doc, pointer)
    del where[step]
    return doc


class Requests(unittest.TestCase):
    def invalid(self, a, pointer):
        self.assertEqual(a.status, 400, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertEqual(a.json()['status'], 400)
        self.assertIn(pointer, a.params(), a)
        self.assertTrue(all(p['reason'] for p in a.json()['invalidParams']))

    def missing(self, send, doc, *pointers):
        for pointer in pointers:
            with self.subTest(missing=pointer):
                self.invalid(send(without(doc, pointer)), pointer)

    def bad(self, send, doc, *pairs):
        for pointer, value in pairs:
            with self.subTest(pointer=pointer, value=str(value)[:40]):
                self.invalid(send(with_value(doc, pointer, value)), pointer)

    # ---- the documents are good, so that what follows proves something ----

    def test_good_onboarding(self):
        self.assertEqual(onboard(onboarding()).status, 201)

    def test_good_registration(self):
        self.assertEqual(register(registration()).status, 201)

    def test_good_description(self):
        self.assertEqual(publish(description()).status, 201)

    def test_good_context(self):
        doc = context()
        doc['securityInfo'][0]['apiId'] = publish(
            prov.describe('good')).json()['apiId']
        self.assertEqual(put(doc).status, 201)

    # ---- missing members ----

    def test_onboarding_with_missing_members(self):
        self.missing(onboard, onboarding(), '/onboardingInformation',
                     '/onboardingInformation/apiInvokerPublicKey',
                     '/notificationDestination')

    def test_registration_with_missing_members(self):
        self.missing(register, registration(), '/regSec',
                     '/apiProvFuncs/0/apiProvFuncRole',
                     '/apiProvFuncs/0/regInfo',
                     '/apiProvFuncs/0/regInfo/apiProvPubKey')

    def test_description_with_missing_members(self):
        p = '/aefProfiles/0'
        self.missing(publish, description(), '/apiName', '/aefProfiles',
                     p + '/aefId', p + '/versions',
                     p + '/versions/0/apiVersion',
                     p + '/versions/0/resources/0/resourceName',
                     p + '/versions/0/resources/0/commType',
                     p + '/versions/0/resources/0/uri')

    def test_context_with_missing_members(self):
        self.missing(put, context(), '/securityInfo',
                     '/securityInfo/0/apiId',
                     '/securityInfo/0/prefSecurityMethods',
                     '/notificationDestination')

    # ---- wrong types and values ----

    def test_onboarding_with_wrong_types(self):
        key = '/onboardingInformation/apiInvokerPublicKey'
        self.bad(onboard, onboarding(), ('/onboardingInformation', 'x'),
                 (key, 7), (key, None), (key, ''), (key, 'A' * 9000),
                 ('/notificationDestination', []),
                 ('/apiInvokerId', 'inv-mine'), ('/supportedFeatures', 0))

    def test_registration_with_wrong_types(self):
        f = '/apiProvFuncs'
        self.bad(register, registration(), ('/regSec', {}), (f, {}), (f, []),
                 (f, 9 * [{}]), (f + '/0', 'AEF'), (f + '/0/regInfo', 'x'),
                 (f + '/0/regInfo/apiProvPubKey', 1),
                 (f + '/0/apiProvFuncRole', 1))
        a = register(with_value(registration(), f + '/0/apiProvFuncRole',
                                'CCF'))
        self.assertEqual(a.status, 400, a)

    def test_description_with_wrong_types(self):
        p = '/aefProfiles/0'
        i = p + '/interfaceDescriptions/0'
        self.bad(publish, description(), ('/apiName', 1), ('/apiName', ''),
                 ('/aefProfiles', {}), ('/aefProfiles', []), (p, None),
                 (p + '/aefId', []), (p + '/versions', []),
                 (p + '/securityMethods', 'OAUTH'),
                 (p + '/securityMethods/0', 1), (i, 'x'), (i + '/port', '1'),
                 (i + '/port', 0), (i + '/port', 65536), (i + '/port', 1.5),
                 (i + '/fqdn', 7), ('/shareableInfo', True),
                 (p + '/domainName', 5))

    def test_description_with_contradictions(self):
        p = '/aefProfiles/0'
        doc = with_value(description(), p + '/domainName', 'x.example')
        self.invalid(publish(doc), p)
        doc = without(description(), p + '/interfaceDescriptions')
        self.invalid(publish(doc), p)
        i = p + '/interfaceDescriptions/0'
        doc = with_value(description(), i + '/ipv4Addr', '192.0.2.1')
        self.invalid(publish(doc), i)
        self.invalid(publish(without(description(), i + '/fqdn')), i)

    def test_names_that_can_t_stand_in_a_scope(self):
        for name in ('a:b', 'a,b', 'a;b', 'a#b', 'a b', 'a"b', '\u00fc'):
            with self.subTest(name=name):
                a = publish(with_value(description(), '/apiName', name))
                self.assertEqual(a.status, 400, a)
                self.assertTrue(a.params())

    def test_context_with_wrong_types(self):
        s = '/securityInfo'
        entry = context()['securityInfo'][0]
        self.bad(put, context(), (s, {}), (s, []), (s, 33 * [entry]),
                 (s + '/0', 1), (s + '/0/aefId', 1), (s + '/0/apiId', []),
                 (s + '/0/prefSecurityMethods', 'OAUTH'),
                 (s + '/0/prefSecurityMethods', []),
                 (s + '/0/prefSecurityMethods', 9 * ['OAUTH']),
                 (s + '/0/prefSecurityMethods/0', None),
                 (s + '/0/' + VS, 'x'), ('/notificationDestination', 1),
                 ('/supportedFeatures', {}))

    def test_context_with_contradictions(self):
        s = '/securityInfo/0'
        self.invalid(put(with_value(context(), s + '/interfaceDetails', {
            'fqdn': 'a.example'})), s)
        self.invalid(put(without(context(), s + '/aefId')), s)

    def test_several_mistakes_are_all_named(self):
        a = put({'securityInfo': [{}, 7]})
        for pointer in ('/securityInfo/0', '/securityInfo/0/apiId',
                        '/securityInfo/1', '/notificationDestination'):
            self.invalid(a, pointer)

    def test_empty_supported_features_are_allowed(self):
        # TS 29.571: ^[A-Fa-f0-9]*$
        doc = dict(onboarding(), supportedFeatures='')
        self.assertEqual(onboard(doc).status, 201)

    # ---- no JSON at all ----

    def no_json(self, text):
        for send in (put, onboard, register, publish):
            with self.subTest(send=send.__name__):
                a = send(None, text)
                self.assertEqual(a.status, 400, a)
                self.assertEqual(a.headers['Content-Type'],
                                 'application/problem+json')
                self.assertEqual([p.strip('/') for p in a.params()], [''])

    def test_not_json(self):
        for text in ('{', 'x', '{}{}', "{'a':1}", '{"a":1,}', '\0',
                     b'{"a":"\xff"}', '{"a":NaN}', '\ufeff{}'):
            self.no_json(text.encode() if isinstance(text, str) else text)

    def test_json_that_is_no_object(self):
        for text in ('[]', 'null', '"x"', '7', 'true'):
            self.no_json(text)

    def test_duplicate_members(self):
        self.no_json('{"securityInfo":[],"securityInfo":[]}')
        self.no_json('{"a":{"b":1,"b":2}}')

    def test_json_that_is_nested_too_deeply(self):
        for depth in (20, 1000, 2000):
            self.no_json('{"a":' + depth * '[' + depth * ']' + '}')
            self.no_json(depth * '{"a":' + '1' + depth * '}')
        self.no_json(16000 * '[')

    def test_empty_body(self):
        for who, path, method in (
                (one, one.context, 'PUT'), (None, REGISTER, 'POST')):
            a = d.a.request(method, path, who, headers={
                'Content-Type': 'application/json'}, body='')
            self.assertEqual(a.status, 400, a)

    def test_wrong_media_type(self):
        for kind in ('text/plain', 'application/jsonx', FORM, ''):
            a = one.request('PUT', one.context, body=json.dumps(context()),
                            headers={'Content-Type': kind})
            self.assertEqual(a.status, 415, a)

    # ---- too large ----

    def large(self, size):
        text = json.dumps({'a': 'A' * (size - 8)})
        yield put(None, text)
        yield onboard(None, text)
        yield register(None, text)
        yield publish(None, text)
        yield one.request('POST', one.context + '/update', body=text,
                          headers={'Content-Type': 'application/json'})
        yield one.ask_token('a=' + text)

    def test_body_of_100_kib(self):
        for a in self.large(100 * 1024):
            self.assertEqual(a.status, 413, a)
            self.assertEqual(a.headers['Content-Type'],
                             'application/problem+json')
            self.assertEqual(a.json()['status'], 413)

    def test_body_where_none_is_allowed(self):
        for method, path, who in (
                ('DELETE', one.context, one),
                ('GET', '/.well-known/jwks.json', None),
                ('GET', '/published-apis/v1/%s/service-apis' % prov.apf.id,
                 prov.apf)):
            a = d.a.request(method, path, who, body='x')
            self.assertEqual(a.status, 413, a)

    def closed_or_413(self, send):
        try:
            self.assertEqual(send().status, 413)
        except DIED + (socket.timeout,) as e:
            self.assertNotIsInstance(e, socket.timeout)
        self.assertEqual(d.a.request('GET', '/.well-known/jwks.json').status,
                         200)

    def test_body_of_2_mib(self):
        self.closed_or_413(lambda: put(None, b'{' + (2 << 20) * b' '))

    def test_chunked_body_of_2_mib(self):
        self.closed_or_413(lambda: one.request(
            'PUT', one.context, body=(b' ' * 65536 for _ in range(32)),
            headers={'Content-Type': 'application/json'}))

    def test_announced_body_of_8_gib(self):
        def send():
            conn = domains.Https(d.a.id, d.a.port, d.a.ca, one)
            conn.putrequest('PUT', one.context)
            conn.putheader('Content-Type', 'application/json')
            conn.putheader('Content-Length', str(8 << 30))
            conn.endheaders()
            try:
                return domains.Answer(conn.getresponse())
            finally:
                conn.close()
        self.closed_or_413(send)

    def test_header_of_100_kib(self):
        try:
            a = d.a.request('GET', '/.well-known/jwks.json',
                            headers={'X': 'x' * 102400})
            self.assertIn(a.status, (400, 413, 414, 431))
        except DIED:
            pass
        self.assertEqual(d.a.request('GET', '/.well-known/jwks.json').status,
                         200)

    # ---- other methods and paths ----

    def test_unknown_paths(self):
        for path in ('/', '/x', one.context + '/', one.context + '/x',
                     '/capif-security/v1/trustedInvokers/',
                     '/capif-security/v2/trustedInvokers/x',
                     '/capif-security/v1/trustedInvokers/a/b/update',
                     '//.well-known/jwks.json'):
            a = one.request('GET', path)
            self.assertEqual(a.status, 404, a)
            self.assertEqual(a.headers['Content-Type'],
                             'application/problem+json')

    def test_methods_that_a_resource_does_not_have(self):
        for method in ('PATCH', 'OPTIONS', 'POST'):
            a = one.request(method, one.context, body='{}')
            self.assertEqual(a.status, 405, a)
        self.assertEqual(one.request('PUT', ONBOARD, body='{}').status, 405)

    def test_id_with_an_escaped_slash_or_nul(self):
        for bad in ('%2f', '%00', '%2e%2e%2f', one.id + '%00',
                    one.id + '%2f'):
            a = one.request('PUT', '/capif-security/v1/trustedInvokers/'
                            + bad, body=context())
            self.assertIn(a.status, (403, 404), a)


if __name__ == '__main__':
    domains.main()
