# SPDX-License-Identifier: Apache-2.0
"""Both domains with a PostgreSQL store: all that they do, and what they say
while its server is away."""

import json
import signal
import threading
import unittest

import domains
import pg
import psk as P
from domains import API


def setUpModule():
    global d, cluster
    cluster = pg.Cluster()
    d = P.Case.d = domains.Domains()
    for side in 'a', 'b':
        name = 'ccf-' + side
        file = '%s/%s/store.db' % (d.dir, name)
        uri = cluster.database('domain_' + side)
        d.reconfigure(name, 'store = ' + file, 'store = ' + uri)
        cluster.copy(file, 'domain_' + side)


def tearDownModule():
    d.stop()
    cluster.stop()


class Flow(P.Case):
    def test_oauth(self):
        who = d.a.onboard().negotiate()
        a = who.call(who.token())
        self.assertEqual(a.status, 200, a)
        self.assertIn(b'b-42', a.body)

    def test_pki(self):
        who = d.a.onboard()
        a = who.put(who.wish(who.discover()[API], methods=['PKI']))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(who.call(None).status, 200)

    def test_psk(self):
        self.works(P.ready(d.a.onboard()))

    def test_provider_and_its_api(self):
        home = d.b.register(aef_b7='aef.domain-b.example')
        a = home.publish(home.describe('pg-api'))
        self.assertEqual(a.status, 201, a)
        self.assertIn('pg-api', d.b.onboard().discover())
        again = home.apf.request(
            'DELETE', '/published-apis/v1/%s/service-apis/%s'
            % (home.apf.id, a.json()['apiId']))
        self.assertEqual(again.status, 204, again)
        self.assertNotIn('pg-api', d.b.onboard().discover())

    def test_enrolment_is_good_for_one_use(self):
        token = d.a.enrolment()
        csr = domains.make_csr(domains.make_key(d.extra + '/once.key'))
        answers = []

        def ask():
            answers.append(d.a.onboard_request(token, csr).status)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(sorted(answers), [201] + 7 * [401])

    def test_offboarding(self):
        who = d.a.onboard().negotiate()
        a = who.request('DELETE', '/api-invoker-management/v1/'
                        'onboardedInvokers/' + who.onboarding)
        self.assertEqual(a.status, 204, a)
        self.assertEqual(who.ask_token().status, 401)
        self.assertEqual(cluster.sql(
            'domain_a', "SELECT count(*) FROM context WHERE invoker_id = '%s'"
            % who.id), '0')

    def test_a_name_that_is_no_text(self):
        home = d.b.register(aef_b8='aef.domain-b.example')
        a = home.aef.request(
            'GET', '/capif-security/v1/trustedInvokers/%ff%fe')
        self.assertEqual(a.status, 404, a)

    def test_the_store_is_the_server(self):
        who = d.a.onboard()
        self.assertEqual(cluster.sql(
            'domain_a', "SELECT count(*) FROM member WHERE id = '%s'"
            % who.id), '1')


class Away(P.Case):
    def all_say_503(self, who, home):
        csr = domains.make_csr(who.key)
        answers = {
            'token': who.ask_token(),
            'put': who.put({'aefId': 'x', 'apiId': 'y',
                            'prefSecurityMethods': ['PKI']}),
            'discover': who.request(
                'GET', '/service-apis/v1/allServiceAPIs?api-invoker-id='
                + who.id),
            'onboard': d.a.onboard_request(self.enrolment, csr),
            'offboard': who.request(
                'DELETE', '/api-invoker-management/v1/onboardedInvokers/'
                + who.onboarding),
            'context': home.aef.request('GET', who.context),
            'publish': home.publish(home.describe('away')),
        }
        for what, a in answers.items():
            self.assertEqual(a.status, 503, (what, a))
            self.assertEqual(a.headers['Retry-After'], '5', what)

    def test_503_meanwhile_and_all_is_there_after(self):
        who = d.a.onboard().negotiate()
        home = d.a.register(aef_a9='aef.domain-a.example')
        token = who.token()
        self.assertEqual(who.call(token).status, 200)
        self.enrolment = d.a.enrolment()
        for sig in signal.SIGINT, signal.SIGKILL:
            cluster.down(sig)
            try:
                self.all_say_503(who, home)
                # What the AEF knows already goes on.
                self.assertEqual(who.call(token).status, 200)
            finally:
                cluster.up()
            self.assertEqual(who.ask_token().status, 200)
            self.assertEqual(who.call(who.token()).status, 200)
        csr = domains.make_csr(who.key)
        a = d.a.onboard_request(self.enrolment, csr)
        self.assertEqual(a.status, 201, a)
        self.assertEqual(d.a.onboard_request(self.enrolment, csr).status, 401)

    def test_restart_under_load(self):
        """Each answer is a success or 503, and what succeeded is there."""
        who = d.a.onboard()
        wish = who.wish(who.discover()[API])
        done, failures, answered = threading.Event(), [], {}
        inquirers = [d.a.onboard() for _ in range(4)]

        def work(inv):
            n = 0
            while not done.is_set():
                n += 1
                where = 'https://invoker.invalid/%d' % n
                a = inv.request('PUT', inv.context, body={
                    'securityInfo': [wish], 'supportedFeatures': '0',
                    'notificationDestination': where})
                if a.status == 201:
                    answered[inv] = n
                elif (a.status != 503  # or 502, if it was CCF-B's own
                      and b'answers 503' not in a.body):
                    failures.append(str(a))

        threads = [threading.Thread(target=work, args=(i,))
                   for i in inquirers]
        for t in threads:
            t.start()
        for sig in signal.SIGINT, signal.SIGKILL:
            cluster.down(sig)
            cluster.up()
        for inv in inquirers:
            before = answered.get(inv, 0)
            while answered.get(inv, 0) < before + 3:
                self.assertEqual(failures, [])
                done.wait(0.05)
        done.set()
        for t in threads:
            t.join()
        self.assertEqual(failures, [])
        for inv in inquirers:
            doc = json.loads(cluster.sql(
                'domain_a', "SELECT doc FROM context WHERE invoker_id = '%s'"
                % inv.id))
            self.assertEqual(doc['notificationDestination'],
                             'https://invoker.invalid/%d' % answered[inv])


class Log(unittest.TestCase):
    """The last class by its name, so that it runs last."""

    def test_no_start_without_the_server(self):
        d.end('ccf-a')
        cluster.down()
        with self.assertRaises(AssertionError):
            d.begin('ccf-a')
        d.children.pop('ccf-a')[0].wait()
        cluster.up()
        d.begin('ccf-a')


if __name__ == '__main__':
    domains.main()
