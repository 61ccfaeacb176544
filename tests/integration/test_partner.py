# SPDX-License-Identifier: Apache-2.0
"""What happens when the other domain's CCF, or one's own, is not there."""

import signal
import socket
import threading
import time
import unittest

import domains
from domains import API, VS

LOCAL = 'local-api'


def setUpModule():
    global d, one, home, found
    d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe(LOCAL)).status == 201
    one = d.a.onboard()
    found = one.discover()


def tearDownModule():
    d.stop()


class Relay:
    """A TCP relay to CCF-B that passes nothing on before release()."""

    def __init__(self):
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        self.asked, self.released = threading.Event(), threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            self.asked.set()
            self.released.wait()
            far = socket.create_connection(('127.0.0.1', d.b.port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=pair,
                                 daemon=True).start()

    @staticmethod
    def copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other direction ended it

    def stop(self):
        self.released.set()
        self.listener.close()


class PartnerDown(unittest.TestCase):
    def unreachable(self, who, took=6):
        began = time.monotonic()
        a = who.put(who.wish(found[API]), who.wish(found[LOCAL]))
        self.assertLess(time.monotonic() - began, took)
        self.assertEqual(a.status, 504, a)
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')
        self.assertIn('ccf.domain-b.example', a.json()['detail'])

    def nothing_changed(self, old, new):
        """old has its context as before, and new has none."""
        a = old.ask_token()
        self.assertEqual(a.json().get('scope'), '3gpp#aef-a1:' + LOCAL, a)
        self.assertEqual(home.aef.request('GET', old.context).status, 200)
        self.assertEqual(new.ask_token().json()['error'],
                         'unauthorized_client')
        self.assertEqual(home.aef.request('GET', new.context).status, 404)

    def works_again(self, who):
        pid = d.pid('ccf-a')
        a = who.put(who.wish(found[API]), who.wish(found[LOCAL]))
        self.assertEqual(a.status, 201, a)
        self.assertEqual(who.call(who.token()).status, 200)
        self.assertEqual(d.pid('ccf-a'), pid)

    def members(self):
        return d.a.onboard().negotiate(LOCAL), d.a.onboard()

    def test_negotiation_when_ccf_b_is_gone(self):
        old, new = self.members()
        d.end('ccf-b')
        try:
            self.unreachable(old)
            self.unreachable(new)
            self.nothing_changed(old, new)
        finally:
            d.begin('ccf-b')
        self.works_again(old)
        self.works_again(new)

    def test_negotiation_when_ccf_b_was_killed(self):
        old, new = self.members()
        d.end('ccf-b', signal.SIGKILL)
        try:
            self.unreachable(new)
            self.nothing_changed(old, new)
        finally:
            d.begin('ccf-b')
        self.works_again(new)

    def test_negotiation_when_ccf_b_hangs(self):
        old, new = self.members()
        d.pause('ccf-b')
        try:
            self.unreachable(old)
            self.unreachable(new)
            self.nothing_changed(old, new)
        finally:
            d.resume('ccf-b')
        self.works_again(old)
        self.works_again(new)

    def test_requests_that_need_no_partner_go_on_while_ccf_b_hangs(self):
        d.pause('ccf-b')
        try:
            began = time.monotonic()
            waits = threading.Thread(
                target=lambda: one.put(one.wish(found[API])))
            waits.start()
            for _ in range(20):
                who = d.a.onboard()
                self.assertEqual(who.put(who.wish(found[LOCAL])).status, 201)
                self.assertEqual(who.ask_token().status, 200)
            self.assertLess(time.monotonic() - began, 5)
            waits.join()
        finally:
            d.resume('ccf-b')

    def test_discovery_shows_what_is_known_while_ccf_b_is_gone(self):
        d.end('ccf-b')
        try:
            self.assertEqual(set(one.discover()), {API, LOCAL})
        finally:
            d.begin('ccf-b')

    def test_discovery_shows_what_is_known_while_ccf_b_hangs(self):
        d.pause('ccf-b')
        try:
            began = time.monotonic()
            self.assertEqual(set(one.discover()), {API, LOCAL})
            self.assertLess(time.monotonic() - began, 6)
        finally:
            d.resume('ccf-b')

    def test_partner_that_shows_another_certificate(self):
        """CCF-A's own TLS certificate at CCF-B's address."""
        undo = d.reconfigure('ccf-a', 'address = 127.0.0.1:%d' % d.b.port,
                             'address = 127.0.0.1:%d' % d.a.port)
        try:
            self.unreachable(one)
        finally:
            undo()

    def test_answer_that_comes_when_the_invoker_has_gone_does_no_harm(self):
        d.pause('ccf-b')
        try:
            with self.assertRaises(TimeoutError):
                one.put(one.wish(found[API]), timeout=0.5)
        finally:
            d.resume('ccf-b')
        self.works_again(one)

    def test_offboarding_while_ccf_b_is_being_asked(self):
        who, answers = d.a.onboard(), []
        relay = Relay()
        undo = d.reconfigure('ccf-a', 'address = 127.0.0.1:%d' % d.b.port,
                             'address = 127.0.0.1:%d' % relay.port)
        try:
            asks = threading.Thread(target=lambda: answers.append(
                who.put(who.wish(found[API]), who.wish(found[LOCAL]))))
            asks.start()
            self.assertTrue(relay.asked.wait(5))
            a = who.request('DELETE', '/api-invoker-management/v1/'
                            'onboardedInvokers/' + who.onboarding)
            self.assertEqual(a.status, 204, a)
            relay.released.set()
            asks.join()
        finally:
            relay.stop()
            undo()
        self.assertGreaterEqual(answers[0].status, 400, answers[0])
        self.assertEqual(who.ask_token().status, 401)
        self.assertEqual(home.aef.request('GET', who.context).status, 404)


class OwnCcfDown(unittest.TestCase):
    def refused(self, who, token, took=6):
        began = time.monotonic()
        a = who.call(token)
        self.assertLess(time.monotonic() - began, took)
        self.assertEqual(a.status, 503, a)
        self.assertTrue(a.headers['Retry-After'])
        self.assertEqual(a.headers['Content-Type'],
                         'application/problem+json')

    def down(self, stop, start):
        seen, unseen = (d.a.onboard().negotiate() for _ in range(2))
        tokens = seen.token(), unseen.token()
        self.assertEqual(seen.call(tokens[0]).status, 200)
        stop()
        try:
            self.refused(unseen, tokens[1])
            self.assertEqual(seen.call(tokens[0]).status, 200)
        finally:
            start()
        self.assertEqual(unseen.call(tokens[1]).status, 200)

    def test_aef_refuses_whom_it_does_not_know_while_ccf_b_is_gone(self):
        self.down(lambda: d.end('ccf-b'), lambda: d.begin('ccf-b'))

    def test_aef_refuses_whom_it_does_not_know_while_ccf_b_hangs(self):
        self.down(lambda: d.pause('ccf-b'), lambda: d.resume('ccf-b'))

    def test_check_authentication_while_ccf_b_is_gone(self):
        body = {'apiInvokerId': one.id, 'supportedFeatures': '0',
                VS: {'srcCcfId': d.a.id}}

        def check():
            return domains.https(d.aef_name, d.control, d.b.ca, 'POST',
                                 '/aef-security/v1/check-authentication',
                                 body=body)
        d.end('ccf-b')
        try:
            a = check()
            self.assertEqual(a.status, 503, a)
            self.assertTrue(a.headers['Retry-After'])
        finally:
            d.begin('ccf-b')
        self.assertEqual(check().status, 200)

    def test_check_authentication_tells_nothing_of_who_is_known(self):
        answers = []
        for invoker in (one.negotiate().id, 'inv-0000000000000000'):
            a = domains.https(
                d.aef_name, d.control, d.b.ca, 'POST',
                '/aef-security/v1/check-authentication', body={
                    'apiInvokerId': invoker, 'supportedFeatures': '0',
                    VS: {'srcCcfId': d.a.id}})
            del a.headers['Date']
            answers.append((a.status, a.headers.items(), a.body))
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0][0], 200)


if __name__ == '__main__':
    domains.main()
