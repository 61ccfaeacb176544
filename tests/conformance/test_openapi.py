# SPDX-License-Identifier: Apache-2.0
"""Every operation of the CCF and the AEF against the official OpenAPI files.

What is sent and what is answered, good or not, is validated; so are status
codes, media types and the headers that must be there.  Expectations of its
own (the status, and some of the answer) are checked even without the files.
The report at the end has what was seen of each operation, and what of the
files the CCF does not have.
"""

import copy
import json

import case
import domains
from case import BASES, MERGE, ROUTES, Case, ops, seen, slots, told_of
from conf_aef import AefSecurity
from conf_discover import Discover
from conf_events import Events
from conf_logs import Logging
from conf_policy import Policy, Routing
from domains import FORM, make_csr, make_key

# Which are in files of their own.
__all__ = ['AefSecurity', 'Discover', 'Events', 'Logging', 'Policy',
           'Routing']

# References that lead out of the folder.
UNKNOWN = ('TS29510_Nnrf_AccessToken.yaml#', 'TS29510_Nnrf_NFManagement.yaml#',
           'TS29523_Npcf_EventExposure.yaml#', 'TS29572_Nlmf_Location.yaml#')


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
        self.assertEqual(got['supportedFeatures'], '1')
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

    def test_completion(self):
        label = 'completion'
        doc = dict(self.details(), notificationDestination=told.url + label)
        del doc['requestTestNotification']
        later = {'Prefer': 'respond-async'}
        self.go('POST', '/onboardedInvokers', 202, body=doc, headers=dict(
            later, Authorization='Bearer ' + d.a.enrolment()))
        self.assertEqual(self.last.headers['Preference-Applied'],
                         'respond-async')
        body = self.called(self.API, 'POST', '/onboardedInvokers', label, 1)[0]
        got = body['apiInvokerEnrolmentDetails']
        who = domains.Member(d.a)
        who.key = d.extra + '/conf.key'
        domains.write(who.crt, got['onboardingInformation'][
            'apiInvokerCertificate'])
        ids = [body['resourceLocation'].split('/')[-1]]
        self.go('PUT', ONE, 202, who, ids, got, headers=later)
        self.called(self.API, 'PUT', ONE, label, 2)
        self.go('PATCH', ONE, 202, who, ids, {'apiInvokerInformation': 'y'},
                kind=MERGE, headers=later)
        # PATCH has the answer 202, too, but the file no callback of it.
        last = self.called(self.API, 'PUT', ONE, label, 3)[2]
        self.assertEqual(last['apiInvokerEnrolmentDetails'][
            'apiInvokerInformation'], 'y')

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
                    'requestTestNotification': True, 'supportedFeatures': 'f'}

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

    def revoked(self, **more):
        return dict({'apiInvokerId': self.who.id, 'cause': 'OVERLIMIT_USAGE',
                     'apiIds': [self.doc['securityInfo'][0]['apiId']]}, **more)

    def test_revoke(self):
        path, label = CTX + '/delete', 'revoked'
        self.doc['notificationDestination'] = told.url + label
        self.put()
        self.refused(self.API, 'POST', path, home.aef, self.ids,
                     self.revoked(), (self.who, home.apf))
        bad = self.revoked()
        del bad['cause']
        self.go('POST', path, 400, home.aef, self.ids, bad, valid=False)
        self.go('POST', path, 400, home.aef, self.ids, self.revoked(
            apiInvokerId=one.id))
        self.go('POST', path, 403, home.aef, self.ids, self.revoked(
            aefId='aef-o1'))
        self.go('POST', path, 204, home.aef, self.ids, self.revoked())
        self.go('POST', path, 404, home.aef, self.ids, self.revoked())
        got = self.called(self.API, 'PUT', CTX, label, 2)
        self.assertEqual(set(got[0]), {'subscription'})
        self.assertEqual(got[1], self.revoked(aefId=home.aef.id))

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
        self.assertEqual(missing, set())

    def test_callbacks(self):
        all_of = {k for k, op in ops.items() if op.callbacks()}
        for key in sorted(all_of):
            print('# callback of %-20s %-6s %-40s %s' % (
                *key, 'seen' if key in told_of else 'not seen'))
        self.assertEqual(all_of - told_of, set())

    def test_references_that_can_t_be_resolved(self):
        for ref in sorted(files.missing):
            print('# taken as anything: ' + ref)
        self.assertEqual([r for r in files.missing
                          if not r.startswith(UNKNOWN)], [])


# Not in setUpModule(): the classes of other files are not of this module.
if __name__ == '__main__':
    w = case.start()
    d, one, two, home = w.d, w.one, w.two, w.home
    files, told = w.files, w.told
    try:
        domains.main()
    finally:
        case.stop()
