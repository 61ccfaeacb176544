/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of certificates that are revoked, of CRLs, and of KEYs under
 * an older KEK.
 */
#include "store_suite.h"

#include "store_crl.h"

#include <stdio.h>
#include <string.h>

/* A member whose certificate is by that CA. */
static struct ccf_member certified(enum capif_role role, const char *id,
                                   const char *ca, const char *serial)
{
    struct ccf_member m = store_member(role, id);

    strcpy(m.ca, ca);
    strcpy(m.serial, serial);
    m.not_after = LATER;
    return m;
}

/* What a CRL by that CA would list now: "AA BB ", and how often it changed. */
static const char *listed(struct ccf_store *s, const char *ca, int64_t *changes)
{
    static char text[512];
    struct ccf_crl crl = { 0 };
    json_t *list = NULL, *entry;
    size_t i;

    assert_int_equal(ccf_store_crl_begin(s, CCF, ca, &crl, &list),
                     CCF_STORE_OK);
    text[0] = '\0';
    json_array_foreach(list, i, entry)
    {
        assert_true(json_integer_value(json_array_get(entry, 1)) > 0);
        strcat(text, json_string_value(json_array_get(entry, 0)));
        strcat(text, " ");
    }
    if (changes != NULL)
        *changes = crl.changes;
    json_decref(list);
    ccf_crl_clear(&crl);
    return text;
}

