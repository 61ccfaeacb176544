/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tokens behind the provider: the one that is configured, or, where none
 * is, whichever a URI names.
 */
#include "prov.h"

#include <stdlib.h>
#include <string.h>

struct prov_token {
    char *uri;  /* exact, as hsm_tokens() gives it */
    bool alone; /* hence with the configured PIN */
    struct hsm *hsm;
};

struct prov_tokens {
    pthread_mutex_t lock; /* over no call into a token */
    struct prov_token list[PROV_TOKENS_MAX];
    size_t n;
};

struct prov_tokens *prov_tokens_new(void)
{
    struct prov_tokens *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    if (!hsm_fork_guard(&t->lock)) {
        prov_tokens_free(t);
        return NULL;
    }
    return t;
}

void prov_tokens_free(struct prov_tokens *t)
{
    if (t == NULL)
        return;
    hsm_fork_unguard(&t->lock);
    for (size_t i = 0; i < t->n; i++) {
        hsm_close(t->list[i].hsm);
        free(t->list[i].uri);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* The token of that exact URI; the PIN goes to one that was named alone. */
static struct hsm *token_of(struct prov_ctx *prov, const char *uri, bool alone)
{
    struct prov_tokens *t = prov->tokens;
    struct hsm_config cfg = prov->cfg;
    struct hsm *h = NULL, *made = NULL;

    cfg.token = uri;
    if (!alone)
        cfg.pin_file = cfg.pin = NULL;
    if (hsm_new(&cfg, &made) != HSM_OK) /* no work yet */
        return NULL;
    pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->n && h == NULL; i++)
        if (t->list[i].alone == alone && strcmp(t->list[i].uri, uri) == 0)
            h = t->list[i].hsm;
    if (h == NULL && t->n < PROV_TOKENS_MAX
        && (t->list[t->n].uri = strdup(uri)) != NULL) {
        t->list[t->n].alone = alone;
        h = t->list[t->n++].hsm = made;
        made = NULL;
    }
    pthread_mutex_unlock(&t->lock);
    hsm_close(made);
    return h;
}

/* ---- finding ---- */

struct ask {
    OSSL_PASSPHRASE_CALLBACK *cb;
    void *arg;
};

static bool ask_pin(void *arg, const char *token, char *pin, size_t room,
                    size_t *len)
{
    const struct ask *ask = arg;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PASSPHRASE_PARAM_INFO,
                                         (char *)(uintptr_t)token, 0),
        OSSL_PARAM_construct_end(),
    };

    return ask->cb(pin, room, len, params, ask->arg);
}

static enum hsm_status find_in(struct prov_ctx *prov, struct hsm *h,
                               const char *uri, unsigned classes,
                               struct ask *ask, struct hsm_object **objs,
                               size_t *n)
{
    enum hsm_status st = hsm_unlock(h, uri, ask->cb != NULL ? ask_pin : NULL,
                                    ask, prov->keep_pin);

    return st == HSM_OK ? hsm_find(h, uri, classes, objs, n) : st;
}

/* Put the objects of one behind those of the other, which is taken over. */
static enum hsm_status append(struct hsm_object **objs, size_t *n,
                              struct hsm_object *more, size_t n_more)
{
    struct hsm_object *all = realloc(*objs, (*n + n_more) * sizeof(*all));

    if (all == NULL) {
        hsm_objects_free(more, n_more);
        return HSM_ERR_MEMORY;
    }
    memcpy(all + *n, more, n_more * sizeof(*all));
    free(more);
    *objs = all;
    *n += n_more;
    return HSM_OK;
}

static enum hsm_status find_in_all(struct prov_ctx *prov, char *const *uris,
                                   size_t n_uris, const char *uri,
                                   unsigned classes, struct ask *ask,
                                   struct hsm_object **objs, size_t *n)
{
    enum hsm_status st = HSM_ERR_NOT_FOUND;
    struct hsm_object *more = NULL;
    size_t n_more = 0;

    for (size_t i = 0; i < n_uris; i++) {
        struct hsm *h = token_of(prov, uris[i], n_uris == 1);

        st = h != NULL ? find_in(prov, h, uri, classes, ask, &more, &n_more)
                       : HSM_ERR_MEMORY;
        if (st == HSM_OK)
            st = append(objs, n, more, n_more);
        /* One of several that has nothing, or won't let us in, is no error. */
        if (st == HSM_ERR_MEMORY || (st != HSM_OK && n_uris == 1))
            break;
    }
    if (*n > 0)
        return HSM_OK;
    return st;
}

enum hsm_status prov_find(struct prov_ctx *prov, const char *uri,
                          unsigned classes, OSSL_PASSPHRASE_CALLBACK *cb,
                          void *arg, struct hsm_object **out, size_t *n_out)
{
    struct ask ask = { cb, arg };
    struct hsm_object *objs = NULL;
    char **uris = NULL;
    size_t n = 0, n_uris = 0;
    enum hsm_status st;

    if (!prov->any_token)
        return find_in(prov, prov->hsm, uri, classes, &ask, out, n_out);
    st = hsm_tokens(prov->hsm, uri, &uris, &n_uris);
    if (st == HSM_OK)
        st = find_in_all(prov, uris, n_uris, uri, classes, &ask, &objs, &n);
    hsm_tokens_free(uris);
    if (st != HSM_OK) {
        hsm_objects_free(objs, n);
        return st;
    }
    *out = objs;
    *n_out = n;
    return HSM_OK;
}

struct hsm *prov_token(struct prov_ctx *prov, const char *uri)
{
    struct hsm *h = prov->hsm;
    char **uris = NULL;
    size_t n = 0;

    if (prov->any_token && hsm_tokens(prov->hsm, uri, &uris, &n) == HSM_OK
        && n == 1)
        h = token_of(prov, uris[0], true);
    hsm_tokens_free(uris);
    return h;
}
