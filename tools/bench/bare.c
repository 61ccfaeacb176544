/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See bare.h.  Not by way of hsm/, whose cost is a part of what is measured.
 */
#include "bare.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIG_MAX   512
#define SLOTS_MAX 64

struct bare {
    void *dl;
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot;
    bool owner; /* it has initialized the module, and logged in: */
    CK_SESSION_HANDLE anchor; /* the login is lost with the last session */
};

struct bare_signer {
    CK_FUNCTION_LIST *p11;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM mech;
    CK_BYTE *tbs;
    CK_ULONG tbs_len, len;
    CK_BYTE sig[SIG_MAX];
};

static bool check(const char *fn, CK_RV rv)
{
    if (rv != CKR_OK)
        fprintf(stderr, "error: %s: 0x%lx\n", fn, (unsigned long)rv);
    return rv == CKR_OK;
}

static bool slot_find(struct bare *b, const char *label)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    size_t len = strlen(label);
    CK_TOKEN_INFO info;

    if (!check("C_GetSlotList", b->p11->C_GetSlotList(CK_TRUE, slots, &n)))
        return false;
    for (CK_ULONG i = 0; i < n; i++) {
        if (b->p11->C_GetTokenInfo(slots[i], &info) != CKR_OK
            || len > sizeof(info.label) || memcmp(info.label, label, len) != 0)
            continue;
        b->slot = slots[i];
        return true;
    }
    fprintf(stderr, "error: no token is called %s\n", label);
    return false;
}

static bool session_open(const struct bare *b, CK_SESSION_HANDLE *s)
{
    return check(
        "C_OpenSession",
        b->p11->C_OpenSession(b->slot, CKF_SERIAL_SESSION, NULL, NULL, s));
}

static bool initialize(struct bare *b)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };

    b->owner = check("C_Initialize", b->p11->C_Initialize(&args));
    return b->owner;
}

static bool login(struct bare *b, const char *pin)
{
    return session_open(b, &b->anchor)
           && check("C_Login", b->p11->C_Login(b->anchor, CKU_USER,
                                               (CK_UTF8CHAR *)(uintptr_t)pin,
                                               strlen(pin)));
}

struct bare *bare_open(const char *module, const char *label, const char *pin)
{
    struct bare *b = calloc(1, sizeof(*b));
    CK_C_GetFunctionList get = NULL;

    if (b == NULL)
        return NULL;
    b->dl = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    if (b->dl != NULL)
        *(void **)&get = dlsym(b->dl, "C_GetFunctionList");
    if (get == NULL || get(&b->p11) != CKR_OK) {
        fprintf(stderr, "error: %s: not a PKCS#11 module\n", module);
        bare_close(b);
        return NULL;
    }
    if ((pin != NULL && !initialize(b)) || !slot_find(b, label)
        || (pin != NULL && !login(b, pin))) {
        bare_close(b);
        return NULL;
    }
    return b;
}

void bare_close(struct bare *b)
{
    if (b == NULL)
        return;
    if (b->owner)
        (void)b->p11->C_Finalize(NULL);
    if (b->dl != NULL)
        dlclose(b->dl);
    free(b);
}

static bool key_find(struct bare_signer *s, const char *label)
{
    CK_OBJECT_CLASS cls = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE tmpl[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_LABEL, (void *)(uintptr_t)label, strlen(label) },
    };
    CK_ULONG n = 0;
    bool ok;

    if (!check("C_FindObjectsInit",
               s->p11->C_FindObjectsInit(s->session, tmpl, 2)))
        return false;
    ok = check("C_FindObjects",
               s->p11->C_FindObjects(s->session, &s->key, 1, &n));
    (void)s->p11->C_FindObjectsFinal(s->session);
    if (ok && n == 0)
        fprintf(stderr, "error: no private key is called %s\n", label);
    return ok && n == 1;
}

static bool secret_make(struct bare_signer *s)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE value[32] = { 1 };
    CK_ATTRIBUTE tmpl[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &no, sizeof(no) },
        { CKA_SENSITIVE, &yes, sizeof(yes) },
        { CKA_EXTRACTABLE, &no, sizeof(no) },
        { CKA_SIGN, &yes, sizeof(yes) },
        { CKA_VALUE, value, sizeof(value) },
    };

    return check("C_CreateObject",
                 s->p11->C_CreateObject(s->session, tmpl,
                                        sizeof(tmpl) / sizeof(tmpl[0]),
                                        &s->key));
}

struct bare_signer *bare_signer_new(const struct bare *b, const char *label,
                                    enum bare_mech mech,
                                    const unsigned char *tbs, size_t tbs_len)
{
    static const CK_MECHANISM_TYPE types[] = {
        [BARE_ECDSA] = CKM_ECDSA,
        [BARE_RSA_PKCS1] = CKM_RSA_PKCS,
        [BARE_HMAC_SHA256] = CKM_SHA256_HMAC,
    };
    struct bare_signer *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->p11 = b->p11;
    s->mech.mechanism = types[mech];
    s->tbs = (CK_BYTE *)(uintptr_t)tbs;
    s->tbs_len = tbs_len;
    s->session = CK_INVALID_HANDLE;
    if (!session_open(b, &s->session)
        || !(mech == BARE_HMAC_SHA256 ? secret_make(s) : key_find(s, label))) {
        bare_signer_free(s);
        return NULL;
    }
    return s;
}

void bare_signer_free(struct bare_signer *s)
{
    if (s == NULL)
        return;
    if (s->session != CK_INVALID_HANDLE)
        (void)s->p11->C_CloseSession(s->session);
    free(s);
}

bool bare_sign(void *signer)
{
    struct bare_signer *s = signer;

    s->len = sizeof(s->sig);
    return check("C_SignInit", s->p11->C_SignInit(s->session, &s->mech, s->key))
           && check("C_Sign", s->p11->C_Sign(s->session, s->tbs, s->tbs_len,
                                             s->sig, &s->len));
}

const unsigned char *bare_signature(const struct bare_signer *s, size_t *len)
{
    *len = s->len;
    return s->sig;
}
