/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: what is read, and what is said of what can't be.
 * capif_conf_open() must be a process's first use of OpenSSL, so each file is
 * read in a child, which prints what it got to standard error.
 */
#include "soft.h"

#include "conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILE_NAME "c.cnf"

static char dir[] = "/tmp/conf-test-XXXXXX";

struct values {
    const char *str, *choice, *given;
    size_t n;
    bool yes;
    const char *const *list, *const *names;
};

#define AT(member) offsetof(struct values, member)

static const struct capif_opt opts[] = {
    { "str", CAPIF_OPT_STR, AT(str), NULL, 0, 0, NULL },
    { "choice", CAPIF_OPT_STR, AT(choice), "one", 0, 0, "one|two|three" },
    { "given", CAPIF_OPT_STR, AT(given), "", 0, 0, NULL },
    { "n", CAPIF_OPT_UINT, AT(n), "5", 2, 100, NULL },
    { "yes", CAPIF_OPT_BOOL, AT(yes), "no", 0, 0, NULL },
    { "list", CAPIF_OPT_LIST, AT(list), "", 0, 0, NULL },
    { "names", CAPIF_OPT_LIST, AT(names), "x,y", 0, 0, "x|y|z" },
    { NULL, CAPIF_OPT_STR, 0, NULL, 0, 0, NULL },
};

static void print_list(const char *const *list)
{
    for (; *list != NULL; list++)
        fprintf(stderr, "[%s]", *list);
}

static void read_one(struct capif_conf *conf, const char *section)
{
    struct values v = { 0 };

    if (!capif_conf_read(conf, section, opts, &v))
        return;
    fprintf(stderr, "str=%s choice=%s given=%s n=%zu yes=%d list=", v.str,
            v.choice, v.given != NULL ? v.given : "-", v.n, v.yes);
    print_list(v.list);
    fputs(" names=", stderr);
    print_list(v.names);
    fputc('\n', stderr);
}

static void list_sections(struct capif_conf *conf, const char *prefix)
{
    print_list(capif_conf_sections(conf, prefix));
    fputc('\n', stderr);
}

static void get_one(struct capif_conf *conf, const char *section)
{
    const char *text = capif_conf_get(conf, section, "str");

    fprintf(stderr, "%s\n", text != NULL ? text : "-");
}

typedef void what(struct capif_conf *conf, const char *arg);

