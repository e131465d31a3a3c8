"""Images travel compressed where the peer takes it, and as they are where it does not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
from pydicom import dcmread

from node.dicom import dimse
from node.dicom.compression import TRANSFER_SYNTAXES, check_encoder
from node.dicom.part10 import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import ConfigurationError, Refused
from node.domain.form import CineForm, Compression, ResultForm
from tests.decoders import pixels
from tests.result_forms import CINES, composed

CHOICES = [each for each in Compression if each is not Compression.NONE]


class Route:
    """An SCU, what it reports, and the PACS it stores at."""

    def __init__(self, pacs: PacsStandIn, port: int, compression: Compression) -> None:
        self.pacs = pacs
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.scu = StorageScu(
            calling_ae="CARDIONODE",
            called_ae=pacs.ae_title,
            host="127.0.0.1",
            port=port,
            compression=compression,
            report=lambda message, **fields: self.reports.append((message, fields)),
        )


@contextmanager
def route(compression: Compression, *transfer_syntaxes: str) -> Iterator[Route]:
    pacs = PacsStandIn(ae_title="PACS", transfer_syntaxes=transfer_syntaxes)
    try:
        yield Route(pacs, pacs.start(), compression)
    finally:
        pacs.stop()


@pytest.mark.parametrize("compression", CHOICES)
@pytest.mark.parametrize("cine", [CineForm.GRAYSCALE, CineForm.TRUE_COLOR])
def test_a_peer_that_takes_it_gets_the_same_object_compressed(
    compression: Compression, cine: CineForm
) -> None:
    image, report = composed(ResultForm(cine=cine))
    syntax = TRANSFER_SYNTAXES[compression]
    with route(compression, EXPLICIT_LITTLE, syntax) as to:
        to.scu.send(image.content)
        first = to.pacs.instances()[image.identifier]
        to.scu.send(image.content)
        to.scu.send(report.content)
        stored = to.pacs.instances()
        assert to.reports == []
    assert stored[image.identifier] == first  # the same bytes each time
    received = dcmread(io.BytesIO(first))
    assert received.file_meta.TransferSyntaxUID == syntax
    assert received.SOPInstanceUID == image.identifier
    assert received.LossyImageCompression == "00"
    assert len(first) < len(image.content) / 2
    np.testing.assert_array_equal(received.pixel_array, pixels(image.content))
    told = dcmread(io.BytesIO(stored[report.identifier]))
    assert told.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE


@pytest.mark.parametrize("compression", CHOICES)
def test_a_peer_that_does_not_take_it_gets_it_as_it_is_and_the_log_says_so(
    compression: Compression,
) -> None:
    image, _ = composed()
    with route(compression, EXPLICIT_LITTLE, IMPLICIT_LITTLE) as to:
        to.scu.send(image.content)
        received = dcmread(io.BytesIO(to.pacs.instances()[image.identifier]))
    assert received.file_meta.TransferSyntaxUID == EXPLICIT_LITTLE
    np.testing.assert_array_equal(received.pixel_array, pixels(image.content))
    ((message, fields),) = to.reports
    assert message == "image sent uncompressed"
    assert fields["sop_instance_uid"] == image.identifier
    assert fields["reason"] == f"the peer does not take {compression.value}"


def test_a_peer_that_takes_neither_refuses() -> None:
    image, _ = composed()
    with (
        route(Compression.RLE, IMPLICIT_LITTLE) as to,
        pytest.raises(Refused, match=r"1\.2\.840\.10008\.1\.2\.5 or 1\.2\.840\.10008\.1\.2\.1;"),
    ):
        to.scu.send(image.content)


def test_a_peer_that_takes_only_the_compression_gets_it() -> None:
    image, _ = composed()
    syntax = TRANSFER_SYNTAXES[Compression.JPEG_LS]
    with route(Compression.JPEG_LS, syntax) as to:
        to.scu.send(image.content)
        assert image.identifier in to.pacs.instances()


@pytest.mark.parametrize("compression", CHOICES)
def test_a_compression_without_an_encoder_is_said_before_anything_is_sent(
    compression: Compression,
) -> None:
    check_encoder(compression)
    with (
        mock.patch("node.dicom.compression.get_encoder") as encoder,
        pytest.raises(ConfigurationError, match=f'"{compression.value}" is installed'),
    ):
        encoder.return_value.is_available = False
        StorageScu(calling_ae="A", called_ae="B", host="127.0.0.1", port=1, compression=compression)


def test_what_the_stand_in_takes_is_all_that_a_node_sends() -> None:
    classes = {made.sop_class_uid for form in CINES for made in composed(ResultForm(cine=form))}
    assert classes <= set(dimse.RESULT_STORAGE)
