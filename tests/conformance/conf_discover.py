# SPDX-License-Identifier: Apache-2.0
"""Discover_Service, with each parameter that its file has."""

import json

import domains
from case import Case, w

KPIS = {'maxReqRate': 10, 'maxRestime': 5, 'availability': 99,
        'avalComp': '5 GFLOPS', 'avalGraComp': '5 GFLOPS',
        'avalMem': '5 GB', 'avalStor': '5 GB', 'conBand': 100}
PLACE = {'dcId': 'dc-7'}


class Discover(Case):
    def go(self, status, who, query=(), valid=True):
        return self.call('Discover_Service', 'GET', '/allServiceAPIs', status,
                         who, query=dict(query), valid=valid)

    def found(self, who=None, **query):
        who = who or w.one
        got = self.go(200, who, {'api-invoker-id': who.id, **{
            k.replace('_', '-'): v for k, v in query.items()}})
        return [x['apiName'] for x in got.get('serviceAPIDescriptions', [])]

    def publish(self):
        doc = w.home.describe('conf-found')
        doc.update(serviceAPICategory='cat', apiSuppFeats='6',
                   supportedFeatures='f')
        doc['aefProfiles'][0].update(
            protocol='HTTP_1_1', dataFormat='JSON', aefLocation=PLACE,
            serviceKpis=KPIS, ueIpRange={'ueIpv4AddrRanges': [
                {'start': '192.0.2.1', 'end': '192.0.2.9'}]})
        a = w.home.publish(doc)
        self.assertEqual(a.status, 201, a)

    def test_get(self):
        query = {'api-invoker-id': w.one.id}
        got = self.go(200, w.one, query)
        self.assertIn(domains.API, [x['apiName'] for x in
                                    got['serviceAPIDescriptions']])
        self.assertEqual(self.found(api_name='none'), [])
        self.go(400, w.one, valid=False)
        self.go(401, None, query)
        self.go(403, w.two, query)
        self.go(403, w.home.apf, query)

    def test_each_parameter(self):
        self.publish()
        all_of = {
            'api_name': ('conf-found', 'other'), 'api_version': ('v1', 'v9'),
            'comm_type': ('REQUEST_RESPONSE', 'SUBSCRIBE_NOTIFY'),
            'protocol': ('HTTP_1_1', 'MQTT'),
            'aef_id': (w.home.aef.id, 'aef-x'),
            'data_format': ('JSON', 'XML'), 'api_cat': ('cat', 'dog'),
            'preferred_aef_loc': (json.dumps(PLACE), '{"dcId":"dc-8"}'),
            'req_api_prov_name': (w.home.registration, 'dom-x'),
            'ue_ip_addr': ('{"ipv4Addr":"192.0.2.5"}',
                           '{"ipv4Addr":"198.51.100.5"}'),
            'service_kpis': ('{"maxReqRate":10}', '{"maxReqRate":11}')}
        for name, (good, bad) in all_of.items():
            with self.subTest(name):
                self.assertIn('conf-found', self.found(**{name: good}))
                self.assertNotIn('conf-found', self.found(**{name: bad}))
        good = {name: values[0] for name, values in all_of.items()}
        for features, names in (('2', ['conf-found']), ('1', [])):
            self.assertEqual(self.found(
                **good, api_supported_features=features,
                supported_features='ff'), names)

    def test_bad_parameters(self):
        for name, value in (
                ('api-name', ''), ('supported-features', 'x'),
                ('api-supported-features', '2'),  # without api-name
                ('preferred-aef-loc', 'x'), ('ue-ip-addr', '{}'),
                ('ue-ip-addr', '{"ipv4Addr":"x"}'),
                ('service-kpis', '{"maxReqRate":-1}')):
            with self.subTest(name=name, value=value):
                self.go(400, w.one, {'api-invoker-id': w.one.id, name: value})
                self.assertEqual([p.split('/')[0]
                                  for p in self.last.params()], [name])
