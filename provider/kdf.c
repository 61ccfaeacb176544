/* SPDX-License-Identifier: Apache-2.0 */
#include "kdf.h"

#include <stdlib.h>
#include <string.h>

EVP_KDF_CTX *prov_soft_kdf(struct prov_ctx *prov, enum prov_soft_kdf which)
{
    static const char *const names[PROV_N_SOFT_KDFS] = {
        [PROV_SOFT_TLS13_KDF] = "TLS13-KDF",
        [PROV_SOFT_TLS1_PRF] = "TLS1-PRF",
        [PROV_SOFT_X963KDF] = "X963KDF",
    };
    EVP_KDF *kdf = atomic_load(&prov->kdfs[which]), *none = NULL;

    if (kdf != NULL)
        return EVP_KDF_CTX_new(kdf);
    if ((kdf = EVP_KDF_fetch(prov->soft, names[which], NULL)) == NULL)
        return NULL;
    if (!atomic_compare_exchange_strong(&prov->kdfs[which], &none, kdf)) {
        EVP_KDF_free(kdf); /* another thread was faster */
        kdf = none;
    }
    return EVP_KDF_CTX_new(kdf);
}

void *prov_kdf_new(struct prov_ctx *prov, enum prov_soft_kdf which, size_t size)
{
    struct prov_kdf *k = calloc(1, size);

    if (k == NULL)
        return NULL;
    k->prov = prov;
    k->which = which;
    k->size = size;
    return k;
}

EVP_KDF_CTX *prov_kdf_soft(struct prov_kdf *k)
{
    if (k->soft == NULL)
        k->soft = prov_soft_kdf(k->prov, k->which);
    return k->soft;
}

void prov_kdf_free(void *vk)
{
    struct prov_kdf *k = vk;

    if (k == NULL)
        return;
    EVP_KDF_CTX_free(k->soft);
    OPENSSL_cleanse(k, k->size);
    free(k);
}

void *prov_kdf_dup(void *vk)
{
    const struct prov_kdf *from = vk;
    struct prov_kdf *to = malloc(from->size);

    if (to == NULL)
        return NULL;
    memcpy(to, from, from->size);
    if (from->soft != NULL
        && (to->soft = EVP_KDF_CTX_dup(from->soft)) == NULL) {
        prov_kdf_free(to);
        return NULL;
    }
    return to;
}

void prov_kdf_reset(void *vk)
{
    struct prov_kdf *k = vk;

    EVP_KDF_CTX_free(k->soft);
    k->soft = NULL;
    OPENSSL_cleanse(k + 1, k->size - sizeof(*k));
}

bool prov_md_is_sha256(struct prov_ctx *prov, const char *name)
{
    static const char *const names[] = { "SHA256", "SHA2-256", "SHA-256",
                                         "2.16.840.1.101.3.4.2.1" };
    EVP_MD *md;
    bool is;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (OPENSSL_strcasecmp(names[i], name) == 0)
            return true;
    md = EVP_MD_fetch(prov->soft, name, NULL); /* it may have others */
    is = md != NULL && EVP_MD_is_a(md, "SHA256");
    EVP_MD_free(md);
    return is;
}

void prov_md_take(const OSSL_PARAM params[], char md[PROV_MD_ROOM])
{
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_DIGEST);

    if (p != NULL && !OSSL_PARAM_get_utf8_string(p, &md, PROV_MD_ROOM))
        md[0] = '\0';
}

bool prov_param_take(const OSSL_PARAM params[], const char *name, uint8_t *out,
                     size_t room, size_t *len, bool *present)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    const void *data = NULL;
    size_t n = 0;

    if (p == NULL)
        return true;
    if (!OSSL_PARAM_get_octet_string_ptr(p, &data, &n))
        return false;
    if (present != NULL)
        *present = true;
    OPENSSL_cleanse(out, room);
    *len = data != NULL && n <= room ? n : 0;
    if (*len > 0)
        memcpy(out, data, n);
    return true;
}

bool prov_seal(struct prov_ctx *prov, enum hsm_status st,
               struct hsm_secret *secret, enum sealed_kind kind,
               unsigned lifetime, bool pinned, uint8_t *out, size_t len)
{
    if (st != HSM_OK) {
        prov_raise_hsm(prov, st);
        return false;
    }
    if (sealed_add(prov->sealed, secret, kind, lifetime, pinned, out, len))
        return true;
    hsm_secret_free(secret);
    prov_raise(prov, PROV_E_SEALED, "the table of sealed secrets is full");
    return false;
}
