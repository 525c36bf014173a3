# SPDX-License-Identifier: Apache-2.0
"""The parts that black-box tests share.

`gate`   one installation for the whole run: 2 workers, Redis, control. A test
         takes a `gate.scene(...)`: API, plan, account, application and key of
         its own, so tests do not meet.
`stack`  makes installations of a test's own, for faults: stack(workers=4).
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.stack import BUILD, MODULE, Stack, sanitized  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("run as root: nginx, control and Redis get uids of "
                    "their own", 2)
    for part in (MODULE, BUILD / "gatehouse-control"):
        if not part.exists():
            pytest.exit("no %s: run make first" % part, 2)


@pytest.fixture(scope="session")
def shared_stack():
    with Stack(workers=2, zone="16m") as stack:
        yield stack


@pytest.fixture
def gate(shared_stack):
    yield shared_stack
    faults = shared_stack.faults_in_logs()
    shared_stack.expected.clear()
    assert not faults, "\n".join(faults[:20])


@pytest.fixture
def stack():
    made = []

    def make(**options):
        made.append(Stack(**options))
        return made[-1].start()

    yield make
    faults = []
    for one in made:
        try:
            one.stop()
        except AssertionError as e:
            faults.append(str(e))
    assert not faults, "\n".join(faults)


@pytest.fixture(scope="session")
def slow_build():
    """How much slower this build may be: sanitizers cost time."""
    return 4 if sanitized() else 1
