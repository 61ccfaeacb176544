/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client asks for, done by hsm.h.  Numbers from a client are looked at
 * before they become enumerations; lengths are looked at by hsm.c.
 */
#include "agent.h"

#include <stdlib.h>
#include <string.h>

#define RANDOM_MAX  4096
#define NEW_URI_MAX 4096 /* octets of a URI that a key is to have */

/* Octets that were written to r->room. */
static enum hsm_status add_room(struct agent_reply *r, enum hsm_status st,
                                size_t len)
{
    if (st == HSM_OK)
        agent_add(r, wire_bytes(r->room, len));
    return st;
}

/*
 * A secret that a call of status st has made, or not; it is the client's, for
 * all that a secret is for.
 */
static enum hsm_status add_secret(struct agent_conn *c, struct agent_reply *r,
                                  enum hsm_status st, struct hsm_secret *s)
{
    uint64_t number;

    if (st != HSM_OK)
        return st;
    if ((number = agent_put(c, NULL, s, AGENT_SIGN | AGENT_DERIVE)) == 0)
        return hsm_fail(HSM_ERR_MEMORY, "too many objects");
    agent_add(r, wire_num(number));
    return HSM_OK;
}

static enum hsm_status take_travel(const struct wire_item *item,
                                   enum hsm_travel *out)
{
    if (item->num > HSM_TRAVEL_WRAPPED)
        return hsm_fail(HSM_ERR_PARAM, "no such way to travel");
    *out = (enum hsm_travel)item->num;
    return HSM_OK;
}

/* ---- the token ---- */

/* What is transient here is seen by nobody else. */
enum hsm_rung agent_rung(const struct agent *agent)
{
    enum hsm_rung rung = hsm_rung(agent->hsm);

    return rung == HSM_RUNG_TRANSIENT ? HSM_RUNG_AGENT : rung;
}

static enum hsm_status do_hello(struct agent_conn *c, const struct wire_msg *m,
                                struct agent_reply *r)
{
    struct hsm *h = c->agent->hsm;
    P11KitUri *uri = NULL;
    char *text;
    enum hsm_status st;

