"""Site profiles: the shipped one explains itself, a wrong one says all that is wrong."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError
from node.hl7.profile import Profile, read_profile, shipped_profile, shipped_profiles

DEFAULT = Path(__file__).resolve().parents[3] / "config" / "hl7" / "default.toml"


def test_the_shipped_profile_says_what_an_empty_one_means() -> None:
    assert read_profile(DEFAULT.read_text(encoding="utf-8")) == read_profile("") == Profile()


def test_the_shipped_profile_names_every_key() -> None:
    shipped = tomllib.loads(DEFAULT.read_text(encoding="utf-8"))
    assert shipped == Profile().model_dump(mode="json")


def test_each_key_of_the_shipped_profile_has_a_comment_above_it() -> None:
    lines = DEFAULT.read_text(encoding="utf-8").splitlines()
    tables = ("[sending]", "[receiving]", "[universal_service]")
    for above, line in itertools.pairwise(lines):
        key = line.split(" ")[0]
        top_level = key in Profile.model_fields and key != "placer_field_2"  # explained with the 1
        if top_level or line in tables:
            assert above.startswith("#"), line


def test_examples_are_shipped_beside_it() -> None:
    assert shipped_profiles() == ["default", "engine-2.4", "ris-2.3.1"]
    versions = {name: shipped_profile(name).version for name in shipped_profiles()}
    assert versions == {"default": "2.5.1", "engine-2.4": "2.4", "ris-2.3.1": "2.3.1"}


@pytest.mark.parametrize("name", shipped_profiles())
def test_an_example_says_what_it_is_for_and_why_each_key_differs(name: str) -> None:
    text = (DEFAULT.parent / f"{name}.toml").read_text(encoding="utf-8")
    for block in text.strip().split("\n\n"):
        assert block.startswith(("#", "[receiving]")), block


def test_rad_128_decides_the_defaults() -> None:
    profile = Profile()
    assert (profile.result_status, profile.diagnostic_section) == ("R", "RAD")
    assert (profile.version, profile.charset) == ("2.5.1", "UNICODE UTF-8")


def test_every_problem_is_named_at_once_with_its_key() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_profile(
            'version = "3"\ntext_report = "yes"\nfoo = 1\n[sending]\napplication = "A|B"\n'
        )
    for key in ("version: ", "text_report: ", "foo: no such key", "sending.application: "):
        assert key in caught.value.message


@pytest.mark.parametrize("status", ["F", "C", "X", ""])
def test_a_result_nobody_signed_is_never_final(status: str) -> None:
    with pytest.raises(ConfigurationError, match="result_status"):
        read_profile(f'result_status = "{status}"')


def test_what_is_not_toml_is_named_as_such() -> None:
    with pytest.raises(ConfigurationError, match="not TOML"):
        read_profile("version = ")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('study_link = "viewer.example"', "study_link: must begin with http"),
        ('study_link = "https://v/a b"', "study_link: must begin with http"),
        ('study_link = "https://v/{patient_id}"', r"study_link: \{patient_id\} is not one of"),
        ('study_link = "https://v/{study_uid!r}"', "study_link: braces must hold one of"),
        ('study_link = "https://v/{study_uid:>99}"', "study_link: braces must hold one of"),
        ('study_link = "https://v/{study_uid.__class__}"', "study_link: braces must hold one of"),
        ('study_link = "https://v/{}"', "study_link: braces must hold one of"),
        ('study_link = "https://v/{study_uid"', "study_link: braces must hold one of"),
        ('z_segments = [["ZDS", "{name}"]]', r"z_segments\.0: \{name\} is not one of"),
        ('z_segments = [["OBX", "1"]]', r"z_segments\.0: must be a name of Z"),
        ('z_segments = [["ZDS"]]', r"z_segments\.0: must be a name of Z"),
        ("z_segments = [[]]", r"z_segments\.0: must be a name of Z"),
        ('z_segments = [["ZDS", "a|b"]]', r"z_segments\.0: a field must not hold"),
        ('z_segments = [["ZDS", "a\\rOBX"]]', r"z_segments\.0: a field must not hold"),
        ('z_segments = ["ZDS"]', r"z_segments\.0: "),
        ('pdf_layout = "application^pdf^Base64"', "pdf_layout: "),
        ('pdf_layout = "^application^pdf^Hex"', "pdf_layout: "),
        ('pdf_layout = "^application^pdf|^Base64"', "pdf_layout: "),
        ('pdf = "yes"', "pdf: "),
        ('placer_field_2 = "issuer"', "placer_field_2: "),
    ],
)
def test_what_no_message_could_be_made_of_is_refused_with_its_key(line: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        read_profile(line)
