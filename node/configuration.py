"""The configuration file, changed by one at a time: comments stay, what is wrong stays out."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.container import Container, OutOfOrderTableProxy
from tomlkit.items import AbstractTable, AoT, Array

from node.domain.errors import ConfigurationError, NotPossible, StorageError
from node.domain.identifiers import sha256
from node.settings import Settings, default_text, override_of, parse_settings
from node.store.database import sync

_HEADER: Final = re.compile(r"\s*(\[\[?)\s*([^\]]*?)\s*\]")
_Table = Container | AbstractTable | OutOfOrderTableProxy
"""The last: of keys like `dicom.port` in several places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What the file holds."""

    text: str
    digest: str
    """SHA-256 of its bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFile:
    """Reads and replaces it: whole or not at all, and durable when that returns.

    Writers exclude each other by a lock on its folder; who edits it otherwise, in an editor, is
    found by its digest.
    """

    path: Path
    overrides: Sequence[str] = ()
    """Of the command line, as `parse_settings` has them: what they say the file cannot change."""

    def read(self) -> Revision:
        """Raises ConfigurationError."""
        try:
            content = self.path.read_bytes()
            return Revision(text=content.decode("utf-8"), digest=sha256(content))
        except FileNotFoundError:
            return Revision(text="", digest=sha256(b""))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {self.path}: {error}") from error

    def read_as(self, digest: str) -> Revision:
        """As somebody has seen it. Raises as `read`, and NotPossible: it was changed since."""
        revision = self.read()
        if revision.digest != digest:
            raise NotPossible(
                f"{self.path} was changed by somebody else meanwhile: look at it again"
            )
        return revision

    def settings(self) -> tuple[Settings, str]:
        """What holds by the file, which is there, and the digest of what was read.

        Raises ConfigurationError.
        """
        if not self.path.exists():
            raise ConfigurationError(f"cannot read {self.path}: there is no such file")
        revision = self.read()
        settings = parse_settings(revision.text, str(self.path), self.overrides)
        return settings, revision.digest

    def changed(self, revision: Revision, changes: Sequence[str]) -> str:
        """The text with changes like "dicom.port=11912" and "dicom.peers+={...}", one more of a
        list; one without a value takes the key out.

        Raises ConfigurationError: the text would not do, every problem of it; a key that
        `overrides` have; a file that is written in a way that cannot be changed here.
        """
        document, wanted = self._parsed(revision)
        for change in changes:
            wished = _Change.of(change)
            self._check_locked(wished.path)
            wished.apply(document)
            wished.expect(wanted)
        return self._checked(tomlkit.dumps(document), wanted)

    def arranged(self, revision: Revision, key: str, order: Sequence[int]) -> str:
        """The text with those entries of a list, in that order, and without the others.

        Each goes with the comment above it. key: of the list, in no table. Raises as `changed`.
        """
        _, wanted = self._parsed(revision)
        self._check_locked((key,))
        lines = [f"{line}\n" for line in revision.text.removesuffix("\n").split("\n")]
        blocks = _blocks(lines, key)
        if not blocks or len(blocks) != len(wanted[key]) or not {*order} <= {*range(len(blocks))}:
            raise ConfigurationError(
                f"{key} of {self.path} cannot be arranged here, unless each is written as [[{key}]]"
            )
        arranged, done = list[str](), 0
        for place, block in enumerate(blocks):
            arranged += lines[done : block.start]
            if place < len(order):
                taken = blocks[order[place]]
                arranged += lines[taken.start : taken.stop]
            done = block.stop
        text = "".join([*arranged, *lines[done:]])
        if order:
            wanted[key] = [wanted[key][at] for at in order]
        else:
            wanted.pop(key, None)
        return self._checked(text, wanted)

    def _parsed(self, revision: Revision) -> tuple[tomlkit.TOMLDocument, dict[str, Any]]:
        """As it is written, and what it says."""
        text = revision.text.removesuffix("\n") + "\n"  # what is added goes into lines of its own
        try:
            return tomlkit.parse(text), tomllib.loads(text)
        except ValueError as error:
            raise ConfigurationError(f"{self.path} is not TOML: {error}") from error

    def _check_locked(self, path: tuple[str, ...]) -> None:
        if path in {override_of(each)[0] for each in self.overrides}:
            raise ConfigurationError(
                f"{'.'.join(path)} is set where the node is started (--set or environment): there "
                "alone it can be changed"
            )

    def _checked(self, text: str, wanted: dict[str, Any]) -> str:
        """The text, which says what is wanted, and nothing else."""
        with suppress(tomllib.TOMLDecodeError):
            if _without_empty(tomllib.loads(text)) == _without_empty(wanted):
                parse_settings(text, str(self.path), self.overrides)
                return text
        raise ConfigurationError(
            f"{self.path} is written in a way that cannot be changed here: edit it by hand"
        )

    def says(self, revision: Revision, key: str) -> bool:
        """Whether it has that key, which is in no table, itself. Raises ConfigurationError."""
        return bool(self._parsed(revision)[1].get(key))

    def replace(self, revision: Revision, text: str) -> Revision:
        """Put the text in the place of that revision.

        Raises ConfigurationError (the text would not do), NotPossible (somebody has changed the
        file since), StorageError (it cannot be written).
        """
        parse_settings(text, str(self.path), self.overrides)
        with self._alone():
            self.read_as(revision.digest)
            self._write(text.encode("utf-8"))
        return Revision(text=text, digest=sha256(text.encode("utf-8")))

    @property
    def read_only(self) -> str | None:
        """Why it cannot be changed here; None where it can."""
        folder = self.path.resolve().parent
        with suppress(OSError):
            if os.statvfs(folder).f_flag & os.ST_RDONLY:
                return f"{folder} is mounted read-only"
        if not os.access(folder, os.W_OK):
            return f"this user may not write in {folder}"
        return None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Until the block ends no other writer of ours is in it. Raises StorageError."""
        folder = self.path.resolve().parent
        try:
            descriptor = os.open(folder, os.O_RDONLY)
        except OSError as error:
            raise StorageError(f"cannot use {folder}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, content: bytes) -> None:
        """Where a link leads, with the owner and the rights of before. Raises StorageError."""
        target = self.path.resolve()
        unfinished = target.with_name(f".{target.name}.new")
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                with suppress(FileNotFoundError):
                    _take_over(file.fileno(), target.stat())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
            sync(target.parent)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise StorageError(f"cannot write {target}: {error.strerror}") from error


def need_file(file: ConfigurationFile | None) -> ConfigurationFile:
    """The file of a node. Raises NotPossible: it was started without one."""
    if file is None:
        raise NotPossible("the node runs by the default: start it with --config FILE")
    return file


def read_only_because(file: ConfigurationFile | None) -> str | None:
    """Why a node's configuration cannot be changed here; None where it can."""
    return "the node was started without a file" if file is None else file.read_only


