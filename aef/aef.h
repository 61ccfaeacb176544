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
#define AEF_INVOKER  "CAPIF-API-Invoker" /* field: ccfId/apiInvokerId */

/* What may be called of an API (TS 29.222 8.2.4.2.6). */
struct aef_resource {
    char *pattern; /* /apiVersion and the URI, where {x} is any one segment */
    char *names;   /* an object with apiName, apiVersion and resourceName */
    unsigned methods;
};

/* A northbound API behind this AEF: [api NAME]. */
struct aef_api {
    const char *name;        /* apiName */
    const char *backend;     /* where it really is: http://host:port/path;
                                NULL: at other AEFs, where the CCF says */
    const char *description; /* file */
    json_t *doc;             /* what is in it, and what that says: */
    char *prefix;            /* where it is here, without a slash at the end */
    struct aef_resource *resources;
    size_t n_resources;
};

struct aef_cache;
struct aef_counter;
struct aef_denied;
struct aef_info;
struct aef_journal;
struct aef_psks;
struct aef_publisher;
struct aef_reporter;
struct aef_routes;
struct aef_till;
struct aef_verdicts;

struct aef {
    struct capif_conf *conf;
    const char *aef_id, *ccf_id, *ccf_url, *ccf_address, *ca_file;
    const char *cert_file, *key_uri;
    const char *control_listen, *service_listen;
    const char *const *connect;      /* capif_connect_of() */
    const char *const *entry_points; /* AEFs that may pass calls on to here */
    const char *transport_key_uri;   /* NULL: no PSKs */
    const char *const *psk_issuers;  /* CCFID=FILE of partners */
    const char *service_fqdn;        /* with service_port: the interface */
    size_t service_port;
    const char *token_check; /* local or introspect */
    size_t workers, info_seconds, body_max;
    size_t timeout;    /* seconds of silence, of invokers and backends */
    const char *state; /* directory of what is kept over a restart */
    int state_fd;
    const char *store;     /* of counts; NULL: a file in state */
    size_t report_seconds; /* calls are reported after these */
    const char *apf_cert_file, *apf_key_uri; /* NULL: others publish */
    const char *for_capif_hsm;               /* what is none of ours */
    struct capif_credentials cred, apf_cred;
    struct capif_identity apf;
    EVP_PKEY *transport;
    json_t *issuers; /* [{ccfId, jwks}] of psk_issuers */
    STACK_OF(X509) * ca_certs;
    SSL_CTX *control_tls, *service_tls;
    struct aef_api apis[AEF_APIS_MAX];
    size_t n_apis;
    struct aef_cache *cache; /* shared, like the next; locks of their own */
    struct aef_counter *counter;
    struct aef_routes *routes;
    struct aef_denied *denied;
    struct aef_psks *psks;
    struct aef_verdicts *verdicts;
};

#define AEF_RATES 256

/* What somebody has caused in a second. */
struct aef_rate {
    time_t second;
    unsigned n;
};

struct aef_worker {
    struct aef *aef;
    struct event_base *base;
    bool background; /* serves nobody */
    struct capif_client *client;
    struct capif_server *control, *service;
    struct aef_fetch *fetches;     /* look-ups under way */
    struct aef_inquiry *inquiries; /* about tokens */
    struct aef_till *till;         /* for calls to be counted */
    struct aef_journal *journal;
    struct aef_reporter *reporter; /* of the one in the background */
    struct aef_publisher *publisher;
    struct aef_rate rates[AEF_RATES];    /* of look-ups, by address */
    struct aef_rate refusals[AEF_RATES]; /* of calls, by invoker */
    struct event *tick;                  /* whose time is up */
};

/*
 * May there be one more in this second?  Those that share a place share its
 * limit (OQ-21).
 */
bool aef_rate_ok(struct aef_rate rates[AEF_RATES], const char *whose,
                 unsigned max);

/* ---- the description of an API (description.c) ---- */

#define AEF_ALLOW_MAX 40

/* Read the file, with name set; NULL, or why it is of no use. */
const char *aef_description_read(struct aef_api *api, const char *aef_id);
void aef_description_clear(struct aef_api *api);
/* Is it one of TS 29.222's type Operation? */
bool aef_operation_known(const char *method);
/*
 * The resource at a path that begins after the API's prefix; NULL: there is
 * none.  *may: that may be done there; allow: what may, for an Allow field.
 */
const struct aef_resource *aef_resource_at(const struct aef_api *api,
                                           const char *path, const char *method,
                                           bool *may,
                                           char allow[AEF_ALLOW_MAX]);

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

/* ---- what an invoker may do of an API at this AEF (policy.c) ---- */

