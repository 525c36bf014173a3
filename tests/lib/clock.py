# SPDX-License-Identifier: Apache-2.0
"""The calendar's windows: tests begin where enough of one is left."""
import time

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def left(period, now=None):
    """Seconds to the end of the running UTC window."""
    now = time.time() if now is None else now
    length = SECONDS[period]
    return length - now % length


def room(period, seconds):
    """Returns when at least so much of a window lies ahead; the wait ends
    with the window, which no event announces."""
    assert seconds < SECONDS[period]
    while left(period) < seconds:
        time.sleep(min(left(period), 0.5) + 0.001)
    return left(period)


def windows(period, start, end):
    """How many windows [start, end] touches."""
    length = SECONDS[period]
    return int(end // length) - int(start // length) + 1
