/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded pool of sessions.  PKCS#11 allows one active operation of a
 * kind per session, so a session is borrowed for one operation at a time.
 */
#include "internal.h"

#include <stdlib.h>

bool hsm_pool_init(struct hsm_pool *pool, size_t max)
{
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->freed, NULL);
    pool->max = max;
    pool->idle = calloc(max, sizeof(*pool->idle));
    return pool->idle != NULL;
}

void hsm_pool_clear(struct hsm_pool *pool)
{
    pthread_cond_destroy(&pool->freed);
    pthread_mutex_destroy(&pool->lock);
}

/* Caller holds pool->lock. */
static CK_SESSION_HANDLE idle_pop_locked(struct hsm_pool *pool)
{
    return pool->n_idle > 0 ? pool->idle[--pool->n_idle] : CK_INVALID_HANDLE;
}

static void forget_one(struct hsm_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->n_open--;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

static enum hsm_status pool_get(struct hsm *h, struct hsm_pool *pool,
                                CK_SESSION_HANDLE *out)
{
    CK_SESSION_HANDLE s;
    enum hsm_status st;

    if (!hsm_alive(h))
        return hsm_fail(HSM_ERR_GONE,
                        "PKCS#11 survives neither fork() nor exit()");
    pthread_mutex_lock(&pool->lock);
    while ((s = idle_pop_locked(pool)) == CK_INVALID_HANDLE
           && pool->n_open >= pool->max)
        pthread_cond_wait(&pool->freed, &pool->lock);
    if (s == CK_INVALID_HANDLE)
        pool->n_open++; /* the place is taken before the lock is left */
    pthread_mutex_unlock(&pool->lock);
    if (s == CK_INVALID_HANDLE) {
        st = HSM_CALL(h, C_OpenSession, h->slot, CKF_SERIAL_SESSION, NULL, NULL,
                      &s);
        if (st != HSM_OK) {
            forget_one(pool);
            return st;
        }
    }
    *out = s;
    return HSM_OK;
}

static void pool_put(struct hsm_pool *pool, CK_SESSION_HANDLE s)
{
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->n_idle++] = s;
    pthread_cond_signal(&pool->freed);
    pthread_mutex_unlock(&pool->lock);
}

enum hsm_status hsm_session_get(struct hsm *h, CK_SESSION_HANDLE *s)
{
    return pool_get(h, &h->pool, s);
}

void hsm_session_put(struct hsm *h, CK_SESSION_HANDLE s, bool ok)
{
    if (s == CK_INVALID_HANDLE)
        return;
    if (ok) {
        pool_put(&h->pool, s);
    } else {
        (void)h->p11->C_CloseSession(s); /* it may be gone already */
        forget_one(&h->pool);
    }
}

enum hsm_status hsm_owner_get(struct hsm *h, CK_SESSION_HANDLE *s)
{
    return pool_get(h, &h->owners, s);
}

void hsm_owner_put(struct hsm *h, CK_SESSION_HANDLE s, enum hsm_status st)
{
    if (s == CK_INVALID_HANDLE)
        return;
    if (st != HSM_ERR_SESSION) {
        pool_put(&h->owners, s);
    } else { /* lost, and its objects with it */
        (void)h->p11->C_CloseSession(s);
        forget_one(&h->owners);
    }
}

void hsm_sessions_close(struct hsm *h)
{
    CK_SESSION_HANDLE s;

    while ((s = idle_pop_locked(&h->pool)) != CK_INVALID_HANDLE
           || (s = idle_pop_locked(&h->owners)) != CK_INVALID_HANDLE)
        (void)h->p11->C_CloseSession(s);
    if (h->anchor != CK_INVALID_HANDLE)
        (void)h->p11->C_CloseSession(h->anchor);
}
