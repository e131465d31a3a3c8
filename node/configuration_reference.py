"""The configuration as a document: each key with what it takes, its default, and its words.

What a key takes is in the models of node.settings, its default and its words in config/node.toml.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from node.settings import Settings, default_text

_HEAD: Final = """\
# Configuration reference

Made by `cardionode config reference` of the settings (`node/settings.py`) and the comments of
`config/node.toml`: change those, not this page.

One TOML file says what differs from the default. A table of it replaces the default's keys one by
one; a list is replaced whole. A key that nobody knows, and a value out of its range, is an error
that says where. `cardionode check --config FILE` proves a file, `cardionode config show` prints
what holds, and `--set dicom.port=11912` overrides a single key on the command line.
`CARDIONODE_CONFIG`, `CARDIONODE_HOME` and `CARDIONODE_ROLE` stand for `--config`, `--home` and
`--role`. A node that runs takes a changed file up when
[it is told to](operations.md#take-up-a-changed-configuration). What is written as
*env:NAME or file:PATH* names where a secret is, and is never the secret itself.
"""

_SECTION: Final = re.compile(r"# -{10,} (.+)")
_TABLE: Final = re.compile(r"(?:# )?\[{1,2}([A-Za-z0-9_.]+)\]{1,2}(?:\s+# (.+))?")
_MENTIONED: Final = re.compile(r"# {4,}\[([a-z0-9_.]+)\]")
_EXAMPLE: Final = re.compile(r"# {4,}(\S.*)")
_KEY: Final = re.compile(r"(# )?([A-Za-z_][A-Za-z0-9_.]*|\"[^\"]+\") = (.+)")
_MORE: Final = re.compile(r"# {20,}(?:# )?(.+)")
_REMARK: Final = re.compile(r"\s+# ")
_SPECIAL: Final = re.compile(r"([\\*<>])")

_ANY_NAME: Final = "NAME"
"""In the path of a table that the site names."""
_UNITS: Final = {
    "_s": "seconds",
    "_mb": "megabytes",
    "_bytes": "bytes",
    "_minutes": "minutes",
    "_hours": "hours",
    "_days": "days",
}
"""By the end of a key's name."""
_FORMATS: Final = {
    "path": "a path",
    "ipv4": "an address",
    "ipv6": "an address",
    "ipv4network": "a network",
    "ipv6network": "a network",
}
"""Of texts, by their format in the schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Example:
    """A key as the file shows it."""

    line: str
    words: str

    @property
    def sentence(self) -> str:
        """Its words; some go on from the value beside which they stand."""
        value = self.line.partition(" = ")[2]
        return f"{value}, {self.words}" if self.words.startswith("or ") else self.words


@dataclass(kw_only=True)
class _Comments:
    """Of config/node.toml."""

    sections: dict[str, list[str]] = field(default_factory=dict)
    """Their titles in the order of the file, each with its tables."""
    tables: dict[str, str] = field(default_factory=dict)
    """Words of each."""
    keys: dict[str, dict[str, _Example]] = field(default_factory=dict)
    """By table and key."""


class _CommentReader:
    """Reads the file line by line."""

    def __init__(self) -> None:
        self.found = _Comments()
        self._section = self._table = ""
        self._pending: list[str] = []
        """Lines of prose that belong to what comes next."""
        self._prelude = ""
        """Prose that stands alone: of the next table, where that has none of its own."""
        self._last: tuple[str, str] | None = None
        """Table and key of the line before."""
        self._is_shown = False
        """Whether that line is a comment."""

    def read(self, text: str) -> _Comments:
        for line in text.splitlines():
            self._take(line)
        return self.found

    def _take(self, line: str) -> None:
        if matched := _SECTION.fullmatch(line):
            self._section = matched[1]
            self.found.sections[self._section] = []
            self._forget()
        elif matched := _TABLE.fullmatch(line):
            self._enter(matched[1], matched[2] or self._prose() or self._prelude)
        elif matched := _MENTIONED.fullmatch(line):
            self._enter_mentioned(matched[1])
        elif (matched := _MORE.fullmatch(line)) and self._last is not None and self._is_shown:
            self._go_on(matched[1])
        elif (matched := _EXAMPLE.fullmatch(line)) and self._last is not None:
            self._go_on(f"`{matched[1]}`")
        elif matched := _KEY.fullmatch(line):
            self._note(matched[2], matched[3], is_shown=bool(matched[1]))
        elif line.startswith("# "):
            self._pending.append(line.removeprefix("# ").strip())
        else:  # a blank one ends what belongs together
            if self._last is None:  # else it goes on from the keys above it
                self._prelude = self._prose() or self._prelude
            self._pending, self._last = [], None

    def _forget(self) -> None:
        self._pending, self._prelude, self._last = [], "", None

    def _prose(self) -> str:
        return " ".join(self._pending)

    def _enter(self, table: str, words: str) -> None:
        self._table = table
        self.found.tables[table] = words
        self.found.sections[self._section].append(table)
        self._forget()

    def _enter_mentioned(self, table: str) -> None:
        """One that stands in a comment among the keys of the table above it."""
        above, _, key = table.rpartition(".")
        example = _Example(line=f"[{table}]", words=self._prose())
        self.found.keys.setdefault(above, {})[key] = example
        self._pending, self._last, self._is_shown = [], (above, key), False

    def _note(self, name: str, written: str, *, is_shown: bool) -> None:
        """name: of the key, in quotes where it is written so."""
        value, words = written, self._prose()
        if is_shown:
            value, *remark = _REMARK.split(written, maxsplit=1)
            words = remark[0] if remark else words
        elif not words and self._last is not None:  # one comment for several keys
            words = self.found.keys[self._last[0]][self._last[1]].words
        key = name.strip('"')
        keys = self.found.keys.setdefault(self._table, {})
        keys[key] = _Example(line=f"{name} = {value}", words=words.strip())
        self._pending, self._last, self._is_shown = [], (self._table, key), is_shown

    def _go_on(self, words: str) -> None:
        assert self._last is not None
        table, key = self._last
        example = self.found.keys[table][key]
        self.found.keys[table][key] = _Example(
            line=example.line, words=f"{example.words} {words.strip()}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """One of the configuration, with what the schema says of its keys."""

    path: str
    is_list: bool
    kind: str
    """Of destinations; empty of others."""
    keys: Mapping[str, Mapping[str, Any]]
    needed: frozenset[str]

    @property
    def heading(self) -> str:
        name = f"`[[{self.path}]]`" if self.is_list else f"`[{self.path}]`"
        return f'{name}, kind = "{self.kind}"' if self.kind else name


def configuration_reference() -> str:
    """The whole, as Markdown."""
    text = default_text()
    comments, default = _CommentReader().read(text), tomllib.loads(text)
    tables = list(_tables(Settings.model_json_schema()))
    blocks = [_HEAD]
    for title, named in comments.sections.items():
        blocks.append(f"## {title}")
        for table in tables:
            name = _names(table, comments)[0]
            if name in named:
                blocks += [f"### {table.heading}", _escape(comments.tables[name])]
                blocks.append(_rows(table, comments, default))
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"


def _tables(schema: Mapping[str, Any]) -> Iterator[_Table]:
    """Those of the whole configuration, each before those in it."""
    definitions = schema["$defs"]

    def below(node: Mapping[str, Any], path: str) -> Iterator[_Table]:
        for name, found in node["properties"].items():
            inner = f"{path}.{name}" if path else name
            for table, is_list in _models(found, definitions):
                site = f"{inner}.{_ANY_NAME}" if "additionalProperties" in found else inner
                yield _Table(
                    path=site,
                    is_list=is_list,
                    kind=table["properties"].get("kind", {}).get("const", ""),
                    keys={
                        key: _resolved(each, definitions)
                        for key, each in table["properties"].items()
                        if not list(_models(each, definitions))
                    },
                    needed=frozenset(table.get("required", ())),
                )
                yield from below(table, inner)

    return below(schema, "")


def _models(
    found: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The tables that may stand in that place, and whether it is a list of them."""
    if "$ref" in found:
        model = definitions[found["$ref"].rpartition("/")[2]]
        if "properties" in model:
            yield model, False
    for each in found.get("anyOf", found.get("oneOf", ())):
        yield from _models(each, definitions)
    if "items" in found:
        yield from ((model, True) for model, _ in _models(found["items"], definitions))
    if isinstance(found.get("additionalProperties"), dict):
        yield from _models(found["additionalProperties"], definitions)


def _resolved(found: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """With what is referred to in its place."""
    if "$ref" in found:
        return {**definitions[found["$ref"].rpartition("/")[2]], **found}
    resolved = dict(found)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            resolved[key] = _resolved(found[key], definitions)
    if "anyOf" in found:
        resolved["anyOf"] = [_resolved(each, definitions) for each in found["anyOf"]]
    return resolved


def _names(table: _Table, comments: _Comments) -> list[str]:
    """What it is called in the file; of a destination first one of its kind, then the others."""
    if not table.kind:
        return [table.path]
    above = table.path.removesuffix(_ANY_NAME)
    names = [each for each in comments.tables if each.startswith(above)]
    written = f'kind = "{table.kind}"'
    return sorted(names, key=lambda each: comments.keys[each]["kind"].line != written)


def _rows(table: _Table, comments: _Comments, default: Mapping[str, Any]) -> str:
    """Its keys in the order of the file, the others behind them."""
    own = list(comments.keys.get(_names(table, comments)[0], ()))
    keys = sorted(table.keys, key=lambda key: own.index(key) if key in own else len(own))
    lines = ["| key | takes | default | what it is |", "|---|---|---|---|"]
    for key in keys:
        found = table.keys[key]
        cells = [
            f"`{table.path}.{key}`",
            _takes(found, key),
            _default(table, key, default),
            _escape(_words(table, key, comments)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _words(table: _Table, key: str, comments: _Comments) -> str:
    """Of the key: its own, or those of a destination of another kind that has it too."""
    path = f"{table.path}.{key}"
    if path in comments.tables:  # what stands in it is named by the site
        examples = [f"`{each.line}`: {each.words}" for each in comments.keys.get(path, {}).values()]
        return "; ".join([comments.tables[path], *examples])
    found = (comments.keys.get(name, {}).get(key) for name in _names(table, comments))
    return next((each.sentence for each in found if each is not None and each.words), "")


def _default(table: _Table, key: str, default: Mapping[str, Any]) -> str:
    """As it is written in the file."""
    here: Any = default
    for part in (*table.path.split("."), key):
        here = here.get(part) if isinstance(here, dict) else None
    if here is None:
        if key in table.needed:
            return "needed"
        here = table.keys[key].get("default")
    return "none" if here is None or here == {} else f"`{json.dumps(here, ensure_ascii=False)}`"


def _takes(found: Mapping[str, Any], key: str) -> str:
    """In plain words."""
    words = _plain(found)
    unit = next((unit for end, unit in _UNITS.items() if key.endswith(end)), "")
    return f"{unit}: {words}" if unit else words


def _plain(found: Mapping[str, Any]) -> str:
    if "enum" in found:
        return "one of " + ", ".join(f"`{json.dumps(each)}`" for each in found["enum"])
    if "anyOf" in found:
        parts = [_plain(each) for each in found["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(parts))
    if "description" in found:  # of a type of its own, in node.settings
        return str(found["description"])
    return _simple(found)


def _simple(found: Mapping[str, Any]) -> str:
    """By its type in the schema."""
    match found["type"]:
        case "boolean":
            words = "`true` or `false`"
        case "array":
            least = ", one or more" if found.get("minItems") else ""
            words = f"list{least}: {_plain(found['items'])}"
        case "object":
            patterned = found.get("patternProperties", {}).values()  # where its keys have one
            value = found.get("additionalProperties") or next(iter(patterned))
            words = f"table, each value {_plain(value)}"
        case "string":
            words = _text(found)
        case _:
            words = _number(found)
    return words


def _text(found: Mapping[str, Any]) -> str:
    least, most = found.get("minLength", 0), found.get("maxLength")
    if "const" in found:
        return f"`{json.dumps(found['const'])}`"
    if "format" in found:
        return _FORMATS[found["format"]]
    if most is not None:
        return f"text, {f'{least} to' if least else 'at most'} {most} characters"
    return "text, not empty" if least else "text"


def _number(found: Mapping[str, Any]) -> str:
    words = "a whole number" if found["type"] == "integer" else "a number"
    least, most = found.get("minimum"), found.get("maximum")
    if least is not None and most is not None:
        return f"{words}, {least:g} to {most}"
    if least is not None:
        return f"{words}, {least:g} or more"
    return f"{words} above {found['exclusiveMinimum']:g}, {most:.0f} at most"


def _escape(text: str) -> str:
    """For a cell or a paragraph; what stands between backticks stays code."""
    parts = text.replace("|", r"\|").split("`")
    parts[::2] = [_SPECIAL.sub(r"\\\1", part).replace(r"\\|", r"\|") for part in parts[::2]]
    return "`".join(parts)
