# SPDX-License-Identifier: Apache-2.0
"""Every operation of the CCF against the official OpenAPI files.

What is sent and what is answered, good or not, is validated; so are status
codes, media types and the headers that must be there.  Expectations of its
own (the status, and some of the answer) are checked even without the files.
The report at the end has what was seen of each operation, and what of the
files the CCF does not have.
"""

import copy
import json
import re
import unittest
import urllib.parse

import domains
from domains import FORM, make_csr, make_key

import openapi

MERGE = 'application/merge-patch+json'
PROBLEM = 'application/problem+json'
APIS = {n: 'TS29222_CAPIF_%s_API.yaml' % n for n in (
    'API_Invoker_Management', 'API_Provider_Management', 'Publish_Service',
    'Discover_Service', 'Security', 'Logging_API_Invocation', 'Auditing')}
BASES = {'API_Invoker_Management': '/api-invoker-management/v1',
         'API_Provider_Management': '/api-provider-management/v1',
         'Publish_Service': '/published-apis/v1',
         'Discover_Service': '/service-apis/v1',
         'Security': '/capif-security/v1',
         'Logging_API_Invocation': '/api-invocation-logs/v1',
         'Auditing': '/logs/v1'}
ROUTES = re.findall(r'\{ "([A-Z]+)",\s*"([^"]+)",',
                    domains.read(domains.SOURCE + '/ccf/routes.c'))
# What of the files the CCF does not have yet: not one more, not one less.
MISSING = {('Security', 'POST', '/trustedInvokers/{apiInvokerId}/delete')}
# References that lead out of the folder.
UNKNOWN = ('TS29510_Nnrf_AccessToken.yaml#', 'TS29572_Nlmf_Location.yaml#')


def setUpModule():
    global d, one, two, home, files, ops, seen
    where = openapi.find()
    files = openapi.Files(where) if where else None
    ops, seen = {}, {}
    for api, name in APIS.items() if files else ():
        assert files.base(name) == BASES[api], api
        for (method, path), op in files.operations(name).items():
            ops[api, method, path] = op
    d = domains.Domains()
    one, two = d.a.onboard(), d.a.onboard()
    home = d.a.register(aef_o1='o1.domain-a.example',
                        aef_o2='o2.domain-a.example')


def tearDownModule():
    d.stop()


def slots(path):
    return re.sub(r'\{[^}]*\}', '{}', path)


class Case(unittest.TestCase):
    maxDiff = None

    def call(self, api, method, path, status, who=None, ids=(), body=None,
             kind='application/json', query=None, headers=(), valid=True):
        """Send, check both ways, and return the answer's JSON or None.
        valid=False: a request that the schema must not let pass, either."""
        url = BASES[api] + slots(path).format(*ids)
        if query:
            url += '?' + urllib.parse.urlencode(query)
        head = dict(headers)
        text = body
        if body is not None:
            head['Content-Type'] = kind
            text = (urllib.parse.urlencode(body) if kind == FORM
                    else body if isinstance(body, str) else json.dumps(body))
        a = d.a.request(method, url, who, headers=head, body=text)
        self.assertEqual(a.status, status, a)
        value = self.own(a, method, path, url)
        seen.setdefault((api, method, path), set()).add(status)
        op = ops.get((api, method, path))
        if files is not None:
            self.assertIsNotNone(op, 'no such operation: ' + path)
            sent = self.sent(op, kind, body, query or {})
            self.assertEqual(sent == [], valid, sent)
            self.assertEqual(op.answer_errors(a.status, a.headers, value), [],
                             a)
        self.last = a
        return value

    def sent(self, op, kind, body, query):
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except ValueError:
                return ['no JSON']
        return op.request_errors(kind, body) + op.query_errors(query)

    def own(self, a, method, path, url):
        """Without any files: media types, problems, Location."""
        if a.status == 204:
            self.assertEqual(a.body, b'')
            return None
        value = a.json()
        token = path.endswith('/token') and a.status in (400, 401)
        if a.status >= 400 and not token:
            self.assertEqual(a.headers['Content-Type'], PROBLEM)
            self.assertEqual(value['status'], a.status)
            self.assertTrue(value['title'])
        else:
            self.assertEqual(a.headers['Content-Type'], 'application/json')
        if a.status == 201:
            where = a.headers['Location']
            self.assertRegex(where, '^%s%s$' % (
                re.escape(d.a.url + url), '' if method == 'PUT' else
                '/[^/]+'))
        else:
            self.assertIsNone(a.headers['Location'])
        return value

    def refused(self, api, method, path, who, ids, body, others, large=70000,
                **kw):
        """No certificate, wrong roles, wrong bodies."""
        if body is not None:
            kw['body'] = body
        self.call(api, method, path, 401, None, ids, **kw)
        for other in others:
            self.call(api, method, path, 403, other, ids, **kw)
        if body is None:
            return
        for bad in ('[]', '{'):
            self.call(api, method, path, 400, who, ids,
                      **dict(kw, body=bad, valid=False))
        self.call(api, method, path, 413, who, ids,
                  **dict(kw, body='{"x":"%s"}' % ('x' * large),
                         valid=kw.get('kind') == MERGE))
        self.call(api, method, path, 415, who, ids,
                  **dict(kw, kind='text/plain', valid=False))


