/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of the provider's derivations, with plain keys and with
 * sealed ones, on all tokens; what a handle stands for is read by key wrap.
 */
#include "kdf_call.h"
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* ---- AEFPSK: docs of TS 33.122 A.1, vectors of capif-facts.md 5.4 ---- */

#define LIFETIME 3600

static const struct {
    const char *key, *p0, *p1, *psk; /* in hexadecimal, but for p0 */
} aefpsks[] = {
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
      "202122232425262728292a2b2c2d2e2f",
      "https://aef1.example.com:443",
      "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebf",
      "7d384821ac9068a42dfd42b476b7d27ef20962f1d361b524e13f4c1d04c5aabf" },
    { "ebd436bcbae3d5534fe221e0522903f167e6d9981bb0d4802fcbf5fe5b32dcf3"
      "b0c378600aace6502d9d0b4a0e8d36b3",
      "{\"fqdn\":\"aef-b.domain-b.example\",\"port\":8443}",
      "b8d74546fd7486dafda70abb72f29b86407a186df85e3ecaf4fb8f3f6b97336f",
      "47eee39356aee176f6f2cb60eabdf66dc8a3b4e18f3359881ff04477466047f4" },
    { "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
      "ffffffffffffffffffffffffffffffff",
      "012345678901234567890123456789012345678901234567890123456789"
      "012345678901234567890123456789012345678901234567890123456789"
      "012345678901234567890123456789012345678901234567890123456789"
      "012345678901234567890123456789012345678901234567890123456789"
      "012345678901234567890123456789012345678901234567890123456789",
      "00112233445566778899aabbccddeeff",
      "2c13fe6ec89e6e3d9473d54a12923fdc4aaa9f09e501149c4348a1ca6ee76053" },
    { "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
      "202122232425262728292a2b2c2d2e2f",
      "https://aef1.example.com:443", "",
      "2c512a04b602751b4618d5965365fe9f271ec2fca670c09f8d52fcac744f95b5" },
};
#define N_AEFPSKS (sizeof(aefpsks) / sizeof(aefpsks[0]))

static void test_aefpsk(void **state)
{
    const struct vault *v = *state;
    uint8_t key[48], p1[32], psk[HASH], handle[48], out[HASH], got[HASH];

    for (size_t i = 0; i < N_AEFPSKS; i++) {
        size_t p1_len = unhex(aefpsks[i].p1, p1);
        struct blob p0 = BLOB(aefpsks[i].p0, strlen(aefpsks[i].p0));
        struct blob session = BLOB(p1, p1_len);

        assert_int_equal(unhex(aefpsks[i].key, key), 48);
        assert_int_equal(unhex(aefpsks[i].psk, psk), HASH);
        assert_true(aefpsk(v->ctx, BLOB(key, 48), p0, session, LIFETIME, out));
        assert_memory_equal(out, psk, HASH);
        assert_true(ts33220(v->ctx, BLOB(key, 48), 0x7a, p0, session, out));
        assert_memory_equal(out, psk, HASH);

        vault_seal(v, key, 48, LIFETIME, handle);
        assert_true(
            aefpsk(v->ctx, BLOB(handle, 48), p0, session, LIFETIME, out));
        assert_memory_not_equal(out, psk, HASH);
        vault_unseal(v, out, HASH, got);
        assert_memory_equal(got, psk, HASH);
        assert_true(vault_release(v->ctx, out, HASH));
        assert_true(ts33220(v->ctx, BLOB(handle, 48), 0x7a, p0, session, out));
        vault_unseal(v, out, HASH, got);
        assert_memory_equal(got, psk, HASH);
        assert_true(vault_release(v->ctx, out, HASH));
        assert_true(vault_release(v->ctx, handle, 48));
        assert_false(
            aefpsk(v->ctx, BLOB(handle, 48), p0, session, LIFETIME, out));
        assert_true(queue_had("not possible with this sealed secret"));
    }
    vault_expect(v, 0);
}

