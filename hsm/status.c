/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From PKCS#11's many return values to the few things a caller can do.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Thread_local char last_error[256];

#define CK(rv, st)  \
    {               \
        rv, st, #rv \
    }
static const struct {
    CK_RV rv;
    enum hsm_status st;
    const char *name;
} table[] = {
    CK(CKR_OK, HSM_OK),
    CK(CKR_HOST_MEMORY, HSM_ERR_MEMORY),
    CK(CKR_DEVICE_MEMORY, HSM_ERR_MEMORY),
    CK(CKR_ARGUMENTS_BAD, HSM_ERR_PARAM),
    CK(CKR_ATTRIBUTE_TYPE_INVALID, HSM_ERR_PARAM),
    CK(CKR_ATTRIBUTE_VALUE_INVALID, HSM_ERR_PARAM),
    CK(CKR_TEMPLATE_INCOMPLETE, HSM_ERR_PARAM),
    CK(CKR_TEMPLATE_INCONSISTENT, HSM_ERR_PARAM),
    CK(CKR_DATA_INVALID, HSM_ERR_PARAM),
    CK(CKR_DATA_LEN_RANGE, HSM_ERR_PARAM),
    CK(CKR_MECHANISM_PARAM_INVALID, HSM_ERR_PARAM),
    CK(CKR_MECHANISM_INVALID, HSM_ERR_MECH),
    CK(CKR_FUNCTION_NOT_SUPPORTED, HSM_ERR_MECH),
    CK(CKR_KEY_SIZE_RANGE, HSM_ERR_MECH),
    CK(CKR_KEY_TYPE_INCONSISTENT, HSM_ERR_MECH),
    CK(CKR_CURVE_NOT_SUPPORTED, HSM_ERR_MECH),
    CK(CKR_DOMAIN_PARAMS_INVALID, HSM_ERR_MECH),
    CK(CKR_ENCRYPTED_DATA_INVALID, HSM_ERR_PARAM),
    CK(CKR_ENCRYPTED_DATA_LEN_RANGE, HSM_ERR_PARAM),
    CK(CKR_KEY_FUNCTION_NOT_PERMITTED, HSM_ERR_DENIED),
    CK(CKR_KEY_NOT_WRAPPABLE, HSM_ERR_DENIED),
    CK(CKR_KEY_UNEXTRACTABLE, HSM_ERR_DENIED),
    CK(CKR_WRAPPED_KEY_INVALID, HSM_ERR_PARAM),
    CK(CKR_WRAPPED_KEY_LEN_RANGE, HSM_ERR_PARAM),
    CK(CKR_ATTRIBUTE_SENSITIVE, HSM_ERR_DENIED),
    CK(CKR_ATTRIBUTE_READ_ONLY, HSM_ERR_DENIED),
    CK(CKR_SESSION_READ_ONLY, HSM_ERR_DENIED),
    CK(CKR_TOKEN_WRITE_PROTECTED, HSM_ERR_DENIED),
    CK(CKR_BUFFER_TOO_SMALL, HSM_ERR_BUFFER),
    CK(CKR_PIN_INCORRECT, HSM_ERR_PIN),
    CK(CKR_PIN_INVALID, HSM_ERR_PIN),
    CK(CKR_PIN_LEN_RANGE, HSM_ERR_PIN),
    CK(CKR_PIN_EXPIRED, HSM_ERR_PIN),
    CK(CKR_PIN_LOCKED, HSM_ERR_PIN),
    CK(CKR_USER_PIN_NOT_INITIALIZED, HSM_ERR_PIN),
    CK(CKR_USER_ALREADY_LOGGED_IN, HSM_OK), /* login is per process */
    CK(CKR_USER_NOT_LOGGED_IN, HSM_ERR_GONE),
    CK(CKR_CRYPTOKI_NOT_INITIALIZED, HSM_ERR_GONE),
    CK(CKR_DEVICE_REMOVED, HSM_ERR_GONE),
    CK(CKR_TOKEN_NOT_PRESENT, HSM_ERR_GONE),
    CK(CKR_TOKEN_NOT_RECOGNIZED, HSM_ERR_GONE),
    CK(CKR_SLOT_ID_INVALID, HSM_ERR_GONE),
    CK(CKR_KEY_HANDLE_INVALID, HSM_ERR_GONE),
    CK(CKR_OBJECT_HANDLE_INVALID, HSM_ERR_GONE),
    CK(CKR_SESSION_CLOSED, HSM_ERR_SESSION),
    CK(CKR_SESSION_HANDLE_INVALID, HSM_ERR_SESSION),
    CK(CKR_SESSION_COUNT, HSM_ERR_SESSION),
    CK(CKR_OPERATION_ACTIVE, HSM_ERR_SESSION),
    CK(CKR_OPERATION_NOT_INITIALIZED, HSM_ERR_SESSION),
    CK(CKR_DEVICE_ERROR, HSM_ERR_DEVICE),
    CK(CKR_FUNCTION_FAILED, HSM_ERR_DEVICE),
    CK(CKR_GENERAL_ERROR, HSM_ERR_DEVICE),
};
#undef CK

