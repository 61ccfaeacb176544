/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What members change of their own: all of a change or nothing, only by who
 * is still a member with the same certificate, and only if the document is
 * still the one that was read.
 */
#include "soft.h"

#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CCF   "ccf.a.example"
#define LATER (time(NULL) + 1000)

static const char *place;

static int setup(void **state)
{
    *state = ccf_store_open(place);
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state)
{
    ccf_store_close(*state);
    return 0;
}

static struct ccf_member member(enum capif_role role, const char *group,
                                const char *id, const char *thumbprint)
{
    struct ccf_member m = { .who = { .role = role } };

    strcpy(m.who.ccf_id, CCF);
    snprintf(m.who.id, sizeof(m.who.id), "%s", id);
    snprintf(m.group_id, sizeof(m.group_id), "%s", group);
    snprintf(m.thumbprint, sizeof(m.thumbprint), "%s", thumbprint);
    return m;
}

static void enrol(struct ccf_store *s, const char *group,
                  const struct ccf_member *members, size_t n)
{
    const struct ccf_enrolment e = { group, LATER }; /* any unused text */
    json_t *doc = soft_json("{'v':1}");

    assert_int_equal(ccf_store_enrol(s, &e, group, doc, members, n),
                     CCF_STORE_OK);
    json_decref(doc);
}

static enum ccf_store_status change(struct ccf_store *s,
                                    const struct ccf_member *by,
                                    const char *was, const char *doc,
                                    const struct ccf_member *members, size_t n)
{
    json_t *a = soft_json(was), *b = soft_json(doc);
    enum ccf_store_status st = ccf_store_group_change(s, by, a, b, members, n);

    json_decref(a);
    json_decref(b);
    return st;
}

/* The group's document is that text; NULL: there is none. */
static void group_is(struct ccf_store *s, const char *id, const char *text)
{
    json_t *doc = NULL, *want = text != NULL ? soft_json(text) : NULL;

    assert_int_equal(ccf_store_group_get(s, id, &doc),
                     text != NULL ? CCF_STORE_OK : CCF_STORE_NOT_FOUND);
    assert_true(text == NULL ? doc == NULL : json_equal(doc, want));
    json_decref(doc);
    json_decref(want);
}

/* The member has that certificate; NULL: it is none. */
static void member_is(struct ccf_store *s, const struct ccf_member *m,
                      const char *thumbprint)
{
    struct ccf_member out;
    enum ccf_store_status st = ccf_store_member(s, &m->who, &out);

    if (thumbprint == NULL) {
        assert_int_equal(st, CCF_STORE_NOT_FOUND);
        return;
    }
    assert_int_equal(st, CCF_STORE_OK);
    assert_string_equal(out.thumbprint, thumbprint);
    assert_string_equal(out.group_id, m->group_id);
}

static enum ccf_store_status api_set(struct ccf_store *s,
                                     const struct ccf_member *by,
                                     const char *id, const char *was,
                                     const char *doc)
{
    json_t *a = was != NULL ? soft_json(was) : NULL, *b = soft_json(doc);
    enum ccf_store_status st = ccf_store_api_set(s, by, id, a, b);

    json_decref(a);
    json_decref(b);
    return st;
}

static void api_is(struct ccf_store *s, const struct ccf_member *apf,
                   const char *id, const char *text)
{
    json_t *doc = NULL, *want = text != NULL ? soft_json(text) : NULL;
    enum ccf_store_status st = ccf_store_api_of(s, &apf->who, id, &doc);

    assert_int_equal(st, text != NULL ? CCF_STORE_OK : CCF_STORE_NOT_FOUND);
    if (text != NULL && !json_equal(doc, want)) {
        char *got = json_dumps(doc, 0);
        fail_msg("%s, not %s", got, text);
    }
    json_decref(doc);
    json_decref(want);
}

static void test_change(void **state)
{
    struct ccf_store *s = *state;
    struct ccf_member m = member(CAPIF_INVOKER, "c-g", "c-i", "old"), new = m;
    struct ccf_member other = member(CAPIF_INVOKER, "c-h", "c-o", "other");

    strcpy(new.thumbprint, "new");
    enrol(s, "c-g", &m, 1);
    enrol(s, "c-h", &other, 1);
    group_is(s, "c-none", NULL);
    group_is(s, "c-g", "{'v':1}");
    assert_int_equal(change(s, &m, "{'v':0}", "{'v':2}", &new, 1),
                     CCF_STORE_CHANGED);
    group_is(s, "c-g", "{'v':1}");
    member_is(s, &m, "old");
    assert_int_equal(change(s, &m, "{'v':1}", "{'v':2}", &new, 1),
                     CCF_STORE_OK);
    group_is(s, "c-g", "{'v':2}");
    member_is(s, &m, "new");
    /* the certificate before, another's group, and nobody */
    assert_int_equal(change(s, &m, "{'v':2}", "{'v':3}", &m, 1),
                     CCF_STORE_GONE);
    strcpy(other.group_id, "c-g");
    assert_int_equal(change(s, &other, "{'v':2}", "{'v':3}", &m, 1),
                     CCF_STORE_GONE);
    strcpy(other.group_id, "c-h");
    strcpy(m.who.id, "c-x");
    assert_int_equal(change(s, &m, "{'v':2}", "{'v':3}", &m, 1),
                     CCF_STORE_GONE);
    group_is(s, "c-g", "{'v':2}");
    member_is(s, &new, "new");
    group_is(s, "c-h", "{'v':1}");
    member_is(s, &other, "other");
}

