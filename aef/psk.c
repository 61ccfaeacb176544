/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security method 1 at the AEF (design 6 and 7): PSK envelopes, the PSKs in
 * the token, and TLS 1.3 with them.
 */
#include "aef.h"

#include "log.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PSKS_MAX     1024
#define PSKS_PER_API 2 /* old and new, of one invoker */
/* The token's own timer comes after ours, whose refusal tells nothing. */
#define GRACE_SECONDS 3
#define SECONDS_MAX   (31536000 - GRACE_SECONDS)
#define IDENTITY_MAX  (CAPIF_CCF_ID_MAX + 2 * CAPIF_ID_MAX + 3)

struct aef_psks {
    pthread_mutex_t lock;
    struct aef_psk *slots[PSKS_MAX]; /* guarded by lock, like n_taken */
    unsigned long long n_taken;
    pthread_mutex_t decoy_lock;      /* never held together with lock */
    uint8_t decoy[CAPIF_HANDLE_LEN]; /* guarded by decoy_lock, like the next */
    time_t decoy_ends;               /* 0: there is none */
};

static void psk_put(struct aef_psk *psk)
{
    if (psk == NULL || atomic_fetch_sub(&psk->refs, 1) != 1)
        return;
    free(psk);
}

struct aef_psks *aef_psks_new(void)
{
    struct aef_psks *psks = calloc(1, sizeof(*psks));

    if (psks != NULL) {
        pthread_mutex_init(&psks->lock, NULL);
        pthread_mutex_init(&psks->decoy_lock, NULL);
    }
    return psks;
}

/* It is out of the table; now out of the token. */
static void psk_end(struct aef_psk *psk)
{
    atomic_store(&psk->dead, true);
    if (capif_seal_alive(psk->handle, sizeof(psk->handle)))
        capif_seal_release(psk->handle, sizeof(psk->handle));
    capif_log("psk-ended", "ccf", psk->ccf_id, "invoker", psk->invoker_id,
              "psk", psk->psk_id, NULL);
    psk_put(psk);
}

void aef_psks_free(struct aef_psks *psks)
{
    if (psks == NULL)
        return;
    for (size_t i = 0; i < PSKS_MAX; i++)
        if (psks->slots[i] != NULL)
            psk_end(psks->slots[i]);
    if (capif_seal_alive(psks->decoy, sizeof(psks->decoy)))
        capif_seal_release(psks->decoy, sizeof(psks->decoy));
    pthread_mutex_destroy(&psks->decoy_lock);
    pthread_mutex_destroy(&psks->lock);
    free(psks);
}

void aef_psks_expire(struct aef_psks *psks)
{
    struct aef_psk *ended[PSKS_MAX];
    time_t now = time(NULL);
    size_t n = 0;

    pthread_mutex_lock(&psks->lock);
    for (size_t i = 0; i < PSKS_MAX; i++) {
        if (psks->slots[i] != NULL && psks->slots[i]->expires <= now) {
            ended[n++] = psks->slots[i];
            psks->slots[i] = NULL;
        }
    }
    pthread_mutex_unlock(&psks->lock);
    while (n > 0)
        psk_end(ended[--n]);
}

void aef_psks_revoke(struct aef_psks *psks, const char *ccf_id,
                     const char *invoker_id, const char *api_name)
{
    struct aef_psk *ended[PSKS_MAX];
    size_t n = 0;

    pthread_mutex_lock(&psks->lock);
    for (size_t i = 0; i < PSKS_MAX; i++) {
        struct aef_psk *psk = psks->slots[i];

        if (psk == NULL || strcmp(psk->invoker_id, invoker_id) != 0
            || strcmp(psk->ccf_id, ccf_id) != 0
            || (api_name[0] != '\0' && strcmp(psk->api->name, api_name) != 0))
            continue;
        ended[n++] = psk;
        psks->slots[i] = NULL;
    }
    pthread_mutex_unlock(&psks->lock);
    while (n > 0)
        psk_end(ended[--n]);
}

/*
 * A reference of the caller's own, or NULL.  One that the token has lost is
 * as good as none: the next envelope brings it back.
 */
