/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the audit found: lines for programs, or a table for people.  Secrets
 * are named, never shown.
 */
#include "audit.h"

#include <inttypes.h>
#include <string.h>

static void forms_print(unsigned forms)
{
    const char *sep = "";

    for (unsigned i = 0; i < NEEDLE_FORMS; i++) {
        if ((forms >> i & 1) != 0) {
            printf("%s%s", sep, needle_form_name(i));
            sep = ",";
        }
    }
    if (forms == 0)
        putchar('-');
}

static void tsv(const struct audit *a)
{
    for (size_t i = 0; i < a->n; i++) {
        const struct audit_target *t = &a->target[i];

        for (size_t k = 0; k < needles_count(a->needles); k++) {
            printf("%s\t%s\t%s\t%" PRIu64 "\t", a->phase, t->name,
                   needles_name(a->needles, k), t->sum[k].n);
            forms_print(t->sum[k].forms);
            putchar('\n');
        }
    }
    for (size_t i = 0; i < a->n && (a->continuously || a->syscalls); i++)
        printf("#\t%s\t%s\tlooks=%" PRIu64 "\n", a->phase, a->target[i].name,
               a->target[i].looks);
}

static int width(const struct audit_target *t)
{
    const int len = (int)strlen(t->name);

    return len < 8 ? 8 : len;
}

static void row(const struct audit *a, const char *name, int first, size_t k)
{
    uint64_t all = 0;
    unsigned forms = 0;

    printf("%-*s", first, name);
    for (size_t i = 0; i < a->n; i++) {
        const struct audit_count *c = &a->target[i].sum[k];

        printf("  %*" PRIu64, width(&a->target[i]), c->n);
        all += c->n;
        forms |= c->forms;
    }
    printf("  %8" PRIu64 "  ", all);
    forms_print(forms);
    putchar('\n');
}

static void totals(const struct audit *a, int first)
{
    uint64_t all = 0, sum;

    printf("%-*s", first, "total");
    for (size_t i = 0; i < a->n; i++) {
        sum = 0;
        for (size_t k = 0; k < needles_count(a->needles); k++)
            sum += a->target[i].sum[k].n;
        printf("  %*" PRIu64, width(&a->target[i]), sum);
        all += sum;
    }
    printf("  %8" PRIu64 "\n", all);
    if (!a->continuously && !a->syscalls)
        return;
    printf("%-*s", first, "looks");
    for (size_t i = 0; i < a->n; i++)
        printf("  %*" PRIu64, width(&a->target[i]), a->target[i].looks);
    putchar('\n');
}

static void table(const struct audit *a)
{
    int first = 6; /* "secret" */

    for (size_t k = 0; k < needles_count(a->needles); k++) {
        int len = (int)strlen(needles_name(a->needles, k));

        first = len > first ? len : first;
    }
    if (a->phase[0] != '-')
        printf("phase: %s\n", a->phase);
    printf("%-*s", first, "secret");
    for (size_t i = 0; i < a->n; i++)
        printf("  %*s", width(&a->target[i]), a->target[i].name);
    printf("  %8s  %s\n", "total", "found as");
    for (size_t k = 0; k < needles_count(a->needles); k++)
        row(a, needles_name(a->needles, k), first, k);
    totals(a, first);
}

void audit_report(const struct audit *a)
{
    if (a->tsv)
        tsv(a);
    else
        table(a);
}
