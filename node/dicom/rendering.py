"""Results for people without a viewer: pictures that move, that stand still, a document."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels

COLUMNS = 5
"""Frames a row of the contact sheet."""
FRAMES_SHOWN = 15
COMPRESSION = 1
"""Of PNG, 1 to 9: 1 takes a quarter of the time of the usual 6, for files a fifth larger."""


def animate(images: Sequence[Dataset]) -> bytes:
    """A looping GIF of all frames at the cine's own speed.

    images: the multi-frame object, or those of single frames in their order.
    """
    frames = _frames(images)
    # GIF counts time in hundredths of a second.
    duration_ms = max(20, round(float(images[0].FrameTime) / 10) * 10)
    file = io.BytesIO()
    frames[0].save(
        file, "GIF", save_all=True, append_images=frames[1:], duration=duration_ms, loop=0
    )
    return file.getvalue()


def contact_sheet(images: Sequence[Dataset], *, most: int | None = FRAMES_SHOWN) -> bytes:
    """A PNG of at most so many frames, spread evenly over the cardiac cycle, read row by row.

    most: None for all of them.
    """
    frames = _frames(images)
    chosen = np.linspace(0, len(frames), min(most or len(frames), len(frames)), endpoint=False)
    tiles = [frames[int(index)] for index in chosen]
    width, height = tiles[0].size
    rows = -(-len(tiles) // COLUMNS)
    sheet = Image.new("L", (width * COLUMNS, height * rows))
    for position, tile in enumerate(tiles):
        row, column = divmod(position, COLUMNS)
        sheet.paste(tile, (column * width, row * height))
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=COMPRESSION)
    return file.getvalue()


def still(image: Dataset) -> bytes:
    """A PNG of a single frame in colour."""
    file = io.BytesIO()
    Image.fromarray(image.pixel_array).save(file, "PNG")
    return file.getvalue()


def document(dataset: Dataset) -> bytes:
    """The file inside an encapsulated document, without the padding."""
    content: bytes = dataset.EncapsulatedDocument
    return content[: dataset.EncapsulatedDocumentLength]


def _frames(images: Sequence[Dataset]) -> list[Image.Image]:
    """In greys, which is all there is in colour too."""
    pictures = (picture for image in images for picture in iter_pixels(image))
    return [Image.fromarray(picture).convert("L") for picture in pictures]
