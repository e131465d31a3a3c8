"""Results stored with STOW-RS in a real Orthanc, which asks for a password."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from node.cli.orthanc import DICOMWEB_PLUGIN, DICOMWEB_URL, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.cine import build_cine
from node.dicom.dicomweb import StowClient, TlsFiles
from node.dicom.structured_report import build_no_result_report
from node.dicom.template import load_templates
from node.domain.errors import Refused, Unreachable
from tests.conftest import absent
from tests.ecg_instances import instances
from tests.result_phantom import REFUSAL, ecg_head, model, prediction

TEMPLATES = load_templates()
AUTHORIZED = "Basic bm9kZTpwYXNz"  # node:pass, by RFC 7617


@pytest.fixture
def orthanc() -> Iterator[Orthanc]:
    if not PROGRAM.exists() or not DICOMWEB_PLUGIN.exists():
        absent("no Orthanc with DICOMweb: apt-get install orthanc orthanc-dicomweb")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    made = Orthanc(user="node", password="pass")
    yield made
    made.stop()


def client(authorization: str = AUTHORIZED, url: str = DICOMWEB_URL) -> StowClient:
    return StowClient(
        url=url,
        authorization=lambda: authorization,
        tls=TlsFiles(),
        connect_timeout_s=5,
        answer_timeout_s=20,
    )


def results() -> dict[str, bytes]:
    """A cine, a report and an ECG, by SOP Instance UID."""
    uid, ecg = next(instances(1))
    return {
        uid: ecg,
        "2.25.11": build_cine(
            prediction(),
            ecg_head(),
            sop_instance_uid="2.25.11",
            series_instance_uid="2.25.12",
            templates=TEMPLATES,
        ),
        "2.25.31": build_no_result_report(
            [REFUSAL],
            ecg_head(),
            model(),
            sop_instance_uid="2.25.31",
            series_instance_uid="2.25.32",
            templates=TEMPLATES,
        ),
    }


def test_orthanc_takes_results_and_takes_them_again(orthanc: Orthanc) -> None:
    sent = results()
    with pytest.raises(Unreachable):
        client().send(sent["2.25.11"])
    orthanc.start()
    client().probe()
    assert orthanc.instances() == {}
    for _ in range(2):  # a duplicate is there already
        for content in sent.values():
            client().send(content)
    assert set(orthanc.instances()) == set(sent)

    for authorization in ("", "Basic bm9kZTp3cm9uZw=="):
        with pytest.raises(Refused, match=r"401.*token, or user and password"):
            client(authorization).probe()
        with pytest.raises(Refused, match=r"401.*token, or user and password"):
            client(authorization).send(sent["2.25.11"])
    with pytest.raises(Refused, match=r"404.*url"):
        client(url=DICOMWEB_URL + "/elsewhere").probe()
