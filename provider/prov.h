/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the provider `sealed` share.
 *
 * A key is a pair: `soft` holds what is public (or all of it, for a software
 * key that OpenSSL imports into us) as a key of a private library context
 * that has nothing but the default provider; `hsm` is the private key in the
 * token, or NULL.  Whatever needs no private key is answered by `soft`.
 */
#ifndef PROV_H
#define PROV_H

#include "hsm.h"

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <pthread.h>
#include <stdatomic.h>

#define PROV_NAME "sealed"

#define PROV_REASONS(X)                                  \
    X(PROV_E_CONFIG, "provider configuration is wrong")  \
    X(PROV_E_MEMORY, "out of memory")                    \
    X(PROV_E_PARAM, "refused parameter")                 \
    X(PROV_E_NOT_FOUND, "not found in the token")        \
    X(PROV_E_PIN, "PIN refused by the token")            \
    X(PROV_E_MECH, "the token can't do this")            \
    X(PROV_E_DENIED, "forbidden for this key")           \
    X(PROV_E_GONE, "the token is gone")                  \
    X(PROV_E_DEVICE, "the token reports a failure")      \
    X(PROV_E_DIGEST, "digest not supported or not set")  \
    X(PROV_E_LENGTH, "wrong length of input or output")  \
    X(PROV_E_SIGNATURE, "malformed signature")           \
    X(PROV_E_KEY, "the key's public part can't be used") \
    X(PROV_E_SEALED, "not possible with this sealed secret")

enum prov_reason {
    PROV_E_NONE,
#define X(name, text) name,
    PROV_REASONS(X)
#undef X
};

struct sealed_table;
struct prov_tokens;

#define PROV_TOKENS_MAX 64

/* The default provider's KDFs that we use. */
enum prov_soft_kdf {
    PROV_SOFT_TLS13_KDF,
    PROV_SOFT_TLS1_PRF,
    PROV_SOFT_X963KDF,
    PROV_N_SOFT_KDFS
};

struct prov_ctx {
    const OSSL_CORE_HANDLE *core;
    unsigned serial; /* of all in the process, from 1 on */
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_core_thread_start_fn *thread_start;
    OSSL_LIB_CTX *soft; /* the default provider alone */
    OSSL_PROVIDER *soft_default;
    struct hsm_config cfg;       /* its strings are ours */
    bool any_token;              /* none is configured: URIs name them */
    bool keep_pin;               /* one that somebody was asked for */
    struct hsm *hsm;             /* the only token, or the configured one */
    struct prov_tokens *tokens;  /* with any_token, the others */
    enum hsm_travel travel;      /* of all sealed secrets */
    unsigned tls_seconds;        /* life of a connection's sealed secrets */
    struct sealed_table *sealed; /* all of this is read-only after init */
    _Atomic(EVP_KDF *) kdfs[PROV_N_SOFT_KDFS]; /* fetched at their first use */
};

/* A new context of it; NULL on failure. */
EVP_KDF_CTX *prov_soft_kdf(struct prov_ctx *prov, enum prov_soft_kdf which);

/* Raise on OpenSSL's error queue, once, where the cause is known. */
#define prov_raise(prov, reason, ...)                                         \
    prov_raise_at((prov), (reason), OPENSSL_FILE, OPENSSL_LINE, OPENSSL_FUNC, \
                  __VA_ARGS__)
void prov_raise_at(const struct prov_ctx *prov, enum prov_reason reason,
                   const char *file, int line, const char *func,
                   const char *fmt, ...) __attribute__((format(printf, 6, 7)));
enum prov_reason prov_reason_of(enum hsm_status st);
/* prov_raise() with what hsm/ has to say about st. */
#define prov_raise_hsm(prov, st) \
    prov_raise((prov), prov_reason_of(st), "%s", hsm_last_error())
extern const OSSL_ITEM prov_reasons[];

/*
 * This thread is going to use the random generator of prov->soft, which has
 * a state for each: it must end with the thread, or before prov->soft.
 */
void prov_soft_rand(struct prov_ctx *prov);

/* ---- configuration (config.c) ---- */

/* Read the provider's section into prov; false, and raised, if it is wrong. */
bool prov_configure(struct prov_ctx *prov,
                    OSSL_FUNC_core_get_params_fn *get_params);
void prov_config_free(struct prov_ctx *prov);

/* ---- tokens (token.c) ---- */

struct prov_tokens *prov_tokens_new(void);
void prov_tokens_free(struct prov_tokens *tokens);
/* hsm_find() in whichever tokens the URI matches, logged in if need be: cb
 * (or NULL) asks for a PIN that is not configured. */
enum hsm_status prov_find(struct prov_ctx *prov, const char *uri,
                          unsigned classes, OSSL_PASSPHRASE_CALLBACK *cb,
                          void *arg, struct hsm_object **objs, size_t *n);
