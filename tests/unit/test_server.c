/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: routes, limits and who may, before any handler; parameters;
 * answers that come late.
 */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct net net;
static int handled;
static struct capif_req *waiting;

static void hello(struct capif_req *req, void *app)
{
    assert_ptr_equal(app, &net);
    handled++;
    capif_reply_json(req, 200, json_pack("{s:s}", "hello", "world"));
}

static void params(struct capif_req *req, void *app)
{
    (void)app;
    handled++;
    capif_reply_json(req, 200,
                     json_pack("[s, s, s*, s*]", capif_req_param(req, 0),
                               capif_req_param(req, 1),
                               capif_req_query(req, "q"),
                               capif_req_query(req, "r")));
}

static void body(struct capif_req *req, void *app)
{
    json_t *doc = capif_req_json(req, "application/json");

    (void)app;
    handled++;
    if (doc != NULL)
        capif_reply_json(req, 200, doc);
}

static void form(struct capif_req *req, void *app)
{
    (void)app;
    handled++;
    if (!capif_req_form(req))
        capif_reply_problem(req, 400, NULL, "no form");
    else
        capif_reply_json(req, 200,
                         json_pack("[s?, s?]", capif_req_query(req, "a"),
                                   capif_req_query(req, "b")));
}

static void wait_for_it(struct capif_req *req, void *app)
{
    (void)app;
    waiting = req;
    event_base_loopbreak(net.base);
}

/* A client with a certificate is 1. */
static unsigned who(const struct capif_req *req, void *app)
{
    X509 *cert = SSL_get1_peer_certificate(capif_req_ssl(req));
    unsigned bits = cert != NULL ? 1 : 0;

    assert_ptr_equal(app, &net);
    X509_free(cert);
    return bits;
}

static const struct capif_route routes[] = {
    { "GET", "/hello", 0, 0, hello },
    { "HEAD", "/head", 0, 0, hello },
    { "GET", "/ones", 0, 1, hello },
    { "GET", "/twos", 0, 2, hello },
    { "GET", "/p/{}/q/{}", 0, 0, params },
    { "GET", "/wait", 0, 0, wait_for_it },
    { "POST", "/json", 64, 0, body },
    { "POST", "/form", 64, 0, form },
    { "POST", "/ones", 8, 1, body },
    { NULL, NULL, 0, 0, NULL },
};

static int setup(void **state)
{
    struct capif_server_config cfg = {
        .routes = routes,
        .who = who,
        .app = &net,
        .idle_seconds = 30,
        .max_connections = 2,
    };

    (void)state;
    handled = 0;
    net_open(&net, &cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_close(&net);
    return 0;
}

/* It is a problem, with that status inside too, and no handler ran. */
static void problem_is(const struct result *r, int status)
{
    json_t *p = json_loads(r->body, 0, NULL);

    assert_int_equal(r->status, status);
    assert_string_equal(r->type, "application/problem+json");
    assert_int_equal(json_integer_value(json_object_get(p, "status")), status);
    assert_int_equal(handled, 0);
    json_decref(p);
}

static void test_routes(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
    } v[] = {
        { "GET", "/", 404 },           { "GET", "/hell", 404 },
        { "GET", "/hello/", 404 },     { "GET", "/hello1", 404 },
        { "GET", "/HELLO", 404 },      { "GET", "//hello", 404 },
        { "GET", "/x/../hello", 404 }, { "GET", "/%68ello", 404 },
        { "POST", "/hello", 405 },     { "DELETE", "/hello", 405 },
        { "PATCH", "/hello", 405 },    { "OPTIONS", "/hello", 405 },
        { "PUT", "/p/a/q/b", 405 },    { "GET", "/p/a/q/", 404 },
        { "GET", "/p//q/b", 404 },     { "GET", "/p/a/q/b/c", 404 },
        { "GET", "/ones", 401 },       { "GET", "/twos", 401 },
    };
    struct result r;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        net_get(&net, v[i].method, v[i].path, &r);
        if (r.status != v[i].status)
            fail_msg("%s %s: %d", v[i].method, v[i].path, r.status);
        problem_is(&r, v[i].status);
    }
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
    assert_string_equal(r.type, "application/json");
    assert_string_equal(r.body, "{\"hello\":\"world\"}");
    assert_int_equal(net_get(&net, "GET", "/hello?x=1", &r), 200);
    assert_int_equal(handled, 2);
}