/* What a derivation needs, and what it refuses. */
static void test_aefpsk_refusals(void **state)
{
    const struct vault *v = *state;
    const struct blob key = BLOB(vault_kek, 32), p = BLOB("p", 1);
    uint8_t out[HASH];

    assert_false(aefpsk(v->ctx, NO_BLOB, p, p, LIFETIME, out));
    assert_false(aefpsk(v->ctx, key, NO_BLOB, p, LIFETIME, out));
    assert_false(aefpsk(v->ctx, key, p, NO_BLOB, LIFETIME, out));
    assert_false(aefpsk(v->ctx, BLOB("", 0), p, p, LIFETIME, out));
    assert_false(aefpsk(v->ctx, key, p, p, 0, out));
    assert_false(aefpsk(v->ctx, key, p, p, 31536001, out));
    assert_false(ts33220(v->ctx, key, 0xff, p, p, out)); /* FC2 follows */
    assert_false(ts33220(v->ctx, key, -1, p, p, out));
    assert_false(ts33220(v->ctx, key, 0x7a, NO_BLOB, p, out));
    assert_true(queue_had("refused parameter"));
    assert_true(ts33220(v->ctx, key, 0xfe, NO_BLOB, NO_BLOB, out));
}

/* By a key that lives in the token, named by key-uri. */
static bool by_uri(const struct vault *v, const char *uri, uint8_t out[HASH])
{
    EVP_KDF *kdf = EVP_KDF_fetch(v->ctx, "AEFPSK", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    uint8_t p1[32];
    size_t len = unhex(aefpsks[0].p1, p1);
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string("key-uri", (char *)(uintptr_t)uri, strlen(uri)),
        OSSL_PARAM_octet_string("service-api", (void *)(uintptr_t)aefpsks[0].p0,
                                strlen(aefpsks[0].p0)),
        OSSL_PARAM_octet_string("session-id", p1, len),
        OSSL_PARAM_END,
    };
    bool ok = EVP_KDF_derive(ctx, out, HASH, params) > 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static void test_key_uri(void **state)
{
    const struct vault *v = *state;
    uint8_t key[48], psk[HASH], out[HASH], got[HASH];
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE o;

    assert_int_equal(unhex(aefpsks[0].key, key), 48);
    assert_int_equal(unhex(aefpsks[0].psk, psk), HASH);
    o = vault_token_secret(v, s, key, sizeof(key));
    assert_true(by_uri(v, "pkcs11:object=key", out));
    assert_memory_not_equal(out, psk, HASH);
    vault_unseal(v, out, HASH, got);
    assert_memory_equal(got, psk, HASH);
    assert_true(vault_release(v->ctx, out, HASH));
    assert_false(by_uri(v, "pkcs11:object=kek", out)); /* an AES key */
    assert_true(queue_had("not found in the token"));
    assert_false(by_uri(v, "no:uri", out));
    assert_int_equal(v->p11->C_DestroyObject(s, o), CKR_OK);
    assert_false(by_uri(v, "pkcs11:object=key", out));
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    vault_expect(v, 0);
}

#ifndef __SANITIZE_ADDRESS__
/* The command of TS 33.122 A.1 that the manual page promises. */
static void command(const struct vault *v, size_t i, char *text, size_t room)
{
    char line[2048];
    FILE *f;

    snprintf(line, sizeof(line),
             "OPENSSL_CONF=%s/openssl.cnf openssl kdf -keylen 32 "
             "-kdfopt hexkey:%s -kdfopt service-api:'%s' "
             "-kdfopt %ssession-id:%s AEFPSK 2>&1",
             v->dir->dir, aefpsks[i].key, aefpsks[i].p0,
             aefpsks[i].p1[0] != '\0' ? "hex" : "", aefpsks[i].p1);
    f = popen(line, "r");
    assert_non_null(f);
    if (fgets(text, (int)room, f) == NULL)
        text[0] = '\0';
    assert_int_equal(pclose(f), 0);
}

static void test_aefpsk_command(void **state)
{
    const struct vault *v = *state;
    char text[256], want[HASH * 3 + 1];
    uint8_t psk[HASH];

    for (size_t i = 0; i < N_AEFPSKS; i++) {
        unhex(aefpsks[i].psk, psk);
        for (size_t k = 0; k < HASH; k++)
            snprintf(want + 3 * k, 4, "%02X:", psk[k]);
        want[HASH * 3 - 1] = '\n';
        command(v, i, text, sizeof(text));
        assert_string_equal(text, want);
    }
}

#endif

/* ---- HMAC: RFC 4231 section 4 ---- */

static const struct {
    const char *key, *data, *mac;
    size_t len; /* case 5 is truncated */
} hmacs[] = {
    { "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265",
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", 32 },
    { "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", 32 },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
      "dddddddddddddddddddddddddddddddddddd",
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe", 32 },
    { "0102030405060708090a0b0c0d0e0f10111213141516171819",
      "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
      "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b", 32 },
    { "0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c",
      "546573742057697468205472756e636174696f6e",
      "a3b6167473100ee06e0c796c2955552b", 16 },
    { "LONG",
      "54657374205573696e67204c6172676572205468616e20426c6f636b2d53697a"
      "65204b6579202d2048617368204b6579204669727374",
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", 32 },
    { "LONG",
      "5468697320697320612074657374207573696e672061206c6172676572207468"
      "616e20626c6f636b2d73697a65206b657920616e642061206c61726765722074"
      "68616e20626c6f636b2d73697a6520646174612e20546865206b6579206e6565"
      "647320746f20626520686173686564206265666f7265206265696e6720757365"
      "642062792074686520484d414320616c676f726974686d2e",
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2", 32 },
};

static void test_hmac(void **state)
{
    const struct vault *v = *state;
    static const char *const props[] = { "sealed.tls=psk",
                                         "sealed.tls=session" };
    uint8_t key[131], data[160], mac[HASH], out[64];

    for (size_t i = 0; i < 2 * sizeof(hmacs) / sizeof(hmacs[0]); i++) {
        const struct kdf_from from = { v->ctx, props[i % 2] };
        size_t k = i / 2, len = sizeof(out), key_len = sizeof(key), data_len;

        if (strcmp(hmacs[k].key, "LONG") == 0)
            memset(key, 0xaa, sizeof(key));
        else
            key_len = unhex(hmacs[k].key, key);
        data_len = unhex(hmacs[k].data, data);
        unhex(hmacs[k].mac, mac);
        assert_true(hmac_sign(from, "SHA256", BLOB(key, key_len),
                              BLOB(data, data_len), out, &len));
        assert_int_equal(len, HASH);
        assert_memory_equal(out, mac, hmacs[k].len);
    }
}

/* ---- TLS 1.2 PRF ---- */

static const struct {
    const char *secret, *seed, *out; /* seed is a label, a bar, hexadecimal */
} prfs[] = {
    /* "Test vectors for TLS 1.2 PRF", ietf tls list, July 2009 */
    { "9bbe436ba940f017b17652849a71db35",
      "test label|a0ba9f936cda311827a6f796ffd5198c",
      "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a"
      "6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab"
      "4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff701"
      "87347b66" },
    /* NIST CAVS 800-135, TLS 1.2 with SHA-256, as in OpenSSL's own tests */
    { "202c88c00f84a17a20027079604787461176455539e705be730890602c289a50"
      "01e34eeb3a043e5d52a65e66125188bf",
      "key expansion|"
      "ae6c806f8ad4d80784549dff28a4b58fd837681a51d928c3e30ee5ff14f39868"
      "62e1fd91f23f558a605f28478c58cf72637b89784d959df7e946d3f07bd1b616",
      "d06139889fffac1e3a71865f504aa5d0d2a2e89506c6f2279b670c3e1b74f531"
      "016a2530c51a3a0f7e1d6590d0f0566b2f387f8d11fd4f731cdd572d2eae927f"
      "6f2f81410b25e6960be68985add6c38445ad9f8c64bf8068bf9a6679485d966f"
      "1ad6f68b43495b10a683755ea2b858d70ccac7ec8b053c6bd41ca299d4e51928" },
};

static void test_prf(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    uint8_t secret[48], seed[64], want[128], out[128];

    for (size_t i = 0; i < sizeof(prfs) / sizeof(prfs[0]); i++) {
        size_t n = unhex(prfs[i].secret, secret),
               len = unhex(prfs[i].out, want);
        const char *bar = strchr(prfs[i].seed, '|');
        size_t seed_len = unhex(bar + 1, seed);

        assert_true(tls1_prf(from, "SHA256", BLOB(secret, n),
                             BLOB(prfs[i].seed, (size_t)(bar - prfs[i].seed)),
                             BLOB(seed, seed_len), out, len));
        assert_memory_equal(out, want, len);
    }
}

/* Of OpenSSL 3.0's own KDFs there are no duplicates, hence none of ours. */
static bool has_dup(const char *name)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, "provider=default");
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf), *copy = EVP_KDF_CTX_dup(c);
    bool has = copy != NULL;

    EVP_KDF_CTX_free(copy);
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return has;
}

/* A duplicate keeps all of it; after a reset only the implementation. */
static void check_dup_and_reset(const struct vault *v, const char *name,
                                size_t len, const OSSL_PARAM *params)
{
    EVP_KDF *kdf = EVP_KDF_fetch(v->ctx, name, "sealed.tls=session");
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf), *copy;
    uint8_t one[48], other[48];

    assert_true(EVP_KDF_CTX_set_params(c, params));
    copy = EVP_KDF_CTX_dup(c);
    assert_int_equal(copy != NULL, has_dup(name));
    EVP_KDF_CTX_reset(c);
    assert_false(EVP_KDF_derive(c, one, len, NULL) > 0);
    vault_expect(v, 0);
    assert_true(EVP_KDF_derive(c, one, len, params) > 0);
    vault_expect(v, 1); /* a handle */
    if (copy != NULL) {
        assert_true(EVP_KDF_derive(copy, other, len, NULL) > 0);
        vault_expect(v, 2);
        assert_true(vault_release(v->ctx, other, len));
    }
    assert_true(vault_release(v->ctx, one, len));
    vault_expect(v, 0);
    EVP_KDF_CTX_free(copy);
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
}

