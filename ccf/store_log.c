/* SPDX-License-Identifier: Apache-2.0 */
#include "store_log.h"

#include "event.h"
#include "times.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_LOGS 100 /* entries in one event */

/* What is asked; its transaction may say more than that of a database. */
struct add {
    const struct ccf_log_batch *b;
    time_t now;
    char *log_id;
    enum ccf_store_status *why; /* it was refused; or CCF_STORE_OK */
};

/* An index takes no NULL. */
static const char *text_of(const json_t *obj, const char *name)
{
    const char *text = capif_str(obj, name);

    return text != NULL ? text : "";
}

void ccf_log_iface_read(const json_t *iface, struct ccf_log_iface *out)
{
    static const char *const kinds[] = { "ipv4Addr", "ipv6Addr", "fqdn" };
    const json_t *port = json_object_get(iface, "port");

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (json_object_get(iface, kinds[i]) != NULL)
            snprintf(out->address, sizeof(out->address), "%s=%s", kinds[i],
                     text_of(iface, kinds[i]));
    if (json_is_integer(port))
        snprintf(out->port, sizeof(out->port), "%u",
                 (unsigned)json_integer_value(port) & 0xffff);
    out->prefix = text_of(iface, "apiPrefix");
}

/* ---- adding ---- */

/* Not CAPIF_DB_OK, so it is rolled back; and not to be tried again. */
static enum capif_db_status refuse(const struct add *a,
                                   enum ccf_store_status why)
{
    *a->why = why;
    return CAPIF_DB_NOT_FOUND;
}

static enum capif_db_status still_member(struct ccf_store *s,
                                         const struct add *a)
{
    const struct ccf_member *by = a->b->by;
    struct ccf_member now;
    enum capif_db_status st = ccf_member_get(s, &by->who, &now);

    if (st == CAPIF_DB_NOT_FOUND
        || (st == CAPIF_DB_OK
            && (strcmp(now.group_id, by->group_id) != 0
                || strcmp(now.thumbprint, by->thumbprint) != 0)))
        return refuse(a, CCF_STORE_GONE);
    return st;
}

struct earlier {
    const struct add *a;
    bool same;
};

static void row_earlier(const char *const *columns, void *arg)
{
    struct earlier *e = arg;

    snprintf(e->a->log_id, CAPIF_ID_MAX + 1, "%s", columns[0]);
    e->same = strcmp(columns[1], e->a->b->digest) == 0;
}

/* Take the key; *done: the same came with it before. */
static enum capif_db_status take_key(struct ccf_store *s, const struct add *a,
                                     bool *done)
{
    const struct ccf_log_batch *b = a->b;
    struct earlier e = { a, false };
    enum capif_db_status st;
    size_t changed = 0;
    char expires[24];

    *done = false;
    if (b->key == NULL)
        return CAPIF_DB_OK;
    ccf_seconds(a->now + CCF_LOG_KEY_LIFE, expires);
    st = capif_db_run(s->db,
                      "INSERT INTO log_key VALUES ($1, $2, $3, $4, $5, $6)"
                      " ON CONFLICT (group_id, aef_id, idem_key) DO NOTHING",
                      ARGS(b->by->group_id, b->by->who.id, b->key, b->digest,
                           b->log_id, expires),
                      NULL, NULL, &changed);
    if (st != CAPIF_DB_OK || changed > 0)
        return st;
    *done = true;
    st = capif_db_run(s->db,
                      "SELECT log_id, digest FROM log_key WHERE group_id = $1"
                      " AND aef_id = $2 AND idem_key = $3",
                      ARGS(b->by->group_id, b->by->who.id, b->key), row_earlier,
                      &e, NULL);
    return st == CAPIF_DB_OK && !e.same ? refuse(a, CCF_STORE_CONFLICT) : st;
}

struct owner {
    const char *group_id;
    bool other;
};

static void row_owner(const char *const *columns, void *arg)
{
    struct owner *o = arg;

    o->other = columns[0] == NULL || strcmp(columns[0], o->group_id) != 0;
}

