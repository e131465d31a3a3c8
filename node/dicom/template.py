"""The versioned texts and codes of our results, checked whole when the node starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from node.domain.code import Code, ConceptCode
from node.domain.errors import BundleError, ConfigurationError
from node.domain.reference_range import ReferenceRange, ReferenceRanges

HEART_RATE = "heart-rate"
SYNTHETIC = "SYNTHETIC"
"""What the labels of every result say."""
"""Field id of the one number that is measured on the ECG rather than estimated."""

SHORT_STRING, LONG_STRING, SHORT_TEXT = 16, 64, 1024
"""Characters of SH, LO and ST (DICOM PS3.5 Table 6.2-1)."""
CORRECTION = 24
"""Kept free after each title for what tells a correction from what it replaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodingScheme:
    """Our private coding scheme (DICOM PS3.3 C.12.1, Coding Scheme Identification Sequence)."""

    designator: str
    name: str
    organization: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Fields that stand together in one measurement group, and the site they share."""

    key: str
    title: str
    site: Code
    field_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTexts:
    """What the sentences of the structured report are called."""

    statement: Code
    intended_use: Code
    training_data: Code
    interval: Code
    runtime: Code
    finding: Code
    refusal: Code
    conclusion: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTemplate:
    """report.toml."""

    study_description: str
    """Of a study of its own, where results are not filed in the ECG's."""
    series_description: str
    series_number: int
    instance_number: int
    correction: str
    """With the placeholder {number}; after the title of what replaces earlier results."""
    title: Code
    procedure_reported: Code
    algorithm_family: Code
    derivation: Code
    no_result: Code
    statement: str
    cine_statement: str
    """In place of the statement where a model offers a cine and no number."""
    no_result_statement: str
    simulated_statement: str
    heart_rate_title: str
    disease_title: str
    """With the placeholder {disease}."""
    interval_statement: str
    """With the placeholder {coverage}, in percent."""
    unverified: str
    """After the statement, until a person has signed."""
    verified: str
    """In its place then."""
    signed: str
    """After the title of what a person has signed."""
    text: ReportTexts


