/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which token a URI names (RFC 7512): the one to connect to, and all others.
 */
#include "../internal.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 256

/* A file name such as "libsofthsm2.so" or "softhsm2.so" for "softhsm2". */
static bool module_is(const char *path, const char *name)
{
    const char *file =
        strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    size_t len = strlen(name);

    if (strncmp(file, "lib", 3) == 0 && strncmp(name, "lib", 3) != 0)
        file += 3;
    return strncmp(file, name, len) == 0
           && (file[len] == '\0' || file[len] == '.' || file[len] == '-');
}

/*
 * The module that is configured, and no other: a URI may come out of a file
 * that somebody sent, and must not choose what code is loaded.
 */
static bool same_module(struct hsm *h, P11KitUri *uri)
{
    const char *name = p11_kit_uri_get_module_name(uri);
    const char *path = p11_kit_uri_get_module_path(uri);

    return (name == NULL || module_is(h->path, name))
           && (path == NULL || strcmp(path, h->path) == 0)
           && p11_kit_uri_match_module_info(uri, &h->library);
}

bool hsm_uri_matches(struct hsm *h, P11KitUri *uri, CK_SLOT_ID slot,
                     CK_TOKEN_INFO *info)
{
    CK_SLOT_ID wanted = p11_kit_uri_get_slot_id(uri);

    return p11_kit_uri_match_token_info(uri, info)
           && (wanted == (CK_SLOT_ID)-1 || wanted == slot)
           && same_module(h, uri);
}

static enum hsm_status parse(const char *text, P11KitUri **out)
{
    P11KitUri *uri = p11_kit_uri_new();

    if (uri == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    if (p11_kit_uri_parse(text, P11_KIT_URI_FOR_ANY, uri) != P11_KIT_URI_OK
        || p11_kit_uri_any_unrecognized(uri)) {
        p11_kit_uri_free(uri);
        return hsm_fail(HSM_ERR_PARAM, "malformed URI: %s", text);
    }
    *out = uri;
    return HSM_OK;
}

enum hsm_status hsm_uri_parse(struct hsm *h, const char *text, P11KitUri **out)
{
    P11KitUri *uri = NULL;
    enum hsm_status st = hsm_connect(h); /* for its token's description */

    if (st != HSM_OK || (st = parse(text, &uri)) != HSM_OK)
        return st;
    if (!hsm_uri_matches(h, uri, h->slot, &h->token)) {
        p11_kit_uri_free(uri);
        return hsm_fail(HSM_ERR_NOT_FOUND, "another token: %s", text);
    }
    *out = uri;
    return HSM_OK;
}

/* Slots whose token is initialized and matches; *n is the room on entry. */
static enum hsm_status slots_of(struct hsm *h, P11KitUri *uri,
                                CK_SLOT_ID *slots, CK_ULONG *n)
{
    CK_SLOT_ID all[SLOTS_MAX];
    CK_ULONG n_all = SLOTS_MAX, found = 0;
    CK_TOKEN_INFO info;
    enum hsm_status st = HSM_CALL(h, C_GetSlotList, CK_TRUE, all, &n_all);

    for (CK_ULONG i = 0; st == HSM_OK && i < n_all && found < *n; i++)
        if (h->p11->C_GetTokenInfo(all[i], &info) == CKR_OK
            && (info.flags & CKF_TOKEN_INITIALIZED)
            && hsm_uri_matches(h, uri, all[i], &info))
            slots[found++] = all[i];
    if (st == HSM_OK)
        *n = found;
    return st;
}

/*
 * Not by PKCS11_enumerate_slots(): releasing libp11's slots closes all
 * sessions of the process with them (C_CloseAllSessions), others' too.
 */
enum hsm_status hsm_token_choose(struct hsm *h)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    P11KitUri *uri = NULL;
    enum hsm_status st = parse(h->token_uri, &uri);

    if (st != HSM_OK)
        return st;
    st = slots_of(h, uri, slots, &n);
    p11_kit_uri_free(uri);
    if (st != HSM_OK)
        return st;
    if (n == 0)
        return hsm_fail(HSM_ERR_NOT_FOUND, "no token matches %s", h->token_uri);
    if (n > 1)
        return hsm_fail(HSM_ERR_PARAM, "%lu tokens match %s", n, h->token_uri);
    h->slot = slots[0];
    return HSM_CALL(h, C_GetTokenInfo, h->slot, &h->token);
}

/* Whatever tells a token from the others of its module. */
static char *token_uri(const CK_TOKEN_INFO *info)
{
    P11KitUri *uri = p11_kit_uri_new();
    char *text = NULL;

    if (uri == NULL)
        return NULL;
    *p11_kit_uri_get_token_info(uri) = *info;
    if (p11_kit_uri_format(uri, P11_KIT_URI_FOR_TOKEN, &text) != P11_KIT_URI_OK)
        text = NULL;
    p11_kit_uri_free(uri);
    return text;
}

enum hsm_status module_tokens(struct hsm *h, const char *text, char ***out,
                              size_t *n_out)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    P11KitUri *uri = NULL;
    CK_TOKEN_INFO info;
    char **all = NULL;
    enum hsm_status st = parse(text, &uri);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_load(h)) != HSM_OK)
        goto out;
    hsm_enter();
    if ((st = slots_of(h, uri, slots, &n)) == HSM_OK
        && (all = calloc(n + 1, sizeof(*all))) == NULL)
        st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    for (CK_ULONG i = 0; st == HSM_OK && i < n; i++) {
        st = HSM_CALL(h, C_GetTokenInfo, slots[i], &info);
        if (st == HSM_OK && (all[i] = token_uri(&info)) == NULL)
            st = hsm_fail(HSM_ERR_MEMORY, "out of memory");
    }
    hsm_leave();
    if (st == HSM_OK && n == 0)
        st = hsm_fail(HSM_ERR_NOT_FOUND, "no token matches %s", text);
    if (st != HSM_OK) {
        hsm_tokens_free(all);
        goto out;
    }
    *out = all;
    *n_out = n;
out:
    p11_kit_uri_free(uri);
    return st;
}