/* An API may be gone, but if it is there, it is of the AEF's domain. */
static enum capif_db_status own_apis(struct ccf_store *s, const struct add *a)
{
    const struct ccf_member *by = a->b->by;
    json_t *ids = json_object(), *entry;
    enum capif_db_status st = ids != NULL ? CAPIF_DB_OK : CAPIF_DB_ERROR;
    struct owner owner = { by->group_id, false };
    const char *id;
    void *next;
    size_t i;

    json_array_foreach(json_object_get(a->b->doc, "logs"), i, entry)
    {
        json_object_set_new(ids, text_of(entry, "apiId"), json_true());
    }
    json_object_foreach_safe(ids, next, id, entry)
    {
        if (st == CAPIF_DB_OK && !owner.other)
            st =
                capif_db_run(s->db,
                             "SELECT group_id FROM api WHERE ccf_id = $1"
                             " AND api_id = $2",
                             ARGS(by->who.ccf_id, id), row_owner, &owner, NULL);
    }
    json_decref(ids);
    return st == CAPIF_DB_OK && owner.other ? refuse(a, CCF_STORE_NOT_FOUND)
                                            : st;
}

static enum capif_db_status add_entry(struct ccf_store *s, const struct add *a,
                                      const json_t *entry)
{
    const struct ccf_log_batch *b = a->b;
    int64_t at = (int64_t)a->now * 1000000;
    struct ccf_log_iface src, dst;
    enum capif_db_status st = CAPIF_DB_ERROR;
    char *doc = json_dumps(entry, JSON_COMPACT), stamp[24], received[24];

    (void)capif_time_parse_us(text_of(entry, "invocationTime"), &at);
    snprintf(stamp, sizeof(stamp), "%lld", (long long)at);
    ccf_seconds(a->now, received);
    ccf_log_iface_read(json_object_get(entry, "srcInterface"), &src);
    ccf_log_iface_read(json_object_get(entry, "destInterface"), &dst);
    if (doc != NULL)
        st = ccf_run(
            s,
            "INSERT INTO invocation (group_id, log_id, time, received, aef_id,"
            " invoker_ccf, invoker_id, api_id, api_name, api_version,"
            " resource, protocol, operation, result, src_addr, src_port,"
            " src_prefix, dst_addr, dst_port, dst_prefix, doc)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,"
            " $14, $15, $16, $17, $18, $19, $20, $21)",
            ARGS(b->by->group_id, b->log_id, stamp, received, b->by->who.id,
                 b->invoker_ccf, text_of(b->doc, "apiInvokerId"),
                 text_of(entry, "apiId"), text_of(entry, "apiName"),
                 text_of(entry, "apiVersion"), text_of(entry, "resourceName"),
                 text_of(entry, "protocol"), text_of(entry, "operation"),
                 text_of(entry, "result"), src.address, src.port, src.prefix,
                 dst.address, dst.port, dst.prefix, doc));
    free(doc);
    return st;
}

/* ---- events ---- */

/* Of HTTP, 2xx and 3xx; of others it is not known what a result means. */
static bool succeeded(const json_t *entry)
{
    const char *result = text_of(entry, "result");

    return (result[0] == '2' || result[0] == '3') && strlen(result) == 3
           && strspn(result, "0123456789") == 3;
}

/* The entries from i on of i's API that went as i did, which are taken out. */
static json_t *alike(json_t *logs, bool *success)
{
    json_t *some = json_array(), *first = json_array_get(logs, 0), *entry;

    *success = succeeded(first);
    for (size_t i = 0; i < json_array_size(logs);) {
        entry = json_array_get(logs, i);
        if (json_array_size(some) < EVENT_LOGS && succeeded(entry) == *success
            && strcmp(text_of(entry, "apiId"), text_of(first, "apiId")) == 0
            && json_array_append(some, entry) == 0)
            json_array_remove(logs, i);
        else
            i++;
    }
    return some;
}

