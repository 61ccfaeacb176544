/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this CCF says of itself as an authorization server: RFC 8414 metadata
 * and its JWK set.
 */
#include "oauth.h"

#include <stdio.h>

#define URL_MAX 512

/* Is there anybody whose assertions are exchanged here? */
static bool exchanges(const struct ccf *ccf)
{
    for (size_t i = 0; i < ccf->n_partners; i++)
        if (capif_list_has(ccf->partners[i].methods, "OAUTH"))
            return capif_list_has(ccf->methods, "OAUTH");
    return false;
}

static json_t *at(const struct ccf *ccf, const char *path)
{
    char url[URL_MAX];

    snprintf(url, sizeof(url), "%s%s", ccf->url, path);
    return json_string(url);
}

/*
 * There is no authorization end-point, hence no response type, and RFC 8414
 * 3.2 leaves out what has no elements.
 */
void ccf_get_metadata(struct capif_req *req, void *app)
{
    const struct ccf *ccf = ((struct ccf_worker *)app)->ccf;
    json_t *grants = json_pack("[s]", "client_credentials");

    if (exchanges(ccf))
        json_array_append_new(grants, json_string(CCF_JWT_BEARER));
    capif_req_set_header(req, "Cache-Control", "max-age=60");
    capif_reply_json(
        req, 200,
        json_pack(
            "{s:s, s:o, s:o, s:o, s:o, s:[s], s:[s], s:b}", "issuer", ccf->url,
            "token_endpoint", at(ccf, "/oauth/token"), "introspection_endpoint",
            at(ccf, "/oauth/introspect"), "jwks_uri",
            at(ccf, "/.well-known/jwks.json"), "grant_types_supported", grants,
            "token_endpoint_auth_methods_supported", "tls_client_auth",
            "introspection_endpoint_auth_methods_supported", "tls_client_auth",
            "tls_client_certificate_bound_access_tokens", 1));
}

void ccf_get_jwks(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    capif_req_set_header(req, "Cache-Control", "max-age=60");
    capif_reply_json(req, 200, json_incref(w->ccf->jwks));
}
