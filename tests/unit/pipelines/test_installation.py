"""An archive is judged before it is unpacked, a bundle before it is in place."""

from __future__ import annotations

import errno
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from node.domain.errors import BundleError
from pipelines.bundle import MANIFEST, SIGNATURE, Bundle, read_bundle
from pipelines.catalog import list_bundles
from pipelines.installation import MOST_FILES, install_bundle, remove_bundle, unpack

NAME = "quick-test"


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
    assert [each.folder for each in list_bundles([tmp_path / "installed"])] == [bundle.folder]
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
    remove_bundle(install_bundle(copied, into, _trust, replace=False))
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


def test_an_encrypted_archive_says_so(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "secret.zip", ("a", b"content"))
    content = bytearray(archive.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    archive.write_bytes(content)
    with pytest.raises(BundleError, match="a is encrypted; unpack it"):
        unpack(archive, tmp_path / "folder")


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
