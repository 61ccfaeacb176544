/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A capif-hsmd of the test's own, which is the one that HSMD names in the
 * environment, found by a socket in the test's directory.  Whatever begins
 * with hsmd_ asserts.
 *
 * Ownership: who starts one ends it, by hsmd_stop() or hsmd_kill().
 */
#ifndef HSMD_H
#define HSMD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hsmd {
    char conf[64], sock[64];
    pid_t pid;
    int err;          /* what it says, to be read by: */
    pthread_t reader; /* who keeps it in said */
    pthread_mutex_t lock;
    pthread_cond_t more;
    bool over;
    char said[65536];
    size_t len;
};

/*
 * Write NAME.conf into dir: module, the token of that label, the PIN file,
 * this user may do everything, and then more lines of the first section.
 */
void hsmd_configure(struct hsmd *d, const char *dir, const char *name,
                    const char *module, const char *label, const char *pin_file,
                    const char *more);
/* Start it, again if need be; on return it is ready. */
void hsmd_start(struct hsmd *d);
/* SIGTERM; it is to say goodbye with 0, and never to have said "error". */
void hsmd_stop(struct hsmd *d);
void hsmd_kill(struct hsmd *d);

#endif
