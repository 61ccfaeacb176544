/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API invoker's access token: from its own CCF, or, with what that CCF
 * asserts, from the one that the AEF belongs to (6.24.2.2.2).
 */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX    2048
#define JWT_BEARER "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"

/* Everything that a token is asked for with. */
struct asking {
    struct tool_options *o;
    struct tool_invoker inv;
    json_t *api, *profile; /* borrowed from apis */
    json_t *apis;
};

/* "&name=" and value, its ':' and '/' encoded. */
static void append_form(char *body, size_t room, const char *name,
                        const char *value)
{
    size_t n = strlen(body);

    n += (size_t)snprintf(body + n, room - n, "&%s=", name);
    for (; *value != '\0' && n + 4 < room; value++) {
        if (*value == ':' || *value == '/')
            n += (size_t)snprintf(body + n, room - n, "%%%02X",
                                  (unsigned)*value);
        else
            body[n++] = *value;
    }
    body[n] = '\0';
}

static bool post(const struct asking *a, const char *url, const char *ca_file,
                 const char *body, const char *what, struct tool_answer *out)
{
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = ca_file,
                                      .cred = &a->inv.cred,
                                      .content_type =
                                          "application/x-www-form-urlencoded",
                                      .body = body };

    return tool_call(a->o, &req, 200, what, out);
}

/* At the invoker's CCF; resource NULL: for a token. */
static bool ask_own(const struct asking *a, const char *resource,
                    struct tool_answer *out)
{
    char url[URL_MAX], body[URL_MAX];

    snprintf(url, sizeof(url), "%s/capif-security/v1/securities/%s/token",
             a->inv.ccf, a->inv.id);
    snprintf(body, sizeof(body),
             "grant_type=client_credentials&client_id=%s&scope=3gpp%%23%s%%3A"
             "%s",
             a->inv.id, tool_str(a->profile, "aefId"),
             tool_str(a->api, "apiName"));
    if (resource != NULL)
        append_form(body, sizeof(body), "resource", resource);
    return post(a, url, a->inv.ca_file, body, "token request", out);
}

static bool save(const struct asking *a, const struct tool_answer *got,
                 const char *step, const char *by)
{
    const char *token = tool_str(got->doc, "access_token");

    if (token == NULL)
        return tool_fail("the answer has no token") == 0;
    if (!tool_write(a->o, "token", token))
        return false;
    tool_step(
        step, "token of %s for %s, scope %s, %lld s", by, a->inv.id,
        tool_str(got->doc, "scope"),
        (long long)json_integer_value(json_object_get(got->doc, "expires_in")));
    return true;
}

/* ---- exchange ---- */

/* The issuer's token end-point by its metadata (RFC 8414); owned, or NULL. */
static char *find_endpoint(const struct asking *a, const char *issuer,
                           const char *ca_file)
{
    char url[URL_MAX], *found = NULL;
    const struct tool_request req = { .method = "GET",
                                      .url = url,
                                      .ca_file = ca_file };
    struct tool_answer got = { 0 };
    const char *said, *endpoint;

    snprintf(url, sizeof(url), "%s/.well-known/oauth-authorization-server",
             issuer);
    if (tool_call(a->o, &req, 200, "metadata", &got)) {
        said = tool_str(got.doc, "issuer");
        endpoint = tool_str(got.doc, "token_endpoint");
        /* RFC 8414 3.3 */
        if (said == NULL || strcmp(said, issuer) != 0 || endpoint == NULL)
            tool_fail("the metadata of %s is not its own", issuer);
        else
            found = strdup(endpoint);
    }
    tool_answer_clear(&got);
    return found;
}

/* With the assertion, at the AEF's CCF. */
static bool ask_other(const struct asking *a, const char *issuer,
                      const char *assertion)
{
    char *ca_file = tool_path(a->o, "aef-ca.pem");
    char *endpoint = find_endpoint(a, issuer, ca_file);
    size_t room = strlen(assertion) + 256;
    char *body = malloc(room);
    struct tool_answer got = { 0 };
    bool ok = false;

    if (endpoint != NULL && body != NULL) {
        snprintf(body, room, "grant_type=%s&assertion=%s", JWT_BEARER,
                 assertion);
        ok = post(a, endpoint, ca_file, body, "token exchange", &got)
             && save(a, &got, "6.24.2.2.2 exchange", issuer);
        OPENSSL_cleanse(body, room);
    }
    free(body);
    tool_answer_clear(&got);
    free(endpoint);
    free(ca_file);
    return ok;
}

static bool exchange(const struct asking *a)
{
    json_t *context = tool_read_json(a->o, "context.json");
    const json_t *entry = tool_selected(context, a->api, "OAUTH");
    const char *issuer = tool_str(json_object_get(entry, TOOL_VS), "issuer");
    struct tool_answer got = { 0 };
    const char *assertion;
    bool ok = false;

    if (issuer == NULL) {
        tool_fail("OAUTH was not selected for %s in another domain", a->o->api);
    } else if (ask_own(a, issuer, &got)) {
        tool_step("6.24.2.2.2 steps 1-4", "assertion of %s for %s",
                  a->inv.ccf_id, issuer);
        assertion = tool_str(got.doc, "access_token");
        ok = assertion != NULL && ask_other(a, issuer, assertion);
    }
    tool_answer_clear(&got);
    json_decref(context);
    return ok;
}

int tool_token(struct tool_options *o)
{
    struct asking a = { .o = o, .apis = tool_read_json(o, "apis.json") };
    struct tool_answer got = { 0 };
    bool ok = a.apis != NULL && tool_invoker_load(o, &a.inv)
              && tool_pick(o, a.apis, &a.api, &a.profile);

    if (ok && o->exchange)
        ok = exchange(&a);
    else if (ok)
        ok = ask_own(&a, NULL, &got)
             && save(&a, &got, "6.24.2.2.2 steps 1-4", a.inv.ccf_id);
    tool_answer_clear(&got);
    tool_invoker_clear(&a.inv);
    json_decref(a.apis);
    return ok ? 0 : 1;
}
