# SPDX-License-Identifier: Apache-2.0
"""What an AMF changes of its provider domain (TS 29.222 8.9)."""

import copy
import tempfile

import domains
from domains import VS, make_csr, make_key
from owners import Case, patch, put

REGISTER = '/api-provider-management/v1/registrations/'


def setUpModule():
    global d, one, home, away
    d = domains.Domains()
    one = d.a.onboard()
    home = d.a.register(aef_m1='m1.domain-a.example',
                        aef_m2='m2.domain-a.example')
    away = d.a.register(aef_n1='n1.domain-a.example')


def tearDownModule():
    d.stop()


class Providers(Case):
    def setUp(self):
        n = str(Providers.n)
        Providers.n += 1
        self.ids = ('aef-p%s' % n, 'aef-q%s' % n)
        self.p = d.a.register(**{
            self.ids[0].replace('-', '_'): 'p%s.example' % n,
            self.ids[1].replace('-', '_'): 'q%s.example' % n})
        self.path = REGISTER + self.p.registration
        self.doc = self.p.doc
        self.funcs = {f['apiProvFuncId']: f
                      for f in self.doc['apiProvFuncs']}

    n = 0

    def aef(self, i):
        return [m for m in self.p.members if m.id == self.ids[i]][0]

    def csr(self):
        return make_csr(make_key(tempfile.mkdtemp(dir=d.extra) + '/key.pem'))

    def patch_funcs(self, funcs, who=None):
        return patch(who or self.p.amf, self.path, {'apiProvFuncs': funcs})

    def now(self):
        return self.ok(patch(self.p.amf, self.path, {}))

    def knows(self, m):
        """401: not any more; 403: yes, but not for this."""
        return d.a.request('GET', '/service-apis/v1/allServiceAPIs', m
                           ).status == 403

    def test_put_with_what_it_was_given(self):
        self.assertEqual(self.ok(put(self.p.amf, self.path, self.doc)),
                         self.doc)
        self.assertEqual(self.now(), self.doc)
        self.assertNotIn('.', self.doc['regSec'])  # the token is not shown

    def test_put_with_the_enrolment_token(self):
        token, other = (d.a.enrolment('provider') for _ in range(2))
        amf = domains.Member(d.a)
        doc = {'regSec': token, 'apiProvFuncs': [
            {'apiProvFuncRole': 'AMF', 'regInfo': {
                'apiProvPubKey': make_csr(amf.key)}}]}
        a = d.a.request('POST', REGISTER[:-1], body=doc)
        self.assertEqual(a.status, 201, a)
        self.assertNotIn(token, a.text())
        domains.write(amf.crt, a.json()['apiProvFuncs'][0]['regInfo'][
            'apiProvCert'])
        path = REGISTER + a.json()['apiProvDomId']
        self.assertEqual(self.ok(put(amf, path, dict(a.json(), regSec=token))),
                         a.json())
        for bad in (other, 'x', token[:-1], self.doc['regSec']):
            self.invalid(put(amf, path, dict(a.json(), regSec=bad)),
                         '/regSec')

    def test_information(self):
        got = self.ok(patch(self.p.amf, self.path,
                            {'apiProvDomInfo': 'of mine'}))
        self.assertEqual(got, dict(self.doc, apiProvDomInfo='of mine'))
        self.assertEqual(self.ok(put(self.p.amf, self.path, self.doc)),
                         self.doc)

    def test_new_key_ends_the_old_certificate(self):
        apf = self.p.apf
        self.assertTrue(self.knows(apf))
        key = make_key(apf.dir + '/new.pem')
        funcs = copy.deepcopy(self.doc['apiProvFuncs'])
        func = [f for f in funcs if f['apiProvFuncId'] == apf.id][0]
        func['regInfo']['apiProvPubKey'] = make_csr(key)
        got = self.ok(self.patch_funcs(funcs))
        new = [f for f in got['apiProvFuncs']
               if f['apiProvFuncId'] == apf.id][0]
        self.assertFalse(self.knows(apf))
        apf.key, apf.crt = key, domains.write(
            apf.dir + '/new.crt', new['regInfo']['apiProvCert'])
        self.assertTrue(self.knows(apf))
        self.assertTrue(all(self.knows(m) for m in self.p.members))
        for f in got['apiProvFuncs']:
            if f is not new:
                self.assertEqual(f, self.funcs[f['apiProvFuncId']])

    def test_new_key_of_an_aef_keeps_its_name(self):
        funcs = copy.deepcopy(self.doc['apiProvFuncs'])
        funcs[1]['regInfo']['apiProvPubKey'] = self.csr()
        got = self.ok(self.patch_funcs(funcs))
        text = domains.run('openssl', 'x509', '-noout', '-ext',
                           'subjectAltName', stdin=got['apiProvFuncs'][1][
                               'regInfo']['apiProvCert'].encode()).decode()
        self.assertIn('DNS:q%s.example' % self.ids[1][5:], text)
        self.assertIn(':aef:' + self.ids[1], text)
        self.assertFalse(self.knows(self.aef(1)))
        self.assertTrue(self.knows(self.aef(0)))

    def test_new_key_of_the_amf_itself(self):
        key = make_key(self.p.amf.dir + '/new.pem')
        funcs = copy.deepcopy(self.doc['apiProvFuncs'])
        func = [f for f in funcs if f['apiProvFuncRole'] == 'AMF'][0]
        func['regInfo']['apiProvPubKey'] = make_csr(key)
        got = self.ok(self.patch_funcs(funcs))
        self.refused(self.patch_funcs(funcs), 401)
        self.p.amf.key, self.p.amf.crt = key, domains.write(
            self.p.amf.dir + '/new.crt',
            [f for f in got['apiProvFuncs'] if f['apiProvFuncRole'] == 'AMF'
             ][0]['regInfo']['apiProvCert'])
        self.assertEqual(self.now(), got)

    def test_functions_added(self):
        new = {'apiProvFuncRole': 'APF',
               'regInfo': {'apiProvPubKey': self.csr()}}
        got = self.ok(self.patch_funcs(self.doc['apiProvFuncs'] + [new]))
        self.assertEqual(got['apiProvFuncs'][:-1], self.doc['apiProvFuncs'])
        self.assertRegex(got['apiProvFuncs'][-1]['apiProvFuncId'], '^apf-')
        self.assertIn('BEGIN CERT', got['apiProvFuncs'][-1]['regInfo'][
            'apiProvCert'])

    def test_aef_removed_and_added_again(self):
        doc = self.p.describe('kept', self.ids[0])
        doc['aefProfiles'].append(copy.deepcopy(doc['aefProfiles'][0]))
        doc['aefProfiles'][1]['aefId'] = self.ids[1]
        kept = self.p.publish(doc).json()
        self.p.publish(self.p.describe('gone', self.ids[1]))
        self.assertIn('gone', one.discover())
        self.ok(self.patch_funcs([f for f in self.doc['apiProvFuncs']
                                  if f['apiProvFuncId'] != self.ids[1]]))
        self.assertFalse(self.knows(self.aef(1)))
        self.assertTrue(self.knows(self.aef(0)))
        found = one.discover()
        self.assertNotIn('gone', found)
        self.assertEqual(found['kept'], dict(
            kept, aefProfiles=kept['aefProfiles'][:1]))
        self.refused(self.p.publish(self.p.describe('x', self.ids[1])), 403)
        new = {'apiProvFuncRole': 'AEF',
               'regInfo': {'apiProvPubKey': self.csr()}}
        got = self.ok(self.patch_funcs(self.now()['apiProvFuncs'] + [new]))
        self.assertEqual(got['apiProvFuncs'][-1]['apiProvFuncId'],
                         self.ids[1])
        self.assertFalse(self.knows(self.aef(1)))  # its old certificate

    def test_aefs_that_the_enrolment_does_not_name(self):
        new = {'apiProvFuncRole': 'AEF',
               'regInfo': {'apiProvPubKey': self.csr()}}
        n = len(self.doc['apiProvFuncs'])
        at = '/apiProvFuncs/%d' % n
        for i in (None, away.aef.id, 'aef-x', home.aef.id):
            func = dict(new, **({'apiProvFuncId': i} if i else {}))
            self.invalid(self.patch_funcs(self.doc['apiProvFuncs'] + [func]),
                         at)
            self.invalid(patch(self.p.amf, self.path, {
                'apiProvFuncs': self.doc['apiProvFuncs'] + [func],
                VS: {'aefs': [{'id': i or 'aef-y', 'dnsName': 'y.example'}]}
            }), at)
        self.assertEqual(self.ok(patch(self.p.amf, self.path, {
            VS: {'aefs': [{'id': 'aef-y', 'dnsName': 'y.example'}]}})),
                         self.doc)

    def test_functions_that_are_wrong(self):
        good = self.doc['apiProvFuncs']
        n = len(good)
        apf = self.funcs[self.p.apf.id]
        for func, param in (
                (apf, ''), ('x', ''), (dict(apf, apiProvFuncId='apf-x'), ''),
                (dict(apf, apiProvFuncId=away.apf.id), ''),
                (dict(apf, apiProvFuncRole='AMF'), ''),
                (dict(apf, apiProvFuncRole='X'), ''),
                (dict(apf, apiProvFuncId=7), '/apiProvFuncId'),
                ({'apiProvFuncRole': 'APF'}, '/regInfo'),
                ({'apiProvFuncRole': 'APF', 'regInfo': {
                    'apiProvPubKey': 'x'}}, '/regInfo')):
            a = self.patch_funcs(good + [func])
            self.invalid(a, '/apiProvFuncs/%d%s' % (n, param))
        for doc, param in (
                ({'apiProvFuncs': None}, '/apiProvFuncs'),
                ({'apiProvFuncs': []}, '/apiProvFuncs'),
                ({'apiProvFuncs': 3 * good}, '/apiProvFuncs'),
                ({'apiProvDomId': 'dom-x'}, '/apiProvDomId'),
                ({'apiProvDomId': None}, '/apiProvDomId'),
                ({'regSec': None}, '/regSec'), ({'regSec': 'x'}, '/regSec'),
                ({'apiProvDomInfo': 7}, '/apiProvDomInfo'),
                ({'suppFeat': 'x'}, '/suppFeat')):
            self.invalid(patch(self.p.amf, self.path, doc), param)
        self.assertEqual(self.now(), self.doc)

    def test_amf_that_asks_must_stay(self):
        self.invalid(self.patch_funcs([
            f for f in self.doc['apiProvFuncs']
            if f['apiProvFuncRole'] != 'AMF']), '/apiProvFuncs')
        self.assertEqual(self.now(), self.doc)

    def test_one_bad_request_of_several_changes_none(self):
        funcs = copy.deepcopy(self.doc['apiProvFuncs'])
        funcs[0]['regInfo']['apiProvPubKey'] = self.csr()
        funcs[1]['regInfo']['apiProvPubKey'] = 'bad'
        self.invalid(self.patch_funcs(funcs), '/apiProvFuncs/1/regInfo')
        self.assertEqual(self.now(), self.doc)
        self.assertTrue(all(self.knows(m) for m in self.p.members))

    def test_malformed(self):
        self.malformed(self.p.amf, self.path)

    def test_other_roles_and_owners(self):
        self.roles(self.path, self.p.amf, (
            None, one, self.p.aef, self.p.apf, home.amf))
        for method in ('PUT', 'PATCH', 'DELETE'):
            self.refused(self.p.amf.request(
                method, REGISTER + 'dom-unknown',
                body=None if method == 'DELETE' else '{}'), 404)
        self.assertEqual(self.now(), self.doc)

    def test_delete_ends_all_access_at_once(self):
        who = d.a.onboard()
        api = self.p.publish(self.p.describe('over')).json()
        home.publish(home.describe('other'))
        who.negotiate('over', 'other')
        a = self.p.amf.request('DELETE', self.path)
        self.assertEqual((a.status, a.body), (204, b''))
        self.assertFalse(any(self.knows(m) for m in self.p.members))
        self.refused(self.p.amf.request('DELETE', self.path), 401)
        self.refused(self.p.publish(api), 401)
        found = one.discover()
        self.assertNotIn('over', found)
        self.assertIn('other', found)
        self.assertIn('other', who.token() and who.ask_token().json()[
            'scope'])  # contexts are for others to end
        self.assertEqual(home.aef.request('GET', who.context).status, 200)

    def test_publications_while_it_is_deleted(self):
        doc = self.p.describe('late')

        def work(i):
            if i == 4:
                return self.p.amf.request('DELETE', self.path).status
            return self.p.publish(doc).status
        got = self.at_once(8, work)
        self.assertEqual(got.pop(4), 204)
        self.assertLessEqual(set(got), {201, 401})
        self.assertNotIn('late', one.discover())

    def test_additions_at_once(self):
        csrs = [self.csr() for _ in range(3)]
        got = self.at_once(3, lambda i: self.patch_funcs(
            self.doc['apiProvFuncs'] + [{'apiProvFuncRole': 'APF', 'regInfo':
                                         {'apiProvPubKey': csrs[i]}}]))
        self.assertEqual([a.status for a in got], 3 * [200])
        now = self.now()
        self.assertIn(now, [a.json() for a in got])  # the last: lists replace


if __name__ == '__main__':
    domains.main()