static struct aef_psk *psk_find(struct aef_psks *psks, const char *ccf_id,
                                const char *invoker_id, const char *psk_id)
{
    struct aef_psk *found = NULL, *lost = NULL;

    pthread_mutex_lock(&psks->lock);
    for (size_t i = 0; i < PSKS_MAX && found == NULL && lost == NULL; i++) {
        struct aef_psk *psk = psks->slots[i];

        if (psk == NULL || strcmp(psk->psk_id, psk_id) != 0
            || strcmp(psk->invoker_id, invoker_id) != 0
            || strcmp(psk->ccf_id, ccf_id) != 0)
            continue;
        if (capif_seal_alive(psk->handle, sizeof(psk->handle))) {
            found = psk;
            atomic_fetch_add(&found->refs, 1);
        } else {
            lost = psk;
            psks->slots[i] = NULL;
        }
    }
    pthread_mutex_unlock(&psks->lock);
    if (lost != NULL)
        psk_end(lost);
    return found;
}

static bool same_use(const struct aef_psk *a, const struct aef_psk *b)
{
    return a->api == b->api && strcmp(a->invoker_id, b->invoker_id) == 0
           && strcmp(a->ccf_id, b->ccf_id) == 0;
}

/*
 * The place for a new PSK: that of the same one, if another worker was
 * faster; that of the older, if an invoker has two for the API, so that none
 * fills the table; or a free one.  Caller holds psks->lock.
 */
static struct aef_psk **place_locked(struct aef_psks *psks,
                                     const struct aef_psk *psk)
{
    struct aef_psk **free_place = NULL, **older = NULL;
    size_t n = 0;

    for (size_t i = 0; i < PSKS_MAX; i++) {
        struct aef_psk **p = &psks->slots[i];

        if (*p == NULL) {
            free_place = free_place != NULL ? free_place : p;
        } else if (same_use(*p, psk)) {
            if (strcmp((*p)->psk_id, psk->psk_id) == 0)
                return p;
            n++;
            if (older == NULL || (*p)->nth < (*older)->nth)
                older = p;
        }
    }
    return n >= PSKS_PER_API ? older : free_place;
}

/*
 * Takes the reference over; or says why not.  A revocation is first on the
 * list and then clears the table: so it is looked for while that is locked.
 */
static const char *psk_add(struct aef *aef, const struct aef_info *info,
                           struct aef_psk *psk)
{
    struct aef_psks *psks = aef->psks;
    struct aef_psk **place = NULL, *ended = NULL;
    const char *why = NULL;

    pthread_mutex_lock(&psks->lock);
    if (aef_denied_since(aef->denied, psk->ccf_id, psk->invoker_id,
                         psk->api->name, info->asked))
        why = "revoked meanwhile";
    else if ((place = place_locked(psks, psk)) == NULL)
        why = "too many PSKs";
    if (place != NULL) {
        ended = *place;
        psk->nth = ++psks->n_taken;
        *place = psk;
    }
    pthread_mutex_unlock(&psks->lock);
    if (ended != NULL)
        psk_end(ended);
    return why;
}

/* ---- envelopes ---- */

/* The API whose interface here the envelope names; NULL: none. */
static const struct aef_api *api_of(const struct aef *aef,
                                    const json_t *interface)
{
    const struct aef_api *found = NULL;

    for (size_t i = 0; i < aef->n_apis; i++) {
        json_t *own = json_pack("{s:s, s:I, s:s}", "fqdn", aef->service_fqdn,
                                "port", (json_int_t)aef->service_port,
                                "apiPrefix", aef->apis[i].prefix);

        if (json_equal(own, interface))
            found = &aef->apis[i];
        json_decref(own);
    }
    return found;
}

/* What an envelope says, once its signature holds; NULL, or what is wrong. */
static const char *read_claims(const struct aef *aef,
                               const struct aef_info *info, json_t *claims,
                               struct aef_psk *psk, const char **ek)
{
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(claims, &reader);
    struct capif_at wrap = capif_get_object(&root, "wrap", true);
    const char *ccf_id = capif_get_str(&root, "ccfId", true, CAPIF_CCF_ID_MAX);
    const char *invoker =
        capif_get_str(&root, "apiInvokerId", true, CAPIF_ID_MAX);
    const char *aef_id = capif_get_str(&root, "aefId", true, CAPIF_ID_MAX);
    const char *psk_id = capif_get_str(&root, "pskId", true, CAPIF_ID_MAX);
    const char *alg = capif_get_str(&wrap, "alg", true, 32);
    const json_t *exp = json_object_get(claims, "exp");
    const json_t *iat = json_object_get(claims, "iat");
    time_t now = time(NULL);

