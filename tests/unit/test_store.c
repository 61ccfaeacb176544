/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf/store.h, whatever is behind it: a file, or with the argument `server`
 * a PostgreSQL server.  What only one of them can be made to do is in
 * test_store_sqlite.c and test_store_server.c.
 */
#include "store_suite.h"

#include "cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *store_place;
bool store_on_server;
static char dir[] = "/tmp/store-test-XXXXXX";

static int setup(void **state)
{
    static struct stores st;

    st.s = ccf_store_open(store_place);
    st.second = ccf_store_open(store_place);
    assert_non_null(st.s);
    assert_non_null(st.second);
    *state = &st;
    return 0;
}

static int teardown(void **state)
{
    struct stores *st = *state;

    ccf_store_close(st->s);
    ccf_store_close(st->second);
    ccf_store_close(NULL);
    return 0;
}

bool store_has_member(struct ccf_store *s, const struct ccf_member *m)
{
    struct ccf_member out, was;
    enum ccf_store_status st;

    memset(&out, 0x5a, sizeof(out));
    was = out;
    st = ccf_store_member(s, &m->who, &out);
    if (st == CCF_STORE_OK) {
        assert_string_equal(out.who.id, m->who.id);
        assert_string_equal(out.who.ccf_id, m->who.ccf_id);
        assert_int_equal(out.who.role, m->who.role);
        assert_string_equal(out.thumbprint, m->thumbprint);
        return true;
    }
    assert_int_equal(st, CCF_STORE_NOT_FOUND);
    assert_memory_equal(&out, &was, sizeof(out));
    return false;
}

static void test_enrol(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m[2] = { store_member(CAPIF_AEF, "e-aef"),
                               store_member(CAPIF_APF, "e-apf") };
    struct ccf_member out, none = m[0];

    assert_false(store_has_member(s, &m[0]));
    assert_int_equal(store_enrol(s, "e-1", LATER, "e-group", m, 2),
                     CCF_STORE_OK);
    assert_true(store_has_member(s, &m[0]));
    assert_true(store_has_member(s, &m[1]));
    assert_int_equal(ccf_store_member(s, &m[1].who, &out), CCF_STORE_OK);
    assert_string_equal(out.group_id, "e-group");
    none.who.role = CAPIF_INVOKER;
    assert_false(store_has_member(s, &none));
    none = m[0];
    strcpy(none.who.ccf_id, OTHER);
    assert_false(store_has_member(s, &none));
    none = m[0];
    strcpy(none.who.id, "e-ae");
    assert_false(store_has_member(s, &none));
}

/* Single use; and what is refused leaves nothing behind. */
static void test_enrol_once(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member a = store_member(CAPIF_INVOKER, "o-a");
    struct ccf_member b = store_member(CAPIF_INVOKER, "o-b");
    struct ccf_member c[2] = { store_member(CAPIF_INVOKER, "o-c"), a };

    assert_int_equal(store_enrol(s, "o-1", LATER, "o-ga", &a, 1), CCF_STORE_OK);
    /* the enrolment used already */
    assert_int_equal(store_enrol(s, "o-1", LATER, "o-gb", &b, 1),
                     CCF_STORE_CONFLICT);
    assert_false(store_has_member(s, &b));
    /* the group there already */
    assert_int_equal(store_enrol(s, "o-2", LATER, "o-ga", &b, 1),
                     CCF_STORE_CONFLICT);
    assert_false(store_has_member(s, &b));
    /* the second of the members there already */
    assert_int_equal(store_enrol(s, "o-2", LATER, "o-gc", c, 2),
                     CCF_STORE_CONFLICT);
    assert_false(store_has_member(s, &c[0]));
    assert_true(store_has_member(s, &a));
    /* so o-2, o-gb and o-gc are all unused */
    assert_int_equal(store_enrol(s, "o-2", LATER, "o-gb", &b, 1), CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "o-3", LATER, "o-gc", c, 1), CCF_STORE_OK);
    assert_true(store_has_member(s, &b));
    assert_true(store_has_member(s, &c[0]));
}

