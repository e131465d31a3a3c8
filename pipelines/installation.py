"""From an archive or a folder to an installed bundle: in place only when it has proved itself."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from node.domain.errors import BundleError
from pipelines.bundle import CHECKSUMS, SIGNATURE, Bundle, read_bundle
from pipelines.graph_spec import is_inside

LARGEST_BYTES: Final = 4 << 30
"""Of a bundle; the published networks take a twentieth."""
MOST_FILES: Final = 100
CHUNK: Final = 1 << 20
_REPLACE: Final = "fetch it again from where it was released"
_DO_NOT: Final = "do not use it"

Prove = Callable[[Bundle], object]
"""Whatever must hold of a bundle; raises BundleError."""


def install_bundle(source: Path, into: Path, prove: Prove, *, replace: bool) -> Bundle:
    """Put the bundle of a zip archive or a folder into `into`, under its own name.

    A bundle of that name stays until the new one is proved; it is gone only with `replace`. What is
    returned survives a power cut.
    Raises BundleError (whatever is wrong with it, its name is taken, or the disk refuses).
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".incoming-", dir=into) as workplace:
            staged = Path(workplace) / "bundle"
            if source.is_dir():
                _copy(read_bundle(source), staged)
            else:
                staged = unpack(source, staged)
            bundle = read_bundle(staged)
            prove(bundle)
            place = into / bundle.manifest.name
            if place.exists() and not replace:
                raise bundle.fault(
                    f"{place} is there already", "use --replace, or remove that one first"
                )
            _put(staged, place, Path(workplace) / "old")
        os.sync()
    except OSError as error:
        raise BundleError(_refused(into, error)) from error
    return read_bundle(place)


def remove_bundle(bundle: Bundle) -> None:
    """Delete its folder; from the first moment on it is no bundle any more.

    Raises BundleError (the disk refuses).
    """
    folder = bundle.folder.parent
    try:
        with TemporaryDirectory(prefix=".outgoing-", dir=folder) as workplace:
            bundle.folder.rename(Path(workplace) / "bundle")
    except OSError as error:
        raise BundleError(_refused(folder, error)) from error


def unpack(archive: Path, folder: Path, largest_bytes: int = LARGEST_BYTES) -> Path:
    """The folder with the archive's files: `folder`, or the only one that is in it.

    Names are judged before anything is written, and bytes are counted as they are written, not as
    the archive states them. Raises BundleError, and OSError (the disk refuses).
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            _judge(archive, entries)
            left = largest_bytes
            for entry in entries:
                with opened.open(entry) as content:
                    left -= _write(content, folder / entry.filename, left)
                if left < 0:
                    raise _fault(archive, f"it unpacks to more than {largest_bytes} bytes", _DO_NOT)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise _fault(
            archive, f"it is no whole zip archive ({type(error).__name__})", _REPLACE
        ) from error
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _put(staged: Path, place: Path, old: Path) -> None:
    """Move into place; whatever is there goes to `old`, or back where that fails."""
    if place.exists():
        place.rename(old)
    try:
        staged.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise


def _judge(archive: Path, entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise _fault(archive, "it is empty", _REPLACE)
    if len(entries) > MOST_FILES:
        raise _fault(archive, f"it holds more than {MOST_FILES} files", _DO_NOT)
    names: set[str] = set()
    for entry in entries:
        # orig_filename: zipfile makes a name end at a zero byte and turns separators of Windows
        if entry.filename != entry.orig_filename or not is_inside(entry.filename):
            raise _fault(archive, "it names a path outside the folder", _DO_NOT)
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise _fault(archive, f"{entry.filename} is a link, which may leave it", _DO_NOT)
        if entry.flag_bits & 1:
            raise _fault(archive, f"{entry.filename} is encrypted", "unpack it and install that")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _fault(archive, f"{entry.filename} is not deflated", "zip the folder anew")
        if entry.filename in names:
            raise _fault(archive, f"it holds {entry.filename} twice", _DO_NOT)
        names.add(entry.filename)


def _copy(bundle: Bundle, folder: Path) -> None:
    """The files that its checksums name, and no other."""
    signature = [SIGNATURE] if bundle.signature is not None else []
    for name in (CHECKSUMS, *signature, *bundle.checksums):
        with (bundle.folder / name).open("rb") as content:
            _write(content, folder / name, LARGEST_BYTES)


def _write(content: IO[bytes], path: Path, most_bytes: int) -> int:
    """Bytes written: all, or the first chunks that are more than allowed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        while written <= most_bytes and (chunk := content.read(CHUNK)):
            written += file.write(chunk)
    return written


def _refused(folder: Path, error: OSError) -> str:
    return f"cannot write in {folder}: {error.strerror}; look at its rights and the disk's space"


def _fault(archive: Path, what: str, remedy: str) -> BundleError:
    return BundleError(f"bundle archive {archive.name}: {what}; {remedy}")
