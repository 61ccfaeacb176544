/* SPDX-License-Identifier: Apache-2.0 */
/* The client: each way to fail, and streaming that is held up. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG   (5 * 1024 * 1024)
#define PIECE 16384

static struct net net;
static struct capif_req *waiting;

static void hello(struct capif_req *req, void *app)
{
    (void)app;
    capif_reply_json(req, 200, json_pack("{s:s}", "hello", "world"));
}

static void wait_for_it(struct capif_req *req, void *app)
{
    (void)app;
    waiting = req;
}

/* ---- a body larger than any buffer, with a pattern ---- */

static size_t sent;
static bool ended;

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 251);
}

static void send_more(void *arg)
{
    struct capif_req *req = arg;
    uint8_t piece[PIECE];

    if (sent == BIG) {
        capif_reply_end(req, true);
        ended = true;
        return;
    }
    for (size_t i = 0; i < PIECE; i++)
        piece[i] = pattern(sent + i);
    sent += PIECE;
    capif_reply_on_drained(req, send_more, req);
    assert_true(capif_reply_chunk(req, piece, PIECE) > 0);
}

static void big(struct capif_req *req, void *app)
{
    (void)app;
    sent = 0;
    ended = false;
    capif_req_set_header(req, "X-Big", "yes");
    capif_reply_start(req, 200, BIG);
    send_more(req);
}

static const struct capif_route routes[] = {
    { "GET", "/hello", 0, 0, hello },
    { "GET", "/wait", 0, 0, wait_for_it },
    { "GET", "/big", 0, 0, big },
    { NULL, NULL, 0, 0, NULL },
};

static int setup(void **state)
{
    struct capif_server_config cfg = {
        .routes = routes,
        .idle_seconds = 30,
        .max_connections = 16,
    };

    (void)state;
    net_open(&net, &cfg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    net_close(&net);
    return 0;
}

static struct capif_call call_of(const char *path, struct result *r)
{
    static char url[128];

    snprintf(url, sizeof(url), "%s%s", net.origin, path);
    return net_call(&net, "GET", url, r);
}

static void test_refused(void **state)
{
    struct result r;
    struct capif_call call = call_of("/hello", &r);
    char address[32];

    (void)state;
    net_free_address(address);
    call.address = address;
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_true(r.refused);
    assert_false(r.timed_out);
}

static void test_time_out(void **state)
{
    struct result r;
    struct capif_call call = call_of("/wait", &r);

    (void)state;
    waiting = NULL;
    call.timeout_ms = 200;
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_true(r.timed_out);
    assert_false(r.refused);
    if (waiting != NULL) /* it got as far: its answer must still be made */
        capif_reply_empty(waiting, 204);
}

static void test_too_long(void **state)
{
    struct result r;
    struct capif_call call = call_of("/hello", &r);

    (void)state;
    call.answer_max = strlen("{\"hello\":\"world\"}");
    assert_int_equal(net_fetch(&net, &call), 200);
    assert_int_equal(r.body_len, call.answer_max);
    call = call_of("/hello", &r);
    call.answer_max = strlen("{\"hello\":\"world\"}") - 1;
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_string_equal(r.error, "the answer is too long");
    assert_false(r.timed_out || r.refused);
}

/* A CA of the same name, and what is no CA file at all. */
static void test_wrong_ca(void **state)
{
    EVP_PKEY *key = soft_key("P-256", 0);
    X509 *ca = capif_cert_ca("CA", key, 7);
    char *pem = capif_cert_pem(ca), path[80];
    struct capif_call call;
    struct result r;

    (void)state;
    snprintf(path, sizeof(path), "%s.other", net.ca_file);
    (void)remove(path);
    soft_write(path, pem);
    call = call_of("/hello", &r);
    call.ca_file = path;
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_false(r.timed_out || r.refused);
    assert_int_equal(remove(path), 0);
    call = call_of("/hello", &r);
    call.ca_file = path;
    assert_int_equal(net_fetch(&net, &call), 0);
    free(pem);
    X509_free(ca);
    EVP_PKEY_free(key);
}

static void test_wrong_host(void **state)
{
    struct result r;
    struct capif_call call;
    char url[128];

    (void)state;
    snprintf(url, sizeof(url), "https://other.example%s/hello",
             strchr(net.address, ':'));
    call = net_call(&net, "GET", url, &r);
    assert_int_equal(net_fetch(&net, &call), 0);
    assert_false(r.timed_out || r.refused);
    /* The good connection that is kept is no help to the wrong name. */
    assert_int_equal(net_get(&net, "GET", "/hello", &r), 200);
    call = net_call(&net, "GET", url, &r);
    assert_int_equal(net_fetch(&net, &call), 0);
}

static void test_bad_url(void **state)
{
    static const char *const urls[] = { "file:///etc/passwd", "ftp://x/",
                                        "https://", "nonsense://x/" };
    struct result r;

    (void)state;
    for (size_t i = 0; i < N_OF(urls); i++) {
        struct capif_call call = net_call(&net, "GET", urls[i], &r);

        assert_int_equal(net_fetch(&net, &call), 0);
        assert_int_equal(r.body_len, 0);
    }
}

/* ---- streaming ---- */

static struct {
    size_t len, pauses;
    int head;
    bool paused, wrong;
} got;

static void on_head(struct capif_transfer *t, int status, void *arg)
{
    (void)arg;
    assert_int_equal(got.len, 0);
    assert_int_equal(status, 200);
    assert_string_equal(capif_transfer_header(t, "x-big"), "yes");
    assert_null(capif_transfer_header(t, "X-None"));
    got.head++;
}

static void resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    got.paused = false;
    capif_transfer_resume(arg);
}

