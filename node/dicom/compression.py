"""Images in a lossless transfer syntax: the same pixels and the same object in fewer bytes."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from node.domain.errors import ConfigurationError
from node.domain.form import Compression

TRANSFER_SYNTAXES: Final = {
    Compression.RLE: RLELossless,
    Compression.JPEG_LS: JPEGLSLossless,
    Compression.JPEG_2000: JPEG2000Lossless,
}
"""Without NONE. Source: DICOM PS3.5 A.4.2, A.4.3, A.4.4."""


def check_encoder(compression: Compression) -> None:
    """Pass when this installation can write the compression. Raises ConfigurationError."""
    syntax = TRANSFER_SYNTAXES.get(compression)
    if syntax is not None and not get_encoder(syntax).is_available:
        raise ConfigurationError(
            f'no encoder for compression = "{compression.value}" is installed; install '
            'cardionode with its dependencies, or set compression = "none"'
        )


def compress(image: Dataset, compression: Compression) -> None:
    """Encode the pixels in place; losslessly, so that the SOP Instance UID stays.

    image: uncompressed. Source: DICOM PS3.5 §8.2, PS3.3 C.7.6.3.1.2 (the photometric
    interpretation of RGB in JPEG 2000 is that of its reversible component transform).
    """
    syntax = TRANSFER_SYNTAXES[compression]
    if compression is Compression.JPEG_2000 and image.PhotometricInterpretation == "RGB":
        image.PhotometricInterpretation = "YBR_RCT"
    image.compress(syntax, generate_instance_uid=False)
