/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE /* initgroups() */
#include "cluster.h"

#include "soft.h"

#include <glob.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/store-pg-XXXXXX";
static char bindir[200];
static pid_t postmaster = -1;

static void nap(void)
{
    const struct timespec t = { .tv_nsec = 20000000 };

    (void)nanosleep(&t, NULL);
}

/* Debian keeps each version's programs in a folder of their own. */
static bool find_programs(void)
{
    glob_t found = { 0 };
    bool ok = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0;

    if (ok)
        snprintf(bindir, sizeof(bindir), "%.*s",
                 (int)(strlen(found.gl_pathv[found.gl_pathc - 1])
                       - strlen("/initdb")),
                 found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
    return ok;
}

/* In the child: postgres refuses root. */
static bool leave_root(void)
{
    const struct passwd *pw;

    if (geteuid() != 0)
        return true;
    return (pw = getpwnam("postgres")) != NULL
           && initgroups("postgres", pw->pw_gid) == 0 && setgid(pw->pw_gid) == 0
           && setuid(pw->pw_uid) == 0;
}

static pid_t launch(const char *program, char *argv[])
{
    char path[256], log[64];
    pid_t parent = getpid(), pid;

    snprintf(path, sizeof(path), "%s/%s", bindir, program);
    snprintf(log, sizeof(log), "%s/log", dir);
    if ((pid = fork()) != 0)
        return pid;
    argv[0] = path; /* by which it finds the others */
    if (leave_root() && chdir(dir) == 0 && freopen("/dev/null", "r", stdin)
        && freopen(log, "a", stdout) && dup2(1, 2) == 2
        && prctl(PR_SET_PDEATHSIG, SIGQUIT) == 0 && getppid() == parent)
        execv(path, argv);
    _exit(127);
}

/* Nobody needs a password, but one. */
static bool write_hba(void)
{
    char path[80];
    FILE *f;

    snprintf(path, sizeof(path), "%s/data/pg_hba.conf", dir);
    if ((f = fopen(path, "w")) == NULL)
        return false;
    fputs("local all careful scram-sha-256\nlocal all all trust\n", f);
    return fclose(f) == 0;
}

static bool init_db(void)
{
    char *argv[] = {
        "initdb",    "-D",    "data", "-U",          "capif",
        "-A",        "trust", "-N",   "--no-locale", "--encoding=UTF8",
        (char *)NULL
    };
    int status = -1;
    pid_t pid = launch("initdb", argv);

    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0
           && write_hba();
}

static void admin_uri(char uri[160])
{
    snprintf(uri, 160, "postgresql://capif@/postgres?host=%s", dir);
}

/* Until it lets us in; after a SIGKILL it may need several attempts. */
static bool up(void)
{
    char *argv[] = { "postgres",
                     "-D",
                     "data",
                     "-k",
                     dir,
                     "-c",
                     "listen_addresses=",
                     "-c",
                     "shared_buffers=16MB",
                     "-c",
                     "max_connections=80",
                     "-c",
                     "fsync=off",
                     (char *)NULL };
    char uri[160];

    admin_uri(uri);
    for (int i = 0; i < 1500; i++) {
        PGconn *c;
        bool ok;

        if (postmaster > 0 && waitpid(postmaster, NULL, WNOHANG) != 0)
            postmaster = -1;
        if (postmaster < 0 && (postmaster = launch("postgres", argv)) < 0)
            return false;
        c = PQconnectdb(uri);
        ok = PQstatus(c) == CONNECTION_OK;
        PQfinish(c);
        if (ok)
            return true;
        nap();
    }
    return false;
}

bool cluster_start(void)
{
    const struct passwd *pw = getpwnam("postgres");

    if (!find_programs() || (geteuid() == 0 && pw == NULL)) {
        fprintf(stderr, "PostgreSQL is not installed; "
                        "tools/packages.check names its package\n");
        return false;
    }
    if (mkdtemp(dir) == NULL
        || (geteuid() == 0 && chown(dir, pw->pw_uid, pw->pw_gid) != 0))
        return false;
    if (init_db() && up())
        return true;
    fprintf(stderr, "PostgreSQL does not start, see %s/log\n", dir);
    return false;
}

void cluster_stop(void)
{
    char command[80];

    if (postmaster > 0) {
        kill(postmaster, SIGINT);
        waitpid(postmaster, NULL, 0);
        postmaster = -1;
    }
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* To all that the postmaster has started: the children of its thread. */
static void signal_children(int sig)
{
    char path[80];
    FILE *f;
    int pid;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)postmaster,
             (int)postmaster);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fscanf(f, "%d", &pid) == 1)
        (void)kill(pid, sig);
    fclose(f);
}

void cluster_freeze(bool freeze)
{
    int sig = freeze ? SIGSTOP : SIGCONT;

    assert_int_equal(kill(postmaster, sig), 0);
    signal_children(sig);
}

/* All of it: alone, its children would go on for a moment. */
void cluster_kill(void)
{
    assert_true(postmaster > 0);
    assert_int_equal(kill(postmaster, SIGSTOP), 0); /* no more of them */
    signal_children(SIGKILL);
    assert_int_equal(kill(postmaster, SIGKILL), 0);
    assert_int_equal(waitpid(postmaster, NULL, 0), postmaster);
    postmaster = -1;
}

void cluster_up(void)
{
    assert_true(up());
}

void cluster_database(const char *name, char *uri, size_t room)
{
    char admin[160], sql[80];

    admin_uri(admin);
    snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
    (void)cluster_sql(admin, sql);
    snprintf(uri, room, "postgresql://capif@/%s?host=%s", name, dir);
}

const char *cluster_sql(const char *uri, const char *sql)
{
    static char out[65536];
    PGconn *c = PQconnectdb(uri);
    PGresult *res = PQexec(c, sql);
    size_t n = 0;

    if (PQresultStatus(res) != PGRES_COMMAND_OK
        && PQresultStatus(res) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    out[0] = '\0';
    for (int i = 0; i < PQntuples(res); i++)
        for (int k = 0; k < PQnfields(res) && n < sizeof(out); k++)
            n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%s",
                                  k > 0   ? "|"
                                  : i > 0 ? "\n"
                                          : "",
                                  PQgetvalue(res, i, k));
    PQclear(res);
    PQfinish(c);
    return out;
}
