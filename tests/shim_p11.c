/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PKCS#11 module that passes everything on to the one that the environment
 * variable SHIM_P11_MODULE names, and counts what is of interest: how a key
 * came to be shows in what was called.  A test gets at it by dlsym() of
 * "shim_count", "shim_reset" and "shim_hide".
 *
 * With SHIM_P11_SHARED, the path of a file, all processes that load it with
 * the same one count together.  Another process' session objects can be seen
 * by none but itself, so it keeps, for "shim_live", what there is of secrets.
 */
#include "unit/shim_p11.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum {
    OPEN,
    CREATE,
    DESTROY,
    ATTRS,
    SIGN,
    DIGEST_KEY,
    DERIVE,
    WRAP,
    UNWRAP,
    SET_ATTRS,
    COPY,
    N_CALLS,
    SENSITIVE = N_CALLS,
    NOT_EXTRACTABLE,
    N
};

static const char *const names[N] = {
    [OPEN] = "C_OpenSession",
    [CREATE] = "C_CreateObject",
    [DESTROY] = "C_DestroyObject",
    [ATTRS] = "C_GetAttributeValue",
    [SIGN] = "C_Sign",
    [DIGEST_KEY] = "C_DigestKey",
    [DERIVE] = "C_DeriveKey",
    [WRAP] = "C_WrapKey",
    [UNWRAP] = "C_UnwrapKey",
    [SET_ATTRS] = "C_SetAttributeValue",
    [COPY] = "C_CopyObject",
    [SENSITIVE] = "CKA_SENSITIVE",
    [NOT_EXTRACTABLE] = "CKA_EXTRACTABLE",
};

#define LIVE_MAX 4096
#define TAKEN    ~0ul /* a place whose secret is not there yet */

struct shared {
    atomic_ulong counts[N];
    atomic_ulong handles[LIVE_MAX]; /* 0: free; in a process of its own */
    struct shim_secret secrets[LIVE_MAX];
};

static struct shared own, *shared = &own;
static bool is_shared;

static CK_FUNCTION_LIST *real; /* set by the first C_GetFunctionList() */

EXPORT shim_count_fn shim_count;
EXPORT shim_reset_fn shim_reset;

unsigned long shim_count(const char *function)
{
    unsigned long sum = 0;

    for (size_t i = 0; i < N; i++)
        if (function == NULL ? i < N_CALLS : strcmp(function, names[i]) == 0)
            sum += atomic_load(&shared->counts[i]);
    return sum;
}

void shim_reset(void)
{
    for (size_t i = 0; i < N; i++)
        atomic_store(&shared->counts[i], 0);
}

/* ---- what there is of secrets ---- */

EXPORT shim_live_fn shim_live;
EXPORT shim_forget_fn shim_forget;

unsigned long shim_live(struct shim_secret *out, unsigned long max)
{
    unsigned long n = 0;

    for (size_t i = 0; i < LIVE_MAX; i++) {
        unsigned long h = atomic_load(&shared->handles[i]);

        if (h != 0 && h != TAKEN && n++ < max)
            out[n - 1] = shared->secrets[i];
    }
    return n;
}

void shim_forget(void)
{
    for (size_t i = 0; i < LIVE_MAX; i++)
        atomic_store(&shared->handles[i], 0);
}

__attribute__((constructor)) static void share(void)
{
    const char *path = getenv("SHIM_P11_SHARED");
    int fd = path != NULL ? open(path, O_RDWR | O_CREAT, 0600) : -1;
    void *p;

    if (path == NULL)
        return;
    if (fd < 0 || ftruncate(fd, sizeof(*shared)) != 0)
        abort();
    p = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        abort();
    close(fd);
    shared = p;
    is_shared = true;
}

/* The token's AES key, by which the test reads what may travel. */
static CK_OBJECT_HANDLE find_kek(CK_SESSION_HANDLE s)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE t[] = { { CKA_CLASS, &cls, sizeof(cls) },
                         { CKA_KEY_TYPE, &type, sizeof(type) } };
    static atomic_ulong kek;
    CK_OBJECT_HANDLE found = atomic_load(&kek);
    CK_ULONG n = 0;

    if (found == 0 && real->C_FindObjectsInit(s, t, 2) == CKR_OK) {
        if (real->C_FindObjects(s, &found, 1, &n) != CKR_OK || n != 1)
            found = 0;
        (void)real->C_FindObjectsFinal(s);
        atomic_store(&kek, found);
    }
    return found;
}

/* A call has made o, or not; the session is the caller's for now. */
static CK_RV made(CK_SESSION_HANDLE s, CK_RV rv, const CK_OBJECT_HANDLE *o)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };
    unsigned long none = 0;
    size_t i = 0;

    if (!is_shared || rv != CKR_OK)
        return rv;
    while (!atomic_compare_exchange_strong(&shared->handles[i], &none, TAKEN)) {
        none = 0;
        if (++i == LIVE_MAX)
            abort();
    }
    shared->secrets[i].len = SHIM_WRAPPED_MAX;
    if (real->C_WrapKey(s, &m, find_kek(s), *o, shared->secrets[i].wrapped,
                        &shared->secrets[i].len)
        != CKR_OK)
        shared->secrets[i].len = 0;
    atomic_store(&shared->handles[i], *o);
    return rv;
}

