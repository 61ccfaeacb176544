# SPDX-License-Identifier: Apache-2.0
"""What conformance tests share: both domains, who takes part, and calls that
are validated both ways."""

import json
import re
import unittest
import urllib.parse
from types import SimpleNamespace

import domains
from domains import FORM

import openapi
import receiver

MERGE = 'application/merge-patch+json'
PROBLEM = 'application/problem+json'
APIS = {n: 'TS29222_CAPIF_%s_API.yaml' % n for n in (
    'API_Invoker_Management', 'API_Provider_Management', 'Publish_Service',
    'Discover_Service', 'Security', 'Events', 'Logging_API_Invocation',
    'Auditing', 'Access_Control_Policy', 'Routing_Info')}
APIS['AEF_Security'] = 'TS29222_AEF_Security_API.yaml'
BASES = {'API_Invoker_Management': '/api-invoker-management/v1',
         'API_Provider_Management': '/api-provider-management/v1',
         'Publish_Service': '/published-apis/v1',
         'Discover_Service': '/service-apis/v1',
         'Security': '/capif-security/v1',
         'Events': '/capif-events/v1',
         'Logging_API_Invocation': '/api-invocation-logs/v1',
         'Auditing': '/logs/v1',
         'Access_Control_Policy': '/access-control-policy/v1',
         'Routing_Info': '/capif-routing-info/v1',
         'AEF_Security': '/aef-security/v1'}
ROUTES = re.findall(r'\{ "([A-Z]+)",\s*"([^"]+)",', ''.join(
    domains.read(domains.SOURCE + x) for x in ('/ccf/routes.c',
                                               '/aef/control.c')))
ops, seen, told_of = {}, {}, set()
w = SimpleNamespace()


def start():
    where = openapi.find()
    w.files = openapi.Files(where) if where else None
    for api, name in APIS.items() if w.files else ():
        assert w.files.base(name) == BASES[api], api
        for (method, path), op in w.files.operations(name).items():
            ops[api, method, path] = op
    w.d = d = domains.Domains()
    w.told = receiver.Receiver(d)
    d.reconfigure('ccf-a', 'kek = ',
                  'notification-ca = %s\nkek = ' % w.told.ca)
    w.one, w.two = d.a.onboard(), d.a.onboard()
    w.home = d.a.register(aef_o1='o1.domain-a.example',
                          aef_o2='o2.domain-a.example')
    return w


def stop():
    w.d.stop()
    w.told.stop()


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
        a = (w.d.aef_control if api == 'AEF_Security' else w.d.a.request)(
            method, url, who, headers=head, body=text)
        self.assertEqual(a.status, status, a)
        value = self.own(a, method, path, url)
        seen.setdefault((api, method, path), set()).add(status)
        op = ops.get((api, method, path))
        if w.files is not None:
            self.assertIsNotNone(op, 'no such operation: ' + path)
            sent = self.sent(op, kind, body, query or {})
            self.assertEqual(sent == [], valid, sent)
            self.assertEqual(op.answer_errors(a.status, a.headers, value), [],
                             a)
        self.last = a
        return value

    def called(self, api, method, path, label, n):
        """The bodies of the first n callbacks of an operation, validated."""
        def mine(notes):
            return [x for x in notes if x.path == '/' + label]
        got = w.told.wait(lambda notes: len(mine(notes)) >= n)
        self.assertIsNotNone(got, label)
        for note in mine(got):
            self.assertIn(('DNS', w.d.a.id), note.peer['subjectAltName'])
            self.assertRegex(note.key, '^"[^"]+"$')
            if w.files is not None:
                self.assertEqual(self.callback_errors(api, method, path,
                                                      note), [], note.body)
        return [x.body for x in mine(got)]

    def callback_errors(self, api, method, path, note):
        callback = ops[api, method, path].callbacks()[
            'notificationDestination']
        if set(note.body) == {'subscription'}:
            return callback.errors((openapi.COMMON, {
                '$ref': '#/components/schemas/TestNotification'}), note.body)
        told_of.add((api, method, path))
        return callback.request_errors(note.headers['Content-Type'],
                                       note.body)

    def sent(self, op, kind, body, query):
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except ValueError:
                return ['no JSON']
        return op.request_errors(kind, body) + op.query_errors(query)

    def own(self, a, method, path, url):
        """Without any files: media types, problems, Location."""
        if a.status in (202, 204):
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
                re.escape(w.d.a.url + url), '' if method == 'PUT' else
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
