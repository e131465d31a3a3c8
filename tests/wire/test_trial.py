"""Each step of a trial against peers that are right, and wrong in one way each."""

from __future__ import annotations

import io
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import AE, evt

from node.configured_trial import try_destination
from node.dicom import dimse
from node.dicom.stand_in import PacsStandIn
from node.dicom.tls import CredentialFiles, server_context
from node.domain.errors import ConfigurationError
from node.hl7.message import read_header
from node.hl7.stand_in import Answer, RisStandIn, answer_as
from node.settings import Settings, read_settings
from tests.certificates import Authority
from tests.end_to_end.node_process import free_port


@pytest.fixture
def pacs() -> Iterator[PacsStandIn]:
    made = PacsStandIn(ae_title="PACS")
    yield made
    made.stop()


@pytest.fixture
def ris() -> Iterator[RisStandIn]:
    made = RisStandIn()
    yield made
    made.stop()


def settings_of(folder: Path, port: int, *, kind: str = "dicom", extra: str = "") -> Settings:
    file = folder / "node.toml"
    title = 'ae_title = "PACS"\n' if kind == "dicom" else ""
    file.write_text(
        f'{extra}\n[destinations.THERE]\nkind = "{kind}"\n{title}host = "127.0.0.1"\n'
        f"port = {port}\n",
        encoding="utf-8",
    )
    return read_settings(file)


