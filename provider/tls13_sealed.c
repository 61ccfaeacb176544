/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS 1.3 key schedule on sealed secrets (design 2).  What libssl asks
 * for, and nothing else, follows from a handle.
 */
#include "tls13.h"

#include <string.h>

#define HASH_LEN 32
#define INFO_MAX (2 + 1 + 255 + 1 + TLS13_DATA_MAX + 1)

/* HkdfLabel of RFC 8446 7.1 and the counter of HKDF-Expand's only block. */
static size_t expand_info(const char *prefix, const char *label,
                          const uint8_t *data, size_t data_len, size_t out_len,
                          uint8_t out[INFO_MAX])
{
    size_t prefix_len = strlen(prefix), label_len = strlen(label), n = 0;

    out[n++] = (uint8_t)(out_len >> 8);
    out[n++] = (uint8_t)out_len;
    out[n++] = (uint8_t)(prefix_len + label_len);
    memcpy(out + n, prefix, prefix_len);
    n += prefix_len;
    memcpy(out + n, label, label_len);
    n += label_len;
    out[n++] = (uint8_t)data_len;
    memcpy(out + n, data, data_len);
    n += data_len;
    out[n++] = 1;
    return n;
}

static int refuse(const struct tls13 *k, const char *why)
{
    prov_raise(k->head.prov, PROV_E_SEALED, "TLS13-KDF: %s", why);
    return 0;
}

/*
 * Another label gives another secret's value, and a PSK's descendants are
 * kept by their kind: so TLS 1.3's own names, or nothing.
 */
static bool named(const struct tls13 *k, const char *label)
{
    return (strcmp(k->prefix, "tls13 ") == 0
            && (label == NULL || strcmp(k->label, label) == 0))
           || refuse(k, "not a name of TLS 1.3");
}

/* What is kept of a PSK has one context: none, or that of no messages. */
static bool static_context(const struct tls13 *k, enum sealed_kind to)
{
    uint8_t hash[HASH_LEN];

    if (to == SEALED_FINISHED)
        return k->data_len == 0;
    return to != SEALED_BINDER
           || (EVP_Q_digest(k->head.prov->soft, "SHA256", NULL, "", 0, hash,
                            NULL)
               && k->data_len == HASH_LEN
               && memcmp(k->data, hash, HASH_LEN) == 0);
}

static int keep(const struct tls13 *k, enum hsm_status st,
                struct hsm_secret *secret, enum sealed_kind kind, uint8_t *out)
{
    return prov_seal(k->head.prov, st, secret, kind, k->head.prov->tls_seconds,
                     false, out, HASH_LEN);
}

/* A PSK's own descendant: derived once, and kept with it. */
static int descend(const struct tls13 *k, struct hsm_secret *from,
                   const uint8_t *parent, size_t parent_len,
                   enum sealed_kind kind, const uint8_t *info, size_t info_len,
                   uint8_t *out)
{
    struct hsm_secret *secret = NULL;
    enum hsm_status st;

    if (sealed_find_child(k->head.prov->sealed, parent, parent_len, kind, out,
                          NULL))
        return 1;
    st = kind == SEALED_EARLY
             ? hsm_extract(from, NULL, 0, k->head.prov->travel, &secret)
             : hsm_derive(from, info, info_len, k->head.prov->travel, &secret);
    if (st != HSM_OK) {
        prov_raise_hsm(k->head.prov, st);
        return 0;
    }
    if (sealed_add_child(k->head.prov->sealed, parent, parent_len, secret, kind,
                         out))
        return 1;
    hsm_secret_free(secret);
    return refuse(k, "the table of sealed secrets is full");
}

/* `derived` of a salt that is sealed: the key of the extraction. */
static struct hsm_secret *derived_of(const struct tls13 *k,
                                     struct hsm_secret *salt,
                                     enum sealed_kind kind)
{
    uint8_t info[INFO_MAX], hash[HASH_LEN], handle[SEALED_LEN];
    struct hsm_secret *secret = NULL;
    enum hsm_status st;
    size_t len;

    if (!named(k, "derived"))
        return NULL;
    if (!EVP_Q_digest(k->head.prov->soft, "SHA256", NULL, "", 0, hash, NULL))
        return NULL;
    len = expand_info(k->prefix, k->label, hash, HASH_LEN, HASH_LEN, info);
    if (kind == SEALED_EARLY) {
        if (!descend(k, salt, k->salt, k->salt_len, SEALED_DERIVED, info, len,
                     handle)
            || sealed_find(k->head.prov->sealed, handle, SEALED_LEN, &secret,
                           NULL)
                   != SEALED_OK)
            return NULL;
        return secret;
    }
    st = hsm_derive(salt, info, len, k->head.prov->travel, &secret);
    if (st != HSM_OK)
        prov_raise_hsm(k->head.prov, st);
    return st == HSM_OK ? secret : NULL;
}

