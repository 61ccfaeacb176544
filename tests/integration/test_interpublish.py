# SPDX-License-Identifier: Apache-2.0
"""Service APIs published, updated and unpublished across domains (TS 23.222
8.25.2), and known there without being asked for."""

import json
import sqlite3
import time
import urllib.parse

import domains
from domains import VS
from owners import Case, patch, put
from test_authorization import ccf_certificate

REGISTER = '/api-provider-management/v1/registrations/'
DEADLINE = 20


def setUpModule():
    global d, one, far, partner
    d = domains.Domains(third=True)
    one = d.a.onboard()
    far = d.b.register(aef_b7='b7.domain-b.example')
    for ccf in 'ccf-a', 'ccf-b':
        d.reconfigure(ccf, 'aefs = ', 'aefs = aef-b7, ')
    partner = ccf_certificate(d.b, d.b.id)  # CCF-B, as A sees it


def tearDownModule():
    d.stop()


def store(ccf, sql, *args):
    db = sqlite3.connect('file:%s/%s/store.db?mode=ro' % (d.dir, ccf),
                         uri=True)
    try:
        return db.execute(sql, args).fetchall()
    finally:
        db.close()


def known(name, ccf='ccf-a'):
    """What a CCF has of a partner's API, by name."""
    rows = store(ccf, 'SELECT doc FROM api WHERE api_name = ?', name)
    return json.loads(rows[0][0]) if rows else None


class Published(Case):
    maxDiff = None

    def until(self, wanted):
        end = time.monotonic() + DEADLINE
        while not (got := wanted()):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        return got

    def share(self, name):
        self.doc = far.publish(far.describe(name, partner=d.a.id)).json()
        self.path = '/published-apis/v1/%s/service-apis/%s' % (
            far.apf.id, self.doc['apiId'])
        self.until(lambda: known(name))
        return self.doc

    def test_known_though_the_partner_is_away(self):
        doc = self.share('told')
        d.end('ccf-b')
        try:
            self.assertEqual(one.discover()['told'], doc)
        finally:
            d.begin('ccf-b')

    def test_the_same_as_a_discovery_says(self):
        self.share('same')
        row = 'SELECT doc FROM api WHERE api_name = ?'
        before = store('ccf-a', row, 'same')
        self.assertIn('same', one.discover())
        self.assertEqual(store('ccf-a', row, 'same'), before)

    def test_updated(self):
        self.share('updated')
        self.ok(patch(far.apf, self.path, {'description': 'new'}))
        self.until(lambda: known('updated').get('description') == 'new')

    def test_not_shared_any_more(self):
        self.share('unshared')
        self.ok(patch(far.apf, self.path, {'shareableInfo': {
            'isShareable': False}}))
        self.until(lambda: known('unshared') is None)
        self.ok(put(far.apf, self.path, self.doc))
        self.until(lambda: known('unshared'))

    def test_unpublished(self):
        self.share('unpublished')
        self.assertEqual(far.apf.request('DELETE', self.path).status, 204)
        self.until(lambda: known('unpublished') is None)

    def test_provider_deregistered(self):
        p = d.b.register(aef_b9='b9.domain-b.example')
        doc = p.describe('deregistered', aef=p.aef.id, partner=d.a.id)
        undo = [d.reconfigure(ccf, 'aefs = ', 'aefs = aef-b9, ')
                for ccf in ('ccf-a', 'ccf-b')]
        try:
            self.assertEqual(p.publish(doc).status, 201)
            self.until(lambda: known('deregistered'))
            a = p.amf.request('DELETE', REGISTER + p.registration)
            self.assertEqual(a.status, 204, a)
            self.until(lambda: known('deregistered') is None)
        finally:
            for restore in undo:
                restore()

    def test_denied_by_policy(self):
        doc = self.share('guarded')
        where = ('/access-control-policy/v1/accessControlPolicyList/%s?%s'
                 % (doc['apiId'], urllib.parse.urlencode(
                     {'aef-id': far.aef.id})))
        a = far.amf.request('PUT', where, body={
            'apiInvokerPolicies': [], VS: {'othersDenied': True}})
        self.assertEqual(a.status, 201, a)
        self.until(lambda: known('guarded') is None)
        self.assertEqual(far.amf.request('DELETE', where).status, 204)
        self.until(lambda: known('guarded'))

    def test_with_the_partner_away(self):
        d.end('ccf-a')
        try:
            for name in 'away-1', 'away-2':
                far.publish(far.describe(name, partner=d.a.id))
        finally:
            d.begin('ccf-a')
        self.until(lambda: known('away-1') and known('away-2'))

    def test_negotiated_without_having_been_discovered(self):
        doc = self.share('unseen')
        who = d.a.onboard()
        a = who.put(who.wish(doc))
        self.assertEqual(a.status, 201, a)

    def test_not_passed_on(self):
        self.share('not-yours')
        doc = one.ccf.register(aef_a5='a5.domain-a.example')
        d.reconfigure('ccf-a', 'aefs = ', 'aefs = aef-a5, ')
        own = doc.describe('ours', aef='aef-a5')
        own['shareableInfo'] = {'isShareable': True}
        self.assertEqual(doc.publish(own).status, 201)
        told = "SELECT ccf_id, api_id FROM shared"
        rows = self.until(lambda: store('ccf-a', told))
        mine = {x for x, in store('ccf-a', 'SELECT api_id FROM api'
                                  ' WHERE ccf_id = ?', d.a.id)}
        self.assertLessEqual({api for _, api in rows}, mine)
        self.assertIsNone(known('not-yours', 'ccf-c'))