/* What can't be in the end has changed nothing on the way. */
static void test_conflict(void **state)
{
    struct ccf_store *s = *state;
    struct ccf_member a[2] = { member(CAPIF_AMF, "x-g", "x-amf", "t1"),
                               member(CAPIF_AEF, "x-g", "x-aef", "t2") };
    struct ccf_member b = member(CAPIF_AEF, "x-h", "x-taken", "t3");
    struct ccf_member set[2] = { a[0], b };

    enrol(s, "x-g", a, 2);
    enrol(s, "x-h", &b, 1);
    strcpy(set[0].thumbprint, "t4");
    strcpy(set[1].thumbprint, "t5");
    assert_int_equal(change(s, &a[0], "{'v':1}", "{'v':2}", set, 2),
                     CCF_STORE_CONFLICT);
    group_is(s, "x-g", "{'v':1}");
    member_is(s, &a[0], "t1");
    member_is(s, &a[1], "t2");
    member_is(s, &b, "t3");
}

#define PROFILES(aefs) "'aefProfiles':[" aefs "]"
#define AEF(id)        "{'aefId':'" id "'}"

static void test_api_set(void **state)
{
    struct ccf_store *s = *state;
    struct ccf_member m[3] = { member(CAPIF_AEF, "s-g", "s-e", "t1"),
                               member(CAPIF_APF, "s-g", "s-p", "t2"),
                               member(CAPIF_APF, "s-g", "s-q", "t3") };
    struct ccf_member foreign = member(CAPIF_AEF, "s-h", "s-f", "t4");
    struct ccf_member old = m[1];

    enrol(s, "s-g", m, 3);
    enrol(s, "s-h", &foreign, 1);
    strcpy(old.thumbprint, "old");
    assert_int_equal(
        api_set(s, &m[1], "s-1", NULL, "{" PROFILES(AEF("s-f")) "}"),
        CCF_STORE_CHANGED);
    assert_int_equal(api_set(s, &m[1], "s-1", NULL,
                             "{" PROFILES(AEF("s-e") "," AEF("s-none")) "}"),
                     CCF_STORE_CHANGED);
    assert_int_equal(
        api_set(s, &old, "s-1", NULL, "{" PROFILES(AEF("s-e")) "}"),
        CCF_STORE_GONE);
    api_is(s, &m[1], "s-1", NULL);
    assert_int_equal(
        api_set(s, &m[1], "s-1", NULL, "{'n':1," PROFILES(AEF("s-e")) "}"),
        CCF_STORE_OK);
    api_is(s, &m[1], "s-1", "{'n':1," PROFILES(AEF("s-e")) "}");
    api_is(s, &m[2], "s-1", NULL); /* of the same domain, but not its own */
    assert_int_equal(api_set(s, &m[1], "s-1", NULL, "{}"), CCF_STORE_CONFLICT);
    assert_int_equal(api_set(s, &m[1], "s-1", "{'n':0}", "{'n':2}"),
                     CCF_STORE_CHANGED);
    assert_int_equal(
        api_set(s, &m[2], "s-1", "{'n':1," PROFILES(AEF("s-e")) "}", "{'n':2}"),
        CCF_STORE_CHANGED);
    api_is(s, &m[1], "s-1", "{'n':1," PROFILES(AEF("s-e")) "}");
    assert_int_equal(
        api_set(s, &m[1], "s-1", "{'n':1," PROFILES(AEF("s-e")) "}", "{'n':2}"),
        CCF_STORE_OK);
    api_is(s, &m[1], "s-1", "{'n':2}");
}

/* The API of an APF, with its id in it. */
static void publish(struct ccf_store *s, const struct ccf_member *apf,
                    const char *id, const char *rest)
{
    char text[256];

    snprintf(text, sizeof(text), "{'apiId':'%s',%s}", id, rest);
    assert_int_equal(api_set(s, apf, id, NULL, text), CCF_STORE_OK);
}

