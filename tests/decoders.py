"""Every decoder here that knows a transfer syntax: what picture it makes of an object."""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.cli.orthanc import HTTP_PORT, Orthanc
from node.dicom.compression import TRANSFER_SYNTAXES, compress
from node.domain.form import Compression
from tests.judges import run, tool

Pixels = NDArray[np.uint8]
"""(rows, columns), with frames before and colours behind where there are such."""

PLUGINS = {
    Compression.NONE: [""],
    Compression.RLE: ["pydicom"],
    Compression.JPEG_LS: ["pyjpegls"],
    Compression.JPEG_2000: ["pylibjpeg", "pillow"],
}
"""pydicom's own and those of others that it calls."""
DCMTK = {
    Compression.NONE: "dcmconv",
    Compression.RLE: "dcmdrle",
    Compression.JPEG_LS: "dcmdjpls",
}
"""Programs that write the object uncompressed; DCMTK has none for JPEG 2000."""
BY_ORTHANC = (Compression.NONE, Compression.RLE, Compression.JPEG_LS)
"""Orthanc 1.10 decodes no JPEG 2000 (HTTP 415)."""


def in_compression(content: bytes, compression: Compression) -> bytes:
    """The object as it travels."""
    dataset = dcmread(io.BytesIO(content))
    if compression is not Compression.NONE:
        compress(dataset, compression)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def pixels(content: bytes) -> Pixels:
    """Of an object as it is kept, without any decoder."""
    dataset = dcmread(io.BytesIO(content))
    count = (int(dataset.NumberOfFrames),) if "NumberOfFrames" in dataset else ()
    colours = (3,) if dataset.SamplesPerPixel == 3 else ()
    shape = (*count, dataset.Rows, dataset.Columns, *colours)
    return np.frombuffer(dataset.PixelData, np.uint8, int(np.prod(shape))).reshape(shape)


def decoded(content: bytes, compression: Compression, folder: Path) -> Iterator[tuple[str, Pixels]]:
    """The decoder's name and what it made, of each that is a library or a program."""
    dataset = dcmread(io.BytesIO(content))
    expected_syntax = TRANSFER_SYNTAXES.get(compression)
    assert expected_syntax in (None, dataset.file_meta.TransferSyntaxUID)
    for plugin in PLUGINS[compression]:
        yield plugin or "pydicom", _by_pydicom(dataset, plugin)
    if compression in DCMTK:
        program = DCMTK[compression]
        there, back = folder / "compressed.dcm", folder / "uncompressed.dcm"
        there.write_bytes(content)
        made = run(tool(program), there, back)
        assert made.returncode == 0, made.stderr
        yield program, pixels(back.read_bytes())


def _by_pydicom(dataset: Dataset, plugin: str) -> Pixels:
    dataset.pixel_array_options(raw=dataset.SamplesPerPixel == 1, decoding_plugin=plugin)
    made: Pixels = dataset.pixel_array
    return made


def decoded_by_orthanc(archive: Orthanc, content: bytes) -> Pixels:
    """Frame by frame over Orthanc's REST interface."""
    name = archive.store(content)
    shape = dcmread(io.BytesIO(content), stop_before_pixels=True)
    count = int(shape.get("NumberOfFrames", 1))
    # "preview" stretches greys, "image-uint8" knows no colours.
    how = "preview" if shape.SamplesPerPixel == 3 else "image-uint8"
    frames = [_picture(f"/instances/{name}/frames/{index}/{how}") for index in range(count)]
    return np.stack(frames) if "NumberOfFrames" in shape else frames[0]


def _picture(path: str) -> Pixels:
    with urllib.request.urlopen(f"http://127.0.0.1:{HTTP_PORT}{path}", timeout=30) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())))
