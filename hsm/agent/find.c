/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client finds, in answers of several parts.
 */
#include "agent.h"

#include <stdlib.h>

#define REPLY_MAX (WIRE_MAX - 1024) /* leave room for what is around it */

void agent_add(struct agent_reply *r, struct wire_item item)
{
    r->items[r->n++] = item;
}

enum hsm_status agent_add_object(struct agent_conn *c, struct agent_reply *r,
                                 unsigned cls, struct hsm_key *key,
                                 unsigned uses)
{
    const struct hsm_key_info *info = hsm_key_info(key);
    uint64_t number = 0;

    if (cls == HSM_PRIVATE
        && (number = agent_put(c, hsm_key_ref(key), NULL, uses)) == 0)
        return hsm_fail(HSM_ERR_MEMORY, "too many objects");
    agent_add(r, wire_num(cls));
    agent_add(r, wire_num(number));
    agent_add(r, wire_num(info->type));
    agent_add(r, wire_num(info->curve));
    agent_add(r, wire_bytes(info->a, info->a_len));
    agent_add(r, wire_bytes(info->b, info->b_len));
    agent_add(r, wire_bytes(key->id, key->id_len));
    agent_add(r, wire_bytes(key->label, key->label_len));
    return HSM_OK;
}

static void add_cert(struct agent_reply *r, const struct hsm_object *o)
{
    const struct wire_item none = wire_bytes(NULL, 0);

    for (size_t i = 0; i < 4; i++)
        agent_add(r, wire_num(i == 0 ? HSM_CERT : 0));
    agent_add(r, wire_bytes(o->der, o->der_len));
    for (size_t i = 0; i < 3; i++)
        agent_add(r, none);
}

static size_t object_size(const struct hsm_object *o)
{
    return o->key != NULL ? o->key->info.a_len + o->key->info.b_len
                                + o->key->id_len + o->key->label_len
                          : o->der_len;
}

/* Nothing is shown, since it was denied, or since no message holds it. */
static enum hsm_status none_shown(struct agent_conn *c,
                                  const struct hsm_object *denied)
{
    return denied != NULL
               ? agent_refuse(c, AGENT_ALL, (char *)denied->key->label,
                              denied->key->label_len)
               : hsm_fail(HSM_ERR_NOT_FOUND, "nothing that a message holds");
}

/*
 * Objects from `from` on, as many as a message holds; private keys that the
 * client may not use are passed over, and what is too large for any message.
 * items[3] says where to go on.
 */
static enum hsm_status add_objects(struct agent_conn *c, struct agent_reply *r,
                                   uint64_t from)
{
    const struct hsm_object *denied = NULL;
    size_t shown = 0, size = 0, i = (size_t)from;
    enum hsm_status st = HSM_OK;

    agent_add(r, wire_num(0));
    for (; st == HSM_OK && i < r->n_objs && shown < OBJECTS_MAX; i++) {
        const struct hsm_object *o = &r->objs[i];
        unsigned uses = 0;

        if (object_size(o) > REPLY_MAX)
            continue;
        if (o->cls == HSM_PRIVATE
            && (uses = agent_uses(c->agent, c->uid, (char *)o->key->label,
                                  o->key->label_len))
                   == 0) {
            denied = o;
            continue;
        }
        if ((size += object_size(o)) > REPLY_MAX)
            break;
        if (o->cls == HSM_CERT)
            add_cert(r, o);
        else
            st = agent_add_object(c, r, o->cls, o->key, uses);
        shown++;
    }
    if (st == HSM_OK && shown == 0 && from == 0)
        return none_shown(c, denied);
    r->items[3] = wire_num(i < r->n_objs ? i : 0);
    return st;
}

enum hsm_status agent_do_find(struct agent_conn *c, const struct wire_msg *m,
                              struct agent_reply *r)
{
    char *uri;
    enum hsm_status st;

    if (ARG(1).num > (HSM_PRIVATE | HSM_PUBLIC | HSM_CERT))
        return hsm_fail(HSM_ERR_PARAM, "no such class");
    if ((uri = wire_string(&ARG(0))) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    st = hsm_find(c->agent->hsm, uri, (unsigned)ARG(1).num, &r->objs,
                  &r->n_objs);
    free(uri);
    return st == HSM_OK ? add_objects(c, r, ARG(2).num) : st;
}
