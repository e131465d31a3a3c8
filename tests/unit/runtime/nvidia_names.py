"""Every place of our sources that names something of NVIDIA's, and the source with it misspelt."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

ALSO_OURS: Final = frozenset(
    {"append", "ctypes", "cuda", "data", "dtype", "itemsize", "log", "message", "name",
     "nbytes", "pop", "precision", "read", "shape", "start", "tensorrt"}
)  # fmt: skip
"""Attributes of Python's, NumPy's or ours too: which of them is meant, a name does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a source names it."""

    source: str
    line: int
    column: int
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line} {self.name}"

    def misspelt(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        line, end = lines[self.line - 1], self.column + len(self.name)
        assert line[self.column : end] == self.name, f"{self}: {line}"
        lines[self.line - 1] = f"{line[:end]}_misspelt{line[end:]}"
        return "".join(lines)


def names_of_tensorrt(real: Any) -> set[str]:
    """Of the module and of the classes in it."""
    public = _public(real)
    classes = [each for name in public if isinstance(each := getattr(real, name), type)]
    return public.union(*map(_public, classes))


def names_of_cuda(real: Any) -> set[str]:
    """Of its functions, enumerations and their members, and of what it says of a GPU."""
    public = _public(real)
    members = [getattr(getattr(real, name), "__members__", ()) for name in public]
    return public.union(*members, _public(real.cudaDeviceProp))


def _public(each: Any) -> set[str]:
    return {name for name in dir(each) if not name.startswith("_")}


def places(source: str, text: str, theirs: set[str]) -> Iterator[Place]:
    """Attributes, names handed over as strings, and methods of ours that NVIDIA's code calls."""
    for node in ast.walk(ast.parse(text)):
        for line, column, name in (*_attribute(node), *_strings(node), *_methods(node)):
            if name in theirs - ALSO_OURS:
                yield Place(source=source, line=line, column=column, name=name)


def _attribute(node: ast.AST) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, ast.Attribute):
        assert node.end_lineno and node.end_col_offset
        yield node.end_lineno, node.end_col_offset - len(node.attr), node.attr


def _strings(node: ast.AST) -> Iterator[tuple[int, int, str]]:
    for given in node.args if isinstance(node, ast.Call) else ():
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            yield given.lineno, given.col_offset + 1, given.value


def _methods(node: ast.AST) -> Iterator[tuple[int, int, str]]:
    if not isinstance(node, ast.ClassDef):
        return
    if any(isinstance(base, ast.Attribute) for base in node.bases):
        for method in node.body:
            if isinstance(method, ast.FunctionDef):
                yield method.lineno, method.col_offset + len("def "), method.name
