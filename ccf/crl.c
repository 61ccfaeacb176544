/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRLs: this CCF's, signed by its CA's key in the token and kept until they
 * change or half of their life is over; and the partners', as fetched by
 * crl_fetch.c, for those who ask and for ourselves.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "store_crl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES    5
#define CRLS_MAX (CCF_PARTNERS_MAX * 2)

/* ---- making ---- */

/* What is to be listed, signed; NULL: logged. */
static char *sign(const struct ccf *ccf, int ca, const json_t *list,
                  const struct capif_crl_spec *spec)
{
    X509_CRL *crl = capif_crl_new(spec, sk_X509_value(ccf->ca_certs, ca));
    const json_t *entry;
    uint8_t *der = NULL;
    size_t len = 0, i;
    char *text = NULL;
    bool ok = crl != NULL;

    json_array_foreach(list, i, entry)
    {
        ok = ok
             && capif_crl_add(
                 crl, json_string_value(json_array_get(entry, 0)),
                 (time_t)json_integer_value(json_array_get(entry, 1)));
    }
    if (ok && (der = capif_crl_sign(crl, ccf->ca_keys[ca], &len)) != NULL)
        text = capif_b64url(der, len);
    if (text == NULL)
        capif_log_ssl("crl-failed", NULL);
    OPENSSL_free(der);
    X509_CRL_free(crl);
    return text;
}

/* NOT_FOUND: somebody was faster, or another certificate was revoked. */
static enum ccf_store_status make(struct ccf_worker *w, int ca, const char *id,
                                  struct ccf_crl *out)
{
    struct ccf_crl was = { 0 }, now = { 0 };
    time_t t = time(NULL);
    json_t *list = NULL;
    enum ccf_store_status st =
        ccf_store_crl_begin(w->store, w->ccf->ccf_id, id, &was, &list);

    if (st != CCF_STORE_OK)
        return st;
    /* Later than all before, even if the store has forgotten those. */
    now.number = was.number >= t ? was.number + 1 : t;
    now.fresh = t + CCF_CRL_SECONDS / 2;
    now.until = t + CCF_CRL_SECONDS;
    now.der = sign(w->ccf, ca, list,
                   &(struct capif_crl_spec){ now.number, t, now.until });
    st = now.der != NULL
             ? ccf_store_crl_end(w->store, w->ccf->ccf_id, id, &was, &now)
             : CCF_STORE_ERROR;
    json_decref(list);
    ccf_crl_clear(&was);
    if (st == CCF_STORE_OK)
        *out = now;
    else
        ccf_crl_clear(&now);
    return st;
}

static enum ccf_store_status own_crl(struct ccf_worker *w, int ca,
                                     const char *id, struct ccf_crl *out)
{
    enum ccf_store_status st = CCF_STORE_NOT_FOUND;

    for (int i = 0; i < TRIES && st == CCF_STORE_NOT_FOUND; i++) {
        st = ccf_store_crl_get(w->store, w->ccf->ccf_id, id, out);
        if (st == CCF_STORE_OK && out->built == out->changes
            && time(NULL) < out->fresh)
            return st;
        if (st == CCF_STORE_OK)
            ccf_crl_clear(out);
        if (st != CCF_STORE_ERROR)
            st = make(w, ca, id, out);
    }
    return st == CCF_STORE_NOT_FOUND ? CCF_STORE_CHANGED : st;
}

/* The number of the CA with that id (NULL: the first) and a key, or -1. */
static int own_ca(const struct ccf *ccf, const char *id, char out[CAPIF_CA_ID])
{
    for (int i = 0; i < CCF_KEYS_MAX && i < sk_X509_num(ccf->ca_certs); i++)
        if (ccf->ca_keys[i] != NULL
            && capif_ca_id(sk_X509_value(ccf->ca_certs, i), out)
            && (id == NULL || strcmp(id, out) == 0))
            return i;
    return -1;
}

/* ---- GET /crl/{ccfId} and /crl/{ccfId}/{CA} ---- */

static void answer(struct capif_req *req, struct ccf_crl *crl)
{
    uint8_t *der = NULL;
    size_t len = 0;

    if (!capif_b64url_decode(crl->der, strlen(crl->der), &der, &len)) {
        capif_reply_internal(req, "crl-damaged");
    } else {
        capif_req_set_header(req, "Content-Type", CAPIF_CRL_TYPE);
        capif_req_set_header(req, "Cache-Control", "no-cache");
        capif_reply_start(req, 200, (int64_t)len);
        (void)capif_reply_chunk(req, der, len);
        capif_reply_end(req, true);
    }
    free(der);
    ccf_crl_clear(crl);
}

