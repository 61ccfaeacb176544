/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signing and verifying whole messages by algorithms that say all in their
 * name: RSA-SHA256 (PKCS#1 v1.5), ECDSA-SHA256 and so on, Ed25519 and Ed448.
 * OpenSSL has these operations since 3.4.  All at once, or in pieces; the
 * signature to verify a message in pieces against is a parameter.
 */
#include "prov.h"

#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT

#define TEXT_MAX    (64u << 20) /* octets of a message in memory, for EdDSA */
#define TEXT_FIRST  4096
#define AGAINST_MAX 2048 /* RSA of 16384 bits */

static OSSL_FUNC_signature_newctx_fn sha224_newctx, sha256_newctx,
    sha384_newctx, sha512_newctx, jose224_newctx, jose256_newctx,
    jose384_newctx, jose512_newctx;
static OSSL_FUNC_signature_query_key_types_fn rsa_key_types, ec_key_types;
static OSSL_FUNC_signature_sign_init_fn digest_init;

static void *message_new(void *vprov, const char *md, bool jose)
{
    struct prov_sig *sig = prov_sig_new(vprov, NULL);

    if (sig == NULL)
        return NULL;
    sig->jose = jose;
    if (!prov_sig_set_md(sig, md)) {
        prov_sig_free(sig);
        return NULL;
    }
    return sig;
}

static void *sha224_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-224", false);
}

static void *sha256_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-256", false);
}

static void *sha384_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-384", false);
}

static void *sha512_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-512", false);
}

static void *jose224_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-224", true);
}

static void *jose256_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-256", true);
}

static void *jose384_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-384", true);
}

static void *jose512_newctx(void *vprov, const char *propq)
{
    (void)propq;
    return message_new(vprov, "SHA2-512", true);
}

static const char **rsa_key_types(void)
{
    static const char *types[] = { "RSA", NULL };

    return types;
}

static const char **ec_key_types(void)
{
    static const char *types[] = { "EC", NULL };

    return types;
}

static OSSL_FUNC_signature_sign_fn *signer(const struct prov_sig *sig)
{
    if (sig->key->type == HSM_KEY_RSA)
        return prov_rsa_sign;
    return sig->key->type == HSM_KEY_EC ? prov_ecdsa_sign : prov_eddsa_sign;
}

static OSSL_FUNC_signature_verify_fn *verifier(const struct prov_sig *sig)
{
    if (sig->key->type == HSM_KEY_RSA)
        return prov_rsa_verify;
    return sig->key->type == HSM_KEY_EC ? prov_ecdsa_verify : prov_eddsa_verify;
}

/* OpenSSL has a new context for each. */
int prov_message_init(void *vsig, void *vkey, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;

    sig->message = true;
    return (sig->md != NULL ? prov_sig_digest_init(sig, NULL, vkey, params)
                            : prov_sig_init(sig, vkey, params))
           && prov_message_set_ctx_params(sig, params);
}

/* The digest, by whatever has the message: EVP_PKEY_sign_init_ex2(). */
static int digest_init(void *vsig, void *vkey, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;

    sig->message = false;
    return prov_sig_init(sig, vkey, params)
           && prov_message_set_ctx_params(sig, params);
}

/* What is signed for a message of one piece; room is EVP_MAX_MD_SIZE. */
static bool whole(const struct prov_sig *sig, const unsigned char **tbs,
                  size_t *len, unsigned char *digest)
{
    unsigned n = 0;

    if (!sig->message || sig->md == NULL)
        return true;
    if (!EVP_Digest(*tbs, *len, digest, &n, sig->md, NULL))
        return false;
    *tbs = digest;
    *len = n;
    return true;
}

int prov_message_sign(void *vsig, unsigned char *out, size_t *out_len,
                      size_t room, const unsigned char *tbs, size_t tbs_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct prov_sig *sig = vsig;

    if (out == NULL)
        return signer(sig)(sig, NULL, out_len, 0, NULL, 0);
    return whole(sig, &tbs, &tbs_len, digest)
           && signer(sig)(sig, out, out_len, room, tbs, tbs_len);
}

int prov_message_verify(void *vsig, const unsigned char *in, size_t in_len,
                        const unsigned char *tbs, size_t tbs_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct prov_sig *sig = vsig;

    return whole(sig, &tbs, &tbs_len, digest)
           && verifier(sig)(sig, in, in_len, tbs, tbs_len);
}

/* ---- in pieces ---- */

static int text_add(struct prov_sig *sig, const unsigned char *data, size_t len)
{
    size_t room = sig->text_room;
    uint8_t *text;

    if (len > TEXT_MAX - sig->text_len) {
        prov_raise(sig->prov, PROV_E_LENGTH, "EdDSA: a message over %u octets",
                   TEXT_MAX);
        return 0;
    }
    if (len > room - sig->text_len) {
        if (room == 0)
            room = TEXT_FIRST;
        while (len > room - sig->text_len)
            room *= 2;
        if ((text = OPENSSL_realloc(sig->text, room)) == NULL)
            return 0;
        sig->text = text;
        sig->text_room = room;
    }
    if (len > 0)
        memcpy(sig->text + sig->text_len, data, len);
    sig->text_len += len;
    return 1;
}

