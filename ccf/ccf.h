/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf: the CAPIF core function, what its files share.
 *
 * struct ccf is a configuration as it was read, and only read from then on:
 * SIGHUP makes a new one, which each worker takes in its place.  A request
 * holds the one that it began with, a call to a partner (ccf_partner_call())
 * the one that the partner is of; so a struct ccf_partner found at one of
 * these times may be used until the request or call has ended.
 * struct ccf_worker belongs to one thread.  Routes and who may use them are
 * in routes.c; a handler that runs knows its peer from worker->peer, which
 * is valid until the handler returns.
 */
#ifndef CCF_H
#define CCF_H

#include "client.h"
#include "conf.h"
#include "jose.h"
#include "scope.h"
#include "seal.h"
#include "server.h"
#include "store.h"

#include <stdatomic.h>

#define CCF_PARTNERS_MAX 16
#define CCF_KEYS_MAX     8     /* of a kind, the one in use and older ones */
#define CCF_APIS_MAX     32    /* securityInfo entries in one request */
#define CCF_HOP_MS       5000L /* design 10, OQ-20 */

/* Bits of struct capif_route's `who`. */
#define CCF_FROM_INVOKER (1u << CAPIF_INVOKER)
#define CCF_FROM_AEF     (1u << CAPIF_AEF)
#define CCF_FROM_APF     (1u << CAPIF_APF)
#define CCF_FROM_AMF     (1u << CAPIF_AMF)
#define CCF_FROM_PARTNER (1u << CAPIF_CCF)

#define CCF_TRANSPORTS_MAX 16
#define CCF_FUNCS_MAX      8    /* of one registration */
#define CCF_PEM_MAX        8192 /* a request or key in a document */
#define CCF_ANSWERED_MAX   64   /* questions to partners that are remembered */

/* An AEF's transport key, for which its PSKs are wrapped. */
struct ccf_transport {
    char aef_id[CAPIF_ID_MAX + 1];
    EVP_PKEY *key;
    char kid[44]; /* x5t#S256 of its certificate */
};

struct ccf_transports {
    const char *const *option; /* AEFID=FILE, ... */
    struct ccf_transport list[CCF_TRANSPORTS_MAX];
    size_t n;
};

/* Another domain's CCF, and what was agreed with it: [partner NAME]. */
struct ccf_partner {
    struct ccf *of; /* whose it is */
    const char *name;
    const char *ccf_id;
    const char *url;       /* https://ccf_id:port */
    const char *address;   /* where that is, if DNS does not say */
    const char *ca;        /* files: its CA's certificates, its JWS keys */
    const char *jwks_file; /* NULL: only what is fetched */
    bool jwks_fetch;
    size_t jwks_interval;
    const char *const *aefs; /* ids of AEFs, theirs and ours, that it names */
    const char *const *methods;
    bool publish; /* tell it of what is shared with it */
    struct ccf_transports transports;
    STACK_OF(X509) * ca_certs;
    json_t *jwks; /* of the file, or NULL; see ccf_keys_of() */
};

struct ccf {
    atomic_uint refs;
    struct capif_conf *conf;
    const char *ccf_id, *listen, *store_name, *url;
    const char *cert_file, *key_uri, *ca_file;
    /* The first of each is the one in use, the others still hold. */
    const char *const *ca_key_uris, *const *jws_key_uris, *const *kek_uris;
    const char *const *methods; /* this CCF's policy, design 10, OQ-8 */
    const char *oauth_client_auth;
    const char *kek_uri;        /* the first; NULL: no PSKs */
    const char *notify_ca;      /* NULL: the system's */
    const char *const *connect; /* HOST:PORT=ADDRESS:PORT, ... */
    struct ccf_transports transports;
    const char *revoked_file; /* NULL: none */
    size_t psk_seconds, crl_seconds;
    size_t workers, token_seconds, context_seconds, cert_days;
    size_t discover_max;        /* APIs in one answer */
    size_t partner_seconds;     /* how long a partner's answer is good enough */
    size_t audit_max, log_days; /* entries in an answer; kept: 0 for ever */
    struct capif_credentials cred;
    STACK_OF(X509) * ca_certs;       /* the first is the issuer */
    EVP_PKEY *ca_keys[CCF_KEYS_MAX]; /* of ca_certs[i]; NULL: none */
    EVP_PKEY *ca_key, *jws_key;      /* the first; jws_key is owned */
    char kid[44];                    /* of jws_key */
    json_t *jwks;                    /* all */
    STACK_OF(X509) * revoked;        /* by the operator; may be NULL */
    char crl_url[2 * CAPIF_CCF_ID_MAX + CAPIF_CA_ID + 32]; /* of ca_key */
    STACK_OF(X509) * anchors; /* own and partners'; borrowed */
    SSL_CTX *tls;
    struct ccf_partner partners[CCF_PARTNERS_MAX];
    size_t n_partners;
    struct ccf_domain domain; /* the same for the store */
};

