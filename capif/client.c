/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CONNECT_MS  3000L
#define CONNECT_TO  300
#define KEPT_AT_ALL 64L

struct capif_client {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct capif_transfer *transfers;
    bool renewed;
    time_t renewed_at; /* by seconds() */
};

struct capif_transfer {
    struct capif_client *client;
    struct capif_transfer *prev, *next;
    CURL *easy;
    struct curl_slist *headers, *connect_to;
    struct capif_credentials cred;
    const struct capif_psk *psk;
    const struct capif_stream *stream;
    size_t (*upload)(void *out, size_t max, void *arg);
    void (*tls)(SSL *ssl, void *arg);
    capif_answer_fn *done;
    void *arg;
    uint8_t *body;
    size_t body_len, body_max;
    bool head_seen, paused, too_long;
    bool hungry; /* for more of the request's body */
    char error[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static void transfer_free(struct capif_transfer *t)
{
    struct capif_client *c = t->client;

    if (t->easy != NULL) {
        curl_multi_remove_handle(c->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    curl_slist_free_all(t->connect_to);
    if (t->prev != NULL)
        t->prev->next = t->next;
    else if (c->transfers == t)
        c->transfers = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    capif_credentials_clear(&t->cred);
    free(t->body);
    free(t);
}

/* ---- libcurl and libevent ---- */

static void finish(struct capif_transfer *t, CURLcode code)
{
    struct capif_answer a = { .body = t->body, .body_len = t->body_len };
    long status = 0;
    char *type = NULL;

    if (code == CURLE_OK) {
        curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &type);
    }
    a.status = (int)status;
    a.content_type = type;
    if (code != CURLE_OK) {
        a.error = t->too_long        ? "the answer is too long"
                  : t->error[0] != 0 ? t->error
                                     : curl_easy_strerror(code);
        a.timed_out = code == CURLE_OPERATION_TIMEDOUT;
        a.refused = code == CURLE_COULDNT_CONNECT;
    }
    ERR_clear_error();
    t->done(&a, t->arg);
    transfer_free(t);
}

static void reap(struct capif_client *c)
{
    struct capif_transfer *t = NULL;
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(t, msg->data.result);
    }
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct capif_client *c = arg;
    int running, flags = (what & EV_READ ? CURL_CSELECT_IN : 0)
                         | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);

    curl_multi_socket_action(c->multi, fd, flags, &running);
    reap(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct capif_client *c = arg;
    int running;

    (void)fd;
    (void)what;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(c);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct capif_client *c = arg;
    struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

    (void)multi;
    if (ms < 0)
        return event_del(c->timer);
    return event_add(c->timer, &tv);
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                      void *socketp)
{
    struct capif_client *c = arg;
    struct event *ev = socketp;
    short events =
        (short)((what & CURL_POLL_IN ? EV_READ : 0)
                | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);

    (void)easy;
    if (ev != NULL)
        event_free(ev);
    ev = NULL;
    if (what != CURL_POLL_REMOVE
        && ((ev = event_new(c->base, fd, events, on_socket, c)) == NULL
            || event_add(ev, NULL) != 0))
        return -1;
    curl_multi_assign(c->multi, fd, ev);
    return 0;
}

struct capif_client *capif_client_new(struct event_base *base)
{
    struct capif_client *c = calloc(1, sizeof(*c));

    pthread_once(&curl_once, curl_start);
    if (c == NULL)
        return NULL;
    c->base = base;
    c->multi = curl_multi_init();
    c->timer = evtimer_new(base, on_timer, c);
    if (c->multi == NULL || c->timer == NULL) {
        capif_client_free(c);
        return NULL;
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, KEPT_AT_ALL);
    return c;
}

void capif_client_free(struct capif_client *c)
{
    if (c == NULL)
        return;
    while (c->transfers != NULL)
        transfer_free(c->transfers);
    if (c->multi != NULL)
        curl_multi_cleanup(c->multi);
    if (c->timer != NULL)
        event_free(c->timer);
    free(c);
}

static time_t seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void capif_client_renew(struct capif_client *c)
{
    c->renewed = true;
    c->renewed_at = seconds();
}

/* ---- one transfer ---- */

static size_t on_header(char *line, size_t one, size_t len, void *arg)
{
    struct capif_transfer *t = arg;
    struct curl_tlssessioninfo *tls = NULL;
    long status = 0;

    (void)one;
    (void)line;
    if (len > 2 || t->head_seen)
        return len; /* only the empty line at the end counts */
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200)
        return len;
    t->head_seen = true;
    if (t->tls != NULL
        && curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK
        && tls->backend == CURLSSLBACKEND_OPENSSL)
        t->tls(tls->internals, t->arg);
    if (t->stream != NULL)
        t->stream->head(t, (int)status, t->arg);
    return len;
}

static size_t on_body(char *data, size_t one, size_t len, void *arg)
{
    struct capif_transfer *t = arg;
    uint8_t *more;

    (void)one;
    if (t->paused)
        return CURL_WRITEFUNC_PAUSE;
    if (t->stream != NULL) {
        /* What is refused now is not given again: pause before the next. */
        t->paused = !t->stream->data(t, (const uint8_t *)data, len, t->arg);
        return len;
    }
    if (len > t->body_max - t->body_len) {
        t->too_long = true;
        return 0;
    }
    if ((more = realloc(t->body, t->body_len + len + 1)) == NULL)
        return 0;
    memcpy(more + t->body_len, data, len);
    t->body = more;
    t->body_len += len;
    t->body[t->body_len] = '\0';
    return len;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id,
                   size_t *id_len, SSL_SESSION **out)
{
    static const unsigned char suite[] = { 0x13, 0x01 };
    const struct capif_psk *psk = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    SSL_SESSION *session = SSL_SESSION_new();

    (void)md;
    if (session == NULL || !SSL_SESSION_set1_master_key(session, psk->key, 32)
        || !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite))
        || !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        SSL_SESSION_free(session);
        return 0;
    }
    *id = (const unsigned char *)psk->identity;
    *id_len = strlen(psk->identity);
    *out = session;
    return 1;
}

