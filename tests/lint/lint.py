#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make lint: the rules of the house that a compiler does not know.

Each rule is a function below, registered by @rule with its name. It yields
(place, what is wrong, what to do). Sizes may be exceeded by the names in
exceptions.txt, each with its reason. Rules that look at symbols need a build
(BUILD, default build/) and are reported as skipped without one.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("BUILD", "build")

FILE_LINES = 700
FUNCTION_LINES = 100
MAKEFILE_LINES = 200

# Who may include whom. plans/model.h is the vocabulary that all speak.
MAY_INCLUDE = {
    "base": {"base"},
    "plans": {"plans", "base"},
    "idp": {"idp", "base"},
    "module": {"module", "plans", "idp", "base"},
    "gateway": {"gateway", "plans", "idp", "base"},
}
SHARED_HEADERS = {"model.h"}

# Domain code has no sockets, no threads, no event loop, no clock.
HOST_HEADERS = re.compile(
    r"^(sys/(socket|epoll|poll|un|timerfd|eventfd|wait)\.h|poll\.h|netdb\.h|"
    r"netinet/.*|threads\.h|microhttpd\.h|systemd/.*|curl/.*|"
    r"ngx_.*|nginx\.h)$")
HOST_CALLS = re.compile(
    r"^(time|clock_gettime|gettimeofday|clock|socket|connect|bind|accept4?|"
    r"poll|epoll_\w+|pthread_create|fork|execve|sleep|usleep|nanosleep)$")
# gatehouse-idp alone links these; threads and HTTP are the point of them.
LICENSED = re.compile(r"^idp/(oauth2|saml)_")

# What a dynamic module must export for nginx' loader, beside its own names.
NGINX_EXPORTS = {"ngx_modules", "ngx_module_names", "ngx_module_order"}

RULES = []


class Skip(Exception):
    """The rule cannot run here; the text says why."""


def rule(name):
    def register(function):
        RULES.append((name, function))
        return function
    return register


def run(*command, **kw):
    return subprocess.run(command, cwd=ROOT, text=True, check=False,
                          capture_output=True, **kw)


def files():
    """The project's files: tracked, and new ones that are not ignored."""
    out = run("git", "ls-files", "-co", "--exclude-standard").stdout
    return sorted({ROOT / p for p in out.splitlines()
                   if (ROOT / p).is_file()})


def rel(path):
    return str(path.relative_to(ROOT))


def text(path):
    return path.read_text(encoding="utf-8", errors="replace")


def of(*suffixes):
    return [p for p in FILES if p.suffix in suffixes]


def top(path):
    return path.relative_to(ROOT).parts[0]


def code(path):
    """C source without comments and string contents, lines kept."""
    def blank(match):
        s = match.group(0)
        return s if s[0] == "'" else '""' if s[0] == '"' else \
            "\n" * s.count("\n")
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text(path), flags=re.S)


def is_text(path):
    return path.suffix in (".c", ".h", ".py", ".sh", ".md", ".lua", ".yaml",
                           ".yml", ".txt", ".conf", ".in", ".service") \
        or path.name in ("Makefile", "config", "run")


def script_language(path):
    if path.suffix == ".py":
        return "python"
    if path.suffix == ".sh":
        return "shell"
    first = text(path).split("\n", 1)[0] if path.suffix == "" else ""
    if first.startswith("#!"):
        return "python" if "python" in first else \
            "shell" if re.search(r"\b(ba)?sh\b", first) else None
    return None


# ---- who may know whom

