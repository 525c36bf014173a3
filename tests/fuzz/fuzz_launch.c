/* SPDX-License-Identifier: Apache-2.0 */
/* A launch record of a stranger: refused, or every text and place of it can be
 * read within its bounds. */
#include "launch.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
touch(const struct gh_launch_plan *p)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < p->nargs; i++)
        sum += strlen(gh_launch_text(p, p->args[i]));
    for (uint32_t i = 0; i < p->nenv; i++)
        sum += strlen(gh_launch_text(p, p->env[i]));
    for (uint32_t i = 0; i < p->nmounts; i++) {
        const struct gh_launch_mount *m = &p->mounts[i];

        sum += strlen(gh_launch_text(p, m->target));
        if (m->kind == GH_LAUNCH_FILE)
            for (uint64_t k = 0; k < m->size; k++)
                sum += ((const unsigned char *)(p + 1))[m->source + k];
        else if (m->source != 0)
            sum += strlen(gh_launch_text(p, m->source));
    }
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Of its very size, so that the sanitizer sees one byte too many. */
    struct gh_launch_plan *p = malloc(size);
    struct gh_error e = {.code = GH_OK};

    if (p == NULL)
        return 0;
    memcpy(p, data, size);
    if (gh_launch_check(p, size, &e) == 0) {
        if (touch(p) == SIZE_MAX)
            abort();
    } else if (e.code == GH_OK) {
        abort();
    }
    free(p);
    return 0;
}
