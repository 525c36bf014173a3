/* SPDX-License-Identifier: Apache-2.0 */
#include "slot.h"

#include <string.h>

#define ODD 1u
#define COUNT 0xfffffu

/* the 128 bits of a product, folded */
static uint64_t
fold(uint64_t a, uint64_t b)
{
    __uint128_t p = (__uint128_t)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t
word_at(const unsigned char *p)
{
    uint64_t w;

    memcpy(&w, p, sizeof(w));
    return w;
}

static uint64_t
sum_bytes(uint64_t sum, uint64_t key, const unsigned char *p, size_t len)
{
    unsigned char last[16] = {0};

    for (; len >= 16; p += 16, len -= 16)
        sum = fold(word_at(p) ^ key, word_at(p + 8) ^ sum);
    if (len > 0) {
        memcpy(last, p, len);
        sum = fold(word_at(last) ^ key, word_at(last + 8) ^ sum);
    }
    return sum;
}

static uint64_t
sum_of(uint64_t key, uint64_t word, const unsigned char *digest,
       const unsigned char *data, size_t len, uint64_t stamp, uint64_t expires)
{
    uint64_t sum = fold(word ^ key, len ^ 0x9e3779b97f4a7c15u);

    sum = fold(stamp ^ key, expires ^ sum);
    sum = sum_bytes(sum, key, digest, GH_DIGEST_SIZE);
    return sum_bytes(sum, key, data, len);
}

bool
gh_slot_is(const struct gh_slot *s, const unsigned char *digest)
{
    return memcmp(s->digest, digest, GH_DIGEST_SIZE) == 0;
}

ssize_t
gh_slot_look(const struct gh_slot *s, size_t room, const unsigned char *digest,
             uint64_t now_ms)
{
    uint32_t len;

    if ((atomic_load(&s->word) & ODD) != 0 ||
        atomic_load_explicit(&s->expires, memory_order_relaxed) <= now_ms ||
        !gh_slot_is(s, digest))
        return -1;
    len = atomic_load_explicit(&s->len, memory_order_relaxed);
    return len <= room ? (ssize_t)len : -1;
}

int
gh_slot_copy(const struct gh_slot *s, uint64_t key, const unsigned char *digest,
             uint64_t now_ms, unsigned char *buf, size_t len, uint64_t *stamp)
{
    uint64_t word = atomic_load(&s->word), expires, when, sum;

    expires = atomic_load_explicit(&s->expires, memory_order_relaxed);
    when = s->stamp;
    sum = s->sum;
    if (len > 0)
        memcpy(buf, s->data, len);

    /* without this fence the bytes could be read after the word is */
    atomic_thread_fence(memory_order_acquire);
    if ((word & ODD) != 0 || expires <= now_ms ||
        atomic_load_explicit(&s->word, memory_order_relaxed) != word)
        return -1;

    /* the caller's digest and the copy, not what lies there: another writer's
     * bytes may come at any time */
    if (sum != sum_of(key, word, digest, buf, len, when, expires))
        return -1;
    *stamp = when;
    return 0;
}

uint64_t
gh_slot_claim(struct gh_slot *s, uint64_t mono_ms)
{
    uint64_t word = atomic_load(&s->word), next;

    /* signed: another process' clock may be ahead of ours */
    if ((word & ODD) != 0 &&
        (int64_t)(mono_ms - (word >> 20)) < GH_SLOT_TORN_MS)
        return 0;
    next = mono_ms << 20 | (((word & COUNT) + 1) & COUNT) | ODD;
    if (!atomic_compare_exchange_strong(&s->word, &word, next))
        return 0;

    /* without this fence our bytes could be seen before the word is odd */
    atomic_thread_fence(memory_order_release);
    return next;
}

void
gh_slot_fill(struct gh_slot *s, uint64_t key, uint64_t claim,
             const unsigned char *digest, struct gh_slice record,
             uint64_t stamp, uint64_t expires_ms)
{
    memcpy(s->digest, digest, GH_DIGEST_SIZE);
    if (record.len > 0)
        memcpy(s->data, record.data, record.len);
    atomic_store_explicit(&s->len, (uint32_t)record.len, memory_order_relaxed);
    s->stamp = stamp;
    atomic_store_explicit(&s->expires, expires_ms, memory_order_relaxed);
    s->sum = sum_of(key, claim + 1, digest, record.data, record.len, stamp, expires_ms);
}

void
gh_slot_clear(struct gh_slot *s)
{
    atomic_store_explicit(&s->expires, 0, memory_order_relaxed);
    memset(s->digest, 0, GH_DIGEST_SIZE);
}

bool
gh_slot_done(struct gh_slot *s, uint64_t claim)
{
    return atomic_compare_exchange_strong(&s->word, &claim, claim + 1);
}
