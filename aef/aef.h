/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aef: the API exposing function, what its files share.
 *
 * struct aef is made before the workers start; all of it but what has locks
 * of its own is only read from then on.  struct aef_worker belongs to one
 * thread.
 */
#ifndef AEF_H
#define AEF_H

#include "client.h"
#include "conf.h"
#include "jose.h"
#include "scope.h"
#include "seal.h"
#include "server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define AEF_APIS_MAX 32
#define AEF_VS       "vendorSpecific-capif-hsm"

/* A northbound API behind this AEF: [api NAME]. */
struct aef_api {
    const char *name;        /* apiName */
    const char *prefix;      /* where it is here: apiPrefix, without a slash at
                                the end */
    const char *backend;     /* where it really is: http://host:port/path */
    const char *description; /* file; NULL: all that it has may pass */
    struct aef_resources *resources; /* of that */
};

struct aef_cache;
struct aef_denied;
struct aef_info;
struct aef_psks;
struct aef_verdicts;

struct aef {
    struct capif_conf *conf;
    const char *aef_id, *ccf_id, *ccf_url, *ccf_address, *ca_file;
    const char *cert_file, *key_uri;
    const char *control_listen, *service_listen;
    const char *transport_key_uri;  /* NULL: no PSKs */
    const char *const *psk_issuers; /* CCFID=FILE of partners */
    const char *service_fqdn;       /* with service_port: the interface */
    size_t service_port;
    const char *token_check; /* local or introspect */
    size_t workers, info_seconds, body_max;
    struct capif_credentials cred;
    EVP_PKEY *transport;
    json_t *issuers; /* [{ccfId, jwks}] of psk_issuers */
    STACK_OF(X509) * ca_certs;
    SSL_CTX *control_tls, *service_tls;
    struct aef_api apis[AEF_APIS_MAX];
    size_t n_apis;
    struct aef_cache *cache; /* shared, like the next; locks of their own */
    struct aef_denied *denied;
    struct aef_psks *psks;
    struct aef_verdicts *verdicts;
};

#define AEF_RATES 256

/* Look-ups that a peer's address has caused in a second. */
struct aef_rate {
    time_t second;
    unsigned n;
};

struct aef_worker {
    struct aef *aef;
    struct capif_client *client;
    struct capif_server *control, *service;
    struct aef_fetch *fetches;        /* look-ups under way */
    struct aef_inquiry *inquiries;    /* about tokens */
    struct aef_rate rates[AEF_RATES]; /* of look-ups, by peer */
    struct event *tick;               /* whose time is up */
};

/* ---- resources of an API (resources.c) ---- */

#define AEF_ALLOW_MAX 40

/*
 * What the published description in a file says that an API has at this AEF;
 * NULL, or why it is of no use.
 */
const char *aef_resources_load(const char *file, const char *aef_id,
                               const char *api_name,
                               struct aef_resources **out);
void aef_resources_free(struct aef_resources *r);
/*
 * May that be done there?  path begins after the API's prefix.  allow gets
 * what may be, for an Allow field: "" if there is no such resource.
 */
bool aef_resource_may(const struct aef_resources *r, const char *path,
                      const char *method, char allow[AEF_ALLOW_MAX]);

bool aef_load(struct aef *aef, const char *path);
void aef_unload(struct aef *aef);

/* Who may: bits of aef_control_routes. */
#define AEF_FROM_CCF   1u /* this AEF's, by its certificate */
#define AEF_FROM_OTHER 2u

extern const struct capif_route aef_control_routes[];
unsigned aef_control_who(const struct capif_req *req, void *app);
capif_handler aef_post_check_authentication;
capif_handler aef_post_revoke_authorization;
/* All requests of the service listener. */
capif_handler aef_serve;
/*
 * A call of that invoker that may pass: to the API's backend; it is answered
 * then, or later (pass.c).
 */
void aef_pass_on(struct aef_worker *w, struct capif_req *req,
                 const struct aef_api *api, const struct capif_identity *who);

/* ---- what has been revoked (denied.c) ---- */

#define AEF_TOKEN_SECONDS 86400 /* an access token lives so long at most */