void test_crl_offboarded(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m = certified(CAPIF_INVOKER, "crl-1", "ca-1", "A1");
    struct ccf_member old = store_member(CAPIF_INVOKER, "crl-2");
    int64_t before, after;

    assert_int_equal(store_enrol(s, "crl-j1", LATER, "crl-g1", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(store_enrol(s, "crl-j2", LATER, "crl-g2", &old, 1),
                     CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-1", &before), "");
    assert_int_equal(ccf_store_offboard(s, &m.who, "other"),
                     CCF_STORE_NOT_FOUND);
    assert_string_equal(listed(s, "ca-1", &after), "");
    assert_int_equal(ccf_store_offboard(s, &m.who, "crl-g1"), CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-1", &after), "A1 ");
    assert_true(after > before);
    /* one of before certificates were noted: nothing is known of it */
    assert_int_equal(ccf_store_offboard(s, &old.who, "crl-g2"), CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-1", NULL), "A1 ");
    assert_string_equal(listed(s, "", NULL), "");
}

void test_crl_changed(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m[3] = { certified(CAPIF_AMF, "crl-3", "ca-2", "B1"),
                               certified(CAPIF_AEF, "crl-4", "ca-2", "B2"),
                               certified(CAPIF_APF, "crl-5", "ca-2", "B3") };
    json_t *doc = soft_json("{'x':1}");

    assert_int_equal(store_enrol(s, "crl-j3", LATER, "crl-g3", m, 3),
                     CCF_STORE_OK);
    for (size_t i = 0; i < 3; i++)
        strcpy(m[i].group_id, "crl-g3");
    /* the AMF stays as it is, the AEF is certified anew, the APF goes */
    m[0].serial[0] = m[0].ca[0] = '\0';
    strcpy(m[1].serial, "B4");
    strcpy(m[1].thumbprint, "new");
    assert_int_equal(ccf_store_group_change(s, &m[0], doc, doc, m, 2),
                     CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-2", NULL), "B2 B3 ");
    assert_int_equal(ccf_store_group_remove(s, &m[0]), CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-2", NULL), "B1 B2 B3 B4 ");
    json_decref(doc);
}

void test_crl_by_hand(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;

    assert_int_equal(ccf_store_revoke(s, CCF, "ca-3", "C1", LATER),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_revoke(s, CCF, "ca-3", "C1", LATER),
                     CCF_STORE_NOT_FOUND);
    /* listed for as long as a list may be in use after its end, no longer */
    assert_int_equal(ccf_store_revoke(s, CCF, "ca-3", "C2",
                                      time(NULL) - CCF_CRL_SECONDS + 100),
                     CCF_STORE_OK);
    assert_int_equal(
        ccf_store_revoke(s, CCF, "ca-3", "C3", time(NULL) - CCF_CRL_SECONDS),
        CCF_STORE_OK);
    assert_string_equal(listed(s, "ca-3", NULL), "C1 C2 ");
}

/* It has no certificate any more, until it gets another one. */
void test_crl_of_a_member(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m = certified(CAPIF_INVOKER, "crl-6", "ca-5", "E1"), now;
    json_t *doc = soft_json("{'x':1}");

    assert_int_equal(store_enrol(s, "crl-j6", LATER, "crl-g6", &m, 1),
                     CCF_STORE_OK);
    strcpy(m.group_id, "crl-g6");
    assert_int_equal(ccf_store_member(s, &m.who, &now), CCF_STORE_OK);
    assert_string_equal(now.thumbprint, m.thumbprint);
    assert_int_equal(ccf_store_revoke(s, CCF, "ca-6", "E1", LATER),
                     CCF_STORE_OK); /* of another CA */
    assert_int_equal(ccf_store_group_change(s, &m, doc, doc, &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_revoke(s, CCF, "ca-5", "E1", LATER),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_member(s, &m.who, &now), CCF_STORE_OK);
    assert_string_equal(now.thumbprint, "");
    assert_int_equal(ccf_store_group_change(s, &m, doc, doc, &m, 1),
                     CCF_STORE_GONE);
    json_decref(doc);
}

void test_crl_is_set_once(void **state)
{
    const struct stores *both = *state;
    struct ccf_crl was = { 0 }, other = { 0 }, got = { 0 };
    const struct ccf_crl now = {
        .number = 7, .fresh = 8, .until = 9, .der = (char *)(uintptr_t) "ZGVy"
    };
    json_t *list = NULL, *list2 = NULL;

    assert_int_equal(ccf_store_crl_get(both->s, CCF, "ca-4", &got),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_crl_begin(both->s, CCF, "ca-4", &was, &list),
                     CCF_STORE_OK);
    assert_int_equal(
        ccf_store_crl_begin(both->second, CCF, "ca-4", &other, &list2),
        CCF_STORE_OK);
    assert_int_not_equal(was.built, was.changes); /* there is none */
    assert_int_equal(ccf_store_crl_end(both->s, CCF, "ca-4", &was, &now),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_crl_end(both->second, CCF, "ca-4", &other, &now),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_crl_get(both->second, CCF, "ca-4", &got),
                     CCF_STORE_OK);
    assert_int_equal(got.built, got.changes);
    assert_int_equal(got.number, 7);
    assert_int_equal(got.fresh, 8);
    assert_int_equal(got.until, 9);
    assert_string_equal(got.der, "ZGVy");
    ccf_crl_clear(&got);
    /* what is revoked meanwhile makes it void */
    assert_int_equal(ccf_store_revoke(both->second, CCF, "ca-4", "D1", LATER),
                     CCF_STORE_OK);
    was.number = 7;
    assert_int_equal(ccf_store_crl_end(both->s, CCF, "ca-4", &was, &now),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_crl_get(both->s, CCF, "ca-4", &got),
                     CCF_STORE_OK);
    assert_int_not_equal(got.built, got.changes);
    ccf_crl_clear(&got);
    ccf_crl_clear(&was);
    ccf_crl_clear(&other);
    json_decref(list);
    json_decref(list2);
}

void test_crl_of_a_partner(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_crl crl = { .number = 5, .until = 1, .fresh = 1, .der = NULL };
    struct ccf_crl got = { 0 };
    int64_t number = -1;

    crl.der = (char *)(uintptr_t) "ZGVy";
    assert_int_equal(ccf_store_crl_number(s, OTHER, "ca-5", &number),
                     CCF_STORE_OK);
    assert_int_equal(number, 0);
    assert_int_equal(ccf_store_crl_put(s, OTHER, "ca-5", &crl), CCF_STORE_OK);
    assert_int_equal(ccf_store_crl_put(s, OTHER, "ca-5", &crl),
                     CCF_STORE_NOT_FOUND);
    crl.number = 4; /* never back */
    assert_int_equal(ccf_store_crl_put(s, OTHER, "ca-5", &crl),
                     CCF_STORE_NOT_FOUND);
    crl.number = 6;
    assert_int_equal(ccf_store_crl_put(s, OTHER, "ca-5", &crl), CCF_STORE_OK);
    assert_int_equal(ccf_store_crl_number(s, OTHER, "ca-5", &number),
                     CCF_STORE_OK);
    assert_int_equal(number, 6);
    assert_int_equal(ccf_store_crl_get(s, OTHER, "ca-5", &got), CCF_STORE_OK);
    assert_string_equal(got.der, "ZGVy");
    ccf_crl_clear(&got);
}

void test_psk_rewrap(void **state)
{
    const struct stores *both = *state;
    json_t *doc = soft_json("{'key':'old'}"), *new = soft_json("{'key':'new'}");
    json_t *docs = NULL, *out = NULL;
    char id[16];

    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "rw-%02d", i);
        assert_int_equal(
            ccf_store_psk_add(both->s, id, LATER, i < 18 ? "k1" : "k2", doc),
            CCF_STORE_OK);
    }
    assert_int_equal(ccf_store_psk_add(both->s, "rw-99", time(NULL), "k1", doc),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_psk_under(both->s, "k1", "", &docs),
                     CCF_STORE_OK);
    assert_int_equal(json_object_size(docs), 16);
    assert_true(json_equal(json_object_get(docs, "rw-00"), doc));
    json_decref(docs);
    assert_int_equal(ccf_store_psk_under(both->s, "k1", "rw-15", &docs),
                     CCF_STORE_OK);
    assert_int_equal(json_object_size(docs), 2); /* none that is over */
    json_decref(docs);
    assert_int_equal(ccf_store_psk_rewrap(both->s, "rw-00", "k1", "k2", new),
                     CCF_STORE_OK);
    assert_int_equal(
        ccf_store_psk_rewrap(both->second, "rw-00", "k1", "k2", doc),
        CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_psk_get(both->second, "rw-00", &out),
                     CCF_STORE_OK);
    assert_true(json_equal(out, new));
    json_decref(out);
    json_decref(doc);
    json_decref(new);
}
