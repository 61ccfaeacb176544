# SPDX-License-Identifier: Apache-2.0
"""An AEF that registers by one command and publishes its own descriptions:
quickstart shows how that goes, and this what can go wrong."""

import json
import os
import subprocess
import threading
import unittest

import domains
import psk as P
from domains import API, BUILD, read, write


def setUpModule():
    global d, conf
    d = P.Case.d = domains.Domains()
    conf = d.dir + '/aef-b/aef-b.cnf'


def tearDownModule():
    d.stop()


def there(name=API):
    """What CCF-B has of an API."""
    who = d.b.onboard()
    a = who.request('GET', '/service-apis/v1/allServiceAPIs?api-invoker-id='
                    + who.id)
    return [api for api in a.json()['serviceAPIDescriptions']
            if api['apiName'] == name]


def capif_hsm(*args):
    return subprocess.run([BUILD + '/tools/capif-hsm', *args], cwd=d.dir,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60, check=False)


class Published(unittest.TestCase):
    def begin(self, event, change=lambda doc: None):
        """Start aefd with the description changed; what it said of it."""
        doc = json.loads(read(d.dir + '/aef-b/api.json'))
        change(doc)
        write(d.dir + '/aef-b/api.json', json.dumps(doc))
        mark = len(P.log(d))
        d.restart('aef-b')
        return P.log_with(d, 'event=' + event, seen=mark)

    def test_nothing_changes_if_it_is_there(self):
        before = there()
        self.assertIn('how=as-it-was', self.begin('api-published'))
        self.assertEqual(there(), before)

    def test_a_change_is_published(self):
        before = there()
        self.assertIn('how=changed', self.begin(
            'api-published', lambda doc: doc.update(description='another')))
        after = there()
        self.assertEqual(len(after), 1)
        self.assertEqual(after[0]['apiId'], before[0]['apiId'])
        self.assertEqual(after[0]['description'], 'another')
        self.assertIn('how=as-it-was', self.begin('api-published'))

    def test_of_two_by_others_none_is_deleted(self):
        domains.run(BUILD + '/tools/capif', 'publish', '--dir', 'aef-b',
                    '--ccf', d.b.url, *d.b.connect, '--ca', d.b.ca, '--key',
                    'pkcs11:object=apf', 'aef-b/api.json',
                    env=d.env('aef-b'), cwd=d.dir)
        both = there()
        self.assertEqual(len(both), 2)
        self.assertIn('how=as-it-was', self.begin('api-published'))
        self.assertEqual(there(), both)

    def test_two_aefd_that_begin_at_once_publish_it_once(self):
        os.mkdir(d.dir + '/aef-b2')
        write(d.dir + '/aef-b2/softhsm2.conf', '')
        text = read(conf)
        for n in range(4):
            name = 'twin-%d' % n
            doc = json.loads(read(d.dir + '/aef-b/api.json'))
            doc['apiName'] = name
            doc['aefProfiles'][0]['interfaceDescriptions'][0][
                'apiPrefix'] = '/' + name
            path = write('%s/%s.json' % (d.extra, name), json.dumps(doc))
            more = '\n[api %s]\ndescription = %s\nbackend = http://x\n' % (
                name, path)
            write(conf, text + more)
            write(d.dir + '/aef-b2/aef-b2.cnf', (text + more).replace(
                'aef-b/state', 'aef-b2/state'))
            mark = len(P.log(d))
            d.end('aef-b')
            threads = [threading.Thread(target=d.begin, args=(aef,))
                       for aef in ('aef-b', 'aef-b2')]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            said = 'event=api-published api=%s ' % name
            P.log_with(d, said, seen=mark)
            P.log_with(d, said, 'aef-b2')
            self.assertEqual(len(there(name)), 1)
            d.end('aef-b2')
        write(conf, text)
        d.restart('aef-b')

    def test_what_the_ccf_refuses_is_said(self):
        good = read(d.dir + '/aef-b/api.json')
        try:
            self.assertIn('status=400 why=', self.begin(
                'publish-refused', lambda doc: doc['aefProfiles'][0].update(
                    protocol=7)))
        finally:
            write(d.dir + '/aef-b/api.json', good)
        self.assertIn('how=as-it-was', self.begin('api-published'))

    def test_a_ccf_that_comes_later(self):
        d.end('ccf-b')
        try:
            self.begin('publish-failed', lambda doc: doc.update(
                description='third'))
            mark = len(P.log(d))
        finally:
            d.begin('ccf-b')
        self.assertIn('how=changed', P.log_with(d, 'event=api-published',
                                                seen=mark))
        self.assertEqual(there()[0]['description'], 'third')

    def test_a_certificate_that_is_no_apf_s(self):
        text = read(conf)
        for old, new, why in (
                ('aef-b/apf.crt', 'aef-b/amf.crt', 'apf-certificate'),
                ('apf-key = ', '#', 'apf-certificate: goes with apf-key')):
            self.assertIn(old, text)
            write(d.extra + '/aef.cnf', text.replace(old, new))
            done = subprocess.run(
                [BUILD + '/aef/aefd', d.extra + '/aef.cnf'], cwd=d.dir,
                env=d.env('aef-b'), stderr=subprocess.PIPE, text=True,
                timeout=20, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(why if 'goes' in why else 'load-failed',
                          done.stderr)


class Configuration(unittest.TestCase):
    def refused(self, why, *changes):
        text = read(conf)
        for old, new in changes:
            self.assertIn(old, text)
            text = text.replace(old, new)
        write(d.extra + '/bad.cnf', text)
        done = subprocess.run([BUILD + '/aef/aefd', d.extra + '/bad.cnf'],
                              cwd=d.dir, env=d.env('aef-b'), text=True,
                              stderr=subprocess.PIPE, timeout=20, check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(why, done.stderr)

    def test_what_is_of_no_use_is_said(self):
        state = 'state = %s/aef-b/state' % d.dir
        api = '[api %s]\n' % API
        self.refused('state: No such file or directory',
                     (state, 'state = %s/none/state' % d.extra))
        self.refused('state: Not a directory', (state, 'state = ' + conf))
        self.refused('connect: HOST:PORT=ADDRESS:PORT',
                     ('[aef]\n', '[aef]\nconnect = x=1.2.3.4\n'))
        self.refused('[api %s] description' % API, ('description = ', '# '))
        self.refused('backend: must be an http:// URL',
                     ('backend = http', 'backend = ftp'))
        doc = json.loads(read(d.dir + '/aef-b/api.json'))
        path = write(d.extra + '/same.json',
                     json.dumps(dict(doc, apiName='same')))
        self.refused("description: its apiPrefix is another API's", (
            api, '[api same]\ndescription = %s\n\n%s' % (path, api)))


class Register(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        d.make_token('own')

    def files(self):
        return sorted(f for f in os.listdir(d.dir + '/own')
                      if f.endswith(('.crt', '.json')))

    def enrolment(self, name, aef='aef-b3'):
        return write('%s/%s' % (d.extra, name), d.b.enrolment(
            'provider', '--aef', '%s=%s' % (aef, d.aef_name)))

    def config(self, *without):
        """As aef-b's, of another AEF with another token."""
        text = read(conf)
        for old, new in (('aef-b1', 'aef-b3'), ('/aef-b/', '/own/'),
                         ('token=aef-b', 'token=own')):
            self.assertIn(old, text)
            text = text.replace(old, new)
        for line in without:
            self.assertIn(line, text)
            text = '\n'.join(x for x in text.splitlines()
                             if not x.startswith(line))
        return write(d.extra + '/own.cnf', text)

    def run_it(self, config, enrolment):
        return capif_hsm('register', '--config', config, '--enrolment',
                         enrolment)

    def test_who_is_registered_is_not_registered_again(self):
        before = {f: read(d.dir + '/aef-b/' + f) for f in os.listdir(
            d.dir + '/aef-b') if f.endswith(('.crt', '.json'))}
        done = self.run_it('aef-b/aef-b.cnf', self.enrolment('again'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('[aef] certificate: is there: this provider is '
                      'registered already', done.stderr)
        self.assertEqual({f: read(d.dir + '/aef-b/' + f) for f in before},
                         before)

    def test_what_is_missing_is_said(self):
        for line, why in (('key = ', '[aef] key: missing'),
                          ('certificate = ', '[aef] certificate: missing'),
                          ('amf-key', '[provider] amf-key: missing'),
                          ('apf-cert', '[provider] apf-certificate: missing'),
                          ('ca-cert', '[aef] ca-certificate: missing'),
                          ('ccf-url', '[aef] ccf-url: missing')):
            with self.subTest(line=line):
                done = self.run_it(self.config(line), d.extra + '/none')
                self.assertEqual(done.returncode, 1)
                self.assertIn(why, done.stderr)
        for args in ((), ('--config', conf), ('--enrolment', 'x')):
            self.assertEqual(capif_hsm('register', *args).returncode, 2)

    def test_where_nothing_can_be_written(self):
        config = self.config()
        write(config, read(config).replace('/own/apf.crt', '/none/apf.crt'))
        done = self.run_it(config, self.enrolment('unused'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('[provider] apf-certificate: No such file', done.stderr)
        self.assertNotIn('made', done.stderr)

    def test_an_enrolment_that_is_not_good(self):
        bad = write(d.extra + '/bad', 'a.b.c')
        for path, why in ((d.extra + '/none', 'none'),
                          (bad, 'registration: status 401')):
            done = self.run_it(self.config(), path)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(why, done.stderr)
            self.assertEqual('made' in done.stderr, path == bad)
        self.assertEqual(self.files(), [])

    def test_keys_that_are_there_are_taken(self):
        done = self.run_it(self.config(), self.enrolment('fresh'))
        self.assertEqual(done.returncode, 0, done)
        self.assertNotIn('made', done.stderr)
        for f in self.files():
            os.remove('%s/own/%s' % (d.dir, f))
        done = self.run_it(self.config(), self.enrolment('other', 'aef-b4'))
        self.assertEqual(done.returncode, 1, done)
        self.assertIn('the AEF is registered as aef-b4: aef-id has to be',
                      done.stderr)
        self.assertEqual(self.files(), [
            'aef.crt', 'amf.crt', 'apf.crt', 'provider.json',
            'transport.crt'])


if __name__ == '__main__':
    domains.main()
