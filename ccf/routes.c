/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attack surface on one screen, and who is who on it.
 */
#include "ccf.h"

#include "log.h"

#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define SMALL      16384
#define MEDIUM     65536
#define LARGE      262144
#define HUGE       1024000 /* CCF_LOGS_MAX entries of 1 KB */
#define PUBLISHERS (CCF_FROM_APF | CCF_FROM_PARTNER)
#define MEMBERS    (CCF_FROM_INVOKER | CCF_FROM_AEF | CCF_FROM_APF | CCF_FROM_AMF)

const struct capif_route ccf_routes[] = {
    { "POST", "/api-invoker-management/v1/onboardedInvokers", SMALL, 0,
      ccf_post_onboarding },
    { "PUT", "/api-invoker-management/v1/onboardedInvokers/{}", SMALL,
      CCF_FROM_INVOKER, ccf_put_onboarding },
    { "PATCH", "/api-invoker-management/v1/onboardedInvokers/{}", SMALL,
      CCF_FROM_INVOKER, ccf_patch_onboarding },
    { "DELETE", "/api-invoker-management/v1/onboardedInvokers/{}", 0,
      CCF_FROM_INVOKER, ccf_delete_onboarding },
    { "POST", "/api-provider-management/v1/registrations", MEDIUM, 0,
      ccf_post_registration },
    { "PUT", "/api-provider-management/v1/registrations/{}", MEDIUM,
      CCF_FROM_AMF, ccf_put_registration },
    { "PATCH", "/api-provider-management/v1/registrations/{}", MEDIUM,
      CCF_FROM_AMF, ccf_patch_registration },
    { "DELETE", "/api-provider-management/v1/registrations/{}", 0, CCF_FROM_AMF,
      ccf_delete_registration },
    { "POST", "/published-apis/v1/{}/service-apis", MEDIUM, PUBLISHERS,
      ccf_post_api },
    { "GET", "/published-apis/v1/{}/service-apis", 0, PUBLISHERS,
      ccf_get_apis },
    { "GET", "/published-apis/v1/{}/service-apis/{}", 0, PUBLISHERS,
      ccf_get_api },
    { "PUT", "/published-apis/v1/{}/service-apis/{}", MEDIUM, PUBLISHERS,
      ccf_put_api },
    { "PATCH", "/published-apis/v1/{}/service-apis/{}", MEDIUM, PUBLISHERS,
      ccf_patch_api },
    { "DELETE", "/published-apis/v1/{}/service-apis/{}", 0, PUBLISHERS,
      ccf_delete_api },
    { "POST", "/capif-events/v1/{}/subscriptions", SMALL, MEMBERS,
      ccf_post_subscription },
    { "PUT", "/capif-events/v1/{}/subscriptions/{}", SMALL, MEMBERS,
      ccf_put_subscription },
    { "PATCH", "/capif-events/v1/{}/subscriptions/{}", SMALL, MEMBERS,
      ccf_patch_subscription },
    { "DELETE", "/capif-events/v1/{}/subscriptions/{}", 0, MEMBERS,
      ccf_delete_subscription },
    { "GET", "/service-apis/v1/allServiceAPIs", 0,
      CCF_FROM_INVOKER | CCF_FROM_PARTNER, ccf_get_discover },
    { "GET", "/access-control-policy/v1/accessControlPolicyList/{}", 0,
      CCF_FROM_AEF, ccf_get_policy },
    { "PUT", "/access-control-policy/v1/accessControlPolicyList/{}", LARGE,
      CCF_FROM_AMF, ccf_put_policy },
    { "DELETE", "/access-control-policy/v1/accessControlPolicyList/{}", 0,
      CCF_FROM_AMF, ccf_delete_policy },
    { "GET", "/capif-routing-info/v1/service-apis/{}", 0, CCF_FROM_AEF,
      ccf_get_routing },
    { "PUT", "/capif-routing-info/v1/service-apis/{}", MEDIUM, CCF_FROM_AMF,
      ccf_put_routing },
    { "DELETE", "/capif-routing-info/v1/service-apis/{}", 0, CCF_FROM_AMF,
      ccf_delete_routing },
    { "PUT", "/capif-security/v1/trustedInvokers/{}", MEDIUM,
      CCF_FROM_INVOKER | CCF_FROM_PARTNER, ccf_put_context },
    { "POST", "/capif-security/v1/trustedInvokers/{}/update", MEDIUM,
      CCF_FROM_INVOKER | CCF_FROM_PARTNER, ccf_update_context },
    { "GET", "/capif-security/v1/trustedInvokers/{}", 0,
      CCF_FROM_AEF | CCF_FROM_PARTNER, ccf_get_context },
    { "DELETE", "/capif-security/v1/trustedInvokers/{}", 0,
      CCF_FROM_INVOKER | CCF_FROM_AEF | CCF_FROM_PARTNER, ccf_delete_context },
    { "POST", "/capif-security/v1/trustedInvokers/{}/delete", SMALL,
      CCF_FROM_AEF | CCF_FROM_PARTNER, ccf_revoke_context },
    { "POST", "/capif-security/v1/notifications", SMALL, CCF_FROM_PARTNER,
      ccf_post_notification }, /* where partners are told to send them */
    { "POST", "/capif-security/v1/securities/{}/token", SMALL, 0,
      ccf_post_token }, /* errors of RFC 6749, so it looks for itself */
    { "POST", "/oauth/token", SMALL, 0, ccf_post_token }, /* the same */
    { "POST", "/oauth/introspect", SMALL, CCF_FROM_AEF, ccf_post_introspect },
    { "GET", "/.well-known/oauth-authorization-server", 0, 0,
      ccf_get_metadata },
    { "POST", "/api-invocation-logs/v1/{}/logs", HUGE, CCF_FROM_AEF,
      ccf_post_log },
    { "GET", "/logs/v1/apiInvocationLogs", 0, CCF_FROM_AMF, ccf_get_logs },
    { "GET", "/.well-known/jwks.json", 0, 0, ccf_get_jwks },
    { "GET", "/crl/{}", 0, 0, ccf_get_crl },
    { "GET", "/crl/{}/{}", 0, 0, ccf_get_crl },
    { .method = NULL },
};

