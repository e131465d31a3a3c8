from __future__ import annotations

import copy
import io
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.dicom.part10 import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_LITTLE,
    check_storable,
    encode_part10,
    read_part10,
    source_digest,
)
from node.dicom.waveform import TWELVE_LEAD_ECG
from node.domain.errors import (
    InputError,
    MalformedInstance,
    OversizedInstance,
    UnsupportedInstance,
)
from tests.unit.dicom.ecg_phantom import dataset_bytes, instance, part10, twelve_leads

SYNTAXES = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
BIG_ENDIAN = "1.2.840.10008.1.2.2"
ECG = instance(twelve_leads(), PatientID="P1", PatientName="Test^Name")
ENCODED = dataset_bytes(ECG)


def wrapped(encoded: bytes, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> bytes:
    return encode_part10(
        encoded,
        sop_class_uid=TWELVE_LEAD_ECG,
        sop_instance_uid="2.25.11",
        transfer_syntax_uid=transfer_syntax_uid,
    )


def with_private_elements() -> Dataset:
    """A private block whose VRs an implicit encoding loses, a private sequence among them."""
    dataset = copy.deepcopy(ECG)
    block = dataset.private_block(0x1455, "SOME VENDOR", create=True)
    block.add_new(0x10, "LO", "odd")
    block.add_new(0x11, "US", 513)
    block.add_new(0x12, "FD", 1.25)
    inner = Dataset()
    inner.PatientComments = "nested"
    inner.add_new(0x14551013, "DS", "1.50")
    block.add_new(0x13, "SQ", Sequence([inner, Dataset()]))
    block.add_new(0x14, "SQ", Sequence([]))
    block.add_new(0x15, "OB", b"\x01\x02\x03\x04")
    return dataset


# encode_part10


def test_pydicom_reads_the_file_meta_information_that_we_write() -> None:
    meta = pydicom.dcmread(io.BytesIO(part10(ECG))).file_meta
    assert meta.FileMetaInformationVersion == b"\x00\x01"
    assert meta.MediaStorageSOPClassUID == TWELVE_LEAD_ECG
    assert meta.MediaStorageSOPInstanceUID == "2.25.11"
    assert meta.TransferSyntaxUID == EXPLICIT_LITTLE
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16


def test_the_group_length_ends_where_the_data_set_begins() -> None:
    content = part10(ECG)
    length = int.from_bytes(content[140:144], "little")
    assert content[144 + length :] == ENCODED


@given(st.binary(max_size=200))
def test_the_bytes_of_the_data_set_stay_as_they_were_sent(encoded: bytes) -> None:
    assert wrapped(encoded).endswith(encoded)


# read_part10


@pytest.mark.parametrize("transfer_syntax_uid", SYNTAXES)
def test_what_was_written_is_read(transfer_syntax_uid: str) -> None:
    dataset = read_part10(part10(ECG, transfer_syntax_uid))
    assert dataset == ECG


@pytest.mark.parametrize("content", [b"", b"\0" * 128, b"not DICOM" * 100, part10(ECG)[:140]])
def test_what_is_no_dicom_file_is_malformed(content: bytes) -> None:
    with pytest.raises(MalformedInstance):
        read_part10(content)


def test_an_empty_data_set_is_malformed() -> None:
    with pytest.raises(MalformedInstance, match="empty"):
        read_part10(wrapped(b""))


@pytest.mark.parametrize("transfer_syntax_uid", SYNTAXES)
def test_a_cut_anywhere_inside_the_waveform_is_noticed(transfer_syntax_uid: str) -> None:
    content = part10(ECG, transfer_syntax_uid)
    for cut in (1, 7, 100, 300):
        with pytest.raises(MalformedInstance):
            read_part10(content[:-cut])


def test_a_cut_inside_an_undefined_length_sequence_is_noticed() -> None:
    dataset = copy.deepcopy(ECG)
    dataset["WaveformSequence"].is_undefined_length = True
    content = part10(dataset)
    for cut in (1, 8, 20, 300):
        with pytest.raises(MalformedInstance):
            read_part10(content[:-cut])


@pytest.mark.parametrize("transfer_syntax_uid", [BIG_ENDIAN, "1.2.840.10008.1.2.4.50", "1.2.3"])
def test_big_endian_and_compressed_syntaxes_are_unsupported(transfer_syntax_uid: str) -> None:
    with pytest.raises(UnsupportedInstance):
        read_part10(wrapped(ENCODED, transfer_syntax_uid))


def test_bytes_that_do_not_inflate_are_malformed() -> None:
    with pytest.raises(MalformedInstance, match="inflated"):
        read_part10(wrapped(b"\xff" * 50, DEFLATED_LITTLE))


def test_a_deflate_bomb_is_not_inflated() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(b"\0" * 1_000_000) + deflater.flush()
    with pytest.raises(OversizedInstance, match="inflates to more than 10000 bytes"):
        read_part10(wrapped(bomb, DEFLATED_LITTLE), maximum_bytes=10_000)


def test_a_data_set_in_the_other_vr_encoding_than_announced_is_read() -> None:
    implicit = dataset_bytes(ECG, IMPLICIT_LITTLE)
    assert read_part10(wrapped(implicit, EXPLICIT_LITTLE)) == ECG
    assert read_part10(wrapped(ENCODED, IMPLICIT_LITTLE)) == ECG


@settings(max_examples=150, deadline=None)
@given(st.data())
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_damaged_bytes_give_a_data_set_or_an_input_error(data: st.DataObject) -> None:
    content = bytearray(part10(ECG, data.draw(st.sampled_from(SYNTAXES))))
    places = st.lists(st.integers(132, len(content) - 1), min_size=1, max_size=8)
    for place in data.draw(places):
        content[place] = data.draw(st.integers(0, 255))
    try:
        assert len(source_digest(read_part10(bytes(content)))) == 64
    except InputError as error:
        assert "Test" not in error.message


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_every_odd_or_broken_file_is_read_or_refused(shared: Path) -> None:
    files = sorted((shared / "data" / "malformed").rglob("*.dcm"))
    refused = set()
    for file in files:
        try:
            source_digest(read_part10(file.read_bytes()))
        except InputError:
            refused.add(file.name)
    assert len(files) > 50
    assert {"MR_truncated.dcm", "rtplan_truncated.dcm", "no_meta.dcm"} <= refused
    assert {"ecgtoolkit_Example_truncated.dcm", "ExplVR_BigEnd.dcm"} <= refused
    assert not refused & {file.name for file in files if file.parent.name == "charset"}


# check_storable


def announce(encoded: bytes, transfer_syntax_uid: str = EXPLICIT_LITTLE) -> None:
    check_storable(
        encoded,
        transfer_syntax_uid=transfer_syntax_uid,
        sop_class_uid=TWELVE_LEAD_ECG,
        sop_instance_uid="2.25.11",
    )


@pytest.mark.parametrize("transfer_syntax_uid", SYNTAXES)
def test_a_data_set_that_is_what_was_announced_passes(transfer_syntax_uid: str) -> None:
    announce(dataset_bytes(ECG, transfer_syntax_uid), transfer_syntax_uid)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SOPInstanceUID", "2.25.99"), ("SOPClassUID", "1.2.840.10008.5.1.4.1.1.9.1.2")],
)
def test_another_instance_than_announced_is_malformed(keyword: str, value: str) -> None:
    other = copy.deepcopy(ECG)
    setattr(other, keyword, value)
    with pytest.raises(MalformedInstance, match=keyword):
        announce(dataset_bytes(other))
    delattr(other, keyword)
    with pytest.raises(MalformedInstance, match=keyword):
        announce(dataset_bytes(other))