/* What a child says that opens a file of this text and does fn(conf, arg). */
static const char *said(const char *text, what *fn, const char *arg)
{
    struct capif_conf *conf;
    int status = -1;
    pid_t pid;

    (void)unlink(FILE_NAME);
    if (text != NULL)
        soft_write(FILE_NAME, text);
    soft_listen();
    fflush(stdout);
    if ((pid = fork()) == 0) {
        conf = capif_conf_open(FILE_NAME);
        if (conf != NULL)
            fn(conf, arg);
        capif_conf_free(conf);
        _exit(conf != NULL ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        status = -1;
    text = soft_heard();
    assert_int_not_equal(status, -1);
    return text;
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? chdir(dir) : -1;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(FILE_NAME);
    return rmdir(dir);
}

/* The line of a section that has str and this. */
static const char *line_said(const char *line)
{
    char text[512];

    snprintf(text, sizeof(text), "# a comment\n[s]\nstr = x\n%s\n", line);
    return said(text, read_one, "s");
}

#define DEFAULTS " given=- n=5 yes=0 list= names=[x][y]\n"

static void test_good(void **state)
{
    static const struct {
        const char *line, *got;
    } v[] = {
        { "", "str=x choice=one" DEFAULTS },
        { "choice = two", "str=x choice=two" DEFAULTS },
        { "choice=three # last", "str=x choice=three" DEFAULTS },
        { "n = 2", "str=x choice=one given=- n=2 yes=0 list= names=[x][y]\n" },
        { "n = 100",
          "str=x choice=one given=- n=100 yes=0 list= names=[x][y]\n" },
        { "yes = yes",
          "str=x choice=one given=- n=5 yes=1 list= names=[x][y]\n" },
        { "given = a b",
          "str=x choice=one given=a b n=5 yes=0 list= names=[x][y]\n" },
        { "list = a",
          "str=x choice=one given=- n=5 yes=0 list=[a] names=[x][y]\n" },
        { "list = a , b c,d\t", "str=x choice=one given=- n=5 yes=0 list=[a][b "
                                "c][d] names=[x][y]\n" },
        { "names = z", "str=x choice=one given=- n=5 yes=0 list= names=[z]\n" },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++)
        assert_string_equal(line_said(v[i].line), v[i].got);
}

static void test_bad(void **state)
{
    static const struct {
        const char *line, *what;
    } v[] = {
        { "strr = x", "strr: unknown option" },
        { "st = x", "st: unknown option" },
        { "n = 1", "n: not a number in range" },
        { "n = 101", "n: not a number in range" },
        { "n = -5", "n: not a number in range" },
        { "n = +5", "n: not a number in range" },
        { "n = 5x", "n: not a number in range" },
        { "n = 5 5", "n: not a number in range" },
        { "n = 0x10", "n: not a number in range" },
        { "n = 5.0", "n: not a number in range" },
        { "n =", "n: not a number in range" },
        { "n = 18446744073709551621", "n: not a number in range" },
        { "n = five", "n: not a number in range" },
        { "yes = 1", "yes: must be yes or no" },
        { "yes = YES", "yes: must be yes or no" },
        { "yes = yess", "yes: must be yes or no" },
        { "yes =", "yes: must be yes or no" },
        { "choice = four", "choice: not one of the possible values" },
        { "choice = on", "choice: not one of the possible values" },
        { "choice = ones", "choice: not one of the possible values" },
        { "choice = One", "choice: not one of the possible values" },
        { "choice = ne", "choice: not one of the possible values" },
        { "choice =", "choice: not one of the possible values" },
        { "choice = one|two", "choice: not one of the possible values" },
        { "names = w", "names: not a list of possible values" },
        { "names = x,w", "names: not a list of possible values" },
        { "names = x|y", "names: not a list of possible values" },
        { "names = x, ,y", "names: not a list of possible values" },
        { "list = a, ,b", "list: not a list of possible values" },
        { "list = a,,b", "list: not a list of possible values" },
        { "list = a,", "list: not a list of possible values" },
        { "list = ,", "list: not a list of possible values" },
    };
    char want[128];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        const char *got = line_said(v[i].line);

        snprintf(want, sizeof(want), FILE_NAME ":4: [s] %s\n", v[i].what);
        if (strcmp(got, want) != 0)
            fail_msg("%s: %s", v[i].line, got);
    }
}

/* All that is wrong, not just the first; each with its own line. */
static void test_many(void **state)
{
    static const char text[] = "[other]\n"
                               "n = 1\n"
                               "  [ s ]\n"
                               "n = 1\n"
                               "\n"
                               "  bad=1\n"
                               "[s2]\n"
                               "n = 7\n";

    (void)state;
    assert_string_equal(said(text, read_one, "s"), FILE_NAME
                        ":6: [s] bad: unknown option\n" FILE_NAME
                        ":3: [s] str: required option missing\n" FILE_NAME
                        ":4: [s] n: not a number in range\n");
    assert_string_equal(said(text, read_one, "s3"),
                        FILE_NAME ":0: [s3]: section missing\n");
    assert_string_equal(said(text, read_one, "s2"),
                        FILE_NAME ":7: [s2] str: required option missing\n");
    assert_string_equal(said("[s]\n", read_one, "s"),
                        FILE_NAME ":1: [s] str: required option missing\n");
}

/* An empty string is none where the option need not be there. */
static void test_empty(void **state)
{
    (void)state;
    assert_string_equal(line_said("given ="), "str=x choice=one" DEFAULTS);
    assert_string_equal(line_said("list ="), "str=x choice=one" DEFAULTS);
}

static void test_section_names(void **state)
{
    static const char text[] = "[partner x]\nstr = 1\n"
                               "[partner x y]\nstr = 2\nn = 1\n"
                               "[partner]\nstr = 3\n";

    (void)state;
    assert_string_equal(said(text, read_one, "partner x"),
                        "str=1 choice=one" DEFAULTS);
    assert_string_equal(said(text, read_one, "partner x y"), FILE_NAME
                        ":5: [partner x y] n: not a number in range\n");
    assert_string_equal(said(text, list_sections, "nothing"), "\n");
    assert_string_equal(said(text, get_one, "partner x y"), "2\n");
    assert_string_equal(said(text, get_one, "partner z"), "-\n");
    assert_string_equal(said("[s]\n", get_one, "s"), "-\n");
}

/* conf.h: in the file's order. */
static void test_sections(void **state)
{
    static const char text[] = "[p z]\nstr=1\n[other]\nstr=1\n[p a]\nstr=1\n"
                               "[p m]\nstr=1\n[p b]\nstr=1\n[p]\nstr=1\n"
                               "[p y]\nstr=1\n[pq]\nstr=1\n[p c]\nstr=1\n";

    (void)state;
    assert_string_equal(said(text, list_sections, "p "),
                        "[p z][p a][p m][p b][p y][p c]\n");
}

static void test_unreadable(void **state)
{
    (void)state;
    assert_non_null(strstr(said(NULL, get_one, "s"), FILE_NAME ":"));
    assert_non_null(strstr(said("[s\nx = 1\n", get_one, "s"), FILE_NAME ":"));
    assert_non_null(strstr(said("[s]\nwhat\n", get_one, "s"), FILE_NAME ":"));
    assert_non_null(strstr(
        said("openssl_conf = a\n[a]\nno_such_module = b\n", get_one, "s"),
        FILE_NAME ": OpenSSL can't load it:\n"));
}

static void test_list_has(void **state)
{
    static const char *const list[] = { "a", "bc", NULL };

    (void)state;
    assert_true(capif_list_has(list, "bc"));
    assert_false(capif_list_has(list, "b"));
    assert_false(capif_list_has(list, ""));
    assert_false(capif_list_has(NULL, "a"));
    assert_false(capif_list_has(list + 2, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_bad),
        cmocka_unit_test(test_many),          cmocka_unit_test(test_empty),
        cmocka_unit_test(test_section_names), cmocka_unit_test(test_sections),
        cmocka_unit_test(test_unreadable),    cmocka_unit_test(test_list_has),
    };

    return cmocka_run_group_tests_name("capif: conf", tests, setup, teardown);
}
