# SPDX-License-Identifier: Apache-2.0
"""Keys whose values are known.  They are made by `openssl`, outside of any
token, and then brought into one with the attributes that `capif-hsm keygen`
and `capif-hsm kek` give, by this process, which is neither ccfd nor aefd.

    keys.py DIR NEEDLES pair KIND LABEL...     KIND: p256 or transport
    keys.py DIR NEEDLES kek LABEL

DIR is what tools/quickstart made for a token: its name, `pin`, `so-pin`.
What was made goes to the end of NEEDLES, as `capif-hsm audit` takes it.
"""

import ctypes
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                '..', 'integration'))

import p11  # noqa: E402  (it is over there)
from p11 import CLASS, FLAGS, ID, IS_PRIVATE, LABEL, TOKEN, VALUE  # noqa: E402

MODULE = '/usr/lib/softhsm/libsofthsm2.so'
SECRET = 4  # CKO_
KEY_TYPE, TRUSTED, WRAP, MODIFIABLE = 0x100, 0x86, 0x106, 0x170  # CKA_
RSA, EC, AES = 0, 3, 0x1f  # CKK_
RSA_PARTS = {0x123: 'd', 0x124: 'p', 0x125: 'q', 0x126: 'dp', 0x127: 'dq',
             0x128: 'qinv'}
OFFICER, USER = 0, 1  # CKU_
KEK_LEN = 32


def openssl(*argv, stdin=None):
    return subprocess.run(('openssl',) + argv, input=stdin, check=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          timeout=60).stdout


def integer(der):
    """What an INTEGER or OCTET STRING says, without a sign's zero."""
    body = p11.elements(b'\x30\x82' + len(der).to_bytes(2, 'big') + der)[0]
    head = 2 if body[1] < 0x80 else 2 + (body[1] & 0x7f)
    return body[head:].lstrip(b'\0')


class Keys:
    def __init__(self, where, needles):
        self.dir, self.name = where, os.path.basename(where)
        self.needles = needles
        self.pin, self.so_pin = where + '/pin', where + '/so-pin'

    def needle(self, name, value):
        with open(self.needles, 'a', encoding='ascii') as f:
            f.write('1.%s-%s %s\n' % (self.name, name, value.hex()))

    def token(self, user=USER):
        return p11.Token(MODULE, '', self.name,
                         self.pin if user == USER else self.so_pin, user)

    @staticmethod
    def create(token, attributes):
        t = p11.template(attributes)
        token.call('C_CreateObject', token.s, t, ctypes.c_ulong(len(t)),
                   ctypes.byref(ctypes.c_ulong()))

    def pair(self, kind, *labels):
        with open(self.pin, 'rb') as f:
            self.needle('pin', f.readline().strip())
        token = self.token()
        for label in labels:
            for attributes in self.rsa(label) if kind == 'transport' \
                    else self.ec(label):
                self.create(token, attributes)
        token.call('C_Finalize', None)

    @staticmethod
    def halves(label, use):
        """As hsm/generate.c makes them."""
        public = {TOKEN: True, LABEL: label.encode(),
                  ID: hashlib.sha256(label.encode()).digest()[:16]}
        private = dict(public)
        public.update({CLASS: p11.PUBLIC})
        private.update({CLASS: p11.PRIVATE, IS_PRIVATE: True,
                        FLAGS['SENSITIVE']: True,
                        FLAGS['EXTRACTABLE']: False})
        for name in ('SIGN', 'DECRYPT', 'UNWRAP', 'DERIVE'):
            private[FLAGS[name]] = name == use
        public[FLAGS['VERIFY'] if use == 'SIGN' else WRAP] = True
        return public, private

    def ec(self, label):
        key = openssl('genpkey', '-algorithm', 'EC', '-pkeyopt',
                      'group:P-256')
        der = p11.elements(openssl('pkey', '-traditional', '-outform', 'DER',
                                   stdin=key))
        d = integer(der[1])
        self.needle(label + '-d', d)
        public, private = self.halves(label, 'SIGN')
        for half in public, private:
            half.update({KEY_TYPE: EC,
                         p11.EC_PARAMS: bytes.fromhex(p11.OID['p256'])})
        public[p11.EC_POINT] = p11.der(4, der[3][-65:])
        private[VALUE] = d.rjust(32, b'\0')
        return public, private

    def rsa(self, label):
        key = openssl('genpkey', '-algorithm', 'RSA', '-pkeyopt',
                      'rsa_keygen_bits:2048')
        der = p11.elements(openssl('pkey', '-traditional', '-outform', 'DER',
                                   stdin=key))
        n, e, *rest = (integer(x) for x in der[1:])
        public, private = self.halves(label, 'UNWRAP')
        for half in public, private:
            half.update({KEY_TYPE: RSA, p11.MODULUS: n, p11.EXPONENT: e})
        for (kind, name), value in zip(RSA_PARTS.items(), rest):
            self.needle(label + '-' + name, value)
            private[kind] = value
        return public, private

    def kek(self, label):
        """As hsm/officer.c: the officer's alone can be trusted, and the
        user's copy of it alone can be private."""
        value = os.urandom(KEK_LEN)
        self.needle(label, value)
        token = self.token(OFFICER)
        self.create(token, {
            CLASS: SECRET, KEY_TYPE: AES, LABEL: label.encode(), VALUE: value,
            TOKEN: True, IS_PRIVATE: False, WRAP: True, TRUSTED: True,
            FLAGS['SENSITIVE']: True, FLAGS['EXTRACTABLE']: False,
            FLAGS['UNWRAP']: True, FLAGS['DECRYPT']: False,
            FLAGS['ENCRYPT']: False})
        token.call('C_Finalize', None)
        token = self.token()
        obj = token.one(SECRET, label)
        t = p11.template({TOKEN: True, IS_PRIVATE: True, MODIFIABLE: False})
        copy = ctypes.c_ulong()
        token.call('C_CopyObject', token.s, ctypes.c_ulong(obj), t,
                   ctypes.c_ulong(len(t)), ctypes.byref(copy))
        token.call('C_DestroyObject', token.s, ctypes.c_ulong(obj))
        if token.get(copy.value, TRUSTED) != b'\1':
            raise RuntimeError('the copy is not trusted')
        token.call('C_Finalize', None)


if __name__ == '__main__':
    getattr(Keys(*sys.argv[1:3]), sys.argv[3])(*sys.argv[4:])
