# SPDX-License-Identifier: Apache-2.0
"""Invocation logs by AEFs (TS 29.222 8.7), and what AMFs find (8.8)."""

import json
import signal
import sqlite3
import unittest
import urllib.parse

import domains
from domains import API, VS
from owners import Case

AUDIT = '/logs/v1/apiInvocationLogs'


def setUpModule():
    global d, one, home, away, api
    d = domains.Domains()
    d.reconfigure('ccf-a', '[ccf]\n', '[ccf]\naudit-max = 150\n'
                  'log-days = 1\n')
    one = d.a.onboard()
    home = d.a.register(aef_h1='h1.example', aef_h2='h2.example')
    away = d.a.register(aef_w1='w1.example')
    api = home.publish(home.describe('logged')).json()


def tearDownModule():
    d.stop()


def entry(**more):
    return {'apiId': api['apiId'], 'apiName': 'logged', 'apiVersion': 'v1',
            'resourceName': 'r', 'protocol': 'HTTP_2', 'result': '200',
            **more}


def log(aef, *entries, **more):
    return {'aefId': aef.id, 'apiInvokerId': one.id, 'logs': list(entries),
            **more}


def post(aef, doc, key=None, path=None):
    return aef.request('POST', '/api-invocation-logs/v1/%s/logs'
                       % (path or aef.id), body=doc,
                       headers={'Idempotency-Key': key} if key else {})


def audit(provider, **query):
    return provider.amf.request('GET', AUDIT + '?' + urllib.parse.urlencode(
        {k.replace('_', '-'): v for k, v in query.items()}))


def store(text):
    db = sqlite3.connect('%s/ccf-a/store.db' % d.dir, timeout=10)
    with db:
        rows = db.execute(text).fetchall()
    db.close()
    return rows


