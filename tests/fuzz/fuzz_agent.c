/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What clients ask an agent for: requests are done as capif-hsmd does them,
 * on the module that the environment's FAKE_P11 names.  Whatever comes, there
 * is an answer that fits into a message; and nothing is left at the end.
 */
#include "agent/agent.h"
#include "unit/fake_p11.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINT 67

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct agent_rule rules[] = {
    { .label = "kek",
      .len = 3,
      .uids = (uid_t[]){ 1 },
      .n_uids = 1,
      .uses = AGENT_WRAP },
    { .label = "*",
      .prefix = true,
      .uids = (uid_t[]){ 0, 1 },
      .n_uids = 2,
      .uses = AGENT_ALL },
};
static struct agent agent = { .objects = 16,
                              .rules = (struct agent_rule *)(uintptr_t)rules,
                              .n_rules = 2,
                              .token = "pkcs11:token=fake" };
static struct fake *fake;
static fake_reset_fn *reset;

static void begin(void)
{
    static const unsigned char point[POINT] = { 0x04, 65, 0x04 };
    const char *path = getenv("FAKE_P11");
    struct hsm_config cfg = { .module = path,
                              .token = agent.token,
                              .pin = FAKE_PIN,
                              .sessions = 4,
                              .transient = true,
                              .wrap_any = true };
    void *dl = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

    if (dl == NULL) {
        fprintf(stderr, "FAKE_P11: %s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    fake = dlsym(dl, "fake");
    *(void **)&reset = dlsym(dl, "fake_reset");
    fake->point = fake->cert = point;
    fake->cert_len = sizeof(point);
    reset(0, CKR_OK);
    if (hsm_open(&cfg, &agent.hsm) != HSM_OK)
        abort();
}

static void ask(struct agent_conn *c, const struct wire_msg *m)
{
    static struct agent_reply r;
    static uint8_t out[WIRE_MAX];
    static struct wire_msg again;
    enum hsm_status st;
    size_t size, used = 0;

    r = (struct agent_reply){ .n = 3 };
    st = agent_request(c, m, &r);
    r.items[0] = m->items[0];
    r.items[1] = wire_num(st);
    r.items[2] = wire_text(st == HSM_OK ? "" : hsm_last_error());
    size = wire_size(r.items, st == HSM_OK ? r.n : 3);
    if (size == 0 || size > sizeof(out))
        abort();
    wire_encode(r.items, st == HSM_OK ? r.n : 3, out);
    if (wire_decode(out, size, &again, &used) != WIRE_OK
        || !wire_is_answer(&again, (enum wire_op)m->items[1].num))
        abort();
    agent_reply_free(&r);
}

/* The first octet: who asks, and the call that the module fails at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct agent_user user;
    static struct agent_conn c;
    static struct wire_msg m;
    size_t at = 1, used = 0, requests = 0;

    if (agent.hsm == NULL)
        begin();
    if (size < 1)
        return 0;
    c = (struct agent_conn){
        .agent = &agent,
        .fd = -1,
        .user = &user,
        .uid = data[0] & 1,
        .free = UINT32_MAX,
    };
    pthread_mutex_init(&c.lock, NULL);
    reset(data[0] >> 1, CKR_FUNCTION_FAILED);
    while (at < size && requests++ < 64
           && wire_decode(data + at, size - at, &m, &used) == WIRE_OK
           && wire_is_request(&m)) {
        ask(&c, &m);
        at += used;
    }
    reset(0, CKR_OK);
    agent_drop_all(&c);
    pthread_mutex_destroy(&c.lock);
    if (fake->secrets != 0)
        abort();
    return 0;
}
