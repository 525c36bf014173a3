# SPDX-License-Identifier: Apache-2.0
"""How a private system ends: asked first, then swept, then shown to be gone.

Also what `make run` does about a system that was killed half way. Only what
belongs to this directory is touched: its processes are those that were started
with it, its cgroups, links and packet rules are those that the launcher marked
with it.
"""
import json
import os
import pathlib
import re
import signal
import subprocess

from demo_stage import read
from demo_talk import Problem, until

CGROUPS = pathlib.Path("/sys/fs/cgroup")


def clear(stage, say):
    """Before a start: whatever runs from this directory is ended."""
    if not stage.dir.exists():
        return "none"
    stage.dir = stage.dir.resolve()
    if not remains(stage):
        return "none"
    ask(stage, say)
    sweep(stage, say)
    return verify(stage, say)


def ask(stage, say):
    """SIGTERM to gatehoused: it stops services, nginx, daemons, launcher."""
    if not stage.dir.exists():
        return "there is none"
    stage.dir = stage.dir.resolve()
    pid = stage.running()
    if not pid:
        return "gatehoused does not run"
    os.kill(pid, signal.SIGTERM)
    try:
        until(20, "gatehoused", lambda: not alive(pid))
    except Problem:
        os.kill(pid, signal.SIGKILL)
        return "it did not, and was killed"
    return f"gatehoused (pid {pid}) ended"


def sweep(stage, say):
    """Ends and removes what a killed system left."""
    count = 0
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = processes(stage)
        count = max(count, len(left))
        for pid in left:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if left:
            try:
                until(5, "processes", lambda: not processes(stage))
            except Problem:
                continue
    removed = remove_groups(stage) + remove_network(stage) + \
        unmount(stage) + unclaim(stage)
    return f"{count} processes, {removed} other things" \
        if count or removed else "nothing was"


def verify(stage, say):
    left = remains(stage)
    if left:
        for thing in left[:20]:
            say(thing)
        raise Problem(f"{len(left)} things are left", "make stop, once more")
    (stage.dir / "block").unlink(missing_ok=True)
    return "no process, cgroup, mount, namespace, link or packet rule"


def remains(stage):
    out = [f"process {p}: {command(p)}" for p in processes(stage)]
    out += [f"cgroup {g}" for g in groups(stage)]
    out += [f"mount {m}" for m in mounts(stage)]
    out += [f"namespace {n}" for n in namespaces(stage)]
    out += [f"link {x}" for x in links(stage)]
    out += [f"nft table {x}" for x in tables(stage)]
    out += [f"claim {x}" for x in claims(stage)]
    return out


# ---- processes

def alive(pid):
    """Whether it runs; a zombie does not."""
    state = re.search(r"^State:\s+(\S)", read(f"/proc/{pid}/status"), re.M)
    return bool(state) and state[1] != "Z"


def command(pid):
    text = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
    return text[:100] or read(f"/proc/{pid}/comm").strip()


def processes(stage):
    """Processes of this directory, by cgroup, by command line, by what they
    hold open below it; never ourselves and those we came from."""
    spared = ancestors()
    mine = str(stage.dir)
    inside = set(members(stage))
    out = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in spared:
            continue
        pid = int(name)
        if not alive(pid) or is_kernel(pid):
            continue
        if pid in inside or named(pid, mine) or holds(pid, mine):
            out.append(pid)
    return sorted(out)


def is_kernel(pid):
    return not read(f"/proc/{pid}/cmdline") and \
        not os.path.exists(f"/proc/{pid}/exe")


def ancestors():
    out, pid = set(), os.getpid()
    while pid > 0:
        out.add(pid)
        found = re.search(r"^PPid:\s+(\d+)", read(f"/proc/{pid}/status"), re.M)
        pid = int(found[1]) if found else 0
    return out


