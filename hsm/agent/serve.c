/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers wait for the same epoll; whoever is told of a
 * connection is its reader, reads what is there, lets the next one be told,
 * and then does what was asked.  Nobody waits for a client: one that does not
 * read its answers, or sends what is no request, is cut off.
 */
#include "agent.h"

#include "log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STACK       (512 * 1024) /* octets of a worker's */
#define LOOK_NS     20000        /* for the next request */
#define TURN        16384        /* octets read before others have theirs */
#define PATIENCE_MS 100          /* with a client that does not read */

/* What a worker reads to and writes from. */
struct buffers {
    uint8_t in[WIRE_MAX], out[WIRE_MAX];
    size_t out_len;
    size_t requests; /* in `in`, that want an answer */
    struct wire_msg msg;
    struct agent_reply reply;
};

/* Its reader is told, and does the rest. */
static void cut_off(struct agent_conn *c)
{
    (void)shutdown(c->fd, SHUT_RDWR);
}

/* ---- requests and answers ---- */

/* All of it; a client that does not read holds nobody up for long. */
static bool send_all(int fd, const uint8_t *p, size_t len)
{
    struct pollfd room = { .fd = fd, .events = POLLOUT };

    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN && poll(&room, 1, PATIENCE_MS) == 1)
            continue;
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

static void flush(struct agent_conn *c, struct buffers *b)
{
    bool sent;

    if (b->out_len > 0) {
        pthread_mutex_lock(&c->send);
        sent = send_all(c->fd, b->out, b->out_len);
        pthread_mutex_unlock(&c->send);
        if (!sent)
            atomic_store(&c->over, true);
        OPENSSL_cleanse(b->out, b->out_len);
    }
    b->out_len = 0;
}

static void answer(struct agent_conn *c, struct buffers *b, uint64_t number,
                   const struct wire_item *items, size_t n)
{
    const struct wire_item too_long[] = {
        wire_num(number), wire_num(HSM_ERR_BUFFER),
        wire_text("the answer is too long for a message")
    };
    size_t len = wire_size(items, n);

    if (number == 0)
        return;
    if (len == 0) {
        items = too_long;
        len = wire_size(items, n = 3);
    }
    if (len > sizeof(b->out) - b->out_len)
        flush(c, b);
    wire_encode(items, n, b->out + b->out_len);
    b->out_len += len;
}

static void work(struct agent_conn *c, struct buffers *b)
{
    struct agent_reply *r = &b->reply;
    const uint64_t number = b->msg.items[0].num;
    enum hsm_status st;

    r->n = 3; /* number, status and message come first */
    r->objs = NULL;
    r->n_objs = 0;
    r->uris = NULL;
    st = agent_request(c, &b->msg, r);
    r->items[0] = wire_num(number);
    r->items[1] = wire_num(st);
    r->items[2] = wire_text(st == HSM_OK ? "" : hsm_last_error());
    answer(c, b, number, r->items, st == HSM_OK ? r->n : 3);
    agent_reply_free(r);
}

static int64_t nanoseconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* All requests in b->in, which are whole, unless one is the end of it. */
static void work_all(struct agent_conn *c, struct buffers *b, size_t len)
{
    const int64_t began = nanoseconds();
    size_t at = 0, used = 0, n = 0;
    int64_t usual = atomic_load(&c->usual_ns);

    while (at < len && !atomic_load(&c->over)
           && wire_decode(b->in + at, len - at, &b->msg, &used) == WIRE_OK) {
        work(c, b);
        at += used;
        n++;
    }
    flush(c, b);
    if (n > 0)
        usual += ((nanoseconds() - began) / (int64_t)n - usual) / 8;
    atomic_store(&c->usual_ns, usual);
    if (atomic_load(&c->over))
        cut_off(c);
}

/* How much of b->in is whole requests; false: something is none. */
static bool whole(struct buffers *b, size_t len, size_t *out)
{
    enum wire_result r = WIRE_OK;
    size_t at = 0, used = 0;

    b->requests = 0;
    while (at < len
           && (r = wire_decode(b->in + at, len - at, &b->msg, &used)) == WIRE_OK
           && wire_is_request(&b->msg)) {
        at += used;
        b->requests += b->msg.items[0].num != 0;
    }
    *out = at;
    return at == len || r == WIRE_MORE;
}

/*
 * What has come.  A client that asks one thing after the other does so at
 * once: to look for a moment costs less than to be woken up, unless it is the
 * client who needs this core.
 */
