/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS 1.3 key schedule of RFC 8448, sections 3 (simple 1-RTT handshake)
 * and 4 (resumed 0-RTT handshake), with plain secrets, and walked with sealed
 * ones as libssl does it.  A sealed secret's value is looked for in the token.
 */
#include "kdf_call.h"
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#define EMPTY_HASH \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* ---- section 3 ---- */

#define S3_EARLY \
    "33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a"
#define S3_ECDHE \
    "8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d"
#define S3_HANDSHAKE \
    "1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac"
#define S3_HELLOS \
    "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8"
#define S3_C_HS \
    "b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21"
#define S3_S_HS \
    "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38"
#define S3_MASTER \
    "18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919"
#define S3_FINISHED \
    "9608102a0f1ccc6db6250b7b7e417b1a000eaada3daae4777a7686c9ff83df13"
#define S3_C_AP \
    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"
#define S3_S_AP \
    "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"
#define S3_EXP \
    "fe22f881176eda18eb8f44529e6792c50c9a3f89452f68d8ae311b4309d3cf50"
#define S3_C_FINISHED \
    "209145a96ee8e2a122ff810047cc952684658d6049e86429426db87c54ad143d"
#define S3_RES \
    "7df235f2031d2a051287d02b0241b0bfdaf86cc856231f2d5aba46c434ec196c"

/* ---- section 4 ---- */

#define S4_PSK \
    "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3"
#define S4_EARLY \
    "9b2188e9b2fc6d64d71dc329900e20bb41915000f678aa839cbb797cb7d8332c"
#define S4_BINDER \
    "69fe131a3bbad5d63c64eebcc30e395b9d8107726a13d074e389dbc8a4e47256"
#define S4_BINDER_KEY \
    "5588673e72cb59c87d220caffe94f2dea9a3b1609f7d50e90a48227db9ed7eaa"
#define S4_BINDER_HASH \
    "63224b2e4573f2d3454ca84b9d009a04f6be9e05711a8396473aefa01e924a14"
#define S4_BINDER_VALUE \
    "3add4fb2d8fdf822a0ca3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d"
#define S4_HELLO \
    "08ad0fa05d7c7233b1775ba2ff9f4c5b8b59276b7f227f13a976245f5d960913"
#define S4_C_E \
    "3fbbe6a60deb66c30a32795aba0eff7eaa10105586e7be5c09678d63b6caab62"
#define S4_E_EXP \
    "b2026866610937d7423e5be90862ccf24c0e6091186d34f812089ff5be2ef7df"
#define S4_DERIVED \
    "5f1790bbd82c5e7d376ed2e1e52f8e6038c9346db61b43be9a52f77ef3998e80"
#define S4_ECDHE \
    "f44194756ff9ec9d25180635d66ea6824c6ab3bf179977be37f723570e7ccb2e"
#define S4_HANDSHAKE \
    "005cb112fd8eb4ccc623bb88a07c64b3ede1605363fc7d0df8c7ce4ff0fb4ae6"
#define S4_HELLOS \
    "f736cb34fe25e701551bee6fd24c1cc7102a7daf9405cb15d97aafe16f757d03"
#define S4_C_HS \
    "2faac08f851d35fea3604fcb4de82dc62c9b164a70974d0462e27f1ab278700f"
#define S4_S_HS \
    "fe927ae271312e8bf0275b581c54eef020450dc4ecffaa05a1a35d27518e7803"
#define S4_MASTER \
    "e2d32d4ed66dd37897a0e80c84107503ce58bf8aad4cb55a5002d77ecb890ece"
#define S4_FINISHED \
    "b0aeffc46a2cfe33114e6fd7d51f9f04b1ca3c497dab08934a774a9d9ad7dbf3"
#define S4_C_AP \
    "2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1"
#define S4_S_AP \
    "cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691"
#define S4_EXP \
    "3fd93d4ffddc98e64b14dd107aedf8ee4add23f4510f58a4592d0b201bee56b4"
#define S4_C_FINISHED \
    "c3c122e0bd907a4a3ff6112d8fd53dbf89c773d9552e8b6b9d56d361b3a97bf6"
#define S4_RES \
    "5e95bdf1f89005ea2e9aa0ba85e728e3c19c5fe0c699e3f5bee59faebd0b5406"

