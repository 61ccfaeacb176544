# SPDX-License-Identifier: Apache-2.0
"""Rows as in verbs.py: certificates, mail and TLS."""

from verbs import ANY, DIGEST, HSM, RSA, SIGN, Row

CERTIFICATES = (
    Row('req new', SIGN, ANY, '''
        token req -new -key {key} -subj /CN={kind} -out csr
        soft req -verify -noout -in csr >& said
        has said 'verify OK'
        soft req -in csr -pubkey -noout -out got
        call same_key got {pub}
        call damage_pem csr
        judges soft req -verify -noout -in csr >& said
        has said 'verify failure'
    '''),
    Row('req new pem file', SIGN, ANY, '''
        token req -new -key {pem} -subj /CN={kind} -out csr
        soft req -verify -noout -in csr >& said
        has said 'verify OK'
        soft req -in csr -pubkey -noout -out got
        call same_key got {pub}
    '''),
    Row('req new pss', RSA, ANY, '''
        token req -new -key {key} -subj /CN=pss -sha256 \
            -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -out csr
        soft req -verify -noout -in csr >& said
        has said 'verify OK'
        soft req -text -noout -in csr > text
        has text rsassaPss
    '''),
    Row('req x509', SIGN, ANY, '''
        token req -x509 -new -key {key} -subj /CN={kind} -days 2 -out crt
        soft verify -check_ss_sig -CAfile crt crt
        soft x509 -in crt -pubkey -noout -out got
        call same_key got {pub}
    '''),
    Row('req verify', SIGN, ANY, '''
        token req -new -key {key} -subj /CN={kind} -out csr
        token req -verify -noout -in csr >& said
        has said 'verify OK'
        call damage_pem csr
        judges token req -verify -noout -in csr >& said
        has said 'verify failure'
    '''),
    Row('x509 req', SIGN, ANY, '''
        token x509 -req -in {csr} -CA {ca} -CAkey {key} -days 1 -out crt
        soft verify -CAfile {root} -untrusted {ca} crt
        call damage_pem crt
        fails verify -CAfile {root} -untrusted {ca} crt
    '''),
    Row('x509 req pem file', SIGN, ANY, '''
        token x509 -req -in {csr} -CA {ca} -CAkey {pem} -days 1 -out crt
        soft verify -CAfile {root} -untrusted {ca} crt
    '''),
    Row('x509 req pss', RSA, ANY, '''
        token x509 -req -in {csr} -CA {ca} -CAkey {key} -days 1 -sha384 \
            -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest \
            -out crt
        soft verify -CAfile {root} -untrusted {ca} crt
    '''),
    Row('x509 signkey', SIGN, ANY, '''
        token x509 -in {leaf} -clrext -signkey {key} -days 1 -out crt
        soft verify -check_ss_sig -CAfile crt crt
        soft x509 -in crt -pubkey -noout -out got
        call same_key got {pub}
    '''),
    Row('x509 req with the certificate of another key', SIGN, ANY, '''
        refused x509 -req -in {csr} -CA {root} -CAkey {key} -days 1 -out no \
            >& said
        has said 'CA certificate and CA private key do not match'
    '''),
    Row('x509 new', SIGN, ANY, '''
        token x509 -new -subj /CN=new -key {key} -days 1 -out crt
        soft verify -check_ss_sig -CAfile crt crt
    '''),
    Row('x509 x509toreq', SIGN, ANY, '''
        token x509 -x509toreq -in {leaf} -signkey {key} -out csr
        soft req -verify -noout -in csr >& said
        has said 'verify OK'
    '''),
    Row('x509 in the token', DIGEST, HSM, '''
        token x509 -in {cert} -outform DER -out a
        soft x509 -in {leaf} -outform DER -out b
        same a b
    '''),
    Row('spkac', DIGEST, ANY, '''
        token spkac -key {key} -digest {md} -challenge hello -out spkac
        soft spkac -verify -in spkac -noout
        soft spkac -in spkac -pubkey -noout > got
        call same_key got {pub}
    '''),
    Row('ca', SIGN, ANY, '''
        call file index.txt
        token ca -batch -config {top}/ca.cnf -md {camd} -cert {ca} \
            -keyfile {key} -in {csr} -notext -out crt
        soft verify -CAfile {root} -untrusted {ca} crt
    '''),
    Row('ca gencrl', SIGN, ANY, '''
        call file index.txt
        token ca -config {top}/ca.cnf -md {camd} -cert {ca} -keyfile {key} \
            -gencrl -out crl
        soft crl -in crl -CAfile {ca} -noout >& said
        has said 'verify OK'
        call damage_pem crl
        judges soft crl -in crl -CAfile {ca} -noout >& said
        has said 'verify failure'
    '''),
    Row('ocsp', DIGEST, ANY, '''
        call file index.txt
        soft ocsp -issuer {root} -cert {leaf} -reqout req
        token ocsp -index index.txt -CA {root} -rsigner {ocsp} -rkey {key} \
            -issuer {root} -reqin req -respout resp -ndays 1
        soft ocsp -respin resp -issuer {root} -cert {leaf} -CAfile {root} \
            -no_nonce >& said
        has said 'Response verify OK'
    '''),
    # ts -inkey reads a file, never a URI.
    Row('ts', DIGEST, ANY, '''
        call file serial 01
        soft ts -query -data msg -sha256 -cert -out query
        token ts -reply -config {top}/ts.cnf -queryfile query -signer {tsa} \
            -inkey {pem} -out reply
        soft ts -verify -queryfile query -in reply -CAfile {root}
        soft ts -query -data other -sha256 -cert -out query2
        fails ts -verify -queryfile query2 -in reply -CAfile {root}
    '''),
    Row('ts verify', DIGEST, ANY, '''
        call file serial 01
        soft ts -query -data msg -sha256 -cert -out query
        token ts -reply -config {top}/ts.cnf -queryfile query -signer {tsa} \
            -inkey {pem} -out reply
        token ts -verify -data msg -in reply -CAfile {root}
        refused ts -verify -data other -in reply -CAfile {root}
    '''),
)

