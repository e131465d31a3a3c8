"""An ECG's way through the node as an OpenTelemetry trace, made of the events that are logged.

All spans of a job are of one trace, whichever host or process they are of: its id follows from the
job. Imported where traces are wanted alone: `pip install "cardionode[otel]"`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from node.domain.identifiers import digest_of
from node.logs import LEADS_TO_A_PERSON
from node.workflow.ports import Field, Level, Telemetry

BEGINS: Final = "instance accepted"
"""The event whose span all others of a job are below."""
_TAKEN_WITHIN_S: Final = 3.0
_HAND_OVER_EVERY_MS: Final = 2000


class Traces:
    """Makes a span of each event about a job, and hands them over now and then.

    Thread safety: any thread may note.
    """

    def __init__(self, exporter: SpanExporter, *, store: str, machine: str) -> None:
        """store: identity of the node's objects, so that job 1 of another node is another trace."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it repeats itself
        self._store = store
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource({"service.name": "cardionode", "host.name": machine}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=_HAND_OVER_EVERY_MS)
        )
        self._tracer = self._provider.get_tracer("cardionode")

    def note(self, message: str, fields: Mapping[str, Field], *, has_failed: bool) -> None:
        """An event of now, which may say how long it took."""
        job_id = fields.get("job_id")
        if job_id is None:
            return
        digest = digest_of("trace", self._store, str(job_id))
        trace_id, first_id = int(digest[:32], 16), int(digest[32:48], 16)
        is_first, above = message == BEGINS, Context()
        if not is_first:
            flags = TraceFlags(TraceFlags.SAMPLED)
            first = SpanContext(trace_id, first_id, is_remote=True, trace_flags=flags)
            above = set_span_in_context(NonRecordingSpan(first), above)
        duration_ms, end_ns = fields.get("duration_ms"), time.time_ns()
        took_ns = int(duration_ms * 1e6) if isinstance(duration_ms, int | float) else 0
        with self._ids.given(trace_id, first_id) if is_first else nullcontext():
            span = self._tracer.start_span(
                message,
                context=above,
                start_time=end_ns - took_ns,
                attributes={
                    f"cardionode.{key}": value
                    for key, value in fields.items()
                    if value is not None and key not in LEADS_TO_A_PERSON
                },
            )
        if has_failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end_ns)

    def stop(self) -> None:
        """Hand over what there is, as far as that goes within seconds."""
        ending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(_TAKEN_WITHIN_S)


class Collector(SpanExporter):
    """Takes spans by OTLP over HTTP; says once that it does not, and once that it does again."""

    def __init__(self, url: str, *, telemetry: Telemetry) -> None:
        """url: whole, mostly with the path /v1/traces."""
        self._url, self._telemetry = url, telemetry
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TAKEN_WITHIN_S)
        self._is_away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_away = result is not SpanExportResult.SUCCESS
        if is_away and not self._is_away:
            self._telemetry.event("traces not taken", level=Level.WARNING, address=self._url)
        elif self._is_away and not is_away:
            self._telemetry.event("traces taken again", address=self._url)
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()  # type: ignore[no-untyped-call]


class _Ids(RandomIdGenerator):
    """By chance, but for the first span of a trace."""

    def __init__(self) -> None:
        self._here = threading.local()

    @contextmanager
    def given(self, trace_id: int, span_id: int) -> Iterator[None]:
        """Those of the span that this thread begins."""
        self._here.ids = (trace_id, span_id)
        try:
            yield
        finally:
            del self._here.ids

    def generate_trace_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return super().generate_trace_id() if ids is None else int(ids[0])

    def generate_span_id(self) -> int:
        ids = getattr(self._here, "ids", None)
        return super().generate_span_id() if ids is None else int(ids[1])
