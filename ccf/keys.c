/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose signature a token has: our own keys, and those of partners, which are
 * the ones of the file that the configuration names and the ones that the
 * partner itself published when it was asked last, over CAPIF-6e (6.24.2.2.2
 * step 7; design 10, OQ-18).
 */
#include "oauth.h"

#include "log.h"
#include "store_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_SECONDS 5 /* between fetches because of unknown kids */

/* A fetch, and the signature that waits for it; fn NULL: none does. */
struct fetch {
    struct ccf_worker *w;
    const struct ccf_partner *partner;
    const struct capif_jws *jws; /* borrowed from who waits */
    ccf_signature_fn *fn;
    void *arg;
};

json_t *ccf_keys_of(struct ccf_worker *w, const struct ccf_partner *partner)
{
    json_t *fetched = NULL, *keys;

    if (partner->jwks_fetch)
        (void)ccf_store_jwks_get(w->store, partner->ccf_id, &fetched);
    keys = ccf_jwks_union(partner->jwks, fetched);
    json_decref(fetched);
    return keys;
}

/* -1: no key of that kid. */
static int holds(const struct capif_jws *jws, const json_t *jwks)
{
    EVP_PKEY *key = capif_jwks_find(jwks, jws->kid);
    int ok = key != NULL ? capif_jws_verify(jws, key) : -1;

    EVP_PKEY_free(key);
    return ok;
}

static int partner_holds(struct ccf_worker *w, const struct ccf_partner *p,
                         const struct capif_jws *jws)
{
    json_t *jwks = ccf_keys_of(w, p);
    int ok = holds(jws, jwks);

    json_decref(jwks);
    return ok;
}

/* ---- fetching ---- */

static void take(struct ccf_worker *w, const struct ccf_partner *p,
                 const struct capif_answer *a)
{
    struct capif_reader reader = { 0 };
    json_t *doc = NULL, *jwks;
    char n[16];

    if (a->status == 200)
        doc = capif_json_parse(a->body, a->body_len, &reader);
    jwks = ccf_jwks_usable(doc);
    snprintf(n, sizeof(n), "%zu",
             json_array_size(json_object_get(jwks, "keys")));
    if (strcmp(n, "0") == 0) {
        capif_log("partner-keys-failed", "partner", p->ccf_id, "why",
                  a->error != NULL ? a->error : "no key in the answer", NULL);
    } else if (ccf_store_jwks_put(w->store, p->ccf_id, jwks) == CCF_STORE_OK) {
        capif_log("partner-keys", "partner", p->ccf_id, "keys", n, NULL);
    }
    json_decref(jwks);
    json_decref(doc);
}

static void on_jwks(const struct capif_answer *a, void *arg)
{
    struct fetch *f = arg;

    take(f->w, f->partner, a);
    if (f->fn != NULL)
        f->fn(partner_holds(f->w, f->partner, f->jws) == 1 ? CCF_SIGNATURE_GOOD
                                                           : CCF_SIGNATURE_BAD,
              f->arg);
    free(f);
}

/* false: not now, since somebody else does, or the store is away. */
static bool fetch(struct ccf_worker *w, const struct fetch *what,
                  size_t seconds)
{
    const struct ccf_partner *p = what->partner;
    struct fetch *f;

    if (ccf_store_jwks_claim(w->store, p->ccf_id, time(NULL), seconds)
            != CCF_STORE_OK
        || (f = malloc(sizeof(*f))) == NULL)
        return false;
    *f = *what;
    if (ccf_partner_call(w, p, "GET", "/.well-known/jwks.json", NULL, on_jwks,
                         f))
        return true;
    free(f);
    return false;
}

void ccf_keys_tick(struct ccf_worker *w)
{
    time_t now = time(NULL);

    for (size_t i = 0; i < w->ccf->n_partners; i++) {
        const struct ccf_partner *p = &w->ccf->partners[i];
        const struct fetch what = { .w = w, .partner = p };

        if (!p->jwks_fetch || now < w->keys_due[i])
            continue;
        w->keys_due[i] = now + 1 + (time_t)p->jwks_interval / 60;
        (void)fetch(w, &what, p->jwks_interval);
    }
}

/* ---- a signature ---- */

void ccf_reply_keys_later(struct capif_req *req)
{
    capif_req_set_header(req, "Retry-After", "1");
    capif_reply_problem(req, 503, NULL,
                        "the partner's keys are being asked for");
}

void ccf_signature_check(struct ccf_worker *w, const struct capif_jws *jws,
                         const struct ccf_partner *partner,
                         ccf_signature_fn *fn, void *arg)
{
    const struct fetch what = { w, partner, jws, fn, arg };
    bool fetches = partner != NULL && partner->jwks_fetch;
    int ok = 0;

    if (jws->kid != NULL)
        ok = partner != NULL ? partner_holds(w, partner, jws)
                             : holds(jws, w->ccf->jwks);
    if (ok < 0 && fetches && fetch(w, &what, UNKNOWN_SECONDS))
        return;
    fn(ok == 1             ? CCF_SIGNATURE_GOOD
       : ok < 0 && fetches ? CCF_SIGNATURE_LATER
                           : CCF_SIGNATURE_BAD,
       arg);
}
