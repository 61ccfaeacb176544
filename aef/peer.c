/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose a connection of the service listener is, so that it can be closed when
 * that invoker is revoked.  Each call is decided by itself: to close what was
 * open adds nothing to that, but ends what is under way.
 */
#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Belongs to its SSL object, and so to one thread. */
struct peer {
    unsigned long long since; /* aef_denied_count() that it has outlived */
    bool cert_read;
    struct capif_identity cert;  /* whose it says to be */
    struct capif_identity token; /* of the last one that was good */
    struct aef_info *proved_by;  /* NULL: nothing is proved */
    char proof[44];              /* the token's hash; "": the certificate */
    struct capif_jws proved;     /* the token; without text and signature */
};

static int peer_index = -1;
static pthread_once_t peer_once = PTHREAD_ONCE_INIT;

static void unprove(struct peer *p)
{
    aef_info_put(p->proved_by);
    p->proved_by = NULL;
    capif_jws_clear(&p->proved);
}

static void peer_freed(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                       long argl, void *argp)
{
    struct peer *p = ptr;

    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    if (p != NULL)
        unprove(p);
    free(p);
}

static void make_peer_index(void)
{
    peer_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, peer_freed);
}

static int on_hello(SSL *ssl, int *alert, void *arg)
{
    const struct aef *aef = arg;
    struct peer *p = SSL_get_ex_data(ssl, peer_index);

    if (p != NULL) /* the second one, after a HelloRetryRequest */
        return SSL_CLIENT_HELLO_SUCCESS;
    if ((p = calloc(1, sizeof(*p))) == NULL
        || !SSL_set_ex_data(ssl, peer_index, p)) {
        free(p);
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_CLIENT_HELLO_ERROR;
    }
    p->since = aef_denied_count(aef->denied);
    return SSL_CLIENT_HELLO_SUCCESS;
}

bool aef_peers_watch(SSL_CTX *ctx, struct aef *aef)
{
    pthread_once(&peer_once, make_peer_index);
    if (peer_index < 0)
        return false;
    SSL_CTX_set_client_hello_cb(ctx, on_hello, aef);
    return true;
}

void aef_peer_note(SSL *ssl, const struct capif_identity *who)
{
    struct peer *p = SSL_get_ex_data(ssl, peer_index);

    if (p != NULL)
        p->token = *who;
}

/* Header and claims are never changed, so they can be shared. */
static struct capif_jws share(const struct capif_jws *jws)
{
    struct capif_jws out = *jws;

    json_incref(out.header);
    json_incref(out.claims);
    out.text = NULL;
    out.sig = NULL;
    out.signed_len = out.sig_len = 0;
    return out;
}

void aef_peer_prove(SSL *ssl, const char *hash, const struct capif_jws *jws,
                    const struct aef_info *info)
{
    struct peer *p = SSL_get_ex_data(ssl, peer_index);

    if (p == NULL)
        return;
    unprove(p);
    p->proved_by = aef_info_hold(info);
    snprintf(p->proof, sizeof(p->proof), "%s", hash);
    if (jws != NULL)
        p->proved = share(jws);
}

bool aef_peer_proved(const SSL *ssl, const char *hash,
                     const struct aef_info *info)
{
    const struct peer *p = SSL_get_ex_data(ssl, peer_index);
    const X509 *cert = SSL_get0_peer_certificate(ssl);

    return p != NULL && p->proved_by == info && strcmp(hash, p->proof) == 0
           && (cert == NULL
               || X509_cmp_current_time(X509_get0_notAfter(cert)) > 0);
}

bool aef_peer_token(const SSL *ssl, const char *hash, struct capif_jws *out)
{
    const struct peer *p = SSL_get_ex_data(ssl, peer_index);

    if (p == NULL || p->proved.claims == NULL || strcmp(hash, p->proof) != 0)
        return false;
    *out = share(&p->proved);
    return true;
}

static bool gone(const struct aef *aef, const struct capif_identity *who,
                 unsigned long long since)
{
    return who->id[0] != '\0'
           && aef_denied_since(aef->denied, who->ccf_id, who->id, NULL, since);
}

/* Only claimed before a call; who claims wrongly ends its own connection. */
static void read_cert(struct peer *p, const SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);

    if (p->cert_read || !SSL_is_init_finished(ssl))
        return;
    p->cert_read = true;
    if (cert == NULL || !capif_cert_identity(cert, &p->cert)
        || p->cert.role != CAPIF_INVOKER)
        p->cert.id[0] = '\0';
}

bool aef_peer_gone(const SSL *ssl, void *arg)
{
    const struct aef *aef = arg;
    struct peer *p = SSL_get_ex_data(ssl, peer_index);
    unsigned long long count = aef_denied_count(aef->denied);

    if (aef_psk_dead(ssl, NULL))
        return true;
    if (p == NULL || p->since == count)
        return false;
    read_cert(p, ssl);
    if (gone(aef, &p->token, p->since) || gone(aef, &p->cert, p->since))
        return true;
    p->since = count;
    return false;
}
