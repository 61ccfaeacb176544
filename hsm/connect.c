/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A struct hsm's connection to its token: made at the first use, made anew
 * when it was lost, and across fork().
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * Held while anybody connects, since C_Initialize() and C_Finalize() are the
 * process's; and over fork(), with every hsm.lock and nobody inside a module,
 * whose own locks would stay locked in the child.
 */
static pthread_mutex_t connecting = PTHREAD_MUTEX_INITIALIZER;
static struct hsm *all; /* guarded by connecting, like the next two */
static pthread_mutex_t **guarded;
static size_t n_guarded;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

_Thread_local unsigned hsm_seen;

/* ---- fork() ---- */

/* A module's own fork(): its child is to leave everything alone. */
static _Thread_local bool fork_ignored;
static atomic_bool orphan;

static void before_fork(void)
{
    fork_ignored = hsm_inside();
    if (fork_ignored)
        return;
    pthread_mutex_lock(&connecting);
    for (size_t i = 0; i < n_guarded; i++)
        pthread_mutex_lock(guarded[i]);
    for (struct hsm *h = all; h != NULL; h = h->next) {
        pthread_mutex_lock(&h->lock);
        h->frozen++; /* or busy threads would go on being busy */
        while (h->busy > 0)
            pthread_cond_wait(&h->changed, &h->lock);
    }
}

static void after_fork(void)
{
    for (struct hsm *h = all; h != NULL; h = h->next) {
        h->frozen--;
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
    }
    for (size_t i = 0; i < n_guarded; i++)
        pthread_mutex_unlock(guarded[i]);
    pthread_mutex_unlock(&connecting);
}

static void after_fork_parent(void)
{
    if (!fork_ignored)
        after_fork();
}

/* The other threads are gone, with whatever they had begun. */
static void after_fork_child(void)
{
    if (fork_ignored) {
        atomic_store(&orphan, true);
        return;
    }
    for (struct hsm *h = all; h != NULL; h = h->next) {
        hsm_disconnected_locked(h);
        h->connecting = false;
        h->frozen = 1; /* ours */
        h->be->forked(h);
        pthread_cond_init(&h->changed, NULL);
    }
    hsm_modules_forked();
    after_fork();
}

static void register_fork(void)
{
    (void)pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

void hsm_disconnected_locked(struct hsm *h)
{
    h->connected = false;
    atomic_fetch_add(&h->epoch, 1); /* all object handles are void */
}

bool hsm_fork_guard(pthread_mutex_t *lock)
{
    pthread_mutex_t **more;

    pthread_once(&fork_once, register_fork);
    pthread_mutex_lock(&connecting);
    more = realloc(guarded, (n_guarded + 1) * sizeof(*more));
    if (more != NULL) {
        guarded = more;
        guarded[n_guarded++] = lock;
    }
    pthread_mutex_unlock(&connecting);
    return more != NULL;
}

void hsm_fork_unguard(pthread_mutex_t *lock)
{
    pthread_mutex_lock(&connecting);
    for (size_t i = 0; i < n_guarded; i++)
        if (guarded[i] == lock)
            guarded[i--] = guarded[--n_guarded];
    if (n_guarded == 0) {
        free(guarded);
        guarded = NULL;
    }
    pthread_mutex_unlock(&connecting);
}

/* ---- connecting ---- */

void hsm_others_freeze(const struct hsm *h)
{
    for (struct hsm *o = all; o != NULL; o = o->next) {
        if (o == h || o->module != h->module)
            continue;
        pthread_mutex_lock(&o->lock);
        o->frozen++;
        while (o->busy > 0)
            pthread_cond_wait(&o->changed, &o->lock);
        pthread_mutex_unlock(&o->lock);
    }
}

void hsm_others_thaw(const struct hsm *h)
{
    for (struct hsm *o = all; o != NULL; o = o->next) {
        if (o == h || o->module != h->module)
            continue;
        pthread_mutex_lock(&o->lock);
        o->frozen--;
        hsm_disconnected_locked(o);
        pthread_cond_broadcast(&o->changed);
        pthread_mutex_unlock(&o->lock);
    }
}

enum hsm_status hsm_load(struct hsm *h)
{
    enum hsm_status st;

    hsm_enter();
    pthread_mutex_lock(&connecting);
    st = hsm_module_open(h, false);
    pthread_mutex_unlock(&connecting);
    hsm_leave();
    return st;
}

static enum hsm_status connect_now(struct hsm *h)
{
    enum hsm_status st;

    pthread_mutex_lock(&connecting);
    st = h->be->connect(h);
    pthread_mutex_unlock(&connecting);
    return st;
}

enum hsm_status hsm_connected_locked(struct hsm *h)
{
    enum hsm_status st;

    if (hsm_exiting() || atomic_load(&orphan))
        return hsm_fail(HSM_ERR_GONE, "the process is at its end, or a "
                                      "child that the module made");
    for (;;) {
        if (h->connected && h->frozen == 0)
            return HSM_OK;
        if (hsm_inside()) /* with a session, for which others would wait */
            return hsm_fail(HSM_ERR_SESSION, "the connection is made anew");
        if (!h->connecting && h->frozen == 0)
            break;
        pthread_cond_wait(&h->changed, &h->lock);
    }
    h->connecting = true;
    while (h->busy > 0)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
    st = connect_now(h);
    pthread_mutex_lock(&h->lock);
    h->connecting = false;
    h->connected = st == HSM_OK;
    if (st == HSM_OK)
        atomic_fetch_add(&h->epoch, 1);
    pthread_cond_broadcast(&h->changed);
    return st;
}

enum hsm_status hsm_connect(struct hsm *h)
{
    enum hsm_status st;

    pthread_mutex_lock(&h->lock);
    st = hsm_connected_locked(h);
    pthread_mutex_unlock(&h->lock);
    return st;
}

enum hsm_status hsm_use(struct hsm *h)
{
    enum hsm_status st;

    hsm_seen = 0;
    pthread_mutex_lock(&h->lock);
    if ((st = hsm_connected_locked(h)) == HSM_OK) {
        h->busy++;
        hsm_seen = atomic_load(&h->epoch);
    }
    pthread_mutex_unlock(&h->lock);
    return st;
}

bool hsm_use_of(struct hsm *h, unsigned epoch)
{
    bool there;

    pthread_mutex_lock(&h->lock);
    while (h->frozen > 0)
        pthread_cond_wait(&h->changed, &h->lock);
    there = h->connected && atomic_load(&h->epoch) == epoch;
    if (there)
        h->busy++;
    pthread_mutex_unlock(&h->lock);
    return there;
}

void hsm_unuse(struct hsm *h)
{
    pthread_mutex_lock(&h->lock);
    if (--h->busy == 0)
        pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
}

void hsm_lost(struct hsm *h)
{
    pthread_mutex_lock(&h->lock);
    if (atomic_load(&h->epoch) == hsm_seen)
        hsm_disconnected_locked(h);
    pthread_mutex_unlock(&h->lock);
}

bool hsm_again(struct hsm *h, enum hsm_status st)
{
    bool try, alive = true;

    /* Who is logged out finds nothing. */
    if ((st != HSM_ERR_SESSION && st != HSM_ERR_GONE && st != HSM_ERR_DEVICE
         && st != HSM_ERR_NOT_FOUND)
        || hsm_seen == 0) /* no connection was to be had */
        return false;
    pthread_mutex_lock(&h->lock);
    try = h->connecting || h->frozen > 0 || !h->connected
          || atomic_load(&h->epoch) != hsm_seen;
    if (!try)
        h->busy++;
    pthread_mutex_unlock(&h->lock);
    if (try)
        return true;
    alive = h->be->alive(h);
    if (!alive)
        hsm_lost(h);
    hsm_unuse(h);
    return !alive || st == HSM_ERR_SESSION || st == HSM_ERR_GONE;
}

/* ---- life ---- */

static bool copy(const char *from, char **to)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

static void release(struct hsm *h)
{
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h->pool.idle);
    free(h->owners.idle);
    free(h->path);
    free(h->token_uri);
    free(h->pin_file);
    free(h->init_args);
    hsm_pin_forget(h);
    free(h);
}