static int as_member(const char *path, struct result *r)
{
    char url[128];
    struct capif_call call;

    snprintf(url, sizeof(url), "%s%s", net.origin, path);
    call = net_call(&net, "GET", url, r);
    call.cred = &net.client_cred;
    return net_fetch(&net, &call);
}

static void test_who(void **state)
{
    struct result r;

    (void)state;
    as_member("/twos", &r);
    problem_is(&r, 403);
    assert_int_equal(as_member("/ones", &r), 200);
    assert_int_equal(handled, 1);
}

/* HEAD: the same header, no body, and the connection goes on. */
static void test_head(void **state)
{
    struct result r;

    (void)state;
    assert_int_equal(net_get(&net, "HEAD", "/head", &r), 200);
    assert_string_equal(r.type, "application/json");
    assert_int_equal(r.body_len, 0);
    net_get(&net, "HEAD", "/hello", &r);
    assert_string_equal(r.error, "");
    assert_int_equal(r.status, 405);
    assert_int_equal(r.body_len, 0);
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
}

static int post(const char *path, const char *type, const char *text,
                struct result *r)
{
    char url[128];
    struct capif_call call;

    snprintf(url, sizeof(url), "%s%s", net.origin, path);
    call = net_call(&net, "POST", url, r);
    call.content_type = type;
    call.body = text;
    call.body_len = strlen(text);
    return net_fetch(&net, &call);
}

#define SPACES "                                                            "

static void test_bodies(void **state)
{
    static const char json[] = "application/json";
    struct result r;

    (void)state;
    assert_int_equal(strlen(SPACES), 60);
    post("/json", json, "{}" SPACES "   ", &r);
    problem_is(&r, 413);
    post("/ones", json, "{}       ", &r); /* who comes first */
    problem_is(&r, 401);
    assert_int_equal(post("/json", json, "{}" SPACES "  ", &r), 200);
    assert_int_equal(post("/json", "application/JSON; charset=utf-8", "{}", &r),
                     200);
    handled = 0;
    assert_int_equal(post("/json", "text/plain", "{}", &r), 415);
    assert_int_equal(post("/json", "application/jsonx", "{}", &r), 415);
    assert_int_equal(post("/json", "application/json-x", "{}", &r), 415);
    assert_int_equal(post("/json", json, "{", &r), 400);
    assert_string_equal(r.type, "application/problem+json");
    assert_non_null(strstr(r.body, "\"invalidParams\":[{\"param\":\"/\""));
    assert_int_equal(post("/json", json, "", &r), 400);
    assert_int_equal(handled, 5);
}

static void test_form(void **state)
{
    static const struct {
        const char *type, *body, *got; /* NULL: 400 */
    } v[] = {
        { "", "a=1&b=2", "[\"1\",\"2\"]" },
        { ";charset=UTF-8", "b=%3A%2c+x", "[null,\":, x\"]" },
        { "", "a=3gpp%23a%3Ab&c=", "[\"3gpp#a:b\",null]" },
        { "", "a=", "[\"\",null]" },
        { "", "a=1&a=2", NULL },
        { "", "a=1&b=2&c=3&a=1", NULL },
        { "x", "a=1", NULL },
    };
    struct result r;
    char type[96];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        snprintf(type, sizeof(type), "application/x-www-form-urlencoded%s",
                 v[i].type);
        post("/form", type, v[i].body, &r);
        assert_int_equal(r.status, v[i].got != NULL ? 200 : 400);
        if (v[i].got != NULL)
            assert_string_equal(r.body, v[i].got);
    }
}