static ssize_t receive(struct agent_conn *c, struct buffers *b, bool look)
{
    static atomic_uint looking;
    const int64_t end = look ? nanoseconds() + LOOK_NS : 0;
    ssize_t n;

    look = look && atomic_fetch_add(&looking, 1) == 0;
    for (;;) {
        n = recv(c->fd, b->in + c->part_len, sizeof(b->in) - c->part_len,
                 MSG_DONTWAIT);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR)
            || (errno == EAGAIN && (!look || nanoseconds() >= end)))
            break;
        sched_yield();
    }
    if (end != 0)
        atomic_fetch_sub(&looking, 1);
    return n;
}

/* The same, and the part that had come before; false: the end. */
static bool take(struct agent_conn *c, struct buffers *b, bool look,
                 size_t *len, size_t *n_whole)
{
    ssize_t n;

    if (c->part_len > 0)
        memcpy(b->in, c->part, c->part_len);
    n = receive(c, b, look);
    *len = c->part_len;
    if (n < 0 && errno == EAGAIN) {
        *n_whole = b->requests = 0;
        return true;
    }
    if (n <= 0)
        return false;
    *len += (size_t)n;
    if (!whole(b, *len, n_whole)) {
        agent_conn_log(c, "refused", "no message", NULL);
        return false;
    }
    return agent_conn_keep(c, b->in + *n_whole, *len - *n_whole);
}

static bool tell_next(struct agent_conn *c)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT,
                              .data = { .ptr = c } };

    return epoll_ctl(c->agent->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0;
}

/*
 * Its reader is this thread until the next one is told: after the answers,
 * where there is one request at a time, or where they are quick, since another
 * worker would cost more than he does; or else before all is done.
 */
static void readable(struct agent_conn *c, struct buffers *b)
{
    size_t len = 0, n_whole = 0, turn = 0;
    bool go_on = true;

    atomic_fetch_add(&c->refs, 1);
    while (go_on) {
        if (!take(c, b, turn > 0, &len, &n_whole)) {
            OPENSSL_cleanse(b->in, len);
            agent_conn_unref(c);
            break;
        }
        if (b->requests > 1)
            c->several = true;
        turn += n_whole;
        go_on = n_whole > 0 && turn < TURN
                && (!c->several || atomic_load(&c->usual_ns) < AGENT_QUICK_NS);
        if (!go_on && !tell_next(c))
            agent_conn_unref(c); /* nobody will be its reader */
        work_all(c, b, n_whole);
        OPENSSL_cleanse(b->in, len);
    }
    agent_conn_unref(c);
}

/* ---- workers ---- */

/*
 * With no descriptor left, the listener would be ready for ever: it is not
 * watched until a connection has ended.
 */
static void accept_one(struct agent *agent)
{
    int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0) {
        agent_conn_begin(agent, fd);
        return;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS
        && errno != ENOMEM)
        return;
    agent_conns_deafen(agent);
}

struct worker {
    struct agent *agent;
    struct buffers *b;
    pthread_t thread;
};

static void *work_until_end(void *arg)
{
    struct worker *w = arg;
    struct agent *agent = w->agent;
    struct epoll_event ev;

    for (;;) {
        if (epoll_wait(agent->epoll, &ev, 1, -1) < 1)
            continue;
        if (ev.data.ptr == &agent->stop)
            break;
        if (ev.data.ptr == &agent->listener)
            accept_one(agent);
        else
            readable(ev.data.ptr, w->b);
    }
    return NULL;
}

/* So many as could be started. */
static size_t workers_start(struct agent *agent, struct worker *w)
{
    pthread_attr_t attr;
    size_t n = 0;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK); /* it is locked memory */
    for (; n < agent->workers; n++) {
        w[n].agent = agent;
        if ((w[n].b = calloc(1, sizeof(*w[n].b))) == NULL)
            break;
        if (pthread_create(&w[n].thread, &attr, work_until_end, &w[n]) != 0) {
            free(w[n].b);
            break;
        }
    }
    pthread_attr_destroy(&attr);
    return n;
}

bool agent_serve(struct agent *agent)
{
    struct worker *w = calloc(agent->workers, sizeof(*w));
    const uint64_t one = 1;
    size_t n;

    agent->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w == NULL || agent->epoll < 0 || !agent_watch(agent, &agent->listener)
        || !agent_watch(agent, &agent->stop)) {
        free(w);
        return false;
    }
    n = workers_start(agent, w);
    if (n < agent->workers) {
        capif_log("error", "reason", "too few threads", NULL);
        if (write(agent->stop, &one, sizeof(one)) < 0)
            abort(); /* nothing else would end those that run */
    } else {
        capif_log("ready", "listen", agent->listen, "rung",
                  hsm_rung_name(agent_rung(agent)), NULL);
    }
    for (size_t i = 0; i < n; i++) {
        pthread_join(w[i].thread, NULL);
        free(w[i].b);
    }
    agent_conns_end();
    close(agent->epoll);
    free(w);
    return n == agent->workers;
}
