"""What every object we make shares: patient and study of the ECG, series, equipment, provenance."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import Final

from highdicom.sr import CodedConcept
from pydicom import config
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr, write_dataset, write_sequence
from pydicom.sequence import Sequence as Items

from node.dicom.attribute import text_of, undecodable, value_of
from node.dicom.character_set import check_writable
from node.dicom.filing import Filing
from node.dicom.part10 import EXPLICIT_LITTLE, UNREADABLE, encode_part10
from node.dicom.study import read_study, utc_offset
from node.dicom.template import LONG_STRING, Templates
from node.domain.code import Code
from node.domain.prediction import ModelIdentity
from node.domain.study import Study

REQUIRED: Final = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
)
"""Type 2 of Patient and General Study: copied, empty where the ECG says nothing."""

OPTIONAL: Final = (
    # Patient, PS3.3 C.7.1.1
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthTime",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    # General Study, C.7.2.1
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianIdentificationSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "RequestingService",
    # Patient Study, C.7.2.2
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    # SOP Common, C.12.1: the copied times are in this zone
    "TimezoneOffsetFromUTC",
)
"""Type 3: copied when the ECG has a value."""


def derived_object(
    source: Dataset,
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    series_instance_uid: str,
    modality: str,
    series_description: str,
    series_number: int,
    instance_number: int,
    filing: Filing,
    model: ModelIdentity | None,
    templates: Templates,
) -> Dataset:
    """The head of a result: filed beside the ECG, in a series of its own, marked synthetic.

    model: what it was made by; None where no model had a part in it.
    All text is decoded from the ECG's character set; all times are the ECG's. Instance Creation
    Date is left out: it would be the node's clock.
    Raises MalformedInstance like `read_study`.
    Source: DICOM PS3.3 C.7.1.1, C.7.2.1, C.7.2.2, C.7.3.1, C.7.5.1, C.12.1.
    """
    study = read_study(source)
    result = Dataset()
    if filing.character_set:
        result.SpecificCharacterSet = list(filing.character_set)
    result.SOPClassUID = sop_class_uid
    result.SOPInstanceUID = sop_instance_uid
    _copy_patient_and_study(source, result)
    filing.put_study(result, study, templates)
    result.SeriesInstanceUID = series_instance_uid
    result.Modality = modality
    result.SeriesDescription = filing.titled(series_description, templates)
    result.SeriesNumber = series_number
    result.InstanceNumber = instance_number
    moment = local_time(source, study)
    result.SeriesDate = result.ContentDate = moment.strftime("%Y%m%d")
    result.SeriesTime = result.ContentTime = moment.strftime("%H%M%S.%f")
    result.SyntheticData = "YES"
    result.ContentQualification = "RESEARCH"
    _put_equipment(result, model, templates)
    return result


def encode(dataset: Dataset) -> bytes:
    """The object as a PS3.10 file, Explicit VR Little Endian; the same data set, the same bytes.

    The data set is spent: its codes are encoded in place.
    Raises ConfigurationError (its character set cannot write it).
    """
    correct_ambiguous_vr(dataset, is_little_endian=True)
    check_writable(dataset)
    charset = convert_encodings(dataset.get("SpecificCharacterSet"))
    dataset.set_original_encoding(False, True, charset)
    _encode_codes(dataset, charset, {})
    buffer = _buffer()
    write_dataset(buffer, dataset)
    return encode_part10(
        buffer.getvalue(),
        sop_class_uid=dataset.SOPClassUID,
        sop_instance_uid=dataset.SOPInstanceUID,
        transfer_syntax_uid=EXPLICIT_LITTLE,
    )


def _encode_codes(dataset: Dataset, charset: list[str], known: dict[Hashable, bytes]) -> None:
    """Encode each code below once: of a report's thousand, a tenth are different.

    An item that says that it is encoded already is not searched again for an ambiguous VR.
    """
    for element in dataset.elements():
        if not isinstance(element, DataElement) or element.VR != "SQ":
            continue
        for item in element.value:
            item.set_original_encoding(False, True, default_encoding)
            if not isinstance(item, CodedConcept):
                _encode_codes(item, charset, known)
        if element.value and all(isinstance(item, CodedConcept) for item in element.value):
            dataset[element.tag] = _encoded_codes(element, charset, known)


def _encoded_codes(
    element: DataElement, charset: list[str], known: dict[Hashable, bytes]
) -> RawDataElement:
    codes = tuple((each.scheme_designator, each.value, each.meaning) for each in element.value)
    if codes not in known:
        buffer = _buffer()
        write_sequence(buffer, element, charset)
        known[codes] = buffer.getvalue()
    content = known[codes]
    return RawDataElement(element.tag, "SQ", len(content), content, 0, False, True)


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer


def coded(code: Code) -> Dataset:
    """An item of a code sequence. Source: DICOM PS3.3 Table 8.8-1."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def local_time(source: Dataset, study: Study) -> datetime:
    """When the ECG was acquired, by the clock its own dates and times are in.

    An Acquisition DateTime may carry another offset than Timezone Offset From UTC (PS3.5 §6.2).
    """
    moment = study.performed_at
    offset = utc_offset(text_of(source, "TimezoneOffsetFromUTC"))
    return moment if offset is None or moment.tzinfo is None else moment.astimezone(offset)