/* Pauses at every fifth piece, until the loop has turned. */
static bool on_data(struct capif_transfer *t, const uint8_t *data, size_t len,
                    void *arg)
{
    static unsigned n;
    const struct timeval soon = { 0, 0 };

    (void)arg;
    assert_false(got.paused);
    for (size_t i = 0; i < len; i++)
        got.wrong |= data[i] != pattern(got.len + i);
    got.len += len;
    if (n++ % 5 != 0)
        return true;
    got.paused = true;
    got.pauses++;
    assert_int_equal(
        event_base_once(net.base, -1, EV_TIMEOUT, resume, t, &soon), 0);
    return false;
}

static void test_stream(void **state)
{
    static const struct capif_stream stream = { on_head, on_data };
    struct result r;
    struct capif_call call = call_of("/big", &r);

    (void)state;
    memset(&got, 0, sizeof(got));
    call.stream = &stream;
    call.answer_max = 0; /* is no limit to a stream */
    assert_int_equal(net_fetch(&net, &call), 200);
    while (!ended && !net.stuck) /* the server may be behind */
        event_base_loop(net.base, EVLOOP_ONCE);
    assert_int_equal(got.head, 1);
    assert_int_equal(got.len, BIG);
    assert_false(got.wrong);
    assert_true(got.pauses > 10);
    assert_int_equal(r.body_len, 0);
}

/* Neither the transfer nor the client goes on after its end. */
static void test_cancel(void **state)
{
    struct result r, other;
    struct capif_call call = call_of("/hello", &r);
    struct capif_transfer *t = capif_client_send(net.client, &call);

    (void)state;
    assert_non_null(t);
    capif_transfer_cancel(t);
    capif_transfer_cancel(NULL);
    assert_int_equal(net_get(&net, "GET", "/hello", &other), 200);
    assert_false(r.done);
    call = call_of("/hello", &r);
    assert_non_null(capif_client_send(net.client, &call));
    capif_client_free(net.client);
    net.client = capif_client_new(net.base);
    assert_int_equal(net_get(&net, "GET", "/hello", &other), 200);
    assert_false(r.done);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_refused),  EACH(test_time_out),   EACH(test_too_long),
        EACH(test_wrong_ca), EACH(test_wrong_host), EACH(test_bad_url),
        EACH(test_stream),   EACH(test_cancel),
    };

    return cmocka_run_group_tests_name("capif: client", tests, NULL, NULL);
}