struct aef_denied *aef_denied_new(void);
void aef_denied_free(struct aef_denied *d);
/* At that time: an API of that name; "": all that the invoker has here. */
void aef_denied_add(struct aef_denied *d, const char *ccf_id,
                    const char *invoker_id, const char *api_name, time_t at,
                    time_t now);
/* How many were added so far: what the CCF is asked from now on is newer. */
unsigned long long aef_denied_count(const struct aef_denied *d);
/* Was one added after that count?  api_name NULL: of any API. */
bool aef_denied_since(struct aef_denied *d, const char *ccf_id,
                      const char *invoker_id, const char *api_name,
                      unsigned long long count);
/*
 * What was issued up to then is not good any more for that API; a day ago if
 * nothing was revoked, since that is as far as the list goes back.
 */
time_t aef_denied_until(struct aef_denied *d, const char *ccf_id,
                        const char *invoker_id, const char *api_name,
                        time_t now);

/* ---- whose a connection is (peer.c) ---- */

/* From now on, connections made with ctx are known. */
bool aef_peers_watch(SSL_CTX *ctx, struct aef *aef);
/* It came with a good token of that invoker. */
void aef_peer_note(SSL *ssl, const struct capif_identity *who);
/*
 * Once for each connection and what the CCF said of its invoker: that a token,
 * or, with jws NULL and hash "", the certificate alone, is by whom it says.
 * Whether it is good for a call is for each call to see.  The hash is
 * capif_sha256_b64url() of the token, of which only the claims are kept.
 */
void aef_peer_prove(SSL *ssl, const char *hash, const struct capif_jws *jws,
                    const struct aef_info *info);
/* Was it, and is the certificate not over since? */
bool aef_peer_proved(const SSL *ssl, const char *hash,
                     const struct aef_info *info);
/*
 * The token of that hash, if it is the one that was proved last: without its
 * text and signature, and the caller's to clear.
 */
bool aef_peer_token(const SSL *ssl, const char *hash, struct capif_jws *out);
/* To be closed: its PSK is over, or its invoker has been revoked. */
bool aef_peer_gone(const SSL *ssl, void *aef);

/* ---- security information of an invoker, by CAPIF-3 (info.c) ---- */

struct aef_info_api {
    char api_name[CAPIF_SCOPE_NAME_MAX + 1];
    char method[16];
    char *envelope;       /* of a PSK; or NULL */
    time_t revoked_until; /* no token of then or earlier is good */
};

/* Immutable once made; a negative answer has known = false. */
struct aef_info {
    atomic_uint refs;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
    bool known;
    bool mutual; /* OAuth: the invoker must come with its certificate */
    unsigned long long asked; /* aef_denied_count() before the CCF was */
    time_t expires;
    struct aef_info_api apis[AEF_APIS_MAX];
    size_t n_apis;
    STACK_OF(X509) * anchors; /* of this invoker's certificate alone */
    json_t *issuers;          /* [{ccfId, jwks}]: who may sign its tokens */
};

/* One more reference, returned, and one less. */
struct aef_info *aef_info_hold(const struct aef_info *info);
void aef_info_put(struct aef_info *info);

/* Exactly once; info is NULL if the CCF can't be asked.  Borrowed. */
typedef void aef_info_fn(const struct aef_info *info, void *arg);

/*
 * What this AEF's CCF says of an invoker: from the cache, or (and always
 * with refresh, unless it is known to be unknown) by asking.  fn may be
 * called before this returns.
 */
void aef_info_get(struct aef_worker *w, const char *ccf_id,
                  const char *invoker_id, bool refresh, aef_info_fn *fn,
                  void *arg);
/* What it says of an API; NULL if that is not in the context. */
const struct aef_info_api *aef_info_of(const struct aef_info *info,
                                       const char *api_name);
/* The method selected for it; NULL likewise. */
const char *aef_info_method(const struct aef_info *info, const char *api_name);

struct aef_cache *aef_cache_new(void);
void aef_cache_free(struct aef_cache *cache);

/* Make info from the CCF's answer; NULL if that is malformed. */
struct aef_info *aef_info_parse(const char *ccf_id, const char *invoker_id,
                                const char *aef_id, const uint8_t *body,
                                size_t len);

/* ---- PSKs (psk.c) ---- */

