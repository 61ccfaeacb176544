/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API invoker's way to an API: a PSK, and the call.
 */
#include "jose.h"
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX     2048
#define PSK_LEN     32
#define PSK_SECONDS 60 /* until it is wrapped */

/* ---- psk ---- */

/* TS 33.122 A.1 with a key in software. */
static bool derive_soft(const uint8_t *key, size_t key_len, const char *p0,
                        const uint8_t *p1, size_t p1_len, uint8_t psk[PSK_LEN])
{
    size_t p0_len = strlen(p0), n = 0;
    uint8_t *s = malloc(1 + p0_len + 2 + p1_len + 2);
    bool ok;

    if (s == NULL)
        return false;
    s[n++] = 0x7a; /* FC */
    memcpy(s + n, p0, p0_len);
    n += p0_len;
    s[n++] = (uint8_t)(p0_len >> 8);
    s[n++] = (uint8_t)p0_len;
    memcpy(s + n, p1, p1_len);
    n += p1_len;
    s[n++] = (uint8_t)(p1_len >> 8);
    s[n++] = (uint8_t)p1_len;
    ok = EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, s, n, psk,
                   PSK_LEN, NULL)
         != NULL;
    free(s);
    return ok;
}

/* The same in the invoker's token, if it has one: psk is a handle then. */
static bool derive(const struct tool_invoker *inv, const json_t *session,
                   const json_t *info, uint8_t psk[PSK_LEN])
{
    char *p0 = json_dumps(json_object_get(info, "interface"),
                          JSON_COMPACT | JSON_SORT_KEYS);
    const char *text = tool_str(session, "p1");
    uint8_t key[CAPIF_HANDLE_LEN_MAX], *p1 = NULL;
    size_t key_len = 0, p1_len = 0;
    bool ok = p0 != NULL && text != NULL
              && capif_b64url_decode(text, strlen(text), &p1, &p1_len)
              && tool_secret_get(inv, session, key, &key_len);

    if (ok && inv->kek != NULL)
        ok = capif_seal_aefpsk(key, key_len, p0, p1, p1_len, PSK_SECONDS, psk);
    else if (ok)
        ok = derive_soft(key, key_len, p0, p1, p1_len, psk);
    OPENSSL_cleanse(key, sizeof(key));
    free(p1);
    free(p0);
    return ok;
}

int tool_psk(struct tool_options *o)
{
    struct tool_invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    json_t *context = tool_read_json(o, "context.json");
    json_t *session = tool_read_json(o, "session.json");
    json_t *entry, *info = NULL, *out = NULL;
    uint8_t psk[PSK_LEN];
    int status = 1;

    if (apis == NULL || context == NULL || session == NULL
        || !tool_invoker_load(o, &inv) || !tool_pick(o, apis, &api, &profile))
        goto out;
    if ((entry = tool_selected(context, api, "PSK")) == NULL) {
        tool_fail("PSK was not selected for %s", o->api);
        goto out;
    }
    info = json_loads(tool_str(entry, "authenticationInfo"), 0, NULL);
    if (!derive(&inv, session, info, psk)) {
        tool_fail_ssl("the PSK can't be derived");
        goto out;
    }
    out = json_pack("{s:s}", "identity", tool_str(info, "pskIdentity"));
    if (out != NULL && tool_secret_put(&inv, out, psk, sizeof(psk))
        && tool_write_json(o, "psk.json", out)) {
        tool_step(
            "6.24.2.2.1 step 2", "AEFPSK derived in %s (%s), good for %lld s",
            inv.kek != NULL ? "the token" : "software",
            tool_str(info, "binding"),
            (long long)json_integer_value(json_object_get(info, "expiresIn")));
        status = 0;
    }
out:
    OPENSSL_cleanse(psk, sizeof(psk));
    json_decref(out);
    json_decref(info);
    json_decref(apis);
    json_decref(context);
    json_decref(session);
    tool_invoker_clear(&inv);
    return status;
}

/* ---- call ---- */

static bool check_authentication(const struct tool_options *o,
                                 const struct tool_invoker *inv,
                                 const json_t *profile, const char *ca_file,
                                 const char *step)
{
    const char *control =
        tool_str(json_object_get(profile, TOOL_VS), "controlUrl");
    json_t *doc =
        json_pack("{s:s, s:s, s:{s:s}}", "apiInvokerId", inv->id,
                  "supportedFeatures", "0", TOOL_VS, "srcCcfId", inv->ccf_id);
    char *body = json_dumps(doc, JSON_COMPACT);
    char url[URL_MAX];
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = ca_file,
                                      .content_type = "application/json",
                                      .body = body };
    struct tool_answer a = { 0 };
    bool ok;

    snprintf(url, sizeof(url), "%s/aef-security/v1/check-authentication",
             control != NULL ? control : "");
    ok = control != NULL
         && tool_call(o, &req, 200, "authentication initiation", &a);
    if (ok)
        tool_step(step, "authentication initiated at %s",
                  tool_str(profile, "aefId"));
    tool_answer_clear(&a);
    free(body);
    json_decref(doc);
    return ok;
}

