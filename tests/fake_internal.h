/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the fake module share.
 *
 * Threads: a call begins by fake_enter(), which takes the lock, and ends by
 * fake_leave(); all below is guarded by it.
 */
#ifndef FAKE_INTERNAL_H
#define FAKE_INTERNAL_H

#include "unit/fake_p11.h"

#define FAKE_EXPORT __attribute__((visibility("default")))

#define LABEL_MAX 32
#define ID_MAX    32

struct object {
    bool there;
    CK_OBJECT_CLASS cls;
    CK_KEY_TYPE type;
    CK_BYTE label[LABEL_MAX], id[ID_MAX];
    CK_ULONG label_len, id_len;
    CK_SESSION_HANDLE owner; /* of a session object */
    CK_ULONG value_len;
    CK_BBOOL extractable;
};

/* The handle of an object is its index plus one. */
#define N_FIXED   6 /* token objects that are always there */
#define N_SECRETS 2048
#define FIRST     (N_FIXED + 2) /* what is generated comes between */
#define N_ALL     (FIRST + N_SECRETS)

struct session {
    bool open, failed, finding, signing, digesting;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE handle;
    CK_BBOOL matches[N_ALL];
    CK_ULONG next;
    CK_OBJECT_HANDLE key;
};

extern struct fake fake;
extern struct object fake_objects[N_ALL];

/* Begin a call on a session; fake_leave() must follow, whatever is
 * returned. */
CK_RV fake_enter(CK_SESSION_HANDLE h, struct session **out);
/* The same for one that no session is needed for. */
CK_RV fake_begin(void);
/* The same for what releases: never fails, is not counted. */
struct session *fake_release(CK_SESSION_HANDLE h);
CK_RV fake_leave(struct session *s, CK_RV rv);
/* Is that an object of this class? */
bool fake_is(CK_OBJECT_HANDLE h, CK_OBJECT_CLASS cls);
void fake_object_gone(struct object *o);
/* Session objects die with the session. */
void fake_secrets_close(CK_SESSION_HANDLE h);
void fake_secrets_list(CK_FUNCTION_LIST *list);

#endif