@dataclass(frozen=True, slots=True, kw_only=True)
class CineTemplate:
    """cine.toml."""

    series_description: str
    series_number: int
    instance_number: int
    body_part_examined: str
    banner: str
    simulated_banner: str
    minimum_columns: int
    derivation: str
    """With the placeholder {view}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalTemplate:
    """withdrawal.toml."""

    series_description: str
    series_number: int
    instance_number: int
    title: Code
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One number of the summary."""

    field_id: str
    label: str
    ranges: Mapping[str, ReferenceRange]
    """Patient's Sex ("F", "M") -> range; none where no range is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTexts:
    """What the summary says."""

    banner: str
    simulated_banner: str
    title: str
    statement: str
    heart_rate: str
    """With the placeholder {rate}."""
    interval_title: str
    """With the placeholder {coverage}, in percent."""
    range_title: str
    """With the placeholder {sex}."""
    unknown_sex_title: str
    female: str
    male: str
    below: str
    above: str
    screening_title: str
    end_diastole: str
    end_systole: str
    """With the placeholder {milliseconds}."""
    spread: str
    """With the placeholder {samples}; under the picture of where samples differ."""
    further: str
    """With the placeholder {count}."""
    findings: str
    """With the placeholder {messages}."""
    range_statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryTemplate:
    """summary.toml."""

    series_description: str
    series_number: int
    pdf_series_number: int
    instance_number: int
    document_title: str
    derivation: str
    text: SummaryTexts
    rows: tuple[SummaryRow, ...]

    def ranges(self, sex: str) -> ReferenceRanges:
        """sex: "F", "M", or anything else for unknown, which has none."""
        return ReferenceRanges(
            statement=self.text.range_statement,
            by_field={row.field_id: row.ranges[sex] for row in self.rows if sex in row.ranges},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EquipmentTemplate:
    """equipment.toml."""

    manufacturer: str
    model_name: str
    contribution: Code
    contribution_description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """All templates of one version."""

    version: str
    scheme: CodingScheme
    concepts: Mapping[str, ConceptCode]
    """Field id -> code; for a disease the code is the disease and the unit "1"."""
    groups: tuple[Group, ...]
    probability: Code
    report: ReportTemplate
    cine: CineTemplate
    summary: SummaryTemplate
    withdrawal: WithdrawalTemplate
    equipment: EquipmentTemplate

    def concept(self, field_id: str) -> ConceptCode:
        """How a field is coded. Raises BundleError: a field without a code refuses the bundle."""
        if field_id not in self.concepts:
            raise BundleError(
                f"field {field_id!r} of the bundle has no code; add it to "
                "dicom_templates/concepts.toml or use another bundle"
            )
        return self.concepts[field_id]

    def group(self, field_id: str) -> Group:
        """The group an estimate stands in. Raises BundleError when it is in none."""
        for group in self.groups:
            if field_id in group.field_ids:
                return group
        raise BundleError(
            f"field {field_id!r} of the bundle stands in no group of dicom_templates/concepts.toml"
        )

    def codes(self, field_ids: Iterable[str]) -> dict[str, ConceptCode]:
        """The codes of several fields. Raises BundleError like `concept`."""
        return {field_id: self.concept(field_id) for field_id in field_ids}


def load_templates(folder: Traversable | None = None) -> Templates:
    """The templates of the `dicom_templates` package, or of another folder of that form.

    Raises ConfigurationError that lists every problem at once: file, key and what is wrong.
    """
    folder = resources.files("dicom_templates") if folder is None else folder
    problems: list[str] = []
    concepts = _read(folder, "concepts.toml", problems)
    report = _read(folder, "report.toml", problems)
    cine = _read(folder, "cine.toml", problems)
    summary = _read(folder, "summary.toml", problems)
    equipment = _read(folder, "equipment.toml", problems)
    coded, groups = _concepts(concepts)
    probability = concepts.table("probability").code("code")
    templates = Templates(
        version=report.text("version", SHORT_STRING),
        scheme=_scheme(concepts.table("scheme")),
        concepts=coded,
        groups=groups,
        probability=probability,
        report=_report(report),
        cine=_cine(cine),
        summary=_summary(summary, coded),
        withdrawal=_withdrawal(_read(folder, "withdrawal.toml", problems)),
        equipment=_equipment(equipment),
    )
    if HEART_RATE not in coded:
        problems.append(f"concepts.toml: no group has the field {HEART_RATE!r}")
    if problems:
        raise ConfigurationError("dicom_templates: " + "; ".join(problems))
    return templates


_PLACEHOLDER = Code(value="?", scheme="?", meaning="?")
"""Stands for a code that could not be read, until all problems are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A TOML table that notes what is wrong with it instead of raising."""

    path: str
    content: Mapping[str, Any]
    problems: list[str]

    def note(self, key: str, problem: str) -> None:
        self.problems.append(f"{self.path}{key}: {problem}")

    def table(self, key: str) -> _Table:
        content = self.content.get(key)
        if not isinstance(content, dict):
            self.note(key, "a table is missing")
            content = {}
        return _Table(path=f"{self.path}{key}.", content=content, problems=self.problems)

    def tables(self, key: str) -> list[_Table]:
        items = self.content.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            self.note(key, "a list of tables is missing")
            items = []
        return [
            _Table(path=f"{self.path}{key}[{index}].", content=item, problems=self.problems)
            for index, item in enumerate(items)
        ]

    def text(self, key: str, limit: int, placeholder: str | None = None) -> str:
        value = self.content.get(key)
        if not isinstance(value, str) or not value or not value.isascii():
            self.note(key, "must be a text of ASCII characters")
            return ""
        if len(value) > limit:
            self.note(key, f"has {len(value)} characters, at most {limit} are allowed")
        if placeholder is not None and f"{{{placeholder}}}" not in value:
            self.note(key, f"must say where {{{placeholder}}} goes")
        return value

    def label(self, key: str, limit: int) -> str:
        """A text that stands for the whole result: it has to say what that is."""
        value = self.text(key, limit)
        if SYNTHETIC not in value:
            self.note(key, f"must say {SYNTHETIC}")
        return value

    def number(self, key: str) -> int:
        value = self.content.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.note(key, "must be a whole number above 0")
            return 1
        return value

    def range(self, key: str) -> ReferenceRange | None:
        """None where there is no such key."""
        value = self.content.get(key)
        if value is None:
            return None
        if not (
            isinstance(value, list)
            and len(value) == 2
            and all(type(bound) in (int, float) for bound in value)
            and value[0] < value[1]
        ):
            self.note(key, "must be two numbers, the lower one first")
            return None
        return ReferenceRange(lower=value[0], upper=value[1])

    def code(self, key: str) -> Code:
        return self.coded(key, self.content.get(key))

    def coded(self, key: str, value: object) -> Code:
        if not (
            isinstance(value, list)
            and len(value) == 3
            and all(isinstance(part, str) and part for part in value)
        ):
            self.note(key, "must be a code: [value, scheme, meaning]")
            return _PLACEHOLDER
        limits = (SHORT_STRING, SHORT_STRING, LONG_STRING)
        if any(len(part) > limit for part, limit in zip(value, limits, strict=True)):
            self.note(key, f"a part of the code is longer than {limits} characters")
        return Code(value=value[0], scheme=value[1], meaning=value[2])


def _read(folder: Traversable, name: str, problems: list[str]) -> _Table:
    content: dict[str, Any] = {}
    try:
        content = tomllib.loads(folder.joinpath(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{name}: cannot be read ({error})")
    return _Table(path=f"{name}: ", content=content, problems=problems)


def _scheme(table: _Table) -> CodingScheme:
    return CodingScheme(
        designator=table.text("designator", SHORT_STRING),
        name=table.text("name", SHORT_TEXT),
        organization=table.text("organization", SHORT_TEXT),
    )


def _concepts(table: _Table) -> tuple[dict[str, ConceptCode], tuple[Group, ...]]:
    """Every field's code, and the groups they stand in."""
    units = table.table("unit")
    sites = table.table("site")
    coded: dict[str, ConceptCode] = {}
    groups = []
    for group in table.tables("group"):
        group_site = group.code("site")
        members = group.table("field")
        for field_id in members.content:
            entry = members.table(field_id)
            named = entry.content.get("site")
            site = group_site if named is None else sites.code(str(named))
            concept = ConceptCode(code=entry.code("code"), site=site, unit=_unit(entry, units))
            _add(coded, members, field_id, concept)
        groups.append(
            Group(
                key=group.text("key", LONG_STRING),
                title=group.text("title", LONG_STRING),
                site=group_site,
                field_ids=tuple(members.content),
            )
        )
    probability = table.table("probability")
    unit = _unit(probability, units)
    diseases = probability.table("field")
    for field_id in diseases.content:
        _add(coded, diseases, field_id, ConceptCode(code=diseases.code(field_id), unit=unit))
    return coded, tuple(groups)


