"""What became of each instance of a STOW-RS request, as the response's data set in JSON.

Source: DICOM PS3.18 annex I (the data set) and annex F (its JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

MEDIA_TYPE: Final = "application/dicom+json"

_REFERENCED_SOP_CLASS_UID: Final = "00081150"
_REFERENCED_SOP_INSTANCE_UID: Final = "00081155"
_RETRIEVE_URL: Final = "00081190"
_FAILURE_REASON: Final = "00081197"
_FAILED_SOP_SEQUENCE: Final = "00081198"
_REFERENCED_SOP_SEQUENCE: Final = "00081199"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """Of one instance."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    """Empty where the part could not even be read so far."""
    failure_reason: int | None = None
    """None: stored. Source: DICOM PS3.18 table I.2-2."""


def encode_store_response(outcomes: Iterable[StoreOutcome]) -> bytes:
    """The Store Instances Response; without URLs, because nothing can be retrieved here."""
    sequences: dict[str, list[dict[str, Any]]] = {}
    for outcome in outcomes:
        item: dict[str, Any] = {}
        if outcome.sop_instance_uid:
            item[_REFERENCED_SOP_CLASS_UID] = _element("UI", outcome.sop_class_uid)
            item[_REFERENCED_SOP_INSTANCE_UID] = _element("UI", outcome.sop_instance_uid)
        if outcome.failure_reason is None:
            item[_RETRIEVE_URL] = {"vr": "UR"}
            sequence = _REFERENCED_SOP_SEQUENCE
        else:
            item[_FAILURE_REASON] = _element("US", outcome.failure_reason)
            sequence = (
                _FAILED_SOP_SEQUENCE if outcome.sop_instance_uid else _OTHER_FAILURES_SEQUENCE
            )
        sequences.setdefault(sequence, []).append(item)
    response: dict[str, Any] = {_RETRIEVE_URL: {"vr": "UR"}}
    for tag in sorted(sequences):
        response[tag] = {"vr": "SQ", "Value": sequences[tag]}
    return json.dumps(response).encode("ascii")


def decode_store_response(body: bytes) -> tuple[StoreOutcome, ...]:
    """What a server says of each instance; what cannot be read says nothing of any."""
    try:
        response = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    stored = (
        StoreOutcome(
            sop_class_uid=_text(item, _REFERENCED_SOP_CLASS_UID),
            sop_instance_uid=_text(item, _REFERENCED_SOP_INSTANCE_UID),
        )
        for item in _items(response, _REFERENCED_SOP_SEQUENCE)
    )
    failed = (
        StoreOutcome(
            sop_class_uid=_text(item, _REFERENCED_SOP_CLASS_UID),
            sop_instance_uid=_text(item, _REFERENCED_SOP_INSTANCE_UID),
            failure_reason=_number(item, _FAILURE_REASON),
        )
        for tag in (_FAILED_SOP_SEQUENCE, _OTHER_FAILURES_SEQUENCE)
        for item in _items(response, tag)
    )
    return (*stored, *failed)


def _element(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value != "" else {"vr": vr}


def _values(dataset: object, tag: str) -> list[Any]:
    element = dataset.get(tag) if isinstance(dataset, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _items(dataset: object, tag: str) -> Iterator[dict[str, Any]]:
    return (value for value in _values(dataset, tag) if isinstance(value, dict))


def _text(item: dict[str, Any], tag: str) -> str:
    values = _values(item, tag)
    return values[0] if values and isinstance(values[0], str) else ""


def _number(item: dict[str, Any], tag: str) -> int:
    """0 where there is none: failed, and nobody says why. Some servers write it as text."""
    values = _values(item, tag)
    try:
        return int(values[0]) if values and isinstance(values[0], str | int) else 0
    except ValueError:
        return 0
