# SPDX-License-Identifier: Apache-2.0
"""What an invoker finds by each filter of a discovery (TS 29.222 8.1.2.2.3.1),
in its own domain and, asked of it, in a partner's."""

import json
import urllib.parse

import domains
from domains import VS
from owners import Case

KPIS = {'maxReqRate': 10, 'availability': 99, 'avalMem': '5 GB'}
PLACE = {'dcId': 'dc-7'}


def setUpModule():
    global d, one, names
    d = domains.Domains()
    for ccf in 'ccf-a', 'ccf-b':
        d.reconfigure(ccf, 'aefs = ', 'aefs = aef-f2, ')
    one = d.a.onboard()
    homes = {'near': d.a.register(aef_f1='f1.domain-a.example'),
             'there': d.b.register(aef_f2='f2.domain-b.example')}
    names = {n: (p.aef.id, p.registration) for n, p in homes.items()}
    for name, home in homes.items():
        a = home.publish(rich(home.describe(
            name, partner=d.a.id if name == 'there' else None)))
        assert a.status == 201, a


def tearDownModule():
    d.stop()


def rich(doc):
    """Something that each filter can find."""
    doc.update(serviceAPICategory='cat', apiSuppFeats='6')
    doc['aefProfiles'][0].update(
        protocol='HTTP_1_1', dataFormat='JSON', aefLocation=PLACE,
        serviceKpis=KPIS, ueIpRange={
            'ueIpv4AddrRanges': [{'start': '192.0.2.1', 'end': '192.0.2.9'}],
            'ueIpv6AddrRanges': [{'start': '2001:db8::1',
                                  'end': '2001:db8::f'}]})
    return doc


def ask(**query):
    return one.request('GET', '/service-apis/v1/allServiceAPIs?'
                       + urllib.parse.urlencode({
                           'api-invoker-id': one.id, **{
                               k.replace('_', '-'): v
                               for k, v in query.items()}}))


class Discover(Case):
    def found(self, **query):
        got = self.ok(ask(**query)).get('serviceAPIDescriptions', [])
        return {x['apiName'] for x in got} & set(names)

    def finds(self, name, good, *bad):
        """Both by what they have, none by what they haven't."""
        self.assertEqual(self.found(**{name: good}), set(names), (name, good))
        for value in bad:
            self.assertEqual(self.found(**{name: value}), set(),
                             (name, value))

    def test_by_what_both_have(self):
        for name, *values in (
                ('api_version', 'v1', 'v9'),
                ('comm_type', 'REQUEST_RESPONSE', 'SUBSCRIBE_NOTIFY'),
                ('protocol', 'HTTP_1_1', 'HTTP_2', 'MQTT'),
                ('data_format', 'JSON', 'XML'), ('api_cat', 'cat', 'Cat'),
                ('preferred_aef_loc', json.dumps(PLACE), '{"dcId":"dc-8"}'),
                ('ue_ip_addr', '{"ipv4Addr":"192.0.2.9"}',
                 '{"ipv4Addr":"192.0.2.10"}', '{"ipv6Addr":"2001:db8::10"}'),
                ('service_kpis', '{"maxReqRate":10}', '{"maxReqRate":11}',
                 '{"maxReqRate":1,"availability":100}')):
            with self.subTest(name):
                self.finds(name, *values)

    def test_by_what_one_has(self):
        for name, (aef, provider) in names.items():
            for query in ({'api_name': name}, {'aef_id': aef},
                          {'req_api_prov_name': provider}):
                with self.subTest(**query):
                    self.assertEqual(self.found(**query), {name})

    def test_objects_as_parameters_of_their_members(self):
        """style form, as the files have these two."""
        self.finds('ipv6Addr', '2001:db8::f', '2001:db8::10')
        self.finds('maxReqRate', 9, 11)
        self.finds('avalMem', '5 GB', '6 GB')

    def test_features_of_an_api_by_its_name(self):
        for features, want in (('2', {'there'}), ('6', {'there'}),
                               ('1', set()), ('7', set())):
            self.assertEqual(self.found(
                api_name='there', api_supported_features=features), want)

    def test_all_of_them_must_match(self):
        good = {'api_version': 'v1', 'protocol': 'HTTP_1_1', 'api_cat': 'cat',
                'service_kpis': '{"maxReqRate":10}'}
        self.assertEqual(self.found(**good), set(names))
        for name in good:
            bad = dict(good, **{name: '{"maxReqRate":11}' if name ==
                                'service_kpis' else 'v9'})
            self.assertEqual(self.found(**bad), set(), name)

    def test_what_providers_say_of_themselves_stays_between_ccfs(self):
        for api in self.ok(ask())['serviceAPIDescriptions']:
            self.assertNotIn('apiProvDomId', api.get(VS, {}))

    def test_what_was_not_asked_for_stays_known(self):
        self.found(api_name='near')
        self.found(protocol='MQTT')
        self.assertEqual(self.found(), set(names))

    def test_bad_values(self):
        for name, value in (
                ('api-name', ''), ('api-name', 'x' * 257),
                ('supported-features', 'x'), ('api-supported-features', '2'),
                ('preferred-aef-loc', '[]'), ('ue-ip-addr', 'x'),
                ('ue-ip-addr', '{}')):
            with self.subTest(name=name, value=value[:20]):
                self.invalid(ask(**{name: value}), name)
        self.invalid(ask(service_kpis='{"maxReqRate":"x"}'),
                     'service-kpis/maxReqRate')

    def test_who_asks(self):
        self.assertEqual(one.request(
            'GET', '/service-apis/v1/allServiceAPIs').status, 400)
        self.assertEqual(ask(api_invoker_id='inv-x').status, 403)


if __name__ == '__main__':
    domains.main()
