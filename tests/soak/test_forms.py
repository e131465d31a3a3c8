"""Every ECG of the sample data in every form and compression, before all judges and decoders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.cli.orthanc import PROGRAM, Orthanc
from node.dicom.part10 import read_part10
from node.domain.delivery import ResultKind
from node.domain.errors import InputError
from node.domain.form import Compression, ReportForm, ResultForm, StudyForm
from tests.conftest import absent
from tests.decoders import BY_ORTHANC, decoded, decoded_by_orthanc, in_compression, pixels
from tests.judges import complaints, complaints_of_pixelmed
from tests.result_forms import CINES, FORMS, composed, of_kind

# The UIDs of some ECGs are not UIDs; pydicom says so on writing.
pytestmark = [
    pytest.mark.soak,
    pytest.mark.filterwarnings("ignore:Invalid value for VR UI"),
]
WITH_REPORT = [each for each in ReportForm if each is not ReportForm.NONE]


def ecgs(shared: Path) -> Iterator[tuple[str, Dataset]]:
    for file in sorted((shared / "data/ecg_dicom").rglob("*.dcm")):
        try:
            dataset = read_part10(file.read_bytes())
            composed(source=dataset)
        except InputError as error:
            print(f"left out: {file.name}: {error.message}")
            continue
        yield file.stem, dataset


def test_every_object_passes_dciodvfy(shared: Path, tmp_path: Path) -> None:
    judged: Counter[str] = Counter()
    path = tmp_path / "object.dcm"
    for name, source in ecgs(shared):
        for form in FORMS:
            objects = composed(form, source)
            cines = of_kind(ResultKind.CINE, objects)
            # The cine is the same with every report: it is judged with one.
            first = form.report is ReportForm.COMPREHENSIVE_3D
            images = {*cines[:1], *cines[-1:]} if first else ()
            for image, compression in product(images, Compression):
                path.write_bytes(in_compression(image.content, compression))
                assert complaints(path) == [], (name, form, compression)
                judged[f"{form.cine.value}, {compression.value}"] += 1
            for report in of_kind(ResultKind.REPORT, objects):
                path.write_bytes(report.content)
                assert complaints(path) == [], (name, form)
                judged[form.report.value] += 1
        judged["ECGs"] += 1
    print("dciodvfy, 0 errors:", dict(judged), "objects:", judged.total() - judged["ECGs"])


def test_every_report_passes_pixelmed(shared: Path, tmp_path: Path) -> None:
    """Each class under every ECG, and the forms that change what it refers to under one."""
    judged = 0
    path = tmp_path / "report.dcm"
    plain = [ResultForm(report=report) for report in WITH_REPORT]
    varied = [
        replace(form, cine=cine, study=study)
        for form, cine, study in product(plain, CINES, StudyForm)
    ]
    for index, (name, source) in enumerate(ecgs(shared)):
        for form in plain if index else varied:
            (report,) = of_kind(ResultKind.REPORT, composed(form, source))
            path.write_bytes(report.content)
            assert complaints_of_pixelmed(path) == [], (name, form)
            judged += 1
    print("PixelMed, only the listed exceptions:", judged)


def test_every_decoder_gives_the_same_pixels(shared: Path, tmp_path: Path) -> None:
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    archive, agreed = Orthanc(), Counter[str]()
    archive.start()
    try:
        for _, source in ecgs(shared):
            for cine, study in product(CINES, StudyForm):
                made = composed(ResultForm(cine=cine, study=study), source)
                image = of_kind(ResultKind.CINE, made)[-1]
                for compression in Compression:
                    sent = in_compression(image.content, compression)
                    found = list(decoded(sent, compression, tmp_path))
                    if compression in BY_ORTHANC and study is StudyForm.SAME:
                        found.append(("Orthanc", decoded_by_orthanc(archive, sent)))
                    for decoder, picture in found:
                        np.testing.assert_array_equal(picture, pixels(image.content), decoder)
                        agreed[f"{decoder}, {compression.value}"] += 1
    finally:
        archive.stop()
    print("the same pixels:", dict(agreed), "pictures:", agreed.total())
