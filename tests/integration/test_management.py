# SPDX-License-Identifier: Apache-2.0
"""What owners change: service APIs and onboardings (TS 29.222 8.2, 8.4)."""

import copy
import json

import domains
from domains import VS, make_csr, make_key
from owners import MERGE, Case, patch, put

ONBOARD = '/api-invoker-management/v1/onboardedInvokers/'
REGISTER = '/api-provider-management/v1/registrations/'


def setUpModule():
    global d, one, two, home, away
    d = domains.Domains()
    one, two = d.a.onboard(), d.a.onboard()
    home = d.a.register(aef_m1='m1.domain-a.example',
                        aef_m2='m2.domain-a.example')
    away = d.a.register(aef_n1='n1.domain-a.example')


def tearDownModule():
    d.stop()


class Apis(Case):
    def setUp(self):
        self.name = 'api-%s' % self._testMethodName[5:40]
        self.doc = home.publish(home.describe(self.name)).json()
        self.base = '/published-apis/v1/%s/service-apis/' % home.apf.id
        self.path = self.base + self.doc['apiId']

    def stored(self):
        return self.ok(home.apf.request('GET', self.path))

    def test_put_replaces(self):
        doc = home.describe(self.name + '-2')
        doc['description'] = 'another'
        doc['supportedFeatures'] = 'ff'
        got = self.ok(put(home.apf, self.path, doc))
        self.assertEqual(got, dict(doc, apiId=self.doc['apiId'],
                                   ccfId=d.a.id, supportedFeatures='0'))
        self.assertEqual(self.stored(), got)
        self.assertNotIn(self.name, one.discover())
        self.assertEqual(one.discover()[self.name + '-2'], got)
        del doc['description']
        self.assertNotIn('description', self.ok(put(home.apf, self.path,
                                                    doc)))

    def test_put_with_what_it_was_given(self):
        self.assertEqual(self.ok(put(home.apf, self.path, self.doc)),
                         self.doc)

    def test_patch_merges(self):
        got = self.ok(patch(home.apf, self.path, {
            'serviceAPICategory': 'c',
            'apiStatus': {'aefIds': [home.aef.id]}}))
        self.assertEqual(got, dict(self.doc, serviceAPICategory='c',
                                   apiStatus={'aefIds': [home.aef.id]}))
        self.assertEqual(one.discover()[self.name], got)
        got = self.ok(patch(home.apf, self.path, {'serviceAPICategory': None}))
        self.assertEqual(got, dict(self.doc,
                                   apiStatus={'aefIds': [home.aef.id]}))
        self.assertEqual(self.ok(patch(home.apf, self.path, {})), got)
        self.assertEqual(self.ok(patch(home.apf, self.path, {
            'apiStatus': None})), self.doc)

    def test_patch_of_profiles_replaces_the_list(self):
        profile = copy.deepcopy(self.doc['aefProfiles'][0])
        profile['aefId'] = 'aef-m1'
        got = self.ok(patch(home.apf, self.path, {'aefProfiles': [profile]}))
        self.assertEqual(got['aefProfiles'], [profile])

    def test_what_must_not_change(self):
        for name, value in (('apiId', 'api-x'), ('apiId', None),
                            ('ccfId', d.b.id), ('apiName', 'x'),
                            ('apiName', None), ('apiId', 7)):
            a = patch(home.apf, self.path, {name: value})
            self.assertEqual(a.status, 400, a)
            self.assertIn('/' + name, a.params())
        for name, value in (('apiId', 'api-x'), ('ccfId', d.b.id)):
            self.invalid(put(home.apf, self.path,
                             dict(self.doc, **{name: value})), '/' + name)
        self.invalid(home.publish(dict(home.describe('new'), apiId='api-x')),
                     '/apiId')
        self.assertEqual(self.stored(), self.doc)
        self.ok(patch(home.apf, self.path, {
            n: self.doc[n] for n in ('apiId', 'apiName', 'ccfId')}))

    def test_what_is_wrong_in_the_outcome(self):
        for doc, param in (
                ({'aefProfiles': None}, '/aefProfiles'),
                ({'aefProfiles': []}, '/aefProfiles'),
                ({'aefProfiles': [None]}, '/aefProfiles/0'),
                ({'description': 1}, '/description'),
                ({'apiStatus': {}}, '/apiStatus/aefIds'),
                ({'apiStatus': {'aefIds': ['aef-m1']}}, '/apiStatus/aefIds'),
                ({'shareableInfo': {'capifProvDoms': ['x']}},
                 '/shareableInfo'),
                ({'apiSuppFeats': 'x'}, '/apiSuppFeats'),
                ({'serviceAPICategory': []}, '/serviceAPICategory'),
                ({'pubApiPath': {'ccfIds': []}}, '/pubApiPath/ccfIds')):
            self.invalid(patch(home.apf, self.path, doc), param)
            if None not in doc.values():
                self.invalid(put(home.apf, self.path, dict(self.doc, **doc)),
                             param)
        self.assertEqual(self.stored(), self.doc)

    def test_malformed(self):
        self.malformed(home.apf, self.path)
        self.assertEqual(self.stored(), self.doc)

    def test_patches_do_not_make_it_grow_without_end(self):
        got = [patch(home.apf, self.path, {'x%d' % i: 'x' * 50000}).status
               for i in range(4)]
        self.assertEqual(got, [200, 200, 413, 413])

    def test_other_roles_and_owners(self):
        self.roles(self.path, home.apf, (None, one, home.aef, home.amf,
                                         away.apf))
        own = '/published-apis/v1/%s/service-apis/' % away.apf.id
        for who, path in ((home.apf, self.base + 'api-unknown'),
                          (away.apf, own + self.doc['apiId'])):
            self.refused(put(who, path, self.doc), 404)
            self.refused(patch(who, path, {}), 404)
            self.refused(who.request('DELETE', path), 404)
        self.assertEqual(self.stored(), self.doc)

    def test_aef_of_another_domain(self):
        profile = dict(self.doc['aefProfiles'][0], aefId=away.aef.id)
        self.refused(patch(home.apf, self.path, {'aefProfiles': [profile]}),
                     403)
        self.refused(put(home.apf, self.path,
                         dict(self.doc, aefProfiles=[profile])), 403)
        self.assertEqual(self.stored(), self.doc)

    def test_eight_patches_at_once_all_count(self):
        got = self.at_once(8, lambda i: patch(home.apf, self.path,
                                              {'x%d' % i: i}).status)
        self.assertEqual(got, 8 * [200])
        want = dict(self.doc, **{'x%d' % i: i for i in range(8)})
        self.assertEqual(self.stored(), want)

    def test_patches_while_it_is_deleted(self):
        def work(i):
            if i == 3:
                return home.apf.request('DELETE', self.path).status
            return patch(home.apf, self.path, {'x': i}).status
        got = self.at_once(8, work)
        self.assertEqual(got.pop(3), 204)
        self.assertLessEqual(set(got), {200, 404})
        self.refused(home.apf.request('GET', self.path), 404)

    def test_the_other_domain_sees_it_at_once(self):
        far = d.b.register(aef_b8='b8.domain-b.example',
                           aef_b7='b7.domain-b.example')
        doc = far.describe('far', partner=d.a.id)
        doc = far.publish(doc).json()
        self.assertNotIn('far', one.discover())  # not in the agreement
        path = '/published-apis/v1/%s/service-apis/%s' % (far.apf.id,
                                                          doc['apiId'])
        undo = [d.reconfigure(ccf, 'aefs = ', 'aefs = aef-b7, ')
                for ccf in ('ccf-a', 'ccf-b')]
        try:
            self.assertEqual(one.discover()['far'], doc)
            for change in {'description': 'new'}, {'description': None}:
                got = self.ok(patch(far.apf, path, change))
                self.assertEqual(one.discover()['far'], got)
            self.ok(patch(far.apf, path, {'apiStatus': {'aefIds': []}}))
            self.assertNotIn('far', one.discover())  # active at no AEF
            both = copy.deepcopy(doc['aefProfiles'])
            both.append(dict(both[0], aefId='aef-b8'))
            self.ok(patch(far.apf, path, {'aefProfiles': both, 'apiStatus': {
                'aefIds': ['aef-b8', 'aef-b7']}}))
            got = one.discover()['far']
            self.assertEqual(got['apiStatus'], {'aefIds': ['aef-b7']})
            self.assertEqual(got['aefProfiles'], doc['aefProfiles'])
            self.assertNotIn('aef-b8', json.dumps(got))
            self.ok(patch(far.apf, path, {'shareableInfo': {
                'isShareable': False}}))
            self.assertNotIn('far', one.discover())
            self.ok(put(far.apf, path, doc))
            self.assertEqual(one.discover()['far'], doc)
            self.ok(patch(far.apf, path, {'shareableInfo': {
                'capifProvDoms': ['other.example']}}))
            self.assertNotIn('far', one.discover())
            self.ok(patch(far.apf, path, {'shareableInfo': {
                'capifProvDoms': None}}))
            self.assertIn('far', one.discover())
            a = far.amf.request('DELETE', REGISTER + far.registration)
            self.assertEqual(a.status, 204, a)
            self.assertNotIn('far', one.discover())
        finally:
            for restore in undo:
                restore()