ONE = '/onboardedInvokers/{onboardingId}'
REG = '/registrations/{registrationId}'
ALL = '/{apfId}/service-apis'
API = '/{apfId}/service-apis/{serviceApiId}'
CTX = '/trustedInvokers/{apiInvokerId}'
TOK = '/securities/{securityId}/token'


class InvokerManagement(Case):
    API = 'API_Invoker_Management'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def details(self):
        return {'onboardingInformation': {'apiInvokerPublicKey': make_csr(
            make_key(d.extra + '/conf.key'))},
                'notificationDestination': 'https://invoker.invalid/n',
                'requestTestNotification': True,
                'websockNotifConfig': {'requestWebsocketUri': True},
                'apiInvokerInformation': 'x', 'supportedFeatures': 'ff',
                'apiList': {'serviceAPIDescriptions': [
                    {'apiName': domains.API}, {'apiName': 'none'}]}}

    def test_post(self):
        token = d.a.enrolment()
        head = {'Authorization': 'Bearer ' + token}
        doc = self.details()
        bad = dict(doc)
        del bad['notificationDestination']
        self.go('POST', '/onboardedInvokers', 400, body=bad, headers=head,
                valid=False)
        self.go('POST', '/onboardedInvokers', 415, body=doc, headers=head,
                kind='text/plain', valid=False)
        self.go('POST', '/onboardedInvokers', 413, headers=head,
                body=dict(doc, apiInvokerInformation='x' * 70000))
        self.go('POST', '/onboardedInvokers', 401, body=doc)
        one.discover()  # domain B's APIs are known then
        got = self.go('POST', '/onboardedInvokers', 201, body=doc,
                      headers=head)
        self.assertEqual([x['apiName'] for x in got['apiList'][
            'serviceAPIDescriptions']], [domains.API])
        self.assertEqual(got['supportedFeatures'], '0')
        self.assertIn('apiInvokerCertificate', got['onboardingInformation'])
        self.go('POST', '/onboardedInvokers', 401, body=doc, headers=head)

    def test_put(self):
        who = d.a.onboard()
        doc = dict(self.details(), apiInvokerId=who.id)
        self.refused(self.API, 'PUT', ONE, who, [who.onboarding], doc,
                     (two, home.amf))
        self.go('PUT', ONE, 404, who, ['onb-none'], doc)
        self.go('PUT', ONE, 400, who, [who.onboarding],
                dict(doc, apiInvokerId='x'))
        got = self.go('PUT', ONE, 200, who, [who.onboarding], doc)
        self.assertEqual(got['apiInvokerId'], who.id)
        self.go('PUT', ONE, 401, who, [who.onboarding], doc)  # a new key

    def test_patch(self):
        who = d.a.onboard()
        doc = {'apiInvokerInformation': 'y', 'notificationDestination':
               'https://invoker.invalid/m'}
        self.refused(self.API, 'PATCH', ONE, who, [who.onboarding], doc,
                     (two, home.amf), kind=MERGE)
        self.go('PATCH', ONE, 404, who, ['onb-none'], doc, kind=MERGE)
        self.go('PATCH', ONE, 415, who, [who.onboarding], doc, valid=False)
        got = self.go('PATCH', ONE, 200, who, [who.onboarding], doc,
                      kind=MERGE)
        for name, value in doc.items():
            self.assertEqual(got[name], value)

    def test_delete(self):
        who = d.a.onboard()
        self.refused(self.API, 'DELETE', ONE, who, [who.onboarding], None,
                     (two, home.amf))
        self.go('DELETE', ONE, 404, who, ['onb-none'])
        self.go('DELETE', ONE, 204, who, [who.onboarding])
        self.go('DELETE', ONE, 401, who, [who.onboarding])


