/* SPDX-License-Identifier: Apache-2.0 */
#include "db.h"

#include "db_ops.h"
#include "log.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/*
 * A slip of the pen in a URI must not make it a path: that one would be made,
 * and be logged with the password in it.
 */
static bool is_path(const char *where)
{
    return strstr(where, "://") == NULL
           && !(strncasecmp(where, "postgres", 8) == 0
                && strchr(where, ':') != NULL);
}

struct capif_db *capif_db_open(const char *where)
{
    const struct capif_db_ops *ops = NULL;
    struct capif_db *db;

    if (begins(where, "postgresql://") || begins(where, "postgres://")) {
        ops = &capif_db_pg;
    } else if (is_path(where)) {
        ops = &capif_db_sqlite;
    } else {
        capif_log("store-failed", "why",
                  "neither a path nor a URI postgresql://", NULL);
        return NULL;
    }
    if ((db = ops->open(where)) != NULL)
        db->ops = ops;
    return db;
}

void capif_db_close(struct capif_db *db)
{
    if (db != NULL)
        db->ops->close(db);
}

enum capif_db_status capif_db_begin(struct capif_db *db, bool schema)
{
    return db->ops->begin(db, schema);
}

enum capif_db_status capif_db_commit(struct capif_db *db)
{
    return db->ops->commit(db);
}

void capif_db_rollback(struct capif_db *db)
{
    db->ops->rollback(db);
}

/* The length of the UTF-8 sequence at s (RFC 3629); 0 if it is none. */
static size_t utf8_len(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high; /* of the second octet */
        size_t len;
    } forms[] = {
        { 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
        { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
        { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
        { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (*s < forms[i].first || *s > forms[i].last)
            continue;
        if (forms[i].len > 1 && (s[1] < forms[i].low || s[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < forms[i].len; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return forms[i].len;
    }
    return 0;
}

static bool is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s != '\0') {
        size_t len = utf8_len(s);

        if (len == 0)
            return false;
        s += len;
    }
    return true;
}

/* Keys come from request lines.  SQLite takes any octets, others don't. */
enum capif_db_status capif_db_run(struct capif_db *db, const char *sql,
                                  const char *const *args, size_t n_args,
                                  capif_db_row_fn *row, void *arg,
                                  size_t *changed)
{
    for (size_t i = 0; i < n_args; i++)
        if (args[i] != NULL && !is_utf8(args[i]))
            return CAPIF_DB_NOT_FOUND;
    return db->ops->run(db, sql, args, n_args, row, arg, changed);
}

enum capif_db_status capif_db_exec(struct capif_db *db, const char *sql)
{
    static const char word[] = "@SERIAL@";
    const char *at = strstr(sql, word);
    char text[1024];

    if (at == NULL)
        return db->ops->exec(db, sql);
    if (snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - sql), sql,
                 db->ops->serial, at + strlen(word))
        >= (int)sizeof(text)) {
        capif_log("store-failed", "why", "a statement is too long", NULL);
        return CAPIF_DB_ERROR;
    }
    return db->ops->exec(db, text);
}

static void row_there(const char *const *columns, void *arg)
{
    (void)columns;
    *(bool *)arg = true;
}

enum capif_db_status capif_db_has_table(struct capif_db *db, const char *name,
                                        bool *has)
{
    *has = false;
    return db->ops->run(db, db->ops->table, &name, 1, row_there, has, NULL);
}

struct capif_db_statement *capif_db_statement(struct capif_db *db,
                                              const char *sql)
{
    size_t at = (size_t)((uintptr_t)sql * 0x9e3779b1u >> 8);

    for (size_t i = 0; i < CAPIF_DB_STATEMENTS; i++) {
        struct capif_db_statement *s =
            &db->statements[(at + i) & (CAPIF_DB_STATEMENTS - 1)];

        if (s->sql == NULL)
            s->sql = sql;
        if (s->sql == sql)
            return s;
    }
    capif_log("store-failed", "why", "too many statements", NULL);
    return NULL;
}
