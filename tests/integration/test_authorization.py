# SPDX-License-Identifier: Apache-2.0
"""Who may do what: every operation of ccf/routes.c by everybody, of the right
and the wrong domain, owner and not, expired and revoked.

ROWS says for each route what it takes and who gets which status; everybody
who isn't named there gets what REST says for him.  First all those who are
refused ask for the same thing, then, of what they must not have changed, those
who are not, each of a fresh one.
"""

import json
import re
import time
import urllib.parse
import unittest

import domains
from domains import DIED, FORM, VS, Member, make_csr

MERGE = 'application/merge-patch+json'
ROUTES = re.findall(r'\{ "([A-Z]+)",\s*"([^"]+)",',
                    domains.read(domains.SOURCE + '/ccf/routes.c'))
TLS = 'no TLS'

# Who asks, and what he gets where a row doesn't name him: what a stranger to
# the resource gets, if he is known at all.
REST = {
    'nobody': 401,
    'stranger': TLS,            # under a CA that nobody knows
    'expired invoker': TLS,
    'replaced invoker': 401,    # it has a newer certificate
    'offboarded invoker': 401,
    'revoked invoker': 401,      # by the operator
    'deregistered AEF': 401,
    'deregistered AMF': 401,
    'invoker': 403, 'other invoker': 403,
    'AEF': 403, "provider's other AEF": 403, "other provider's AEF": 403,
    'APF': 403, "other provider's APF": 403,
    'AMF': 403, "other provider's AMF": 403,
    'partner': 403,             # its CCF
    "partner's invoker": 401, "partner's AEF": 401, "partner's AMF": 401,
    'own CCF': 401,             # nobody else than itself
}
PUBLIC = dict.fromkeys((w for w, s in REST.items() if s != TLS), 200)


def setUpModule():
    global d, w
    d = domains.Domains()
    d.reconfigure('ccf-a', 'aefs = aef-b1\n', 'aefs = aef-b1, %s\n'
                  % ', '.join('aef-m%d' % i for i in range(1, 10)))
    w = World()
    fresh_subscription()


def tearDownModule():
    d.stop()


def ccf_certificate(ccf, ccf_id):
    """A certificate of a CCF whose key is not in a token."""
    m = Member(ccf)
    domains.run(domains.BUILD + '/tools/capif-hsm', 'cert', '--key', m.key,
                '--ca-cert', ccf.ca, '--ca-key',
                'pkcs11:object=ca;type=private', '--ccf-id', ccf_id,
                '--out', m.crt, env=ccf.env())
    return m


def certificate(ccf, san, begin, end):
    """By its CA, from and until then; for whom nobody knows."""
    m = Member(ccf)
    domains.write(m.dir + '/index', '')
    domains.write(m.dir + '/ca.cnf', '''
openssl_conf = openssl_init
[openssl_init]
providers = providers
[ca]
default_ca = it
[it]
database = %s/index
new_certs_dir = %s
default_md = sha256
rand_serial = yes
policy = any
x509_extensions = ext
[any]
commonName = supplied
[ext]
subjectAltName = %s
extendedKeyUsage = clientAuth
keyUsage = critical,digitalSignature
''' % (m.dir, m.dir, san)
                  + domains.read(ccf.conf).split('[openssl_init]')[1].split(
                      '[ccf]')[0].split('\n', 2)[2])
    domains.write(m.dir + '/csr', make_csr(m.key))
    domains.run('openssl', 'ca', '-batch', '-config', m.dir + '/ca.cnf',
                '-cert', ccf.ca, '-keyfile',
                'pkcs11:object=ca;type=private', '-in', m.dir + '/csr',
                '-startdate', begin, '-enddate', end, '-out', m.crt, '-notext',
                env=dict(ccf.env(), OPENSSL_CONF=m.dir + '/ca.cnf'))
    return m