static void test_dup_and_reset(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    char secret[] = "a shared secret of 32 octets, XX", md[] = "SHA256";
    char seed[] = "extended master secret: a session hash";
    uint8_t early[HASH];
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, secret, HASH),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed,
                                          sizeof(seed) - 1),
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, HASH),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, early, HASH),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX,
                                          (char[]){ "tls13 " }, 6),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL,
                                          (char[]){ "derived" }, 7),
        OSSL_PARAM_construct_end(),
    };

    assert_true(tls13_extract(from, "SHA256", NO_BLOB, NO_BLOB, early, HASH));
    check_dup_and_reset(v, "TLS1-PRF", 48, params);
    check_dup_and_reset(v, "TLS13-KDF", HASH, params);
}

/* From a sealed master secret on, against the default provider's. */
static void check_master(const struct vault *v, const uint8_t *handle,
                         const uint8_t *master, const char *label, bool plain,
                         size_t len)
{
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    const struct kdf_from soft = { NULL, "provider=default" };
    static const uint8_t randoms[64] = { 1, 2, 3 }; /* both sides' */
    struct blob name = BLOB(label, strlen(label));
    struct blob seed = BLOB(randoms, sizeof(randoms));
    uint8_t want[128], out[128], got[HASH];

    assert_true(
        tls1_prf(soft, "SHA256", BLOB(master, 48), name, seed, want, len));
    assert_true(
        tls1_prf(from, "SHA256", BLOB(handle, 48), name, seed, out, len));
    if (plain) {
        assert_memory_equal(out, want, len);
        return;
    }
    assert_memory_not_equal(out, want, len);
    vault_unseal(v, out, len, got);
    assert_memory_equal(got, want, len);
    assert_true(vault_release(v->ctx, out, len));
}

