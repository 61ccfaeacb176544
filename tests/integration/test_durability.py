# SPDX-License-Identifier: Apache-2.0
"""What CCF-A answered with success is still there after SIGKILL."""

import json
import queue
import random
import signal
import sqlite3
import threading
import unittest

import domains
from domains import API, DIED, Invoker, jws_parts

KILLS = 10
THREADS = 4
ENROLMENTS = 40  # for one run; more than are used up before it ends
LOCAL = 'local-api'


def setUpModule():
    global d, home, key, csr, apis
    d = domains.Domains()
    home = d.a.register(aef_a1='aef.domain-a.example')
    assert home.publish(home.describe(LOCAL)).status == 201
    key = domains.make_key(d.extra + '/shared.key')
    csr = domains.make_csr(key)
    apis = d.a.onboard().discover()


def tearDownModule():
    d.stop()


class Story:
    """One invoker: what was asked for, and what was answered."""

    def __init__(self, enrolment):
        self.enrolment = enrolment
        self.asked = False
        self.invoker = None     # set when onboarding was answered
        self.put_asked = []     # destinations, each a version
        self.put_answered = -1  # the last one that was answered

    def run(self):
        self.asked = True
        a = d.a.onboard_request(self.enrolment, csr)
        assert a.status == 201, a
        self.invoker = who = object.__new__(Invoker)
        who.ccf, who.key, who.id = d.a, key, a.json()['apiInvokerId']
        who.crt = domains.write('%s/%s.crt' % (d.extra, who.id), a.json()[
            'onboardingInformation']['apiInvokerCertificate'])
        who.context = '/capif-security/v1/trustedInvokers/' + who.id
        who.token_path = ('/capif-security/v1/securities/%s/token' % who.id)
        for n in range(3):
            where = 'https://%s.invalid/%d' % (who.id, n)
            self.put_asked.append(where)
            a = who.request('PUT', who.context, body={
                'securityInfo': [who.wish(apis[LOCAL]), who.wish(apis[API])],
                'notificationDestination': where})
            assert a.status == 201, a
            self.put_answered = n


def run_until_killed(rng, stories):
    """Threads that work on stories until CCF-A is gone; its seeded end."""
    todo = queue.Queue()
    for story in stories:
        todo.put(story)
    enough = threading.Semaphore(0)
    failures = []

    def work():
        try:
            while True:
                todo.get_nowait().run()
                enough.release()
        except DIED:
            pass  # it was killed
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)
        enough.release()

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for t in threads:
        t.start()
    for _ in range(rng.randrange(1, 12)):
        enough.acquire()
    # Not a wait for anything: the moment of the kill, in real time.
    threading.Event().wait(rng.random() * 0.03)
    d.end('ccf-a', signal.SIGKILL)
    for t in threads:
        t.join()
    return failures


class Durability(unittest.TestCase):
    def check_story(self, story):
        who = story.invoker
        if who is None:
            if story.asked:  # all of it happened, or nothing
                a = d.a.onboard_request(story.enrolment, csr)
                self.assertIn(a.status, (201, 401), a)
            return
        a = home.aef.request('GET', who.context)
        if story.put_answered < 0:
            self.assertIn(a.status, (200, 404), a)
        else:
            self.assertEqual(a.status, 200, a)
            t = who.ask_token()
            self.assertEqual(t.status, 200, t)
            claims = jws_parts(t.json()['access_token'])[1]
            self.assertEqual(claims['client_id'], who.id)
            self.assertEqual(set(claims['aud']), {'aef-a1', 'aef-b1'})
        if a.status == 200:
            self.assertIn(a.json()['notificationDestination'],
                          story.put_asked[max(story.put_answered, 0):])
            self.assertEqual(len(a.json()['securityInfo']), 1)

    def check_store(self):
        db = sqlite3.connect('file:%s/ccf-a/store.db?mode=ro' % d.dir,
                             uri=True)
        try:
            self.assertEqual(
                db.execute('PRAGMA integrity_check').fetchall(), [('ok',)])
            groups = {g: json.loads(doc) for g, doc in db.execute(
                'SELECT id, doc FROM grp')}
            members = db.execute('SELECT id, role, group_id, thumbprint '
                                 'FROM member').fetchall()
            self.assertEqual({m[2] for m in members}, set(groups))
            self.assertEqual(db.execute('SELECT COUNT(*) FROM enrolment')
                             .fetchone()[0], len(groups))
            invokers = {m[0]: m for m in members if m[1] == 'invoker'}
            for name, m in invokers.items():
                self.assertEqual(groups[m[2]]['apiInvokerId'], name)
                self.assertEqual(len(m[3]), 43)
            for name, doc in db.execute(
                    'SELECT invoker_id, doc FROM context WHERE invoker_id '
                    '<> ?', (d.known_invoker().id,)):
                self.assertIn(name, invokers)
                self.assertEqual([i['selSecurityMethod'] for i in
                                  json.loads(doc)['securityInfo']],
                                 ['OAUTH', 'OAUTH'])
        finally:
            db.close()

    def run_and_kill(self, seed):
        rng = random.Random(seed)
        # One after the other: of four `capif-hsm enrol` at once, one or
        # more often end with "no token matches"; why is not known yet.
        stories = [Story(d.a.enrolment()) for _ in range(ENROLMENTS)]
        failures = run_until_killed(rng, stories)
        d.begin('ccf-a')
        self.assertEqual(failures, [])
        self.assertTrue(any(s.put_answered >= 0 for s in stories) or
                        any(s.asked for s in stories))
        self.check_store()
        for story in stories:
            self.check_story(story)
        return stories


def add_test(seed):
    def test(self):
        self.run_and_kill(seed)
    setattr(Durability, 'test_all_that_was_answered_survives_kill_%d' % seed,
            test)


for s in range(1, KILLS + 1):
    add_test(s)


class Restart(unittest.TestCase):
    def test_token_and_context_survive_a_restart_of_all_daemons(self):
        who = d.a.onboard().negotiate()
        token = who.token()
        for name in ('ccf-a', 'ccf-b', 'aef-b'):
            d.restart(name, signal.SIGKILL)
        self.assertEqual(who.call(token).status, 200)
        self.assertEqual(who.call(who.token()).status, 200)

    def test_daemons_end_with_status_0_on_sigterm(self):
        for name in ('ccf-a', 'ccf-b', 'aef-b'):
            d.restart(name)  # from here on a child of ours
            self.assertEqual(d.end(name), 0)
            d.begin(name)


if __name__ == '__main__':
    domains.main()
