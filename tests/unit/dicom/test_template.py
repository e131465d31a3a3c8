"""Codes are checked against PS3.16 as pydicom carries it, units against the UK Biobank fields."""

from __future__ import annotations

import re
import shutil
from importlib import resources
from pathlib import Path

import pytest
from pydicom.sr._cid_dict import cid_concepts, name_for_cid  # type: ignore[attr-defined]
from pydicom.sr._concepts_dict import concepts as ps3_16

from node.dicom.template import Templates, load_templates
from node.domain.code import Code
from node.domain.errors import BundleError, ConfigurationError

STANDARD_SCHEMES = ("SCT", "LN", "DCM")

NOT_IN_PS3_16 = {
    # SNOMED CT disorders that DICOM does not list: 134401001 |Left ventricular systolic
    # dysfunction|, 55827005 |Left ventricular hypertrophy|, 3238004 |Pericarditis|.
    ("SCT", "134401001"),
    ("SCT", "55827005"),
    ("SCT", "3238004"),
}

OTHER_WORDING = {
    # Ours is the display form of the same concept; the dictionary has the fully specified name.
    ("SCT", "429483009"): "Right ventricular stroke volume (observable entity)",
    ("SCT", "70822001"): "Cardiac ejection fraction, function (observable entity)",
    ("SCT", "87878005"): "Left ventricular structure (body structure)",
    ("SCT", "53085002"): "Right ventricular structure (body structure)",
    ("SCT", "54247002"): "Ascending aorta structure (body structure)",
    ("SCT", "281130003"): "Descending aorta structure (body structure)",
    ("SCT", "268400002"): "12 lead electrocardiogram (procedure)",
}

AHA_SEGMENTS = (  # AHA statement 2002, doi 10.1161/hc0402.102975, figure 4
    "basal anterior",
    "basal anteroseptal",
    "basal inferoseptal",
    "basal inferior",
    "basal inferolateral",
    "basal anterolateral",
    "mid anterior",
    "mid anteroseptal",
    "mid inferoseptal",
    "mid inferior",
    "mid inferolateral",
    "mid anterolateral",
    "apical anterior",
    "apical septal",
    "apical inferior",
    "apical lateral",
)

UNITS = {  # UK Biobank fields as published; distensibility is in 10^-3 per mmHg
    "mL": [24100, 24101, 24102, 24106, 24107, 24108, 24110, 24111, 24112, 24114, 24115, 24116],
    "%": [24103, 24109, 24113, 24117, *range(24141, 24182)],
    "L/min": [24104],
    "g": [24105],
    "mm2": [24118, 24119, 24121, 24122],
    "10*-3/mm[Hg]": [24120, 24123],
    "mm": list(range(24124, 24141)),
}


@pytest.fixture(scope="module")
def templates() -> Templates:
    return load_templates()


def meanings(code: Code) -> set[str]:
    return {
        meaning
        for keyword in ps3_16[code.scheme].values()
        for value, (meaning, _) in keyword.items()
        if value == code.value
    }


def every_code(templates: Templates) -> list[Code]:
    report = templates.report
    codes = [concept.code for concept in templates.concepts.values()]
    codes += [concept.site for concept in templates.concepts.values() if concept.site]
    codes += [group.site for group in templates.groups]
    codes += [report.title, report.procedure_reported, report.algorithm_family, report.derivation]
    return [*codes, templates.probability, report.text.conclusion, templates.equipment.contribution]


def test_every_standard_code_means_in_ps3_16_what_we_say_it_means(templates: Templates) -> None:
    for code in every_code(templates):
        if code.scheme not in STANDARD_SCHEMES or (code.scheme, code.value) in NOT_IN_PS3_16:
            continue
        found = {meaning.lower() for meaning in meanings(code)}
        expected = OTHER_WORDING.get((code.scheme, code.value), code.meaning)
        assert expected.lower() in found, code


