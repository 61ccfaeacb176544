/* SPDX-License-Identifier: Apache-2.0 */
#include "sealed.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define TAG_LEN   16
#define CHECK_LEN 8
#define KEY_LEN   32
#define NONE      UINT32_MAX
#define CHILDREN  4 /* SEALED_EARLY to SEALED_DERIVED */

struct entry {
    struct hsm_secret *secret; /* NULL: free */
    enum sealed_kind kind;
    uint32_t generation; /* of this place; a released handle never comes back */
    size_t len;          /* of its handle */
    uint32_t parent;     /* or NONE */
    uint32_t child[CHILDREN];
    bool pinned;
    uint64_t expires; /* as now() */
    uint64_t age;     /* the lower, the older */
};

struct sealed_table {
    OSSL_LIB_CTX *libctx;
    uint8_t tag[TAG_LEN], key[KEY_LEN];
    size_t max;
    pthread_mutex_t lock;
    struct entry *entries; /* guarded by lock, like all below */
    size_t used;
    uint64_t next_expiry; /* no entry expires before */
    uint64_t ages;
};

/* Secrets to give up once the lock is left. */
struct doomed {
    struct hsm_secret *secret[1 + CHILDREN];
    size_t n;
};

/* Milliseconds: in whole seconds a life of one could end at once. */
static uint64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct sealed_table *sealed_table_new(OSSL_LIB_CTX *libctx, size_t max)
{
    struct sealed_table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->libctx = libctx;
    t->max = max;
    pthread_mutex_init(&t->lock, NULL);
    t->entries = calloc(max, sizeof(*t->entries));
    if (t->entries == NULL || !hsm_fork_guard(&t->lock)
        || getrandom(t->tag, sizeof(t->tag), 0) != (ssize_t)sizeof(t->tag)
        || getrandom(t->key, sizeof(t->key), 0) != (ssize_t)sizeof(t->key)) {
        sealed_table_free(t);
        return NULL;
    }
    return t;
}

void sealed_table_free(struct sealed_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; t->entries != NULL && i < t->max; i++)
        hsm_secret_free(t->entries[i].secret);
    free(t->entries);
    hsm_fork_unguard(&t->lock);
    pthread_mutex_destroy(&t->lock);
    OPENSSL_cleanse(t->key, sizeof(t->key));
    free(t);
}

/* ---- handles ---- */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8
           | p[3];
}

/* tag, index, generation, check; the check fills what is left of len. */
static bool handle_write(const struct sealed_table *t, uint32_t index,
                         uint32_t generation, uint8_t *out, size_t len)
{
    const size_t head = TAG_LEN + 8;
    uint8_t mac[SEALED_LEN_MAX];
    size_t mac_len = 0;

    memcpy(out, t->tag, TAG_LEN);
    put32(out + TAG_LEN, index);
    put32(out + TAG_LEN + 4, generation);
    if (EVP_Q_mac(t->libctx, "HMAC", NULL, "SHA512", NULL, t->key,
                  sizeof(t->key), out, head, mac, sizeof(mac), &mac_len)
            == NULL
        || mac_len < len - head)
        return false;
    memcpy(out + head, mac, len - head);
    return true;
}

/* Caller holds t->lock. */
static struct entry *entry_locked(struct sealed_table *t, const uint8_t *octets,
                                  size_t len)
{
    uint8_t want[SEALED_LEN_MAX];
    struct entry *e;
    uint32_t index;

    if (len < SEALED_LEN || len > SEALED_LEN_MAX
        || (index = get32(octets + TAG_LEN)) >= t->max)
        return NULL;
    e = &t->entries[index];
    if (e->secret == NULL || e->len != len || e->expires <= now()
        || !hsm_secret_alive(e->secret)
        || !handle_write(t, index, e->generation, want, len)
        || CRYPTO_memcmp(want, octets, len) != 0)
        return NULL;
    return e;
}

/* ---- life and death ---- */

