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

static const char good[] =
    DOC("{'apiVersion':'v1','resources':[{'resourceName':'subs','uri':'/subs',"
        "'operations':['GET','POST'],'custOperations':[{'custOpName':'renew','"
        "operations':['POST']}]},"
        "{'resourceName':'sub','uri':'/subs/"
        "{id}','operations':['GET','DELETE','TRACE']},"
        "{'resourceName':'part','uri':'/subs/{id}/parts/"
        "{n}','operations':['PATCH']},"
        "{'resourceName':'all','uri':'/subs/"
        "all','operations':['PUT']},{'resourceName':'any','uri':'/any'}],"
        "'custOperations':[{'custOpName':'reset','operations':['POST']}]},"
        "{'apiVersion':'v2','resources':[{'resourceName':'subs','uri':'/"
        "subs','operations':['GET']}]}");

/* What stays in api is the caller's to clear, whatever the answer. */
static const char *load(const char *text, struct aef_api *api)
{
    char path[] = "/tmp/description-XXXXXX";
    json_t *doc = soft_json(text);
    const char *why;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(json_dumpfd(doc, fd, 0), 0);
    close(fd);
    *api = (struct aef_api){ .name = "n", .description = path };
    why = aef_description_read(api, "a");
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
    const struct aef_resource *r;
    struct aef_api api;
    char allow[AEF_ALLOW_MAX];
    bool may;

    (void)state;
    assert_null(load(good, &api));
    for (size_t i = 0; i < N_OF(table); i++) {
        r = aef_resource_at(&api, table[i].path, table[i].method, &may, allow);
        assert_int_equal(r == NULL, !may && allow[0] == '\0');
        if (may != (table[i].allow == NULL)
            || (!may && strcmp(allow, table[i].allow) != 0))
            fail_msg("%s %s: %d, %s", table[i].method, table[i].path, may,
                     allow);
    }
    aef_description_clear(&api);
}

static void test_all_methods(void **state)
{
    struct aef_api api;
    char allow[AEF_ALLOW_MAX];
    bool may;

    (void)state;
    assert_null(load(good, &api));
    assert_non_null(aef_resource_at(&api, "/v1/any", "BREW", &may, allow));
    assert_false(may);
    assert_string_equal(allow, "GET, POST, PUT, PATCH, DELETE");
    aef_description_clear(&api);
}

/* Of those that match, the one that has the operation is meant. */
static void test_names(void **state)
{
    static const struct {
        const char *method, *path, *name, *version;
    } table[] = {
        { "GET", "/v1/subs", "subs", "v1" },
        { "GET", "/v2/subs", "subs", "v2" },
        { "PUT", "/v1/subs/all", "all", "v1" },
        { "GET", "/v1/subs/all", "sub", "v1" },
        { "PATCH", "/v1/subs/all", "sub", "v1" },
        { "POST", "/v1/subs/renew", "renew", "v1" },
        { "POST", "/v1/reset", "reset", "v1" },
    };
    const struct aef_resource *r;
    struct aef_api api;
    char allow[AEF_ALLOW_MAX], names[128];
    bool may;

    (void)state;
    assert_null(load(good, &api));
    for (size_t i = 0; i < N_OF(table); i++) {
        r = aef_resource_at(&api, table[i].path, table[i].method, &may, allow);
        assert_non_null(r);
        snprintf(names, sizeof(names),
                 "{\"apiName\":\"n\",\"apiVersion\":\"%s\","
                 "\"resourceName\":\"%s\"}",
                 table[i].version, table[i].name);
        assert_string_equal(r->names, names);
    }
    aef_description_clear(&api);
}

static void test_prefix(void **state)
{
    static const struct {
        const char *interfaces, *prefix, *why;
    } table[] = {
        { "[]", "/n", NULL },
        { "[{'fqdn':'h'}]", "/n", NULL },
        { "[{'apiPrefix':'/p/q'}]", "/p/q", NULL },
        { "[{'apiPrefix':'/p/'}]", "/p", NULL },
        { "[{'apiPrefix':'/p'},{'port':1,'apiPrefix':'/p'}]", "/p", NULL },
        { "[{'apiPrefix':'/p'},{'apiPrefix':'/q'}]", NULL,
          "its interfaces at this AEF differ in apiPrefix" },
        { "[{'apiPrefix':'/p'},{'fqdn':'h'}]", NULL,
          "its interfaces at this AEF differ in apiPrefix" },
        { "[{'apiPrefix':'p'}]", NULL, "apiPrefix must be a path" },
        { "[{'apiPrefix':'/'}]", NULL, "apiPrefix must be a path" },
    };
    struct aef_api api;
    char text[512];
    const char *why;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        snprintf(text, sizeof(text),
                 "{'apiName':'n','aefProfiles':[{'aefId':'a',"
                 "'interfaceDescriptions':%s,'versions':[{'apiVersion':'v1',"
                 "'resources':[{'resourceName':'x','uri':'/x'}]}]}]}",
                 table[i].interfaces);
        why = load(text, &api);
        if (table[i].why == NULL)
            assert_null(why);
        else
            assert_string_equal(why, table[i].why);
        if (why == NULL)
            assert_string_equal(api.prefix, table[i].prefix);
        aef_description_clear(&api);
    }
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
        { DOC("{'apiVersion':'v1','resources':[{'resourceName':'y','uri':'/"
              "y'},{'uri':'x'}]}"),
          "a resource's uri must begin with a slash" },
        { DOC("{'apiVersion':'v1','resources':[{}]}"),
          "a resource's uri must begin with a slash" },
        { DOC("{'apiVersion':'v1','resources':[{'uri':'/x'}]}"),
          "a resource has no resourceName" },
        { DOC("{'apiVersion':'v1','custOperations':[{}]}"),
          "a custom operation has no custOpName" },
    };
    struct aef_api api;
    const char *why;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        why = load(table[i].text, &api);
        assert_non_null(why);
        assert_string_equal(why, table[i].why);
        aef_description_clear(&api);
    }
    api = (struct aef_api){ .name = "n", .description = "/nonexistent" };
    assert_string_equal(aef_description_read(&api, "a"),
                        "is no file with a ServiceAPIDescription");
    aef_description_clear(&api);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),   cmocka_unit_test(test_all_methods),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("aef: descriptions", tests, NULL, NULL);
}
