/* SPDX-License-Identifier: Apache-2.0 */
/* See vault.h: the token that is behind an agent. */
#include "vault.h"

#include "hsmd.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hsmd the_agent;
static char shared[64];

const char *vault_agent_socket(void)
{
    return the_agent.sock;
}

pid_t vault_agent_pid(void)
{
    return the_agent.pid;
}

void vault_agent_token(struct vault *v)
{
    const char *const init[] = {
        "softhsm2-util", "--init-token", "--free", "--label", v->label,
        "--so-pin",      "5678",         "--pin",  TOKEN_PIN, NULL
    };

    assert_int_equal(token_run(init), 0);
    v->there = true;
}

/* Whoever loads the shim meanwhile counts together with the agent. */
static void begin_sharing(void)
{
    assert_int_equal(setenv("SHIM_P11_MODULE", vaults[AGENT].dir->softhsm, 1),
                     0);
    assert_int_equal(setenv("SHIM_P11_SHARED", shared, 1), 0);
}

static void end_sharing(void)
{
    assert_int_equal(unsetenv("SHIM_P11_SHARED"), 0);
}

static void map_shim(struct vault *v)
{
    v->mapped = dlopen(v->module, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(v->mapped);
    *(void **)&v->calls = dlsym(v->mapped, "shim_count");
    *(void **)&v->calls_reset = dlsym(v->mapped, "shim_reset");
    *(void **)&v->live = dlsym(v->mapped, "shim_live");
    *(void **)&v->forget = dlsym(v->mapped, "shim_forget");
    assert_true(v->calls != NULL && v->calls_reset != NULL && v->live != NULL
                && v->forget != NULL);
}

/* In this process its token is served by the module that SoftHSM's is. */
void vault_agent_open(struct vault *v)
{
    const struct hsm_config cfg = { .module = vaults[SOFTHSM].module,
                                    .token = v->uri,
                                    .pin_file = v->pin_file,
                                    .sessions = 1 };

    v->p11 = vaults[SOFTHSM].p11;
    assert_int_equal(hsm_open(&cfg, &v->beside), HSM_OK);
    vault_make_kek(v);
    vault_shim(v, v->dir->softhsm, v->module);
    snprintf(shared, sizeof(shared), "%s/shim.shared", v->dir->dir);
    begin_sharing();
    map_shim(v);
    hsmd_configure(&the_agent, v->dir->dir, "hsmd", v->module, v->label,
                   v->pin_file, "wrap = any\n");
    hsmd_start(&the_agent);
    end_sharing();
}

void vault_agent_again(struct vault *v)
{
    hsmd_kill(&the_agent);
    v->forget();
    begin_sharing();
    hsmd_start(&the_agent);
    end_sharing();
}

void vault_agent_close(struct vault *v)
{
    if (the_agent.pid != 0)
        hsmd_stop(&the_agent);
    hsm_close(v->beside);
    v->beside = NULL;
}
