"""The configuration: the default runs as it is, and every problem of a file is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError
from node.domain.form import (
    DEFAULT_FORM,
    CharacterSet,
    CineForm,
    Compression,
    ReportForm,
    ResultForm,
    StudyForm,
)
from node.settings import DicomDestinationSettings, read_settings


def test_the_annotated_default_runs_as_it_is_on_loopback() -> None:
    settings = read_settings()
    assert settings.dicom.ae_titles == ("CARDIONODE",)
    assert (settings.dicom.port, settings.hl7.port, settings.web.port) == (11112, 2575, 8080)
    assert {settings.dicom.host, settings.hl7.host, settings.web.host} == {"127.0.0.1"}


def test_a_file_changes_only_the_keys_it_names(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("dicom.port = 104\n")
    settings = read_settings(file)
    assert settings.dicom.port == 104
    assert settings.dicom.maximum_associations == read_settings().dicom.maximum_associations


def test_set_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("dicom.port = 104\n")
    assert read_settings(file, ["dicom.port=11912"]).dicom.port == 11912
    assert read_settings(file, ["model.bundle=mine"]).model.bundle == "mine"


def test_every_problem_is_said_at_once_with_its_key_path(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        """
dicom.port = 99999
dicom.ae_titles = ["MUCH_TOO_LONG_AN_AE_TITLE"]
hl7.prot = 1
[destinations.PACS]
kind = "dicom"
host = "192.0.2.1"
"""
    )
    with pytest.raises(ConfigurationError) as problem:
        read_settings(file)
    for path in ("dicom.port", "dicom.ae_titles.0", "hl7.prot", "destinations.PACS"):
        assert path in problem.value.message


def test_a_rule_that_names_no_destination_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[rules]]\nname = "ED"\ndestinations = ["PACS"]\n')
    with pytest.raises(ConfigurationError, match=r"\[destinations.PACS\]"):
        read_settings(file)


def test_a_file_that_is_not_toml_or_not_there_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_settings(file)
    file.write_text("dicom = [")
    with pytest.raises(ConfigurationError, match="not TOML"):
        read_settings(file)


ARCHIVE = """
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "192.0.2.1"
port = 104
"""


def form_of(tmp_path: Path, text: str) -> tuple[ResultForm, Compression]:
    file = tmp_path / "node.toml"
    file.write_text(ARCHIVE + text)
    destination = read_settings(file).destinations["PACS"]
    assert isinstance(destination, DicomDestinationSettings)
    return destination.form, destination.compression


def test_a_destination_chooses_the_form_of_its_results(tmp_path: Path) -> None:
    assert form_of(tmp_path, "") == (DEFAULT_FORM, Compression.NONE)
    text = 'cine = "single-frames"\nreport = "none"\nstudy = "new"\ncharacter_set = "ISO_IR 100"\n'
    chosen = ResultForm(
        cine=CineForm.SINGLE_FRAMES,
        report=ReportForm.NONE,
        study=StudyForm.NEW,
        character_set=CharacterSet.LATIN_1,
    )
    assert form_of(tmp_path, text + 'compression = "jpeg-2000"') == (chosen, Compression.JPEG_2000)


def test_a_form_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PACS.*cine: .*'true-color'.*it is 'colour'"):
        form_of(tmp_path, 'cine = "colour"')
