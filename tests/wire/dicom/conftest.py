"""A listener of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.dicom.listening import Listening


@pytest.fixture
def listening() -> Iterator[Listening]:
    with Listening() as listener:
        yield listener
        assert listener.said("association failed") == []
