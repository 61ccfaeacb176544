/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KEYs in the store that are wrapped under an older KEK are brought under the
 * first one, a few at a time, so that the older one can be taken out of the
 * configuration and the token.  Several ccfd may do it at the same time: a
 * row changes only if it is still under the KEK that it was read with.
 */
#include "ccf.h"

#include "log.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_US       10000
#define REST_S         30 /* then again: others may not have the new KEK yet */
#define HANDLE_SECONDS 30

struct ccf_rewrap {
    struct ccf_worker *w;
    struct event *timer;
    size_t at;                    /* which KEK: the number in kek_uris */
    char after[CAPIF_ID_MAX + 1]; /* the last PSK that was looked at */
    size_t done, failed;          /* of this KEK, in this pass */
    bool said[CCF_KEYS_MAX];      /* that none is left under it */
};

static void wait_for(struct ccf_rewrap *r, long seconds, long us)
{
    const struct timeval t = { seconds, us };

    (void)event_add(r->timer, &t);
}

static bool rewrap(struct ccf_rewrap *r, const char *psk_id, const char *was,
                   const char *kek, json_t *doc)
{
    const struct ccf *ccf = r->w->ccf;
    const char *key = json_string_value(json_object_get(doc, "key"));
    uint8_t handle[CAPIF_HANDLE_LEN_MAX];
    char *wrapped = NULL;
    size_t len = 0;

    if (key != NULL && ccf_psk_key(ccf, key, HANDLE_SECONDS, handle, &len)) {
        wrapped = capif_seal_wrap(ccf->kek_uri, handle, len);
        capif_seal_release(handle, len);
    }
    if (wrapped == NULL)
        return false;
    json_object_set_new(doc, "key", json_string(wrapped));
    free(wrapped);
    if (ccf_store_psk_rewrap(r->w->store, psk_id, was, kek, doc)
        == CCF_STORE_ERROR)
        return false;
    r->done++;
    return true;
}

/* A few; false: that was all of this KEK. */
static bool batch(struct ccf_rewrap *r, const char *was, const char *kek)
{
    json_t *docs = NULL, *doc;
    const char *psk_id;
    size_t n;

    if (ccf_store_psk_under(r->w->store, was, r->after, &docs)
        != CCF_STORE_OK) {
        r->failed++;
        return false;
    }
    json_object_foreach(docs, psk_id, doc)
    {
        if (!rewrap(r, psk_id, was, kek, doc) && r->failed++ == 0)
            capif_log_ssl("rewrap-failed", "psk", psk_id, NULL);
        ERR_clear_error();
        if (strcmp(psk_id, r->after) > 0)
            snprintf(r->after, sizeof(r->after), "%s", psk_id);
    }
    n = json_object_size(docs);
    json_decref(docs);
    return n > 0;
}

/* What became of one KEK's. */
static void conclude(struct ccf_rewrap *r, const char *uri)
{
    char done[24], failed[24];

    snprintf(done, sizeof(done), "%zu", r->done);
    snprintf(failed, sizeof(failed), "%zu", r->failed);
    if (r->done > 0 || r->failed > 0)
        capif_log("rewrapped", "kek", uri, "count", done, "failed", failed,
                  NULL);
    if (r->failed == 0 && (r->done > 0 || !r->said[r->at])) {
        capif_log("kek-unused", "kek", uri, NULL);
        r->said[r->at] = true;
    }
    r->done = r->failed = 0;
    r->after[0] = '\0';
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ccf_rewrap *r = arg;
    const struct ccf *ccf = r->w->ccf;
    char was[44], kek[44];

    (void)fd;
    (void)what;
    if (ccf->kek_uri == NULL)
        return;
    if (ccf->kek_uris[r->at] == NULL) {
        r->at = 1;
        if (ccf->kek_uris[1] != NULL)
            wait_for(r, REST_S, 0);
        return;
    }
    if (!capif_kek_id(ccf->kek_uri, kek)
        || !capif_kek_id(ccf->kek_uris[r->at], was)) {
        capif_log_ssl("rewrap-failed", NULL);
    } else if (!batch(r, was, kek)) {
        conclude(r, ccf->kek_uris[r->at]);
        r->at++;
    }
    wait_for(r, 0, BATCH_US);
}

void ccf_rewrap_begin(struct ccf_rewrap *r)
{
    if (r == NULL)
        return;
    r->at = 1;
    r->after[0] = '\0';
    r->done = r->failed = 0;
    memset(r->said, 0, sizeof(r->said));
    wait_for(r, 0, BATCH_US);
}

struct ccf_rewrap *ccf_rewrap_new(struct event_base *base, struct ccf_worker *w)
{
    struct ccf_rewrap *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->w = w;
    if ((r->timer = evtimer_new(base, on_timer, r)) == NULL) {
        free(r);
        return NULL;
    }
    ccf_rewrap_begin(r);
    return r;
}

void ccf_rewrap_free(struct ccf_rewrap *r)
{
    if (r == NULL)
        return;
    event_free(r->timer);
    free(r);
}
