"""Callers seen by the administrator: `cardionode peers list`, `refused`, `allow`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli import app
from node.domain.caller import Permission, Refusal
from node.domain.errors import CardioNodeError, NotPossible
from node.settings import read_settings
from node.store.database import Database
from node.store.refused import RefusedCallers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PEERS_AS_TABLES = """
[dicom]
ae_titles = ["CARDIONODE", "RESEARCH"]
[[dicom.peers]]
ae_title = "ED_*"
networks = ["192.0.2.0/24"]
called_ae = "CARDIONODE"
may = ["store"]
"""
PEERS_AS_LIST = """
[dicom]
peers = [
    { ae_title = "ED_*", networks = ["192.0.2.0/24"] },
]
"""


class Site:
    """A home with refused callers, and a configuration."""

    def __init__(self, folder: Path) -> None:
        self.home, self.file = folder, folder / "node.toml"
        self.file.write_text(PEERS_AS_TABLES)

    def refuse(self, **fields: str) -> None:
        named = {"calling_ae": "CART", "called_ae": "CARDIONODE", "peer": "192.0.2.7"}
        refusal = Refusal(**(named | {"reason": "unknown"} | fields))
        database = Database(f"sqlite:///{self.home}/node.db")
        database.prepare()
        with database.write() as connection:
            RefusedCallers(connection).add({refusal: 3}, at=NOW)
        database.close()

    def run(self, *words: str) -> str:
        options = ["--config", str(self.file)]
        if words[0] != "list":
            options += ["--home", str(self.home)]
        done = CliRunner().invoke(app, ["peers", *words, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_allow_list_is_shown_as_configured(site: Site) -> None:
    (peer,) = json.loads(site.run("list", "--json"))
    assert peer == {
        "ae_title": "ED_*",
        "networks": ["192.0.2.0/24"],
        "called_ae": "CARDIONODE",
        "may": ["store"],
        "certificate": None,
    }
    for words in ("ED_*", "192.0.2.0/24", "CARDIONODE", "store"):
        assert words in site.run("list")


def test_whoever_was_refused_is_shown_with_its_reason_and_what_holds_now(site: Site) -> None:
    site.refuse()
    site.refuse(calling_ae="ED_1", reason="was unknown")
    site.refuse(calling_ae="", called_ae="", reason="nothing was sent in time")
    callers = json.loads(site.run("refused", "--json"))
    assert [(each["calling_ae"], each["now"]) for each in callers] == [
        ("CART", "refused"),
        ("ED_1", "may store"),
        ("", "refused"),
    ]
    assert callers[0] == {
        "number": 1, "calling_ae": "CART", "called_ae": "CARDIONODE", "peer": "192.0.2.7",
        "reason": "unknown", "count": 3, "now": "refused",
        "first_seen_at": NOW.isoformat(), "last_seen_at": NOW.isoformat(),
    }  # fmt: skip
    assert "nothing was sent in time" in site.run("refused")


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize("text", [PEERS_AS_TABLES, PEERS_AS_LIST, "", "dicom.port = 104\n"])
def test_a_refused_caller_is_let_in_beside_those_that_are(
    site: Site, address: str, text: str
) -> None:
    site.file.write_text(text)
    before = read_settings(site.file).dicom.peers
    site.refuse(peer=address)
    shown = site.run("allow", "1", "--may", "store", "--dry-run")
    assert f"{address}/" in shown
    assert site.file.read_text() == text
    assert site.run("allow", "1", "--may", "store").startswith(shown)
    *kept, added = read_settings(site.file).dicom.peers
    assert tuple(kept) == before
    assert (added.ae_title, added.may) == ("CART", (Permission.STORE,))
    assert json.loads(site.run("refused", "--json"))[0]["now"] == "may store"
    assert "admits this caller" in site.run("allow", "1", "--may", "store")
    site.run("allow", "1")
    assert json.loads(site.run("refused", "--json"))[0]["now"] == "may store, echo, report"


def test_what_is_changed_or_tried_by_a_command_is_kept_in_the_audit(site: Site) -> None:
    site.refuse()
    site.run("allow", "1", "--dry-run")
    site.run("allow", "1")
    away = 'destinations.RIS={kind = "hl7", host = "127.0.0.1", port = 1}'
    for words, status in (
        (["config", "set", away], 0),
        (["config", "unset", "destinations.RIS.port", "--dry-run"], 1),
        (["destinations", "test", "RIS"], 1),
        (["config", "unset", "destinations.RIS"], 0),
    ):
        options = ["--config", str(site.file), "--home", str(site.home)]
        assert CliRunner().invoke(app, [*words, *options]).exit_code == status, words
    shown = CliRunner().invoke(app, ["audit", "--json", *options])
    noted = [each["said"] for each in json.loads(shown.stdout)[::-1]]
    assert noted == [
        "CART at 192.0.2.7 may call CARDIONODE",
        "destinations.RIS set",
        "RIS: nobody listens on 127.0.0.1:1: is it running, and is that its port?",
        "destinations.RIS unset",
    ]


def test_a_caller_that_calls_itself_a_pattern_lets_in_nobody_else(site: Site) -> None:
    site.refuse(calling_ae="*")
    site.run("allow", "1")
    site.refuse(calling_ae="OTHER")
    now = {each["calling_ae"]: each["now"] for each in json.loads(site.run("refused", "--json"))}
    assert now == {"*": "may store, echo, report", "OTHER": "refused"}


def test_an_ae_title_that_we_have_not_is_added_to_ours(site: Site) -> None:
    site.refuse(calling_ae="ED_1", called_ae="ELSEWHERE")
    site.run("allow", "1")
    dicom = read_settings(site.file).dicom
    assert dicom.ae_titles == ("CARDIONODE", "RESEARCH", "ELSEWHERE")
    assert dicom.peers[-1].called_ae == "ELSEWHERE"


def test_a_caller_with_another_certificate_is_told_of_it_and_gets_no_second_entry(
    site: Site,
) -> None:
    site.file.write_text(
        PEERS_AS_TABLES.replace("[dicom]", "[dicom]\ntls_port = 0")
        + 'certificate = "cart-*"\n[tls]\ncertificate = "a"\nkey = "b"\nauthorities = "c"\n'
    )
    site.refuse(calling_ae="ED_1", reason="admits with another certificate only")
    printed = site.run("allow", "1", "--may", "store")
    assert "another certificate" in printed
    assert "[[dicom.peers]]" not in printed


@pytest.mark.parametrize("fields", [{"calling_ae": "A\\x01"}, {"calling_ae": "", "called_ae": ""}])
def test_what_no_configuration_lets_in_is_said(site: Site, fields: dict[str, str]) -> None:
    site.refuse(**fields)
    with pytest.raises(NotPossible, match="see to the caller"):
        site.run("allow", "1")
    with pytest.raises(CardioNodeError, match="no refused caller 9"):
        site.run("allow", "9")