/* A domain with two APFs and two AEFs, and a neighbour. */
static void test_functions_removed(void **state)
{
    struct ccf_store *s = *state;
    struct ccf_member m[5] = { member(CAPIF_AMF, "r-g", "r-m", "t1"),
                               member(CAPIF_APF, "r-g", "r-p", "t2"),
                               member(CAPIF_APF, "r-g", "r-q", "t3"),
                               member(CAPIF_AEF, "r-g", "r-e", "t4"),
                               member(CAPIF_AEF, "r-g", "r-f", "t5") };
    struct ccf_member n[2] = { member(CAPIF_APF, "r-h", "r-np", "t6"),
                               member(CAPIF_AEF, "r-h", "r-ne", "t7") };
    struct ccf_member left[3] = { m[0], m[1], m[3] };

    enrol(s, "r-g", m, 5);
    enrol(s, "r-h", n, 2);
    publish(s, &m[1], "r-1", PROFILES(AEF("r-e")));
    publish(s, &m[1], "r-2",
            "'apiStatus':{'aefIds':['r-e','r-f']}," PROFILES(
                AEF("r-e") "," AEF("r-f")));
    publish(s, &m[1], "r-3", PROFILES(AEF("r-f")));
    publish(s, &m[2], "r-4", PROFILES(AEF("r-e")));
    publish(s, &n[0], "r-5", PROFILES(AEF("r-ne")));
    assert_int_equal(change(s, &m[0], "{'v':1}", "{'v':2}", left, 3),
                     CCF_STORE_OK);
    member_is(s, &m[0], "t1");
    member_is(s, &m[1], "t2");
    member_is(s, &m[2], NULL);
    member_is(s, &m[3], "t4");
    member_is(s, &m[4], NULL);
    api_is(s, &m[1], "r-1", "{'apiId':'r-1'," PROFILES(AEF("r-e")) "}");
    api_is(s, &m[1], "r-2",
           "{'apiId':'r-2','apiStatus':{'aefIds':['r-e']}," PROFILES(
               AEF("r-e")) "}");
    api_is(s, &m[1], "r-3", NULL);
    api_is(s, &m[2], "r-4", NULL);
    api_is(s, &n[0], "r-5", "{'apiId':'r-5'," PROFILES(AEF("r-ne")) "}");
    /* Whoever is gone can do nothing any more. */
    assert_int_equal(ccf_store_group_remove(s, &m[2]), CCF_STORE_GONE);
    assert_int_equal(api_set(s, &m[2], "r-6", NULL, "{}"), CCF_STORE_GONE);
    assert_int_equal(
        api_set(s, &m[1], "r-6", NULL, "{" PROFILES(AEF("r-f")) "}"),
        CCF_STORE_CHANGED);
}

static void test_remove(void **state)
{
    struct ccf_store *s = *state;
    struct ccf_member m[3] = { member(CAPIF_AMF, "d-g", "d-m", "t1"),
                               member(CAPIF_APF, "d-g", "d-p", "t2"),
                               member(CAPIF_AEF, "d-g", "d-e", "t3") };
    struct ccf_member n[2] = { member(CAPIF_APF, "d-h", "d-np", "t4"),
                               member(CAPIF_AEF, "d-h", "d-ne", "t5") };
    struct ccf_member old = m[0];
    json_t *context = soft_json("{'c':1}"), *got = NULL;

    enrol(s, "d-g", m, 3);
    enrol(s, "d-h", n, 2);
    publish(s, &m[1], "d-1", PROFILES(AEF("d-e")));
    publish(s, &n[0], "d-2", PROFILES(AEF("d-ne")));
    assert_int_equal(ccf_store_context_put(s, CCF, "d-i", LATER, context),
                     CCF_STORE_OK);
    strcpy(old.thumbprint, "old");
    assert_int_equal(ccf_store_group_remove(s, &old), CCF_STORE_GONE);
    member_is(s, &m[2], "t3");
    assert_int_equal(ccf_store_group_remove(s, &m[0]), CCF_STORE_OK);
    group_is(s, "d-g", NULL);
    for (size_t i = 0; i < N_OF(m); i++)
        member_is(s, &m[i], NULL);
    api_is(s, &m[1], "d-1", NULL);
    group_is(s, "d-h", "{'v':1}");
    member_is(s, &n[0], "t4");
    member_is(s, &n[1], "t5");
    api_is(s, &n[0], "d-2", "{'apiId':'d-2'," PROFILES(AEF("d-ne")) "}");
    assert_int_equal(ccf_store_context_get(s, CCF, "d-i", &got), CCF_STORE_OK);
    assert_true(json_equal(got, context));
    json_decref(got);
    json_decref(context);
    assert_int_equal(ccf_store_group_remove(s, &m[0]), CCF_STORE_GONE);
}

static int run_change_tests(const char *where)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_conflict),
        cmocka_unit_test(test_api_set),
        cmocka_unit_test(test_functions_removed),
        cmocka_unit_test(test_remove),
    };

    place = where;
    return cmocka_run_group_tests_name("ccf: store, changes", tests, setup,
                                       teardown);
}

int main(void)
{
    char dir[] = "/tmp/store-test-XXXXXX", path[64];
    static const char *const ends[] = { "", "-wal", "-shm" };
    int failed;

    if (mkdtemp(dir) == NULL)
        return EXIT_FAILURE;
    snprintf(path, sizeof(path), "%s/store", dir);
    failed = run_change_tests(path);
    for (size_t i = 0; i < N_OF(ends); i++) {
        snprintf(path, sizeof(path), "%s/store%s", dir, ends[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
    return failed;
}
