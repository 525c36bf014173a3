#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make stop: ends the private system and shows that nothing is left of it."""
import os
import sys

import demo_end
from demo_stage import Stage
from demo_talk import Problem, Steps, line


def main():
    if os.geteuid() != 0:
        try:
            os.execvp("sudo", ["sudo", *(
                f"{n}={os.environ[n]}" for n in ("GATEHOUSE_DIR", "BUILD")
                if os.environ.get(n)), sys.executable, *sys.argv])
        except FileNotFoundError:
            line("FAILED not root, and there is no sudo")
            return 1
    steps = Steps()
    try:
        stage = Stage()
    except Problem as problem:
        line(f"FAILED {problem.what}")
        return 1
    steps("ask it to end", demo_end.ask, stage)
    steps("take away what is left", demo_end.sweep, stage)
    steps("nothing is left", demo_end.verify, stage)
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main())