class ProviderManagement(Case):
    API = 'API_Provider_Management'
    n = 0

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def provider(self):
        ProviderManagement.n += 1
        return d.a.register(**{'aef_r%d' % self.n: 'r.example'})

    def test_post(self):
        token = d.a.enrolment('provider', '--aef', 'aef-s=s.example')
        key = make_csr(make_key(d.extra + '/reg.key'))
        doc = {'regSec': token, 'suppFeat': 'f', 'apiProvDomInfo': 'x',
               'apiProvFuncs': [{'apiProvFuncRole': r, 'apiProvFuncInfo': r,
                                 'regInfo': {'apiProvPubKey': key}}
                                for r in ('AEF', 'APF', 'AMF')]}
        bad = copy.deepcopy(doc)
        del bad['apiProvFuncs'][0]['regInfo']
        self.go('POST', '/registrations', 400, body=bad, valid=False)
        self.go('POST', '/registrations', 413, body=dict(
            doc, apiProvDomInfo='x' * 70000))
        self.go('POST', '/registrations', 415, body=doc, kind='text/plain',
                valid=False)
        self.go('POST', '/registrations', 401, body=dict(doc, regSec='x.y.z'))
        got = self.go('POST', '/registrations', 201, body=doc)
        self.assertEqual(got['suppFeat'], '0')
        self.assertNotIn(token, json.dumps(got))
        self.go('POST', '/registrations', 401, body=doc)

    def test_put(self):
        p = self.provider()
        self.refused(self.API, 'PUT', REG, p.amf, [p.registration], p.doc,
                     (one, p.aef, home.amf))
        self.go('PUT', REG, 404, p.amf, ['dom-none'], p.doc)
        bad = dict(p.doc)
        del bad['regSec']
        self.go('PUT', REG, 400, p.amf, [p.registration], bad, valid=False)
        got = self.go('PUT', REG, 200, p.amf, [p.registration],
                      dict(p.doc, apiProvDomInfo='y'))
        self.assertEqual(got, dict(p.doc, apiProvDomInfo='y'))

    def test_patch(self):
        p = self.provider()
        doc = {'apiProvDomInfo': 'z', 'apiProvFuncs': p.doc['apiProvFuncs']}
        self.refused(self.API, 'PATCH', REG, p.amf, [p.registration], doc,
                     (one, p.aef, home.amf), kind=MERGE)
        self.go('PATCH', REG, 404, p.amf, ['dom-none'], doc, kind=MERGE)
        self.go('PATCH', REG, 400, p.amf, [p.registration],
                {'apiProvFuncs': []}, kind=MERGE, valid=False)
        got = self.go('PATCH', REG, 200, p.amf, [p.registration], doc,
                      kind=MERGE)
        self.assertEqual(got, dict(p.doc, apiProvDomInfo='z'))

    def test_delete(self):
        p = self.provider()
        self.refused(self.API, 'DELETE', REG, p.amf, [p.registration], None,
                     (one, p.aef, home.amf))
        self.go('DELETE', REG, 404, p.amf, ['dom-none'])
        self.go('DELETE', REG, 204, p.amf, [p.registration])
        self.go('DELETE', REG, 401, p.amf, [p.registration])