def test_codes_outside_ps3_16_and_our_scheme_are_the_three_listed_disorders(
    templates: Templates,
) -> None:
    unknown = {
        (code.scheme, code.value)
        for code in every_code(templates)
        if code.scheme in STANDARD_SCHEMES and not meanings(code)
    }
    assert unknown == NOT_IN_PS3_16
    others = {code.scheme for code in every_code(templates)} - set(STANDARD_SCHEMES)
    assert others == {templates.scheme.designator}


def test_all_82_fields_of_uk_biobank_are_coded_in_their_units(templates: Templates) -> None:
    expected = {str(field): unit for unit, fields in UNITS.items() for field in fields}
    assert set(expected) == {str(field) for field in range(24100, 24182)}
    for field_id, unit in expected.items():
        assert templates.concept(field_id).unit.value == unit, field_id


def test_segment_fields_follow_the_aha_numbering_with_codes_of_cid_3717(
    templates: Templates,
) -> None:
    assert name_for_cid[3717] == "LeftVentricleMyocardialWall17SegmentModel"
    members = {
        value
        for keyword in cid_concepts[3717]["SCT"]
        for value, (_, groups) in ps3_16["SCT"][keyword].items()
        if 3717 in groups
    }
    for first in (24124, 24141, 24158):
        for number, name in enumerate(AHA_SEGMENTS):
            site = templates.concept(str(first + number)).site
            assert site is not None
            assert site.meaning == f"left ventricle {name} segment"
            assert site.value in members


def test_no_two_fields_share_code_and_site(templates: Templates) -> None:
    pairs = [(concept.code, concept.site) for concept in templates.concepts.values()]
    assert len(set(pairs)) == len(pairs)


def test_a_field_without_a_code_refuses_the_bundle_and_is_named(templates: Templates) -> None:
    for ask in (templates.concept, templates.group):
        with pytest.raises(BundleError, match="'24999'"):
            ask("24999")
    with pytest.raises(BundleError, match="'24999'"):
        templates.codes(["24103", "24999"])


def test_private_code_values_fit_a_code_value_and_begin_with_no_digit(
    templates: Templates,
) -> None:
    for code in every_code(templates):
        assert len(code.value) <= 16
        if code.scheme == templates.scheme.designator:
            assert re.fullmatch(r"[A-Z][A-Z0-9-]+", code.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for entry in resources.files("dicom_templates").iterdir():
        if entry.name.endswith(".toml"):
            shutil.copy(str(entry), tmp_path / entry.name)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_all_problems_are_told_at_once(folder: Path) -> None:
    edit(folder / "cine.toml", "series_number = 9901", "series_number = 0")
    edit(folder / "cine.toml", "{view}", "the view")
    edit(folder / "cine.toml", "SYNTHETIC - NOT ACQUIRED - AI FROM ECG", "AI FROM ECG")
    edit(folder / "report.toml", f'version = "{load_templates().version}"', "version = 1")
    edit(folder / "concepts.toml", 'LN", "Left Ventricular ED Volume"', 'LN"')
    edit(folder / "concepts.toml", 'unit = "L/min"', 'unit = "l per min"')
    edit(folder / "summary.toml", "female = [80, 175]", "female = [175, 80]")
    edit(folder / "summary.toml", 'field = "24101"', 'field = "24999"')
    edit(folder / "summary.toml", "{coverage}", "the")
    (folder / "equipment.toml").unlink()
    with pytest.raises(ConfigurationError) as raised:
        load_templates(folder)
    for part in (
        "banner: must say SYNTHETIC",
        "series_number",
        "{view}",
        "version",
        "24100",
        "24104",
        "row[0].female",
        "row[1].field",
        "{coverage}",
        "equipment.toml",
    ):
        assert part in raised.value.message


def test_two_fields_with_one_code_and_site_are_a_problem(folder: Path) -> None:
    edit(folder / "concepts.toml", '"8823-7"', '"8821-1"')
    with pytest.raises(ConfigurationError, match="24101"):
        load_templates(folder)


def test_a_file_that_is_no_toml_is_named(folder: Path) -> None:
    (folder / "report.toml").write_text("series = [")
    with pytest.raises(ConfigurationError, match=r"report\.toml: cannot be read"):
        load_templates(folder)
