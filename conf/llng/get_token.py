#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints an access token (a JWT) of an OpenID Connect provider, for scripts:
as a user by the password grant, or as the client itself (--client)."""
import argparse
import base64
import json
import socket
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

_lookup = socket.getaddrinfo


def loopback_names(host, *rest, **more):
    """RFC 6761: localhost and all below it are this host, whatever the
    resolver knows."""
    if isinstance(host, str) and (host + ".").endswith(".localhost."):
        host = "127.0.0.1"
    return _lookup(host, *rest, **more)


def call(url, ca=None, data=None, basic=None):
    request = urllib.request.Request(url, headers={"Accept": "application/json"},
                                     data=data and urllib.parse.urlencode(data).encode())
    if basic:
        text = ":".join(urllib.parse.quote(x, safe="") for x in basic)
        request.add_header("Authorization",
                           "Basic " + base64.b64encode(text.encode()).decode())
    context = ssl.create_default_context(cafile=ca) if url.startswith("https:") else None
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return json.load(answer)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--issuer", required=True, help="URL of the provider")
    p.add_argument("--ca", help="trust this certificate")
    p.add_argument("--client-id", default="mobile-app")
    p.add_argument("--secret", required=True, help="of the client; - reads one line")
    p.add_argument("--user", default="dwho")
    p.add_argument("--password", default="dwho")
    p.add_argument("--client", action="store_true",
                   help="as the client itself, for no user")
    p.add_argument("--scope", default="openid profile email")
    p.add_argument("--claims", action="store_true", help="print what it says instead")
    o = p.parse_args()
    socket.getaddrinfo = loopback_names
    if o.secret == "-":
        o.secret = sys.stdin.readline().strip()
    form = {"grant_type": "client_credentials", "scope": o.scope} if o.client else {
        "grant_type": "password", "username": o.user, "password": o.password,
        "scope": o.scope}
    try:
        found = call(o.issuer.rstrip("/") + "/.well-known/openid-configuration", o.ca)
        token = call(found["token_endpoint"], o.ca, form,
                     (o.client_id, o.secret))["access_token"]
    except urllib.error.HTTPError as e:
        sys.exit(f"get_token: {e.url}: {e.code} {e.read(200).decode(errors='replace')}")
    except (OSError, ValueError, KeyError) as e:
        sys.exit(f"get_token: {o.issuer}: {e}")
    if o.claims:
        body = token.split(".")[1]
        token = json.dumps(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))),
                           indent=1, sort_keys=True)
    print(token)


if __name__ == "__main__":
    main()