static void test_params(void **state)
{
    static const struct {
        const char *path, *got; /* NULL: 404 */
    } v[] = {
        { "/p/a/q/b", "[\"a\",\"b\"]" },
        { "/p/a%2Fb/q/%63", "[\"a/b\",\"c\"]" },
        { "/p/a+b/q/%20", "[\"a+b\",\" \"]" },
        { "/p/%252F/q/..", "[\"%2F\",\"..\"]" },
        { "/p/a%00/q/b", NULL },
        { "/p/%00/q/b", NULL },
        { "/p/a/q/b%00c", NULL },
        { "/p/a/q/b?q=1&r=x%26y", "[\"a\",\"b\",\"1\",\"x&y\"]" },
        { "/p/a/q/b?q=1&q=2", "[\"a\",\"b\",\"1\"]" },
        { "/p/a/q/b?q", "[\"a\",\"b\"]" },
        { "/p/a/q/b?", "[\"a\",\"b\"]" },
    };
    struct result r;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        net_get(&net, "GET", v[i].path, &r);
        if (r.status != (v[i].got != NULL ? 200 : 404))
            fail_msg("%s: %d", v[i].path, r.status);
        if (v[i].got != NULL)
            assert_string_equal(r.body, v[i].got);
    }
}

static void on_gone(void *arg)
{
    *(bool *)arg = true;
    event_base_loopbreak(net.base);
}

/* The peer hangs up; the answer is still made, to nobody. */
static void test_gone(void **state)
{
    bool gone = false;
    struct capif_transfer *t;
    struct capif_call call;
    struct result r;
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "%s/wait", net.origin);
    call = net_call(&net, "GET", url, &r);
    t = capif_client_send(net.client, &call);
    assert_non_null(t);
    net_turn(&net);
    assert_non_null(waiting);
    assert_true(capif_req_alive(waiting));
    /* While nothing has been sent, libevent does not look at the peer. */
    capif_reply_start(waiting, 200, -1);
    assert_true(capif_reply_chunk(waiting, "x", 1) > 0);
    capif_req_on_gone(waiting, on_gone, &gone);
    capif_transfer_cancel(t);
    net_turn(&net);
    assert_true(gone);
    assert_false(capif_req_alive(waiting));
    assert_null(capif_req_ssl(waiting));
    assert_null(capif_req_header(waiting, "Host"));
    capif_req_set_header(waiting, "X", "y");
    assert_int_equal(capif_reply_chunk(waiting, "y", 1), 0);
    capif_reply_end(waiting, true);
    assert_false(r.done);
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
}

/* The answer comes later, from outside the handler. */
static void test_late(void **state)
{
    struct capif_call call;
    struct result r;
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "%s/wait", net.origin);
    call = net_call(&net, "GET", url, &r);
    assert_non_null(capif_client_send(net.client, &call));
    net_turn(&net);
    assert_false(r.done);
    capif_req_set_header(waiting, "Location", "/x");
    capif_reply_empty(waiting, 204);
    net_turn(&net);
    assert_int_equal(r.status, 204);
}

/* A third has to wait until one of the two has gone. */
static void test_limit(void **state)
{
    struct capif_client *first = net.client;
    struct capif_client *more[2] = { capif_client_new(net.base),
                                     capif_client_new(net.base) };
    struct capif_call call;
    struct result r;
    char url[128];

    (void)state;
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
    net.client = more[0];
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
    net.client = more[1];
    snprintf(url, sizeof(url), "%s/hello", net.origin);
    call = net_call(&net, "GET", url, &r);
    call.timeout_ms = 200;
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_true(r.timed_out);
    capif_client_free(more[0]); /* and its connection with it */
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
    capif_client_free(more[1]);
    net.client = first;
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_routes), EACH(test_who),  EACH(test_head),
        EACH(test_bodies), EACH(test_form), EACH(test_params),
        EACH(test_gone),   EACH(test_late), EACH(test_limit),
    };

    return cmocka_run_group_tests_name("capif: server", tests, NULL, NULL);
}
