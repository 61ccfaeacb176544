/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and requests of strangers: as PEM, and as DER, which a fuzzer
 * gets further with.
 */
#include "cert.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void identity(X509 *cert)
{
    struct capif_identity who;

    if (cert != NULL && capif_cert_identity(cert, &who)
        && (who.role == CAPIF_NOBODY || !capif_ccf_id_ok(who.ccf_id)
            || (who.role == CAPIF_CCF ? strcmp(who.id, who.ccf_id) != 0
                                      : !capif_id_ok(who.id))))
        abort();
    X509_free(cert);
}

static void request(const char *pem)
{
    const char *why = NULL;
    X509_REQ *req = capif_csr_parse(pem, &why);

    if ((req == NULL) != (why != NULL))
        abort();
    X509_REQ_free(req);
}

/* The octets as a request's DER, in PEM. */
static void wrapped(const uint8_t *data, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;

    if (bio == NULL
        || PEM_write_bio(bio, "CERTIFICATE REQUEST", "", data, (long)size) <= 0
        || BIO_write(bio, "", 1) != 1)
        abort();
    (void)BIO_get_mem_data(bio, &text);
    request(text);
    BIO_free(bio);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *p = data;
    char *text = malloc(size + 1);

    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    request(text);
    identity(capif_cert_parse(text));
    identity(d2i_X509(NULL, &p, (long)size));
    if (size > 0)
        wrapped(data, size);
    ERR_clear_error();
    free(text);
    return 0;
}
