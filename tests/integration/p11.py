# SPDX-License-Identifier: Apache-2.0
"""A second PKCS#11 program, by ctypes: makes keys with the attributes that a
test wants, in tokens that other tools do not reach, and says what is there
without asking the provider under test.

    p11.py MODULE INIT-ARGS TOKEN PIN-FILE command argument ...
"""

import ctypes
import hashlib
import json
import sys
from ctypes import POINTER, Structure, byref, c_char, c_ubyte, c_ulong

FUNCTIONS = {'C_Initialize': 0, 'C_Finalize': 1, 'C_GetSlotList': 4,
             'C_GetTokenInfo': 6, 'C_OpenSession': 12, 'C_Login': 18,
             'C_CreateObject': 20, 'C_CopyObject': 21, 'C_DestroyObject': 22,
             'C_GetAttributeValue': 24,
             'C_FindObjectsInit': 26, 'C_FindObjects': 27,
             'C_FindObjectsFinal': 28, 'C_DecryptInit': 33, 'C_Decrypt': 34,
             'C_GenerateKeyPair': 59}  # places in CK_FUNCTION_LIST

CERT, PUBLIC, PRIVATE = 1, 2, 3  # CKO_
CLASS, TOKEN, IS_PRIVATE, LABEL, VALUE = 0, 1, 2, 3, 0x11  # CKA_
CERT_TYPE, ISSUER, SERIAL, SUBJECT, ID = 0x80, 0x81, 0x82, 0x101, 0x102
MODULUS, BITS, EXPONENT = 0x120, 0x121, 0x122
EC_PARAMS, EC_POINT = 0x180, 0x181
FLAGS = {'SENSITIVE': 0x103, 'ENCRYPT': 0x104, 'DECRYPT': 0x105,
         'UNWRAP': 0x107, 'SIGN': 0x108, 'VERIFY': 0x10a, 'DERIVE': 0x10c,
         'EXTRACTABLE': 0x162, 'TOKEN': TOKEN, 'PRIVATE': IS_PRIVATE}
RSA_GEN, EC_GEN, EDWARDS_GEN = 0x0, 0x1040, 0x1055  # CKM_
RSA_PKCS, RSA_OAEP, SHA1, MGF1_SHA1 = 0x1, 0x9, 0x220, 1

OID = {'p256': '06082a8648ce3d030107', 'p384': '06052b81040022',
       'p521': '06052b81040023', 'ed25519': '06032b6570',
       'ed448': '06032b6571', 'x25519': '06032b656e'}
NSS_X25519 = '06092b06010401da470f01'  # what NSS calls that curve
POINT = {'p256': 65, 'p384': 97, 'p521': 133, 'ed25519': 32, 'ed448': 57,
         'x25519': 32}


class Attribute(Structure):
    _fields_ = [('type', c_ulong), ('value', ctypes.c_void_p),
                ('len', c_ulong)]


class Mechanism(Structure):
    _fields_ = [('type', c_ulong), ('param', ctypes.c_void_p),
                ('len', c_ulong)]


class Oaep(Structure):
    _fields_ = [('hash', c_ulong), ('mgf', c_ulong), ('source', c_ulong),
                ('data', ctypes.c_void_p), ('len', c_ulong)]


class InitArgs(Structure):
    """CK_C_INITIALIZE_ARGS with NSS's LibraryParameters."""
    _fields_ = [('mutex', ctypes.c_void_p * 4), ('flags', c_ulong),
                ('text', ctypes.c_char_p), ('reserved', ctypes.c_void_p)]


def template(attributes):
    """CK_ATTRIBUTE[]; what it points to lives as long as it does."""
    out, keep = (Attribute * len(attributes))(), []
    for a, (kind, value) in zip(out, attributes.items()):
        if isinstance(value, bool):
            value = bytes([value])
        elif isinstance(value, int):
            value = bytes(c_ulong(value))
        keep.append(ctypes.create_string_buffer(value, len(value)))
        a.type, a.len = kind, len(value)
        a.value = ctypes.cast(keep[-1], ctypes.c_void_p)
    out.keep = keep
    return out


