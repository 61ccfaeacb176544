/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all back ends have in common: what can be said of a call before
 * anybody is asked, names, and references.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

bool hsm_was_connected(const struct hsm *h)
{
    return atomic_load(&h->epoch) > 0;
}

enum hsm_rung hsm_rung(const struct hsm *h)
{
    return h->rung;
}

const char *hsm_rung_name(enum hsm_rung rung)
{
    switch (rung) {
    case HSM_RUNG_NONE:
        return "none";
    case HSM_RUNG_HKDF:
        return "CKM_HKDF_DERIVE";
    case HSM_RUNG_SP800_108:
        return "CKM_SP800_108_FEEDBACK_KDF";
    case HSM_RUNG_AGENT:
        return "agent";
    case HSM_RUNG_TRANSIENT:
        return "transient";
    }
    return "?";
}

unsigned long hsm_transients(const struct hsm *h)
{
    return atomic_load(&h->transients);
}

/* ---- secrets ---- */

enum hsm_status hsm_secret_new(struct hsm *h, CK_OBJECT_HANDLE obj, size_t len,
                               struct hsm_secret **out)
{
    struct hsm_secret *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    atomic_init(&s->refs, 1);
    s->hsm = h;
    s->h = obj;
    s->epoch = atomic_load(&h->epoch);
    s->len = len;
    *out = s;
    return HSM_OK;
}

bool hsm_secret_alive(const struct hsm_secret *secret)
{
    return secret->epoch == atomic_load(&secret->hsm->epoch);
}

enum hsm_status hsm_secret_live(const struct hsm_secret *secret)
{
    return hsm_secret_alive(secret)
               ? HSM_OK
               : hsm_fail(HSM_ERR_GONE, "the secret was lost with its session");
}

size_t hsm_secret_len(const struct hsm_secret *s)
{
    return s->len;
}

