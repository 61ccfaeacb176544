/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a partner is told of own APIs: only what it may see, and only what is
 * another than before.
 */
#include "store_happen.h"

#include "notice.h"
#include "share.h"

#include <stdlib.h>
#include <string.h>

#define LANE "publish:" OTHER
#define ALL  "https://" OTHER "/published-apis/v1/" CCF "/service-apis"
#define OPEN ",'shareableInfo':{'isShareable':true}"

static const char *const aefs[] = { "sh-0", NULL };
static const struct ccf_domain domain = {
    .ccf_id = CCF,
    .url = "https://" CCF,
    .list = { { OTHER, "https://" OTHER, aefs, true },
              { "c.example", "https://c.example", aefs, false } },
    .n = 2,
};

/* What it is told next, once all that is owed has been found out. */
static enum ccf_store_status next(struct ccf_store *s,
                                  struct ccf_notice_row *row)
{
    char *lanes[16];
    size_t n;

    happen_work(s, NOW);
    assert_int_equal(
        ccf_lanes_take(s, "sh", NOW, NOW + 100000, lanes, 16, 16, &n),
        CCF_STORE_OK);
    while (n > 0)
        free(lanes[--n]);
    return ccf_lane_next(s, "sh", LANE, row);
}

/* The next thing that it is told is that. */
static void told(struct ccf_store *s, const char *method, const char *url,
                 const char *text)
{
    struct ccf_notice_row row;
    json_t *want = text != NULL ? soft_json(text) : NULL, *got = NULL;

    assert_int_equal(next(s, &row), CCF_STORE_OK);
    assert_string_equal(row.method, method);
    assert_string_equal(row.url, url);
    assert_string_equal(row.trust, OTHER);
    if (row.text != NULL)
        got = json_loads(row.text, 0, NULL);
    if (want == NULL ? got != NULL : !json_equal(got, want))
        fail_msg("%s", row.text);
    assert_int_equal(ccf_lane_done(s, "sh", LANE, row.seq, NOW + 100000),
                     CCF_STORE_OK);
    ccf_notice_clear(&row);
    json_decref(got);
    json_decref(want);
}

/* Nothing but what told() has seen. */
static void nothing(struct ccf_store *s)
{
    struct ccf_notice_row row;
    enum ccf_store_status st = next(s, &row);

    if (st == CCF_STORE_OK)
        fail_msg("%s %s", row.method, row.url);
    assert_int_equal(st, CCF_STORE_NOT_FOUND);
}

void test_share(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *was;

    ccf_store_domain(s, &domain);
    happen_domains(s, "sh");
    happen_publish(s, &apf, &aef, "sh-api", NULL, "");
    nothing(s);
    happen_publish(s, &apf, &aef, "sh-api", "", OPEN);
    told(s, "POST", ALL,
         "{'aefProfiles':[{'aefId':'sh-0'}],'shareableInfo':{'isShareable':"
         "true,'capifProvDoms':['" OTHER "']},'pubApiPath':{'ccfIds':['" CCF
         "']},'vendorSpecific-capif-hsm':{'apiId':'sh-api','apiProvDomId':"
         "'sh-dom1'}}");
    nothing(s);
    /* Another word, but not to others; then to somebody else. */
    happen_publish(s, &apf, &aef, "sh-api", OPEN,
                   ",'shareableInfo':{'isShareable':true,'capifProvDoms':['x',"
                   "'" OTHER "']}");
    nothing(s);
    happen_publish(s, &apf, &aef, "sh-api",
                   ",'shareableInfo':{'isShareable':true,'capifProvDoms':['x',"
                   "'" OTHER "']}",
                   ",'shareableInfo':{'isShareable':true,'capifProvDoms':['x']"
                   "}");
    told(s, "DELETE", ALL "/sh-api", NULL);
    assert_int_equal(ccf_store_api_of(s, &apf.who, "sh-api", &was),
                     CCF_STORE_OK);
    json_decref(was);
    assert_int_equal(ccf_store_api_delete(s, CCF, "sh-api", apf.who.id),
                     CCF_STORE_OK);
    nothing(s);
    ccf_store_domain(s, NULL);
}

/* An AEF of no agreement, a partner's API, and what has ended. */
void test_share_of_others(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *docs = soft_json("[{'apiId':'p','apiName':'p',"
                             "'aefProfiles':[{'aefId':'sh-0'}]" OPEN "}]");

    ccf_store_domain(s, &domain);
    happen_publish(s, &other_apf, &other_aef, "sh-other", NULL, OPEN);
    nothing(s);
    assert_int_equal(ccf_store_api_merge(s, OTHER, docs, NULL), CCF_STORE_OK);
    nothing(s);
    happen_publish(s, &apf, &aef, "sh-2", NULL,
                   OPEN ",'apiStatus':{'aefIds':[]}");
    nothing(s);
    ccf_store_domain(s, NULL);
    json_decref(docs);
}
