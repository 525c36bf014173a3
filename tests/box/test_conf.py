# SPDX-License-Identifier: Apache-2.0
"""What ships for operators: files parse, the installation has its places."""
import os
import re
import subprocess

import pytest

from lib.stack import BUILD, MODULE, ROOT, sanitizer_env

CONF = ROOT / "conf"


def run(*command, **kw):
    return subprocess.run([str(c) for c in command], text=True, cwd=ROOT,
                          stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, **kw)


@pytest.fixture
def certificate(tmp_path):
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    done = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
               "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost",
               "-keyout", key, "-out", crt)
    assert done.returncode == 0, done.stderr
    return key, crt


def test_the_example_for_a_host_parses(tmp_path, certificate):
    key, crt = certificate
    text = (CONF / "nginx/production.conf.example").read_text()
    secret = tmp_path / "secret"
    secret.write_text("5a" * 32 + "\n")
    secret.chmod(0o640)
    (tmp_path / "sock").mkdir()
    (tmp_path / "catalog").mkdir()
    for old, new in ((r"modules/ngx_http_gatehouse_module.so", MODULE),
                     (r"/etc/gatehouse/nginx", CONF / "nginx"),
                     (r"/etc/ssl/certs/api.example.org.crt", crt),
                     (r"/etc/ssl/private/api.example.org.key", key),
                     (r"/var/log/nginx", tmp_path),
                     (r"/run/nginx.pid", tmp_path / "pid"),
                     (r"/var/lib/gatehouse", tmp_path)):
        assert old in text, f"{old} is not in the example any more"
        text = text.replace(old, str(new))
    text = re.sub(r"listen (\s*)(80|443|127\.0\.0\.1:9145)",
                  lambda m: f"listen {m[1]}127.0.0.1:{40000 + len(m[2])}", text)
    conf = tmp_path / "nginx.conf"
    conf.write_text(text)
    done = run("nginx", "-t", "-q", "-e", tmp_path / "error.log", "-c", conf,
               env={**os.environ, **sanitizer_env(tmp_path)})
    assert done.returncode == 0, done.stderr


def test_the_log_format_names_no_secret():
    text = (CONF / "nginx/gatehouse-http.conf").read_text()
    line = re.search(r"log_format gatehouse(.*?);", text, re.S)[1]
    for word in ("$request ", "$request\"", "$request_uri", "$args", "$uri",
                 "$query_string", "$http_authorization", "$http_cookie",
                 "$http_referer", "$cookie_", "$arg_"):
        assert word not in line, word


def test_packages_are_listed_once_and_have_a_reason():
    seen = set()
    for row in (CONF / "packages.txt").read_text().splitlines():
        if row and not row.startswith("#"):
            name, use, why = row.split(None, 2)
            assert name not in seen and use in ("build", "run", "test", "host")
            assert len(why) > 5
            seen.add(name)
    listed = run(CONF / "packages.sh", "--list", "build", "run", "test", "host")
    assert set(listed.stdout.split()) == seen


def test_packages_script_says_how_it_is_used():
    done = run(CONF / "packages.sh", "--nonsense")
    assert done.returncode == 3 and "packages.sh" in done.stderr


def test_install_puts_everything_below_destdir(tmp_path):
    done = run(CONF / "install.sh", BUILD, tmp_path, "/usr")
    assert done.returncode == 0, done.stderr
    for path, mode in (("usr/lib/gatehouse/gatehouse-control", 0o755),
                       ("usr/lib/gatehouse/gatehouse-shim", 0o755),
                       ("usr/lib/nginx/modules/ngx_http_gatehouse_module.so",
                        0o644),
                       ("usr/lib/systemd/system/gatehoused.service", 0o644),
                       ("usr/lib/sysusers.d/gatehouse.conf", 0o644),
                       ("etc/gatehouse/nginx/gatehouse-http.conf", 0o644),
                       ("usr/share/doc/gatehouse/NOTICE", 0o644)):
        assert (tmp_path / path).stat().st_mode & 0o777 == mode, path
    unit = (tmp_path / "usr/lib/systemd/system/gatehoused.service").read_text()
    assert "@" not in re.sub(r"^#.*$", "", unit, flags=re.M)
    assert "ExecStart=/usr/sbin/gatehoused" in unit
    tool = tmp_path / "usr/bin/gatehouse"
    assert tool.is_symlink() and run(tool, "help").returncode == 0


def test_the_unit_names_options_that_exist():
    text = (CONF / "systemd/gatehoused.service").read_text()
    line = re.search(r"^ExecStart=(.*)$", text, re.M)[1]
    known = run(BUILD / "gatehoused", "--help").stdout
    for option in re.findall(r"--[a-z-]+", line):
        assert re.search(rf"{option}\b", known), option


def test_a_readme_command_is_a_command_of_the_tool():
    """Every `gatehouse WORD` of the README is in the tool's help."""
    text = (ROOT / "README.md").read_text()
    block = "".join(re.findall(r"```\n(.*?)```", text, re.S))
    known = run(BUILD / "gatehouse", "help").stdout
    words = set(re.findall(r"^(?:KEY=\$\()?gatehouse ([a-z]+)", block, re.M))
    assert words, "the README has no command"
    for word in words:
        assert re.search(rf"\b{word}\b", known), word

