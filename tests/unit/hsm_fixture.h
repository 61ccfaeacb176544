/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of hsm/ share: the fake module's control panel, a directory
 * with a PIN file, and a struct hsm on the fake.  Everything here asserts, so
 * call it from the test's own thread only.
 */
#ifndef HSM_FIXTURE_H
#define HSM_FIXTURE_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_p11.h"
#include "hsm.h"

extern struct fake *fake;            /* set by fixture_setup() */
extern fake_reset_fn *fake_do_reset; /* the module's fake_reset() */

/* cmocka group fixtures. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* A file of these octets and this mode; valid until the next call. */
const char *fixture_file(const char *name, const char *text, size_t len,
                         unsigned mode);
/* The fake module, the right PIN, so many sessions. */
struct hsm_config fixture_config(size_t sessions);
struct hsm *fixture_open(size_t sessions);
/* The private key of that label: "rsa" or "ec". */
struct hsm_key *fixture_key(struct hsm *h, const char *label);
/* Close and see that the fake has no session left. */
void fixture_close(struct hsm *h);

#endif