@pytest.mark.parametrize(
    "encoded",
    [b"", b"\0", b"HTTP/1.1 200 OK", b"\xff" * 400, ENCODED[:40], b"\x08\0\x16\0UI\xff\xff"],
)
def test_bytes_that_do_not_begin_as_this_data_set_are_malformed(encoded: bytes) -> None:
    for transfer_syntax_uid in SYNTAXES:
        with pytest.raises(MalformedInstance):
            announce(encoded, transfer_syntax_uid)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_check_fail_otherwise(encoded: bytes) -> None:
    for transfer_syntax_uid in SYNTAXES:
        with pytest.raises(MalformedInstance):
            announce(encoded, transfer_syntax_uid)


# source_digest


@pytest.mark.parametrize("dataset", [ECG, with_private_elements()], ids=["plain", "private"])
def test_the_digest_does_not_depend_on_the_transfer_syntax(dataset: Dataset) -> None:
    digests = {source_digest(read_part10(part10(dataset, syntax))) for syntax in SYNTAXES}
    assert len(digests) == 1


@pytest.mark.parametrize("transfer_syntax_uid", SYNTAXES)
def test_the_digest_does_not_depend_on_how_lengths_are_written(transfer_syntax_uid: str) -> None:
    undefined = with_private_elements()
    for element in undefined.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
    defined = read_part10(part10(with_private_elements(), transfer_syntax_uid))
    assert source_digest(read_part10(part10(undefined, transfer_syntax_uid))) == source_digest(
        defined
    )


def test_the_digest_leaves_group_lengths_and_trailing_padding_out() -> None:
    padded = copy.deepcopy(ECG)
    padded.add_new(0x00080000, "UL", 312)
    padded.add_new(0x00080001, "UL", 4000)
    padded.add_new(0xFFFCFFFC, "OB", b"\0" * 64)
    assert source_digest(padded) == source_digest(ECG)


def test_the_digest_does_not_depend_on_the_padding_of_text() -> None:
    odd = dataset_bytes(instance(twelve_leads(), PatientID="P1", StudyDescription="abc"))
    spaced = odd.replace(b"abc ", b"abc\0")
    assert spaced != odd
    digests = {source_digest(read_part10(wrapped(encoded))) for encoded in (odd, spaced)}
    assert len(digests) == 1


def test_the_digest_does_not_change_once_values_have_been_looked_at() -> None:
    dataset = read_part10(part10(with_private_elements()))
    before = source_digest(dataset)
    assert len(list(dataset.iterall())) > 100
    assert source_digest(dataset) == before


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("PatientID", "P2"), ("PatientName", ""), ("StudyID", "1"), ("StudyTime", "0000")],
)
def test_another_value_makes_another_digest(keyword: str, value: str) -> None:
    other = copy.deepcopy(ECG)
    setattr(other, keyword, value)
    assert source_digest(other) != source_digest(ECG)


@given(st.integers(0, 479), st.integers(1, 255))
def test_one_bit_of_the_waveform_makes_another_digest(place: int, flip: int) -> None:
    other = copy.deepcopy(ECG)
    data = bytearray(other.WaveformSequence[0].WaveformData)
    data[place] ^= flip
    other.WaveformSequence[0].WaveformData = bytes(data)
    assert source_digest(other) != source_digest(ECG)


def test_where_an_element_stands_is_part_of_the_digest() -> None:
    outer, inner = copy.deepcopy(ECG), copy.deepcopy(ECG)
    outer.PatientComments = "x"
    inner.WaveformSequence[0].PatientComments = "x"
    assert source_digest(outer) != source_digest(inner)
