/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf oauth: the authorization server: whose keys verify what, what JWTs
 * claim, and the token end-point.
 */
#ifndef CCF_OAUTH_H
#define CCF_OAUTH_H

#include "ccf.h"

/* ---- verification keys (keys.c) ---- */

/* A partner's JWK set: its file's and what it published last.  Owned. */
json_t *ccf_keys_of(struct ccf_worker *w, const struct ccf_partner *partner);

enum ccf_signature {
    CCF_SIGNATURE_GOOD,
    CCF_SIGNATURE_BAD,
    CCF_SIGNATURE_LATER, /* the partner was just asked for its keys */
};

/* Exactly once, perhaps before the check returns. */
typedef void ccf_signature_fn(enum ccf_signature is, void *arg);
/*
 * Is the signature by a key of partner's, or (NULL) of ours?  The partner is
 * asked for a kid that is not known, if it was not asked a moment ago, by
 * whatever ccfd; jws must live until then.
 */
void ccf_signature_check(struct ccf_worker *w, const struct capif_jws *jws,
                         const struct ccf_partner *partner,
                         ccf_signature_fn *fn, void *arg);
/* The answer to CCF_SIGNATURE_LATER. */
void ccf_reply_keys_later(struct capif_req *req);
/* Once in a while: fetch the keys whose time it is. */
void ccf_keys_tick(struct ccf_worker *w);

/* ---- what JWTs claim (claims.c) ---- */

#define CCF_ASSERTION_TYP "authorization-grant+jwt"
#define CCF_JWKS_MAX      32
#define CCF_JTI_MAX       128

struct ccf_assertion_want {
    const char *iss, *aud;  /* issuer identifiers of both CCFs */
    const char *client_id;  /* who presents it, ... */
    const char *thumbprint; /* ... with which certificate */
    time_t now;
};

/* NULL, or why an assertion is no grant for that client here. */
const char *ccf_assertion_check(const struct capif_jws *jws,
                                const struct ccf_assertion_want *want);
/*
 * Who claims to have signed an access token, and whose invoker it claims to be
 * of; false if it is none.  Borrowed.
 */
bool ccf_token_whose(const struct capif_jws *jws, const char **signer,
                     const char **home, const char **invoker_id);
/* The keys of a JWK set that we can use, with a kid, as a new set. */
json_t *ccf_jwks_usable(const json_t *jwks);
/* Of two keys with the same kid, pinned's; both may be NULL. */
json_t *ccf_jwks_union(const json_t *pinned, const json_t *fetched);

/* ---- the token end-point (token.c, exchange.c) ---- */

#define CCF_JWT_BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* Who asks for a token: an invoker, authenticated by its certificate. */
struct ccf_client {
    struct capif_identity who;
    char thumbprint[44];
    time_t at; /* of what it gets: read before what that may be */
};

/* An error of RFC 6749 5.2. */
void ccf_oauth_refuse(struct capif_req *req, int status, const char *error,
                      const char *why);
/*
 * What a security context here allows its invoker by OAuth, at AEFs of domain
 * (a ccfId; NULL: any).
 */
enum ccf_store_status ccf_scope_granted(struct ccf_worker *w,
                                        const struct capif_identity *invoker,
                                        const char *domain,
                                        struct capif_scope *out);
/* The scope asked for, or (NULL) all; false if that is more than granted. */
bool ccf_scope_choose(const char *asked, const struct capif_scope *grant,
                      struct capif_scope *out);
/* The assertion that a token is given for: <ccfId>/<jti>. */
struct ccf_spend {
    char jti[CAPIF_CCF_ID_MAX + CCF_JTI_MAX + 2];
    time_t exp;
};
/*
 * Sign an access token for the client, or, with a partner, the assertion that
 * the client can exchange there; use up spend, if not NULL; and answer.
 */
void ccf_token_issue(struct capif_req *req, struct ccf_worker *w,
                     const struct ccf_client *client,
                     const struct ccf_partner *partner,
                     const struct capif_scope *scope,
                     const struct ccf_spend *spend);
/* The grant of RFC 7523: an assertion by the client's own CCF. */
void ccf_exchange(struct capif_req *req, struct ccf_worker *w,
                  const struct ccf_client *client);

#endif
