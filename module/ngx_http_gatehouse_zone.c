
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_zone.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_worker.h"

#include "slot.h"


#define NGX_HTTP_GATEHOUSE_ZONE_MAGIC   0x7a65747267743031ull
#define NGX_HTTP_GATEHOUSE_SLOT         2048
#define NGX_HTTP_GATEHOUSE_SLOT_BIG     (24 * 1024)
#define NGX_HTTP_GATEHOUSE_WAYS         4


static ngx_int_t
ngx_http_gatehouse_zone_layout(ngx_http_gatehouse_zone_t *zone, size_t size,
    ngx_log_t *log)
{
    size_t           at, part;
    ngx_uint_t       i, n;
    struct gh_error  e;

    ngx_memzero(zone, sizeof(ngx_http_gatehouse_zone_t));

    zone->layout = NGX_HTTP_GATEHOUSE_ZONE_LAYOUT;
    zone->size = size;
    gh_random(&zone->slot_key, sizeof(zone->slot_key));

    at = ngx_align(sizeof(ngx_http_gatehouse_zone_t), 64);

    /* a sixteenth for decisions, a quarter for tokens, the rest for limits */

    zone->decisions = at;
    zone->ndecisions = ngx_min(4096,
                          size / 16 / sizeof(ngx_http_gatehouse_decision_t));
    at += zone->ndecisions * sizeof(ngx_http_gatehouse_decision_t);

    for (i = 0; i < 2; i++) {
        at = ngx_align(at, 64);
        part = i == 0 ? size / 16 * 3 : size / 16;

        zone->tokens[i].slot = i == 0 ? NGX_HTTP_GATEHOUSE_SLOT
                                      : NGX_HTTP_GATEHOUSE_SLOT_BIG;
        n = part / (zone->tokens[i].slot * NGX_HTTP_GATEHOUSE_WAYS);

        while (n & (n - 1)) {
            n &= n - 1;
        }

        zone->tokens[i].sets = n;
        zone->tokens[i].offset = at;
        at += n * NGX_HTTP_GATEHOUSE_WAYS * zone->tokens[i].slot;
    }

    at = ngx_align(at, 64);

    ngx_memzero((u_char *) zone + zone->decisions, at - zone->decisions);

    zone->limiter = at;
    zone->limiter_size = (size - at) & ~(size_t) 63;

    if (gh_limiter_format((u_char *) zone + at, zone->limiter_size, &e) != 0) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "gatehouse_zone: %s", e.message);
        return NGX_ERROR;
    }

    zone->magic = NGX_HTTP_GATEHOUSE_ZONE_MAGIC;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_zone_keep(ngx_shm_zone_t *shm_zone,
    ngx_http_gatehouse_zone_t *zone)
{
    struct gh_error    e;
    struct gh_limiter  limiter;

    if (zone
        && zone->magic == NGX_HTTP_GATEHOUSE_ZONE_MAGIC
        && zone->layout == NGX_HTTP_GATEHOUSE_ZONE_LAYOUT
        && gh_limiter_attach(&limiter, (u_char *) zone + zone->limiter,
                             zone->limiter_size, &e)
           == 0)
    {
        return NGX_OK;
    }

    /* running workers still use it: it cannot be made anew under them */

    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                  "gatehouse_zone \"%V\" was made by another version of the "
                  "module: restart nginx, or give the zone another name",
                  &shm_zone->shm.name);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_gatehouse_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                      size;
    ngx_slab_pool_t            *shpool;
    ngx_http_gatehouse_zone_t  *zone;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        return ngx_http_gatehouse_zone_keep(shm_zone, shpool->data);
    }

    /* all of the zone in one piece: the slab allocator has nothing to do */

    size = shpool->pfree * ngx_pagesize;

    zone = ngx_slab_alloc(shpool, size);
    if (zone == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_gatehouse_zone_layout(zone, size, shm_zone->shm.log)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    shpool->data = zone;

    return NGX_OK;
}


ngx_http_gatehouse_zone_t *
ngx_http_gatehouse_zone(ngx_shm_zone_t *shm_zone)
{
    return ((ngx_slab_pool_t *) shm_zone->shm.addr)->data;
}


/* ---- figures ---- */


#define ngx_http_gatehouse_counts()                                           \
    (&ngx_http_gatehouse_worker.zone->counts[ngx_worker                       \
                                             % NGX_HTTP_GATEHOUSE_WORKERS])


void
ngx_http_gatehouse_count_fault(ngx_uint_t fault)
{
    (void) ngx_atomic_fetch_add(&ngx_http_gatehouse_counts()->faults[fault],
                                1);
}


void
ngx_http_gatehouse_count(ngx_uint_t counter)
{
    (void) ngx_atomic_fetch_add(
                            &ngx_http_gatehouse_counts()->counters[counter],
                            1);
}


