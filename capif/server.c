/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening and connections: one request after the other, its body as there
 * is room for it, its answer, the next.
 */
#include "server_internal.h"

#include "log.h"

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define INPUT_MAX      65536 /* not yet looked at; more waits in the kernel */
#define BODY_ROOM      65536 /* of a body that is streamed */
#define LINGER_SECONDS 2

static time_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* ---- connections ---- */

/* For a peer that has to send something, or only for one that has to read. */
static void set_timeouts(struct capif_conn *c, bool reads)
{
    const struct timeval idle = { c->server->cfg.idle_seconds, 0 };
    const struct timeval linger = { LINGER_SECONDS, 0 };
    const struct timeval *in = c->lingering ? &linger : &idle;

    bufferevent_set_timeouts(c->bev, reads ? in : NULL, &idle);
}

void capif_conn_free(struct capif_conn *c)
{
    struct capif_server *server = c->server;

    if (c->req != NULL)
        capif_req_gone(c->req);
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        server->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    event_free(c->wake);
    bufferevent_free(c->bev);
    if (server->n_conns-- == server->cfg.max_connections
        && server->listener != NULL)
        evconnlistener_enable(server->listener);
    free(c);
}

static size_t unsent(const struct capif_conn *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

static struct evbuffer *input(const struct capif_conn *c)
{
    return bufferevent_get_input(c->bev);
}

/*
 * All is written.  To close with something unread would make the kernel
 * reset the connection, and the peer lose the answer (RFC 9112 9.6).
 */
static void finish(struct capif_conn *c)
{
    (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
    if (capif_body_done(&c->body) && evbuffer_get_length(input(c)) == 0) {
        capif_conn_free(c);
        return;
    }
    (void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    c->lingering = true;
    c->dropped = 0;
    set_timeouts(c, true);
}

/* false: that is too much. */
static bool drop(struct capif_conn *c, size_t len)
{
    c->dropped += len;
    return c->dropped <= CAPIF_BODY_MAX;
}

/* ---- what comes in ---- */

bool capif_body_done(const struct capif_body *body)
{
    return body->chunked ? body->chunks.at == CAPIF_CHUNK_LAST
                         : body->left == 0;
}

static bool body_read(struct capif_conn *c, struct evbuffer *out, size_t max)
{
    struct capif_body *b = &c->body;
    size_t n = evbuffer_get_length(input(c));

    if (b->chunked)
        return capif_chunks_read(&b->chunks, input(c), out, max);
    if (n > b->left)
        n = (size_t)b->left;
    if (n > max)
        n = max;
    b->left -= n;
    return evbuffer_remove_buffer(input(c), out, n) == (int)n;
}

/* As far as there is room. */
static bool move_body(struct capif_conn *c)
{
    const struct capif_req *req = c->req;
    const size_t have = evbuffer_get_length(req->body);
    const size_t room = req->handled ? BODY_ROOM : req->route->body_max + 1;

    if (!body_read(c, req->body, have < room ? room - have : 0))
        return false;
    if (capif_body_done(&c->body))
        set_timeouts(c, false);
    return true;
}

/* Nobody wants the rest of it.  false: there is more of it to come. */
static bool drop_body(struct capif_conn *c)
{
    struct evbuffer *rest = evbuffer_new();
    bool ok = rest != NULL && body_read(c, rest, SIZE_MAX)
              && drop(c, evbuffer_get_length(rest));

    if (rest != NULL)
        evbuffer_free(rest);
    if (!ok) {
        c->closing = true;
        if (unsent(c) == 0)
            finish(c);
        return false;
    }
    return capif_body_done(&c->body);
}

static void refuse(struct capif_conn *c, int status)
{
    c->closing = true;
    capif_reply_problem(c->req, status, NULL, "the request is malformed");
}

/* The head's end, after its empty line; 0: it has not come. */
static size_t head_end(struct evbuffer *in)
{
    struct evbuffer_ptr at = evbuffer_search(in, "\r\n\r\n", 4, NULL);

    return at.pos < 0 ? 0 : (size_t)at.pos + 4;
}

/* An empty line may come before it (RFC 9112 2.2). */
static void skip_empty_line(struct evbuffer *in)
{
    char text[2];

    if (evbuffer_copyout(in, text, 2) == 2 && memcmp(text, "\r\n", 2) == 0)
        evbuffer_drain(in, 2);
}

/* A request whose head is complete, and what is wrong with that. */
static int take_head(struct capif_conn *c, size_t len)
{
    struct capif_req *req = c->req;
    char *text = malloc(len + 1);
    int status;

    if (text == NULL)
        return 503;
    evbuffer_remove(input(c), text, len);
    text[len] = '\0';
    if ((status = capif_head_parse(&req->head, text, len)) != 0)
        return status;
    c->closing = req->head.close;
    c->body = (struct capif_body){ .chunked = req->head.chunked,
                                   .left = (uint64_t)req->head.length };
    return 0;
}

/* false: there is nothing more to do now, or c is gone. */
static bool read_head(struct capif_conn *c)
{
    size_t len, have;
    int status;

    if (c->since == 0)
        skip_empty_line(input(c));
    have = evbuffer_get_length(input(c));
    if (have == 0)
        return false;
    len = head_end(input(c));
    if (len == 0 && have <= CAPIF_HEAD_MAX) {
        if (c->since == 0)
            c->since = seconds();
        if (seconds() - c->since > c->server->cfg.idle_seconds)
            capif_conn_free(c);
        return false;
    }
    c->since = 0;
    c->dropped = 0;
    c->body = (struct capif_body){ 0 };
    if ((c->req = capif_req_new(c)) == NULL) {
        capif_conn_free(c);
        return false;
    }
    if (len == 0 || len > CAPIF_HEAD_MAX)
        status = 431;
    else
        status = take_head(c, len);
    if (status != 0) {
        refuse(c, status);
        return false;
    }
    set_timeouts(c, !capif_body_done(&c->body));
    return capif_route(c->req);
}

/* Who asks is told to the handler, and so must be found out just before. */
static void handle(struct capif_req *req)
{
    size_t len = evbuffer_get_length(req->body);

    if (!capif_req_may(req))
        return;
    if (len > req->route->body_max) {
        capif_reply_problem(req, 413, NULL, "the body is too large");
        return;
    }
    req->handled = true;
    req->route->fn(req, req->server->cfg.app);
}

/* To a request that waits for its body, or that streams it. */
static void read_body(struct capif_conn *c)
{
    struct capif_req *req = c->req;

    if (!move_body(c)) {
        if (req->handled)
            capif_conn_free(c); /* half an answer may be out */
        else
            refuse(c, 400);
        return;
    }
    if (req->handled)
        req->more(req->more_arg);
    else if (capif_body_done(&c->body)
             || evbuffer_get_length(req->body) > req->route->body_max)
        handle(req);
}

/* After each step that may run a handler, c may be gone. */
static void go_on(struct capif_conn *c)
{
    if (c->lingering) {
        const size_t n = evbuffer_get_length(input(c));

        evbuffer_drain(input(c), n);
        if (!drop(c, n))
            capif_conn_free(c);
        return;
    }
    if (c->req == NULL
        && ((!capif_body_done(&c->body) && !drop_body(c)) || c->closing
            || !read_head(c)))
        return;
    if (c->req != NULL
        && (!c->req->handled
            || (c->req->more != NULL && !capif_body_done(&c->body))))
        read_body(c);
}

void capif_conn_wake(struct capif_conn *c)
{
    event_active(c->wake, EV_TIMEOUT, 0);
}

void capif_conn_answered(struct capif_conn *c)
{
    c->req = NULL;
    c->dropped = 0;
    set_timeouts(c, true);
    capif_conn_wake(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    (void)bev;
    go_on(arg);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct capif_conn *c = arg;

    (void)bev;
    if (unsent(c) > 0)
        return; /* libevent defers this: more may have been written */
    if (c->req != NULL)
        capif_req_drained(c->req);
    else if (c->closing && !c->lingering)
        finish(c);
}

/* Whichever of the two has something to do; neither minds being called. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct capif_conn *c = arg;

    (void)fd;
    (void)what;
    if (c->req == NULL && c->closing && unsent(c) == 0 && !c->lingering)
        finish(c);
    else
        go_on(c);
}

/*
 * Peers fail at TLS for reasons of their own; what a provider of ours could
 * not do is the operator's to know.
 */
static void log_failure(const struct capif_conn *c)
{
    unsigned long e;

    while ((e = bufferevent_get_openssl_error(c->bev)) != 0)
        if (ERR_GET_LIB(e) >= ERR_LIB_USER) {
            capif_log("tls-failed", "peer", c->peer, "why",
                      ERR_reason_error_string(e), NULL);
            return;
        }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct capif_conn *c = arg;

    (void)bev;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)))
        return;
    if (what & BEV_EVENT_ERROR)
        log_failure(c);
    if ((what & BEV_EVENT_TIMEOUT) && c->req == NULL)
        (void)SSL_shutdown(c->ssl); /* idle, and not cut off */
    ERR_clear_error();
    capif_conn_free(c);
}

/* An IPv4 address is one, also on a socket for IPv6 (RFC 4291 2.5.5.2). */
static void name_peer(const struct sockaddr *addr, char out[INET6_ADDRSTRLEN])
{
    const struct in6_addr *v6 =
        &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;

    if (addr->sa_family == AF_INET)
        (void)inet_ntop(
            AF_INET,
            &((const struct sockaddr_in *)(const void *)addr)->sin_addr, out,
            INET6_ADDRSTRLEN);
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        (void)inet_ntop(AF_INET, v6->s6_addr + 12, out, INET6_ADDRSTRLEN);
    else
        (void)inet_ntop(AF_INET6, v6, out, INET6_ADDRSTRLEN);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                      struct sockaddr *addr, int len, void *arg)
{
    struct capif_server *server = arg;
    struct capif_conn *c = calloc(1, sizeof(*c));
    SSL *ssl = SSL_new(server->cfg.tls);

    (void)len;
    if (c == NULL || ssl == NULL
        || (c->wake = event_new(server->base, -1, 0, on_wake, c)) == NULL
        || (c->bev = bufferevent_openssl_socket_new(
                server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS))
               == NULL) {
        capif_log_ssl("out-of-memory", "where", "connection", NULL);
        SSL_free(ssl);
        if (c != NULL && c->wake != NULL)
            event_free(c->wake);
        free(c);
        evutil_closesocket(fd);
        return;
    }
    c->server = server;
    c->ssl = ssl;
    name_peer(addr, c->peer);
    c->next = server->conns;
    if (c->next != NULL)
        c->next->prev = c;
    server->conns = c;
    bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    bufferevent_setwatermark(c->bev, EV_READ, 0, INPUT_MAX);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    set_timeouts(c, true);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    if (++server->n_conns == server->cfg.max_connections)
        evconnlistener_disable(listener);
}

void capif_server_cut(struct capif_server *server,
                      bool (*dead)(const SSL *ssl, void *arg), void *arg)
{
    struct capif_conn *next;

    for (struct capif_conn *c = server->conns; c != NULL; c = next) {
        next = c->next;
        if (dead(c->ssl, arg))
            capif_conn_free(c);
    }
}

/* ---- the server ---- */

static struct evconnlistener *listen_at(struct capif_server *server,
                                        const char *where)
{
    struct sockaddr_storage addr;
    int len = sizeof(addr);
    const int yes = 1;
    struct evconnlistener *listener;

    if (evutil_parse_sockaddr_port(where, (struct sockaddr *)&addr, &len)
        != 0) {
        capif_log("listen-failed", "address", where, "why", "not ADDRESS:PORT",
                  NULL);
        return NULL;
    }
    listener = evconnlistener_new_bind(
        server->base, on_accept, server,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE
            | LEV_OPT_REUSEABLE_PORT,
        1024, (struct sockaddr *)&addr, len);
    if (listener == NULL) {
        capif_log("listen-failed", "address", where, "why",
                  evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()), NULL);
        return NULL;
    }
    /* Inherited: an answer of two records waits for no delayed ACK. */
    (void)setsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_NODELAY,
                     &yes, sizeof(yes));
    return listener;
}

struct capif_server *capif_server_new(struct event_base *base,
                                      const struct capif_server_config *cfg)
{
    struct capif_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        return NULL;
    server->cfg = *cfg;
    server->base = base;
    SSL_CTX_up_ref(server->cfg.tls);
    if ((server->listener = listen_at(server, cfg->listen)) == NULL) {
        capif_server_free(server);
        return NULL;
    }
    return server;
}

void capif_server_set_tls(struct capif_server *server, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    SSL_CTX_free(server->cfg.tls);
    server->cfg.tls = tls;
}

void capif_server_free(struct capif_server *server)
{
    if (server == NULL)
        return;
    if (server->listener != NULL)
        evconnlistener_free(server->listener);
    server->listener = NULL;
    while (server->conns != NULL)
        capif_conn_free(server->conns);
    SSL_CTX_free(server->cfg.tls);
    free(server);
}
