/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A module's life and the choice of its token.  libp11 loads and initializes
 * the module and lists its slots; the function list, which libp11 does not
 * hand out, comes from the same loaded object.
 */
#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN_MAX   256
#define SLOTS_MAX 256

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

bool hsm_alive(const struct hsm *h)
{
    return getpid() == h->pid && !atomic_load(&exiting);
}

/*
 * C_Initialize() and C_Finalize() are the process's, not a struct hsm's, so
 * those that use the same loaded object share one entry.
 */
struct hsm_module {
    struct hsm_module *next;
    void *dl;
    PKCS11_CTX *ctx;
    pid_t pid; /* a child's modules are not its parent's */
    unsigned refs;
};
static pthread_mutex_t modules_lock = PTHREAD_MUTEX_INITIALIZER;
static struct hsm_module *modules; /* guarded by modules_lock */

static enum hsm_status module_initialize(struct hsm *h, const char *path,
                                         const char *init_args)
{
    struct hsm_module *m = calloc(1, sizeof(*m));

    if (m == NULL || (m->ctx = PKCS11_CTX_new()) == NULL) {
        free(m);
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    }
    if (init_args != NULL)
        PKCS11_CTX_init_args(m->ctx, init_args);
    if (PKCS11_CTX_load(m->ctx, path) != 0) {
        PKCS11_CTX_free(m->ctx);
        free(m);
        return hsm_fail(HSM_ERR_CONFIG, "%s: C_Initialize failed", path);
    }
    m->dl = h->dl;
    m->pid = h->pid;
    m->refs = 1;
    m->next = modules;
    modules = h->module = m;
    return HSM_OK;
}

static enum hsm_status module_get(struct hsm *h, const char *path,
                                  const char *init_args)
{
    enum hsm_status st = HSM_OK;
    struct hsm_module *m;

    ERR_set_mark(); /* as HSM_CALL() does */
    /* Held over C_Initialize(), which nobody may overtake. */
    pthread_mutex_lock(&modules_lock);
    m = modules;
    while (m != NULL && (m->dl != h->dl || m->pid != h->pid))
        m = m->next;
    if (m != NULL) {
        m->refs++;
        h->module = m;
    } else {
        st = module_initialize(h, path, init_args);
    }
    pthread_mutex_unlock(&modules_lock);
    ERR_pop_to_mark();
    return st;
}

static void module_put(struct hsm_module *m)
{
    struct hsm_module **p = &modules;

    pthread_mutex_lock(&modules_lock);
    if (--m->refs == 0) {
        while (*p != m)
            p = &(*p)->next;
        *p = m->next;
        PKCS11_CTX_unload(m->ctx);
        PKCS11_CTX_free(m->ctx);
        free(m);
    }
    pthread_mutex_unlock(&modules_lock);
}

static enum hsm_status module_load(struct hsm *h, const char *path,
                                   const char *init_args)
{
    CK_C_GetFunctionList get;
    enum hsm_status st;

    h->dl = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (h->dl == NULL)
        return hsm_fail(HSM_ERR_CONFIG, "%s", dlerror());
    *(void **)&get = dlsym(h->dl, "C_GetFunctionList");
    if (get == NULL || get(&h->p11) != CKR_OK || h->p11 == NULL)
        return hsm_fail(HSM_ERR_CONFIG, "%s: not a PKCS#11 module", path);
    if ((st = module_get(h, path, init_args)) == HSM_OK)
        pthread_once(&exit_once, register_exit);
    return st;
}

/*
 * Not by PKCS11_enumerate_slots(): releasing libp11's slots closes all
 * sessions of the process with them (C_CloseAllSessions), others' too.
 */
static enum hsm_status token_choose(struct hsm *h, const char *uri_text)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n_slots = SLOTS_MAX;
    unsigned matches = 0;
    P11KitUri *uri = p11_kit_uri_new();
    CK_TOKEN_INFO info;
    enum hsm_status st = HSM_OK;

    if (uri == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    if (p11_kit_uri_parse(uri_text, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK
        || p11_kit_uri_any_unrecognized(uri)) {
        st = hsm_fail(HSM_ERR_PARAM, "malformed URI: %s", uri_text);
        goto out;
    }
    st = HSM_CALL(h, C_GetSlotList, CK_TRUE, slots, &n_slots);
    if (st != HSM_OK)
        goto out;
    for (CK_ULONG i = 0; i < n_slots; i++) {
        CK_SLOT_ID id = slots[i];

        if (h->p11->C_GetTokenInfo(id, &info) != CKR_OK
            || !(info.flags & CKF_TOKEN_INITIALIZED)
            || !p11_kit_uri_match_token_info(uri, &info))
            continue;
        h->slot = id;
        h->token = info;
        matches++;
    }
    if (matches == 0)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "no token matches %s", uri_text);
    else if (matches > 1)
        st = hsm_fail(HSM_ERR_PARAM, "%u tokens match %s", matches, uri_text);
out:
    p11_kit_uri_free(uri);
    return st;
}

