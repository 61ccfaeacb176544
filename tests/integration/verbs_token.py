# SPDX-License-Identifier: Apache-2.0
"""Rows as in verbs.py: what there is only with a token."""

from verbs import ALL, DIGEST, EC, HSM, ONE, RSA, SIGN, XDH, Row

STORE = (
    Row('storeutl lists all', ONE, HSM, '''
        token storeutl -noout pkcs11: > all
        token storeutl -noout -keys pkcs11: > keys
        token storeutl -noout -certs pkcs11: > certs
        call listed all keys certs
    '''),
    Row('storeutl writes all', ONE, HSM, '''
        token storeutl -out all pkcs11:
        lacks all 'PRIVATE KEY'
        call written all
    '''),
    Row('storeutl certs', DIGEST, HSM, '''
        token storeutl -certs -out got pkcs11:object={kind}
        soft x509 -in got -outform DER -out a
        soft x509 -in {leaf} -outform DER -out b
        same a b
        token storeutl -certs -noout pkcs11:object={kind}-not >& said
        has said 'Total found: 0|not found in the token'
    '''),
    Row('storeutl keys', ALL, HSM, '''
        token storeutl -keys -out got pkcs11:object={kind}
        call uri_in got object={kind}
    '''),
    Row('storeutl of a public key', ALL, HSM, '''
        token storeutl -out got 'pkcs11:object={kind};type=public'
        soft pkey -pubin -in got -pubout -out p
        call same_key p {pub}
    '''),
    Row('storeutl of a pem file', ALL, HSM, '''
        token storeutl -keys -noout {pem} > got
        has got '0: Pkey'
        has got 'Total found: 1'
    '''),
    Row('storeutl text', ALL, HSM, '''
        token storeutl -text -noout 'pkcs11:object={kind};type=private' > text
        soft pkey -pubin -in {pub} -text_pub -noout > public
        call hex_of public text
    '''),
)

GENPKEY = (
    Row('genpkey', SIGN, HSM, '''
        token genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-gen > said
        call uri_in said object={kind}-gen
        lacks said 'PRIVATE KEY'
        call export {kind}-gen got
        token pkeyutl -sign -inkey said -rawin {digest} -in msg -out sig
        soft pkeyutl -verify -pubin -inkey got -rawin {digest} -in msg \
            -sigfile sig
        call flags {kind}-gen SIGN SENSITIVE TOKEN PRIVATE !EXTRACTABLE \
            !DERIVE !DECRYPT !UNWRAP
    '''),
    Row('genpkey out', SIGN, HSM, '''
        token genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-out -out new
        call uri_in new object={kind}-out
        call export {kind}-out got
        token pkey -in new -pubout -out pub
        call same_key pub got
    '''),
    Row('genpkey text', SIGN, HSM, '''
        token genpkey {genopts} -propquery provider=sealed -text \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-text -out new
        call export {kind}-text got
        soft pkey -pubin -in got -text_pub -noout > public
        call hex_of public new
    '''),
    Row('genpkey refuses a name that is there', ONE, HSM, '''
        refused genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind} -out no >& said
        has said 'forbidden for this key'
        token pkey -in {key} -pubout -out got
        call same_key got {pub}
    '''),
    Row('genpkey of x25519', XDH, HSM, '''
        token genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-gen -out new
        call export {kind}-gen got
        soft genpkey {genopts} -out peer
        soft pkey -in peer -pubout -out peer.pub
        token pkeyutl -derive -inkey new -peerkey peer.pub -out a
        soft pkeyutl -derive -inkey peer -peerkey got -out b
        same a b
    '''),
    Row('genpkey of an ordinary key', DIGEST, HSM, '''
        token genpkey {genopts} -out new
        soft pkey -in new -pubout -out pub
        token dgst -sha256 -sign new -out sig msg
        soft dgst -sha256 -verify pub -signature sig msg
    '''),
    Row('genpkey usage unknown', ONE, HSM, '''
        refused genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-unknown \
            -pkeyopt pkcs11_key_usage:makeCoffee -out no
        token genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-unknown -out yes
        call flags {kind}-unknown SIGN
    '''),
)


def usage(words, name, flags, more=''):
    """A pair made for words, what it then may, and that it does it."""
    return '''
        token genpkey {genopts} -propquery provider=sealed \
            -pkeyopt pkcs11_uri:pkcs11:object={kind}-%s \
            -pkeyopt 'pkcs11_key_usage:%s' -out new
        call flags {kind}-%s SENSITIVE TOKEN PRIVATE !EXTRACTABLE %s
        call export {kind}-%s pub
    ''' % (name, words, name, flags, name) + more


SIGNS = '''
        token dgst -sha256 -sign new -out sig msg
        soft dgst -sha256 -verify pub -signature sig msg
'''
SIGNS_NOT = '''
        refused dgst -sha256 -sign new -out no msg
'''
DECRYPTS = '''
        soft pkeyutl -encrypt -pubin -inkey pub -in msg -out e
        token pkeyutl -decrypt -inkey new -in e -out got
        same got msg
'''
DECRYPTS_NOT = '''
        soft pkeyutl -encrypt -pubin -inkey pub -in msg -out e
        refused pkeyutl -decrypt -inkey new -in e -out got
'''
DERIVES = '''
        soft genpkey {genopts} -out peer
        soft pkey -in peer -pubout -out peer.pub
        token pkeyutl -derive -inkey new -peerkey peer.pub -out a
        soft pkeyutl -derive -inkey peer -peerkey pub -out b
        same a b
'''
DERIVES_NOT = '''
        soft genpkey {genopts} -out peer
        soft pkey -in peer -pubout -out peer.pub
        refused pkeyutl -derive -inkey new -peerkey peer.pub -out no
'''

