"""STOW-RS on the real process: into it, out of it, and under kill -9."""

from __future__ import annotations

import hashlib
import io
import os
import random
import threading
import time
from pathlib import Path

from pydicom import dcmread

from node.dicom.dicomweb import StowClient, TlsFiles
from node.dicom.part10 import read_part10
from node.domain.errors import CardioNodeError
from node.store.database import Database, sqlite_url
from node.store.received import Jobs
from node.store.spool import Spool
from tests.ecg_instances import instances
from tests.end_to_end import forked
from tests.end_to_end.node_process import NodeProcess, settled
from tests.wire.dicom.scripted_server import answer, serving, stored

TOKEN = "5d1c2f0b9a8e7d6c5b4a39281706f5e4"
SECRET = "a-token-nobody-may-see"


def stow_in(folder: Path) -> str:
    tokens = folder / "tokens"
    tokens.write_text(f"CART {hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    return f'[web.stow]\nenabled = true\ntokens = "{tokens}"\n'


def client(node: NodeProcess) -> StowClient:
    return StowClient(
        url=f"http://127.0.0.1:{node.web_port}/dicom-web",
        authorization=lambda: f"Bearer {TOKEN}",
        tls=TlsFiles(),
        connect_timeout_s=2,
        answer_timeout_s=10,
    )


def test_a_success_of_stow_means_the_bytes_survive_kill_minus_nine(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(10**6)))
    print(f"\nseed {seed} (SEED={seed} repeats it)")
    chance = random.Random(seed)
    node = NodeProcess(tmp_path, extra=stow_in(tmp_path))
    acknowledged: dict[str, bytes] = {}
    sent = list(instances(25))

    def send() -> None:
        for uid, content in sent:
            while True:
                try:
                    client(node).send(content)
                except CardioNodeError:
                    time.sleep(0.1)
                else:
                    acknowledged[uid] = content
                    break

    try:
        node.start()
        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(chance.uniform(0.1, 0.8))
        node.kill()
        node.start()
        sender.join(60)
        assert not sender.is_alive()
        node.kill()
    finally:
        node.close()

    assert len(acknowledged) == len(sent)
    database, spool = Database(sqlite_url(node.home / "node.db")), Spool(node.home / "spool")
    with database.read() as connection:
        for uid, content in acknowledged.items():
            (job,) = Jobs(connection).of_instance(uid)
            assert job.origin.calling_ae == "CART"
            kept = read_part10(spool.get(job.content_digest))
            assert kept == dcmread(io.BytesIO(content))
    database.close()


def test_an_ecg_that_comes_by_stow_is_answered_by_stow(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    with serving(answer(503, b"", "Retry-After: 1")) as archive:
        destination = f"""
[destinations.VNA]
kind = "dicomweb"
url = "http://127.0.0.1:{archive.port}/dicom-web"
token = "file:{secret}"
retry_initial_s = 0.2
retry_maximum_s = 1.0
"""
        node = NodeProcess(tmp_path, extra=stow_in(tmp_path) + destination)
        try:
            node.start()
            file = tmp_path / "ecg.dcm"
            uid, content = next(instances(1))
            file.write_bytes(content)
            token = tmp_path / "token"
            token.write_text(TOKEN)
            address = f"http://127.0.0.1:{node.web_port}/dicom-web"
            done = forked.run(["send", str(file), "--to", address, "--token", f"file:{token}"])
            assert done.returncode == 0, done.stdout + done.stderr
            until = time.monotonic() + 60
            while len(archive.requests) < 3 and time.monotonic() < until:
                time.sleep(0.05)
            archive.script = [stored]
            (job,) = node.wait_for_jobs(settled(1))
            assert {each["state"] for each in job["deliveries"]} == {"delivered"}
            assert {each["kind"] for each in job["deliveries"]} == {"cine", "summary", "report"}
            checked = node.run("check")
            assert "ok    destination VNA: STOW-RS offered by http" in checked.stdout
            assert "ok    STOW-RS tokens: callers: 1" in checked.stdout
            assert SECRET not in checked.stdout + checked.stderr + node.text()
        finally:
            node.close()
    assert job["sop_instance_uid"] == uid
    assert all(SECRET.encode() in request for request in archive.requests)
