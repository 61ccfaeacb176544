/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool: what the commands of `capif` share.
 */
#ifndef TOOL_H
#define TOOL_H

#include "client.h"
#include "json.h"
#include "seal.h"

#define TOOL_VS       "vendorSpecific-capif-hsm"
#define TOOL_CONNECTS 8

/* The command line, after the command's name. */
struct tool_options {
    const char *dir;       /* where the invoker's or provider's files are */
    const char *ccf;       /* URL of the CCF */
    const char *ca;        /* PEM file: whom to believe that it is the CCF */
    const char *enrolment; /* file with the enrolment token */
    const char *key;       /* URI; NULL: a key file in dir */
    const char *kek;       /* URI; NULL: PSKs are derived in software */
    const char *api, *aef, *methods, *method, *data;
    bool exchange;                      /* for a token of the AEF's CCF */
    const char *connect[TOOL_CONNECTS]; /* HOST:PORT:ADDRESS:PORT */
    size_t n_connect;
    char **args; /* what is left */
    int n_args;
};

struct tool_command {
    const char *name, *args, *what;
    int (*run)(struct tool_options *o);
};

extern const struct tool_command tool_invoker_commands[];
extern const struct tool_command tool_operator_commands[];

/* A member string; NULL if it isn't there. */
const char *tool_str(const json_t *obj, const char *name);

/* ---- the invoker's state (state.c) ---- */

/* The invoker as it was onboarded. */
struct tool_invoker {
    json_t *state;
    const char *ccf, *ccf_id, *id;
    const char *kek; /* of its own token; NULL: it has none */
    char *ca_file, *cert_file, *key;
    struct capif_credentials cred;
};

bool tool_invoker_load(struct tool_options *o, struct tool_invoker *inv);
void tool_invoker_clear(struct tool_invoker *inv);
/* With a token of the invoker's: TLS with secrets sealed in it. */
bool tool_seal(const struct tool_invoker *inv, const char *mode);
/*
 * Keep a secret in doc, under the KEK if the invoker has one; false after a
 * message.  And back: a handle then, for the process's life.
 */
bool tool_secret_put(const struct tool_invoker *inv, json_t *doc,
                     const uint8_t *secret, size_t len);
bool tool_secret_get(const struct tool_invoker *inv, const json_t *doc,
                     uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len);
/* The discovered API named by --api, and its profile at --aef or the first. */
bool tool_pick(const struct tool_options *o, json_t *apis, json_t **api,
               json_t **profile);

/* The entry of context.json for the API, if it selected method; or NULL. */
json_t *tool_selected(json_t *context, const json_t *api, const char *method);

/* ---- tokens (token.c) ---- */
int tool_token(struct tool_options *o);

/* ---- using an API (use.c) ---- */
int tool_psk(struct tool_options *o);
int tool_call_api(struct tool_options *o);

/* ---- registering (register.c) ---- */

/* A function of an API provider.  Files are as for tool_path(). */
struct tool_func {
    const char *role;                           /* "AEF", "APF" or "AMF" */
    const char *key;                            /* URI */
    const char *cert;                           /* file, for its certificate */
    const char *transport_key, *transport_cert; /* of an AEF, or NULL */
};

/* The registration, with certificates saved; NULL after a message. */
json_t *tool_register(const struct tool_options *o,
                      const struct tool_func *funcs, size_t n);

/* "error: ..." on standard error; returns 1, the exit status. */
int tool_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same, and what is on OpenSSL's error queue. */
int tool_fail_ssl(const char *what);
/* One step of a procedure, by its number in the specification. */
void tool_step(const char *number, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Files in o->dir, or anywhere by absolute paths.  The caller frees. */
char *tool_path(const struct tool_options *o, const char *name);
char *tool_read(const char *path);
/* Mode 0600; false after a message. */
bool tool_write(const struct tool_options *o, const char *name,
                const char *text);
bool tool_write_json(const struct tool_options *o, const char *name,
                     const json_t *doc);
json_t *tool_read_json(const struct tool_options *o, const char *name);

struct tool_request {
    const char *method, *url, *ca_file, *content_type, *bearer;
    const struct capif_credentials *cred;
    const char *body;
    const struct capif_psk *psk;       /* instead of ca_file and cred */
    struct capif_session_key *session; /* filled in if not NULL */
};

struct tool_answer {
    int status;
    char *body; /* NUL-terminated */
    size_t len;
    json_t *doc; /* the body, if it is a JSON object */
};

/*
 * Send and wait.  False, after a message that names what, unless the status
 * is want (0: any).
 */
bool tool_call(const struct tool_options *o, const struct tool_request *req,
               int want, const char *what, struct tool_answer *out);
void tool_answer_clear(struct tool_answer *answer);

#endif
