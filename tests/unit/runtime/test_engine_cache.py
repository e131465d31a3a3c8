"""Engines are programs: who may have written them, and whether they are whole."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from node.domain.errors import DeviceError
from pipelines.runtime.engine_cache import UNUSED_DAYS, EngineCache

PLAN = b"a program for the GPU"
DAY_S = 86_400


@pytest.fixture
def cache(engines: Path) -> EngineCache:
    return EngineCache(folder=engines, library="tensorrt", machine="0a")


def _kept(folder: Path, *, library: str = "tensorrt", machine: str, unused_days: float) -> Path:
    """An engine that was last used so long ago."""
    cache = EngineCache(folder=folder, library=library, machine=machine)
    cache.keep("old.plan", PLAN)
    return _aged(cache.path("old.plan"), unused_days)


def _aged(path: Path, days: float) -> Path:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then))
    return path


def test_what_was_kept_is_read_back(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    assert cache.read("a.plan") == PLAN


def test_nothing_is_read_where_nothing_was_kept(cache: EngineCache) -> None:
    assert cache.read("a.plan") is None
    cache.keep("a.plan", PLAN)
    assert cache.read("b.plan") is None


def test_folder_and_files_are_the_owners_alone(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert cache.path("a.plan").stat().st_mode & 0o777 == 0o600


def test_no_other_file_stays_behind(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    cache.keep("a.plan", PLAN + PLAN)
    assert list(cache.folder.iterdir()) == [cache.path("a.plan")]
    assert cache.read("a.plan") == PLAN + PLAN


def test_a_full_disk_leaves_the_old_file_and_no_other(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep("a.plan", PLAN)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DeviceError, match="No space left on device"):
        cache.keep("a.plan", b"another")
    assert cache.read("a.plan") == PLAN
    assert len(list(cache.folder.iterdir())) == 1


@pytest.mark.parametrize("length", [0, 10, 31, 40], ids=str)
def test_a_file_cut_short_is_as_if_it_were_not_there(cache: EngineCache, length: int) -> None:
    cache.keep("a.plan", PLAN)
    path = cache.path("a.plan")
    path.write_bytes(path.read_bytes()[:length])
    assert cache.read("a.plan") is None


def test_one_changed_bit_is_seen_before_the_program_runs(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    path = cache.path("a.plan")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert cache.read("a.plan") is None


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777], ids=oct)
def test_a_folder_that_others_can_write_is_refused_with_the_command_that_helps(
    cache: EngineCache, mode: int
) -> None:
    cache.keep("a.plan", PLAN)
    cache.folder.chmod(mode)
    for use in (lambda: cache.read("a.plan"), lambda: cache.keep("b.plan", PLAN)):
        with pytest.raises(DeviceError, match=rf"chmod go-w {cache.folder}$"):
            use()


@pytest.mark.parametrize("mode", [0o660, 0o606], ids=oct)
def test_a_file_that_others_can_write_is_refused(cache: EngineCache, mode: int) -> None:
    cache.keep("a.plan", PLAN)
    cache.path("a.plan").chmod(mode)
    with pytest.raises(DeviceError, match=r"a\.plan can be written by other users"):
        cache.read("a.plan")


def test_what_others_can_read_but_not_write_is_taken(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    cache.folder.chmod(0o755)
    cache.path("a.plan").chmod(0o644)
    assert cache.read("a.plan") == PLAN


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_belongs_to_another_user_is_refused(cache: EngineCache, what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    cache.keep("a.plan", PLAN)
    os.chown(cache.folder if what == "folder" else cache.path("a.plan"), 12345, -1)
    with pytest.raises(DeviceError, match=r"belongs to another user \(uid 12345\)"):
        cache.read("a.plan")


def test_what_belongs_to_root_is_taken_by_whoever_runs_the_node(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has files of root")
    cache.keep("a.plan", PLAN)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert cache.read("a.plan") == PLAN


def test_a_link_is_not_followed(cache: EngineCache, tmp_path: Path) -> None:
    cache.keep("a.plan", PLAN)
    cache.path("a.plan").rename(tmp_path / "elsewhere")
    cache.path("a.plan").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="cannot be used"):
        cache.read("a.plan")


def test_a_folder_that_cannot_be_made_is_a_failure_of_the_device(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError, match="look at its rights and the disk's space"):
        EngineCache(folder=tmp_path / "file" / "b", library="tensorrt", machine="0a").prepare()


def test_what_was_made_for_another_machine_goes_when_it_is_long_unused(
    cache: EngineCache, engines: Path
) -> None:
    gone = _kept(engines, machine="0b", unused_days=UNUSED_DAYS + 1)
    lately_used = _kept(engines, machine="0c", unused_days=UNUSED_DAYS - 1)
    cache.keep("a.plan", PLAN)
    assert not gone.exists()
    assert lately_used.exists()


def test_what_was_made_for_this_machine_stays_since_another_bundle_may_be_served_with_it(
    cache: EngineCache, engines: Path
) -> None:
    others = _kept(engines, machine=cache.machine, unused_days=10 * UNUSED_DAYS)
    cache.keep("a.plan", PLAN)
    assert others.exists()


def test_what_another_library_made_is_not_for_this_one_to_delete(
    cache: EngineCache, engines: Path
) -> None:
    others = _kept(engines, library="tensorrt-rtx", machine="0b", unused_days=10 * UNUSED_DAYS)
    cache.keep("a.plan", PLAN)
    assert others.exists()


@pytest.mark.parametrize("name", ["tensorrt.txt", "tensorrt.my.notes", "notes", ".notes"])
def test_what_is_no_engine_stays(cache: EngineCache, name: str) -> None:
    cache.prepare()
    path = cache.folder / name
    path.write_text("of the owner")
    _aged(path, 10 * UNUSED_DAYS)
    cache.keep("a.plan", PLAN)
    assert path.exists()


def test_an_engine_that_is_read_is_in_use(cache: EngineCache, engines: Path) -> None:
    path = _kept(engines, machine="0b", unused_days=UNUSED_DAYS + 1)
    assert EngineCache(folder=engines, library="tensorrt", machine="0b").read("old.plan") == PLAN
    cache.keep("a.plan", PLAN)
    assert path.exists()


def test_an_engine_that_cannot_be_marked_as_used_is_read(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.keep("a.plan", PLAN)

    def refused(handle: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert cache.read("a.plan") == PLAN


def test_what_a_kill_cut_short_goes_once_nobody_can_be_writing_it(
    cache: EngineCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever machine it was for."""

    def killed(path: Path, to: Path) -> None:
        raise SystemExit

    with monkeypatch.context() as context, pytest.raises(SystemExit):
        context.setattr(Path, "rename", killed)
        cache.keep("a.plan", PLAN)
    (partial,) = cache.folder.iterdir()
    cache.keep("b.plan", PLAN)
    assert partial.exists()
    _aged(partial, UNUSED_DAYS + 1)
    cache.keep("c.plan", PLAN)
    assert not partial.exists()


def test_what_cannot_be_deleted_hinders_nothing(
    cache: EngineCache, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept(engines, machine="0b", unused_days=UNUSED_DAYS + 1)

    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refused)
    cache.keep("a.plan", PLAN)
    assert cache.read("a.plan") == PLAN