/* TS 29.222 8.3.4.3.3, one for each API and outcome, so that filters work. */
static enum capif_db_status add_events(struct ccf_store *s, const struct add *a)
{
    json_t *left = json_copy(json_object_get(a->b->doc, "logs"));
    char invoker[CCF_INVOKER_NAME];
    enum capif_db_status st = left != NULL ? CAPIF_DB_OK : CAPIF_DB_ERROR;

    ccf_invoker_name(a->b->by->who.ccf_id, a->b->invoker_ccf,
                     text_of(a->b->doc, "apiInvokerId"), invoker);
    while (st == CAPIF_DB_OK && json_array_size(left) > 0) {
        bool success;
        json_t *some = alike(left, &success);
        json_t *log = json_copy((json_t *)a->b->doc), *detail;

        json_object_set(log, "logs", some);
        detail = json_pack("{s:[O]}", "invocationLogs", log);
        if (detail == NULL || json_array_size(some) == 0) {
            st = CAPIF_DB_ERROR;
        } else {
            const struct ccf_event event = {
                .name = success ? "SERVICE_API_INVOCATION_SUCCESS"
                                : "SERVICE_API_INVOCATION_FAILURE",
                .api_id = text_of(json_array_get(some, 0), "apiId"),
                .invoker_id = invoker,
                .aef_id = a->b->by->who.id,
                .group_id = a->b->by->group_id,
                .detail = detail,
            };
            st = ccf_event_add(s, &event);
        }
        json_decref(detail);
        json_decref(log);
        json_decref(some);
    }
    json_decref(left);
    return st;
}

static enum capif_db_status work_add(struct ccf_store *s, const void *what)
{
    const struct add *a = what;
    const json_t *entry;
    bool done = false;
    enum capif_db_status st;
    size_t i;

    *a->why = CCF_STORE_OK; /* it may be another attempt */
    strcpy(a->log_id, a->b->log_id);
    st = still_member(s, a);
    if (st == CAPIF_DB_OK)
        st = take_key(s, a, &done);
    if (st != CAPIF_DB_OK || done)
        return st;
    st = own_apis(s, a);
    json_array_foreach(json_object_get(a->b->doc, "logs"), i, entry)
    {
        if (st == CAPIF_DB_OK)
            st = add_entry(s, a, entry);
    }
    return st == CAPIF_DB_OK ? add_events(s, a) : st;
}

enum ccf_store_status ccf_store_log_add(struct ccf_store *s,
                                        const struct ccf_log_batch *batch,
                                        char log_id[CAPIF_ID_MAX + 1])
{
    enum ccf_store_status why = CCF_STORE_OK, st;
    char id[CAPIF_ID_MAX + 1];
    const struct add a = { batch, time(NULL), id, &why };

    ccf_forget(s, "DELETE FROM log_key WHERE expires <= $1");
    st = ccf_transact(s, work_add, &a);
    if (why != CCF_STORE_OK)
        return why;
    if (st == CCF_STORE_OK)
        strcpy(log_id, id);
    return st;
}

static void row_last(const char *const *columns, void *arg)
{
    if (columns[0] != NULL)
        snprintf(arg, 24, "%s", columns[0]);
}

/*
 * A thousand at once, so that nobody waits long for it; and not in another's
 * transaction, see ccf_forget().  seq is in the order in which they came.
 */
void ccf_store_log_forget(struct ccf_store *s, time_t before)
{
    char text[24], last[24] = "";

    ccf_seconds(before, text);
    if (ccf_look(s,
                 "SELECT MAX(seq) FROM (SELECT seq, received FROM invocation"
                 " WHERE seq > 0 ORDER BY seq LIMIT 1000) AS oldest"
                 " WHERE received < $1",
                 ARGS(text), row_last, last)
            == CAPIF_DB_OK
        && last[0] != '\0')
        (void)ccf_run(s, "DELETE FROM invocation WHERE seq <= $1", ARGS(last));
}