int prov_message_update(void *vsig, const unsigned char *data, size_t len)
{
    struct prov_sig *sig = vsig;

    return sig->md != NULL ? prov_sig_digest_update(sig, data, len)
                           : text_add(sig, data, len);
}

/* What is signed for all the pieces; room is EVP_MAX_MD_SIZE. */
static bool pieces(struct prov_sig *sig, const unsigned char **tbs, size_t *len,
                   unsigned char *digest)
{
    static const unsigned char none[1];

    if (sig->md != NULL) {
        *tbs = digest;
        return prov_sig_digest_end(sig, digest, len);
    }
    *tbs = sig->text != NULL ? sig->text : none;
    *len = sig->text_len;
    return true;
}

int prov_message_sign_final(void *vsig, unsigned char *out, size_t *out_len,
                            size_t room)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const unsigned char *tbs = NULL;
    struct prov_sig *sig = vsig;
    size_t len = 0;

    if (out == NULL)
        return signer(sig)(sig, NULL, out_len, 0, NULL, 0);
    return pieces(sig, &tbs, &len, digest)
           && signer(sig)(sig, out, out_len, room, tbs, len);
}

int prov_message_verify_final(void *vsig)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const unsigned char *tbs = NULL;
    struct prov_sig *sig = vsig;
    size_t len = 0;

    if (sig->against == NULL) {
        prov_raise(sig->prov, PROV_E_PARAM, "no signature to verify");
        return 0;
    }
    return pieces(sig, &tbs, &len, digest)
           && verifier(sig)(sig, sig->against, sig->against_len, tbs, len);
}

/* ---- parameters ---- */

/* The name says all but the signature: digest and padding can't be set. */
int prov_message_set_ctx_params(void *vsig, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;
    const void *data = NULL;
    uint8_t *copy;
    const OSSL_PARAM *p;
    size_t len = 0;

    if (params == NULL)
        return 1;
    if (sig->md == NULL && !prov_eddsa_pure(sig, params))
        return 0;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_SIGNATURE);
    if (p == NULL)
        return 1;
    if (!OSSL_PARAM_get_octet_string_ptr(p, &data, &len) || data == NULL
        || len == 0 || len > AGAINST_MAX) {
        prov_raise(sig->prov, PROV_E_PARAM, "%s", p->key);
        return 0;
    }
    if ((copy = OPENSSL_memdup(data, len)) == NULL)
        return 0;
    OPENSSL_free(sig->against);
    sig->against = copy;
    sig->against_len = len;
    return 1;
}

const OSSL_PARAM *prov_message_settable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_SIGNATURE, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

#define TABLE(newctx, key_types, get, gettable)                               \
    {                                                                         \
        { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))newctx },               \
            { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))prov_sig_free },   \
            { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))prov_sig_dup },     \
            { OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES,                            \
              (void (*)(void))key_types },                                    \
            { OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))digest_init },   \
            { OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))digest_init }, \
            PROV_MESSAGE_FUNCTIONS,                                           \
            { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))get },      \
            { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,                        \
              (void (*)(void))gettable },                                     \
        {                                                                     \
            0, NULL                                                           \
        }                                                                     \
    }
#define RSA_TABLE(newctx)                                 \
    TABLE(newctx, rsa_key_types, prov_rsa_get_ctx_params, \
          prov_rsa_gettable_ctx_params)
#define EC_TABLE(newctx)                                   \
    TABLE(newctx, ec_key_types, prov_ecdsa_get_ctx_params, \
          prov_ecdsa_gettable_ctx_params)

const OSSL_DISPATCH prov_rsa_sha224_functions[] = RSA_TABLE(sha224_newctx);
const OSSL_DISPATCH prov_rsa_sha256_functions[] = RSA_TABLE(sha256_newctx);
const OSSL_DISPATCH prov_rsa_sha384_functions[] = RSA_TABLE(sha384_newctx);
const OSSL_DISPATCH prov_rsa_sha512_functions[] = RSA_TABLE(sha512_newctx);
const OSSL_DISPATCH prov_ecdsa_sha224_functions[] = EC_TABLE(sha224_newctx);
const OSSL_DISPATCH prov_ecdsa_sha256_functions[] = EC_TABLE(sha256_newctx);
const OSSL_DISPATCH prov_ecdsa_sha384_functions[] = EC_TABLE(sha384_newctx);
const OSSL_DISPATCH prov_ecdsa_sha512_functions[] = EC_TABLE(sha512_newctx);
const OSSL_DISPATCH prov_ecdsa_jose_sha224_functions[] =
    EC_TABLE(jose224_newctx);
const OSSL_DISPATCH prov_ecdsa_jose_sha256_functions[] =
    EC_TABLE(jose256_newctx);
const OSSL_DISPATCH prov_ecdsa_jose_sha384_functions[] =
    EC_TABLE(jose384_newctx);
const OSSL_DISPATCH prov_ecdsa_jose_sha512_functions[] =
    EC_TABLE(jose512_newctx);

#endif