@rule("includes point down only")
def includes():
    owner = {p.name: top(p) for p in of(".h")}
    for path in of(".c", ".h"):
        allowed = MAY_INCLUDE.get(top(path))
        if allowed is None:
            continue
        for n, line in enumerate(text(path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
            if not found:
                continue
            name = pathlib.PurePath(found[1]).name
            if "/" in found[1]:
                yield (f"{rel(path)}:{n}", f'"{found[1]}" has a folder in it',
                       "name the file alone: names are unique")
            folder = owner.get(name)
            if folder and folder not in allowed and \
                    name not in SHARED_HEADERS:
                yield (f"{rel(path)}:{n}",
                       f"{top(path)}/ includes {folder}/{name}",
                       "arrows point down: move the value to base/, or ask "
                       "for it as an argument")


@rule("nginx stays in module/")
def nginx_stays():
    for path in of(".c", ".h"):
        if top(path) not in ("base", "plans", "idp", "gateway"):
            continue
        for n, line in enumerate(code(path).splitlines(), 1):
            if re.search(r"\bngx_", line):
                yield (f"{rel(path)}:{n}", "an nginx name outside module/",
                       "domain code and daemons know no nginx types")


@rule("domain code includes no host header")
def host_headers():
    for path in of(".c", ".h"):
        if top(path) not in ("plans", "idp") or LICENSED.match(rel(path)):
            continue
        for n, line in enumerate(text(path).splitlines(), 1):
            found = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
            if found and HOST_HEADERS.match(found[1]):
                yield (f"{rel(path)}:{n}", f"<{found[1]}> in domain code",
                       "return what you want from outside, take time as a "
                       "number")


@rule("domain libraries call no clock and no socket")
def host_calls():
    for lib in ("libplans.a", "libidp.a"):
        for obj, symbol in undefined(BUILD / lib):
            if HOST_CALLS.match(symbol):
                yield (f"{lib}({obj})", f"calls {symbol}()",
                       "take it as an argument from the host")


def undefined(lib):
    if not lib.exists():
        raise Skip(f"{lib.name} is not built")
    out = run("nm", "-A", "-u", str(lib)).stdout
    for line in out.splitlines():
        parts = line.split()
        if len(parts) >= 2:
            yield line.split(":")[1], parts[-1].split("@")[0]


# ---- names

@rule("file names are unique")
def unique_names():
    seen = {}
    for path in of(".c", ".h", ".lua"):
        other = seen.setdefault(path.name, path)
        if other != path:
            yield (rel(path), f"same name as {rel(other)}",
                   "nginx drops add-on objects by name: rename one")


@rule("folders of C sources are flat")
def flat():
    for path in of(".c", ".h"):
        parts = path.relative_to(ROOT).parts
        if parts[0] in MAY_INCLUDE and len(parts) > 2:
            yield rel(path), "a folder below", "keep it flat"


@rule("the module exports only its own names")
def module_exports():
    module = BUILD / "ngx_http_gatehouse_module.so"
    if not module.exists():
        raise Skip("the module is not built")
    if "asan" in BUILD.name:
        raise Skip("the sanitizer adds names")
    for line in run("nm", "-D", "--defined-only", str(module)).stdout \
            .splitlines():
        name = line.split()[-1].split("@")[0]
        if not re.match(r"gh_|ngx_http_gatehouse", name) and \
                name not in NGINX_EXPORTS:
            yield (module.name, f"exports {name}",
                   "make it static, or give it the prefix")


@rule("libraries define only gh_ names")
def library_names():
    for lib in ("libbase.a", "libplans.a", "libidp.a"):
        if not (BUILD / lib).exists():
            raise Skip(f"{lib} is not built")
        out = run("nm", "-g", "--defined-only", str(BUILD / lib)).stdout
        for line in out.splitlines():
            parts = line.split()
            if len(parts) == 3 and not re.match(r"gh_|_?_?asan|\.L",
                                                parts[2]):
                yield lib, f"defines {parts[2]}", "prefix gh_, or static"


# ---- form

@rule("SPDX line first")
def spdx():
    for path in FILES:
        if path.suffix in (".md", ".json", ".txt", ".crt", ".key", ".pem") \
                or not is_text(path) or "seeds" in path.parts:
            continue
        head = text(path).split("\n", 5)[:4]
        if not any("SPDX-License-Identifier: Apache-2.0" in h for h in head):
            yield rel(path), "no SPDX line", \
                "SPDX-License-Identifier: Apache-2.0 in the first line"


@rule("white space")
def white_space():
    for path in FILES:
        if not is_text(path) or "seeds" in path.parts:
            continue
        body = text(path)
        for n, line in enumerate(body.split("\n"), 1):
            if line != line.rstrip():
                yield f"{rel(path)}:{n}", "trailing space", "remove it"
            if "\t" in line and path.suffix in (".c", ".h", ".py", ".md"):
                yield f"{rel(path)}:{n}", "a tab", "use spaces"
        if body and not body.endswith("\n"):
            yield rel(path), "no newline at the end", "add one"


@rule("sizes of files and functions")
def sizes():
    allowed = exceptions()
    used = set()
    for path in of(".c", ".h", ".py", ".sh", ".lua"):
        lines = text(path).count("\n")
        limit = allowed.get(rel(path), FILE_LINES)
        if lines > FILE_LINES:
            used.add(rel(path))
        if lines > limit:
            yield rel(path), f"{lines} lines, {limit} allowed", "split it"
    for path, name, lines in functions():
        key = f"{path}:{name}"
        if lines > FUNCTION_LINES:
            used.add(key)
        if lines > allowed.get(key, FUNCTION_LINES):
            yield key, f"{lines} lines, {FUNCTION_LINES} allowed", "split it"
    for key in sorted(set(allowed) - used):
        yield key, "an exception that nobody needs", "take it out"
    lines = text(ROOT / "Makefile").count("\n")
    if lines >= MAKEFILE_LINES:
        yield "Makefile", f"{lines} lines, under {MAKEFILE_LINES} wanted", \
            "move work into a script"


def exceptions():
    allowed = {}
    path = ROOT / "tests/lint/exceptions.txt"
    for line in text(path).splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            key, limit, reason = line.split(None, 2)
            assert reason
            allowed[key] = int(limit)
    return allowed


def functions():
    names = [rel(p) for p in of(".c", ".h", ".py")]
    out = run("ctags", "-x", "--output-format=json", "--fields=+ne",
              "--kinds-c=f", "--kinds-python=fm", "-L", "-",
              input="\n".join(names))
    if out.returncode:
        raise Skip("no universal-ctags: conf/packages.sh test")
    for line in out.stdout.splitlines():
        tag = json.loads(line)
        if "end" in tag:
            yield tag["path"], tag["name"], tag["end"] - tag["line"] + 1


@rule("shell scripts parse")
def shell():
    scripts = [p for p in FILES if script_language(p) == "shell"]
    for path in scripts:
        out = run("bash", "-n", str(path))
        if out.returncode:
            yield rel(path), out.stderr.strip(), "mend it"
    for path in (ROOT / "config",):
        out = run("sh", "-n", str(path)) if path.exists() else None
        if out and out.returncode:
            yield rel(path), out.stderr.strip(), "mend it"


@rule("shellcheck")
def shellcheck():
    scripts = [rel(p) for p in FILES if script_language(p) == "shell"]
    try:
        out = run("shellcheck", "-S", "warning", "-f", "gcc", *scripts)
    except FileNotFoundError:
        raise Skip("no shellcheck: conf/packages.sh test") from None
    for line in out.stdout.splitlines():
        yield line, "", ""


@rule("Python compiles")
def python():
    for path in FILES:
        if script_language(path) == "python":
            try:
                compile(text(path), rel(path), "exec")
            except SyntaxError as error:
                yield f"{rel(path)}:{error.lineno}", error.msg, "mend it"


@rule("a README per folder")
def readmes():
    for folder in sorted({p.parent for p in FILES} - {ROOT}):
        parts = folder.relative_to(ROOT).parts
        if len(parts) == 1 and not parts[0].startswith(".") and \
                not (folder / "README.md").exists():
            yield rel(folder), "no README.md", \
                "purpose, words, invariants, a drawing, where to read first"


@rule("links between pages lead somewhere")
def links():
    for path in of(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(path)):
            if "://" not in target and not (path.parent / target).exists():
                yield rel(path), f"links to {target}", "no such file"


@rule("docs/reference.md is what the tables say")
def reference():
    maker = ROOT / "docs/reference.py"
    if not maker.exists():
        raise Skip("no docs/reference.py")
    out = run(sys.executable, str(maker), "--check",
              env=dict(os.environ, BUILD=str(BUILD)))
    if out.returncode == 77:
        raise Skip(out.stderr.strip())
    if out.returncode:
        yield "docs/reference.md", out.stderr.strip(), "run: make reference"


FILES = files()


def main():
    wrong = skipped = 0
    for name, function in RULES:
        try:
            found = list(function())
        except Skip as reason:
            print(f"skip  {name}: {reason}")
            skipped += 1
            continue
        print(f"{'FAIL' if found else 'ok  '}  {name}")
        for place, what, remedy in found:
            wrong += 1
            print(f"      {place}" + (f": {what} - {remedy}" if what else ""))
    print(f"lint: {len(FILES)} files, {len(RULES)} rules, {wrong} faults, "
          f"{skipped} skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
