/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding keys and certificates, and reading what is public about them.
 * The public half of a private EC or Ed25519 key is not among its attributes:
 * it comes from the public key, or else the certificate, of the same CKA_ID.
 */
#include "../internal.h"
#include "pkcs11_v3.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#define SAME_NAME_MAX 16 /* keys of one name that are looked at */

const struct hsm_curve_name hsm_curve_names[] = {
    { HSM_KEY_EC,
      HSM_CURVE_P256,
      65,
      10,
      { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 } },
    { HSM_KEY_EC,
      HSM_CURVE_P384,
      97,
      7,
      { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 } },
    { HSM_KEY_EC,
      HSM_CURVE_P521,
      133,
      7,
      { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23 } },
    /* PKCS#11 3.0 allows names as well as the OIDs of RFC 8410. */
    { HSM_KEY_ED25519,
      HSM_CURVE_NONE,
      32,
      14,
      { 0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1',
        '9' } },
    { HSM_KEY_ED25519,
      HSM_CURVE_NONE,
      32,
      5,
      { 0x06, 0x03, 0x2b, 0x65, 0x70 } },
    { HSM_KEY_ED448,
      HSM_CURVE_NONE,
      57,
      12,
      { 0x13, 0x0a, 'e', 'd', 'w', 'a', 'r', 'd', 's', '4', '4', '8' } },
    { HSM_KEY_ED448, HSM_CURVE_NONE, 57, 5, { 0x06, 0x03, 0x2b, 0x65, 0x71 } },
    { HSM_KEY_X25519,
      HSM_CURVE_NONE,
      32,
      12,
      { 0x13, 0x0a, 'c', 'u', 'r', 'v', 'e', '2', '5', '5', '1', '9' } },
    { HSM_KEY_X25519, HSM_CURVE_NONE, 32, 5, { 0x06, 0x03, 0x2b, 0x65, 0x6e } },
    /* NSS softokn's own: 1.3.6.1.4.1.11591.15.1 */
    { HSM_KEY_X25519,
      HSM_CURVE_NONE,
      32,
      11,
      { 0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01 } },
};
const size_t hsm_n_curve_names =
    sizeof(hsm_curve_names) / sizeof(hsm_curve_names[0]);

enum hsm_status hsm_find_handles(struct hsm *h, CK_SESSION_HANDLE s,
                                 CK_ATTRIBUTE *tmpl, size_t n_tmpl,
                                 CK_OBJECT_HANDLE *objs, size_t *n)
{
    CK_ULONG got = 0, more;
    enum hsm_status st;

    st = HSM_CALL(h, C_FindObjectsInit, s, tmpl, n_tmpl);
    if (st != HSM_OK)
        return st;
    do { /* a token may give less than there is; 0 is the end */
        more = 0;
        st = HSM_CALL(h, C_FindObjects, s, objs + got, *n - got, &more);
        got += more;
    } while (st == HSM_OK && more > 0 && got < *n);
    if (st != HSM_OK)
        (void)h->p11->C_FindObjectsFinal(s); /* the first failure counts */
    else
        st = HSM_CALL(h, C_FindObjectsFinal, s);
    if (st == HSM_OK)
        *n = got;
    return st;
}

enum hsm_status hsm_attr_get(struct hsm *h, CK_SESSION_HANDLE s,
                             CK_OBJECT_HANDLE obj, CK_ATTRIBUTE_TYPE type,
                             uint8_t **out, size_t *len)
{
    CK_ATTRIBUTE a = { type, NULL, 0 };
    enum hsm_status st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);

    if (st != HSM_OK)
        return st;
    if (a.ulValueLen == CK_UNAVAILABLE_INFORMATION || a.ulValueLen > 65536)
        return hsm_fail(HSM_ERR_PARAM, "attribute 0x%lx unavailable", type);
    if ((a.pValue = malloc(a.ulValueLen + 1)) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);
    if (st != HSM_OK) {
        free(a.pValue);
        return st;
    }
    *out = a.pValue;
    *len = a.ulValueLen;
    return HSM_OK;
}

/*
 * The object of class cls that shares obj's CKA_ID; of several, the one that
 * shares its label, too: an id is no name that is given once.
 */
