"""An archive is judged before it is unpacked, a bundle before it is in place."""

from __future__ import annotations

import errno
import random
import shutil
import signal
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import sleep
from typing import Any

import pytest

from node.domain.errors import BundleError
from pipelines import installation
from pipelines.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle
from pipelines.catalog import find_bundles
from pipelines.installation import MOST_FILES, install_bundle, remove_bundle, unpack

NAME = "quick-test"
ROOT = Path(__file__).parents[3]
KILLS_ITSELF = """
import os, signal, sys
from pathlib import Path
from pipelines.installation import install_bundle

whole = Path.rename

def kill(self, target):
    if self.name == "bundle":
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(self, target)

Path.rename = kill
install_bundle(Path(sys.argv[1]), Path(sys.argv[2]), lambda bundle: None, replace=True)
"""
"""Between the two renames: the old bundle is away, the new one not yet in place."""


def _zipped(folder: Path, archive: Path, below: str = "") -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for path in sorted(folder.rglob("*")):
            opened.write(path, Path(below) / path.relative_to(folder))
    return archive


def _archive(archive: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in entries:
            opened.writestr(name, content)
    return archive


def _flagged(archive: Path, offset: int, value: int) -> Path:
    """An archive of one file with bits set in both its headers; offset: of the local one."""
    content = bytearray(_archive(archive, ("a", b"content")).read_bytes())
    content[content.index(b"PK\x03\x04") + offset] |= value
    content[content.index(b"PK\x01\x02") + offset + 2] |= value
    archive.write_bytes(content)
    return archive


def _headers(archive: Path) -> list[int]:
    """Where their bytes are: the local ones, the central directory and its end."""
    with zipfile.ZipFile(archive) as opened:
        starts = [(entry.header_offset, len(entry.filename)) for entry in opened.infolist()]
        local = [start + byte for start, name in starts for byte in range(30 + name)]
        return [*local, *range(opened.start_dir, archive.stat().st_size)]


def _trust(bundle: Bundle) -> None:
    bundle.verify()


def _nothing_in(folder: Path) -> bool:
    return not list(folder.iterdir())


@pytest.mark.parametrize("below", ["", "quick-test-1.0"])
def test_an_archive_is_installed_under_the_bundle_s_name(
    copied: Path, tmp_path: Path, below: str
) -> None:
    """Whether its files lie at the top or in one folder."""
    archive = _zipped(copied, tmp_path / "download.zip", below)
    bundle = install_bundle(archive, tmp_path / "installed", _trust, replace=False)
    assert bundle.folder == tmp_path / "installed" / NAME
    assert bundle.digest == read_bundle(copied).digest
    assert [each.folder for each in find_bundles([tmp_path / "installed"]).bundles.values()] == [
        bundle.folder
    ]
    assert [path.name for path in (tmp_path / "installed").iterdir()] == [NAME]


def test_a_folder_is_installed_with_its_signature_and_stays_where_it_is(
    copied: Path, tmp_path: Path
) -> None:
    (copied / SIGNATURE).write_bytes(b"signature")
    bundle = install_bundle(copied, tmp_path / "installed", _trust, replace=False)
    assert bundle.signature == b"signature"
    assert read_bundle(copied).digest == bundle.digest


def test_what_is_not_proved_is_not_in_place(copied: Path, tmp_path: Path) -> None:
    def refuse(bundle: Bundle) -> None:
        raise bundle.fault("no code", "none")

    with pytest.raises(BundleError, match="no code"):
        install_bundle(copied, tmp_path / "installed", refuse, replace=True)
    assert _nothing_in(tmp_path / "installed")


def test_a_bundle_in_place_stays_until_it_is_to_be_replaced(copied: Path, tmp_path: Path) -> None:
    into = tmp_path / "installed"
    first = install_bundle(copied, into, _trust, replace=False)
    with pytest.raises(BundleError, match="is there already; use --replace"):
        install_bundle(copied, into, _trust, replace=False)
    (copied / SIGNATURE).write_bytes(b"signature")
    assert read_bundle(first.folder).signature is None
    assert install_bundle(copied, into, _trust, replace=True).signature == b"signature"
    assert [path.name for path in into.iterdir()] == [NAME]


def test_a_spoilt_bundle_does_not_displace_a_good_one(copied: Path, tmp_path: Path) -> None:
    into = tmp_path / "installed"
    good = install_bundle(copied, into, _trust, replace=False)
    (copied / MANIFEST).write_text("{}")
    with pytest.raises(BundleError, match=r"manifest\.json differs from its checksum"):
        install_bundle(copied, into, _trust, replace=True)
    read_bundle(good.folder).verify()


def test_a_removed_bundle_is_gone(copied: Path, tmp_path: Path) -> None:
    into = tmp_path / "installed"
    remove_bundle(install_bundle(copied, into, _trust, replace=False).folder)
    assert _nothing_in(into)


@pytest.mark.parametrize(
    "name", ["../outside", "/outside", "graphs\\..\\x", "C:x", "a/../../outside", "a\0b", "./a"]
)
def test_a_name_may_not_leave_the_folder(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    archive = _archive(tmp_path / "evil.zip", (MANIFEST, b"{}"), (entry, b"evil"))
    with pytest.raises(BundleError, match="names a path outside the folder; do not use it"):
        unpack(archive, tmp_path / "within" / "folder")
    assert not (tmp_path / "within").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("graphs")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = _archive(tmp_path / "evil.zip", (link, b"/etc"), ("graphs/passwd", b"evil"))
    with pytest.raises(BundleError, match="graphs is a link"):
        unpack(archive, tmp_path / "folder")


def test_a_bomb_ends_at_the_limit(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("a", "b", "c"):
            opened.writestr(name, bytes(4_000_000))
    assert archive.stat().st_size < 20_000
    with pytest.raises(BundleError, match="unpacks to more than 5000000 bytes; do not use it"):
        unpack(archive, tmp_path / "folder", largest_bytes=5_000_000)
    written = sum(path.stat().st_size for path in (tmp_path / "folder").iterdir())
    assert written < 6_500_000  # a chunk beyond, at most
    assert unpack(archive, tmp_path / "whole", largest_bytes=12_000_000)


def test_many_files_are_refused(tmp_path: Path) -> None:
    files = [(f"f{n}", b"") for n in range(MOST_FILES + 1)]
    with pytest.raises(BundleError, match=f"more than {MOST_FILES} files"):
        unpack(_archive(tmp_path / "many.zip", *files), tmp_path / "folder")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_may_not_come_twice(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "twice.zip", ("a", b"good"), ("a", b"evil"))
    with pytest.raises(BundleError, match="holds a twice"):
        unpack(archive, tmp_path / "folder")


@pytest.mark.parametrize(
    ("names", "twofold"),
    [(("a", "a/b"), "a"), (("a/b", "a"), "a"), (("x/y/z", "a", "x/y"), "x/y")],
)
def test_a_file_may_not_be_a_folder_too(
    tmp_path: Path, names: tuple[str, ...], twofold: str
) -> None:
    archive = _archive(tmp_path / "twofold.zip", *((name, b"") for name in names))
    with pytest.raises(BundleError, match=f"holds {twofold} as a file and as a folder; do not use"):
        unpack(archive, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_name_that_no_disk_takes_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "long.zip", ("a", b""), ("ü" * 128, b""))
    with pytest.raises(BundleError, match="a name is longer than 255 bytes; do not use it"):
        unpack(archive, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("flag", [0x01, 0x40, 0x41])
def test_an_encrypted_archive_says_so(tmp_path: Path, flag: int) -> None:
    archive = _flagged(tmp_path / "secret.zip", 6, flag)
    with pytest.raises(BundleError, match="a is encrypted; unpack it"):
        unpack(archive, tmp_path / "folder")


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [(6, 0x20, "compressed patched data"), (4, 0x40, "zip file version 8.4")],
)
def test_a_packing_that_is_unknown_is_told_what_to_do(
    tmp_path: Path, offset: int, value: int, why: str
) -> None:
    archive = _flagged(tmp_path / "newer.zip", offset, value)
    with pytest.raises(BundleError, match=rf"unknown here \({why}.*\); zip the folder anew"):
        unpack(archive, tmp_path / "folder")


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "name.zip", ("ü", b"content"))
    archive.write_bytes(archive.read_bytes().replace("ü".encode(), b"\xff\xff"))
    with pytest.raises(BundleError, match="no whole zip archive"):
        unpack(archive, tmp_path / "folder")


def test_spoilt_headers_are_refused_or_change_no_file(tmp_path: Path) -> None:
    """They may hide a file, which the bundle's checksums miss. The seed is fixed."""
    files = {"large": b"content" * 30, "folder/ü": bytes(range(256))}
    archive, folder = tmp_path / "spoilt.zip", tmp_path / "folder"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in files.items():
            with opened.open(name, "w", force_zip64=name == "large") as file:
                file.write(content)
    whole, headers = archive.read_bytes(), _headers(archive)
    chance, refused = random.Random(7), 0
    for _ in range(2000):
        spoilt = bytearray(whole)
        for position in chance.sample(headers, chance.choice((1, 1, 2, 4))):
            spoilt[position] ^= chance.randrange(1, 256)
        archive.write_bytes(spoilt)
        try:
            unpack(archive, folder)
        except BundleError as error:
            assert "cannot read" not in error.message  # the disk is not to blame
            refused += 1
        else:
            for path in folder.rglob("*"):
                assert path.is_dir() or path.read_bytes() == files[f"{path.relative_to(folder)}"]
        shutil.rmtree(folder, ignore_errors=True)
    assert 1000 < refused < 2000


def test_another_compression_is_told_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("a", b"content")
    with pytest.raises(BundleError, match="a is not deflated; zip the folder anew"):
        unpack(tmp_path / "x.zip", tmp_path / "folder")


def test_a_disk_that_refuses_is_told_and_the_old_bundle_stays(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into = tmp_path / "installed"
    good = install_bundle(copied, into, _trust, replace=False)
    (copied / SIGNATURE).write_bytes(b"newer")
    whole = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self.name == "bundle":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(BundleError, match=r"cannot write in .*installed: No space left on device"):
        install_bundle(copied, into, _trust, replace=True)
    assert read_bundle(good.folder).signature is None
    assert [path.name for path in into.iterdir()] == [NAME]


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match=r"cannot read .*gone\.zip: No such file or directory; is"
    ):
        install_bundle(tmp_path / "gone.zip", tmp_path / "installed", _trust, replace=False)
    assert _nothing_in(tmp_path / "installed")


def test_an_archive_that_cannot_be_read_is_named(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = _zipped(copied, tmp_path / "share.zip")

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", fail)
    with pytest.raises(BundleError, match=r"cannot read .*share\.zip: Input/output error"):
        install_bundle(archive, tmp_path / "installed", _trust, replace=False)
    assert _nothing_in(tmp_path / "installed")


def test_a_file_of_a_folder_that_cannot_be_read_is_named(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it vanishes once the folder has been looked through."""

    def read_and_lose(folder: Path) -> Bundle:
        bundle = read_bundle(folder)
        (folder / "graphs" / "ecg.onnx").unlink()
        return bundle

    monkeypatch.setattr(installation, "read_bundle", read_and_lose)
    with pytest.raises(BundleError, match=r"cannot read .*quick/graphs/ecg\.onnx: No such file"):
        install_bundle(copied, tmp_path / "installed", _trust, replace=False)
    assert _nothing_in(tmp_path / "installed")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_disk_that_is_full_is_named_and_not_the_source(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    source = _zipped(copied, tmp_path / "good.zip") if zipped else copied
    whole = Path.open

    def full(self: Path, mode: str, **options: Any) -> object:
        if mode == "xb":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, mode, **options)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(BundleError, match=r"cannot write in .*installed: No space left on device"):
        install_bundle(source, tmp_path / "installed", _trust, replace=False)
    assert _nothing_in(tmp_path / "installed")


@pytest.mark.parametrize("replace", [True, False])
def test_a_file_in_the_place_of_the_bundle_is_not_touched(
    copied: Path, tmp_path: Path, replace: bool
) -> None:
    (tmp_path / NAME).write_text("notes")
    with pytest.raises(BundleError, match=f"{NAME} is there and is not a folder; move it away"):
        install_bundle(copied, tmp_path, _trust, replace=replace)
    assert (tmp_path / NAME).read_text() == "notes"


def test_a_link_to_nothing_in_the_place_of_the_bundle_is_not_touched(
    copied: Path, tmp_path: Path
) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "gone")
    with pytest.raises(BundleError, match=f"{NAME} is there and is not a folder; move it away"):
        install_bundle(copied, tmp_path, _trust, replace=True)


def test_a_file_where_bundles_are_to_be_is_told(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "installed").write_text("notes")
    with pytest.raises(BundleError, match=r"installed is not a folder; move it away, or correct"):
        install_bundle(copied, tmp_path / "installed", _trust, replace=False)


def test_a_bundle_survives_kill_minus_nine_of_what_replaces_it(
    copied: Path, tmp_path: Path
) -> None:
    into = tmp_path / "installed"
    good = install_bundle(copied, into, _trust, replace=False)
    (copied / SIGNATURE).write_bytes(b"newer")
    killed = subprocess.run(
        [sys.executable, "-c", KILLS_ITSELF, str(copied), str(into)], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert not good.folder.exists()
    with pytest.raises(BundleError, match="cannot read"):
        install_bundle(tmp_path / "gone.zip", into, _trust, replace=True)
    assert [path.name for path in into.iterdir()] == [NAME]
    read_bundle(good.folder).verify()
    assert read_bundle(good.folder).signature is None
    assert install_bundle(copied, into, _trust, replace=True).signature == b"newer"


def test_what_killed_ones_left_is_deleted_and_takes_no_place(copied: Path, tmp_path: Path) -> None:
    into = tmp_path / "installed"
    shutil.copytree(copied, into / ".incoming-finished" / "old")
    shutil.copytree(copied, into / ".outgoing-removed" / "bundle")
    (into / ".incoming-begun" / "bundle" / "graphs").mkdir(parents=True)
    (copied / SIGNATURE).write_bytes(b"newer")
    shutil.copytree(copied, into / NAME)
    remove_bundle(into / NAME)
    assert _nothing_in(into)


def test_installations_at_the_same_time_wait_for_each_other(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first look at the source to the last at what is in place."""
    into, alone = tmp_path / "installed", Lock()

    def read_alone(folder: Path) -> Bundle:
        assert alone.acquire(blocking=False)
        sleep(0.005)
        alone.release()
        return read_bundle(folder)

    monkeypatch.setattr(installation, "read_bundle", read_alone)
    with ThreadPoolExecutor(4) as threads:
        begun = [
            threads.submit(install_bundle, copied, into, _trust, replace=True) for _ in range(8)
        ]
    assert {each.result().digest for each in begun} == {read_bundle(copied).digest}
    assert [path.name for path in into.iterdir()] == [NAME]


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.99])
def test_a_truncated_archive_is_refused(copied: Path, tmp_path: Path, kept: float) -> None:
    archive = _zipped(copied, tmp_path / "cut.zip")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BundleError, match=r"cut\.zip: it is no whole zip archive"):
        install_bundle(archive, tmp_path / "installed", _trust, replace=False)
    assert _nothing_in(tmp_path / "installed")


def test_a_flipped_bit_in_an_archive_is_found(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "flipped.zip", ("a", b"content" * 100))
    content = bytearray(archive.read_bytes())
    content[content.index(b"content") + 50] ^= 1
    archive.write_bytes(content)
    with pytest.raises(BundleError, match="no whole zip archive"):
        unpack(archive, tmp_path / "folder")


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for name, content in (("text.zip", b"hello"), ("empty.zip", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match=f"{name}: it is no whole zip archive"):
            unpack(tmp_path / name, tmp_path / "folder")
    with pytest.raises(BundleError, match="it is empty"):
        unpack(_archive(tmp_path / "none.zip"), tmp_path / "folder")


def test_an_archive_whose_folder_is_no_bundle_is_refused(copied: Path, tmp_path: Path) -> None:
    shutil.copytree(copied, copied.parent / "second")
    archive = _zipped(copied.parent, tmp_path / "two.zip")
    with pytest.raises(BundleError, match="SHA256SUMS is missing"):
        install_bundle(archive, tmp_path / "installed", _trust, replace=False)
