/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aef_token_check(): one good call, then everything about it made wrong, one
 * thing at a time (TS 33.122 Annex C, design 10 OQ-10, OQ-11, OQ-17).
 */
#include "soft.h"

#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW     1700000000
#define STR_(x) #x
#define STR(x)  STR_(x)
#define AEF     "aef-1"
#define API     "api-one"
#define CCF     "ccf.a.example"
#define OTHER   "ccf.b.example"
#define OWN     "ccf.own.example" /* of this AEF */
#define KID     "key-1"           /* all CCFs name their key so */
#define HEADER  "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"" KID "\"}"

struct world {
    EVP_PKEY *ccf_key, *other_key, *own_key, *ca_key, *inv_key;
    X509 *ca, *other_ca, *inv;
    char thumbprint[44];
    struct aef_info info;
    struct aef_call call;
};

static void add_issuer(struct aef_info *info, const char *ccf_id, EVP_PKEY *key)
{
    json_t *jwk = capif_jwk(key, KID);

    assert_non_null(jwk);
    json_array_append_new(
        info->issuers,
        json_pack("{s:s, s:{s:[o]}}", "ccfId", ccf_id, "jwks", "keys", jwk));
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    w->ccf_key = soft_key(NULL, 0);
    w->other_key = soft_key(NULL, 0);
    w->own_key = soft_key(NULL, 0);
    w->ca_key = soft_key("P-256", 0);
    w->inv_key = soft_key("P-256", 0);
    w->ca = capif_cert_ca("CA", w->ca_key, 7);
    w->other_ca = capif_cert_ca("CA", w->inv_key, 7);
    assert_non_null(w->ca);
    assert_non_null(w->other_ca);
    w->inv =
        soft_member(CAPIF_INVOKER, CCF, "inv-1", w->inv_key, w->ca, w->ca_key);
    assert_true(capif_cert_thumbprint(w->inv, w->thumbprint));
    strcpy(w->info.ccf_id, CCF);
    strcpy(w->info.invoker_id, "inv-1");
    w->info.anchors = sk_X509_new_null();
    assert_true(sk_X509_push(w->info.anchors, w->ca));
    w->info.issuers = json_array();
    add_issuer(&w->info, OTHER, w->other_key);
    add_issuer(&w->info, OWN, w->own_key);
    add_issuer(&w->info, CCF, w->ccf_key);
    *state = w;
    return 0;
}

/* What a test may change. */
static int good(void **state)
{
    struct world *w = *state;

    w->info.known = true;
    w->info.mutual = true;
    w->call.ccf_id = OWN;
    w->call.vouched = false;
    w->call.aef_id = AEF;
    w->call.api_name = API;
    w->call.now = NOW;
    w->call.denied_until = NOW - AEF_TOKEN_SECONDS;
    w->call.cert = w->inv;
    w->call.untrusted = NULL;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    X509_free(w->ca);
    X509_free(w->other_ca);
    X509_free(w->inv);
    EVP_PKEY_free(w->ccf_key);
    EVP_PKEY_free(w->other_key);
    EVP_PKEY_free(w->own_key);
    EVP_PKEY_free(w->ca_key);
    EVP_PKEY_free(w->inv_key);
    sk_X509_free(w->info.anchors);
    json_decref(w->info.issuers);
    free(w);
    return 0;
}

static json_t *good_claims(const struct world *w)
{
    json_t *c = json_pack("{s:s, s:s, s:s, s:s, s:[s,s], s:s, s:I, s:I, s:I,"
                          " s:s, s:{s:s}}",
                          "iss", "inv-1", "sub", "inv-1", "client_id", "inv-1",
                          "scope", "3gpp#aef-0:zero;" AEF ":" API, "aud",
                          "aef-0", AEF, "ccfId", CCF, "iat", (json_int_t)NOW,
                          "nbf", (json_int_t)NOW, "exp", (json_int_t)NOW + 600,
                          "jti", "1", "cnf", "x5t#S256", w->thumbprint);

    assert_non_null(c);
    return c;
}

