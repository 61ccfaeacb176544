/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module whose n-th call fails (see unit/fake_p11.h).  It is there
 * for error paths alone: signatures are constants, and behaviour is tested on
 * SoftHSM.  What releases (C_CloseSession, C_Finalize) always works and is not
 * counted, since no caller could do anything about a failure of it.
 */
#include "fake_internal.h"

#include <pthread.h>
#include <string.h>

#define SESSIONS_MAX 64

struct object fake_objects[N_ALL] = {
    { true, CKO_PRIVATE_KEY, CKK_RSA, "rsa", { 1 }, 3, 1, 0, 0, 0 },
    { true, CKO_PUBLIC_KEY, CKK_RSA, "rsa", { 1 }, 3, 1, 0, 0, 0 },
    { true, CKO_PRIVATE_KEY, CKK_EC, "ec", { 2 }, 2, 1, 0, 0, 0 },
    { true, CKO_PUBLIC_KEY, CKK_EC, "ec", { 2 }, 2, 1, 0, 0, 0 },
    { true, CKO_CERTIFICATE, 0, "ec", { 2 }, 2, 1, 0, 0, 0 },
    { true, CKO_SECRET_KEY, CKK_AES, "kek", { 3 }, 3, 1, 0, 32, 0 },
    /* what C_GenerateKeyPair() makes: the private half, then the public */
    /* what is made by fake_secret.c */
};

FAKE_EXPORT struct fake fake = { .slots = 1, .find_step = 1000 };
FAKE_EXPORT fake_reset_fn fake_reset;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards it all */
static struct session sessions[SESSIONS_MAX];
static unsigned fail_at;
static CK_RV fail_rv;
static CK_ULONG generation; /* sessions opened so far */
static bool logged_in;

void fake_reset(unsigned n, CK_RV rv)
{
    pthread_mutex_lock(&lock);
    fake.calls = 0;
    fake.logins = 0;
    fake.peak_sessions = fake.open_sessions;
    fake.peak_secrets = fake.secrets;
    fail_at = n;
    fail_rv = rv;
    fake_objects[N_FIXED].there = fake_objects[N_FIXED + 1].there = false;
    pthread_mutex_unlock(&lock);
}

CK_RV fake_begin(void)
{
    pthread_mutex_lock(&lock);
    return ++fake.calls == fail_at ? fail_rv : CKR_OK;
}

/* A handle is never given out twice, so a stale one is found out. */
static struct session *session_locked(CK_SESSION_HANDLE h)
{
    struct session *s = &sessions[h % SESSIONS_MAX];

    return s->open && s->handle == h ? s : NULL;
}

struct session *fake_release(CK_SESSION_HANDLE h)
{
    pthread_mutex_lock(&lock);
    return session_locked(h);
}

CK_RV fake_enter(CK_SESSION_HANDLE h, struct session **out)
{
    CK_RV rv = fake_begin();

    *out = session_locked(h);
    if (!fake.initialized)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    return rv == CKR_OK && *out == NULL ? CKR_SESSION_HANDLE_INVALID : rv;
}

CK_RV fake_leave(struct session *s, CK_RV rv)
{
    if (rv != CKR_OK && s != NULL && !s->failed) {
        s->failed = true;
        fake.failed_open++;
    }
    pthread_mutex_unlock(&lock);
    return rv;
}

static void close_locked(struct session *s)
{
    if (s->failed)
        fake.failed_open--;
    fake_secrets_close(s->handle);
    memset(s, 0, sizeof(*s));
    if (--fake.open_sessions == 0)
        logged_in = false; /* as PKCS#11 has it */
}

static CK_RV fake_initialize(void *args)
{
    CK_RV rv = fake_begin();

    (void)args;
    if (rv == CKR_OK && fake.initialized)
        rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
    else if (rv == CKR_OK)
        fake.initialized = true;
    return fake_leave(NULL, rv);
}

static CK_RV fake_close_all_sessions(CK_SLOT_ID slot)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        if (sessions[i].open && sessions[i].slot == slot)
            close_locked(&sessions[i]);
    return fake_leave(NULL, CKR_OK);
}

static CK_RV fake_finalize(void *reserved)
{
    (void)reserved;
    for (CK_SLOT_ID slot = 0; slot < 2; slot++)
        fake_close_all_sessions(slot);
    fake.initialized = false;
    return CKR_OK;
}

static CK_RV fake_get_info(CK_INFO *info)
{
    CK_RV rv = fake_begin();

    memset(info, ' ', sizeof(*info));
    info->cryptokiVersion = (CK_VERSION){ 2, 40 };
    return fake_leave(NULL, rv);
}

