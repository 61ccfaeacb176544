/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider itself: configuration, the token's life, the algorithm tables.
 */
#include "kdf.h"
#include "skey.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const OSSL_ITEM prov_reasons[] = {
#define X(name, text) { name, (void *)(uintptr_t)(text) },
    PROV_REASONS(X)
#undef X
        { 0, NULL },
};

void prov_raise_at(const struct prov_ctx *prov, enum prov_reason reason,
                   const char *file, int line, const char *func,
                   const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    prov->new_error(prov->core);
    prov->set_error_debug(prov->core, file, line, func);
    prov->vset_error(prov->core, (uint32_t)reason, fmt, ap);
    va_end(ap);
}

enum prov_reason prov_reason_of(enum hsm_status st)
{
    switch (st) {
    case HSM_OK:
        return PROV_E_NONE;
    case HSM_ERR_PARAM:
        return PROV_E_PARAM;
    case HSM_ERR_MEMORY:
        return PROV_E_MEMORY;
    case HSM_ERR_CONFIG:
        return PROV_E_CONFIG;
    case HSM_ERR_NOT_FOUND:
        return PROV_E_NOT_FOUND;
    case HSM_ERR_PIN:
        return PROV_E_PIN;
    case HSM_ERR_MECH:
        return PROV_E_MECH;
    case HSM_ERR_DENIED:
        return PROV_E_DENIED;
    case HSM_ERR_BUFFER:
        return PROV_E_LENGTH;
    case HSM_ERR_SESSION:
    case HSM_ERR_GONE:
        return PROV_E_GONE;
    case HSM_ERR_DEVICE:
        return PROV_E_DEVICE;
    }
    return PROV_E_DEVICE;
}

#define NAMES_RSA     "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define NAMES_EC      "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define NAMES_ED25519 "ED25519:1.3.101.112"
#define NAMES_ED448   "ED448:1.3.101.113"
#define NAMES_X25519  "X25519:1.3.101.110"
#define JOSE          "provider=sealed,sealed.sig=jose"

static const OSSL_ALGORITHM keymgmt_table[] = {
    { NAMES_RSA, JOSE, prov_rsa_keymgmt_functions,
      "RSA keys in a PKCS#11 token" },
    { NAMES_EC, JOSE, prov_ec_keymgmt_functions, "EC keys in a PKCS#11 token" },
    { NAMES_ED25519, JOSE, prov_ed25519_keymgmt_functions,
      "Ed25519 keys in a PKCS#11 token" },
    { NAMES_ED448, JOSE, prov_ed448_keymgmt_functions,
      "Ed448 keys in a PKCS#11 token" },
    { NAMES_X25519, "provider=sealed", prov_x25519_keymgmt_functions,
      "X25519 keys in a PKCS#11 token" },
    { "HMAC", "provider=sealed,sealed.tls=psk", prov_hmac_keymgmt_functions,
      "HMAC keys, plain or sealed" },
    { "HMAC", "provider=sealed,sealed.tls=session", prov_hmac_keymgmt_functions,
      "HMAC keys, plain or sealed" },
    { NULL, NULL, NULL, NULL },
};

#define RSA_SHA(bits, arc, functions)                                   \
    {                                                                   \
        "RSA-SHA2-" bits ":RSA-SHA" bits ":sha" bits                    \
        "WithRSAEncryption:1.2.840.113549.1.1." arc,                    \
            JOSE, functions, "RSA with SHA-" bits " by a PKCS#11 token" \
    }
#define ECDSA_SHA(bits, arc, properties, functions)                 \
    {                                                               \
        "ECDSA-SHA2-" bits ":ECDSA-SHA" bits ":ecdsa-with-SHA" bits \
        ":1.2.840.10045.4.3." arc,                                  \
            properties, functions,                                  \
            "ECDSA with SHA-" bits " by a PKCS#11 token"            \
    }

