/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT and PATCH (RFC 7396) of documents that their owners may change.
 */
#include "ccf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES   16
#define DOC_MAX (128 * 1024) /* patches must not make it grow without end */

struct ccf_member ccf_peer(const struct ccf_worker *w)
{
    struct ccf_member m = { .who = w->peer };

    strcpy(m.group_id, w->peer_group);
    strcpy(m.thumbprint, w->peer_thumbprint);
    return m;
}

bool ccf_own_group(struct capif_req *req, struct ccf_worker *w)
{
    const char *id = capif_req_param(req, 0);
    enum ccf_store_status st;
    json_t *doc = NULL;

    if (strcmp(id, w->peer_group) == 0)
        return true;
    st = ccf_store_group_get(w->store, id, &doc);
    json_decref(doc);
    if (st == CCF_STORE_OK)
        capif_reply_problem(req, 403, NULL, "not yours");
    else
        ccf_reply_store(req, st);
    return false;
}

void ccf_change_keeps(struct ccf_change *c, const char *name, const char *value)
{
    const json_t *v = json_object_get(c->body, name);
    const char *text = json_string_value(v);
    struct capif_at at = { NULL, "", &c->reader };

    if (v == NULL
        || (value != NULL && text != NULL && strcmp(text, value) == 0))
        return;
    snprintf(at.path, sizeof(at.path), "/%s", name);
    capif_complain(&at, "can't be set or changed");
}

unsigned ccf_features(json_t *doc, const char *name, unsigned ours,
                      unsigned used)
{
    const char *text = json_string_value(json_object_get(doc, name));
    size_t len = text != NULL ? strlen(text) : 0;
    unsigned long theirs =
        text != NULL ? strtoul(text + (len > 8 ? len - 8 : 0), NULL, 16) : used;
    unsigned both = ours & (unsigned)theirs;

    json_object_set_new(doc, name, json_sprintf("%x", both));
    return both;
}

void ccf_change_no_token(struct ccf_change *c)
{
    c->no.status = 503;
    snprintf(c->no.why, sizeof(c->no.why), "the HSM is not available");
}

bool ccf_change_complete(struct ccf_change *c, const struct ccf_resource *r)
{
    memset(&c->reader, 0, sizeof(c->reader));
    memset(&c->no, 0, sizeof(c->no));
    c->test = false;
    r->complete(c);
    if (c->no.status == 0 && c->reader.n == 0
        && json_dumpb(c->doc, NULL, 0, JSON_COMPACT) > DOC_MAX) {
        c->no.status = 413;
        snprintf(c->no.why, sizeof(c->no.why), "the document grows too large");
    }
    if (c->no.status == 503)
        capif_req_set_header(c->req, "Retry-After", "5");
    if (c->reader.n > 0)
        capif_reply_invalid(c->req, &c->reader);
    else if (c->no.status != 0)
        capif_reply_problem(c->req, c->no.status, c->no.cause, c->no.why);
    return c->reader.n == 0 && c->no.status == 0;
}

void ccf_change_accepted(struct ccf_change *c)
{
    capif_req_set_header(c->req, "Preference-Applied", "respond-async");
    capif_reply_empty(c->req, 202);
}

/* Once through; false: answered, and *st says nothing. */
static bool change_once(struct ccf_change *c, const struct ccf_resource *r,
                        enum ccf_store_status *st)
{
    json_decref(c->was);
    json_decref(c->doc);
    c->was = c->doc = NULL;
    if ((*st = r->get(c, &c->was)) != CCF_STORE_OK)
        return true;
    c->doc =
        c->patch ? capif_merge_patch(c->was, c->body) : json_deep_copy(c->body);
    if (c->doc == NULL) {
        capif_reply_internal(c->req, "out-of-memory");
        return false;
    }
    if (!ccf_change_complete(c, r))
        return false;
    *st = r->set(c);
    return true;
}

void ccf_change(struct capif_req *req, struct ccf_worker *w, const char *id,
                bool patch, const struct ccf_resource *r)
{
    struct ccf_change c = {
        .req = req, .w = w, .by = ccf_peer(w), .id = id, .patch = patch
    };
    enum ccf_store_status st = CCF_STORE_CHANGED;
    bool open = true;

    c.body = capif_req_json(req, patch ? "application/merge-patch+json"
                                       : "application/json");
    if (c.body == NULL)
        return;
    for (int i = 0; i < TRIES && open && st == CCF_STORE_CHANGED; i++)
        open = change_once(&c, r, &st);
    if (open && st == CCF_STORE_OK && c.async)
        ccf_change_accepted(&c);
    else if (open && st == CCF_STORE_OK)
        capif_reply_json(req, 200,
                         r->show != NULL ? r->show(&c) : json_incref(c.doc));
    else if (open)
        ccf_reply_store(req, st);
    json_decref(c.body);
    json_decref(c.was);
    json_decref(c.doc);
}

void ccf_change_group(struct capif_req *req, struct ccf_worker *w, bool patch,
                      const struct ccf_resource *r)
{
    if (ccf_own_group(req, w))
        ccf_change(req, w, capif_req_param(req, 0), patch, r);
}
