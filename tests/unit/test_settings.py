"""The configuration: the default runs as it is, and every problem of a file is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.caller import Permission
from node.domain.errors import ConfigurationError
from node.settings import read_settings


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


def test_a_peer_that_says_no_more_may_ask_everything_of_every_ae_title(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[dicom.peers]]\nae_title = "CART"\nnetworks = ["192.0.2.7/32"]\n')
    (peer,) = read_settings(file).dicom.peers
    assert (peer.called_ae, peer.may) == ("*", tuple(Permission))


def test_a_permission_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[dicom.peers]]\nae_title = "C"\nnetworks = ["::1"]\nmay = ["find"]\n')
    with pytest.raises(ConfigurationError, match=r"peers\.0\.may\.0: .*'store'.*'echo'"):
        read_settings(file)


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


TLS = """
[tls]
certificate = "node.pem"
key = "node.key"
authorities = "ca.pem"
"""


def problem(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_settings(file)
    return raised.value.message


def test_a_node_may_listen_with_tls_alone(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('dicom.port = "off"\ndicom.tls_port = 2762\n' + TLS)
    settings = read_settings(file)
    assert (settings.dicom.port, settings.dicom.tls_port) == (None, 2762)
    assert settings.tls is not None
    assert settings.tls.minimum_version == "1.2"


def test_tls_that_cannot_be_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    pacs = '[destinations.PACS]\nkind = "dicom"\nae_title = "P"\nhost = "h"\nport = 1\n'
    peer = '[{ ae_title = "*", networks = ["127.0.0.1/32"], certificate = "cart-*" }]'
    assert "table [tls]" in problem(file, "dicom.tls_port = 2762")
    assert "destinations.PACS.tls: TLS needs" in problem(file, pacs + "tls = true\n")
    assert "set tls = true too" in problem(file, pacs + 'server_name = "pacs.example"\n')
    assert 'both "off"' in problem(file, 'dicom.port = "off"')
    assert "set tls_port" in problem(file, f"dicom.peers = {peer}")
    assert "tls.minimum_version" in problem(file, TLS + 'minimum_version = "1.1"\n')
