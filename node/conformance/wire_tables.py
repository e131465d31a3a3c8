"""Rows of presentation contexts, query keys and statuses: what is proposed, taken and answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydicom.datadict import tag_for_keyword

from node.conformance.subject import Subject, hexadecimal, name_of
from node.dicom import dimse, worklist
from node.dicom.commitment_report import FAILURE_REASONS
from node.dicom.iod import modules
from node.dicom.negotiation import AS_SCU, SUPPORTED
from node.dicom.part10 import EXPLICIT_LITTLE
from node.dicom.response_status import ResponseStatus
from node.dicom.scu import PROPOSED, storage_syntaxes
from node.domain.errors import DeliveryError, Kind, Unanswered, Unreachable
from node.domain.form import Compression

CONTEXT: Final = (
    "Abstract Syntax Name", "Abstract Syntax UID", "Transfer Syntax Name", "Transfer Syntax UID",
    "Role", "Ext. Neg.",
)  # fmt: skip
RESPONSE: Final = ("Service Status", "Further Meaning", "Error Code", "Behavior")
ANSWER: Final = ("Service Status", "Further Meaning", "Error Code", "Reason")
_BEHAVIOUR: Final = {
    Kind.TRANSIENT: "tried again later",
    Kind.AMBIGUOUS: "sent again as it is",
    Kind.PERMANENT: "stops and waits for a person",
}
_UNASKED: Final = {
    _BEHAVIOUR[Kind.TRANSIENT]: "asked again until `patience_s` is over, then done without",
    _BEHAVIOUR[Kind.PERMANENT]: "done without",
}


def proposed_storage() -> Iterator[tuple[str, ...]]:
    for uid in dimse.RESULT_STORAGE:
        is_image = any(module.name == "image-pixel" for module in modules(uid))
        where: dict[str, list[str]] = {}
        for compression in Compression:
            for syntax in storage_syntaxes(EXPLICIT_LITTLE, compression, is_image=is_image):
                where.setdefault(syntax, []).append(compression.value)
        # What is always proposed stands last: it is what everything else is preferred to.
        last = sorted(where.items(), key=lambda each: len(each[1]) == len(Compression))
        for syntax, choices in last:
            always = len(choices) == len(Compression)
            shown = "always" if always else f"compression = {' or '.join(choices)}"
            yield *_context_row(uid, syntax, "SCU"), shown
    for uid in dimse.ECG_STORAGE:
        for syntax in SUPPORTED[uid]:
            yield *_context_row(uid, syntax, "SCU"), "an ECG came in it and a rule passes it on"


def worklist_rows(subject: Subject) -> Iterator[tuple[str, ...]]:
    """Keys of the query, and what the answers are read for."""
    keys = set(worklist.KEYS)
    for keyword in (*worklist.RETURNED, *worklist.SEQUENCES):
        tag = tag_for_keyword(keyword) or 0
        used = subject.prose.worklist.get(keyword, "no")
        yield (
            keyword, f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
            "single value" if keyword in keys else "universal", used,
        )  # fmt: skip


def worklist_response_rows() -> Iterator[tuple[str, ...]]:
    """Nothing waits for a person here: an ECG goes on without its order."""
    for row in response_rows(worklist.RESPONSES, "read"):
        status, meaning, code, behaviour = row
        yield status, meaning, code, _UNASKED.get(behaviour, behaviour)


def proposed(uid: str) -> Iterator[tuple[str, ...]]:
    return (_context_row(uid, syntax, "SCU") for syntax in PROPOSED[uid])


def accepted(classes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (
        _context_row(uid, syntax, "SCU" if uid in AS_SCU else "SCP")
        for uid in classes
        for syntax in SUPPORTED[uid]
    )


def _context_row(abstract: str, syntax: str, role: str) -> tuple[str, ...]:
    return name_of(abstract), abstract, name_of(syntax), syntax, role, "None"


def response_rows(table: Sequence[ResponseStatus], done: str) -> Iterator[tuple[str, ...]]:
    for row in table:
        codes = hexadecimal(row.first)
        if row.last != row.first:
            codes = f"{codes}-{hexadecimal(row.last)}"
        behaviour = done if row.error is None else _BEHAVIOUR[row.error.kind]
        kind = _service_status(row.last)
        yield kind, row.meaning, "any other" if row is table[-1] else codes, behaviour


def answer_rows(answers: Mapping[int, str]) -> Iterator[tuple[str, ...]]:
    meanings = {
        dimse.SUCCESS: "Success",
        dimse.OUT_OF_RESOURCES: "Out of resources",
        dimse.CANNOT_UNDERSTAND: "Cannot understand",
        dimse.PROCESSING_FAILURE: "Processing failure",
        0x0112: "No such SOP Instance",
        0x0113: "No such event type",
        0x0115: "Invalid argument value",
        0x0117: "Invalid SOP Instance",
        0x0118: "No such SOP Class",
        0x0122: "SOP Class not supported",
        0x0124: "Not authorized",
        0x0211: "Unrecognized operation",
        0x0213: "Resource limitation",
    }
    for status, when in answers.items():
        yield _service_status(status), meanings[status], hexadecimal(status), when


def _service_status(status: int) -> str:
    """Source: DICOM PS3.7 annex C."""
    if status == dimse.SUCCESS:
        return "Success"
    if status in worklist.PENDING:
        return "Pending"
    if status in (0x0001, 0x0107, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return "Warning"
    return "Failure"


def failure_rows() -> Iterator[tuple[str, str]]:
    exceptions: tuple[tuple[str, type[DeliveryError]], ...] = (
        ("No connection, no TLS, or no association", Unreachable),
        ("Association ended without a response, or none in time", Unanswered),
    )
    for exception, error in exceptions:
        yield exception, _BEHAVIOUR[error.kind]
    yield "Association rejected", _BEHAVIOUR[Kind.TRANSIENT]
    yield "No presentation context accepted", _BEHAVIOUR[Kind.PERMANENT]


def failure_reason_rows() -> Iterator[tuple[str, str, str]]:
    for reason, (error, words) in FAILURE_REASONS.items():
        resent = error.kind is Kind.TRANSIENT
        behaviour = "sent again and asked for anew" if resent else _BEHAVIOUR[error.kind]
        yield hexadecimal(reason), words, behaviour
    yield "any other", "the peer does not commit itself", "sent again and asked for anew"
