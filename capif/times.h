/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif times: DateTime of TS 29.122, which is date-time of RFC 3339 5.6.
 */
#ifndef CAPIF_TIMES_H
#define CAPIF_TIMES_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Seconds since 1970, without the fraction; false: text is none. */
bool capif_time_parse(const char *text, time_t *out);
/* The same in microseconds, with as much of the fraction. */
bool capif_time_parse_us(const char *text, int64_t *out);

#endif
