/* SPDX-License-Identifier: Apache-2.0 */
#include "house_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((off_t)256 << 10) /* most bytes of one answer */

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

static char *
read_piece(int fd, off_t from, off_t to, size_t *n)
{
    char *data = malloc((size_t)(to - from) + 1);
    ssize_t got =
        data == NULL ? -1 : pread(fd, data, (size_t)(to - from), from);

    if (got < 0) {
        free(data);
        return NULL;
    }
    *n = (size_t)got;
    return data;
}

static json_t *
pack(const char *data, size_t n, uint64_t after, uint64_t skipped)
{
    return json_pack("{s:o, s:I, s:I}", "text", clean_text(data, n), "after",
                     (json_int_t)after, "skipped", (json_int_t)skipped);
}

static json_t *
read_logs(int fd, uint64_t base, unsigned tail, int64_t after)
{
    struct stat st;
    uint64_t skipped = 0;
    off_t from, to;
    size_t n, at = 0;
    char *data;
    json_t *out;

    if (fstat(fd, &st) != 0)
        return NULL;
    to = st.st_size;
    if (after < 0) {
        from = to > PIECE ? to - PIECE : 0;
    } else {
        if ((uint64_t)after < base)
            skipped = base - (uint64_t)after;
        from = (uint64_t)after <= base ? 0 : (off_t)((uint64_t)after - base);
        if (from > to)
            from = to; /* of another life of this service */
        if (to - from > PIECE)
            to = from + PIECE;
    }
    data = read_piece(fd, from, to, &n);
    if (data == NULL)
        return NULL;
    if (after < 0)
        at = find_tail(data, n, tail);
    out = pack(data + at, n - at, base + (uint64_t)from + n, skipped);
    free(data);
    return out;
}

/* Replicas but the first have files of their own; the first one's is the
 * service's. */
json_t *
gh_house_logs(struct gh_house *h, const char *name, unsigned tail,
              int64_t after, struct gh_error *e)
{
    struct gh_house_service *s = gh_house_find(h, name);
    char path[PATH_MAX];
    json_t *out;
    int fd;

    if (s == NULL) {
        gh_error_set(e, GH_ENOTFOUND, "the house runs no \"%s\"", name);
        return NULL;
    }
    snprintf(path, sizeof(path), "%s/log/services/%s.log", h->dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return pack("", 0, 0, 0);
    if (fd < 0) {
        gh_error_sys(e, errno, "%s", path);
        return NULL;
    }
    out = read_logs(fd,
                    s->n > 0 && s->replicas[0].reports != NULL
                        ? s->replicas[0].reports->log_base
                        : 0,
                    tail, after);
    if (out == NULL)
        gh_error_sys(e, errno, "%s", path);
    close(fd);
    return out;
}