class Logs(Case):
    def created(self, a, aef):
        self.assertEqual(a.status, 201, a)
        self.assertRegex(a.headers['Location'],
                         '^%s/api-invocation-logs/v1/%s/logs/log-[0-9a-f]{16}$'
                         % (d.a.url, aef.id))
        return a.headers['Location']

    def test_logged_and_found(self):
        doc = log(home.aef, entry(apiName='plain', result='503'))
        a = post(home.aef, doc)
        self.created(a, home.aef)
        self.assertEqual(a.json(), doc)
        self.assertEqual(self.ok(audit(home, api_name='plain')), doc)
        self.refused(audit(away, api_name='plain'), 404)
        self.refused(audit(away), 404)
        self.refused(d.b.register(aef_z1='z1.example').amf.request(
            'GET', AUDIT), 404)

    def test_idempotency_key(self):
        doc = log(home.aef, entry(apiName='once'))
        first = self.created(post(home.aef, doc, '"k1"'), home.aef)
        d.restart('ccf-a', signal.SIGKILL)
        for _ in range(2):
            a = post(home.aef, doc, '"k1"')
            self.assertEqual(self.created(a, home.aef), first)
            self.assertEqual(a.json(), doc)
        self.assertEqual(self.ok(audit(home, api_name='once')), doc)
        self.refused(post(home.aef, log(home.aef, entry()), '"k1"'), 422)
        other = [m for m in home.members if m.role == 'AEF'
                 and m is not home.aef][0]
        self.created(post(other, dict(doc, aefId=other.id), '"k1"'), other)
        self.created(post(home.aef, doc, '"k2"'), home.aef)
        for key in 'x' * 129, 'a\xe9':
            self.refused(post(home.aef, doc, key), 400)

    def test_at_once_with_one_key(self):
        doc = log(home.aef, entry(apiName='at-once'))
        got = self.at_once(8, lambda i: post(home.aef, doc, 'at-once'))
        self.assertEqual(len({self.created(a, home.aef) for a in got}), 1)
        self.assertEqual(self.ok(audit(home, api_name='at-once')), doc)

    def test_a_thousand(self):
        many = [entry(apiName='many', invocationLatency=i,
                      inputParameters='x' * 600,
                      invocationTime='2026-01-01T00:%02d:%02dZ'
                      % divmod(i, 60)) for i in range(1000)]
        self.created(post(home.aef, log(home.aef, *many)), home.aef)
        got = self.ok(audit(home, api_name='many'))
        self.assertEqual(got[VS], {'truncated': True})
        self.assertEqual(got['logs'], many[:-151:-1])
        got = self.ok(audit(home, api_name='many',
                            time_range_start='2026-01-01T00:00:10Z',
                            time_range_end='2026-01-01T01:00:11+01:00'))
        self.assertEqual(got, log(home.aef, many[11], many[10]))
        a = post(home.aef, log(home.aef, *many, entry()))
        self.invalid(a, '/logs')
        self.invalid(post(home.aef, log(home.aef, entry(
            inputParameters='x' * 8192))), '/logs/0')

    def test_partner_s_invoker(self):
        theirs = log(home.aef, entry(apiName='theirs'), **{
            VS: {'ccfId': d.b.id}})
        ours = log(home.aef, entry(apiName='theirs'))
        for doc in theirs, dict(ours, **{VS: {'ccfId': d.a.id}}):
            self.created(post(home.aef, doc), home.aef)
        got = self.ok(audit(home, api_name='theirs'))
        self.assertEqual(got, {'multipleInvocationLogs': [ours, theirs]})
        self.assertEqual(self.ok(audit(home, api_name='theirs', **{
            'vs-src-ccf-id': d.b.id})), theirs)
        self.invalid(post(home.aef, dict(ours, **{VS: {'ccfId': 'X'}})),
                     '/' + VS)

    def test_apis_of_others_and_of_the_past(self):
        doc = log(home.aef, entry(), entry(apiId='api-past',
                                           apiName='past'))
        self.created(post(home.aef, doc), home.aef)
        doc = log(away.aef, entry(apiId='api-past'), entry())
        self.refused(post(away.aef, doc), 403)
        self.refused(audit(away), 404)
        self.refused(post(away.aef, log(home.aef, entry())), 403)
        self.refused(post(away.aef, log(away.aef, entry()),
                          path=home.aef.id), 403)

    def test_malformed(self):
        for more, param in (({'apiId': 'a b'}, ''),
                            ({'invocationTime': '2026-01-01'}, ''),
                            ({'result': 200}, '/result'),
                            ({'srcInterface': {'port': 1}}, '/srcInterface'),
                            ({'destInterface': []}, '/destInterface'),
                            ({'invocationLatency': -1},
                             '/invocationLatency')):
            self.invalid(post(home.aef, log(home.aef, entry(), entry(**more))),
                         '/logs/1' + param)
        self.invalid(post(home.aef, log(home.aef, entry(),
                                        apiInvokerId='a/b')), '/')

    def test_what_is_old_goes(self):
        self.created(post(away.aef, log(away.aef, entry(
            apiId='api-old', apiName='old'))), away.aef)
        self.ok(audit(away, api_name='old'))
        store('UPDATE invocation SET received = received - 86500')
        for _ in range(3):  # a thousand at once
            self.created(post(away.aef, log(away.aef, entry(
                apiId='api-new', apiName='new'))), away.aef)
        self.refused(audit(away, api_name='old'), 404)
        self.assertEqual(len(self.ok(audit(away, api_name='new'))['logs']), 3)
        store("DELETE FROM invocation WHERE api_name = 'new'")


class Onboarding(unittest.TestCase):
    def test_apis_asked_for_are_looked_up_by_name(self):
        home.publish(home.describe('asked')).json()
        csr = domains.make_csr(domains.make_key(d.extra + '/asked.key'))
        for wanted, n in (({'apiName': 'asked'}, 1),
                          ({'apiName': 'logged', 'apiId': api['apiId']}, 1),
                          ({'apiName': 'asked', 'apiId': api['apiId']}, 0),
                          ({'apiName': API + '-none'}, 0)):
            a = d.a.onboard_request(d.a.enrolment(), csr, apiList={
                'serviceAPIDescriptions': [wanted]})
            self.assertEqual(a.status, 201, a)
            got = a.json().get('apiList', {}).get('serviceAPIDescriptions', [])
            self.assertEqual([x['apiName'] for x in got],
                             n * [wanted['apiName']])


if __name__ == '__main__':
    domains.main()
