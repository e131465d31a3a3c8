"""Engines are programs: who may have written them, and whether they are whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.domain.errors import DeviceError
from pipelines.runtime.engine_cache import EngineCache

PLAN = b"a program for the GPU"


@pytest.fixture
def cache(engines: Path) -> EngineCache:
    return EngineCache(folder=engines)


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
    assert (cache.folder / "a.plan").stat().st_mode & 0o777 == 0o600


def test_no_other_file_stays_behind(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    cache.keep("a.plan", PLAN + PLAN)
    assert [path.name for path in cache.folder.iterdir()] == ["a.plan"]
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
    path = cache.folder / "a.plan"
    path.write_bytes(path.read_bytes()[:length])
    assert cache.read("a.plan") is None


def test_one_changed_bit_is_seen_before_the_program_runs(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    path = cache.folder / "a.plan"
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
    (cache.folder / "a.plan").chmod(mode)
    with pytest.raises(DeviceError, match=r"a\.plan can be written by other users"):
        cache.read("a.plan")


def test_what_others_can_read_but_not_write_is_taken(cache: EngineCache) -> None:
    cache.keep("a.plan", PLAN)
    cache.folder.chmod(0o755)
    (cache.folder / "a.plan").chmod(0o644)
    assert cache.read("a.plan") == PLAN


@pytest.mark.parametrize("what", ["", "a.plan"], ids=["folder", "file"])
def test_what_belongs_to_another_user_is_refused(cache: EngineCache, what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    cache.keep("a.plan", PLAN)
    os.chown(cache.folder / what, 12345, -1)
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
    (cache.folder / "a.plan").rename(tmp_path / "elsewhere")
    (cache.folder / "a.plan").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="cannot be used"):
        cache.read("a.plan")


def test_a_folder_that_cannot_be_made_is_a_failure_of_the_device(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError, match="look at its rights and the disk's space"):
        EngineCache(folder=tmp_path / "file" / "engines").keep("a.plan", PLAN)