static enum hsm_status sibling(struct hsm *h, CK_SESSION_HANDLE s,
                               CK_OBJECT_HANDLE obj, CK_OBJECT_CLASS cls,
                               CK_OBJECT_HANDLE *out)
{
    uint8_t *id = NULL, *label = NULL;
    size_t id_len = 0, label_len = 0, n = 1;
    enum hsm_status st = hsm_attr_get(h, s, obj, CKA_ID, &id, &id_len);

    if (st != HSM_OK)
        return st;
    st = hsm_attr_get(h, s, obj, CKA_LABEL, &label, &label_len);
    if (st != HSM_OK && st != HSM_ERR_PARAM) { /* some have none */
        free(id);
        return st;
    }
    CK_ATTRIBUTE tmpl[] = { { CKA_CLASS, &cls, sizeof(cls) },
                            { CKA_ID, id, id_len },
                            { CKA_LABEL, label, label_len } };
    st = hsm_find_handles(h, s, tmpl, label_len > 0 ? 3 : 2, out, &n);
    if (st == HSM_OK && n == 0 && label_len > 0) {
        n = 1;
        st = hsm_find_handles(h, s, tmpl, 2, out, &n);
    }
    free(label);
    free(id);
    if (st == HSM_OK && n == 0)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "no public half of the same id");
    return st;
}

/* The point as CKA_EC_POINT has it: an OCTET STRING, or bare on some tokens. */
static enum hsm_status point_parse(const struct hsm_curve_name *c,
                                   const uint8_t *v, size_t len, uint8_t *out)
{
    size_t want = c->point_len;
    size_t head = want < 128 ? 2 : 3;

    if (len == want + head && v[0] == 0x04)
        memcpy(out, v + head, want);
    else if (len == want)
        memcpy(out, v, want);
    else
        return hsm_fail(HSM_ERR_PARAM, "CKA_EC_POINT of %zu octets", len);
    return HSM_OK;
}

static enum hsm_status point_from_cert(struct hsm *h, CK_SESSION_HANDLE s,
                                       CK_OBJECT_HANDLE cert,
                                       const struct hsm_curve_name *c,
                                       uint8_t *out)
{
    uint8_t *der = NULL;
    const uint8_t *p;
    size_t len = 0;
    X509 *x = NULL;
    ASN1_BIT_STRING *bits = NULL;
    enum hsm_status st = hsm_attr_get(h, s, cert, CKA_VALUE, &der, &len);

    if (st != HSM_OK)
        return st;
    p = der;
    if ((x = d2i_X509(NULL, &p, (long)len)) != NULL)
        bits = X509_get0_pubkey_bitstr(x);
    if (bits == NULL || bits->length < 0)
        st = hsm_fail(HSM_ERR_PARAM, "malformed certificate");
    else
        st = point_parse(c, bits->data, (size_t)bits->length, out);
    X509_free(x);
    free(der);
    return st;
}

