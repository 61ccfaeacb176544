/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif conf: configuration in OpenSSL's format, read with NCONF.
 *
 * One file holds what OpenSSL itself needs (the provider `sealed`) and the
 * daemon's sections.  Sections are read through tables of options; an option
 * that is unknown, malformed, out of range or missing is an error that names
 * file, line, section and option on standard error.
 *
 * Ownership: all that is read belongs to the struct capif_conf, which
 * the daemons keep until they end.
 * Threads: read it in one thread; the results may be read by all.
 */
#ifndef CAPIF_CONF_H
#define CAPIF_CONF_H

#include <stdbool.h>
#include <stddef.h>

struct capif_conf;

enum capif_opt_type {
    CAPIF_OPT_STR,  /* const char * */
    CAPIF_OPT_UINT, /* size_t, min to max */
    CAPIF_OPT_BOOL, /* bool, yes or no */
    CAPIF_OPT_LIST, /* const char *const *, by commas, ended by NULL */
};

struct capif_opt {
    const char *name;
    enum capif_opt_type type;
    size_t offset;       /* of the member in the struct that is filled in */
    const char *def;     /* as in the file; NULL: the option is required */
    size_t min, max;     /* of a number */
    const char *choices; /* "a|b|c" that a string or list is made of */
};

/*
 * Make path OpenSSL's own configuration too (providers are loaded as it
 * says), and open it.  Must be a program's first use of OpenSSL.  NULL, and
 * messages on standard error, if anything in it is wrong.
 */
struct capif_conf *capif_conf_open(const char *path);
/*
 * Open it once more, as it is now.  What OpenSSL itself has read of it stays:
 * providers can't be set up anew in a process that uses them.
 */
struct capif_conf *capif_conf_reopen(const char *path);
void capif_conf_free(struct capif_conf *conf);

/* Fill in base from [section] by opts, a table that ends with name NULL. */
bool capif_conf_read(struct capif_conf *conf, const char *section,
                     const struct capif_opt *opts, void *base);

/* One value, unchecked; NULL if it isn't there. */
const char *capif_conf_get(const struct capif_conf *conf, const char *section,
                           const char *name);

/*
 * The names of all sections that begin with prefix, ended by NULL, in the
 * file's order.
 */
const char *const *capif_conf_sections(struct capif_conf *conf,
                                       const char *prefix);

/* "FILE:LINE: [section] name: what"; name may be NULL. */
void capif_conf_complain(const struct capif_conf *conf, const char *section,
                         const char *name, const char *what);

/* Is text one of the NULL-terminated list? */
bool capif_list_has(const char *const *list, const char *text);

/*
 * A list named `connect`: where to connect instead of what DNS says,
 * HOST:PORT=ADDRESS:PORT.  Complains; and the ADDRESS:PORT for an https URL,
 * or NULL.
 */
bool capif_connect_ok(const struct capif_conf *conf, const char *section,
                      const char *const *connect);
const char *capif_connect_of(const char *const *connect, const char *url);

#endif
