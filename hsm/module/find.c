/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm_find(): all objects that a URI names.
 */
#include "../internal.h"

#include <stdlib.h>

#define FIND_MAX 256

static const struct {
    unsigned bit;
    CK_OBJECT_CLASS cls;
} classes_in_order[] = {
    { HSM_PRIVATE, CKO_PRIVATE_KEY },
    { HSM_PUBLIC, CKO_PUBLIC_KEY },
    { HSM_CERT, CKO_CERTIFICATE },
};

static enum hsm_status cert_load(struct hsm *h, CK_SESSION_HANDLE s,
                                 CK_OBJECT_HANDLE obj, struct hsm_object *out)
{
    CK_ATTRIBUTE a = { CKA_VALUE, NULL, 0 };
    enum hsm_status st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);

    if (st != HSM_OK)
        return st;
    if (a.ulValueLen == CK_UNAVAILABLE_INFORMATION || a.ulValueLen == 0
        || a.ulValueLen > 65536)
        return hsm_fail(HSM_ERR_PARAM, "a certificate of no usable size");
    if ((a.pValue = malloc(a.ulValueLen)) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);
    if (st != HSM_OK) {
        free(a.pValue);
        return st;
    }
    out->der = a.pValue;
    out->der_len = a.ulValueLen;
    return HSM_OK;
}

/* Append all objects of one class; what can't be used is passed over. */
static enum hsm_status find_class(struct hsm *h, CK_SESSION_HANDLE s,
                                  P11KitUri *uri, size_t which,
                                  struct hsm_object *objs, size_t *n)
{
    CK_OBJECT_CLASS cls = classes_in_order[which].cls;
    CK_ATTRIBUTE tmpl[3] = { { CKA_CLASS, &cls, sizeof(cls) } };
    CK_OBJECT_HANDLE found[FIND_MAX];
    size_t n_tmpl = 1, n_found = FIND_MAX;
    static const CK_ATTRIBUTE_TYPE types[] = { CKA_LABEL, CKA_ID };
    enum hsm_status st, one;

    for (size_t i = 0; i < 2; i++) {
        CK_ATTRIBUTE *a = p11_kit_uri_get_attribute(uri, types[i]);

        if (a != NULL)
            tmpl[n_tmpl++] = *a;
    }
    st = hsm_find_handles(h, s, tmpl, n_tmpl, found, &n_found);
    if (st != HSM_OK)
        return st;
    for (size_t i = 0; i < n_found; i++) {
        struct hsm_object o = { .cls = classes_in_order[which].bit };

        one = cls == CKO_CERTIFICATE
                  ? cert_load(h, s, found[i], &o)
                  : hsm_key_load(h, s, found[i], cls, &o.key);
        if (one == HSM_OK)
            objs[(*n)++] = o;
        else if (one != HSM_ERR_MECH && one != HSM_ERR_NOT_FOUND
                 && one != HSM_ERR_PARAM)
            return one;
    }
    return HSM_OK;
}

static enum hsm_status find_once(struct hsm *h, const char *text,
                                 unsigned classes, struct hsm_object **out,
                                 size_t *n_out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    struct hsm_object *objs = NULL;
    P11KitUri *uri = NULL;
    CK_ATTRIBUTE *a;
    size_t n = 0;
    enum hsm_status st = hsm_uri_parse(h, text, &uri);

    if (st != HSM_OK)
        goto out;
    if ((objs = calloc(3 * FIND_MAX, sizeof(*objs))) == NULL) {
        st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
        goto out;
    }
    if ((st = hsm_session_get(h, &s)) != HSM_OK)
        goto out;
    a = p11_kit_uri_get_attribute(uri, CKA_CLASS);
    for (size_t i = 0; i < 3; i++) {
        if (!(classes & classes_in_order[i].bit)
            || (a != NULL
                && *(CK_OBJECT_CLASS *)a->pValue != classes_in_order[i].cls))
            continue;
        if ((st = find_class(h, s, uri, i, objs, &n)) != HSM_OK)
            goto out;
    }
    if (n == 0) {
        st = hsm_fail(HSM_ERR_NOT_FOUND, "nothing matches %s", text);
        goto out;
    }
    *out = objs;
    *n_out = n;
    objs = NULL;
out:
    hsm_session_put(h, s, st == HSM_OK || st == HSM_ERR_NOT_FOUND);
    p11_kit_uri_free(uri);
    if (objs != NULL)
        hsm_objects_free(objs, n);
    return st;
}

enum hsm_status module_find(struct hsm *h, const char *text, unsigned classes,
                            struct hsm_object **out, size_t *n_out)
{
    enum hsm_status st;

    HSM_RETRY(h, st, find_once(h, text, classes, out, n_out));
    return st;
}