    if (ARG(0).num != WIRE_VERSION)
        return hsm_fail(HSM_ERR_CONFIG, "this agent speaks version %d",
                        WIRE_VERSION);
    if ((text = wire_string(&ARG(1))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = hsm_uri_parse(h, text, &uri);
    p11_kit_uri_free(uri);
    free(text);
    if (st != HSM_OK)
        return st;
    agent_add(r, wire_num(agent_rung(c->agent)));
    agent_add(r, wire_bytes(h->token.label, sizeof(h->token.label)));
    atomic_store(&c->hello, true);
    return HSM_OK;
}

/* There is one. */
static enum hsm_status do_tokens(struct agent_conn *c, const struct wire_msg *m,
                                 struct agent_reply *r)
{
    char *text = wire_string(&ARG(0));
    P11KitUri *uri = NULL;
    size_t n = 0;
    enum hsm_status st = text != NULL
                             ? hsm_uri_parse(c->agent->hsm, text, &uri)
                             : hsm_fail(HSM_ERR_MEMORY, "out of memory");

    p11_kit_uri_free(uri);
    free(text);
    if (st == HSM_OK)
        st = hsm_tokens(c->agent->hsm, c->agent->token, &r->uris, &n);
    for (size_t i = 0; st == HSM_OK && i < n && i < OBJECTS_MAX; i++)
        agent_add(r, wire_text(r->uris[i]));
    return st;
}

static enum hsm_status do_random(struct agent_conn *c, const struct wire_msg *m,
                                 struct agent_reply *r)
{
    if (ARG(0).num < 1 || ARG(0).num > RANDOM_MAX)
        return hsm_fail(HSM_ERR_PARAM, "%llu random octets",
                        (unsigned long long)ARG(0).num);
    return add_room(r, hsm_random(c->agent->hsm, r->room, ARG(0).num),
                    ARG(0).num);
}

/* ---- keys ---- */

static enum hsm_status do_sign(struct agent_conn *c, const struct wire_msg *m,
                               struct agent_reply *r)
{
    struct hsm_sign_params p = { .mech = (enum hsm_mech)ARG(1).num,
                                 .hash = (enum hsm_hash)ARG(2).num,
                                 .mgf1_hash = (enum hsm_hash)ARG(3).num,
                                 .salt_len = ARG(4).num };
    size_t len = sizeof(r->room);
    struct hsm_key *key = NULL;
    enum hsm_status st;

    if (ARG(1).num > HSM_MECH_EDDSA || ARG(2).num > HSM_HASH_SHA512
        || ARG(3).num > HSM_HASH_SHA512 || ARG(4).num > sizeof(r->room))
        return hsm_fail(HSM_ERR_PARAM, "no such signature");
    st = agent_get_key(c, ARG(0).num, AGENT_SIGN, &key);
    if (st == HSM_OK)
        st = hsm_sign(key, &p, ARG(5).p, ARG(5).len, r->room, &len);
    hsm_key_free(key);
    return add_room(r, st, len);
}

/* The label that a key is to have. */
static enum hsm_status may_generate(struct agent_conn *c, const char *text,
                                    unsigned *uses)
{
    P11KitUri *uri = NULL;
    enum hsm_status st = hsm_uri_parse(c->agent->hsm, text, &uri);
    CK_ATTRIBUTE *label;

    if (st != HSM_OK)
        return st;
    label = p11_kit_uri_get_attribute(uri, CKA_LABEL);
    *uses = agent_uses(c->agent, c->uid, label != NULL ? label->pValue : NULL,
                       label != NULL ? label->ulValueLen : 0);
    if (!(*uses & AGENT_GENERATE))
        st = agent_refuse(c, AGENT_GENERATE,
                          label != NULL ? label->pValue : NULL,
                          label != NULL ? label->ulValueLen : 0);
    p11_kit_uri_free(uri);
    return st;
}

static enum hsm_status do_generate(struct agent_conn *c,
                                   const struct wire_msg *m,
                                   struct agent_reply *r)
{
    struct hsm_key *key = NULL;
    unsigned uses = 0;
    char *uri;
    enum hsm_status st;

    if (ARG(0).num >= HSM_KEY_TYPES || ARG(1).num > HSM_CURVE_P521
        || ARG(2).num > 4096 || ARG(3).num > 15)
        return hsm_fail(HSM_ERR_PARAM, "no such key");
    if (ARG(4).len > NEW_URI_MAX) /* what it names is to be answered */
        return hsm_fail(HSM_ERR_PARAM, "too long a name for a key");
    if ((r->objs = calloc(1, sizeof(*r->objs))) == NULL
        || (uri = wire_string(&ARG(4))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = may_generate(c, uri, &uses);
    if (st == HSM_OK)
        st = hsm_generate(c->agent->hsm, (enum hsm_key_type)ARG(0).num,
                          (enum hsm_curve)ARG(1).num, ARG(2).num,
                          (unsigned)ARG(3).num, uri, &key);
    free(uri);
    if (st != HSM_OK)
        return st;
    r->objs[r->n_objs++].key = key; /* till the answer is written */
    return agent_add_object(c, r, HSM_PRIVATE, key, uses);
}

/* ---- secrets ---- */

/* A secret of the token, for what it is for and the policy allows. */
static enum hsm_status add_found(struct agent_conn *c, struct agent_reply *r,
                                 enum hsm_status st, struct hsm_secret *s,
                                 unsigned fit)
{
    size_t len = st == HSM_OK && s->label != NULL ? strlen(s->label) : 0;
    unsigned uses =
        st == HSM_OK ? agent_uses(c->agent, c->uid, s->label, len) & fit : 0;
    uint64_t number;

    if (st != HSM_OK)
        return st;
    if (uses == 0) {
        st = agent_refuse(c, AGENT_ALL, s->label, len);
        hsm_secret_free(s);
        return st;
    }
    len = hsm_secret_len(s);
    if ((number = agent_put(c, NULL, s, uses)) == 0)
        return hsm_fail(HSM_ERR_MEMORY, "too many objects");
    agent_add(r, wire_num(number));
    agent_add(r, wire_num(len));
    return HSM_OK;
}

static enum hsm_status do_secret_find(struct agent_conn *c,
                                      const struct wire_msg *m,
                                      struct agent_reply *r)
{
    bool kek = m->items[1].num == WIRE_KEK_FIND;
    struct hsm_secret *s = NULL;
    char *uri = wire_string(&ARG(0));
    enum hsm_status st;

    if (uri == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = kek ? hsm_kek_find(c->agent->hsm, uri, &s)
             : hsm_secret_find(c->agent->hsm, uri, &s);
    free(uri);
    return add_found(c, r, st, s,
                     kek ? AGENT_WRAP | AGENT_UNWRAP
                         : AGENT_SIGN | AGENT_DERIVE);
}

static enum hsm_status do_import(struct agent_conn *c, const struct wire_msg *m,
                                 struct agent_reply *r)
{
    struct hsm_secret *s = NULL;
    enum hsm_travel travel = HSM_TRAVEL_NEVER;
    enum hsm_status st = take_travel(&ARG(1), &travel);

    if (st == HSM_OK)
        st = hsm_import(c->agent->hsm, ARG(0).p, ARG(0).len, travel, &s);
    return add_secret(c, r, st, s);
}

static enum hsm_status do_follow(struct agent_conn *c, const struct wire_msg *m,
                                 struct agent_reply *r)
{
    struct hsm_secret *key = NULL, *s = NULL;
    const struct wire_item *in = &ARG(1);
    uint64_t op = m->items[1].num;
    enum hsm_travel travel = HSM_TRAVEL_NEVER;
    enum hsm_status st = take_travel(&m->items[m->n - 1], &travel);

    /* Octet by octet, MAC would tell which one it is. */
    if (st == HSM_OK && op == WIRE_P_SHA256 && ARG(2).num < HSM_MAC_LEN)
        st = hsm_fail(HSM_ERR_PARAM, "too short for a secret");
    if (st == HSM_OK)
        st = agent_get_secret(c, ARG(0).num, AGENT_DERIVE, &key);
    if (st != HSM_OK)
        return st;
    if (op == WIRE_DERIVE)
        st = hsm_derive(key, in->p, in->len, travel, &s);
    else if (op == WIRE_EXTRACT)
        st = hsm_extract(key, in->p, in->len, travel, &s);
    else
        st = hsm_p_sha256(key, in->p, in->len, ARG(2).num, travel, &s);
    hsm_secret_free(key);
    return add_secret(c, r, st, s);
}

static enum hsm_status do_mac(struct agent_conn *c, const struct wire_msg *m,
                              struct agent_reply *r)
{
    struct hsm_secret *key = NULL;
    enum hsm_status st = agent_get_secret(c, ARG(0).num, AGENT_SIGN, &key);

    if (st == HSM_OK)
        st = hsm_mac(key, ARG(1).p, ARG(1).len, r->room);
    hsm_secret_free(key);
    return add_room(r, st, HSM_MAC_LEN);
}

/* ---- wrapping ---- */

/* By its label, whatever number it has. */
static enum hsm_status may_use(struct agent_conn *c, const struct hsm_secret *s,
                               unsigned use)
{
    size_t len = s->label != NULL ? strlen(s->label) : 0;

    return agent_uses(c->agent, c->uid, s->label, len) & use
               ? HSM_OK
               : agent_refuse(c, use, s->label, len);
}

/*
 * What is to leave, wrapped: the client's own, or the token's where the policy
 * says so of that, too.
 */
static enum hsm_status get_traveller(struct agent_conn *c, uint64_t number,
                                     struct hsm_secret **out)
{
    enum hsm_status st = agent_get_secret(c, number, 0, out);

    if (st == HSM_OK && (*out)->token)
        st = may_use(c, *out, AGENT_WRAP);
    return st;
}

static enum hsm_status do_wrap_aes(struct agent_conn *c,
                                   const struct wire_msg *m,
                                   struct agent_reply *r)
{
    struct hsm_secret *kek = NULL, *s = NULL;
    size_t len = sizeof(r->room);
    enum hsm_status st = agent_get_secret(c, ARG(0).num, AGENT_WRAP, &kek);

    if (st == HSM_OK)
        st = get_traveller(c, ARG(1).num, &s);
    if (st == HSM_OK)
        st = hsm_wrap_aes(kek, s, r->room, &len);
    hsm_secret_free(kek);
    hsm_secret_free(s);
    return add_room(r, st, len);
}

static enum hsm_status do_unwrap_aes(struct agent_conn *c,
                                     const struct wire_msg *m,
                                     struct agent_reply *r)
{
    struct hsm_secret *kek = NULL, *s = NULL;
    enum hsm_travel travel = HSM_TRAVEL_NEVER;
    enum hsm_status st = take_travel(&ARG(2), &travel);

    if (st == HSM_OK)
        st = agent_get_secret(c, ARG(0).num, AGENT_UNWRAP, &kek);
    if (st == HSM_OK)
        st = hsm_unwrap_aes(kek, ARG(1).p, ARG(1).len, travel, &s);
    hsm_secret_free(kek);
    return add_secret(c, r, st, s);
}

/* Policy goes by the label of the public key that the token has. */
static enum hsm_status do_wrap_rsa(struct agent_conn *c,
                                   const struct wire_msg *m,
                                   struct agent_reply *r)
{
    struct hsm_secret *key = NULL, *s = NULL;
    const uint8_t *n = ARG(0).p, *e = ARG(1).p;
    size_t n_len = ARG(0).len, e_len = ARG(1).len, len = sizeof(r->room);
    enum hsm_status st = get_traveller(c, ARG(2).num, &s);

    hsm_no_leading_zeros(&n, &n_len);
    hsm_no_leading_zeros(&e, &e_len);
    if (st == HSM_OK)
        st = hsm_wrapping_key(c->agent->hsm, n, n_len, e, e_len, &key);
    if (st == HSM_OK && !key->token) {
        /* Or a client could bring a key of its own, and read. */
        st = hsm_fail(HSM_ERR_DENIED, "an agent wraps by the token's keys");
    } else if (st == HSM_OK) {
        st = may_use(c, key, AGENT_WRAP);
    }
    if (st == HSM_OK)
        st = hsm_wrap_oaep(key, s, r->room, &len);
    hsm_secret_free(key);
    hsm_secret_free(s);
    return add_room(r, st, len);
}

static enum hsm_status do_unwrap_rsa(struct agent_conn *c,
                                     const struct wire_msg *m,
                                     struct agent_reply *r)
{
    struct hsm_secret *s = NULL;
    struct hsm_key *key = NULL;
    enum hsm_travel travel = HSM_TRAVEL_NEVER;
    enum hsm_status st = take_travel(&ARG(3), &travel);

    if (st == HSM_OK)
        st = agent_get_key(c, ARG(0).num, AGENT_UNWRAP, &key);
    if (st == HSM_OK && ARG(2).num > HSM_SECRET_MAX)
        st = hsm_fail(HSM_ERR_PARAM, "too long for a secret");
    if (st == HSM_OK)
        st = hsm_unwrap_rsa(key, ARG(1).p, ARG(1).len, ARG(2).num, travel, &s);
    hsm_key_free(key);
    return add_secret(c, r, st, s);
}

static enum hsm_status do_drop(struct agent_conn *c, const struct wire_msg *m,
                               struct agent_reply *r)
{
    (void)r;
    agent_drop(c, ARG(0).num);
    return HSM_OK;
}

/* Does it end in a number? */
static bool makes(uint64_t op)
{
    return (op >= WIRE_SECRET_FIND && op <= WIRE_P_SHA256)
           || op == WIRE_UNWRAP_AES || op == WIRE_UNWRAP_RSA
           || op == WIRE_GENERATE;
}

enum hsm_status agent_request(struct agent_conn *c, const struct wire_msg *m,
                              struct agent_reply *reply)
{
    static enum hsm_status (*const doers[WIRE_N_OPS])(
        struct agent_conn *, const struct wire_msg *, struct agent_reply *) = {
        [WIRE_HELLO] = do_hello,
        [WIRE_TOKENS] = do_tokens,
        [WIRE_FIND] = agent_do_find,
        [WIRE_SIGN] = do_sign,
        [WIRE_SECRET_FIND] = do_secret_find,
        [WIRE_KEK_FIND] = do_secret_find,
        [WIRE_IMPORT] = do_import,
        [WIRE_DERIVE] = do_follow,
        [WIRE_EXTRACT] = do_follow,
        [WIRE_P_SHA256] = do_follow,
        [WIRE_MAC] = do_mac,
        [WIRE_WRAP_AES] = do_wrap_aes,
        [WIRE_UNWRAP_AES] = do_unwrap_aes,
        [WIRE_WRAP_RSA] = do_wrap_rsa,
        [WIRE_UNWRAP_RSA] = do_unwrap_rsa,
        [WIRE_RANDOM] = do_random,
        [WIRE_GENERATE] = do_generate,
        [WIRE_DROP] = do_drop,
    };
    uint64_t op = m->items[1].num;

    if (op != WIRE_HELLO && !atomic_load(&c->hello))
        return hsm_fail(HSM_ERR_PARAM, "HELLO comes first");
    if (makes(op) && !agent_has_room(c))
        return hsm_fail(HSM_ERR_MEMORY, "too many objects");
    return doers[op](c, m, reply);
}

void agent_reply_free(struct agent_reply *reply)
{
    hsm_objects_free(reply->objs, reply->n_objs);
    hsm_tokens_free(reply->uris);
    OPENSSL_cleanse(reply->room, sizeof(reply->room));
}
