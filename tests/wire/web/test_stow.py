"""STOW-RS into the node, by plain HTTP and by a foreign user agent; hostile ones too."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dicomweb_client import DICOMwebClient
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian
from requests import HTTPError, Session

from node.dicom.dicomweb import StowClient, TlsFiles
from node.domain.errors import OutOfSpace, StorageError
from tests.ecg_instances import instances, mortara
from tests.wire.web.stow_server import AUTHORIZED, RELATED, TOKEN, StowServer, multipart

(UID, ECG), (OTHER_UID, OTHER) = instances(2)
STUDY = str(dcmread(io.BytesIO(ECG)).StudyInstanceUID)
PATIENT = "Doe^Jane"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StowServer]:
    with StowServer(tmp_path) as made:
        yield made
        assert made.said("request failed") == []


def changed(**attributes: Any) -> bytes:
    """The ECG, as another."""
    dataset = dcmread(io.BytesIO(ECG))
    meta = attributes.pop("meta", {})
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    for keyword, value in meta.items():
        setattr(dataset.file_meta, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def read(body: bytes) -> tuple[list[str], dict[str, int], list[int]]:
    """Instances stored, failed with their reasons, and reasons of the unknown."""
    response = Dataset.from_json(body.decode("ascii"))
    return (
        [item.ReferencedSOPInstanceUID for item in response.get("ReferencedSOPSequence", [])],
        {
            item.ReferencedSOPInstanceUID: item.FailureReason
            for item in response.get("FailedSOPSequence", [])
        },
        [item.FailureReason for item in response.get("OtherFailuresSequence", [])],
    )


def test_instances_are_kept_as_they_are_sent(server: StowServer) -> None:
    status, body, headers = server.post(multipart(ECG, OTHER))
    assert (status, headers["Content-Type"]) == (200, "application/dicom+json")
    assert read(body) == ([UID, OTHER_UID], {}, [])
    kept, _ = server.accepted
    assert ECG.endswith(kept["bytes"])
    assert kept["sop_instance_uid"] == UID
    origin = kept["origin"]
    assert (origin.calling_ae, origin.called_ae, origin.peer) == ("CART", "CARDIONODE", "127.0.0.1")


def test_a_foreign_user_agent_stores(server: StowServer) -> None:
    session = Session()
    session.headers.update(AUTHORIZED)
    agent = DICOMwebClient(f"http://127.0.0.1:{server.port}/dicom-web", session=session)
    response = agent.store_instances([dcmread(io.BytesIO(ECG)), dcmread(io.BytesIO(OTHER))])
    stored = [item.ReferencedSOPInstanceUID for item in response.ReferencedSOPSequence]
    assert stored == [UID, OTHER_UID]
    agent.store_instances([dcmread(io.BytesIO(ECG))], study_instance_uid=STUDY)
    assert len(server.accepted) == 3
    session.headers["Authorization"] = "Bearer wrong"
    with pytest.raises(HTTPError, match="401"):
        agent.store_instances([dcmread(io.BytesIO(ECG))])


def test_our_own_client_stores_and_probes(server: StowServer) -> None:
    client = StowClient(
        url=f"http://127.0.0.1:{server.port}/dicom-web",
        authorization=lambda: AUTHORIZED["Authorization"],
        tls=TlsFiles(),
        connect_timeout_s=5,
        answer_timeout_s=5,
    )
    client.probe()
    client.send(ECG)
    assert len(server.accepted) == 1


def test_a_chunked_request_in_small_portions_is_one_request(server: StowServer) -> None:
    body = multipart(ECG)
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(head(transfer_encoding="chunked"))
        for start in range(0, len(body), 9973):
            portion = body[start : start + 9973]
            connection.sendall(b"%x\r\n%b\r\n" % (len(portion), portion))
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert ECG.endswith(server.accepted[0]["bytes"])


def test_a_study_in_the_address_is_the_only_one_taken(server: StowServer) -> None:
    status, body, _ = server.post(multipart(ECG, OTHER), path=f"/dicom-web/studies/{STUDY}")
    assert status == 202
    assert read(body) == ([UID], {OTHER_UID: 0xA901}, [])
    status, body, _ = server.post(multipart(OTHER), path=f"/dicom-web/studies/{STUDY}")
    assert (status, len(server.accepted)) == (409, 1)


@pytest.mark.parametrize(
    ("content", "uid", "reason"),
    [
        (b"not DICOM", None, 0xC000),
        (b"", None, 0xC000),
        (ECG[:150], None, 0xC000),
        (ECG[:400], None, 0x0117),
        (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.2"), UID, 0x0122),
        (changed(meta={"TransferSyntaxUID": "1.2.840.10008.1.2.4.50"}), UID, 0xC122),
        (changed(SOPInstanceUID=""), None, 0x0117),
        (changed(SOPInstanceUID="../../etc/passwd"), "../../etc/passwd", 0x0117),
        (changed(SOPInstanceUID="1" * 65), "1" * 64, 0x0117),
    ],
    ids=["text", "empty", "no-meta", "no-data", "ct", "jpeg", "no-uid", "path", "long-uid"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_no_ecg_is_refused_with_its_reason(
    server: StowServer, content: bytes, uid: str | None, reason: int
) -> None:
    status, body, _ = server.post(multipart(content))
    assert status == 409
    failed = {} if uid is None else {uid: reason}
    assert read(body) in (([], failed, [reason] if uid is None else []), ([], {UID: reason}, []))
    assert server.accepted == []
    (refusal,) = server.said("instance refused")
    assert refusal["status"] == f"0x{reason:04X}"
    assert PATIENT not in str(refusal)


def test_an_instance_is_named_by_its_data_set_not_by_what_surrounds_it(server: StowServer) -> None:
    content = changed(meta={"MediaStorageSOPInstanceUID": "2.25.99"})
    assert read(server.post(multipart(content))[1]) == ([UID], {}, [])
    assert server.accepted[0]["sop_instance_uid"] == UID


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_uid_that_real_devices_send_is_taken_as_with_c_store(server: StowServer) -> None:
    content = changed(SOPInstanceUID="1.2..3")
    assert read(server.post(multipart(content))[1]) == (["1.2..3"], {}, [])


def test_a_deflated_instance_of_a_named_study_may_have_a_long_head(server: StowServer) -> None:
    dataset = dcmread(io.BytesIO(ECG))
    bulky = dataset.private_block(0x0009, "BULKY", create=True)
    bulky.add_new(0x01, "OB", bytes(2_000_000))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    path = f"/dicom-web/studies/{STUDY}"
    assert server.post(multipart(file.getvalue()), path=path)[0] == 200


def test_no_space_is_no_success_and_worth_another_try(server: StowServer) -> None:
    def refuse() -> None:
        raise OutOfSpace("the disk is full")

    server.before_accepting = refuse
    status, body, headers = server.post(multipart(ECG))
    assert (status, headers["Retry-After"]) == (503, "60")
    assert read(body) == ([], {UID: 0xA700}, [])


def test_a_fault_of_the_node_is_no_success(server: StowServer) -> None:
    faults: list[Exception] = [ZeroDivisionError(), StorageError("no")]

    def fail_twice() -> None:
        if faults:
            raise faults.pop(0)

    server.before_accepting = fail_twice
    status, body, _ = server.post(multipart(ECG, OTHER, ECG))
    assert status == 202
    assert read(body) == ([UID], {UID: 0x0110, OTHER_UID: 0xA700}, [])
    assert isinstance(server.said("instance refused")[0]["error"], ZeroDivisionError)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff\xfe"],
)
def test_whoever_has_no_token_is_turned_away(server: StowServer, authorization: str) -> None:
    status, _, headers = server.post(multipart(ECG), Authorization=authorization)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert server.accepted == []
    (refusal,) = server.said("request refused")
    assert (refusal["peer"], refusal["status"]) == ("127.0.0.1", "401")
    assert TOKEN not in str(server.reports)


def test_a_token_that_is_taken_away_is_gone_at_once(server: StowServer) -> None:
    assert server.post(multipart(ECG))[0] == 200
    server.tokens.write_text("")
    assert server.post(multipart(ECG))[0] == 401
    server.tokens.unlink()
    assert server.post(multipart(ECG))[0] == 503
    assert server.said("tokens not readable")


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/dicom+json", 200),
        ("application/dicom+xml, application/dicom+json;q=0.1", 200),
        ("application/*", 200),
        ("application/dicom+xml", 406),
        ("application/dicom+json;q=0", 406),
        ("text/html", 406),
    ],
)
def test_the_answer_is_json_or_none(server: StowServer, accept: str, status: int) -> None:
    assert server.post(multipart(ECG), Accept=accept)[0] == status


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 415),
        ("application/dicom", 415),
        ("multipart/form-data; boundary=BOUNDARY", 415),
        ("multipart/related; boundary=BOUNDARY", 415),
        ('multipart/related; type="application/dicom+json"; boundary=BOUNDARY', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=""', 400),
        ('multipart/related; type="application/dicom"; boundary=' + "x" * 71, 400),
        ('multipart/related; type="application/dicom"; boundary="a\x01b"', 400),
        ("MULTIPART/Related; Type=application/dicom; Boundary=BOUNDARY", 200),
    ],
)
def test_only_multipart_of_dicom_is_taken(
    server: StowServer, content_type: str | None, status: int
) -> None:
    assert server.post(multipart(ECG), content_type=content_type)[0] == status
    assert len(server.accepted) == (status == 200)


NESTED = b'Content-Type: multipart/related; type="application/dicom"; boundary=B\r\n'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"--BOUNDARY--\r\n", 400),
        (b"no multipart at all", 400),
        (multipart(ECG)[:-20], 400),
        (multipart(ECG).replace(b"BOUNDARY", b"OTHER"), 400),
        (multipart(ECG, head=b""), 415),
        (multipart(ECG, head=b"Content-Type: text/plain\r\n"), 415),
        (multipart(ECG, head=NESTED), 415),
        (
            multipart(
                ECG,
                head=b"Content-Type: application/dicom\r\nContent-Transfer-Encoding: base64\r\n",
            ),
            415,
        ),
        (multipart(ECG, head=b"X: " + b"x" * 1_000_000 + b"\r\n"), 400),
        (multipart(ECG, head=b"X: x\r\n" * 1000), 400),
        (multipart(ECG, head=b"no header\r\n"), 400),
        (multipart(b"\0" * 1_000_001), 413),
        (multipart(*[b""] * 6), 413),
        (multipart(*[b"\0" * 900_000] * 4), 413),
    ],
    ids=[
        "empty", "no-part", "text", "cut", "other-boundary", "no-type", "text-part", "nested",
        "base64", "huge-header", "many-headers", "no-header", "large-part", "many-parts", "large",
    ],
)  # fmt: skip
def test_a_body_out_of_order_is_refused(server: StowServer, body: bytes, status: int) -> None:
    started_s = time.monotonic()
    assert server.post(body)[0] == status
    assert time.monotonic() - started_s < 1.9  # it does not wait for more of what has ended
    assert len(server.said("request refused")) == 1
    assert server.post(multipart(ECG))[0] == 200


def test_compressed_requests_and_other_methods_are_refused(server: StowServer) -> None:
    assert server.post(multipart(ECG), Content_Encoding="gzip")[0] == 415
    with pytest.raises(urllib.request.HTTPError, match="405") as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/dicom-web/studies", timeout=5)
    refused.value.close()


def head(**headers: str) -> bytes:
    given = {"Host": "node", "Content-Type": RELATED, **AUTHORIZED}
    given |= {name.replace("_", "-"): each for name, each in headers.items()}
    lines = [f"{name}: {value}" for name, value in given.items()]
    return "\r\n".join(["POST /dicom-web/studies HTTP/1.1", *lines, "", ""]).encode()


def answer_to(port: int, *sent: bytes, within_s: float = 10) -> bytes:
    """What is answered to these bytes until the connection ends."""
    answered = b""
    with socket.create_connection(("127.0.0.1", port), within_s) as connection:
        for each in sent:
            connection.sendall(each)
        while portion := connection.recv(65536):
            answered += portion
    return answered


def test_a_request_without_a_length_is_refused(server: StowServer) -> None:
    assert answer_to(server.port, head()).startswith(b"HTTP/1.1 411 ")


def test_a_length_too_large_is_refused_before_the_body_is_asked_for(server: StowServer) -> None:
    expecting = head(Content_Length="4000000000", Expect="100-continue")
    assert answer_to(server.port, expecting).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", ["-1", "1e9", "5, 6", "0x10"])
def test_a_length_that_is_none_ends_the_connection(server: StowServer, length: str) -> None:
    assert answer_to(server.port, head(Content_Length=length)).startswith(b"HTTP/1.1 400 ")


def test_a_length_too_short_cuts_the_body(server: StowServer) -> None:
    body = multipart(ECG)
    answered = answer_to(server.port, head(Content_Length=str(len(body) - 50)), body)
    assert answered.startswith(b"HTTP/1.1 400 ")


def test_a_sender_that_ends_before_its_length_leaves_nothing_behind(server: StowServer) -> None:
    body = multipart(ECG)[:-100]
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(head(Content_Length=str(len(body) + 50)) + body)
    until = time.monotonic() + 5
    while not server.said("request broken off") and time.monotonic() < until:
        time.sleep(0.01)
    assert server.said("request broken off")
    assert server.accepted == []


def test_an_endless_part_takes_no_more_than_an_instance_may(server: StowServer) -> None:
    begun = head(Transfer_Encoding="chunked") + chunk(multipart(b"")[:-16])
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(begun)
        sent = 0
        try:
            while sent < 50_000_000:
                connection.sendall(chunk(b"\0" * 65536))
                sent += 65536
        except OSError:
            pass
    assert sent < 20_000_000  # an instance, what is let out, and what kernels hold
    assert server.said("request refused")[0]["status"] == "413"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def test_slow_senders_are_given_up_and_hold_up_nobody(tmp_path: Path) -> None:
    with StowServer(tmp_path, timeout_s=2.0, maximum_requests=2) as server:
        slow = [threading.Thread(target=trickle, args=(server.port,)) for _ in range(3)]
        for each in slow:
            each.start()
        until = time.monotonic() + 5
        while not server.said("request refused") and time.monotonic() < until:
            time.sleep(0.01)
        assert server.post(multipart(ECG))[0] == 503  # two have taken both places
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as well:
            assert well.status == 200
        for each in slow:
            each.join(10)
            assert not each.is_alive()
        assert {each["status"] for each in server.said("request refused")} >= {"408", "503"}
        assert server.post(multipart(ECG))[0] == 200


def trickle(port: int) -> None:
    """A byte every 50 ms, until it is ended."""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(head(Content_Length="100000") + b"--BOUNDARY\r\n")
        try:
            while True:
                connection.sendall(b"C")
                time.sleep(0.05)
        except OSError:
            return


def test_connections_that_never_ask_end(
    server: StowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.connection._HEAD_WITHIN_S", 0.4)
    started_s = time.monotonic()
    for sent in (b"", b"POST /dicom-web/studies HTTP/1.1\r\nHost: "):
        assert answer_to(server.port, sent) == b""
    assert time.monotonic() - started_s < 4


def test_a_flood_of_connections_is_bounded(
    server: StowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.web.connection._CONNECTIONS", 5)
    idle = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(20)]
    ended = 0
    for each in idle[5:]:
        ended += each.recv(1) == b""
    for each in idle:
        each.close()
    assert ended == 15
    time.sleep(0.1)
    assert server.post(multipart(ECG))[0] == 200


def test_a_node_without_stow_has_no_such_address(tmp_path: Path) -> None:
    from node.web.server import WebServer

    server = WebServer(host="127.0.0.1", port=0, health=list, readiness=list, metrics=bytes)
    port = server.start()
    try:
        assert answer_to(port, head(Content_Length="2", Connection="close") + b"no").startswith(
            b"HTTP/1.1 404 "
        )
    finally:
        server.stop()


def test_what_is_said_of_instances_is_json_without_the_patient(server: StowServer) -> None:
    _, body, _ = server.post(multipart(ECG, b"x"))
    assert json.loads(body)
    assert PATIENT.encode() not in body
    assert mortara().PatientID.encode() not in body
