/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections.  Workers wait for the same epoll; whoever is told of a
 * connection is its reader, reads what is there, lets the next one be told,
 * and then does what was asked.  Nobody waits for a client: one that does not
 * read its answers, or sends what is no request, is cut off.
 */
#include "agent.h"

#include "log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REFUSALS_MAX 16           /* of a connection, before it is ended */
#define STACK        (512 * 1024) /* octets of a worker's */
#define LOOK_NS      20000        /* for the next request */
#define TURN         16384        /* octets read before others have theirs */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct agent_conn *all; /* guarded by lock, like the next */
static size_t n_all;

/* What a worker reads to and writes from. */
struct buffers {
    uint8_t in[WIRE_MAX], out[WIRE_MAX];
    size_t out_len;
    size_t requests; /* in `in`, that want an answer */
    struct wire_msg msg;
    struct agent_reply reply;
};

/* ---- a connection's life ---- */

/* Of a message; it may hold a value that is being imported. */
static bool keep_part(struct agent_conn *c, const uint8_t *p, size_t len)
{
    if (c->part != NULL)
        OPENSSL_cleanse(c->part, c->part_len);
    free(c->part);
    c->part = NULL;
    c->part_len = 0;
    if (len == 0)
        return true;
    if ((c->part = malloc(len)) == NULL)
        return false;
    memcpy(c->part, p, len);
    c->part_len = len;
    return true;
}

