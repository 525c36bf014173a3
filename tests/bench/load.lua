-- SPDX-License-Identifier: Apache-2.0
-- wrk's load. LOAD_FILE: one header line ("Name: value") per caller; each
-- request takes a random one, or (LOAD_ORDER=walk) the next. LOAD_FILE unset:
-- a fresh random key each time. LOAD_PATH: what is asked for.
local requests = {}
local path = os.getenv("LOAD_PATH") or "/"
local walk = os.getenv("LOAD_ORDER") == "walk"
local at = 0

function init(args)
    math.randomseed(os.time())
    local file = os.getenv("LOAD_FILE")
    if not file then return end
    for line in io.lines(file) do
        local name, value = line:match("^([^:]+): (.*)$")
        requests[#requests + 1] = wrk.format("GET", path, {[name] = value})
    end
end

function request()
    local n = #requests
    if n == 0 then
        local key = string.format("%08x%08x%08x%08x", math.random(0, 2^31),
            math.random(0, 2^31), math.random(0, 2^31), math.random(0, 2^31))
        return wrk.format("GET", path, {["X-API-Key"] = key})
    end
    if walk then
        at = at % n + 1
        return requests[at]
    end
    return requests[math.random(n)]
end

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        'JSON {"requests": %d, "seconds": %.6f, "refused": %d, '
        .. '"errors": %d, "p50_us": %d, "p99_us": %d}\n',
        summary.requests, summary.duration / 1e6, e.status,
        e.connect + e.read + e.write + e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
