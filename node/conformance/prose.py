"""The words of the statement: dicom_templates/conformance.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Words = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Revision(_Table):
    version: Words
    date: Words
    description: Words


class ContextGroup(_Table):
    """Where one code of the templates comes from."""

    cid: int
    name: Words
    extended: bool = False
    code: Words
    """Key in report.toml or equipment.toml."""
    use: Words


class IheTransaction(_Table):
    profile: Words
    actor: Words
    transaction: Words
    status: Words
    words: Words


class Prose(_Table):
    """conformance.toml."""

    title: Words
    product: Words
    date: Words
    template: Words
    revision: tuple[Revision, ...]
    introduction: Mapping[str, Words]
    """What promises nothing."""
    claim: Mapping[str, Words]
    """What a test shows, by its name."""
    abbreviations: Mapping[str, Words]
    value: Mapping[str, Words]
    """Keyword, or path of keywords -> where the value comes from."""
    worklist: Mapping[str, Words]
    """Keyword -> what it is read for, in an answer of the worklist."""
    received: Mapping[str, Words]
    """Keyword -> what it is read for."""
    context_group: tuple[ContextGroup, ...]
    hl7_field: Mapping[str, Words]
    """Place -> what a message of ours has there."""
    hl7_read: Mapping[str, Words]
    """Place -> what it is read for, in a message that comes in."""
    messages: Mapping[str, Words]
    """Of the HL7 statement."""
    ihe: tuple[IheTransaction, ...]


@cache
def load_prose() -> Prose:
    """Those that come with the program."""
    file = resources.files("dicom_templates") / "conformance.toml"
    return Prose.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
