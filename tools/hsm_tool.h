/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm_tool: what the commands of `capif-hsm` share.
 */
#ifndef HSM_TOOL_H
#define HSM_TOOL_H

#include "conf.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#define AEFS_MAX 8

/* The command line, after the command's name. */
struct options {
    const char *so_pin_file, *config, *key, *type, *out, *name, *cert, *ca_cert,
        *ca_key, *ccf_id, *needles, *phase, *format, *hsm_config, *enrolment;
    const char *aefs[AEFS_MAX];
    size_t n_aefs;
    long days, valid;
    bool continuously, syscalls;
    struct capif_conf *conf;
    char **args;
    int n_args;
};

struct command {
    const char *name, *args, *what;
    int (*run)(struct options *o);
};

/* "error: what" and OpenSSL's queue on standard error; returns 1. */
int hsm_tool_fail(const char *what);
/* To --out, which only its owner can read (it may be a credential). */
int hsm_tool_write(const struct options *o, const char *text);

/* ---- the commands about keys (hsm_keys.c); each returns the exit status */
int hsm_tool_keygen(struct options *o);
int hsm_tool_kek(struct options *o);
int hsm_tool_partner(struct options *o);
int hsm_tool_jwks(struct options *o);
int hsm_tool_keyfile(struct options *o);
/* Make a key pair of a type as --type has it; NULL: see OpenSSL's queue. */
EVP_PKEY *hsm_tool_generate(const char *type, const char *uri);

/* ---- a new key in place of one that a CCF uses (rotate.c) */
int hsm_tool_rotate(struct options *o);

/* ---- an AEF's keys and certificates (hsm_register.c) */
int hsm_tool_register(struct options *o);

/* ---- looking for secrets (audit.c): 0 none, 1 some, 2 could not look */
int hsm_tool_audit(struct options *o);

#endif
