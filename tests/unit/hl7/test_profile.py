"""Site profiles: the shipped one explains itself, a wrong one says all that is wrong."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError
from node.hl7.profile import Profile, read_profile

DEFAULT = Path(__file__).resolve().parents[3] / "config" / "hl7" / "default.toml"


def test_the_shipped_profile_says_what_an_empty_one_means() -> None:
    assert read_profile(DEFAULT.read_text(encoding="utf-8")) == read_profile("") == Profile()


def test_the_shipped_profile_names_every_key() -> None:
    shipped = tomllib.loads(DEFAULT.read_text(encoding="utf-8"))
    assert shipped == Profile().model_dump()


def test_each_key_of_the_shipped_profile_has_a_comment_above_it() -> None:
    lines = DEFAULT.read_text(encoding="utf-8").splitlines()
    tables = ("[sending]", "[receiving]", "[universal_service]")
    for above, line in itertools.pairwise(lines):
        top_level = line.split(" ")[0] in Profile.model_fields
        if top_level or line in tables:
            assert above.startswith("#"), line


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