class World:
    """Everybody, and what they have."""

    def __init__(self):
        a = d.a
        self.home = a.register(aef_m1='m1.domain-a.example',
                               aef_m2='m2.domain-a.example')
        self.away = a.register(aef_m3='m3.domain-a.example')
        self.gone = a.register(aef_m4='m4.domain-a.example')
        aefs = [m for m in self.home.members if m.role == 'AEF']
        self.aef, self.aef2 = aefs
        self.home.aef = self.aef
        self.one, two, old = a.onboard(), a.onboard(), a.onboard()
        off, theirs, lost = a.onboard(), d.b.onboard(), a.onboard()
        their = d.b.register(aef_m5='m5.domain-b.example')
        replaced = Member(a)
        replaced.key, replaced.crt = old.key, old.crt
        csr = make_csr(domains.make_key(old.dir + '/new.key'))
        path = '/api-invoker-management/v1/onboardedInvokers/'
        ok(old.request('PATCH', path + old.onboarding, headers={
            'Content-Type': MERGE}, body=json.dumps({
                'onboardingInformation': {'apiInvokerPublicKey': csr}})), 200)
        ok(off.request('DELETE', path + off.onboarding), 204)
        ok(self.gone.amf.request(
            'DELETE', '/api-provider-management/v1/registrations/'
            + self.gone.registration), 204)
        ca = domains.ForeignCa(d.extra + '/stranger')
        self.who = {
            'nobody': None,
            'stranger': ca.issue('URI:urn:capif:%s:invoker:%s'
                                 % (a.id, self.one.id)),
            'expired invoker': certificate(
                a, 'URI:urn:capif:%s:invoker:%s' % (a.id, self.one.id),
                '20200101000000Z', '20200102000000Z'),
            'replaced invoker': replaced, 'offboarded invoker': off,
            'revoked invoker': lost, 'deregistered AEF': self.gone.aef,
            'deregistered AMF': self.gone.amf,
            'invoker': self.one, 'other invoker': two,
            'AEF': self.aef, "provider's other AEF": self.aef2,
            "other provider's AEF": self.away.aef,
            'APF': self.home.apf, "other provider's APF": self.away.apf,
            'AMF': self.home.amf, "other provider's AMF": self.away.amf,
            'partner': ccf_certificate(d.b, d.b.id),
            "partner's invoker": theirs, "partner's AEF": their.aef,
            "partner's AMF": their.amf,
            'own CCF': ccf_certificate(a, a.id),
        }
        d.reconfigure('ccf-a', '[ccf]\n', '[ccf]\nrevoked-certificates = %s'
                      '\n' % lost.crt)
        self.n, self.n_aefs = 0, 5
        self.api = self.publish()
        self.negotiate()
        self.subscription = None
        self.crl = domains.run(
            'openssl', 'x509', '-in', self.aef.crt, '-noout', '-ext',
            'crlDistributionPoints').decode().strip().split('/')[-1]

    def name(self):
        self.n += 1
        return 'auth-%d' % self.n

    def publish(self):
        return ok(self.home.publish(self.describe()), 201)

    def describe(self):
        return self.home.describe(self.name(), partner=d.b.id)

    def negotiate(self):
        ok(self.one.put(self.wish()), 201)

    def wish(self, **more):
        return {'aefId': self.aef.id, 'apiId': self.api['apiId'],
                'prefSecurityMethods': ['OAUTH'], **more}

    def log(self):
        return {'aefId': self.aef.id, 'apiInvokerId': self.one.id, 'logs': [
            {'apiId': self.api['apiId'], 'apiName': self.api['apiName'],
             'apiVersion': 'v1', 'resourceName': 'r', 'protocol': 'HTTP_2',
             'result': '200'}]}

    def negotiation(self):
        return {'securityInfo': [self.wish()], 'supportedFeatures': '0',
                'notificationDestination': 'https://invoker.invalid/n'}

    def notification(self):
        return {'apiInvokerId': self.one.id, 'apiIds': [self.api['apiId']],
                'cause': 'OVERLIMIT_USAGE'}


def ok(answer, status):
    assert answer.status == status, answer
    return answer.json() if answer.body else None


class Row:
    """A request that somebody may make: may says who, and what he gets.
    Others get what REST says, but for what is said in others.  fresh is
    called before each of those who may, and after the last."""

    def __init__(self, may, ids=lambda: [], query=None, body=None,
                 kind='application/json', others=None, fresh=lambda: None):
        self.may, self.ids, self.body, self.kind = may, ids, body, kind
        self.query, self.others, self.fresh = query, others or {}, fresh

    def expected(self, who):
        return {**REST, **self.others, **self.may}[who]


