"""The HL7 statement against the code that it describes, and its messages before other readers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from typer.testing import CliRunner

from node.cli import app
from node.configured import profiles_of
from node.conformance.messages import message_statement
from node.conformance.prose import load_prose
from node.conformance.specimen import message_specimens
from node.dicom.template import load_templates
from node.hl7.message import CODECS
from node.hl7.news import MESSAGES, read_news
from node.hl7.profile import shipped_profile, shipped_profiles
from node.hl7.segment import Segment
from node.settings import read_settings
from tests.statement_tables import section, tables

DOCS = Path(__file__).parents[3] / "docs" / "hl7-conformance.md"
OF_THE_HEADER = {f"MSH-{number}" for number in (9, 10, 11, 15, 16, 18)}
"""Read for the acknowledgement (node/hl7/acknowledgement.py, message.py)."""
WITH_EVERYTHING = (
    "PID|||P^^^A^MR||N||1970|F\r",
    "MRG|Q||||||N\r",
    "ORC|SC|||||\rOBR|1|P|F|A^B^C\rIPC\rORC|NW|P\rOBR\rIPC|A|B|1.2\rZDS|1.2\r",
)


@cache
def statement() -> str:
    return message_statement(read_settings(), "the annotated default", {})


def test_the_copy_in_docs_is_what_the_command_prints() -> None:
    """`cardionode conformance --hl7 --out docs/hl7-conformance.md` renews it."""
    printed = CliRunner().invoke(app, ["conformance", "--hl7"])
    assert printed.exit_code == 0
    assert printed.output == DOCS.read_text(encoding="utf-8") == statement()


def test_a_page_for_a_browser_is_made_of_it() -> None:
    printed = CliRunner().invoke(app, ["conformance", "--hl7", "--format", "html"])
    assert "<title>HL7 Conformance Statement</title>" in printed.output


def test_the_fields_that_are_read_are_those_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    original = Segment._field

    def noting(segment: Segment, number: int) -> str:
        read.add(f"{segment.name}-{number}")
        return original(segment, number)

    monkeypatch.setattr(Segment, "_field", noting)
    pid, mrg, orders = WITH_EVERYTHING
    for event in sorted(MESSAGES):
        body = pid + (mrg if event.startswith("ADT") else orders)
        message = f"MSH|^~\\&|||||||{event}|1|P|2.5.1\r{body}"
        read_news(message.encode(), event, unmarked="ASCII")
    (rows,) = tables(statement(), "4.1")
    assert {row["Field"] for row in rows} == read | OF_THE_HEADER


def test_what_is_sent_is_told_for_each_profile_field_by_field() -> None:
    for place, name in enumerate(shipped_profiles(), start=1):
        profile = shipped_profile(name)
        message = message_specimens(load_templates(), profile)["Result"]
        lines = message.decode(CODECS[profile.charset]).split("\r")
        (rows,) = tables(statement(), f"3.{place}")
        assert all(row["Name"] and row["What it holds"] for row in rows)
        for row in rows:
            segment, _, number = row["Field"].partition("-")
            if segment == "MSH":
                continue
            first = [line.split("|") for line in lines if line.startswith(f"{segment}|")]
            values = [fields[int(number)] for fields in first if len(fields) > int(number)]
            assert row["Example"] == next(value for value in values if value)
        told = {row["Field"] for row in rows if not row["Field"].startswith("Z")}
        assert told <= set(load_prose().hl7_field)


@pytest.mark.parametrize("name", shipped_profiles())
def test_the_examples_are_messages_to_other_readers(name: str) -> None:
    profile = shipped_profile(name)
    for message in message_specimens(load_templates(), profile).values():
        text = message.decode(CODECS[profile.charset])
        assert str(hl7.parse(text).segment("MSH")[12]) == profile.version
        standard = "\r".join(line for line in text.split("\r") if not line.startswith("Z"))
        parsed = parse_message(standard, validation_level=VALIDATION_LEVEL.TOLERANT)
        assert parsed.validate()


def test_the_answers_are_those_of_the_acknowledgement() -> None:
    (rows,) = tables(statement(), "4.2")
    found = {row.pop("What speaks against it"): " / ".join(row.values()) for row in rows}
    assert found["Nothing"] == "AA / CA / CA, AA / AA / none / none"
    assert found["The disk is full"] == "AE 207 / CE 207 / CE 207 / AE 207 / CE 207 / none"
    assert found["Another processing id"].startswith("AR 202 / CR 202")
    assert found["Bytes that are not of its character set"].startswith("AE 102 / CA / CA, AE 102")


def test_a_destination_is_told_with_its_own_profile_and_no_secret(tmp_path: Path) -> None:
    profile = tmp_path / "site.toml"
    profile.write_text('version = "2.4"\nz_segments = [["ZZZ", "{accession}"]]\n')
    configuration = tmp_path / "node.toml"
    configuration.write_text(
        '[destinations.RIS]\nkind = "hl7"\nhost = "192.0.2.7"\nport = 2576\n'
        f'profile = "{profile}"\n'
    )
    settings = read_settings(configuration)
    text = message_statement(settings, "a site's", profiles_of(settings))
    assert "192.0.2.7:2576" in section(text, "2.2")
    assert "version 2.4" in section(text, "3.1")
    assert "| ZZZ-1 | of the site |" in section(text, "3.1")
    assert len(re.findall(r"## 3\.\d+ ORU", text)) == 1