/* Expansions; data and out in hexadecimal. */
struct step {
    const char *key, *label, *data, *out;
};
static const struct step steps[] = {
    { S3_EARLY, "derived", EMPTY_HASH,
      "6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba" },
    { S3_HANDSHAKE, "c hs traffic", S3_HELLOS, S3_C_HS },
    { S3_HANDSHAKE, "s hs traffic", S3_HELLOS, S3_S_HS },
    { S3_HANDSHAKE, "derived", EMPTY_HASH,
      "43de77e0c77713859a944db9db2590b53190a65b3ee2e4f12dd7a0bb7ce254b4" },
    { S3_S_HS, "key", "", "3fce516009c21727d0f2e4e86ee403bc" },
    { S3_S_HS, "iv", "", "5d313eb2671276ee13000b30" },
    { S3_S_HS, "finished", "",
      "008d3b66f816ea559f96b537e885c31fc068bf492c652f01f288a1d8cdc19fc8" },
    { S3_C_HS, "key", "", "dbfaa693d1762c5b666af5d950258d01" },
    { S3_C_HS, "iv", "", "5bd3c71b836e0b76bb73265f" },
    { S3_C_HS, "finished", "",
      "b80ad01015fb2f0bd65ff7d4da5d6bf83f84821d1f87fdc7d3c75b5a7b42d9c4" },
    { S3_MASTER, "c ap traffic", S3_FINISHED, S3_C_AP },
    { S3_MASTER, "s ap traffic", S3_FINISHED, S3_S_AP },
    { S3_MASTER, "exp master", S3_FINISHED, S3_EXP },
    { S3_S_AP, "key", "", "9f02283b6c9c07efc26bb9f2ac92e356" },
    { S3_S_AP, "iv", "", "cf782b88dd83549aadf1e984" },
    { S3_C_AP, "key", "", "17422dda596ed5d9acd890e3c63f5051" },
    { S3_C_AP, "iv", "", "5b78923dee08579033e523d9" },
    { S3_MASTER, "res master", S3_C_FINISHED, S3_RES },
    { S3_RES, "resumption", "0000", S4_PSK },
    { S4_EARLY, "res binder", EMPTY_HASH, S4_BINDER },
    { S4_BINDER, "finished", "", S4_BINDER_KEY },
    { S4_EARLY, "c e traffic", S4_HELLO, S4_C_E },
    { S4_EARLY, "e exp master", S4_HELLO, S4_E_EXP },
    { S4_C_E, "key", "", "920205a5b7bf2115e6fc5c2942834f54" },
    { S4_C_E, "iv", "", "6d475f0993c8e564610db2b9" },
    { S4_EARLY, "derived", EMPTY_HASH, S4_DERIVED },
    { S4_HANDSHAKE, "c hs traffic", S4_HELLOS, S4_C_HS },
    { S4_HANDSHAKE, "s hs traffic", S4_HELLOS, S4_S_HS },
    { S4_HANDSHAKE, "derived", EMPTY_HASH,
      "e2f16030251df0874ba19b9aba257610bc6d531c1dd206df0ca6e84ae2a26742" },
    { S4_MASTER, "c ap traffic", S4_FINISHED, S4_C_AP },
    { S4_MASTER, "s ap traffic", S4_FINISHED, S4_S_AP },
    { S4_MASTER, "exp master", S4_FINISHED, S4_EXP },
    { S4_MASTER, "res master", S4_C_FINISHED, S4_RES },
};

/* Extractions; salt and key may be NULL. */
static const struct {
    const char *salt, *key, *out;
} extractions[] = {
    { NULL, NULL, S3_EARLY },
    { S3_EARLY, S3_ECDHE, S3_HANDSHAKE },
    { S3_HANDSHAKE, NULL, S3_MASTER },
    { NULL, S4_PSK, S4_EARLY },
    { S4_EARLY, S4_ECDHE, S4_HANDSHAKE },
    { S4_HANDSHAKE, NULL, S4_MASTER },
};

/* Octets of a hexadecimal string; buf keeps them. */
static struct blob hex(const char *text, uint8_t buf[HASH])
{
    return text != NULL ? BLOB(buf, unhex(text, buf)) : NO_BLOB;
}

static void test_plain(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from psk = { v->ctx, "sealed.tls=psk" };
    const struct kdf_from session = { v->ctx, "sealed.tls=session" };
    uint8_t a[HASH], b[HASH], want[HASH], out[HASH];

    for (size_t i = 0; i < 2 * sizeof(steps) / sizeof(steps[0]); i++) {
        const struct step *s = &steps[i / 2];
        size_t len = unhex(s->out, want);

        assert_true(tls13_expand(i % 2 ? psk : session, "SHA256",
                                 hex(s->key, a), s->label, hex(s->data, b), out,
                                 len));
        assert_memory_equal(out, want, len);
    }
    for (size_t i = 0; i < sizeof(extractions) / sizeof(extractions[0]); i++) {
        unhex(extractions[i].out, want);
        assert_true(tls13_extract(psk, "SHA256", hex(extractions[i].salt, a),
                                  hex(extractions[i].key, b), out, HASH));
        assert_memory_equal(out, want, HASH);
    }
    vault_expect(v, 0);
}

