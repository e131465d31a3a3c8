"""The tables of dicom_templates/{iods,modules}.json, out of those that highdicom carries.

    python -m tests.iod_tables    writes the files anew

highdicom's are private and 23 MB of JSON, which no process of the node shall hold; a test says when
a new version of them says something else.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from highdicom import _standard_utils as standard

from node.dicom import dimse

SOP_CLASSES = dimse.RESULT_STORAGE
BESIDE = frozenset(("cine", "common-instance-reference", "general-equipment", "general-reference"))
"""Modules we always have, though they are not mandatory."""
BY_VALUE_TYPE = "sr-document-content"
"""Its table mixes what the value types of content items need; node.dicom.validation tells apart."""


def tables() -> dict[str, Any]:
    """{"iods": {SOP class: [module]}, "modules": {module: {keyword: {"type", "items"}}}}."""
    iods = {}
    for sop_class_uid in SOP_CLASSES:
        modules = standard.get_iod_module_map()[standard.get_sop_class_iod_map()[sop_class_uid]]
        iods[sop_class_uid] = [
            module["key"]
            for module in modules
            if (module["usage"] == "M" or module["key"] in BESIDE)
            and module["key"] != BY_VALUE_TYPE
        ]
    named = sorted({module for modules in iods.values() for module in modules})
    trees = {module: _required(standard.construct_module_tree(module)) for module in named}
    return {"iods": iods, "modules": trees}


def _required(tree: dict[str, Any]) -> dict[str, Any]:
    """Of a module or an item: what is of type 1 or 2, and what holds such."""
    found = {}
    for keyword, attribute in tree.get("attributes", {}).items():
        items = _required(attribute)
        if attribute["type"].value in ("1", "2") or items:
            entry = {"type": attribute["type"].value}
            found[keyword] = entry | ({"items": items} if items else {})
    return found


def modules() -> dict[str, Any]:
    """{"iods": {SOP class: {module: usage}}, "modules": {module: {keyword: type}}}, no items."""
    iods = {
        sop_class_uid: {
            module["key"]: module["usage"]
            for module in standard.get_iod_module_map()[
                standard.get_sop_class_iod_map()[sop_class_uid]
            ]
        }
        for sop_class_uid in SOP_CLASSES
    }
    named = sorted({module for found in iods.values() for module in found})
    types = {
        module: {
            keyword: attribute["type"].value
            for keyword, attribute in standard.construct_module_tree(module)["attributes"].items()
        }
        for module in named
    }
    return {"iods": iods, "modules": types}


FILES = {"iods.json": tables, "modules.json": modules}


def text(made: dict[str, Any]) -> str:
    """A line a table."""
    parts = (
        ",\n".join(f"{json.dumps(name)}: {json.dumps(table)}" for name, table in part.items())
        for part in made.values()
    )
    return '{{"iods": {{\n{}\n}},\n"modules": {{\n{}\n}}}}\n'.format(*parts)


if __name__ == "__main__":
    for name, make in FILES.items():
        with resources.as_file(resources.files("dicom_templates") / name) as file:
            file.write_text(text(make()), encoding="utf-8")