def fresh_invoker():
    """The invoker is another one from now on."""
    w.one = d.a.onboard()
    w.who['invoker'] = w.one
    w.negotiate()


def fresh_context():
    w.negotiate()
    ok(d.a.request('PUT', CTX.format(w.one.id), w.who['partner'],
                   body=w.negotiation()), 201)


def fresh_provider():
    w.n_aefs += 1
    w.home = d.a.register(**{'aef_m%d' % w.n_aefs: 'm1.domain-a.example'})
    w.aef = w.home.aef
    w.who.update({'AEF': w.home.aef, 'APF': w.home.apf, 'AMF': w.home.amf})
    w.api = w.publish()
    w.negotiate()
    fresh_subscription()


def fresh_subscription():
    a = w.aef.request('POST', EVENTS.format(w.aef.id), body=subscription())
    ok(a, 201)
    w.subscription = a.headers['Location'].split('/')[-1]


def subscription():
    return {'events': ['SERVICE_API_AVAILABLE'],
            'notificationDestination': 'https://invoker.invalid/n'}


def onboarding():
    return {'onboardingInformation': {
        'apiInvokerPublicKey': make_csr(w.one.key)},
            'notificationDestination': 'https://invoker.invalid/n'}


def registration(enrolment):
    return {'regSec': enrolment, 'apiProvFuncs': [
        {'apiProvFuncRole': 'AMF',
         'regInfo': {'apiProvPubKey': make_csr(w.one.key)}}]}


def token_form():
    return urllib.parse.urlencode({'grant_type': 'client_credentials',
                                   'client_id': w.one.id})


ONE = '/api-invoker-management/v1/onboardedInvokers'
REG = '/api-provider-management/v1/registrations'
APIS = '/published-apis/v1/{}/service-apis'
CTX = '/capif-security/v1/trustedInvokers/{}'
EVENTS = '/capif-events/v1/{}/subscriptions'
POLICY = '/access-control-policy/v1/accessControlPolicyList/{}'
ROUTING = '/capif-routing-info/v1/service-apis/{}'
EVERYBODY = dict.fromkeys(PUBLIC, 401)
# Nothing of the context is at these.
NOT_AT_OTHER_AEFS = {"provider's other AEF": 404, "other provider's AEF": 404}


def at_aef():
    return {'aef-id': w.aef.id}


def routing():
    return {'routingRules': [{'aefProfile': w.api['aefProfiles'][0]}]}


def amf_asks(method, path, body=None):
    """As fresh: the API has a policy, or a rule, or no more."""
    def fresh():
        a = w.home.amf.request(
            method, path.format(w.api['apiId']) + '?aef-id=' + w.aef.id,
            body=body and body())
        assert a.status in (200, 201, 204, 404), a
    return fresh

