"""The Store Instances Response, written and read."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from node.dicom.store_response import StoreOutcome, decode_store_response, encode_store_response

UIDS = st.integers(1, 2**128).map("2.25.{}".format)
BOUNDED = settings(max_examples=60, deadline=None)
OUTCOMES = st.builds(
    StoreOutcome,
    sop_class_uid=UIDS,
    sop_instance_uid=UIDS,
    failure_reason=st.none() | st.integers(0, 0xFFFF),
)
STORED = StoreOutcome(sop_class_uid="1.2.840.1", sop_instance_uid="2.25.1")
FAILED = StoreOutcome(sop_class_uid="1.2.840.1", sop_instance_uid="2.25.2", failure_reason=0xA700)
UNREADABLE = StoreOutcome(failure_reason=0xC000)


@BOUNDED
@given(st.lists(OUTCOMES, max_size=5))
def test_what_is_written_is_read(outcomes: list[StoreOutcome]) -> None:
    read = decode_store_response(encode_store_response(outcomes))
    assert sorted(map(repr, read)) == sorted(map(repr, outcomes))


def test_the_data_set_is_that_of_the_standard() -> None:
    encoded = encode_store_response([STORED, FAILED, UNREADABLE])
    response = Dataset.from_json(encoded.decode("ascii"))  # a second implementation
    assert response.RetrieveURL in (None, "")
    (stored,) = response.ReferencedSOPSequence
    assert (stored.ReferencedSOPClassUID, stored.ReferencedSOPInstanceUID) == (
        "1.2.840.1",
        "2.25.1",
    )
    (failed,) = response.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("2.25.2", 0xA700)
    (other,) = response.OtherFailuresSequence
    assert other.FailureReason == 0xC000
    assert "FailedSOPSequence" not in Dataset.from_json(
        encode_store_response([STORED]).decode("ascii")
    )


def test_what_pydicom_writes_is_read() -> None:
    response = Dataset()
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = "1.2.840.1", "2.25.1"
    response.ReferencedSOPSequence = [item]
    assert decode_store_response(response.to_json().encode()) == (STORED,)


@BOUNDED
@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["00081199", "00081198", "00081155", "00081197", "Value", "vr"]),
                inner,
            )
        ),
    ).map(lambda tree: json.dumps(tree).encode())
)
def test_whatever_comes_says_something_or_nothing(body: bytes) -> None:
    for outcome in decode_store_response(body):
        assert isinstance(outcome.sop_instance_uid, str)