static void test_prf_sealed(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    const struct kdf_from soft = { NULL, "provider=default" };
    const struct blob label = BLOB("extended master secret", 22);
    const struct blob hash = BLOB("a session hash, 32 octets in TLS", 32);
    const struct blob pre = BLOB("premaster secret of 32 octets, X", 32);
    uint8_t want[48], handle[48], got[48];

    assert_true(tls1_prf(soft, "SHA256", pre, label, hash, want, 48));
    assert_true(tls1_prf(from, "SHA256", pre, label, hash, handle, 48));
    assert_memory_not_equal(handle, want, 48);
    vault_unseal(v, handle, 48, got);
    assert_memory_equal(got, want, 48);
    check_master(v, handle, want, "key expansion", true, 40);
    check_master(v, handle, want, "client finished", true, 12);
    check_master(v, handle, want, "server finished", true, 12);
    check_master(v, handle, want, "EXPORTER-Channel-Binding", true, 32);
    check_master(v, handle, want, "EXPORTER-anything", false, 32);
    check_master(v, handle, want, "EXPORTER-Channel-Bindings", false, 32);
    /* Neither the old master secret nor another hash; nor any length. */
    assert_false(tls1_prf(from, "SHA256", pre, BLOB("master secret", 13), hash,
                          got, 48));
    assert_false(tls1_prf(from, "SHA384", pre, label, hash, got, 48));
    assert_false(tls1_prf(from, "SHA384", BLOB(handle, 48),
                          BLOB("key expansion", 13), hash, got, 48));
    assert_false(tls1_prf(
        from,
        "SHA256-and-more-octets-than-any-name-of-a-digest-has-in-libcrypto",
        BLOB(handle, 48), BLOB("key expansion", 13), hash, got, 48));
    assert_false(
        tls1_prf(from, "SHA256", BLOB(handle, 48), label, hash, got, 48));
    assert_true(queue_had("not possible with this sealed secret"));
    assert_true(vault_release(v->ctx, handle, 48));
    vault_expect(v, 0);
}

