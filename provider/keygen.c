/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key generation: in the token where a URI names the pair to be made.  All
 * others are the default provider's, which is told whatever we are told.
 */
#include "prov.h"

#include <stdlib.h>
#include <string.h>

struct gen_ctx {
    struct prov_ctx *prov;
    enum hsm_key_type type;
    enum hsm_curve curve;
    size_t bits;
    unsigned use; /* HSM_USE_... */
    char *uri;
    EVP_PKEY_CTX *soft; /* where there is no uri */
    bool pair;          /* or parameters alone */
};

static void *gen_init(struct prov_ctx *prov, enum hsm_key_type type,
                      int selection, const OSSL_PARAM params[])
{
    struct gen_ctx *g = calloc(1, sizeof(*g));

    if (g == NULL)
        return NULL;
    g->prov = prov;
    g->pair = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
    g->type = type;
    g->curve = type == HSM_KEY_EC ? HSM_CURVE_P256 : HSM_CURVE_NONE;
    g->bits = 2048;
    g->use = type == HSM_KEY_X25519 ? HSM_USE_DERIVE : HSM_USE_SIGN;
    g->soft =
        EVP_PKEY_CTX_new_from_name(prov->soft, prov_key_type_name(type), NULL);
    if (g->soft == NULL
        || (g->pair ? EVP_PKEY_keygen_init(g->soft)
                    : EVP_PKEY_paramgen_init(g->soft))
               <= 0
        || !prov_gen_set_params(g, params)) {
        prov_gen_cleanup(g);
        return NULL;
    }
    return g;
}

void *prov_rsa_gen_init(void *vprov, int selection, const OSSL_PARAM p[])
{
    return gen_init(vprov, HSM_KEY_RSA, selection, p);
}

void *prov_ec_gen_init(void *vprov, int selection, const OSSL_PARAM p[])
{
    return gen_init(vprov, HSM_KEY_EC, selection, p);
}

void *prov_ed25519_gen_init(void *vprov, int selection, const OSSL_PARAM p[])
{
    return gen_init(vprov, HSM_KEY_ED25519, selection, p);
}

void *prov_ed448_gen_init(void *vprov, int selection, const OSSL_PARAM p[])
{
    return gen_init(vprov, HSM_KEY_ED448, selection, p);
}

void *prov_x25519_gen_init(void *vprov, int selection, const OSSL_PARAM p[])
{
    return gen_init(vprov, HSM_KEY_X25519, selection, p);
}

/* HSM_CURVE_NONE if the token has no word for it. */
static enum hsm_curve curve_by_name(const char *name)
{
    static const struct {
        const char *name;
        enum hsm_curve curve;
    } names[] = {
        { "P-256", HSM_CURVE_P256 },     { "prime256v1", HSM_CURVE_P256 },
        { "secp256r1", HSM_CURVE_P256 }, { "P-384", HSM_CURVE_P384 },
        { "secp384r1", HSM_CURVE_P384 }, { "P-521", HSM_CURVE_P521 },
        { "secp521r1", HSM_CURVE_P521 },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (OPENSSL_strcasecmp(names[i].name, name) == 0)
            return names[i].curve;
    }
    return HSM_CURVE_NONE;
}

/* The names of X.509's key usage bits, and our own; 0: one is unknown. */
static unsigned use_parse(const char *text)
{
    static const struct {
        const char *name;
        unsigned use;
    } words[] = {
        { "digitalSignature", HSM_USE_SIGN },
        { "nonRepudiation", HSM_USE_SIGN },
        { "keyCertSign", HSM_USE_SIGN },
        { "cRLSign", HSM_USE_SIGN },
        { "keyEncipherment", HSM_USE_DECRYPT },
        { "dataEncipherment", HSM_USE_DECRYPT },
        { "keyAgreement", HSM_USE_DERIVE },
        { "encipherOnly", HSM_USE_DERIVE },
        { "decipherOnly", HSM_USE_DERIVE },
        { "keyTransport", HSM_USE_UNWRAP },
    };
    unsigned use = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " "), i = 0,
               n = sizeof(words) / sizeof(*words);

        while (i < n
               && (strlen(words[i].name) != len
                   || strncmp(words[i].name, text, len) != 0))
            i++;
        if (i == n)
            return 0;
        use |= words[i].use;
        text += len + strspn(text + len, " ");
    }
    return use;
}