static void unref(struct agent_conn *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    pthread_mutex_lock(&lock);
    if (c->next != NULL)
        c->next->prev = c->prev;
    *c->prev = c->next;
    n_all--;
    pthread_mutex_unlock(&lock);
    close(c->fd);
    agent_drop_all(c);
    (void)keep_part(c, NULL, 0);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Its reader is told, and does the rest. */
static void cut_off(struct agent_conn *c)
{
    (void)shutdown(c->fd, SHUT_RDWR);
}

static void log_conn(const struct agent_conn *c, const char *event,
                     const char *what, const char *label)
{
    char uid[24], pid[24];

    snprintf(uid, sizeof(uid), "%lu", (unsigned long)c->uid);
    snprintf(pid, sizeof(pid), "%ld", (long)c->pid);
    capif_log(event, "uid", uid, "pid", pid, "what", what, "key", label, NULL);
}

enum hsm_status agent_refuse(struct agent_conn *c, unsigned use,
                             const char *label, size_t len)
{
    static const char *const words[] = { "sign", "derive", "wrap", "unwrap",
                                         "generate" };
    char name[128];
    const char *what = "any use";

    for (size_t i = 0; i < 5; i++)
        if (use == 1u << i)
            what = words[i];
    snprintf(name, sizeof(name), "%.*s", (int)len, len > 0 ? label : "");
    log_conn(c, "refused", what, name);
    if (atomic_fetch_add(&c->refusals, 1) + 1 >= REFUSALS_MAX)
        atomic_store(&c->over, true);
    return hsm_fail(HSM_ERR_DENIED, "the agent's policy forbids %s", what);
}

/* Why uid may not have one more connection; NULL: it may. */
static const char *too_many_locked(const struct agent *agent, uid_t uid)
{
    size_t n = 0;

    for (const struct agent_conn *c = all; c != NULL; c = c->next)
        n += c->uid == uid;
    if (n_all >= agent->clients)
        return "too many clients";
    return n >= agent->clients_per_user ? "too many clients of this user"
                                        : NULL;
}

static struct agent_conn *conn_new(struct agent *agent, int fd)
{
    struct ucred cred = { 0 };
    socklen_t len = sizeof(cred);
    struct agent_conn *c = calloc(1, sizeof(*c));

    if (c == NULL
        || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        free(c);
        return NULL;
    }
    c->agent = agent;
    c->fd = fd;
    c->uid = cred.uid;
    c->pid = cred.pid;
    c->free = UINT32_MAX;
    atomic_init(&c->refs, 1);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void conn_begin(struct agent *agent, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
    struct agent_conn *c = conn_new(agent, fd);
    const char *why;

    if (c == NULL) {
        close(fd);
        return;
    }
    why = agent_knows(agent, c->uid) ? NULL : "may use no key";
    pthread_mutex_lock(&lock);
    if (why == NULL)
        why = too_many_locked(agent, c->uid);
    c->prev = &all;
    if ((c->next = all) != NULL)
        all->prev = &c->next;
    all = c;
    n_all++;
    pthread_mutex_unlock(&lock);
    ev.data.ptr = c;
    if (why == NULL && epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
        return;
    log_conn(c, "refused", why != NULL ? why : "epoll_ctl", NULL);
    unref(c);
}

/* ---- requests and answers ---- */

static void flush(struct agent_conn *c, struct buffers *b)
{
    ssize_t n = 0;

    if (b->out_len > 0) {
        pthread_mutex_lock(&c->lock);
        n = send(c->fd, b->out, b->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
        pthread_mutex_unlock(&c->lock);
        if (n != (ssize_t)b->out_len)
            cut_off(c);
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

/* All requests in b->in, which are whole, unless one is the end of it. */
static void work_all(struct agent_conn *c, struct buffers *b, size_t len)
{
    size_t at = 0, used = 0;

    while (at < len && !atomic_load(&c->over)
           && wire_decode(b->in + at, len - at, &b->msg, &used) == WIRE_OK) {
        work(c, b);
        at += used;
    }
    flush(c, b);
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

/* What has come, and the part that had come before; false: the end. */
static bool take(struct agent_conn *c, struct buffers *b, size_t *len,
                 size_t *n_whole)
{
    ssize_t n;

    if (c->part_len > 0)
        memcpy(b->in, c->part, c->part_len);
    do
        n = recv(c->fd, b->in + c->part_len, sizeof(b->in) - c->part_len,
                 MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *len = c->part_len;
    if (n < 0 && errno == EAGAIN) {
        *n_whole = b->requests = 0;
        return true;
    }
    if (n <= 0)
        return false;
    *len += (size_t)n;
    if (!whole(b, *len, n_whole)) {
        log_conn(c, "refused", "no message", NULL);
        return false;
    }
    return keep_part(c, b->in + *n_whole, *len - *n_whole);
}

static bool tell_next(struct agent_conn *c)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT,
                              .data = { .ptr = c } };

    return epoll_ctl(c->agent->epoll, EPOLL_CTL_MOD, c->fd, &ev) == 0;
}

/*
 * A client that asks one thing after the other does so at once: to look for
 * a moment costs less than to be woken up, unless it is the client who needs
 * this core.
 */
static bool more_soon(const struct agent_conn *c)
{
    static atomic_uint looking;
    struct timespec began, now;
    bool more = false;
    uint8_t octet;

    clock_gettime(CLOCK_MONOTONIC, &began);
    if (atomic_fetch_add(&looking, 1) == 0) {
        do {
            more = recv(c->fd, &octet, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
            if (!more)
                sched_yield();
            clock_gettime(CLOCK_MONOTONIC, &now);
        } while (!more
                 && (now.tv_sec - began.tv_sec) * 1000000000L + now.tv_nsec
                            - began.tv_nsec
                        < LOOK_NS);
    }
    atomic_fetch_sub(&looking, 1);
    return more;
}

/*
 * Its reader is this thread until the next one is told: after the answer,
 * where there is one request at a time, or else before all is done.
 */
static void readable(struct agent_conn *c, struct buffers *b)
{
    size_t len = 0, n_whole = 0, turn = 0;
    bool go_on = true;

    atomic_fetch_add(&c->refs, 1);
    while (go_on) {
        if (!take(c, b, &len, &n_whole)) {
            OPENSSL_cleanse(b->in, len);
            unref(c);
            break;
        }
        if (b->requests > 1)
            c->several = true;
        turn += n_whole;
        go_on = !c->several && n_whole > 0 && turn < TURN;
        if (!go_on && !tell_next(c))
            unref(c); /* nobody will be its reader */
        work_all(c, b, n_whole);
        OPENSSL_cleanse(b->in, len);
        if (go_on && !more_soon(c)) {
            go_on = false;
            if (!tell_next(c))
                unref(c);
        }
    }
    unref(c);
}

/* ---- workers ---- */

static void accept_one(struct agent *agent)
{
    int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd >= 0)
        conn_begin(agent, fd);
}

static void *worker(void *arg)
{
    struct agent *agent = arg;
    struct buffers *b = calloc(1, sizeof(*b));
    struct epoll_event ev;

    while (b != NULL) {
        if (epoll_wait(agent->epoll, &ev, 1, -1) < 1)
            continue;
        if (ev.data.ptr == &agent->stop)
            break;
        if (ev.data.ptr == &agent->listener)
            accept_one(agent);
        else
            readable(ev.data.ptr, b);
    }
    free(b);
    return NULL;
}

static bool watch(struct agent *agent, int *fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = fd } };

    return epoll_ctl(agent->epoll, EPOLL_CTL_ADD, *fd, &ev) == 0;
}

bool agent_serve(struct agent *agent)
{
    pthread_t *threads = calloc(agent->workers, sizeof(*threads));
    pthread_attr_t attr;
    size_t n = 0;

    agent->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (threads == NULL || agent->epoll < 0 || !watch(agent, &agent->listener)
        || !watch(agent, &agent->stop)) {
        free(threads);
        return false;
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK); /* it is locked memory */
    while (n < agent->workers
           && pthread_create(&threads[n], &attr, worker, agent) == 0)
        n++;
    pthread_attr_destroy(&attr);
    if (n < agent->workers)
        capif_log("error", "reason", "too few threads", NULL);
    else
        capif_log("ready", "listen", agent->listen, "rung",
                  hsm_rung_name(agent_rung(agent)), NULL);
    for (size_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    while (all != NULL) /* nobody else is left */
        unref(all);
    close(agent->epoll);
    free(threads);
    return n == agent->workers;
}