/* Caller holds t->lock. */
static void remove_locked(struct sealed_table *t, struct entry *e,
                          struct doomed *doomed)
{
    if (e->secret == NULL)
        return;
    doomed->secret[doomed->n++] = e->secret;
    e->secret = NULL;
    e->generation++;
    t->used--;
}

/* The entry and its children.  Caller holds t->lock. */
static void remove_tree_locked(struct sealed_table *t, struct entry *e,
                               struct doomed *doomed)
{
    for (size_t i = 0; e->parent == NONE && i < CHILDREN; i++)
        if (e->child[i] != NONE)
            remove_locked(t, &t->entries[e->child[i]], doomed);
    remove_locked(t, e, doomed);
}

static void bury(struct doomed *doomed)
{
    while (doomed->n > 0)
        hsm_secret_free(doomed->secret[--doomed->n]);
}

/* Something whose time is up, if there is; takes and leaves the lock. */
static bool expire_one(struct sealed_table *t)
{
    struct doomed doomed = { .n = 0 };
    uint64_t at = now(), next = at + 3600 * 1000;

    pthread_mutex_lock(&t->lock);
    if (at >= t->next_expiry) {
        for (size_t i = 0; i < t->max && doomed.n == 0; i++) {
            struct entry *e = &t->entries[i];

            if (e->secret == NULL || e->parent != NONE)
                continue;
            if (e->expires <= at)
                remove_tree_locked(t, e, &doomed);
            else if (e->expires < next)
                next = e->expires;
        }
        if (doomed.n == 0)
            t->next_expiry = next;
    }
    pthread_mutex_unlock(&t->lock);
    if (doomed.n == 0)
        return false;
    bury(&doomed);
    return true;
}

static void expire(struct sealed_table *t)
{
    while (expire_one(t))
        ;
}

/* A free place, or that of the oldest unpinned.  Caller holds t->lock. */
static struct entry *place_locked(struct sealed_table *t, struct doomed *doomed)
{
    struct entry *oldest = NULL;

    for (size_t i = 0; i < t->max; i++) {
        struct entry *e = &t->entries[i];

        if (e->secret == NULL)
            return e;
        if (e->secret != NULL && !e->pinned && e->parent == NONE
            && (oldest == NULL || e->age < oldest->age))
            oldest = e;
    }
    if (oldest != NULL)
        remove_tree_locked(t, oldest, doomed);
    return oldest;
}

/* Caller holds t->lock. */
static bool fill_locked(struct sealed_table *t, struct entry *e,
                        struct hsm_secret *secret, enum sealed_kind kind,
                        uint8_t *handle, size_t len)
{
    if (!handle_write(t, (uint32_t)(e - t->entries), e->generation, handle,
                      len))
        return false;
    e->secret = secret;
    e->kind = kind;
    e->len = len;
    e->parent = NONE;
    for (size_t i = 0; i < CHILDREN; i++)
        e->child[i] = NONE;
    e->age = t->ages++;
    t->used++;
    return true;
}

bool sealed_add(struct sealed_table *t, struct hsm_secret *secret,
                enum sealed_kind kind, unsigned lifetime, bool pinned,
                uint8_t *handle, size_t len)
{
    struct doomed doomed = { .n = 0 };
    struct entry *e;
    bool ok = false;

    if (len < SEALED_LEN || len > SEALED_LEN_MAX)
        return false;
    expire(t);
    pthread_mutex_lock(&t->lock);
    e = place_locked(t, &doomed);
    if (e != NULL && fill_locked(t, e, secret, kind, handle, len)) {
        e->pinned = pinned;
        e->expires = now() + (uint64_t)lifetime * 1000;
        if (e->expires < t->next_expiry || t->used == 1)
            t->next_expiry = e->expires;
        ok = true;
    }
    pthread_mutex_unlock(&t->lock);
    bury(&doomed);
    return ok;
}

enum sealed_match sealed_find(struct sealed_table *t, const uint8_t *octets,
                              size_t len, struct hsm_secret **secret,
                              enum sealed_kind *kind)
{
    struct entry *e;

