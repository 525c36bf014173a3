/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The constant scripts. They take what varies through KEYS and ARGV only, touch
 * no key that is not in KEYS, and every number in them is an integer below
 * 2^53.
 */
#include "lease.h"

#include <openssl/sha.h>

#include "encode.h"

/*
 * window(p, t): start and end in ms of the UTC calendar window of period p
 * (enum gh_period) that holds t (ms); the same as gh_period_window(). No end
 * for "ever".
 */
#define CALENDAR                                                               \
    "local DAY = 86400000\n"                                                   \
    "local fixed = {[0]=1000, [1]=60000, [2]=3600000, [3]=DAY}\n"              \
    "local floor = math.floor\n"                                               \
    "local function days(y, m)\n"                                              \
    "  if m <= 2 then y = y - 1 end\n"                                         \
    "  local era = floor(y / 400)\n"                                           \
    "  local yoe = y - era * 400\n"                                            \
    "  local mp = m > 2 and m - 3 or m + 9\n"                                  \
    "  local doy = floor((153 * mp + 2) / 5)\n"                                \
    "  return era * 146097 + yoe * 365 + floor(yoe / 4)\n"                     \
    "    - floor(yoe / 100) + doy - 719468\n"                                  \
    "end\n"                                                                    \
    "local function civil(d)\n"                                                \
    "  local z = d + 719468\n"                                                 \
    "  local era = floor(z / 146097)\n"                                        \
    "  local doe = z - era * 146097\n"                                         \
    "  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524)\n"      \
    "    - floor(doe / 146096)) / 365)\n"                                      \
    "  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))\n"    \
    "  local mp = floor((5 * doy + 2) / 153)\n"                                \
    "  local m = mp < 10 and mp + 3 or mp - 9\n"                               \
    "  return yoe + era * 400 + (m <= 2 and 1 or 0), m\n"                      \
    "end\n"                                                                    \
    "local function window(p, t)\n"                                            \
    "  local len = fixed[p]\n"                                                 \
    "  if len then return t - t % len, t - t % len + len end\n"                \
    "  local d = floor(t / DAY)\n"                                             \
    "  if p == 4 then\n"                                                       \
    "    local monday = d - (d + 3) % 7\n"                                     \
    "    return math.max(monday, 0) * DAY, (monday + 7) * DAY\n"               \
    "  elseif p == 5 then\n"                                                   \
    "    local y, m = civil(d)\n"                                              \
    "    local e = m == 12 and days(y + 1, 1) or days(y, m + 1)\n"             \
    "    return days(y, m) * DAY, e * DAY\n"                                   \
    "  elseif p == 6 then\n"                                                   \
    "    local y = civil(d)\n"                                                 \
    "    return days(y, 1) * DAY, days(y + 1, 1) * DAY\n"                      \
    "  end\n"                                                                  \
    "  return 0, nil\n"                                                        \
    "end\n"

#define NOW                                                                    \
    "local t = redis.call('TIME')\n"                                           \
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"

/*
 * The epoch is a hash: at = its begin, which is its name too; till = how long
 * its hold lasts if more than `hold` from then on. Each sign in it that a host
 * has still to tell something makes the hold last at least so long from there,
 * but no more than GH_HOLD_MOST times all in all, whoever goes on telling.
 */
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define HOLD                                                                   \
    "local function hold_of(key, now, hold)\n"                                 \
    "  local e = redis.call('HMGET', key, 'at', 'till')\n"                     \
    "  local at, till = tonumber(e[1] or '0'), tonumber(e[2] or '0')\n"        \
    "  if at == 0 or at > now then return 0, 0 end\n"                          \
    "  till = math.max(at + hold, till)\n"                                     \
    "  return at, math.max(0, math.min(till - now, hold))\n"                   \
    "end\n"                                                                    \
    "local function begin(key, at)\n"                                          \
    "  redis.call('HSET', key, 'at', string.format('%.0f', at))\n"             \
    "  redis.call('HDEL', key, 'till')\n"                                      \
    "  return at\n"                                                            \
    "end\n"                                                                    \
    "local function prolong(key, now, hold, at)\n"                             \
    "  local till = math.min(now, at + hold * (" TEXT(                         \
        GH_HOLD_MOST) " - 1)) + hold\n"                                        \
                      "  redis.call('HSET', key, 'till', "                     \
                      "string.format('%.0f', till))\n"                         \
                      "  return math.max(0, till - now)\n"                     \
                      "end\n"

