/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers of the token, by the name PKCS11-RAND: nobody gets them who
 * did not ask for them.
 */
#include "prov.h"

#include <openssl/rand.h>
#include <stdlib.h>

#define REQUEST_MAX 65536
#define STRENGTH    256

struct rng {
    struct prov_ctx *prov;
    int state;
};

static OSSL_FUNC_rand_newctx_fn rng_new;
static OSSL_FUNC_rand_freectx_fn rng_free;
static OSSL_FUNC_rand_instantiate_fn rng_instantiate;
static OSSL_FUNC_rand_uninstantiate_fn rng_uninstantiate;
static OSSL_FUNC_rand_generate_fn rng_generate;
static OSSL_FUNC_rand_enable_locking_fn rng_enable_locking;
static OSSL_FUNC_rand_lock_fn rng_lock;
static OSSL_FUNC_rand_unlock_fn rng_unlock;
static OSSL_FUNC_rand_get_ctx_params_fn rng_get;
static OSSL_FUNC_rand_gettable_ctx_params_fn rng_gettable;
static OSSL_FUNC_rand_get_seed_fn rng_get_seed;
static OSSL_FUNC_rand_clear_seed_fn rng_clear_seed;

static void *rng_new(void *vprov, void *parent, const OSSL_DISPATCH *calls)
{
    struct rng *r = calloc(1, sizeof(*r));

    (void)parent; /* the token has a source of its own */
    (void)calls;
    if (r == NULL)
        return NULL;
    r->prov = vprov;
    r->state = EVP_RAND_STATE_UNINITIALISED;
    return r;
}

static void rng_free(void *vr)
{
    free(vr);
}

static int rng_instantiate(void *vr, unsigned strength, int prediction,
                           const unsigned char *pstr, size_t len,
                           const OSSL_PARAM params[])
{
    struct rng *r = vr;

    (void)prediction;
    (void)pstr;
    (void)len;
    (void)params;
    if (strength > STRENGTH)
        return 0;
    r->state = EVP_RAND_STATE_READY;
    return 1;
}

static int rng_uninstantiate(void *vr)
{
    struct rng *r = vr;

    r->state = EVP_RAND_STATE_UNINITIALISED;
    return 1;
}

static int rng_generate(void *vr, unsigned char *out, size_t len,
                        unsigned strength, int prediction,
                        const unsigned char *input, size_t input_len)
{
    struct rng *r = vr;
    enum hsm_status st;

    (void)prediction;
    (void)input;
    (void)input_len;
    if (strength > STRENGTH || len > REQUEST_MAX)
        return 0;
    /* A module that takes its own from OpenSSL must not go round in circles. */
    if (hsm_inside()) {
        prov_soft_rand(r->prov);
        return RAND_bytes_ex(r->prov->soft, out, len, strength) > 0;
    }
    st = hsm_random(r->prov->hsm, out, len);
    if (st != HSM_OK)
        prov_raise_hsm(r->prov, st);
    return st == HSM_OK;
}

/* It has no state that a lock would guard. */
static int rng_enable_locking(void *vr)
{
    (void)vr;
    return 1;
}

static int rng_lock(void *vr)
{
    (void)vr;
    return 1;
}

static void rng_unlock(void *vr)
{
    (void)vr;
}

static const OSSL_PARAM *rng_gettable(void *vr, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_int(OSSL_RAND_PARAM_STATE, NULL),
        OSSL_PARAM_uint(OSSL_RAND_PARAM_STRENGTH, NULL),
        OSSL_PARAM_size_t(OSSL_RAND_PARAM_MAX_REQUEST, NULL),
        OSSL_PARAM_END,
    };

    (void)vr;
    (void)vprov;
    return table;
}

static int rng_get(void *vr, OSSL_PARAM params[])
{
    const struct rng *r = vr;
    OSSL_PARAM *p;

    p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STATE);
    if (p != NULL && !OSSL_PARAM_set_int(p, r->state))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_STRENGTH);
    if (p != NULL && !OSSL_PARAM_set_uint(p, STRENGTH))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_RAND_PARAM_MAX_REQUEST);
    return p == NULL || OSSL_PARAM_set_size_t(p, REQUEST_MAX);
}

/* As the seed of another generator. */
static size_t rng_get_seed(void *vr, unsigned char **out, int entropy,
                           size_t min, size_t max, int prediction,
                           const unsigned char *adin, size_t adin_len)
{
    size_t want = entropy > 0 ? ((size_t)entropy + 7) / 8 : min;
    unsigned char *seed;

    if (want < min)
        want = min;
    if (want > max || (seed = OPENSSL_malloc(want)) == NULL)
        return 0;
    if (!rng_generate(vr, seed, want, STRENGTH, prediction, adin, adin_len)) {
        OPENSSL_clear_free(seed, want);
        return 0;
    }
    *out = seed;
    return want;
}

static void rng_clear_seed(void *vr, unsigned char *seed, size_t len)
{
    (void)vr;
    OPENSSL_clear_free(seed, len);
}

const OSSL_DISPATCH prov_rand_functions[] = {
    { OSSL_FUNC_RAND_NEWCTX, (void (*)(void))rng_new },
    { OSSL_FUNC_RAND_FREECTX, (void (*)(void))rng_free },
    { OSSL_FUNC_RAND_INSTANTIATE, (void (*)(void))rng_instantiate },
    { OSSL_FUNC_RAND_UNINSTANTIATE, (void (*)(void))rng_uninstantiate },
    { OSSL_FUNC_RAND_GENERATE, (void (*)(void))rng_generate },
    { OSSL_FUNC_RAND_ENABLE_LOCKING, (void (*)(void))rng_enable_locking },
    { OSSL_FUNC_RAND_LOCK, (void (*)(void))rng_lock },
    { OSSL_FUNC_RAND_UNLOCK, (void (*)(void))rng_unlock },
    { OSSL_FUNC_RAND_GET_CTX_PARAMS, (void (*)(void))rng_get },
    { OSSL_FUNC_RAND_GETTABLE_CTX_PARAMS, (void (*)(void))rng_gettable },
    { OSSL_FUNC_RAND_GET_SEED, (void (*)(void))rng_get_seed },
    { OSSL_FUNC_RAND_CLEAR_SEED, (void (*)(void))rng_clear_seed },
    { 0, NULL },
};
