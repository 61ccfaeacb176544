/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf filter: what a discovery asks for (TS 29.222 8.1.2.2.3.1): all of its
 * query parameters, and which APIs and AEF profiles they leave.
 *
 * Ownership: texts borrow from the request; what else it holds goes with
 * ccf_filter_clear().
 */
#ifndef CCF_FILTER_H
#define CCF_FILTER_H

#include "server.h"

/* NULL: whatever it is. */
struct ccf_filter {
    const char *api_name, *api_version, *comm_type, *protocol, *aef_id,
        *data_format, *category, *provider, *features;
    json_t *location, *kpis, *ue;
};

/* Whoever provides an API, for the parameter req-api-prov-name. */
struct ccf_provider_name {
    const char *id, *info; /* apiProvDomId, apiProvDomInfo; or NULL */
};

/* Complaints go to reader, of the parameters by their names. */
void ccf_filter_read(struct capif_req *req, struct capif_reader *reader,
                     struct ccf_filter *out);
void ccf_filter_clear(struct ccf_filter *f);
/* Does it leave all? */
bool ccf_filter_is_none(const struct ccf_filter *f);
/*
 * The same question for another CCF: "&name=value&...", or "".  NULL: it
 * can't be said in so few octets.  The caller frees it.
 */
char *ccf_filter_query(const struct ccf_filter *f);

bool ccf_filter_profile(const struct ccf_filter *f, const json_t *profile);
/* Of the API itself, without its profiles. */
bool ccf_filter_api(const struct ccf_filter *f, const json_t *api,
                    const struct ccf_provider_name *by);
/*
 * Take out of api all profiles that it does not leave, and those where the
 * API is inactive; false if none stays.
 */
bool ccf_filter_apply(const struct ccf_filter *f, json_t *api,
                      const struct ccf_provider_name *by);

#endif
