/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that travel: AES key wrap for the store, RSA-OAEP for another
 * domain's token; and the security officer's part of it.
 */
#include "internal.h"
#include "pkcs11_v3.h"

#include <stdlib.h>
#include <string.h>

#define KEK_LEN 32

static CK_RSA_PKCS_OAEP_PARAMS oaep = { CKM_SHA_1, CKG_MGF1_SHA1,
                                        CKZ_DATA_SPECIFIED, NULL, 0 };

/* The one key of that type that text names, a token object. */
static enum hsm_status find_key(struct hsm *h, const char *text,
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
    hsm_session_put(h, s, st == HSM_OK);
    p11_kit_uri_free(uri);
    if (st == HSM_OK && n == 0)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "no such key: %s", text);
    else if (st == HSM_OK && n > 1)
        st = hsm_fail(HSM_ERR_PARAM, "several keys match %s", text);
    if (st == HSM_OK)
        st = hsm_secret_new(h, found[0], len, out);
    if (st == HSM_OK)
        (*out)->token = true;
    return st;
}

enum hsm_status hsm_kek_find(struct hsm *h, const char *uri,
                             struct hsm_secret **out)
{
    return find_key(h, uri, CKK_AES, out);
}

enum hsm_status hsm_secret_find(struct hsm *h, const char *uri,
                                struct hsm_secret **out)
{
    return find_key(h, uri, CKK_GENERIC_SECRET, out);
}

static enum hsm_status flag(struct hsm *h, CK_SESSION_HANDLE s,
                            CK_OBJECT_HANDLE obj, CK_ATTRIBUTE_TYPE type,
                            bool *on)
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
    enum hsm_status st = flag(h, s, secret, CKA_EXTRACTABLE, &extractable);

    if (st == HSM_OK && !extractable)
        return hsm_fail(HSM_ERR_DENIED, "this secret may not leave the token");
    if (st != HSM_OK || h->wrap_any)
        return st;
    if ((st = flag(h, s, key, CKA_TRUSTED, &trusted)) != HSM_OK || trusted)
        return st;
    return hsm_fail(HSM_ERR_DENIED,
                    "the wrapping key is not trusted, and wrap = any is not "
                    "configured");
}

static enum hsm_status wrap(struct hsm *h, CK_MECHANISM *m,
                            CK_OBJECT_HANDLE key, struct hsm_secret *secret,
                            uint8_t *out, size_t *len)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_ULONG n = *len;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    if ((st = may_wrap(h, s, key, secret->h)) == HSM_OK)
        st = HSM_CALL(h, C_WrapKey, s, m, key, secret->h, out, &n);
    hsm_session_put(h, s, st == HSM_OK);
    if (st == HSM_OK)
        *len = n;
    return st;
}

static enum hsm_status unwrap(struct hsm *h, CK_MECHANISM *m,
                              CK_OBJECT_HANDLE key, const uint8_t *in,
                              size_t in_len, size_t secret_len,
                              enum hsm_travel travel, struct hsm_secret **out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    struct hsm_secret_tmpl t;
    CK_ULONG n = hsm_secret_tmpl_fill(&t, h, travel), len = 0;
    CK_ATTRIBUTE value_len = { CKA_VALUE_LEN, &len, sizeof(len) };
    enum hsm_status st = hsm_owner_get(h, &s);

    if (st != HSM_OK)
        return st;
    st = HSM_CALL(h, C_UnwrapKey, s, m, key, (CK_BYTE *)(uintptr_t)in, in_len,
                  t.a, n, &obj);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_GetAttributeValue, s, obj, &value_len, 1);
    hsm_owner_put(h, s, st);
    /* SoftHSM leaves CKA_VALUE_LEN at 0 here. */
    if (st == HSM_OK && len != 0 && len != secret_len)
        st = hsm_fail(HSM_ERR_PARAM, "a wrapped secret of %lu octets", len);
    if (st == HSM_OK)
        st = hsm_secret_new(h, obj, secret_len, out);
    if (st != HSM_OK)
        hsm_object_destroy(h, obj);
    return st;
}

enum hsm_status hsm_wrap_aes(struct hsm_secret *kek, struct hsm_secret *s,
                             uint8_t *out, size_t *len)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };

    return wrap(kek->hsm, &m, kek->h, s, out, len);
}

enum hsm_status hsm_unwrap_aes(struct hsm_secret *kek, const uint8_t *in,
                               size_t in_len, enum hsm_travel travel,
                               struct hsm_secret **out)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };

    if (in_len < 24 || in_len % 8 != 0)
        return hsm_fail(HSM_ERR_PARAM, "%zu octets of wrapped key", in_len);
    return unwrap(kek->hsm, &m, kek->h, in, in_len, in_len - 8, travel, out);
}

static void no_leading_zeros(const uint8_t **p, size_t *len)
{
    while (*len > 0 && **p == 0) {
        ++*p;
        --*len;
    }
}

