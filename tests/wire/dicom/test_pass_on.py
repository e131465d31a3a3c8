"""An ECG is passed on byte for byte as it came, whatever is odd in how it was encoded."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset

from node.dicom import dimse
from node.dicom.part10 import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    encode_part10,
    split_part10,
)
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import Refused
from node.domain.form import Compression
from tests.dcmtk import dcmtk_scp
from tests.ecg_instances import mortara

HOST = "127.0.0.1"


def kept(dataset: Dataset, syntax: str) -> bytes:
    """The PS3.10 file that the node keeps of a data set sent in a transfer syntax."""
    dataset.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    dataset.save_as(file)
    return encode_part10(
        split_part10(file.getvalue())[2],
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        transfer_syntax_uid=syntax,
    )


def odd(syntax: str) -> bytes:
    """What pydicom would write otherwise: an undefined length, padding of its own, private."""
    dataset = mortara()
    dataset["WaveformSequence"].is_undefined_length = True
    dataset.add_new(0x00090010, "LO", "MAKER")
    dataset.add_new(0x00091001, "UN", b"\1\2\3\4")
    dataset.add_new(0xFFFCFFFC, "OB", bytes(64))
    # A space would be added to "Anonymous".
    return kept(dataset, syntax).replace(b"Anonymous ", b"Anonymous\0")


@contextmanager
def pacs(*syntaxes: str) -> Iterator[tuple[PacsStandIn, int]]:
    archive = PacsStandIn(ae_title="PACS", transfer_syntaxes=syntaxes)
    try:
        yield archive, archive.start()
    finally:
        archive.stop()


def scu(port: int, compression: Compression = Compression.NONE) -> StorageScu:
    return StorageScu(
        calling_ae="CARDIONODE",
        called_ae="PACS",
        host=HOST,
        port=port,
        compression=compression,
    )


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.JPEG_LS])
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE])
def test_a_pacs_gets_the_data_set_as_it_came(syntax: str, compression: Compression) -> None:
    content = odd(syntax)
    with pacs(*dimse.RECEIVED_TRANSFER_SYNTAXES) as (archive, port):
        scu(port, compression).send(content)
        (received,) = archive.instances().values()
    assert split_part10(received)[2] == split_part10(content)[2]


def test_a_pacs_that_does_not_take_the_transfer_syntax_refuses_and_it_is_named() -> None:
    with (
        pacs(EXPLICIT_LITTLE) as (_, port),
        pytest.raises(Refused, match=r"in transfer syntax 1\.2\.840\.10008\.1\.2; enable it"),
    ):
        scu(port).send(odd(IMPLICIT_LITTLE))


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_dcmtk_gets_the_data_set_as_it_came(tmp_path: Path, syntax: str) -> None:
    content = odd(syntax)
    with dcmtk_scp("storescp", "--bit-preserving", "-od", tmp_path) as port:
        scu(port).send(content)
        (file,) = tmp_path.iterdir()
        assert split_part10(file.read_bytes())[2] == split_part10(content)[2]
