/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duel: ways to do the same, each compared with the first, in short slices
 * by turns.
 *
 * A shared machine is now fast, now slow; neighbouring slices meet about the
 * same one, so each ratio is of neighbours and the median of these is told.
 */
#ifndef DUEL_H
#define DUEL_H

#include <stdbool.h>
#include <stddef.h>

#define DUEL_SIDES_MAX 3

struct duel_side {
    bool (*run)(void *state); /* once; by one thread per state */
    void **states;            /* one for each thread */
    bool apart; /* by a process per state, in place of threads of this one;
                   these are forked at the start */
};

struct duel_plan {
    size_t n_sides, n_threads, pairs;
    double seconds; /* of a slice */
};

struct duel_result {
    double rate;             /* operations a second, all threads, median */
    double ratio, low, high; /* to the first side: median, quartiles */
};

/*
 * Measure; sides and results are n_sides long.  False if an operation failed,
 * after its thread's error queue was printed.
 */
bool duel_run(const struct duel_plan *plan, const struct duel_side *sides,
              struct duel_result *results);

#endif