/* An RSA public key that may wrap; *made says if it is to be destroyed. */
static enum hsm_status wrapping_key(struct hsm *h, const uint8_t *n,
                                    size_t n_len, const uint8_t *e,
                                    size_t e_len, CK_OBJECT_HANDLE *key,
                                    bool *made)
{
    CK_OBJECT_CLASS cls = CKO_PUBLIC_KEY;
    CK_KEY_TYPE type = CKK_RSA;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE tmpl[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_MODULUS, (void *)(uintptr_t)n, n_len },
        { CKA_WRAP, &yes, sizeof(yes) },
        { CKA_PUBLIC_EXPONENT, (void *)(uintptr_t)e, e_len },
        { CKA_TOKEN, &no, sizeof(no) },
        { CKA_PRIVATE, &no, sizeof(no) },
    };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    size_t found = 1;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    st = hsm_find_handles(h, s, tmpl, 4, key, &found);
    hsm_session_put(h, s, st == HSM_OK);
    if (st != HSM_OK || found > 0)
        return st;
    if (!h->wrap_any)
        return hsm_fail(HSM_ERR_DENIED,
                        "the token has no such key to wrap for, and wrap = "
                        "any is not configured");
    if ((st = hsm_owner_get(h, &s)) != HSM_OK)
        return st;
    st = HSM_CALL(h, C_CreateObject, s, tmpl, 7, key);
    hsm_owner_put(h, s, st);
    *made = st == HSM_OK;
    return st;
}

enum hsm_status hsm_wrap_rsa(struct hsm *h, const uint8_t *n, size_t n_len,
                             const uint8_t *e, size_t e_len,
                             struct hsm_secret *s, uint8_t *out, size_t *len)
{
    CK_MECHANISM m = { CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };
    CK_OBJECT_HANDLE key = CK_INVALID_HANDLE;
    bool made = false;
    enum hsm_status st;

    no_leading_zeros(&n, &n_len);
    no_leading_zeros(&e, &e_len);
    if (*len < n_len)
        return hsm_fail(HSM_ERR_BUFFER, "%zu octets for RSA", *len);
    st = wrapping_key(h, n, n_len, e, e_len, &key, &made);
    if (st == HSM_OK)
        st = wrap(h, &m, key, s, out, len);
    if (made)
        hsm_object_destroy(h, key);
    return st;
}

enum hsm_status hsm_unwrap_rsa(struct hsm_key *key, const uint8_t *in,
                               size_t in_len, size_t secret_len,
                               enum hsm_travel travel, struct hsm_secret **out)
{
    CK_MECHANISM m = { CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };

    return unwrap(key->hsm, &m, key->h, in, in_len, secret_len, travel, out);
}

/* ---- the security officer ---- */

/* The attributes of something that is trusted to wrap; label from the URI. */
struct trusted_tmpl {
    CK_OBJECT_CLASS cls;
    CK_KEY_TYPE type;
    CK_BBOOL yes, no;
    CK_ULONG len;
    CK_ATTRIBUTE a[14];
};

static CK_ULONG trusted_fill(struct trusted_tmpl *t, CK_OBJECT_CLASS cls,
                             CK_KEY_TYPE type, CK_ATTRIBUTE *label)
{
    CK_ULONG n = 0;

    t->cls = cls;
    t->type = type;
    t->yes = CK_TRUE;
    t->no = CK_FALSE;
    t->a[n++] = (CK_ATTRIBUTE){ CKA_CLASS, &t->cls, sizeof(t->cls) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_KEY_TYPE, &t->type, sizeof(t->type) };
    t->a[n++] = *label;
    t->a[n++] = (CK_ATTRIBUTE){ CKA_TOKEN, &t->yes, sizeof(t->yes) };
    /* The officer may not see private objects, so it can't be one. */
    t->a[n++] = (CK_ATTRIBUTE){ CKA_PRIVATE, &t->no, sizeof(t->no) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_WRAP, &t->yes, sizeof(t->yes) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_TRUSTED, &t->yes, sizeof(t->yes) };
    return n;
}

static enum hsm_status officer_open(const struct hsm_config *so,
                                    const char *text, struct hsm **h,
                                    P11KitUri **uri, CK_ATTRIBUTE **label)
{
    enum hsm_status st = hsm_open_as(so, CKU_SO, h);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_uri_parse(*h, text, uri)) != HSM_OK)
        return st;
    *label = p11_kit_uri_get_attribute(*uri, CKA_LABEL);
    return *label != NULL ? HSM_OK
                          : hsm_fail(HSM_ERR_PARAM, "the URI names no object");
}

