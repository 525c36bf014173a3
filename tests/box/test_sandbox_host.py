# SPDX-License-Identifier: Apache-2.0
"""What a service must not be able to make of the host it runs on: files of the
host's root, work outside of its limits, a shim that does its bidding."""
import os
import pathlib
import shutil

import pytest

from lib.house import PYTHON, House
from lib.process import wait_for

ROOTS = pathlib.Path("/var/tmp")


@pytest.fixture(scope="module")
def image():
    """A root of root's files that borrows the host's programs."""
    root = ROOTS / ("gatehouse-image-%d" % os.getpid())
    for d in ("usr", "proc", "dev", "tmp", "run", "etc", "sys"):
        (root / d).mkdir(parents=True)
        (root / d).chmod(0o755)
    root.chmod(0o755)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to("usr/" + name)
    (root / "etc/hello").write_text("from the image\n")
    try:
        yield root
    finally:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def house(image):
    with House(["--allow-path", image]) as h:
        yield h


# ---- the root

PLANT = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, call):
    try:
        call()
        print(name, "done", flush=True)
    except OSError as e:
        print(name, e.strerror, flush=True)
print(open("/etc/hello").read(), end="", flush=True)
tried("create", lambda: os.close(os.open("/planted", os.O_CREAT | os.O_RDWR)))
tried("setuid", lambda: os.chmod("/etc/hello", 0o4755))
tried("write", lambda: open("/etc/hello", "a"))
tried("link", lambda: os.link("/etc/hello", "/etc/again"))
print("end", flush=True)
"""


def test_uid_0_of_a_service_writes_nothing_of_the_hosts(house, image):
    """Its uid 0 is shown root's files: one that it could write would be a
    setuid program of root for everybody else on the host."""
    house.register("evil", [PYTHON, "-c", PLANT], user="0:0", restart="no",
                   cap_add=["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"],
                   volumes=["/usr:/usr:ro"],
                   x={"listen": "none", "rootfs": str(image),
                      "landlock": False})
    text = wait_for("it tried", lambda: house.text("evil")
                    if "end" in house.text("evil") else None)
    lines = text.splitlines()
    assert lines[0] == "from the image"
    assert [t.split(" ", 1)[1] for t in lines[1:-1]] == \
        ["Read-only file system"] * 4
    assert not (image / "planted").exists()
    assert (image / "etc/hello").stat().st_mode & 0o7777 == 0o644


@pytest.mark.parametrize("path", ["/usr", "/usr/share", "/etc/ssl"])
def test_the_hosts_own_programs_are_no_rootfs(house, path):
    """Only what --allow-path names is one."""
    name = "host" + path.replace("/", "-")
    house.register(name, ["/bin/true"], x={"listen": "none", "rootfs": path})
    run = house.wait_state(name, "restarting")
    assert "policy: rootfs" in run["instances"][0]["fault"]
    house.remove(name)
