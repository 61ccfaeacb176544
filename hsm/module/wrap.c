/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that travel: AES key wrap for the store, RSA-OAEP for another
 * domain's token.
 */
#include "../internal.h"
#include "pkcs11_v3.h"

#include <stdlib.h>
#include <string.h>

#define RSA_MAX 2048 /* octets of a modulus */

static CK_RSA_PKCS_OAEP_PARAMS oaep = { CKM_SHA_1, CKG_MGF1_SHA1,
                                        CKZ_DATA_SPECIFIED, NULL, 0 };

/* A token object, by whose label an agent's policy knows it. */
static enum hsm_status token_secret(struct hsm *h, CK_SESSION_HANDLE s,
                                    CK_OBJECT_HANDLE obj, size_t len,
                                    struct hsm_secret **out)
{
    uint8_t *label = NULL;
    size_t label_len = 0;
    enum hsm_status st = hsm_attr_get(h, s, obj, CKA_LABEL, &label, &label_len);

    if (st != HSM_OK && st != HSM_ERR_PARAM) /* some have none */
        return st;
    if (label != NULL)
        label[label_len] = '\0'; /* there is room for it */
    if (label != NULL && strlen((char *)label) != label_len) {
        free(label); /* not to be taken for what is before the NUL */
        label = NULL;
    }
    if ((st = hsm_secret_new(h, obj, len, out)) != HSM_OK) {
        free(label);
        return st;
    }
    (*out)->token = true;
    (*out)->label = (char *)label;
    return HSM_OK;
}

/* The one key of that type that text names, a token object. */
static enum hsm_status find_key_once(struct hsm *h, const char *text,
                                     CK_KEY_TYPE type, struct hsm_secret **out)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG len = 0;
    CK_ATTRIBUTE value_len = { CKA_VALUE_LEN, &len, sizeof(len) }, *a;
    CK_ATTRIBUTE tmpl[5] = { { CKA_CLASS, &cls, sizeof(cls) },
                             { CKA_KEY_TYPE, &type, sizeof(type) },
                             { CKA_TOKEN, &yes, sizeof(yes) } };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE found[2];
    P11KitUri *uri = NULL;
    size_t n_tmpl = 3, n = 2;
    enum hsm_status st = hsm_uri_parse(h, text, &uri);

    if (st != HSM_OK)
        return st;
    if ((a = p11_kit_uri_get_attribute(uri, CKA_LABEL)) != NULL)
        tmpl[n_tmpl++] = *a;
    if ((a = p11_kit_uri_get_attribute(uri, CKA_ID)) != NULL)
        tmpl[n_tmpl++] = *a;
    if ((st = hsm_session_get(h, &s)) == HSM_OK)
        st = hsm_find_handles(h, s, tmpl, n_tmpl, found, &n);
    if (st == HSM_OK && n == 1)
        st = HSM_CALL(h, C_GetAttributeValue, s, found[0], &value_len, 1);
    if (st == HSM_OK && n == 1)
        st = token_secret(h, s, found[0], len, out);
    hsm_session_put(h, s, st == HSM_OK);
    p11_kit_uri_free(uri);
    if (st == HSM_OK && n == 0)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "no such key: %s", text);
    else if (st == HSM_OK && n > 1)
        st = hsm_fail(HSM_ERR_PARAM, "several keys match %s", text);
    return st;
}

static enum hsm_status find_key(struct hsm *h, const char *text,
                                CK_KEY_TYPE type, struct hsm_secret **out)
{
    enum hsm_status st;

    HSM_RETRY(h, st, find_key_once(h, text, type, out));
    return st;
}

enum hsm_status module_kek_find(struct hsm *h, const char *uri,
                                struct hsm_secret **out)
{
    return find_key(h, uri, CKK_AES, out);
}

enum hsm_status module_secret_find(struct hsm *h, const char *uri,
                                   struct hsm_secret **out)
{
    return find_key(h, uri, CKK_GENERIC_SECRET, out);
}

