"""`cardionode hl7 listen` as a person tries a link with it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.configured import tls_of
from node.domain.errors import TemporarilyRefused, Unanswered
from node.hl7.sender import Hl7Sender
from node.hl7.tls import Tls
from tests.certificates import Authority
from tests.wire.dicom.pki import credentials
from tests.wire.hl7.listening import message


class Listening:
    """A `cardionode hl7 listen`; when it has ended, its lines after the first."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        begun = process.stdout.readline()
        found = re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", begun)
        assert found is not None, begun
        self.port = int(found[1])
        self.lines: list[str] = []
        self.status: int | None = None

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=20)
        self.lines, self.status = said.splitlines(), self.process.returncode


@contextmanager
def listening(*words: object) -> Iterator[Listening]:
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "hl7", "listen", "--port", "0", *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        ris = Listening(process)
        yield ris
        ris.end()
    finally:
        process.kill()
        process.communicate()


def send(ris: Listening, *contents: bytes, tls: Tls | None = None) -> None:
    sender = Hl7Sender("127.0.0.1", ris.port, answer_timeout_s=5.0, tls=tls)
    try:
        for content in contents:
            sender.send(content)
    finally:
        sender.close()


def test_it_shows_a_line_a_message_keeps_each_and_ends_with_their_count(tmp_path: Path) -> None:
    odd = message("C/../2", kind="ORM\\X1B\\[2J^O01")
    with listening("--keep", tmp_path / "kept") as ris:
        send(ris, message("C1"), odd)
    size = len(message("C1"))
    first, second, last = ris.lines
    assert re.fullmatch(rf"\d\d:\d\d:\d\d  ORM\^O01  C1  {size} bytes  AA", first)
    assert "\x1b" not in second
    assert (last, ris.status) == ("2 messages", 0)
    kept = sorted((tmp_path / "kept").iterdir())
    assert [file.read_bytes() for file in kept] == [message("C1"), odd]


def test_it_answers_as_told_and_shows_segments_when_asked(tmp_path: Path) -> None:
    with listening("--answer", "ae", "--show") as ris, pytest.raises(TemporarilyRefused):
        send(ris, message("C1", mode="AL|NE"))
    line, *segments, last = ris.lines
    assert line.endswith("bytes  CE")
    expected = message("C1", mode="AL|NE").decode().rstrip("\r").split("\r")
    assert [segment.strip() for segment in segments] == expected
    assert last == "1 message"


def test_it_can_say_nothing_and_listens_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    configuration = tmp_path / "node.toml"
    configuration.write_text(authority.issue("ris").toml())
    tls = tls_of(credentials(authority.issue("node")).client)
    with listening("--tls", "--config", configuration, "--answer", "none") as ris:
        sender = Hl7Sender("127.0.0.1", ris.port, answer_timeout_s=0.3, tls=tls)
        with pytest.raises(Unanswered, match="within"):
            sender.send(message())
        sender.close()
    assert ris.lines[0].endswith("bytes  none")
