/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching the partners' CRLs over CAPIF-6e, at start, after SIGHUP and every
 * crl-interval seconds.  A partner that has none to give, or none that holds,
 * is logged; the last one that held stays in force.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "store_crl.h"

#include <stdio.h>
#include <stdlib.h>

struct ccf_crl_fetch {
    struct ccf_worker *w;
    struct event *timer;
};

/* One request under way. */
struct fetch {
    struct ccf_worker *w;
    const struct ccf_partner *partner; /* held by the call */
    X509 *ca;
    char id[CAPIF_CA_ID];
};

static void fetch_free(struct fetch *f)
{
    X509_free(f->ca);
    free(f);
}

/* Nothing new; is what we have still good? */
static void stale(const struct fetch *f, const char *why)
{
    struct ccf_crl crl = { 0 };
    const char *state = "none";

    if (ccf_store_crl_get(f->w->store, f->partner->ccf_id, f->id, &crl)
        == CCF_STORE_OK)
        state = crl.until < time(NULL) ? "stale" : "good";
    ccf_crl_clear(&crl);
    capif_log("crl-fetch-failed", "partner", f->partner->ccf_id, "ca", f->id,
              "why", why, "last", state, NULL);
}

static void take(const struct fetch *f, const struct capif_answer *a)
{
    struct capif_crl_spec spec = { 0 };
    X509_CRL *crl = capif_crl_parse(a->body, a->body_len, f->ca, &spec);
    struct ccf_crl row = { .number = spec.number,
                           .until = spec.until,
                           .fresh = spec.until };
    char number[24];

    if (crl == NULL) {
        stale(f, "not a CRL by the partner's CA");
        return;
    }
    row.der = capif_b64url(a->body, a->body_len);
    snprintf(number, sizeof(number), "%lld", (long long)spec.number);
    if (row.der != NULL
        && ccf_store_crl_put(f->w->store, f->partner->ccf_id, f->id, &row)
               == CCF_STORE_OK)
        capif_log("crl-fetched", "partner", f->partner->ccf_id, "ca", f->id,
                  "number", number, NULL);
    else if (spec.until < time(NULL))
        stale(f, "the partner's own is no newer");
    ccf_crl_clear(&row);
    X509_CRL_free(crl);
}

static void on_crl(const struct capif_answer *a, void *arg)
{
    struct fetch *f = arg;
    char why[64];

    if (a->status == 200) {
        take(f, a);
    } else {
        snprintf(why, sizeof(why), "answer %d", a->status);
        stale(f, a->status == 0 ? a->error : why);
    }
    fetch_free(f);
}

static void fetch(struct ccf_worker *w, const struct ccf_partner *p, X509 *ca)
{
    struct fetch *f = calloc(1, sizeof(*f));
    char path[CAPIF_CCF_ID_MAX + CAPIF_CA_ID + 8];

    if (f == NULL || !capif_ca_id(ca, f->id)) {
        free(f);
        return;
    }
    f->w = w;
    f->partner = p;
    X509_up_ref(ca);
    f->ca = ca;
    snprintf(path, sizeof(path), "/crl/%s/%s", p->ccf_id, f->id);
    if (!ccf_partner_call(w, p, "GET", path, NULL, on_crl, f))
        fetch_free(f);
}

/* What the operator says is revoked is so from now on. */
static void revoke_listed(struct ccf_worker *w)
{
    const struct ccf *ccf = w->ccf;
    char ca[CAPIF_CA_ID], serial[CAPIF_SERIAL];

    for (int i = 0; i < sk_X509_num(ccf->revoked); i++) {
        X509 *cert = sk_X509_value(ccf->revoked, i);
        X509 *issuer = ccf_issuer_of(ccf, cert);

        if (issuer != NULL && capif_ca_id(issuer, ca)
            && capif_cert_serial(cert, serial)
            && ccf_store_revoke(w->store, ccf->ccf_id, ca, serial,
                                capif_cert_end(cert))
                   == CCF_STORE_OK)
            capif_log("revoked", "ca", ca, "serial", serial, NULL);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct ccf_crl_fetch *c = arg;
    const struct ccf *ccf = c->w->ccf;
    const struct timeval next = { (time_t)ccf->crl_seconds, 0 };

    (void)fd;
    (void)what;
    revoke_listed(c->w); /* again: the store may not have been there */
    for (size_t i = 0; i < ccf->n_partners; i++)
        for (int k = 0; k < sk_X509_num(ccf->partners[i].ca_certs); k++)
            fetch(c->w, &ccf->partners[i],
                  sk_X509_value(ccf->partners[i].ca_certs, k));
    (void)event_add(c->timer, &next);
}

void ccf_crl_fetch_begin(struct ccf_crl_fetch *c)
{
    const struct timeval now = { 0, 0 };

    if (c != NULL)
        (void)event_add(c->timer, &now);
}

struct ccf_crl_fetch *ccf_crl_fetch_new(struct event_base *base,
                                        struct ccf_worker *w)
{
    struct ccf_crl_fetch *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->w = w;
    if ((c->timer = evtimer_new(base, on_timer, c)) == NULL) {
        free(c);
        return NULL;
    }
    ccf_crl_fetch_begin(c);
    return c;
}

void ccf_crl_fetch_free(struct ccf_crl_fetch *c)
{
    if (c == NULL)
        return;
    event_free(c->timer);
    free(c);
}
