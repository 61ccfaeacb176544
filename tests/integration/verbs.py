# SPDX-License-Identifier: Apache-2.0
"""The table of test_openssl.py: what each verb of openssl does with a key; its
language, and the rows for keys, signatures and encryption.

A row: its name, the kinds of key, where the keys are, and a script of lines:

    token ARG ...      openssl with the provider, which must succeed
    refused ARG ...    the same, which must fail, other than by a signal
    soft ARG ...       openssl without it, which must succeed
    fails ARG ...      the same, which must fail
    judges WHO ARG ... openssl as WHO (token or soft), which says what it
                       found, with the one status or the other
    serve WHO ARG ...  openssl s_server as WHO (token or soft) for one client
    served             it is through with its client
    same A B, differ A B, has FILE REGEX, lacks FILE REGEX, empty FILE
    call NAME ARG ...  a method of the test

Output goes to FILE with `> FILE`, with standard error too by `>& FILE`;
`< FILE` is standard input, which is empty otherwise.  Each script runs in a
directory of its own, with the files msg and other; names in braces are in
test_openssl.py, values().
"""

from collections import namedtuple

Row = namedtuple('Row', 'name kinds where script')

FILES, SOFTHSM, NSS = 'files', 'softhsm', 'nss'
HSM = (SOFTHSM, NSS)
ANY = (FILES,) + HSM

RSA = ('rsa2048',)
EC = ('p256', 'p384', 'p521')
ED = ('ed25519', 'ed448')
XDH = ('x25519',)
DIGEST = RSA + EC  # signs a digest
SIGN = DIGEST + ED
ALL = SIGN + XDH
ONE = ('p256',)  # where the kind does not matter

PKEY = (
    Row('pkey pubout', ALL, ANY, '''
        token pkey -in {key} -pubout -out got
        call same_key got {pub}
    '''),
    Row('pkey pubout of a uri without type', ALL, HSM, '''
        token pkey -in pkcs11:object={kind} -pubout -out got
        call same_key got {pub}
    '''),
    Row('pkey pubin', ALL, ANY, '''
        token pkey -pubin -in {public} -pubout -out got
        call same_key got {pub}
    '''),
    Row('pkey pem file', ALL, ANY, '''
        token pkey -in {pem} -pubout -out got
        call same_key got {pub}
    '''),
    Row('pkey text', ALL, ANY, '''
        token pkey -in {key} -text -noout > text
        soft pkey -pubin -in {pub} -text_pub -noout > public
        call hex_of public text
    '''),
    Row('pkey text names the uri and nothing private', ALL, HSM, '''
        token pkey -in {key} -text -noout > text
        has text pkcs11:.*object={kind}
        lacks text (?i)^(priv|prime|coefficient|exponent1|privateExponent)
    '''),
    Row('pkey text_pub', ALL, ANY, '''
        token pkey -in {key} -text_pub -noout > got
        soft pkey -pubin -in {pub} -text_pub -noout > public
        same got public
    '''),
    Row('pkey noout', ALL, ANY, '''
        token pkey -in {key} -noout > got
        empty got
        refused pkey -in {key}-not -noout
    '''),
    Row('pkey pubcheck', ALL, ANY, '''
        token pkey -in {key} -pubcheck -noout >& got
        has got 'Key is valid'
    '''),
    Row('pkey writes the uri', ALL, HSM, '''
        token pkey -in {key} -out got
        lacks got 'PRIVATE KEY'
        call uri_in got object={kind}
        token pkey -in got -pubout -out pub
        call same_key pub {pub}
    '''),
    Row('pkey traditional never writes a private key', DIGEST, HSM, '''
        call never_private pkey -in {key} -traditional
    '''),
    Row('pkcs8 never writes a private key', ALL, HSM, '''
        call never_private pkcs8 -topk8 -nocrypt -in {key}
    '''),
    Row('pkcs12 never writes a private key', SIGN, HSM, '''
        refused pkcs12 -export -inkey {key} -in {leaf} -passout pass: -out p12
    '''),
    Row('rsa pubout', RSA, ANY, '''
        token rsa -in {key} -pubout -out got
        call same_key got {pub}
    '''),
    Row('rsa modulus', RSA, ANY, '''
        token rsa -in {key} -modulus -noout > a
        soft rsa -pubin -in {pub} -modulus -noout > b
        same a b
    '''),
    Row('ec pubout', EC, ANY, '''
        token ec -in {key} -pubout -out got
        call same_key got {pub}
    '''),
    Row('ec text', EC, ANY, '''
        token ec -in {key} -text -noout > text
        soft ec -pubin -in {pub} -text -noout > public
        call hex_of public text
    '''),
)

