/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store may answer: bytes through hiredis' reader to everything that
 * takes a reply. Nothing crashes, and a cell never holds more than the reply
 * granted.
 */
#include "meter.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ZONE (64 * 1024)

static void
take_in(struct gh_limiter *l, redisReply *r)
{
    static const int8_t metric[2];
    static const uint32_t cost = 1;
    const struct gh_limit v[] = {
        {gh_slice_str(""), gh_slice_str("hits"), GH_MINUTE, GH_HARD, 100},
        {gh_slice_str(""), gh_slice_str("hits"), GH_EVER, GH_SOFT, 100}};
    const struct gh_limits limits = {v, 2};
    struct gh_limit_ref refs[2];
    struct gh_scripts scripts;
    struct gh_charge c[2];
    struct gh_spend s;
    struct gh_lease lease;
    struct gh_buffer b = GH_BUFFER_INIT;

    memset(&scripts, 0, sizeof(scripts));
    gh_limiter_prepare(l, &limits, refs);
    gh_spend_init(&s, c, 2, 1000, 0);
    gh_spend_scope(l, &s, GH_SCOPE_APP, gh_slice_str("app"), refs, 2, metric,
                   &cost, GH_DENY, 0);
    gh_spend_try(l, &s, true);
    if (gh_lease_begin(l, &scripts, &s, 0, 1000, &lease, &b) != 1)
        abort();
    gh_lease_apply(l, &lease, 1001, r);
    gh_lease_apply(l, &lease, 1002, r);
    gh_spend_init(&s, c, 2, 1002, 0);
    gh_spend_scope(l, &s, GH_SCOPE_APP, gh_slice_str("app"), refs, 2, metric,
                   &cost, GH_BOUNDED, 1000);
    gh_spend_try(l, &s, false);
    gh_buffer_finish(&b);
}

/* hiredis 0.14 believes any count of elements and asks for their memory at
 * once. */
static bool
huge(const uint8_t *data, size_t size)
{
    size_t i, digits = 0;

    for (i = 0; i < size; i++) {
        digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
        if (digits > 4 && memchr(data, '*', i) != NULL &&
            data[i - digits] == '*')
            return true;
    }
    return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    redisReader *reader = redisReaderCreate();
    uint64_t sum[GH_FIGURES] = {0};
    struct gh_limiter l;
    struct gh_error e;
    void *mem = aligned_alloc(64, ZONE), *r = NULL;

    if (reader == NULL || mem == NULL ||
        gh_limiter_format(mem, ZONE, &e) != 0 ||
        gh_limiter_attach(&l, mem, ZONE, &e) != 0)
        abort();
    if (!huge(data, size) &&
        redisReaderFeed(reader, (const char *)data, size) == REDIS_OK &&
        redisReaderGetReply(reader, &r) == REDIS_OK && r != NULL) {
        gh_reaction_name(gh_reaction_of(r));
        gh_meter_sum(r, sum);
        take_in(&l, r);
        gh_pulse_apply(&l, 1000, r);
        freeReplyObject(r);
    }
    gh_lease_recall(&l, gh_slice(data, size));
    redisReaderFree(reader);
    free(mem);
    return 0;
}
