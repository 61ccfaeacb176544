/* SPDX-License-Identifier: Apache-2.0 */
/* What an AEF reads of its CCF's answer about an invoker. */
#include "aef.h"

#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aef_info *info =
        aef_info_parse("ccf.a.example", "inv-1", "aef-1", data, size);

    if (info != NULL
        && (!info->known || info->n_apis < 1 || info->n_apis > AEF_APIS_MAX
            || sk_X509_num(info->anchors) < 1
            || json_array_size(info->issuers) < 1
            || aef_info_method(info, info->apis[0].api_name) == NULL))
        abort();
    aef_info_put(info);
    ERR_clear_error();
    return 0;
}