static bool holds(const struct vault *v, const char *value)
{
    uint8_t want[HASH];

    return vault_holds(v, want, unhex(value, want));
}

/* ---- walks ---- */

/* What follows from a handle, and is a handle again or not. */
static void follow(const struct vault *v, const char *propq,
                   const uint8_t *handle, const struct step *s, bool plain,
                   uint8_t out[HASH])
{
    const struct kdf_from from = { v->ctx, propq };
    uint8_t data[HASH], want[HASH];

    unhex(s->out, want);
    assert_int_equal(holds(v, s->out), false);
    assert_true(tls13_expand(from, "SHA256", BLOB(handle, HASH), s->label,
                             hex(s->data, data), out, HASH));
    if (plain)
        assert_memory_equal(out, want, HASH);
    else
        assert_memory_not_equal(out, want, HASH);
    assert_int_equal(holds(v, s->out), !plain);
}

static void refused(const struct vault *v, const char *propq,
                    const uint8_t *handle, const char *label)
{
    const struct kdf_from from = { v->ctx, propq };
    uint8_t hash[HASH], out[HASH];

    assert_false(tls13_expand(from, "SHA256", BLOB(handle, HASH), label,
                              hex(EMPTY_HASH, hash), out, HASH));
    assert_true(queue_had("not possible with this sealed secret"));
}

/* From the handle of a handshake secret to the end. */
static void walk_handshake(const struct vault *v, const char *propq,
                           const uint8_t *handshake, const struct step *s,
                           const char *master_value)
{
    const struct kdf_from from = { v->ctx, propq };
    uint8_t master[HASH], next[HASH];

    follow(v, propq, handshake, &s[0], true, next);
    follow(v, propq, handshake, &s[1], true, next);
    refused(v, propq, handshake, "derived");
    refused(v, propq, handshake, "exp master");
    refused(v, propq, handshake, "finished");
    assert_false(holds(v, master_value));
    assert_true(tls13_extract(from, "SHA256", BLOB(handshake, HASH), NO_BLOB,
                              master, HASH));
    assert_true(holds(v, master_value));
    follow(v, propq, master, &s[2], true, next);
    follow(v, propq, master, &s[3], true, next);
    follow(v, propq, master, &s[4], false, next);
    assert_true(vault_release(v->ctx, next, HASH));
    follow(v, propq, master, &s[5], false, next);
    refused(v, propq, next, "resumption"); /* no tickets */
    assert_true(vault_release(v->ctx, next, HASH));
    refused(v, propq, master, "derived");
    assert_true(vault_release(v->ctx, master, HASH));
    assert_true(vault_release(v->ctx, handshake, HASH));
}

/* Only a key or a master secret may travel, or be derived from. */
static void not_a_key(const struct vault *v, const uint8_t *handle)
{
    uint8_t out[HASH + 8];
    size_t n = 0;

    assert_false(aefpsk(v->ctx, BLOB(handle, HASH), BLOB("p", 1), BLOB("p", 1),
                        60, out));
    assert_true(queue_had("no key is derived from this"));
    assert_false(vault_aes(v->ctx, true, 1, handle, HASH, out, &n));
    assert_true(queue_had("the input must be a sealed secret's handle"));
}

static void test_session(void **state)
{
    static const struct step s3[] = {
        { NULL, "c hs traffic", S3_HELLOS, S3_C_HS },
        { NULL, "s hs traffic", S3_HELLOS, S3_S_HS },
        { NULL, "c ap traffic", S3_FINISHED, S3_C_AP },
        { NULL, "s ap traffic", S3_FINISHED, S3_S_AP },
        { NULL, "exp master", S3_FINISHED, S3_EXP },
        { NULL, "res master", S3_C_FINISHED, S3_RES },
    };
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    uint8_t early[HASH], ecdhe[HASH], want[HASH], handshake[HASH];

    unhex(S3_EARLY, want);
    assert_true(tls13_extract(from, "SHA256", NO_BLOB, NO_BLOB, early, HASH));
    assert_memory_equal(early, want, HASH); /* known to everybody */
    assert_true(tls13_extract(from, "SHA256", BLOB(early, HASH),
                              hex(S3_ECDHE, ecdhe), handshake, HASH));
    unhex(S3_HANDSHAKE, want);
    assert_memory_not_equal(handshake, want, HASH);
    not_a_key(v, handshake);
    assert_true(holds(v, S3_HANDSHAKE));
    walk_handshake(v, from.propq, handshake, s3, S3_MASTER);
    vault_expect(v, 0);
}

