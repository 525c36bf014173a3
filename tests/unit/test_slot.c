/* SPDX-License-Identifier: Apache-2.0 */
/* One slot, many writers: what a reader takes is what one writer wrote. */
#include "slot.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY 0x243f6a8885a308d3u
#define ROOM 512
#define NOW 1000u
#define END 5000u

static struct gh_slot *
slot_new(void)
{
    struct gh_slot *s =
        mmap(NULL, sizeof(*s) + ROOM, PROT_READ | PROT_WRITE,
             MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(s != MAP_FAILED);
    return s;
}

static void
slot_free(struct gh_slot *s)
{
    munmap(s, sizeof(*s) + ROOM);
}

/* what writer `who` writes: digest, record and stamp tell of him */
static void
digest_of(int who, unsigned char *digest)
{
    memset(digest, who, GH_DIGEST_SIZE);
}

static void
fill(struct gh_slot *s, int who, size_t len, uint64_t claim)
{
    unsigned char digest[GH_DIGEST_SIZE], data[ROOM];

    digest_of(who, digest);
    memset(data, who, len);
    gh_slot_fill(s, KEY, claim, digest, gh_slice(data, len), (uint64_t)who,
                 END);
}

/* the length of who's record, -1 for none; fails on another's bytes */
static ssize_t
read_of(const struct gh_slot *s, int who)
{
    unsigned char digest[GH_DIGEST_SIZE], buf[ROOM];
    uint64_t stamp = 0;
    ssize_t len, i;

    digest_of(who, digest);
    len = gh_slot_look(s, ROOM, digest, NOW);
    if (len < 0 || gh_slot_copy(s, KEY, digest, NOW, buf, (size_t)len,
                                &stamp) != 0)
        return -1;
    if (stamp != (uint64_t)who)
        abort();
    for (i = 0; i < len; i++)
        if (buf[i] != who)
            abort();
    return len;
}

static void
put(struct gh_slot *s, int who, size_t len, uint64_t mono)
{
    uint64_t claim = gh_slot_claim(s, mono);

    assert_true(claim != 0);
    fill(s, who, len, claim);
    assert_true(gh_slot_done(s, claim));
}

static void
a_record_comes_back_as_it_went(void **state)
{
    struct gh_slot *s = slot_new();
    size_t len;

    assert_int_equal(read_of(s, 1), -1);
    for (len = 0; len <= ROOM; len++) {
        put(s, 1, len, 10 + len);
        assert_int_equal(read_of(s, 1), len);
        assert_int_equal(read_of(s, 2), -1);
        assert_int_equal(gh_slot_written(s), 10 + len);
    }
    slot_free(s);
}

static void
an_expired_or_cleared_record_is_none(void **state)
{
    struct gh_slot *s = slot_new();
    unsigned char digest[GH_DIGEST_SIZE];
    uint64_t claim;

    put(s, 1, 100, 10);
    digest_of(1, digest);
    assert_int_equal(gh_slot_look(s, ROOM, digest, END - 1), 100);
    assert_int_equal(gh_slot_look(s, ROOM, digest, END), -1);
    assert_int_equal(gh_slot_look(s, 99, digest, NOW), -1);
    claim = gh_slot_claim(s, 11);
    gh_slot_clear(s);
    assert_true(gh_slot_done(s, claim));
    assert_int_equal(read_of(s, 1), -1);
    slot_free(s);
}

static void
a_slot_that_is_written_is_not_taken(void **state)
{
    struct gh_slot *s = slot_new();
    uint64_t claim = gh_slot_claim(s, 5000);

    assert_true(claim != 0);
    assert_true(gh_slot_claim(s, 5000) == 0);
    assert_true(gh_slot_claim(s, 5000 + GH_SLOT_TORN_MS - 1) == 0);
    assert_true(gh_slot_claim(s, 4999) == 0); /* a clock that lags behind */
    assert_true(gh_slot_claim(s, 0) == 0);
    fill(s, 1, 10, claim);
    assert_int_equal(read_of(s, 1), -1);
    assert_true(gh_slot_done(s, claim));
    assert_int_equal(read_of(s, 1), 10);
    slot_free(s);
}

static void
a_writer_that_wakes_up_late_has_lost_the_slot(void **state)
{
    struct gh_slot *s = slot_new();
    uint64_t late = gh_slot_claim(s, 10), claim;

    claim = gh_slot_claim(s, 10 + GH_SLOT_TORN_MS);
    assert_true(claim != 0);
    fill(s, 2, 300, claim);

    /* while the other writes: it cannot end for him */
    assert_false(gh_slot_done(s, late));
    assert_int_equal(read_of(s, 2), -1);
    assert_true(gh_slot_done(s, claim));
    assert_int_equal(read_of(s, 2), 300);

    /* after: his record is whole, and yet of a word that is over */
    fill(s, 1, 300, late);
    assert_false(gh_slot_done(s, late));
    assert_int_equal(read_of(s, 1), -1);
    assert_int_equal(read_of(s, 2), -1);
    slot_free(s);
}

/* The identity of one under the digest of another: every mix of two records,
 * byte by byte. */
static void
a_mix_of_two_records_is_none(void **state)
{
    struct gh_slot *s = slot_new();
    size_t size = sizeof(*s) + 40, i;
    unsigned char *one = malloc(size), *p = (unsigned char *)s;
    uint64_t claim;

    assert_non_null(one);
    put(s, 1, 40, 10);
    memcpy(one, s, size);
    claim = gh_slot_claim(s, 11);
    fill(s, 2, 40, claim);
    assert_true(gh_slot_done(s, claim));
    assert_int_equal(read_of(s, 2), 40);

    for (i = sizeof(s->word); i < size; i++) {
        unsigned char was = p[i];

        p[i] = one[i];
        if (was != one[i])
            assert_int_equal(read_of(s, 2), -1);
        p[i] = was;
    }
    for (i = sizeof(s->word); i < size; i++) {
        p[i] = one[i]; /* more and more of it */
        assert_int_equal(read_of(s, 1), -1);
    }
    free(one);
    slot_free(s);
}

/* Writers that take the slot from each other at once: time runs so fast that
 * each finds the other's claim too old. */
static void
writer(struct gh_slot *s, _Atomic uint64_t *clock, int who)
{
    unsigned i;

    for (i = 0; i < 40000; i++) {
        uint64_t claim = gh_slot_claim(
            s, atomic_fetch_add(clock, GH_SLOT_TORN_MS) + GH_SLOT_TORN_MS);

        if (claim != 0) {
            fill(s, who, 16 + (size_t)who * 100, claim);
            (void)gh_slot_done(s, claim);
        }
    }
    _exit(0);
}

static void
readers_among_fighting_writers_see_whole_records(void **state)
{
    struct gh_slot *s = slot_new();
    _Atomic uint64_t *clock = mmap(NULL, 64, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned seen = 0, i;
    int status, left = 2, who;

    assert_true(clock != MAP_FAILED);
    for (who = 1; who <= 2; who++)
        if (fork() == 0)
            writer(s, clock, who);
    while (left > 0) {
        for (i = 0; i < 100; i++)
            seen += (read_of(s, 1) >= 0) + (read_of(s, 2) >= 0);
        while (left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            assert_int_equal(status, 0);
            left--;
        }
    }
    assert_true(seen > 0);
    munmap(clock, 64);
    slot_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_went),
        cmocka_unit_test(an_expired_or_cleared_record_is_none),
        cmocka_unit_test(a_slot_that_is_written_is_not_taken),
        cmocka_unit_test(a_writer_that_wakes_up_late_has_lost_the_slot),
        cmocka_unit_test(a_mix_of_two_records_is_none),
        cmocka_unit_test(readers_among_fighting_writers_see_whole_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
