/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases: the limiter's talk with the store, as values. This file builds the
 * commands and takes in the replies; the host sends and receives.
 *
 * A connection's first command is always the pulse: it registers the node,
 * counts live hosts and notices that the store was restarted or emptied. Then
 * no grant is made for GH_HOLD_MS by anybody, in which every host re-asserts
 * its cells (gh_lease_sweep() yields them). A host that is not through with
 * that says so with each pulse, and the hold lasts GH_HOLD_MS more from there.
 * So a host must pulse each GH_PULSE_MS and reconnect within GH_PROBE_MS, and
 * has GH_HOLD_MOST holds to tell all.
 *
 *     on connect, then     gh_pulse_command() -> reply -> gh_pulse_apply(): 1
 * means each GH_PULSE_MS     "the store changed"; the sweep yields all again
 *     (one per host:
 *     gh_pulse_claim)
 *     s.scopes[i].lease    gh_lease_begin() == 1: you own the scope's flight
 *                          -> send lease->command -> gh_lease_apply(), or
 *                          gh_lease_fail() for no reply
 *     each GH_SWEEP_MS     gh_lease_sweep(): re-asserts, unspent slices that
 * are (one per host)       needed elsewhere; send each like a lease message on
 * gh_lease_recall(payload), then sweep GH_RECALL_CHANNEL
 *
 * A reply that is lost, late or repeated harms nothing: both sides send
 * absolute totals per node and window, and only raise what they have.
 */
#ifndef GH_LEASE_H
#define GH_LEASE_H

#include "limiter.h"
#include "pack.h"

struct redisReply;

#define GH_FLIGHT_MS 150 /* then a lease under way is taken for dead */
#define GH_HOLD_MS 1000  /* no grants after the store changed */
#define GH_HOLD_MOST 10  /* so many GH_HOLD_MS at most, whoever still tells */
#define GH_PROBE_MS 700  /* longest pause between tries to connect */
#define GH_PULSE_MS 250
#define GH_SWEEP_MS 100
#define GH_HOST_LIVE_MS 3000
#define GH_RECALL_CHANNEL "gh:recall"

/* ---- scripts ---- */

struct gh_script {
    const char *text;
    char sha[41]; /* of SHA-1, lower-case hex: EVALSHA's name for it */
};

struct gh_scripts { /* one per process, kept by the host */
    struct gh_script lease, pulse, meter;
    const char *calendar; /* the windows in Lua, for tests */
    bool cluster; /* set by the host: each command may touch one slot only */
};

void gh_scripts_init(struct gh_scripts *s);

/* Appends one command in RESP (arrays of bulk strings). */
void gh_resp_command(struct gh_buffer *out, const struct gh_slice *argv,
                     size_t argc);
/* SCRIPT LOAD of all three, as three commands: after NOSCRIPT, or on connect.
 */
#define GH_SCRIPTS_N 3
void gh_scripts_load(const struct gh_scripts *s, struct gh_buffer *out);

/* ---- what an error reply asks for ---- */

enum gh_reaction {
    GH_REACT_NONE,  /* no error */
    GH_REACT_LOAD,  /* NOSCRIPT: load the scripts, send again once */
    GH_REACT_RETRY, /* BUSY, LOADING, TRYAGAIN: soon again, counts as failure */
    GH_REACT_RECONNECT, /* READONLY, MASTERDOWN: another master; connect anew */
    GH_REACT_REDIRECT,  /* MOVED, ASK: the slot lives elsewhere */
    GH_REACT_DOWN,   /* OOM, MISCONF, NOREPLICAS, CLUSTERDOWN: store is down */
    GH_REACT_CONFIG, /* NOAUTH, NOPERM, WRONGPASS: an admin must act; down */
    GH_REACT_BAD /* WRONGTYPE, other errors, wrong shape: give up this one */
};

enum gh_reaction gh_reaction_of(const struct redisReply *r);
/* Of an error's text, "-" not included: "NOSCRIPT No matching script". */
enum gh_reaction gh_reaction_of_error(struct gh_slice text);
const char *gh_reaction_name(enum gh_reaction r);

/* ---- pulse ---- */

/* True for one worker of the host per GH_PULSE_MS. */
bool gh_pulse_claim(struct gh_limiter *l, uint64_t mono_ms);
void gh_pulse_command(const struct gh_limiter *l, const struct gh_scripts *s,
                      struct gh_buffer *out);
/* 1: the store is another or lost data: all cells will be re-asserted. 0. -1:
 * error reply or wrong shape. asked_ms: when the command was written. */
int gh_pulse_apply(struct gh_limiter *l, uint64_t asked_ms,
                   const struct redisReply *r);

/* ---- one lease ---- */

#define GH_LEASE_LIMITS 64 /* limits of one scope */

struct gh_lease { /* caller's memory, kept till applied or failed */
    uint32_t scope, gen;
    uint64_t token;    /* of the flight */
    uint64_t asked_ms; /* on the monotonic clock */
    uint64_t epoch;    /* of the store, as known when it was asked */
    uint32_t round;    /* of re-assertion that this call fulfils */
    uint16_t n;
    struct {
        uint32_t cell, seq, window;
        uint32_t want; /* the most that may be granted */
        bool open;     /* totals of an open window were told */
        uint64_t rule;
    } at[GH_LEASE_LIMITS];
};

/*
 * Claims the scope's flight and appends the command for all its limits. mono_ms
 * is the time of writing it (the window's milliseconds count from there). 1:
 * send it. 0: another worker (or this one) is at it, or it is not needed.
 */
int gh_lease_begin(struct gh_limiter *l, const struct gh_scripts *scripts,
                   const struct gh_spend *s, size_t scope, uint64_t mono_ms,
                   struct gh_lease *out, struct gh_buffer *command);

/* 0, or -1: an error reply or wrong shape (see gh_reaction_of). Ends the flight
 * either way; waiters try again. */
int gh_lease_apply(struct gh_limiter *l, struct gh_lease *lease,
                   uint64_t mono_ms, const struct redisReply *r);
/* No reply came (timeout, connection lost). Ends the flight. */
void gh_lease_fail(struct gh_limiter *l, struct gh_lease *lease);

/* ---- what is to be told to the store without a request ---- */

/* One worker of the host per GH_SWEEP_MS. */
bool gh_sweep_claim(struct gh_limiter *l, uint64_t mono_ms);

#define GH_CURSOR_END UINT64_MAX

/*
 * The next scope that must be re-asserted or holds unspent what others need.
 * 1: send *command, apply its reply as a lease, call again. 0: `budget` slots
 * of the table were looked at (go on in the next turn of the loop), or the
 * round is over: then *cursor is GH_CURSOR_END. It starts at 0.
 */
int gh_lease_sweep(struct gh_limiter *l, const struct gh_scripts *scripts,
                   uint64_t mono_ms, uint64_t *cursor, size_t budget,
                   struct gh_lease *out, struct gh_buffer *command);

/* A message of GH_RECALL_CHANNEL, "a:NAME": what this host holds of it unspent
 * goes back with the next sweep. Unknown or malformed: ignored. */
void gh_lease_recall(struct gh_limiter *l, struct gh_slice payload);

/* The same at once: 1: send *command, apply its reply as a lease. 0: nothing is
 * held here, or another worker gives it back. Costs one look-up, not a sweep.
 */
int gh_lease_give_back(struct gh_limiter *l, const struct gh_scripts *scripts,
                       struct gh_slice payload, uint64_t mono_ms,
                       struct gh_lease *out, struct gh_buffer *command);

#endif