static const struct step s4[] = {
    { NULL, "c hs traffic", S4_HELLOS, S4_C_HS },
    { NULL, "s hs traffic", S4_HELLOS, S4_S_HS },
    { NULL, "c ap traffic", S4_FINISHED, S4_C_AP },
    { NULL, "s ap traffic", S4_FINISHED, S4_S_AP },
    { NULL, "exp master", S4_FINISHED, S4_EXP },
    { NULL, "res master", S4_C_FINISHED, S4_RES },
};

/* An external PSK's binder, whose label RFC 8448 has no example of. */
static void check_binder(const struct vault *v, struct kdf_from from,
                         const uint8_t *early, uint8_t finished[HASH])
{
    const struct kdf_from soft = { NULL, "provider=default" };
    uint8_t secret[HASH], binder[HASH], hash[HASH], want[HASH], out[HASH];
    size_t len = sizeof(out);

    unhex(S4_EARLY, secret);
    assert_true(tls13_expand(soft, "SHA256", BLOB(secret, HASH), "ext binder",
                             hex(EMPTY_HASH, hash), want, HASH));
    assert_true(tls13_expand(from, "SHA256", BLOB(early, HASH), "ext binder",
                             hex(EMPTY_HASH, hash), binder, HASH));
    assert_true(vault_holds(v, want, HASH));
    assert_true(tls13_expand(soft, "SHA256", BLOB(want, HASH), "finished",
                             BLOB("", 0), secret, HASH));
    assert_true(tls13_expand(from, "SHA256", BLOB(binder, HASH), "finished",
                             BLOB("", 0), finished, HASH));
    assert_true(vault_holds(v, secret, HASH));
    unhex(S4_BINDER_HASH, hash);
    soft_hmac(secret, HASH, hash, HASH, want);
    assert_true(hmac_sign(from, "SHA256", BLOB(finished, HASH),
                          BLOB(hash, HASH), out, &len));
    assert_int_equal(len, HASH);
    assert_memory_equal(out, want, HASH);
    /* HMAC of any other kind might be another secret's value. */
    assert_false(hmac_sign(from, "SHA256", BLOB(binder, HASH), BLOB(hash, HASH),
                           out, &len));
    assert_false(hmac_sign(from, "SHA256", BLOB(early, HASH), BLOB(hash, HASH),
                           out, &len));
    assert_false(hmac_sign(from, "SHA384", BLOB(finished, HASH),
                           BLOB(hash, HASH), out, &len));
    assert_true(queue_had("HMAC: only of a finished key, with SHA-256"));
}

/* Up to the handshake secret, which is what out stands for, or is. */
static void walk_psk(const struct vault *v, struct kdf_from from,
                     const uint8_t *psk, uint8_t out[HASH])
{
    static const uint8_t zeros[HASH];
    uint8_t early[HASH], again[HASH], finished[HASH], ecdhe[HASH];
    static const char *const never[] = { "res binder", "c e traffic",
                                         "e exp master", "derived",
                                         "c hs traffic" };

    assert_true(
        tls13_extract(from, "SHA256", NO_BLOB, BLOB(psk, HASH), early, HASH));
    assert_true(holds(v, S4_EARLY));
    check_binder(v, from, early, finished);
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        refused(v, from.propq, early, never[i]);
    refused(v, from.propq, psk, "ext binder");
    assert_false(tls13_expand(from, "SHA256", BLOB(early, HASH), "ext binder",
                              hex(S4_HELLO, ecdhe), again, HASH));
    assert_true(queue_had("not the context of TLS 1.3"));
    refused(v, from.propq, finished, "finished");
    /* A sealed PSK needs a fresh secret beside it. */
    assert_false(
        tls13_extract(from, "SHA256", BLOB(early, HASH), NO_BLOB, out, HASH));
    assert_false(tls13_extract(from, "SHA256", BLOB(early, HASH),
                               BLOB(zeros, HASH), out, HASH));
    assert_false(tls13_extract(from, "SHA256", BLOB(psk, HASH),
                               hex(S4_ECDHE, ecdhe), out, HASH));
    assert_false(tls13_extract(from, "SHA256", BLOB(early, HASH),
                               BLOB(psk, HASH), out, HASH));
    assert_true(queue_had("not possible with this sealed secret"));
    assert_true(tls13_extract(from, "SHA256", BLOB(early, HASH),
                              hex(S4_ECDHE, ecdhe), out, HASH));
    assert_true(holds(v, S4_DERIVED));
    /* All of it is there already. */
    assert_true(
        tls13_extract(from, "SHA256", NO_BLOB, BLOB(psk, HASH), again, HASH));
    assert_memory_equal(again, early, HASH);
}

