/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listening, connections and routing.  What a handler does with a request is
 * in request.c.
 */
#include "server_internal.h"

#include "log.h"

#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define HEADERS_MAX 16384
#define INPUT_MAX   (CAPIF_BODY_MAX + 2 * HEADERS_MAX)

struct capif_server {
    struct capif_server_config cfg;
    struct evhttp *http;
    struct evconnlistener *listener;
    struct connection *connections;
    size_t n_connections;
    bool freed; /* by the caller; the last connection takes it along */
};

/* Lives as long as its SSL object, and so as long as the connection. */
struct connection {
    struct capif_server *server;
    struct bufferevent *bev;
    SSL *ssl;
    struct connection *prev, *next;
};

/* ---- connections ---- */

static int ssl_index = -1;
static pthread_once_t ssl_index_once = PTHREAD_ONCE_INIT;

static void connection_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad,
                             int idx, long argl, void *argp)
{
    struct connection *c = ptr;
    struct capif_server *server;

    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    if (c == NULL)
        return;
    server = c->server;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        server->connections = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    free(c);
    if (server->n_connections-- == server->cfg.max_connections
        && server->listener != NULL)
        evconnlistener_enable(server->listener);
    if (server->freed && server->n_connections == 0)
        free(server);
}

static void make_ssl_index(void)
{
    ssl_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, connection_freed);
}

/*
 * evhttp limits neither the line before a chunk nor what a peer sends before
 * it has its answer.  To free the connection here is not allowed; the next
 * read ends it.
 */
static void on_input(struct evbuffer *buf, const struct evbuffer_cb_info *info,
                     void *arg)
{
    static const struct linger reset = { .l_onoff = 1 };
    evutil_socket_t fd = bufferevent_getfd(arg);

    (void)info;
    if (evbuffer_get_length(buf) <= INPUT_MAX)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void)shutdown(fd, SHUT_RDWR);
}

static struct bufferevent *connection_new(struct event_base *base, void *arg)
{
    struct capif_server *server = arg;
    struct connection *c = calloc(1, sizeof(*c));
    SSL *ssl = SSL_new(server->cfg.tls);

    /* evhttp would go on in the clear if it were given none. */
    if (c == NULL || ssl == NULL
        || (c->bev = bufferevent_openssl_socket_new(base, -1, ssl,
                                                    BUFFEREVENT_SSL_ACCEPTING,
                                                    BEV_OPT_CLOSE_ON_FREE))
               == NULL
        || !SSL_set_ex_data(ssl, ssl_index, c)) {
        capif_log_ssl("out-of-memory", "where", "connection", NULL);
        abort();
    }
    c->server = server;
    c->ssl = ssl;
    c->next = server->connections;
    if (c->next != NULL)
        c->next->prev = c;
    server->connections = c;
    bufferevent_openssl_set_allow_dirty_shutdown(c->bev, 1);
    (void)evbuffer_add_cb(bufferevent_get_input(c->bev), on_input, c->bev);
    if (++server->n_connections == server->cfg.max_connections)
        evconnlistener_disable(server->listener);
    return c->bev;
}

void capif_server_cut(struct capif_server *server,
                      bool (*dead)(const SSL *ssl, void *arg), void *arg)
{
    /* evhttp owns the connection and sees its end by itself. */
    for (struct connection *c = server->connections; c != NULL; c = c->next)
        if (dead(c->ssl, arg))
            (void)shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

/* ---- routing ---- */

static bool segment_decode(const char *from, size_t len, char **out)
{
    size_t n;

    if (len == 0 || memchr(from, '\0', len) != NULL)
        return false;
    char *copy = strndup(from, len);
    char *text = copy != NULL ? evhttp_uridecode(copy, 0, &n) : NULL;
    free(copy);
    if (text == NULL || n != strlen(text) || n == 0) {
        free(text);
        return false;
    }
    *out = text;
    return true;
}

void capif_req_clear_params(struct capif_req *req)
{
    for (size_t i = 0; i < CAPIF_PARAMS_MAX; i++) {
        free(req->params[i]);
        req->params[i] = NULL;
    }
}

static bool path_match(struct capif_req *req, const char *pattern,
                       const char *path)
{
    size_t n = 0, len;

    for (;;) {
        if (strncmp(pattern, "{}", 2) == 0) {
            len = strcspn(path, "/");
            if (!segment_decode(path, len, &req->params[n++]))
                break;
            pattern += 2;
            path += len;
        } else if (*pattern != *path) {
            break;
        } else if (*path == '\0') {
            return true;
        } else {
            pattern++;
            path++;
        }
    }
    capif_req_clear_params(req);
    return false;
}

/* The route, or the status that says why there is none. */
static int route_find(struct capif_req *req, const char *path)
{
    const struct capif_route *r = req->server->cfg.routes;
    const char *method = capif_req_method(req);
    int status = 404;

    for (; r->method != NULL; r++) {
        if (!path_match(req, r->path, path))
            continue;
        if (strcmp(r->method, method) == 0) {
            req->route = r;
            return 0;
        }
        capif_req_clear_params(req);
        status = 405;
    }
    return status;
}

/* Two lengths, or a length and chunks, are two bodies (RFC 9112 6.3). */
static bool framing_ok(const struct capif_req *req)
{
    const struct evkeyval *h;
    size_t n = 0;

    TAILQ_FOREACH(h, evhttp_request_get_input_headers(req->ev), next)
    {
        if (strcasecmp(h->key, "Content-Length") == 0)
            n++;
        else if (strcasecmp(h->key, "Transfer-Encoding") == 0)
            n += strcasecmp(h->value, "chunked") == 0 ? 1 : 2;
    }
    return n <= 1;
}

static void dispatch(struct capif_req *req)
{
    const struct capif_server_config *cfg = &req->server->cfg;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req->ev);
    const char *path = evhttp_uri_get_path(uri);
    size_t len;
    int status;

    (void)capif_req_body(req, &len);
    if (!framing_ok(req)) {
        capif_req_set_header(req, "Connection", "close");
        capif_reply_problem(req, 400, NULL, "one length of the body, please");
        return;
    }
    if (cfg->any != NULL) {
        if (len > cfg->any_body_max)
            capif_reply_problem(req, 413, NULL, "the body is too large");
        else
            cfg->any(req, cfg->app);
        return;
    }
    status = route_find(req, path != NULL ? path : "");
    if (status != 0) {
        capif_reply_problem(req, status, NULL,
                            status == 404 ? "no such resource"
                                          : "not a method of this resource");
        return;
    }
    req->who = cfg->who != NULL ? cfg->who(req, cfg->app) : 0;
    if (req->route->who != 0 && req->who == CAPIF_WHO_UNKNOWN) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "it can't be told who you are");
    } else if (req->route->who != 0 && req->who == 0) {
        capif_reply_problem(req, 401, NULL,
                            "a client certificate that is known and valid "
                            "here is needed");
    } else if (req->route->who != 0 && !(req->who & req->route->who)) {
        capif_log("forbidden", "peer", capif_req_peer(req), "path", path, NULL);
        capif_reply_problem(req, 403, NULL, "not for your role");
    } else if (len > req->route->body_max) {
        capif_reply_problem(req, 413, NULL, "the body is too large");
    } else {
        req->route->fn(req, cfg->app);
    }
}

