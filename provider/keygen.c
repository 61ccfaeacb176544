/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key generation: in the token where a URI names the pair to be made.
 */
#include "prov.h"

#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

struct gen_ctx {
    struct prov_ctx *prov;
    enum hsm_key_type type;
    enum hsm_curve curve;
    size_t bits;
    unsigned use; /* HSM_USE_... */
    char *uri;
};

static void *gen_init(struct prov_ctx *prov, enum hsm_key_type type,
                      int selection, const OSSL_PARAM params[])
{
    struct gen_ctx *g;

    if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR)
        || (g = calloc(1, sizeof(*g))) == NULL)
        return NULL;
    g->prov = prov;
    g->type = type;
    g->curve = type == HSM_KEY_EC ? HSM_CURVE_P256 : HSM_CURVE_NONE;
    g->bits = 2048;
    g->use = type == HSM_KEY_X25519 ? HSM_USE_DERIVE : HSM_USE_SIGN;
    if (!prov_gen_set_params(g, params)) {
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

static bool curve_by_name(const char *name, enum hsm_curve *curve)
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
        if (OPENSSL_strcasecmp(names[i].name, name) == 0) {
            *curve = names[i].curve;
            return true;
        }
    }
    return false;
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
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL
            || !curve_by_name(text, &curve)))
        goto bad;
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_BITS);
    if (p != NULL
        && (!OSSL_PARAM_get_size_t(p, &bits) || bits < 2048 || bits > 16384))
        goto bad;
    p = OSSL_PARAM_locate_const(params, "pkcs11_uri");
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL
            || (uri = strdup(text)) == NULL))
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
    prov_raise(g->prov, PROV_E_PARAM, "%s", p->key);
    return 0;
}

const OSSL_PARAM *prov_gen_settable_params(void *vg, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
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
    static const char *const groups[] = {
        [HSM_CURVE_NONE] = "",
        [HSM_CURVE_P256] = "P-256",
        [HSM_CURVE_P384] = "P-384",
        [HSM_CURVE_P521] = "P-521",
    };
    struct prov_key *key = prov_key_new(g->prov, g->type);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(
        g->prov->soft, prov_key_type_name(g->type), NULL);
    int ok = key != NULL && ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0;

    if (g->type == HSM_KEY_RSA)
        ok = ok && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)g->bits) > 0;
    else if (g->type == HSM_KEY_EC)
        ok = ok && EVP_PKEY_CTX_set_group_name(ctx, groups[g->curve]) > 0;
    ok = ok && EVP_PKEY_generate(ctx, &key->soft) > 0;
    EVP_PKEY_CTX_free(ctx);
    if (!ok) {
        prov_key_free(key);
        return NULL;
    }
    key->soft_private = true;
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
    free(g->uri);
    free(g);
}