static CK_RV fake_get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
    CK_RV rv = fake_begin();

    CK_ULONG there = present && fake.away ? 0 : fake.slots;

    if (rv == CKR_OK && !fake.initialized)
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    else if (rv == CKR_OK && list != NULL && *n < there)
        rv = CKR_BUFFER_TOO_SMALL;
    if (rv == CKR_OK) {
        for (CK_ULONG i = 0; list != NULL && i < there; i++)
            list[i] = i;
        *n = there;
    }
    return fake_leave(NULL, rv);
}

static CK_RV fake_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    (void)slot;
    memset(info, ' ', sizeof(*info));
    info->flags = CKF_TOKEN_PRESENT;
    return fake_leave(NULL, fake_begin());
}

static CK_RV fake_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = fake_begin();

    if (rv == CKR_OK) {
        memset(info, ' ', sizeof(*info));
        memcpy(info->label, "fake", 4);
        info->serialNumber[0] = (unsigned char)('1' + slot);
        info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED
                      | CKF_USER_PIN_INITIALIZED
                      | (fake.final_try ? CKF_USER_PIN_FINAL_TRY : 0);
    }
    return fake_leave(NULL, rv);
}

static CK_RV fake_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app,
                               CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
    CK_SESSION_HANDLE i = 0;
    CK_RV rv = fake_begin();

    (void)flags;
    (void)app;
    (void)notify;
    if (rv == CKR_OK && !fake.initialized)
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    while (i < SESSIONS_MAX && sessions[i].open)
        i++;
    if (rv == CKR_OK && i == SESSIONS_MAX)
        rv = CKR_SESSION_COUNT;
    if (rv == CKR_OK) {
        sessions[i].open = true;
        sessions[i].slot = slot;
        sessions[i].handle = i + SESSIONS_MAX * ++generation;
        if (++fake.open_sessions > fake.peak_sessions)
            fake.peak_sessions = fake.open_sessions;
        fake.peak_secrets = fake.secrets;
        *out = sessions[i].handle;
    }
    return fake_leave(NULL, rv);
}

static CK_RV fake_close_session(CK_SESSION_HANDLE h)
{
    struct session *s = fake_release(h);

    if (s != NULL)
        close_locked(s);
    return fake_leave(NULL, s != NULL ? CKR_OK : CKR_SESSION_HANDLE_INVALID);
}

/* A probe, which like releasing is not counted. */
static CK_RV fake_get_session_info(CK_SESSION_HANDLE h, CK_SESSION_INFO *info)
{
    struct session *s = fake_release(h);

    *info = (CK_SESSION_INFO){ .slotID = s != NULL ? s->slot : 0,
                               .state = logged_in ? CKS_RO_USER_FUNCTIONS
                                                  : CKS_RO_PUBLIC_SESSION };
    return fake_leave(NULL, s != NULL ? CKR_OK : CKR_SESSION_HANDLE_INVALID);
}

static CK_RV fake_login(CK_SESSION_HANDLE h, CK_USER_TYPE user,
                        CK_UTF8CHAR *pin, CK_ULONG len)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    fake.logins++;
    if (rv == CKR_OK && user != CKU_USER)
        rv = CKR_ARGUMENTS_BAD;
    else if (rv == CKR_OK && logged_in)
        rv = CKR_USER_ALREADY_LOGGED_IN;
    else if (rv == CKR_OK
             && (len != sizeof(FAKE_PIN) - 1
                 || memcmp(pin, FAKE_PIN, len) != 0))
        rv = CKR_PIN_INCORRECT;
    else if (rv == CKR_OK)
        logged_in = true;
    return fake_leave(rv == CKR_USER_ALREADY_LOGGED_IN ? NULL : s, rv);
}

