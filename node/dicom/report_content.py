"""The content items of our structured report: measurement groups, statements, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import cache, cached_property
from typing import Final, cast

from highdicom.sr import (
    AlgorithmIdentification,
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    FindingSite,
    ImageContentItem,
    MeasurementsAndQualitativeEvaluations,
    NumContentItem,
    RelationshipTypeValues,
    TextContentItem,
    TrackingIdentifier,
    WaveformContentItem,
)
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code as CodingConcept

from node.dicom.template import HEART_RATE, Templates
from node.domain.code import Code, ConceptCode
from node.domain.ecg import Finding, Severity
from node.domain.errors import BundleError, PredictionError
from node.domain.identifiers import derived_uid
from node.domain.prediction import DiseaseProbability, Estimate, ModelIdentity, Prediction
from node.domain.study import Study

DECIMAL_STRING: Final = 16
"""Characters of DS (DICOM PS3.5 Table 6.2-1)."""
QUALITATIVE_EVALUATIONS: Final = CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
"""DICOM PS3.16 TID 1500 row 12."""
SOURCE: Final = CodedConcept("260753009", "SCT", "Source")
LOWER_RANGE: Final = Code(
    value="371885007", scheme="SCT", meaning="-, range of lower measurement uncertainty"
)
UPPER_RANGE: Final = Code(
    value="371886008", scheme="SCT", meaning="+, range of upper measurement uncertainty"
)
"""CID 225 (TID 310): distances below and above the value, not bounds."""
CONTAINS: Final = RelationshipTypeValues.CONTAINS


class ReportContent:
    """The content items of one report."""

    def __init__(
        self, *, study: Study, uid: str, model: ModelIdentity, templates: Templates
    ) -> None:
        self.study = study
        self.uid = uid
        self.model = model
        self.templates = templates

    def estimate_groups(self, estimates: Sequence[Estimate]) -> list[ContentItem]:
        """One measurement group a chamber or vessel, in the order of the templates (TID 1501)."""
        placed = [(self.templates.group(estimate.field_id), estimate) for estimate in estimates]
        return [
            self._group(
                group.title,
                group.key,
                [
                    self._estimate(estimate, group.site)
                    for owner, estimate in placed
                    if owner is group
                ],
                site=group.site,
            )
            for group in self.templates.groups
            if any(owner is group for owner, _ in placed)
        ]

    def heart_rate_group(self, heart_rate_bpm: float) -> ContentItem:
        """The heart rate: measured, not estimated, so without algorithm and derivation."""
        concept = self.templates.concept(HEART_RATE)
        number = _number(HEART_RATE, concept.code, f"{heart_rate_bpm:.0f}", concept.unit)
        number.ContentSequence = ContentSequence([self._source_waveform])
        title = self.templates.report.heart_rate_title
        return self._group(title, HEART_RATE, [number], site=concept.site, by_model=False)

    def disease_group(self, disease: DiseaseProbability) -> ContentItem:
        """One disease screen: the disease as the finding, its probability as the number."""
        concept = self.templates.concept(disease.field_id)
        number = _number(disease.field_id, self.templates.probability, disease.text(), concept.unit)
        number.ContentSequence = ContentSequence([self._source_waveform])
        title = self.templates.report.disease_title.format(disease=concept.code.meaning)
        return self._group(title, disease.field_id, [number], finding=concept.code)

    def statements(self, prediction: Prediction) -> ContentItem:
        """What a reader has to know of the numbers (TID 1500 rows 12 and 14)."""
        report, model = self.templates.report, self.model
        name = report.text
        coverage = f"{model.interval_coverage * 100:g}"
        numbers = prediction.estimates or prediction.diseases
        items = [
            *self._nature(
                f"{report.statement if numbers else report.cine_statement} {report.unverified}"
            ),
            _text(name.intended_use, model.intended_use),
            _text(name.training_data, model.training_data),
            self._runtime(),
        ]
        if prediction.estimates:
            items.append(_text(name.interval, report.interval_statement.format(coverage=coverage)))
        items += [_text(name.finding, finding.message) for finding in prediction.findings]
        return _evaluations(items)

    def refusals(self, findings: Sequence[Finding]) -> ContentItem:
        """The coded conclusion that there is no estimate, and the reasons in words."""
        report = self.templates.report
        items: list[ContentItem | None] = [
            CodeContentItem(
                name=concept_of(report.text.conclusion),
                value=concept_of(report.no_result),
                relationship_type=CONTAINS,
            ),
            *self._nature(report.no_result_statement),
            self._runtime(),
        ]
        for finding in findings:
            refused = finding.severity is Severity.REFUSE
            name = report.text.refusal if refused else report.text.finding
            items.append(_text(name, finding.message))
        return _evaluations(items)

    def image_library(self, sop_class_uid: str, sop_instance_uids: Sequence[str]) -> ContentItem:
        """The synthetic cine that belongs to the report (TID 1600)."""
        images = [
            ImageContentItem(SOURCE, sop_class_uid, uid, relationship_type=CONTAINS)
            for uid in sop_instance_uids
        ]
        group = container(codes.DCM.ImageLibraryGroup, images)
        return container(codes.DCM.ImageLibrary, [group])

    def _nature(self, statement: str) -> list[ContentItem | None]:
        report = self.templates.report
        sentences = [statement, report.simulated_statement] if self.model.simulated else [statement]
        return [_text(report.text.statement, sentence) for sentence in sentences]

    def _runtime(self) -> ContentItem | None:
        model = self.model
        return _text(
            self.templates.report.text.runtime,
            f"{model.bundle} {model.version}, {model.how}, "
            f"bundle digest {model.digest}, templates {self.templates.version}",
        )

    def _group(
        self,
        title: str,
        key: str,
        numbers: Sequence[ContentItem],
        *,
        site: Code | None = None,
        finding: Code | None = None,
        by_model: bool = True,
    ) -> ContentItem:
        """A measurement group, tracked by a UID of its own (TID 1501)."""
        template = MeasurementsAndQualitativeEvaluations(
            tracking_identifier=TrackingIdentifier(derived_uid(self.uid, "group", key), title),
            finding_type=None if finding is None else concept_of(finding),
            finding_sites=None if site is None else [FindingSite(concept_of(site))],
            algorithm_id=self._algorithm() if by_model else None,
        )
        group = cast(ContentItem, template[0])
        group.ContentSequence.extend(numbers)
        return group

    def _estimate(self, estimate: Estimate, group_site: Code) -> ContentItem:
        """One phenotype with its interval and the ECG it comes from (TID 300)."""
        concept = self._agreed(estimate)
        number = _number(
            estimate.field_id, concept.code, estimate.text(estimate.value), concept.unit
        )
        items = [self._derivation]
        if concept.site is not None and concept.site != group_site:
            items.append(FindingSite(concept_of(concept.site)))
        items += _interval(estimate, concept.unit)
        items.append(self._source_waveform)
        number.ContentSequence = ContentSequence(items)
        return number

    def _agreed(self, estimate: Estimate) -> ConceptCode:
        concept = self.templates.concept(estimate.field_id)
        if concept.unit.value != estimate.unit:
            raise BundleError(
                f"field {estimate.field_id!r} of the bundle is in {estimate.unit!r}, its code in "
                f"dicom_templates/concepts.toml in {concept.unit.value!r}; use another bundle"
            )
        return concept

    def _algorithm(self) -> AlgorithmIdentification:
        model = self.model
        return AlgorithmIdentification(
            name=model.bundle,
            version=model.version,
            parameters=[
                f"runtime {model.runtime}",
                f"precision {model.precision}",
                *([f"preset {model.preset}"] if model.preset else []),
            ],
            family=concept_of(self.templates.report.algorithm_family),
        )

    @cached_property
    def _derivation(self) -> ContentItem:
        """How every phenotype was found (TID 300)."""
        return CodeContentItem(
            name=codes.DCM.Derivation,
            value=concept_of(self.templates.report.derivation),
            relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
        )

    @cached_property
    def _source_waveform(self) -> ContentItem:
        """The ECG as source of every number (TID 321).

        highdicom's document classes and its reader refuse WAVEFORM items; only its content items
        are used, and the document is put together here.
        """
        return WaveformContentItem(
            name=codes.DCM.SourceOfMeasurement,
            referenced_sop_class_uid=self.study.sop_class_uid,
            referenced_sop_instance_uid=self.study.sop_instance_uid,
            relationship_type=RelationshipTypeValues.INFERRED_FROM,
        )


def container(
    name: CodedConcept | CodingConcept,
    items: Sequence[ContentItem],
    *,
    relationship: RelationshipTypeValues | None = CONTAINS,
    template_id: str | None = None,
) -> ContentItem:
    """A container of separate items; the root of the document has no relationship."""
    item = ContainerContentItem(
        name, is_content_continuous=False, template_id=template_id, relationship_type=relationship
    )
    item.ContentSequence = ContentSequence(items)
    return item


@cache
def concept_of(code: Code) -> CodedConcept:
    """The code as highdicom wants it; the codes of the templates are few and never changed."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def _evaluations(items: Sequence[ContentItem | None]) -> ContentItem:
    return container(QUALITATIVE_EVALUATIONS, [item for item in items if item is not None])


