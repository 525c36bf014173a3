#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long a sandbox takes to start, all of it on: a launcher of its own in a
private directory, build/bench/sandbox_start as control's uid. Prints one line
of JSON per case, the last one for the whole."""
import json
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.house import BUILD, CONTROL_UID, House  # noqa: E402


def measure(house, kind, runs):
    program = house.dir / "sandbox_start"
    program.write_bytes((BUILD / "bench/sandbox_start").read_bytes())
    program.chmod(0o755)
    done = subprocess.run([program, house.dir, str(runs), kind],
                          capture_output=True, text=True, timeout=110,
                          user=CONTROL_UID, group=CONTROL_UID,
                          extra_groups=[61112])
    if done.returncode:
        sys.exit(done.stderr)
    print(done.stdout.strip(), flush=True)
    return json.loads(done.stdout)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with House() as house:
        cases = {kind: measure(house, kind, runs) for kind in ("veth", "none")}
    print(json.dumps({
        "median_ms": cases["veth"]["median_ms"],
        "p99_ms": cases["veth"]["p99_ms"], "runs": runs,
        "without_link": {k: cases["none"][k] for k in ("median_ms", "p99_ms")},
        "target_ms": 8}))


main()
