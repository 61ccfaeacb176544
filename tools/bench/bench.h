/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-bench: what the provider costs.  All timing of the project is here.
 *
 * Functions return false after they have said on stderr what failed.
 */
#ifndef BENCH_H
#define BENCH_H

#include "duel.h"

#define BENCH_TARGET      0.90
#define BENCH_THREADS_MAX 64
#define BENCH_LIST_MAX    8

struct bench_options {
    const char *module, *label, *only; /* only may be NULL: everything */
    /* For bench_agent(): p11-kit's client module, the agent's socket. */
    const char *remote, *agent, *pin_file;
    double seconds; /* a slice's */
    size_t pairs;
    size_t threads[BENCH_LIST_MAX];
    size_t n_threads; /* 0: the mode's own choice */
};

/* Signatures of a token's keys: EVP against the module itself. */
bool bench_token(const struct bench_options *o);
/* Software keys: OPENSSL_CONF against the default provider alone. */
bool bench_software(const struct bench_options *o);
/* hsm/ and the agent: the module in process, by p11-kit and by the agent. */
bool bench_agent(const struct bench_options *o);

bool bench_wanted(const struct bench_options *o, const char *name);
/* What failed, and OpenSSL's queue of this thread; returns false. */
bool bench_fail(const char *what);

void bench_head(const char *reference, const char *measured);
void bench_row(const char *title, const char *what, size_t n_threads,
               const struct duel_result *ref, const struct duel_result *r,
               bool has_target);
/* A row whose operation does not work at all. */
void bench_row_failed(const char *title, const char *what, size_t n_threads);

#endif
