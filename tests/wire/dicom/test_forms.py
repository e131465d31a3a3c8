"""A selection of forms before judges, decoders and an archive; all of them: make soak-forms."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from node.cli.orthanc import DICOM_PORT, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.part10 import read_part10
from node.dicom.scu import StorageScu
from node.domain.delivery import ResultKind
from node.domain.form import CineForm, Compression, ReportForm, ResultForm, StudyForm
from tests.conftest import absent
from tests.decoders import BY_ORTHANC, decoded, decoded_by_orthanc, in_compression, pixels
from tests.judges import complaints, complaints_of_pixelmed
from tests.result_forms import CINES, brief, compose, composed, of_kind
from tests.result_phantom import ecg_head

SELECTED = [
    ("mortara_eli250_1000hz", ResultForm(cine=CineForm.TRUE_COLOR, report=ReportForm.ENHANCED)),
    (
        "ge_mv360_muse9_12lead",
        ResultForm(
            cine=CineForm.SINGLE_FRAMES, report=ReportForm.COMPREHENSIVE, study=StudyForm.NEW
        ),
    ),
    ("ecgtoolkit_implicitvr", ResultForm(study=StudyForm.NEW)),
]

# The UIDs of some ECGs are not UIDs; pydicom says so on writing.
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")


@pytest.mark.parametrize(("name", "form"), SELECTED, ids=[name for name, _ in SELECTED])
def test_results_in_other_forms_pass_the_judges(
    name: str, form: ResultForm, shared: Path, tmp_path: Path
) -> None:
    source = read_part10((shared / "data/ecg_dicom" / f"{name}.dcm").read_bytes())
    *images, report = composed(form, source)
    for image in {images[0], images[-1]}:
        for compression in Compression:
            path = tmp_path / f"{compression.value}.dcm"
            path.write_bytes(in_compression(image.content, compression))
            assert complaints(path) == [], compression
    path = tmp_path / "report.dcm"
    path.write_bytes(report.content)
    assert complaints(path) == []


@pytest.mark.parametrize(
    ("report", "is_correction"),
    [(ReportForm.COMPREHENSIVE_3D, False), (ReportForm.ENHANCED, True)],
)
def test_reports_follow_their_template(
    report: ReportForm, is_correction: bool, tmp_path: Path
) -> None:
    form = ResultForm(cine=CineForm.SINGLE_FRAMES, report=report)
    *_, made = compose(brief(), form, ecg_head(), is_correction=is_correction)
    path = tmp_path / "report.dcm"
    path.write_bytes(made.content)
    assert complaints_of_pixelmed(path) == []
    assert complaints(path) == []


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("cine", CINES)
def test_every_decoder_gives_the_same_pixels(
    cine: CineForm, compression: Compression, tmp_path: Path
) -> None:
    image = of_kind(ResultKind.CINE, composed(ResultForm(cine=cine)))[-1]
    expected = pixels(image.content)
    sent = in_compression(image.content, compression)
    for decoder, found in decoded(sent, compression, tmp_path):
        np.testing.assert_array_equal(found, expected, err_msg=decoder)


@pytest.fixture(scope="module")
def archive() -> Iterator[Orthanc]:
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    orthanc = Orthanc()
    orthanc.start()
    yield orthanc
    orthanc.stop()


@pytest.mark.parametrize("compression", BY_ORTHANC)
@pytest.mark.parametrize("cine", CINES)
def test_an_archive_shows_the_same_pixels(
    cine: CineForm, compression: Compression, archive: Orthanc
) -> None:
    image = of_kind(ResultKind.CINE, composed(ResultForm(cine=cine)))[-1]
    found = decoded_by_orthanc(archive, in_compression(image.content, compression))
    np.testing.assert_array_equal(found, pixels(image.content))


@pytest.mark.parametrize("compression", Compression)
def test_an_archive_takes_every_compression(compression: Compression, archive: Orthanc) -> None:
    scu = StorageScu(
        calling_ae="CARDIONODE", called_ae=archive.ae_title, host="127.0.0.1", port=DICOM_PORT,
        compression=compression,
    )  # fmt: skip
    *images, report = composed(ResultForm(cine=CineForm.SINGLE_FRAMES))
    for made in (images[0], report):
        scu.send(made.content)
        assert made.identifier in archive.instances()
