/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side of hsm.h: what is asked of keys and of the token.
 */
#include "../internal.h"

#include "client.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

enum hsm_status agent_secret_take(struct hsm *h, const struct agent_answer *a,
                                  size_t len, struct hsm_secret **out)
{
    enum hsm_status st =
        hsm_secret_new(h, (CK_OBJECT_HANDLE)a->msg.items[3].num, len, out);

    if (st == HSM_OK)
        (*out)->epoch = a->epoch;
    return st;
}

enum hsm_status agent_make(struct hsm *h, unsigned epoch, enum wire_op op,
                           const struct wire_item *items, size_t n, size_t len,
                           struct hsm_secret **out)
{
    struct agent_answer a;
    enum hsm_status st = agent_ask(h, epoch, op, items, n, &a);

    if (st == HSM_OK)
        st = agent_secret_take(h, &a, len, out);
    agent_answer_free(&a);
    return st;
}

enum hsm_status agent_bytes(struct hsm *h, unsigned epoch, enum wire_op op,
                            const struct wire_item *items, size_t n,
                            uint8_t *out, size_t *len)
{
    struct agent_answer a;
    enum hsm_status st = agent_ask(h, epoch, op, items, n, &a);

    if (st == HSM_OK && a.msg.items[3].len > *len)
        st = hsm_fail(HSM_ERR_BUFFER, "%zu octets for %zu", *len,
                      a.msg.items[3].len);
    if (st == HSM_OK) {
        *len = a.msg.items[3].len;
        memcpy(out, a.msg.items[3].p, *len);
    }
    agent_answer_free(&a);
    return st;
}

/* ---- keys ---- */

/* The part of an object that is a key; the agent's number is in *a. */
static enum hsm_status key_take(struct hsm *h, const struct agent_answer *a,
                                const struct wire_item *it,
                                struct hsm_key **out)
{
    struct hsm_key *key = calloc(1, sizeof(*key));
    uint8_t *part[4] = { NULL };

    if (key == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < 4; i++) {
        part[i] = malloc(it[4 + i].len + 1);
        if (part[i] != NULL)
            memcpy(part[i], it[4 + i].p, it[4 + i].len);
    }
    atomic_init(&key->refs, 1);
    key->hsm = h;
    atomic_init(&key->h, it[1].num);
    atomic_init(&key->epoch, a->epoch);
    key->cls = it[0].num == HSM_PRIVATE ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
    key->info = (struct hsm_key_info){ .type = (enum hsm_key_type)it[2].num,
                                       .curve = (enum hsm_curve)it[3].num,
                                       .is_private = it[0].num == HSM_PRIVATE,
                                       .a = part[0],
                                       .b = part[1],
                                       .a_len = it[4].len,
                                       .b_len = it[5].len };
    key->id = part[2];
    key->id_len = it[6].len;
    key->label = part[3];
    key->label_len = it[7].len;
    if (part[0] == NULL || part[1] == NULL || part[2] == NULL
        || part[3] == NULL) {
        hsm_key_free(key);
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    }
    *out = key;
    return HSM_OK;
}

/* What an agent may say of an object. */
static bool is_object(const struct wire_item *it)
{
    if (it[0].num == HSM_CERT)
        return true;
    return (it[0].num == HSM_PRIVATE || it[0].num == HSM_PUBLIC)
           && it[2].num < HSM_KEY_TYPES && it[3].num <= HSM_CURVE_P521;
}

static enum hsm_status no_sense(void)
{
    return hsm_fail(HSM_ERR_SESSION, "agent: an answer of no sense");
}

static enum hsm_status object_take(struct hsm *h, const struct agent_answer *a,
                                   const struct wire_item *it,
                                   struct hsm_object *out)
{
    if (!is_object(it))
        return no_sense();
    out->cls = (unsigned)it[0].num;
    if (out->cls != HSM_CERT)
        return key_take(h, a, it, &out->key);
    out->der_len = it[4].len;
    if ((out->der = malloc(out->der_len + 1)) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    memcpy(out->der, it[4].p, out->der_len);
    return HSM_OK;
}

/* One answer's worth of objects behind the others. */
static enum hsm_status find_some(struct hsm *h, const char *uri,
                                 unsigned classes, uint64_t *from,
                                 struct hsm_object **objs, size_t *n)
{
    const struct wire_item items[] = { wire_text(uri), wire_num(classes),
                                       wire_num(*from) };
    struct hsm_object *all;
    struct agent_answer a;
    enum hsm_status st = agent_ask(h, AGENT_ANY, WIRE_FIND, ITEMS(items), &a);