/*
 * KEYS: a hash per limit; then, unless in a cluster, the store's epoch.
 * ARGV: node, live hosts, hold in ms, number of limits, the scope "a:NAME";
 * then for each limit 12: period, value, want, need, window (start in seconds),
 * place and sequence of the cell, and its totals in that window: granted, given
 * back, extra, spent, refused.
 *
 * A limit's hash: w = window, adj = added by top-ups and resets, and for each
 * life of a cell NODE:PLACE:SEQUENCE = its five totals. Sequences rise with
 * each window and each reuse, so a cell that forgot what it had never counts it
 * again.
 *
 * Reply: now, epoch, ms of hold left, lost (1: a total here was lower than the
 * node's own), then for each limit 5: window, ms to its end (-1: none), granted
 * to this life of the cell, free, unspent by others.
 */
static const char lease_text[] = CALENDAR NOW HOLD
    "local node, hosts = ARGV[1], tonumber(ARGV[2])\n"
    "local hold, n = tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local epoch_key, epoch, held, lost = KEYS[n + 1], 0, 0, 0\n"
    "if epoch_key then\n"
    "  epoch, held = hold_of(epoch_key, now, hold)\n"
    "  if epoch == 0 then epoch, held = begin(epoch_key, now), hold end\n"
    "end\n"
    "local L = {}\n"
    "for i = 1, n do\n"
    "  local b = 5 + (i - 1) * 12\n"
    "  local a = {}\n"
    "  for j = 1, 12 do a[j] = tonumber(ARGV[b + j]) end\n"
    "  local key, own_w = KEYS[i], a[5]\n"
    "  local start, stop = window(a[1], now)\n"
    "  local w = start / 1000\n"
    "  local had = tonumber(redis.call('HGET', key, 'w') or '-1')\n"
    /* the clock went back, or the data of the window was lost: stay in the
     * window that was, as long as that is no nonsense */
    "  local far = now / 1000 + 3600\n"
    "  if had > w and had <= far then w = had end\n"
    "  if own_w > w and own_w <= far and a[8] > 0 then w = own_w end\n"
    "  if w * 1000 ~= start then start, stop = window(a[1], w * 1000) end\n"
    "  if had ~= w then\n"
    "    if had >= 0 then redis.call('DEL', key) end\n"
    "    redis.call('HSET', key, 'w', string.format('%.0f', w))\n"
    "  end\n"
    "  local seq, told = a[7], {a[8], a[9], a[10], a[11], a[12]}\n"
    "  if own_w ~= w then seq, told = (seq + 1) % 4294967296, {0, 0, 0, 0, 0}"
    " end\n"
    "  local field = string.format('%s:%.0f:%.0f', node, a[6], seq)\n"
    "  local sum, unspent, adj, mine, was = 0, 0, 0, {0, 0, 0, 0, 0}, ''\n"
    "  local h = redis.call('HGETALL', key)\n"
    "  for j = 1, #h, 2 do\n"
    "    local f, v = h[j], h[j + 1]\n"
    "    if f == field then\n"
    "      was = v\n"
    "      local k = 0\n"
    "      for x in string.gmatch(v, '%d+') do\n"
    "        k = k + 1\n"
    "        mine[k] = tonumber(x)\n"
    "      end\n"
    "    elseif f == 'adj' then\n"
    "      adj = tonumber(v)\n"
    "    elseif f ~= 'w' then\n"
    "      local g, b2, x, s =\n"
    "        string.match(v, '^(%d+) (%d+) (%d+) (%d+)')\n"
    "      sum = sum + g - b2 + x\n"
    "      if string.sub(f, 1, #node) ~= node then\n"
    "        unspent = unspent + math.max(0, g - b2 - s)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "  if told[1] > mine[1] then lost = 1 end\n"
    "  for j = 1, 5 do mine[j] = math.max(mine[j], told[j]) end\n"
    "  local free = a[2] + adj - sum - (mine[1] - mine[2] + mine[3])\n"
    "  L[i] = {a = a, w = w, stop = stop, field = field, mine = mine,\n"
    "    was = was, free = free, unspent = unspent}\n"
    "end\n"
    "if lost == 1 and epoch_key and held > 0 then\n"
    "  held = prolong(epoch_key, now, hold, epoch)\n"
    "elseif lost == 1 then\n"
    "  held = hold\n"
    "  if epoch_key then epoch = begin(epoch_key, now) end\n"
    "end\n"
    "local reply, recall = {now, epoch, held, lost}, false\n"
    "for i = 1, n do\n"
    "  local x = L[i]\n"
    "  local m, want, need = x.mine, x.a[3], x.a[4]\n"
    "  if held == 0 and want > 0 then\n"
    "    if x.free > 0 then\n"
    "      local share = math.max(1, floor(x.free / (2 * hosts)))\n"
    "      local grant = math.max(need, math.min(want, share))\n"
    "      grant = math.min(grant, x.free)\n"
    "      m[1] = m[1] + grant\n"
    "      x.free = x.free - grant\n"
    "    end\n"
    "    if x.free <= 0 and x.unspent > 0 then recall = true end\n"
    "  end\n"
    "  local is = string.format('%.0f %.0f %.0f %.0f %.0f',\n"
    "    m[1], m[2], m[3], m[4], m[5])\n"
    "  if is ~= x.was then redis.call('HSET', KEYS[i], x.field, is) end\n"
    "  local rest = -1\n"
    "  if x.stop then\n"
    "    rest = x.stop - now\n"
    "    redis.call('PEXPIREAT', KEYS[i],\n"
    "      string.format('%.0f', x.stop + 60000))\n"
    "  end\n"
    "  local k = #reply\n"
    "  reply[k + 1], reply[k + 2], reply[k + 3] = x.w, rest, m[1]\n"
    "  reply[k + 4], reply[k + 5] = math.max(0, x.free), x.unspent\n"
    "end\n"
    "if recall then redis.pcall('PUBLISH', 'gh:recall', ARGV[5]) end\n"
    "return reply\n";

