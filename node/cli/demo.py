"""`cardionode demo`: the main job on one machine, with real sockets and a real ECG."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.cli.orthanc import PROGRAM, Orthanc
from node.cli.own_network import enter_own_network
from node.cli.surroundings import PacsKind, surroundings, wait_for
from node.dicom.part10 import read_part10
from node.dicom.report_reading import read_measurements, report_text
from node.dicom.waveform import read_ecg
from node.domain.delivery import USUAL_RESULTS, Delivery, DeliveryState, JobState, ResultKind
from node.domain.errors import ConfigurationError
from node.settings import read_settings
from node.workflow.export import write_results

if TYPE_CHECKING:
    from node.dicom.stand_in import PacsStandIn
    from node.store.received import Job

RESULTS_WITHIN_S = 60.0


def demo(
    pacs: Annotated[PacsKind, typer.Option(help="Who plays the PACS.")] = PacsKind.STAND_IN,
    ecg: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Another ECG to send.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo-results"),
) -> None:
    """Send one ECG to a node and see what comes back to the PACS and the RIS.

    Exit status 0 only if the PACS acknowledged cine, summary and report and the RIS the message.
    """
    console = Console(highlight=False, soft_wrap=True)
    if pacs is PacsKind.ORTHANC:
        _need_orthanc(console)
    content = ecg.read_bytes() if ecg else demonstration_ecg()
    steps = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="cardionode-demo-") as folder,
        Progress(*steps, console=console, transient=True) as progress,
    ):
        step = progress.add_task("starting a PACS, a RIS and the node")
        with surroundings(pacs, Path(folder)) as (archive, ris, node):
            progress.update(step, description="sending the ECG to the node (C-STORE)")
            _route(archive, content, node.ports["dicom"])
            progress.update(step, description="model at work; results on their way")
            job, deliveries = _wait(Path(folder) / "home")
            stored = archive.instances()
            messages = list(ris.received.values())
        log = (Path(folder) / "node.log").read_text(encoding="utf-8")
    results = _collect(deliveries, stored, messages)
    record = read_ecg(read_part10(content)) if job.state is JobState.COMPLETED else None
    write_results(out, {kind: [content] for kind, content in results.items()}, record)
    (out / "node.log").write_text(log, encoding="utf-8")
    _show(console, job, deliveries, results, out)
    delivered = {each.kind for each in deliveries if each.state is DeliveryState.DELIVERED}
    if not delivered == set(results) == USUAL_RESULTS - {ResultKind.FHIR}:
        raise typer.Exit(1)


def demonstration_ecg() -> bytes:
    """The real ECG that pydicom ships, with demonstration values in place of its identifiers."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    if path is None:
        raise ConfigurationError("pydicom came without waveform_ecg.dcm; name a file with --ecg")
    dataset = dcmread(str(path))
    dataset.PatientName = "Demo^Patient"
    dataset.PatientID = "DEMO-0001"
    dataset.PatientBirthDate = "19600101"
    dataset.InstitutionName = "CardioNode Demonstration"
    dataset.AccessionNumber = "DEMO-ACC-1"
    dataset.StudyID = "1"
    dataset.ReferringPhysicianName = ""
    for keyword in ("AdmissionID", "InstitutionalDepartmentName", "OtherPatientIDs"):
        if keyword in dataset:
            delattr(dataset, keyword)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def _need_orthanc(console: Console) -> None:
    """Go on inside a network of our own, or say what is missing and exit with status 2."""
    if not PROGRAM.exists():
        console.print(f"{PROGRAM} is not there; install it with: apt-get install orthanc")
        raise typer.Exit(2)
    if not enter_own_network():
        console.print(
            "Orthanc listens on every address, so it only runs in a network namespace of its own, "
            "and this user may not make one (unshare --net; it needs util-linux and iproute2). "
            "Run the command as root, or use --pacs stand-in."
        )
        raise typer.Exit(2)


def _route(archive: PacsStandIn | Orthanc, content: bytes, node_port: int) -> None:
    """Send the ECG to the node as the PACS's auto-routing would."""
    if isinstance(archive, Orthanc):
        archive.add_modality("node", ae_title="CARDIONODE", port=node_port)
        archive.route(archive.store(content), "node")
        return
    from node.dicom.scu import StorageScu

    scu = StorageScu(
        calling_ae=archive.ae_title, called_ae="CARDIONODE", host="127.0.0.1", port=node_port
    )
    scu.send(content)


def _wait(home: Path) -> tuple[Job, list[Delivery]]:
    """Wait until the job and all its deliveries are settled, or the time is up."""
    from node.configured_store import open_database
    from node.store.outbox import Outbox
    from node.store.received import Jobs

    database = open_database(read_settings(), home)

    def look() -> tuple[Job, list[Delivery]]:
        with database.read() as connection:
            job = Jobs(connection).latest(limit=1)[0]
            return job, Outbox(connection).of_job(job.job_id)

    def settled() -> tuple[Job, list[Delivery]] | None:
        job, deliveries = look()
        waiting = any(each.state is DeliveryState.PENDING for each in deliveries)
        return None if job.state is JobState.RECEIVED or waiting else (job, deliveries)

    try:
        return wait_for(settled, RESULTS_WITHIN_S)
    except TimeoutError:
        return look()
    finally:
        database.close()


def _collect(
    deliveries: list[Delivery], stored: dict[str, bytes], messages: list[bytes]
) -> dict[ResultKind, bytes]:
    """The bytes that the PACS and the RIS hold now, by kind of result."""
    held = {each.kind: stored[each.identifier] for each in deliveries if each.identifier in stored}
    return held | ({ResultKind.ORU: messages[-1]} if messages else {})


def _show(
    console: Console,
    job: Job,
    deliveries: list[Delivery],
    results: dict[ResultKind, bytes],
    out: Path,
) -> None:
    if job.state is not JobState.COMPLETED:
        console.print(f"no result: {job.error_message or job.state.value}", markup=False)
    if ResultKind.REPORT in results:
        report = read_part10(results[ResultKind.REPORT])
        console.print(_phenotypes(report))
        for line in report_text(report).splitlines():
            if "SIMULATED" in line:
                console.print(line.strip().partition(":")[0], style="bold", markup=False)
    table = Table("result", "destination", "acknowledged", "attempts", "identifier")
    for each in deliveries:
        said = "yes" if each.state is DeliveryState.DELIVERED else each.error_message or "no"
        table.add_row(each.kind.value, each.destination, said, str(each.attempts), each.identifier)
    console.print(table)
    files = ", ".join(sorted(path.name for path in out.iterdir()))
    console.print(f"results: {out.resolve()} ({files})", markup=False)


def _phenotypes(report: Dataset) -> Table:
    table = Table("estimate from the ECG", "value", "unit", "prediction interval")
    for number in read_measurements(report):
        name = f"{number.group}: {number.name}"
        interval = f"{number.lower} to {number.upper}" if number.lower else ""
        table.add_row(name, number.value, number.unit, interval)
    return table
