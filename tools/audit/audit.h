/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: are known secrets in the memory of processes, or in files?  What
 * the ways to look (audit.c, audit_file.c, trace.c) and the report share.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "needle.h"
#include "procmem.h"

#include <stdio.h>

#define AUDIT_NAME_MAX 64
/* For reading: room for what is kept of the last chunk, and pages. */
#define AUDIT_LEAD ((size_t)1 << 16)
#define AUDIT_BUF  ((size_t)5 << 16)

struct audit_count {
    uint64_t n;
    unsigned forms; /* a bit for each that was found, see needle.h */
};

struct audit_target {
    char name[AUDIT_NAME_MAX + 1];
    const char *path;  /* NULL: a process */
    struct procmem *p; /* NULL: a path */
    bool ended;
    uint64_t looks;           /* passes, or stops at system calls */
    uint64_t octets;          /* that were looked at */
    struct needle_hits hits;  /* of this pass, or of the whole trace */
    struct audit_count *pass; /* one a needle: this pass */
    struct audit_count *sum;  /* what is reported */
};

struct audit {
    struct needles *needles;
    struct audit_target *target;
    size_t n;
    const char *phase;
    bool tsv, continuously, syscalls;
    bool failed;  /* something could not be looked at, and it was said */
    FILE *places; /* lines that say where; NULL if nobody wants to know */
    size_t n_places;
    uint8_t *buf; /* for reading; wiped at the end */
};

/* "error: TARGET: ..." on standard error, and it counts as failed. */
void audit_fail(struct audit *a, const struct audit_target *t, const char *what,
                const char *why);

/*
 * All that is readable of a process; of that only what can't be written to,
 * if constant.  Hits are added to t->hits.  False when the process is over
 * or it failed.
 */
bool audit_process(struct audit *a, struct audit_target *t, bool constant);
/* Hits so far become counts of this pass, and places. */
void audit_settle(struct audit *a, struct audit_target *t, const char *where);
/* Search buf; false without memory, which was said. */
bool audit_find(struct audit *a, struct audit_target *t, const uint8_t *buf,
                size_t len, uint64_t at);

/* A file, or all regular ones below a directory (audit_file.c). */
void audit_path(struct audit *a, struct audit_target *t);

/* Has standard input ended?  Waits for nothing. */
bool audit_input_ended(void);

/* Are there no targets left but such as have ended? */
bool audit_all_ended(const struct audit *a);

/* At every system call, until standard input ends (trace.c). */
void audit_trace(struct audit *a);

/* On standard output (audit_report.c). */
void audit_report(const struct audit *a);

#endif