/*
 * KEYS: live nodes (sorted set by ms), the epoch. ARGV: node, ms a host counts
 * as live, hold in ms, the epoch that the host knows (0: it never talked to a
 * store), telling (1: it has not told all in that one). A store that started
 * anew has another run id, one that lost its data has no epoch: either begins a
 * new epoch, in which nobody is granted anything for the hold. A host that
 * comes in it or is still telling prolongs it. Only when store and host are
 * both new, so that nobody is known who could have anything to tell, there is
 * no hold. Reply: now, epoch, live hosts, ms of hold left.
 */
static const char pulse_text[] = NOW HOLD
    "local info = redis.pcall('INFO', 'server')\n"
    "local id = type(info) == 'string' and\n"
    "  string.match(info, 'run_id:(%w+)') or 'unknown'\n"
    "local hold, known = tonumber(ARGV[3]), tonumber(ARGV[4])\n"
    "local at, held = hold_of(KEYS[2], now, hold)\n"
    "if at == 0 or redis.call('HGET', KEYS[2], 'id') ~= id then\n"
    "  local new = known == 0 and redis.call('EXISTS', KEYS[1], KEYS[2]) == 0\n"
    "  held = new and 0 or hold\n"
    "  at = begin(KEYS[2], now - hold + held)\n"
    "  redis.call('HSET', KEYS[2], 'id', id)\n"
    "elseif held > 0 and known ~= 0 and (known ~= at or ARGV[5] == '1') then\n"
    "  held = prolong(KEYS[2], now, hold, at)\n"
    "end\n"
    "redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])\n"
    "redis.call('ZADD', KEYS[1], now, ARGV[1])\n"
    "return {now, at, redis.call('ZCARD', KEYS[1]), held}\n";

/*
 * KEYS: the hash of an hour's usage. ARGV: seconds to keep it, then field and
 * total in turn. Totals only rise, so a late or repeated flush changes nothing.
 */
static const char meter_text[] =
    "for i = 2, #ARGV, 2 do\n"
    "  local had = tonumber(redis.call('HGET', KEYS[1], ARGV[i]) or '-1')\n"
    "  if tonumber(ARGV[i + 1]) > had then\n"
    "    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])\n"
    "  end\n"
    "end\n"
    "redis.call('EXPIRE', KEYS[1], ARGV[1])\n"
    "return 1\n";

static struct gh_script
script(const char *text)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    struct gh_script s = {.text = text};

    SHA1((const unsigned char *)text, strlen(text), digest);
    gh_hex_encode(gh_slice(digest, sizeof(digest)), s.sha);
    return s;
}

void
gh_scripts_init(struct gh_scripts *s)
{
    *s = (struct gh_scripts){.lease = script(lease_text),
                             .pulse = script(pulse_text),
                             .meter = script(meter_text),
                             .calendar = CALENDAR};
}

void
gh_resp_command(struct gh_buffer *out, const struct gh_slice *argv, size_t argc)
{
    size_t i;

    gh_buffer_printf(out, "*%zu\r\n", argc);
    for (i = 0; i < argc; i++) {
        gh_buffer_printf(out, "$%zu\r\n", argv[i].len);
        gh_buffer_append(out, argv[i]);
        gh_buffer_text(out, "\r\n");
    }
}

void
gh_scripts_load(const struct gh_scripts *s, struct gh_buffer *out)
{
    const char *const texts[GH_SCRIPTS_N] = {s->lease.text, s->pulse.text,
                                             s->meter.text};
    size_t i;

    for (i = 0; i < GH_SCRIPTS_N; i++) {
        const struct gh_slice argv[] = {gh_slice_str("SCRIPT"),
                                        gh_slice_str("LOAD"),
                                        gh_slice_str(texts[i])};

        gh_resp_command(out, argv, 3);
    }
}
