"""PS3.10 files: wrap received bytes, read them back, and name them by their content."""

from __future__ import annotations

import hashlib
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom import config, datadict
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.filewriter import write_data_element
from pydicom.tag import BaseTag
from pydicom.values import convert_SQ, convert_string

from node.domain.errors import MalformedInstance, OversizedInstance, UnsupportedInstance
from node.domain.identifiers import derived_uid

# pydicom's warnings and log lines quote values, which may be the patient's. Values are checked by
# the code that reads them, so nothing is lost by silence; set once, because
# warnings.catch_warnings is not thread-safe.
config.settings.reading_validation_mode = config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

IMPLEMENTATION_CLASS_UID: Final = derived_uid("implementation-class")
IMPLEMENTATION_VERSION_NAME: Final = "CARDIONODE_0_1"
"""SH: at most 16 characters."""

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
READABLE_TRANSFER_SYNTAXES: Final = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
"""Most preferred first."""

MAX_INFLATED_BYTES: Final = 256 * 1024 * 1024
"""Bound of a deflated data set. 24 h of 3 leads at 250 Hz and 16 bits are 130 MB."""
HEAD_BYTES: Final = 1024 * 1024
"""Enough of a deflated data set to hold everything up to the SOP Instance UID."""

PREAMBLE: Final = b"\0" * 128 + b"DICM"
UNDEFINED_LENGTH: Final = 0xFFFFFFFF
ITEM_TAG: Final = b"\xfe\xff\x00\xe0"
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SPECIFIC_CHARACTER_SET: Final = 0x00080005
LENGTH_TO_END: Final = 0x00080001
TRAILING_PADDING: Final = 0xFFFCFFFC
LAST_TAG: Final = 0xFFFFFFFF

BINARY_VRS: Final = frozenset(
    ("AT", "FD", "FL", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "SV", "UL", "US", "UV")
) | {"OB or OW", "US or SS", "US or OW", "US or SS or OW"}
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    struct.error,
    TypeError,
    ValueError,
)
"""What pydicom raises on bytes that are not a data set, or not a value."""


def encode_part10(
    dataset_bytes: bytes, *, sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
) -> bytes:
    """A PS3.10 file around a data set's bytes, which stay as they were sent.

    Source: DICOM PS3.10 §7.1.
    """
    elements = b"".join(
        (
            struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            _short_element(0x0002, b"UI", sop_class_uid),
            _short_element(0x0003, b"UI", sop_instance_uid),
            _short_element(0x0010, b"UI", transfer_syntax_uid),
            _short_element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
            _short_element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
        )
    )
    group_length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(elements))
    return PREAMBLE + group_length + elements + dataset_bytes


def read_part10(content: bytes, *, maximum_bytes: int = MAX_INFLATED_BYTES) -> Dataset:
    """The data set of a PS3.10 file; values are decoded when they are looked at.

    maximum_bytes: what a deflated data set may inflate to.
    Raises MalformedInstance (not DICOM, no transfer syntax, cut short, nothing in it, cannot be
    parsed), OversizedInstance and UnsupportedInstance (big endian or compressed). The instance
    named by the file meta information is not compared with the data set's: cath lab systems write
    another one.
    Source: DICOM PS3.10 §7, PS3.5 §7 and A.5.
    """
    _, transfer_syntax_uid, rest = split_part10(content)
    return read_dataset(rest, transfer_syntax_uid, maximum_bytes=maximum_bytes)


