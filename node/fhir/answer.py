"""What a FHIR server answers, read without trust: it decides about a delivery.

Source: FHIR R4, http.html#transaction-response, operationoutcome.html.
"""

from __future__ import annotations

import json
from typing import Any, Final

_ISSUE_TYPES: Final = frozenset(
    {
        "invalid", "structure", "required", "value", "invariant", "security", "login", "unknown",
        "expired", "forbidden", "suppressed", "processing", "not-supported", "duplicate",
        "multiple-matches", "not-found", "deleted", "too-long", "code-invalid", "extension",
        "too-costly", "business-rule", "conflict", "transient", "lock-error", "no-store",
        "exception", "timeout", "incomplete", "throttled", "informational",
    }
)  # fmt: skip
"""All that there are; nothing else is repeated. Source: FHIR R4, valueset-issue-type.html."""
_MOST: Final = 5
"""Codes that are told."""


def statuses(body: bytes) -> list[int] | None:
    """Of each entry of a transaction's response, 0 where it has none; None where it is no such."""
    answered = _resource(body)
    if answered.get("resourceType") != "Bundle" or answered.get("type") != "transaction-response":
        return None
    entries = answered.get("entry", [])
    return [_status(each) for each in entries] if isinstance(entries, list) else None


def issue_codes(body: bytes) -> tuple[str, ...] | None:
    """Of the issues of an OperationOutcome, each once; None where the answer is none."""
    answered = _resource(body)
    if answered.get("resourceType") != "OperationOutcome":
        return None
    issues = answered.get("issue", [])
    found = [
        each.get("code")
        for each in (issues if isinstance(issues, list) else [])
        if isinstance(each, dict)
    ]
    known = (code for code in found if isinstance(code, str) and code in _ISSUE_TYPES)
    return tuple(dict.fromkeys(known))[:_MOST]


def _status(entry: object) -> int:
    """The number that the text begins with, e.g. "201 Created"."""
    response = entry.get("response") if isinstance(entry, dict) else None
    said = response.get("status") if isinstance(response, dict) else None
    number = said[:3] if isinstance(said, str) else ""
    return int(number) if number.isascii() and number.isdecimal() and len(number) == 3 else 0


def _resource(body: bytes) -> dict[str, Any]:
    """Empty where it is no JSON object."""
    try:
        answered = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answered if isinstance(answered, dict) else {}