def _text(name: Code, text: str) -> ContentItem | None:
    """A sentence; None when there is nothing to say (UT is type 1)."""
    if not text:
        return None
    return TextContentItem(concept_of(name), text, relationship_type=CONTAINS)


def _number(
    field_id: str,
    name: Code,
    text: str,
    unit: Code,
    relationship: RelationshipTypeValues = CONTAINS,
) -> ContentItem:
    """A NUM item whose Numeric Value is this text, digit for digit."""
    if len(text) > DECIMAL_STRING or not _decimal(field_id, text).is_finite():
        raise PredictionError(
            f"field {field_id!r} is not a number a report can hold; check the bundle"
        )
    item = NumContentItem(
        concept_of(name), float(text), concept_of(unit), relationship_type=relationship
    )
    measured = item.MeasuredValueSequence[0]
    measured.NumericValue = text
    # Floating Point Value is for numbers that DS cannot hold (PS3.3 C.18.1).
    del measured.FloatingPointValue
    return item


def _decimal(field_id: str, text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise PredictionError(f"field {field_id!r} is not a number; check the bundle") from error


def _interval(estimate: Estimate, unit: Code) -> list[ContentItem]:
    """How far the prediction interval reaches below and above the value, in decimal arithmetic.

    Value minus range (or plus) is the bound again, digit for digit.
    """
    value, lower, upper = (
        _decimal(estimate.field_id, estimate.text(number))
        for number in (estimate.value, estimate.lower, estimate.upper)
    )
    if not lower <= value <= upper:
        raise PredictionError(
            f"field {estimate.field_id!r} lies outside its prediction interval; check the bundle"
        )
    ranges = ((LOWER_RANGE, value - lower), (UPPER_RANGE, upper - value))
    return [
        _number(
            estimate.field_id, name, f"{distance:f}", unit, RelationshipTypeValues.HAS_PROPERTIES
        )
        for name, distance in ranges
    ]
