/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

#define NONE  UINT32_MAX
#define FIRST 16 /* places to begin with */

static enum hsm_status grow_locked(struct agent_conn *c)
{
    size_t n = c->n_objects == 0 ? FIRST : 2 * c->n_objects;
    struct agent_object *more = realloc(c->objects, n * sizeof(*more));

    if (more == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    memset(more + c->n_objects, 0, (n - c->n_objects) * sizeof(*more));
    for (size_t i = c->n_objects; i < n; i++)
        more[i].next_free = i + 1 < n ? (uint32_t)(i + 1) : NONE;
    c->free = (uint32_t)c->n_objects;
    c->objects = more;
    c->n_objects = n;
    return HSM_OK;
}

/* A user's connections together may have four times what one may. */
static enum hsm_status room_locked(struct agent_conn *c)
{
    const size_t max = c->agent->objects;

    if (c->used >= max || atomic_load(&c->user->objects) >= 4 * max)
        return hsm_fail(HSM_ERR_MEMORY, "too many objects");
    return c->free == NONE ? grow_locked(c) : HSM_OK;
}

bool agent_has_room(struct agent_conn *c)
{
    bool room;

    pthread_mutex_lock(&c->lock);
    room = room_locked(c) == HSM_OK;
    pthread_mutex_unlock(&c->lock);
    return room;
}

uint64_t agent_put(struct agent_conn *c, struct hsm_key *key,
                   struct hsm_secret *secret, unsigned uses)
{
    struct agent_object *o;
    uint64_t number = 0;

    pthread_mutex_lock(&c->lock);
    if (room_locked(c) == HSM_OK) {
        o = &c->objects[c->free];
        if (++o->generation == 0) /* 0 is no object's number */
            o->generation = 1;
        number = (uint64_t)o->generation << 32 | c->free;
        c->free = o->next_free;
        o->key = key;
        o->secret = secret;
        o->uses = uses;
        c->used++;
        atomic_fetch_add(&c->user->objects, 1);
    }
    pthread_mutex_unlock(&c->lock);
    if (number == 0) {
        hsm_key_free(key);
        hsm_secret_free(secret);
    }
    return number;
}

static struct agent_object *find_locked(struct agent_conn *c, uint64_t number)
{
    uint32_t place = (uint32_t)number;
    struct agent_object *o = c->objects;

    if (place >= c->n_objects)
        return NULL;
    o += place;
    return o->generation == number >> 32
                   && (o->key != NULL || o->secret != NULL)
               ? o
               : NULL;
}

enum hsm_status agent_get_key(struct agent_conn *c, uint64_t number,
                              unsigned use, struct hsm_key **out)
{
    enum hsm_status st = HSM_ERR_PARAM;
    struct hsm_key *key = NULL;
    struct agent_object *o;

    pthread_mutex_lock(&c->lock);
    if ((o = find_locked(c, number)) != NULL && o->key != NULL) {
        st = (o->uses & use) == use ? HSM_OK : HSM_ERR_DENIED;
        key = hsm_key_ref(o->key);
    }
    pthread_mutex_unlock(&c->lock);
    if (st == HSM_OK) {
        *out = key;
        return HSM_OK;
    }
    if (st == HSM_ERR_DENIED)
        st = agent_refuse(c, use, (const char *)key->label, key->label_len);
    else
        st = hsm_fail(st, "no such key");
    hsm_key_free(key);
    return st;
}

enum hsm_status agent_get_secret(struct agent_conn *c, uint64_t number,
                                 unsigned use, struct hsm_secret **out)
{
    enum hsm_status st = HSM_ERR_PARAM;
    struct hsm_secret *secret = NULL;
    struct agent_object *o;

    pthread_mutex_lock(&c->lock);
    if ((o = find_locked(c, number)) != NULL && o->secret != NULL) {
        st = (o->uses & use) == use ? HSM_OK : HSM_ERR_DENIED;
        secret = hsm_secret_ref(o->secret);
    }
    pthread_mutex_unlock(&c->lock);
    if (st == HSM_OK && !hsm_secret_alive(secret)) {
        atomic_store(&c->over, true); /* so are all others of this one */
        st = hsm_secret_live(secret);
    } else if (st == HSM_ERR_DENIED) {
        st = agent_refuse(c, use, secret->label,
                          secret->label != NULL ? strlen(secret->label) : 0);
    } else if (st != HSM_OK) {
        st = hsm_fail(st, "no such secret");
    }
    if (st == HSM_OK)
        *out = secret;
    else
        hsm_secret_free(secret);
    return st;
}

/* Caller has left no lock but c->lock, under which no token is called. */
void agent_drop(struct agent_conn *c, uint64_t number)
{
    struct hsm_secret *secret = NULL;
    struct hsm_key *key = NULL;
    struct agent_object *o;

    pthread_mutex_lock(&c->lock);
    if ((o = find_locked(c, number)) != NULL) {
        key = o->key;
        secret = o->secret;
        o->key = NULL;
        o->secret = NULL;
        o->next_free = c->free;
        c->free = (uint32_t)(o - c->objects);
        c->used--;
        atomic_fetch_sub(&c->user->objects, 1);
    }
    pthread_mutex_unlock(&c->lock);
    hsm_key_free(key);
    hsm_secret_free(secret);
}

void agent_drop_all(struct agent_conn *c)
{
    for (size_t i = 0; i < c->n_objects; i++) {
        if (c->objects[i].key == NULL && c->objects[i].secret == NULL)
            continue;
        hsm_key_free(c->objects[i].key);
        hsm_secret_free(c->objects[i].secret);
        atomic_fetch_sub(&c->user->objects, 1);
    }
    free(c->objects);
}