def toml_of(value: object) -> str:
    """Of a text, a number, a truth, a list or a table of those; a table in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml_of(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _blocks(lines: Sequence[str], key: str) -> list[slice]:
    """Where each [[key]] stands, with the comment above it and the tables in it."""
    found: list[slice] = []
    is_open = False
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        if header is None or (is_open and header[2].startswith(f"{key}.")):
            continue
        start = number
        while start and lines[start - 1].lstrip().startswith("#"):
            start -= 1
        if is_open:
            found[-1] = slice(found[-1].start, start)
        is_open = header[1] == "[[" and header[2] == key
        if is_open:
            found.append(slice(start, len(lines)))
    return found


def difference(before: str, after: str) -> list[str]:
    """Line by line, as `diff -u` has it, without its head."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
    return list(lines)[2:]


def _take_over(descriptor: int, status: os.stat_result) -> None:
    os.fchmod(descriptor, status.st_mode & 0o777)
    with suppress(PermissionError):  # then the file is that of who changes it
        os.fchown(descriptor, status.st_uid, status.st_gid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Of one key."""

    path: tuple[str, ...]
    value: Any
    """None where the key is to be taken out."""
    is_one_more: bool = False
    """Of a list, that of the default where the file has none."""

    @classmethod
    def of(cls, words: str) -> _Change:
        """Raises ConfigurationError."""
        if "=" not in words:
            return cls(path=tuple(words.strip().split(".")), value=None)
        path, value = override_of(words)
        *tables, key = path
        is_one_more = key.endswith("+")
        return cls(
            path=(*tables, key.removesuffix("+").rstrip()), value=value, is_one_more=is_one_more
        )

    @property
    def key(self) -> str:
        return ".".join(self.path)

    def apply(self, document: _Table) -> None:
        """To the text; what it says beside that stays as it is written."""
        *tables, key = self.path
        for table in tables:
            if table not in document:
                if self.value is None:
                    return
                document[table] = tomlkit.table()
            found = document[table]
            if not isinstance(found, _Table):
                raise ConfigurationError(f"{table} of {self.key} is no table")
            document = found
        if self.is_one_more:
            document[key] = self._with_one_more(document.get(key))
        elif self.value is not None:
            document[key] = self.value
        elif key in document:
            del document[key]

    def expect(self, tree: dict[str, Any]) -> None:
        """The same to what the text says."""
        *tables, key = self.path
        for table in tables:
            if self.value is None and table not in tree:
                return
            tree = tree.setdefault(table, {})
        if self.is_one_more:
            tree[key] = [*tree.get(key, self._default()), self.value]
        elif self.value is not None:
            tree[key] = self.value
        else:
            tree.pop(key, None)

    def _with_one_more(self, found: Any) -> Any:
        if found is None and isinstance(self.value, dict) and not self._default():
            found = tomlkit.aot()
        if isinstance(found, AoT) and isinstance(self.value, dict):
            table = tomlkit.table()
            table.update(self.value)
            found.append(table)
            return found
        if found is None:
            found = tomlkit.array().multiline(True)
            for each in self._default():
                found.append(each)
        if not isinstance(found, Array):
            raise ConfigurationError(f"{self.key} is no list")
        found.append(self.value)
        return found

    def _default(self) -> list[Any]:
        found: Any = tomllib.loads(default_text())
        for part in self.path:
            found = found.get(part, []) if isinstance(found, dict) else []
        return found if isinstance(found, list) else []


def _without_empty(tree: dict[str, Any]) -> dict[str, Any]:
    """Tables that nothing stands in say nothing."""
    kept = {
        key: _without_empty(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }
    return {key: value for key, value in kept.items() if value != {}}