/* The value of an attribute; false if the object has none such. */
static bool attribute(const struct object *o, CK_ATTRIBUTE_TYPE type,
                      const void **v, CK_ULONG *len)
{
    static const CK_BYTE p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48,
                                    0xce, 0x3d, 0x03, 0x01, 0x07 };
    static const CK_BYTE modulus[FAKE_RSA_OCTETS] = {
        [0] = 0xc5, [255] = 0x01
    };
    static const CK_BYTE exponent[] = { 1, 0, 1 };
    static const CK_BBOOL yes = CK_TRUE;
    const bool is_key = o->cls != CKO_CERTIFICATE;
    const struct {
        CK_ATTRIBUTE_TYPE type;
        bool has;
        const void *v;
        CK_ULONG len;
    } table[] = {
        { CKA_CLASS, true, &o->cls, sizeof(o->cls) },
        { CKA_LABEL, true, o->label, o->label_len },
        { CKA_ID, true, o->id, o->id_len },
        { CKA_KEY_TYPE, is_key, &o->type, sizeof(o->type) },
        { CKA_MODULUS, is_key && o->type == CKK_RSA, modulus, sizeof(modulus) },
        { CKA_PUBLIC_EXPONENT, is_key && o->type == CKK_RSA, exponent,
          sizeof(exponent) },
        { CKA_EC_PARAMS, is_key && o->type == CKK_EC, p256, sizeof(p256) },
        { CKA_EC_POINT, o->cls == CKO_PUBLIC_KEY && o->type == CKK_EC,
          fake.point, 67 },
        { CKA_VALUE, !is_key, fake.cert, fake.cert_len },
        { CKA_TOKEN, true, &yes, sizeof(yes) }, /* all that is found */
        { CKA_VALUE_LEN, o->cls == CKO_SECRET_KEY, &o->value_len,
          sizeof(o->value_len) },
        { CKA_EXTRACTABLE, o->cls == CKO_SECRET_KEY, &o->extractable,
          sizeof(o->extractable) },
        { CKA_TRUSTED, o->cls == CKO_SECRET_KEY || o->cls == CKO_PUBLIC_KEY,
          &yes, sizeof(yes) },
        { CKA_WRAP, o->cls == CKO_PUBLIC_KEY && o->type == CKK_RSA, &yes,
          sizeof(yes) },
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].type == type && table[i].has) {
            *v = table[i].v;
            *len = table[i].len;
            return true;
        }
    }
    return false;
}

static CK_BBOOL object_matches(const struct object *o, const CK_ATTRIBUTE *t,
                               CK_ULONG n)
{
    const void *v;
    CK_ULONG len;

    if (!o->there || (fake.hide_public && o->cls == CKO_PUBLIC_KEY))
        return CK_FALSE;
    for (CK_ULONG i = 0; i < n; i++)
        if (!attribute(o, t[i].type, &v, &len) || len != t[i].ulValueLen
            || memcmp(v, t[i].pValue, len) != 0)
            return CK_FALSE;
    return CK_TRUE;
}

static CK_RV fake_find_objects_init(CK_SESSION_HANDLE h, CK_ATTRIBUTE *t,
                                    CK_ULONG n)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK && s->finding)
        rv = CKR_OPERATION_ACTIVE;
    if (rv == CKR_OK) {
        s->finding = true;
        s->next = 0;
        for (CK_ULONG i = 0; i < N_ALL; i++)
            s->matches[i] = object_matches(&fake_objects[i], t, n);
    }
    return fake_leave(s, rv);
}

static CK_RV fake_find_objects(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE *out,
                               CK_ULONG max, CK_ULONG *n)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK) {
        if (max > fake.find_step)
            max = fake.find_step;
        for (*n = 0; *n < max && s->next < N_ALL; s->next++)
            if (s->matches[s->next])
                out[(*n)++] = s->next + 1;
    }
    return fake_leave(s, rv);
}

static CK_RV fake_find_objects_final(CK_SESSION_HANDLE h)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK)
        s->finding = false;
    return fake_leave(s, rv);
}

static CK_RV attribute_copy(const struct object *o, CK_ATTRIBUTE *a)
{
    const void *v;
    CK_ULONG len;
    CK_RV rv = CKR_OK;

    if (!attribute(o, a->type, &v, &len)) {
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (a->pValue != NULL && a->ulValueLen >= len)
        memcpy(a->pValue, v, len);
    else if (a->pValue != NULL)
        rv = CKR_BUFFER_TOO_SMALL;
    a->ulValueLen = len;
    return rv;
}

static CK_RV fake_get_attribute_value(CK_SESSION_HANDLE h, CK_OBJECT_HANDLE o,
                                      CK_ATTRIBUTE *t, CK_ULONG n)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK && (o < 1 || o > N_ALL || !fake_objects[o - 1].there))
        rv = CKR_OBJECT_HANDLE_INVALID;
    for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++)
        rv = attribute_copy(&fake_objects[o - 1], &t[i]);
    return fake_leave(s, rv);
}