/* Sign, parse, check; frees claims.  The reason, or NULL if it passed. */
static const char *check_as(const struct world *w, const char *header,
                            json_t *claims, EVP_PKEY *key, int *status)
{
    char *body = json_dumps(claims, 0);
    char *text = soft_jws(header, body, key, NULL, false);
    struct aef_refusal no = { 0 };
    struct capif_jws jws;
    bool ok;

    assert_null(capif_jws_parse(text, &jws));
    ok = aef_token_check(&jws, &w->info, &w->call, &no);
    capif_jws_clear(&jws);
    free(text);
    free(body);
    json_decref(claims);
    *status = no.status;
    if (ok) {
        assert_int_equal(no.status, 0);
        assert_null(no.why);
        return NULL;
    }
    assert_non_null(no.why);
    assert_string_equal(no.error, no.status == 403 ? "insufficient_scope"
                                                   : "invalid_token");
    return no.why;
}

static const char *check(const struct world *w, json_t *claims)
{
    int status;
    const char *why = check_as(w, HEADER, claims, w->ccf_key, &status);

    assert_int_equal(status, why == NULL ? 0 : 401);
    return why;
}

static void test_good(void **state)
{
    struct world *w = *state;

    assert_null(check(w, good_claims(w)));
}

/* What a claim is instead, as JSON with ' for "; NULL: it is missing. */
struct variant {
    const char *claim, *value;
    const char *why; /* NULL: passes */
};

static void run_variants(struct world *w, const struct variant *v, size_t n,
                         int refused)
{
    for (size_t i = 0; i < n; i++) {
        json_t *c = good_claims(w);
        const char *why;
        int status;

        if (v[i].value == NULL)
            assert_int_equal(json_object_del(c, v[i].claim), 0);
        else
            json_object_set_new(c, v[i].claim, soft_json(v[i].value));
        why = check_as(w, HEADER, c, w->ccf_key, &status);
        if (v[i].why == NULL && why != NULL)
            fail_msg("%s = %s: refused: %s", v[i].claim, v[i].value, why);
        if (v[i].why == NULL)
            continue;
        if (why == NULL || strcmp(why, v[i].why) != 0)
            fail_msg("%s = %s: %s, not %s", v[i].claim,
                     v[i].value != NULL ? v[i].value : "(missing)",
                     why != NULL ? why : "passed", v[i].why);
        assert_int_equal(status, refused);
    }
}

#define EXPIRED "the token has expired"
#define EARLY   "the token is not yet valid"
#define PLUS(s) "17000000" s

static void test_times(void **state)
{
    static const struct variant v[] = {
        { "exp", STR(NOW), EXPIRED },
        { "exp", "1699999999", EXPIRED },
        { "exp", "0", EXPIRED },
        { "exp", "-1", EXPIRED },
        { "exp", NULL, EXPIRED },
        { "exp", "'1700000600'", EXPIRED },
        { "exp", "1700000600.5", EXPIRED },
        { "exp", "null", EXPIRED },
        { "exp", PLUS("01"), NULL },
        { "exp", "9223372036854775807", NULL },
        { "nbf", PLUS("31"), EARLY },
        { "nbf", PLUS("30"), NULL },
        { "nbf", NULL, NULL },
        { "nbf", "'1700000000'", EARLY },
        { "nbf", "1700000000.5", EARLY },
        { "nbf", "null", EARLY },
        { "nbf", "9223372036854775807", EARLY },
    };

    run_variants(*state, v, N_OF(v), 401);
}

#define REVOKED "the token has been revoked, or is too old"

/* Nothing was revoked: but that is known of the last day alone. */
static void test_age(void **state)
{
    static const struct variant v[] = {
        { "iat", "1699913601", NULL }, { "iat", "1699913600", REVOKED },
        { "iat", "0", REVOKED },       { "iat", "-1", REVOKED },
        { "iat", NULL, NULL },         { "iat", "'1700000000'", NULL },
    };

    run_variants(*state, v, N_OF(v), 401);
}