/* The one token that the URI names; never NULL, but it may not connect. */
struct hsm *prov_token(struct prov_ctx *prov, const char *uri);

/* ---- keys ---- */

struct prov_key {
    atomic_uint refs;
    struct prov_ctx *prov;
    enum hsm_key_type type;
    EVP_PKEY *soft;
    bool soft_private; /* soft is a whole software key */
    struct hsm_key *hsm;
};

/* OpenSSL's name of the type: "RSA", "EC", "ED25519"... */
const char *prov_key_type_name(enum hsm_key_type type);
/* The key for what hsm_find() found; takes a reference of its own. */
struct prov_key *prov_key_from_hsm(struct prov_ctx *prov, struct hsm_key *hsm);
/* Hand it to OpenSSL, which asked a store or a decoder for it. */
int prov_key_give(struct prov_ctx *prov, struct hsm_key *hsm, OSSL_CALLBACK *cb,
                  void *arg);
/* An empty one, for OpenSSL to import into. */
struct prov_key *prov_key_new(struct prov_ctx *prov, enum hsm_key_type type);
struct prov_key *prov_key_ref(struct prov_key *key);
void prov_key_free(struct prov_key *key);

/* ---- generation (keygen.c), as keymgmt.c's tables have it ---- */

OSSL_FUNC_keymgmt_gen_init_fn prov_rsa_gen_init, prov_ec_gen_init,
    prov_ed25519_gen_init, prov_ed448_gen_init, prov_x25519_gen_init;
OSSL_FUNC_keymgmt_gen_set_template_fn prov_gen_set_template;
OSSL_FUNC_keymgmt_gen_set_params_fn prov_gen_set_params;
OSSL_FUNC_keymgmt_gen_settable_params_fn prov_gen_settable_params;
OSSL_FUNC_keymgmt_gen_fn prov_gen;
OSSL_FUNC_keymgmt_gen_cleanup_fn prov_gen_cleanup;

/* ---- signatures ---- */

/*
 * One signing or verifying operation.  The digest is made here in software,
 * the algorithms differ in what they do with it.
 */
struct prov_sig {
    struct prov_ctx *prov;
    struct prov_key *key;
    bool jose; /* ECDSA: R || S of RFC 7518 3.4 rather than DER */
    EVP_MD *md, *mgf1_md;
    EVP_MD_CTX *md_ctx;
    EVP_PKEY_CTX *soft; /* of prov_sig_soft() for soft_op, or NULL */
    int soft_op;
    int pad, salt; /* RSA only: RSA_PKCS1_..._PADDING, RSA_PSS_SALTLEN_... */
    /* All of sig_message.c: */
    bool message;  /* input is the message, not its digest */
    uint8_t *text; /* EdDSA only: the message so far */
    size_t text_len, text_room;
    uint8_t *against; /* the signature to verify, or NULL */
    size_t against_len;
};

void *prov_sig_new(void *vprov, const char *propq);
void prov_sig_free(void *vsig);
void *prov_sig_dup(void *vsig);
int prov_sig_init(void *vsig, void *vkey, const OSSL_PARAM params[]);
int prov_sig_set_md(struct prov_sig *sig, const char *name);
/* The same from a parameter; a digest that is being made can't be changed. */
int prov_sig_param_md(struct prov_sig *sig, const OSSL_PARAM *p);
int prov_sig_digest_init(struct prov_sig *sig, const char *md, void *vkey,
                         const OSSL_PARAM params[]);
int prov_sig_digest_update(void *vsig, const unsigned char *data, size_t len);
/* The digest of all updates; room is EVP_MAX_MD_SIZE. */
int prov_sig_digest_end(struct prov_sig *sig, unsigned char *out, size_t *len);
/* The digest as hsm.h names it; false if it is none of those. */
bool prov_hash_of(const EVP_MD *md, enum hsm_hash *hash);
/*
 * A context of the software key for EVP_PKEY_OP_SIGN or the like, with digest
 * and padding as in sig, to which it belongs; NULL, and raised, on failure.
 */
EVP_PKEY_CTX *prov_sig_soft(struct prov_sig *sig, int op);
/* What it was made of is another now. */
void prov_sig_changed(struct prov_sig *sig);
int prov_sig_get_params(const struct prov_sig *sig, OSSL_PARAM params[],
                        X509_ALGOR *alg);

/* ---- RSA's paddings (rsa_pad.c) ---- */

/* A row of a table, whose last has no name. */
struct prov_rsa_pad {
    const char *name;
    int pad;
    bool in_token; /* or for software keys alone */
};

/* A padding that key, which may be NULL, can have; otherwise false. */
bool prov_rsa_pad_parse(const struct prov_rsa_pad pads[],
                        const struct prov_key *key, const OSSL_PARAM *p,
                        int *pad);
/* The other way round, where params has key; 1, or 0 on failure. */
int prov_rsa_pad_report(const struct prov_rsa_pad pads[], OSSL_PARAM params[],
                        const char *key, int pad);

