/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors as values. A function that can fail returns -1 and fills a
 * `struct gh_error` that its caller owns; on success the error is untouched.
 * The message reads from the outermost step in: "start billing: cgroup: no
 * space left". Texts never hold a secret: whoever sets one sees to it.
 */
#ifndef GH_ERROR_H
#define GH_ERROR_H

enum gh_code {
    GH_OK = 0,
    GH_EINVAL,       /* the input is wrong: line and column may be set */
    GH_ETOOBIG,      /* the input passes a cap of size, depth or count */
    GH_ENOTFOUND,    /* no such thing */
    GH_EEXIST,       /* it exists already, or changed meanwhile */
    GH_EDENIED,      /* the caller or the policy does not allow it */
    GH_EUNAVAILABLE, /* a peer is away or too slow: try again */
    GH_EIO,          /* the system failed: errno is in `sys` */
    GH_ENOMEM,       /* out of memory or of room */
    GH_ECORRUPT,     /* stored data does not decode */
};

#define GH_ERROR_MESSAGE 400

struct gh_error {
    enum gh_code code;
    int sys;         /* errno, or 0 */
    unsigned line;   /* 1-based place in the input, 0 when unknown */
    unsigned column; /* 1-based, in bytes */
    char message[GH_ERROR_MESSAGE];
};

/* Sets code and message (cut to fit). `e` may be NULL. Returns -1. */
int gh_error_set(struct gh_error *e, enum gh_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: GH_EIO, `sys`, and ": strerror". */
int gh_error_sys(struct gh_error *e, int sys, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "text: " before the message that is there. Returns -1. */
int gh_error_wrap(struct gh_error *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Marks where in the input the fault is. Returns -1. */
int gh_error_at(struct gh_error *e, unsigned line, unsigned column);

/* The code's stable name for machines: "invalid", "not_found", ... */
const char *gh_code_name(enum gh_code code);

#endif
