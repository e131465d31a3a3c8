"""What a PACS says about its commitment, read from bytes that PS3.4 table J.3-2 describes."""

from __future__ import annotations

import io

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from node.dicom.commitment_report import read_report
from node.domain.errors import Kind, MalformedInstance

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
SC = "1.2.840.10008.5.1.4.1.1.7.2"


def encoded(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, transfer_syntax_uid == IMPLICIT
    write_dataset(file, dataset)
    return file.getvalue()


def report(
    *, transaction: str = "1.2.3", committed: tuple[str, ...] = (), failed: dict[str, int | None]
) -> Dataset:
    dataset = Dataset()
    dataset.TransactionUID = transaction
    dataset.ReferencedSOPSequence = [instance(uid) for uid in committed]
    dataset.FailedSOPSequence = [instance(uid, reason) for uid, reason in failed.items()]
    return dataset


def instance(uid: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = SC
    item.ReferencedSOPInstanceUID = uid
    if reason is not None:
        item.FailureReason = reason
    return item


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_both_lists_are_read_in_either_encoding(syntax: str) -> None:
    content = encoded(report(committed=("1.1", "1.2"), failed={"1.3": 0x0112}), syntax)
    found = read_report(content, syntax)
    assert found.transaction_uid == "1.2.3"
    assert found.committed == {"1.1", "1.2"}
    assert set(found.failed) == {"1.3"}


@pytest.mark.parametrize(
    ("reason", "kind", "words"),
    [
        (0x0110, Kind.TRANSIENT, "failed while"),
        (0x0112, Kind.TRANSIENT, "does not have"),
        (0x0213, Kind.TRANSIENT, "out of resources"),
        (0x0131, Kind.TRANSIENT, "transaction UID"),
        (0x0122, Kind.PERMANENT, "SOP class"),
        (0x0119, Kind.PERMANENT, "another SOP class"),
        (0x9999, Kind.TRANSIENT, "does not commit"),
        (None, Kind.TRANSIENT, "0x0000"),
    ],
)
def test_each_failure_reason_has_words_and_says_whether_sending_again_helps(
    reason: int | None, kind: Kind, words: str
) -> None:
    found = read_report(encoded(report(failed={"1.3": reason}), EXPLICIT), EXPLICIT)
    error = found.failed["1.3"]
    assert error.kind is kind
    assert words in error.message
    assert f"0x{reason or 0:04X}" in error.message


def test_an_instance_in_both_lists_has_failed() -> None:
    content = encoded(report(committed=("1.1", "1.3"), failed={"1.3": 0x0110}), EXPLICIT)
    found = read_report(content, EXPLICIT)
    assert (found.committed, set(found.failed)) == ({"1.1"}, {"1.3"})


def no_transaction() -> Dataset:
    dataset = report(failed={})
    del dataset.TransactionUID
    return dataset


WHOLE = encoded(report(committed=("1.1",), failed={"1.3": 0x0110}), EXPLICIT)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        io.BytesIO(WHOLE).read(30),
        WHOLE[:-3],
        encoded(no_transaction(), EXPLICIT),
        encoded(report(transaction="../etc/passwd", failed={}), EXPLICIT),
        encoded(report(committed=("",), failed={}), EXPLICIT),
        encoded(report(committed=("1.2.x",), failed={}), EXPLICIT),
        bytes(range(256)) * 8,
    ],
)
def test_what_is_no_report_is_malformed_and_nothing_else(content: bytes) -> None:
    with pytest.raises(MalformedInstance):
        read_report(content, EXPLICIT)