static bool all_zero(const uint8_t *p, size_t len)
{
    uint8_t acc = 0;

    while (len > 0)
        acc |= p[--len];
    return acc == 0;
}

/* HKDF-Extract(derived, ikm): what comes of an early or handshake secret. */
static int extract_salted(const struct tls13 *k, struct hsm_secret *salt,
                          enum sealed_kind kind, uint8_t *out)
{
    static const uint8_t zeros[HASH_LEN];
    bool no_key = !k->has_key || all_zero(k->key, k->key_len);
    struct hsm_secret *derived, *secret = NULL;
    enum hsm_status st;
    int ok;

    if (kind == SEALED_EARLY && no_key)
        return refuse(k, "a sealed PSK needs an ECDHE secret");
    if (kind == SEALED_HANDSHAKE && !no_key)
        return refuse(k, "a handshake secret takes no key");
    if (kind != SEALED_EARLY && kind != SEALED_HANDSHAKE)
        return refuse(k, "nothing is extracted from this secret");
    if ((derived = derived_of(k, salt, kind)) == NULL)
        return 0;
    if (kind == SEALED_EARLY && !k->head.session) {
        /* From here on it is this connection's, class 3. */
        st = hsm_mac(derived, k->key, k->key_len, out);
        if (st != HSM_OK)
            prov_raise_hsm(k->head.prov, st);
        ok = st == HSM_OK;
    } else {
        st = hsm_derive(derived, no_key ? zeros : k->key,
                        no_key ? HASH_LEN : k->key_len, k->head.prov->travel,
                        &secret);
        ok = keep(k, st, secret,
                  kind == SEALED_EARLY ? SEALED_HANDSHAKE : SEALED_MASTER, out);
    }
    hsm_secret_free(derived);
    return ok;
}

/*
 * The handshake secret of a connection without a PSK, whose salt is the
 * public constant that follows from no key at all: only its product with the
 * ECDHE secret is to be sealed, and that is made in the token.
 */
static int extract_unsalted_session(const struct tls13 *k, uint8_t *out)
{
    uint8_t info[INFO_MAX], hash[HASH_LEN], derived[HASH_LEN];
    struct hsm *h = k->head.prov->hsm;
    struct hsm_secret *base = NULL, *secret = NULL;
    size_t len, mac_len = 0;
    enum hsm_status st;
    int ok;

    if (!named(k, "derived"))
        return 0;
    if (!EVP_Q_digest(k->head.prov->soft, "SHA256", NULL, "", 0, hash, NULL))
        return 0;
    len = expand_info(k->prefix, k->label, hash, HASH_LEN, HASH_LEN, info);
    if (EVP_Q_mac(k->head.prov->soft, "HMAC", NULL, "SHA256", NULL, k->salt,
                  k->salt_len, info, len, derived, sizeof(derived), &mac_len)
        == NULL)
        return 0;
    st = hsm_import(h, derived, sizeof(derived), k->head.prov->travel, &base);
    if (st == HSM_OK)
        st =
            hsm_derive(base, k->key, k->key_len, k->head.prov->travel, &secret);
    ok = keep(k, st, secret, SEALED_HANDSHAKE, out);
    hsm_secret_free(base);
    return ok;
}

static int extract(const struct tls13 *k, enum sealed_match key,
                   struct hsm_secret *key_secret, enum sealed_kind key_kind,
                   struct hsm_secret *salt_secret, enum sealed_kind salt_kind,
                   uint8_t *out)
{
    if (key == SEALED_OK) {
        if (k->salt_len != 0 || key_kind != SEALED_KEY)
            return refuse(k, "a sealed secret is a key in the first step only");
        return descend(k, key_secret, k->key, k->key_len, SEALED_EARLY, NULL, 0,
                       out);
    }
    if (salt_secret != NULL)
        return extract_salted(k, salt_secret, salt_kind, out);
    return extract_unsalted_session(k, out);
}