/* Forgotten only when it has expired, so it can't be used again. */
static void test_enrol_expired(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m = store_member(CAPIF_INVOKER, "x-a");

    assert_int_equal(store_enrol(s, "x-old", time(NULL) - 10, "x-1", NULL, 0),
                     CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "x-new", LATER, "x-2", NULL, 0),
                     CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "x-new", LATER, "x-3", &m, 1),
                     CCF_STORE_CONFLICT);
    assert_int_equal(store_enrol(s, "x-old", LATER, "x-3", &m, 1),
                     CCF_STORE_OK);
    assert_true(store_has_member(s, &m));
}

static enum ccf_store_status put_context(struct ccf_store *s, const char *ccf,
                                         const char *id, time_t exp,
                                         const char *text)
{
    json_t *doc = soft_json(text);
    enum ccf_store_status st = ccf_store_context_put(s, ccf, id, exp, doc);

    json_decref(doc);
    return st;
}

/* The document is that text; text NULL: there is none. */
static void context_is(struct ccf_store *s, const char *ccf, const char *id,
                       const char *text)
{
    json_t *doc = NULL, *want;
    enum ccf_store_status st = ccf_store_context_get(s, ccf, id, &doc);

    assert_int_equal(st, text != NULL ? CCF_STORE_OK : CCF_STORE_NOT_FOUND);
    if (text == NULL) {
        assert_null(doc);
        return;
    }
    want = soft_json(text);
    assert_true(json_equal(doc, want));
    json_decref(want);
    json_decref(doc);
}

static void test_offboard(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member a = store_member(CAPIF_INVOKER, "f-a");
    struct ccf_member b = store_member(CAPIF_INVOKER, "f-b");
    struct ccf_member aef = store_member(CAPIF_AEF, "f-aef");

    assert_int_equal(store_enrol(s, "f-1", LATER, "f-ga", &a, 1), CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "f-2", LATER, "f-gb", &b, 1), CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "f-3", LATER, "f-gc", &aef, 1),
                     CCF_STORE_OK);
    assert_int_equal(put_context(s, CCF, "f-a", LATER, "{}"), CCF_STORE_OK);
    assert_int_equal(put_context(s, CCF, "f-b", LATER, "{}"), CCF_STORE_OK);
    assert_int_equal(put_context(s, OTHER, "f-a", LATER, "{}"), CCF_STORE_OK);
    /* another's onboarding, and what is no onboarding */
    assert_int_equal(ccf_store_offboard(s, &a.who, "f-gb"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_offboard(s, &aef.who, "f-gc"),
                     CCF_STORE_NOT_FOUND);
    assert_true(store_has_member(s, &a));
    assert_true(store_has_member(s, &aef));
    context_is(s, CCF, "f-a", "{}");
    assert_int_equal(ccf_store_offboard(s, &a.who, "f-ga"), CCF_STORE_OK);
    assert_false(store_has_member(s, &a));
    assert_true(store_has_member(s, &b));
    context_is(s, CCF, "f-a", NULL);
    context_is(s, CCF, "f-b", "{}");
    context_is(s, OTHER, "f-a", "{}");
    assert_int_equal(ccf_store_offboard(s, &a.who, "f-ga"),
                     CCF_STORE_NOT_FOUND);
    /* The group is gone with it, its enrolment stays used. */
    assert_int_equal(store_enrol(s, "f-1", LATER, "f-ga", &a, 1),
                     CCF_STORE_CONFLICT);
    assert_int_equal(store_enrol(s, "f-4", LATER, "f-ga", &a, 1), CCF_STORE_OK);
}

