/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables and indexes, version by version.
 */
#include "store_tx.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Among the statements, for what no SQL does on all back ends. */
#define FILL_API_NAMES "@FILL_API_NAMES@"

/* Statements that bring version i to version i + 1. */
static const char *const migrations[][12] = {
    {
        "CREATE TABLE enrolment (jti TEXT PRIMARY KEY, exp BIGINT NOT NULL)",
        "CREATE TABLE grp (id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
        "CREATE TABLE member (ccf_id TEXT NOT NULL, role TEXT NOT NULL,"
        " id TEXT NOT NULL, group_id TEXT NOT NULL REFERENCES grp(id),"
        " thumbprint TEXT NOT NULL, PRIMARY KEY (ccf_id, role, id))",
        "CREATE TABLE api (ccf_id TEXT NOT NULL, api_id TEXT NOT NULL,"
        " apf_id TEXT, doc TEXT NOT NULL, PRIMARY KEY (ccf_id, api_id))",
        "CREATE INDEX api_by_id ON api (api_id)",
        "CREATE INDEX api_by_apf ON api (apf_id)",
        "CREATE TABLE context (ccf_id TEXT NOT NULL, invoker_id TEXT NOT NULL,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (ccf_id, invoker_id))",
        NULL,
    },
    {
        "CREATE TABLE psk (psk_id TEXT PRIMARY KEY,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL)",
        "CREATE INDEX psk_by_expiry ON psk (expires)",
        NULL,
    },
    {
        "CREATE INDEX enrolment_by_expiry ON enrolment (exp)",
        /* what a group's deletion looks for, because of REFERENCES */
        "CREATE INDEX member_by_group ON member (group_id)",
        NULL,
    },
    {
        /* what is to be sent, and who sends it where (store_notice.c) */
        "CREATE TABLE notice (seq @SERIAL@, id TEXT NOT NULL,"
        " lane TEXT NOT NULL, method TEXT NOT NULL, url TEXT NOT NULL,"
        " trust TEXT NOT NULL, doc TEXT, expires BIGINT NOT NULL)",
        "CREATE INDEX notice_by_lane ON notice (lane, seq)",
        "CREATE TABLE lane (lane TEXT PRIMARY KEY, owner TEXT NOT NULL,"
        " until BIGINT NOT NULL, due BIGINT NOT NULL, tries BIGINT NOT NULL)",
        "CREATE INDEX lane_by_due ON lane (due)",
        /* what subscribers are still to be told of (store_event.c) */
        "CREATE TABLE event (seq @SERIAL@, name TEXT NOT NULL, api_id TEXT,"
        " invoker_id TEXT, aef_id TEXT, group_id TEXT, doc TEXT)",
        NULL,
    },
    {
        "ALTER TABLE api ADD COLUMN api_name TEXT",
        /* the provider domain that published it; NULL: a partner's */
        "ALTER TABLE api ADD COLUMN group_id TEXT",
        "CREATE INDEX api_by_name ON api (api_name, ccf_id, api_id)",
        "CREATE INDEX api_by_group ON api (group_id)",
        "UPDATE api SET group_id = (SELECT m.group_id FROM member m"
        " WHERE m.ccf_id = api.ccf_id AND m.role = 'apf'"
        " AND m.id = api.apf_id)",
        FILL_API_NAMES,
        NULL,
    },
    {
        "CREATE TABLE partner_key (ccf_id TEXT PRIMARY KEY,"
        " tried BIGINT NOT NULL, doc TEXT)",
        NULL,
    },
    {
        /* who is told of events (store_subscription.c) ... */
        "CREATE TABLE subscription (id TEXT PRIMARY KEY, ccf_id TEXT NOT NULL,"
        " role TEXT NOT NULL, owner TEXT NOT NULL, group_id TEXT NOT NULL,"
        " expires BIGINT NOT NULL, due BIGINT NOT NULL,"
        " period BIGINT NOT NULL, reports BIGINT NOT NULL, seen TEXT NOT NULL,"
        " doc TEXT NOT NULL, FOREIGN KEY (ccf_id, role, owner)"
        " REFERENCES member (ccf_id, role, id) ON DELETE CASCADE)",
        "CREATE INDEX subscription_by_owner"
        " ON subscription (ccf_id, role, owner)",
        "CREATE INDEX subscription_by_due ON subscription (due)",
        "CREATE TABLE subscribed (name TEXT NOT NULL, sub_id TEXT NOT NULL"
        " REFERENCES subscription (id) ON DELETE CASCADE,"
        " PRIMARY KEY (name, sub_id))",
        "CREATE INDEX subscribed_by_id ON subscribed (sub_id)",
        /* ... and what they will be told when it is time (report.c) */
        "CREATE TABLE held (seq @SERIAL@, sub_id TEXT NOT NULL"
        " REFERENCES subscription (id) ON DELETE CASCADE,"
        " name TEXT NOT NULL, doc TEXT)",
        "CREATE INDEX held_by_id ON held (sub_id, seq)",
        /* a subscription that alone is meant, and how far it went (fanout.c) */
        "ALTER TABLE event ADD COLUMN sub_id TEXT",
        "ALTER TABLE event ADD COLUMN progress TEXT",
        NULL,
    },
    {
        /* '': a PSK of before, which may be under any KEK */
        "ALTER TABLE psk ADD COLUMN kek TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX psk_by_kek ON psk (kek, psk_id)",
        NULL,
    },
    {
        /* a member's certificate; '' and 0: of before, so not known */
        "ALTER TABLE member ADD COLUMN ca TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE member ADD COLUMN serial TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE member ADD COLUMN not_after BIGINT NOT NULL DEFAULT 0",
        /* what CRLs list, and the CRLs, partners' too (store_crl.c) */
        "CREATE TABLE revoked (ca TEXT NOT NULL, serial TEXT NOT NULL,"
        " at BIGINT NOT NULL, until BIGINT NOT NULL,"
        " PRIMARY KEY (ca, serial))",
        "CREATE INDEX revoked_by_end ON revoked (until)",
        "CREATE TABLE crl (ccf_id TEXT NOT NULL, ca TEXT NOT NULL,"
        " changes BIGINT NOT NULL, built BIGINT NOT NULL,"
        " number BIGINT NOT NULL, fresh BIGINT NOT NULL,"
        " until BIGINT NOT NULL, der TEXT NOT NULL,"
        " PRIMARY KEY (ccf_id, ca))",
        NULL,
    },
    {
        /* who may use an API at an AEF, and what hides it (store_policy.c) */
        "CREATE TABLE policy (api_id TEXT NOT NULL, aef_id TEXT NOT NULL,"
        " group_id TEXT NOT NULL, others_denied BIGINT NOT NULL,"
        " PRIMARY KEY (api_id, aef_id))",
        "CREATE INDEX policy_by_group ON policy (group_id)",
        "CREATE TABLE policy_entry (api_id TEXT NOT NULL,"
        " aef_id TEXT NOT NULL, ccf_id TEXT NOT NULL,"
        " invoker_id TEXT NOT NULL, access BIGINT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (api_id, aef_id, ccf_id, invoker_id))",
        "CREATE INDEX policy_entry_by_invoker"
        " ON policy_entry (ccf_id, invoker_id)",
        "CREATE TABLE routing (api_id TEXT NOT NULL, aef_id TEXT NOT NULL,"
        " group_id TEXT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (api_id, aef_id))",
        "CREATE INDEX routing_by_group ON routing (group_id)",
        NULL,
    },
    {
        /* what AEFs log (store_log.c); an absent text is empty */
        "CREATE TABLE invocation (seq @SERIAL@, group_id TEXT NOT NULL,"
        " log_id TEXT NOT NULL, time BIGINT NOT NULL,"
        " received BIGINT NOT NULL, aef_id TEXT NOT NULL,"
        " invoker_ccf TEXT NOT NULL, invoker_id TEXT NOT NULL,"
        " api_id TEXT NOT NULL, api_name TEXT NOT NULL,"
        " api_version TEXT NOT NULL, resource TEXT NOT NULL,"
        " protocol TEXT NOT NULL, operation TEXT NOT NULL,"
        " result TEXT NOT NULL, src_addr TEXT NOT NULL,"
        " src_port TEXT NOT NULL, src_prefix TEXT NOT NULL,"
        " dst_addr TEXT NOT NULL, dst_port TEXT NOT NULL,"
        " dst_prefix TEXT NOT NULL, doc TEXT NOT NULL)",
        "CREATE INDEX invocation_by_time ON invocation"
        " (group_id, time, seq)",
        "CREATE INDEX invocation_by_aef ON invocation"
        " (group_id, aef_id, time, seq)",
        "CREATE INDEX invocation_by_invoker ON invocation"
        " (group_id, invoker_id, time, seq)",
        "CREATE INDEX invocation_by_api ON invocation"
        " (group_id, api_id, time, seq)",
        "CREATE INDEX invocation_by_name ON invocation"
        " (group_id, api_name, time, seq)",
        NULL,
    },
    {
        "CREATE TABLE log_key (group_id TEXT NOT NULL, aef_id TEXT NOT NULL,"
        " idem_key TEXT NOT NULL, digest TEXT NOT NULL, log_id TEXT NOT NULL,"
        " expires BIGINT NOT NULL,"
        " PRIMARY KEY (group_id, aef_id, idem_key))",
        "CREATE INDEX log_key_by_expiry ON log_key (expires)",
        NULL,
    },
    {
        /* what is revoked, and for whom; '': a PSK of before */
        "ALTER TABLE psk ADD COLUMN ccf_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE psk ADD COLUMN invoker_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE psk ADD COLUMN aef_id TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX psk_by_invoker ON psk (ccf_id, invoker_id, aef_id)",
        "CREATE INDEX context_by_expiry ON context (expires)",
        "CREATE TABLE revocation (ccf_id TEXT NOT NULL,"
        " invoker_id TEXT NOT NULL, aef_id TEXT NOT NULL,"
        " api_name TEXT NOT NULL, at BIGINT NOT NULL,"
        " expires BIGINT NOT NULL,"
        " PRIMARY KEY (ccf_id, invoker_id, aef_id, api_name))",
        "CREATE INDEX revocation_by_expiry ON revocation (expires)",
        NULL,
    },
    {
        /* what of own APIs which partner was told last (share.c) */
        "CREATE TABLE shared (ccf_id TEXT NOT NULL, api_id TEXT NOT NULL,"
        " doc TEXT NOT NULL, PRIMARY KEY (ccf_id, api_id))",
        "CREATE INDEX notice_by_url ON notice (lane, url)",
        NULL,
    },
    {
        /* URLs that anybody chose don't keep others waiting */
        "ALTER TABLE lane ADD COLUMN public BIGINT NOT NULL DEFAULT 0",
        "UPDATE lane SET public = 1 WHERE lane IN (SELECT lane FROM notice"
        " WHERE trust = 'public')",
        "DROP INDEX lane_by_due",
        "CREATE INDEX lane_by_due ON lane (public, due)",
        "CREATE INDEX policy_by_aef ON policy (aef_id, others_denied)",
        NULL,
    },
};
#define N_MIGRATIONS (sizeof(migrations) / sizeof(migrations[0]))

