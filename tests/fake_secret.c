/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake module's secrets: objects that have a length and no value.  Macs
 * and digests are constants; see fake_p11.c.
 */
#include "fake_internal.h"
#include "hsm/module/pkcs11_v3.h"

#include <string.h>

#define VALUE_LEN 32 /* of a secret whose template says nothing */

bool fake_is(CK_OBJECT_HANDLE h, CK_OBJECT_CLASS cls)
{
    return h >= 1 && h <= N_ALL && fake_objects[h - 1].there
           && fake_objects[h - 1].cls == cls;
}

void fake_object_gone(struct object *o)
{
    if (o->there && o >= &fake_objects[FIRST])
        fake.secrets--;
    o->there = false;
}

void fake_secrets_close(CK_SESSION_HANDLE h)
{
    for (CK_ULONG i = FIRST; i < N_ALL; i++)
        if (fake_objects[i].there && fake_objects[i].owner == h)
            fake_object_gone(&fake_objects[i]);
}

static CK_RV make(struct session *s, const CK_ATTRIBUTE *t, CK_ULONG n,
                  CK_OBJECT_HANDLE *out)
{
    struct object o = { .there = true,
                        .owner = s->handle,
                        .value_len = VALUE_LEN };
    CK_ULONG i = FIRST;

    for (CK_ULONG k = 0; k < n; k++) {
        if (t[k].type == CKA_CLASS)
            memcpy(&o.cls, t[k].pValue, sizeof(o.cls));
        else if (t[k].type == CKA_KEY_TYPE)
            memcpy(&o.type, t[k].pValue, sizeof(o.type));
        else if (t[k].type == CKA_VALUE_LEN)
            memcpy(&o.value_len, t[k].pValue, sizeof(o.value_len));
        else if (t[k].type == CKA_EXTRACTABLE)
            memcpy(&o.extractable, t[k].pValue, sizeof(o.extractable));
        else if (t[k].type == CKA_VALUE)
            o.value_len = t[k].ulValueLen;
    }
    while (i < N_ALL && fake_objects[i].there)
        i++;
    if (i == N_ALL)
        return CKR_DEVICE_MEMORY;
    fake_objects[i] = o;
    *out = i + 1;
    if (++fake.secrets > fake.peak_secrets)
        fake.peak_secrets = fake.secrets;
    return CKR_OK;
}

static bool derives(CK_MECHANISM_TYPE m)
{
    return (m == CKM_HKDF_DERIVE && fake.hkdf)
           || (m == CKM_SP800_108_FEEDBACK_KDF && fake.feedback)
           || (m == CKM_SP800_108_DOUBLE_PIPELINE_KDF && fake.pipeline);
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE m,
                                CK_MECHANISM_INFO *info)
{
    CK_RV rv = fake_begin();

    (void)slot;
    if (rv == CKR_OK && !derives(m))
        rv = CKR_MECHANISM_INVALID;
    else if (rv == CKR_OK)
        *info = (CK_MECHANISM_INFO){ 0, 0, CKF_DERIVE };
    return fake_leave(NULL, rv);
}

static CK_RV create_object(CK_SESSION_HANDLE h, CK_ATTRIBUTE *t, CK_ULONG n,
                           CK_OBJECT_HANDLE *out)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK)
        rv = make(s, t, n, out);
    return fake_leave(s, rv);
}

static CK_RV destroy_object(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o)
{
    struct session *s = fake_release(h);
    bool there = o >= 1 && o <= N_ALL && fake_objects[o - 1].there;

    if (s != NULL && there)
        fake_object_gone(&fake_objects[o - 1]);
    return fake_leave(s, there ? CKR_OK : CKR_OBJECT_HANDLE_INVALID);
}

static CK_RV derive_key(CK_SESSION_HANDLE h, CK_MECHANISM *m,
                        CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, CK_ULONG n,
                        CK_OBJECT_HANDLE *out)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK && !derives(m->mechanism))
        rv = CKR_MECHANISM_INVALID;
    else if (rv == CKR_OK && !fake_is(base, CKO_SECRET_KEY))
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK)
        rv = make(s, t, n, out);
    return fake_leave(s, rv);
}

static CK_RV wrap_key(CK_SESSION_HANDLE h, CK_MECHANISM *m,
                      CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE secret,
                      CK_BYTE *out, CK_ULONG *len)
{
    const bool rsa = m->mechanism == CKM_RSA_PKCS_OAEP;
    const CK_ULONG want = rsa ? FAKE_RSA_OCTETS : FAKE_WRAPPED;
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK
        && (!fake_is(key, rsa ? CKO_PUBLIC_KEY : CKO_SECRET_KEY)
            || !fake_is(secret, CKO_SECRET_KEY)))
        rv = CKR_KEY_HANDLE_INVALID;
    else if (rv == CKR_OK && *len < want)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK) {
        memset(out, 0x5a, want);
        *len = want;
    }
    return fake_leave(s, rv);
}

static CK_RV unwrap_key(CK_SESSION_HANDLE h, CK_MECHANISM *m,
                        CK_OBJECT_HANDLE key, CK_BYTE *in, CK_ULONG in_len,
                        CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    const bool rsa = m->mechanism == CKM_RSA_PKCS_OAEP;
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    (void)in;
    if (rv == CKR_OK && !fake_is(key, rsa ? CKO_PRIVATE_KEY : CKO_SECRET_KEY))
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK && (rv = make(s, t, n, out)) == CKR_OK && !rsa)
        fake_objects[*out - 1].value_len = in_len - 8;
    return fake_leave(s, rv);
}

static CK_RV digest_init(CK_SESSION_HANDLE h, CK_MECHANISM *m)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    (void)m;
    if (rv == CKR_OK && s->digesting)
        rv = CKR_OPERATION_ACTIVE;
    if (rv == CKR_OK)
        s->digesting = true;
    return fake_leave(s, rv);
}

static CK_RV digest_update(CK_SESSION_HANDLE h, CK_BYTE *in, CK_ULONG len)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    (void)in;
    (void)len;
    if (rv == CKR_OK && !s->digesting)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    return fake_leave(s, rv);
}

static CK_RV digest_key(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE key)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK && !s->digesting)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (rv == CKR_OK && !fake_is(key, CKO_SECRET_KEY))
        rv = CKR_KEY_HANDLE_INVALID;
    return fake_leave(s, rv);
}

static CK_RV digest_final(CK_SESSION_HANDLE h, CK_BYTE *out, CK_ULONG *len)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK && !s->digesting)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    if (rv == CKR_OK) {
        memset(out, 0x5a, FAKE_MAC_OCTETS);
        *len = FAKE_MAC_OCTETS;
        s->digesting = false;
    }
    return fake_leave(s, rv);
}

void fake_secrets_list(CK_FUNCTION_LIST *list)
{
    list->C_GetMechanismInfo = get_mechanism_info;
    list->C_CreateObject = create_object;
    list->C_DestroyObject = destroy_object;
    list->C_DeriveKey = derive_key;
    list->C_WrapKey = wrap_key;
    list->C_UnwrapKey = unwrap_key;
    list->C_DigestInit = digest_init;
    list->C_DigestUpdate = digest_update;
    list->C_DigestKey = digest_key;
    list->C_DigestFinal = digest_final;
}
