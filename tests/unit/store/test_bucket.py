"""A bucket keeps what it was given, beside other hosts, and says so when it cannot."""

from __future__ import annotations

import builtins
import hashlib
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from node.domain.errors import ConfigurationError, OutOfSpace, StorageError
from node.store import bucket as module
from node.store.bucket import Bucket
from node.store.cipher import Cipher
from tests.end_to_end.node_process import free_port
from tests.s3 import BUCKET, S3, s3

EARLIER = datetime.now(UTC) - timedelta(minutes=5)
LATER = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def store() -> Iterator[S3]:
    with s3() as running:
        yield running


def bucket_of(
    store: S3, prefix: str, *, name: str = BUCKET, cipher: Cipher | None = None
) -> Bucket:
    return Bucket(
        f"s3://{name}/{prefix}",
        endpoint_url=store.endpoint_url,
        region="us-east-1",
        access_key="cart",
        secret_key="horse",
        cipher=cipher,
    )


@pytest.fixture
def bucket(store: S3, request: pytest.FixtureRequest) -> Bucket:
    return bucket_of(store, request.node.name)


def test_bytes_come_back_under_their_sha256(bucket: Bucket) -> None:
    digest = bucket.put(b"an ECG")
    assert digest == hashlib.sha256(b"an ECG").hexdigest()
    assert bucket.get(digest) == b"an ECG"
    with pytest.raises(StorageError, match="restore it from a backup"):
        bucket.get("0" * 64)


def test_a_prefix_is_a_store_of_its_own(store: S3, bucket: Bucket) -> None:
    other = bucket_of(store, "other")
    digest = bucket.put(b"an ECG")
    with pytest.raises(StorageError):
        other.get(digest)
    assert bucket.identity == bucket.identity
    assert bucket.identity != other.identity
    assert bucket.digests(older_than=LATER) == {digest}


def test_altered_bytes_are_refused_unless_they_are_whole_under_another_key(
    store: S3, bucket: Bucket
) -> None:
    digest = bucket.put(b"right")
    ((key, _),) = bucket._keys(digest)
    bucket._obstore.put(bucket._store, key, b"wrong")
    with pytest.raises(StorageError, match="not what was written"):
        bucket.get(digest)
    bucket.put(b"right")
    assert bucket.get(digest) == b"right"


def test_bytes_kept_again_are_not_removed_as_old(bucket: Bucket) -> None:
    digest = bucket.put(b"bytes")
    assert not bucket.remove_if_older(digest, than=EARLIER)
    assert bucket.digests(older_than=EARLIER) == set()
    time.sleep(1.1)  # the store tells whole seconds
    between = datetime.now(UTC).replace(microsecond=0)
    bucket.put(b"bytes")
    assert len(bucket._keys(digest)) == 2
    assert not bucket.remove_if_older(digest, than=between)
    assert bucket.digests(older_than=between) == set()
    assert bucket.get(digest) == b"bytes"
    assert bucket.remove_if_older(digest, than=LATER)
    assert not bucket.remove_if_older(digest, than=LATER)
    assert bucket._keys(digest) == []


def test_bytes_that_another_host_keeps_while_they_are_removed_stay(
    store: S3, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = bucket_of(store, "test_bytes_that_another_host_keeps_while_they_are_removed_stay")
    digest = bucket.put(b"bytes")
    listed = bucket._keys

    def kept_then(name: str) -> list[tuple[str, datetime]]:
        found = listed(name)
        other.put(b"bytes")
        return found

    monkeypatch.setattr(bucket, "_keys", kept_then)
    assert bucket.remove_if_older(digest, than=LATER)
    assert other.get(digest) == b"bytes"


def test_many_hosts_name_a_new_store_alike(store: S3) -> None:
    found: list[str] = []
    hosts = [
        threading.Thread(target=lambda: found.append(bucket_of(store, "new").identity))
        for _ in range(8)
    ]
    for host in hosts:
        host.start()
    for host in hosts:
        host.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_what_the_bucket_holds_is_encrypted(store: S3) -> None:
    bucket = bucket_of(store, "sealed", cipher=Cipher([bytes(32)]))
    digest = bucket.put(b"an ECG of DOE^JANE")
    (kept,) = store.objects("sealed").values()
    assert b"DOE" not in kept
    assert bucket.get(digest) == b"an ECG of DOE^JANE"
    with pytest.raises(StorageError, match=r"storage\.keys"):
        bucket_of(store, "sealed").get(digest)


def test_a_bucket_with_other_keys_or_none_is_refused(store: S3) -> None:
    right, other = Cipher([bytes(32)]), Cipher([b"x" * 32])
    bucket_of(store, "keys").prove_keys()
    bucket_of(store, "keys", cipher=right).prove_keys()
    bucket_of(store, "keys", cipher=right).prove_keys()
    for wrong in (other, None):
        with pytest.raises(ConfigurationError, match="all hosts name the same"):
            bucket_of(store, "keys", cipher=wrong).prove_keys()


def test_what_names_no_store_is_refused(store: S3) -> None:
    with pytest.raises(ConfigurationError, match=r"\[storage\.s3\] names no store"):
        bucket_of(store, "a//b")


def test_a_store_that_is_not_there_is_named_with_the_reason(store: S3) -> None:
    with pytest.raises(StorageError, match=r"s3://elsewhere/a .* NoSuchBucket; see \[storage.s3\]"):
        bucket_of(store, "a", name="elsewhere").put(b"bytes")
    nobody = Bucket(
        "s3://node/a", endpoint_url=f"http://127.0.0.1:{free_port()}", region="us-east-1",
        access_key="cart", secret_key="horse",
    )  # fmt: skip
    with pytest.raises(StorageError, match="s3://node/a does not do"):
        nobody.get("0" * 64)
    with pytest.raises(StorageError):
        nobody.digests(older_than=LATER)


class Full(BaseHTTPRequestHandler):
    """A store that has no room."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b"<Error><Code>XMinioStorageFull</Code></Error>"
        self.send_response(507)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def test_a_store_without_room_is_said_to_be_full_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = HTTPServer(("127.0.0.1", 0), Full)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        full = Bucket(
            "s3://node/a", endpoint_url=f"http://127.0.0.1:{server.server_port}",
            region="us-east-1", access_key="cart", secret_key="horse",
        )  # fmt: skip
        assert full.has_room()
        with pytest.raises(OutOfSpace, match=r"s3://node/a is full \(XMinioStorageFull\)"):
            full.put(b"bytes")
        assert not full.has_room()
        monkeypatch.setattr(module, "FULL_FOR_S", 0.0)
        assert full.has_room()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_its_library_a_bucket_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("obstore"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r'pip install "cardionode\[s3\]"'):
        Bucket("s3://node/a")