    if (st != HSM_OK)
        goto out;
    all = realloc(*objs, (*n + a.msg.n) * sizeof(*all));
    if (all == NULL) {
        st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
        goto out;
    }
    *objs = all;
    for (size_t i = 4; st == HSM_OK && i + WIRE_OBJECT <= a.msg.n;
         i += WIRE_OBJECT) {
        all[*n] = (struct hsm_object){ 0 };
        if ((st = object_take(h, &a, &a.msg.items[i], &all[*n])) == HSM_OK)
            ++*n;
    }
    if (st == HSM_OK && a.msg.items[3].num != 0 && a.msg.items[3].num <= *from)
        st = no_sense(); /* or it would go on forever */
    *from = a.msg.items[3].num;
out:
    agent_answer_free(&a);
    return st;
}

static enum hsm_status find_once(struct hsm *h, const char *uri,
                                 unsigned classes, struct hsm_object **out,
                                 size_t *n_out)
{
    struct hsm_object *objs = NULL;
    uint64_t from = 0;
    size_t n = 0;
    enum hsm_status st;

    do
        st = find_some(h, uri, classes, &from, &objs, &n);
    while (st == HSM_OK && from != 0);
    if (st == HSM_OK) {
        *out = objs;
        *n_out = n;
    } else {
        hsm_objects_free(objs, n);
    }
    return st;
}

enum hsm_status agent_find(struct hsm *h, const char *uri, unsigned classes,
                           struct hsm_object **objs, size_t *n)
{
    enum hsm_status st;

    HSM_RETRY(h, st, find_once(h, uri, classes, objs, n));
    return st;
}

static bool is_same(const struct hsm_key *a, const struct hsm_key *b)
{
    return b != NULL && a->info.type == b->info.type
           && a->info.a_len == b->info.a_len
           && memcmp(a->info.a, b->info.a, a->info.a_len) == 0;
}

/* A key's number and its connection, which belong together. */
static void number_get(struct hsm_key *key, struct wire_item *out,
                       unsigned *epoch)
{
    pthread_mutex_lock(&key->hsm->lock);
    *epoch = atomic_load(&key->epoch);
    *out = wire_num(atomic_load(&key->h));
    pthread_mutex_unlock(&key->hsm->lock);
}

/* That of found becomes key's. */
static void number_move(struct hsm_key *key, struct hsm_key *found)
{
    pthread_mutex_lock(&key->hsm->lock);
    atomic_store(&key->h, atomic_load(&found->h));
    atomic_store(&key->epoch, atomic_load(&found->epoch));
    atomic_store(&found->epoch, 0);
    pthread_mutex_unlock(&key->hsm->lock);
}

/* The key as the agent knows it, found again on another connection. */
static enum hsm_status key_item(struct hsm_key *key, struct wire_item *out,
                                unsigned *epoch)
{
    struct hsm_object *objs = NULL;
    size_t n = 0, i = 0;
    char *uri;
    enum hsm_status st;

    number_get(key, out, epoch);
    if (*epoch == atomic_load(&key->hsm->epoch))
        return HSM_OK;
    if ((uri = hsm_key_uri(key)) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = find_once(key->hsm, uri, HSM_PRIVATE, &objs, &n);
    while (st == HSM_OK && i < n && !is_same(key, objs[i].key))
        i++;
    if (st == HSM_OK && i == n)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "the key is no longer in the token");
    if (st == HSM_OK) {
        number_get(objs[i].key, out, epoch);
        number_move(key, objs[i].key);
    }
    hsm_objects_free(objs, n);
    free(uri);
    return st;
}

void agent_forget(struct hsm_key *key)
{
    const struct wire_item items[] = { wire_num(atomic_load(&key->h)) };

    agent_tell(key->hsm, atomic_load(&key->epoch), WIRE_DROP, ITEMS(items));
}

static enum hsm_status sign_once(struct hsm_key *key,
                                 const struct hsm_sign_params *p,
                                 const uint8_t *tbs, size_t tbs_len,
                                 uint8_t *sig, size_t *len)
{
    struct wire_item items[6] = {
        { 0 },
        wire_num(p->mech),
        wire_num(p->hash),
        wire_num(p->mgf1_hash),
        wire_num(p->salt_len),
        wire_bytes(tbs, tbs_len),
    };
    unsigned epoch = 0;
    enum hsm_status st = key_item(key, &items[0], &epoch);

    return st == HSM_OK
               ? agent_bytes(key->hsm, epoch, WIRE_SIGN, ITEMS(items), sig, len)
               : st;
}

enum hsm_status agent_sign(struct hsm_key *key, const struct hsm_sign_params *p,
                           const uint8_t *tbs, size_t tbs_len, uint8_t *sig,
                           size_t *sig_len)
{
    enum hsm_status st;

    HSM_RETRY(key->hsm, st, sign_once(key, p, tbs, tbs_len, sig, sig_len));
    return st;
}

static enum hsm_status unwrap_once(struct hsm_key *key, const uint8_t *in,
                                   size_t in_len, size_t secret_len,
                                   enum hsm_travel travel,
                                   struct hsm_secret **out)
{
    struct wire_item items[4] = {
        { 0 }, wire_bytes(in, in_len), wire_num(secret_len), wire_num(travel)
    };
    unsigned epoch = 0;
    enum hsm_status st = key_item(key, &items[0], &epoch);

