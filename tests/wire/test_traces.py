"""Spans that a collector takes: one trace an ECG, without a patient."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from node.traces import BEGINS, Collector, Traces
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, destinations, free_port, settled
from tests.fakes import Notes

HOST = "127.0.0.1"


@contextmanager
def collector(port: int = 0) -> Iterator[tuple[list[Any], str]]:
    """The spans that it took, and its URL."""
    spans: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["Content-Length"])))
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer((HOST, port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield spans, f"http://{HOST}:{server.server_port}/v1/traces"
    finally:
        server.shutdown()
        server.server_close()


def test_the_spans_of_a_job_are_one_trace_whoever_makes_them() -> None:
    notes = Notes()
    with collector() as (spans, url):
        for store, job_id in (("one", 7), ("one", 7), ("one", 8), ("other", 7)):
            traces = Traces(Collector(url, telemetry=notes), store=store, machine="heart")
            traces.note(BEGINS, {"job_id": job_id, "user": "curie"}, has_failed=False)
            traces.note("tried", {"job_id": job_id, "duration_ms": 250}, has_failed=True)
            traces.note("of no job", {}, has_failed=False)
            traces.stop()
    assert len(spans) == 8
    assert len({span.trace_id for span in spans}) == 3
    first, tried, *_ = spans
    assert tried.parent_span_id == first.span_id
    assert first.parent_span_id == b""
    assert tried.end_time_unix_nano - tried.start_time_unix_nano == 250_000_000
    assert (first.status.code, tried.status.code) == (0, 2)
    assert [each.key for each in first.attributes] == ["cardionode.job_id"]
    assert notes.events == []


def test_a_collector_that_is_away_is_said_once_and_holds_nothing_up() -> None:
    notes, port = Notes(), free_port()
    url = f"http://{HOST}:{port}/v1/traces"
    traces = Traces(Collector(url, telemetry=notes), store="one", machine="heart")
    traces.note(BEGINS, {"job_id": 7}, has_failed=False)
    traces.stop()
    assert notes.said("traces not taken") == [{"address": url}]


def test_an_ecg_is_followed_through_a_node(
    tmp_path: Path,
) -> None:
    pacs, ris = PacsStandIn(ae_title="PACS"), RisStandIn()
    ((uid, content),) = instances(1)
    with collector() as (spans, url):
        extra = f'{destinations(pacs.start(), ris.start())}[traces]\nurl = "{url}"\n'
        node = NodeProcess(tmp_path, extra=extra)
        try:
            node.start()
            scu = StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host=HOST, port=node.dicom_port
            )
            scu.send(content)
            node.wait_for_jobs(settled(1))
            assert node.stop() == 0
        finally:
            node.close()
            pacs.stop()
            ris.stop()
    names = sorted(span.name for span in spans)
    assert names == ["delivery attempted"] * 4 + ["ecg predicted", BEGINS]
    assert len({span.trace_id for span in spans}) == 1
    told = str(spans)
    for secret in ("Doe", "TEST-00001", "ACC00001", uid):
        assert secret not in told
