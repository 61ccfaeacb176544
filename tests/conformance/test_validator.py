# SPDX-License-Identifier: Apache-2.0
"""The validator finds mistakes, so that all that passes means something."""

import copy
import json
import unittest

import openapi
from openapi import PROBLEM
from tap import main

HEAD = {'Content-Type': 'application/json', 'Location': 'x'}
GOOD = {'apiName': 'x', 'supportedFeatures': '0', 'aefProfiles': [
    {'aefId': 'a', 'versions': [{'apiVersion': 'v1'}],
     'interfaceDescriptions': [{'fqdn': 'a.example', 'port': 1}]}]}


def setUpModule():
    global files, op
    files = openapi.Files(openapi.find())
    op = files.operations('TS29222_CAPIF_Publish_Service_API.yaml')[
        'POST', '/{apfId}/service-apis']


def changed(pointer, value):
    """GOOD with that at a place."""
    doc = copy.deepcopy(GOOD)
    *steps, last = [int(s) if s.isdigit() else s for s in pointer.split('/')]
    where = doc
    for step in steps:
        where = where[step]
    where[last] = value
    return doc


class Validator(unittest.TestCase):
    def test_good_messages(self):
        self.assertEqual(op.answer_errors(201, HEAD, GOOD), [])
        self.assertEqual(op.request_errors('application/json', GOOD), [])
        head = dict(HEAD, **{'Content-Type': PROBLEM})
        for status in (400, 409, 503):
            self.assertEqual(op.answer_errors(status, head,
                                              {'status': status}), [])

    def test_bad_documents(self):
        i = 'aefProfiles/0/interfaceDescriptions/0/'
        for pointer, value in (
                ('apiName', 1), ('supportedFeatures', 'x'),
                ('aefProfiles', []), ('apiStatus', {}),
                ('shareableInfo', {'capifProvDoms': ['x']}),
                ('aefProfiles/0/domainName', 'x'),  # oneOf
                (i + 'ipv4Addr', '192.0.2.1'),
                (i + 'port', 65536)):  # in TS29122_CommonData
            with self.subTest(pointer=pointer):
                bad = changed(pointer, value)
                self.assertTrue(op.answer_errors(201, HEAD, bad))
                self.assertTrue(op.request_errors('application/json', bad))

    def test_bad_answers(self):
        for status, head, value in (
                (201, {'Content-Type': 'application/json'}, GOOD),
                (200, HEAD, GOOD), (201, HEAD, None),
                (201, dict(HEAD, **{'Content-Type': PROBLEM}), GOOD),
                (400, HEAD, {'status': 400}),
                (400, {'Content-Type': PROBLEM}, {'status': 'x'}),
                (409, {'Content-Type': PROBLEM}, {'invalidParams': []}),
                (503, {'Content-Type': PROBLEM}, None)):
            with self.subTest(status=status, head=head):
                self.assertTrue(op.answer_errors(status, head, value))

    def test_bad_requests(self):
        self.assertTrue(op.request_errors('application/json', None))
        self.assertTrue(op.request_errors('text/plain', GOOD))
        self.assertTrue(op.query_errors({'x': '1'}))
        self.assertEqual(op.query_errors({'vs-x': '1'}), [])

    def test_nullable(self):
        for nullable, errors in ((True, 0), (False, 1)):
            schema = {'type': 'string', 'nullable': nullable}
            self.assertEqual(len(op.errors(('', schema), None)), errors)

    def test_unknown_references_are_anything(self):
        schema = {'$ref': 'TS99999_None.yaml#/a/b'}
        for value in (1, 'x', json.loads('{"a":[]}')):
            self.assertEqual(op.errors((op.name, schema), value), [])
        self.assertIn('TS99999_None.yaml#/a/b', files.missing)


if __name__ == '__main__':
    if openapi.find() is None:
        print('1..0 # SKIP no OpenAPI files in CAPIF_OPENAPI_DIR or '
              '../shared/spec/openapi')
    else:
        main()
