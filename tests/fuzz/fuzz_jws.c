/* SPDX-License-Identifier: Apache-2.0 */
/* A compact JWS, verified with keys of each kind; its claims as a JWK. */
#include "jose.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 8037 A.2, RFC 7515 A.3.1. */
static const char set[] =
    "{\"keys\":[{\"kid\":\"ed\",\"kty\":\"OKP\",\"crv\":\"Ed25519\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kid\":\"ec\",\"kty\":\"EC\",\"crv\":\"P-256\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static void use_as_jwk(const json_t *claims)
{
    EVP_PKEY *key = capif_jwk_parse(claims);
    char thumbprint[44];

    if (key != NULL)
        (void)capif_jwk_thumbprint(key, thumbprint);
    EVP_PKEY_free(key);
    EVP_PKEY_free(capif_jwks_find(claims, "k"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const kids[] = { "ed", "ec" };
    json_t *keys = json_loads(set, 0, NULL);
    char *text = malloc(size + 1);
    struct capif_jws jws;

    if (text == NULL || keys == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (capif_jws_parse(text, &jws) == NULL) {
        for (size_t i = 0; i < 2; i++) {
            EVP_PKEY *key = capif_jwks_find(keys, kids[i]);

            if (key == NULL)
                abort();
            (void)capif_jws_verify(&jws, key);
            EVP_PKEY_free(key);
        }
        use_as_jwk(jws.claims);
        capif_jws_clear(&jws);
    }
    ERR_clear_error();
    json_decref(keys);
    free(text);
    return 0;
}