static void on_close(struct evhttp_connection *conn, void *arg)
{
    struct capif_req *req = arg;

    (void)conn;
    capif_req_gone(req);
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    struct capif_server *server = arg;
    struct capif_req *req = calloc(1, sizeof(*req));

    if (req == NULL) {
        evhttp_send_error(ev, 500, NULL);
        return;
    }
    req->ev = ev;
    req->server = server;
    req->conn = evhttp_request_get_connection(ev);
    if (server->cfg.hold != NULL) {
        req->held = server->cfg.hold(server->cfg.app);
        req->let_go = server->cfg.let_go;
    }
    evhttp_connection_set_closecb(req->conn, on_close, req);
    dispatch(req);
}

struct capif_server *capif_server_new(struct event_base *base,
                                      const struct capif_server_config *cfg)
{
    struct capif_server *server = calloc(1, sizeof(*server));
    struct sockaddr_storage addr;
    int addr_len = sizeof(addr);
    const int yes = 1;

    pthread_once(&ssl_index_once, make_ssl_index);
    if (server == NULL || ssl_index < 0)
        goto bad;
    server->cfg = *cfg;
    SSL_CTX_up_ref(server->cfg.tls);
    if (evutil_parse_sockaddr_port(cfg->listen, (struct sockaddr *)&addr,
                                   &addr_len)
        != 0) {
        capif_log("listen-failed", "address", cfg->listen, "why",
                  "not ADDRESS:PORT", NULL);
        goto bad;
    }
    server->listener = evconnlistener_new_bind(
        base, NULL, NULL,
        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE
            | LEV_OPT_REUSEABLE_PORT,
        1024, (struct sockaddr *)&addr, addr_len);
    if (server->listener == NULL) {
        capif_log("listen-failed", "address", cfg->listen, "why",
                  evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()), NULL);
        goto bad;
    }
    /* Inherited: an answer of two records waits for no delayed ACK. */
    (void)setsockopt(evconnlistener_get_fd(server->listener), IPPROTO_TCP,
                     TCP_NODELAY, &yes, sizeof(yes));
    if ((server->http = evhttp_new(base)) == NULL
        || evhttp_bind_listener(server->http, server->listener) == NULL)
        goto bad;
    evhttp_set_allowed_methods(
        server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD
                          | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE
                          | EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
    evhttp_set_max_headers_size(server->http, HEADERS_MAX);
    evhttp_set_max_body_size(server->http, CAPIF_BODY_MAX);
    evhttp_set_timeout(server->http, cfg->idle_seconds);
    evhttp_set_bevcb(server->http, connection_new, server);
    evhttp_set_gencb(server->http, on_request, server);
    return server;
bad:
    capif_server_free(server);
    return NULL;
}

void capif_server_set_tls(struct capif_server *server, SSL_CTX *tls)
{
    SSL_CTX_up_ref(tls);
    SSL_CTX_free(server->cfg.tls);
    server->cfg.tls = tls;
}

void capif_server_free(struct capif_server *server)
{
    struct evconnlistener *listener;

    if (server == NULL)
        return;
    listener = server->listener;
    server->listener = NULL; /* connections freed below don't revive it */
    if (server->http != NULL)
        evhttp_free(server->http); /* and with it the listener */
    else if (listener != NULL)
        evconnlistener_free(listener);
    SSL_CTX_free(server->cfg.tls);
    server->cfg.tls = NULL;
    /* libevent ends connections later, at the latest with the event base. */
    server->freed = true;
    if (server->n_connections == 0)
        free(server);
}