static const struct ccf_partner *partner_of_anchor(const struct ccf *ccf,
                                                   X509 *anchor)
{
    for (size_t i = 0; i < ccf->n_partners; i++)
        for (int j = 0; j < sk_X509_num(ccf->partners[i].ca_certs); j++)
            if (X509_cmp(sk_X509_value(ccf->partners[i].ca_certs, j), anchor)
                == 0)
                return &ccf->partners[i];
    return NULL;
}

static bool is_own_anchor(const struct ccf *ccf, X509 *anchor)
{
    for (int i = 0; i < sk_X509_num(ccf->ca_certs); i++)
        if (X509_cmp(sk_X509_value(ccf->ca_certs, i), anchor) == 0)
            return true;
    return false;
}

/*
 * One of ours: the certificate must be the one that this member has now, so
 * that being offboarded or certified anew ends an older one.
 */
static unsigned who_of_own(struct ccf_worker *w, X509 *cert)
{
    struct ccf_member member;
    enum ccf_store_status st;

    if (!capif_cert_identity(cert, &w->peer)
        || strcmp(w->peer.ccf_id, w->ccf->ccf_id) != 0
        || w->peer.role == CAPIF_CCF)
        return 0;
    if ((st = ccf_store_member(w->store, &w->peer, &member)) == CCF_STORE_ERROR)
        return CAPIF_WHO_UNKNOWN;
    if (st != CCF_STORE_OK
        || strcmp(member.thumbprint, w->peer_thumbprint) != 0)
        return 0;
    strcpy(w->peer_group, member.group_id);
    return 1u << w->peer.role;
}

/* Of a partner's CRL: CCF_STORE_GONE, and a line in the log, if it is on it. */
static enum ccf_store_status not_revoked(struct ccf_worker *w,
                                         const struct ccf_partner *p,
                                         STACK_OF(X509) * chain)
{
    /* An anchor of a chain of one is itself its CA. */
    enum ccf_store_status st = ccf_revoked_there(
        w, p->ccf_id, sk_X509_value(chain, sk_X509_num(chain) > 1 ? 1 : 0),
        sk_X509_value(chain, 0));

    if (st == CCF_STORE_GONE)
        capif_log("certificate-revoked", "partner", p->ccf_id, NULL);
    return st;
}