/* Asked of the user, who alone may see it; and before anything is made. */
static enum hsm_status kek_absent(const struct hsm_config *user,
                                  const char *text)
{
    struct hsm_secret *kek = NULL;
    struct hsm *h = NULL;
    enum hsm_status st = hsm_open(user, &h);

    if (st != HSM_OK)
        return st;
    st = hsm_kek_find(h, text, &kek);
    if (st == HSM_OK)
        st = hsm_fail(HSM_ERR_DENIED, "%s is there already", text);
    else if (st == HSM_ERR_NOT_FOUND)
        st = HSM_OK;
    hsm_secret_free(kek);
    hsm_close(h);
    return st;
}

/*
 * The officer may not see private objects, and a public one may be used
 * without login and is in clear in SoftHSM's files: so the user puts a private
 * copy, which nobody may modify, in the place of the officer's key.
 */
static enum hsm_status make_private(const struct hsm_config *user,
                                    const char *text)
{
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE tmpl[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                            { CKA_PRIVATE, &yes, sizeof(yes) },
                            { CKA_MODIFIABLE, &no, sizeof(no) } };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE copy;
    struct hsm_secret *kek = NULL;
    struct hsm *h = NULL;
    bool trusted = false;
    enum hsm_status st = hsm_open(user, &h);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_kek_find(h, text, &kek)) != HSM_OK)
        goto out;
    st = HSM_CALL(h, C_OpenSession, h->slot,
                  CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s);
    if (st != HSM_OK)
        goto out;
    st = HSM_CALL(h, C_CopyObject, s, kek->h, tmpl, 3, &copy);
    if (st == HSM_OK)
        st = flag(h, s, copy, CKA_TRUSTED, &trusted);
    if (st == HSM_OK && !trusted)
        st = hsm_fail(HSM_ERR_MECH, "the token does not trust the copy");
    if (st == HSM_OK)
        st = HSM_CALL(h, C_DestroyObject, s, kek->h);
    (void)h->p11->C_CloseSession(s);
out:
    hsm_secret_free(kek);
    hsm_close(h);
    return st;
}

enum hsm_status hsm_officer_kek(const struct hsm_config *so,
                                const struct hsm_config *user, const char *text)
{
    CK_MECHANISM m = { CKM_AES_KEY_GEN, NULL, 0 };
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE *label = NULL;
    struct trusted_tmpl t;
    struct hsm *h = NULL;
    P11KitUri *uri = NULL;
    CK_ULONG n;
    enum hsm_status st = kek_absent(user, text);

    if (st != HSM_OK
        || (st = officer_open(so, text, &h, &uri, &label)) != HSM_OK)
        goto out;
    n = trusted_fill(&t, CKO_SECRET_KEY, CKK_AES, label);
    t.len = KEK_LEN;
    t.a[n++] = (CK_ATTRIBUTE){ CKA_VALUE_LEN, &t.len, sizeof(t.len) };
    t.a[n++] = (CK_ATTRIBUTE){ CKA_SENSITIVE, &t.yes, sizeof(t.yes) };
    t.a[n++] = (CK_ATTRIBUTE){ CKA_EXTRACTABLE, &t.no, sizeof(t.no) };
    t.a[n++] = (CK_ATTRIBUTE){ CKA_UNWRAP, &t.yes, sizeof(t.yes) };
    t.a[n++] = (CK_ATTRIBUTE){ CKA_DECRYPT, &t.no, sizeof(t.no) };
    t.a[n++] = (CK_ATTRIBUTE){ CKA_ENCRYPT, &t.no, sizeof(t.no) };
    st = HSM_CALL(h, C_GenerateKey, h->anchor, &m, t.a, n, &key);
out:
    p11_kit_uri_free(uri);
    hsm_close(h);
    return st == HSM_OK ? make_private(user, text) : st;
}

enum hsm_status hsm_officer_rsa(const struct hsm_config *so, const char *text,
                                const uint8_t *n, size_t n_len,
                                const uint8_t *e, size_t e_len)
{
    CK_OBJECT_HANDLE key;
    CK_ATTRIBUTE *label = NULL;
    struct trusted_tmpl t;
    struct hsm *h = NULL;
    P11KitUri *uri = NULL;
    CK_ULONG k;
    enum hsm_status st = officer_open(so, text, &h, &uri, &label);

    if (st != HSM_OK)
        goto out;
    no_leading_zeros(&n, &n_len);
    no_leading_zeros(&e, &e_len);
    k = trusted_fill(&t, CKO_PUBLIC_KEY, CKK_RSA, label);
    t.a[k++] = (CK_ATTRIBUTE){ CKA_MODULUS, (void *)(uintptr_t)n, n_len };
    t.a[k++] =
        (CK_ATTRIBUTE){ CKA_PUBLIC_EXPONENT, (void *)(uintptr_t)e, e_len };
    st = HSM_CALL(h, C_CreateObject, h->anchor, t.a, k, &key);
out:
    p11_kit_uri_free(uri);
    hsm_close(h);
    return st;
}