USAGE = tuple(
    Row('genpkey usage ' + words.lower(), kinds, HSM,
        usage(words, words.replace(' ', '-'), flags, more))
    for words, kinds, flags, more in (
        ('digitalSignature', RSA, 'SIGN !DECRYPT !UNWRAP',
         SIGNS + DECRYPTS_NOT),
        ('digitalSignature', EC, 'SIGN !DERIVE', SIGNS + DERIVES_NOT),
        ('nonRepudiation', DIGEST, 'SIGN', SIGNS),
        ('keyCertSign', DIGEST, 'SIGN', SIGNS),
        ('cRLSign', DIGEST, 'SIGN', SIGNS),
        ('keyCertSign cRLSign', DIGEST, 'SIGN', SIGNS),
        ('dataEncipherment', RSA, 'DECRYPT !SIGN', DECRYPTS + SIGNS_NOT),
        ('keyEncipherment', RSA, '!SIGN', DECRYPTS + SIGNS_NOT),
        ('digitalSignature keyEncipherment', RSA, 'SIGN', SIGNS + DECRYPTS),
        ('keyAgreement', EC, 'DERIVE !SIGN', DERIVES + SIGNS_NOT),
        ('encipherOnly', EC, 'DERIVE !SIGN', DERIVES),
        ('decipherOnly', EC, 'DERIVE !SIGN', DERIVES),
        ('digitalSignature keyAgreement', EC, 'DERIVE SIGN',
         SIGNS + DERIVES),
        ('keyTransport', RSA, 'UNWRAP !SIGN !DECRYPT',
         SIGNS_NOT + DECRYPTS_NOT)))

REST = (
    Row('list providers', ONE, HSM, '''
        token list -providers -verbose > got
        has got (?s)sealed.*status:.active
        soft list -providers > got
        lacks got sealed
    '''),
    Row('list algorithms', ONE, HSM, '''
        token list -key-managers > got
        has got (?m)RSA.*@.{provider}
        has got (?m)(EC|id-ecPublicKey).*@.{provider}
        has got (?m)ED25519.*@.{provider}
        has got (?m)ED448.*@.{provider}
        has got (?m)X25519.*@.{provider}
        token list -signature-algorithms > got
        has got (?m)RSA.*@.{provider}
        has got (?m)ECDSA.*@.{provider}
        has got (?m)ED25519.*@.{provider}
        has got (?m)ED448.*@.{provider}
        token list -key-exchange-algorithms > got
        has got (?m)ECDH.*@.{provider}
        has got (?m)X25519.*@.{provider}
        token list -asymcipher-algorithms > got
        has got (?m)RSA.*@.{provider}
        token list -kdf-algorithms > got
        has got (?m)AEFPSK.*@.{provider}
        token list -store-loaders > got
        has got (?m)pkcs11.*@.{provider}
        token list -decoders > got
        has got (?m)@.{provider}
        token list -encoders > got
        has got (?m)@.{provider}
    '''),
    Row('list random generators', ONE, HSM, '''
        token list -random-generators > got
        has got (?m)@.{provider}
    '''),
    Row('rand from the token', ONE, HSM, 'call rand'),
    Row('kdf aefpsk', ONE, HSM, '''
        call octets s 7a 7b7d 0002 6964 0002
        token kdf -keylen 32 -kdfopt hexkey:{hexkey} \
            -kdfopt hexservice-api:7b7d -kdfopt hexsession-id:6964 -binary \
            -out a AEFPSK
        soft mac -digest SHA256 -macopt hexkey:{hexkey} -in s -binary -out b \
            HMAC
        same a b
        token kdf -keylen 32 -kdfopt hexkey:{hexkey} \
            -kdfopt hexservice-api:7b7d -kdfopt hexsession-id:6965 -binary \
            -out a AEFPSK
        differ a b
    '''),
    Row('kdf 3gpp', ONE, HSM, '''
        call octets s 6f 6162 0002
        token kdf -keylen 32 -kdfopt hexkey:{hexkey} -kdfopt fc:111 \
            -kdfopt p0:ab -binary -out a 3GPP-KDF
        soft mac -digest SHA256 -macopt hexkey:{hexkey} -in s -binary -out b \
            HMAC
        same a b
    '''),
    Row('kdf tls13', ONE, HSM, '''
        token kdf -propquery sealed.tls=psk -keylen 32 -kdfopt digest:SHA256 \
            -kdfopt mode:EXTRACT_ONLY -kdfopt hexkey:{hexkey} \
            -binary -out a TLS13-KDF
        soft kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt mode:EXTRACT_ONLY \
            -kdfopt hexkey:{hexkey} -binary -out b TLS13-KDF
        same a b
    '''),
)

ROWS = STORE + GENPKEY + USAGE + REST