#define AEF_UNLIMITED (-1)
#define AEF_NAME_MAX  (CAPIF_CCF_ID_MAX + 1 + CAPIF_ID_MAX)

struct aef_range {
    time_t from, to; /* to is the first second after it */
};

/* TS 29.222 8.6.4.2.3, and our othersDenied. */
struct aef_policy {
    long total, per_second; /* invocations, or AEF_UNLIMITED */
    bool denied;            /* whatever it says */
    bool ranged;            /* only in these: */
    struct aef_range *ranges;
    size_t n_ranges;
};

/* As policies name an invoker: of another domain, ccfId/apiInvokerId. */
void aef_policy_name(const struct aef *aef, const char *ccf_id,
                     const char *invoker_id, char out[AEF_NAME_MAX + 1]);
/* The entry of that name; others are no concern of it.  Complains. */
void aef_policy_read(const struct capif_at *list, const char *name,
                     struct aef_policy *out);
/* To one that allows all. */
void aef_policy_clear(struct aef_policy *policy);
/* Does it depend on how often it was called? */
bool aef_policy_counts(const struct aef_policy *policy);
/* May it be called at that time?  If not, *until: when it may; 0: never. */
bool aef_policy_allows(const struct aef_policy *policy, time_t now,
                       time_t *until);

/* ---- how often it did (count.c) ---- */

enum aef_count_result {
    AEF_COUNTED,
    AEF_USED_UP,   /* the total */
    AEF_TOO_FAST,  /* in this second */
    AEF_UNCOUNTED, /* the store can't be asked */
};

/* Exactly once, unless the worker ends before. */
typedef void aef_count_fn(enum aef_count_result result, void *arg);

/* NULL and a line in the log if the store can't be had. */
struct aef_counter *aef_counter_new(const char *store, const char *aef_id);
/* When all threads have ended. */
void aef_counter_free(struct aef_counter *c);
/* In the thread of base from now on, which may block. */
bool aef_counter_serve(struct aef_counter *c, struct event_base *base);
void aef_counter_rest(struct aef_counter *c);
/* One for each worker, made before threads run; freed with the counter. */
struct aef_till *aef_till_open(struct aef_counter *c, struct event_base *base);
void aef_till_close(struct aef_till *till);
/*
 * Count a call, if it is within the policy's limits; fn may be called before
 * this returns.
 */
void aef_count(struct aef_till *till, const struct capif_identity *who,
               const char *api_id, const struct aef_policy *policy,
               aef_count_fn *fn, void *arg);

/* ---- security information of an invoker, by CAPIF-3 (info.c, ask.c) ---- */

struct aef_info_api {
    char api_name[CAPIF_SCOPE_NAME_MAX + 1];
    char api_id[CAPIF_ID_MAX + 1];
    char method[16];
    struct aef_policy policy;
    char *envelope;       /* of a PSK; or NULL */
    char thumbprint[44];  /* of the invoker's one good certificate; or "" */
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
    unsigned long long nth;   /* in the cache, in order of coming */
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

/* Ask the CCF as this AEF; path begins with a slash.  false: done isn't called.
 */
bool aef_ccf_get(struct aef_worker *w, const char *path, capif_answer_fn *done,
                 void *arg);

struct aef_cache *aef_cache_new(void);
void aef_cache_free(struct aef_cache *cache);
/*
 * A reference of the caller's own, or NULL.  What was asked before something
 * of that invoker's was revoked is as good as not there, and so is what was
 * there when aef_cache_count() was `after`.
 */
struct aef_info *aef_cache_find(const struct aef *aef, const char *ccf_id,
                                const char *invoker_id,
                                unsigned long long after);
unsigned long long aef_cache_count(struct aef_cache *cache);
/* Takes a reference; the oldest entry goes if there is no room. */
void aef_cache_add(struct aef_cache *cache, struct aef_info *info);

/* An invoker whom a worker is asking the CCF about. */
struct aef_asking {
    struct aef_asking *next;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
};

/* false: another worker is doing so already.  who is the caller's. */
bool aef_asking_begin(struct aef_cache *cache, struct aef_asking *who);
/* No matter whether it was begun. */
void aef_asking_end(struct aef_cache *cache, struct aef_asking *who);

/* Of an unknown invoker. */
struct aef_info *aef_info_new(const char *ccf_id, const char *invoker_id);
/*
 * Make info from the CCF's answer, without policies; NULL if that is
 * malformed.
 */
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
/*
 * The peer's certificate is the invoker's, under its own anchors, and, where
 * its CCF says so for the API, the one that was neither replaced nor revoked.
 */
bool aef_certificate_is(X509 *cert, STACK_OF(X509) * untrusted,
                        const struct aef_info *info, const char *api_name);

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
