
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The shared memory of all workers: figures, the last refused decisions, seen
 * tokens and sessions, and the limiter's table.  It is kept across reloads.
 *
 *     | slab header | zone | decisions | tokens | big tokens | limiter |
 *
 * Nothing in it is locked.  A decision has a sequence number that is odd while
 * it is written: a reader copies and looks again.  Tokens and sessions have a
 * sum over all of their bytes besides (idp/slot.h): who calls is never a mix.
 */


#ifndef _NGX_HTTP_GATEHOUSE_ZONE_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_ZONE_H_INCLUDED_


#include "ngx_http_gatehouse.h"


#define NGX_HTTP_GATEHOUSE_ZONE_LAYOUT   2
#define NGX_HTTP_GATEHOUSE_WORKERS       64     /* counted apart, the rest
                                                   shares */


/*
 * Figures that only grow:  X(NAME, Prometheus name, help)
 */

#define NGX_HTTP_GATEHOUSE_COUNTERS(X)                                        \
    X(TOKEN_SEEN, "token_cache_hits_total",                                   \
      "Tokens that had been verified before")                                 \
    X(TOKEN_NEW, "token_cache_misses_total",                                  \
      "Tokens that were verified anew")                                       \
    X(SESSION_SEEN, "session_cache_hits_total",                               \
      "Sessions found in shared memory")                                      \
    X(SESSION_NEW, "session_cache_misses_total",                              \
      "Sessions asked for at Redis")                                          \
    X(WAITED, "limit_waits_total",                                            \
      "Requests that waited for a lease")                                     \
    X(DEGRADED, "limit_degraded_total",                                       \
      "Requests admitted without the limits' store")                          \
    X(REDIS_COMMANDS, "redis_commands_total",                                 \
      "Commands sent to Redis")                                               \
    X(REDIS_FAILURES, "redis_failures_total",                                 \
      "Connections and commands of Redis that failed")                        \
    X(SUBREQUESTS, "subrequests_refused_total",                               \
      "Subrequests into a gated location")

enum {
#define X(name, text, help)  NGX_HTTP_GATEHOUSE_##name##_COUNT,
    NGX_HTTP_GATEHOUSE_COUNTERS(X)
#undef X
    NGX_HTTP_GATEHOUSE_NCOUNTERS
};


typedef struct {
    ngx_atomic_t                    faults[NGX_HTTP_GATEHOUSE_NFAULTS];
    ngx_atomic_t                    counters[NGX_HTTP_GATEHOUSE_NCOUNTERS];
    u_char                          pad[64];
} ngx_http_gatehouse_counts_t;


/* sets of four slots of one size, found by a digest of 32 bytes */

typedef struct {
    size_t                          offset;     /* in the zone */
    uint32_t                        sets;       /* a power of two */
    uint32_t                        slot;       /* bytes of one slot */
} ngx_http_gatehouse_cache_t;


struct ngx_http_gatehouse_zone_s {
    uint64_t                        magic;
    uint32_t                        layout;
    size_t                          size;
    ngx_atomic_t                    decided;    /* numbers decisions */
    ngx_atomic_t                    refused;    /* next slot of the ring */
    ngx_atomic_t                    redis_down; /* workers' breakers say so */
    ngx_atomic_t                    revoked;    /* messages about sessions */
    size_t                          decisions;  /* offset, and how many */
    uint32_t                        ndecisions;
    ngx_http_gatehouse_cache_t      tokens[2];  /* 2k and 24k */
    uint64_t                        slot_key;   /* of their sums */
    size_t                          limiter;    /* offset and size */
    size_t                          limiter_size;
    ngx_http_gatehouse_counts_t     counts[NGX_HTTP_GATEHOUSE_WORKERS];
};


ngx_int_t ngx_http_gatehouse_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/* of a configured zone, in a worker */
ngx_http_gatehouse_zone_t *ngx_http_gatehouse_zone(ngx_shm_zone_t *shm_zone);

void ngx_http_gatehouse_count_fault(ngx_uint_t fault);
void ngx_http_gatehouse_count(ngx_uint_t counter);

/* sums over the workers */
ngx_atomic_uint_t ngx_http_gatehouse_faults_sum(ngx_uint_t fault);
ngx_atomic_uint_t ngx_http_gatehouse_counters_sum(ngx_uint_t counter);


/* ---- seen tokens and sessions ---- */

/*
 * The record under a digest, copied into the pool.  Times are UTC ms.  "stamp"
 * is what was given to put.  NGX_OK, NGX_DECLINED (not there, or expired) or
 * NGX_ERROR.
 */
ngx_int_t ngx_http_gatehouse_cache_get(const u_char *digest, uint64_t now,
    ngx_pool_t *pool, struct gh_slice *record, uint64_t *stamp);

/* what is too big for any slot is not kept */
void ngx_http_gatehouse_cache_put(const u_char *digest, struct gh_slice record,
    uint64_t stamp, uint64_t expires, uint64_t now);

void ngx_http_gatehouse_cache_drop(const u_char *digest);


#endif /* _NGX_HTTP_GATEHOUSE_ZONE_H_INCLUDED_ */
