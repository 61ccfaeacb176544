/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads live through all slices of a duel: what OpenSSL or a module makes
 * for each thread at its first use is then paid in the first round, which
 * does not count.
 */
#include "duel.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct duel {
    const struct duel_plan *plan;
    const struct duel_side *sides;
    pthread_barrier_t gate; /* passed when a slice starts and when it ends */
    atomic_bool stop;
    const struct duel_side *turn; /* written between slices; NULL: go home */
};

struct worker {
    struct duel *duel;
    pthread_t thread;
    size_t n;
    /* Written within slices, read between them. */
    size_t count;
    bool failed;
};

static void slice_work(struct worker *w)
{
    const struct duel_side *side = w->duel->turn;
    void *state = side->states[w->n];
    size_t count = 0;

    while (!atomic_load_explicit(&w->duel->stop, memory_order_relaxed)) {
        if (!side->run(state)) {
            w->failed = true;
            ERR_print_errors_fp(stderr); /* the queue is this thread's */
            break;
        }
        count++;
    }
    w->count = count;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;

    for (;;) {
        pthread_barrier_wait(&w->duel->gate);
        if (w->duel->turn == NULL)
            return NULL;
        slice_work(w);
        pthread_barrier_wait(&w->duel->gate);
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sleep_for(double seconds)
{
    struct timespec t = { (time_t)seconds, 0 };

    t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

/* One slice of one side: its rate, negative if an operation failed. */
static double slice_rate(struct duel *d, struct worker *workers,
                         const struct duel_side *side)
{
    bool failed = false;
    double start, took;
    size_t count = 0;

    d->turn = side;
    atomic_store(&d->stop, false);
    start = now(); /* the workers wait already, so that this isn't early */
    pthread_barrier_wait(&d->gate);
    sleep_for(d->plan->seconds);
    atomic_store(&d->stop, true);
    pthread_barrier_wait(&d->gate);
    took = now() - start;
    for (size_t i = 0; i < d->plan->n_threads; i++) {
        count += workers[i].count;
        failed = failed || workers[i].failed;
    }
    return failed ? -1 : (double)count / took;
}

static int compare(const void *va, const void *vb)
{
    double a = *(const double *)va, b = *(const double *)vb;

    return (a > b) - (a < b);
}

/* The value below which part of the n sorted ones are. */
static double quantile(const double *sorted, size_t n, double part)
{
    double at = part * (double)(n - 1);
    size_t i = (size_t)at;

    if (i + 1 >= n)
        return sorted[n - 1];
    return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}

/* rates: pairs values of each side, side by side. */
static void evaluate(const struct duel_plan *p, double *rates, double *ratios,
                     struct duel_result *results)
{
    size_t n = p->pairs;

    for (size_t s = 0; s < p->n_sides; s++) {
        for (size_t i = 0; i < n; i++)
            ratios[s * n + i] = rates[s * n + i] / rates[i];
    }
    for (size_t s = 0; s < p->n_sides; s++) {
        qsort(rates + s * n, n, sizeof(*rates), compare);
        qsort(ratios + s * n, n, sizeof(*ratios), compare);
        results[s].rate = quantile(rates + s * n, n, 0.5);
        results[s].ratio = quantile(ratios + s * n, n, 0.5);
        results[s].low = quantile(ratios + s * n, n, 0.25);
        results[s].high = quantile(ratios + s * n, n, 0.75);
    }
}

static bool all_rounds(struct duel *d, struct worker *workers, double *rates)
{
    const struct duel_plan *p = d->plan;
    double rate;

    for (size_t i = 0; i <= p->pairs; i++) {
        for (size_t s = 0; s < p->n_sides; s++) {
            rate = slice_rate(d, workers, &d->sides[s]);
            if (rate < 0)
                return false;
            if (i > 0) /* the first round warms up */
                rates[s * p->pairs + i - 1] = rate;
        }
    }
    return true;
}

/*
 * Workers that have started can't be called back before all are at the gate,
 * and without one of them there is nothing to tell: the program ends.
 */
static void start(struct duel *d, struct worker *workers)
{
    pthread_barrier_init(&d->gate, NULL, (unsigned)d->plan->n_threads + 1);
    atomic_init(&d->stop, false);
    for (size_t i = 0; i < d->plan->n_threads; i++) {
        workers[i].duel = d;
        workers[i].n = i;
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i])
            != 0) {
            fprintf(stderr, "error: can't start %zu threads\n",
                    d->plan->n_threads);
            exit(1);
        }
    }
}

static void finish(struct duel *d, struct worker *workers)
{
    d->turn = NULL;
    pthread_barrier_wait(&d->gate);
    for (size_t i = 0; i < d->plan->n_threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_barrier_destroy(&d->gate);
}

bool duel_run(const struct duel_plan *plan, const struct duel_side *sides,
              struct duel_result *results)
{
    size_t n = plan->n_sides * plan->pairs;
    struct duel d = { .plan = plan, .sides = sides };
    struct worker *workers = calloc(plan->n_threads, sizeof(*workers));
    double *rates = calloc(n, sizeof(*rates));
    double *ratios = calloc(n, sizeof(*ratios));
    bool ok = false;

    if (workers != NULL && rates != NULL && ratios != NULL) {
        start(&d, workers);
        ok = all_rounds(&d, workers, rates);
        finish(&d, workers);
    }
    if (ok)
        evaluate(plan, rates, ratios, results);
    free(workers);
    free(rates);
    free(ratios);
    return ok;
}
