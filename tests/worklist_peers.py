"""RISes with a worklist: one of pynetdicom that answers as it is told, and DCMTK's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pynetdicom import AE, evt

from node.dicom import dimse
from tests.dcmtk import dcmtk_scp

HOST = "127.0.0.1"
Answer = tuple[int, Dataset | None]


def worklist_item(**values: Any) -> Dataset:
    """An order with all that DCMTK wants of one. Source: DICOM PS3.4 table K.6-1."""
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 192"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "ECG", "CART"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20261126", "0800"
    step.ScheduledPerformingPhysicianName = ""
    step.ScheduledProcedureStepDescription = "12-lead ECG"
    step.ScheduledProcedureStepID = "SPS-1"
    item.ScheduledProcedureStepSequence = [step]
    item.RequestedProcedureID, item.RequestedProcedureDescription = "RP-1", "Resting ECG"
    item.PlacerOrderNumberImagingServiceRequest = "PLACER-1"
    item.FillerOrderNumberImagingServiceRequest = "FILLER-1"
    item.PatientName, item.PatientID = "Doe^Jane", "PID-1"
    item.PatientBirthDate, item.PatientSex = "19700101", "F"
    item.StudyInstanceUID, item.AccessionNumber = "1.2.3", "ACC-1"
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


class RisStandIn:
    """Answers each C-FIND with `answers`, and remembers what it was asked."""

    ae_title = "RIS"

    def __init__(self, answers: Sequence[Answer] = (), *, offers: bool = True) -> None:
        self.answers = list(answers)
        self.asked: list[Dataset] = []
        self.hangs_up = False
        self._ae = AE(ae_title=self.ae_title)
        if offers:
            self._ae.add_supported_context(dimse.MODALITY_WORKLIST)
        self._ae.add_supported_context(dimse.VERIFICATION)

    def start(self) -> int:
        self._server = self._ae.start_server(
            (HOST, 0), block=False, evt_handlers=[(evt.EVT_C_FIND, self._find)]
        )
        assert self._server is not None
        return int(self._server.socket.getsockname()[1])

    def stop(self) -> None:
        self._ae.shutdown()

    def _find(self, event: evt.Event) -> Iterator[Answer]:
        self.asked.append(event.identifier)
        if self.hangs_up:
            event.assoc.abort()
            return
        yield from self.answers


@contextmanager
def wlmscpfs(folder: Path, *items: Dataset, ae_title: str = "RIS") -> Iterator[int]:
    """DCMTK's worklist SCP; it listens on every address."""
    area = folder / ae_title
    area.mkdir()
    (area / "lockfile").touch()
    for number, item in enumerate(items):
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        item.file_meta.MediaStorageSOPClassUID = dimse.MODALITY_WORKLIST
        item.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}"
        item.save_as(area / f"{number}.wl", enforce_file_format=True)
    with dcmtk_scp("wlmscpfs", "--data-files-path", folder) as port:
        yield port
