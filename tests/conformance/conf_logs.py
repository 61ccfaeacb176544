# SPDX-License-Identifier: Apache-2.0
"""The Logging and Auditing APIs."""

import json

from case import Case, w

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
        return {'aefId': w.home.aef.id, 'apiInvokerId': w.one.id,
                'logs': list(entries) or [self.entry()],
                'supportedFeatures': 'f'}

    def test_post(self):
        ids = [w.home.aef.id]
        self.refused(self.API, 'POST', LOG, w.home.aef, ids, self.doc(),
                     (w.one, w.home.apf, w.home.amf), large=1024000)
        self.go('POST', LOG, 403, w.home.aef, ['aef-o1x'], self.doc())
        self.go('POST', LOG, 403, w.home.aef, ids, dict(self.doc(), aefId='x'))
        for name in 'aefId', 'apiInvokerId', 'logs':
            bad = self.doc()
            del bad[name]
            self.go('POST', LOG, 400, w.home.aef, ids, bad, valid=False)
        for name, value in (('logs', []), ('logs', {}), ('aefId', 1),
                            ('apiInvokerId', 1), ('supportedFeatures', 'x')):
            self.go('POST', LOG, 400, w.home.aef, ids,
                    dict(self.doc(), **{name: value}), valid=False)
        for name in ('apiId', 'apiName', 'apiVersion', 'resourceName',
                     'protocol', 'result'):
            bad = self.entry()
            del bad[name]
            self.go('POST', LOG, 400, w.home.aef, ids, self.doc(bad),
                    valid=False)
        for name, value in (('invocationLatency', -1),
                            ('invocationLatency', 1.5), ('uri', 1),
                            ('invocationTime', 7), ('srcInterface', {}),
                            ('destInterface', {'ipv4Addr': '192.0.2.1',
                                               'fqdn': 'a.example'}),
                            ('fwdInterface', [])):
            self.go('POST', LOG, 400, w.home.aef, ids,
                    self.doc(self.entry(**{name: value})), valid=False)
        got = self.go('POST', LOG, 201, w.home.aef, ids, self.doc())
        self.assertEqual(got, dict(self.doc(), supportedFeatures='0'))

    def test_query(self):
        amf, path = w.home.amf, '/apiInvocationLogs'

        def ask(status, who=amf, **query):
            return self.call('Auditing', 'GET', path, status, who, query={
                k.replace('_', '-'): v for k, v in query.items()})
        for name in 'conf-1', 'conf-2':
            self.go('POST', LOG, 201, w.home.aef, [w.home.aef.id],
                    dict(self.doc(self.entry(apiName=name)),
                         apiInvokerId=(w.one if name == 'conf-1'
                                       else w.two).id))
        ask(401, None)
        for other in w.one, w.home.aef, w.home.apf:
            ask(403, other)
        got = ask(200, api_name='conf-1', supported_features='f')
        self.assertEqual(got, dict(
            self.doc(self.entry(apiName='conf-1')), supportedFeatures='0'))
        got = ask(200, aef_id=w.home.aef.id)
        self.assertEqual(len(got['multipleInvocationLogs']), 2)
        ask(404, api_name='none')
        iface = json.dumps({'ipv4Addr': '192.0.2.1'})
        ask(200, api_id='api-x', api_version='v1', api_invoker_id=w.one.id,
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