    *ek = capif_get_str(&wrap, "ek", true, 2048);
    if (reader.n > 0 || !json_is_integer(exp) || !json_is_integer(iat)
        || !capif_id_ok(psk_id))
        return "malformed";
    if (strcmp(ccf_id, info->ccf_id) != 0)
        return "of another CCF";
    if (strcmp(invoker, info->invoker_id) != 0)
        return "for another invoker";
    if (strcmp(aef_id, aef->aef_id) != 0)
        return "for another AEF";
    if (strcmp(alg, "RSA-OAEP") != 0)
        return "wrapped by an unknown algorithm";
    psk->expires = (time_t)json_integer_value(exp);
    if (psk->expires <= now)
        return "expired";
    if (psk->expires > now + SECONDS_MAX)
        return "good for too long";
    psk->api = api_of(aef, json_object_get(claims, "interface"));
    if (psk->api == NULL)
        return "for another interface";
    /* One that is made for the asking is of that second or later. */
    if ((time_t)json_integer_value(iat)
        < aef_denied_until(aef->denied, ccf_id, invoker, psk->api->name, now))
        return "revoked, or too old";
    strcpy(psk->psk_id, psk_id);
    return NULL;
}

/*
 * Our CCF may speak for itself, but of a partner's keys we have our own
 * knowledge: else it could sign what it relays (design 7).
 */
static bool signed_by_issuer(const struct aef *aef, const struct aef_info *info,
                             const struct capif_jws *jws)
{
    return aef_signature_holds(jws, strcmp(info->ccf_id, aef->ccf_id) == 0
                                        ? info->issuers
                                        : aef->issuers);
}

static const char *take(struct aef *aef, const struct aef_info *info,
                        const struct capif_jws *jws, struct aef_psk *psk)
{
    struct aef_psk *there;
    const char *why, *ek = NULL;
    unsigned seconds;

    if (jws->typ == NULL || strcmp(jws->typ, "psk-envelope+jwt") != 0
        || !signed_by_issuer(aef, info, jws))
        return "the signature does not hold";
    if ((why = read_claims(aef, info, jws->claims, psk, &ek)) != NULL)
        return why;
    there = psk_find(aef->psks, psk->ccf_id, psk->invoker_id, psk->psk_id);
    if (there != NULL) {
        psk_put(there);
        psk_put(psk);
        return NULL;
    }
    seconds = (unsigned)(psk->expires - time(NULL)) + GRACE_SECONDS;
    if (!capif_seal_unwrap_with(aef->transport, ek, seconds, psk->handle))
        return "it can't be unwrapped";
    if ((why = psk_add(aef, info, psk)) != NULL) {
        capif_seal_release(psk->handle, sizeof(psk->handle));
        return why;
    }
    capif_log("psk-taken", "ccf", psk->ccf_id, "invoker", psk->invoker_id,
              "psk", psk->psk_id, NULL);
    return NULL;
}

const char *aef_psk_take(struct aef *aef, const struct aef_info *info,
                         const char *envelope)
{
    struct aef_psk *psk = calloc(1, sizeof(*psk));
    struct capif_jws jws;
    const char *why = "no transport-key is configured";

    if (psk == NULL || aef->transport == NULL) {
        free(psk);
        return why;
    }
    atomic_init(&psk->refs, 1);
    strcpy(psk->ccf_id, info->ccf_id);
    strcpy(psk->invoker_id, info->invoker_id);
    if ((why = capif_jws_parse(envelope, &jws)) == NULL) {
        why = take(aef, info, &jws, psk);
        capif_jws_clear(&jws);
    }
    if (why != NULL)
        psk_put(psk);
    return why;
}

/* ---- TLS ---- */

static int psk_index = -1;
static pthread_once_t psk_once = PTHREAD_ONCE_INIT;

static void connection_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad,
                             int idx, long argl, void *argp)
{
    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    psk_put(ptr);
}

static void make_psk_index(void)
{
    psk_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, connection_freed);
}

static struct aef_psk *psk_by_identity(struct aef_psks *psks,
                                       const unsigned char *identity,
                                       size_t len)
{
    char text[IDENTITY_MAX + 1], *invoker_id, *psk_id;

    if (len > IDENTITY_MAX || memchr(identity, '\0', len) != NULL)
        return NULL;
    memcpy(text, identity, len);
    text[len] = '\0';
    if ((invoker_id = strchr(text, '/')) == NULL
        || (psk_id = strchr(invoker_id + 1, '/')) == NULL)
        return NULL;
    *invoker_id++ = '\0';
    *psk_id++ = '\0';
    return psk_find(psks, text, invoker_id, psk_id);
}

