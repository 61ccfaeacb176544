/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SMALL       1024   /* octets of a request that needs no allocation */
#define ARGS_MAX    6      /* of any operation */
#define LOOK_NS_MAX 100000 /* an answer that takes longer is slept for */

/*
 * Somebody who waits for an answer; on his stack.  Once one of the flags is
 * set, woken is posted and he has what follows to himself, without a lock.
 */
struct waiting {
    struct waiting *next;
    uint64_t number;
    sem_t woken;
    bool reads;      /* it is up to him now to read, for all */
    bool over;       /* he is out of the list, whether there is an answer */
    uint8_t *octets; /* or NULL */
    size_t len;
};

struct hsm_agent {
    int fd;
    pthread_mutex_t send; /* a request is written in one piece */
    pthread_mutex_t lock;
    atomic_uint_fast64_t last; /* number given */
    atomic_bool broken;
    struct waiting *waiting; /* everybody; guarded by lock, as all below */
    bool reading;            /* somebody is to, and has the next two */
    uint8_t *in;             /* of WIRE_MAX octets */
    size_t in_len;
    int64_t usual_ns; /* that an answer takes */
};

/* ---- sending ---- */

static bool send_all(int fd, const uint8_t *p, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

/* A request; it may hold a secret that is being imported, so it is wiped. */
struct request {
    uint8_t small[SMALL], *p;
    size_t len;
};

static enum hsm_status request_make(struct request *r, uint64_t number,
                                    enum wire_op op,
                                    const struct wire_item *args, size_t n)
{
    struct wire_item items[2 + ARGS_MAX] = { wire_num(number), wire_num(op) };

    memcpy(items + 2, args, n * sizeof(*args));
    if ((r->len = wire_size(items, n + 2)) == 0)
        return hsm_fail(HSM_ERR_PARAM, "too much for a message to the agent");
    r->p = r->len > sizeof(r->small) ? malloc(r->len) : r->small;
    if (r->p == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    wire_encode(items, n + 2, r->p);
    return HSM_OK;
}

/* Nothing that comes is of use: who reads is to hear of it, too. */
static void give_up(struct hsm_agent *a)
{
    atomic_store(&a->broken, true);
    (void)shutdown(a->fd, SHUT_RDWR);
}

static bool request_send(struct hsm_agent *a, struct request *r)
{
    bool sent;

    pthread_mutex_lock(&a->send);
    sent = send_all(a->fd, r->p, r->len);
    pthread_mutex_unlock(&a->send);
    if (!sent)
        give_up(a);
    OPENSSL_cleanse(r->p, r->len);
    if (r->p != r->small)
        free(r->p);
    return sent;
}

/* ---- receiving ---- */

/* He is no longer in the list. */
static void release(struct waiting *w)
{
    w->over = true;
    sem_post(&w->woken);
}

/* Give an answer to who waits for it, if somebody does.  Under a->lock. */
static bool deliver_locked(struct hsm_agent *a, const struct wire_msg *m,
                           const uint8_t *octets, size_t len)
{
    struct waiting **p = &a->waiting, *w;

    if (m->items[0].type != WIRE_NUM)
        return false;
    while (*p != NULL && (*p)->number != m->items[0].num)
        p = &(*p)->next;
    if ((w = *p) == NULL || (w->octets = malloc(len)) == NULL)
        return false;
    memcpy(w->octets, octets, len);
    w->len = len;
    *p = w->next;
    release(w);
    return true;
}

/* All answers that are in a->in; false: the agent makes no sense. */
static bool deliver_all_locked(struct hsm_agent *a)
{
    enum wire_result r = WIRE_OK;
    struct wire_msg m;
    size_t at = 0, used = 0;

    while ((r = wire_decode(a->in + at, a->in_len - at, &m, &used)) == WIRE_OK
           && deliver_locked(a, &m, a->in + at, used))
        at += used;
    a->in_len -= at;
    memmove(a->in, a->in + at, a->in_len);
    OPENSSL_cleanse(a->in + a->in_len, at);
    return r == WIRE_MORE;
}

static int64_t nanoseconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Whatever comes; look for some time before sleeping for it. */
static ssize_t receive(struct hsm_agent *a, int64_t look_ns)
{
    const int64_t end = nanoseconds() + look_ns;
    ssize_t n = -1;
    int flags = look_ns > 0 ? MSG_DONTWAIT : 0;

    for (;;) {
        n = recv(a->fd, a->in + a->in_len, WIRE_MAX - a->in_len, flags);
        if (n >= 0 || (errno != EAGAIN && errno != EINTR))
            return n;
        if (flags != 0 && nanoseconds() > end)
            flags = 0;
        else
            sched_yield(); /* it may be the agent that needs this core */
    }
}

/*
 * Caller holds a->lock, which is left while it reads.  To be woken up costs
 * more than most answers take: who waits alone looks for about as long as
 * answers took, if that is short.
 */
static void read_locked(struct hsm_agent *a)
{
    int64_t look = a->usual_ns < LOOK_NS_MAX && a->waiting->next == NULL
                       ? 2 * a->usual_ns
                       : 0;
    ssize_t n;

    pthread_mutex_unlock(&a->lock);
    n = receive(a, look);
    pthread_mutex_lock(&a->lock);
    if (n > 0)
        a->in_len += (size_t)n;
    if (n <= 0 || !deliver_all_locked(a))
        atomic_store(&a->broken, true);
}

static void begin(struct hsm_agent *a, struct waiting *w)
{
    sem_init(&w->woken, 0, 0);
    pthread_mutex_lock(&a->lock);
    w->next = a->waiting;
    a->waiting = w;
    pthread_mutex_unlock(&a->lock);
}

/* The next one reads, and nobody else is woken up for it; or all are let go. */
static void hand_over_locked(struct hsm_agent *a)
{
    struct waiting *w;

    while ((w = a->waiting) != NULL && atomic_load(&a->broken)) {
        a->waiting = w->next;
        release(w);
    }
    a->reading = w != NULL;
    if (w != NULL) {
        w->reads = true;
        sem_post(&w->woken);
    }
}

/* Read until w's answer is there. */
static void read_for(struct hsm_agent *a, struct waiting *w)
{
    const int64_t began = nanoseconds();

    pthread_mutex_lock(&a->lock);
    while (!w->over && !atomic_load(&a->broken))
        read_locked(a);
    a->usual_ns += (nanoseconds() - began - a->usual_ns) / 8;
    hand_over_locked(a);
    pthread_mutex_unlock(&a->lock);
}

/* Wait for the answer; w is in no list then. */
static void end(struct hsm_agent *a, struct waiting *w)
{
    bool reads;

    pthread_mutex_lock(&a->lock);
    if (!a->reading && !w->over)
        a->reading = w->reads = true;
    reads = w->reads;
    pthread_mutex_unlock(&a->lock);
    if (!reads) {
        while (sem_wait(&w->woken) != 0)
            ; /* a signal */
        reads = w->reads;
    }
    if (reads)
        read_for(a, w);
    sem_destroy(&w->woken);
}

/* ---- asking ---- */

static enum hsm_status parse(struct hsm_agent *a, struct agent_answer *out,
                             enum wire_op op)
{
    const struct wire_item *items = out->msg.items;
    size_t used = 0;

    if (wire_decode(out->octets, out->len, &out->msg, &used) != WIRE_OK
        || !wire_is_answer(&out->msg, op) || items[1].num > HSM_ERR_DEVICE) {
        give_up(a);
        return hsm_fail(HSM_ERR_SESSION, "agent: an answer of no sense");
    }
    if (items[1].num == HSM_OK)
        return HSM_OK;
    return hsm_fail((enum hsm_status)items[1].num, "agent: %.*s",
                    (int)items[2].len, (const char *)items[2].p);
}

/* On a connection that nobody else replaces meanwhile. */
static enum hsm_status ask_on(struct hsm_agent *a, enum wire_op op,
                              const struct wire_item *args, size_t n,
                              struct agent_answer *out)
{
    struct waiting w = { .number = atomic_fetch_add(&a->last, 1) + 1 };
    struct request r;
    enum hsm_status st = request_make(&r, w.number, op, args, n);

    out->octets = NULL;
    if (st != HSM_OK)
        return st;
    hsm_call_begin();
    begin(a, &w);
    (void)request_send(a, &r);
    end(a, &w);
    out->octets = w.octets;
    out->len = w.len;
    st = w.octets != NULL
             ? parse(a, out, op)
             : hsm_fail(HSM_ERR_SESSION, "agent: the connection is lost");
    return hsm_call_end(wire_op_name(op), st);
}

enum hsm_status agent_ask(struct hsm *h, unsigned epoch, enum wire_op op,
                          const struct wire_item *args, size_t n,
                          struct agent_answer *out)
{
    enum hsm_status st;

    out->octets = NULL;
    if ((st = hsm_use(h)) != HSM_OK)
        return st;
    out->epoch = hsm_seen;
    st = epoch == AGENT_ANY || epoch == hsm_seen
             ? ask_on(h->agent, op, args, n, out)
             : hsm_fail(HSM_ERR_SESSION, "agent: the connection was lost");
    if (atomic_load(&h->agent->broken))
        hsm_lost(h);
    hsm_unuse(h);
    if (st != HSM_OK) /* nobody looks into it, and it may be asked again */
        agent_answer_free(out);
    return st;
}

void agent_answer_free(struct agent_answer *a)
{
    if (a->octets != NULL)
        OPENSSL_cleanse(a->octets, a->len);
    free(a->octets);
    a->octets = NULL;
}

void agent_tell(struct hsm *h, unsigned epoch, enum wire_op op,
                const struct wire_item *args, size_t n)
{
    struct request r;

    if (hsm_use_of(h, epoch)) {
        if (request_make(&r, 0, op, args, n) == HSM_OK)
            (void)request_send(h->agent, &r);
        hsm_unuse(h);
    }
}

/* ---- the connection ---- */

static enum hsm_status dial(const char *path, int *out)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(to.sun_path))
        return hsm_fail(HSM_ERR_CONFIG, "too long for a socket: %s", path);
    strcpy(to.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return hsm_fail(HSM_ERR_DEVICE, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        enum hsm_status st = errno == EACCES ? HSM_ERR_DENIED : HSM_ERR_GONE;

        st = hsm_fail(st, "agent %s: %s", path, strerror(errno));
        close(fd);
        return st;
    }
    *out = fd;
    return HSM_OK;
}

static enum hsm_status hello(struct hsm *h)
{
    const struct wire_item items[] = { wire_num(WIRE_VERSION),
                                       wire_text(h->token_uri) };
    struct agent_answer a;
    enum hsm_status st = ask_on(h->agent, WIRE_HELLO, items, 2, &a);
    size_t len = sizeof(h->token.label);

    if (st == HSM_OK) {
        h->rung = (enum hsm_rung)a.msg.items[3].num;
        memset(h->token.label, ' ', len);
        memcpy(h->token.label, a.msg.items[4].p,
               a.msg.items[4].len < len ? a.msg.items[4].len : len);
    }
    agent_answer_free(&a);
    return st;
}

static struct hsm_agent *link_new(void)
{
    struct hsm_agent *a = calloc(1, sizeof(*a));

    if (a == NULL || (a->in = malloc(WIRE_MAX)) == NULL) {
        free(a);
        return NULL;
    }
    a->fd = -1;
    pthread_mutex_init(&a->send, NULL);
    pthread_mutex_init(&a->lock, NULL);
    return a;
}

static void hang_up(struct hsm_agent *a)
{
    if (a != NULL && a->fd >= 0)
        close(a->fd);
    if (a != NULL)
        a->fd = -1;
}

enum hsm_status agent_connect(struct hsm *h)
{
    struct hsm_agent *a = h->agent;
    enum hsm_status st;

    if (a == NULL && (a = h->agent = link_new()) == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    hang_up(a);
    OPENSSL_cleanse(a->in, WIRE_MAX);
    a->in_len = 0;
    if ((st = dial(h->path, &a->fd)) != HSM_OK)
        return st;
    atomic_store(&a->broken, false);
    if ((st = hello(h)) != HSM_OK)
        hang_up(a);
    return st;
}

void agent_close(struct hsm *h)
{
    struct hsm_agent *a = h->agent;

    if (a == NULL)
        return;
    hang_up(a);
    pthread_mutex_destroy(&a->lock);
    pthread_mutex_destroy(&a->send);
    OPENSSL_cleanse(a->in, WIRE_MAX);
    free(a->in);
    free(a);
}

void agent_forked(struct hsm *h)
{
    hang_up(h->agent); /* our copy: the parent goes on with its own */
}

bool agent_alive(const struct hsm *h)
{
    return !atomic_load(&h->agent->broken);
}

const struct hsm_backend hsm_agent_backend = {
#define X(ret, name, args) .name = agent_##name,
    HSM_OPS(X)
#undef X
};