enum hsm_status hsm_flag(struct hsm *h, CK_SESSION_HANDLE s,
                         CK_OBJECT_HANDLE obj, CK_ATTRIBUTE_TYPE type, bool *on)
{
    CK_BBOOL yes = CK_FALSE;
    CK_ATTRIBUTE a = { type, &yes, sizeof(yes) };
    enum hsm_status st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);

    if (st != HSM_OK && st != HSM_ERR_PARAM) /* it has none such */
        return st;
    *on = st == HSM_OK && yes == CK_TRUE;
    return HSM_OK;
}

/*
 * Not every token heeds what it was told: NSS softokn wraps what is not
 * extractable, and takes CKA_WRAP_WITH_TRUSTED without a word and forgets it.
 * So we look ourselves, whatever the token does.
 */
static enum hsm_status may_wrap(struct hsm *h, CK_SESSION_HANDLE s,
                                CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE secret)
{
    bool extractable = false, trusted = false;
    enum hsm_status st = hsm_flag(h, s, secret, CKA_EXTRACTABLE, &extractable);

    if (st == HSM_OK && !extractable)
        return hsm_fail(HSM_ERR_DENIED, "this secret may not leave the token");
    if (st != HSM_OK || h->wrap_any)
        return st;
    if ((st = hsm_flag(h, s, key, CKA_TRUSTED, &trusted)) != HSM_OK || trusted)
        return st;
    return hsm_fail(HSM_ERR_DENIED,
                    "the wrapping key is not trusted, and wrap = any is not "
                    "configured");
}

static enum hsm_status wrap_once(struct hsm_secret *key, CK_MECHANISM *m,
                                 struct hsm_secret *secret, uint8_t *out,
                                 size_t *len)
{
    struct hsm *h = key->hsm;
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_ULONG n = *len;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_secret_live(key)) == HSM_OK
        && (st = hsm_secret_live(secret)) == HSM_OK
        && (st = may_wrap(h, s, key->h, secret->h)) == HSM_OK)
        st = HSM_CALL(h, C_WrapKey, s, m, key->h, secret->h, out, &n);
    hsm_session_put(h, s, st == HSM_OK);
    if (st == HSM_OK)
        *len = n;
    return st;
}

static enum hsm_status wrap(struct hsm_secret *key, CK_MECHANISM *m,
                            struct hsm_secret *secret, uint8_t *out,
                            size_t *len)
{
    enum hsm_status st;

    HSM_RETRY(key->hsm, st, wrap_once(key, m, secret, out, len));
    return st;
}

/* What unwraps: a secret, or a key pair's private half. */
struct unwrapper {
    CK_MECHANISM *m;
    struct hsm *hsm;
    const struct hsm_secret *kek;
    struct hsm_key *key;
};

static enum hsm_status unwrapper_handle(const struct unwrapper *u,
                                        CK_SESSION_HANDLE s,
                                        CK_OBJECT_HANDLE *obj)
{
    if (u->kek == NULL)
        return hsm_key_handle(u->key, s, obj);
    *obj = u->kek->h;
    return hsm_secret_live(u->kek);
}

static enum hsm_status unwrap_once(const struct unwrapper *u, const uint8_t *in,
                                   size_t in_len, size_t secret_len,
                                   enum hsm_travel travel,
                                   struct hsm_secret **out)
{
    struct hsm *h = u->hsm;
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE key, obj = CK_INVALID_HANDLE;
    struct hsm_secret_tmpl t;
    CK_ULONG n = hsm_secret_tmpl_fill(&t, h, travel), len = 0;
    CK_ATTRIBUTE value_len = { CKA_VALUE_LEN, &len, sizeof(len) };
    enum hsm_status st = hsm_owner_get(h, &s);

    if (st != HSM_OK)
        return st;
    if ((st = unwrapper_handle(u, s, &key)) == HSM_OK)
        st = HSM_CALL(h, C_UnwrapKey, s, u->m, key, (CK_BYTE *)(uintptr_t)in,
                      in_len, t.a, n, &obj);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_GetAttributeValue, s, obj, &value_len, 1);
    /* SoftHSM leaves CKA_VALUE_LEN at 0 here. */
    if (st == HSM_OK && len != 0 && len != secret_len)
        st = hsm_fail(HSM_ERR_PARAM, "a wrapped secret of %lu octets", len);
    if (st != HSM_OK && obj != CK_INVALID_HANDLE)
        (void)h->p11->C_DestroyObject(s, obj);
    if (u->key != NULL)
        hsm_key_doubt(u->key, st);
    return hsm_secret_made(h, s, st, obj, secret_len, out);
}

