"""Texts of a profile with named places, which each message fills with what it is about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from string import Formatter


def placeholders(template: str) -> list[str]:
    """The names between braces, in their order. Raises ValueError (anything else in braces)."""
    names = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if form or conversion or not name.isidentifier():
            raise ValueError("braces hold a name alone")
        names.append(name)
    return names


def unknown_placeholders(template: str, known: Collection[str]) -> str:
    """What is wrong with the places of a template, for whoever wrote it; empty: nothing."""
    allowed = ", ".join(f"{{{name}}}" for name in known)
    try:
        names = placeholders(template)
    except ValueError:
        return f"braces must hold one of {allowed}"
    unknown = [f"{{{name}}}" for name in names if name not in known]
    return f"{', '.join(unknown)} is not one of {allowed}" if unknown else ""


def fill(template: str, values: Mapping[str, str], write: Callable[[str], str]) -> str:
    """The text with each value as `write` writes it."""
    return template.format_map({name: write(value) for name, value in values.items()})
