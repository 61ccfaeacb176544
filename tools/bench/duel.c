/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each side has workers of its own, who live through all slices of a duel:
 * what OpenSSL or a module makes for each thread at its first use is then paid
 * in the first round, which does not count.
 */
#include "duel.h"

#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct worker {
    struct duel *duel;
    size_t side, n;
    pthread_t thread;
    pid_t pid; /* 0: it is a thread */
    /* Written within slices, read between them. */
    size_t count;
    bool failed;
};

/* In memory that forked workers share. */
struct duel {
    const struct duel_plan *plan;
    const struct duel_side *sides;
    /* Of a side: passed when a slice of it starts and when it ends. */
    pthread_barrier_t gates[DUEL_SIDES_MAX];
    atomic_bool stop;
    bool over; /* written between slices: go home */
    size_t size;
    struct worker workers[]; /* of one side after the other */
};

static void slice_work(struct worker *w)
{
    const struct duel_side *side = &w->duel->sides[w->side];
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
    pthread_barrier_t *gate = &w->duel->gates[w->side];

    for (;;) {
        pthread_barrier_wait(gate);
        if (w->duel->over)
            return NULL;
        slice_work(w);
        pthread_barrier_wait(gate);
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
static double slice_rate(struct duel *d, size_t side)
{
    const struct worker *workers = d->workers + side * d->plan->n_threads;
    bool failed = false;
    double start, took;
    size_t count = 0;

    atomic_store(&d->stop, false);
    start = now(); /* the workers wait already, so that this isn't early */
    pthread_barrier_wait(&d->gates[side]);
    sleep_for(d->plan->seconds);
    atomic_store(&d->stop, true);
    pthread_barrier_wait(&d->gates[side]);
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

static bool all_rounds(struct duel *d, double *rates)
{
    const struct duel_plan *p = d->plan;
    double rate;

    for (size_t i = 0; i <= p->pairs; i++) {
        for (size_t s = 0; s < p->n_sides; s++) {
            rate = slice_rate(d, s);
            if (rate < 0)
                return false;
            if (i > 0) /* the first round warms up */
                rates[s * p->pairs + i - 1] = rate;
        }
    }
    return true;
}

/* ---- workers ---- */

static bool start_process(struct worker *w)
{
    pid_t parent = getpid();

    w->pid = fork();
    if (w->pid != 0)
        return w->pid > 0;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        worker_main(w);
    _exit(0);
}

/*
 * Workers that have started can't be called back before all are at the gate,
 * and without one of them there is nothing to tell: the program ends.
 */
static void start_side(struct duel *d, size_t side)
{
    for (size_t i = 0; i < d->plan->n_threads; i++) {
        struct worker *w = &d->workers[side * d->plan->n_threads + i];

        w->duel = d;
        w->side = side;
        w->n = i;
        if (d->sides[side].apart
                ? start_process(w)
                : pthread_create(&w->thread, NULL, worker_main, w) == 0)
            continue;
        fprintf(stderr, "error: can't start %zu workers\n", d->plan->n_threads);
        exit(1);
    }
}

/* Processes first, while there are no other threads. */
static void start(struct duel *d)
{
    pthread_barrierattr_t shared;

    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    for (size_t s = 0; s < d->plan->n_sides; s++)
        pthread_barrier_init(&d->gates[s], &shared,
                             (unsigned)d->plan->n_threads + 1);
    pthread_barrierattr_destroy(&shared);
    for (int apart = 1; apart >= 0; apart--) {
        for (size_t s = 0; s < d->plan->n_sides; s++)
            if (d->sides[s].apart == (apart == 1))
                start_side(d, s);
    }
}

static void finish(struct duel *d)
{
    d->over = true;
    for (size_t s = 0; s < d->plan->n_sides; s++)
        pthread_barrier_wait(&d->gates[s]);
    for (size_t i = 0; i < d->plan->n_sides * d->plan->n_threads; i++) {
        if (d->workers[i].pid != 0)
            (void)waitpid(d->workers[i].pid, NULL, 0);
        else
            pthread_join(d->workers[i].thread, NULL);
    }
    for (size_t s = 0; s < d->plan->n_sides; s++)
        pthread_barrier_destroy(&d->gates[s]);
}

static struct duel *duel_new(const struct duel_plan *plan,
                             const struct duel_side *sides)
{
    size_t size = sizeof(struct duel)
                  + plan->n_sides * plan->n_threads * sizeof(struct worker);
    struct duel *d = mmap(NULL, size, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (d == MAP_FAILED)
        return NULL;
    d->plan = plan;
    d->sides = sides;
    d->size = size;
    atomic_init(&d->stop, false);
    return d;
}

bool duel_run(const struct duel_plan *plan, const struct duel_side *sides,
              struct duel_result *results)
{
    size_t n = plan->n_sides * plan->pairs;
    struct duel *d = duel_new(plan, sides);
    double *rates = calloc(n, sizeof(*rates));
    double *ratios = calloc(n, sizeof(*ratios));
    bool ok = false;

    if (d != NULL && rates != NULL && ratios != NULL) {
        start(d);
        ok = all_rounds(d, rates);
        finish(d);
    }
    if (ok)
        evaluate(plan, rates, ratios, results);
    if (d != NULL)
        munmap(d, d->size);
    free(rates);
    free(ratios);
    return ok;
}
