#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make reference: writes docs/reference.md from the tables in the code.

The module's tables are lists of X(...) in its headers; programs print theirs
themselves (PROGRAMS below). With --check nothing is written: status 1 and the
first difference when the page is not what the tables say, 77 when the programs
are not built.
"""
import difflib
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / os.environ.get("BUILD", "build")
PAGE = ROOT / "docs/reference.md"

HEAD = """\
# Reference

Made by `make reference` from the tables in the code; edit those. Defaults are what holds when a thing is not written.

"""


def rows(header, macro):
    """The X(...) rows of a macro as lists of arguments, strings unquoted."""
    text = (ROOT / header).read_text()
    found = re.search(r"#define\s+" + macro + r"\s*\(X\)((?:.*\\\n)*.*\n)",
                      text)
    if not found:
        sys.exit(f"{header}: no table {macro}")
    body = found[1].replace("\\\n", "\n")
    for start in re.finditer(r"\bX\(", body):
        yield arguments(body, start.end())


def arguments(text, at, pair="()"):
    """Arguments from just after an opening bracket to its closing one."""
    args, now, depth = [], "", 0
    while True:
        c = text[at]
        if c == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            now += text[at:end + 1]
            at = end + 1
            continue
        if c == pair[1] and depth == 0:
            return [plain(a) for a in args + [now]]
        if c == "," and depth == 0:
            args.append(now)
            now = ""
        else:
            depth += (c == pair[0]) - (c == pair[1])
            now += c
        at += 1


def plain(argument):
    strings = re.findall(r'"((?:\\.|[^"\\])*)"', argument)
    text = "".join(strings) if strings else " ".join(argument.split())
    return text.replace('\\"', '"')


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ") or " "


def table(heads, lines):
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    out += ["| " + " | ".join(cell(c) for c in line) + " |" for line in lines]
    return "\n".join(out) + "\n"


def directives():
    lines = [(f"`{r[0]}{' ' + r[1] if r[1] else ''}`", r[2],
              f"`{r[6]}`" if r[6] else "", r[7])
             for r in rows("module/ngx_http_gatehouse_directives.h",
                           "NGX_HTTP_GATEHOUSE_DIRECTIVES")]
    return table(("directive", "where", "default", "what it does"), lines)


def faults():
    lines = [(f"`{r[2]}`", r[1], r[3])
             for r in rows("module/ngx_http_gatehouse_fault.h",
                           "NGX_HTTP_GATEHOUSE_FAULTS")]
    return table(("code", "status", "title"), lines)


def variables():
    lines = [(f"`${r[0]}`", r[-1])
             for r in rows("module/ngx_http_gatehouse_variables.h",
                           "NGX_HTTP_GATEHOUSE_VARIABLES")]
    return table(("variable", "what it holds"), lines)


def forwarded():
    lines = [(f"`{r[1]}`", r[2])
             for r in rows("module/ngx_http_gatehouse_headers.c",
                           "NGX_HTTP_GATEHOUSE_FORWARDED")]
    return "Taken out of every request first, in any spelling.\n\n" + \
        table(("header", "what it holds"), lines)


# What clients get. The text is here, the names are looked for in the module.
ANSWERED = (
    ("Gatehouse-Decision", "the decision's id, on every refusal"),
    ("RateLimit-Policy", "each limit: its name, `q` calls in `w` seconds"),
    ("RateLimit", "the limit that is nearest: `r` calls left, `t` seconds to "
                  "go"),
    ("X-RateLimit-Limit", "the same for old clients, with the API's "
                          "`classic_headers`; so -Remaining and -Reset"),
    ("Retry-After", "seconds; with 429 and 503"),
    ("WWW-Authenticate", "with 401: what the API takes"),
    ("Gatehouse-Over", "the soft limits that are passed"),
)


def answered():
    source = "".join(p.read_text() for p in (ROOT / "module").glob("*.[ch]"))
    for name, _ in ANSWERED:
        if f'"{name}"' not in source:
            sys.exit(f"docs/reference.py: the module knows no header {name}")
    return table(("header", "what it says"),
                 [(f"`{n}`", t) for n, t in ANSWERED])


def metrics():
    lines = [(f"`gatehouse_{r[1]}`", r[2])
             for r in rows("module/ngx_http_gatehouse_zone.h",
                           "NGX_HTTP_GATEHOUSE_COUNTERS")]
    source = (ROOT / "module/ngx_http_gatehouse_metrics.c").read_text()
    for found in re.finditer(r'\{ "(gatehouse_\w+)", "\w+",\s*"([^"]+)"',
                             source):
        lines.append((f"`{found[1]}`", found[2]))
    lines.append(("`gatehouse_requests_total`", "Requests by code and status"))
    return table(("figure", "what it counts"), lines)


def routes():
    """Rows of gh_routes: {"GET", "/v1/status", rights, handler, id, text..."""
    text = (ROOT / "gateway/control_routes.c").read_text()
    body = text[text.index("gh_routes[] = {"):]
    body = body[:body.index("\n};")]
    lines = []
    for start in re.finditer(r"\{(?=\"[A-Z]+\", \"/)", body):
        row = arguments(body, start.end(), "{}")
        query = f"?{row[6].replace(', ', '=&')}=" if row[6] != "NULL" else ""
        lines.append((f"`{row[0]} {row[1]}{query}`", row[5], row[8]))
    return table(("request", "what it does", "answer"), lines)


def compose():
    """Rows of the tables of keys: {"key", reader, why not, what instead}."""
    text = (ROOT / "gateway/compose.c").read_text()
    for name, value in re.findall(r'^#define (\w+) ("[^"]*")$', text, re.M):
        text = re.sub(rf"(?<!#define )\b{name}\b", value, text)
    out = []
    for title, name in (("Keys of a service", "service_rows"),
                        ("Keys of `x-gatehouse`", "x_rows")):
        start = text.index(f"{name}[] =")
        body = text[start:text.index("};", start)]
        found = [arguments(body, m.end(), "{}")
                 for m in re.finditer(r"\{(?=\")", body)]
        taken = [f"`{r[0]}`" for r in found if r[1] != "NULL"]
        refused = [(f"`{r[0]}`", r[2], r[3]) for r in found if r[1] == "NULL"]
        out.append(f"{title}: {', '.join(taken)}. Refused, with the reason:\n\n"
                   + table(("key", "why not", "what instead"), refused))
    return "\n".join(out)


def tokens():
    lines = [(f"`{r[1]}`", r[2]) for r in rows("idp/jwt.h", "GH_JWT_FAULT_TABLE")
             if r[0] != "OK"]
    return ("Why a token was refused with `credential_invalid`, as `explain` "
            "tells it.\n\n" + table(("reason", "meaning"), lines))


def logins():
    lines = [(f"`{r[1]}`", r[2], r[3])
             for r in rows("idp/oidc.h", "GH_OIDC_FAULT_TABLE") if r[0] != "OK"]
    own = list(rows("gateway/idpd.h", "GH_IDPD_CODE_TABLE"))
    source = "".join(p.read_text() for p in (ROOT / "gateway").glob("idpd_*.c"))
    for code, _, _ in own:
        if f'"{code}"' not in source:
            sys.exit(f"gateway/idpd.h: gatehouse-idp has no code {code}")
    lines += [(f"`{c}`", status, text) for c, status, text in own]
    return table(("code", "status", "meaning"), lines)


def printed(program, *args):
    def section():
        path = BUILD / program
        if not path.exists():
            print(f"{program} is not built", file=sys.stderr)
            sys.exit(77)
        done = subprocess.run([path, *args], text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=20)
        if done.returncode:
            sys.exit(f"{program} {' '.join(args)}: {done.stderr.strip()}")
        # Pages of programs have a title, which is ours here, and headings of
        # their own: one level down.
        text = re.sub(r"^# .*\n+", "", done.stdout.strip())
        return re.sub(r"^(#+) ", lambda m: "#" * min(6, len(m[1]) + 1) + " ",
                      text, flags=re.M) + "\n"
    return section


def usage(program):
    body = printed(program, "--help")

    def section():
        return "```\n" + body() + "```\n"
    return section


SECTIONS = (
    ("nginx directives", directives),
    ("nginx variables", variables),
    ("Error codes of the gate", faults),
    ("Reasons of refused tokens", tokens),
    ("Error codes of logins", logins),
    ("Headers to clients", answered),
    ("Headers to services", forwarded),
    ("Figures for Prometheus", metrics),
    ("The admin's document", printed("gatehouse-control", "--reference")),
    ("A service's file", compose),
    ("Control API", routes),
    ("Commands", printed("gatehouse", "help", "--markdown")),
    ("gatehoused", usage("gatehoused")),
    ("gatehouse-control", usage("gatehouse-control")),
    ("gatehouse-idp", usage("gatehouse-idp")),
)


def page():
    parts = [HEAD]
    for title, section in SECTIONS:
        parts.append(f"## {title}\n\n{section().strip()}\n\n")
    return "".join(parts).rstrip() + "\n"


def main():
    new = page()
    old = PAGE.read_text() if PAGE.exists() else ""
    if "--check" not in sys.argv:
        if new != old:
            PAGE.write_text(new)
        return 0
    for change in difflib.unified_diff(old.splitlines(), new.splitlines(),
                                       "docs/reference.md", "the tables",
                                       n=0, lineterm=""):
        if change[0] in "+-" and change[:3] not in ("+++", "---"):
            print(f"differs: {change[:120]}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