/* What a partner was asked, and when that is to be asked again. */
struct ccf_answered {
    unsigned char question[32]; /* SHA-256 of the partner and the question */
    time_t until;               /* of the monotonic clock */
};

struct ccf_worker {
    struct ccf *ccf;
    struct event_base *base;
    struct ccf_store *store;
    struct capif_client *client;
    struct capif_server *server;     /* NULL: of the courier */
    struct ccf_courier *courier;     /* NULL: of those who serve */
    struct ccf_rewrap *rewrap;       /* likewise */
    struct ccf_crl_fetch *crl_fetch; /* likewise */
    struct ccf_crls *crls;
    struct capif_identity peer; /* of the request being dispatched */
    char peer_thumbprint[44];
    char peer_group[CAPIF_ID_MAX + 1]; /* onboardingId or apiProvDomId */
    time_t keys_due[CCF_PARTNERS_MAX]; /* of the courier: when to fetch */
    struct ccf_answered answered[CCF_ANSWERED_MAX]; /* a ring (known.c) */
    size_t next_answered;
};

/*
 * Read the configuration and load all keys; NULL: it said why.  was NULL: as
 * the program's first use of OpenSSL.  Else once more: what can't change
 * while it runs must be as in was.
 */
struct ccf *ccf_open(const char *path, const struct ccf *was);
/* All keys that ccf's options name (own_keys.c); false: it said why. */
bool ccf_keys_load(struct ccf *ccf);
/* One more reference, returned, and one less. */
struct ccf *ccf_hold(struct ccf *ccf);
void ccf_let_go(struct ccf *ccf);

extern const struct capif_route ccf_routes[];
unsigned ccf_who(const struct capif_req *req, void *app);
const struct ccf_partner *ccf_partner_find(const struct ccf *ccf,
                                           const char *ccf_id);
/* Is that domain ours, or a partner's still? */
bool ccf_domain_known(const struct ccf *ccf, const char *ccf_id);
/* By its url, which is its issuer identifier. */
const struct ccf_partner *ccf_partner_by_url(const struct ccf *ccf,
                                             const char *url);

/*
 * The peer as an invoker of a partner's domain, under that partner's CA, and
 * not on its CRL (CCF_STORE_GONE).  For the token end-point, where that is
 * worth something together with the partner's word; to all others, ccf_who()
 * says that it is nobody.
 */
enum ccf_store_status ccf_foreign_invoker(const struct capif_req *req,
                                          struct ccf_worker *w,
                                          struct capif_identity *out);

/* prefix and 16 random hexadecimal digits. */
bool ccf_make_id(const char *prefix, char out[CAPIF_ID_MAX + 1]);
/* 401, 404, 409 or 503, as st says; never CCF_STORE_OK. */
void ccf_reply_store(struct capif_req *req, enum ccf_store_status st);

/* ---- enrolment (enrol.c) ---- */

/* What an enrolment token of this CCF grants. */
struct ccf_grant {
    struct ccf_enrolment enrolment;
    json_t *claims; /* owned */
};

/*
 * NULL, or why token is no valid enrolment for role ("invoker" or
 * "provider").  Whether it was used before is the store's to say.
 */
const char *ccf_grant_check(const struct ccf *ccf, const char *token,
                            const char *role, struct ccf_grant *out);
/*
 * Issue a certificate to who for the key of a PKCS#10 request.  NULL: *why
 * says what is wrong with the request, or is NULL if signing failed.
 */
X509 *ccf_issue(const struct ccf *ccf, const struct capif_identity *who,
                const char *csr_pem, const char *dns_name, const char **why);