static int refuse_certificate(X509_STORE_CTX *ctx, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(ctx, X509_V_ERR_APPLICATION_VERIFICATION);
    return 0;
}

/* With the PSK or not at all: no certificate is good enough instead. */
static bool psk_client(SSL_CTX *ctx, const struct capif_psk *psk)
{
    if (!capif_tls_client(ctx, NULL)
        || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION)
        || !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256"))
        return false;
    SSL_CTX_set_app_data(ctx, (void *)(uintptr_t)psk);
    SSL_CTX_set_psk_use_session_callback(ctx, use_psk);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, refuse_certificate, NULL);
    return true;
}

static CURLcode on_ssl_ctx(CURL *easy, void *ctx, void *arg)
{
    struct capif_transfer *t = arg;

    (void)easy;
    return (t->psk != NULL
                ? psk_client(ctx, t->psk)
                : capif_tls_client(ctx, t->cred.key != NULL ? &t->cred : NULL))
               ? CURLE_OK
               : CURLE_SSL_CERTPROBLEM;
}

static bool add_header(struct capif_transfer *t, const char *text)
{
    struct curl_slist *list = curl_slist_append(t->headers, text);

    if (list != NULL)
        t->headers = list;
    return list != NULL;
}

static size_t on_upload(char *out, size_t one, size_t max, void *arg)
{
    struct capif_transfer *t = arg;
    size_t n = t->upload(out, one * max, t->arg);

    t->hungry = n == CAPIF_LATER;
    return t->hungry          ? CURL_READFUNC_PAUSE
           : n == CAPIF_ABORT ? CURL_READFUNC_ABORT
                              : n;
}

static bool set_upload(struct capif_transfer *t,
                       const struct capif_upload *upload)
{
    t->upload = upload->read;
    return curl_easy_setopt(t->easy, CURLOPT_UPLOAD, 1L) == CURLE_OK
           && curl_easy_setopt(t->easy, CURLOPT_READFUNCTION, on_upload)
                  == CURLE_OK
           && curl_easy_setopt(t->easy, CURLOPT_READDATA, t) == CURLE_OK
           && curl_easy_setopt(t->easy, CURLOPT_INFILESIZE_LARGE,
                               (curl_off_t)upload->len)
                  == CURLE_OK;
}

static bool set_body(struct capif_transfer *t, const struct capif_call *call)
{
    char type[160];

    if (call->content_type != NULL) {
        snprintf(type, sizeof(type), "Content-Type: %s", call->content_type);
        if (!add_header(t, type))
            return false;
    }
    if (call->upload == NULL && call->content_type == NULL)
        return curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, call->method)
               == CURLE_OK;
    if (!add_header(t, "Expect:"))
        return false;
    if (call->upload != NULL)
        return set_upload(t, call->upload)
               && curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, call->method)
                      == CURLE_OK;
    return curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)call->body_len)
               == CURLE_OK
           && curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS,
                               call->body_len > 0 ? call->body : "")
                  == CURLE_OK
           && curl_easy_setopt(t->easy, CURLOPT_CUSTOMREQUEST, call->method)
                  == CURLE_OK;
}

