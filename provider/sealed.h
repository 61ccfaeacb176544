/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of sealed secrets (design 2): handles in place of secrets.
 *
 * A handle has the length of the secret it stands for, 32 octets or more:
 * a tag of 16 random octets that is this table's, an index, a generation, a
 * check value over them under a key of this table's; more octets repeat the
 * check.  Octets that bear the tag but don't check are an error, never taken
 * for a plain secret.
 *
 * Ownership: the table owns the secrets; sealed_find() gives a reference
 * that the caller gives back by hsm_secret_free().
 * Threads: a table may be shared.  Lock order: sealed_table.lock, then
 * hsm_pool.lock; no call into the token is made under either.
 */
#ifndef PROV_SEALED_H
#define PROV_SEALED_H

#include "prov.h"

#define SEALED_LEN     32 /* octets of the shortest handle */
#define SEALED_LEN_MAX 64

/* What a secret is, which decides what may follow from it. */
enum sealed_kind {
    SEALED_KEY,   /* AEFPSK, an imported key: a PSK, or a KDF's input */
    SEALED_EARLY, /* of a PSK, like the next three: die with it */
    SEALED_BINDER,
    SEALED_FINISHED,
    SEALED_DERIVED,
    SEALED_HANDSHAKE, /* of a connection, like all that follow */
    SEALED_MASTER,
    SEALED_EXP_MASTER,
    SEALED_RES_MASTER,
    SEALED_EXPORTER,    /* one label's */
    SEALED_EXPORTER_CB, /* of EXPORTER-Channel-Binding: RFC 9266, public */
    SEALED_MASTER12,    /* TLS 1.2 */
};

enum sealed_match {
    SEALED_PLAIN, /* does not bear the tag */
    SEALED_OK,
    SEALED_BAD, /* forged, released, expired, evicted, or lost with its
                   connection to the token */
};

struct sealed_table;

struct sealed_table *sealed_table_new(OSSL_LIB_CTX *libctx, size_t max);
/* Destroys all secrets. */
void sealed_table_free(struct sealed_table *t);

/*
 * Which secret do these octets stand for?  With SEALED_OK, *secret is a
 * reference of the caller's.  secret and kind may be NULL.
 */
enum sealed_match sealed_find(struct sealed_table *t, const uint8_t *octets,
                              size_t len, struct hsm_secret **secret,
                              enum sealed_kind *kind);

/*
 * Put secret into the table, which takes the reference over, for lifetime
 * seconds, and write its handle of len octets.  A pinned one is not evicted
 * when the table is full.  false: no room, or len is out of range; the
 * reference stays the caller's.
 */
bool sealed_add(struct sealed_table *t, struct hsm_secret *secret,
                enum sealed_kind kind, unsigned lifetime, bool pinned,
                uint8_t *handle, size_t len);

/*
 * The same for what follows from another secret and dies with it.  If the
 * parent has one of that kind already, its handle is written and secret is
 * given up.
 */
bool sealed_add_child(struct sealed_table *t, const uint8_t *parent,
                      size_t parent_len, struct hsm_secret *secret,
                      enum sealed_kind kind, uint8_t *handle);
/* The handle (and secret, unless NULL) of a child that is there already. */
bool sealed_find_child(struct sealed_table *t, const uint8_t *parent,
                       size_t parent_len, enum sealed_kind kind,
                       uint8_t *handle, struct hsm_secret **secret);

/* Destroy it and its children now; false if it is no handle of ours. */
bool sealed_release(struct sealed_table *t, const uint8_t *handle, size_t len);
/* Entries in use; those whose time is up are destroyed first. */
size_t sealed_count(struct sealed_table *t);

#endif
