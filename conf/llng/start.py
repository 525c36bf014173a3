#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""LemonLDAP::NG, the portal alone, as an OpenID Connect provider.

Makes its configuration and keys in a directory of its own, then becomes
starman. For the demo's sandbox and for the tests; README.md says what it needs.
"""
import argparse
import json
import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent


def options():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--state", required=True, type=pathlib.Path,
                   help="directory that may be written; keys and sessions live there")
    p.add_argument("--portal", required=True,
                   help="URL by which browsers and Gatehouse reach it; the issuer too")
    p.add_argument("--listen",
                   help="HOST:PORT or a path ending in .sock; not needed when a\n"
                        "unix socket is handed over (LISTEN_FDS=1)")
    p.add_argument("--clients", type=pathlib.Path,
                   help="JSON file of the relying parties; default: the text in\n"
                        "LLNG_CLIENTS")
    p.add_argument("--workers", type=int, default=2)
    p.add_argument("--new-key", action="store_true",
                   help="a new signing key, then end: the running one sees it\n"
                        "after its next check")
    return p.parse_args()


def run(*command, text=""):
    done = subprocess.run(command, input=text, text=True, capture_output=True,
                          env={**os.environ, "OPENSSL_CONF": "/dev/null"})
    if done.returncode:
        sys.exit(f"start.py: {command[0]}: {done.stderr.strip()}")
    return done.stdout


def signing_key(state, anew=False):
    """Private and public key and a key id; made once, kept in a 0600 file."""
    path = state / "key.json"
    if not anew and path.exists():
        return json.loads(path.read_text())
    private = run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                  "rsa_keygen_bits:2048")
    key = {"private": private, "public": run("openssl", "pkey", "-pubout", text=private),
           "id": secrets.token_hex(6)}
    path.write_text(json.dumps(key))
    path.chmod(0o600)
    return key


def once(state, name, make):
    path = state / name
    if not path.exists():
        path.write_text(make())
        path.chmod(0o600)
    return path.read_text()


def relying_party(client_id, c):
    o = {"ClientID": client_id, "ClientSecret": c["secret"],
         "DisplayName": client_id, "BypassConsent": 1,
         "IDTokenSignAlg": "RS256", "IDTokenForceClaims": 1,
         "AccessTokenSignAlg": "RS256", "AccessTokenJWT": 1,
         "AccessTokenClaims": 1, "UserIDAttr": "uid",
         "RefreshToken": 1 if c.get("refresh") else 0,
         "RequirePKCE": 1 if c.get("redirect") else 0,
         "AllowPasswordGrant": 1 if c.get("password") else 0,
         "AllowClientCredentialsGrant": 1 if c.get("client_credentials") else 0,
         "RedirectUris": " ".join(c.get("redirect", [])),
         "PostLogoutRedirectUris": " ".join(c.get("logout", [])),
         "BypassLogoutConsent": 1, "LogoutBypassConfirm": 1,
         "AdditionalAudiences": " ".join(c.get("audiences", [])),
         "AccessTokenExpiration": c.get("seconds", 3600),
         "IDTokenExpiration": c.get("seconds", 3600)}
    return {f"oidcRPMetaDataOptions{k}": v for k, v in o.items()}


CLAIMS = {"name": "cn", "email": "mail", "preferred_username": "uid",
          "roles": "groups;string;always"}


def files_of(state, kind):
    return {"Directory": str(state / kind),
            "LockDirectory": str(state / kind / "lock"),
            "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256"}


def configuration(state, portal, clients, key):
    host = urllib.parse.urlsplit(portal).hostname
    secure = portal.startswith("https:")
    return {
        "cfgNum": 1, "cfgAuthor": "gatehouse", "cfgDate": int(time.time()),
        "cfgVersion": "2.16.1", "portal": portal.rstrip("/") + "/",
        "domain": host, "cookieName": "lemonldap",
        "securedCookie": 1 if secure else 0, "httpOnly": 1,
        "authentication": "Demo", "userDB": "Same", "passwordDB": "Null",
        "registerDB": "Null", "whatToTrace": "uid", "portalSkin": "bootstrap",
        "demoExportedVars": {"cn": "cn", "mail": "mail", "uid": "uid"},
        "exportedVars": {}, "groups": {}, "macros": {}, "applicationList": {},
        "locationRules": {host: {"default": "accept"}}, "exportedHeaders": {},
        "globalStorage": "Apache::Session::File",
        "globalStorageOptions": files_of(state, "sessions"),
        "persistentStorage": "Apache::Session::File",
        "persistentStorageOptions": files_of(state, "psessions"),
        "localSessionStorage": "Cache::FileCache",
        "localSessionStorageOptions": {
            "cache_root": str(state / "cache"), "cache_depth": 3,
            "default_expires_in": 600, "directory_umask": "007",  # decimal to it
            "namespace": "lemonldap-ng-sessions"},
        "notification": 0, "portalCheckLogins": 0, "portalDisplayRegister": 0,
        "portalDisplayResetPassword": 0, "loginHistoryEnabled": 0,
        "requireToken": 0, "timeout": 72000, "key": once(
            state, "cookie-key", lambda: secrets.token_hex(24)),
        "issuerDBOpenIDConnectActivation": 1,
        "oidcServiceMetaDataIssuer": portal,
        "oidcServicePrivateKeySig": key["private"],
        "oidcServicePublicKeySig": key["public"],
        "oidcServiceKeyIdSig": key["id"],
        "oidcServiceAllowAuthorizationCodeFlow": 1,
        "oidcServiceAllowOffline": 0, "oidcServiceIgnoreScopeForClaims": 1,
        "oidcRPMetaDataOptions": {
            name: relying_party(name, c) for name, c in clients.items()},
        "oidcRPMetaDataExportedVars": {name: CLAIMS for name in clients},
    }


def prepare(o):
    state = o.state.absolute()
    for name in ("conf", "sessions/lock", "psessions/lock"):
        (state / name).mkdir(parents=True, exist_ok=True, mode=0o700)
    clients = json.loads(o.clients.read_text() if o.clients
                         else os.environ["LLNG_CLIENTS"])
    conf = configuration(state, o.portal, clients,
                         signing_key(state, o.new_key))
    target = state / "conf/lmConf-1.json"
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(conf, indent=1))
    fresh.chmod(0o600)
    fresh.rename(target)
    ini = (HERE / "llng.ini.in").read_text().replace("@STATE@", str(state))
    (state / "llng.ini").write_text(ini)
    # a cache that is older than the configuration would win
    shutil.rmtree(state / "cache", ignore_errors=True)
    (state / "cache").mkdir(mode=0o700)
    return state


# Nothing is bound to it, but Net::Server wants a file to give to its user.
HANDED_OVER = "handed-over.sock"


def handed_over():
    """A unix socket from systemd's protocol (sd_listen_fds(3)) in the way that
    Net::Server takes one; None when there is none."""
    if (os.environ.get("LISTEN_PID", str(os.getpid())) != str(os.getpid())
            or os.environ.get("LISTEN_FDS") != "1"):
        return None
    os.set_inheritable(3, True)
    return f"3|*|{HANDED_OVER}|UNIX|*"


def main():
    o = options()
    os.umask(0o077)
    state = prepare(o)
    if o.new_key:
        return
    env = {**os.environ, "LLNG_DEFAULTCONFFILE": str(state / "llng.ini")}
    env.pop("LLNG_CLIENTS", None)
    command = ["/usr/bin/starman", "--workers", str(o.workers),
               "--max-requests", "10000", "--preload-app", "--env", "deployment",
               # a worker serves one connection at a time: none may idle on it
               "--disable-keepalive"]
    env.pop("BOUND_SOCKETS", None)
    bound = handed_over()
    if bound:
        env["BOUND_SOCKETS"] = bound
        command += ["--listen", HANDED_OVER]
        (state / HANDED_OVER).touch()
    elif o.listen:
        command += ["--listen", o.listen]
    else:
        sys.exit("start.py: --listen, or a socket handed over, is needed")
    os.chdir(state)
    os.execve(command[0], command + [str(HERE / "app.psgi")], env)


if __name__ == "__main__":
    main()