ROWS = {
    ('POST', ONE): Row({}, body=onboarding, others=EVERYBODY),
    ('PUT', ONE + '/{}'): Row(
        {'invoker': 200}, lambda: [w.one.onboarding], body=lambda: dict(
            onboarding(), apiInvokerId=w.one.id), fresh=fresh_invoker),
    ('PATCH', ONE + '/{}'): Row(
        {'invoker': 200}, lambda: [w.one.onboarding],
        body=lambda: {'apiInvokerInformation': 'x'}, kind=MERGE),
    ('DELETE', ONE + '/{}'): Row(
        {'invoker': 204}, lambda: [w.one.onboarding], fresh=fresh_invoker),
    ('POST', REG): Row({}, body=lambda: registration('x.y.z'),
                       others=EVERYBODY),
    ('PUT', REG + '/{}'): Row(
        {'AMF': 200}, lambda: [w.home.registration], body=lambda: w.home.doc),
    ('PATCH', REG + '/{}'): Row(
        {'AMF': 200}, lambda: [w.home.registration],
        body=lambda: {'apiProvDomInfo': 'x'}, kind=MERGE),
    ('DELETE', REG + '/{}'): Row(
        {'AMF': 204}, lambda: [w.home.registration], fresh=fresh_provider),
    ('POST', APIS): Row({'APF': 201}, lambda: [w.home.apf.id],
                        body=lambda: w.describe()),
    ('GET', APIS): Row({'APF': 200}, lambda: [w.home.apf.id]),
    ('GET', APIS + '/{}'): Row(
        {'APF': 200}, lambda: [w.home.apf.id, w.api['apiId']]),
    ('PUT', APIS + '/{}'): Row(
        {'APF': 200}, lambda: [w.home.apf.id, w.api['apiId']],
        body=lambda: w.api),
    ('PATCH', APIS + '/{}'): Row(
        {'APF': 200}, lambda: [w.home.apf.id, w.api['apiId']],
        body=lambda: {'description': 'x'}, kind=MERGE),
    ('DELETE', APIS + '/{}'): Row(
        {'APF': 204}, lambda: [w.home.apf.id, w.api['apiId']],
        fresh=lambda: setattr(w, 'api', w.publish())),
    ('GET', '/service-apis/v1/allServiceAPIs'): Row(
        {'invoker': 200}, query=lambda: {'api-invoker-id': w.one.id}),
    ('GET', POLICY): Row(
        {'AEF': 200}, lambda: [w.api['apiId']], query=at_aef,
        fresh=amf_asks('PUT', POLICY, lambda: {'apiInvokerPolicies': []})),
    ('PUT', POLICY): Row(
        {'AMF': 201}, lambda: [w.api['apiId']], query=at_aef,
        body=lambda: {'apiInvokerPolicies': []},
        fresh=amf_asks('DELETE', POLICY)),
    ('DELETE', POLICY): Row(
        {'AMF': 204}, lambda: [w.api['apiId']], query=at_aef,
        fresh=amf_asks('PUT', POLICY, lambda: {'apiInvokerPolicies': []})),
    ('GET', ROUTING): Row(
        {'AEF': 200}, lambda: [w.api['apiId']], query=at_aef,
        fresh=amf_asks('PUT', ROUTING, routing)),
    ('PUT', ROUTING): Row(
        {'AMF': 201}, lambda: [w.api['apiId']], query=at_aef, body=routing,
        fresh=amf_asks('DELETE', ROUTING)),
    ('DELETE', ROUTING): Row(
        {'AMF': 204}, lambda: [w.api['apiId']], query=at_aef,
        fresh=amf_asks('PUT', ROUTING, routing)),
    ('PUT', CTX): Row(
        {'invoker': 201, 'partner': 201}, lambda: [w.one.id],
        body=lambda: w.negotiation()),
    ('POST', CTX + '/update'): Row(
        {'invoker': 200, 'partner': 200}, lambda: [w.one.id],
        body=lambda: w.negotiation(), fresh=fresh_context),
    ('GET', CTX): Row(
        {'AEF': 200}, lambda: [w.one.id], others=NOT_AT_OTHER_AEFS),
    ('DELETE', CTX): Row(
        {'invoker': 204, 'partner': 204, 'AEF': 204}, lambda: [w.one.id],
        fresh=fresh_context, others=NOT_AT_OTHER_AEFS),
    ('POST', CTX + '/delete'): Row(
        {'AEF': 204, 'partner': 204}, lambda: [w.one.id],
        body=lambda: w.notification(), fresh=fresh_context,
        others=NOT_AT_OTHER_AEFS),
    ('POST', '/capif-security/v1/notifications'): Row(
        {'partner': 204}, body=lambda: w.notification()),
    ('POST', '/capif-security/v1/securities/{}/token'): Row(
        {'invoker': 200}, lambda: [w.one.id], body=token_form,
        kind=FORM, others=EVERYBODY),
    ('POST', '/oauth/token'): Row(
        {'invoker': 200}, body=token_form, kind=FORM, others=EVERYBODY),
    ('POST', '/oauth/introspect'): Row(
        {'AEF': 200, "provider's other AEF": 200,
         "other provider's AEF": 200}, body=lambda: 'token=x', kind=FORM),
    ('GET', '/.well-known/oauth-authorization-server'): Row(PUBLIC),
    ('POST', '/api-invocation-logs/v1/{}/logs'): Row(
        {'AEF': 201}, lambda: [w.aef.id], body=lambda: w.log()),
    ('GET', '/logs/v1/apiInvocationLogs'): Row(
        {'AMF': 200}, query=lambda: {'aef-id': w.aef.id},
        others={"other provider's AMF": 404},
        fresh=lambda: ok(w.aef.request(
            'POST', '/api-invocation-logs/v1/%s/logs' % w.aef.id,
            body=w.log()), 201)),
    ('GET', '/.well-known/jwks.json'): Row(PUBLIC),
    ('GET', '/crl/{}'): Row(PUBLIC, lambda: [d.a.id]),
    ('GET', '/crl/{}/{}'): Row(PUBLIC, lambda: [d.a.id, w.crl]),
    ('POST', EVENTS): Row({'AEF': 201}, lambda: [w.aef.id],
                          body=lambda: subscription()),
    ('PUT', EVENTS + '/{}'): Row(
        {'AEF': 200}, lambda: [w.aef.id, w.subscription],
        body=lambda: subscription()),
    ('PATCH', EVENTS + '/{}'): Row(
        {'AEF': 200}, lambda: [w.aef.id, w.subscription],
        body=lambda: {'events': ['SERVICE_API_UPDATE']}, kind=MERGE),
    ('DELETE', EVENTS + '/{}'): Row(
        {'AEF': 204}, lambda: [w.aef.id, w.subscription],
        fresh=fresh_subscription),
}