class Publish(Case):
    API = 'Publish_Service'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def setUp(self):
        self.doc = home.describe('conf-' + self._testMethodName[5:])
        self.doc['supportedFeatures'] = 'f'
        self.doc['apiSuppFeats'] = '1'
        self.doc['apiStatus'] = {'aefIds': [home.aef.id]}
        self.doc['aefProfiles'][0]['versions'][0]['custOperations'] = [
            {'commType': 'REQUEST_RESPONSE', 'custOpName': 'x',
             'operations': ['POST']}]

    def publish(self):
        return self.go('POST', ALL, 201, home.apf, [home.apf.id], self.doc)

    def test_post(self):
        self.refused(self.API, 'POST', ALL, home.apf, [home.apf.id], self.doc,
                     (one, home.aef))
        self.go('POST', ALL, 403, home.apf, ['apf-x'], self.doc)
        for name, value in (('apiName', None), ('apiStatus', {}),
                            ('aefProfiles', []), ('shareableInfo', {}),
                            ('apiSuppFeats', 'x'), ('description', 1)):
            self.go('POST', ALL, 400, home.apf, [home.apf.id],
                    dict(self.doc, **{name: value}), valid=False)
        profile = copy.deepcopy(self.doc['aefProfiles'][0])
        profile['domainName'] = 'x.example'  # and interfaceDescriptions
        self.go('POST', ALL, 400, home.apf, [home.apf.id],
                dict(self.doc, aefProfiles=[profile]), valid=False)
        got = self.publish()
        self.assertEqual(got, dict(self.doc, apiId=got['apiId'],
                                   ccfId=d.a.id, supportedFeatures='0'))

    def test_get(self):
        got = self.publish()
        self.refused(self.API, 'GET', ALL, home.apf, [home.apf.id], None,
                     (one, home.aef))
        self.assertIn(got, self.go('GET', ALL, 200, home.apf, [home.apf.id]))
        ids = [home.apf.id, got['apiId']]
        self.refused(self.API, 'GET', API, home.apf, ids, None,
                     (one, home.aef))
        self.assertEqual(self.go('GET', API, 200, home.apf, ids), got)
        self.go('GET', API, 404, home.apf, [home.apf.id, 'api-none'])

    def test_put(self):
        ids = [home.apf.id, self.publish()['apiId']]
        self.refused(self.API, 'PUT', API, home.apf, ids, self.doc,
                     (one, home.aef))
        self.go('PUT', API, 404, home.apf, [home.apf.id, 'api-none'],
                self.doc)
        self.go('PUT', API, 400, home.apf, ids, dict(self.doc, apiId='x'))
        self.doc['description'] = 'another'
        got = self.go('PUT', API, 200, home.apf, ids, self.doc)
        self.assertEqual(got, dict(self.doc, apiId=ids[1], ccfId=d.a.id,
                                   supportedFeatures='0'))

    def test_patch(self):
        was = self.publish()
        ids = [home.apf.id, was['apiId']]
        doc = {'description': 'patched', 'shareableInfo': {
            'isShareable': True, 'capifProvDoms': [d.b.id]}}
        self.refused(self.API, 'PATCH', API, home.apf, ids, doc,
                     (one, home.aef), kind=MERGE)
        self.go('PATCH', API, 404, home.apf, [home.apf.id, 'api-none'], doc,
                kind=MERGE)
        self.go('PATCH', API, 415, home.apf, ids, doc, valid=False)
        self.go('PATCH', API, 400, home.apf, ids, {'aefProfiles': []},
                kind=MERGE, valid=False)
        self.assertEqual(self.go('PATCH', API, 200, home.apf, ids, doc,
                                 kind=MERGE), dict(was, **doc))

    def test_delete(self):
        ids = [home.apf.id, self.publish()['apiId']]
        self.refused(self.API, 'DELETE', API, home.apf, ids, None,
                     (one, home.aef))
        self.go('DELETE', API, 204, home.apf, ids)
        self.go('DELETE', API, 404, home.apf, ids)


class Discover(Case):
    PATH = '/allServiceAPIs'

    def go(self, status, who, valid=True, **query):
        return self.call('Discover_Service', 'GET', self.PATH, status, who,
                         query={k.replace('_', '-'): v
                                for k, v in query.items()}, valid=valid)

    def test_get(self):
        got = self.go(200, one, api_invoker_id=one.id)
        self.assertIn(domains.API, [x['apiName'] for x in
                                    got['serviceAPIDescriptions']])
        got = self.go(200, one, api_invoker_id=one.id,
                      api_name=domains.API, aef_id='aef-b1')
        self.assertEqual(len(got['serviceAPIDescriptions']), 1)
        got = self.go(200, one, api_invoker_id=one.id, api_name='none')
        self.assertNotIn('serviceAPIDescriptions', got)
        self.go(400, one, valid=False)
        self.go(401, None, api_invoker_id=one.id)
        self.go(403, two, api_invoker_id=one.id)
        self.go(403, home.apf, api_invoker_id=one.id)