/*
 * No connection from before the last renewal.  libcurl counts a connection's
 * age in whole seconds, and so do we: at first we take none at all.
 */
static bool set_age(struct capif_transfer *t)
{
    time_t since;

    if (!t->client->renewed)
        return true;
    since = seconds() - t->client->renewed_at;
    if (since < 3)
        return curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L) == CURLE_OK;
    return curl_easy_setopt(t->easy, CURLOPT_MAXLIFETIME_CONN, (long)since - 2)
           == CURLE_OK;
}

static bool set_up(struct capif_transfer *t, const struct capif_call *call)
{
    char to[CONNECT_TO];
    bool ok = true;

#define SET(opt, value) ok = ok && curl_easy_setopt(t->easy, opt, value) == 0
    SET(CURLOPT_URL, call->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    if (call->stream != NULL) { /* no end to it, but it must go on */
        SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
        SET(CURLOPT_LOW_SPEED_TIME, (call->timeout_ms + 999) / 1000);
    } else {
        SET(CURLOPT_TIMEOUT_MS, call->timeout_ms);
    }
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        call->timeout_ms < CONNECT_MS ? call->timeout_ms : CONNECT_MS);
    SET(CURLOPT_ERRORBUFFER, t->error);
    SET(CURLOPT_PRIVATE, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
    SET(CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
    SET(CURLOPT_SSL_CTX_DATA, t);
    ok = ok && set_age(t);
    if (call->psk != NULL) { /* there is no certificate to look at */
        SET(CURLOPT_SSL_VERIFYPEER, 0L);
        SET(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (call->ca_file != NULL) {
        SET(CURLOPT_CAINFO, call->ca_file);
        SET(CURLOPT_CAPATH, NULL);
        SET(CURLOPT_CA_CACHE_TIMEOUT, 0L); /* the file may change */
    }
    if (strcmp(call->method, "HEAD") == 0)
        SET(CURLOPT_NOBODY, 1L);
    if (call->address != NULL) {
        snprintf(to, sizeof(to), "::%s", call->address);
        t->connect_to = curl_slist_append(NULL, to);
        ok = ok && t->connect_to != NULL;
        SET(CURLOPT_CONNECT_TO, t->connect_to);
    }
    for (size_t i = 0; call->headers != NULL && call->headers[i] != NULL; i++)
        ok = ok && add_header(t, call->headers[i]);
    ok = ok && set_body(t, call);
    SET(CURLOPT_HTTPHEADER, t->headers);
#undef SET
    return ok;
}

struct capif_transfer *capif_client_send(struct capif_client *c,
                                         const struct capif_call *call)
{
    struct capif_transfer *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->client = c;
    t->psk = call->psk;
    t->tls = call->tls;
    t->stream = call->stream;
    t->done = call->done;
    t->arg = call->arg;
    t->body_max = call->answer_max;
    t->next = c->transfers;
    if (t->next != NULL)
        t->next->prev = t;
    c->transfers = t;
    if (call->cred != NULL && !capif_credentials_ref(call->cred, &t->cred)) {
        transfer_free(t);
        return NULL;
    }
    if ((t->easy = curl_easy_init()) == NULL || !set_up(t, call)
        || curl_multi_add_handle(c->multi, t->easy) != CURLM_OK) {
        transfer_free(t);
        return NULL;
    }
    return t;
}

void capif_transfer_cancel(struct capif_transfer *t)
{
    if (t != NULL)
        transfer_free(t);
}

void capif_transfer_resume(struct capif_transfer *t)
{
    t->paused = false;
    (void)curl_easy_pause(t->easy, t->hungry ? CURLPAUSE_SEND : CURLPAUSE_CONT);
}

void capif_transfer_more(struct capif_transfer *t)
{
    if (!t->hungry)
        return;
    t->hungry = false;
    (void)curl_easy_pause(t->easy, t->paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

const char *capif_transfer_header(struct capif_transfer *t, const char *name)
{
    struct curl_header *h;

    return curl_easy_header(t->easy, name, 0, CURLH_HEADER, -1, &h) == CURLHE_OK
               ? h->value
               : NULL;
}
