/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs are made inside the token and stay there.
 */
#include "internal.h"

#include <string.h>

#define ID_LEN 16

struct pair_name {
    CK_ATTRIBUTE label, id;
    CK_BYTE id_room[ID_LEN];
};

/* The names that both halves get, from the URI or made up. */
static enum hsm_status name_pair(struct hsm *h, P11KitUri *uri,
                                 struct pair_name *name)
{
    CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(uri, CKA_LABEL);

    if (a == NULL)
        return hsm_fail(HSM_ERR_PARAM, "the URI names no object");
    name->label = *a;
    if ((a = p11_kit_uri_get_attribute(uri, CKA_ID)) != NULL) {
        name->id = *a;
        return HSM_OK;
    }
    name->id = (CK_ATTRIBUTE){ CKA_ID, name->id_room, ID_LEN };
    return hsm_random(h, name->id_room, ID_LEN);
}

static enum hsm_status refuse_existing(struct hsm *h, CK_SESSION_HANDLE s,
                                       const struct pair_name *name)
{
    CK_OBJECT_CLASS cls = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE tmpl[] = { { CKA_CLASS, &cls, sizeof(cls) }, name->label };
    CK_OBJECT_HANDLE obj;
    size_t n = 1;
    enum hsm_status st = hsm_find_handles(h, s, tmpl, 2, &obj, &n);

    if (st == HSM_OK && n > 0)
        st = hsm_fail(HSM_ERR_DENIED, "a key of that name exists already");
    return st;
}

static enum hsm_status generate_pair(struct hsm *h, CK_SESSION_HANDLE s,
                                     enum hsm_key_type type,
                                     enum hsm_curve curve, size_t bits,
                                     bool transport,
                                     const struct pair_name *name,
                                     CK_OBJECT_HANDLE *priv)
{
    static const CK_MECHANISM_TYPE mechs[] = {
        [HSM_KEY_RSA] = CKM_RSA_PKCS_KEY_PAIR_GEN,
        [HSM_KEY_EC] = CKM_EC_KEY_PAIR_GEN,
        [HSM_KEY_ED25519] = CKM_EC_EDWARDS_KEY_PAIR_GEN,
    };
    const struct hsm_curve_name *c = NULL;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG modulus_bits = bits;
    CK_BYTE f4[] = { 1, 0, 1 };
    CK_ATTRIBUTE pub[7] = { name->label,
                            name->id,
                            { CKA_TOKEN, &yes, sizeof(yes) },
                            { transport ? CKA_WRAP : CKA_VERIFY, &yes,
                              sizeof(yes) } };
    /* What is not said may default to yes: a transport key that decrypts
     * would give the secrets that it is to unwrap. */
    CK_ATTRIBUTE prv[] = {
        name->label,
        name->id,
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_PRIVATE, &yes, sizeof(yes) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },
        { CKA_EXTRACTABLE, &no, sizeof(no) },
        { transport ? CKA_UNWRAP : CKA_SIGN, &yes, sizeof(yes) },
        { transport ? CKA_SIGN : CKA_UNWRAP, &no, sizeof(no) },
        { CKA_DECRYPT, &no, sizeof(no) }
    };
    /* EC keys have no notion of the last two. */
    CK_ULONG n_prv =
        sizeof(prv) / sizeof(prv[0]) - (type == HSM_KEY_RSA ? 0 : 2);
    CK_MECHANISM m = { mechs[type], NULL, 0 };
    CK_OBJECT_HANDLE pub_h;
    size_t n = 4;

    if (type == HSM_KEY_RSA) {
        pub[n++] = (CK_ATTRIBUTE){ CKA_MODULUS_BITS, &modulus_bits,
                                   sizeof(modulus_bits) };
        pub[n++] = (CK_ATTRIBUTE){ CKA_PUBLIC_EXPONENT, f4, sizeof(f4) };
    } else {
        for (size_t i = hsm_n_curve_names; i-- > 0;)
            if (hsm_curve_names[i].type == type
                && hsm_curve_names[i].curve == curve)
                c = &hsm_curve_names[i];
        if (c == NULL)
            return hsm_fail(HSM_ERR_PARAM, "no such curve");
        pub[n++] =
            (CK_ATTRIBUTE){ CKA_EC_PARAMS, (void *)(uintptr_t)c->der, c->len };
    }
    return HSM_CALL(h, C_GenerateKeyPair, s, &m, pub, n, prv, n_prv, &pub_h,
                    priv);
}

enum hsm_status hsm_generate(struct hsm *h, enum hsm_key_type type,
                             enum hsm_curve curve, size_t bits, bool transport,
                             const char *text, struct hsm_key **out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE, rw = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE priv = CK_INVALID_HANDLE;
    struct pair_name name;
    P11KitUri *uri = NULL;
    enum hsm_status st = hsm_uri_parse(h, text, &uri);

    if (st != HSM_OK)
        return st;
    if (transport && type != HSM_KEY_RSA) {
        st = hsm_fail(HSM_ERR_PARAM, "only RSA keys unwrap");
        goto out;
    }
    /* It borrows a session, so it comes before ours: one must be enough. */
    if ((st = name_pair(h, uri, &name)) != HSM_OK)
        goto out;
    if ((st = hsm_session_get(h, &s)) != HSM_OK)
        goto out;
    if ((st = refuse_existing(h, s, &name)) != HSM_OK)
        goto out;
    st = HSM_CALL(h, C_OpenSession, h->slot,
                  CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &rw);
    if (st != HSM_OK)
        goto out;
    st = generate_pair(h, rw, type, curve, bits, transport, &name, &priv);
    if (st == HSM_OK)
        st = hsm_key_load(h, rw, priv, CKO_PRIVATE_KEY, out);
    (void)h->p11->C_CloseSession(rw);
out:
    hsm_session_put(h, s, st == HSM_OK);
    p11_kit_uri_free(uri);
    return st;
}
