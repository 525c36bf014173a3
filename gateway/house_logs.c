/* SPDX-License-Identifier: Apache-2.0 */
#include "house_parts.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((uint64_t)256 << 10) /* most bytes of one answer */

/* A service may write any bytes; JSON wants UTF-8 (RFC 3629). */
static json_t *
clean_text(const char *data, size_t n)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    json_t *out = json_stringn(data, n);

    if (out != NULL)
        return out;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)data[i];

        gh_buffer_append(&b, c < 0x80 && c != 0 ? gh_slice(data + i, 1)
                                                : gh_slice("?", 1));
    }
    out = json_stringn((const char *)b.data, b.len);
    gh_buffer_finish(&b);
    return out;
}

/* Where the last `lines` lines begin; a last line without an end counts. */
static size_t
find_tail(const char *data, size_t n, unsigned lines)
{
    size_t at = n;

    if (lines == 0)
        return n;
    while (at > 0) {
        if (data[at - 1] == '\n' && at != n && lines-- == 1)
            return at;
        at--;
    }
    return 0;
}

/* The newest file, and the one before it, as one stretch of offsets. */
struct stretch {
    int now, before;           /* descriptors, or -1 */
    uint64_t start, turn, end; /* `turn`: where the newest file begins */
};

static size_t
read_part(int fd, uint64_t from, uint64_t to, char *data)
{
    ssize_t n = fd < 0 || from >= to
                    ? 0
                    : pread(fd, data, (size_t)(to - from), (off_t)from);

    return n < 0 ? 0 : (size_t)n;
}

static char *
read_piece(const struct stretch *s, uint64_t from, uint64_t to, size_t *n)
{
    char *data = malloc((size_t)(to - from) + 1);
    uint64_t middle = to < s->turn ? to : s->turn;

    if (data == NULL)
        return NULL;
    *n = 0;
    if (from < s->turn) {
        *n = read_part(s->before, from - s->start, middle - s->start, data);
        from = middle;
    }
    *n += read_part(s->now, from - s->turn, to - s->turn, data + *n);
    return data;
}

static json_t *
pack(const char *data, size_t n, uint64_t after, uint64_t skipped)
{
    return json_pack("{s:o, s:I, s:I}", "text", clean_text(data, n), "after",
                     (json_int_t)after, "skipped", (json_int_t)skipped);
}

static json_t *
read_logs(const struct stretch *s, unsigned tail, int64_t after)
{
    uint64_t from, to = s->end, skipped = 0;
    size_t n, at = 0;
    char *data;
    json_t *out;

    if (after < 0) {
        from = to - s->start > PIECE ? to - PIECE : s->start;
    } else {
        from = (uint64_t)after;
        if (from < s->start) {
            skipped = s->start - from;
            from = s->start;
        }
        if (from > to)
            from = to; /* of another life of this service */
        if (to - from > PIECE)
            to = from + PIECE;
    }
    data = read_piece(s, from, to, &n);
    if (data == NULL)
        return NULL;
    if (after < 0)
        at = find_tail(data, n, tail);
    out = pack(data + at, n - at, from + n, skipped);
    free(data);
    return out;
}

static int
open_log(const struct gh_house *h, const char *name, const char *suffix,
         uint64_t *size)
{
    char path[PATH_MAX];
    struct stat st;
    int fd;

    snprintf(path, sizeof(path), "%s/log/services/%s/0.log%s", h->dir, name,
             suffix);
    /* The shim's directory: anything could be there. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *size = 0;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

/* Replicas but the first have files of their own; the first one's is the
 * service's. */
json_t *
gh_house_logs(struct gh_house *h, const char *name, unsigned tail,
              int64_t after, struct gh_error *e)
{
    struct gh_house_service *s = gh_house_find(h, name);
    struct stretch logs;
    uint64_t size, before;
    json_t *out;

    if (s == NULL) {
        gh_error_set(e, GH_ENOTFOUND, "the house runs no \"%s\"", name);
        return NULL;
    }
    logs.turn = s->n > 0 && s->replicas[0].reports != NULL
                    ? s->replicas[0].reports->log_base
                    : 0;
    logs.now = open_log(h, name, "", &size);
    logs.before = open_log(h, name, ".1", &before);
    logs.start = before <= logs.turn ? logs.turn - before : logs.turn;
    logs.end = logs.turn + size;
    out = read_logs(&logs, tail, after);
    if (out == NULL)
        gh_error_set(e, GH_ENOMEM, "no memory");
    if (logs.now >= 0)
        close(logs.now);
    if (logs.before >= 0)
        close(logs.before);
    return out;
}
