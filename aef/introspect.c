/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking this AEF's CCF about a token, RFC 7662 (S1 6.24.2.2.2 step 7, design
 * 10, OQ-13).  What it says is kept for a while, by a hash of the token; it
 * is asked once at a time about the same one by each worker.
 */
#include "aef.h"

#include "log.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VERDICTS         4096 /* a power of two */
#define NEGATIVE_SECONDS 5
#define HOP_MS           5000L
#define ANSWER_MAX       65536
#define FORM             "application/x-www-form-urlencoded"

struct verdict {
    char hash[44];
    bool active;
    unsigned long long asked;
    time_t until;
};

/* A place for each hash: another token may take it, nothing else. */
struct aef_verdicts {
    pthread_mutex_t lock;
    struct verdict slots[VERDICTS]; /* guarded by lock */
};

/* Somebody who waits for an answer. */
struct waiter {
    struct waiter *next;
    aef_verdict_fn *fn;
    void *arg;
};

struct aef_inquiry {
    struct aef_inquiry *next;
    struct aef_worker *w;
    char hash[44];
    unsigned long long asked; /* aef_denied_count() at its start */
    struct waiter *waiters;
};

struct aef_verdicts *aef_verdicts_new(void)
{
    struct aef_verdicts *v = calloc(1, sizeof(*v));

    if (v != NULL)
        pthread_mutex_init(&v->lock, NULL);
    return v;
}

void aef_verdicts_free(struct aef_verdicts *v)
{
    if (v == NULL)
        return;
    pthread_mutex_destroy(&v->lock);
    free(v);
}

/* The hash is of the attacker's choice, but costs him a token each. */
static struct verdict *slot_of(struct aef_verdicts *v, const char *hash)
{
    unsigned n = 5381;

    for (const char *p = hash; *p != '\0'; p++)
        n = n * 33 + (unsigned char)*p;
    return &v->slots[n & (VERDICTS - 1)];
}

bool aef_verdict_find(struct aef_verdicts *v, const char *hash, time_t now,
                      bool *active, unsigned long long *asked)
{
    struct verdict *slot;
    bool found;

    pthread_mutex_lock(&v->lock);
    slot = slot_of(v, hash);
    found = strcmp(slot->hash, hash) == 0 && slot->until > now;
    if (found) {
        *active = slot->active;
        *asked = slot->asked;
    }
    pthread_mutex_unlock(&v->lock);
    return found;
}

void aef_verdict_keep(struct aef_verdicts *v, const char *hash, bool active,
                      unsigned long long asked, time_t until)
{
    struct verdict *slot;

    pthread_mutex_lock(&v->lock);
    slot = slot_of(v, hash);
    strcpy(slot->hash, hash);
    slot->active = active;
    slot->asked = asked;
    slot->until = until;
    pthread_mutex_unlock(&v->lock);
}

/* ---- asking ---- */

static void inquiry_end(struct aef_inquiry *q, enum aef_verdict verdict)
{
    struct aef_inquiry **p = &q->w->inquiries;
    struct waiter *waiter;

    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    while ((waiter = q->waiters) != NULL) {
        q->waiters = waiter->next;
        waiter->fn(verdict, waiter->arg);
        free(waiter);
    }
    free(q);
}

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct aef_inquiry *q = arg;
    struct aef *aef = q->w->aef;
    struct capif_reader reader = { 0 };
    json_t *doc = NULL;
    char status[16];
    const json_t *said;
    enum aef_verdict verdict = AEF_UNDECIDED;

    if (a->status == 200)
        doc = capif_json_parse(a->body, a->body_len, &reader);
    said = json_object_get(doc, "active");
    if (json_is_boolean(said)) {
        verdict = json_is_true(said) ? AEF_ACTIVE : AEF_INACTIVE;
        aef_verdict_keep(
            aef->verdicts, q->hash, verdict == AEF_ACTIVE, q->asked,
            time(NULL)
                + (verdict == AEF_ACTIVE ? (time_t)aef->info_seconds
                                         : NEGATIVE_SECONDS));
    } else {
        snprintf(status, sizeof(status), "%d", a->status);
        capif_log("ccf-failed", "status", status, "why", a->error, NULL);
    }
    json_decref(doc);
    inquiry_end(q, verdict);
}

static struct aef_inquiry *inquiry_start(struct aef_worker *w,
                                         const char *token, const char *hash)
{
    struct aef_inquiry *q = calloc(1, sizeof(*q));
    size_t room = strlen(token) + sizeof("token=");
    char *body = malloc(room), url[1024];
    struct capif_call call = {
        .method = "POST",
        .url = url,
        .address = w->aef->ccf_address,
        .cred = &w->aef->cred,
        .ca_file = w->aef->ca_file,
        .content_type = FORM,
        .body = body,
        .timeout_ms = HOP_MS,
        .answer_max = ANSWER_MAX,
        .done = on_answer,
        .arg = q,
    };

    if (q != NULL && body != NULL) {
        q->w = w;
        q->asked = aef_denied_count(w->aef->denied);
        strcpy(q->hash, hash);
        /* A JWS has no character that a form would encode. */
        call.body_len = (size_t)snprintf(body, room, "token=%s", token);
        snprintf(url, sizeof(url), "%s/oauth/introspect", w->aef->ccf_url);
    }
    if (q == NULL || body == NULL
        || capif_client_send(w->client, &call) == NULL) {
        free(q);
        q = NULL;
    } else {
        q->next = w->inquiries;
        w->inquiries = q;
    }
    if (body != NULL)
        OPENSSL_cleanse(body, room);
    free(body);
    return q;
}

/* Does what the CCF was asked then still hold? */
static bool holds(const struct aef_worker *w, const struct capif_identity *who,
                  unsigned long long asked)
{
    return !aef_denied_since(w->aef->denied, who->ccf_id, who->id, NULL, asked);
}

void aef_verdict_get(struct aef_worker *w, const struct capif_identity *who,
                     const char *token, aef_verdict_fn *fn, void *arg)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    struct aef_inquiry *q = NULL;
    unsigned long long asked;
    char hash[44];
    bool active;

    if (waiter == NULL || !capif_sha256_b64url(token, strlen(token), hash)) {
        free(waiter);
        fn(AEF_UNDECIDED, arg);
        return;
    }
    if (aef_verdict_find(w->aef->verdicts, hash, time(NULL), &active, &asked)
        && holds(w, who, asked)) {
        free(waiter);
        fn(active ? AEF_ACTIVE : AEF_INACTIVE, arg);
        return;
    }
    for (q = w->inquiries; q != NULL; q = q->next)
        if (strcmp(q->hash, hash) == 0 && holds(w, who, q->asked))
            break;
    if (q == NULL && (q = inquiry_start(w, token, hash)) == NULL) {
        free(waiter);
        fn(AEF_UNDECIDED, arg);
        return;
    }
    waiter->fn = fn;
    waiter->arg = arg;
    waiter->next = q->waiters;
    q->waiters = waiter;
}