/* The same for a transport key in SPKI form, which can't sign a request. */
X509 *ccf_issue_transport(const struct ccf *ccf,
                          const struct capif_identity *who,
                          const char *spki_pem);

/*
 * A certificate as a JSON string, with the thumbprint of the member it makes.
 * NULL as for ccf_issue().
 */
json_t *ccf_issue_member(const struct ccf *ccf, struct ccf_member *m,
                         const char *csr_pem, const char *dns_name,
                         const char **why);
/* Whose id a new member has; id NULL: one is made.  false: no random. */
bool ccf_member_init(struct ccf_worker *w, struct ccf_member *m,
                     enum capif_role role, const char *id);
void ccf_refuse_grant(struct capif_req *req, const char *why);

/* ---- documents that their owners change (change.c) ---- */

/* Why something is not done: an answer's status, cause and detail. */
struct ccf_refusal {
    int status;
    const char *cause;
    char why[256];
};

/* One POST, PUT or PATCH on its way from the body to the store. */
struct ccf_change {
    struct capif_req *req;
    struct ccf_worker *w;
    struct ccf_member by; /* who asks */
    const char *id;       /* of the resource */
    bool patch;
    json_t *body;
    json_t *was; /* NULL: it is a new one */
    json_t *doc; /* what it is to be */
    const struct ccf_grant *grant;
    struct ccf_member members[CCF_FUNCS_MAX];
    size_t n_members;
    bool test;  /* a test notification is asked for and supported */
    bool async; /* done, and to be told by a notification */
    struct capif_reader reader; /* what is wrong with body or doc */
    struct ccf_refusal no;      /* or what else is; status 0: nothing */
};

struct ccf_resource {
    enum ccf_store_status (*get)(struct ccf_change *c, json_t **was);
    /* Check and complete doc; sets members.  Changes nothing in the store. */
    void (*complete)(struct ccf_change *c);
    enum ccf_store_status (*set)(struct ccf_change *c);
    /* What the owner gets to see, a new document; NULL: doc. */
    json_t *(*show)(struct ccf_change *c);
};

/* The peer of the request being dispatched, as a member. */
struct ccf_member ccf_peer(const struct ccf_worker *w);
/* Is the group of the path the peer's?  Answers 403 or 404 if not. */
bool ccf_own_group(struct capif_req *req, struct ccf_worker *w);
/*
 * PUT or PATCH: read, change, and write if it has not changed meanwhile, else
 * again.  Answers.
 */
void ccf_change(struct capif_req *req, struct ccf_worker *w, const char *id,
                bool patch, const struct ccf_resource *r);
/* The same of the group that the path names, if it is the peer's. */
void ccf_change_group(struct capif_req *req, struct ccf_worker *w, bool patch,
                      const struct ccf_resource *r);
/* Complete c->doc; false: answered. */
bool ccf_change_complete(struct ccf_change *c, const struct ccf_resource *r);
/* 202, since the author of an async change prefers a notification. */
void ccf_change_accepted(struct ccf_change *c);
/* Complain if the body would give a member of the root another value. */
void ccf_change_keeps(struct ccf_change *c, const char *name,
                      const char *value);
/*
 * Of the features that a document's author supports, those that are among
 * ours, which become the document's.  used: those that the document makes use
 * of, for one whose author says nothing of features.
 */
unsigned ccf_features(json_t *doc, const char *name, unsigned ours,
                      unsigned used);
/* The token can't sign now. */
void ccf_change_no_token(struct ccf_change *c);

/* ---- service APIs (api.c) ---- */

/* Complain about whatever is wrong in a ServiceAPIDescription. */
void ccf_api_check(const struct capif_at *api);
/* The same of one AefProfile. */
void ccf_profile_check(const struct capif_at *profile);
/* The same of an InterfaceDescription. */
void ccf_interface_check(const struct capif_at *interface);
/* The profile of that AEF in a description; borrowed, or NULL. */
json_t *ccf_api_profile(const json_t *api, const char *aef_id);

/* ---- who may see and use what (access.c) ---- */

/* An invoker, or with invoker_id NULL a partner's CCF for all of its. */
struct ccf_asker {
    const char *ccf_id, *invoker_id;
};

