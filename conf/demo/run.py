#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make run: brings up a private, complete system and shows it working.

The story is the table STORY below, told line by line; its parts are in
demo_show.py (what is called and what must come back), demo_stage.py (where the
system lives) and demo_end.py (how it ends). HTTP_PORT, HTTPS_PORT and
GATEHOUSE_DIR say where; BUILD and --built run what was built before.
"""
import os
import sys

import demo_end
import demo_show
from demo_stage import Stage
from demo_talk import Problem, Steps, line

# (what it is called, who does it, whether the rest makes no sense without)
STORY = (
    ("build", Stage.make, True),
    ("end what is left of an earlier system", demo_end.clear, True),
    ("ports", Stage.ports_free, True),
    ("directory", Stage.prepare, True),
    ("processes", Stage.up, True),
    ("apply conf/demo/gatehouse.yaml.in", demo_show.apply, True),
    ("services", demo_show.services, True),
    ("the gate", demo_show.gate_open, True),
    ("the identity provider", demo_show.provider_known, False),
    ("no key", demo_show.no_key, False),
    ("a good key", demo_show.good_key, False),
    ("a burst", demo_show.burst, False),
    ("a token from the identity provider", demo_show.token, False),
    ("a browser logs in", demo_show.login, False),
    ("an intruder", demo_show.intruder, False),
    ("Redis is killed", demo_show.redis_killed, False),
    ("Prometheus", demo_show.prometheus, False),
)


def as_root():
    """Sandboxes need root: asks sudo after the build, with the same words."""
    if os.geteuid() == 0:
        return
    kept = [f"{name}={os.environ[name]}" for name in
            ("HTTP_PORT", "HTTPS_PORT", "GATEHOUSE_DIR", "BUILD", "SAN")
            if os.environ.get(name)]
    try:
        os.execvp("sudo", ["sudo", *kept, sys.executable, *sys.argv,
                           "--built"])
    except FileNotFoundError:
        raise Problem("not root, and there is no sudo",
                      "run `make run` as root") from None


def main():
    steps = Steps()
    try:
        stage = Stage()
        for title, function, needed in STORY:
            if function is Stage.make and "--built" in sys.argv:
                continue
            if not steps(title, function, stage) and needed:
                break
            if function is Stage.make:
                as_root()
        else:
            line(demo_show.next_things(stage))
    except Problem as problem:
        line(f"FAILED {problem.what}")
        for remedy in problem.remedies:
            line(f"       try: {remedy}")
        return 1
    if steps.failed:
        line(f"{steps.failed} of {steps.count} steps failed, "
             f"{steps.seconds():.0f} s. `make stop` ends the system.")
        return 1
    line(f"All {steps.count} steps in {steps.seconds():.0f} s. "
         "`make stop` ends the system.")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        line("\nstopped half way; `make stop` ends what is there")
        sys.exit(130)