    if (octets == NULL || len < TAG_LEN
        || CRYPTO_memcmp(octets, t->tag, TAG_LEN) != 0)
        return SEALED_PLAIN;
    expire(t);
    pthread_mutex_lock(&t->lock);
    e = entry_locked(t, octets, len);
    if (e != NULL && secret != NULL)
        *secret = hsm_secret_ref(e->secret);
    if (e != NULL && kind != NULL)
        *kind = e->kind;
    pthread_mutex_unlock(&t->lock);
    return e != NULL ? SEALED_OK : SEALED_BAD;
}

/* ---- what dies with a PSK ---- */

/* The root of parent's tree and kind's place in it.  Caller holds t->lock. */
static uint32_t *child_locked(struct sealed_table *t, const uint8_t *parent,
                              size_t len, enum sealed_kind kind,
                              struct entry **root)
{
    struct entry *e = entry_locked(t, parent, len);

    if (e == NULL || kind < SEALED_EARLY || kind > SEALED_DERIVED)
        return NULL;
    *root = e->parent == NONE ? e : &t->entries[e->parent];
    return &(*root)->child[kind - SEALED_EARLY];
}

bool sealed_find_child(struct sealed_table *t, const uint8_t *parent,
                       size_t parent_len, enum sealed_kind kind,
                       uint8_t *handle, struct hsm_secret **secret)
{
    struct entry *root, *e = NULL;
    uint32_t *place;
    bool ok = false;

    pthread_mutex_lock(&t->lock);
    place = child_locked(t, parent, parent_len, kind, &root);
    if (place != NULL && *place != NONE) {
        e = &t->entries[*place];
        ok = handle_write(t, *place, e->generation, handle, SEALED_LEN);
        if (ok && secret != NULL)
            *secret = hsm_secret_ref(e->secret);
    }
    pthread_mutex_unlock(&t->lock);
    return ok;
}

bool sealed_add_child(struct sealed_table *t, const uint8_t *parent,
                      size_t parent_len, struct hsm_secret *secret,
                      enum sealed_kind kind, uint8_t *handle)
{
    struct doomed doomed = { .n = 0 };
    struct entry *root = NULL, *e = NULL;
    struct hsm_secret *spare = NULL;
    uint32_t *place;
    bool ok = false;

    expire(t);
    pthread_mutex_lock(&t->lock);
    place = child_locked(t, parent, parent_len, kind, &root);
    if (place != NULL && *place != NONE) { /* somebody was faster */
        ok = handle_write(t, *place, t->entries[*place].generation, handle,
                          SEALED_LEN);
        spare = ok ? secret : NULL;
    } else if (place != NULL) {
        bool pinned = root->pinned;

        root->pinned = true; /* not to be evicted for its own child */
        e = place_locked(t, &doomed);
        root->pinned = pinned;
        if (e != NULL && fill_locked(t, e, secret, kind, handle, SEALED_LEN)) {
            e->parent = (uint32_t)(root - t->entries);
            e->pinned = true;
            e->expires = root->expires;
            *place = (uint32_t)(e - t->entries);
            ok = true;
        }
    }
    pthread_mutex_unlock(&t->lock);
    bury(&doomed);
    hsm_secret_free(spare);
    return ok;
}

bool sealed_release(struct sealed_table *t, const uint8_t *handle, size_t len)
{
    struct doomed doomed = { .n = 0 };
    struct entry *e;

    if (len < TAG_LEN || CRYPTO_memcmp(handle, t->tag, TAG_LEN) != 0)
        return false;
    pthread_mutex_lock(&t->lock);
    e = entry_locked(t, handle, len);
    if (e != NULL && e->parent == NONE)
        remove_tree_locked(t, e, &doomed);
    pthread_mutex_unlock(&t->lock);
    bury(&doomed);
    return e != NULL;
}

size_t sealed_count(struct sealed_table *t)
{
    size_t n;

    expire(t);
    pthread_mutex_lock(&t->lock);
    n = t->used;
    pthread_mutex_unlock(&t->lock);
    return n;
}