@contextmanager
def tls_port(context: ssl.SSLContext) -> Iterator[int]:
    """A port where only who speaks TLS is answered."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(5)
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                secured.recv(1)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def tried(settings: Settings, *, sends: bool = False) -> tuple[list[str], str | None]:
    """The steps that worked, and what the last one complained of."""
    steps = list(try_destination(settings, "THERE", sends=sends))
    assert all(each.problem is None for each in steps[:-1])
    return [each.subject for each in steps if each.problem is None], steps[-1].problem


def test_a_pacs_that_is_right_passes_every_step_and_keeps_nothing(
    tmp_path: Path, pacs: PacsStandIn
) -> None:
    passed, problem = tried(settings_of(tmp_path, pacs.start()))
    assert problem is None
    assert passed == [
        "name", "connection", "association and C-ECHO", "SOP class of the cine",
        "SOP class of the summary", "SOP class of the report", "rules",
    ]  # fmt: skip
    assert pacs.received == {}


def test_a_wrong_port_is_said_so(tmp_path: Path) -> None:
    port = free_port()
    passed, problem = tried(settings_of(tmp_path, port))
    assert passed == ["name"]
    assert problem == f"nobody listens on 127.0.0.1:{port}: is it running, and is that its port?"


def test_a_name_that_nobody_has_is_said_so(tmp_path: Path, pacs: PacsStandIn) -> None:
    settings = settings_of(tmp_path, pacs.start())
    there = settings.destinations["THERE"].model_copy(update={"host": "pacs.invalid"})
    passed, problem = tried(settings.model_copy(update={"destinations": {"THERE": there}}))
    assert passed == []
    assert problem is not None
    assert problem.startswith("no machine is called pacs.invalid")


def test_a_wrong_ae_title_is_said_so(tmp_path: Path) -> None:
    other = AE(ae_title="OTHER")
    other.require_called_aet = True
    other.add_supported_context(dimse.VERIFICATION)
    server = other.start_server(("127.0.0.1", 0), block=False)
    assert server is not None
    try:
        passed, problem = tried(settings_of(tmp_path, server.server_address[1]))
    finally:
        server.shutdown()
        server.server_close()
    assert passed == ["name", "connection"]
    assert problem is not None
    assert "rejected the association; does it know the calling AE title CARDIONODE" in problem


def test_a_peer_that_takes_no_report_is_said_so(
    tmp_path: Path, pacs: PacsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [each for each in dimse.RESULT_STORAGE if each != dimse.COMPREHENSIVE_3D_SR]
    monkeypatch.setattr(dimse, "RESULT_STORAGE", others)
    passed, problem = tried(settings_of(tmp_path, pacs.start()))
    assert passed[-1] == "SOP class of the summary"
    assert problem is not None
    assert f"does not take SOP class {dimse.COMPREHENSIVE_3D_SR}" in problem


@pytest.mark.parametrize("kind", ["dicom", "hl7"])
def test_a_peer_that_wants_tls_is_said_so(tmp_path: Path, kind: str) -> None:
    authority = Authority(tmp_path)
    peer = authority.issue("peer")
    files = CredentialFiles(
        certificate=peer.certificate, key=peer.key, authorities=authority.file,
        minimum_version=ssl.TLSVersion.TLSv1_2,
    )  # fmt: skip
    with tls_port(server_context(files)) as port:
        passed, problem = tried(settings_of(tmp_path, port, kind=kind))
    assert passed == ["name", "connection"]
    assert problem == (f"127.0.0.1:{port} speaks TLS alone: set destinations.THERE.tls = true")


def test_a_ris_that_is_right_passes_every_step_and_is_told_nothing(
    tmp_path: Path, ris: RisStandIn
) -> None:
    passed, problem = tried(settings_of(tmp_path, ris.start(), kind="hl7"))
    assert problem is None
    assert passed == ["name", "connection", "without TLS", "MLLP", "rules"]
    assert ris.received == {}


def test_tls_towards_a_peer_without_is_said_so(tmp_path: Path, ris: RisStandIn) -> None:
    node = Authority(tmp_path).issue("node")
    settings = settings_of(tmp_path, ris.start(), kind="hl7", extra=node.toml())
    there = settings.destinations["THERE"].model_copy(update={"tls": True})
    passed, problem = tried(settings.model_copy(update={"destinations": {"THERE": there}}))
    assert passed == ["name", "connection"]
    assert problem is not None
    assert "TLS" in problem


def test_tls_towards_a_pacs_without_is_said_so(tmp_path: Path, pacs: PacsStandIn) -> None:
    node = Authority(tmp_path).issue("node")
    port = pacs.start()
    settings = settings_of(tmp_path, port, extra=node.toml())
    there = settings.destinations["THERE"].model_copy(update={"tls": True})
    passed, problem = tried(settings.model_copy(update={"destinations": {"THERE": there}}))
    assert passed == ["name", "connection"]
    assert problem is not None
    assert problem.startswith(f"127.0.0.1:{port} speaks no TLS: name its port with TLS")


def test_what_is_not_configured_is_not_tried(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no destination 'NOWHERE'"):
        list(try_destination(settings_of(tmp_path, 1), "NOWHERE"))


def test_test_results_stay_at_a_pacs_the_same_each_time(tmp_path: Path, pacs: PacsStandIn) -> None:
    settings = settings_of(tmp_path, pacs.start())
    passed, problem = tried(settings, sends=True)
    assert problem is None
    assert passed[-4:] == ["test results", "test cine", "test summary", "test report"]
    first = pacs.instances()
    for uid, content in first.items():
        instance = dcmread(io.BytesIO(content), force=True)
        assert instance.SOPInstanceUID == uid
        assert instance.PatientID == "CARDIONODE-TEST"
        assert "SYNTHETIC" in instance.SeriesDescription
    tried(settings, sends=True)
    assert pacs.instances() == first
    assert len(pacs.stores) == 2 * len(first) == 6


def test_a_pacs_that_offers_and_does_not_store_is_said_so(
    tmp_path: Path, pacs: PacsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacs, "_on_store", lambda event: 0xA700)
    passed, problem = tried(settings_of(tmp_path, pacs.start()), sends=True)
    assert passed[-1] == "test results"
    assert problem is not None
    assert "0xA700" in problem


@pytest.mark.parametrize("status", [0x0000, 0x0124])
def test_a_commitment_is_asked_for_where_it_is_wanted(tmp_path: Path, status: int) -> None:
    asked: list[str] = []

    def act(event: evt.Event) -> tuple[int, None]:
        asked.extend(
            item.ReferencedSOPInstanceUID for item in event.action_information.ReferencedSOPSequence
        )
        return status, None

    ae = AE(ae_title="PACS")
    for sop_class_uid in (dimse.VERIFICATION, dimse.STORAGE_COMMITMENT, *dimse.RESULT_STORAGE):
        ae.add_supported_context(sop_class_uid, dimse.RECEIVED_TRANSFER_SYNTAXES)
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[(evt.EVT_C_STORE, lambda event: 0x0000), (evt.EVT_N_ACTION, act)],
    )
    assert server is not None
    try:
        settings = settings_of(tmp_path, server.server_address[1])
        there = settings.destinations["THERE"].model_copy(update={"commitment": True})
        passed, problem = tried(
            settings.model_copy(update={"destinations": {"THERE": there}}), sends=True
        )
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == 3
    assert (passed[-1] == "commitment to the test results") == (problem is None) == (status == 0)


def test_a_ris_acknowledges_a_message_for_training(tmp_path: Path, ris: RisStandIn) -> None:
    settings = settings_of(tmp_path, ris.start(), kind="hl7")
    (*_, last) = try_destination(settings, "THERE", sends=True)
    assert last.subject == "test oru"
    assert last.problem is None
    assert last.detail.startswith("acknowledged with AA in ")
    (message,) = ris.received.values()
    assert read_header(message).processing_id == "T"
    assert b"CARDIONODE-TEST" in message


def test_a_ris_that_refuses_the_message_is_said_so(
    tmp_path: Path, ris: RisStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse = partial(answer_as, Answer.AR, at=datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(ris, "_answer", lambda message, peer: refuse(message))
    passed, problem = tried(settings_of(tmp_path, ris.start(), kind="hl7"), sends=True)
    assert passed[-1] == "test results"
    assert problem is not None
    assert "AR" in problem


def test_a_pacs_that_no_rule_sends_anything_is_said_so(tmp_path: Path, pacs: PacsStandIn) -> None:
    rule = (
        '[[rules]]\nname = "other"\ndestinations = ["OTHER"]\n'
        '[destinations.OTHER]\nkind = "hl7"\nhost = "127.0.0.1"\nport = 1\n'
    )
    passed, problem = tried(settings_of(tmp_path, pacs.start(), extra=rule))
    assert passed[-1] == "association and C-ECHO"
    assert problem is not None
    assert problem.startswith("no rule has a result sent to THERE")
