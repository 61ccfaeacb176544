/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif seal: sealed secrets, over EVP alone.
 *
 * A handle stands for a secret in the token (OSSL_PROVIDER-sealed(7)).  It is
 * worth nothing outside this process, but is not logged all the same.
 * Errors: false or NULL, and the reason on OpenSSL's queue.
 */
#ifndef CAPIF_SEAL_H
#define CAPIF_SEAL_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPIF_HANDLE_LEN     32
#define CAPIF_HANDLE_LEN_MAX 48 /* of a TLS 1.2 master secret */

/*
 * AEFPSK of TS 33.122 A.1 from KEY, P0 (text) and P1; out is a handle if key
 * is one, the key itself if not.
 */
bool capif_seal_aefpsk(const uint8_t *key, size_t key_len, const char *p0,
                       const uint8_t *p1, size_t p1_len, unsigned lifetime,
                       uint8_t out[CAPIF_HANDLE_LEN]);
/*
 * One line in the log: by what means the token derives, and how many secrets
 * this process has seen because it can't (design 3).
 */
void capif_seal_log(void);
/* False once it is lost: its time is up, or the token was away. */
bool capif_seal_alive(const uint8_t *handle, size_t len);
/* Destroy the secret now. */
void capif_seal_release(const uint8_t *handle, size_t len);

/* What a KEK's URI is known by in the store: base64url of its SHA-256. */
bool capif_kek_id(const char *kek_uri, char out[44]);
/* Is there such a key in the token, and may it be used? */
bool capif_kek_there(const char *kek_uri);
/* For the store: under the KEK of that URI, in base64url; caller frees. */
char *capif_seal_wrap(const char *kek_uri, const uint8_t *handle, size_t len);
/* And back; *len is CAPIF_HANDLE_LEN or CAPIF_HANDLE_LEN_MAX. */
bool capif_seal_unwrap(const char *kek_uri, const char *text, unsigned lifetime,
                       uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len);

/* For another token: RSA-OAEP, in base64url; the caller frees it. */
char *capif_seal_wrap_for(EVP_PKEY *transport,
                          const uint8_t handle[CAPIF_HANDLE_LEN]);
bool capif_seal_unwrap_with(EVP_PKEY *transport, const char *text,
                            unsigned lifetime, uint8_t out[CAPIF_HANDLE_LEN]);

/* ---- what a CAPIF-1e session gives (design 6) ---- */

#define CAPIF_EXPORTER_LABEL "EXPORTER-3GPP-TS33122-AEFPSK"

/*
 * KEY and P1 of a TLS session: the master secret and the session ID of TLS
 * 1.2, exporter and channel binding of TLS 1.3.  key is a handle where the
 * SSL_CTX has sealed.tls=session, else the secret itself, for the caller to
 * wipe.
 */
struct capif_session_key {
    uint8_t key[CAPIF_HANDLE_LEN_MAX];
    size_t key_len;
    uint8_t p1[32];
    size_t p1_len;
    const char *binding; /* "tls12-master-secret" or "tls13-exporter" */
};

bool capif_session_key(SSL *ssl, struct capif_session_key *out);

/* The same as a server keeps it for as long as the connection lives. */
struct capif_session_kept {
    char *wrapped; /* KEY by capif_seal_wrap() */
    char kek[44];  /* under which KEK: capif_kek_id() */
    uint8_t p1[32];
    size_t p1_len;
    const char *binding;
};

/*
 * A server context with sealed.tls=mode, "psk" or "session"; NULL if the
 * provider that knows it isn't there.
 */
SSL_CTX *capif_seal_ctx(const char *mode);
/*
 * The same for every SSL_CTX that this process makes from now on, others'
 * too; for programs that do one thing.
 */
bool capif_seal_all(const char *mode);
/*
 * A context with sealed.tls=session, which keeps KEY and P1 of each session
 * whose client came with a certificate.
 */
SSL_CTX *capif_seal_server_ctx(const char *kek_uri);
/* NULL if there is none; belongs to ssl. */
const struct capif_session_kept *capif_session_kept(const SSL *ssl);

#endif