static CK_RV fake_sign_init(CK_SESSION_HANDLE h, CK_MECHANISM *m,
                            CK_OBJECT_HANDLE key)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    (void)m;
    if (rv == CKR_OK && s->signing)
        rv = CKR_OPERATION_ACTIVE;
    else if (rv == CKR_OK && !logged_in)
        rv = CKR_USER_NOT_LOGGED_IN;
    else if (rv == CKR_OK && !fake_is(key, CKO_PRIVATE_KEY)
             && !fake_is(key, CKO_SECRET_KEY))
        rv = CKR_KEY_HANDLE_INVALID;
    if (rv == CKR_OK) {
        s->signing = true;
        s->key = key;
    }
    return fake_leave(s, rv);
}

static CK_RV fake_sign(CK_SESSION_HANDLE h, CK_BYTE *data, CK_ULONG data_len,
                       CK_BYTE *sig, CK_ULONG *len)
{
    const struct object *o;
    struct session *s;
    CK_ULONG want;
    CK_RV rv;

    (void)data;
    (void)data_len;
    if (fake.on_sign != NULL)
        fake.on_sign();
    rv = fake_enter(h, &s);
    if (rv == CKR_OK) {
        o = &fake_objects[s->key - 1];
        want = o->cls == CKO_SECRET_KEY ? FAKE_MAC_OCTETS
               : o->type == CKK_RSA     ? FAKE_RSA_OCTETS
                                        : FAKE_EC_OCTETS;
        if (*len < want)
            rv = CKR_BUFFER_TOO_SMALL; /* and the operation stays active */
        else
            memset(sig, 0x5a, want);
        *len = want;
        s->signing = rv != CKR_OK;
    }
    return fake_leave(s, rv);
}

static CK_RV fake_generate_random(CK_SESSION_HANDLE h, CK_BYTE *out,
                                  CK_ULONG len)
{
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK)
        memset(out, 0xa5, len);
    return fake_leave(s, rv);
}

static void object_make(struct object *o, CK_OBJECT_CLASS cls, CK_KEY_TYPE type,
                        const CK_ATTRIBUTE *t, CK_ULONG n)
{
    *o = (struct object){ .there = true, .cls = cls, .type = type };
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].type == CKA_LABEL && t[i].ulValueLen <= LABEL_MAX) {
            memcpy(o->label, t[i].pValue, t[i].ulValueLen);
            o->label_len = t[i].ulValueLen;
        } else if (t[i].type == CKA_ID && t[i].ulValueLen <= ID_MAX) {
            memcpy(o->id, t[i].pValue, t[i].ulValueLen);
            o->id_len = t[i].ulValueLen;
        }
    }
}

static CK_RV fake_generate_key_pair(CK_SESSION_HANDLE h, CK_MECHANISM *m,
                                    CK_ATTRIBUTE *pub, CK_ULONG n_pub,
                                    CK_ATTRIBUTE *priv, CK_ULONG n_priv,
                                    CK_OBJECT_HANDLE *pub_h,
                                    CK_OBJECT_HANDLE *priv_h)
{
    CK_KEY_TYPE type =
        m->mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN ? CKK_RSA : CKK_EC;
    struct session *s;
    CK_RV rv = fake_enter(h, &s);

    if (rv == CKR_OK) {
        object_make(&fake_objects[N_FIXED], CKO_PRIVATE_KEY, type, priv,
                    n_priv);
        object_make(&fake_objects[N_FIXED + 1], CKO_PUBLIC_KEY, type, pub,
                    n_pub);
        *priv_h = N_FIXED + 1;
        *pub_h = N_FIXED + 2;
    }
    return fake_leave(s, rv);
}

FAKE_EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out);

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    static CK_FUNCTION_LIST list = {
        .C_Initialize = fake_initialize,
        .C_Finalize = fake_finalize,
        .C_GetInfo = fake_get_info,
        .C_GetFunctionList = C_GetFunctionList,
        .C_GetSlotList = fake_get_slot_list,
        .C_GetSlotInfo = fake_get_slot_info,
        .C_GetTokenInfo = fake_get_token_info,
        .C_OpenSession = fake_open_session,
        .C_CloseSession = fake_close_session,
        .C_CloseAllSessions = fake_close_all_sessions,
        .C_GetSessionInfo = fake_get_session_info,
        .C_Login = fake_login,
        .C_FindObjectsInit = fake_find_objects_init,
        .C_FindObjects = fake_find_objects,
        .C_FindObjectsFinal = fake_find_objects_final,
        .C_GetAttributeValue = fake_get_attribute_value,
        .C_SignInit = fake_sign_init,
        .C_Sign = fake_sign,
        .C_GenerateRandom = fake_generate_random,
        .C_GenerateKeyPair = fake_generate_key_pair,
    };

    fake_secrets_list(&list);
    *out = &list;
    return CKR_OK;
}