/* A second ago; one that says nothing of its age has to live short. */
static void test_revoked(void **state)
{
    static const struct variant v[] = {
        { "iat", STR(NOW), NULL },
        { "iat", "1699999999", REVOKED },
        { "iat", NULL, REVOKED },
    };
    static const struct variant old[] = {
        { "exp", "1700086400", NULL },
        { "exp", "1700086399", REVOKED },
        { "exp", "1700086401", REVOKED },
        { "exp", "9223372036854775807", REVOKED },
    };
    struct world *w = *state;

    w->call.denied_until = NOW - 1;
    run_variants(w, v, N_OF(v), 401);
    /* The same by what the CCF says of this API, and not of another. */
    w->call.denied_until = NOW - AEF_TOKEN_SECONDS;
    w->info.n_apis = 2;
    w->info.apis[0] = (struct aef_info_api){ .api_name = "another",
                                             .revoked_until = NOW + 9 };
    w->info.apis[1] =
        (struct aef_info_api){ .api_name = API, .revoked_until = NOW - 1 };
    run_variants(w, v, N_OF(v) - 1, 401);
    w->info.n_apis = 0;
    w->call.denied_until = NOW - 1;
    for (size_t i = 0; i < N_OF(old); i++) {
        json_t *c = good_claims(w);
        const char *why;

        json_object_del(c, "iat");
        json_object_set_new(c, "exp", soft_json(old[i].value));
        why = check(w, c);
        if (old[i].why == NULL)
            assert_null(why);
        else
            assert_string_equal(why, REVOKED);
    }
}

#define DISAGREE "the claims do not agree"
#define ELSE     "the token is for another AEF"
#define UNSIGNED "the signature does not hold"
#define UNBOUND  "the token is bound to no certificate"
#define BOUND    "the token is bound to another certificate"

static void test_claims(void **state)
{
    static const struct variant v[] = {
        { "sub", "'inv-2'", DISAGREE },
        { "sub", NULL, DISAGREE },
        { "sub", "1", DISAGREE },
        { "client_id", "'inv-2'", DISAGREE },
        { "client_id", "'inv-1x'", DISAGREE },
        { "client_id", NULL, DISAGREE },
        { "client_id", "['inv-1']", DISAGREE },
        { "aud", "'aef-0'", ELSE },
        { "aud", "'aef-10'", ELSE },
        { "aud", "['aef-0', 1, null, 'aef']", ELSE },
        { "aud", "[]", ELSE },
        { "aud", "{'aef-1': 'aef-1'}", ELSE },
        { "aud", "1", ELSE },
        { "aud", NULL, ELSE },
        { "aud", "'aef-1'", NULL },
        { "aud", "[1, 'aef-1']", NULL },
        { "ccfId", "'" OTHER "'", UNSIGNED },
        { "ccfId", "'ccf.c.example'", UNSIGNED },
        { "ccfId", "1", UNSIGNED },
        { "ccfId", NULL, UNSIGNED },
        { "cnf", NULL, UNBOUND },
        { "cnf", "{}", UNBOUND },
        { "cnf", "{'x5t#S256': 1}", UNBOUND },
        { "cnf", "{'x5t#S256': ''}", BOUND },
        { "cnf", "{'x5t#S256': 'x0uTvIYxpDxcGxGLZ4fTFAFUgzuu1qa5Pv4vZ7jwjSY'}",
          BOUND },
        { "jti", NULL, NULL },
        { "iss", NULL, NULL }, /* it says no more than client_id does */
    };

    run_variants(*state, v, N_OF(v), 401);
}

static void test_scope(void **state)
{
    static const char why[] = "the API is not in the token's scope";
    static const struct variant v[] = {
        { "scope", "'3gpp#aef-1:api-two'", why },
        { "scope", "'3gpp#aef-0:api-one'", why },
        { "scope", "'3gpp#aef-1:api-one,'", why },
        { "scope", "'aef-1:api-one'", why },
        { "scope", "''", why },
        { "scope", "['3gpp#aef-1:api-one']", why },
        { "scope", NULL, why },
        { "scope", "'3gpp#aef-1:api-two,api-one'", NULL },
    };

    run_variants(*state, v, N_OF(v), 403);
}

static void test_header(void **state)
{
    static const char *const bad[] = {
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"" KID "\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"" KID "\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"key-2\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}",
        "{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"" KID "\"}",
        "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"" KID "\"}",
    };
    struct world *w = *state;
    int status;

    for (size_t i = 0; i < N_OF(bad); i++) {
        const char *why =
            check_as(w, bad[i], good_claims(w), w->ccf_key, &status);

        assert_non_null(why);
        assert_string_equal(why, UNSIGNED);
        assert_int_equal(status, 401);
    }
}

