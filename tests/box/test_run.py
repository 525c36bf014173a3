# SPDX-License-Identifier: Apache-2.0
"""The first command: `make run` shows a whole system, twice, and after it was
killed; `make stop` leaves nothing. Each test goes on where the one before it
left the system."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lib.process import free_port
from lib.stack import BUILD, ROOT, sanitized

sys.path.insert(0, str(ROOT / "conf/demo"))

import demo_end  # noqa: E402
from demo_stage import Stage  # noqa: E402

pytestmark = pytest.mark.skipif(
    sanitized(), reason="nginx of the demo is not preloaded with libasan")

RUN_SECONDS = 120


class Demo:
    def __init__(self, directory):
        self.env = {"GATEHOUSE_DIR": str(directory), "BUILD": str(BUILD),
                    "HTTP_PORT": str(free_port()),
                    "HTTPS_PORT": str(free_port())}
        self.dir = directory

    def do(self, script):
        return subprocess.run(
            [sys.executable, "-B", ROOT / "conf/demo" / script, "--built"],
            env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=RUN_SECONDS)

    def stage(self):
        old = {k: os.environ.get(k) for k in self.env}
        os.environ.update(self.env)
        try:
            stage = Stage()
            stage.dir = pathlib.Path(self.dir).resolve()
            return stage
        finally:
            for key, value in old.items():
                if value is None:
                    del os.environ[key]
                else:
                    os.environ[key] = value


@pytest.fixture(scope="module")
def demo():
    directory = pathlib.Path(f"/var/tmp/gatehouse-demo-{os.getpid()}")
    one = Demo(directory)
    yield one
    one.do("stop.py")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def first(demo):
    done = demo.do("run.py")
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_first_run_shows_it_working(first):
    for step in ("no key", "a good key", "a burst", "a token", "a browser",
                 "an intruder", "Redis is killed", "Prometheus"):
        assert re.search(rf"^ok +[0-9.]+ s +{step}", first, re.M), step
    assert "401 Unauthorized" in first and "429 Too Many" in first
    assert "Retry-After:" in first and "RateLimit:" in first
    assert "To try next" in first


def test_it_takes_less_than_a_minute(first):
    assert int(re.search(r"^All \d+ steps in (\d+) s", first, re.M)[1]) < 60


def test_a_person_s_own_items_survive_the_next_run(demo, first):
    tool = [BUILD / "gatehouse", "--dir", demo.dir]
    for args in (["account", "set", "mine", "description=of my own"],
                 ["service", "set", "own", "url=http://127.0.0.1:9"]):
        done = subprocess.run([*tool, *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    again = demo.do("run.py")
    assert again.returncode == 0, again.stdout
    shown = subprocess.run([*tool, "account", "show", "mine"],
                           capture_output=True, text=True)
    assert shown.returncode == 0 and "of my own" in shown.stdout


def test_a_system_that_was_killed_comes_back(demo, first):
    stage = demo.stage()
    for pid in demo_end.processes(stage):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    again = demo.do("run.py")
    assert again.returncode == 0, again.stdout


def test_a_taken_port_says_who_has_it(demo, first):
    other = Demo(pathlib.Path(str(demo.dir) + "-other"))
    other.env["HTTP_PORT"] = demo.env["HTTP_PORT"]
    done = other.do("run.py")
    assert done.returncode == 1
    assert re.search(r"taken by nginx \(pid \d+\)", done.stdout), done.stdout
    assert "try: make run HTTP_PORT=" in done.stdout


def test_a_second_system_lives_beside_it(demo, first):
    other = Demo(pathlib.Path(str(demo.dir) + "-beside"))
    try:
        done = other.do("run.py")
        assert done.returncode == 0, done.stdout
    finally:
        ended = other.do("stop.py")
        shutil.rmtree(other.dir, ignore_errors=True)
    assert ended.returncode == 0, ended.stdout
    status = subprocess.run(
        [BUILD / "gatehouse", "--dir", demo.dir, "-o", "json", "service",
         "show", "httpbin"], capture_output=True, text=True)
    assert '"state": "up"' in status.stdout, status.stderr


def test_stop_leaves_nothing(demo, first):
    done = demo.do("stop.py")
    assert done.returncode == 0, done.stdout
    assert demo_end.remains(demo.stage()) == []
    assert demo.do("stop.py").returncode == 0, "stopping twice"
