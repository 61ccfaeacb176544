/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's side of hsm.h: what is asked of secrets.
 */
#include "../internal.h"

#include "client.h"

/* A secret as the agent knows it on the present connection. */
static enum hsm_status secret_item(const struct hsm_secret *s,
                                   struct wire_item *out)
{
    *out = wire_num(s->h);
    return hsm_secret_live(s);
}

/* What was asked of a secret whose connection was lost just then. */
static enum hsm_status secret_status(const struct hsm_secret *s,
                                     enum hsm_status st)
{
    return st == HSM_ERR_SESSION ? hsm_secret_live(s) : st;
}

static enum hsm_status find_secret(struct hsm *h, enum wire_op op,
                                   const char *uri, struct hsm_secret **out)
{
    const struct wire_item items[] = { wire_text(uri) };
    struct agent_answer a;
    enum hsm_status st;

    HSM_RETRY(h, st, agent_ask(h, AGENT_ANY, op, ITEMS(items), &a));
    if (st == HSM_OK)
        st = agent_secret_take(h, &a, a.msg.items[4].num, out);
    if (st == HSM_OK)
        (*out)->token = true;
    agent_answer_free(&a);
    return st;
}

enum hsm_status agent_secret_find(struct hsm *h, const char *uri,
                                  struct hsm_secret **out)
{
    return find_secret(h, WIRE_SECRET_FIND, uri, out);
}

enum hsm_status agent_kek_find(struct hsm *h, const char *uri,
                               struct hsm_secret **out)
{
    return find_secret(h, WIRE_KEK_FIND, uri, out);
}

enum hsm_status agent_import(struct hsm *h, const uint8_t *value, size_t len,
                             enum hsm_travel travel, struct hsm_secret **out)
{
    const struct wire_item items[] = { wire_bytes(value, len),
                                       wire_num(travel) };
    enum hsm_status st;

    HSM_RETRY(h, st,
              agent_make(h, AGENT_ANY, WIRE_IMPORT, ITEMS(items), len, out));
    return st;
}

/* What follows from a secret and octets: nothing to be asked twice, since
 * the secret is lost with its connection. */
static enum hsm_status follow(struct hsm_secret *key, enum wire_op op,
                              const uint8_t *p, size_t len,
                              enum hsm_travel travel, struct hsm_secret **out)
{
    struct wire_item items[3] = { { 0 }, wire_bytes(p, len), wire_num(travel) };
    enum hsm_status st = secret_item(key, &items[0]);

    if (st == HSM_OK)
        st = agent_make(key->hsm, key->epoch, op, ITEMS(items), HSM_MAC_LEN,
                        out);
    return secret_status(key, st);
}

enum hsm_status agent_derive(struct hsm_secret *key, const uint8_t *msg,
                             size_t len, enum hsm_travel travel,
                             struct hsm_secret **out)
{
    return follow(key, WIRE_DERIVE, msg, len, travel, out);
}

enum hsm_status agent_extract(struct hsm_secret *key, const uint8_t *salt,
                              size_t len, enum hsm_travel travel,
                              struct hsm_secret **out)
{
    return follow(key, WIRE_EXTRACT, salt, len, travel, out);
}

enum hsm_status agent_p_sha256(struct hsm_secret *key, const uint8_t *seed,
                               size_t len, size_t out_len,
                               enum hsm_travel travel, struct hsm_secret **out)
{
    struct wire_item items[4] = {
        { 0 }, wire_bytes(seed, len), wire_num(out_len), wire_num(travel)
    };
    enum hsm_status st = secret_item(key, &items[0]);

    if (st == HSM_OK)
        st = agent_make(key->hsm, key->epoch, WIRE_P_SHA256, ITEMS(items),
                        out_len, out);
    return secret_status(key, st);
}

enum hsm_status agent_mac(struct hsm_secret *key, const uint8_t *msg,
                          size_t len, uint8_t out[HSM_MAC_LEN])
{
    struct wire_item items[2] = { { 0 }, wire_bytes(msg, len) };
    size_t n = HSM_MAC_LEN;
    enum hsm_status st = secret_item(key, &items[0]);

    if (st == HSM_OK)
        st = agent_bytes(key->hsm, key->epoch, WIRE_MAC, ITEMS(items), out, &n);
    if (st == HSM_OK && n != HSM_MAC_LEN)
        st = hsm_fail(HSM_ERR_DEVICE, "an HMAC of %zu octets", n);
    return secret_status(key, st);
}

void agent_destroy(struct hsm_secret *s)
{
    const struct wire_item items[] = { wire_num(s->h) };

    if (hsm_secret_alive(s))
        agent_tell(s->hsm, s->epoch, WIRE_DROP, ITEMS(items));
}

/* ---- wrapping ---- */

enum hsm_status agent_wrap_aes(struct hsm_secret *kek, struct hsm_secret *s,
                               uint8_t *out, size_t *len)
{
    struct wire_item items[2];
    enum hsm_status st = secret_item(kek, &items[0]);

    if (st == HSM_OK && (st = secret_item(s, &items[1])) == HSM_OK)
        st = agent_bytes(kek->hsm, kek->epoch, WIRE_WRAP_AES, ITEMS(items), out,
                         len);
    return secret_status(s, st);
}

enum hsm_status agent_unwrap_aes(struct hsm_secret *kek, const uint8_t *in,
                                 size_t in_len, enum hsm_travel travel,
                                 struct hsm_secret **out)
{
    struct wire_item items[3] = { { 0 },
                                  wire_bytes(in, in_len),
                                  wire_num(travel) };
    enum hsm_status st = secret_item(kek, &items[0]);

    if (st == HSM_OK)
        st = agent_make(kek->hsm, kek->epoch, WIRE_UNWRAP_AES, ITEMS(items),
                        in_len - 8, out);
    return secret_status(kek, st);
}

enum hsm_status agent_wrap_rsa(struct hsm *h, const uint8_t *n, size_t n_len,
                               const uint8_t *e, size_t e_len,
                               struct hsm_secret *s, uint8_t *out, size_t *len)
{
    struct wire_item items[3] = { wire_bytes(n, n_len), wire_bytes(e, e_len) };
    enum hsm_status st = secret_item(s, &items[2]);

    if (st == HSM_OK)
        st = agent_bytes(h, s->epoch, WIRE_WRAP_RSA, ITEMS(items), out, len);
    return secret_status(s, st);
}
