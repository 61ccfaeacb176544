/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes over an agent's socket: a CBOR sequence (RFC 8742) of arrays of
 * definite length, of at most WIRE_MAX octets each.  Their items are unsigned
 * integers, byte strings and text strings, of definite length and in any
 * width; a text string holds no NUL.
 *
 *     request  [number, operation, arguments...]
 *     answer   [number, status, message, results...]
 *
 * Answers come in any order, each with its request's number; to one whose
 * number is 0 there is none.  The status is an enum hsm_status, the message
 * that of hsm_last_error().  Results follow HSM_OK alone.
 *
 * A key or a secret is a number of the connection's own.  No operation gives
 * the value of one: there is none to ask for.  (Who may use a secret can have
 * computed what follows from it: MAC gives the value that DERIVE seals.)
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_VERSION 1
#define WIRE_MAX     65536
#define WIRE_ITEMS   96

enum wire_type { WIRE_NUM, WIRE_BYTES, WIRE_TEXT };

struct wire_item {
    enum wire_type type;
    uint64_t num;
    const uint8_t *p; /* of a string; len octets */
    size_t len;
};

struct wire_msg {
    size_t n;
    struct wire_item items[WIRE_ITEMS]; /* strings point into what was read */
};

/*
 * The operations, their arguments and results: n for a number, b and t for a
 * byte and a text string; a results' * is what follows any number of times.
 * Keys and secrets are told apart by the agent.
 */
#define WIRE_OPS(X)                                                            \
    X(HELLO, "nt", "nb")         /* version, token; rung, the token's label */ \
    X(TOKENS, "t", "*t")         /* URI; URIs */                               \
    X(FIND, "tnn", "n*nnnnbbbb") /* URI, classes, first; next, or 0; objects:  \
                      class, number, type, curve, a or certificate, b, id,     \
                      label */                                                 \
    X(SIGN, "nnnnnb", "b")       /* key, mechanism, hash, MGF1's, salt length, \
                       what to sign */                                         \
    X(SECRET_FIND, "t", "nn")    /* URI; secret, length */                     \
    X(KEK_FIND, "t", "nn")                                                     \
    X(IMPORT, "bn", "n")       /* value, travel; secret */                     \
    X(DERIVE, "nbn", "n")      /* secret, message, travel; secret */           \
    X(EXTRACT, "nbn", "n")     /* secret, salt, travel; secret */              \
    X(P_SHA256, "nbnn", "n")   /* secret, seed, length, travel; secret */      \
    X(MAC, "nb", "b")          /* secret, message */                           \
    X(WRAP_AES, "nn", "b")     /* KEK, secret */                               \
    X(UNWRAP_AES, "nbn", "n")  /* KEK, wrapped, travel; secret */              \
    X(WRAP_RSA, "bbn", "b")    /* n, e, secret */                              \
    X(UNWRAP_RSA, "nbnn", "n") /* key, wrapped, length, travel; secret */      \
    X(RANDOM, "n", "b")        /* length */                                    \
    X(GENERATE, "nnnnt", "nnnnbbbb") /* type, curve, bits, use, URI; object */ \
    X(DROP, "n", "")                 /* key or secret */

enum wire_op {
#define X(name, args, results) WIRE_##name,
    WIRE_OPS(X)
#undef X
        WIRE_N_OPS
};

#define WIRE_OBJECT 8 /* items of an object */
#define WIRE_CERT   1 /* class of a certificate, whose number is 0 */

/* Its name, for logs; NULL if there is no such operation. */
const char *wire_op_name(uint64_t op);

enum wire_result {
    WIRE_OK,
    WIRE_MORE, /* so far right, but not all of it */
    WIRE_BAD,  /* no message, however it goes on */
};

/* The message at p; *used is its length. */
enum wire_result wire_decode(const uint8_t *p, size_t len, struct wire_msg *m,
                             size_t *used);
/* Do the items from `from` on have these types?  As above. */
bool wire_matches(const struct wire_msg *m, size_t from, const char *types);
/* As a request with number, operation and arguments; nothing else is one. */
bool wire_is_request(const struct wire_msg *m);
/* As an answer to op: its results are there if, and only if, it is HSM_OK. */
bool wire_is_answer(const struct wire_msg *m, enum wire_op op);

/* The length of the message of these items; 0: there are too many. */
size_t wire_size(const struct wire_item *items, size_t n);
/* Write it to out, which has room for it. */
void wire_encode(const struct wire_item *items, size_t n, uint8_t *out);

struct wire_item wire_num(uint64_t num);
struct wire_item wire_bytes(const uint8_t *p, size_t len);
struct wire_item wire_text(const char *text);
/* A text string's copy with a NUL; the caller frees it.  NULL: no memory. */
char *wire_string(const struct wire_item *item);

#endif