MAIL = (
    Row('cms sign', DIGEST, ANY, '''
        token cms -sign -binary -nodetach -in msg -md {cmsmd} -signer {leaf} \
            -inkey {key} -outform DER -out s
        soft cms -verify -inform DER -in s -CAfile {root} -out got
        same got msg
        token cms -sign -binary -in msg -md {cmsmd} -signer {leaf} \
            -inkey {key} -outform DER -out d
        soft cms -verify -binary -inform DER -in d -content msg \
            -CAfile {root} -out got
        fails cms -verify -binary -inform DER -in d -content other \
            -CAfile {root} -out no
    '''),
    Row('cms sign pem file', DIGEST, ANY, '''
        token cms -sign -binary -nodetach -in msg -md {cmsmd} -signer {leaf} \
            -inkey {pem} -outform DER -out s
        soft cms -verify -inform DER -in s -CAfile {root} -out got
        same got msg
    '''),
    Row('cms sign noattr', DIGEST, ANY, '''
        token cms -sign -binary -nodetach -noattr -in msg -signer {leaf} \
            -inkey {key} -outform DER -out s
        soft cms -verify -inform DER -in s -CAfile {root} -out got
        same got msg
    '''),
    Row('cms sign pss', RSA, ANY, '''
        token cms -sign -binary -nodetach -in msg -signer {leaf} \
            -inkey {key} -keyopt rsa_padding_mode:pss -outform DER -out s
        soft cms -verify -inform DER -in s -CAfile {root} -out got
        same got msg
        soft cms -cmsout -print -noout -inform DER -in s > text
        has text rsassaPss
    '''),
    Row('cms verify', DIGEST, ANY, '''
        token cms -sign -binary -in msg -md {cmsmd} -signer {leaf} \
            -inkey {key} -outform DER -out d
        token cms -verify -binary -inform DER -in d -content msg \
            -CAfile {root} -out got
        refused cms -verify -binary -inform DER -in d -content other \
            -CAfile {root} -out no
    '''),
    Row('cms decrypt', DIGEST, ANY, '''
        soft cms -encrypt -binary -aes256 -in msg -outform DER -out e {leaf}
        token cms -decrypt -inform DER -in e -recip {leaf} -inkey {key} \
            -out got
        same got msg
    '''),
    Row('cms decrypt pem file', DIGEST, ANY, '''
        soft cms -encrypt -binary -aes256 -in msg -outform DER -out e {leaf}
        token cms -decrypt -inform DER -in e -recip {leaf} -inkey {pem} \
            -out got
        same got msg
    '''),
    Row('cms decrypt without the certificate', RSA, ANY, '''
        soft cms -encrypt -binary -aes256 -in msg -outform DER -out e {leaf}
        token cms -decrypt -inform DER -in e -inkey {key} -out got
        same got msg
    '''),
    Row('cms decrypt oaep', RSA, ANY, '''
        soft cms -encrypt -binary -aes256 -in msg -outform DER -out e \
            -recip {leaf} -keyopt rsa_padding_mode:oaep
        token cms -decrypt -inform DER -in e -recip {leaf} -inkey {key} \
            -out got
        same got msg
    '''),
    Row('cms encrypt', DIGEST, ANY, '''
        token cms -encrypt -binary -aes256 -in msg -outform DER -out e \
            -recip {cert} -recip {top}/soft.crt
        soft cms -decrypt -inform DER -in e -recip {top}/soft.crt \
            -inkey {top}/soft.key -out got
        same got msg
        token cms -decrypt -inform DER -in e -recip {leaf} -inkey {key} \
            -out got2
        same got2 msg
    '''),
    Row('smime sign', DIGEST, ANY, '''
        token smime -sign -binary -in msg -signer {leaf} -inkey {key} \
            -outform DER -out s
        soft smime -verify -binary -inform DER -in s -content msg \
            -CAfile {root} -out got
        fails smime -verify -binary -inform DER -in s -content other \
            -CAfile {root} -out no
    '''),
    Row('smime verify', DIGEST, ANY, '''
        token smime -sign -binary -in msg -signer {leaf} -inkey {key} \
            -outform DER -out s
        token smime -verify -binary -inform DER -in s -content msg \
            -CAfile {root} -out got
        refused smime -verify -binary -inform DER -in s -content other \
            -CAfile {root} -out no
    '''),
    Row('smime decrypt', RSA, ANY, '''
        soft smime -encrypt -binary -aes256 -in msg -outform DER -out e {leaf}
        token smime -decrypt -inform DER -in e -recip {leaf} -inkey {key} \
            -out got
        same got msg
    '''),
    Row('smime encrypt', RSA, ANY, '''
        token smime -encrypt -binary -aes256 -in msg -outform DER -out e \
            {cert} {top}/soft.crt
        soft smime -decrypt -inform DER -in e -recip {top}/soft.crt \
            -inkey {top}/soft.key -out got
        same got msg
    '''),
)