/* A random key, brought into the token as an envelope's is. */
static bool decoy_make(EVP_PKEY *transport, uint8_t handle[CAPIF_HANDLE_LEN])
{
    uint8_t key[CAPIF_HANDLE_LEN];
    char *ek = RAND_bytes(key, sizeof(key)) == 1
                   ? capif_seal_wrap_for(transport, key)
                   : NULL;
    bool ok = ek != NULL
              && capif_seal_unwrap_with(transport, ek,
                                        SECONDS_MAX + GRACE_SECONDS, handle);

    OPENSSL_cleanse(key, sizeof(key));
    free(ek);
    return ok;
}

/*
 * The key for an identity that is unknown or over: one that nobody has, so
 * that the binder fails as it does for a wrong key, and tells nobody which.
 * It is in the token, so that it also takes as long.
 */
static bool decoy_key(struct aef *aef, uint8_t key[CAPIF_HANDLE_LEN])
{
    struct aef_psks *psks = aef->psks;
    time_t now = time(NULL);
    bool there;

    pthread_mutex_lock(&psks->decoy_lock);
    if (aef->transport != NULL
        && (psks->decoy_ends <= now
            || !capif_seal_alive(psks->decoy, sizeof(psks->decoy))))
        psks->decoy_ends =
            decoy_make(aef->transport, psks->decoy) ? now + SECONDS_MAX : 0;
    there = psks->decoy_ends > now;
    if (there)
        memcpy(key, psks->decoy, CAPIF_HANDLE_LEN);
    pthread_mutex_unlock(&psks->decoy_lock);
    return there || RAND_bytes(key, CAPIF_HANDLE_LEN) == 1;
}

/* libssl's external PSK. */
static int find_session(SSL *ssl, const unsigned char *identity, size_t len,
                        SSL_SESSION **out)
{
    static const unsigned char suite[] = { 0x13, 0x01 };
    struct aef *aef = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    struct aef_psk *psk;
    SSL_SESSION *session;
    unsigned char key[CAPIF_HANDLE_LEN];

    *out = NULL;
    if (cipher == NULL
        || EVP_MD_get_type(SSL_CIPHER_get_handshake_digest(cipher))
               != NID_sha256)
        return 1; /* no PSK is good for this suite: don't look for one */
    psk = psk_by_identity(aef->psks, identity, len);
    session = SSL_SESSION_new();
    if (psk != NULL && psk->expires <= time(NULL)) {
        psk_put(psk);
        psk = NULL;
    }
    if (psk != NULL)
        memcpy(key, psk->handle, sizeof(key));
    if (session == NULL || (psk == NULL && !decoy_key(aef, key))
        || !SSL_SESSION_set1_master_key(session, key, sizeof(key))
        || !SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, suite))
        || !SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION)) {
        SSL_SESSION_free(session);
        psk_put(psk);
        return 0;
    }
    psk_put(SSL_get_ex_data(ssl, psk_index)); /* after a HelloRetryRequest */
    (void)SSL_set_ex_data(ssl, psk_index, psk);
    *out = session;
    return 1;
}

SSL_CTX *aef_psk_server_ctx(struct aef *aef)
{
    SSL_CTX *ctx;

    pthread_once(&psk_once, make_psk_index);
    ctx = capif_seal_ctx("psk");
    if (ctx == NULL || psk_index < 0 || !SSL_CTX_set_num_tickets(ctx, 0)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_app_data(ctx, aef);
    SSL_CTX_set_psk_find_session_callback(ctx, find_session);
    return ctx;
}

const struct aef_psk *aef_psk_of(const SSL *ssl)
{
    /* An identity was named in any case; only a resumption proves the key. */
    return psk_index >= 0 && SSL_session_reused(ssl)
               ? SSL_get_ex_data(ssl, psk_index)
               : NULL;
}

bool aef_psk_dead(const SSL *ssl, void *unused)
{
    const struct aef_psk *psk = aef_psk_of(ssl);

    (void)unused;
    return psk != NULL
           && (atomic_load(&psk->dead) || psk->expires <= time(NULL));
}
