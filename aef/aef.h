/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aef: the API exposing function, what its files share.
 *
 * struct aef is made before the workers start; all of it but the cache of
 * security information is only read from then on.  struct aef_worker belongs
 * to one thread.
 */
#ifndef AEF_H
#define AEF_H

#include "client.h"
#include "conf.h"
#include "jose.h"
#include "scope.h"
#include "server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define AEF_APIS_MAX 32
#define AEF_VS       "vendorSpecific-capif-hsm"

/* A northbound API behind this AEF: [api NAME]. */
struct aef_api {
    const char *name;    /* apiName */
    const char *prefix;  /* where it is here: apiPrefix, without a slash at
                            the end */
    const char *backend; /* where it really is: http://host:port/path */
};

struct aef_cache;

struct aef {
    struct capif_conf *conf;
    const char *aef_id, *ccf_id, *ccf_url, *ccf_address, *ca_file;
    const char *cert_file, *key_uri;
    const char *control_listen, *service_listen;
    size_t workers, info_seconds, body_max;
    struct capif_credentials cred;
    STACK_OF(X509) * ca_certs;
    SSL_CTX *control_tls, *service_tls;
    struct aef_api apis[AEF_APIS_MAX];
    size_t n_apis;
    struct aef_cache *cache; /* shared; has a lock of its own */
};

struct aef_worker {
    struct aef *aef;
    struct capif_client *client;
    struct capif_server *control, *service;
    struct aef_fetch *fetches; /* look-ups under way */
};

bool aef_load(struct aef *aef, const char *path);
void aef_unload(struct aef *aef);

extern const struct capif_route aef_control_routes[];
capif_handler aef_post_check_authentication;
/* All requests of the service listener. */
capif_handler aef_serve;

/* ---- security information of an invoker, by CAPIF-3 (info.c) ---- */

struct aef_info_api {
    char api_name[CAPIF_SCOPE_NAME_MAX + 1];
    char method[16];
};

/* Immutable once made; a negative answer has known = false. */
struct aef_info {
    atomic_uint refs;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
    bool known;
    bool mutual; /* OAuth: the invoker must come with its certificate */
    time_t expires;
    struct aef_info_api apis[AEF_APIS_MAX];
    size_t n_apis;
    STACK_OF(X509) * anchors; /* of this invoker's certificate alone */
    json_t *issuers;          /* [{ccfId, jwks}]: who may sign its tokens */
};

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
/* The method selected for an API; NULL if the API is not in the context. */
const char *aef_info_method(const struct aef_info *info, const char *api_name);

struct aef_cache *aef_cache_new(void);
void aef_cache_free(struct aef_cache *cache);

/* Make info from the CCF's answer; NULL if that is malformed. */
struct aef_info *aef_info_parse(const char *ccf_id, const char *invoker_id,
                                const char *aef_id, const uint8_t *body,
                                size_t len);

/* ---- the access token (token.c) ---- */

/* Why a call is refused: RFC 6750 3.1 error, and words for the detail. */
struct aef_refusal {
    int status;
    const char *error; /* "invalid_token", "insufficient_scope" */
    const char *why;
};

/* Whom a token not yet believed claims to be of; false if malformed. */
bool aef_token_claimant(const struct capif_jws *jws, const char **ccf_id,
                        const char **invoker_id);

struct aef_call {
    const char *aef_id, *api_name;
    time_t now;
    X509 *cert;                 /* the peer's, or NULL */
    STACK_OF(X509) * untrusted; /* what came with it, or NULL */
};

/* Everything that must hold for a call to pass; false: *no says why. */
bool aef_token_check(const struct capif_jws *jws, const struct aef_info *info,
                     const struct aef_call *call, struct aef_refusal *no);

#endif