static void test_sealed_psk(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=psk" };
    uint8_t value[HASH], psk[HASH], out[HASH], want[HASH];

    unhex(S4_PSK, value);
    unhex(S4_HANDSHAKE, want);
    vault_seal(v, value, HASH, 60, psk);
    walk_psk(v, from, psk, out);
    assert_memory_equal(out, want, HASH); /* this connection's, class 3 */
    assert_false(holds(v, S4_HANDSHAKE));
    vault_expect(v, 5); /* the PSK and its descendants */
    assert_true(vault_release(v->ctx, psk, HASH));
    vault_expect(v, 0);
}

static void test_sealed_psk_session(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    uint8_t value[HASH], psk[HASH], out[HASH], want[HASH];

    unhex(S4_PSK, value);
    unhex(S4_HANDSHAKE, want);
    vault_seal(v, value, HASH, 60, psk);
    walk_psk(v, from, psk, out);
    assert_memory_not_equal(out, want, HASH);
    assert_true(holds(v, S4_HANDSHAKE));
    walk_handshake(v, from.propq, out, s4, S4_MASTER);
    assert_true(vault_release(v->ctx, psk, HASH));
    vault_expect(v, 0);
}

/* Exports are handles, but for what RFC 9266 makes public. */
static void test_exports(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from from = { v->ctx, "sealed.tls=session" };
    const struct kdf_from soft = { NULL, "provider=default" };
    static const char *const labels[] = { "EXPORTER-Channel-Binding",
                                          "EXPORTER-3GPP-TS33122-AEFPSK" };
    uint8_t a[HASH], b[HASH], exp[HASH], one[HASH], out[HASH], want[HASH];
    char name[251] = "";

    assert_true(tls13_extract(from, "SHA256", hex(S3_EARLY, a),
                              hex(S3_ECDHE, b), out, HASH));
    assert_true(
        tls13_extract(from, "SHA256", BLOB(out, HASH), NO_BLOB, one, HASH));
    assert_true(tls13_expand(from, "SHA256", BLOB(one, HASH), "exp master",
                             hex(S3_FINISHED, a), exp, HASH));
    for (size_t i = 0; i < 2; i++) {
        assert_true(tls13_expand(soft, "SHA256", hex(S3_EXP, a), labels[i],
                                 hex(EMPTY_HASH, b), want, HASH));
        assert_true(tls13_expand(soft, "SHA256", BLOB(want, HASH), "exporter",
                                 hex(EMPTY_HASH, b), want, HASH));
        assert_true(tls13_expand(from, "SHA256", BLOB(exp, HASH), labels[i],
                                 hex(EMPTY_HASH, b), one, HASH));
        assert_true(tls13_expand(from, "SHA256", BLOB(one, HASH), "exporter",
                                 hex(EMPTY_HASH, b), out, HASH));
        if (i == 1) {
            assert_memory_not_equal(out, want, HASH);
            vault_unseal(v, out, HASH, out);
        }
        assert_memory_equal(out, want, HASH);
    }
    memset(name, 'x', sizeof(name) - 1);
    assert_false(tls13_expand(from, "SHA256", BLOB(exp, HASH), name,
                              hex(EMPTY_HASH, b), out, HASH));
    assert_false(tls13_expand(from, "SHA256", BLOB(exp, HASH), labels[1],
                              BLOB(name, 65), out, HASH));
    assert_true(queue_had("a parameter is too long"));
    name[249] = '\0'; /* the longest that there is */
    assert_true(tls13_expand(from, "SHA256", BLOB(exp, HASH), name,
                             BLOB(name, 64), out, HASH));
    /* A handle has 32 octets, and only so many may be asked for. */
    assert_false(tls13_expand(from, "SHA256", BLOB(exp, HASH), labels[1],
                              hex(EMPTY_HASH, b), out, 16));
    assert_false(tls13_expand(from, "SHA384", BLOB(exp, HASH), labels[1],
                              hex(EMPTY_HASH, b), out, HASH));
    assert_true(queue_had("not possible with this sealed secret"));
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_ALL(test_plain),      ON_ALL(test_session),
        ON_ALL(test_sealed_psk), ON_ALL(test_sealed_psk_session),
        ON_ALL(test_exports),
    };

    return vaults_run("known answers: TLS 1.3", tests,
                      sizeof(tests) / sizeof(tests[0]), vaults_setup);
}
