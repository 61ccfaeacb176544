/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds every file of a directory to a fuzz target, so that what a fuzzer has
 * once found, and what it begins with, is tested by any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (1024L * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int wanted(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* Of exactly its size, so that reading past its end is found. */
static uint8_t *load(const char *dir, const char *name, size_t *len)
{
    char path[1024];
    uint8_t *data = NULL;
    long size;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if ((f = fopen(path, "rb")) == NULL)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && size < FILE_MAX
        && fseek(f, 0, SEEK_SET) == 0
        && (data = malloc(size > 0 ? (size_t)size : 1)) != NULL
        && (*len = fread(data, 1, (size_t)size, f)) != (size_t)size) {
        free(data);
        data = NULL;
    }
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    struct dirent **list = NULL;
    int n = argc == 2 ? scandir(argv[1], &list, wanted, alphasort) : -1;
    int failed = n < 1;
    size_t len = 0;

    if (n < 1)
        printf("Bail out! %s: no corpus\n", argc == 2 ? argv[1] : "?");
    else
        printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        uint8_t *data = load(argv[1], list[i]->d_name, &len);

        if (data != NULL)
            (void)LLVMFuzzerTestOneInput(data, len);
        printf("%sok %d - %s\n", data != NULL ? "" : "not ", i + 1,
               list[i]->d_name);
        fflush(stdout); /* the next one may abort */
        failed |= data == NULL;
        free(data);
        free(list[i]);
    }
    free(list);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
