/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AEFPSK at the invoker's CCF (TS 33.122 A.1, design 6 and 7).  What is kept
 * is KEY, wrapped, and P1; the PSK is derived in the token when an AEF asks,
 * wrapped there for that AEF, and destroyed.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "store_revoke.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE_SECONDS 30 /* of KEY and PSK: from unwrapping to wrapping */

/* P0: the interface's identifying members, RFC 8785. */
static char *p0_of(const json_t *interface)
{
    return json_dumps(interface, JSON_COMPACT | JSON_SORT_KEYS);
}

static json_t *note_doc(const struct capif_session_kept *kept,
                        const struct capif_identity *invoker,
                        const json_t *entry, json_int_t exp)
{
    char *p1 = capif_b64url(kept->p1, kept->p1_len);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:O, s:s, s:s, s:s, s:I}", "ccfId", invoker->ccf_id,
        "apiInvokerId", invoker->id, "aefId", ccf_vs_str(entry, "aefId"),
        "interface",
        json_object_get(json_object_get(entry, CCF_VS), "interface"), "key",
        kept->wrapped, "p1", p1, "binding", kept->binding, "exp", exp);

    free(p1);
    return doc;
}

/* How to know the AEF's certificate: what its own CCF has said of it. */
static json_t *anchors_of(const json_t *entry)
{
    const char *text =
        json_string_value(json_object_get(entry, "authenticationInfo"));
    json_t *info = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *anchors = json_object_get(info, "caCertificates");

    anchors = json_is_array(anchors) ? json_incref(anchors) : json_array();
    json_decref(info);
    return anchors;
}

/* For the invoker (design 10, OQ-4). */
static bool complete(json_t *entry, const struct capif_session_kept *kept,
                     const struct capif_identity *invoker, const char *psk_id,
                     time_t now, size_t seconds)
{
    json_t *vs = json_object_get(entry, CCF_VS);
    char identity[2 * CAPIF_CCF_ID_MAX + CAPIF_ID_MAX + 3], until[24], *text;
    time_t end = now + (time_t)seconds;
    struct tm tm;
    json_t *info;

    gmtime_r(&end, &tm);
    strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(identity, sizeof(identity), "%s/%s/%s", invoker->ccf_id,
             invoker->id, psk_id);
    info = json_pack("{s:i, s:o, s:s, s:s, s:s, s:O, s:s, s:I}", "v", 1,
                     "caCertificates", anchors_of(entry), "pskId", psk_id,
                     "pskIdentity", identity, "binding", kept->binding,
                     "interface", json_object_get(vs, "interface"), "notAfter",
                     until, "expiresIn", (json_int_t)seconds);
    text = info != NULL ? json_dumps(info, JSON_COMPACT) : NULL;
    json_decref(info);
    if (text == NULL)
        return false;
    json_object_set_new(entry, "authenticationInfo", json_string(text));
    json_object_set_new(vs, "pskId", json_string(psk_id));
    free(text);
    return true;
}

/* A connection may be older than the KEKs that there are now. */
static bool is_under(const struct ccf *ccf, const char *kek)
{
    char id[44];

    for (const char *const *uri = ccf->kek_uris; *uri != NULL; uri++)
        if (capif_kek_id(*uri, id) && strcmp(id, kek) == 0)
            return true;
    return false;
}

bool ccf_psk_note(struct ccf_worker *w, const struct capif_session_kept *kept,
                  const struct capif_identity *invoker, json_t *entry)
{
    char psk_id[CAPIF_ID_MAX + 1];
    time_t now = time(NULL);
    json_t *doc;
    bool ok;

    if (kept == NULL || kept->wrapped == NULL) {
        capif_log("psk-failed", "invoker", invoker->id, "why",
                  "this CAPIF-1e session has no KEY", NULL);
        return false;
    }
    if (!is_under(w->ccf, kept->kek)) {
        capif_log("psk-failed", "invoker", invoker->id, "why",
                  "this connection is older than all KEKs: make a new one",
                  NULL);
        return false;
    }
    doc = note_doc(kept, invoker, entry,
                   (json_int_t)(now + (time_t)w->ccf->psk_seconds));
    ok = doc != NULL && ccf_make_id("psk-", psk_id)
         && ccf_store_psk_add(w->store, psk_id,
                              now + (time_t)w->ccf->psk_seconds, kept->kek, doc)
                == CCF_STORE_OK
         && complete(entry, kept, invoker, psk_id, now, w->ccf->psk_seconds);
    json_decref(doc);
    return ok;
}

/* ---- for the AEF ---- */

static const struct ccf_transport *transport_of(
    const struct ccf_transports *transports, const char *aef_id)
{
    for (size_t i = 0; i < transports->n; i++)
        if (strcmp(transports->list[i].aef_id, aef_id) == 0)
            return &transports->list[i];
    return NULL;
}

