"""A real node tells of a RIS that is not there, and that it is over."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end import forked
from tests.end_to_end.node_process import NodeProcess, destinations
from tests.wire.test_alerts import HOST, webhook_server, webhook_settings

WITHIN_S = 60.0
"""It looks every 15 s."""


def test_somebody_who_has_not_looked_hears_of_a_ris_that_is_away_and_of_its_return(
    tmp_path: Path, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    pacs, ris = outside
    pacs_port, ris_port = pacs.start(), ris.start()
    ris.stop()
    with webhook_server() as (taken, port):
        extra = webhook_settings(tmp_path, f"http://{HOST}:{port}/hook")
        extra = f"alerts.after_minutes = 0\n{destinations(pacs_port, ris_port)}{extra}"
        node = NodeProcess(tmp_path, extra=extra)
        try:
            node.start()
            tried = forked.run(["alerts", "test", "--config", str(node.configuration)])
            assert "ok    webhook" in tried.stdout, tried.stderr
            taken.clear()
            ((_, content),) = instances(1)
            StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host=HOST, port=node.dicom_port
            ).send(content)
            (began,) = wait_for(taken, 1)
            ris.start()
            (_, ended) = wait_for(taken, 2)
            assert node.stop() == 0
        finally:
            node.close()
    (first,), (last,) = began["alerts"], ended["alerts"]
    assert (first["state"], first["key"]) == ("began", "waiting RIS")
    assert f"127.0.0.1:{ris_port}" in first["said"]
    assert (last["state"], last["key"]) == ("ended", "waiting RIS")
    assert "Doe" not in str(taken)
    assert len(node.events("alert told")) == 2


def wait_for(taken: list[tuple[str, Any]], count: int) -> list[Any]:
    until = time.monotonic() + WITHIN_S
    while len(taken) < count:
        assert time.monotonic() < until, taken
        time.sleep(0.1)
    return [body for _, body in taken]