static enum hsm_status unwrap(const struct unwrapper *u, const uint8_t *in,
                              size_t in_len, size_t secret_len,
                              enum hsm_travel travel, struct hsm_secret **out)
{
    enum hsm_status st;

    HSM_RETRY(u->hsm, st, unwrap_once(u, in, in_len, secret_len, travel, out));
    return st;
}

enum hsm_status module_wrap_aes(struct hsm_secret *kek, struct hsm_secret *s,
                                uint8_t *out, size_t *len)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };

    return wrap(kek, &m, s, out, len);
}

enum hsm_status module_unwrap_aes(struct hsm_secret *kek, const uint8_t *in,
                                  size_t in_len, enum hsm_travel travel,
                                  struct hsm_secret **out)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };
    const struct unwrapper u = { &m, kek->hsm, kek, NULL };

    return unwrap(&u, in, in_len, in_len - 8, travel, out);
}

/* An RSA public key that may wrap: the token's own, or one that is made. */
static enum hsm_status wrapping_key(struct hsm *h, const uint8_t *n,
                                    size_t n_len, const uint8_t *e,
                                    size_t e_len, struct hsm_secret **key)
{
    CK_OBJECT_CLASS cls = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE tmpl[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_MODULUS, (void *)(uintptr_t)n, n_len },
        { CKA_WRAP, &yes, sizeof(yes) },
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_PRIVATE, &no, sizeof(no) },
        { CKA_PUBLIC_EXPONENT, (void *)(uintptr_t)e, e_len },
    };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    size_t found = 1;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    st = hsm_find_handles(h, s, tmpl, 5, &obj, &found);
    if (st == HSM_OK && found > 0)
        st = token_secret(h, s, obj, n_len, key);
    hsm_session_put(h, s, st == HSM_OK);
    if (st != HSM_OK || found > 0)
        return st;
    if (!h->wrap_any)
        return hsm_fail(HSM_ERR_DENIED,
                        "the token has no such key to wrap for, and wrap = "
                        "any is not configured");
    if ((st = hsm_owner_get(h, &s)) != HSM_OK)
        return st;
    tmpl[4].pValue = &no;
    st = HSM_CALL(h, C_CreateObject, s, tmpl, 7, &obj);
    return hsm_secret_made(h, s, st, obj, n_len, key);
}

enum hsm_status hsm_wrapping_key(struct hsm *h, const uint8_t *n, size_t n_len,
                                 const uint8_t *e, size_t e_len,
                                 struct hsm_secret **key)
{
    enum hsm_status st;

    /* SoftHSM crashes where one is empty. */
    if (n_len < 1 || n_len > RSA_MAX || e_len < 1 || e_len > n_len)
        return hsm_fail(HSM_ERR_PARAM, "no RSA key to wrap for");
    HSM_RETRY(h, st, wrapping_key(h, n, n_len, e, e_len, key));
    return st;
}

enum hsm_status hsm_wrap_oaep(struct hsm_secret *key, struct hsm_secret *s,
                              uint8_t *out, size_t *len)
{
    CK_MECHANISM m = { CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };

    return wrap(key, &m, s, out, len);
}

enum hsm_status module_wrap_rsa(struct hsm *h, const uint8_t *n, size_t n_len,
                                const uint8_t *e, size_t e_len,
                                struct hsm_secret *s, uint8_t *out, size_t *len)
{
    struct hsm_secret *key = NULL;
    enum hsm_status st = hsm_wrapping_key(h, n, n_len, e, e_len, &key);

    if (st == HSM_OK)
        st = hsm_wrap_oaep(key, s, out, len);
    hsm_secret_free(key);
    return st;
}

enum hsm_status module_unwrap_rsa(struct hsm_key *key, const uint8_t *in,
                                  size_t in_len, size_t secret_len,
                                  enum hsm_travel travel,
                                  struct hsm_secret **out)
{
    CK_MECHANISM m = { CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };
    const struct unwrapper u = { &m, key->hsm, NULL, key };

    return unwrap(&u, in, in_len, secret_len, travel, out);
}
