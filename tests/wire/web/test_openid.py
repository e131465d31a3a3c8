"""Sign-in by an identity provider, over real sockets and TLS; and what is tried against it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import RSAKey

from node.configured import build_provider
from node.domain.errors import ConfigurationError
from node.domain.user import Role
from node.settings import parse_settings
from tests.fakes import SOMEBODY
from tests.wire.web.console_server import PASSWORD, Browser, ConsoleServer, Page
from tests.wire.web.identity_provider import CLIENT, SECRET, IdentityProvider


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[IdentityProvider]:
    with IdentityProvider(tmp_path) as made:
        yield made


def settings_of(provider: IdentityProvider, folder: Path, secret: str = SECRET) -> str:
    (folder / "secret").write_text(secret)
    return f"""
[web.console.provider]
label = "Hospital account"
issuer = "{provider.issuer}"
client_id = "{CLIENT}"
client_secret = "file:{folder / "secret"}"
redirect_uri = "http://127.0.0.1:8080/sign-in/provider/back"
viewers = ["cardiology"]
operators = ["pacs-team"]
admins = ["pacs-admins"]
authorities = "{provider.authority.file}"
"""


@pytest.fixture
def console(provider: IdentityProvider, tmp_path: Path) -> Iterator[ConsoleServer]:
    settings = parse_settings(settings_of(provider, tmp_path), "node.toml")
    (tmp_path / "node").mkdir()
    found = build_provider(settings.web.console.provider)
    with ConsoleServer(tmp_path / "node", provider=found) as server:
        yield server


@pytest.fixture
def browser(console: ConsoleServer) -> Browser:
    return Browser(console.port)


def come_back(
    browser: Browser, provider: IdentityProvider, path: str = "/sign-in/provider"
) -> Page:
    """What a browser is answered that was led to the provider and let in there."""
    led = browser.get(path)
    assert led.status == 303, led.text
    query = provider.let_in(led.headers["Location"])
    return browser.get(f"/sign-in/provider/back?{urlencode(query)}")


def role_of(console: ConsoleServer, name: str) -> Role | None:
    return next((each.role for each in console.accounts.all() if each.name == name), None)


def test_whom_the_provider_vouches_for_is_signed_in(
    console: ConsoleServer, provider: IdentityProvider, browser: Browser
) -> None:
    assert "Sign in with Hospital account" in browser.get("/sign-in").text
    page = come_back(browser, provider, "/sign-in/provider?to=/studies")
    assert (page.status, page.headers["Location"]) == (303, "/studies")
    assert list(browser.cookies) == ["cardionode"]
    assert "curie" in browser.get("/").text
    assert role_of(console, "curie") is Role.VIEWER
    assert console.audited()[0].user_name == "curie"


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["cardiology", "pacs-team"], Role.OPERATOR),
        (["pacs-admins"], Role.ADMIN),
        ("pacs-team", Role.OPERATOR),
    ],
)
def test_groups_say_what_a_person_may_now(
    console: ConsoleServer, provider: IdentityProvider, browser: Browser, groups: Any, role: Role
) -> None:
    come_back(browser, provider)
    provider.claims["groups"] = groups
    assert come_back(browser, provider).status == 303
    assert role_of(console, "curie") is role


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"groups": ["kitchen"]}, "none of your groups may use this node"),
        ({"groups": None}, "none of your groups may use this node"),
        ({"groups": [["pacs-admins"], 1]}, "none of your groups may use this node"),
        ({"preferred_username": None}, "does not say your preferred_username"),
        ({"preferred_username": "<b>"}, "calls you by a name that none can have here"),
        ({"preferred_username": "viewer"}, "there is a user of your name with a password here"),
        ({"aud": "another"}, "is none for this node now"),
        ({"aud": ["another", CLIENT]}, "is none for this node now"),
        ({"iss": "https://elsewhere.example"}, "is none for this node now"),
        ({"exp": 1_000_000_000}, "is none for this node now"),
        ({"exp": None}, "is none for this node now"),
        ({"nonce": "another"}, "is none for this node now"),
        ({"nonce": None}, "is none for this node now"),
    ],
)
def test_who_is_not_vouched_for_is_not_let_in_and_told_why(
    console: ConsoleServer,
    provider: IdentityProvider,
    browser: Browser,
    claims: dict[str, Any],
    said: str,
) -> None:
    provider.claims |= claims
    page = come_back(browser, provider)
    assert page.status == 403
    assert said in page.text
    assert browser.cookies == {}
    assert role_of(console, "curie") is None
    assert role_of(console, "viewer") is Role.VIEWER


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_the_provider_did_not_sign_is_none(
    provider: IdentityProvider, browser: Browser, algorithm: str
) -> None:
    provider.signs_with = algorithm
    assert come_back(browser, provider).status == 403
    assert browser.cookies == {}


def test_a_token_of_another_key_is_none_and_a_new_key_of_the_provider_is_taken_up(
    provider: IdentityProvider, browser: Browser
) -> None:
    assert come_back(browser, provider).status == 303
    provider.key = RSAKey.generate_key(2048, {"kid": "1"})
    assert come_back(browser, provider).status == 303, "its keys are looked at again"
    published = provider.document
    keys = published("/keys")
    provider.document = lambda path: keys if path.endswith("/keys") else published(path)  # type: ignore[method-assign]
    provider.key = RSAKey.generate_key(2048, {"kid": "1"})
    assert come_back(browser, provider).status == 403


def test_what_was_begun_in_another_browser_ends_in_none(
    console: ConsoleServer, provider: IdentityProvider, browser: Browser
) -> None:
    attackers = Browser(console.port)
    query = urlencode(provider.let_in(attackers.get("/sign-in/provider").headers["Location"]))
    for victim in (Browser(console.port), browser):
        page = victim.get(f"/sign-in/provider/back?{query}")
        assert page.status == 403
        assert "begun in another browser" in page.text
        victim.get("/sign-in/provider")
    assert provider.asked.count("/realms/hospital/token") == 0
    assert browser.get("/").status == 303


def test_an_answer_is_taken_once(provider: IdentityProvider, browser: Browser) -> None:
    led = browser.get("/sign-in/provider")
    begun = dict(browser.cookies)
    query = urlencode(provider.let_in(led.headers["Location"]))
    assert browser.get(f"/sign-in/provider/back?{query}").status == 303
    browser.cookies = begun
    assert browser.get(f"/sign-in/provider/back?{query}").status == 403


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil"])
def test_it_leads_nowhere_else(
    provider: IdentityProvider, browser: Browser, elsewhere: str
) -> None:
    page = come_back(browser, provider, f"/sign-in/provider?{urlencode({'to': elsewhere})}")
    assert page.headers["Location"] == "/"


def test_a_refusal_of_the_provider_and_a_wrong_secret_are_said(
    provider: IdentityProvider, browser: Browser, tmp_path: Path
) -> None:
    led = browser.get("/sign-in/provider")
    state = provider.let_in(led.headers["Location"])["state"]
    page = browser.get(f"/sign-in/provider/back?error=access_denied&state={state}")
    assert (page.status, "did not let you in" in page.text) == (403, True)
    (tmp_path / "secret").write_text("another")
    page = come_back(browser, provider)
    assert (page.status, "is the client secret right?" in page.text) == (403, True)
    (tmp_path / "secret").unlink()
    page = browser.get("/sign-in/provider")
    assert (page.status, "cannot read a secret" in page.text) == (503, True)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"issuer": "https://elsewhere.example"}, "it calls itself https://elsewhere.example"),
        ({"token_endpoint": "http://127.0.0.1/token"}, "its token_endpoint is not https"),
        ({"jwks_uri": "http://127.0.0.1/keys"}, "its jwks_uri is not https"),
        ({"jwks_uri": None}, "its jwks_uri is not https"),
    ],
)
def test_a_provider_that_is_not_what_it_should_be_is_said(
    provider: IdentityProvider, browser: Browser, metadata: dict[str, Any], said: str
) -> None:
    provider.metadata = metadata
    page = browser.get("/sign-in/provider")
    assert (page.status, said in page.text) == (503, True)


def test_a_provider_that_is_away_leaves_passwords(
    provider: IdentityProvider, browser: Browser
) -> None:
    provider.__exit__()
    page = browser.get("/sign-in/provider")
    assert (page.status, "cannot be asked" in page.text) == (503, True)
    assert browser.sign_in("viewer").status == 303


def test_who_is_vouched_for_has_no_password_here(
    console: ConsoleServer, provider: IdentityProvider, browser: Browser
) -> None:
    come_back(browser, provider)
    assert "it has your password" in browser.get("/account").text
    for password in ("", PASSWORD):
        assert Browser(console.port).sign_in("curie", password).status == 403
    admin = Browser(console.port)
    admin.sign_in("admin")
    number = [each.name for each in console.accounts.all()].index("curie") + 1
    new = {"name": "curie", "password": PASSWORD, "again": PASSWORD}
    page = admin.submit(f"/users/{number}/password", new)
    assert (page.status, "signs in at the identity provider" in page.text) == (409, True)
    console.accounts.remove("curie", by=SOMEBODY)
    assert browser.get("/").status == 303, "signed out"


def test_over_a_network_it_is_https_or_nothing(
    provider: IdentityProvider, browser: Browser
) -> None:
    assert browser.get("/sign-in/provider", X_Forwarded_For="192.0.2.7").status == 403
    over_https = {"X_Forwarded_For": "192.0.2.7", "X_Forwarded_Proto": "https"}
    led = browser.get("/sign-in/provider", **over_https)
    assert led.status == 303
    assert led.headers["Set-Cookie"].startswith("__Host-cardionode-begun=")
    assert "Secure" in led.headers["Set-Cookie"]


def test_without_a_provider_there_is_no_such_page(tmp_path: Path) -> None:
    with ConsoleServer(tmp_path) as server:
        browser = Browser(server.port)
        assert browser.get("/sign-in/provider").status == 404
        assert "Sign in with" not in browser.get("/sign-in").text


def test_a_secret_that_is_not_there_is_said_at_the_start(
    provider: IdentityProvider, tmp_path: Path
) -> None:
    settings = parse_settings(settings_of(provider, tmp_path), "node.toml")
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigurationError, match="cannot read a secret"):
        build_provider(settings.web.console.provider)