class Invokers(Case):
    def setUp(self):
        self.who = d.a.onboard()
        self.path = ONBOARD + self.who.onboarding
        self.doc = self.ok(patch(self.who, self.path, {}))

    def renew(self, csr=None):
        """A new key; the old certificate stays with a copy."""
        old = copy.copy(self.who)
        old.request = lambda *a, **kw: d.a.request(*a[:2], old, **kw)
        key = make_key(self.who.dir + '/new.pem')
        got = self.ok(patch(self.who, self.path, {'onboardingInformation': {
            'apiInvokerPublicKey': csr or make_csr(key)}}))
        self.who.key = key
        self.who.crt = domains.write(
            self.who.dir + '/new.crt',
            got['onboardingInformation']['apiInvokerCertificate'])
        return old, got

    def works(self, who):
        return who.request('GET', '/service-apis/v1/allServiceAPIs'
                           '?api-invoker-id=' + who.id).status

    def test_put(self):
        doc = {'onboardingInformation': {'apiInvokerPublicKey': self.doc[
            'onboardingInformation']['apiInvokerPublicKey']},
               'notificationDestination': 'https://other.invalid/',
               'apiInvokerInformation': 'a phone', 'supportedFeatures': '7',
               'requestTestNotification': True}
        got = self.ok(put(self.who, self.path, doc))
        self.assertEqual(got, {
            'apiInvokerId': self.who.id, 'supportedFeatures': '1',
            'notificationDestination': 'https://other.invalid/',
            'apiInvokerInformation': 'a phone', VS: {'ccfId': d.a.id},
            'onboardingInformation': self.doc['onboardingInformation']})
        self.assertEqual(self.ok(patch(self.who, self.path, {})), got)
        self.assertEqual(self.ok(put(self.who, self.path, self.doc)),
                         self.doc)

    def test_patch(self):
        got = self.ok(patch(self.who, self.path,
                            {'apiInvokerInformation': 'a watch'}))
        self.assertEqual(got, dict(self.doc,
                                   apiInvokerInformation='a watch'))
        got = self.ok(patch(self.who, self.path, {
            'apiInvokerInformation': None, VS: {'ccfId': 'x'},
            'onboardingInformation': {'apiInvokerCertificate': 'mine',
                                      'onboardingSecret': 's3cret'}}))
        self.assertEqual(got, self.doc)

    def test_api_list(self):
        home.publish(home.describe('listed'))
        api = one.discover()['listed']
        want = {'serviceAPIDescriptions': [{'apiName': 'listed'},
                                           {'apiName': 'unknown'}]}
        got = self.ok(patch(self.who, self.path, {'apiList': want}))
        self.assertEqual(got['apiList'], {'serviceAPIDescriptions': [api]})
        path = '/published-apis/v1/%s/service-apis/%s' % (home.apf.id,
                                                          api['apiId'])
        self.ok(patch(home.apf, path, {'apiStatus': {'aefIds': []}}))
        self.assertNotIn('apiList', self.ok(patch(self.who, self.path, {})))
        self.ok(patch(home.apf, path, {'apiStatus': None}))
        want['serviceAPIDescriptions'] = [
            {'apiName': 'listed', 'apiId': 'api-other'}]
        got = self.ok(put(self.who, self.path, dict(self.doc, apiList=want)))
        self.assertNotIn('apiList', got)
        for bad, param in (([], ''), ([{}], '/0/apiName'), (['x'], '/0'),
                           (33 * [{'apiName': 'x'}], '')):
            self.invalid(patch(self.who, self.path, {
                'apiList': {'serviceAPIDescriptions': bad}}),
                         '/apiList/serviceAPIDescriptions' + param)

    def test_new_key_ends_the_old_certificate(self):
        self.assertEqual(self.works(self.who), 200)
        old, got = self.renew()
        self.assertNotEqual(got, self.doc)
        self.assertEqual(got['apiInvokerId'], self.who.id)
        self.assertEqual(self.works(self.who), 200)
        self.refused(old.request('GET', '/service-apis/v1/allServiceAPIs'
                                 '?api-invoker-id=' + old.id), 401)
        for method in ('PUT', 'PATCH', 'DELETE'):
            self.refused(old.request(method, self.path, body=None if method
                                     == 'DELETE' else '{}'), 401)
        self.assertEqual(old.ask_token().status, 401)
        self.assertEqual(self.ok(patch(self.who, self.path, {})), got)

    def test_context_outlives_a_new_key(self):
        home.publish(home.describe('lasting'))
        self.who.negotiate('lasting').token()
        self.renew()
        self.assertEqual(self.who.token().count('.'), 2)

    def test_bad_key_changes_nothing(self):
        key = '/onboardingInformation/apiInvokerPublicKey'
        for bad in ('x', '', 7, None, domains.read(self.who.crt), 'A' * 9000):
            self.invalid(patch(self.who, self.path, {
                'notificationDestination': 'https://x.invalid/',
                'onboardingInformation': {'apiInvokerPublicKey': bad}}), key)
        self.assertEqual(self.ok(patch(self.who, self.path, {})), self.doc)

    def test_token_that_can_t_sign_changes_nothing(self):
        csr = make_csr(make_key(self.who.dir + '/other.pem'))
        enrolment = d.a.enrolment()
        known, unknown = (domains.Https(d.a.id, d.a.port, d.a.ca, who)
                          for who in (self.who, None))
        for conn in known, unknown:  # handshakes need the token, too
            conn.request('GET', '/.well-known/jwks.json')
            self.assertEqual(domains.Answer(conn.getresponse()).status, 200)
        d.end('hsmd-ccf-a')
        try:
            for conn, method, path, kind in (
                    (known, 'PATCH', self.path, MERGE),
                    (known, 'PUT', self.path, 'application/json'),
                    (unknown, 'POST', ONBOARD[:-1], 'application/json')):
                conn.request(method, path, json.dumps({
                    'notificationDestination': 'https://x.invalid/',
                    'onboardingInformation': {'apiInvokerPublicKey': csr}}),
                             {'Content-Type': kind,
                              'Authorization': 'Bearer ' + enrolment})
                a = domains.Answer(conn.getresponse())
                self.refused(a, 503)
                self.assertEqual(a.headers['Retry-After'], '5')
        finally:
            d.begin('hsmd-ccf-a')
            known.close()
            unknown.close()
        self.assertEqual(self.ok(patch(self.who, self.path, {})), self.doc)
        self.assertEqual(d.a.onboard_request(enrolment, csr).status, 201)

    def test_what_must_not_change(self):
        for value in ('inv-x', None, 7, two.id):
            self.invalid(patch(self.who, self.path,
                               {'apiInvokerId': value}), '/apiInvokerId')
            self.invalid(put(self.who, self.path,
                             dict(self.doc, apiInvokerId=value)),
                         '/apiInvokerId')

    def test_what_is_wrong_in_the_outcome(self):
        for doc, param in (
                ({'notificationDestination': None},
                 '/notificationDestination'),
                ({'onboardingInformation': None}, '/onboardingInformation'),
                ({'onboardingInformation': 'x'}, '/onboardingInformation'),
                ({'apiInvokerInformation': 7}, '/apiInvokerInformation'),
                ({'apiList': []}, '/apiList'),
                ({'supportedFeatures': 'x'}, '/supportedFeatures')):
            self.invalid(patch(self.who, self.path, doc), param)
        self.assertEqual(self.ok(patch(self.who, self.path, {})), self.doc)

    def test_malformed(self):
        self.malformed(self.who, self.path)

    def test_other_roles_and_owners(self):
        self.roles(self.path, self.who, (None, two, home.aef, home.apf,
                                         home.amf))
        for method in ('PUT', 'PATCH', 'DELETE'):
            for path, status in ((ONBOARD + 'onb-unknown', 404),
                                 (ONBOARD + home.registration, 403)):
                self.refused(self.who.request(
                    method, path, body=None if method == 'DELETE' else '{}'),
                             status)
        self.refused(d.b.request('PATCH', self.path, self.who, body='{}'),
                     401)

    def test_two_new_keys_at_once_one_wins(self):
        keys = [make_key('%s/%d.pem' % (self.who.dir, i)) for i in range(6)]
        csrs = [make_csr(k) for k in keys]
        got = self.at_once(6, lambda i: patch(self.who, self.path, {
            'onboardingInformation': {'apiInvokerPublicKey': csrs[i]}}))
        self.assertEqual(sorted(a.status for a in got), [200] + 5 * [401])
        i = [a.status for a in got].index(200)
        self.who.key = keys[i]
        self.who.crt = domains.write(
            self.who.dir + '/won.crt', got[i].json()[
                'onboardingInformation']['apiInvokerCertificate'])
        self.assertEqual(self.ok(patch(self.who, self.path, {})),
                         got[i].json())

    def test_patches_at_once_all_count(self):
        got = self.at_once(8, lambda i: patch(self.who, self.path,
                                              {'x%d' % i: i}).status)
        self.assertEqual(got, 8 * [200])
        self.assertEqual(self.ok(patch(self.who, self.path, {})), dict(
            self.doc, **{'x%d' % i: i for i in range(8)}))


if __name__ == '__main__':
    domains.main()
