"""The summary page as an object of its own: a secondary capture, or a document."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from node.dicom import dimse
from node.dicom.composite import derived_object, encode, local_time
from node.dicom.filing import BESIDE_ECG, Filing
from node.dicom.reference import instance_reference
from node.dicom.study import read_study
from node.dicom.summary_page import STRIP_SIZE, draw_summary
from node.dicom.template import Templates
from node.domain.prediction import Prediction

PDF_SCALE: Final = 2
"""Pixels a point of the page in a document."""
PDF_DOTS_PER_INCH: Final = 195
"""2048 pixels are 10.5 inches, which A4 and Letter paper hold."""
PDF_JPEG_QUALITY: Final = 92

PDF_STRIP_SIZE: Final = (STRIP_SIZE[0] * PDF_SCALE, STRIP_SIZE[1] * PDF_SCALE)


def build_summary(
    prediction: Prediction,
    source: Dataset,
    rhythm_strip: NDArray[np.uint8],
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
    filing: Filing = BESIDE_ECG,
) -> bytes:
    """The page as a PS3.10 file: Secondary Capture Image, RGB, one frame, uncompressed.

    rhythm_strip: (rows, columns, 3) uint8 of `STRIP_SIZE`.
    Raises BundleError (a disease without code) and MalformedInstance like `read_study`.
    Source: DICOM PS3.3 A.8.1, C.8.6.1, C.8.6.2.
    """
    image = _head(
        prediction,
        source,
        sop_class_uid=dimse.SECONDARY_CAPTURE,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality="OT",
        series_number=templates.summary.series_number,
        templates=templates,
        filing=filing,
    )
    filing.put_source(image, read_study(source))
    image.BodyPartExamined = templates.cine.body_part_examined
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = None
    image.DerivationDescription = templates.summary.derivation
    page = _page(prediction, source, rhythm_strip, templates, filing)
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    image.Rows, image.Columns = page.height, page.width
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    image.LossyImageCompression = "00"
    image.add_new(0x7FE00010, "OB", page.tobytes())
    return encode(image)


def build_pdf(
    prediction: Prediction,
    source: Dataset,
    rhythm_strip: NDArray[np.uint8],
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
    filing: Filing = BESIDE_ECG,
) -> bytes:
    """The document of `encode_pdf` as a PS3.10 file: Encapsulated PDF.

    rhythm_strip: (rows, columns, 3) uint8 of `PDF_STRIP_SIZE`. Raises like `build_summary`.
    Source: DICOM PS3.3 A.45.1, C.24.1, C.24.2.
    """
    document = _head(
        prediction,
        source,
        sop_class_uid=dimse.ENCAPSULATED_PDF,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality="DOC",
        series_number=templates.summary.pdf_series_number,
        templates=templates,
        filing=filing,
    )
    study = read_study(source)
    ecg = instance_reference(study.sop_class_uid, study.sop_instance_uid)
    document.SourceInstanceSequence = [ecg]
    document.DocumentTitle = filing.titled(templates.summary.document_title, templates)
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    content = encode_pdf(prediction, source, rhythm_strip, templates=templates, filing=filing)
    document.EncapsulatedDocumentLength = len(content)
    document.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    return encode(document)


def encode_pdf(
    prediction: Prediction,
    source: Dataset,
    rhythm_strip: NDArray[np.uint8],
    *,
    templates: Templates,
    filing: Filing = BESIDE_ECG,
) -> bytes:
    """The page as a PDF file with the page as its one picture.

    rhythm_strip: (rows, columns, 3) uint8 of `PDF_STRIP_SIZE`. The document's own dates are those
    of the ECG: the same answer, the same bytes.
    Raises like `build_summary`.
    """
    moment = local_time(source, read_study(source)).timetuple()
    page = _page(prediction, source, rhythm_strip, templates, filing, PDF_SCALE)
    file = io.BytesIO()
    page.save(
        file,
        "PDF",
        resolution=PDF_DOTS_PER_INCH,
        quality=PDF_JPEG_QUALITY,
        subsampling=0,
        title=filing.titled(templates.summary.document_title, templates),
        producer=templates.equipment.model_name,
        creationDate=moment,
        modDate=moment,
    )
    return file.getvalue()


def _head(
    prediction: Prediction,
    source: Dataset,
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    series_instance_uid: str,
    modality: str,
    series_number: int,
    templates: Templates,
    filing: Filing,
) -> Dataset:
    """What picture and document share."""
    head = derived_object(
        source,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality=modality,
        series_description=templates.summary.series_description,
        series_number=series_number,
        instance_number=templates.summary.instance_number,
        model=prediction.model,
        templates=templates,
        filing=filing,
    )
    head.ConversionType = "WSD"
    head.AcquisitionDateTime = local_time(source, read_study(source)).strftime("%Y%m%d%H%M%S.%f")
    head.BurnedInAnnotation = "NO"  # the page identifies nobody
    head.RecognizableVisualFeatures = "NO"
    return head


def _page(
    prediction: Prediction,
    source: Dataset,
    rhythm_strip: NDArray[np.uint8],
    templates: Templates,
    filing: Filing,
    scale: int = 1,
) -> Image.Image:
    return draw_summary(
        prediction,
        sex=read_study(source).patient.sex,
        rhythm_strip=rhythm_strip,
        title=filing.titled(templates.summary.text.title, templates),
        templates=templates,
        scale=scale,
    )
