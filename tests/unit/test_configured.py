"""The settings in the terms of the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.configured import listening_ports, profile_of
from node.domain.errors import ConfigurationError
from node.domain.host import HostRole
from node.hl7.profile import Profile, shipped_profile, shipped_profiles
from node.settings import Hl7DestinationSettings, parse_settings


def profile(named: str) -> Profile:
    return profile_of(Hl7DestinationSettings(kind="hl7", host="ris", port=2575, profile=named))


@pytest.mark.parametrize("name", shipped_profiles())
def test_a_shipped_profile_goes_by_its_name(name: str) -> None:
    assert profile(name) == shipped_profile(name)


def test_a_site_has_a_file_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "default.toml"
    file.write_text('version = "2.4"', encoding="utf-8")
    assert profile(str(file)) == Profile(version="2.4")


def test_a_name_that_is_neither_is_told_what_there_is(tmp_path: Path) -> None:
    missing = tmp_path / "ris-2.3.toml"
    with pytest.raises(ConfigurationError, match=r"one of default, engine-2\.4, ris-2\.3\.1"):
        profile(str(missing))


def test_a_process_listens_where_its_roles_do() -> None:
    settings = parse_settings("hl7.tls_port = 2576\n" + TLS, "a test")
    everywhere = {key: port for _, key, _, port in listening_ports(settings)}
    assert everywhere == {
        "dicom.port": 11112, "hl7.port": 2575, "hl7.tls_port": 2576, "web.port": 8080,
    }  # fmt: skip
    sending = listening_ports(settings, frozenset({HostRole.SEND}))
    assert [key for _, key, _, _ in sending] == ["web.port"]


TLS = 'tls = {certificate = "a.pem", key = "a.key", authorities = "ca.pem"}\n'
