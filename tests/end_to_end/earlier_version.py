"""The sources of an earlier version, from this repository's history."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

_SCHEMA = "node/store/schema.py"


def last_commit_with(schema: str) -> str:
    """The last commit whose tables had that revision, before this version's own."""
    for commit in _git("log", "--format=%h", "--", _SCHEMA).decode().split():  # the newest first
        before = f"{commit}~1"
        if f'\nHEAD: Final = "{schema}"\n' in _git("show", f"{before}:{_SCHEMA}").decode():
            return before
    raise AssertionError(f"no commit has schema {schema}")


def unpack(commit: str, folder: Path) -> Path:
    """Put what that commit had there; gives the folder."""
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit))) as tree:
        tree.extractall(folder, filter="data")
    return folder


def _git(*words: str) -> bytes:
    root = Path(__file__).parents[2]
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True).stdout
