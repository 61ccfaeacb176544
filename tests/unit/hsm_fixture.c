/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See hsm_fixture.h.  The certificate and the point that the fake serves are
 * made here, since the fake itself knows no cryptography.
 */
#include "hsm_fixture.h"

#include <dlfcn.h>
#include <openssl/ec.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake *fake;
fake_reset_fn *fake_do_reset;

static void *dl;
static char dir[] = "/tmp/hsm-test-XXXXXX";
static char pin_path[64], file_path[64];
static unsigned char point[67] = { 0x04, 65 };
static unsigned char *cert;

static void make_cert(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    size_t len = 0;
    int cert_len;

    assert_non_null(key);
    assert_non_null(x);
    assert_true(
        EVP_PKEY_get_octet_string_param(key, "pub", point + 2, 65, &len));
    assert_int_equal(len, 65);
    assert_true(X509_set_pubkey(x, key));
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), 60));
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    cert_len = i2d_X509(x, &cert);
    assert_true(cert_len > 0);
    fake->point = point;
    fake->cert = cert;
    fake->cert_len = (size_t)cert_len;
    X509_free(x);
    EVP_PKEY_free(key);
}

int fixture_setup(void **state)
{
    const char *path = getenv("FAKE_P11");

    (void)state;
    assert_non_null(path);
    dl = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(dl);
    fake = dlsym(dl, "fake");
    *(void **)&fake_do_reset = dlsym(dl, "fake_reset");
    assert_non_null(fake);
    assert_true(fake_do_reset != NULL);
    assert_non_null(mkdtemp(dir));
    strcpy(pin_path, fixture_file("pin", FAKE_PIN "\n", 5, 0600));
    make_cert();
    return 0;
}

int fixture_teardown(void **state)
{
    (void)state;
    OPENSSL_free(cert);
    unlink(pin_path);
    rmdir(dir);
    return dlclose(dl);
}

const char *fixture_file(const char *name, const char *text, size_t len,
                         unsigned mode)
{
    FILE *f;

    snprintf(file_path, sizeof(file_path), "%s/%s", dir, name);
    f = fopen(file_path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(file_path, (mode_t)mode), 0);
    return file_path;
}

struct hsm_config fixture_config(size_t sessions)
{
    struct hsm_config cfg = { .module = getenv("FAKE_P11"),
                              .token = "pkcs11:token=fake",
                              .pin_file = pin_path,
                              .sessions = sessions };

    return cfg;
}

struct hsm *fixture_open(size_t sessions)
{
    struct hsm_config cfg = fixture_config(sessions);
    struct hsm *h = NULL;

    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    assert_non_null(h);
    return h;
}

struct hsm_key *fixture_key(struct hsm *h, const char *label)
{
    struct hsm_object *objs = NULL;
    struct hsm_key *key;
    char uri[64];
    size_t n = 0;

    snprintf(uri, sizeof(uri), "pkcs11:object=%s;type=private", label);
    assert_int_equal(hsm_find(h, uri, HSM_PRIVATE, &objs, &n), HSM_OK);
    assert_int_equal(n, 1);
    assert_int_equal(objs[0].cls, HSM_PRIVATE);
    key = hsm_key_ref(objs[0].key);
    hsm_objects_free(objs, n);
    return key;
}

void fixture_close(struct hsm *h)
{
    hsm_close(h);
    assert_int_equal(fake->open_sessions, 0);
    assert_false(fake->initialized);
}