/*
 * A PSK in the token, by its identity <ccfId>/<apiInvokerId>/<pskId>.
 * Immutable but for `dead`, which is set when it is destroyed in the token;
 * connections made with it may refer to it for a moment longer.
 */
struct aef_psk {
    atomic_uint refs;
    atomic_bool dead;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
    char psk_id[CAPIF_ID_MAX + 1];
    const struct aef_api *api; /* the interface that it is bound to */
    unsigned long long nth;    /* in order of coming: several a second may */
    uint8_t handle[CAPIF_HANDLE_LEN];
    time_t expires;
};

struct aef_psks *aef_psks_new(void);
void aef_psks_free(struct aef_psks *psks);
/*
 * Check an envelope against what its issuer may say, and unwrap its PSK into
 * the token, unless that one is there; NULL, or why it is refused.
 */
const char *aef_psk_take(struct aef *aef, const struct aef_info *info,
                         const char *envelope);
/* Destroy those whose time is up. */
void aef_psks_expire(struct aef_psks *psks);
/* Destroy those of an invoker for an API; "": for all. */
void aef_psks_revoke(struct aef_psks *psks, const char *ccf_id,
                     const char *invoker_id, const char *api_name);

/* A server context that knows PSKs. */
SSL_CTX *aef_psk_server_ctx(struct aef *aef);
/* The PSK that a connection was made with; NULL: none.  Belongs to ssl. */
const struct aef_psk *aef_psk_of(const SSL *ssl);
bool aef_psk_dead(const SSL *ssl, void *unused);

/* ---- the access token (token.c) ---- */

/* Why a call is refused: RFC 6750 3.1 error, and words for the detail. */
struct aef_refusal {
    int status;
    const char *error; /* "invalid_token", "insufficient_scope" */
    const char *why;
};

/*
 * Whose invoker a token not yet believed claims to be of, which may be
 * another CCF than the one that claims to have signed; false if malformed.
 */
bool aef_token_claimant(const struct capif_jws *jws, const char **ccf_id,
                        const char **invoker_id);

/* Is the key that it names one of its issuer's? */
bool aef_key_known(const struct capif_jws *jws, const json_t *issuers);
/* By a key that issuers has for the CCF that claims to have signed? */
bool aef_signature_holds(const struct capif_jws *jws, const json_t *issuers);
/* The peer's certificate is the invoker's, under its own anchors. */
bool aef_certificate_is(X509 *cert, STACK_OF(X509) * untrusted,
                        const struct aef_info *info);

struct aef_call {
    const char *ccf_id; /* of this AEF */
    const char *aef_id, *api_name;
    bool vouched; /* that CCF says the token is good: don't ask its key */
    bool proved;  /* aef_peer_proved() */
    time_t now;
    time_t denied_until;        /* aef_denied_until() */
    X509 *cert;                 /* the peer's, or NULL */
    STACK_OF(X509) * untrusted; /* what came with it, or NULL */
};

/* Everything that must hold for a call to pass; false: *no says why. */
bool aef_token_check(const struct capif_jws *jws, const struct aef_info *info,
                     const struct aef_call *call, struct aef_refusal *no);

/* ---- what the CCF says of a token (introspect.c) ---- */

enum aef_verdict {
    AEF_UNDECIDED, /* the CCF can't be asked */
    AEF_INACTIVE,
    AEF_ACTIVE,
};

/* Exactly once. */
typedef void aef_verdict_fn(enum aef_verdict verdict, void *arg);

/*
 * About a token of that invoker.  Kept, unless that has been revoked since, or
 * by asking; fn may be called before this returns.
 */
void aef_verdict_get(struct aef_worker *w, const struct capif_identity *who,
                     const char *token, aef_verdict_fn *fn, void *arg);

struct aef_verdicts *aef_verdicts_new(void);
void aef_verdicts_free(struct aef_verdicts *verdicts);
/*
 * By the SHA-256 of the token, capif_sha256_b64url(); asked is
 * aef_denied_count() before the CCF was.
 */
bool aef_verdict_find(struct aef_verdicts *verdicts, const char *hash,
                      time_t now, bool *active, unsigned long long *asked);
void aef_verdict_keep(struct aef_verdicts *verdicts, const char *hash,
                      bool active, unsigned long long asked, time_t until);

#endif
