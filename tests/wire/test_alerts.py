"""Alerts by mail and by webhook, with servers that take them, and such as do not."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from node.alerts.mail import Mail
from node.configured import build_notifiers
from node.domain.alert import Alert, AlertState, Condition
from node.domain.errors import CardioNodeError, ConfigurationError
from node.settings import parse_settings
from tests.certificates import HOST, Authority
from tests.end_to_end.node_process import free_port

PASSWORD = "correct horse battery"
ALERTS = [
    Alert(
        state=state,
        condition=Condition(key=key, said=f"{key} takes nothing"),
        since=datetime(2026, 1, 1, 3, 0, tzinfo=UTC),
    )
    for key, state in (("PACS", AlertState.BEGAN), ("RIS", AlertState.ENDED))
]


class Postbox:
    """What a mail server took."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.users: list[str] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.messages.append(message_from_bytes(envelope.content, policy=default))
        return "250 taken"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 there is nobody"
        envelope.rcpt_tos.append(address)
        return "250 ok"

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, login: Any
    ) -> AuthResult:
        self.users.append(login.login.decode())
        return AuthResult(success=login.password.decode() == PASSWORD, handled=False)


@contextmanager
def mail_server(authority: Authority | None = None) -> Iterator[tuple[Postbox, int]]:
    """One that wants TLS and a password where it has a certificate."""
    box, extra = Postbox(), dict[str, Any]()
    if authority is not None:
        shown = authority.issue("mail")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(shown.certificate, shown.key)
        extra = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": box.authenticate,
        }
    controller = Controller(box, hostname=HOST, port=free_port(), **extra)
    controller.start()
    try:
        yield box, controller.port
    finally:
        controller.stop()


def mail_of(
    folder: Path,
    port: int,
    *,
    authorities: Path | None = None,
    password: str = PASSWORD,
    to: str = "admins@example.org",
) -> Mail:
    text = f'[alerts.mail]\nhost = "{HOST}"\nport = {port}\nsender = "node@example.org"\n'
    text += f'recipients = ["{to}"]\ntimeout_s = 5\n'
    if authorities is None:
        text += 'security = "none"\n'
    else:
        (folder / "password").write_text(password)
        text += f'user = "node"\npassword = "file:{folder / "password"}"\n'
        text += f'authorities = "{authorities}"\n'
    found = build_notifiers(parse_settings(text, "node.toml").alerts)["mail"]
    assert isinstance(found, Mail)
    return found


def test_mail_is_written_over_tls_to_a_server_that_wants_a_password(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with mail_server(authority) as (box, port):
        mail_of(tmp_path, port, authorities=authority.file).tell("heart", ALERTS)
    (message,) = box.messages
    assert box.users == ["node"]
    assert message["To"] == "admins@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Subject"].strip() == (
        "CardioNode heart: PACS takes nothing (since 2026-01-01 03:00 UTC) and 1 more"
    )
    text = message.get_payload()
    assert "Over: RIS takes nothing (since 2026-01-01 03:00 UTC)" in str(text)


def test_a_mail_server_of_the_house_may_want_neither(tmp_path: Path) -> None:
    with mail_server() as (box, port):
        mail_of(tmp_path, port).tell("heart", ALERTS[:1])
    assert len(box.messages) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("password", "535"),
        ("authority", "is not trusted"),
        ("recipient", "it does not take mail for nobody@example.org"),
        ("port", "check address, port and firewall"),
    ],
)
def test_a_mail_that_is_not_taken_says_why(tmp_path: Path, wrong: str, said: str) -> None:
    authority = Authority(tmp_path)
    with mail_server(authority) as (box, port):
        mail = mail_of(
            tmp_path,
            free_port() if wrong == "port" else port,
            authorities=Authority(tmp_path, "other").file
            if wrong == "authority"
            else authority.file,
            password="wrong" if wrong == "password" else PASSWORD,
            to="nobody@example.org" if wrong == "recipient" else "admins@example.org",
        )
        with pytest.raises(CardioNodeError) as refusal:
            mail.tell("heart", ALERTS)
    assert said in refusal.value.message
    assert PASSWORD not in refusal.value.message
    assert box.messages == []


@contextmanager
def webhook_server(status: int = 200) -> Iterator[tuple[list[tuple[str, Any]], int]]:
    taken: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append((self.path, json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield taken, server.server_port
    finally:
        server.shutdown()
        server.server_close()


def webhook_settings(folder: Path, url: str) -> str:
    (folder / "url").write_text(url)
    return f'[alerts.webhook]\nurl = "file:{folder / "url"}"\n'


def test_a_webhook_has_a_text_for_people_and_the_rest_for_machines(tmp_path: Path) -> None:
    with webhook_server() as (taken, port):
        text = webhook_settings(tmp_path, f"http://{HOST}:{port}/services/key?thread=1")
        build_notifiers(parse_settings(text, "node.toml").alerts)["webhook"].tell("heart", ALERTS)
    ((path, body),) = taken
    assert path == "/services/key?thread=1"
    assert body["text"].splitlines() == [
        "CardioNode heart",
        "PACS takes nothing (since 2026-01-01 03:00 UTC)",
        "Over: RIS takes nothing (since 2026-01-01 03:00 UTC)",
    ]
    assert body["alerts"][1] == {
        "state": "ended", "key": "RIS", "said": "RIS takes nothing",
        "since": "2026-01-01T03:00:00+00:00",
    }  # fmt: skip


def test_a_webhook_that_refuses_is_said_without_its_path(tmp_path: Path) -> None:
    with webhook_server(404) as (_, port):
        text = webhook_settings(tmp_path, f"http://{HOST}:{port}/services/key")
        webhook = build_notifiers(parse_settings(text, "node.toml").alerts)["webhook"]
        with pytest.raises(CardioNodeError, match="answers 404") as refusal:
            webhook.tell("heart", ALERTS)
    assert "key" not in refusal.value.message


@pytest.mark.parametrize("url", ["ftp://a/b", "http://[", "https://user:pw@a/b", "nothing"])
def test_a_webhook_that_is_none_is_refused_at_the_start_and_not_shown(
    tmp_path: Path, url: str
) -> None:
    settings = parse_settings(webhook_settings(tmp_path, url), "node.toml")
    with pytest.raises(ConfigurationError) as refusal:
        build_notifiers(settings.alerts)
    assert url not in refusal.value.message