/* The good claims, by signer and of home's invoker; home NULL: not said. */
static const char *check_signed(struct world *w, const char *signer,
                                const char *home, EVP_PKEY *key)
{
    json_t *c = good_claims(w);
    int status;

    json_object_set_new(c, "ccfId", json_string(signer));
    if (home != NULL)
        json_object_set_new(c, "invokerCcfId", json_string(home));
    return check_as(w, HEADER, c, key, &status);
}

/*
 * OQ-17: a key is good for tokens of the CCF alone whose it is, and a partner
 * for its own invokers alone, even if its keys are at hand.
 */
static void test_other_ccf(void **state)
{
    struct world *w = *state;

    assert_string_equal(check_signed(w, CCF, NULL, w->other_key), UNSIGNED);
    assert_string_equal(check_signed(w, OTHER, NULL, w->ccf_key), UNSIGNED);
    assert_string_equal(check_signed(w, OTHER, NULL, w->other_key), UNSIGNED);
    assert_string_equal(check_signed(w, OTHER, CCF, w->other_key), UNSIGNED);
    assert_string_equal(check_signed(w, CCF, OTHER, w->ccf_key), UNSIGNED);
    assert_null(check_signed(w, CCF, CCF, w->ccf_key));
}

/* Exchanged: this AEF's own CCF signs for another's invoker, and says so. */
static void test_own_ccf_for_foreign_invoker(void **state)
{
    struct world *w = *state;

    assert_null(check_signed(w, OWN, CCF, w->own_key));
    assert_string_equal(check_signed(w, OWN, NULL, w->own_key), UNSIGNED);
    assert_string_equal(check_signed(w, OWN, OTHER, w->own_key), UNSIGNED);
    assert_string_equal(check_signed(w, OWN, CCF, w->ccf_key), UNSIGNED);
    assert_string_equal(check_signed(w, OWN, CCF, w->other_key), UNSIGNED);
}

/* Introspected: the key is not asked, everything else is. */
static void test_vouched(void **state)
{
    struct world *w = *state;
    json_t *c;
    int status;

    w->call.vouched = true;
    assert_null(check_signed(w, CCF, NULL, w->other_key));
    assert_string_equal(check_signed(w, OTHER, NULL, w->other_key), UNSIGNED);
    assert_string_equal(check_signed(w, OTHER, CCF, w->other_key), UNSIGNED);
    c = good_claims(w);
    json_object_del(c, "cnf");
    assert_string_equal(check_as(w, HEADER, c, w->ccf_key, &status), UNBOUND);
    c = good_claims(w);
    json_object_set_new(c, "exp", json_integer(NOW));
    assert_string_equal(check_as(w, HEADER, c, w->ccf_key, &status), EXPIRED);
}

static void test_unknown_invoker(void **state)
{
    struct world *w = *state;

    w->info.known = false;
    assert_string_equal(check(w, good_claims(w)),
                        "no security context of this invoker here");
}

static void test_call_elsewhere(void **state)
{
    struct world *w = *state;
    int status;

    w->call.api_name = "zero"; /* in the scope, but at aef-0 */
    assert_string_equal(
        check_as(w, HEADER, good_claims(w), w->ccf_key, &status),
        "the API is not in the token's scope");
    assert_int_equal(status, 403);
    w->call.aef_id = "aef-0";
    assert_null(check(w, good_claims(w)));
    w->call.aef_id = "aef-2";
    assert_string_equal(check(w, good_claims(w)), ELSE);
}

/* The good claims, bound to the certificate the call comes with. */
static const char *check_cert(struct world *w, X509 *cert)
{
    json_t *c = good_claims(w);
    char thumbprint[44];

    assert_true(capif_cert_thumbprint(cert, thumbprint));
    json_object_set_new(c, "cnf", json_pack("{s:s}", "x5t#S256", thumbprint));
    w->call.cert = cert;
    return check(w, c);
}

#define STRANGER "the certificate is not the token's invoker's"