/*
 * Take out of an own API's description the profiles that he must not see:
 * those that topology hiding hides, and those where he has no access.
 * NOT_FOUND: none is left.
 */
enum ccf_store_status ccf_access_see(struct ccf_worker *w,
                                     const struct ccf_asker *who,
                                     const char *api_id, json_t *api);
/* The same, but for access: *denied says of which AEFs, a set. */
enum ccf_store_status ccf_access_unhide(struct ccf_worker *w,
                                        const struct ccf_asker *who,
                                        const char *api_id, json_t *api,
                                        json_t **denied);
/*
 * May he use that API of this domain at that AEF?  NOT_FOUND: no, or another
 * of the same name there is denied to him, which a scope could not exclude,
 * or it is not there.
 */
enum ccf_store_status ccf_access_use(struct ccf_worker *w,
                                     const struct ccf_asker *who,
                                     const char *api_id, const char *api_name,
                                     const char *aef_id);
/*
 * The same of an entry of a context: where another domain is concerned, the
 * agreement still has the AEF and the method in it, and its own APIs are a
 * matter of its own policies.
 */
enum ccf_store_status ccf_access_entry(struct ccf_worker *w,
                                       const struct ccf_asker *who,
                                       const json_t *entry);
/*
 * The parameter aef-id, if the API of the path is at that AEF and both are
 * the peer's: an AEF itself, or an AMF of its domain.  NULL: answered.
 */
const char *ccf_api_at_aef(struct capif_req *req, struct ccf_worker *w);
/* 400 because of one parameter of the query. */
void ccf_reply_parameter(struct capif_req *req, const char *name,
                         const char *why);
/* SupportedFeatures as a parameter, if there; false: answered. */
bool ccf_features_param(struct capif_req *req, const char *name);

/* ---- security contexts (wish.c chooses, security.c handles) ---- */

/* One entry of securityInfo in a request; borrows from the document. */
struct ccf_wish {
    const char *aef_id, *api_id;
    char aef_room[CAPIF_ID_MAX + 1]; /* for an aef_id that was looked up */
    const char *ccf_id;              /* CCF information (S1 step 2), or NULL */
    json_t *interface;               /* instead of aef_id, or NULL */
    const char *pref[9];             /* in order of preference, ended by NULL */
    const struct ccf_partner *at;    /* whose domain it is in; NULL: ours */
};

/* The wishes of a ServiceSecurity; complaints go to its reader. */
size_t ccf_wishes_read(const struct capif_at *root, struct ccf_wish *out);
/*
 * Whose domain is the API in (S1 step 3)?  Sets wish->at, and wish->aef_id
 * where only an interface was named.  partner: who asks; NULL: an invoker.
 */
bool ccf_wish_locate(struct ccf_worker *w, struct ccf_wish *wish,
                     const struct ccf_partner *partner, struct ccf_refusal *no);
/* Choose for an AEF of this domain (S1 step 5); NULL: *no says why. */
json_t *ccf_wish_choose(struct ccf_worker *w, const struct ccf_wish *wish,
                        const struct ccf_partner *partner,
                        const struct ccf_asker *who, struct ccf_refusal *no);
/*
 * The answer's entry: the wish, what was selected, and what CAPIF has no
 * attribute for.  auth_info, api_name and interface (which is borrowed) may
 * be NULL.
 */
json_t *ccf_wish_entry(const struct ccf_wish *wish, const char *selected,
                       const char *auth_info, const char *ccf_id,
                       const char *api_name, json_t *interface);
/* Only the members that identify an interface (design 6). */
json_t *ccf_interface_bare(const json_t *interface);
bool ccf_interface_same(const json_t *a, const json_t *b);
/* The certificates as PEM strings, a JSON array. */
json_t *ccf_pem_list(STACK_OF(X509) * certs);
/* The apiName of a known API; the caller frees it.  NULL: not known. */
char *ccf_api_name(struct ccf_worker *w, const char *ccf_id,
                   const char *api_id);

/* ---- security method 1, TLS-PSK (psk.c) ---- */

/*
 * Note a PSK for an entry that selected it, from the CAPIF-1e session that
 * negotiates, and complete the entry for the invoker; false: logged.
 */
bool ccf_psk_note(struct ccf_worker *w, const struct capif_session_kept *kept,
                  const struct capif_identity *invoker, json_t *entry);