/* A partner's CA vouches here for that partner's CCF and for nobody else. */
static unsigned who_of_partner(struct ccf_worker *w,
                               const struct ccf_partner *p,
                               STACK_OF(X509) * chain)
{
    enum ccf_store_status st;

    if (X509_check_host(sk_X509_value(chain, 0), p->ccf_id, 0,
                        X509_CHECK_FLAG_NO_WILDCARDS
                            | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                        NULL)
        != 1)
        return 0;
    st = not_revoked(w, p, chain);
    if (st != CCF_STORE_OK)
        return st == CCF_STORE_GONE ? 0 : CAPIF_WHO_UNKNOWN;
    w->peer.role = CAPIF_CCF;
    strcpy(w->peer.ccf_id, p->ccf_id);
    strcpy(w->peer.id, p->ccf_id);
    return CCF_FROM_PARTNER;
}

unsigned ccf_who(const struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    SSL *ssl = capif_req_ssl(req);
    STACK_OF(X509) *chain = ssl != NULL ? SSL_get0_verified_chain(ssl) : NULL;
    const struct ccf_partner *p;
    X509 *cert, *anchor;
    unsigned who = 0;

    memset(&w->peer, 0, sizeof(w->peer));
    w->peer_thumbprint[0] = '\0';
    w->peer_group[0] = '\0';
    if (chain == NULL || SSL_get_verify_result(ssl) != X509_V_OK)
        return 0;
    cert = sk_X509_value(chain, 0);
    /* A connection may outlive it. */
    if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0
        || !capif_cert_thumbprint(cert, w->peer_thumbprint))
        return 0;
    anchor = sk_X509_value(chain, sk_X509_num(chain) - 1);
    if (is_own_anchor(w->ccf, anchor))
        who = who_of_own(w, cert);
    else if ((p = partner_of_anchor(w->ccf, anchor)) != NULL)
        who = who_of_partner(w, p, chain);
    if (who == 0
        || who == CAPIF_WHO_UNKNOWN) /* a handler may look at the peer itself */
        memset(&w->peer, 0, sizeof(w->peer));
    return who;
}

enum ccf_store_status ccf_foreign_invoker(const struct capif_req *req,
                                          struct ccf_worker *w,
                                          struct capif_identity *out)
{
    SSL *ssl = capif_req_ssl(req);
    STACK_OF(X509) *chain = ssl != NULL ? SSL_get0_verified_chain(ssl) : NULL;
    const struct ccf_partner *p;

    if (chain == NULL || w->peer_thumbprint[0] == '\0') /* see ccf_who() */
        return CCF_STORE_NOT_FOUND;
    p = partner_of_anchor(w->ccf, sk_X509_value(chain, sk_X509_num(chain) - 1));
    if (p == NULL || !capif_cert_identity(sk_X509_value(chain, 0), out)
        || out->role != CAPIF_INVOKER || strcmp(out->ccf_id, p->ccf_id) != 0)
        return CCF_STORE_NOT_FOUND;
    return not_revoked(w, p, chain);
}

bool ccf_make_id(const char *prefix, char out[CAPIF_ID_MAX + 1])
{
    unsigned char raw[8];

    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return false;
    snprintf(out, CAPIF_ID_MAX + 1, "%s%02x%02x%02x%02x%02x%02x%02x%02x",
             prefix, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], raw[6],
             raw[7]);
    return true;
}

void ccf_reply_store(struct capif_req *req, enum ccf_store_status st)
{
    if (st == CCF_STORE_NOT_FOUND) {
        capif_reply_problem(req, 404, NULL, "no such resource");
    } else if (st == CCF_STORE_CONFLICT) {
        capif_reply_problem(req, 409, NULL, "exists already");
    } else if (st == CCF_STORE_CHANGED) {
        capif_reply_problem(req, 409, NULL, "others change it, too: try again");
    } else if (st == CCF_STORE_FULL) {
        capif_reply_problem(req, 403, NULL, "you have as many as you may have");
    } else if (st == CCF_STORE_GONE) {
        capif_reply_problem(req, 401, NULL, "the certificate was valid before");
    } else {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "the store is not available");
    }
}
