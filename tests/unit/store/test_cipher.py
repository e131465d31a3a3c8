"""What is encrypted at rest: nobody reads or swaps it, and keys can be changed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError, StorageError
from node.store import spool
from node.store.cipher import KEY_BYTES, Cipher, read_key
from node.store.spool import Spool

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES
SECRET = b"an ECG of DOE^JANE"


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*/*") if path.is_file()]


def test_what_lies_on_the_disk_says_nothing_and_opens_again(tmp_path: Path) -> None:
    kept = Spool(tmp_path, cipher=Cipher([NEW]))
    digest = kept.put(SECRET)
    (file,) = files(tmp_path)
    assert b"DOE" not in file.read_bytes()
    assert kept.get(digest) == SECRET
    assert Spool(tmp_path, cipher=Cipher([NEW])).put(SECRET) == digest
    assert files(tmp_path) == [file]


def test_the_same_bytes_are_sealed_differently_each_time() -> None:
    cipher = Cipher([NEW])
    assert cipher.seal("0" * 64, SECRET) != cipher.seal("0" * 64, SECRET)


def test_each_bit_that_is_altered_is_noticed(tmp_path: Path) -> None:
    kept = Spool(tmp_path, cipher=Cipher([NEW]))
    digest = kept.put(SECRET)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(StorageError, match=r"storage\.keys, or was altered"):
            kept.get(digest)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(StorageError):
            kept.get(digest)


def test_an_object_in_the_place_of_another_is_noticed() -> None:
    cipher = Cipher([NEW])
    with pytest.raises(StorageError):
        cipher.open("1" * 64, cipher.seal("0" * 64, SECRET))


def test_keys_change_the_first_seals_and_all_open(tmp_path: Path) -> None:
    before = Spool(tmp_path, cipher=Cipher([OLD])).put(b"before")
    both = Spool(tmp_path, cipher=Cipher([NEW, OLD]))
    after = both.put(b"after")
    assert (both.get(before), both.get(after)) == (b"before", b"after")
    only_new = Spool(tmp_path, cipher=Cipher([NEW]))
    assert only_new.get(after) == b"after"
    with pytest.raises(StorageError, match="opens with no key"):
        only_new.get(before)


def test_what_was_kept_before_there_were_keys_is_read(tmp_path: Path) -> None:
    digest = Spool(tmp_path).put(SECRET)
    assert Spool(tmp_path, cipher=Cipher([NEW])).get(digest) == SECRET


def test_without_its_key_an_object_is_not_read(tmp_path: Path) -> None:
    digest = Spool(tmp_path, cipher=Cipher([NEW])).put(SECRET)
    with pytest.raises(StorageError, match=r"a key that storage\.keys does not name"):
        Spool(tmp_path).get(digest)


def test_bytes_under_a_key_that_is_lost_are_kept_anew_when_they_come_again(tmp_path: Path) -> None:
    digest = Spool(tmp_path, cipher=Cipher([OLD])).put(SECRET)
    kept = Spool(tmp_path, cipher=Cipher([NEW]))
    assert kept.put(SECRET) == digest
    assert kept.get(digest) == SECRET


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("no base64!", "is not base64"),
        (base64.b64encode(b"short").decode(), "has 5 bytes, not 32"),
        ("", "has 0 bytes"),
    ],
)
def test_a_key_that_is_none_is_refused_with_how_to_make_one(written: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{problem}.*openssl rand -base64 32") as refused:
        read_key(written)
    assert "no base64!" not in refused.value.message


def test_a_key_is_read_from_base64() -> None:
    assert read_key(base64.b64encode(NEW).decode()) == NEW


def test_hosts_with_other_keys_or_none_are_refused(tmp_path: Path) -> None:
    Spool(tmp_path).prove_keys()
    Spool(tmp_path, cipher=Cipher([OLD])).prove_keys()
    for wrong in (Cipher([NEW]), None):
        with pytest.raises(ConfigurationError, match="all hosts name the same"):
            Spool(tmp_path, cipher=wrong).prove_keys()
    Spool(tmp_path, cipher=Cipher([NEW, OLD])).prove_keys()  # NEW seals from now on
    Spool(tmp_path, cipher=Cipher([NEW])).prove_keys()
    with pytest.raises(ConfigurationError, match=r"a key that storage\.keys does not name"):
        Spool(tmp_path, cipher=Cipher([OLD])).prove_keys()


def test_of_hosts_that_start_at_once_with_different_keys_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = spool._create

    def create_second(file: Path, content: bytes) -> bool:
        monkeypatch.setattr(spool, "_create", create)
        Spool(tmp_path, cipher=Cipher([OLD])).prove_keys()
        return create(file, content)

    monkeypatch.setattr(spool, "_create", create_second)
    with pytest.raises(ConfigurationError, match="all hosts name the same"):
        Spool(tmp_path, cipher=Cipher([NEW])).prove_keys()
