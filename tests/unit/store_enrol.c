/* SPDX-License-Identifier: Apache-2.0 */
#include "store_suite.h"

#include "store_revoke.h"
#include "store_tx.h"

#include <stdio.h>
#include <string.h>

struct ccf_member store_member(enum capif_role role, const char *id)
{
    struct ccf_member m = { .who = { .role = role } };

    strcpy(m.who.ccf_id, CCF);
    snprintf(m.who.id, sizeof(m.who.id), "%s", id);
    snprintf(m.thumbprint, sizeof(m.thumbprint), "tp-%s", id);
    return m;
}

enum ccf_store_status store_enrol(struct ccf_store *s, const char *jti,
                                  time_t exp, const char *group,
                                  const struct ccf_member *members, size_t n)
{
    const struct ccf_enrolment e = { jti, exp };
    json_t *doc = soft_json("{'x':1}");
    enum ccf_store_status st = ccf_store_enrol(s, &e, group, doc, members, n);

    json_decref(doc);
    return st;
}

enum ccf_store_status store_context_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *invoker_id)
{
    const struct ccf_revocation all = { .ccf_id = ccf_id,
                                        .invoker_id = invoker_id };

    return ccf_store_context_revoke(s, &all);
}

void store_drain(struct ccf_store *s)
{
    assert_int_equal(capif_db_exec(s->db, "DELETE FROM notice"), CAPIF_DB_OK);
    assert_int_equal(capif_db_exec(s->db, "DELETE FROM lane"), CAPIF_DB_OK);
}