struct hsm_secret *hsm_secret_ref(struct hsm_secret *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void hsm_secret_free(struct hsm_secret *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (!s->token)
        s->hsm->be->destroy(s);
    free(s->label);
    free(s);
}

enum hsm_status hsm_secret_find(struct hsm *h, const char *uri,
                                struct hsm_secret **out)
{
    return h->be->secret_find(h, uri, out);
}

enum hsm_status hsm_import(struct hsm *h, const uint8_t *value, size_t len,
                           enum hsm_travel travel, struct hsm_secret **out)
{
    if (len < 1 || len > HSM_SECRET_MAX)
        return hsm_fail(HSM_ERR_PARAM, "a secret of %zu octets", len);
    return h->be->import(h, value, len, travel, out);
}

enum hsm_status hsm_derive(struct hsm_secret *key, const uint8_t *msg,
                           size_t len, enum hsm_travel travel,
                           struct hsm_secret **out)
{
    if (len < 1) /* which tokens don't agree about */
        return hsm_fail(HSM_ERR_PARAM, "an empty message");
    return key->hsm->be->derive(key, msg, len, travel, out);
}

enum hsm_status hsm_extract(struct hsm_secret *key, const uint8_t *salt,
                            size_t len, enum hsm_travel travel,
                            struct hsm_secret **out)
{
    if (len > HSM_SALT_MAX)
        return hsm_fail(HSM_ERR_PARAM, "a salt of %zu octets", len);
    return key->hsm->be->extract(key, salt, len, travel, out);
}

enum hsm_status hsm_p_sha256(struct hsm_secret *key, const uint8_t *seed,
                             size_t len, size_t out_len, enum hsm_travel travel,
                             struct hsm_secret **out)
{
    if (out_len < 1 || out_len > HSM_SECRET_MAX)
        return hsm_fail(HSM_ERR_PARAM, "a secret of %zu octets", out_len);
    return key->hsm->be->p_sha256(key, seed, len, out_len, travel, out);
}

enum hsm_status hsm_mac(struct hsm_secret *key, const uint8_t *msg, size_t len,
                        uint8_t out[HSM_MAC_LEN])
{
    return key->hsm->be->mac(key, msg, len, out);
}

/* ---- wrapping ---- */

enum hsm_status hsm_kek_find(struct hsm *h, const char *uri,
                             struct hsm_secret **out)
{
    return h->be->kek_find(h, uri, out);
}

enum hsm_status hsm_wrap_aes(struct hsm_secret *kek, struct hsm_secret *s,
                             uint8_t *out, size_t *len)
{
    return kek->hsm->be->wrap_aes(kek, s, out, len);
}

enum hsm_status hsm_unwrap_aes(struct hsm_secret *kek, const uint8_t *in,
                               size_t in_len, enum hsm_travel travel,
                               struct hsm_secret **out)
{
    if (in_len < 24 || in_len % 8 != 0)
        return hsm_fail(HSM_ERR_PARAM, "%zu octets of wrapped key", in_len);
    return kek->hsm->be->unwrap_aes(kek, in, in_len, travel, out);
}

void hsm_no_leading_zeros(const uint8_t **p, size_t *len)
{
    while (*len > 0 && **p == 0) {
        ++*p;
        --*len;
    }
}

enum hsm_status hsm_wrap_rsa(struct hsm *h, const uint8_t *n, size_t n_len,
                             const uint8_t *e, size_t e_len,
                             struct hsm_secret *s, uint8_t *out, size_t *len)
{
    hsm_no_leading_zeros(&n, &n_len);
    hsm_no_leading_zeros(&e, &e_len);
    if (*len < n_len)
        return hsm_fail(HSM_ERR_BUFFER, "%zu octets for RSA", *len);
    return h->be->wrap_rsa(h, n, n_len, e, e_len, s, out, len);
}

enum hsm_status hsm_unwrap_rsa(struct hsm_key *key, const uint8_t *in,
                               size_t in_len, size_t secret_len,
                               enum hsm_travel travel, struct hsm_secret **out)
{
    return key->hsm->be->unwrap_rsa(key, in, in_len, secret_len, travel, out);
}

/* ---- keys ---- */

const struct hsm_key_info *hsm_key_info(const struct hsm_key *key)
{
    return &key->info;
}

char *hsm_key_uri(const struct hsm_key *key)
{
    CK_OBJECT_CLASS cls = key->cls;
    CK_ATTRIBUTE id = { CKA_ID, key->id, key->id_len };
    CK_ATTRIBUTE label = { CKA_LABEL, key->label, key->label_len };
    CK_ATTRIBUTE class = { CKA_CLASS, &cls, sizeof(cls) };
    P11KitUri *uri = p11_kit_uri_new();
    char *text = NULL, *copy = NULL; /* written on success alone */

    if (uri == NULL)
        return NULL;
    memcpy(p11_kit_uri_get_token_info(uri)->label, key->hsm->token.label,
           sizeof(key->hsm->token.label));
    if ((key->id_len == 0
         || p11_kit_uri_set_attribute(uri, &id) == P11_KIT_URI_OK)
        && (key->label_len == 0
            || p11_kit_uri_set_attribute(uri, &label) == P11_KIT_URI_OK)
        && p11_kit_uri_set_attribute(uri, &class) == P11_KIT_URI_OK
        && p11_kit_uri_format(uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, &text)
               == P11_KIT_URI_OK)
        copy = text;
    p11_kit_uri_free(uri);
    return copy;
}

struct hsm_key *hsm_key_ref(struct hsm_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void hsm_key_free(struct hsm_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    key->hsm->be->forget(key);
    free(key->id);
    free(key->label);
    free((void *)(uintptr_t)key->info.a);
    free((void *)(uintptr_t)key->info.b);
    free(key);
}

enum hsm_status hsm_find(struct hsm *h, const char *uri, unsigned classes,
                         struct hsm_object **objs, size_t *n)
{
    return h->be->find(h, uri, classes, objs, n);
}

void hsm_objects_free(struct hsm_object *objs, size_t n)
{
    if (objs == NULL)
        return;
    for (size_t i = 0; i < n; i++) {
        hsm_key_free(objs[i].key);
        free(objs[i].der);
    }
    free(objs);
}

enum hsm_status hsm_sign(struct hsm_key *key, const struct hsm_sign_params *p,
                         const uint8_t *tbs, size_t tbs_len, uint8_t *sig,
                         size_t *sig_len)
{
    if (!key->info.is_private)
        return hsm_fail(HSM_ERR_DENIED, "a public key can't sign");
    return key->hsm->be->sign(key, p, tbs, tbs_len, sig, sig_len);
}

enum hsm_status hsm_decrypt(struct hsm_key *key,
                            const struct hsm_decrypt_params *p,
                            const uint8_t *in, size_t in_len, uint8_t *out,
                            size_t *len)
{
    if (key->info.type != HSM_KEY_RSA || !key->info.is_private)
        return hsm_fail(HSM_ERR_DENIED, "only a private RSA key decrypts");
    return key->hsm->be->decrypt(key, p, in, in_len, out, len);
}

enum hsm_status hsm_ecdh(struct hsm_key *key, const uint8_t *peer,
                         size_t peer_len, uint8_t *out, size_t *len)
{
    if ((key->info.type != HSM_KEY_EC && key->info.type != HSM_KEY_X25519)
        || !key->info.is_private)
        return hsm_fail(HSM_ERR_DENIED, "no private key for ECDH");
    if (peer_len != key->info.a_len)
        return hsm_fail(HSM_ERR_PARAM, "a public key of %zu octets", peer_len);
    return key->hsm->be->ecdh(key, peer, peer_len, out, len);
}

enum hsm_status hsm_generate(struct hsm *h, enum hsm_key_type type,
                             enum hsm_curve curve, size_t bits, unsigned use,
                             const char *uri, struct hsm_key **out)
{
    if (type != HSM_KEY_RSA && (use & (HSM_USE_UNWRAP | HSM_USE_DECRYPT)))
        return hsm_fail(HSM_ERR_PARAM, "only RSA keys decrypt and unwrap");
    return h->be->generate(h, type, curve, bits, use, uri, out);
}

/* ---- the token ---- */

enum hsm_status hsm_tokens(struct hsm *h, const char *uri, char ***uris,
                           size_t *n)
{
    return h->be->tokens(h, uri, uris, n);
}

void hsm_tokens_free(char **uris)
{
    for (size_t i = 0; uris != NULL && uris[i] != NULL; i++)
        free(uris[i]);
    free(uris);
}

enum hsm_status hsm_unlock(struct hsm *h, const char *uri, hsm_ask_fn *ask,
                           void *arg, bool keep)
{
    return h->be->unlock(h, uri, ask, arg, keep);
}

enum hsm_status hsm_random(struct hsm *h, uint8_t *out, size_t len)
{
    return h->be->random(h, out, len);
}