class Security(Case):
    API = 'Security'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def setUp(self):
        self.who = d.a.onboard()
        name = 'sec-' + self._testMethodName[5:]
        api = home.publish(home.describe(name)).json()
        self.ids = [self.who.id]
        self.doc = {'securityInfo': [
            {'aefId': home.aef.id, 'apiId': api['apiId'],
             'prefSecurityMethods': ['OAUTH']}],
                    'notificationDestination': 'https://invoker.invalid/n',
                    'supportedFeatures': 'f'}

    def put(self):
        return self.go('PUT', CTX, 201, self.who, self.ids, self.doc)

    def test_put(self):
        self.refused(self.API, 'PUT', CTX, self.who, self.ids, self.doc,
                     (one, home.apf))
        bad = dict(self.doc)
        del bad['notificationDestination']
        self.go('PUT', CTX, 400, self.who, self.ids, bad, valid=False)
        other = copy.deepcopy(self.doc)
        other['securityInfo'][0]['prefSecurityMethods'] = ['NONE']
        self.go('PUT', CTX, 403, self.who, self.ids, other)
        got = self.put()
        self.assertEqual(got['securityInfo'][0]['selSecurityMethod'], 'OAUTH')

    def test_get(self):
        self.go('GET', CTX, 404, home.aef, self.ids)
        self.put()
        self.refused(self.API, 'GET', CTX, home.aef, self.ids, None,
                     (self.who, home.apf))
        for query in ({}, {'authenticationInfo': 'true'},
                      {'authenticationInfo': 'true',
                       'authorizationInfo': 'true'}):
            self.go('GET', CTX, 200, home.aef, self.ids, query=query)

    def test_delete(self):
        self.put()
        self.refused(self.API, 'DELETE', CTX, self.who, self.ids, None,
                     (one, home.apf))
        self.go('DELETE', CTX, 204, self.who, self.ids)
        self.go('DELETE', CTX, 404, self.who, self.ids)

    def test_update(self):
        path = CTX + '/update'
        self.go('POST', path, 404, self.who, self.ids, self.doc)
        self.put()
        self.refused(self.API, 'POST', path, self.who, self.ids, self.doc,
                     (one, home.apf))
        self.go('POST', path, 200, self.who, self.ids, self.doc)

    def test_token(self):
        form = {'grant_type': 'client_credentials', 'client_id': self.who.id}

        def ask(status, who, form=form, **kw):
            return self.go('POST', TOK, status, who, self.ids, form,
                           kind=FORM, **kw)
        ask(400, self.who)
        self.put()
        ask(401, None)
        ask(401, one)
        ask(400, self.who, {'client_id': self.who.id}, valid=False)
        ask(400, self.who, dict(form, grant_type='password'), valid=False)
        ask(400, self.who, dict(form, scope='3gpp#x:y'))
        ask(413, self.who, dict(form, scope='x' * 20000))
        self.assertEqual(ask(200, self.who)['token_type'], 'Bearer')
        self.assertEqual(self.last.headers['Cache-Control'], 'no-store')


LOG = '/{aefId}/logs'