SIGNATURES = (
    Row('dgst', DIGEST, ANY, '''
        token dgst -{md} -sign {key} -out sig msg
        soft dgst -{md} -verify {pub} -signature sig msg
        fails dgst -{md} -verify {pub} -signature sig other
    '''),
    Row('dgst pem file', DIGEST, ANY, '''
        token dgst -{md} -sign {pem} -out sig msg
        soft dgst -{md} -verify {pub} -signature sig msg
    '''),
    Row('dgst sha1 and sha512', DIGEST, ANY, '''
        token dgst -sha1 -sign {key} -out sig1 msg
        soft dgst -sha1 -verify {pub} -signature sig1 msg
        token dgst -sha512 -sign {key} -out sig512 msg
        soft dgst -sha512 -verify {pub} -signature sig512 msg
        fails dgst -sha384 -verify {pub} -signature sig512 msg
    '''),
    Row('dgst sha3', DIGEST, ANY, '''
        token dgst -sha3-256 -sign {key} -out sig msg
        soft dgst -sha3-256 -verify {pub} -signature sig msg
        fails dgst -sha3-256 -verify {pub} -signature sig other
    '''),
    Row('dgst pss', RSA, ANY, '''
        token dgst -sha256 -sign {key} -sigopt rsa_padding_mode:pss -out a msg
        soft dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -signature a msg
        fails dgst -sha256 -verify {pub} -signature a msg
    '''),
    Row('dgst pss with a salt of its own', RSA, ANY, '''
        token dgst -sha256 -sign {key} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:20 -out a msg
        soft dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:20 -signature a msg
        fails dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -signature a msg
    '''),
    # SoftHSM wants MGF1's digest to be the message's.
    Row('dgst pss with an mgf1 of its own', RSA, (FILES, NSS), '''
        token dgst -sha256 -sign {key} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha1 -out a msg
        soft dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha1 \
            -signature a msg
        fails dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -signature a msg
    '''),
    Row('dgst verify', DIGEST, ANY, '''
        token dgst -{md} -sign {key} -out sig msg
        token dgst -{md} -verify {public} -signature sig msg
        token dgst -{md} -prverify {key} -signature sig msg
        refused dgst -{md} -verify {public} -signature sig other
        refused dgst -{md} -prverify {key} -signature sig other
    '''),
    Row('pkeyutl sign', DIGEST, ANY, '''
        soft dgst -{md} -binary -out hash msg
        token pkeyutl -sign -inkey {key} -in hash -pkeyopt digest:{md} -out s
        soft dgst -{md} -verify {pub} -signature s msg
        fails dgst -{md} -verify {pub} -signature s other
    '''),
    Row('pkeyutl sign pem file', DIGEST, ANY, '''
        soft dgst -{md} -binary -out hash msg
        token pkeyutl -sign -inkey {pem} -in hash -pkeyopt digest:{md} -out s
        soft dgst -{md} -verify {pub} -signature s msg
    '''),
    Row('pkeyutl sign rawin', SIGN, ANY, '''
        token pkeyutl -sign -inkey {key} -rawin {digest} -in msg -out sig
        soft pkeyutl -verify -pubin -inkey {pub} -rawin {digest} -in msg \
            -sigfile sig
        fails pkeyutl -verify -pubin -inkey {pub} -rawin {digest} -in other \
            -sigfile sig
    '''),
    Row('pkeyutl sign rawin pem file', SIGN, ANY, '''
        token pkeyutl -sign -inkey {pem} -rawin {digest} -in msg -out sig
        soft pkeyutl -verify -pubin -inkey {pub} -rawin {digest} -in msg \
            -sigfile sig
    '''),
    Row('pkeyutl sign pss', RSA, ANY, '''
        soft dgst -sha256 -binary -out hash msg
        token pkeyutl -sign -inkey {key} -in hash -pkeyopt digest:sha256 \
            -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:digest \
            -out s
        soft dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -signature s msg
        fails dgst -sha256 -verify {pub} -sigopt rsa_padding_mode:pss \
            -sigopt rsa_pss_saltlen:32 -signature s other
    '''),
    Row('pkeyutl sign without a digest', RSA, ANY, '''
        token pkeyutl -sign -inkey {key} -in msg -out sig
        soft pkeyutl -verifyrecover -pubin -inkey {pub} -in sig -out got
        same got msg
    '''),
    Row('pkeyutl verify', SIGN, ANY, '''
        token pkeyutl -sign -inkey {key} -rawin {digest} -in msg -out sig
        token pkeyutl -verify -pubin -inkey {public} -rawin {digest} -in msg \
            -sigfile sig
        token pkeyutl -verify -inkey {key} -rawin {digest} -in msg \
            -sigfile sig
        refused pkeyutl -verify -pubin -inkey {public} -rawin {digest} \
            -in other -sigfile sig
        refused pkeyutl -verify -inkey {key} -rawin {digest} -in other \
            -sigfile sig
    '''),
    Row('pkeyutl verifyrecover', RSA, ANY, '''
        token pkeyutl -sign -inkey {key} -in msg -out sig
        token pkeyutl -verifyrecover -pubin -inkey {public} -in sig -out got
        same got msg
    '''),
    Row('rsautl sign', RSA, ANY, '''
        token rsautl -sign -inkey {key} -in msg -out sig
        soft rsautl -verify -pubin -inkey {pub} -in sig -out got
        same got msg
    '''),
)

