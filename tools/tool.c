/* SPDX-License-Identifier: Apache-2.0 */
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALL_MS    20000L
#define ANSWER_MAX (16 * 1024 * 1024)
#define FILE_MAX   (1024 * 1024)

int tool_fail(const char *fmt, ...)
{
    va_list ap;

    fputs("error: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return 1;
}

int tool_fail_ssl(const char *what)
{
    tool_fail("%s", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

void tool_step(const char *number, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "  %-22s ", number);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

char *tool_path(const struct tool_options *o, const char *name)
{
    size_t room = strlen(o->dir) + strlen(name) + 2;
    char *path = malloc(room);

    if (path != NULL)
        snprintf(path, room, "%s%s%s", name[0] == '/' ? "" : o->dir,
                 name[0] == '/' ? "" : "/", name);
    return path;
}

char *tool_read(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = NULL;
    size_t n;

    if (f == NULL || (text = calloc(1, FILE_MAX + 1)) == NULL) {
        tool_fail("%s: %s", path, strerror(errno));
        if (f != NULL)
            fclose(f);
        return NULL;
    }
    n = fread(text, 1, FILE_MAX, f);
    fclose(f);
    while (n > 0 && text[n - 1] == '\n')
        text[--n] = '\0';
    return text;
}

bool tool_write(const struct tool_options *o, const char *name,
                const char *text)
{
    char *path = tool_path(o, name);
    int fd = path != NULL
                 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
                 : -1;
    ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;
    bool ok = n == (ssize_t)strlen(text);

    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (!ok)
        tool_fail("%s: %s", path, strerror(errno));
    free(path);
    return ok;
}

bool tool_write_json(const struct tool_options *o, const char *name,
                     const json_t *doc)
{
    char *text = json_dumps(doc, JSON_INDENT(2));
    bool ok = text != NULL && tool_write(o, name, text);

    free(text);
    return ok;
}

json_t *tool_read_json(const struct tool_options *o, const char *name)
{
    char *path = tool_path(o, name);
    json_error_t err;
    json_t *doc = path != NULL ? json_load_file(path, 0, &err) : NULL;

    if (doc == NULL)
        tool_fail("%s: %s", path, err.text);
    free(path);
    return doc;
}

const char *tool_str(const json_t *obj, const char *name)
{
    return json_string_value(json_object_get(obj, name));
}

/* ---- requests ---- */

struct waiting {
    struct event_base *base;
    struct tool_answer *out;
    struct capif_session_key *session;
    char error[256];
};

static void on_done(const struct capif_answer *a, void *arg)
{
    struct waiting *w = arg;

    w->out->status = a->status;
    if (a->error != NULL)
        snprintf(w->error, sizeof(w->error), "%s", a->error);
    if (a->body != NULL && (w->out->body = calloc(1, a->body_len + 1))) {
        memcpy(w->out->body, a->body, a->body_len);
        w->out->len = a->body_len;
        w->out->doc = json_loadb(w->out->body, a->body_len, 0, NULL);
    }
    event_base_loopbreak(w->base);
}

static void on_tls(SSL *ssl, void *arg)
{
    struct waiting *w = arg;

    if (w->session != NULL && !capif_session_key(ssl, w->session))
        w->session->key_len = 0;
}

/* The ADDRESS:PORT that --connect gives for the URL's host and port. */
static const char *address_of(const struct tool_options *o, const char *url)
{
    char host[300];
    size_t len;

    if (strncmp(url, "https://", 8) != 0)
        return NULL;
    len = strcspn(url + 8, "/?");
    snprintf(host, sizeof(host), "%.*s%s:", (int)len, url + 8,
             memchr(url + 8, ':', len) != NULL ? "" : ":443");
    for (size_t i = 0; i < o->n_connect; i++)
        if (strncmp(o->connect[i], host, strlen(host)) == 0)
            return o->connect[i] + strlen(host);
    return NULL;
}

static void complain(const struct tool_answer *a, const char *what,
                     const char *error)
{
    const char *detail = json_string_value(json_object_get(a->doc, "detail"));

    if (detail == NULL)
        detail =
            json_string_value(json_object_get(a->doc, "error_description"));
    if (a->status == 0)
        tool_fail("%s: %s", what, error);
    else
        tool_fail("%s: status %d: %s", what, a->status,
                  detail != NULL    ? detail
                  : a->body != NULL ? a->body
                                    : "");
}

bool tool_call(const struct tool_options *o, const struct tool_request *req,
               int want, const char *what, struct tool_answer *out)
{
    struct waiting w = { .base = event_base_new(),
                         .out = out,
                         .session = req->session };
    struct capif_client *client = capif_client_new(w.base);
    size_t room = (req->bearer != NULL ? strlen(req->bearer) : 0) + 64;
    char *auth = calloc(1, room);
    const char *headers[] = { NULL, NULL };
    const struct capif_call call = {
        .method = req->method,
        .url = req->url,
        .address = address_of(o, req->url),
        .cred = req->cred,
        .ca_file = req->ca_file,
        .psk = req->psk,
        .tls = on_tls,
        .headers = headers,
        .content_type = req->content_type,
        .body = req->body,
        .body_len = req->body != NULL ? strlen(req->body) : 0,
        .timeout_ms = CALL_MS,
        .answer_max = ANSWER_MAX,
        .done = on_done,
        .arg = &w,
    };
    bool ok = false;

    memset(out, 0, sizeof(*out));
    if (req->bearer != NULL && auth != NULL) {
        snprintf(auth, room, "Authorization: Bearer %s", req->bearer);
        headers[0] = auth;
    }
    if (auth != NULL && client != NULL
        && capif_client_send(client, &call) != NULL) {
        event_base_dispatch(w.base);
        ok = out->status != 0 && (want == 0 || out->status == want);
    }
    if (!ok)
        complain(out, what, w.error);
    if (auth != NULL)
        OPENSSL_cleanse(auth, room);
    free(auth);
    capif_client_free(client);
    event_base_free(w.base);
    return ok;
}

void tool_answer_clear(struct tool_answer *answer)
{
    if (answer->body != NULL)
        OPENSSL_cleanse(answer->body, answer->len);
    free(answer->body);
    json_decref(answer->doc);
    memset(answer, 0, sizeof(*answer));
}