def named(pid, mine):
    """One of our programs, started with --dir MINE (or nginx with its file)."""
    words = read(f"/proc/{pid}/cmdline").split("\0")
    program = os.path.basename(words[0].split(" ")[0]).rstrip(":")
    ours = program.startswith(("gatehouse", "nginx"))
    return ours and any(w == mine or w.startswith(mine + "/") or
                        f" {mine}/" in w for w in words)


def holds(pid, mine):
    """A program of ours with a file below the directory open: workers of a
    killed nginx have no command line of their own."""
    program = read(f"/proc/{pid}/comm").strip()
    if not program.startswith(("gatehouse", "nginx")):
        return False
    try:
        links = [f.path for f in os.scandir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    for link in links:
        try:
            if os.readlink(link).startswith(mine + "/"):
                return True
        except OSError:
            continue
    return False


# ---- what the launcher marks with the installation's block

def claims(stage):
    """Links in /run/gatehouse that say which block this directory has."""
    try:
        links = [x.path for x in os.scandir("/run/gatehouse")]
    except OSError:
        return []
    return [x for x in links if os.path.islink(x) and
            os.readlink(x) == str(stage.dir)]


def blocks(stage):
    """The two hex digits in all its names; noted in the directory, so that
    what outlived the claim is found. A block that is another's by now is not
    ours any more."""
    note = stage.dir / "block"
    mine = {os.path.basename(c) for c in claims(stage)}
    noted = {b for b in read(note).split()
             if not os.path.islink(f"/run/gatehouse/{b}")}
    found = {b for b in mine | noted if re.fullmatch("[0-9a-f]{2}", b)}
    if mine and stage.dir.is_dir():
        note.write_text(" ".join(sorted(found)) + "\n")
    return found


def groups(stage):
    """Our cgroups in every hierarchy, innermost first."""
    out = []
    for mine in blocks(stage):
        for base in [CGROUPS, *CGROUPS.glob("*")]:
            top = base / f"gatehouse-{mine}"
            if top.is_dir():
                out += [p for p in sorted(top.rglob("*"), reverse=True)
                        if p.is_dir()] + [top]
    return out


def members(stage):
    for group in groups(stage):
        for pid in read(group / "cgroup.procs").split():
            yield int(pid)


def remove_groups(stage):
    gone = 0
    for group in groups(stage):
        try:
            group.rmdir()
            gone += 1
        except OSError:
            pass
    return gone


def links(stage):
    starts = tuple(f"gh{mine}" for mine in blocks(stage))
    return [n for n in os.listdir("/sys/class/net")
            if starts and n.startswith(starts)]


def tables(stage):
    mine = {f"gatehouse_{b}" for b in blocks(stage)}
    try:
        done = subprocess.run(["nft", "-j", "list", "tables"], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL)
        rows = json.loads(done.stdout or "{}").get("nftables", [])
    except (OSError, ValueError):
        return []
    return [r["table"]["name"] for r in rows
            if r.get("table", {}).get("name") in mine]


def remove_network(stage):
    names, rules = links(stage), tables(stage)
    for name in names:
        subprocess.run(["ip", "link", "del", name], capture_output=True)
    for name in rules:
        subprocess.run(["nft", "delete", "table", "inet", name],
                       capture_output=True)
    return len(names) + len(rules)


def unclaim(stage):
    links = claims(stage)
    for link in links:
        os.unlink(link)
    return len(links)


# ---- mounts and namespaces

def mounts(stage):
    """Mount points below the directory, innermost first."""
    mine = str(stage.dir) + "/"
    points = [row.split()[4] for row in read("/proc/self/mountinfo")
              .splitlines()]
    return [p for p in reversed(points) if p.startswith(mine)]


def unmount(stage):
    left = mounts(stage)
    for point in left:
        subprocess.run(["umount", "-l", point], capture_output=True)
    return len(left)


def namespaces(stage):
    """Namespaces that outlive their processes are files bound somewhere."""
    return [p for p in mounts(stage) if os.path.exists(p)]
