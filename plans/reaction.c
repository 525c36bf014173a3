/* SPDX-License-Identifier: Apache-2.0 */
#include "lease.h"

#include <hiredis/hiredis.h>

static const struct {
    const char *word;
    enum gh_reaction reaction;
} reactions[] = {
    {"NOSCRIPT", GH_REACT_LOAD},       {"BUSY", GH_REACT_RETRY},
    {"LOADING", GH_REACT_RETRY},       {"TRYAGAIN", GH_REACT_RETRY},
    {"READONLY", GH_REACT_RECONNECT},  {"MASTERDOWN", GH_REACT_RECONNECT},
    {"UNBLOCKED", GH_REACT_RECONNECT}, {"MOVED", GH_REACT_REDIRECT},
    {"ASK", GH_REACT_REDIRECT},        {"OOM", GH_REACT_DOWN},
    {"MISCONF", GH_REACT_DOWN},        {"NOREPLICAS", GH_REACT_DOWN},
    {"CLUSTERDOWN", GH_REACT_DOWN},    {"NOAUTH", GH_REACT_CONFIG},
    {"NOPERM", GH_REACT_CONFIG},       {"WRONGPASS", GH_REACT_CONFIG},
    {"WRONGTYPE", GH_REACT_BAD},       {"unauthenticated", GH_REACT_CONFIG},
    {"CROSSSLOT", GH_REACT_CONFIG},
};

static enum gh_reaction
by_word(struct gh_slice word)
{
    size_t i;

    for (i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++)
        if (gh_slice_eq_str(word, reactions[i].word))
            return reactions[i].reaction;
    return GH_REACT_BAD;
}

static struct gh_slice
first_word(struct gh_slice s)
{
    size_t n = 0;

    if (s.len > 0 && s.data[0] == '-') /* as Redis 6 hands on from scripts */
        s = gh_slice(s.data + 1, s.len - 1);
    while (n < s.len && s.data[n] != ' ' && s.data[n] != '\r')
        n++;
    return gh_slice(s.data, n);
}

/*
 * Redis before 7 wraps what a script's command answered: "ERR Error running
 * script (call to f_...): @user_script:12: @user_script: 12: -OOM command not
 * allowed ..."; and one that wants a password says to a command of more than
 * ten words "ERR Protocol error: unauthenticated multibulk length". So after
 * ERR the known words are looked for behind each ": ".
 */
static enum gh_reaction
wrapped(struct gh_slice s)
{
    size_t i;

    for (i = 0; i + 2 < s.len; i++) {
        enum gh_reaction r;

        if (s.data[i] != ':' || s.data[i + 1] != ' ')
            continue;
        r = by_word(first_word(gh_slice(s.data + i + 2, s.len - i - 2)));
        if (r != GH_REACT_BAD)
            return r;
    }
    return GH_REACT_BAD;
}

enum gh_reaction
gh_reaction_of_error(struct gh_slice text)
{
    struct gh_slice word = first_word(text);

    if (gh_slice_eq_str(word, "ERR"))
        return wrapped(text);
    return by_word(word);
}

enum gh_reaction
gh_reaction_of(const struct redisReply *r)
{
    size_t i;

    if (r == NULL)
        return GH_REACT_BAD;
    if (r->type == REDIS_REPLY_ERROR)
        return gh_reaction_of_error(gh_slice(r->str, (size_t)r->len));
    if (r->type != REDIS_REPLY_ARRAY)
        return GH_REACT_NONE;
    /* our scripts answer flat arrays of integers; an error inside one is a
     * failure too, and anything nested is not ours */
    for (i = 0; i < (size_t)r->elements; i++) {
        if (r->element[i] == NULL || r->element[i]->type == REDIS_REPLY_ARRAY)
            return GH_REACT_BAD;
        if (r->element[i]->type == REDIS_REPLY_ERROR)
            return gh_reaction_of(r->element[i]);
    }
    return GH_REACT_NONE;
}

const char *
gh_reaction_name(enum gh_reaction r)
{
    static const char *const names[] = {
        [GH_REACT_NONE] = "none",         [GH_REACT_LOAD] = "load",
        [GH_REACT_RETRY] = "retry",       [GH_REACT_RECONNECT] = "reconnect",
        [GH_REACT_REDIRECT] = "redirect", [GH_REACT_DOWN] = "down",
        [GH_REACT_CONFIG] = "config",     [GH_REACT_BAD] = "bad",
    };

    return (unsigned)r < sizeof(names) / sizeof(names[0]) ? names[r] : "bad";
}