static enum hsm_status ec_load(struct hsm *h, CK_SESSION_HANDLE s,
                               CK_OBJECT_CLASS cls, struct hsm_key *key)
{
    const struct hsm_curve_name *c = NULL;
    CK_OBJECT_HANDLE own = atomic_load(&key->h), from = own;
    uint8_t *v = NULL, *point = NULL;
    size_t len = 0;
    enum hsm_status st = hsm_attr_get(h, s, own, CKA_EC_PARAMS, &v, &len);

    if (st != HSM_OK)
        return st;
    for (size_t i = 0; i < hsm_n_curve_names; i++)
        if (hsm_curve_names[i].len == len
            && memcmp(hsm_curve_names[i].der, v, len) == 0)
            c = &hsm_curve_names[i];
    free(v);
    if (c == NULL)
        return hsm_fail(HSM_ERR_MECH, "a curve that is not supported");
    key->info.type = c->type;
    key->info.curve = c->curve;
    if ((point = malloc(c->point_len)) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    key->info.a = point;
    key->info.a_len = c->point_len;
    if (cls == CKO_PRIVATE_KEY) {
        st = sibling(h, s, own, CKO_PUBLIC_KEY, &from);
        if (st == HSM_ERR_NOT_FOUND) {
            st = sibling(h, s, own, CKO_CERTIFICATE, &from);
            return st != HSM_OK ? st : point_from_cert(h, s, from, c, point);
        }
        if (st != HSM_OK)
            return st;
    }
    if ((st = hsm_attr_get(h, s, from, CKA_EC_POINT, &v, &len)) != HSM_OK)
        return st;
    st = point_parse(c, v, len, point);
    free(v);
    return st;
}

static enum hsm_status rsa_load(struct hsm *h, CK_SESSION_HANDLE s,
                                struct hsm_key *key)
{
    uint8_t *n = NULL, *e = NULL;
    enum hsm_status st;

    key->info.type = HSM_KEY_RSA;
    st = hsm_attr_get(h, s, atomic_load(&key->h), CKA_MODULUS, &n,
                      &key->info.a_len);
    key->info.a = n;
    if (st == HSM_OK)
        st = hsm_attr_get(h, s, atomic_load(&key->h), CKA_PUBLIC_EXPONENT, &e,
                          &key->info.b_len);
    key->info.b = e;
    return st;
}

/* By which it is found again. */
static enum hsm_status names_load(struct hsm *h, CK_SESSION_HANDLE s,
                                  struct hsm_key *key)
{
    CK_OBJECT_HANDLE obj = atomic_load(&key->h);
    enum hsm_status st =
        hsm_attr_get(h, s, obj, CKA_ID, &key->id, &key->id_len);

    if (st == HSM_OK || st == HSM_ERR_PARAM) /* some have no such names */
        st = hsm_attr_get(h, s, obj, CKA_LABEL, &key->label, &key->label_len);
    return st == HSM_ERR_PARAM ? HSM_OK : st;
}

enum hsm_status hsm_key_load(struct hsm *h, CK_SESSION_HANDLE s,
                             CK_OBJECT_HANDLE obj, CK_OBJECT_CLASS cls,
                             struct hsm_key **out)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE a = { CKA_KEY_TYPE, &type, sizeof(type) };
    struct hsm_key *key;
    enum hsm_status st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);

    if (st != HSM_OK)
        return st;
    if ((key = calloc(1, sizeof(*key))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    atomic_init(&key->refs, 1);
    key->hsm = h;
    atomic_init(&key->h, obj);
    atomic_init(&key->epoch, atomic_load(&h->epoch));
    key->cls = cls;
    key->type = type;
    key->info.is_private = cls == CKO_PRIVATE_KEY;
    if ((st = names_load(h, s, key)) != HSM_OK)
        ;
    else if (type == CKK_RSA)
        st = rsa_load(h, s, key);
    else if (type == CKK_EC || type == CKK_EC_EDWARDS
             || type == CKK_EC_MONTGOMERY)
        st = ec_load(h, s, cls, key);
    else
        st = hsm_fail(HSM_ERR_MECH, "key type 0x%lx is not supported", type);
    if (st != HSM_OK) {
        hsm_key_free(key);
        return st;
    }
    *out = key;
    return HSM_OK;
}

/*
 * Is it the same key?  One of the same name may have been put in its place.
 */
static bool is_same(struct hsm *h, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE obj,
                    const struct hsm_key *key)
{
    struct hsm_key *other = NULL;
    bool same = hsm_key_load(h, s, obj, key->cls, &other) == HSM_OK
                && other->info.type == key->info.type
                && other->info.a_len == key->info.a_len
                && memcmp(other->info.a, key->info.a, key->info.a_len) == 0;

    hsm_key_free(other);
    return same;
}

enum hsm_status hsm_key_handle(struct hsm_key *key, CK_SESSION_HANDLE s,
                               CK_OBJECT_HANDLE *obj)
{
    CK_ATTRIBUTE tmpl[4] = {
        { CKA_CLASS, &key->cls, sizeof(key->cls) },
        { CKA_KEY_TYPE, &key->type, sizeof(key->type) },
    };
    CK_OBJECT_HANDLE found[SAME_NAME_MAX];
    size_t n = SAME_NAME_MAX, n_tmpl = 2;
    struct hsm *h = key->hsm;
    unsigned epoch = atomic_load(&h->epoch);
    enum hsm_status st;

    if (atomic_load(&key->epoch) == epoch) {
        *obj = atomic_load(&key->h);
        return HSM_OK;
    }
    if (key->id_len > 0)
        tmpl[n_tmpl++] = (CK_ATTRIBUTE){ CKA_ID, key->id, key->id_len };
    if (key->label_len > 0)
        tmpl[n_tmpl++] =
            (CK_ATTRIBUTE){ CKA_LABEL, key->label, key->label_len };
    if ((st = hsm_find_handles(h, s, tmpl, n_tmpl, found, &n)) != HSM_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        if (!is_same(h, s, found[i], key))
            continue;
        atomic_store(&key->h, found[i]);
        atomic_store(&key->epoch, epoch); /* last: now the handle is good */
        *obj = found[i];
        return HSM_OK;
    }
    return hsm_fail(HSM_ERR_NOT_FOUND, "the key is no longer in the token");
}

void hsm_key_doubt(struct hsm_key *key, enum hsm_status st)
{
    if (st == HSM_ERR_GONE)
        atomic_store(&key->epoch, 0);
}

void module_forget(struct hsm_key *key)
{
    (void)key; /* its handle is the token's */
}
