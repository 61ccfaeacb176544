# SPDX-License-Identifier: Apache-2.0
"""AEF_Security, of domain B's AEF."""

import domains
from case import Case, w
from domains import VS


def own_ccf():
    """A certificate like that of CCF-B, with a key in a file."""
    d, base = w.d, w.d.extra + '/own-ccf'
    key = domains.make_key(base + '.key')
    domains.write(base + '.csr', domains.make_csr(key))
    domains.write(base + '.ext', 'subjectAltName=URI:urn:capif:%s:ccf:%s\n'
                  'extendedKeyUsage=clientAuth\n' % (d.b.id, d.b.id))
    domains.run('openssl', 'x509', '-req', '-in', base + '.csr', '-CA',
                d.b.ca, '-CAkey', 'pkcs11:object=ca;type=private', '-days',
                '2', '-extfile', base + '.ext', '-out', base + '.crt',
                env=d.b.env())
    return base + '.crt', key


class AefSecurity(Case):
    API = 'AEF_Security'

    def go(self, *args, **kw):
        return self.call(self.API, *args, **kw)

    def test_check_authentication(self):
        path = '/check-authentication'
        doc = {'apiInvokerId': w.one.id, 'supportedFeatures': 'f',
               VS: {'srcCcfId': w.d.a.id}}
        self.assertEqual(self.go('POST', path, 200, body=doc),
                         {'supportedFeatures': '0'})
        for name in 'apiInvokerId', 'supportedFeatures':
            self.go('POST', path, 400, valid=False, body={
                k: v for k, v in doc.items() if k != name})
        self.go('POST', path, 415, body=doc, kind='text/plain', valid=False)
        self.go('POST', path, 413, body=dict(doc, x='x' * 5000))

    def test_revoke_authorization(self):
        path, ccf = '/revoke-authorization', own_ccf()
        info = {'apiInvokerId': w.one.id, 'apiIds': ['api-x'],
                'cause': 'OVERLIMIT_USAGE', 'aefId': 'aef-b1'}
        doc = {'revokeInfo': info, 'supportedFeatures': 'f'}
        members = w.d.b.register(aef_conf='conf.domain-b.example')
        self.refused(self.API, 'POST', path, ccf, (), doc, (
            members.aef, members.apf, members.amf, w.d.b.onboard()))
        for name in 'apiInvokerId', 'apiIds', 'cause':
            self.go('POST', path, 400, ccf, valid=False, body=dict(
                doc, revokeInfo={k: v for k, v in info.items() if k != name}))
        self.go('POST', path, 400, ccf, body=dict(
            doc, revokeInfo=dict(info, aefId='aef-x')))
        self.assertEqual(self.go('POST', path, 200, ccf, body=doc),
                         {'supportedFeatures': '0'})
