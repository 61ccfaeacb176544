# SPDX-License-Identifier: Apache-2.0
"""What invokers that nobody knows cost the CCF of the AEF: a look-up each,
however many connections they open, to whichever worker."""

import threading
import unittest

import domains
import psk as P
from domains import jws_parts
from watch import Watch, second_certificate

CONNECTIONS = 40


def setUpModule():
    global d, back, watch, ca, claims, n
    d = domains.Domains()
    back = domains.Backend(d)
    watch = Watch(d.b, second_certificate(d), [d.b.ca])
    d.reconfigure('aef-b', 'ccf-address = 127.0.0.1:%d' % d.b.port,
                  'ccf-address = 127.0.0.1:%d' % watch.port)
    ca = domains.ForeignCa(d.extra + '/foreign')
    claims = jws_parts(d.a.onboard().negotiate().token())[1]
    n = 0


def tearDownModule():
    back.stop()
    d.stop()
    watch.stop()


class Unknown(unittest.TestCase):
    def setUp(self):
        global n
        n += 1
        self.id = 'inv-nobody%d' % n
        self.who = ca.issue('URI:urn:capif:%s:invoker:%s' % (d.a.id, self.id))
        self.token = d.a.sign(dict(claims, sub=self.id,
                                      client_id=self.id))
        watch.clear()

    def tearDown(self):
        self.assertEqual(back.seen, [])

    def at_once(self, fn):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(fn()))
                   for _ in range(CONNECTIONS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(len(answers), CONNECTIONS)
        return answers

    def asked(self):
        """How often, and of nobody else."""
        seen = [s for s in watch.seen if s.method == 'GET']
        for s in seen:
            self.assertIn('/trustedInvokers/%s?' % self.id, s.path)
            self.assertEqual(s.status, 404)
        return len(seen)

    def one_then_many(self, fn, status):
        """The first is told so, and all after it."""
        self.assertEqual(fn(), status)
        self.assertEqual(self.asked(), 1)
        self.assertEqual(self.at_once(fn), [status] * CONNECTIONS)
        self.assertEqual(self.asked(), 1)

    def many(self, fn, status):
        for _ in range(2):
            self.assertEqual(self.at_once(fn), [status] * CONNECTIONS)
            self.assertEqual(self.asked(), 1)

    def by_certificate(self):
        return d.call(None, self.who).status

    def by_token(self):
        return d.call(self.token, self.who).status

    def initiation(self):
        return d.aef_control(
            'POST', '/aef-security/v1/check-authentication', body={
                'apiInvokerId': self.id, 'supportedFeatures': '0',
                domains.VS: {'srcCcfId': d.a.id}}).status

    def test_by_certificate(self):
        self.one_then_many(self.by_certificate, 401)

    def test_by_certificate_all_at_once(self):
        self.many(self.by_certificate, 401)

    def test_by_token(self):
        self.one_then_many(self.by_token, 401)

    def test_by_token_all_at_once(self):
        self.many(self.by_token, 401)

    def test_initiation(self):
        self.one_then_many(self.initiation, 200)

    def test_psk_identity_costs_nothing(self):
        """It is among those that were taken, or it is not."""
        def by_psk():
            return P.s_client(d.service, d.aef_name, '-tls1_3', '-psk',
                              '00' * 32, '-psk_identity', self.id).alert
        self.assertEqual(self.at_once(by_psk), [P.BAD_BINDER] * CONNECTIONS)
        self.assertEqual(self.asked(), 0)


if __name__ == '__main__':
    domains.main()
