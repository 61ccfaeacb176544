/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which handler a request is for, and whether its peer may.
 */
#include "server_internal.h"

#include "log.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

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

static void clear_params(struct capif_req *req)
{
    for (size_t i = 0; i < CAPIF_PARAMS_MAX; i++) {
        free(req->params[i]);
        req->params[i] = NULL;
    }
}

static bool path_match(struct capif_req *req, const char *pattern,
                       const char *path, size_t path_len)
{
    const char *end = path + path_len;
    size_t n = 0, len;

    for (;;) {
        if (strncmp(pattern, "{}", 2) == 0) {
            len = strcspn(path, "/?");
            if (!segment_decode(path, len, &req->params[n++]))
                break;
            pattern += 2;
            path += len;
        } else if (path == end) {
            if (*pattern == '\0')
                return true;
            break;
        } else if (*pattern != *path) {
            break;
        } else {
            pattern++;
            path++;
        }
    }
    clear_params(req);
    return false;
}

/* The route, or the status that says why there is none. */
static int route_find(struct capif_req *req)
{
    const struct capif_route *r = req->server->cfg.routes;
    size_t len;
    const char *path = capif_req_path(req, &len);
    int status = 404;

    for (; r->method != NULL; r++) {
        if (!path_match(req, r->path, path, len))
            continue;
        if (strcmp(r->method, req->head.method) == 0) {
            req->route = r;
            return 0;
        }
        clear_params(req);
        status = 405;
    }
    return status;
}

bool capif_req_may(struct capif_req *req)
{
    const struct capif_server_config *cfg = &req->server->cfg;

    req->who = cfg->who != NULL ? cfg->who(req, cfg->app) : 0;
    if (req->route->who == 0 || (req->who & req->route->who) != 0)
        return true;
    if (req->who == CAPIF_WHO_UNKNOWN) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "it can't be told who you are");
    } else if (req->who == 0) {
        capif_reply_problem(req, 401, NULL,
                            "a client certificate that is known and valid "
                            "here is needed");
    } else {
        capif_log("forbidden", "peer", capif_req_peer(req), "path",
                  req->head.target, NULL);
        capif_reply_problem(req, 403, NULL, "not for your role");
    }
    return false;
}

bool capif_route(struct capif_req *req)
{
    const struct capif_server_config *cfg = &req->server->cfg;
    int status;

    if (cfg->any != NULL) {
        req->handled = true;
        cfg->any(req, cfg->app);
        return false;
    }
    status = route_find(req);
    if (status != 0) {
        capif_reply_problem(req, status, NULL,
                            status == 404 ? "no such resource"
                                          : "not a method of this resource");
        return false;
    }
    /* Who shows no certificate needs no look-up, and sends no body first. */
    if (SSL_get0_peer_certificate(capif_req_ssl(req)) == NULL
        && !capif_req_may(req))
        return false;
    if (!req->head.chunked
        && (uint64_t)req->head.length > req->route->body_max) {
        if (capif_req_may(req))
            capif_reply_problem(req, 413, NULL, "the body is too large");
        return false;
    }
    if (req->head.expects)
        capif_req_continue(req);
    return true;
}
