"""Whole data sets are told from those cut short, however they are encoded."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import encode

from node.dicom import structure
from node.dicom.part10 import IMPLICIT_LITTLE, read_part10
from node.dicom.structure import is_whole
from node.domain.errors import InputError
from tests.ecg_instances import mortara


def encoded(dataset: Dataset, *, explicit: bool, undefined: bool = True) -> bytes:
    """The data set alone, its sequences of undefined or of defined length, all the way down."""
    open_ends(dataset, undefined)
    content = encode(dataset, is_implicit_vr=not explicit, is_little_endian=True)
    assert content is not None
    return content


def open_ends(dataset: Dataset, undefined: bool) -> None:
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined
                open_ends(item, undefined)


ENCODINGS = [
    pytest.param(explicit, undefined, id=f"{'explicit' if explicit else 'implicit'}-{length}")
    for explicit in (True, False)
    for undefined, length in ((True, "undefined"), (False, "defined"))
]


@pytest.mark.parametrize(("explicit", "undefined"), ENCODINGS)
def test_a_whole_ecg_is_whole(explicit: bool, undefined: bool) -> None:
    assert is_whole(encoded(mortara(), explicit=explicit, undefined=undefined), explicit=explicit)


@pytest.mark.parametrize(("explicit", "undefined"), ENCODINGS)
def test_an_ecg_cut_short_anywhere_but_between_its_elements_is_not(
    explicit: bool, undefined: bool
) -> None:
    content = encoded(mortara(), explicit=explicit, undefined=undefined)
    boundaries = {len(content)}
    for cut in range(997, len(content), 997):
        if is_whole(content[:cut], explicit=explicit):
            boundaries.add(cut)
            # Nothing tells it apart from a shorter data set: a full reader takes it as well.
            read_part10(part10(content[:cut], explicit=explicit))
    assert len(boundaries) <= 2


def part10(content: bytes, *, explicit: bool) -> bytes:
    uid = (ExplicitVRLittleEndian if explicit else ImplicitVRLittleEndian).encode("ascii")
    uid += b"\0" * (len(uid) % 2)
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", len(uid)) + uid
    length = struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(meta))
    return bytes(128) + b"DICM" + length + meta + content


@pytest.mark.parametrize(
    "content",
    [
        b"\x08\x00\x05\x00C",  # within a header
        b"\x08\x00\x05\x00OB\0\0\x04",  # within a long header
        struct.pack("<HH2sH", 8, 5, b"CS", 4) + b"abc",  # within a value
        struct.pack("<HH2sHI", 8, 5, b"SQ", 0, 0xFFFFFFFF),  # a sequence that does not end
        struct.pack(
            "<HH2sHIII", 8, 5, b"SQ", 0, 0xFFFFFFFF, 0xE000FFFE, 0xFFFFFFFF
        ),  # nor its item
        struct.pack("<HH2sHIII", 8, 5, b"SQ", 0, 0xFFFFFFFF, 0x00080005, 0),  # no item in it
        struct.pack("<HH2sHI", 8, 5, b"OB", 0, 0xFFFFFFFF),  # encapsulated: not here
        struct.pack("<II", 0xE00DFFFE, 0),  # an item's end without an item
        struct.pack("<HH2sH", 8, 5, b"??", 0),  # no VR
    ],
)
def test_what_is_not_plain_is_left_to_a_full_reader(content: bytes) -> None:
    assert not is_whole(content, explicit=True)


def test_a_sequence_of_unknown_vr_is_implicit_inside() -> None:
    item = struct.pack("<III", 0xE000FFFE, 0xFFFFFFFF, 0x00050008) + struct.pack("<I", 2) + b"ab"
    end = struct.pack("<IIII", 0xE00DFFFE, 0, 0xE0DDFFFE, 0)
    content = struct.pack("<HH2sHI", 9, 5, b"UN", 0, 0xFFFFFFFF) + item + end
    assert is_whole(content + struct.pack("<HH2sH", 9, 6, b"CS", 0), explicit=True)


@pytest.mark.parametrize(("explicit", "undefined"), ENCODINGS)
def test_what_is_walked_over_in_c_is_what_python_walks_over(
    explicit: bool, undefined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = encoded(nested(5), explicit=explicit, undefined=undefined)
    chance = random.Random(20261126)
    contents = [whole[:cut] for cut in range(len(whole) + 1)]
    for _ in range(3000):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            # Mostly into heads: the bytes that say what follows.
            content[chance.randrange(len(content))] = chance.choice((0, 2, 8, 0xE0, 0xFE, 0xFF))
        contents.append(bytes(content))
    verdicts = [is_whole(content, explicit=explicit) for content in contents]
    assert verdicts[len(whole)]
    assert 10 < sum(verdicts) < len(verdicts) - 10
    monkeypatch.setattr(structure, "_run", lambda explicit: re.compile(rb"(?!)"))
    assert [is_whole(content, explicit=explicit) for content in contents] == verdicts


def nested(depth: int) -> Dataset:
    """Sequences deeper than what is walked over at once, with short values and a long one."""
    dataset = Dataset()
    dataset.PatientID = "1" * 64
    dataset.PatientComments = "c" * 70
    dataset.SimpleFrameList = [1, 2]
    dataset.EncapsulatedDocument = b"ab"
    if depth:
        dataset.ConceptNameCodeSequence = [nested(depth - 1), Dataset()]
    return dataset


def test_a_megabyte_of_beginnings_is_no_data_set() -> None:
    """Were anything tried in more than one way, this would not end."""
    opening = struct.pack("<HH2sHI", 8, 5, b"SQ", 0, 0xFFFFFFFF)
    opening += struct.pack("<II", 0xE000FFFE, 0xFFFFFFFF)
    short = struct.pack("<HH2sH", 8, 5, b"CS", 0)
    for content in (opening * 50_000, short * 120_000 + b"x", (opening + short) * 35_000):
        assert not is_whole(content, explicit=True)


def test_every_real_ecg_that_can_be_read_is_whole(shared: Path) -> None:
    files = sorted((shared / "data" / "ecg_dicom").rglob("*.dcm"))
    assert files
    for file in files:
        content = file.read_bytes()
        try:
            read_part10(content)
        except InputError:
            continue
        syntax = str(dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID)
        rest = content[144 + struct.unpack_from("<I", content, 140)[0] :]
        assert is_whole(rest, explicit=syntax != IMPLICIT_LITTLE), file.name