/* What may follow from a sealed secret, by its label (design 2). */
static const struct {
    enum sealed_kind from;
    const char *label; /* NULL: any */
    bool plain;
    enum sealed_kind to;
} steps[] = {
    { SEALED_EARLY, "ext binder", false, SEALED_BINDER },
    { SEALED_BINDER, "finished", false, SEALED_FINISHED },
    { SEALED_HANDSHAKE, "c hs traffic", true, SEALED_KEY },
    { SEALED_HANDSHAKE, "s hs traffic", true, SEALED_KEY },
    { SEALED_MASTER, "c ap traffic", true, SEALED_KEY },
    { SEALED_MASTER, "s ap traffic", true, SEALED_KEY },
    { SEALED_MASTER, "exp master", false, SEALED_EXP_MASTER },
    { SEALED_MASTER, "res master", false, SEALED_RES_MASTER },
    { SEALED_EXP_MASTER, "EXPORTER-Channel-Binding", false,
      SEALED_EXPORTER_CB },
    { SEALED_EXP_MASTER, NULL, false, SEALED_EXPORTER },
    { SEALED_EXPORTER_CB, "exporter", true, SEALED_KEY },
    { SEALED_EXPORTER, "exporter", false, SEALED_KEY },
};

static int expand(const struct tls13 *k, struct hsm_secret *key,
                  enum sealed_kind kind, uint8_t *out, size_t out_len)
{
    uint8_t info[INFO_MAX], mac[HSM_MAC_LEN];
    struct hsm_secret *secret = NULL;
    enum hsm_status st;
    size_t i, len, n = sizeof(steps) / sizeof(steps[0]);

    if (!named(k, NULL))
        return 0;
    for (i = 0; i < n; i++)
        if (steps[i].from == kind
            && (steps[i].label == NULL
                || strcmp(steps[i].label, k->label) == 0))
            break;
    if (i == n)
        return refuse(k, "nothing of that label follows from this secret");
    if (!static_context(k, steps[i].to))
        return refuse(k, "not the context of TLS 1.3");
    if (out_len > HASH_LEN || (!steps[i].plain && out_len != HASH_LEN))
        return refuse(k, "a sealed secret has 32 octets");
    len = expand_info(k->prefix, k->label, k->data, k->data_len, out_len, info);
    if (steps[i].plain) {
        st = hsm_mac(key, info, len, mac);
        if (st == HSM_OK)
            memcpy(out, mac, out_len);
        else
            prov_raise_hsm(k->head.prov, st);
        OPENSSL_cleanse(mac, sizeof(mac));
        return st == HSM_OK;
    }
    if (steps[i].to == SEALED_BINDER || steps[i].to == SEALED_FINISHED)
        return descend(k, key, k->key, k->key_len, steps[i].to, info, len, out);
    st = hsm_derive(key, info, len, k->head.prov->travel, &secret);
    return keep(k, st, secret, steps[i].to, out);
}

static int derive_sealed(const struct tls13 *k, enum sealed_match key,
                         struct hsm_secret *key_secret,
                         enum sealed_kind key_kind,
                         struct hsm_secret *salt_secret,
                         enum sealed_kind salt_kind, uint8_t *out, size_t len)
{
    if (!prov_md_is_sha256(k->head.prov, k->md))
        return refuse(k, "sealed secrets are for SHA-256 suites");
    if (k->too_long)
        return refuse(k, "a parameter is too long");
    if (k->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY) {
        if (len != HASH_LEN)
            return refuse(k, "a sealed secret has 32 octets");
        return extract(k, key, key_secret, key_kind, salt_secret, salt_kind,
                       out);
    }
    if (k->mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY && key == SEALED_OK)
        return expand(k, key_secret, key_kind, out, len);
    return refuse(k, "neither extract nor expand");
}

int tls13_derive_sealed(const struct tls13 *k, uint8_t *out, size_t len)
{
    struct hsm_secret *key_secret = NULL, *salt_secret = NULL;
    enum sealed_kind key_kind = SEALED_KEY, salt_kind = SEALED_KEY;
    enum sealed_match key, salt;
    int ok = -1;

    key = sealed_find(k->head.prov->sealed, k->key, k->key_len, &key_secret,
                      &key_kind);
    salt = sealed_find(k->head.prov->sealed, k->salt, k->salt_len, &salt_secret,
                       &salt_kind);
    if (key == SEALED_BAD || salt == SEALED_BAD)
        ok = refuse(k, "the sealed secret is gone, or never was");
    else if (key == SEALED_OK || salt == SEALED_OK
             || (k->head.session && k->mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY
                 && k->salt_len != 0))
        ok = derive_sealed(k, key, key_secret, key_kind, salt_secret, salt_kind,
                           out, len);
    hsm_secret_free(key_secret);
    hsm_secret_free(salt_secret);
    return ok;
}
