# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens at the gate: what is taken, and every way to be refused."""
import concurrent.futures
import hashlib
import hmac
import json
import time

import pytest
from lib import llng, raw
from lib.fake_idp import DROP, FakeIdp, Key, b64, unb64
from lib.process import wait_for
from lib.site import start_idp
from lib.stack import Stack

ALGS = ["RS256", "PS256", "ES256", "EdDSA"]


def refresh(stack, name):
    """Fresh keys, as soon as the last fetch is old enough."""
    def fetched():
        reply = raw.exchange(
            str(stack.dir / "sock/idp.sock"), raw.request(
                "POST", "/internal/refresh/" + name, [("Connection", "close")]),
            timeout=20)
        assert reply.status == 200, reply
        return reply.json()["fetched"]
    wait_for("the keys are fetched", fetched, 15, 0.2)


class Api:
    """One API for tokens of one provider, and its client as an application."""

    def __init__(self, stack, provider, name, algs=ALGS, **changes):
        self.stack, self.provider, self.name = stack, provider, name
        stack.add({"idps": [{"name": name, "issuer": provider.issuer,
                             "algs": algs, "skew": "2s",
                             "client_claim": "azp", **changes}]})
        self.scene = self.more("httpbin", "app-" + name)
        self.known()

    def more(self, audience, name):
        return self.stack.scene(
            name, key=False,
            api={"credentials": {"jwt": [{"idp": self.name, "audience": audience}]},
                 "claim_headers": {"sub": "X-Sub"}},
            app={"clients": [{"idp": self.name, "client_id": "mobile-app"}]}
            if audience == "httpbin" else {})

    def known(self):
        wait_for("a good token is taken",
                 lambda: self.get(self.provider.token()).status == 200, 15, 0.05)

    def get(self, token, scene=None, path="/x"):
        scene = scene or self.scene
        if isinstance(token, str):
            token = token.encode("latin-1")
        return scene.get(path, [("Authorization", b"Bearer " + token)])


@pytest.fixture(scope="module")
def installation():
    with Stack(workers=2) as stack:
        start_idp(stack)
        yield stack


@pytest.fixture(scope="module")
def module_api(installation):
    with FakeIdp() as provider:
        provider.keys = [Key(a) for a in ALGS]
        yield Api(installation, provider, "fake")


@pytest.fixture
def api(module_api):
    module_api.provider.reset()
    yield module_api
    faults = module_api.stack.faults_in_logs()
    assert not faults, faults


@pytest.mark.parametrize("alg", ALGS)
def test_each_algorithm_is_taken(api, alg):
    key = next(k for k in api.provider.keys if k.alg == alg)
    assert api.get(api.provider.token(key=key)).status == 200
    seen = api.scene.seen()[-1]
    assert seen.all("X-Sub") == ["alice"]
    assert seen.all("X-Gatehouse-Application") == [api.scene.name]
    assert not seen.all("Authorization"), "the token stays with the gate"


def test_a_token_of_lemonldap_is_taken(installation):
    if reason := llng.missing():
        pytest.skip(reason)
    with llng.Lemon(installation.dir / "lemon", "https://localhost") as lemon:
        installation.add({"idps": [{"name": "lemon", "issuer": lemon.issuer,
                                    "algs": ["RS256"], "client_claim": "client_id"}]})
        scene = installation.scene(
            "lemon-api", key=False,
            api={"credentials": {"jwt": [{"idp": "lemon", "audience": "httpbin"}]},
                 "claim_headers": {"email": "X-Email"}, "roles": ["timelords"]},
            app={"clients": [{"idp": "lemon", "client_id": "mobile-app"}]})

        def get(token):
            return scene.get("/x", [("Authorization", "Bearer " + token)])
        token = lemon.token()
        wait_for("it is taken", lambda: get(token).status == 200, 15, 0.05)
        assert scene.seen()[-1].all("X-Email") == ["dwho@badwolf.org"]
        assert get(lemon.token("--user", "rtyler", "--password", "rtyler")
                   ).code == "not_authorized"
        assert get(lemon.token("--client")).code == "not_authorized"


# ---- refused

def key_of(api, alg="RS256"):
    return next(k for k in api.provider.keys if k.alg == alg)


def hs256_with_the_public_key(api):
    key = key_of(api)
    text = b64(json.dumps({"alg": "HS256", "kid": key.kid})) + "." + \
        b64(json.dumps(api.provider.claims()))
    mac = hmac.new(key.jwk.export_to_pem(), text.encode(), hashlib.sha256)
    return text + "." + b64(mac.digest())


