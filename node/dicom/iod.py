"""What the standard says of each object we send: its modules, and what they require."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from pydicom.datadict import tag_for_keyword

from node.dicom.encoded import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What is required of one attribute, and of the items in it."""

    keyword: str
    type: str
    """1, 2, or another where only its items hold what is required."""
    items: Mapping[int, Attribute] = field(default_factory=dict)


def missing(item: Item, table: Mapping[int, Attribute], *, but: Set[int]) -> Iterator[str]:
    """What of the table's attributes is absent, or empty where it must not be, by its path.

    but: top-level attributes whose items are not looked into. Conditions (types 1C and 2C) are not
    judged.
    """
    for tag, attribute in table.items():
        element, keyword = item.get(tag), attribute.keyword
        if element is None:
            if attribute.type in ("1", "2"):
                yield f"{keyword} is missing (type {attribute.type})"
        elif attribute.type == "1" and element.is_empty:
            yield f"{keyword} is empty (type 1)"
        elif attribute.items and tag not in but:
            for number, below in enumerate(element.items, start=1):
                for problem in missing(below, attribute.items, but=frozenset()):
                    yield f"{keyword}[{number}].{problem}"


@cache
def required(sop_class_uid: str) -> Mapping[int, Attribute] | None:
    """The attributes of all modules of the SOP class's IOD by tag; None: no table of it is here."""
    tables = _read("iods.json")
    named = tables["iods"].get(sop_class_uid)
    if named is None:
        return None
    return {
        tag: attribute
        for module in named
        for tag, attribute in _table(tables["modules"][module]).items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A module of an IOD."""

    name: str
    usage: str
    """M, U or C. Source: DICOM PS3.3 A.1.3."""
    types: Mapping[str, str]
    """Keyword of each attribute at its top -> 1, 1C, 2, 2C or 3."""


@cache
def modules(sop_class_uid: str) -> tuple[Module, ...]:
    """Those of the SOP class's IOD, in its order."""
    tables = _read("modules.json")
    return tuple(
        Module(name=module, usage=usage, types=tables["modules"][module])
        for module, usage in tables["iods"][sop_class_uid].items()
    )


@cache
def _read(name: str) -> dict[str, Any]:
    """Made by tests/iod_tables.py from the tables that highdicom carries, of PS3.3."""
    file = resources.files("dicom_templates") / name
    tables: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return tables


def _table(tree: Mapping[str, Any]) -> dict[int, Attribute]:
    table = {}
    for keyword, entry in tree.items():
        tag = tag_for_keyword(keyword)
        if tag is None:
            raise AssertionError(f"pydicom knows no {keyword}")
        table[tag] = Attribute(
            keyword=keyword, type=entry["type"], items=_table(entry.get("items", {}))
        )
    return table