/*
 * The PSK envelope for the AEF of an entry (design 7), which transports
 * names; NULL: *no says why.  The caller frees it.
 */
char *ccf_psk_envelope(struct ccf_worker *w,
                       const struct ccf_transports *transports,
                       const struct capif_identity *invoker,
                       const json_t *entry, struct ccf_refusal *no);

/*
 * KEY from the store, under whichever of the KEKs it is; a handle that lives
 * for so many seconds.  false: OpenSSL's queue says why.
 */
bool ccf_psk_key(const struct ccf *ccf, const char *wrapped, unsigned seconds,
                 uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len);

/* ---- CAPIF-6e (partner.c) ---- */

/*
 * Call a partner's CCF with this CCF's certificate; body may be NULL.  path
 * begins with a slash.  done is not called if this returns false.
 */
bool ccf_partner_call(struct ccf_worker *w, const struct ccf_partner *partner,
                      const char *method, const char *path, const json_t *body,
                      capif_answer_fn *done, void *arg);
/* What went wrong with an answer that is not 2xx, for the one who waits. */
void ccf_partner_refusal(const struct ccf_partner *partner,
                         const struct capif_answer *answer,
                         struct ccf_refusal *no);

/* ---- what no request waits for (courier.c) ---- */

struct ccf_courier *ccf_courier_new(struct event_base *base,
                                    struct ccf_worker *w);
/* After its client, whose callbacks need it. */
void ccf_courier_free(struct ccf_courier *courier);

/* ---- KEYs under older KEKs (rewrap.c) ---- */

struct ccf_rewrap *ccf_rewrap_new(struct event_base *base,
                                  struct ccf_worker *w);
/* w's configuration is a new one; NULL: nothing. */
void ccf_rewrap_begin(struct ccf_rewrap *rewrap);
void ccf_rewrap_free(struct ccf_rewrap *rewrap);

/* ---- CRLs (crl.c, and crl_fetch.c in the background) ---- */

struct ccf_crls *ccf_crls_new(void);
void ccf_crls_free(struct ccf_crls *crls);
/*
 * Does a partner's CRL, as we have it, list a certificate of its CA?
 * CCF_STORE_GONE: it does.  CCF_STORE_ERROR: that can't be told.
 */
enum ccf_store_status ccf_revoked_there(struct ccf_worker *w,
                                        const char *ccf_id, X509 *ca,
                                        const X509 *cert);
/* The CA certificate of this CCF that cert is under, or NULL. */
X509 *ccf_issuer_of(const struct ccf *ccf, X509 *cert);

struct ccf_crl_fetch *ccf_crl_fetch_new(struct event_base *base,
                                        struct ccf_worker *w);
/* As ccf_rewrap_begin(). */
void ccf_crl_fetch_begin(struct ccf_crl_fetch *fetch);
void ccf_crl_fetch_free(struct ccf_crl_fetch *fetch);

/* Whose context the path names; answers and returns false if not yours. */
bool ccf_context_whose(struct capif_req *req, struct ccf_worker *w,
                       const char **ccf_id);

/* ---- handlers ---- */

capif_handler ccf_post_onboarding, ccf_put_onboarding, ccf_patch_onboarding,
    ccf_delete_onboarding;
capif_handler ccf_post_registration, ccf_put_registration,
    ccf_patch_registration, ccf_delete_registration;
capif_handler ccf_post_api, ccf_get_apis, ccf_get_api, ccf_put_api,
    ccf_patch_api, ccf_delete_api;
capif_handler ccf_post_subscription, ccf_put_subscription,
    ccf_patch_subscription, ccf_delete_subscription;
capif_handler ccf_get_discover;
capif_handler ccf_get_policy, ccf_put_policy, ccf_delete_policy;
capif_handler ccf_get_routing, ccf_put_routing, ccf_delete_routing;
capif_handler ccf_put_context, ccf_update_context, ccf_get_context,
    ccf_delete_context, ccf_revoke_context, ccf_post_notification;
capif_handler ccf_post_token;
capif_handler ccf_get_jwks, ccf_get_metadata;
capif_handler ccf_post_introspect;
capif_handler ccf_get_crl;
capif_handler ccf_post_log, ccf_get_logs;

#endif