/* ---- key wrap: RFC 3394 4.6 ---- */

static void test_key_wrap(void **state)
{
    const struct vault *v = *state;
    EVP_CIPHER *aes =
        EVP_CIPHER_fetch(v->ctx, "AES-256-WRAP", "provider=sealed");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    uint8_t data[32], want[40], out[64], back[64], handle[32];
    size_t len = 0;
    int n = 0;

    unhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
          data);
    unhex("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43b"
          "fb988b9b7a02dd21",
          want);
    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_true(EVP_EncryptInit_ex2(c, aes, vault_kek, NULL, NULL));
    assert_true(EVP_EncryptUpdate(c, out, &n, data, 32));
    assert_int_equal(n, 40);
    assert_memory_equal(out, want, 40);
    assert_true(EVP_DecryptInit_ex2(c, aes, vault_kek, NULL, NULL));
    assert_true(EVP_DecryptUpdate(c, back, &n, out, 40));
    assert_int_equal(n, 32);
    assert_memory_equal(back, data, 32);
    out[39] ^= 1;
    assert_false(EVP_DecryptUpdate(c, back, &n, out, 40));
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(aes);
    /* The same key in the token, the same data sealed. */
    vault_seal(v, data, 32, LIFETIME, handle);
    assert_true(vault_aes(v->ctx, true, 1, handle, 32, out, &len));
    assert_int_equal(len, 40);
    assert_memory_equal(out, want, 40);
    out[39] ^= 1;
    assert_false(vault_aes(v->ctx, false, LIFETIME, out, 40, back, &len));
    assert_true(vault_release(v->ctx, handle, 32));
    vault_expect(v, 0);
}

int main(void)
{
    struct CMUnitTest tests[] = {
#ifndef __SANITIZE_ADDRESS__ /* which openssl would have to be built with */
        ON_ALL(test_aefpsk_command),
#endif
        ON_ALL(test_aefpsk),
        ON_ALL(test_aefpsk_refusals),
        ON_ALL(test_key_uri),
        ON_ALL(test_hmac),
        ON_ALL(test_prf),
        ON_ALL(test_prf_sealed),
        ON_ALL(test_dup_and_reset),
        ON_ALL(test_key_wrap),
    };

    return vaults_run("known answers", tests, sizeof(tests) / sizeof(tests[0]),
                      vaults_setup);
}