ngx_atomic_uint_t
ngx_http_gatehouse_faults_sum(ngx_uint_t fault)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  sum;

    sum = 0;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_WORKERS; i++) {
        sum += ngx_http_gatehouse_worker.zone->counts[i].faults[fault];
    }

    return sum;
}


ngx_atomic_uint_t
ngx_http_gatehouse_counters_sum(ngx_uint_t counter)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  sum;

    sum = 0;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_WORKERS; i++) {
        sum += ngx_http_gatehouse_worker.zone->counts[i].counters[counter];
    }

    return sum;
}


/* ---- seen tokens and sessions ---- */


static struct gh_slot *
ngx_http_gatehouse_cache_slot(ngx_uint_t table, const u_char *digest,
    ngx_uint_t way)
{
    uint32_t                     set;
    ngx_http_gatehouse_cache_t  *cache;

    cache = &ngx_http_gatehouse_worker.zone->tokens[table];

    if (cache->sets == 0) {
        return NULL;
    }

    ngx_memcpy(&set, digest, sizeof(set));
    set &= cache->sets - 1;

    return (struct gh_slot *)
               ((u_char *) ngx_http_gatehouse_worker.zone + cache->offset
                + ((size_t) set * NGX_HTTP_GATEHOUSE_WAYS + way) * cache->slot);
}


static size_t
ngx_http_gatehouse_cache_room(ngx_uint_t table)
{
    return ngx_http_gatehouse_worker.zone->tokens[table].slot
           - sizeof(struct gh_slot);
}


/* a copy of the slot's record if it is whole and this one's */

static ngx_int_t
ngx_http_gatehouse_cache_read(struct gh_slot *slot, size_t room,
    const u_char *digest, uint64_t now, ngx_pool_t *pool,
    struct gh_slice *record, uint64_t *stamp)
{
    u_char   *p;
    ssize_t   len;

    len = gh_slot_look(slot, room, digest, now);

    if (len < 0) {
        return NGX_DECLINED;
    }

    p = ngx_palloc(pool, len ? len : 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    if (gh_slot_copy(slot, ngx_http_gatehouse_worker.zone->slot_key, digest,
                     now, p, len, stamp)
        != 0)
    {
        return NGX_DECLINED;
    }

    *record = gh_slice(p, len);

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_cache_get(const u_char *digest, uint64_t now,
    ngx_pool_t *pool, struct gh_slice *record, uint64_t *stamp)
{
    ngx_int_t        rc;
    ngx_uint_t       table, way;
    struct gh_slot  *slot;

    for (table = 0; table < 2; table++) {
        for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

            slot = ngx_http_gatehouse_cache_slot(table, digest, way);
            if (slot == NULL) {
                break;
            }

            rc = ngx_http_gatehouse_cache_read(slot,
                     ngx_http_gatehouse_cache_room(table), digest, now, pool,
                     record, stamp);

            if (rc != NGX_DECLINED) {
                return rc;
            }
        }
    }

    return NGX_DECLINED;
}


static void
ngx_http_gatehouse_cache_clear(ngx_uint_t table, const u_char *digest)
{
    uint64_t         claim;
    ngx_uint_t       way;
    struct gh_slot  *slot;

    for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

        slot = ngx_http_gatehouse_cache_slot(table, digest, way);
        if (slot == NULL) {
            break;
        }

        if (!gh_slot_is(slot, digest)) {
            continue;
        }

        claim = gh_slot_claim(slot, ngx_http_gatehouse_mono());

        if (claim) {
            gh_slot_clear(slot);
            (void) gh_slot_done(slot, claim);
        }
    }
}


void
ngx_http_gatehouse_cache_put(const u_char *digest, struct gh_slice record,
    uint64_t stamp, uint64_t expires, uint64_t now)
{
    uint64_t         claim;
    ngx_uint_t       table, way;
    struct gh_slot  *slot, *best;

    for (table = 0; table < 2; table++) {
        if (record.len <= ngx_http_gatehouse_cache_room(table)) {
            break;
        }
    }

    if (table == 2) {
        return;
    }

    /* what was there in the other size is older */

    ngx_http_gatehouse_cache_clear(!table, digest);

    best = NULL;

    for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

        slot = ngx_http_gatehouse_cache_slot(table, digest, way);
        if (slot == NULL) {
            return;
        }

        if (gh_slot_is(slot, digest) || slot->expires <= now) {
            best = slot;
            break;
        }

        if (best == NULL || gh_slot_written(slot) < gh_slot_written(best)) {
            best = slot;
        }
    }

    claim = gh_slot_claim(best, ngx_http_gatehouse_mono());

    if (claim) {
        gh_slot_fill(best, ngx_http_gatehouse_worker.zone->slot_key, claim,
                     digest, record, stamp, expires);
        (void) gh_slot_done(best, claim);
    }
}


void
ngx_http_gatehouse_cache_drop(const u_char *digest)
{
    ngx_http_gatehouse_cache_clear(0, digest);
    ngx_http_gatehouse_cache_clear(1, digest);
}