class Refused(Case):
    """What A does not take from a partner; nothing changes."""

    def setUp(self):
        self.doc = far.describe('refused', partner=d.a.id)
        self.doc[VS] = {'apiId': 'api-refused'}
        self.doc['pubApiPath'] = {'ccfIds': [d.b.id]}
        self.where = '/published-apis/v1/%s/service-apis' % d.b.id

    def ask(self, method, path=None, body=None, **kw):
        return d.a.request(method, path or self.where, partner, body=body,
                           **kw)

    def no(self, status, doc, path=None):
        a = self.ask('POST', path, doc)
        self.assertEqual(a.status, status, a)
        self.assertIsNone(known('refused'))

    def test_without_what_makes_it_shared(self):
        for info in (None, {'isShareable': False}, {'isShareable': True},
                     {'isShareable': True, 'capifProvDoms': ['x.example']},
                     {'isShareable': True, 'capifProvDoms': [
                         d.a.id, 'x.example']}):
            doc = dict(self.doc, shareableInfo=info)
            if info is None:
                del doc['shareableInfo']
            self.no(403, doc)

    def test_loop(self):
        self.no(403, dict(self.doc, pubApiPath={'ccfIds': [d.b.id, d.a.id]}))

    def test_aefs_that_are_not_in_the_agreement(self):
        good = self.doc['aefProfiles']
        other = dict(good[0], aefId='aef-x')
        self.no(403, dict(self.doc, aefProfiles=[other]))
        a = self.ask('POST', body=dict(self.doc, aefProfiles=[
            other, *good]))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(a.json()['aefProfiles'], good)  # as if asked for
        a = self.ask('DELETE', self.where + '/api-refused')
        self.assertEqual(a.status, 204, a)

    def test_of_another_domain(self):
        self.no(400, dict(self.doc, ccfId=d.a.id))
        self.no(403, self.doc, '/published-apis/v1/%s/service-apis' % d.a.id)

    def test_an_id_of_ours(self):
        """Whose API it is does not change by somebody else's publishing."""
        own = one.ccf.register(aef_a6='a6.domain-a.example')
        api = own.publish(own.describe('mine')).json()
        self.doc[VS]['apiId'] = api['apiId']
        self.assertEqual(self.ask('POST', body=self.doc).status, 201)
        who = d.a.onboard()
        for aef, status in (own.aef.id, 201), ('aef-b7', 403):
            wish = who.wish(api, aef)
            del wish[VS]
            self.assertEqual(who.put(wish).status, status)
        a = self.ask('DELETE', '%s/%s' % (self.where, api['apiId']))
        self.assertEqual(a.status, 204, a)

    def test_malformed(self):
        self.no(400, dict(self.doc, aefProfiles=[]))
        self.no(400, dict(self.doc, apiId='api-x'))
        plain = json.loads(json.dumps(self.doc))
        plain['aefProfiles'][0][VS] = {'controlUrl': 'http://x.example'}
        self.no(400, plain)
        for bad in 'x/y', 'x' * 65, 7, '':
            self.no(400, dict(self.doc, **{VS: {'apiId': bad}}))

    def test_without_an_id_of_its_own(self):
        del self.doc[VS]
        a = self.ask('POST', body=self.doc)
        self.assertEqual(a.status, 201, a)
        where = a.headers['Location'][len(d.a.url):]
        self.assertEqual(where, '%s/%s' % (self.where, a.json()['apiId']))
        self.assertEqual(self.ask('DELETE', where).status, 204)

    def test_each_operation(self):
        a = self.ask('POST', body=self.doc)
        self.assertEqual(a.status, 201, a)
        path = self.where + '/api-refused'
        self.assertEqual(a.headers['Location'], d.a.url + path)
        want = dict(self.doc, apiId='api-refused', ccfId=d.b.id)
        del want['pubApiPath'], want[VS]
        self.assertEqual(a.json(), want)
        self.assertEqual(self.ask('POST', body=self.doc).status, 201)
        self.assertEqual(self.ask('GET', path).json(), want)
        self.assertIn(want, self.ask('GET').json())
        got = self.ask('PUT', path, dict(self.doc, description='x'))
        self.assertEqual(got.json(), dict(want, description='x'))
        got = self.ask('PATCH', path, json.dumps({'description': 'y'}),
                       headers={'Content-Type': 'application/merge-patch+json'})
        self.assertEqual(got.json(), dict(want, description='y'))
        a = self.ask('PUT', path, dict(self.doc, shareableInfo={
            'isShareable': False}))
        self.assertEqual(a.status, 403, a)
        a = self.ask('PATCH', path, json.dumps({'apiName': 'other'}),
                     headers={'Content-Type': 'application/merge-patch+json'})
        self.assertEqual(a.status, 400, a)
        for method, body in (('GET', None), ('PUT', self.doc),
                             ('DELETE', None)):
            a = self.ask(method, self.where + '/api-none', body)
            self.assertEqual(a.status, 404, a)
        self.assertEqual(self.ask('DELETE', path).status, 204)
        self.assertEqual(self.ask('DELETE', path).status, 404)
        self.assertIsNone(known('refused'))


if __name__ == '__main__':
    domains.main()
