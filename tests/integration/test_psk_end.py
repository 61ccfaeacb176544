# SPDX-License-Identifier: Apache-2.0
"""The validity timer of a PSK, on both sides: real time must pass."""

import calendar
import re
import subprocess
import time

import domains
import psk as P
from domains import API, PATH

OTHER = '3gpp-as-session-with-qos'
OTHER_PATH = '/' + OTHER + '/v1/subscriptions.json'


def setUpModule():
    global d, one, two
    d = P.Case.d = domains.Domains()
    d.add_api(OTHER)
    one, two = d.a.onboard(), d.a.onboard()


def tearDownModule():
    d.stop()


class Ends(P.Case):
    SECONDS = 5

    @classmethod
    def setUpClass(cls):
        cls.undo = d.reconfigure('ccf-a', '[ccf]\n',
                                 '[ccf]\npsk-lifetime = %d\n' % cls.SECONDS)

    @classmethod
    def tearDownClass(cls):
        cls.undo()

    @staticmethod
    def idle(psk):
        child = subprocess.Popen(
            ['openssl', 's_client', '-connect', '127.0.0.1:%d' % d.service,
             '-servername', d.aef_name, '-tls1_3', '-ign_eof',
             *P.psk_options(psk)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        child.said = b''
        while b'Verify return code' not in child.said:
            line = child.stdout.readline()
            assert line, child.said
            child.said += line
        return child

    def closed(self, child, end):
        """By the AEF, not before the end and within two seconds after."""
        with child:
            rest = child.stdout.read()
            at = time.time()
            child.stdin.close()
        self.assertIn(b'Reused, TLSv1.3', child.said)
        self.assertGreaterEqual(at, end)
        self.assertLess(at, end + 2.5)
        return rest

    def test_end_of_the_timer(self):
        psk = P.negotiate(one)
        self.assertEqual(psk.info['expiresIn'], self.SECONDS)
        end = calendar.timegm(time.strptime(psk.info['notAfter'],
                                            '%Y-%m-%dT%H:%M:%SZ'))
        P.initiate(one)
        self.works(psk)
        idle, used, before = self.idle(psk), self.idle(psk), P.log(d)
        used.stdin.write(P.get(d.aef_name, PATH).replace(
            b'Connection: close\r\n', b''))
        used.stdin.flush()
        time.sleep(self.SECONDS - 2)
        # One that is derived in the meantime replaces it without a gap.
        new = P.ready(one)
        self.works(new)
        self.works(psk)
        self.closed(idle, end)
        self.assertIn(b'b-42', self.closed(used, end))
        bad = self.refused(psk, '-msg')
        self.works(new)
        unknown = self.refused(psk, '-msg', identity='x')
        self.assertEqual(*(re.findall(r'<<<.*\n(?:    .*\n)+', r.text)
                           for r in (bad, unknown)))
        self.assertRegex(P.log_with(d, 'psk=' + psk.info['pskId'],
                                  seen=len(before)),
                         r'event=psk-ended .*psk=' + psk.info['pskId'])
        self.assertNotRegex(P.log(d), r'event=psk-ended .*psk='
                            + new.info['pskId'])
        # CCF-A has it no more either; a new initiation brings nothing back.
        P.initiate(one)
        self.refused(psk)
        newest = P.ready(one)
        self.works(newest)

    def test_psk_of_which_nobody_asked_in_time(self):
        psk = P.negotiate(two)
        self.assertEqual(P.info_as_ccf_b(d, two).status, 200)
        time.sleep(self.SECONDS + 0.5)
        r = P.info_as_ccf_b(d, two)
        self.assertEqual(r.status, 200, r)
        self.assertNotIn('pskEnvelope', r.text)
        P.initiate(two)
        self.refused(psk)

    def test_other_methods_of_the_context_outlive_the_psk(self):
        found = two.discover()
        a, key, p1 = P.put_kept(two, [
            two.wish(found[API], methods=['PSK']),
            two.wish(found[OTHER], methods=['OAUTH'])])
        psk = P.Psk(a.json()['securityInfo'][0], key, p1)
        P.initiate(two)
        self.works(psk)
        time.sleep(self.SECONDS + 0.5)
        P.initiate(two)
        self.refused(psk)
        self.assertEqual(two.call(two.token(), OTHER_PATH).status, 200)


class Agents(P.Case):
    def derived(self, name, seen=0):
        return re.findall('event=derive rung=([a-z]+) '
                          'transient-secrets=([0-9]+)',
                          P.log_with(d, 'event=derive', name, seen))

    def test_only_the_agents_saw_what_was_derived(self):
        self.works(P.ready(one))
        for name in 'aef-b', 'ccf-a':
            seen = len(P.log(d, name))
            d.end(name)
            self.assertEqual(self.derived(name)[0], ('agent', '0'))
            self.assertEqual(self.derived(name, seen), [('agent', '0')])
            d.begin(name)


class Secrets(P.Case):
    """The last class by its name, so that it runs last."""

    def test_no_secret_in_logs_or_stores(self):
        self.no_secret_in_files(8)


if __name__ == '__main__':
    domains.main()