/* What the call proves itself with, by the method selected. */
struct proof {
    const char *method;
    const char *steps[2];              /* numbers of the procedure */
    char *bearer;                      /* OAUTH */
    uint8_t key[CAPIF_HANDLE_LEN_MAX]; /* PSK, like the rest */
    json_t *psk_doc;
    struct capif_psk psk;
};

static void proof_clear(struct proof *p)
{
    if (p->bearer != NULL)
        OPENSSL_cleanse(p->bearer, strlen(p->bearer));
    free(p->bearer);
    OPENSSL_cleanse(p->key, sizeof(p->key));
    json_decref(p->psk_doc);
}

static bool proof_load(const struct tool_options *o,
                       const struct tool_invoker *inv, json_t *context,
                       const json_t *api, struct proof *p)
{
    size_t len = 0;
    char *path;

    memset(p, 0, sizeof(*p));
    p->steps[0] = "6.24.2.2.1 step 3";
    p->steps[1] = "6.24.2.2.1 steps 10-11";
    if (tool_selected(context, api, "PKI") != NULL) {
        p->method = "PKI";
        return true;
    }
    if (tool_selected(context, api, "PSK") != NULL) {
        p->method = "PSK";
        p->psk_doc = tool_read_json(o, "psk.json");
        p->psk.identity = tool_str(p->psk_doc, "identity");
        if (p->psk.identity == NULL
            || !tool_secret_get(inv, p->psk_doc, p->key, &len)
            || len != PSK_LEN)
            return tool_fail_ssl("no PSK: run `capif psk` first") == 0;
        p->psk.key = p->key;
        return tool_seal(inv, "psk");
    }
    p->method = "OAUTH";
    p->steps[0] = "6.24.2.2.2 step 5";
    p->steps[1] = "6.24.2.2.2 steps 6-8";
    path = tool_path(o, "token");
    p->bearer = path != NULL ? tool_read(path) : NULL;
    free(path);
    return p->bearer != NULL;
}

static int call_api(struct tool_options *o, const struct tool_invoker *inv,
                    const json_t *profile, const struct proof *proof)
{
    const json_t *iface =
        json_array_get(json_object_get(profile, "interfaceDescriptions"), 0);
    const char *prefix = tool_str(iface, "apiPrefix");
    char *ca_file = tool_path(o, "aef-ca.pem");
    char *data = o->data != NULL ? tool_read(o->data) : NULL;
    bool psk = proof->psk.key != NULL;
    char url[URL_MAX];
    const struct tool_request req = {
        .method = o->method != NULL ? o->method : "GET",
        .url = url,
        .ca_file = psk ? NULL : ca_file,
        .cred = psk ? NULL : &inv->cred,
        .psk = psk ? &proof->psk : NULL,
        .bearer = proof->bearer,
        .content_type = data != NULL ? "application/json" : NULL,
        .body = data
    };
    struct tool_answer a = { 0 };
    int status = 1;

    snprintf(url, sizeof(url), "https://%s:%lld%s%s",
             tool_str(iface, "fqdn") != NULL ? tool_str(iface, "fqdn")
                                             : tool_str(iface, "ipv4Addr"),
             (long long)json_integer_value(json_object_get(iface, "port")),
             prefix != NULL ? prefix : "", o->args[0]);
    if (check_authentication(o, inv, profile, ca_file, proof->steps[0])
        && tool_call(o, &req, 0, "call", &a)) {
        tool_step(proof->steps[1], "%s by %s: %s: %d", req.method,
                  proof->method, url, a.status);
        if (a.body != NULL)
            fwrite(a.body, 1, a.len, stdout);
        status = a.status < 300 ? 0 : 1;
    }
    tool_answer_clear(&a);
    free(ca_file);
    free(data);
    return status;
}

int tool_call_api(struct tool_options *o)
{
    struct tool_invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    json_t *context = tool_read_json(o, "context.json");
    struct proof proof = { 0 };
    int status = 1;

    if (o->n_args != 1 || o->args[0][0] != '/')
        tool_fail("call needs one path, such as /subscriptions");
    else if (apis != NULL && context != NULL && tool_invoker_load(o, &inv)
             && tool_pick(o, apis, &api, &profile)
             && proof_load(o, &inv, context, api, &proof))
        status = call_api(o, &inv, profile, &proof);
    proof_clear(&proof);
    tool_invoker_clear(&inv);
    json_decref(context);
    json_decref(apis);
    return status;
}
