/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PostgreSQL server of the test's own: in a fresh directory, on a Unix
 * socket alone, run as `postgres` by root, and ended with the test.
 * Everything asserts, but cluster_start().
 */
#ifndef CLUSTER_H
#define CLUSTER_H

#include <stdbool.h>
#include <stddef.h>

/* false and a line on stderr if it isn't installed or does not start. */
bool cluster_start(void);
/* Ends it, and removes all. */
void cluster_stop(void);

/* SIGKILL, and cluster_up() after it: what a crash is. */
void cluster_kill(void);
void cluster_up(void);
/* Stop all of its processes, or let them go on. */
void cluster_freeze(bool freeze);

/* A fresh database's URI; name is a word. */
void cluster_database(const char *name, char *uri, size_t room);

/*
 * What psql would say to it, without headers: columns are separated by "|",
 * rows by newlines.  Valid until the next call.  By a connection of its own.
 */
const char *cluster_sql(const char *uri, const char *sql);

#endif
