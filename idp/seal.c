/* SPDX-License-Identifier: Apache-2.0 */
#include "seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#define VERSION 1
#define HEAD 5 /* version and key id */
#define NONCE 12
#define TAG 16

_Static_assert(HEAD + NONCE + TAG == GH_SEAL_OVERHEAD, "layout");

int
gh_seal_init(struct gh_seal *s, const struct gh_secret *secret, const char *use,
             struct gh_error *e)
{
    unsigned char id[GH_KEY_SIZE];
    char label[64];

    snprintf(label, sizeof(label), "%s.id", use);
    if (gh_secret_derive(secret, use, s->key, e) != 0 ||
        gh_secret_derive(secret, label, id, e) != 0)
        return -1;
    memcpy(s->id, id, sizeof(s->id));
    return 0;
}

void
gh_seal_wipe(struct gh_seal *s)
{
    OPENSSL_cleanse(s, sizeof(*s));
}

static bool
encrypt(EVP_CIPHER_CTX *c, const struct gh_seal *s, struct gh_slice aad,
        struct gh_slice plain, unsigned char *at)
{
    unsigned char *nonce = at + HEAD, *text = nonce + NONCE;
    int n;

    return EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, s->key, nonce) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, at, HEAD) == 1 &&
           EVP_EncryptUpdate(c, NULL, &n, aad.data, (int)aad.len) == 1 &&
           EVP_EncryptUpdate(c, text, &n, plain.data, (int)plain.len) == 1 &&
           EVP_EncryptFinal_ex(c, text + plain.len, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, TAG,
                               text + plain.len) == 1;
}

int
gh_seal_close(const struct gh_seal *s, struct gh_slice aad,
              struct gh_slice plain, struct gh_buffer *out, struct gh_error *e)
{
    unsigned char head[HEAD + NONCE] = {VERSION};
    static const unsigned char zero[256];
    EVP_CIPHER_CTX *c;
    size_t start = out->len, left;
    bool ok;

    if (plain.len > INT32_MAX / 2 || aad.len > INT32_MAX / 2)
        return gh_error_set(e, GH_ETOOBIG, "seal: too long");
    memcpy(head + 1, s->id, sizeof(s->id));
    gh_random(head + HEAD, NONCE);
    gh_buffer_append(out, gh_slice(head, sizeof(head)));
    for (left = plain.len + TAG; left > 0;) { /* room to encrypt into */
        size_t n = left < sizeof(zero) ? left : sizeof(zero);

        gh_buffer_append(out, gh_slice(zero, n));
        left -= n;
    }
    if (out->failed)
        return gh_error_set(e, GH_ENOMEM, "seal: no memory");
    c = EVP_CIPHER_CTX_new();
    ok = c != NULL && encrypt(c, s, aad, plain, out->data + start);
    EVP_CIPHER_CTX_free(c);
    if (!ok) {
        out->len = start;
        return gh_error_set(e, GH_EIO, "seal: OpenSSL refused");
    }
    return 0;
}

static bool
decrypt(EVP_CIPHER_CTX *c, const struct gh_seal *s, struct gh_slice aad,
        struct gh_slice sealed, unsigned char *plain)
{
    const unsigned char *nonce = sealed.data + HEAD, *text = nonce + NONCE;
    size_t len = sealed.len - GH_SEAL_OVERHEAD;
    int n;

    return EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, s->key, nonce) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, sealed.data, HEAD) == 1 &&
           EVP_DecryptUpdate(c, NULL, &n, aad.data, (int)aad.len) == 1 &&
           EVP_DecryptUpdate(c, plain, &n, text, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, TAG,
                               (void *)(text + len)) == 1 &&
           EVP_DecryptFinal_ex(c, plain + len, &n) == 1;
}

int
gh_seal_open(const struct gh_seal *s, struct gh_slice aad,
             struct gh_slice sealed, const struct gh_alloc *a,
             struct gh_slice *plain, struct gh_error *e)
{
    unsigned char *p;
    EVP_CIPHER_CTX *c;
    bool ok;

    if (sealed.len < GH_SEAL_OVERHEAD || sealed.len > INT32_MAX / 2 ||
        aad.len > INT32_MAX / 2 || sealed.data[0] != VERSION ||
        memcmp(sealed.data + 1, s->id, sizeof(s->id)) != 0)
        return gh_error_set(e, GH_ECORRUPT, "sealed bytes: not ours");
    p = gh_get(a, sealed.len - GH_SEAL_OVERHEAD + 1);
    c = EVP_CIPHER_CTX_new();
    if (p == NULL || c == NULL) {
        EVP_CIPHER_CTX_free(c);
        return gh_error_set(e, GH_ENOMEM, "sealed bytes: no memory");
    }
    ok = decrypt(c, s, aad, sealed, p);
    EVP_CIPHER_CTX_free(c);
    if (!ok) {
        OPENSSL_cleanse(p, sealed.len - GH_SEAL_OVERHEAD);
        return gh_error_set(e, GH_ECORRUPT, "sealed bytes: do not open");
    }
    *plain = gh_slice(p, sealed.len - GH_SEAL_OVERHEAD);
    return 0;
}
