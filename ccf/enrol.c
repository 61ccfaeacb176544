/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment tokens, and the certificates of the members they make.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"

#include <stdlib.h>
#include <string.h>

const char *ccf_grant_check(const struct ccf *ccf, const char *token,
                            const char *role, struct ccf_grant *out)
{
    struct capif_jws jws;
    const char *why = capif_jws_parse(token, &jws);
    EVP_PKEY *key;
    const char *text[4];
    static const char *const names[] = { "iss", "aud", "role", "jti" };
    json_int_t exp;

    if (why != NULL)
        return why;
    for (size_t i = 0; i < 4; i++)
        text[i] = json_string_value(json_object_get(jws.claims, names[i]));
    exp = json_integer_value(json_object_get(jws.claims, "exp"));
    key = jws.kid != NULL ? capif_jwks_find(ccf->jwks, jws.kid) : NULL;
    if (jws.typ == NULL || strcmp(jws.typ, "enrol+jwt") != 0)
        why = "not an enrolment token";
    else if (key == NULL || !capif_jws_verify(&jws, key))
        why = "signature not by this CCF";
    else if (text[0] == NULL || strcmp(text[0], ccf->ccf_id) != 0
             || text[1] == NULL || strcmp(text[1], ccf->ccf_id) != 0
             || text[2] == NULL || strcmp(text[2], role) != 0
             || text[3] == NULL)
        why = "enrolment for something else";
    else if (exp <= time(NULL))
        why = "enrolment expired";
    if (why == NULL) {
        out->claims = json_incref(jws.claims);
        out->enrolment.jti = text[3];
        out->enrolment.exp = (time_t)exp;
    }
    EVP_PKEY_free(key);
    capif_jws_clear(&jws);
    return why;
}

X509 *ccf_issue(const struct ccf *ccf, const struct capif_identity *who,
                const char *csr_pem, const char *dns_name, const char **why)
{
    X509_REQ *csr = capif_csr_parse(csr_pem, why);
    struct capif_cert_spec spec = { .who = *who,
                                    .dns_name = dns_name,
                                    .crl_url = ccf->crl_url,
                                    .days = (long)ccf->cert_days };
    X509 *cert;

    if (csr == NULL)
        return NULL;
    spec.public_key = X509_REQ_get0_pubkey(csr);
    cert =
        capif_cert_issue(&spec, sk_X509_value(ccf->ca_certs, 0), ccf->ca_key);
    X509_REQ_free(csr);
    return cert;
}

X509 *ccf_issue_transport(const struct ccf *ccf,
                          const struct capif_identity *who,
                          const char *spki_pem)
{
    EVP_PKEY *key = capif_transport_parse(spki_pem);
    struct capif_cert_spec spec = { .public_key = key,
                                    .who = *who,
                                    .transport = true,
                                    .days = (long)ccf->cert_days };
    X509 *cert = NULL;

    if (key != NULL)
        cert = capif_cert_issue(&spec, sk_X509_value(ccf->ca_certs, 0),
                                ccf->ca_key);
    EVP_PKEY_free(key);
    return cert;
}

json_t *ccf_issue_member(const struct ccf *ccf, struct ccf_member *m,
                         const char *csr_pem, const char *dns_name,
                         const char **why)
{
    X509 *cert = ccf_issue(ccf, &m->who, csr_pem, dns_name, why);
    char *pem = cert != NULL ? capif_cert_pem(cert) : NULL;
    json_t *text = NULL;

    if (pem != NULL && capif_cert_thumbprint(cert, m->thumbprint)
        && capif_ca_id(sk_X509_value(ccf->ca_certs, 0), m->ca)
        && capif_cert_serial(cert, m->serial)
        && (m->not_after = capif_cert_end(cert)) > 0)
        text = json_string(pem);
    free(pem);
    X509_free(cert);
    return text;
}

void ccf_refuse_grant(struct capif_req *req, const char *why)
{
    capif_log("enrolment-refused", "peer", capif_req_peer(req), "why", why,
              NULL);
    capif_req_set_header(req, "WWW-Authenticate", "Bearer");
    capif_reply_problem(req, 401, "ENROLMENT_REFUSED", why);
}

bool ccf_member_init(struct ccf_worker *w, struct ccf_member *m,
                     enum capif_role role, const char *id)
{
    const char *prefix[] = { [CAPIF_INVOKER] = "inv-",
                             [CAPIF_AEF] = "aef-",
                             [CAPIF_APF] = "apf-",
                             [CAPIF_AMF] = "amf-" };

    m->who.role = role;
    strcpy(m->who.ccf_id, w->ccf->ccf_id);
    if (id == NULL)
        return ccf_make_id(prefix[role], m->who.id);
    strcpy(m->who.id, id);
    return true;
}
