/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF-6e: asking another domain's CCF.
 */
#include "ccf.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX (8 * 1024 * 1024) /* a CRL of 200,000 */

/* A call under way holds the configuration that its partner is of. */
struct call {
    struct ccf *ccf;
    capif_answer_fn *done;
    void *arg;
};

static void on_answer(const struct capif_answer *answer, void *arg)
{
    struct call *call = arg;

    call->done(answer, call->arg);
    ccf_let_go(call->ccf);
    free(call);
}

bool ccf_partner_call(struct ccf_worker *w, const struct ccf_partner *partner,
                      const char *method, const char *path, const json_t *body,
                      capif_answer_fn *done, void *arg)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    struct call *held = calloc(1, sizeof(*held));
    char url[2048];
    const struct capif_call call = {
        .method = method,
        .url = url,
        .address = partner->address,
        .cred = &w->ccf->cred,
        .ca_file = partner->ca,
        .content_type = body != NULL ? "application/json" : NULL,
        .body = text,
        .body_len = text != NULL ? strlen(text) : 0,
        .timeout_ms = CCF_HOP_MS,
        .answer_max = ANSWER_MAX,
        .done = on_answer,
        .arg = held,
    };
    bool ok = held != NULL && (body == NULL || text != NULL);

    snprintf(url, sizeof(url), "%s%s", partner->url, path);
    if (ok)
        *held = (struct call){ ccf_hold(partner->of), done, arg };
    if (ok && capif_client_send(w->client, &call) == NULL) {
        ccf_let_go(held->ccf);
        ok = false;
    }
    if (!ok)
        free(held);
    free(text);
    return ok;
}

void ccf_partner_refusal(const struct ccf_partner *partner,
                         const struct capif_answer *answer,
                         struct ccf_refusal *no)
{
    struct capif_reader reader = { 0 };
    json_t *doc = NULL;
    char status[16];
    struct capif_at root;

    snprintf(status, sizeof(status), "%d", answer->status);
    capif_log("partner-failed", "partner", partner->ccf_id, "status", status,
              "why", answer->error, NULL);
    no->cause = NULL;
    if (answer->status == 0) {
        no->status = 504;
        snprintf(no->why, sizeof(no->why), "%s does not answer",
                 partner->ccf_id);
    } else if (answer->status == 403 || answer->status == 400) {
        doc = capif_json_parse(answer->body, answer->body_len, &reader);
        root = capif_at_root(doc, &reader);
        const char *cause = capif_get_str(&root, "cause", false, 64);
        const char *detail = capif_get_str(&root, "detail", false, 160);

        no->status = 403;
        if (cause != NULL
            && strcmp(cause, "SECURITY_METHOD_NOT_SUPPORTED") == 0)
            no->cause = "SECURITY_METHOD_NOT_SUPPORTED";
        snprintf(no->why, sizeof(no->why), "%s refuses: %s", partner->ccf_id,
                 detail != NULL ? detail : "no reason given");
        json_decref(doc);
    } else {
        no->status = 502;
        snprintf(no->why, sizeof(no->why), "%s answers %d", partner->ccf_id,
                 answer->status);
    }
}