static CK_RV gone(CK_RV rv, CK_OBJECT_HANDLE o)
{
    for (size_t i = 0; is_shared && rv == CKR_OK && i < LIVE_MAX; i++)
        if (atomic_load(&shared->handles[i]) == o)
            atomic_store(&shared->handles[i], 0);
    return rv;
}

/* ---- calls ---- */

static atomic_ulong hidden = ~0ul; /* a mechanism, or none */

EXPORT shim_hide_fn shim_hide;

void shim_hide(unsigned long mechanism)
{
    atomic_store(&hidden, mechanism);
}

static CK_RV get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE m,
                                CK_MECHANISM_INFO *info)
{
    if (m == atomic_load(&hidden))
        return CKR_MECHANISM_INVALID;
    return real->C_GetMechanismInfo(slot, m, info);
}

/* What a new object is from the first. */
static void count_template(const CK_ATTRIBUTE *t, CK_ULONG n)
{
    for (CK_ULONG i = 0; i < n; i++) {
        if (t[i].ulValueLen != sizeof(CK_BBOOL))
            continue;
        if (t[i].type == CKA_SENSITIVE
            && *(const CK_BBOOL *)t[i].pValue == CK_TRUE)
            atomic_fetch_add(&shared->counts[SENSITIVE], 1);
        if (t[i].type == CKA_EXTRACTABLE
            && *(const CK_BBOOL *)t[i].pValue == CK_FALSE)
            atomic_fetch_add(&shared->counts[NOT_EXTRACTABLE], 1);
    }
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *app,
                          CK_NOTIFY notify, CK_SESSION_HANDLE *s)
{
    atomic_fetch_add(&shared->counts[OPEN], 1);
    return real->C_OpenSession(slot, flags, app, notify, s);
}

static CK_RV create_object(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n,
                           CK_OBJECT_HANDLE *out)
{
    atomic_fetch_add(&shared->counts[CREATE], 1);
    count_template(t, n);
    return made(s, real->C_CreateObject(s, t, n, out), out);
}

static CK_RV destroy_object(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
    atomic_fetch_add(&shared->counts[DESTROY], 1);
    return gone(real->C_DestroyObject(s, o), o);
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                                 CK_ATTRIBUTE *t, CK_ULONG n)
{
    atomic_fetch_add(&shared->counts[ATTRS], 1);
    return real->C_GetAttributeValue(s, o, t, n);
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG data_len,
                  CK_BYTE *sig, CK_ULONG *len)
{
    atomic_fetch_add(&shared->counts[SIGN], 1);
    return real->C_Sign(s, data, data_len, sig, len);
}

static CK_RV digest_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
    atomic_fetch_add(&shared->counts[DIGEST_KEY], 1);
    return real->C_DigestKey(s, key);
}

static CK_RV derive_key(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                        CK_OBJECT_HANDLE base, CK_ATTRIBUTE *t, CK_ULONG n,
                        CK_OBJECT_HANDLE *out)
{
    atomic_fetch_add(&shared->counts[DERIVE], 1);
    count_template(t, n);
    return made(s, real->C_DeriveKey(s, m, base, t, n, out), out);
}

static CK_RV wrap_key(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                      CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE secret,
                      CK_BYTE *out, CK_ULONG *len)
{
    atomic_fetch_add(&shared->counts[WRAP], 1);
    return real->C_WrapKey(s, m, key, secret, out, len);
}

static CK_RV unwrap_key(CK_SESSION_HANDLE s, CK_MECHANISM *m,
                        CK_OBJECT_HANDLE key, CK_BYTE *in, CK_ULONG in_len,
                        CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    atomic_fetch_add(&shared->counts[UNWRAP], 1);
    count_template(t, n);
    return made(s, real->C_UnwrapKey(s, m, key, in, in_len, t, n, out), out);
}

static CK_RV set_attribute_value(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                                 CK_ATTRIBUTE *t, CK_ULONG n)
{
    atomic_fetch_add(&shared->counts[SET_ATTRS], 1);
    return real->C_SetAttributeValue(s, o, t, n);
}

static CK_RV copy_object(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o,
                         CK_ATTRIBUTE *t, CK_ULONG n, CK_OBJECT_HANDLE *out)
{
    atomic_fetch_add(&shared->counts[COPY], 1);
    return real->C_CopyObject(s, o, t, n, out);
}

EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out);

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
    static CK_FUNCTION_LIST list;
    const char *path = getenv("SHIM_P11_MODULE");
    CK_C_GetFunctionList get = NULL;
    void *dl;

    if (real == NULL) {
        /* Never unloaded: LSan could not name it then, nor lsan.supp. */
        dl = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (dl != NULL)
            *(void **)&get = dlsym(dl, "C_GetFunctionList");
        if (get == NULL || get(&real) != CKR_OK)
            return CKR_GENERAL_ERROR;
        list = *real;
        list.C_GetFunctionList = C_GetFunctionList;
        list.C_GetMechanismInfo = get_mechanism_info;
        list.C_OpenSession = open_session;
        list.C_CreateObject = create_object;
        list.C_DestroyObject = destroy_object;
        list.C_GetAttributeValue = get_attribute_value;
        list.C_Sign = sign;
        list.C_DigestKey = digest_key;
        list.C_DeriveKey = derive_key;
        list.C_WrapKey = wrap_key;
        list.C_UnwrapKey = unwrap_key;
        list.C_SetAttributeValue = set_attribute_value;
        list.C_CopyObject = copy_object;
    }
    *out = &list;
    return CKR_OK;
}