/* Is it Ed25519 or Ed448 itself that the parameters ask for?  Or raised. */
bool prov_eddsa_pure(const struct prov_sig *sig, const OSSL_PARAM params[]);
/* What each does with a digest, or, for EdDSA, with the message. */
OSSL_FUNC_signature_sign_fn prov_rsa_sign, prov_ecdsa_sign, prov_eddsa_sign;
OSSL_FUNC_signature_verify_fn prov_rsa_verify, prov_ecdsa_verify,
    prov_eddsa_verify;
OSSL_FUNC_signature_get_ctx_params_fn prov_rsa_get_ctx_params,
    prov_ecdsa_get_ctx_params;
OSSL_FUNC_signature_gettable_ctx_params_fn prov_rsa_gettable_ctx_params,
    prov_ecdsa_gettable_ctx_params;

/* Whole messages, since OpenSSL 3.4 (sig_message.c). */
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
OSSL_FUNC_signature_sign_fn prov_message_sign;
OSSL_FUNC_signature_verify_fn prov_message_verify;
OSSL_FUNC_signature_sign_message_init_fn prov_message_init;
OSSL_FUNC_signature_sign_message_update_fn prov_message_update;
OSSL_FUNC_signature_sign_message_final_fn prov_message_sign_final;
OSSL_FUNC_signature_verify_message_final_fn prov_message_verify_final;
OSSL_FUNC_signature_set_ctx_params_fn prov_message_set_ctx_params;
OSSL_FUNC_signature_settable_ctx_params_fn prov_message_settable_ctx_params;

#define PROV_MESSAGE_FUNCTIONS                                               \
    { OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))prov_message_sign },         \
        { OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))prov_message_verify }, \
        { OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT,                             \
          (void (*)(void))prov_message_init },                               \
        { OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE,                           \
          (void (*)(void))prov_message_update },                             \
        { OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL,                            \
          (void (*)(void))prov_message_sign_final },                         \
        { OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT,                           \
          (void (*)(void))prov_message_init },                               \
        { OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE,                         \
          (void (*)(void))prov_message_update },                             \
        { OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL,                          \
          (void (*)(void))prov_message_verify_final },                       \
        { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS,                                \
          (void (*)(void))prov_message_set_ctx_params },                     \
    {                                                                        \
        OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,                             \
            (void (*)(void))prov_message_settable_ctx_params                 \
    }

extern const OSSL_DISPATCH prov_rsa_sha224_functions[];
extern const OSSL_DISPATCH prov_rsa_sha256_functions[];
extern const OSSL_DISPATCH prov_rsa_sha384_functions[];
extern const OSSL_DISPATCH prov_rsa_sha512_functions[];
extern const OSSL_DISPATCH prov_ecdsa_sha224_functions[];
extern const OSSL_DISPATCH prov_ecdsa_sha256_functions[];
extern const OSSL_DISPATCH prov_ecdsa_sha384_functions[];
extern const OSSL_DISPATCH prov_ecdsa_sha512_functions[];
extern const OSSL_DISPATCH prov_ecdsa_jose_sha224_functions[];
extern const OSSL_DISPATCH prov_ecdsa_jose_sha256_functions[];
extern const OSSL_DISPATCH prov_ecdsa_jose_sha384_functions[];
extern const OSSL_DISPATCH prov_ecdsa_jose_sha512_functions[];
#endif

/* ---- the tables ---- */

extern const OSSL_DISPATCH prov_store_functions[];
extern const OSSL_DISPATCH prov_rsa_keymgmt_functions[];
extern const OSSL_DISPATCH prov_ec_keymgmt_functions[];
extern const OSSL_DISPATCH prov_ed25519_keymgmt_functions[];
extern const OSSL_DISPATCH prov_ed448_keymgmt_functions[];
extern const OSSL_DISPATCH prov_x25519_keymgmt_functions[];
extern const OSSL_DISPATCH prov_ecdh_functions[];
extern const OSSL_DISPATCH prov_rand_functions[];
extern const OSSL_DISPATCH prov_text_encoder_functions[];
extern const OSSL_DISPATCH prov_pem_encoder_functions[];
extern const OSSL_DISPATCH prov_pem_decoder_functions[];
extern const OSSL_DISPATCH prov_rsa_decoder_functions[];
extern const OSSL_DISPATCH prov_ec_decoder_functions[];
extern const OSSL_DISPATCH prov_ed25519_decoder_functions[];
extern const OSSL_DISPATCH prov_ed448_decoder_functions[];
extern const OSSL_DISPATCH prov_x25519_decoder_functions[];
extern const OSSL_DISPATCH prov_rsa_sig_functions[];
extern const OSSL_DISPATCH prov_ecdsa_sig_functions[];
extern const OSSL_DISPATCH prov_ecdsa_jose_sig_functions[];
extern const OSSL_DISPATCH prov_eddsa_sig_functions[];

#endif
