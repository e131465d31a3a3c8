"""Who a node sends its results to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn


@pytest.fixture
def outside() -> Iterator[tuple[PacsStandIn, RisStandIn]]:
    """A PACS and a RIS, for a test to start."""
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    yield pacs, ris
    pacs.stop()
    ris.stop()
