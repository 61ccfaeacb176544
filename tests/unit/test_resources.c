/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls a published description lets pass, and which it does not. */
#include "soft.h"

#include "aef.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DOC(versions)                                                         \
    "{'apiName':'n','aefProfiles':[{'aefId':'other','versions':[{"            \
    "'apiVersion':'v9','resources':[{'uri':'/x'}]}]},{'aefId':'a','versions'" \
    ":[" versions "]}]}"

static const char good[] = DOC(
    "{'apiVersion':'v1','resources':[{'uri':'/subs','operations':['GET',"
    "'POST'],'custOperations':[{'custOpName':'renew','operations':['POST']}]},"
    "{'uri':'/subs/{id}','operations':['GET','DELETE','TRACE']},"
    "{'uri':'/subs/{id}/parts/{n}','operations':['PATCH']},"
    "{'uri':'/subs/all','operations':['PUT']},{'uri':'/any'}],"
    "'custOperations':[{'custOpName':'reset','operations':['POST']}]},"
    "{'apiVersion':'v2','resources':[{'uri':'/subs','operations':['GET']}]}");

static const char *load(const char *text, struct aef_resources **r)
{
    char path[] = "/tmp/resources-XXXXXX";
    json_t *doc = soft_json(text);
    const char *why;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(json_dumpfd(doc, fd, 0), 0);
    close(fd);
    why = aef_resources_load(path, "a", "n", r);
    unlink(path);
    json_decref(doc);
    return why;
}

static void test_calls(void **state)
{
    /* allow NULL: it may */
    static const struct {
        const char *method, *path, *allow;
    } table[] = {
        { "GET", "/v1/subs", NULL },
        { "GET", "/v1/subs?a=/x", NULL },
        { "HEAD", "/v1/subs", NULL },
        { "POST", "/v1/subs", NULL },
        { "PUT", "/v1/subs", "GET, POST" },
        { "OPTIONS", "/v1/subs", "GET, POST" },
        { "get", "/v1/subs", "GET, POST" },
        { "POST", "/v2/subs", "GET" },
        { "GET", "/v1/subs/7", NULL },
        { "TRACE", "/v1/subs/7", "GET, DELETE" },
        { "PUT", "/v1/subs/all", NULL },
        { "GET", "/v1/subs/all", NULL },
        { "PATCH", "/v1/subs/7/parts/8", NULL },
        { "HEAD", "/v1/subs/7/parts/8", "PATCH" },
        { "POST", "/v1/subs/renew", NULL },
        { "POST", "/v1/reset", NULL },
        { "DELETE", "/v1/any", NULL },
        { "GET", "/v1/subs/", "" },
        { "GET", "/v1/subs/7/", "" },
        { "GET", "/v1/subs/7/parts", "" },
        { "PATCH", "/v1/subs/7/parts/8/9", "" },
        { "GET", "/v1/sub", "" },
        { "GET", "/v1/subsx", "" },
        { "GET", "/v1/%73ubs", "" },
        { "GET", "/v1", "" },
        { "GET", "/v9/x", "" },
        { "GET", "/subs", "" },
        { "GET", "", "" },
        { "GET", "?/v1/subs", "" },
    };
    struct aef_resources *r = NULL;
    char allow[AEF_ALLOW_MAX];

    (void)state;
    assert_null(load(good, &r));
    for (size_t i = 0; i < N_OF(table); i++) {
        bool may = aef_resource_may(r, table[i].path, table[i].method, allow);

        if (may != (table[i].allow == NULL)
            || (!may && strcmp(allow, table[i].allow) != 0))
            fail_msg("%s %s: %d, %s", table[i].method, table[i].path, may,
                     allow);
    }
    aef_resources_free(r);
    assert_true(aef_resource_may(NULL, "/v1/x", "BREW", allow));
    aef_resources_free(NULL);
}

static void test_all_methods(void **state)
{
    struct aef_resources *r = NULL;
    char allow[AEF_ALLOW_MAX];

    (void)state;
    assert_null(load(good, &r));
    assert_false(aef_resource_may(r, "/v1/any", "BREW", allow));
    assert_string_equal(allow, "GET, POST, PUT, PATCH, DELETE");
    aef_resources_free(r);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } table[] = {
        { "[]", "is no file with a ServiceAPIDescription" },
        { "{'apiName':'m'}", "is that of another API" },
        { "{'apiName':'n'}", "it has no profile of this AEF" },
        { "{'apiName':'n','aefProfiles':[{'aefId':'b'}]}",
          "it has no profile of this AEF" },
        { "{'apiName':'n','aefProfiles':[{'aefId':'a'}]}",
          "it has no resources" },
        { DOC("{'resources':[{'uri':'/x'}]}"),
          "a version has no apiVersion that can be a segment of a path" },
        { DOC("{'apiVersion':'v1/v2','resources':[{'uri':'/x'}]}"),
          "a version has no apiVersion that can be a segment of a path" },
        { DOC("{'apiVersion':'v1','resources':[{'uri':'/y'},{'uri':'x'}]}"),
          "a resource's uri must begin with a slash" },
        { DOC("{'apiVersion':'v1','resources':[{}]}"),
          "a resource's uri must begin with a slash" },
        { DOC("{'apiVersion':'v1','custOperations':[{}]}"),
          "a custom operation has no custOpName" },
    };
    struct aef_resources *r = NULL;
    const char *why;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        why = load(table[i].text, &r);
        assert_non_null(why);
        assert_string_equal(why, table[i].why);
        assert_null(r);
    }
    assert_string_equal(aef_resources_load("/nonexistent", "a", "n", &r),
                        "is no file with a ServiceAPIDescription");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_all_methods),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("aef: resources", tests, NULL, NULL);
}
