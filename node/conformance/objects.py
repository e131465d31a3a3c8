"""What each object we make holds: attributes and content items, gathered from specimens."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from pydicom import dcmread
from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from node.conformance.specimen import specimens
from node.dicom.composite import OPTIONAL, REQUIRED
from node.dicom.iod import Module, modules
from node.dicom.template import Templates
from node.domain.delivery import ResultKind

COPIED: Final = frozenset((*REQUIRED, *OPTIONAL))
CONTENT: Final = "ContentSequence"
_LONGEST: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """All specimens of one kind of result in one SOP class."""

    kind: ResultKind
    sop_class_uid: str
    datasets: tuple[Dataset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeRow:
    """One attribute of an object, or of the items of a sequence in it."""

    path: tuple[str, ...]
    """Keywords, from the top."""
    name: str
    tag: str
    vr: str
    type: str
    """Empty within items."""
    module: str
    presence: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRow:
    """One content item of a structured report."""

    depth: int
    relationship: str
    value_type: str
    concept: str
    presence: str
    value: str


def made_objects(templates: Templates) -> list[Made]:
    """By kind, then by SOP class, each in the order it is first made."""
    found: dict[tuple[ResultKind, str], list[Dataset]] = {}
    for result in specimens(templates):
        dataset = dcmread(io.BytesIO(result.content))
        found.setdefault((result.kind, result.sop_class_uid), []).append(dataset)
    return [
        Made(kind=kind, sop_class_uid=uid, datasets=tuple(datasets))
        for (kind, uid), datasets in sorted(found.items(), key=lambda each: _rank(each[0][0]))
    ]


def attribute_rows(made: Made, values: Mapping[str, str]) -> list[AttributeRow]:
    """Every attribute in the order of tags, those of items below their sequence.

    values: keyword or path -> where the value comes from; else it is the ECG's or always the same.
    """
    return list(_rows(made.datasets, (), modules(made.sop_class_uid), values))


def module_rows(made: Made, rows: Sequence[AttributeRow]) -> list[tuple[str, str, str]]:
    """Name, usage and presence of each module that has an attribute in the object."""
    top = [row for row in rows if len(row.path) == 1]
    found = []
    for module in modules(made.sop_class_uid):
        presences = {row.presence for row in top if row.module == title_of(module.name)}
        if presences:
            always = presences & {"ALWAYS", "VNAP", "EMPTY"}
            found.append((title_of(module.name), module.usage, "ALWAYS" if always else "ANAP"))
    return found


def content_rows(made: Sequence[Made], templates: Templates) -> list[ContentRow]:
    """The content tree of all reports; what differs in its values alone is one row."""
    roots = [dataset for each in made for dataset in each.datasets]
    names = {concept.code.value for concept in templates.concepts.values()}
    return list(_content(roots, 1, names))


def title_of(module: str) -> str:
    """A module's name as PS3.3 writes it."""
    words = module.replace("-", " ").title()
    for word in ("Sc", "Sr", "Sop", "Voi", "Lut"):
        words = " ".join(word.upper() if part == word else part for part in words.split())
    return words.replace("Multi Frame", "Multi-frame")


def _rank(kind: ResultKind) -> int:
    return list(ResultKind).index(kind)


def _rows(
    items: Sequence[Dataset],
    path: tuple[str, ...],
    tables: Sequence[Module],
    values: Mapping[str, str],
) -> Iterator[AttributeRow]:
    for tag in sorted({element.tag for item in items for element in item}):
        elements = [item[tag] for item in items if tag in item]
        keyword = keyword_for_tag(tag)
        here = (*path, keyword)
        module = _module_of(keyword, tables) if not path else None
        yield AttributeRow(
            path=here,
            name=dictionary_description(tag),
            tag=_text_of_tag(tag),
            vr=elements[0].VR,
            type=module.types[keyword] if module else "",
            module=title_of(module.name) if module else "",
            presence=_presence([element.is_empty for element in elements], len(items)),
            value=_value(here, elements, values),
        )
        if elements[0].VR == "SQ" and keyword not in (*COPIED, CONTENT):
            below = [item for element in elements for item in element.value]
            yield from _rows(below, here, tables, values)