static void test_certificate(void **state)
{
    struct world *w = *state;
    const struct {
        enum capif_role role;
        const char *ccf_id, *id;
        X509 *ca;
        EVP_PKEY *ca_key;
    } bad[] = {
        { CAPIF_INVOKER, CCF, "inv-2", w->ca, w->ca_key },
        { CAPIF_INVOKER, OTHER, "inv-1", w->ca, w->ca_key },
        { CAPIF_AEF, CCF, "inv-1", w->ca, w->ca_key },
        { CAPIF_CCF, CCF, CCF, w->ca, w->ca_key },
        { CAPIF_INVOKER, CCF, "inv-1", w->other_ca, w->inv_key },
    };

    for (int mutual = 0; mutual < 2; mutual++) {
        w->info.mutual = mutual;
        for (size_t i = 0; i < N_OF(bad); i++) {
            X509 *cert = soft_member(bad[i].role, bad[i].ccf_id, bad[i].id,
                                     w->inv_key, bad[i].ca, bad[i].ca_key);
            const char *why = check_cert(w, cert);

            assert_non_null(why);
            assert_string_equal(why, STRANGER);
            X509_free(cert);
        }
        assert_string_equal(check_cert(w, w->ca), STRANGER);
        assert_null(check_cert(w, w->inv));
    }
}

/* RFC 8705 3: renewed, it is the same invoker's but not the same. */
static void test_renewed_certificate(void **state)
{
    struct world *w = *state;
    X509 *cert =
        soft_member(CAPIF_INVOKER, CCF, "inv-1", w->inv_key, w->ca, w->ca_key);

    w->call.cert = cert;
    assert_string_equal(check(w, good_claims(w)), BOUND);
    w->info.mutual = false;
    assert_string_equal(check(w, good_claims(w)), BOUND);
    X509_free(cert);
}

static void test_no_certificate(void **state)
{
    struct world *w = *state;
    json_t *c;

    w->call.cert = NULL;
    assert_string_equal(check(w, good_claims(w)),
                        "the invoker's certificate is needed");
    w->info.mutual = false;
    assert_null(check(w, good_claims(w)));
    c = good_claims(w);
    json_object_del(c, "cnf");
    assert_null(check(w, c));
    w->call.cert = w->inv;
    c = good_claims(w);
    json_object_del(c, "cnf");
    assert_null(check(w, c));
}

static void test_claimant(void **state)
{
    static const struct {
        const char *claims;
        bool ok;
    } v[] = {
        { "{'ccfId':'ccf.a.example','client_id':'inv-1'}", true },
        { "{'ccfId':'ccf.b.example','invokerCcfId':'ccf.a.example',"
          "'client_id':'inv-1'}",
          true },
        { "{'ccfId':'ccf.a.example','invokerCcfId':1,'client_id':'inv-1'}",
          false },
        { "{'ccfId':'ccf.a.example','invokerCcfId':'ccf',"
          "'client_id':'inv-1'}",
          false },
        { "{'ccfId':'ccf.a.example'}", false },
        { "{'client_id':'inv-1'}", false },
        { "{'ccfId':'ccf.a.example','client_id':1}", false },
        { "{'ccfId':['ccf.a.example'],'client_id':'inv-1'}", false },
        { "{'ccfId':'ccf','client_id':'inv-1'}", false },
        { "{'ccfId':'CCF.a.example','client_id':'inv-1'}", false },
        { "{'ccfId':'ccf.a.example','client_id':''}", false },
        { "{'ccfId':'ccf.a.example','client_id':'a/b'}", false },
        { "{'ccfId':'ccf.a.example','client_id':'a?b=c'}", false },
    };
    const char *ccf_id = NULL, *invoker_id = NULL;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        struct capif_jws jws = { .claims = soft_json(v[i].claims) };

        assert_int_equal(aef_token_claimant(&jws, &ccf_id, &invoker_id),
                         v[i].ok);
        if (v[i].ok) {
            assert_string_equal(ccf_id, "ccf.a.example");
            assert_string_equal(invoker_id, "inv-1");
        }
        json_decref(jws.claims);
    }
}

#define EACH(f) cmocka_unit_test_setup(f, good)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_good),
        EACH(test_times),
        EACH(test_age),
        EACH(test_revoked),
        EACH(test_claims),
        EACH(test_scope),
        EACH(test_header),
        EACH(test_other_ccf),
        EACH(test_own_ccf_for_foreign_invoker),
        EACH(test_vouched),
        EACH(test_unknown_invoker),
        EACH(test_call_elsewhere),
        EACH(test_certificate),
        EACH(test_renewed_certificate),
        EACH(test_no_certificate),
        EACH(test_claimant),
    };

    return cmocka_run_group_tests_name("aef: token", tests, setup, teardown);
}
