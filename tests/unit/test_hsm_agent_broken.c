/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm.h by something that is no agent, or one that makes no sense: an error
 * that says so, soon, and nothing else.
 */
/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/wire.h"
#include "hsm.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What it does with the first request after HELLO, or with that itself. */
enum fault {
    FAULT_NONE, /* a right answer to HELLO and to RANDOM */
    FAULT_CLOSE,
    FAULT_GARBAGE,
    FAULT_ENDLESS, /* a string that would be too long */
    FAULT_NUMBER,
    FAULT_HALF,
    FAULT_TYPES,
    FAULT_STATUS,
    FAULT_NO_RESULTS,
    FAULT_TWICE,
    FAULT_NO_MESSAGE,
    N_FAULTS,
    FAULT_FIND_FOREVER = N_FAULTS, /* goes on where it was */
    FAULT_FIND_TYPE,
    FAULT_FIND_CURVE,
    FAULT_FIND_CLASS,
    FAULT_RANDOM_LONG,
    FAULT_RANDOM_SHORT,
};

static struct {
    char dir[32], path[64];
    int listener;
    pthread_t thread;
    atomic_int hello, then;
    atomic_uint requests;
} it;

/* ---- the agent that is played ---- */

static void put(int fd, const struct wire_item *items, size_t n, size_t cut)
{
    uint8_t out[8192];
    size_t len = wire_size(items, n);

    if (len == 0 || len > sizeof(out))
        abort();
    wire_encode(items, n, out);
    (void)!send(fd, out, len - cut, MSG_NOSIGNAL);
}

static void put_octets(int fd, const char *p, size_t len)
{
    (void)!send(fd, p, len, MSG_NOSIGNAL);
}

/* The results of op after number, status and message; how many items. */
static size_t results(struct wire_item *items, const struct wire_msg *m, int f)
{
    static const uint8_t octets[4096] = { 4 };
    uint64_t op = m->items[1].num;
    size_t n = 3;

    if (op == WIRE_HELLO) {
        items[n++] = wire_num(HSM_RUNG_AGENT);
        items[n++] = wire_bytes((const uint8_t *)"t", 1);
    } else if (op == WIRE_RANDOM) {
        size_t len = m->items[2].num;

        len += f == FAULT_RANDOM_LONG;
        len -= f == FAULT_RANDOM_SHORT;
        items[n++] = wire_bytes(octets, len);
    } else {
        items[n++] = wire_num(f == FAULT_FIND_FOREVER ? 1 : 0);
        items[n++] = wire_num(f == FAULT_FIND_CLASS ? 3 : HSM_PRIVATE);
        items[n++] = wire_num(1);
        items[n++] = wire_num(f == FAULT_FIND_TYPE ? 99 : HSM_KEY_EC);
        items[n++] = wire_num(f == FAULT_FIND_CURVE ? 99 : HSM_CURVE_P256);
        items[n++] = wire_bytes(octets, 65);
        for (int i = 0; i < 3; i++)
            items[n++] = wire_bytes(octets, 0);
    }
    return n;
}

