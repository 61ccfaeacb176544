# SPDX-License-Identifier: Apache-2.0
"""What an invoker finds by each filter of a discovery (TS 29.222 8.1.2.2.3.1),
in its own domain and, asked of it, in a partner's."""

import copy
import json
import urllib.parse

import domains
from domains import VS
from owners import Case

KPIS = {'maxReqRate': 10, 'maxRestime': 20, 'availability': 99,
        'avalComp': '2.5 GFLOPS', 'avalGraComp': '1 TFLOPS',
        'avalMem': '5 GB', 'avalStor': '1 TB', 'conBand': 100}
PLACE = {'dcId': 'dc-7', 'civicAddr': {'country': 'DE', 'A1': 'BE'}}

# name, value, and what of the value is wrong
BAD = [(name, value) for name in (
    'api-name', 'api-version', 'comm-type', 'protocol', 'aef-id',
    'data-format', 'api-cat', 'req-api-prov-name')
       for value in ('', 'x' * 257, b'\xff')] + [
    ('supported-features', 'x'), ('supported-features', '1' * 65),
    ('api-supported-features', '2'), ('preferred-aef-loc', '[]'),
    ('preferred-aef-loc', ''), ('preferred-aef-loc', '{"dcId":1}', '/dcId'),
    ('preferred-aef-loc', '{"geoArea":1}', '/geoArea'),
    ('preferred-aef-loc', '{"civicAddr":{"A1":1}}', '/civicAddr/A1'),
    ('preferred-aef-loc', '{"x":"%s"}' % ('x' * 4096)),
    ('ue-ip-addr', 'x'), ('ue-ip-addr', '{}'),
    ('ue-ip-addr', '{"ipv4Addr":"192.0.2.1","ipv6Addr":"::1"}'),
    ('ue-ip-addr', '{"ipv4Addr":"192.0.2.256"}', '/ipv4Addr'),
    ('service-kpis', '1'), ('service-kpis', '{"maxReqRate":1,"maxReqRate":1}'),
    ('service-kpis', '{"maxReqRate":"x"}', '/maxReqRate'),
    ('service-kpis', '{"availability":-1}', '/availability'),
    ('service-kpis', '{"avalMem":"5 gb"}', '/avalMem'),
    ('service-kpis', '{"avalComp":"5 GB"}', '/avalComp')]


def setUpModule():
    global d, one, names, near
    d = domains.Domains()
    for ccf in 'ccf-a', 'ccf-b':
        d.reconfigure(ccf, 'aefs = ', 'aefs = aef-f2, ')
    one = d.a.onboard()
    homes = {'near': d.a.register(aef_f1='f1.domain-a.example',
                                     aef_f3='f3.domain-a.example'),
             'there': d.b.register(aef_f2='f2.domain-b.example')}
    near = homes['near']
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

    def test_each_kpi(self):
        """As good or better; of a time, less is better."""
        for name, same, better, worse in (
                ('maxReqRate', 10, 11, 9), ('maxRestime', 20, 19, 21),
                ('availability', 99, 100, 0), ('conBand', 100, 101, 99),
                ('avalComp', '2500 MFLOPS', '2.6 GFLOPS', '9 kFLOPS'),
                ('avalGraComp', '1000 GFLOPS', '1 PFLOPS', '999 GFLOPS'),
                ('avalMem', '5000 MB', '5.1 GB', '9 KB'),
                ('avalStor', '1000 GB', '2 TB', '2 GB')):
            with self.subTest(name):
                self.finds('service_kpis', json.dumps({name: same}),
                           json.dumps({name: better}))
                self.finds('service_kpis', json.dumps({name: worse}))
                self.finds(name, same, better)

    def test_equal_quantities_in_other_units(self):
        """However numbers with fractions are rounded."""
        for n, (has, want) in enumerate((('1.001 GB', '1001 MB'),
                                         ('1001 MB', '1.001 GB'),
                                         ('1.009 TB', '1009000 MB'),
                                         ('1009 GB', '1.009 TB'))):
            name = 'rounded-%d' % n
            doc = rich(near.describe(name))
            doc['aefProfiles'][0]['serviceKpis'] = {'avalStor': has}
            self.assertEqual(near.publish(doc).status, 201)
            got = self.ok(ask(api_name=name, service_kpis=json.dumps(
                {'avalStor': want})))
            self.assertIn('serviceAPIDescriptions', got, (has, want))

    def test_parts_of_a_place(self):
        for good, bad in (({'dcId': 'dc-7'}, {'dcId': 'dc'}),
                          ({'civicAddr': {'A1': 'BE'}},
                           {'civicAddr': {'A1': 'BE', 'A2': 'x'}}),
                          (PLACE, dict(PLACE, geoArea={'shape': 'POINT'}))):
            self.finds('preferred_aef_loc', json.dumps(good),
                       json.dumps(bad))

    def test_one_profile_must_have_all(self):
        """What two profiles have between them doesn't count, and only the
        profile that matches is shown."""
        doc = near.describe('two-profiles', 'aef-f1')
        other = copy.deepcopy(doc['aefProfiles'][0])
        other['aefId'] = 'aef-f3'
        other['interfaceDescriptions'][0]['fqdn'] = 'f3.domain-a.example'
        doc['aefProfiles'][0]['protocol'] = 'HTTP_1_1'
        other['protocol'] = 'HTTP_2'
        doc['aefProfiles'].append(other)
        self.assertEqual(near.publish(doc).status, 201)
        for query, want in (({}, ['aef-f1', 'aef-f3']),
                            ({'aef_id': 'aef-f3'}, ['aef-f3']),
                            ({'protocol': 'HTTP_1_1'}, ['aef-f1']),
                            ({'aef_id': 'aef-f3', 'protocol': 'HTTP_2'},
                             ['aef-f3']),
                            ({'aef_id': 'aef-f3', 'protocol': 'HTTP_1_1'},
                             None)):
            with self.subTest(**query):
                got = self.ok(ask(api_name='two-profiles', **query)).get(
                    'serviceAPIDescriptions')
                self.assertEqual(got and [p['aefId'] for p in
                                          got[0]['aefProfiles']], want)

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
        for name, value, *member in BAD:
            with self.subTest(name=name, value=value[:20]):
                self.invalid(ask(**{name: value}), name + ''.join(member))
        for name, value, param in (
                ('maxReqRate', '', 'service-kpis/maxReqRate'),
                ('avalMem', '5', 'service-kpis/avalMem'),
                ('ipv6Addr', '192.0.2.1', 'ue-ip-addr/ipv6Addr')):
            self.invalid(ask(**{name: value}), param)
        self.invalid(ask(ipv4Addr='192.0.2.1', ipv6Addr='::1'), 'ue-ip-addr')

    def test_each_bad_value_is_named(self):
        self.invalid(ask(api_name='', ue_ip_addr='{}', protocol='x' * 257),
                     'api-name', 'ue-ip-addr', 'protocol')

    def test_what_no_request_line_bears(self):
        """Each is short enough, but together a partner can't be asked."""
        a = ask(**{name: '%' * 200 for name in (
            'api-name', 'api-version', 'protocol')})
        self.assertEqual(a.status, 400, a)
        self.assertIn('too long together', a.body.decode())
        self.assertEqual(self.found(), set(names))

    def test_who_asks(self):
        self.assertEqual(one.request(
            'GET', '/service-apis/v1/allServiceAPIs').status, 400)
        self.assertEqual(ask(api_invoker_id='inv-x').status, 403)


if __name__ == '__main__':
    domains.main()
