/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The security officer's part: the keys that secrets may be wrapped by.
 */
#include "../internal.h"

#define KEK_LEN 32

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
    enum hsm_status st;

    if (user->agent != NULL)
        return hsm_fail(HSM_ERR_CONFIG, "the security officer's work needs "
                                        "the module, not an agent");
    if ((st = hsm_open(user, &h)) != HSM_OK)
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
        st = hsm_flag(h, s, copy, CKA_TRUSTED, &trusted);
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
    hsm_no_leading_zeros(&n, &n_len);
    hsm_no_leading_zeros(&e, &e_len);
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