/* false: the connection is to end. */
static bool reply(int fd, const struct wire_msg *m, int f)
{
    struct wire_item items[16] = { m->items[0], wire_num(HSM_OK),
                                   wire_text("") };
    size_t n = results(items, m, f);

    if (m->items[0].num == 0) /* wants no answer */
        return true;
    atomic_fetch_add(&it.requests, 1);
    switch (f) {
    case FAULT_CLOSE:
        return false;
    case FAULT_GARBAGE:
        put_octets(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
        return true;
    case FAULT_ENDLESS:
        put_octets(fd, "\x84\x01\x00\x60\x5a\x00\x10\x00\x00", 9);
        return true;
    case FAULT_NUMBER:
        items[0].num += 7;
        break;
    case FAULT_HALF:
        put(fd, items, n, 1);
        return false;
    case FAULT_TYPES:
        items[3] = wire_text("x");
        break;
    case FAULT_STATUS:
        items[1].num = 99;
        n = 3;
        break;
    case FAULT_NO_RESULTS:
        n = 3;
        break;
    case FAULT_TWICE:
        items[1].num = HSM_ERR_DEVICE;
        put(fd, items, 3, 0);
        put(fd, items, 3, 0);
        return true;
    case FAULT_NO_MESSAGE:
        n = 2;
        break;
    default:
        break;
    }
    put(fd, items, n, 0);
    return true;
}

static void serve(int fd)
{
    struct wire_msg m;
    uint8_t in[4096];
    size_t len = 0, used = 0;
    bool go_on = true;

    while (go_on) {
        ssize_t n = recv(fd, in + len, sizeof(in) - len, 0);

        if (n <= 0)
            break;
        len += (size_t)n;
        while (go_on && wire_decode(in, len, &m, &used) == WIRE_OK) {
            go_on = reply(fd, &m,
                          m.items[1].num == WIRE_HELLO ? atomic_load(&it.hello)
                                                       : atomic_load(&it.then));
            len -= used;
            memmove(in, in + used, len);
        }
    }
    close(fd);
}

static void *play(void *arg)
{
    int fd;

    (void)arg;
    while ((fd = accept(it.listener, NULL, NULL)) >= 0)
        serve(fd);
    return NULL;
}

static int setup(void **state)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    (void)state;
    strcpy(it.dir, "/tmp/sealed-test-XXXXXX");
    assert_non_null(mkdtemp(it.dir));
    snprintf(it.path, sizeof(it.path), "%s/sock", it.dir);
    strcpy(at.sun_path, it.path);
    it.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(it.listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(it.listener, 8), 0);
    assert_int_equal(pthread_create(&it.thread, NULL, play, NULL), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shutdown(it.listener, SHUT_RDWR);
    pthread_join(it.thread, NULL);
    close(it.listener);
    unlink(it.path);
    return rmdir(it.dir);
}

/* ---- tests ---- */

static enum hsm_status open_at(const char *path, struct hsm **h)
{
    const struct hsm_config cfg = { .agent = path,
                                    .token = "pkcs11:token=t",
                                    .sessions = 1 };

    return hsm_open(&cfg, h);
}

static void test_no_socket(void **state)
{
    char path[256], longer[256];
    struct hsm *h = NULL;
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "%s/none", it.dir);
    assert_int_equal(open_at(path, &h), HSM_ERR_GONE);
    assert_non_null(strstr(hsm_last_error(), path));
    assert_non_null(strstr(hsm_last_error(), "No such file"));
    fd = open(path, O_CREAT | O_RDWR, 0600);
    assert_true(fd >= 0);
    assert_int_equal(open_at(path, &h), HSM_ERR_GONE); /* a file */
    assert_non_null(strstr(hsm_last_error(), path));
    close(fd);
    unlink(path);
    assert_int_equal(open_at(it.dir, &h), HSM_ERR_GONE); /* a directory */
    memset(longer, 'x', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(open_at(longer, &h), HSM_ERR_CONFIG);
    assert_non_null(strstr(hsm_last_error(), "too long"));
    longer[108] = '\0'; /* no room for the NUL */
    assert_int_equal(open_at(longer, &h), HSM_ERR_CONFIG);
    longer[107] = '\0';
    assert_int_equal(open_at(longer, &h), HSM_ERR_GONE);
    assert_null(h);
}

static void test_hello(void **state)
{
    struct hsm *h = NULL;

    (void)state;
    for (int f = FAULT_NONE + 1; f < N_FAULTS; f++) {
        atomic_store(&it.hello, f);
        assert_int_equal(open_at(it.path, &h),
                         f == FAULT_TWICE ? HSM_ERR_DEVICE : HSM_ERR_SESSION);
        assert_null(h);
        assert_non_null(strstr(hsm_last_error(), "agent:"));
    }
    atomic_store(&it.hello, FAULT_NONE);
}

/* It is asked twice, on two connections; once it is right, all is well. */
static void test_answers(void **state)
{
    struct hsm *h = NULL;
    uint8_t out[32];

    (void)state;
    assert_int_equal(open_at(it.path, &h), HSM_OK);
    for (int f = FAULT_NONE + 1; f < N_FAULTS; f++) {
        memset(out, 0x77, sizeof(out));
        atomic_store(&it.then, f);
        atomic_store(&it.requests, 0);
        assert_int_equal(hsm_random(h, out, sizeof(out)),
                         f == FAULT_TWICE ? HSM_ERR_DEVICE : HSM_ERR_SESSION);
        assert_non_null(strstr(hsm_last_error(), "agent:"));
        assert_in_range(atomic_load(&it.requests), 1, 4);
        assert_int_equal(out[0], 0x77);
        atomic_store(&it.then, FAULT_NONE);
        assert_int_equal(hsm_random(h, out, sizeof(out)), HSM_OK);
        assert_int_equal(out[0], 4);
    }
    hsm_close(h);
}

static void test_find(void **state)
{
    struct hsm_object *o = NULL;
    struct hsm *h = NULL;
    size_t n = 7;

    (void)state;
    assert_int_equal(open_at(it.path, &h), HSM_OK);
    for (int f = FAULT_FIND_FOREVER; f <= FAULT_FIND_CLASS; f++) {
        atomic_store(&it.then, f);
        assert_int_equal(hsm_find(h, "pkcs11:", HSM_PRIVATE, &o, &n),
                         HSM_ERR_SESSION);
        assert_null(o);
        assert_int_equal(n, 7);
        assert_non_null(strstr(hsm_last_error(), "no sense"));
    }
    atomic_store(&it.then, FAULT_NONE);
    assert_int_equal(hsm_find(h, "pkcs11:", HSM_PRIVATE, &o, &n), HSM_OK);
    assert_int_equal(n, 1);
    hsm_objects_free(o, n);
    hsm_close(h);
}

static void test_random(void **state)
{
    uint8_t out[33];
    struct hsm *h = NULL;

    (void)state;
    assert_int_equal(open_at(it.path, &h), HSM_OK);
    out[32] = 0x77;
    atomic_store(&it.then, FAULT_RANDOM_LONG);
    assert_int_equal(hsm_random(h, out, 32), HSM_ERR_BUFFER);
    assert_int_equal(out[32], 0x77);
    atomic_store(&it.then, FAULT_RANDOM_SHORT);
    assert_int_equal(hsm_random(h, out, 32), HSM_ERR_DEVICE);
    atomic_store(&it.then, FAULT_NONE);
    assert_int_equal(hsm_random(h, out, 32), HSM_OK);
    hsm_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_socket), cmocka_unit_test(test_hello),
        cmocka_unit_test(test_answers),   cmocka_unit_test(test_random),
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests_name("hsm: no agent, or no sense", tests,
                                       setup, teardown);
}