static enum hsm_status new_as(const struct hsm_config *cfg, CK_USER_TYPE user,
                              struct hsm **out)
{
    struct hsm *h;

    if ((cfg->module == NULL) == (cfg->agent == NULL) || cfg->token == NULL
        || cfg->sessions < 1 || cfg->sessions > 1024)
        return hsm_fail(HSM_ERR_PARAM,
                        "module or agent, token or sessions missing");
    if ((h = calloc(1, sizeof(*h))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    pthread_once(&fork_once, register_fork);
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    h->be = cfg->agent != NULL ? &hsm_agent_backend : &hsm_module_backend;
    h->anchor = CK_INVALID_HANDLE;
    h->user = user;
    h->transient = cfg->transient;
    h->wrap_any = cfg->wrap_any;
    h->no_login = cfg->no_login;
    h->no_finalize = cfg->no_finalize;
    if (!hsm_pool_init(&h->pool, cfg->sessions)
        || !hsm_pool_init(&h->owners, cfg->sessions)
        || !copy(cfg->agent != NULL ? cfg->agent : cfg->module, &h->path)
        || !copy(cfg->token, &h->token_uri)
        || !copy(cfg->pin_file, &h->pin_file)
        || !copy(cfg->init_args, &h->init_args) || !hsm_pin_init(h, cfg->pin)) {
        release(h);
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    }
    pthread_mutex_lock(&connecting);
    h->next = all;
    all = h;
    pthread_mutex_unlock(&connecting);
    *out = h;
    return HSM_OK;
}

enum hsm_status hsm_new(const struct hsm_config *cfg, struct hsm **out)
{
    return new_as(cfg, CKU_USER, out);
}

enum hsm_status hsm_open_as(const struct hsm_config *cfg, CK_USER_TYPE user,
                            struct hsm **out)
{
    struct hsm *h = NULL;
    enum hsm_status st;

    if (user == CKU_SO && cfg->agent != NULL)
        return hsm_fail(HSM_ERR_CONFIG, "an agent has no security officer");
    st = new_as(cfg, user, &h);

    if (st == HSM_OK && (st = hsm_connect(h)) != HSM_OK) {
        hsm_close(h);
        return st;
    }
    if (st == HSM_OK)
        *out = h;
    return st;
}

enum hsm_status hsm_open(const struct hsm_config *cfg, struct hsm **out)
{
    return hsm_open_as(cfg, CKU_USER, out);
}

void hsm_close(struct hsm *h)
{
    struct hsm **p = &all;

    if (h == NULL || atomic_load(&orphan))
        return;
    pthread_mutex_lock(&connecting);
    while (*p != h)
        p = &(*p)->next;
    *p = h->next;
    h->be->close(h);
    pthread_mutex_unlock(&connecting);
    release(h);
}