/* A JWS wants ECDSA as R || S; for the others both forms are the same. */
static const OSSL_ALGORITHM signature_table[] = {
    { NAMES_RSA, JOSE, prov_rsa_sig_functions,
      "RSA signatures by a PKCS#11 token" },
    { "ECDSA", "provider=sealed", prov_ecdsa_sig_functions,
      "ECDSA signatures by a PKCS#11 token" },
    { "ECDSA", JOSE, prov_ecdsa_jose_sig_functions,
      "ECDSA signatures by a PKCS#11 token, R || S of RFC 7518" },
#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT
    RSA_SHA("224", "14", prov_rsa_sha224_functions),
    RSA_SHA("256", "11", prov_rsa_sha256_functions),
    RSA_SHA("384", "12", prov_rsa_sha384_functions),
    RSA_SHA("512", "13", prov_rsa_sha512_functions),
    ECDSA_SHA("224", "1", "provider=sealed", prov_ecdsa_sha224_functions),
    ECDSA_SHA("256", "2", "provider=sealed", prov_ecdsa_sha256_functions),
    ECDSA_SHA("384", "3", "provider=sealed", prov_ecdsa_sha384_functions),
    ECDSA_SHA("512", "4", "provider=sealed", prov_ecdsa_sha512_functions),
    ECDSA_SHA("224", "1", JOSE, prov_ecdsa_jose_sha224_functions),
    ECDSA_SHA("256", "2", JOSE, prov_ecdsa_jose_sha256_functions),
    ECDSA_SHA("384", "3", JOSE, prov_ecdsa_jose_sha384_functions),
    ECDSA_SHA("512", "4", JOSE, prov_ecdsa_jose_sha512_functions),
#endif
    { NAMES_ED25519, JOSE, prov_eddsa_sig_functions,
      "Ed25519 signatures by a PKCS#11 token" },
    { NAMES_ED448, JOSE, prov_eddsa_sig_functions,
      "Ed448 signatures by a PKCS#11 token" },
    { "HMAC", "provider=sealed,sealed.tls=psk", prov_hmac_sig_functions,
      "HMAC of plain and sealed keys" },
    { "HMAC", "provider=sealed,sealed.tls=session", prov_hmac_sig_functions,
      "HMAC of plain and sealed keys" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM keyexch_table[] = {
    { "ECDH", "provider=sealed", prov_ecdh_functions,
      "ECDH by a PKCS#11 token" },
    { NAMES_X25519, "provider=sealed", prov_ecdh_functions,
      "X25519 by a PKCS#11 token" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM rand_table[] = {
    { "PKCS11-RAND", "provider=sealed", prov_rand_functions,
      "random numbers of a PKCS#11 token" },
    { NULL, NULL, NULL, NULL },
};

#define ENCODERS(names)                                                    \
    { names, "provider=sealed,output=pem,structure=PrivateKeyInfo",        \
      prov_pem_encoder_functions, "the URI of a key in a token" },         \
    {                                                                      \
        names, "provider=sealed,output=text", prov_text_encoder_functions, \
            "the URI and public part of a key in a token"                  \
    }

static const OSSL_ALGORITHM encoder_table[] = {
    ENCODERS(NAMES_RSA),   ENCODERS(NAMES_EC),     ENCODERS(NAMES_ED25519),
    ENCODERS(NAMES_ED448), ENCODERS(NAMES_X25519), { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM decoder_table[] = {
    { "DER", "provider=sealed,input=pem", prov_pem_decoder_functions,
      "PEM of a key's URI" },
    { NAMES_RSA, "provider=sealed,input=der", prov_rsa_decoder_functions,
      "DER of an RSA key's URI" },
    { NAMES_EC, "provider=sealed,input=der", prov_ec_decoder_functions,
      "DER of an EC key's URI" },
    { NAMES_ED25519, "provider=sealed,input=der",
      prov_ed25519_decoder_functions, "DER of an Ed25519 key's URI" },
    { NAMES_ED448, "provider=sealed,input=der", prov_ed448_decoder_functions,
      "DER of an Ed448 key's URI" },
    { NAMES_X25519, "provider=sealed,input=der", prov_x25519_decoder_functions,
      "DER of an X25519 key's URI" },
    { NULL, NULL, NULL, NULL },
};

/*
 * libssl's own are chosen by a property that nothing else defines.  A query
 * without properties comes here only where we are asked first, and then to
 * the first of a name, which with plain secrets is as any other.
 */
static const OSSL_ALGORITHM kdf_table[] = {
    { "TLS13-KDF", "provider=sealed,sealed.tls=psk", prov_tls13_psk_functions,
      "TLS 1.3 key schedule that understands sealed PSKs" },
    { "TLS13-KDF", "provider=sealed,sealed.tls=session",
      prov_tls13_session_functions,
      "TLS 1.3 key schedule with sealed secrets" },
    { "TLS1-PRF", "provider=sealed,sealed.tls=psk", prov_prf_psk_functions,
      "TLS 1.2 PRF" },
    { "TLS1-PRF", "provider=sealed,sealed.tls=session", prov_prf_functions,
      "TLS 1.2 PRF with a sealed master secret" },
    { "AEFPSK", "provider=sealed", prov_aefpsk_functions,
      "TS 33.122 Annex A.1" },
    { "3GPP-KDF", "provider=sealed", prov_3gpp_functions,
      "TS 33.220 Annex B.2" },
    { NULL, NULL, NULL, NULL },
};

#ifdef OSSL_OP_SKEYMGMT
static const OSSL_ALGORITHM skeymgmt_table[] = {
    { OSSL_SKEY_TYPE_GENERIC, "provider=sealed", prov_secret_skeymgmt_functions,
      "secrets in a PKCS#11 token" },
    { OSSL_SKEY_TYPE_AES, "provider=sealed", prov_aes_skeymgmt_functions,
      "key encryption keys in a PKCS#11 token" },
    { NULL, NULL, NULL, NULL },
};
#endif

static const OSSL_ALGORITHM cipher_table[] = {
    { "AES-256-WRAP:id-aes256-wrap:AES256-WRAP:2.16.840.1.101.3.4.1.45",
      "provider=sealed", prov_wrap_aes_functions,
      "RFC 3394 of sealed secrets under a key in the token" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM asym_cipher_table[] = {
    { NAMES_RSA, "provider=sealed", prov_rsa_asym_functions,
      "RSA decryption by a PKCS#11 token" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM store_table[] = {
    { "pkcs11", "provider=sealed", prov_store_functions,
      "RFC 7512 URIs of keys and certificates" },
    { NULL, NULL, NULL, NULL },
};

static atomic_uint serials; /* providers so far */

static void thread_ends(void *vprov)
{
    const struct prov_ctx *prov = vprov;

    OPENSSL_thread_stop_ex(prov->soft);
}

void prov_soft_rand(struct prov_ctx *prov)
{
    static _Thread_local unsigned last; /* an address may come again */

    if (last != prov->serial && prov->thread_start != NULL
        && prov->thread_start(prov->core, thread_ends, prov))
        last = prov->serial;
}

static OSSL_FUNC_provider_teardown_fn teardown;
static OSSL_FUNC_provider_gettable_params_fn gettable_params;
static OSSL_FUNC_provider_get_params_fn get_params;
static OSSL_FUNC_provider_query_operation_fn query_operation;
static OSSL_FUNC_provider_get_capabilities_fn get_capabilities;
static OSSL_FUNC_provider_get_reason_strings_fn get_reason_strings;

static void teardown(void *vprov)
{
    struct prov_ctx *prov = vprov;

    if (prov == NULL)
        return;
    sealed_table_free(prov->sealed);
    prov_tokens_free(prov->tokens);
    hsm_close(prov->hsm);
    for (size_t i = 0; i < PROV_N_SOFT_KDFS; i++)
        EVP_KDF_free(atomic_load(&prov->kdfs[i]));
    if (prov->soft_default != NULL)
        OSSL_PROVIDER_unload(prov->soft_default);
    OSSL_LIB_CTX_free(prov->soft);
    prov_config_free(prov);
    free(prov);
}

static const OSSL_PARAM *gettable_params(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, NULL, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_BUILDINFO, NULL, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, NULL),
        OSSL_PARAM_utf8_ptr("derive-rung", NULL, 0),
        OSSL_PARAM_ulong("transient-secrets", NULL),
        OSSL_PARAM_END
    };

    (void)vprov;
    return table;
}

/* What is known of the token; that it is not opened yet, too. */
static int get_derive_params(const struct prov_ctx *prov, OSSL_PARAM params[])
{
    OSSL_PARAM *rung = OSSL_PARAM_locate(params, "derive-rung");
    OSSL_PARAM *count = OSSL_PARAM_locate(params, "transient-secrets");

    return (rung == NULL
            || OSSL_PARAM_set_utf8_ptr(rung,
                                       hsm_was_connected(prov->hsm)
                                           ? hsm_rung_name(hsm_rung(prov->hsm))
                                           : "token not open"))
           && (count == NULL
               || OSSL_PARAM_set_ulong(count, hsm_transients(prov->hsm)));
}

static int get_params(void *vprov, OSSL_PARAM params[])
{
    static const char *const texts[][2] = {
        { OSSL_PROV_PARAM_NAME, "capif-hsm sealed provider" },
        { OSSL_PROV_PARAM_VERSION, CAPIF_HSM_VERSION },
        { OSSL_PROV_PARAM_BUILDINFO, CAPIF_HSM_VERSION },
    };
    OSSL_PARAM *p;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        p = OSSL_PARAM_locate(params, texts[i][0]);
        if (p != NULL && !OSSL_PARAM_set_utf8_ptr(p, texts[i][1]))
            return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return (p == NULL || OSSL_PARAM_set_int(p, 1))
           && get_derive_params(vprov, params);
}

static const OSSL_ALGORITHM *query_operation(void *vprov, int op, int *no_cache)
{
    (void)vprov;
    *no_cache = 0;
    switch (op) {
    case OSSL_OP_KEYMGMT:
        return keymgmt_table;
    case OSSL_OP_SIGNATURE:
        return signature_table;
    case OSSL_OP_KDF:
        return kdf_table;
    case OSSL_OP_CIPHER:
        return cipher_table;
    case OSSL_OP_ASYM_CIPHER:
        return asym_cipher_table;
    case OSSL_OP_KEYEXCH:
        return keyexch_table;
    case OSSL_OP_RAND:
        return rand_table;
    case OSSL_OP_ENCODER:
        return encoder_table;
    case OSSL_OP_DECODER:
        return decoder_table;
    case OSSL_OP_STORE:
        return store_table;
#ifdef OSSL_OP_SKEYMGMT
    case OSSL_OP_SKEYMGMT:
        return skeymgmt_table;
#endif
    default:
        return NULL;
    }
}

/*
 * libssl takes a group only from the provider whose key management it gets,
 * which is ours where we are asked first: without this, TLS would be left
 * with X448 and finite fields.
 */
static int get_capabilities(void *vprov, const char *capability,
                            OSSL_CALLBACK *cb, void *arg)
{
    const struct prov_ctx *prov = vprov;

    return OPENSSL_strcasecmp(capability, "TLS-GROUP") != 0
           || OSSL_PROVIDER_get_capabilities(prov->soft_default, capability, cb,
                                             arg);
}

static const OSSL_ITEM *get_reason_strings(void *vprov)
{
    (void)vprov;
    return prov_reasons;
}

static const OSSL_DISPATCH provider_functions[] = {
    { OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))teardown },
    { OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))gettable_params },
    { OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))get_params },
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query_operation },
    { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))get_capabilities },
    { OSSL_FUNC_PROVIDER_GET_REASON_STRINGS,
      (void (*)(void))get_reason_strings },
    { 0, NULL },
};

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                       const OSSL_DISPATCH **out, void **provctx)
{
    OSSL_FUNC_core_get_params_fn *core_get_params = NULL;
    struct prov_ctx *prov = calloc(1, sizeof(*prov));
    const OSSL_DISPATCH *const core_functions = in;

    if (prov == NULL)
        return 0;
    prov->core = core;
    prov->serial = atomic_fetch_add(&serials, 1) + 1;
    for (; in->function_id != 0; in++) {
        if (in->function_id == OSSL_FUNC_CORE_GET_PARAMS)
            core_get_params = OSSL_FUNC_core_get_params(in);
        else if (in->function_id == OSSL_FUNC_CORE_NEW_ERROR)
            prov->new_error = OSSL_FUNC_core_new_error(in);
        else if (in->function_id == OSSL_FUNC_CORE_SET_ERROR_DEBUG)
            prov->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
        else if (in->function_id == OSSL_FUNC_CORE_VSET_ERROR)
            prov->vset_error = OSSL_FUNC_core_vset_error(in);
        else if (in->function_id == OSSL_FUNC_CORE_THREAD_START)
            prov->thread_start = OSSL_FUNC_core_thread_start(in);
    }
    if (core_get_params == NULL || prov->new_error == NULL
        || prov->set_error_debug == NULL || prov->vset_error == NULL
        || (prov->soft = OSSL_LIB_CTX_new_from_dispatch(core, core_functions))
               == NULL
        || (prov->soft_default = OSSL_PROVIDER_load(prov->soft, "default"))
               == NULL
        || !prov_configure(prov, core_get_params)) {
        teardown(prov);
        return 0;
    }
    *out = provider_functions;
    *provctx = prov;
    return 1;
}
