/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been revoked, for as long as an access token can live (facts, 9.3):
 * a token stays good by its signature, and what was asked of the CCF before
 * may still be on its way.
 *
 * The list is bounded.  What it has no more room for goes over to all: with
 * the oldest entry that has to go, tokens of anybody up to its time are denied,
 * and so is whatever was asked before it.  To ask anew helps whoever it hits.
 */
#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DENIED_MAX 4096

struct denial {
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
    char api_name[CAPIF_SCOPE_NAME_MAX + 1]; /* "": all */
    time_t at;
    unsigned long long nth;
};

/* Lock order: lock is the last to be taken. */
struct aef_denied {
    pthread_mutex_t lock;
    /* All guarded by lock. */
    struct denial list[DENIED_MAX];
    unsigned hashes[DENIED_MAX]; /* of whose each is: read first */
    size_t n;
    time_t floor;                /* of those that had to go: the last one's */
    unsigned long long gone_nth; /* of all that have gone: the last one's */
    /* Changed with lock held; read without. */
    atomic_ullong count;
};

struct aef_denied *aef_denied_new(void)
{
    struct aef_denied *d = calloc(1, sizeof(*d));

    if (d != NULL)
        pthread_mutex_init(&d->lock, NULL);
    return d;
}

void aef_denied_free(struct aef_denied *d)
{
    if (d == NULL)
        return;
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static unsigned hash_of(const char *ccf_id, const char *invoker_id)
{
    unsigned hash = 5381;

    for (; *ccf_id != '\0'; ccf_id++)
        hash = hash * 33 + (unsigned char)*ccf_id;
    for (; *invoker_id != '\0'; invoker_id++)
        hash = hash * 33 + (unsigned char)*invoker_id;
    return hash;
}

/* The next one of an invoker's from i on; NULL: none.  Caller holds lock. */
static struct denial *next_locked(struct aef_denied *d, size_t *i,
                                  const char *ccf_id, const char *invoker_id)
{
    unsigned hash = hash_of(ccf_id, invoker_id);
    struct denial *it;

    while (*i < d->n) {
        it = &d->list[(*i)++];
        if (d->hashes[*i - 1] == hash && strcmp(it->invoker_id, invoker_id) == 0
            && strcmp(it->ccf_id, ccf_id) == 0)
            return it;
    }
    return NULL;
}

/* Caller holds lock. */
static void let_go_locked(struct aef_denied *d, const struct denial *it)
{
    if (d->gone_nth < it->nth)
        d->gone_nth = it->nth;
}

/* What no token can be as old as is no more needed.  Caller holds lock. */
static void expire_locked(struct aef_denied *d, time_t now)
{
    for (size_t i = d->n; i-- > 0;) {
        if (d->list[i].at > now - AEF_TOKEN_SECONDS)
            continue;
        let_go_locked(d, &d->list[i]);
        d->n--;
        d->list[i] = d->list[d->n];
        d->hashes[i] = d->hashes[d->n];
    }
}

/* A place where there is none.  Caller holds lock. */
static struct denial *place_locked(struct aef_denied *d, time_t now)
{
    struct denial *oldest = &d->list[0];

    if (d->n == DENIED_MAX)
        expire_locked(d, now);
    if (d->n < DENIED_MAX)
        return &d->list[d->n++];
    for (size_t i = 1; i < d->n; i++)
        if (d->list[i].nth < oldest->nth)
            oldest = &d->list[i];
    if (d->floor < oldest->at)
        d->floor = oldest->at;
    let_go_locked(d, oldest);
    return oldest;
}

void aef_denied_add(struct aef_denied *d, const char *ccf_id,
                    const char *invoker_id, const char *api_name, time_t at,
                    time_t now)
{
    struct denial *it;
    size_t i = 0;

    pthread_mutex_lock(&d->lock);
    do
        it = next_locked(d, &i, ccf_id, invoker_id);
    while (it != NULL && strcmp(it->api_name, api_name) != 0);
    if (it == NULL) {
        it = place_locked(d, now);
        snprintf(it->ccf_id, sizeof(it->ccf_id), "%s", ccf_id);
        snprintf(it->invoker_id, sizeof(it->invoker_id), "%s", invoker_id);
        snprintf(it->api_name, sizeof(it->api_name), "%s", api_name);
        it->at = at;
        d->hashes[it - d->list] = hash_of(ccf_id, invoker_id);
    }
    if (it->at < at) /* it may come late */
        it->at = at;
    it->nth = atomic_load(&d->count) + 1;
    atomic_store(&d->count, it->nth);
    pthread_mutex_unlock(&d->lock);
}

unsigned long long aef_denied_count(const struct aef_denied *d)
{
    return atomic_load(&d->count);
}

static bool is_of(const struct denial *it, const char *api_name)
{
    return api_name == NULL || it->api_name[0] == '\0'
           || strcmp(it->api_name, api_name) == 0;
}

bool aef_denied_since(struct aef_denied *d, const char *ccf_id,
                      const char *invoker_id, const char *api_name,
                      unsigned long long count)
{
    const struct denial *it;
    size_t i = 0;
    bool is;

    if (count == aef_denied_count(d))
        return false;
    pthread_mutex_lock(&d->lock);
    is = count < d->gone_nth;
    while (!is && (it = next_locked(d, &i, ccf_id, invoker_id)) != NULL)
        is = it->nth > count && is_of(it, api_name);
    pthread_mutex_unlock(&d->lock);
    return is;
}

time_t aef_denied_until(struct aef_denied *d, const char *ccf_id,
                        const char *invoker_id, const char *api_name,
                        time_t now)
{
    const struct denial *it;
    time_t until = now - AEF_TOKEN_SECONDS;
    size_t i = 0;

    pthread_mutex_lock(&d->lock);
    if (until < d->floor)
        until = d->floor;
    while ((it = next_locked(d, &i, ccf_id, invoker_id)) != NULL)
        if (is_of(it, api_name) && until < it->at)
            until = it->at;
    pthread_mutex_unlock(&d->lock);
    return until;
}