class Logging(Case):
    API = 'Logging_API_Invocation'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def entry(self, **more):
        iface = {'ipv4Addr': '192.0.2.1', 'port': 443, 'apiPrefix': '/x',
                 'securityMethods': ['PKI']}
        return {'apiId': 'api-x', 'apiName': 'conf-log', 'apiVersion': 'v1',
                'resourceName': 'r', 'protocol': 'HTTP_1_1', 'result': '200',
                'uri': 'https://aef.example/x', 'operation': 'GET',
                'invocationTime': '2026-01-01T00:00:00.5+01:00',
                'invocationLatency': 12, 'inputParameters': [1, {'a': 'b'}],
                'outputParameters': 'x', 'srcInterface': iface,
                'destInterface': {'fqdn': 'aef.example'},
                'fwdInterface': '192.0.2.43:80, unknown:_OBFport', **more}

    def doc(self, *entries):
        return {'aefId': home.aef.id, 'apiInvokerId': one.id,
                'logs': list(entries) or [self.entry()],
                'supportedFeatures': 'f'}

    def test_post(self):
        ids = [home.aef.id]
        self.refused(self.API, 'POST', LOG, home.aef, ids, self.doc(),
                     (one, home.apf, home.amf), large=1024000)
        self.go('POST', LOG, 403, home.aef, ['aef-o1x'], self.doc())
        self.go('POST', LOG, 403, home.aef, ids, dict(self.doc(), aefId='x'))
        for name in 'aefId', 'apiInvokerId', 'logs':
            bad = self.doc()
            del bad[name]
            self.go('POST', LOG, 400, home.aef, ids, bad, valid=False)
        for name, value in (('logs', []), ('logs', {}), ('aefId', 1),
                            ('apiInvokerId', 1), ('supportedFeatures', 'x')):
            self.go('POST', LOG, 400, home.aef, ids,
                    dict(self.doc(), **{name: value}), valid=False)
        for name in ('apiId', 'apiName', 'apiVersion', 'resourceName',
                     'protocol', 'result'):
            bad = self.entry()
            del bad[name]
            self.go('POST', LOG, 400, home.aef, ids, self.doc(bad),
                    valid=False)
        for name, value in (('invocationLatency', -1),
                            ('invocationLatency', 1.5), ('uri', 1),
                            ('invocationTime', 7), ('srcInterface', {}),
                            ('destInterface', {'ipv4Addr': '192.0.2.1',
                                               'fqdn': 'a.example'}),
                            ('fwdInterface', [])):
            self.go('POST', LOG, 400, home.aef, ids,
                    self.doc(self.entry(**{name: value})), valid=False)
        got = self.go('POST', LOG, 201, home.aef, ids, self.doc())
        self.assertEqual(got, dict(self.doc(), supportedFeatures='0'))

    def test_query(self):
        amf, path = home.amf, '/apiInvocationLogs'

        def ask(status, who=amf, **query):
            return self.call('Auditing', 'GET', path, status, who, query={
                k.replace('_', '-'): v for k, v in query.items()})
        for name in 'conf-1', 'conf-2':
            self.go('POST', LOG, 201, home.aef, [home.aef.id],
                    dict(self.doc(self.entry(apiName=name)),
                         apiInvokerId=(one if name == 'conf-1' else two).id))
        ask(401, None)
        for other in one, home.aef, home.apf:
            ask(403, other)
        got = ask(200, api_name='conf-1', supported_features='f')
        self.assertEqual(got, dict(
            self.doc(self.entry(apiName='conf-1')), supportedFeatures='0'))
        got = ask(200, aef_id=home.aef.id)
        self.assertEqual(len(got['multipleInvocationLogs']), 2)
        ask(404, api_name='none')
        iface = json.dumps({'ipv4Addr': '192.0.2.1'})
        ask(200, api_id='api-x', api_version='v1', api_invoker_id=one.id,
            protocol='HTTP_1_1', operation='GET', result='200',
            resource_name='r', src_interface=iface,
            dest_interface='{"fqdn":"aef.example"}',
            time_range_start='2025-12-31T23:00:00Z',
            time_range_end='2026-01-01T00:00:00Z')
        for query in ({'time_range_start': 'x'}, {'time_range_end': '1'},
                      {'src_interface': 'x'}, {'dest_interface': '{}'},
                      {'dest_interface': '[]'}, {'supported_features': 'x'},
                      {'aef_id': ''}, {'result': 'x' * 300}):
            got = ask(400, **query)
            self.assertEqual([x['param'] for x in got['invalidParams']],
                             [k.replace('_', '-') if 'feat' not in k else
                              '/supported-features' for k in query])


class Summary(Case):
    """The last by name, since it looks back."""

    def setUp(self):
        if files is None:
            self.skipTest('no OpenAPI files in CAPIF_OPENAPI_DIR or '
                          '../shared/spec/openapi')

    def test_every_operation_that_there_is_was_driven(self):
        routes = set(ROUTES)
        missing = set()
        for key in sorted(ops):
            api, method, path = key
            there = (method, BASES[api] + slots(path)) in routes
            print('# %-24s %-6s %-40s %s' % (
                api, method, path, ' '.join(map(str, sorted(seen.get(
                    key, ())))) if there else 'route missing'))
            if not there:
                missing.add(key)
            else:
                self.assertTrue(any(s < 300 for s in seen.get(key, ())), key)
                self.assertTrue(any(s >= 400 for s in seen.get(key, ())), key)
        self.assertEqual(missing, MISSING)

    def test_references_that_can_t_be_resolved(self):
        for ref in sorted(files.missing):
            print('# taken as anything: ' + ref)
        self.assertEqual([r for r in files.missing
                          if not r.startswith(UNKNOWN)], [])


if __name__ == '__main__':
    domains.main()
