"""TLS with real peers, both ways, mutual, by 1.2 and 1.3: DCMTK's tools and Orthanc."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from node.cli.orthanc import DICOM_PORT, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.scu import StorageScu
from node.domain.errors import Unreachable
from tests.certificates import HOST, Files
from tests.conftest import absent
from tests.dcmtk import dcmtk, dcmtk_scp
from tests.ecg_instances import instances
from tests.wire.dicom.listening import Listening
from tests.wire.dicom.pki import Pki, at_most, credentials, make_pki

V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
both_versions = pytest.mark.parametrize("version", [V1_2, V1_3])
REFUSED_WITHIN_S = 5


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def ecg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ecg") / "ecg.dcm"
    file.write_bytes(next(instances(1))[1])
    return file


def only(version: ssl.TLSVersion, files: Files, side: str) -> Callable[[], ssl.SSLContext]:
    """Our context, for this version alone."""
    shown = credentials(files, version)
    return at_most(version, getattr(shown, side))


def shows(files: Files) -> list[str | Path]:
    """DCMTK's options for a certificate and whom to trust."""
    return ["+tls", files.key, files.certificate, "+cf", files.authorities]


def call(
    name: str, tls: Sequence[str | Path], port: int | None, *files: Path
) -> subprocess.CompletedProcess[str]:
    """Run a tool of DCMTK against our port."""
    command = [dcmtk(name), *tls, "-aet", "CART", "-aec", "CARDIONODE", HOST, str(port), *files]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=REFUSED_WITHIN_S
    )


@both_versions
def test_dcmtk_stores_here(pki: Pki, ecg: Path, version: ssl.TLSVersion) -> None:
    with Listening(tls=only(version, pki.node, "server")) as listening:
        port = listening.scp.tls_port
        echoed = call("echoscu", shows(pki.cart), port)
        assert echoed.returncode == 0, echoed.stderr
        stored = call("storescu", shows(pki.cart), port, ecg)
        assert stored.returncode == 0, stored.stderr
        assert len(listening.accepted) == 1
        assert {each["certificate"] for each in listening.said("association accepted")} == {
            "cart-1 127.0.0.1"
        }


@both_versions
@pytest.mark.parametrize(
    ("who", "reason"),
    [
        ("stranger", "issued by none of tls.authorities"),
        ("expired", "has expired"),
        ("nobody", "shows no certificate"),
        ("plain", "speaks no TLS"),
    ],
)
def test_a_caller_with_dcmtk_is_refused_with_the_reason(
    pki: Pki, version: ssl.TLSVersion, who: str, reason: str
) -> None:
    with Listening(tls=only(version, pki.node, "server")) as listening:
        port = listening.scp.tls_port
        words: dict[str, list[str | Path]] = {
            "nobody": ["+tla", "+cf", pki.authority.file],
            "plain": [],
        }
        tls = words[who] if who in words else shows(getattr(pki, who))
        refused = call("echoscu", tls, port)
        assert refused.returncode != 0
        assert reason in listening.said_soon("connection refused")["reason"]


@pytest.mark.parametrize("who", ["stranger", "expired"])
def test_dcmtk_refuses_us_where_it_does_not_trust_us(pki: Pki, who: str) -> None:
    with Listening(tls=credentials(getattr(pki, who)).server) as listening:
        assert call("echoscu", shows(pki.cart), listening.scp.tls_port).returncode != 0
        reason = listening.said_soon("connection refused")["reason"]
        expected = {"stranger": "does not trust the CA of this node", "expired": "finds the cert"}
        assert expected[who] in reason


def scu(port: int, tls: Callable[[], ssl.SSLContext], called_ae: str = "PACS") -> StorageScu:
    return StorageScu(calling_ae="CARDIONODE", called_ae=called_ae, host=HOST, port=port, tls=tls)


@both_versions
def test_we_store_at_dcmtk(pki: Pki, ecg: Path, tmp_path: Path, version: ssl.TLSVersion) -> None:
    with dcmtk_scp("storescp", *shows(pki.cart), "-od", tmp_path) as port:
        sender = scu(port, only(version, pki.node, "client"))
        sender.echo()
        sender.send(ecg.read_bytes())
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ("stranger", "node", "issued by none of tls.authorities"),
        ("expired", "node", "has expired"),
        ("elsewhere", "node", "server_name"),
        ("cart", "stranger", "does not trust the CA of this node"),
        ("cart", "expired", "finds the certificate of this node expired"),
    ],
)
def test_the_sender_says_why_there_is_no_tls_with_dcmtk(
    pki: Pki, tmp_path: Path, theirs: str, ours: str, reason: str
) -> None:
    with (
        dcmtk_scp("storescp", *shows(getattr(pki, theirs)), "-od", tmp_path) as port,
        pytest.raises(Unreachable, match=reason),
    ):
        scu(port, credentials(getattr(pki, ours)).client).echo()


@pytest.fixture(scope="module")
def orthanc(pki: Pki) -> Iterator[Orthanc]:
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    archive = Orthanc(
        {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(pki.cart.certificate),
            "DicomTlsPrivateKey": str(pki.cart.key),
            "DicomTlsTrustedCertificates": str(pki.cart.authorities),
            "DicomTlsRemoteCertificateRequired": True,
        }
    )
    archive.start()
    yield archive
    archive.stop()


@both_versions
def test_we_store_at_orthanc(pki: Pki, orthanc: Orthanc, version: ssl.TLSVersion) -> None:
    before = len(orthanc.instances())
    sender = scu(DICOM_PORT, only(version, pki.node, "client"), "ORTHANC")
    sender.echo()
    (_, content) = list(instances(2))[version is V1_3]
    sender.send(content)
    assert len(orthanc.instances()) == before + 1


def test_the_sender_says_that_orthanc_does_not_trust_it(pki: Pki, orthanc: Orthanc) -> None:
    with pytest.raises(Unreachable, match="does not trust the CA of this node"):
        scu(DICOM_PORT, credentials(pki.stranger).client, "ORTHANC").echo()


@both_versions
def test_orthanc_stores_here(
    pki: Pki, orthanc: Orthanc, ecg: Path, version: ssl.TLSVersion
) -> None:
    with Listening(tls=only(version, pki.node, "server")) as listening:
        name = f"NODE-{version.name}"
        port = listening.scp.tls_port or 0
        orthanc.add_modality(name, ae_title="CARDIONODE", port=port, tls=True)
        orthanc.route(orthanc.store(ecg.read_bytes()), name)
        assert len(listening.accepted) == 1