def _module_of(keyword: str, tables: Sequence[Module]) -> Module | None:
    """The first mandatory module that has the attribute, else the first of others."""
    holding = [module for module in tables if keyword in module.types]
    return next(iter(sorted(holding, key=lambda module: module.usage != "M")), None)


def _presence(empty: Sequence[bool], of: int) -> str:
    """empty: of each that is there. of: how many could be."""
    if len(empty) < of:
        return "ANAP"
    if all(empty):
        return "EMPTY"
    return "VNAP" if any(empty) else "ALWAYS"


def _value(
    path: tuple[str, ...], elements: Sequence[DataElement], values: Mapping[str, str]
) -> str:
    for key in (".".join(path[-2:]), path[-1]):
        if key in values:
            return values[key]
    if len(path) == 1 and path[0] in COPIED:
        return "ECG"
    if elements[0].VR == "SQ" or all(element.is_empty for element in elements):
        return ""
    shown = {_shown(element.value) for element in elements if not element.is_empty}
    if len(shown) > 1:
        raise AssertionError(f"conformance.toml does not say where {'.'.join(path)} comes from")
    return shown.pop()


def _shown(value: object) -> str:
    parts = value if isinstance(value, MultiValue | list) else [value]
    return '"' + "\\".join(str(part) for part in parts)[:_LONGEST] + '"'


def _text_of_tag(tag: BaseTag) -> str:
    return f"({tag.group:04X},{tag.elem:04X})"


def _content(items: Sequence[Dataset], depth: int, phenotypes: set[str]) -> Iterator[ContentRow]:
    """items: all that stand at one place of the tree."""
    children = [child for item in items for child in item.get(CONTENT, [])]
    order: dict[tuple[str, str, str], int] = {}
    for child in children:
        order.setdefault(_place(child, phenotypes), len(order))
    ordered = sorted(children, key=lambda child: order[_place(child, phenotypes)])
    for place, group in groupby(ordered, key=lambda child: _place(child, phenotypes)):
        alike = list(group)
        having = sum(
            any(_place(child, phenotypes) == place for child in item.get(CONTENT, []))
            for item in items
        )
        relationship, value_type, concept = place
        yield ContentRow(
            depth=depth,
            relationship=relationship,
            value_type=value_type,
            concept=concept,
            presence="ALWAYS" if having == len(items) else "ANAP",
            value=_content_value(value_type, alike),
        )
        yield from _content(alike, depth + 1, phenotypes)


def _place(item: Dataset, phenotypes: set[str]) -> tuple[str, str, str]:
    named = item.get("ConceptNameCodeSequence")
    concept = coded(named[0]) if named else ""
    if item.ValueType == "NUM" and named[0].CodeValue in phenotypes:
        concept = "a phenotype of 9.3.1"
    return item.RelationshipType, item.ValueType, concept


def coded(item: Dataset) -> str:
    """A code as it is written in a table."""
    return f"({item.CodeValue}, {item.CodingSchemeDesignator}, {item.CodeMeaning})"


def _content_value(value_type: str, items: Iterable[Dataset]) -> str:
    if value_type == "CODE":
        found = {coded(item.ConceptCodeSequence[0]) for item in items}
        return found.pop() if len(found) == 1 else "CONFIG: a code of 9.3.1"
    return {
        "CONTAINER": "",
        "COMPOSITE": "AUTO: a document that is rejected",
        "IMAGE": "AUTO: the cine, or an image that is rejected",
        "NUM": "AUTO",
        "TEXT": "AUTO",
        "UIDREF": "AUTO",
        "WAVEFORM": "ECG: its SOP instance",
    }[value_type]