def _add(coded: dict[str, ConceptCode], table: _Table, field_id: str, concept: ConceptCode) -> None:
    if field_id in coded:
        table.note(field_id, "the field is coded twice")
    named = {(other.code.value, other.code.scheme, other.site) for other in coded.values()}
    if (concept.code.value, concept.code.scheme, concept.site) in named:
        table.note(
            field_id, "another field has this code and site: results could not be told apart"
        )
    coded[field_id] = concept


def _unit(entry: _Table, units: _Table) -> Code:
    value = str(entry.content.get("unit", ""))
    meaning = units.content.get(value)
    if not isinstance(meaning, str) or not meaning:
        entry.note("unit", "must be one of the units of concepts.toml")
        return Code(value="1", scheme="UCUM", meaning="no units")
    return Code(value=value, scheme="UCUM", meaning=meaning)


def _report(table: _Table) -> ReportTemplate:
    texts = table.table("text")
    return ReportTemplate(
        study_description=table.label("study_description", LONG_STRING),
        series_description=table.label("series_description", LONG_STRING - CORRECTION),
        series_number=table.number("series_number"),
        instance_number=table.number("instance_number"),
        correction=table.text("correction", CORRECTION, "number"),
        title=table.code("title"),
        procedure_reported=table.code("procedure_reported"),
        algorithm_family=table.code("algorithm_family"),
        derivation=table.code("derivation"),
        no_result=table.code("no_result"),
        statement=table.text("statement", SHORT_TEXT),
        cine_statement=table.text("cine_statement", SHORT_TEXT),
        no_result_statement=table.text("no_result_statement", SHORT_TEXT),
        simulated_statement=table.text("simulated_statement", SHORT_TEXT),
        heart_rate_title=table.text("heart_rate_title", LONG_STRING),
        disease_title=table.text("disease_title", SHORT_TEXT, "disease"),
        interval_statement=table.text("interval_statement", SHORT_TEXT, "coverage"),
        unverified=table.text("unverified", SHORT_TEXT),
        verified=table.text("verified", SHORT_TEXT),
        signed=table.text("signed", LONG_STRING),
        text=ReportTexts(**{field.name: texts.code(field.name) for field in fields(ReportTexts)}),
    )


