"""Log lines: JSON or text, one closed set of keys, and never a patient.

A key outside the set is a fault of ours: it is left out and named in `dropped`, so that nothing
slips through and nothing breaks at three in the morning.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

from node.metrics import Metrics
from node.workflow.ports import Field, Level

KEYS = frozenset(
    {
        "address",
        "attempt",
        "bundle",
        "called_ae",
        "calling_ae",
        "certificate",
        "commitment_id",
        "count",
        "delivery_id",
        "destination",
        "duration_ms",
        "error_code",
        "findings",
        "graph",
        "job_id",
        "message_control_id",
        "message_type",
        "path",
        "peer",
        "port",
        "reason",
        "result_kind",
        "role",
        "runtime",
        "schema",
        "share",
        "size_bytes",
        "sop_class_uid",
        "sop_instance_uid",
        "state",
        "status",
        "transaction_uid",
        "user",
        "version",
    }
)

LEADS_TO_A_PERSON = frozenset({"message_control_id", "sop_instance_uid", "transaction_uid", "user"})
"""Of those: by which others might find a study, or which name a colleague. They stay in the log."""

_FRAME = re.compile(r'^ +File "(.+)", line (\d+), in (\S+)$', re.MULTILINE)
"""Of a traceback as text: the lines between quote the source, the last the error's words."""

_SELDOM_S = 60.0
_LINE_END = "\n"
_LEVELS = {Level.INFO: logging.INFO, Level.WARNING: logging.WARNING, Level.ERROR: logging.ERROR}


class Spans(Protocol):
    """Takes events of now."""

    def note(self, message: str, fields: Mapping[str, Field], *, has_failed: bool) -> None: ...


class Journal:
    """`ports.Telemetry`: one log line and one count for each event."""

    def __init__(self, logger: logging.Logger, metrics: Metrics) -> None:
        self._logger = logger
        self._metrics = metrics
        self.traces: Spans | None = None
        """Where events go as spans, too."""

    def event(
        self,
        message: str,
        *,
        level: Level = Level.INFO,
        error: BaseException | None = None,
        **fields: Field,
    ) -> None:
        shown = {key: value for key, value in fields.items() if key in KEYS and value is not None}
        dropped = sorted(fields.keys() - KEYS)
        if dropped:
            shown["dropped"] = ",".join(dropped)
        self._logger.log(_LEVELS[level], message, extra={"fields": shown}, exc_info=error)
        self._metrics.count(message, level.value)
        if self.traces is not None:
            self.traces.note(message, shown, has_failed=level is not Level.INFO)
        duration = fields.get("duration_ms")
        if isinstance(duration, int | float):
            self._metrics.observe(message, duration / 1000)


def set_up_logging(*, form: str, level: str) -> logging.Logger:
    """Send our lines and warnings of the libraries to standard error; give our logger.

    form: "json" or "text".
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for talkative in ("pynetdicom", "pydicom", "python_multipart", "uvicorn.error"):
        # Their warnings may quote values of a data set.
        logging.getLogger(talkative).setLevel(logging.CRITICAL)
    _take_engine_log(handler)
    logger = logging.getLogger("cardionode")
    logger.setLevel(level.upper())
    return logger


def _take_engine_log(handler: logging.Handler) -> None:
    """The engine brings a handler of its own where it has none."""
    own = logging.StreamHandler(sys.stderr)
    own.setFormatter(handler.formatter)
    own.addFilter(_FirstLineSeldom())
    engine = logging.getLogger("dbos")
    engine.handlers, engine.propagate = [own], False


class _FirstLineSeldom(logging.Filter):
    """What, without its traceback and statement, and each once a minute: all threads of an engine
    whose database is away say so several times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.filename, record.lineno)
        if record.created - self._said_at.get(place, -_SELDOM_S) < _SELDOM_S:
            return False
        self._said_at[place] = record.created
        record.msg, record.args = f"engine: {record.getMessage().partition(_LINE_END)[0]}", None
        record.exc_info = record.exc_text = None
        return True


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)

    def formatException(self, ei: object) -> str:
        """Where it happened and the kind of error; its text could quote a data set."""
        return _trace(ei)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields: dict[str, object] = getattr(record, "fields", {})
        detail = " ".join(f"{key}={value}" for key, value in fields.items())
        line = f"{at} {record.levelname:<7} {record.getMessage()} {detail}".rstrip()
        return f"{line}\n{_trace(record.exc_info)}" if record.exc_info else line


def _trace(exc_info: object) -> str:
    """Files, lines and the kinds of the chained errors, without their texts."""
    error = exc_info[1] if isinstance(exc_info, tuple) else None
    lines: list[str] = []
    while isinstance(error, BaseException):
        lines.append(f"{type(error).__name__}:")
        step = error.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            lines.append(f"  {code.co_filename}:{step.tb_lineno} {code.co_name}")
            step = step.tb_next
        elsewhere = getattr(error, "tb", "")  # of a process beside the node, as text
        if isinstance(elsewhere, str):
            lines += ["  {}:{} {}".format(*frame) for frame in _FRAME.findall(elsewhere)]
        error = error.__cause__ or error.__context__
    return "\n".join(lines)
