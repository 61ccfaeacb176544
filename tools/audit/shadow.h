/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shadow: what the writable memory of a process was at the last look, so
 * that the next one searches no more than has changed.
 *
 * Ownership: shadow_new()'s goes to shadow_free().
 */
#ifndef SHADOW_H
#define SHADOW_H

#include "audit.h"

struct shadow;

/* NULL without memory. */
struct shadow *shadow_new(void);
void shadow_free(struct shadow *s);
/* False when the process is over, or it failed. */
bool shadow_look(struct shadow *s, struct audit *a, struct audit_target *t);

#endif
