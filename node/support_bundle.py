"""What somebody who helps needs to see of a node: one archive that names no patient."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import distributions
from typing import Any, Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from node.cores import available_cores
from node.domain.delivery import Delivery, JobState
from node.logs import KEYS, LEADS_TO_A_PERSON
from node.settings import Settings
from node.store.received import Job
from node.workflow.connection_test import Check
from node.workflow.ports import Transaction

LOG_LINES: Final = 5000
"""The last ones."""
_ROWS: Final = 50
"""Of each list."""
_TOLD_KEYS: Final = (KEYS - LEADS_TO_A_PERSON) | {"at", "dropped", "level", "message", "traceback"}
_TEXT_LINE: Final = re.compile(r"\d\d:\d\d:\d\d\.\d{3} (INFO|WARNING|ERROR) .*")
_TRACE_LINE: Final = re.compile(r"  \S+:\d+ \S+|[A-Za-z_][A-Za-z_0-9]*:")
_FIELD_NOT_TOLD: Final = re.compile(
    rf" ({'|'.join(sorted(LEADS_TO_A_PERSON))})=.*?(?= [a-z_0-9]+=|$)"
)
_CREDENTIALS: Final = re.compile(r"://[^\s\"']*@|[?&](?:password|user|token)=[^\s\"'&]*")
"""In words; whatever is between is left out."""
_STOPPED: Final = (JobState.HELD, JobState.FAILED, JobState.CONFLICT)

README: Final = """\
Made by `cardionode doctor`. Look through it before you send it: it is text.

versions.json       the node, Python, the libraries
machine.json        cores, memory, system
configuration.json  what holds: the default, the file and --set; no passwords, and of rules not
                    what attributes they look for
checks.json         what `cardionode check` finds
state.json          how many jobs and deliveries are in which state; what stopped, and why
node/*              what the running node answers to /healthz, /readyz and /metrics
log.txt             the last lines of its log

There are AE titles, addresses and job numbers in it. There is no patient, no accession number, no
UID of a study, no user, no ECG and no result.
"""


def support_bundle(files: Mapping[str, str], *, at: datetime) -> bytes:
    """A zip of them, and a README that says what each is."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in {"README.txt": README, **files}.items():
            entry = zipfile.ZipInfo(f"cardionode-support/{name}", at.timetuple()[:6])
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            packed.writestr(entry, text)
    return archive.getvalue()


def versions() -> str:
    """As JSON: what is installed beside the node."""
    found = {each.metadata["Name"]: each.version for each in distributions()}
    return _json({
        "python": platform.python_version(),
        "distributions": dict(sorted(found.items(), key=lambda each: each[0].lower())),
    })  # fmt: skip


def machine() -> str:
    """As JSON: what computes here. It has no host name."""
    return _json({
        "system": f"{platform.system()} {platform.release()}",
        "distribution": _release(),
        "architecture": platform.machine(),
        "cores": available_cores(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "load": [round(each, 2) for each in os.getloadavg()],
    })  # fmt: skip


def configuration(settings: Settings) -> str:
    """As JSON, with no credentials: secrets stand in files of their own, and URLs lose theirs."""
    tree = settings.model_dump(mode="json")
    for rule in tree["rules"]:
        rule["attributes"] = dict.fromkeys(rule["attributes"], "...")
    return _json(_told(tree))


def _told(tree: Any) -> Any:
    """With its URLs as far as they say where something is."""
    if isinstance(tree, dict):
        return {key: _told(each) for key, each in tree.items()}
    if isinstance(tree, list):
        return [_told(each) for each in tree]
    return _told_url(tree) if isinstance(tree, str) and "://" in tree else tree


def _told_url(text: str) -> str:
    """Without user, password and query, however its password is written."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        return "..."
    host = (url.host or "").rpartition("@")[2] or None  # before it may be the rest of a password
    told = URL.create(url.drivername, host=host, port=url.port, database=url.database)
    return told.render_as_string()


def told_checks(checks: Iterable[Check]) -> str:
    """As JSON."""
    return _CREDENTIALS.sub("...", _json([asdict(each) for each in checks]))


def state(transaction: Transaction) -> str:
    """As JSON: what there is to do, and what does not go on by itself."""
    counts = transaction.outbox.count_by_destination()
    told = _json({
        "hosts": [
            {
                "roles": sorted(each.roles),
                "started_at": each.started_at,
                "beat_at": each.beat_at,
            }
            for each in transaction.hosts.all()
        ],
        "jobs": {state.value: count for state, count in transaction.jobs.count_by_state().items()},
        "deliveries": [
            {"destination": name, "state": state.value, "count": count}
            for (name, state), count in sorted(counts.items(), key=lambda each: each[0][0])
        ],
        "oldest_pending": {
            name: _delivery(each) for name, each in transaction.outbox.oldest_pending().items()
        },
        "stopped_deliveries": [_delivery(each) for each in transaction.outbox.stopped(limit=_ROWS)],
        "stopped_jobs": [
            _job(each)
            for state in _STOPPED
            for each in transaction.jobs.latest(limit=_ROWS, state=state)
        ],
        "refused_callers": [
            {
                "calling_ae": each.refusal.calling_ae,
                "called_ae": each.refusal.called_ae,
                "peer": each.refusal.peer,
                "reason": each.refusal.reason,
                "count": each.count,
                "last_seen_at": each.last_seen_at,
            }
            for each in transaction.refused.latest()[:_ROWS]
        ],
    })  # fmt: skip
    return _CREDENTIALS.sub("...", told)


def told_log(lines: Iterable[str]) -> str:
    """The last of the node's own lines, without what might lead to a person.

    What others write to the same log is left out, and counted.
    """
    told, others = [], 0
    for line in lines:
        found = _told_line(line.rstrip("\n"))
        if found is None:
            others += 1
        else:
            told.append(found)
    left_out = [f"({others} lines that are not of the node are left out)"] if others else []
    return _CREDENTIALS.sub("...", "\n".join([*left_out, *told[-LOG_LINES:], ""]))


def _told_line(line: str) -> str | None:
    if line.startswith("{"):
        try:
            fields = json.loads(line)
        except ValueError:
            return None
        return json.dumps({key: each for key, each in fields.items() if key in _TOLD_KEYS})
    if _TEXT_LINE.fullmatch(line):
        return _FIELD_NOT_TOLD.sub("", line)
    return line if _TRACE_LINE.fullmatch(line) else None


def _job(job: Job) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "state": job.state.value,
        "received_at": job.received_at,
        "calling_ae": job.origin.calling_ae,
        "sop_class_uid": job.sop_class_uid,
        "size_bytes": job.size_bytes,
        "bundle": job.bundle,
        "error_code": job.error_code,
        "error_message": job.error_message,
    }


def _delivery(delivery: Delivery) -> dict[str, object]:
    return {
        "delivery_id": delivery.delivery_id,
        "job_id": delivery.job_id,
        "destination": delivery.destination,
        "kind": delivery.kind.value,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "error_code": delivery.error_code,
        "error_message": delivery.error_message,
    }


def _release() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return ""


def _json(tree: Any) -> str:
    return json.dumps(tree, indent=1, default=_written) + "\n"


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