bool ccf_psk_key(const struct ccf *ccf, const char *wrapped, unsigned seconds,
                 uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len)
{
    for (const char *const *uri = ccf->kek_uris; *uri != NULL; uri++) {
        if (capif_seal_unwrap(*uri, wrapped, seconds, out, len)) {
            ERR_clear_error(); /* of the KEKs that it is not under */
            return true;
        }
    }
    return false;
}

/* Derive in the token and wrap there; NULL and OpenSSL's queue. */
static char *wrapped_psk(const struct ccf *ccf, const json_t *note,
                         const struct ccf_transport *t)
{
    const char *key = json_string_value(json_object_get(note, "key"));
    const char *p1_text = json_string_value(json_object_get(note, "p1"));
    char *p0 = p0_of(json_object_get(note, "interface")), *ek = NULL;
    uint8_t handle[CAPIF_HANDLE_LEN_MAX], psk[CAPIF_HANDLE_LEN], *p1 = NULL;
    size_t len = 0, p1_len = 0;

    if (key != NULL && p1_text != NULL && p0 != NULL
        && capif_b64url_decode(p1_text, strlen(p1_text), &p1, &p1_len)
        && ccf_psk_key(ccf, key, HANDLE_SECONDS, handle, &len)) {
        if (capif_seal_aefpsk(handle, len, p0, p1, p1_len, HANDLE_SECONDS,
                              psk)) {
            ek = capif_seal_wrap_for(t->key, psk);
            capif_seal_release(psk, sizeof(psk));
        }
        capif_seal_release(handle, len);
    }
    free(p1);
    free(p0);
    return ek;
}

static bool is_for(const json_t *note, const char *invoker_id,
                   const char *aef_id)
{
    const char *invoker =
        json_string_value(json_object_get(note, "apiInvokerId"));
    const char *aef = json_string_value(json_object_get(note, "aefId"));

    return invoker != NULL && strcmp(invoker, invoker_id) == 0 && aef != NULL
           && strcmp(aef, aef_id) == 0;
}

/* What is kept of the entry's PSK, and when the envelope will be issued. */
static enum ccf_store_status find_note(struct ccf_worker *w,
                                       const struct capif_identity *invoker,
                                       const json_t *entry, json_t **note,
                                       time_t *at)
{
    const char *psk_id = ccf_vs_str(entry, "pskId");
    enum ccf_store_status st = CCF_STORE_NOT_FOUND;

    /* First: what is revoked from now on ends the envelope. */
    if (psk_id != NULL)
        st = ccf_store_issue_time(w->store, invoker, at);
    if (st == CCF_STORE_OK)
        st = ccf_store_psk_get(w->store, psk_id, note);
    if (st == CCF_STORE_OK
        && !is_for(*note, invoker->id, ccf_vs_str(entry, "aefId")))
        st = CCF_STORE_NOT_FOUND;
    return st;
}

char *ccf_psk_envelope(struct ccf_worker *w,
                       const struct ccf_transports *transports,
                       const struct capif_identity *invoker,
                       const json_t *entry, struct ccf_refusal *no)
{
    const char *psk_id = ccf_vs_str(entry, "pskId");
    const char *aef_id = ccf_vs_str(entry, "aefId");
    const struct ccf_transport *t = transport_of(transports, aef_id);
    json_t *note = NULL, *claims;
    char *ek = NULL, *jws = NULL;
    enum ccf_store_status st;
    time_t at;

    *no = (struct ccf_refusal){ .status = 503 };
    if (t == NULL) {
        no->status = 403;
        snprintf(no->why, sizeof(no->why), "no transport key of %s", aef_id);
    } else if ((st = find_note(w, invoker, entry, &note, &at))
               == CCF_STORE_ERROR) {
        snprintf(no->why, sizeof(no->why), "the store is not available");
    } else if (st != CCF_STORE_OK) {
        no->status = 404;
        snprintf(no->why, sizeof(no->why), "the PSK has expired");
    } else if ((ek = wrapped_psk(w->ccf, note, t)) == NULL) {
        capif_log_ssl("psk-failed", "psk", psk_id, NULL);
        snprintf(no->why, sizeof(no->why), "the HSM is not available");
    } else {
        claims = json_pack(
            "{s:s, s:s, s:s, s:O, s:s, s:I, s:O, s:{s:s, s:s, s:s}}", "ccfId",
            w->ccf->ccf_id, "apiInvokerId", invoker->id, "aefId", aef_id,
            "interface", json_object_get(note, "interface"), "pskId", psk_id,
            "iat", (json_int_t)at, "exp", json_object_get(note, "exp"), "wrap",
            "alg", "RSA-OAEP", "kid", t->kid, "ek", ek);
        jws = capif_jws_sign(claims, "psk-envelope+jwt", w->ccf->kid,
                             w->ccf->jws_key);
        json_decref(claims);
        if (jws == NULL)
            capif_log_ssl("sign-failed", NULL);
        else
            capif_log("psk-released", "psk", psk_id, "invoker", invoker->id,
                      "aef", aef_id, NULL);
    }
    free(ek);
    json_decref(note);
    return jws;
}