ENCRYPTION = (
    Row('pkeyutl encrypt', RSA, HSM, '''
        token pkeyutl -encrypt -pubin -inkey {public} -in msg -out e
        call decrypt pkcs1 e got
        same got msg
    '''),
    Row('pkeyutl encrypt to a private key', RSA, HSM, '''
        token pkeyutl -encrypt -inkey {key} -in msg -out e
        call decrypt pkcs1 e got
        same got msg
    '''),
    Row('pkeyutl encrypt oaep', RSA, HSM, '''
        token pkeyutl -encrypt -inkey {key} -in msg \
            -pkeyopt rsa_padding_mode:oaep -out e
        call decrypt oaep e got
        same got msg
    '''),
    Row('pkeyutl decrypt', RSA, ANY, '''
        soft pkeyutl -encrypt -pubin -inkey {pub} -in msg -out e
        token pkeyutl -decrypt -inkey {key} -in e -out got
        same got msg
    '''),
    Row('pkeyutl decrypt pem file', RSA, ANY, '''
        soft pkeyutl -encrypt -pubin -inkey {pub} -in msg -out e
        token pkeyutl -decrypt -inkey {pem} -in e -out got
        same got msg
    '''),
    Row('pkeyutl decrypt oaep', RSA, ANY, '''
        soft pkeyutl -encrypt -pubin -inkey {pub} -in msg \
            -pkeyopt rsa_padding_mode:oaep -out e
        token pkeyutl -decrypt -inkey {key} -in e \
            -pkeyopt rsa_padding_mode:oaep -out got
        same got msg
        call damage e
        refused pkeyutl -decrypt -inkey {key} -in e \
            -pkeyopt rsa_padding_mode:oaep -out no
    '''),
    # SoftHSM has OAEP with SHA-1 and no label alone.
    Row('pkeyutl decrypt oaep sha256', RSA, (FILES, NSS), '''
        soft pkeyutl -encrypt -pubin -inkey {pub} -in msg \
            -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -out e
        token pkeyutl -decrypt -inkey {key} -in e \
            -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 \
            -out got
        same got msg
    '''),
    Row('pkeyutl decrypt oaep with a label', RSA, (FILES, NSS), '''
        soft pkeyutl -encrypt -pubin -inkey {pub} -in msg \
            -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_label:6c61 -out e
        token pkeyutl -decrypt -inkey {key} -in e \
            -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_label:6c61 \
            -out got
        same got msg
    '''),
    Row('rsautl decrypt', RSA, ANY, '''
        soft rsautl -encrypt -pubin -inkey {pub} -in msg -out e
        token rsautl -decrypt -inkey {key} -in e -out got
        same got msg
    '''),
    Row('pkeyutl derive', EC + XDH, ANY, '''
        soft genpkey {genopts} -out peer
        soft pkey -in peer -pubout -out peer.pub
        token pkeyutl -derive -inkey {key} -peerkey peer.pub -out a
        soft pkeyutl -derive -inkey peer -peerkey {pub} -out b
        same a b
    '''),
    Row('pkeyutl derive pem file', EC + XDH, ANY, '''
        soft genpkey {genopts} -out peer
        soft pkey -in peer -pubout -out peer.pub
        token pkeyutl -derive -inkey {pem} -peerkey peer.pub -out a
        soft pkeyutl -derive -inkey peer -peerkey {pub} -out b
        same a b
    '''),
    Row('pkeyutl derive with another curve is refused', EC, ANY, '''
        soft genpkey -algorithm EC -pkeyopt group:secp256k1 -out peer
        soft pkey -in peer -pubout -out peer.pub
        refused pkeyutl -derive -inkey {key} -peerkey peer.pub -out a
    '''),
)

ROWS = PKEY + SIGNATURES + ENCRYPTION