void ccf_get_crl(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *ccf_id = capif_req_param(req, 0);
    const char *want = capif_req_param(req, 1);
    const struct ccf_partner *p = ccf_partner_find(w->ccf, ccf_id);
    enum ccf_store_status st = CCF_STORE_NOT_FOUND;
    struct ccf_crl crl = { 0 };
    char id[CAPIF_CA_ID];
    int ca;

    if (strcmp(ccf_id, w->ccf->ccf_id) == 0) {
        if ((ca = own_ca(w->ccf, want, id)) >= 0)
            st = own_crl(w, ca, id, &crl);
    } else if (p != NULL
               && (want != NULL
                   || capif_ca_id(sk_X509_value(p->ca_certs, 0), id))) {
        st =
            ccf_store_crl_get(w->store, ccf_id, want != NULL ? want : id, &crl);
    }
    if (st == CCF_STORE_OK)
        answer(req, &crl);
    else
        ccf_reply_store(req, st == CCF_STORE_CHANGED ? CCF_STORE_ERROR : st);
}

/* ---- what partners have revoked ---- */

/* Lists as they were read last, each as long as the store has no newer. */
struct ccf_crls {
    struct {
        char ccf_id[CAPIF_CCF_ID_MAX + 1], ca[CAPIF_CA_ID];
        int64_t number;
        X509_CRL *crl;
    } list[CRLS_MAX];
    size_t next; /* to be given up for another */
};

static X509_CRL *read_crl(struct ccf_worker *w, const char *ccf_id, X509 *ca,
                          const char *id, int64_t *number)
{
    struct capif_crl_spec spec;
    struct ccf_crl row = { 0 };
    X509_CRL *crl = NULL;
    uint8_t *der = NULL;
    size_t len = 0;

    if (ccf_store_crl_get(w->store, ccf_id, id, &row) != CCF_STORE_OK)
        return NULL;
    if (capif_b64url_decode(row.der, strlen(row.der), &der, &len))
        crl = capif_crl_parse(der, len, ca, &spec);
    if (crl == NULL)
        capif_log("crl-damaged", "ccf", ccf_id, "ca", id, NULL);
    *number = row.number;
    free(der);
    ccf_crl_clear(&row);
    return crl;
}

static X509_CRL *cached(struct ccf_worker *w, const char *ccf_id, X509 *ca,
                        const char *id, int64_t number)
{
    struct ccf_crls *crls = w->crls;
    size_t i = 0;

    while (i < CRLS_MAX
           && (strcmp(crls->list[i].ccf_id, ccf_id) != 0
               || strcmp(crls->list[i].ca, id) != 0))
        i++;
    if (i < CRLS_MAX && crls->list[i].crl != NULL
        && crls->list[i].number == number)
        return crls->list[i].crl;
    if (i == CRLS_MAX) {
        i = crls->next;
        crls->next = (i + 1) % CRLS_MAX;
    }
    X509_CRL_free(crls->list[i].crl);
    snprintf(crls->list[i].ccf_id, sizeof(crls->list[i].ccf_id), "%s", ccf_id);
    snprintf(crls->list[i].ca, sizeof(crls->list[i].ca), "%s", id);
    crls->list[i].crl = read_crl(w, ccf_id, ca, id, &crls->list[i].number);
    return crls->list[i].crl;
}

enum ccf_store_status ccf_revoked_there(struct ccf_worker *w,
                                        const char *ccf_id, X509 *ca,
                                        const X509 *cert)
{
    char id[CAPIF_CA_ID];
    int64_t number = 0;
    X509_CRL *crl;

    if (!capif_ca_id(ca, id)
        || ccf_store_crl_number(w->store, ccf_id, id, &number) != CCF_STORE_OK)
        return CCF_STORE_ERROR;
    if (number == 0) /* none was ever fetched */
        return CCF_STORE_OK;
    if ((crl = cached(w, ccf_id, ca, id, number)) == NULL)
        return CCF_STORE_ERROR;
    return capif_crl_lists(crl, cert) ? CCF_STORE_GONE : CCF_STORE_OK;
}

struct ccf_crls *ccf_crls_new(void)
{
    return calloc(1, sizeof(struct ccf_crls));
}

void ccf_crls_free(struct ccf_crls *crls)
{
    if (crls == NULL)
        return;
    for (size_t i = 0; i < CRLS_MAX; i++)
        X509_CRL_free(crls->list[i].crl);
    free(crls);
}
