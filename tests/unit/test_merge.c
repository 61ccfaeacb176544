/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON merge patch: the examples of RFC 7396, and what they leave open.
 */
#include "soft.h"

#include "json.h"

#include <stdlib.h>

/* In an array each, since some are no objects. */
static void merges(const char *target, const char *patch, const char *want)
{
    json_t *t = soft_json(target), *p = soft_json(patch);
    json_t *w = soft_json(want), *t_was = json_deep_copy(t);
    json_t *p_was = json_deep_copy(p);
    json_t *got = capif_merge_patch(json_array_get(t, 0), json_array_get(p, 0));
    char *text = json_dumps(got, JSON_ENCODE_ANY);

    if (!json_equal(got, json_array_get(w, 0)))
        fail_msg("%s + %s is %s, want %s", target, patch, text, want);
    free(text);
    assert_true(json_equal(t, t_was));
    assert_true(json_equal(p, p_was));
    /* Nothing is shared: what becomes of it is its own matter. */
    if (json_is_object(got)) {
        json_object_clear(json_object_get(got, "a"));
        json_array_clear(json_object_get(got, "a"));
        assert_true(json_equal(t, t_was));
        assert_true(json_equal(p, p_was));
    }
    json_decref(got);
    json_decref(t);
    json_decref(p);
    json_decref(w);
    json_decref(t_was);
    json_decref(p_was);
}

/* RFC 7396, Appendix A, all of it. */
static void test_merge_patch(void **state)
{
    static const char *const examples[][3] = {
        { "[{'a':'b'}]", "[{'a':'c'}]", "[{'a':'c'}]" },
        { "[{'a':'b'}]", "[{'b':'c'}]", "[{'a':'b','b':'c'}]" },
        { "[{'a':'b'}]", "[{'a':null}]", "[{}]" },
        { "[{'a':'b','b':'c'}]", "[{'a':null}]", "[{'b':'c'}]" },
        { "[{'a':['b']}]", "[{'a':'c'}]", "[{'a':'c'}]" },
        { "[{'a':'c'}]", "[{'a':['b']}]", "[{'a':['b']}]" },
        { "[{'a':{'b':'c'}}]", "[{'a':{'b':'d','c':null}}]",
          "[{'a':{'b':'d'}}]" },
        { "[{'a':[{'b':'c'}]}]", "[{'a':[1]}]", "[{'a':[1]}]" },
        { "[['a','b']]", "[['c','d']]", "[['c','d']]" },
        { "[{'a':'b'}]", "[['c']]", "[['c']]" },
        { "[{'a':'foo'}]", "[null]", "[null]" },
        { "[{'a':'foo'}]", "['bar']", "['bar']" },
        { "[{'e':null}]", "[{'a':1}]", "[{'e':null,'a':1}]" },
        { "[[1,2]]", "[{'a':'b','c':null}]", "[{'a':'b'}]" },
        { "[{}]", "[{'a':{'bb':{'ccc':null}}}]", "[{'a':{'bb':{}}}]" },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(examples); i++)
        merges(examples[i][0], examples[i][1], examples[i][2]);
}

static void test_merge_patch_more(void **state)
{
    (void)state;
    /* the example of section 3 */
    merges("[{'title':'Goodbye!','author':{'givenName':'John','familyName':"
           "'Doe'},'tags':['example','sample'],'content':'x'}]",
           "[{'title':'Hello!','phoneNumber':'+01-123-456-7890','author':{"
           "'familyName':null},'tags':['example']}]",
           "[{'title':'Hello!','author':{'givenName':'John'},'tags':["
           "'example'],'content':'x','phoneNumber':'+01-123-456-7890'}]");
    merges("[]", "[{'a':{'b':null,'c':1}}]", "[{'a':{'c':1}}]"); /* NULL */
    merges("[{'a':{'b':1}}]", "[{}]", "[{'a':{'b':1}}]");
    merges("[{'a':1}]", "[{'a':{'b':null}}]", "[{'a':{}}]");
    merges("[{'a':1}]", "[{'a':[null,{'b':null}]}]",
           "[{'a':[null,{'b':null}]}]"); /* in arrays, null is a value */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_patch),
        cmocka_unit_test(test_merge_patch_more),
    };

    return cmocka_run_group_tests_name("capif: merge patch", tests, NULL, NULL);
}