def der(tag, *parts):
    body = b''.join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else (
        bytes([0x80 | (n.bit_length() + 7) // 8])
        + n.to_bytes((n.bit_length() + 7) // 8, 'big'))
    return bytes([tag]) + size + body


def der_integer(data):
    data = data.lstrip(b'\0')
    return der(2, (b'\0' if data[0] & 0x80 else b'') + data)


def elements(data):
    """What is in a constructed element, each with its head."""
    def size(at):
        n = data[at + 1]
        if n < 0x80:
            return 2, n
        n &= 0x7f
        return 2 + n, int.from_bytes(data[at + 2:at + 2 + n], 'big')
    out, at = [], size(0)[0]
    while at < len(data):
        out.append(data[at:at + sum(size(at))])
        at += len(out[-1])
    return out


class Token:
    def __init__(self, module, init_args, label, pin_file, user=1):
        lib = ctypes.CDLL(module)
        functions = POINTER(ctypes.c_void_p)()
        lib.C_GetFunctionList(byref(functions))
        self.f = functions
        self.nss = bool(init_args)
        args = InitArgs(flags=2, text=init_args.encode())
        self.call('C_Initialize', byref(args) if self.nss else None)
        n = c_ulong(32)
        slots = (c_ulong * 32)()
        self.call('C_GetSlotList', c_ubyte(1), slots, byref(n))
        self.s = c_ulong()
        self.call('C_OpenSession',
                  c_ulong(self.slot(slots[:n.value], label)), c_ulong(6),
                  None, None, byref(self.s))
        with open(pin_file, 'rb') as f:
            pin = f.readline().rstrip(b'\n')
        self.call('C_Login', self.s, c_ulong(user), pin, c_ulong(len(pin)))

    def call(self, name, *args):
        address = self.f[1 + FUNCTIONS[name]]  # after the version
        rv = ctypes.CFUNCTYPE(c_ulong)(address)(*args)
        if rv != 0:
            raise RuntimeError('%s: 0x%x' % (name, rv))

    def slot(self, slots, label):
        for slot in slots:
            info = (c_char * 512)()
            self.call('C_GetTokenInfo', c_ulong(slot), info)
            if info[:32].rstrip() == label.encode():
                return slot
        raise RuntimeError('no token ' + label)

    def find(self, **want):
        t = template({{'cls': CLASS, 'label': LABEL}[k]: v
                      for k, v in want.items()})
        found, n = (c_ulong * 512)(), c_ulong()
        self.call('C_FindObjectsInit', self.s, t, c_ulong(len(t)))
        self.call('C_FindObjects', self.s, found, c_ulong(512), byref(n))
        self.call('C_FindObjectsFinal', self.s)
        return found[:n.value]

    def one(self, cls, label):
        found = self.find(cls=cls, label=label.encode())
        if len(found) != 1:
            raise RuntimeError('%d objects: %s' % (len(found), label))
        return found[0]

    def get(self, obj, kind):
        a = Attribute(type=kind)
        self.call('C_GetAttributeValue', self.s, c_ulong(obj), byref(a),
                  c_ulong(1))
        buf = ctypes.create_string_buffer(a.len)
        a.value = ctypes.cast(buf, ctypes.c_void_p)
        self.call('C_GetAttributeValue', self.s, c_ulong(obj), byref(a),
                  c_ulong(1))
        return buf.raw[:a.len]

    # ---- commands

    def make(self, *labels):
        """Key pairs; a label is the kind, or kind-anything."""
        for label in labels:
            self.make_one(label, label.split('-')[0])

    def make_one(self, label, kind):
        common = {TOKEN: True, LABEL: label.encode(),
                  ID: hashlib.sha256(label.encode()).digest()[:8]}
        signs = kind != 'x25519'
        public, private = dict(common), dict(common)
        private.update({IS_PRIVATE: True, FLAGS['SENSITIVE']: True,
                        FLAGS['EXTRACTABLE']: False, FLAGS['SIGN']: signs})
        public.update({IS_PRIVATE: False, FLAGS['VERIFY']: signs})
        if kind.startswith('rsa'):
            how = RSA_GEN
            public.update({BITS: int(kind[3:]), EXPONENT: b'\1\0\1',
                           FLAGS['ENCRYPT']: True})
            private[FLAGS['DECRYPT']] = True
        else:
            how = EC_GEN if kind[0] == 'p' or self.nss else EDWARDS_GEN
            public[EC_PARAMS] = bytes.fromhex(
                NSS_X25519 if self.nss and kind == 'x25519' else OID[kind])
            private[FLAGS['DERIVE']] = kind[0] in 'px'
        mech, a, b = Mechanism(type=how), template(public), template(private)
        self.call('C_GenerateKeyPair', self.s, byref(mech), a,
                  c_ulong(len(a)), b, c_ulong(len(b)), byref(c_ulong()),
                  byref(c_ulong()))

    def cert(self, label, path):
        """The certificate in a DER file goes in beside its key."""
        with open(path, 'rb') as f:
            value = f.read()
        _, serial, _, issuer, _, subject = elements(elements(value)[0])[:6]
        t = template({CLASS: CERT, CERT_TYPE: 0, TOKEN: True,
                      IS_PRIVATE: False, LABEL: label.encode(), VALUE: value,
                      ID: hashlib.sha256(label.encode()).digest()[:8],
                      SERIAL: serial, ISSUER: issuer, SUBJECT: subject})
        self.call('C_CreateObject', self.s, t, c_ulong(len(t)),
                  byref(c_ulong()))

    def spki(self, label, kind):
        """SubjectPublicKeyInfo, made of the object's attributes."""
        obj = self.one(PUBLIC, label)
        if kind.startswith('rsa'):
            algorithm = bytes.fromhex('06092a864886f70d0101010500')
            key = der(0x30, der_integer(self.get(obj, MODULUS)),
                      der_integer(self.get(obj, EXPONENT)))
        else:
            algorithm = bytes.fromhex(OID[kind])
            if kind[0] == 'p':
                algorithm = bytes.fromhex('06072a8648ce3d0201') + algorithm
            key = self.get(obj, EC_POINT)[-POINT[kind]:]
        sys.stdout.buffer.write(der(0x30, der(0x30, algorithm),
                                    der(3, b'\0', key)))

    def flags(self, label):
        obj = self.one(PRIVATE, label)
        print(json.dumps({name: self.get(obj, kind) == b'\1'
                          for name, kind in FLAGS.items()
                          if name not in ('ENCRYPT', 'VERIFY')}))

    def count(self):
        """Private keys, public keys, certificates."""
        print(*(len(self.find(cls=c)) for c in (PRIVATE, PUBLIC, CERT)))

    def decrypt(self, label, how):
        oaep = Oaep(SHA1, MGF1_SHA1, 1, None, 0)
        mech = Mechanism(type=RSA_PKCS)
        if how == 'oaep':
            mech = Mechanism(RSA_OAEP, ctypes.cast(
                byref(oaep), ctypes.c_void_p), ctypes.sizeof(oaep))
        data = sys.stdin.buffer.read()
        n, out = c_ulong(1024), ctypes.create_string_buffer(1024)
        self.call('C_DecryptInit', self.s, byref(mech),
                  c_ulong(self.one(PRIVATE, label)))
        self.call('C_Decrypt', self.s, data, c_ulong(len(data)), out,
                  byref(n))
        sys.stdout.buffer.write(out.raw[:n.value])


if __name__ == '__main__':
    token = Token(*sys.argv[1:5])
    getattr(token, sys.argv[5])(*sys.argv[6:])
    token.call('C_Finalize', None)