def none(api):
    return b64(json.dumps({"alg": "none", "kid": key_of(api).kid})) + "." + \
        b64(json.dumps(api.provider.claims())) + "."


def with_header(**header):
    return lambda api: api.provider.token(header=header, key=key_of(api))


def with_claims(**claims):
    return lambda api: api.provider.token(key=key_of(api), **claims)


def with_body(text):
    return lambda api: key_of(api).sign(text(api).encode() if callable(text)
                                        else text)


def es256_on_p384(api):
    key = Key("ES384", kid=key_of(api, "ES256").kid)
    return key.sign(api.provider.claims(), {"alg": "ES256"}, "ES384")


def doubled(api):
    text = json.dumps(api.provider.claims())
    return text[:-1] + ', "aud": "httpbin"}'


def edit(change):
    return lambda api: change(api.provider.token(key=key_of(api)))


def flip(token):
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1:]


def last_bits(token):
    """The alphabet's next letter: the same bytes, if one is lax."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) + 1]


STRAY = "http://127.0.0.1:%d/stray"

BAD = {
    "alg-none": none,
    "alg-hs256-with-the-public-key": hs256_with_the_public_key,
    "alg-rs512": lambda api: key_of(api).sign(api.provider.claims(), alg="RS512"),
    "alg-other-case": with_header(alg="rs256"),
    "alg-missing": with_header(alg=DROP),
    "es256-on-p384": es256_on_p384,
    "es256-with-the-rsa-kid": lambda api: key_of(api, "ES256").sign(
        api.provider.claims(), {"kid": key_of(api).kid}),
    "crit": with_header(crit=["exp"]),
    "b64-false": with_header(b64=False),
    "jwk": lambda api: Key().sign(api.provider.claims(), {"jwk": Key().public()}),
    "jku": lambda api: api.provider.token(
        header={"jku": STRAY % api.provider.port}),
    "x5u": lambda api: api.provider.token(
        header={"x5u": STRAY % api.provider.port}),
    "x5c": with_header(x5c=["MIIB"]),
    "typ-logout": with_header(typ="logout+jwt"),
    "kid-missing": with_header(kid=DROP),
    "kid-path": with_header(kid="../../etc/passwd"),
    "kid-url": lambda api: api.provider.token(
        header={"kid": STRAY % api.provider.port}),
    "kid-number": with_header(kid=7),
    "kid-long": with_header(kid="k" * 3000),
    "iss-wrong": with_claims(iss="https://evil.example/"),
    "iss-missing": with_claims(iss=DROP),
    "iss-slash": lambda api: api.provider.token(
        iss=api.provider.issuer + "/", key=key_of(api)),
    "aud-wrong": with_claims(aud="other"),
    "aud-missing": with_claims(aud=DROP),
    "aud-empty": with_claims(aud=[]),
    "aud-prefix": with_claims(aud="httpbin2"),
    "aud-object": with_claims(aud={"httpbin": 1}),
    "exp-past": lambda api: api.provider.token(exp=int(time.time()) - 10),
    "exp-missing": with_claims(exp=DROP),
    "exp-string": with_claims(exp="4000000000"),
    "exp-negative": with_claims(exp=-1),
    "exp-1e300": with_claims(exp=1e300),
    "exp-fraction": lambda api: api.provider.token(exp=time.time() + 99.5),
    "nbf-future": lambda api: api.provider.token(nbf=int(time.time()) + 60),
    "iat-future": lambda api: api.provider.token(iat=int(time.time()) + 60),
    "json-doubled": with_body(doubled),
    "json-array": with_body(b"[]"),
    "json-nul": with_body(lambda api: json.dumps(api.provider.claims(x="\0"))),
    "json-deep": with_body(lambda api: '{"a":' * 20 + "1" + "}" * 20),
    "json-latin1": with_body(b'{"a":"\xff"}'),
    "json-trailing": with_body(lambda api: json.dumps(api.provider.claims()) + "x"),
    "json-many": with_body(lambda api: json.dumps(
        api.provider.claims(g=["x"] * 300))),
    "flipped": edit(flip),
    "last-bits": edit(last_bits),
    "padded": edit(lambda t: t + "=="),
    "cut": edit(lambda t: t[:-4]),
    "no-signature": edit(lambda t: t[:t.rindex(".") + 1]),
    "two-parts": edit(lambda t: t[:t.rindex(".")]),
    "four-parts": edit(lambda t: t + ".e30"),
    "standard-alphabet": edit(lambda t: t.replace("-", "+").replace("_", "/")
                              + "+"),
    "empty": lambda api: "",
    "dots": lambda api: "..",
    "other-key": lambda api: Key(kid=key_of(api).kid).sign(api.provider.claims()),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD)
def test_a_bad_token_is_a_401_and_nobody_is_asked(api, make):
    token = make(api)
    before = len(api.scene.seen())
    reply = api.get(token)
    assert reply.status == 401, reply
    assert reply.code in ("credential_invalid", "credential_missing"), reply
    assert "Bearer" in reply.get("WWW-Authenticate", "")
    assert len(api.scene.seen()) == before
    assert api.provider.fetches["stray"] == 0
    assert token[-20:] == "" or token[-20:] not in reply.body.decode("latin-1")


def test_binary_and_huge_tokens_are_refused(api):
    for token in (b"\xff\xfe" * 50, b"a\x7f.b.c", b"A" * 7000, b"." * 5000):
        assert api.get(token).status in (400, 401), token[:10]
    assert api.get(b"A" * 70000).status in (400, 401, 414, 431, 494)


def test_a_token_is_for_its_audience_also_when_it_was_seen_before(api):
    other = api.more("otherapi", "other-api")
    token = api.provider.token()
    for _ in range(20):             # every worker knows it
        assert api.get(token).status == 200
        assert api.get(token, other).status == 401
    both = api.provider.token(aud=["httpbin", "otherapi"])
    assert api.get(both).status == 200
    # nobody made the client an application of that API
    assert api.get(both, other).status in (200, 403)


def test_a_token_seen_before_ends_with_its_exp(api):
    end = int(time.time()) + 2
    token = api.provider.token(exp=end)
    for _ in range(8):
        assert api.get(token).status == 200
    # the skew of 2 s counts too
    wait_for("it ends", lambda: api.get(token).status == 401, 8, 0.1)
    assert time.time() >= end + 1.9
    for _ in range(8):
        assert api.get(token).status == 401


def test_a_client_that_is_nobodys_application_is_refused(api):
    reply = api.get(api.provider.token(azp="stranger"))
    assert reply.status in (401, 403) and reply.code


def test_tokens_reach_no_log(api):
    api.get(api.provider.token())
    api.get(api.provider.token(aud="wrong"))
    for path in api.stack.logs():
        assert "eyJ" not in path.read_text(errors="replace"), path.name


# ---- keys change

def test_a_new_key_works_and_a_withdrawn_one_stops(installation):
    with FakeIdp() as provider:
        api = Api(installation, provider, "rotating", ["RS256"])
        old_key, old = provider.keys[0], provider.token()
        for _ in range(8):
            assert api.get(old).status == 200
        new_key = provider.rotate(keep_old=True)
        # nobody but the token itself says that there is a new key
        wait_for("the new key is taken", lambda: api.get(
            provider.token(key=new_key)).status == 200, 20, 0.2)
        assert api.get(old).status == 200
        provider.keys = [new_key]
        refresh(installation, "rotating")
        wait_for("the old key is refused", lambda: api.get(old).status == 401,
                 1, 0.02)
        assert api.get(provider.token(key=old_key)).status == 401
        assert api.get(provider.token(key=new_key)).status == 200


def test_a_thousand_unknown_keys_are_one_fetch():
    with FakeIdp() as provider, Stack(workers=2) as stack:
        start_idp(stack, "--refresh-after", "60s")
        api = Api(stack, provider, "flooded", ["RS256"])
        assert provider.fetches["jwks"] == 1
        stranger = Key()

        def attempt(n):
            return api.get(stranger.sign(provider.claims(),
                                         {"kid": "k%d" % n})).status
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            answers = set(pool.map(attempt, range(1000)))
        assert answers == {401}
        assert provider.fetches["jwks"] == 1
        assert api.get(provider.token()).status == 200


def test_without_gatehouse_idp_known_keys_serve_on():
    with FakeIdp() as provider, Stack(workers=1) as stack:
        idp = start_idp(stack)
        api = Api(stack, provider, "alone", ["RS256"])
        idp.kill()
        assert api.get(provider.token()).status == 200
        reply = api.get(Key().sign(provider.claims()))
        assert reply.status == 401, "an unknown key is no outage"


def test_the_parts_of_a_token_decode_strictly():
    """The test's own tools agree with the RFC."""
    assert unb64(b64(b"\xff\xfe")) == b"\xff\xfe"
