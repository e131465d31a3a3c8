"""The receiving half of a node in a process of its own: listener, intake, spool, rows.

    python -m benchmarks.receiving.node_receiver FOLDER

What is accepted waits for its turn, and is not worked on: beside an archive, which computes
nothing, the cost of receiving is what can be compared. Prints its port, ends when its input does.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

from node.dicom.commitment_service import CommitmentService
from node.dicom.scp import ListenerLimits, Peer, StorageScp
from node.domain.commitment import CommitmentReport
from node.domain.instance import Origin
from node.engine.unit_of_work import EngineUnitOfWork
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.settings import read_settings
from node.store.database import Database, sqlite_url
from node.store.spool import Spool
from node.workflow.intake import Intake


def main(folder: Path) -> None:
    settings = read_settings()
    dicom = settings.dicom
    database = Database(sqlite_url(folder / "node.db"))
    database.prepare()
    journal = Journal(set_up_logging(form="json", level="info"), Metrics())
    work = EngineUnitOfWork(database)
    intake = Intake(
        spool=Spool(
            folder / "spool", minimum_free_bytes=settings.storage.minimum_free_mb * 1_000_000
        ),
        work=work,
        telemetry=journal,
        clock=lambda: datetime.now(UTC),
    )
    scp = StorageScp(
        ae_titles=dicom.ae_titles,
        host="127.0.0.1",
        port=0,
        peers=[Peer(ae_title="*", networks=(ip_network("127.0.0.0/8"),))],
        limits=ListenerLimits(
            maximum_associations=dicom.maximum_associations,
            maximum_pdu_bytes=dicom.maximum_pdu_bytes,
            acse_timeout_s=dicom.acse_timeout_s,
            dimse_timeout_s=dicom.dimse_timeout_s,
            network_timeout_s=dicom.network_timeout_s,
            maximum_instance_bytes=dicom.maximum_instance_mb * 1_000_000,
        ),
        accept=intake.accept,
        commitment=CommitmentService(take=_take_nothing, report=journal.event),
        report=journal.event,
        warn=journal.event,
        note=lambda _: None,
    )
    scp.start()
    sys.stdout.write(f"{scp.port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    scp.stop()


def _take_nothing(report: CommitmentReport, origin: Origin) -> None:
    raise AssertionError("the benchmark sends no reports of commitment")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
