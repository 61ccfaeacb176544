/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsmd.cnf(5): the agent's configuration, and what it says of keys.
 */
#include "agent.h"

#include "conf.h"

#include <errno.h>
#include <pwd.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTION "hsmd"
#define KEY     "key "

#define STR(name, member, def, choices)                                 \
    {                                                                   \
        name, CAPIF_OPT_STR, offsetof(struct agent, member), def, 0, 0, \
            choices                                                     \
    }
#define UINT(name, member, def, min, max)                                    \
    {                                                                        \
        name, CAPIF_OPT_UINT, offsetof(struct agent, member), def, min, max, \
            NULL                                                             \
    }

static const struct capif_opt options[] = {
    STR("listen", listen, NULL, NULL),
    STR("pkcs11-module", module, NULL, NULL),
    STR("token", token, NULL, NULL),
    STR("pin-file", pin_file, "", NULL),
    STR("pin-credential", pin_credential, "", NULL),
    STR("init-args", init_args, "", NULL),
    STR("user", user, "", NULL),
    STR("wrap", wrap, "trusted", "trusted|any"),
    STR("lock-memory", lock_memory, "yes", "yes|if-possible|no"),
    { "network", CAPIF_OPT_BOOL, offsetof(struct agent, network), "no", 0, 0,
      NULL },
    UINT("sessions", sessions, "16", 1, 1024),
    UINT("workers", workers, "4", 1, 256),
    UINT("clients", clients, "64", 1, 4096),
    UINT("clients-per-user", clients_per_user, "32", 1, 4096),
    UINT("objects", objects, "16384", 16, 1048576),
    { .name = NULL },
};

static const struct capif_opt rule_options[] = {
    { "users", CAPIF_OPT_LIST, offsetof(struct agent_rule, users), NULL, 0, 0,
      NULL },
    { "use", CAPIF_OPT_LIST, offsetof(struct agent_rule, use), NULL, 0, 0,
      AGENT_USES },
    { .name = NULL },
};

/* A name, or a number where there is no such name. */
static bool uid_of(const char *text, uid_t *out)
{
    const struct passwd *pw = getpwnam(text);
    unsigned long n;
    char *end = NULL;

    if (pw != NULL) {
        *out = pw->pw_uid;
        return true;
    }
    errno = 0;
    n = strtoul(text, &end, 10);
    *out = (uid_t)n;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0
           && *out == n;
}

const char *const agent_use_words[AGENT_N_USES] = { "sign", "derive", "wrap",
                                                    "unwrap", "generate" };

static bool take_rule(struct capif_conf *conf, const char *section,
                      struct agent_rule *rule)
{
    size_t n = 0;

    if (!capif_conf_read(conf, section, rule_options, rule))
        return false;
    rule->label = section + strlen(KEY);
    rule->len = strlen(rule->label);
    rule->prefix = rule->len > 0 && rule->label[rule->len - 1] == '*';
    if (rule->prefix)
        rule->len--;
    for (size_t i = 0; i < AGENT_N_USES; i++)
        if (capif_list_has(rule->use, agent_use_words[i]))
            rule->uses |= 1u << i;
    while (rule->users[n] != NULL)
        n++;
    if ((rule->uids = calloc(n + 1, sizeof(*rule->uids))) == NULL)
        return false;
    for (; rule->n_uids < n; rule->n_uids++) {
        if (!uid_of(rule->users[rule->n_uids], &rule->uids[rule->n_uids])) {
            capif_conf_complain(conf, section, "users", "no such user");
            return false;
        }
    }
    return true;
}

bool agent_configure(struct agent *agent, struct capif_conf *conf)
{
    const char *const *sections;
    size_t n = 0;

    if (!capif_conf_read(conf, SECTION, options, agent))
        return false;
    if (agent->pin_file != NULL && agent->pin_credential != NULL) {
        capif_conf_complain(conf, SECTION, "pin-credential",
                            "there is a pin-file already");
        return false;
    }
    sections = capif_conf_sections(conf, KEY);
    while (sections != NULL && sections[n] != NULL)
        n++;
    if (n == 0) {
        capif_conf_complain(conf, KEY "LABEL", NULL,
                            "no such section: nobody could use a key");
        return false;
    }
    if ((agent->rules = calloc(n, sizeof(*agent->rules))) == NULL)
        return false;
    for (; agent->n_rules < n; agent->n_rules++)
        if (!take_rule(conf, sections[agent->n_rules],
                       &agent->rules[agent->n_rules]))
            return false;
    return true;
}

void agent_unconfigure(struct agent *agent)
{
    for (size_t i = 0; i < agent->n_rules; i++)
        free(agent->rules[i].uids);
    free(agent->rules);
}

static bool has_uid(const struct agent_rule *rule, uid_t uid)
{
    for (size_t i = 0; i < rule->n_uids; i++)
        if (rule->uids[i] == uid)
            return true;
    return false;
}

/* How well it fits that label: 0, not at all. */
static size_t fit(const struct agent_rule *rule, const char *label, size_t len)
{
    if (len < rule->len
        || (rule->len > 0 && memcmp(label, rule->label, rule->len) != 0))
        return 0;
    if (rule->prefix)
        return rule->len + 1;
    return len > 0 && len == rule->len ? SIZE_MAX : 0;
}

unsigned agent_uses(const struct agent *agent, uid_t uid, const char *label,
                    size_t len)
{
    const struct agent_rule *found = NULL;
    size_t best = 0;

    for (size_t i = 0; i < agent->n_rules; i++) {
        size_t how = fit(&agent->rules[i], label, len);

        if (how > best) {
            best = how;
            found = &agent->rules[i];
        }
    }
    return found != NULL && has_uid(found, uid) ? found->uses : 0;
}

bool agent_knows(const struct agent *agent, uid_t uid)
{
    for (size_t i = 0; i < agent->n_rules; i++)
        if (has_uid(&agent->rules[i], uid))
            return true;
    return false;
}
