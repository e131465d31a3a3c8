"""A report that was sent, taken back: the same resources, each marked as entered in error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from node.domain.wording import WITHDRAWN

_ERROR: Final = "entered-in-error"


def withdraw_report(sent: bytes, *, identifier: str) -> bytes:
    """The transaction that takes back one of ours.

    What people read says that and nothing else; a document does not go out again. Numbers stay, as
    in the message that takes one back.
    identifier: a UUID for the transaction.
    """
    from node.fhir.terminology import named

    bundle = _read(sent)
    bundle.identifier = named(identifier)
    for entry in bundle.entry:
        _mark(entry.resource)
    text: str = bundle.model_dump_json()
    return text.encode()


def left_behind(sent: bytes, entries: Sequence[Any]) -> list[Any]:
    """Entries that mark as errors what was sent before and is not among these."""
    kept = {entry.fullUrl for entry in entries}
    gone = [entry for entry in _read(sent).entry if entry.fullUrl not in kept]
    for entry in gone:
        _mark(entry.resource)
    return gone


def report_number(sent: bytes) -> str:
    """What the report of one of ours is known by."""
    number: str = _report(sent)["identifier"][0]["value"]
    return number


def is_withdrawal(sent: bytes) -> bool:
    """Whether one of ours takes another back."""
    status: str = _report(sent)["status"]
    return status == _ERROR


def _report(sent: bytes) -> dict[str, Any]:
    """Told without the library: which report it is, is asked where nothing is built."""
    report: dict[str, Any] = json.loads(sent)["entry"][0]["resource"]
    return report


def _read(sent: bytes) -> Any:
    from fhir.resources.R4B.bundle import Bundle

    return Bundle.model_validate_json(sent)


def _mark(resource: Any) -> None:
    from fhir.resources.R4B.annotation import Annotation

    resource.status = _ERROR
    if resource.get_resource_type() == "DiagnosticReport":
        resource.conclusion, resource.presentedForm = WITHDRAWN, None
    else:
        resource.note = [Annotation(text=WITHDRAWN)]