def read_dataset(
    encoded: bytes,
    transfer_syntax_uid: str,
    *,
    maximum_bytes: int = MAX_INFLATED_BYTES,
    last: int = LAST_TAG,
) -> Dataset:
    """A data set as it was sent. Raises like `read_part10`.

    last: the tag behind which nothing is read. The waveform stands near the end and costs most.
    """
    inflated = _little_endian(encoded, transfer_syntax_uid, maximum_bytes)
    return _parse(inflated, transfer_syntax_uid, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What an instance says it is; a part that it does not say is empty."""

    sop_class_uid: str
    sop_instance_uid: str


def split_part10(content: bytes) -> tuple[Identity, str, bytes]:
    """What a PS3.10 file says outside its data set, the transfer syntax, the data set's bytes.

    Raises MalformedInstance.
    """
    said, transfer_syntax_uid, end = _read_file_meta(content)
    return said, transfer_syntax_uid, content[end:]


def identify_part10(content: bytes) -> tuple[Identity, str]:
    """What a PS3.10 file says outside its data set, and the transfer syntax; nothing is copied.

    Raises MalformedInstance.
    """
    said, transfer_syntax_uid, _ = _read_file_meta(content)
    return said, transfer_syntax_uid


def read_identity(dataset_bytes: bytes, transfer_syntax_uid: str) -> Identity:
    """What the data set says, read no further than (0008,0018): well under a millisecond.

    Raises MalformedInstance or UnsupportedInstance.
    """
    encoded = _little_endian(dataset_bytes, transfer_syntax_uid, HEAD_BYTES, head_only=True)
    try:
        elements = _elements(encoded, transfer_syntax_uid, last=SOP_INSTANCE_UID)
        head = {element.tag: element for element in elements}
    except UNREADABLE as error:
        raise MalformedInstance("the data set cannot be parsed; check the sender") from error
    return Identity(
        sop_class_uid=_uid(head.get(BaseTag(SOP_CLASS_UID))),
        sop_instance_uid=_uid(head.get(BaseTag(SOP_INSTANCE_UID))),
    )


def check_storable(
    dataset_bytes: bytes, *, transfer_syntax_uid: str, sop_class_uid: str, sop_instance_uid: str
) -> None:
    """Pass when the data set begins as DICOM and is the instance the command set announced.

    Raises MalformedInstance or UnsupportedInstance; the sender gets Cxxx or A9xx.
    Source: DICOM PS3.4 B.2.3.
    """
    if not dataset_bytes:
        raise MalformedInstance("the data set is empty; send the instance again")
    said = read_identity(dataset_bytes, transfer_syntax_uid)
    for keyword, value, announced in (
        ("SOPClassUID", said.sop_class_uid, sop_class_uid),
        ("SOPInstanceUID", said.sop_instance_uid, sop_instance_uid),
    ):
        if value != announced:
            raise MalformedInstance(
                f"{keyword} of the data set is not what the C-STORE request announced; check the "
                "sender"
            )


def source_digest(dataset: Dataset) -> str:
    """SHA-256 that names an ECG by its decoded content, however it was encoded.

    Left out: file meta information, group lengths, Length to End, trailing padding. Implicit,
    explicit and deflated encodings agree, as do defined and undefined lengths. Text is compared
    without its padding; so are private elements, whose VR implicit encodings do not carry.
    """
    digest = hashlib.sha256()
    for tag in sorted(dataset.keys()):
        if tag.group <= 0x0002 or tag.element == 0 or tag in (LENGTH_TO_END, TRAILING_PADDING):
            continue
        element = dataset.get_item(tag, keep_deferred=True)
        items = _items(element, dataset)
        if items:
            digest.update(struct.pack(">IcQ", tag, b"S", len(items)))
            for item in items:
                digest.update(bytes.fromhex(source_digest(item)))
        else:
            value = b"" if items is not None else _canonical(element, dataset)
            digest.update(struct.pack(">IcQ", tag, b"V", len(value)))
            digest.update(value)
    return digest.hexdigest()


def _short_element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, element, vr, len(value)) + value


def _read_file_meta(content: bytes) -> tuple[Identity, str, int]:
    """What group 0002 says, which is always explicit little endian, and where it ends."""
    if content[128:132] != b"DICM":
        raise MalformedInstance("not a DICOM file: the DICM prefix is missing; send it again")
    stream = BytesIO(content)
    stream.seek(len(PREAMBLE))
    try:
        meta = {
            element.tag: element
            for element in data_element_generator(
                stream,
                is_implicit_VR=False,
                is_little_endian=True,
                stop_when=lambda tag, _vr, _length: tag.group != 0x0002,
            )
        }
    except UNREADABLE as error:
        raise MalformedInstance(
            "the file meta information cannot be parsed; send the instance again"
        ) from error
    said = Identity(
        sop_class_uid=_uid(meta.get(BaseTag(0x00020002))),
        sop_instance_uid=_uid(meta.get(BaseTag(0x00020003))),
    )
    transfer_syntax_uid = _uid(meta.get(BaseTag(0x00020010)))
    if not transfer_syntax_uid:
        raise MalformedInstance("the file meta information names no transfer syntax; send it again")
    return said, transfer_syntax_uid, stream.tell()


def check_readable(transfer_syntax_uid: str) -> None:
    """Pass when such a data set is read here. Raises UnsupportedInstance."""
    if transfer_syntax_uid not in READABLE_TRANSFER_SYNTAXES:
        raise UnsupportedInstance(
            "this transfer syntax is not read; send little endian, implicit, explicit or deflated"
        )


def _little_endian(
    encoded: bytes, transfer_syntax_uid: str, limit_bytes: int, *, head_only: bool = False
) -> bytes:
    """The little endian data set, inflated where the transfer syntax says so."""
    check_readable(transfer_syntax_uid)
    if transfer_syntax_uid != DEFLATED_LITTLE:
        return encoded
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(encoded, limit_bytes)
    except zlib.error as error:
        raise MalformedInstance("the deflated data set cannot be inflated; resend it") from error
    if head_only or inflater.eof:
        return inflated
    if inflater.unconsumed_tail:
        raise OversizedInstance(
            f"the data set inflates to more than {limit_bytes} bytes; send less, or raise "
            "dicom.maximum_instance_mb"
        )
    raise MalformedInstance("the deflated data set is cut short; send the instance again")


def _elements(
    encoded: bytes, transfer_syntax_uid: str, last: int = LAST_TAG
) -> Iterator[RawDataElement | DataElement]:
    """Top-level elements up to a tag. Raises one of UNREADABLE, EOFError for one cut short."""
    # Some senders write the other VR encoding than they negotiated: two capital letters where an
    # implicit length stands would need a first element longer than 16 kB (pydicom's own test).
    vr = encoded[4:6]
    explicit = vr.isalpha() and vr.isupper()
    if len(vr) < 2:
        explicit = transfer_syntax_uid != IMPLICIT_LITTLE
    for element in data_element_generator(
        BytesIO(encoded),
        not explicit,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag > last,
    ):
        if (
            isinstance(element, RawDataElement)
            and element.length != UNDEFINED_LENGTH
            and len(element.value or b"") < element.length
        ):
            raise EOFError("a value is shorter than its length")
        yield element


def _parse(encoded: bytes, transfer_syntax_uid: str, last: int) -> Dataset:
    try:
        elements = {
            element.tag: element for element in _elements(encoded, transfer_syntax_uid, last)
        }
        charset = elements.get(BaseTag(SPECIFIC_CHARACTER_SET))
        declared = charset.value if isinstance(charset, RawDataElement) else b""
        encodings = convert_encodings(convert_string(declared or b"", is_little_endian=True))
        dataset = Dataset(elements, parent_encoding=default_encoding)
        dataset.set_original_encoding(transfer_syntax_uid == IMPLICIT_LITTLE, True, encodings)
    except EOFError as error:
        raise MalformedInstance("the data set is cut short; send the instance again") from error
    except UNREADABLE as error:
        raise MalformedInstance("the data set cannot be parsed; check the sender") from error
    if not elements:
        raise MalformedInstance("the data set is empty; send the instance again")
    return dataset


def _uid(element: RawDataElement | DataElement | None) -> str:
    """Text of a UI element, without padding; empty when there is none."""
    if element is None or element.value is None:
        return ""
    value = element.value
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.rstrip("\0 ")


def _vr(element: RawDataElement | DataElement) -> str:
    """The dictionary's VR, else the element's own; "UN" for private elements but sequences."""
    if datadict.dictionary_has_tag(element.tag):
        return datadict.dictionary_VR(element.tag)
    return "SQ" if element.VR == "SQ" else "UN"


def _items(element: RawDataElement | DataElement | None, dataset: Dataset) -> list[Dataset] | None:
    """The items when the element is a sequence, declared or recognised inside UN; else None."""
    if element is None:
        return None
    if isinstance(element, DataElement):
        return list(element.value or []) if element.VR == "SQ" else unknown_items(element.value)
    value = element.value or b""
    if _vr(element) != "SQ":
        return unknown_items(value) if _vr(element) == "UN" else None
    if not value:
        return []
    # PS3.5 §6.2.2 note 2: a sequence carried as UN is implicit little endian.
    implicit = element.is_implicit_VR or element.VR == "UN"
    try:
        return list(convert_SQ(value, implicit, True, list(encodings_of(dataset))))
    except UNREADABLE:
        return None


def unknown_items(value: object) -> list[Dataset] | None:
    """The items inside a value of unknown VR, or None when it does not hold any."""
    if not isinstance(value, bytes) or not value.startswith(ITEM_TAG):
        return None
    try:
        return list(convert_SQ(value, True, True, [default_encoding]))
    except UNREADABLE:
        return None


def encodings_of(dataset: Dataset) -> list[str]:
    """Python's names of its character sets."""
    charset = dataset.original_character_set
    return [charset] if isinstance(charset, str) else list(charset)


def _canonical(element: RawDataElement | DataElement | None, dataset: Dataset) -> bytes:
    """Little endian value bytes; text and unknown values without padding."""
    if element is None or element.value is None:
        return b""
    value = element.value
    if not isinstance(value, bytes):
        value = _encode_value(element, dataset)
    if _vr(element) in BINARY_VRS:
        return value
    return b"\\".join(part.strip(b"\0 ") for part in value.split(b"\\"))


def _encode_value(element: RawDataElement | DataElement, dataset: Dataset) -> bytes:
    """The value bytes of an element that has been decoded before."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = True, True
    write_data_element(buffer, element, encodings_of(dataset))
    return buffer.getvalue()[8:]
