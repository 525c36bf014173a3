#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make test: every test of the project, counted.

Builds, then runs the C unit tests, the seeds of the fuzz targets and the
black-box tests; then builds once more with AddressSanitizer and UBSan and runs
unit and black-box tests again. The last line counts them all; what could not
run here is listed with its reason.

  tests/run.py [--only unit,fuzz,box,asan-unit,asan-box] [-k EXPRESSION]
"""
import argparse
import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "build/test"
SEED_SECONDS = 60      # of one fuzz target over its seeds
UNIT_SECONDS = 120     # of one unit test program
BOX_SECONDS = {"box": 8 * 60, "asan-box": 12 * 60}  # of all black-box tests

Result = collections.namedtuple("Result", "phase name outcome text")
PHASES = {}


def phase(name):
    def register(function):
        PHASES[name] = function
        return function
    return register


def jobs():
    return str(os.cpu_count() or 1)


def make(*targets):
    """Builds; a build that fails is a failed test and its output is shown."""
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD", "SAN")}
    done = subprocess.run(["make", "-s", "-j" + jobs(), *targets], cwd=ROOT,
                          env=env, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode == 0, done.stdout[-4000:]


def call(command, env, seconds):
    """(exit status, output); killed and 'timeout' when it takes too long."""
    try:
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env},
                              stdin=subprocess.DEVNULL, timeout=seconds,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as late:
        out = (late.stdout or b"").decode("utf-8", "replace")
        return "timeout", out + f"\nstopped after {seconds} s\n"


# ---- unit tests: cmocka says one line per test

def units(name, build, variables, env):
    good, text = make(*variables, "units")
    if not good:
        yield Result(name, "build", "failed", text)
        return
    for source in sorted((ROOT / "tests/unit").glob("test_*.c")):
        program = build / "unit" / source.stem
        status, out = call([str(program)], env, UNIT_SECONDS)
        # A program's summary names failed tests again: count each once.
        lines = set(re.findall(r"^\[ +(OK|FAILED|SKIPPED) +\] (\w+)$", out,
                               re.M))
        for outcome, test in sorted(lines):
            word = {"OK": "passed", "FAILED": "failed",
                    "SKIPPED": "skipped"}[outcome]
            reason = "the test says so" if word == "skipped" else out
            yield Result(name, f"{program.name}:{test}", word, reason)
        if status != 0 and not any(o == "FAILED" for o, _ in lines):
            yield Result(name, program.name, "failed",
                         f"{out[-3000:]}\nended with {status}")
        elif not lines:
            yield Result(name, program.name, "failed", "ran no test\n" + out)


@phase("unit")
def unit():
    return units("unit", ROOT / "build", [], {})


@phase("asan-unit")
def asan_unit():
    return units("asan-unit", ROOT / "build/asan", ["SAN=1"], {
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})


# ---- fuzz targets, over the inputs that are kept

@phase("fuzz")
def fuzz():
    good, text = make("fuzz")
    if not good:
        yield Result("fuzz", "build", "failed", text)
        return
    for source in sorted((ROOT / "tests/fuzz").glob("fuzz_*.c")):
        seeds = ROOT / "tests/fuzz/seeds" / source.stem[len("fuzz_"):]
        if not seeds.is_dir() or not any(seeds.iterdir()):
            yield Result("fuzz", source.stem, "failed",
                         f"no seeds in {seeds.relative_to(ROOT)}/")
            continue
        status, out = call([str(ROOT / "build/fuzz" / source.stem), "-runs=0",
                            "-detect_leaks=1", "-artifact_prefix=build/fuzz/",
                            str(seeds)], {}, SEED_SECONDS)
        yield Result("fuzz", source.stem,
                     "passed" if status == 0 else "failed", out[-4000:])


# ---- black box: pytest on real nginx, Redis, identity provider, services

@contextlib.contextmanager
def reachable(build):
    """The programs where other users can execute them: a checkout may lie
    below a closed directory (/root), so then it is a copy."""
    if all(p.stat().st_mode & 0o001 for p in build.resolve().parents):
        yield build
        return
    parts = ("obj", "unit", "fuzz", "nginx-src", "test", "asan", "*.a")
    with tempfile.TemporaryDirectory(prefix="gatehouse-build-",
                                     dir="/var/tmp") as place:
        os.chmod(place, 0o755)
        copy = pathlib.Path(place) / build.name
        shutil.copytree(build, copy, ignore=shutil.ignore_patterns(*parts))
        yield copy


def bounded(command, env, seconds):
    """pytest's exit status; one that takes too long is interrupted, so that
    it still tells what it knows."""
    child = subprocess.Popen(command, cwd=ROOT, env=env,
                             stdin=subprocess.DEVNULL)
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(60)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    return f"a stop after {seconds} s"


def box(name, build, variables, options):
    good, text = make(*variables, "all")
    if not good:
        yield Result(name, "build", "failed", text)
        return
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "tests/box", "-q", "-ra",
               "-p", "no:cacheprovider", "--color=no", "--durations=10",
               f"--junitxml={report}", "-o", "junit_family=xunit1", *options]
    if os.geteuid() != 0:  # parts of the product get uids of their own
        command = ["sudo", "--preserve-env=GATEHOUSE_BUILD", *command]
    with reachable(build) as place:
        env = dict(os.environ, GATEHOUSE_BUILD=str(place))
        status = bounded(command, env, BOX_SECONDS[name])
    if not report.exists():
        yield Result(name, "pytest", "failed",
                     f"no report; pytest ended with {status}")
        return
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        title = f"{case.get('classname')}:{case.get('name')}"
        outcome, text = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, text = "failed", child.text or child.get("message")
            elif child.tag == "skipped" and outcome == "passed":
                outcome, text = "skipped", child.get("message") or "no reason"
        yield Result(name, title, outcome, text)
    if status not in (0, 1):
        yield Result(name, "pytest", "failed", f"pytest ended with {status}")


@phase("box")
def box_plain(options=()):
    return box("box", ROOT / "build", [], options)


@phase("asan-box")
def box_asan(options=()):
    return box("asan-box", ROOT / "build/asan", ["SAN=1"], options)


# ---- the whole

def perform(name, options):
    start = time.monotonic()
    print(f"== {name}", flush=True)
    function = PHASES[name]
    results = list(function(options) if name.endswith("box") else function())
    for result in results:
        if result.outcome == "failed" and not name.endswith("box") or \
                result.name in ("build", "pytest"):
            print(f"FAILED {result.name}\n{result.text}", flush=True)
    count = collections.Counter(r.outcome for r in results)
    print(f"== {name}: {count['passed']} passed, {count['failed']} failed, "
          f"{count['skipped']} skipped, {time.monotonic() - start:.0f} s",
          flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="phases, by comma")
    parser.add_argument("-k", help="black-box tests by expression")
    args = parser.parse_args()
    names = [n for n in args.only.split(",") if n] or list(PHASES)
    unknown = set(names) - set(PHASES)
    if unknown:
        parser.error(f"no phase {', '.join(sorted(unknown))}; "
                     f"there are {', '.join(PHASES)}")
    RESULTS.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    results = []
    for name in names:
        results += perform(name, ["-k", args.k] if args.k else [])
    for result in results:
        if result.outcome == "skipped":
            print(f"skipped {result.phase} {result.name}: {result.text}")
    for result in results:
        if result.outcome == "failed":
            print(f"failed  {result.phase} {result.name}")
    count = collections.Counter(r.outcome for r in results)
    print(f"{count['passed']} passed, {count['failed']} failed, "
          f"{count['skipped']} skipped in {time.monotonic() - start:.0f} s")
    return 1 if count["failed"] or not count["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
