
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_zone.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_worker.h"


#define NGX_HTTP_GATEHOUSE_ZONE_MAGIC   0x7a65747267743031ull
#define NGX_HTTP_GATEHOUSE_SLOT         2048
#define NGX_HTTP_GATEHOUSE_SLOT_BIG     (24 * 1024)
#define NGX_HTTP_GATEHOUSE_WAYS         4
#define NGX_HTTP_GATEHOUSE_TORN         1000    /* ms: then its writer died */


typedef struct {
    ngx_atomic_t                    seq;        /* odd while written */
    ngx_atomic_t                    written;    /* ms, monotonic */
    uint64_t                        stamp;
    uint64_t                        expires;    /* UTC ms; 0: free */
    uint32_t                        len;
    u_char                          digest[GH_DIGEST_SIZE];
    u_char                          data[];
} ngx_http_gatehouse_slot_t;


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


static ngx_http_gatehouse_slot_t *
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

    return (ngx_http_gatehouse_slot_t *)
               ((u_char *) ngx_http_gatehouse_worker.zone + cache->offset
                + ((size_t) set * NGX_HTTP_GATEHOUSE_WAYS + way) * cache->slot);
}


/* a copy of the slot's record if it is this one's and nobody wrote meanwhile */

static ngx_int_t
ngx_http_gatehouse_cache_read(ngx_http_gatehouse_slot_t *slot, size_t max,
    const u_char *digest, uint64_t now, ngx_pool_t *pool,
    struct gh_slice *record, uint64_t *stamp)
{
    u_char             *p;
    uint32_t            len;
    uint64_t            when, expires;
    ngx_atomic_uint_t   seq;

    seq = slot->seq;

    if ((seq & 1) || slot->expires == 0
        || ngx_memcmp(slot->digest, digest, GH_DIGEST_SIZE) != 0)
    {
        return NGX_DECLINED;
    }

    ngx_memory_barrier();

    len = slot->len;
    when = slot->stamp;
    expires = slot->expires;

    if (len > max || expires <= now) {
        return NGX_DECLINED;
    }

    p = ngx_palloc(pool, len ? len : 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, slot->data, len);

    /* without this fence the copy could be of the next record */

    ngx_memory_barrier();

    if (slot->seq != seq) {
        return NGX_DECLINED;
    }

    *record = gh_slice(p, len);
    *stamp = when;

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_cache_get(const u_char *digest, uint64_t now,
    ngx_pool_t *pool, struct gh_slice *record, uint64_t *stamp)
{
    ngx_int_t                   rc;
    ngx_uint_t                  table, way;
    ngx_http_gatehouse_slot_t  *slot;

    for (table = 0; table < 2; table++) {
        for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

            slot = ngx_http_gatehouse_cache_slot(table, digest, way);
            if (slot == NULL) {
                break;
            }

            rc = ngx_http_gatehouse_cache_read(slot,
                     ngx_http_gatehouse_worker.zone->tokens[table].slot
                     - sizeof(ngx_http_gatehouse_slot_t),
                     digest, now, pool, record, stamp);

            if (rc != NGX_DECLINED) {
                return rc;
            }
        }
    }

    return NGX_DECLINED;
}


/* makes seq odd and ours; what a dead writer left is taken over */

static ngx_int_t
ngx_http_gatehouse_cache_claim(ngx_http_gatehouse_slot_t *slot,
    ngx_atomic_uint_t *seq)
{
    ngx_atomic_uint_t  now;

    *seq = slot->seq;
    now = ngx_current_msec;

    if (*seq & 1) {
        if (now - slot->written < NGX_HTTP_GATEHOUSE_TORN) {
            return NGX_DECLINED;
        }

        (*seq)++;               /* stays odd below */

        if (!ngx_atomic_cmp_set(&slot->seq, *seq - 1, *seq + 1)) {
            return NGX_DECLINED;
        }

    } else if (!ngx_atomic_cmp_set(&slot->seq, *seq, *seq + 1)) {
        return NGX_DECLINED;
    }

    slot->written = now;
    ngx_memory_barrier();

    return NGX_OK;
}


static void
ngx_http_gatehouse_cache_done(ngx_http_gatehouse_slot_t *slot,
    ngx_atomic_uint_t seq)
{
    ngx_memory_barrier();
    slot->seq = seq + 2;
}


void
ngx_http_gatehouse_cache_put(const u_char *digest, struct gh_slice record,
    uint64_t stamp, uint64_t expires, uint64_t now)
{
    ngx_uint_t                  table, way;
    ngx_atomic_uint_t           seq;
    ngx_http_gatehouse_slot_t  *slot, *best;

    for (table = 0; table < 2; table++) {
        if (record.len + sizeof(ngx_http_gatehouse_slot_t)
            <= ngx_http_gatehouse_worker.zone->tokens[table].slot)
        {
            break;
        }
    }

    if (table == 2) {
        return;
    }

    best = NULL;

    for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

        slot = ngx_http_gatehouse_cache_slot(table, digest, way);
        if (slot == NULL) {
            return;
        }

        if (ngx_memcmp(slot->digest, digest, GH_DIGEST_SIZE) == 0
            || slot->expires <= now)
        {
            best = slot;
            break;
        }

        if (best == NULL || slot->written < best->written) {
            best = slot;
        }
    }

    if (ngx_http_gatehouse_cache_claim(best, &seq) != NGX_OK) {
        return;
    }

    ngx_memcpy(best->digest, digest, GH_DIGEST_SIZE);
    ngx_memcpy(best->data, record.data, record.len);
    best->len = record.len;
    best->stamp = stamp;
    best->expires = expires;

    ngx_http_gatehouse_cache_done(best, seq);
}


void
ngx_http_gatehouse_cache_drop(const u_char *digest)
{
    ngx_uint_t                  table, way;
    ngx_atomic_uint_t           seq;
    ngx_http_gatehouse_slot_t  *slot;

    for (table = 0; table < 2; table++) {
        for (way = 0; way < NGX_HTTP_GATEHOUSE_WAYS; way++) {

            slot = ngx_http_gatehouse_cache_slot(table, digest, way);
            if (slot == NULL) {
                break;
            }

            if (ngx_memcmp(slot->digest, digest, GH_DIGEST_SIZE) == 0
                && ngx_http_gatehouse_cache_claim(slot, &seq) == NGX_OK)
            {
                slot->expires = 0;
                ngx_memzero(slot->digest, GH_DIGEST_SIZE);
                ngx_http_gatehouse_cache_done(slot, seq);
            }
        }
    }
}
