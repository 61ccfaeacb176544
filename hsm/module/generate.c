/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs are made inside the token and stay there.
 */
#include "../internal.h"
#include "pkcs11_v3.h"

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

/* By label, and by id: the halves of a pair are found by that. */
static enum hsm_status refuse_existing(struct hsm *h, CK_SESSION_HANDLE s,
                                       const struct pair_name *name)
{
    CK_OBJECT_CLASS cls = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE tmpl[] = { { CKA_CLASS, &cls, sizeof(cls) }, name->label };
    CK_OBJECT_HANDLE obj;
    size_t n = 1;
    enum hsm_status st = hsm_find_handles(h, s, tmpl, 2, &obj, &n);

    if (st == HSM_OK && n == 0) {
        tmpl[1] = name->id;
        n = 1;
        st = hsm_find_handles(h, s, tmpl, 2, &obj, &n);
    }
    if (st == HSM_OK && n > 0)
        st = hsm_fail(HSM_ERR_DENIED, "a key of that name exists already");
    return st;
}

/* Both halves' templates; what is not said may default to yes. */
struct pair {
    CK_BBOOL yes, no;
    CK_ULONG bits;
    CK_BYTE f4[3];
    CK_ATTRIBUTE pub[9], prv[10];
    CK_ULONG n_pub, n_prv;
};

static void pair_fill(struct pair *t, const struct pair_name *name,
                      unsigned use)
{
    static const struct {
        unsigned bit;
        CK_ATTRIBUTE_TYPE prv, pub;
    } uses[] = {
        { HSM_USE_SIGN, CKA_SIGN, CKA_VERIFY },
        { HSM_USE_DECRYPT, CKA_DECRYPT, CKA_ENCRYPT },
        { HSM_USE_UNWRAP, CKA_UNWRAP, CKA_WRAP },
        { HSM_USE_DERIVE, CKA_DERIVE, CKA_DERIVE },
    };

    t->yes = CK_TRUE;
    t->no = CK_FALSE;
    t->pub[0] = t->prv[0] = name->label;
    t->pub[1] = t->prv[1] = name->id;
    t->pub[2] = t->prv[2] = (CK_ATTRIBUTE){ CKA_TOKEN, &t->yes, 1 };
    t->prv[3] = (CK_ATTRIBUTE){ CKA_PRIVATE, &t->yes, 1 };
    t->prv[4] = (CK_ATTRIBUTE){ CKA_SENSITIVE, &t->yes, 1 };
    t->prv[5] = (CK_ATTRIBUTE){ CKA_EXTRACTABLE, &t->no, 1 };
    t->n_pub = 3;
    t->n_prv = 6;
    for (size_t i = 0; i < 4; i++) {
        bool may = (use & uses[i].bit) != 0;

        t->prv[t->n_prv++] =
            (CK_ATTRIBUTE){ uses[i].prv, may ? &t->yes : &t->no, 1 };
        if (may)
            t->pub[t->n_pub++] = (CK_ATTRIBUTE){ uses[i].pub, &t->yes, 1 };
    }
}

static enum hsm_status generate_rsa(struct hsm *h, CK_SESSION_HANDLE s,
                                    struct pair *t, size_t bits,
                                    CK_OBJECT_HANDLE *priv)
{
    CK_MECHANISM m = { CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0 };
    CK_OBJECT_HANDLE pub;

    t->bits = bits;
    memcpy(t->f4, "\1\0\1", sizeof(t->f4));
    t->pub[t->n_pub++] =
        (CK_ATTRIBUTE){ CKA_MODULUS_BITS, &t->bits, sizeof(t->bits) };
    t->pub[t->n_pub++] =
        (CK_ATTRIBUTE){ CKA_PUBLIC_EXPONENT, t->f4, sizeof(t->f4) };
    return HSM_CALL(h, C_GenerateKeyPair, s, &m, t->pub, t->n_pub, t->prv,
                    t->n_prv, &pub, priv);
}

/*
 * Tokens differ in what they call a curve and in which mechanism makes a key
 * on one that is not Weierstrass's, so all are tried.
 */
static enum hsm_status generate_ec(struct hsm *h, CK_SESSION_HANDLE s,
                                   struct pair *t, enum hsm_key_type type,
                                   enum hsm_curve curve, CK_OBJECT_HANDLE *priv)
{
    static const CK_MECHANISM_TYPE mechs[] = { CKM_EC_KEY_PAIR_GEN,
                                               CKM_EC_EDWARDS_KEY_PAIR_GEN,
                                               CKM_EC_MONTGOMERY_KEY_PAIR_GEN };
    enum hsm_status st = hsm_fail(HSM_ERR_PARAM, "no such curve");
    CK_OBJECT_HANDLE pub;

    for (size_t i = 0; i < hsm_n_curve_names; i++) {
        const struct hsm_curve_name *c = &hsm_curve_names[i];

        if (c->type != type || c->curve != curve)
            continue;
        t->pub[t->n_pub] =
            (CK_ATTRIBUTE){ CKA_EC_PARAMS, (void *)(uintptr_t)c->der, c->len };
        for (size_t k = 0; k < (type == HSM_KEY_EC ? 1 : 3); k++) {
            CK_MECHANISM m = { mechs[type == HSM_KEY_EC ? 0 : 2 - k], NULL, 0 };

            st = HSM_CALL(h, C_GenerateKeyPair, s, &m, t->pub, t->n_pub + 1,
                          t->prv, t->n_prv, &pub, priv);
            if (st != HSM_ERR_MECH && st != HSM_ERR_PARAM)
                return st;
        }
    }
    return st;
}

enum hsm_status module_generate(struct hsm *h, enum hsm_key_type type,
                                enum hsm_curve curve, size_t bits, unsigned use,
                                const char *text, struct hsm_key **out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE, rw = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE priv = CK_INVALID_HANDLE;
    struct pair_name name;
    struct pair t;
    P11KitUri *uri = NULL;
    enum hsm_status st = hsm_uri_parse(h, text, &uri);

    if (st != HSM_OK)
        return st;
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
    pair_fill(&t, &name, use);
    st = type == HSM_KEY_RSA ? generate_rsa(h, rw, &t, bits, &priv)
                             : generate_ec(h, rw, &t, type, curve, &priv);
    if (st == HSM_OK)
        st = hsm_key_load(h, rw, priv, CKO_PRIVATE_KEY, out);
    (void)h->p11->C_CloseSession(rw);
out:
    hsm_session_put(h, s, st == HSM_OK);
    p11_kit_uri_free(uri);
    return st;
}