def handshake(version, client='', server='', key='{key}', cert='{leaf}'):
    """openssl's own client, in software, is what verifies the server."""
    return '''
        serve token -cert %s -key %s -%s %s
        soft s_client -connect {address} -CAfile {root} -%s \
            -verify_return_error -verify_hostname localhost %s >& said
        has said 'Verification: OK'
        has said 'New, TLSv1.*Cipher is [A-Z]'
        has said 'subject=.*CN *= *{kind}'
        served
    ''' % (cert, key, version, server, version, client)


def client(version, key='{key}', cert='{leaf}'):
    """A server in software insists on the client's certificate."""
    return '''
        serve soft -cert {top}/soft.crt -key {top}/soft.key -%s -Verify 1 \
            -verify_return_error -CAfile {root}
        token s_client -connect {address} -CAfile {root} -%s -cert %s \
            -key %s -verify_return_error >& said
        has said 'Verification: OK'
        served
        has server 'subject=.*CN *= *{kind}'
        has server 'CIPHER is'
        lacks server 'ERROR'
    ''' % (version, version, cert, key)


TLS = (
    Row('s_server tls 1.3', SIGN, ANY, handshake('tls1_3')),
    Row('s_server tls 1.2', SIGN, ANY, handshake('tls1_2')),
    Row('s_server tls 1.3 pem file', SIGN, ANY,
        handshake('tls1_3', key='{pem}')),
    Row('s_server tls 1.2 pem file', SIGN, ANY,
        handshake('tls1_2', key='{pem}')),
    Row('s_server certificate in the token', DIGEST, HSM,
        handshake('tls1_3', cert='{cert}')),
    Row('s_server tls 1.2 pkcs1 signature', RSA, ANY, handshake(
        'tls1_2', client='-sigalgs RSA+SHA256')),
    Row('s_server tls 1.2 pss signature', RSA, ANY, handshake(
        'tls1_2', client='-sigalgs RSA-PSS+SHA384')),
    Row('s_client tls 1.3', SIGN, ANY, client('tls1_3')),
    Row('s_client tls 1.2', SIGN, ANY, client('tls1_2')),
    Row('s_client tls 1.3 pem file', SIGN, ANY,
        client('tls1_3', key='{pem}')),
    Row('s_client certificate in the token', DIGEST, HSM,
        client('tls1_3', cert='{cert}')),
)

ROWS = CERTIFICATES + MAIL + TLS
