# SPDX-License-Identifier: Apache-2.0
"""Runs inside a sandbox and tries what must not succeed. Each try prints one
line of JSON: {"probe", "ok": whether it was refused, "seen": what happened}.

It refuses to run where it can see a host's root.
"""
import ctypes
import errno
import fcntl
import json
import os
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
probes = []


def guard():
    with open("/proc/self/uid_map") as f:
        inside, outside, count = map(int, f.read().split())
    if outside == 0 or count != 65535 or os.path.exists("/work") or \
            os.path.exists("/var/lib/dpkg") or os.getpid() > 2:
        sys.exit("this is no sandbox: nothing is tried here")


def probe(function):
    probes.append(function)
    return function


def syscall(number, *args):
    ctypes.set_errno(0)
    rc = libc.syscall(number, *args)
    return rc, ctypes.get_errno()


def refused(number, *args, want=(errno.EPERM,)):
    rc, code = syscall(number, *args)
    name = errno.errorcode.get(code, str(code))
    return rc == -1 and code in want, f"{rc} {name}"


def opening(path, flags=os.O_RDONLY):
    try:
        fd = os.open(path, flags)
    except OSError as e:
        return True, errno.errorcode[e.errno]
    data = os.read(fd, 64) if flags == os.O_RDONLY else b""
    os.close(fd)
    return False, f"opened: {data!r}"


def all_of(tries):
    seen = {str(k): v for k, v in tries}
    return all(v[0] for v in seen.values()), {k: v[1] for k, v in seen.items()}


@probe
def descriptors():
    open_now = sorted(int(n) for n in os.listdir("/proc/self/fd"))
    links = {}
    for n in open_now:
        try:
            links[n] = os.readlink(f"/proc/self/fd/{n}")
        except OSError:
            continue                    # the one that listed them
    leaked = {n: t for n, t in links.items() if n > 2}
    return not leaked and links[0] == "/dev/null", links


@probe
def host_files():
    return all_of((p, opening(p)) for p in (
        "/etc/shadow", "/etc/gshadow", "/root/.bashrc", "/home/a/b",
        "/var/log/dpkg.log", "/var/lib/dpkg/status", "/etc/machine-id",
        "/proc/1/root/etc/shadow", "/var/run/docker.sock", "/dev/vda",
        "/dev/mem", "/dev/kmsg", "/boot/vmlinuz", "/sys/kernel/notes"))


@probe
def writing_outside():
    return all_of((p, opening(p, os.O_WRONLY | os.O_CREAT)) for p in (
        "/new", "/usr/bin/new", "/etc/passwd", "/dev/new", "/usr/bin/python3",
        "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory",
        "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger",
        "/proc/1/mem/../../sys/kernel/panic"))


@probe
def proc_hidden():
    out = []
    for p in ("kcore", "keys", "kallsyms", "timer_list", "cmdline", "modules"):
        try:
            with open("/proc/" + p, "rb") as f:
                data = f.read(64)
            out.append((p, (data == b"", repr(data))))
        except OSError as e:
            out.append((p, (True, errno.errorcode[e.errno])))
    return all_of(out)


@probe
def mounts():
    return all_of([
        ("mount", refused(165, b"none", b"/tmp", b"tmpfs", 0, None)),
        ("umount2", refused(166, b"/proc", 2)),
        ("pivot_root", refused(155, b"/", b"/")),
        ("fsopen", refused(430, b"tmpfs", 0)),
        ("open_tree", refused(428, -100, b"/", 1)),
        ("move_mount", refused(429, -1, b"", -1, b"", 0)),
        ("mount_setattr", refused(442, -100, b"/", 0, None, 0)),
        ("chroot", refused(161, b"/tmp")),
    ])


@probe
def namespaces():
    new = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000,
           "net": 0x40000000, "ipc": 0x8000000, "uts": 0x4000000,
           "cgroup": 0x2000000}
    out = [("unshare " + k, refused(272, v)) for k, v in new.items()]
    out += [("clone " + k, refused(56, v | 17, 0, 0, 0, 0))
            for k, v in new.items()]
    out.append(("clone3", refused(435, None, 0, want=(errno.ENOSYS,))))
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    out.append(("setns", refused(308, fd, 0)))
    return all_of(out)


@probe
def kernel():
    return all_of([
        ("bpf", refused(321, 0, None, 0)),
        ("perf_event_open", refused(298, None, 0, -1, -1, 0)),
        ("userfaultfd", refused(323, 0)),
        ("io_uring_setup", refused(425, 1, None)),
        ("keyctl", refused(250, 0, -3, 0)),
        ("add_key", refused(248, b"user", b"x", b"y", 1, -3)),
        ("init_module", refused(175, None, 0, b"")),
        ("finit_module", refused(313, 0, b"", 0)),
        ("kexec_load", refused(246, 0, 0, None, 0)),
        ("reboot", refused(169, 0, 0, 0, None)),
        ("swapon", refused(167, b"/x", 0)),
        ("open_by_handle_at", refused(304, -1, None, 0)),
        ("settimeofday", refused(164, None, None)),
        ("sethostname", refused(170, b"x", 1)),
        ("iopl", refused(172, 3)),
        ("syslog", refused(103, 3, None, 0)),
        ("acct", refused(163, None)),
        ("x32", refused(0x40000000 + 39)),
    ])