static void test_contexts(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const time_t now = time(NULL);

    context_is(s, CCF, "c-1", NULL);
    assert_int_equal(put_context(s, CCF, "c-1", LATER, "{'n':1}"),
                     CCF_STORE_OK);
    context_is(s, CCF, "c-1", "{'n':1}");
    context_is(s, OTHER, "c-1", NULL);
    assert_int_equal(put_context(s, CCF, "c-1", LATER, "{'n':2}"),
                     CCF_STORE_OK);
    context_is(s, CCF, "c-1", "{'n':2}");
    /* expired: before, and in, this second */
    assert_int_equal(put_context(s, CCF, "c-1", now - 1, "{}"), CCF_STORE_OK);
    context_is(s, CCF, "c-1", NULL);
    assert_int_equal(put_context(s, CCF, "c-1", now, "{}"), CCF_STORE_OK);
    context_is(s, CCF, "c-1", NULL);
    assert_int_equal(put_context(s, CCF, "c-1", 0x7fffffffffff, "{'n':3}"),
                     CCF_STORE_OK);
    context_is(s, CCF, "c-1", "{'n':3}");
    assert_int_equal(store_context_delete(s, OTHER, "c-1"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(store_context_delete(s, CCF, "c-1"), CCF_STORE_OK);
    context_is(s, CCF, "c-1", NULL);
    assert_int_equal(store_context_delete(s, CCF, "c-1"), CCF_STORE_NOT_FOUND);
}

/* What is given is data, never SQL. */
static void test_foreign_text(void **state)
{
    static const char evil[] = "x'; DROP TABLE context; --\"$1\xc3\xa9";
    struct ccf_store *s = ((struct stores *)*state)->s;

    assert_int_equal(put_context(s, CCF, evil, LATER,
                                 "{'a':'\\u0022\\u0027 $1 \xe2\x82\xac'}"),
                     CCF_STORE_OK);
    context_is(s, CCF, evil, "{'a':'\\u0022\\u0027 $1 \xe2\x82\xac'}");
    context_is(s, CCF, "x", NULL);
    context_is(s, "' OR 1=1 --", evil, NULL);
    assert_int_equal(store_context_delete(s, CCF, "%"), CCF_STORE_NOT_FOUND);
    assert_int_equal(store_context_delete(s, CCF, evil), CCF_STORE_OK);
}

/* Workers have a handle each: what one has done the other sees. */
static void test_two_handles(void **state)
{
    struct stores *st = *state;
    struct ccf_member m = store_member(CAPIF_INVOKER, "t-1");

    assert_int_equal(put_context(st->s, CCF, "t-1", LATER, "{'n':1}"),
                     CCF_STORE_OK);
    context_is(st->second, CCF, "t-1", "{'n':1}");
    assert_int_equal(store_enrol(st->s, "t-1", LATER, "t-g", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(store_enrol(st->second, "t-1", LATER, "t-h", NULL, 0),
                     CCF_STORE_CONFLICT);
    assert_int_equal(ccf_store_offboard(st->second, &m.who, "t-g"),
                     CCF_STORE_OK);
    assert_false(store_has_member(st->s, &m));
    context_is(st->s, CCF, "t-1", NULL);
}

static void test_reopen(void **state)
{
    struct stores *st = *state;
    struct ccf_member m = store_member(CAPIF_INVOKER, "z-1");

    assert_int_equal(store_enrol(st->s, "z-1", LATER, "z-g", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(put_context(st->s, CCF, "z-1", LATER, "{'n':1}"),
                     CCF_STORE_OK);
    teardown(state);
    setup(state);
    st = *state;
    assert_true(store_has_member(st->s, &m));
    context_is(st->s, CCF, "z-1", "{'n':1}");
    assert_int_equal(store_enrol(st->s, "z-1", LATER, "z-h", NULL, 0),
                     CCF_STORE_CONFLICT);
}

/* Of any length and in any script, as are their keys. */
static void test_documents(void **state)
{
    static const char *const keys[] = {
        "u-\xc3\xa9", "u-e\xcc\x81", "u-\xf0\x9f\x94\x91", "u-\xef\xbf\xbf", "",
    };
    struct ccf_store *s = ((struct stores *)*state)->s;
    char *text = malloc((1u << 20) + 1);
    json_t *doc, *out = NULL;

    assert_non_null(text);
    memset(text, 'x', 1u << 20);
    text[1u << 20] = '\0';
    memcpy(text + 4711, "\xe2\x82\xac'\\\"\n\t\x01", 9);
    doc = json_pack("{s:s, s:s}", "long", text, "script",
                    "\xd7\xa2\xd7\x91\xf0\x9f\x94\x91");
    assert_non_null(doc);
    for (size_t i = 0; i < N_OF(keys); i++) {
        assert_int_equal(ccf_store_context_put(s, CCF, keys[i], LATER, doc),
                         CCF_STORE_OK);
        assert_int_equal(ccf_store_context_get(s, CCF, keys[i], &out),
                         CCF_STORE_OK);
        assert_true(json_equal(doc, out));
        json_decref(out);
        assert_int_equal(store_context_delete(s, CCF, keys[i]), CCF_STORE_OK);
    }
    json_decref(doc);
    free(text);
}

/* A request line may say anything: nobody has such a name, that is all. */
static void test_no_text(void **state)
{
    static const char *const names[] = {
        "\xff", "a\xc3",    "\xc0\x80",     "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\x80", "\xe2\x82", "\xe0\x80\x80",
    };
    struct ccf_store *s = ((struct stores *)*state)->s;

    soft_listen();
    for (size_t i = 0; i < N_OF(names); i++) {
        context_is(s, CCF, names[i], NULL);
        assert_int_equal(put_context(s, CCF, names[i], LATER, "{}"),
                         CCF_STORE_NOT_FOUND);
        assert_int_equal(store_context_delete(s, CCF, names[i]),
                         CCF_STORE_NOT_FOUND);
        store_api_is(s, NULL, names[i], NULL);
    }
    assert_string_equal(soft_heard(), "");
}

static void test_psks(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *doc = soft_json("{'key':'k'}"), *out = NULL;

    assert_int_equal(ccf_store_psk_get(s, "k-1", &out), CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_psk_add(s, "k-1", LATER, "kek", doc),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_psk_add(s, "k-1", LATER, "kek", doc),
                     CCF_STORE_CONFLICT);
    assert_int_equal(ccf_store_psk_get(s, "k-1", &out), CCF_STORE_OK);
    assert_true(json_equal(doc, out));
    json_decref(out);
    out = NULL;
    assert_int_equal(ccf_store_psk_add(s, "k-2", time(NULL), "kek", doc),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_psk_get(s, "k-2", &out), CCF_STORE_NOT_FOUND);
    /* forgotten, so its id is free again */
    assert_int_equal(ccf_store_psk_add(s, "k-2", LATER, "kek", doc),
                     CCF_STORE_OK);
    json_decref(doc);
}

/* Of an own invoker only, and of all four kinds of a list. */
static void test_own(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m = store_member(CAPIF_INVOKER, "own-1");
    struct ccf_member aef = store_member(CAPIF_AEF, "own-2");
    json_t *doc = soft_json("{}"), *docs = NULL;

    assert_int_equal(ccf_store_context_put_own(s, CCF, "own-1", LATER, doc),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(store_enrol(s, "own-1", LATER, "own-1", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "own-2", LATER, "own-2", &aef, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_context_put_own(s, CCF, "own-1", LATER, doc),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_context_put_own(s, OTHER, "own-1", LATER, doc),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_context_put_own(s, CCF, "own-2", LATER, doc),
                     CCF_STORE_NOT_FOUND);
    context_is(s, CCF, "own-1", "{}");
    context_is(s, CCF, "own-2", NULL);
    assert_int_equal(ccf_store_api_list(s, NULL, NULL, &docs), CCF_STORE_OK);
    json_decref(docs);
    json_decref(doc);
}

const char *store_fresh(void)
{
    static char where[160];
    static int n;
    char name[16];

    snprintf(name, sizeof(name), "fresh%d", n++);
    if (store_on_server)
        cluster_database(name, where, sizeof(where));
    else
        snprintf(where, sizeof(where), "%s/%s", dir, name);
    return where;
}

static int run_store_tests(const char *name)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enrol),
        cmocka_unit_test(test_enrol_once),
        cmocka_unit_test(test_enrol_expired),
        cmocka_unit_test(test_offboard),
        cmocka_unit_test(test_spend),
        cmocka_unit_test(test_partner_keys),
        cmocka_unit_test(test_partner_keys_have_one_asker),
        cmocka_unit_test(test_crl_offboarded),
        cmocka_unit_test(test_crl_changed),
        cmocka_unit_test(test_crl_by_hand),
        cmocka_unit_test(test_crl_of_a_member),
        cmocka_unit_test(test_crl_is_set_once),
        cmocka_unit_test(test_crl_of_a_partner),
        cmocka_unit_test(test_psk_rewrap),
        cmocka_unit_test(test_notices_in_order),
        cmocka_unit_test(test_notices_have_one_bearer),
        cmocka_unit_test(test_notices_wait_after_failure),
        cmocka_unit_test(test_notices_lanes_are_shared),
        cmocka_unit_test(test_notices_of_the_public),
        cmocka_unit_test(test_revocation_of_one_aef),
        cmocka_unit_test(test_revocation_event),
        cmocka_unit_test(test_revocation_at_new_control_url),
        cmocka_unit_test(test_revocation_by_a_partner),
        cmocka_unit_test(test_revocation_of_all),
        cmocka_unit_test(test_revocation_of_what_is_dropped),
        cmocka_unit_test(test_revocation_of_what_a_partner_knows),
        cmocka_unit_test(test_revocation_of_what_was_in_vain),
        cmocka_unit_test(test_revocation_of_nothing),
        cmocka_unit_test(test_revocations_in_one_second),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_share_of_others),
        cmocka_unit_test(test_apis),
        cmocka_unit_test(test_api_delete),
        cmocka_unit_test(test_api_replace),
        cmocka_unit_test(test_api_each),
        cmocka_unit_test(test_api_names),
        cmocka_unit_test(test_api_migration),
        cmocka_unit_test(test_events_of_apis),
        cmocka_unit_test(test_events_of_hidden_apis),
        cmocka_unit_test(test_events_of_leaving),
        cmocka_unit_test(test_events_of_partners_apis),
        cmocka_unit_test(test_events_of_invokers),
        cmocka_unit_test(test_events_may_see),
        cmocka_unit_test(test_events_filters),
        cmocka_unit_test(test_subscription_limit),
        cmocka_unit_test(test_subscription_ends),
        cmocka_unit_test(test_subscription_changes),
        cmocka_unit_test(test_reports_periodic),
        cmocka_unit_test(test_reports_immediate),
        cmocka_unit_test(test_policy_names),
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_policy_refused),
        cmocka_unit_test(test_routing),
        cmocka_unit_test(test_policy_ends),
        cmocka_unit_test(test_policy_ends_with_aef),
        cmocka_unit_test(test_contexts),
        cmocka_unit_test(test_foreign_text),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_no_text),
        cmocka_unit_test(test_psks),
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_two_handles),
        cmocka_unit_test(test_reopen),
        cmocka_unit_test(test_race_one_enrolment),
        cmocka_unit_test(test_race_many_enrolments),
        cmocka_unit_test(test_race_replace),
        cmocka_unit_test(test_race_offboard),
        cmocka_unit_test(test_race_fanout),
        cmocka_unit_test(test_race_open_threads),
        cmocka_unit_test(test_race_open_processes),
        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_log_filters),
        cmocka_unit_test(test_log_limits),
        cmocka_unit_test(test_log_look),
        cmocka_unit_test(test_log_keys),
        cmocka_unit_test(test_log_refused),
        cmocka_unit_test(test_log_forget),
        cmocka_unit_test(test_log_events),
        cmocka_unit_test(test_plans),
    };

    return cmocka_run_group_tests_name(name, tests, setup, teardown);
}

int main(int argc, char **argv)
{
    char place[160], command[80];
    int failed = EXIT_FAILURE;

    store_on_server = argc == 2 && strcmp(argv[1], "server") == 0;
    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    if (!store_on_server || cluster_start()) {
        snprintf(place, sizeof(place), "%s", store_fresh());
        store_place = place;
        failed = run_store_tests(store_on_server ? "ccf: store on a server"
                                                 : "ccf: store in a file");
        if (store_on_server)
            cluster_stop();
    }
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) == 0 ? failed : EXIT_FAILURE;
}