/* ---- trace ---- */

static atomic_int trace_fd = -1;
static _Thread_local struct timespec began;

bool hsm_trace_to(const char *path)
{
    int fd = strcmp(path, "stderr") == 0
                 ? dup(2)
                 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    fd = atomic_exchange(&trace_fd, fd);
    if (fd >= 0)
        close(fd);
    return true;
}

static void trace(int fd, const char *fn, const char *name, CK_RV rv)
{
    struct timespec now, at;
    char line[256];
    int n;

    clock_gettime(CLOCK_MONOTONIC, &now);
    clock_gettime(CLOCK_REALTIME, &at);
    n = snprintf(line, sizeof(line),
                 "%lld.%06ld pid=%d %s: %s (0x%lx) %ld us\n",
                 (long long)at.tv_sec, at.tv_nsec / 1000, (int)getpid(), fn,
                 name, (unsigned long)rv,
                 (long)(now.tv_sec - began.tv_sec) * 1000000
                     + (now.tv_nsec - began.tv_nsec) / 1000);
    if (n > 0 && write(fd, line, (size_t)n) < 0)
        return; /* a trace that can't be written is no failure */
}

void hsm_call_begin(void)
{
    ERR_set_mark();
    if (atomic_load_explicit(&trace_fd, memory_order_relaxed) >= 0)
        clock_gettime(CLOCK_MONOTONIC, &began);
}

enum hsm_status hsm_status_from_ck(const char *fn, CK_RV rv)
{
    enum hsm_status st = HSM_ERR_DEVICE;
    const char *name = "unknown CKR";
    int fd = atomic_load_explicit(&trace_fd, memory_order_relaxed);

    ERR_pop_to_mark();
    if (rv == CKR_OK && fd < 0)
        return HSM_OK;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].rv == rv) {
            st = table[i].st;
            name = table[i].name;
            break;
        }
    }
    if (fd >= 0)
        trace(fd, fn, name, rv);
    if (st != HSM_OK)
        snprintf(last_error, sizeof(last_error), "%s: %s (0x%lx)", fn, name,
                 (unsigned long)rv);
    return st;
}

enum hsm_status hsm_call_end(const char *what, enum hsm_status st)
{
    int fd = atomic_load_explicit(&trace_fd, memory_order_relaxed);

    ERR_pop_to_mark();
    if (fd >= 0)
        trace(fd, what, hsm_status_name(st), st);
    return st;
}

enum hsm_status hsm_fail(enum hsm_status st, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(last_error, sizeof(last_error), fmt, ap);
    va_end(ap);
    return st;
}

const char *hsm_last_error(void)
{
    return last_error;
}

const char *hsm_status_name(enum hsm_status st)
{
    static const char *const names[] = {
        [HSM_OK] = "HSM_OK",
        [HSM_ERR_PARAM] = "HSM_ERR_PARAM",
        [HSM_ERR_MEMORY] = "HSM_ERR_MEMORY",
        [HSM_ERR_CONFIG] = "HSM_ERR_CONFIG",
        [HSM_ERR_NOT_FOUND] = "HSM_ERR_NOT_FOUND",
        [HSM_ERR_PIN] = "HSM_ERR_PIN",
        [HSM_ERR_MECH] = "HSM_ERR_MECH",
        [HSM_ERR_DENIED] = "HSM_ERR_DENIED",
        [HSM_ERR_BUFFER] = "HSM_ERR_BUFFER",
        [HSM_ERR_SESSION] = "HSM_ERR_SESSION",
        [HSM_ERR_GONE] = "HSM_ERR_GONE",
        [HSM_ERR_DEVICE] = "HSM_ERR_DEVICE",
    };

    return (size_t)st < sizeof(names) / sizeof(names[0]) ? names[st]
                                                         : "HSM_ERR_?";
}
