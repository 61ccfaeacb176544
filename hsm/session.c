/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bounded pool of sessions.  PKCS#11 allows one active operation of a
 * kind per session, so a session is borrowed for one operation at a time.
 */
#include "internal.h"

#include <unistd.h>

/* Caller holds h->lock. */
static CK_SESSION_HANDLE idle_pop_locked(struct hsm *h)
{
    return h->n_idle > 0 ? h->idle[--h->n_idle] : CK_INVALID_HANDLE;
}

static void forget_one(struct hsm *h)
{
    pthread_mutex_lock(&h->lock);
    h->n_open--;
    pthread_cond_signal(&h->freed);
    pthread_mutex_unlock(&h->lock);
}

enum hsm_status hsm_session_get(struct hsm *h, CK_SESSION_HANDLE *out)
{
    CK_SESSION_HANDLE s;
    enum hsm_status st;

    if (getpid() != h->pid)
        return hsm_fail(HSM_ERR_GONE, "PKCS#11 does not survive fork()");
    pthread_mutex_lock(&h->lock);
    while ((s = idle_pop_locked(h)) == CK_INVALID_HANDLE && h->n_open >= h->max)
        pthread_cond_wait(&h->freed, &h->lock);
    if (s == CK_INVALID_HANDLE)
        h->n_open++; /* the place is taken before the lock is left */
    pthread_mutex_unlock(&h->lock);
    if (s == CK_INVALID_HANDLE) {
        st = HSM_CALL(h, C_OpenSession, h->slot, CKF_SERIAL_SESSION, NULL, NULL,
                      &s);
        if (st != HSM_OK) {
            forget_one(h);
            return st;
        }
    }
    *out = s;
    return HSM_OK;
}

void hsm_session_put(struct hsm *h, CK_SESSION_HANDLE s, bool ok)
{
    if (s == CK_INVALID_HANDLE)
        return;
    if (!ok) {
        (void)h->p11->C_CloseSession(s); /* it may be gone already */
        forget_one(h);
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->idle[h->n_idle++] = s;
    pthread_cond_signal(&h->freed);
    pthread_mutex_unlock(&h->lock);
}

void hsm_sessions_close(struct hsm *h)
{
    CK_SESSION_HANDLE s;

    while ((s = idle_pop_locked(h)) != CK_INVALID_HANDLE)
        (void)h->p11->C_CloseSession(s);
    if (h->anchor != CK_INVALID_HANDLE)
        (void)h->p11->C_CloseSession(h->anchor);
}
