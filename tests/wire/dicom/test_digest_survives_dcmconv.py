from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from node.dicom.part10 import read_part10, source_digest

DCMCONV = Path("/usr/bin/dcmconv")
"""DCMTK's own; a virtual environment may shadow its name with another tool."""


@pytest.mark.skipif(not DCMCONV.exists(), reason="DCMTK's dcmconv is not installed")
@pytest.mark.parametrize(
    "options",
    [
        ("+ti", "+e"),
        ("+ti", "-e"),
        ("+te", "+e"),
        ("+te", "-e"),
        ("+td",),
        ("+te", "+g"),
        ("+te", "+p", "64", "64"),
    ],
    ids=" ".join,
)
def test_an_ecg_re_encoded_by_dcmtk_keeps_its_digest(
    shared: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    for file in sorted((shared / "data" / "ecg_dicom").rglob("*.dcm")):
        again = tmp_path / file.name
        subprocess.run([DCMCONV, *options, file, again], check=True, capture_output=True)
        assert source_digest(read_part10(again.read_bytes())) == source_digest(
            read_part10(file.read_bytes())
        ), file.name