class Authorization(unittest.TestCase):
    maxDiff = None

    def ask(self, key, row, who):
        method, path = key
        url = path.format(*map(urllib.parse.quote, row.ids()))
        if row.query is not None:
            url += '?' + urllib.parse.urlencode(row.query())
        head = {}
        body = row.body() if row.body is not None else None
        if body is not None:
            head['Content-Type'] = row.kind
            body = body if isinstance(body, str) else json.dumps(body)
        try:
            return d.a.request(method, url, w.who[who], headers=head,
                               body=body)
        except DIED:
            return None

    def status(self, key, row, who):
        a = self.ask(key, row, who)
        if a is None:
            return TLS
        if a.status >= 400 and key[1].endswith('/token'):
            self.assertEqual(a.json()['error'], 'invalid_client', who)
        elif a.status >= 400:
            self.assertEqual(a.headers['Content-Type'],
                             'application/problem+json', who)
        return a.status

    def test_table_has_a_row_for_each_route(self):
        self.assertEqual(set(ROWS), set(ROUTES))
        self.assertEqual(len(ROUTES), len(set(ROUTES)))

    def test_table_names_only_those_who_ask(self):
        self.assertEqual(set(REST), set(w.who))
        for key, row in ROWS.items():
            self.assertLessEqual(set(row.may) | set(row.others), set(REST),
                                 key)

    def test_a_connection_is_worth_no_more_than_its_certificate(self):
        end = int(time.time()) + 3
        text = [time.strftime('%Y%m%d%H%M%SZ', time.gmtime(t))
                for t in (end - 60, end)]
        who = certificate(d.b, 'DNS:' + d.b.id, *text)
        conn = domains.Https(d.a.id, d.a.port, d.a.ca, who)
        path = '/service-apis/v1/allServiceAPIs?api-invoker-id=' + d.b.id
        for status in 200, 401:
            conn.request('GET', path)
            a = domains.Answer(conn.getresponse())
            self.assertEqual(a.status, status, a)
            time.sleep(max(0, end + 1 - time.time()))  # its life, in real time
        conn.close()


def add_test(key, row):
    def test(self):
        wrong = {}
        for who in sorted(REST, key=lambda x: x in row.may):
            if who in row.may:
                row.fresh()
            got, want = self.status(key, row, who), row.expected(who)
            print('# %-22s %s' % (who, got))
            if got != want:
                wrong[who] = '%s, not %s' % (got, want)
        row.fresh()
        self.assertEqual(wrong, {})
    setattr(Authorization, 'test_%s_%s' % key, test)


for k, r in ROWS.items():
    add_test(k, r)


if __name__ == '__main__':
    domains.main()
