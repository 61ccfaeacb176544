# SPDX-License-Identifier: Apache-2.0
"""PUT and PATCH by owners, and what is refused to everybody else."""

import json
import threading
import unittest

MERGE = 'application/merge-patch+json'
HUGE = 'A' * 70000


def patch(who, path, doc, kind=MERGE):
    return who.request('PATCH', path, body=json.dumps(doc)
                       if not isinstance(doc, str) else doc,
                       headers={'Content-Type': kind})


def put(who, path, doc):
    return who.request('PUT', path, body=doc)


class Case(unittest.TestCase):
    def ok(self, a):
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.headers['Content-Type'], 'application/json')
        return a.json()

    def invalid(self, a, *params):
        self.assertEqual(a.status, 400, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertEqual(set(a.params()), set(params), a)

    def refused(self, a, status):
        self.assertEqual(a.status, status, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')

    def malformed(self, who, path):
        """Whatever it is, it is refused, and nothing comes of it."""
        for body in ('', '{', '[]', 'null', '"x"', '{"a":1,"a":2}'):
            for method, kind in (('PUT', 'application/json'),
                                 ('PATCH', MERGE)):
                a = who.request(method, path, body=body,
                                headers={'Content-Type': kind})
                self.refused(a, 400)
        for kind in ('application/json', 'application/json-patch+json',
                     'text/plain'):
            self.refused(patch(who, path, {}, kind), 415)
        self.refused(who.request('PUT', path, body='{}', headers={
            'Content-Type': MERGE}), 415)
        self.refused(patch(who, path, {'x': HUGE}), 413)
        self.refused(put(who, path, {'x': HUGE}), 413)

    def roles(self, path, may, others, methods=('PUT', 'PATCH', 'DELETE')):
        for method in methods:
            for who in others:
                a = may.ccf.request(method, path, who, body=None
                                    if method == 'DELETE' else '{}')
                self.refused(a, 401 if who is None else 403)

    def at_once(self, n, fn):
        """fn(i) in n threads; what they returned."""
        start, got = threading.Barrier(n), [None] * n

        def work(i):
            start.wait()
            got[i] = fn(i)

        threads = [threading.Thread(target=work, args=(i,))
                   for i in range(n)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return got
