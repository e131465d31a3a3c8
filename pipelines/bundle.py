"""A model bundle: a folder with manifest, graphs, golden vector and a checksum for each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from node.domain.errors import BundleError
from node.domain.identifiers import sha256
from pipelines.graph_spec import is_inside
from pipelines.manifest import Manifest

MANIFEST: Final = "manifest.json"
CHECKSUMS: Final = "SHA256SUMS"
SIGNATURE: Final = f"{CHECKSUMS}.sig"
MODEL_CARD: Final = "MODEL_CARD.md"
METRICS: Final = "metrics.json"
_REPLACE: Final = "copy the bundle again from where it was released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk whose manifest has been read."""

    folder: Path
    manifest: Manifest = field(repr=False)
    digest: str
    """SHA-256 of SHA256SUMS, and so of every byte in the folder."""
    checksums: Mapping[str, str] = field(repr=False)
    """Path below the folder -> SHA-256."""
    signature: bytes | None = field(default=None, repr=False)
    """Of the checksums (`pipelines.signature`)."""

    def content(self, name: str) -> bytes:
        """The bytes of one file. Raises BundleError (missing, or not those of its checksum)."""
        return _checked(self.folder, name, self.checksums)

    def verify(self) -> None:
        """Compare every file with its checksum. Raises BundleError at the first that differs."""
        for name in self.checksums:
            self.content(name)

    def fault(self, what: str, remedy: str) -> BundleError:
        """The error that says what is wrong with this bundle and what to do."""
        return BundleError(f"bundle {self.manifest.name}: {what}; {remedy}")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder: its list of files, then the manifest by its checksum and schema.

    Graphs are not hashed here, so that listing bundles stays quick: `Bundle.verify` does.
    Raises BundleError (a file missing, unlisted or outside the folder; a manifest that is wrong).
    """
    listed = _read(folder, CHECKSUMS)
    checksums = _parse_checksums(folder, listed)
    _compare_files(folder, checksums)
    manifest = _parse(folder, _checked(folder, MANIFEST, checksums))
    files = [graph.file for graph in manifest.graphs.offered.values()]
    for name in (MODEL_CARD, manifest.golden.file, *files):
        if name not in checksums:
            raise _fault(folder, f"{CHECKSUMS} does not list {name}", "export the bundle again")
    return Bundle(
        folder=folder,
        manifest=manifest,
        digest=sha256(listed),
        checksums=checksums,
        signature=_read(folder, SIGNATURE) if (folder / SIGNATURE).is_file() else None,
    )


def write_bundle(
    folder: Path,
    manifest: Manifest,
    *,
    graphs: dict[str, bytes],
    golden: dict[str, NDArray[np.float32]],
    model_card: str,
    metrics: str,
) -> Bundle:
    """Write a bundle and read it back: same arguments, same bytes, same digest.

    graphs: role -> ONNX. golden: name -> array. Files of the same names are replaced.
    Raises BundleError (graphs differ from the manifest's, or the folder holds other files).
    """
    offered = manifest.graphs.offered
    if set(graphs) != set(offered):
        raise _fault(folder, "the graphs given are not those of the manifest", "give one a role")
    archive = BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **golden)
    files = {
        MANIFEST: (manifest.model_dump_json(indent=2) + "\n").encode(),
        MODEL_CARD: model_card.encode(),
        METRICS: metrics.encode(),
        manifest.golden.file: archive.getvalue(),
    } | {offered[role].file: content for role, content in graphs.items()}
    files[CHECKSUMS] = "".join(
        f"{sha256(content)}  {name}\n" for name, content in sorted(files.items())
    ).encode()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    bundle = read_bundle(folder)
    bundle.verify()
    return bundle


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise _fault(folder, f"{name} is missing or cannot be read", _REPLACE) from error


def _parse_checksums(folder: Path, listed: bytes) -> dict[str, str]:
    """Path -> SHA-256, in the lines of sha256sum: 64 hexadecimal digits, two spaces, the path."""
    try:
        text = listed.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _fault(folder, f"{CHECKSUMS} is not UTF-8", _REPLACE) from error
    checksums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64 or name in checksums:
            raise _fault(folder, f"{CHECKSUMS} line {number} is not a checksum line", _REPLACE)
        if not is_inside(name):
            raise _fault(
                folder,
                f"{CHECKSUMS} line {number} names a path outside the folder",
                "do not use it",
            )
        checksums[name] = digest.lower()
    return checksums


def _compare_files(folder: Path, checksums: Mapping[str, str]) -> None:
    """Refuse links, files that no line lists, and lines without a file."""
    present = set()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise _fault(folder, f"{name} is a link, which may leave the folder", _REPLACE)
        if path.is_file() and name not in (CHECKSUMS, SIGNATURE):
            present.add(name)
    for name in sorted(present - set(checksums)):
        raise _fault(folder, f"{name} is not listed in {CHECKSUMS}", f"remove it, or {_REPLACE}")
    for name in sorted({MANIFEST, *checksums} - present):
        raise _fault(folder, f"{name} is missing", _REPLACE)


def _checked(folder: Path, name: str, checksums: Mapping[str, str]) -> bytes:
    content = _read(folder, name)
    if sha256(content) != checksums.get(name):
        raise _fault(folder, f"{name} differs from its checksum", _REPLACE)
    return content


def _parse(folder: Path, content: bytes) -> Manifest:
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'manifest'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise _fault(
            folder,
            f"{MANIFEST}: {faults}",
            "export the bundle again, or install the release of cardionode that reads it",
        ) from error


def _fault(folder: Path, what: str, remedy: str) -> BundleError:
    return BundleError(f"bundle {folder.name}: {what}; {remedy}")