static void row_number(const char *const *columns, void *arg)
{
    *(size_t *)arg = strtoul(columns[0], NULL, 10);
}

static enum capif_db_status version_get(struct ccf_store *s, size_t *version)
{
    bool has;
    enum capif_db_status st = capif_db_has_table(s->db, "schema_version", &has);

    *version = 0;
    if (st == CAPIF_DB_OK && has)
        st = capif_db_run(s->db,
                          "SELECT COALESCE(MAX(v), 0) FROM schema_version",
                          NULL, 0, row_number, version, NULL);
    if (st == CAPIF_DB_OK && *version > N_MIGRATIONS) {
        capif_log("store-failed", "why", "schema of a later version", NULL);
        return CAPIF_DB_ERROR;
    }
    return st;
}

enum capif_db_status ccf_schema_is_new(struct ccf_store *s, bool *is)
{
    size_t version = 0;
    enum capif_db_status st = version_get(s, &version);

    *is = version == N_MIGRATIONS;
    return st;
}

/* From here on, others who want to migrate wait for this transaction. */
static enum capif_db_status schema_lock(struct ccf_store *s)
{
    enum capif_db_status st = capif_db_exec(
        s->db, "CREATE TABLE IF NOT EXISTS schema_version (v BIGINT)");

    if (st == CAPIF_DB_OK)
        st = capif_db_exec(s->db, "CREATE TABLE IF NOT EXISTS schema_lock"
                                  " (id BIGINT PRIMARY KEY)");
    if (st == CAPIF_DB_OK)
        st = capif_db_exec(s->db, "INSERT INTO schema_lock VALUES (0)"
                                  " ON CONFLICT (id) DO UPDATE"
                                  " SET id = excluded.id");
    /* Whoever was faster has made it all. */
    return st == CAPIF_DB_CONFLICT ? CAPIF_DB_RETRY : st;
}

static enum capif_db_status step(struct ccf_store *s, const char *sql)
{
    return strcmp(sql, FILL_API_NAMES) == 0 ? ccf_api_names_fill(s)
                                            : capif_db_exec(s->db, sql);
}

enum capif_db_status ccf_schema_renew(struct ccf_store *s, const void *what)
{
    size_t version = 0;
    char text[24];
    enum capif_db_status st = schema_lock(s);

    (void)what;
    if (st == CAPIF_DB_OK)
        st = version_get(s, &version);
    for (; st == CAPIF_DB_OK && version < N_MIGRATIONS; version++) {
        for (size_t i = 0; st == CAPIF_DB_OK && migrations[version][i]; i++)
            st = step(s, migrations[version][i]);
        snprintf(text, sizeof(text), "%zu", version + 1);
        if (st == CAPIF_DB_OK)
            st = ccf_run(s, "INSERT INTO schema_version VALUES ($1)",
                         ARGS(text));
    }
    if (st == CAPIF_DB_CONFLICT)
        capif_log("store-failed", "why", "a table of ours is there already",
                  NULL);
    return st;
}
