/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif log: one line an event on standard error, as key=value pairs.
 *
 * Values may be foreign text: whatever is not plain printable ASCII is
 * escaped, so that nobody can forge a line.  Never give it a body, a token, a
 * PIN, a key or a sealed handle.
 * Threads: may be called from any; a line is one write().
 */
#ifndef CAPIF_LOG_H
#define CAPIF_LOG_H

#include <stddef.h>

/* Pairs of const char *key, *value, ended by NULL; a NULL value is "-". */
void capif_log(const char *event, ...) __attribute__((sentinel));

/* The same, followed by what is on OpenSSL's error queue, which is emptied. */
void capif_log_ssl(const char *event, ...) __attribute__((sentinel));

/* Escape value into out as the log does; cut off at room.  For tests. */
void capif_log_escape(const char *value, char *out, size_t room);

#endif
