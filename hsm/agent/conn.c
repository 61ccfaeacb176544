/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections and whose they are.
 */
#include "agent.h"

#include "log.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REFUSALS_MAX 16 /* of a connection, before it is ended */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct agent_conn *all; /* guarded by lock, like the next three */
static size_t n_all;
static struct agent_user *users;
static bool deaf; /* the listener is not watched */

bool agent_watch(struct agent *agent, int *fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data = { .ptr = fd } };

    return epoll_ctl(agent->epoll, EPOLL_CTL_ADD, *fd, &ev) == 0;
}

bool agent_conn_keep(struct agent_conn *c, const uint8_t *p, size_t len)
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

/* Who uid is, with one connection more; NULL: no memory. */
static struct agent_user *user_get_locked(uid_t uid)
{
    struct agent_user *u = users;

    while (u != NULL && u->uid != uid)
        u = u->next;
    if (u == NULL && (u = calloc(1, sizeof(*u))) != NULL) {
        u->uid = uid;
        u->next = users;
        users = u;
    }
    if (u != NULL)
        u->conns++;
    return u;
}

static void user_put_locked(struct agent_user *u)
{
    struct agent_user **p = &users;

    if (--u->conns > 0)
        return;
    while (*p != u)
        p = &(*p)->next;
    *p = u->next;
    free(u);
}

void agent_conn_unref(struct agent_conn *c)
{
    if (atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    close(c->fd);
    agent_drop_all(c);
    pthread_mutex_lock(&lock);
    if (c->next != NULL)
        c->next->prev = c->prev;
    *c->prev = c->next;
    n_all--;
    user_put_locked(c->user);
    if (deaf)
        deaf = !agent_watch(c->agent, &c->agent->listener);
    pthread_mutex_unlock(&lock);
    (void)agent_conn_keep(c, NULL, 0);
    pthread_mutex_destroy(&c->send);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void agent_conn_log(const struct agent_conn *c, const char *event,
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
    char name[128];
    const char *what = "any use";

    for (size_t i = 0; i < AGENT_N_USES; i++)
        if (use == 1u << i)
            what = agent_use_words[i];
    snprintf(name, sizeof(name), "%.*s", (int)len, len > 0 ? label : "");
    agent_conn_log(c, "refused", what, name);
    if (atomic_fetch_add(&c->refusals, 1) + 1 >= REFUSALS_MAX)
        atomic_store(&c->over, true);
    return hsm_fail(HSM_ERR_DENIED, "the agent's policy forbids %s", what);
}

/* Why c may not be; NULL: it may. */
static const char *unwanted_locked(const struct agent_conn *c)
{
    const struct agent *agent = c->agent;

    if (!agent_knows(agent, c->uid))
        return "may use no key";
    if (n_all > agent->clients)
        return "too many clients";
    return c->user->conns > agent->clients_per_user
               ? "too many clients of this user"
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
    atomic_init(&c->usual_ns, AGENT_QUICK_NS);
    pthread_mutex_init(&c->send, NULL);
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void agent_conn_begin(struct agent *agent, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLONESHOT };
    struct agent_conn *c = conn_new(agent, fd);
    const char *why;

    if (c == NULL) {
        close(fd);
        return;
    }
    pthread_mutex_lock(&lock);
    if ((c->user = user_get_locked(c->uid)) == NULL) {
        pthread_mutex_unlock(&lock);
        close(fd);
        free(c);
        return;
    }
    c->prev = &all;
    if ((c->next = all) != NULL)
        all->prev = &c->next;
    all = c;
    n_all++;
    why = unwanted_locked(c);
    pthread_mutex_unlock(&lock);
    ev.data.ptr = c;
    if (why == NULL && epoll_ctl(agent->epoll, EPOLL_CTL_ADD, fd, &ev) == 0)
        return;
    agent_conn_log(c, "refused", why != NULL ? why : "epoll_ctl", NULL);
    agent_conn_unref(c);
}

void agent_conns_deafen(struct agent *agent)
{
    pthread_mutex_lock(&lock);
    if (all != NULL && !deaf)
        deaf =
            epoll_ctl(agent->epoll, EPOLL_CTL_DEL, agent->listener, NULL) == 0;
    pthread_mutex_unlock(&lock);
}

void agent_conns_end(void)
{
    while (all != NULL)
        agent_conn_unref(all);
}