@probe
def other_processes():
    return all_of([
        ("ptrace", refused(101, 16, 1, 0, 0)),
        ("process_vm_readv", refused(310, 1, None, 0, None, 0, 0)),
        ("kcmp", refused(312, 1, 1, 0, 0, 0)),
        ("only ours", (all(int(p) < 100 for p in os.listdir("/proc")
                           if p.isdigit()), "pids")),
    ])


@probe
def terminal():
    fd = os.open("/dev/null", os.O_RDWR)
    out = []
    for name, number in (("TIOCSTI", 0x5412), ("TIOCLINUX", 0x541c),
                         ("TIOCSTI high", 0x100005412)):
        out.append((name, refused(16, fd, ctypes.c_ulong(number), b"x")))
    return all_of(out)


@probe
def sockets():
    families = {"packet": (17, 3, 0), "raw": (2, 3, 1), "raw6": (10, 3, 58),
                "vsock": (40, 1, 0), "alg": (38, 5, 0), "netlink": (16, 3, 9),
                "bluetooth": (31, 3, 1), "can": (29, 3, 1)}
    return all_of((k, refused(41, *v)) for k, v in families.items())


def connecting(family, address):
    s = socket.socket(family)
    s.settimeout(0.7)
    try:
        s.connect(address)
    except OSError as e:
        return True, str(e)
    return False, "connected"


@probe
def network():
    hosts = json.loads(os.environ.get("PROBE_HOSTS", "[]"))
    out = [(f"{h}:{p}", connecting(socket.AF_INET, (h, p)))
           for h, p in hosts + [["169.254.169.254", 80], ["1.1.1.1", 53]]]
    for path in json.loads(os.environ.get("PROBE_SOCKETS", "[]")):
        out.append((path, connecting(socket.AF_UNIX, path)))
    return all_of(out)


@probe
def identity():
    with open("/proc/self/status") as f:
        status = dict(line.split(":\t", 1) for line in f if ":\t" in line)
    caps = {k: status[k].strip() for k in ("CapInh", "CapPrm", "CapEff",
                                           "CapBnd", "CapAmb")}
    want = os.environ.get("PROBE_CAPS", "0" * 16)
    good = all(v == want for v in caps.values()) and \
        status["NoNewPrivs"].strip() == "1" and \
        status["Seccomp"].strip() == "2" and os.getuid() == 1000
    return good, {**caps, "uid": os.getuid()}


@probe
def becoming_root():
    out = [("setuid", refused(105, 0)), ("setgid", refused(106, 0)),
           ("setgroups", refused(116, 1, (ctypes.c_uint * 1)(0)))]
    path = "/tmp/suid"
    with open(path, "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(path, 0o4755)
    try:
        os.execv(path, [path])
        out.append(("exec from /tmp", (False, "executed")))
    except OSError as e:
        out.append(("exec from /tmp", (True, errno.errorcode[e.errno])))
    return all_of(out)


@probe
def exe_is_no_way_back():
    return os.readlink("/proc/1/exe").startswith("/usr/bin/python3"), \
        os.readlink("/proc/1/exe")


@probe
def landlock_on_sockets():
    if not os.path.isdir("/svc"):
        return True, "no /svc"
    out = []
    for name, call in (("symlink", lambda: os.symlink("/tmp", "/svc/link")),
                       ("mkdir", lambda: os.mkdir("/svc/dir")),
                       ("hard link", lambda: os.link("/etc/hosts", "/svc/h")),
                       ("rename in", lambda: os.rename("/tmp", "/svc/t"))):
        try:
            call()
            out.append((name, (False, "done")))
        except OSError as e:
            out.append((name, (True, errno.errorcode[e.errno])))
    return all_of(out)


@probe
def works_inside():
    """What a program needs does work."""
    with open("/tmp/file", "w") as f:
        f.write("x")
    with open("/dev/shm/file", "w") as f:
        f.write("x")
    s = socket.socket(socket.AF_UNIX)
    s.bind("/tmp/sock")
    a, b = socket.socketpair()
    t = socket.socket()
    t.bind(("127.0.0.1", 0))
    t.listen()
    socket.create_connection(t.getsockname()).close()
    fcntl.flock(os.open("/tmp/file", os.O_RDONLY), fcntl.LOCK_EX)
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7 and \
        len(os.urandom(8)) == 8, "ok"


def main():
    guard()
    for function in probes:
        try:
            good, seen = function()
        except Exception as e:           # a probe that breaks is a failure
            good, seen = False, f"{type(e).__name__}: {e}"
        print(json.dumps({"probe": function.__name__, "ok": bool(good),
                          "seen": seen}), flush=True)
    print(json.dumps({"probe": "done", "ok": True, "seen": ""}), flush=True)


main()
