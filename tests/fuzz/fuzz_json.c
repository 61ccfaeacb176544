/* SPDX-License-Identifier: Apache-2.0 */
/* JSON and what the CCF reads of it: ServiceSecurity, service APIs. */
#include "ccf.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void all_is_well(bool ok)
{
    if (!ok)
        abort();
}

/* Without a complaint every wish is complete. */
static void read_wishes(json_t *doc)
{
    struct ccf_wish wishes[CCF_APIS_MAX];
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(doc, &reader);
    size_t n = ccf_wishes_read(&root, wishes);

    all_is_well(n <= CCF_APIS_MAX);
    for (size_t i = 0; reader.n == 0 && i < n; i++) {
        all_is_well(wishes[i].api_id != NULL && capif_id_ok(wishes[i].api_id));
        all_is_well((wishes[i].aef_id != NULL)
                    != (wishes[i].interface != NULL));
        all_is_well(wishes[i].pref[0] != NULL);
    }
    json_decref(capif_problem(400, NULL, "x", &reader));
}

static void check_api(json_t *doc)
{
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(doc, &reader);

    ccf_api_check(&root);
    json_decref(capif_problem(400, NULL, "x", &reader));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capif_reader reader = { 0 };
    json_t *doc = capif_json_parse(data, size, &reader);

    all_is_well((doc == NULL) == (reader.n == 1));
    if (doc != NULL) {
        read_wishes(doc);
        check_api(doc);
    }
    json_decref(doc);
    return 0;
}
