/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded pools of sessions.  PKCS#11 allows one active operation of a
 * kind per session, so a session is borrowed for one operation at a time.
 */
#include "../internal.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* ---- inside a module ---- */

static _Thread_local unsigned inside; /* how deep */
static _Thread_local bool pipe_blocked;

static void only_pipe(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

void hsm_enter(void)
{
    sigset_t set, old;

    if (inside++ > 0)
        return;
    only_pipe(&set);
    pipe_blocked = pthread_sigmask(SIG_BLOCK, &set, &old) == 0
                   && !sigismember(&old, SIGPIPE);
}

void hsm_leave(void)
{
    const struct timespec none = { 0, 0 };
    sigset_t set;

    if (--inside > 0 || !pipe_blocked)
        return;
    only_pipe(&set);
    while (sigtimedwait(&set, NULL, &none) == SIGPIPE)
        ; /* the module's: the host program is not to hear of it */
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool hsm_inside(void)
{
    return inside > 0;
}

/* ---- pools ---- */

bool hsm_pool_init(struct hsm_pool *pool, size_t max)
{
    pool->max = max;
    pool->idle = calloc(max, sizeof(*pool->idle));
    return pool->idle != NULL;
}

void hsm_pool_drop(struct hsm *h, struct hsm_pool *pool)
{
    while (pool->n_idle > 0)
        (void)h->p11->C_CloseSession(pool->idle[--pool->n_idle]);
    pool->n_open = 0;
}

static void give_back(struct hsm *h, struct hsm_pool *pool, CK_SESSION_HANDLE s,
                      bool keep)
{
    pthread_mutex_lock(&h->lock);
    if (keep)
        pool->idle[pool->n_idle++] = s;
    else
        pool->n_open--;
    h->busy--;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    hsm_leave();
}

/* Session, and login. */
bool module_alive(const struct hsm *h)
{
    CK_SESSION_INFO info;
    bool alive;

    hsm_enter();
    alive =
        h->p11->C_GetSessionInfo(h->anchor, &info) == CKR_OK
        && (!atomic_load(&h->logged_in) || info.state == CKS_RO_USER_FUNCTIONS
            || info.state == CKS_RW_USER_FUNCTIONS
            || info.state == CKS_RW_SO_FUNCTIONS);
    hsm_leave();
    return alive;
}

/*
 * A new session on a connection that is not what it was would give object
 * handles a second meaning, so that is looked at first.
 */
static enum hsm_status open_one(struct hsm *h, CK_SESSION_HANDLE *s)
{
    if (!module_alive(h)) {
        hsm_lost(h);
        return hsm_fail(HSM_ERR_SESSION, "the connection is lost");
    }
    return HSM_CALL(h, C_OpenSession, h->slot, CKF_SERIAL_SESSION, NULL, NULL,
                    s);
}

static enum hsm_status pool_get(struct hsm *h, struct hsm_pool *pool,
                                CK_SESSION_HANDLE *out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    enum hsm_status st;

    hsm_seen = 0;
    pthread_mutex_lock(&h->lock);
    while ((st = hsm_connected_locked(h)) == HSM_OK && pool->n_idle == 0
           && pool->n_open >= pool->max) {
        if (hsm_inside()) { /* it would wait for itself */
            st = hsm_fail(HSM_ERR_SESSION, "all sessions are in use");
            break;
        }
        pthread_cond_wait(&h->changed, &h->lock);
    }
    if (st == HSM_OK) {
        if (pool->n_idle > 0)
            s = pool->idle[--pool->n_idle];
        else
            pool->n_open++; /* the place is taken before the lock is left */
        h->busy++;
        hsm_seen = atomic_load(&h->epoch);
    }
    pthread_mutex_unlock(&h->lock);
    if (st != HSM_OK)
        return st;
    hsm_enter();
    if (s == CK_INVALID_HANDLE && (st = open_one(h, &s)) != HSM_OK) {
        give_back(h, pool, s, false);
        return st;
    }
    *out = s;
    return HSM_OK;
}

enum hsm_status hsm_session_get(struct hsm *h, CK_SESSION_HANDLE *s)
{
    return pool_get(h, &h->pool, s);
}

void hsm_session_put(struct hsm *h, CK_SESSION_HANDLE s, bool ok)
{
    if (s == CK_INVALID_HANDLE)
        return;
    if (!ok)
        (void)h->p11->C_CloseSession(s); /* it may be gone already */
    give_back(h, &h->pool, s, ok);
}

enum hsm_status hsm_owner_get(struct hsm *h, CK_SESSION_HANDLE *s)
{
    return pool_get(h, &h->owners, s);
}

void hsm_owner_put(struct hsm *h, CK_SESSION_HANDLE s, enum hsm_status st)
{
    if (s == CK_INVALID_HANDLE)
        return;
    if (st == HSM_ERR_SESSION) { /* lost, and its objects with it */
        (void)h->p11->C_CloseSession(s);
        hsm_lost(h);
    }
    give_back(h, &h->owners, s, st != HSM_ERR_SESSION);
}

/* ---- the connection ---- */

static void sessions_drop(struct hsm *h)
{
    if (h->p11 == NULL)
        return;
    hsm_pool_drop(h, &h->pool);
    hsm_pool_drop(h, &h->owners);
    if (h->anchor != CK_INVALID_HANDLE)
        (void)h->p11->C_CloseSession(h->anchor);
    h->anchor = CK_INVALID_HANDLE;
}

/* Was there a connection, and is all that could be wrong the module's? */
static bool worth_restarting(const struct hsm *h, enum hsm_status st)
{
    return atomic_load(&h->epoch) > 0
           && (st == HSM_ERR_SESSION || st == HSM_ERR_GONE
               || st == HSM_ERR_DEVICE || st == HSM_ERR_NOT_FOUND);
}

static enum hsm_status token_open(struct hsm *h)
{
    enum hsm_status st = hsm_token_choose(h);

    atomic_store(&h->logged_in, false);
    if (st != HSM_OK)
        return st;
    /* The security officer can't be in while a session is read-only. */
    st = HSM_CALL(h, C_OpenSession, h->slot,
                  CKF_SERIAL_SESSION | (h->user == CKU_SO ? CKF_RW_SESSION : 0),
                  NULL, NULL, &h->anchor);
    if (st == HSM_OK && !h->no_login)
        st = hsm_pin_login(h);
    return st == HSM_OK ? hsm_rungs_find(h) : st;
}

enum hsm_status module_connect(struct hsm *h)
{
    enum hsm_status st;

    hsm_enter();
    sessions_drop(h);
    if ((st = hsm_module_open(h, false)) == HSM_OK)
        st = token_open(h);
    if (worth_restarting(h, st)) {
        sessions_drop(h);
        if ((st = hsm_module_open(h, true)) == HSM_OK)
            st = token_open(h);
    }
    if (st != HSM_OK)
        sessions_drop(h);
    hsm_leave();
    return st;
}

void module_close(struct hsm *h)
{
    if (hsm_exiting())
        return;
    hsm_enter();
    if (h->connected)
        sessions_drop(h);
    hsm_module_close(h);
    hsm_leave();
}

void module_forked(struct hsm *h)
{
    h->pool.n_idle = h->pool.n_open = 0;
    h->owners.n_idle = h->owners.n_open = 0;
    h->anchor = CK_INVALID_HANDLE;
}
