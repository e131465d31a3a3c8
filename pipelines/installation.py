"""From an archive or a folder to an installed bundle: in place only when it has proved itself."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Final

from node.domain.errors import BundleError
from pipelines.bundle import CHECKSUMS, SIGNATURE, Bundle, read_bundle
from pipelines.graph_spec import is_inside

LARGEST_BYTES: Final = 4 << 30
"""Of a bundle; the published networks take a twentieth."""
MOST_FILES: Final = 100
LONGEST_NAME_BYTES: Final = 255
CHUNK: Final = 1 << 20
_ENCRYPTED: Final = 0x01 | 0x40  # bits 0 and 6: APPNOTE.TXT 4.4.4
_INCOMING: Final = ".incoming-"
_OUTGOING: Final = ".outgoing-"
_OLD: Final = "old"
_REPLACE: Final = "fetch it again from where it was released"
_ZIP_ANEW: Final = "zip the folder anew"
_DO_NOT: Final = "do not use it"
_SPOILT_ARCHIVE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OverflowError,
    RuntimeError,
    ValueError,
)

Prove = Callable[[Bundle], object]
"""Whatever must hold of a bundle; raises BundleError."""


def install_bundle(source: Path, into: Path, prove: Prove, *, replace: bool) -> Bundle:
    """Put the bundle of a zip archive or a folder into `into`, under its own name.

    A bundle of that name stays until the new one is proved; it is gone only with `replace`. What is
    returned survives a power cut; what a kill cuts short is put right by the next one here.
    Raises BundleError (whatever is wrong with it, its name is taken, or a disk refuses).
    """
    try:
        if into.is_file():
            raise BundleError(f"{into} is not a folder; move it away, or correct model.folders")
        into.mkdir(parents=True, exist_ok=True)
        with _workplace(into, _INCOMING) as workplace:
            bundle = read_bundle(_stage(source, workplace / "bundle"))
            prove(bundle)
            place = into / bundle.manifest.name
            _check_place(place, bundle, replace=replace)
            _let_read(bundle.folder)
            os.sync()  # whole on the disk before it takes a place
            _put(bundle.folder, place, workplace / _OLD)
            os.sync()
            return read_bundle(place)
    except OSError as error:
        raise BundleError(_refused(into, error)) from error


def remove_bundle(folder: Path) -> None:
    """Delete it, whole or broken; from the first moment on it is no bundle any more.

    Raises BundleError (the disk refuses).
    """
    try:
        with _workplace(folder.parent, _OUTGOING) as workplace:
            folder.rename(workplace / "bundle")
    except OSError as error:
        raise BundleError(_refused(folder.parent, error)) from error


def unpack(archive: Path, folder: Path, largest_bytes: int = LARGEST_BYTES) -> Path:
    """The folder with the archive's files: `folder`, or the only one that is in it.

    Names are judged before anything is written, and bytes are counted as they are written, not as
    the archive states them. Raises BundleError, and OSError (the disk it writes to refuses).
    """
    try:
        with _reading(archive):
            opened = zipfile.ZipFile(archive)
        with opened:
            entries = [entry for entry in opened.infolist() if not entry.filename.endswith("/")]
            _judge(archive, entries)
            if not all(0 <= entry.header_offset < opened.start_dir for entry in entries):
                raise zipfile.BadZipFile
            left = largest_bytes
            for entry in entries:
                content = _chunks(archive, partial(opened.open, entry))
                left -= _write(content, folder / entry.filename, left)
                if left < 0:
                    raise _fault(archive, f"it unpacks to more than {largest_bytes} bytes", _DO_NOT)
    except NotImplementedError as error:
        raise _fault(archive, f"it is packed in a way unknown here ({error})", _ZIP_ANEW) from error
    except _SPOILT_ARCHIVE as error:
        what = f"it is no whole zip archive ({type(error).__name__})"
        raise _fault(archive, what, _REPLACE) from error
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


@contextmanager
def _workplace(folder: Path, prefix: str) -> Iterator[Path]:
    """A folder in `folder` to work in, while no other process of ours has one there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _put_right(folder)
        with TemporaryDirectory(prefix=prefix, dir=folder) as workplace:
            yield Path(workplace)
    finally:
        os.close(descriptor)


def _put_right(folder: Path) -> None:
    """Of what killed ones left: put a bundle back that was on its way out, delete the rest."""
    for left in (*folder.glob(f"{_INCOMING}*"), *folder.glob(f"{_OUTGOING}*")):
        with suppress(BundleError):
            old = read_bundle(left / _OLD)
            if not (place := folder / old.manifest.name).exists():
                old.folder.rename(place)
        shutil.rmtree(left, ignore_errors=True)


def _stage(source: Path, folder: Path) -> Path:
    """The source's files, of a folder those that its checksums name: in `folder` or one in it."""
    with _reading(source):
        bundle = read_bundle(source) if source.is_dir() else None
    if bundle is None:
        return unpack(source, folder)
    signature = [SIGNATURE] if bundle.signature is not None else []
    for name in (CHECKSUMS, *signature, *bundle.checksums):
        path = source / name
        _write(_chunks(path, partial(FileIO, path)), folder / name, LARGEST_BYTES)
    return folder


def _let_read(folder: Path) -> None:
    """Whoever installs it, the node's user reads it."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _check_place(place: Path, bundle: Bundle, *, replace: bool) -> None:
    if place.is_dir() and not replace:
        raise bundle.fault(f"{place} is there already", "use --replace, or remove that one first")
    if not place.is_dir() and (place.exists() or place.is_symlink()):
        raise bundle.fault(f"{place} is there and is not a folder", "move it away")


def _put(staged: Path, place: Path, old: Path) -> None:
    """Move into place; whatever is there goes to `old`, or back where that fails."""
    try:
        if place.exists():
            place.rename(old)
        staged.rename(place)
    finally:
        if old.exists() and not place.exists():
            old.rename(place)


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
        if len(entry.filename.encode()) > LONGEST_NAME_BYTES:
            raise _fault(archive, f"a name is longer than {LONGEST_NAME_BYTES} bytes", _DO_NOT)
        if entry.flag_bits & _ENCRYPTED:
            raise _fault(archive, f"{entry.filename} is encrypted", "unpack it and install that")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _fault(archive, f"{entry.filename} is not deflated", _ZIP_ANEW)
        if entry.filename in names:
            raise _fault(archive, f"it holds {entry.filename} twice", _DO_NOT)
        names.add(entry.filename)
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    for name in sorted(names & folders):
        raise _fault(archive, f"it holds {name} as a file and as a folder", _DO_NOT)


def _chunks(source: Path, begin: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    """What is read from a source. Raises BundleError (it cannot be read)."""
    with _reading(source), begin() as content:
        while chunk := content.read(CHUNK):
            yield chunk


def _write(content: Iterator[bytes], path: Path, most_bytes: int) -> int:
    """Bytes written: all, or the first chunks that are more than allowed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("xb") as file:
        for chunk in content:
            written += file.write(chunk)
            if written > most_bytes:
                break
    return written


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """A disk that refuses in here is the source's. Raises BundleError."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise BundleError(f"cannot read {source}: {why}; is it there, may this user?") from error


def _refused(folder: Path, error: OSError) -> str:
    return f"cannot write in {folder}: {error.strerror}; look at its rights and the disk's space"


def _fault(archive: Path, what: str, remedy: str) -> BundleError:
    return BundleError(f"bundle archive {archive.name}: {what}; {remedy}")
