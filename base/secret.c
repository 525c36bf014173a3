/* SPDX-License-Identifier: Apache-2.0 */
/* The low-level SHA-256 calls are deprecated but not going; a kept state is
 * copied by value, which the EVP interface cannot do without the heap. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "secret.h"

#include "encode.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/core_names.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof(SHA256_CTX) <= 128, "gh_hmac holds two SHA256_CTX");

void
gh_random(void *out, size_t n)
{
    unsigned char *p = out;
    ssize_t got;

    while (n > 0) {
        got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            abort();
        p += got;
        n -= (size_t)got;
    }
}

int
gh_secret_read(const char *path, struct gh_secret *out, struct gh_error *e)
{
    char text[2 * GH_KEY_SIZE + 2];
    struct stat st;
    ssize_t n;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return gh_error_sys(e, errno, "secret file %s", path);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        (st.st_mode & S_IRWXO) != 0) {
        close(fd);
        return gh_error_set(e, GH_EDENIED,
                            "secret file %s: must be a regular file that "
                            "others cannot read (chmod o= it)",
                            path);
    }
    n = read(fd, text, sizeof(text));
    close(fd);
    if (n > 0 && text[n - 1] == '\n')
        n--;
    if (n != 2 * GH_KEY_SIZE ||
        gh_hex_decode(gh_slice(text, (size_t)n), out->root, GH_KEY_SIZE) !=
            GH_KEY_SIZE)
        return gh_error_set(e, GH_EINVAL,
                            "secret file %s: must hold 64 hex digits", path);
    OPENSSL_cleanse(text, sizeof(text));
    return 0;
}

int
gh_secret_create(const char *path, struct gh_error *e)
{
    unsigned char raw[GH_KEY_SIZE];
    char text[2 * GH_KEY_SIZE + 2];
    ssize_t n;
    int fd, failed;

    gh_random(raw, sizeof(raw));
    gh_hex_encode(gh_slice(raw, sizeof(raw)), text);
    text[2 * GH_KEY_SIZE] = '\n';
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0)
        return gh_error_sys(e, errno, "secret file %s", path);
    n = write(fd, text, 2 * GH_KEY_SIZE + 1);
    failed = n != 2 * GH_KEY_SIZE + 1 || fsync(fd) != 0;
    close(fd);
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(raw, sizeof(raw));
    if (failed) {
        unlink(path);
        return gh_error_set(e, GH_EIO, "secret file %s: short write", path);
    }
    return 0;
}

int
gh_secret_derive(const struct gh_secret *s, const char *use,
                 unsigned char out[GH_KEY_SIZE], struct gh_error *e)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)s->root,
                                          sizeof(s->root)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)use,
                                          strlen(use)),
        OSSL_PARAM_construct_end()};
    int ok = ctx != NULL && EVP_KDF_derive(ctx, out, GH_KEY_SIZE, params) == 1;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (!ok)
        return gh_error_set(e, GH_EIO, "derive key \"%s\": OpenSSL refused",
                            use);
    return 0;
}

void
gh_secret_wipe(struct gh_secret *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}

void
gh_sha256(const struct gh_slice *parts, size_t n,
          unsigned char out[GH_DIGEST_SIZE])
{
    SHA256_CTX c;
    size_t i;

    SHA256_Init(&c);
    for (i = 0; i < n; i++)
        SHA256_Update(&c, parts[i].data, parts[i].len);
    SHA256_Final(out, &c);
}

void
gh_hmac_init(struct gh_hmac *h, struct gh_slice key)
{
    unsigned char block[SHA256_CBLOCK] = {0};
    SHA256_CTX c;
    size_t i;

    if (key.len > sizeof(block))
        gh_sha256(&key, 1, block);
    else if (key.len > 0)
        memcpy(block, key.data, key.len);
    for (i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    SHA256_Init(&c);
    SHA256_Update(&c, block, sizeof(block));
    memcpy(h->inner, &c, sizeof(c));
    for (i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&c);
    SHA256_Update(&c, block, sizeof(block));
    memcpy(h->outer, &c, sizeof(c));
    OPENSSL_cleanse(block, sizeof(block));
}

void
gh_hmac(const struct gh_hmac *h, const struct gh_slice *parts, size_t n,
        unsigned char out[GH_DIGEST_SIZE])
{
    SHA256_CTX c;
    size_t i;

    memcpy(&c, h->inner, sizeof(c));
    for (i = 0; i < n; i++)
        SHA256_Update(&c, parts[i].data, parts[i].len);
    SHA256_Final(out, &c);
    memcpy(&c, h->outer, sizeof(c));
    SHA256_Update(&c, out, GH_DIGEST_SIZE);
    SHA256_Final(out, &c);
}
