/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's life.  libp11 loads and initializes it; the function list, which
 * libp11 does not hand out, comes from the same loaded object.
 */
#include "../internal.h"

#include <dlfcn.h>
#include <stdlib.h>

/*
 * At exit, a module's own destructors may run before whoever holds a struct
 * hsm lets go of it (OpenSSL does so from an atexit handler of its own).
 * Handlers run last in, first out: one registered after the module was loaded
 * runs before the module is torn down, and tells us to leave it alone.
 */
static atomic_bool exiting;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;

static void note_exit(void)
{
    atomic_store(&exiting, true);
}

static void register_exit(void)
{
    (void)atexit(note_exit);
}

bool hsm_exiting(void)
{
    return atomic_load(&exiting);
}

/*
 * C_Initialize() and C_Finalize() are the process's, not a struct hsm's, so
 * those that use the same loaded object share one entry.
 */
struct hsm_module {
    struct hsm_module *next;
    void *dl;
    CK_FUNCTION_LIST *p11;
    PKCS11_CTX *ctx;
    bool forked; /* the parent initialized it, not yet this process */
    bool twice;  /* our function list has a life of its own, beside libp11's */
    unsigned refs;
};
static struct hsm_module *modules; /* guarded by the connecting lock */

/*
 * For most modules this is C_Initialize() once more, and answered so; but
 * p11-kit's client makes a new instance at each C_GetFunctionList().
 */
static CK_RV initialize_own(struct hsm_module *m, const struct hsm *h)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK,
                                  .pReserved = h->init_args };
    CK_RV rv = m->p11->C_Initialize(&args);

    m->twice = rv == CKR_OK;
    return rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv;
}

/* libp11 loses memory where a context is loaded twice: so a fresh one. */
static enum hsm_status initialize(struct hsm_module *m, const struct hsm *h)
{
    enum hsm_status st;
    int loaded;

    if ((m->ctx = PKCS11_CTX_new()) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    if (h->init_args != NULL)
        PKCS11_CTX_init_args(m->ctx, h->init_args);
    ERR_set_mark(); /* as HSM_CALL() does */
    loaded = PKCS11_CTX_load(m->ctx, h->path);
    ERR_pop_to_mark();
    if (loaded == 0) {
        hsm_call_begin();
        st = hsm_status_from_ck("C_Initialize", initialize_own(m, h));
        if (st == HSM_OK)
            return HSM_OK;
        PKCS11_CTX_unload(m->ctx);
    } else {
        st = hsm_fail(HSM_ERR_CONFIG, "%s: C_Initialize failed", h->path);
    }
    PKCS11_CTX_free(m->ctx);
    m->ctx = NULL;
    return st;
}

static void finalize(struct hsm_module *m)
{
    if (m->ctx == NULL) /* it could not be initialized again */
        return;
    ERR_set_mark();
    if (m->twice)
        (void)m->p11->C_Finalize(NULL);
    PKCS11_CTX_unload(m->ctx);
    PKCS11_CTX_free(m->ctx);
    m->ctx = NULL;
    ERR_pop_to_mark();
}

/* A second reference to the object beside libp11's, for its functions. */
static enum hsm_status module_new(struct hsm *h, void *dl,
                                  struct hsm_module **out)
{
    struct hsm_module *m = calloc(1, sizeof(*m));
    CK_C_GetFunctionList get;
    enum hsm_status st;

    if (m == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    *(void **)&get = dlsym(dl, "C_GetFunctionList");
    if (get == NULL || get(&m->p11) != CKR_OK || m->p11 == NULL)
        st = hsm_fail(HSM_ERR_CONFIG, "%s: not a PKCS#11 module", h->path);
    else
        st = initialize(m, h);
    if (st != HSM_OK) {
        free(m);
        return st;
    }
    m->dl = dl;
    m->next = modules;
    modules = *out = m;
    pthread_once(&exit_once, register_exit);
    return HSM_OK;
}

static enum hsm_status module_get(struct hsm *h, bool *fresh)
{
    void *dl = dlopen(h->path, RTLD_NOW | RTLD_LOCAL);
    struct hsm_module *m = modules;
    enum hsm_status st = HSM_OK;

    if (dl == NULL)
        return hsm_fail(HSM_ERR_CONFIG, "%s", dlerror());
    while (m != NULL && m->dl != dl)
        m = m->next;
    *fresh = m == NULL;
    if (m != NULL || (st = module_new(h, dl, &m)) != HSM_OK)
        dlclose(dl); /* one reference is enough */
    if (st != HSM_OK)
        return st;
    m->refs++;
    h->module = m;
    h->p11 = m->p11;
    return HSM_OK;
}

/* In a child; a module that takes no notice of fork() is as it was. */
static enum hsm_status initialize_forked(struct hsm *h)
{
    CK_RV rv;

    hsm_call_begin();
    rv = initialize_own(h->module, h);
    h->module->forked = rv != CKR_OK;
    return hsm_status_from_ck("C_Initialize", rv);
}

static enum hsm_status initialize_again(struct hsm *h)
{
    enum hsm_status st;

    hsm_others_freeze(h);
    finalize(h->module);
    st = initialize(h->module, h);
    h->module->forked = false;
    hsm_others_thaw(h);
    return st;
}

/* Another user of the module may have finalized it under us. */
static bool finalized(struct hsm *h)
{
    return h->p11->C_GetInfo(&h->library) == CKR_CRYPTOKI_NOT_INITIALIZED;
}

enum hsm_status hsm_module_open(struct hsm *h, bool again)
{
    enum hsm_status st = HSM_OK;
    bool fresh = false;

    if (h->module == NULL)
        st = module_get(h, &fresh);
    if (st == HSM_OK && !again && h->module->forked)
        st = initialize_forked(h);
    if (st == HSM_OK && (again || (!fresh && finalized(h))))
        st = initialize_again(h);
    return st == HSM_OK ? HSM_CALL(h, C_GetInfo, &h->library) : st;
}

void hsm_modules_forked(void)
{
    for (struct hsm_module *m = modules; m != NULL; m = m->next)
        m->forked = true;
}

void hsm_module_close(struct hsm *h)
{
    struct hsm_module **p = &modules, *m = h->module;

    if (m == NULL || --m->refs > 0 || h->no_finalize)
        return;
    while (*p != m)
        p = &(*p)->next;
    *p = m->next;
    if (!m->forked) { /* or else it is the parent's to finalize */
        finalize(m);
        dlclose(m->dl);
    }
    free(m);
}

const struct hsm_backend hsm_module_backend = {
#define X(ret, name, args) .name = module_##name,
    HSM_OPS(X)
#undef X
};