def clipped(texts: Sequence[str]) -> list[str]:
    """Values of an LO attribute: at most 64 characters each, no backslash (it parts values)."""
    return [text.replace("\\", "/")[:LONG_STRING] for text in texts if text]


def _copy_patient_and_study(source: Dataset, result: Dataset) -> None:
    for keyword in (*REQUIRED, *OPTIONAL):
        if value_of(source, keyword) is not None and not source[keyword].is_empty:
            result[keyword] = _decoded(source[keyword])
        elif keyword in REQUIRED:
            setattr(result, keyword, None)


def _decoded(element: DataElement) -> DataElement:
    """A copy whose text no longer depends on the character set it came in.

    Raises MalformedInstance: pydicom reads a number such as "180 cm", and does not write it.
    """
    value = element.value
    if element.VR == "SQ":
        value = Items([_decoded_item(item) for item in value])
    elif element.VR == "PN":
        value = str(value) if element.VM == 1 else [str(name) for name in value]
    try:
        return DataElement(element.tag, element.VR, value, validation_mode=config.IGNORE)
    except UNREADABLE as error:
        raise undecodable(element.keyword) from error


def _decoded_item(item: Dataset) -> Dataset:
    copy = Dataset()
    for keyword in item.dir():
        if keyword != "SpecificCharacterSet" and value_of(item, keyword) is not None:
            copy[keyword] = _decoded(item[keyword])
    return copy


def _put_equipment(result: Dataset, model: ModelIdentity | None, templates: Templates) -> None:
    """Who made it: the node as equipment, the model as contributing equipment (CID 7005)."""
    equipment = templates.equipment
    result.Manufacturer = equipment.manufacturer
    result.ManufacturerModelName = equipment.model_name
    if model is None:
        result.SoftwareVersions = clipped([f"templates {templates.version}"])
        return
    result.DeviceSerialNumber = model.digest
    result.SoftwareVersions = clipped([model.version, f"templates {templates.version}"])
    contribution = Dataset()
    contribution.PurposeOfReferenceCodeSequence = [coded(equipment.contribution)]
    contribution.Manufacturer = equipment.manufacturer
    contribution.ManufacturerModelName = clipped([model.bundle])
    contribution.DeviceSerialNumber = model.digest
    contribution.SoftwareVersions = clipped([model.version, model.runtime, model.precision])
    contribution.ContributionDescription = equipment.contribution_description
    result.ContributingEquipmentSequence = [contribution]