    return st == HSM_OK ? agent_make(key->hsm, epoch, WIRE_UNWRAP_RSA,
                                     ITEMS(items), secret_len, out)
                        : st;
}

enum hsm_status agent_unwrap_rsa(struct hsm_key *key, const uint8_t *in,
                                 size_t in_len, size_t secret_len,
                                 enum hsm_travel travel,
                                 struct hsm_secret **out)
{
    enum hsm_status st;

    HSM_RETRY(key->hsm, st,
              unwrap_once(key, in, in_len, secret_len, travel, out));
    return st;
}

/* Both would be the value of something that is to stay in the token. */
enum hsm_status agent_decrypt(struct hsm_key *key,
                              const struct hsm_decrypt_params *p,
                              const uint8_t *in, size_t in_len, uint8_t *out,
                              size_t *len)
{
    (void)key, (void)p, (void)in, (void)in_len, (void)out, (void)len;
    return hsm_fail(HSM_ERR_MECH, "an agent gives no decrypted value");
}

enum hsm_status agent_ecdh(struct hsm_key *key, const uint8_t *peer,
                           size_t peer_len, uint8_t *out, size_t *len)
{
    (void)key, (void)peer, (void)peer_len, (void)out, (void)len;
    return hsm_fail(HSM_ERR_MECH, "an agent gives no shared secret");
}

enum hsm_status agent_generate(struct hsm *h, enum hsm_key_type type,
                               enum hsm_curve curve, size_t bits, unsigned use,
                               const char *uri, struct hsm_key **out)
{
    const struct wire_item items[] = { wire_num(type), wire_num(curve),
                                       wire_num(bits), wire_num(use),
                                       wire_text(uri) };
    struct agent_answer a; /* not asked twice: it might be there now */
    enum hsm_status st =
        agent_ask(h, AGENT_ANY, WIRE_GENERATE, ITEMS(items), &a);

    if (st == HSM_OK)
        st = is_object(&a.msg.items[3]) && a.msg.items[3].num != HSM_CERT
                 ? key_take(h, &a, &a.msg.items[3], out)
                 : no_sense();
    agent_answer_free(&a);
    return st;
}

/* ---- the token ---- */

enum hsm_status agent_random(struct hsm *h, uint8_t *out, size_t len)
{
    enum hsm_status st = HSM_OK;

    for (size_t at = 0, n; st == HSM_OK && at < len; at += n) {
        struct wire_item items[1];

        n = len - at < AGENT_RANDOM_MAX ? len - at : AGENT_RANDOM_MAX;
        items[0] = wire_num(n);
        HSM_RETRY(
            h, st,
            agent_bytes(h, AGENT_ANY, WIRE_RANDOM, ITEMS(items), out + at, &n));
        if (st == HSM_OK && n != items[0].num)
            st = hsm_fail(HSM_ERR_DEVICE, "%zu random octets", n);
    }
    return st;
}

enum hsm_status agent_tokens(struct hsm *h, const char *uri, char ***out,
                             size_t *n_out)
{
    const struct wire_item items[] = { wire_text(uri) };
    struct agent_answer a;
    char **all = NULL;
    size_t n = 0;
    enum hsm_status st;

    HSM_RETRY(h, st, agent_ask(h, AGENT_ANY, WIRE_TOKENS, ITEMS(items), &a));
    if (st != HSM_OK)
        goto out;
    if ((all = calloc(a.msg.n + 1, sizeof(*all))) == NULL)
        st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    for (size_t i = 3; st == HSM_OK && i < a.msg.n; i++)
        if ((all[n++] = wire_string(&a.msg.items[i])) == NULL)
            st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    if (st == HSM_OK) {
        *out = all;
        *n_out = n;
    } else {
        hsm_tokens_free(all);
    }
out:
    agent_answer_free(&a);
    return st;
}

/* The agent has the PIN. */
enum hsm_status agent_unlock(struct hsm *h, const char *uri, hsm_ask_fn *ask,
                             void *arg, bool keep)
{
    (void)uri, (void)ask, (void)arg, (void)keep;
    return hsm_connect(h);
}
