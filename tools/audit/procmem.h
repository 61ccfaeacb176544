/* SPDX-License-Identifier: Apache-2.0 */
/*
 * procmem: the memory of another process, as it is, without stopping it.
 *
 * Ownership: what procmem_open() returns goes to procmem_close(); the
 * mappings are procmem's, until they are read again.
 * Threads: one struct procmem, one thread.
 */
#ifndef PROCMEM_H
#define PROCMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct procmem_map {
    uint64_t start, end;
    bool readable, writable;
    bool anonymous; /* private and of no file: never touched means zeros */
    bool failed;    /* readable, but not all of it could be read */
    char name[48];  /* of the file, or [heap]; its end if it is longer */
};

enum procmem_status {
    PROCMEM_OK,
    PROCMEM_ENDED, /* the process, or it executed another program */
    PROCMEM_ERROR, /* errno says why */
};

struct procmem;

/* The process, or the one that has this thread; NULL: errno says why. */
struct procmem *procmem_open(pid_t pid);
void procmem_close(struct procmem *p);
pid_t procmem_pid(const struct procmem *p);
/* What the process calls itself. */
bool procmem_comm(const struct procmem *p, char *out, size_t len);

/* The mappings of now; what the kernel keeps for itself is left out. */
enum procmem_status procmem_maps(struct procmem *p, struct procmem_map **maps,
                                 size_t *n);
/*
 * Whole pages of m.  What can't be read becomes zeros, and m->failed says so.
 * touched, if not NULL, gets a flag a page; pages that were never touched,
 * hence are zeros, are then not written to buf.
 */
enum procmem_status procmem_read(struct procmem *p, struct procmem_map *m,
                                 uint64_t at, uint8_t *buf, size_t len,
                                 bool *touched);
/* The same memory again, after an exec. */
enum procmem_status procmem_reopen(struct procmem *p);
size_t procmem_page(void);

#endif