/* Read the PIN's first line; the file must be its owner's alone. */
static enum hsm_status pin_read(const char *path, char *pin, size_t room,
                                size_t *len)
{
    enum hsm_status st = HSM_OK;
    struct stat sb;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0)
        return hsm_fail(HSM_ERR_CONFIG, "%s: %s", path, strerror(errno));
    if (fstat(fd, &sb) != 0 || !S_ISREG(sb.st_mode)
        || (sb.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        st = hsm_fail(HSM_ERR_CONFIG,
                      "%s: must be a file that only its owner can read", path);
    } else if ((n = read(fd, pin, room)) <= 0 || (size_t)n == room) {
        st = hsm_fail(HSM_ERR_CONFIG, "%s: empty or too long", path);
    }
    close(fd);
    if (st != HSM_OK)
        return st;
    *len = 0;
    while (*len < (size_t)n && pin[*len] != '\n' && pin[*len] != '\r')
        ++*len;
    if (*len == 0) /* would cost one of the tries */
        return hsm_fail(HSM_ERR_CONFIG, "%s: its first line is empty", path);
    return HSM_OK;
}

static enum hsm_status login(struct hsm *h, const char *pin_file,
                             CK_USER_TYPE user)
{
    char pin[PIN_MAX];
    size_t len = 0;
    enum hsm_status st;

    /* The security officer can't be in while a session is read-only. */
    st = HSM_CALL(h, C_OpenSession, h->slot,
                  CKF_SERIAL_SESSION | (user == CKU_SO ? CKF_RW_SESSION : 0),
                  NULL, NULL, &h->anchor);
    if (st != HSM_OK || pin_file == NULL)
        return st;
    if ((st = pin_read(pin_file, pin, sizeof(pin), &len)) != HSM_OK)
        goto out;
    st = HSM_CALL(h, C_Login, h->anchor, user, (CK_UTF8CHAR *)pin, len);
out:
    OPENSSL_cleanse(pin, sizeof(pin)); /* all of it, on every path */
    return st;
}

enum hsm_status hsm_open(const struct hsm_config *cfg, struct hsm **out)
{
    return hsm_open_as(cfg, CKU_USER, out);
}

enum hsm_status hsm_open_as(const struct hsm_config *cfg, CK_USER_TYPE user,
                            struct hsm **out)
{
    enum hsm_status st;
    struct hsm *h;

    if (cfg->module == NULL || cfg->token == NULL || cfg->sessions < 1
        || cfg->sessions > 1024)
        return hsm_fail(HSM_ERR_PARAM, "module, token or sessions missing");
    if ((h = calloc(1, sizeof(*h))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    h->pid = getpid();
    h->anchor = CK_INVALID_HANDLE;
    h->transient = cfg->transient;
    h->wrap_any = cfg->wrap_any;
    if (!hsm_pool_init(&h->pool, cfg->sessions)
        || !hsm_pool_init(&h->owners, cfg->sessions))
        st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    else if ((st = module_load(h, cfg->module, cfg->init_args)) == HSM_OK
             && (st = token_choose(h, cfg->token)) == HSM_OK
             && (st = login(h, cfg->pin_file, user)) == HSM_OK)
        st = hsm_rungs_find(h);
    if (st != HSM_OK) {
        hsm_close(h);
        return st;
    }
    *out = h;
    return HSM_OK;
}

void hsm_close(struct hsm *h)
{
    if (h == NULL)
        return;
    /* In a forked child the module's state is the parent's: leave it. */
    if (h->module != NULL && hsm_alive(h)) {
        hsm_sessions_close(h);
        module_put(h->module);
    }
    if (h->dl != NULL)
        dlclose(h->dl);
    if (getpid() == h->pid) { /* or else it waits for the parent's threads */
        hsm_pool_clear(&h->pool);
        hsm_pool_clear(&h->owners);
    }
    free(h->pool.idle);
    free(h->owners.idle);
    free(h);
}