int prov_gen_set_params(void *vg, const OSSL_PARAM params[])
{
    struct gen_ctx *g = vg;
    const char *text = NULL;
    enum hsm_curve curve = g->curve; /* committed last: all or nothing */
    size_t bits = g->bits;
    unsigned use = g->use;
    char *uri = NULL;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, "pkcs11_key_usage");
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL
            || (use = use_parse(text)) == 0))
        goto bad;
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL))
        goto bad;
    if (p != NULL)
        curve = curve_by_name(text);
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_BITS);
    if (p != NULL && !OSSL_PARAM_get_size_t(p, &bits))
        goto bad;
    p = OSSL_PARAM_locate_const(params, "pkcs11_uri");
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL
            || (uri = strdup(text)) == NULL))
        goto bad;
    if ((p = params)->key != NULL
        && EVP_PKEY_CTX_set_params(g->soft, params) <= 0)
        goto bad;
    g->curve = curve;
    g->bits = bits;
    g->use = use;
    if (uri != NULL) {
        free(g->uri);
        g->uri = uri;
    }
    return 1;
bad:
    free(uri);
    prov_raise(g->prov, PROV_E_PARAM, "%s", p->key);
    return 0;
}

/* The curve of a key that is there; the others' types say it all. */
int prov_gen_set_template(void *vg, void *vkey)
{
    struct gen_ctx *g = vg;
    const struct prov_key *key = vkey;
    OSSL_PARAM *params = NULL;
    int ok;

    if (g->type != HSM_KEY_EC)
        return 1;
    ok = key->soft != NULL
         && EVP_PKEY_todata(key->soft, EVP_PKEY_KEY_PARAMETERS, &params)
         && prov_gen_set_params(g, params);
    OSSL_PARAM_free(params);
    return ok;
}

const OSSL_PARAM *prov_gen_settable_params(void *vg, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL,
                               0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_FIELD_TYPE, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_P, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_A, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_B, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_GENERATOR, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_ORDER, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_COFACTOR, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_EC_SEED, NULL, 0),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_utf8_string("pkcs11_uri", NULL, 0),
        OSSL_PARAM_utf8_string("pkcs11_key_usage", NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vg;
    (void)vprov;
    return table;
}

static struct prov_key *gen_in_token(const struct gen_ctx *g)
{
    struct prov_key *key = NULL;
    struct hsm_key *hsm = NULL;
    enum hsm_status st;

    if (!g->pair || (g->type == HSM_KEY_EC && g->curve == HSM_CURVE_NONE)
        || (g->type == HSM_KEY_RSA && (g->bits < 2048 || g->bits > 16384))) {
        prov_raise(g->prov, PROV_E_PARAM, "%s for a key in the token",
                   g->type == HSM_KEY_RSA ? OSSL_PKEY_PARAM_RSA_BITS
                                          : OSSL_PKEY_PARAM_GROUP_NAME);
        return NULL;
    }
    st = hsm_generate(prov_token(g->prov, g->uri), g->type, g->curve, g->bits,
                      g->use, g->uri, &hsm);
    if (st == HSM_OK)
        key = prov_key_from_hsm(g->prov, hsm);
    else
        prov_raise_hsm(g->prov, st);
    hsm_key_free(hsm);
    return key;
}

/* Whoever did not ask for the token gets an ordinary key. */
static struct prov_key *gen_soft(const struct gen_ctx *g)
{
    struct prov_key *key = prov_key_new(g->prov, g->type);

    prov_soft_rand(g->prov);
    if (key == NULL || EVP_PKEY_generate(g->soft, &key->soft) <= 0) {
        prov_key_free(key);
        return NULL;
    }
    key->soft_private = g->pair;
    return key;
}

void *prov_gen(void *vg, OSSL_CALLBACK *cb, void *arg)
{
    const struct gen_ctx *g = vg;

    (void)cb;
    (void)arg;
    return g->uri != NULL ? gen_in_token(g) : gen_soft(g);
}

void prov_gen_cleanup(void *vg)
{
    struct gen_ctx *g = vg;

    if (g == NULL)
        return;
    EVP_PKEY_CTX_free(g->soft);
    free(g->uri);
    free(g);
}