def _cine(table: _Table) -> CineTemplate:
    return CineTemplate(
        series_description=table.label("series_description", LONG_STRING - CORRECTION),
        series_number=table.number("series_number"),
        instance_number=table.number("instance_number"),
        body_part_examined=table.text("body_part_examined", SHORT_STRING),
        banner=table.label("banner", LONG_STRING),
        simulated_banner=table.text("simulated_banner", LONG_STRING),
        minimum_columns=table.number("minimum_columns"),
        derivation=table.text("derivation", SHORT_TEXT, "view"),
    )


_SUMMARY_PLACEHOLDERS = {
    "heart_rate": "rate",
    "interval_title": "coverage",
    "range_title": "sex",
    "end_systole": "milliseconds",
    "spread": "samples",
    "further": "count",
    "findings": "messages",
}


def _summary(table: _Table, coded: Mapping[str, ConceptCode]) -> SummaryTemplate:
    texts = {
        field.name: table.text(field.name, SHORT_TEXT, _SUMMARY_PLACEHOLDERS.get(field.name))
        for field in fields(SummaryTexts)
    }
    return SummaryTemplate(
        series_description=table.label("series_description", LONG_STRING - CORRECTION),
        series_number=table.number("series_number"),
        pdf_series_number=table.number("pdf_series_number"),
        instance_number=table.number("instance_number"),
        document_title=table.label("document_title", SHORT_TEXT),
        derivation=table.text("derivation", SHORT_TEXT),
        text=SummaryTexts(**texts),
        rows=tuple(_summary_row(row, coded) for row in table.tables("row")),
    )


def _summary_row(row: _Table, coded: Mapping[str, ConceptCode]) -> SummaryRow:
    field_id = row.text("field", LONG_STRING)
    if field_id and field_id not in coded:
        row.note("field", "must be a field of concepts.toml")
    ranges = {"F": row.range("female"), "M": row.range("male")}
    return SummaryRow(
        field_id=field_id,
        label=row.text("label", LONG_STRING),
        ranges={sex: found for sex, found in ranges.items() if found is not None},
    )


def _withdrawal(table: _Table) -> WithdrawalTemplate:
    return WithdrawalTemplate(
        series_description=table.label("series_description", LONG_STRING - CORRECTION),
        series_number=table.number("series_number"),
        instance_number=table.number("instance_number"),
        title=table.code("title"),
        description=table.text("description", SHORT_TEXT),
    )


def _equipment(table: _Table) -> EquipmentTemplate:
    return EquipmentTemplate(
        manufacturer=table.text("manufacturer", LONG_STRING),
        model_name=table.text("model_name", LONG_STRING),
        contribution=table.code("contribution"),
        contribution_description=table.text("contribution_description", SHORT_TEXT),
    )
