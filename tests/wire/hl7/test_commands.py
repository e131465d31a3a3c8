"""`cardionode hl7 send` against receivers that answer, refuse and say nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from node.cli import app
from node.configured import tls_of
from node.hl7.stand_in import Answer, answer_as
from tests.certificates import Authority
from tests.wire.dicom.pki import credentials
from tests.wire.hl7.listening import AT, listening, message


def told(answer: Answer) -> Callable[[bytes, str], bytes]:
    return lambda content, peer: answer_as(answer, content, at=AT)


def send(port: int | None, *words: object) -> Result:
    return CliRunner().invoke(
        app, ["hl7", "send", *map(str, words), "--to", f"127.0.0.1:{port}"], catch_exceptions=False
    )


def a_file(folder: Path, name: str = "order.hl7", content: bytes | None = None) -> Path:
    file = folder / name
    file.write_bytes(message() if content is None else content)
    return file


def test_each_file_is_sent_in_order_and_its_acknowledgement_shown(tmp_path: Path) -> None:
    taken: list[bytes] = []

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        taken.append(content)
        return answer_as(Answer.AA, content, at=AT)

    first = a_file(tmp_path, "1.hl7", message("C1"))
    second = a_file(tmp_path, "2.hl7", message("C2", mode="AL|NE"))
    with listening(handler) as listener:
        said = send(listener.port, first, second)
    assert said.exit_code == 0
    assert taken == [message("C1"), message("C2", mode="AL|NE")]
    assert said.output.splitlines() == [
        f"{first}: AA",
        f"{second}: CA",
        f"2 of 2 acknowledged by 127.0.0.1:{listener.port}",
    ]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r", b"\r\n\r\n"])
def test_segments_are_sent_with_cr_however_an_editor_left_them(tmp_path: Path, ends: bytes) -> None:
    taken: list[bytes] = []

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        taken.append(content)
        return answer_as(Answer.AA, content, at=AT)

    lines = message().rstrip(b"\r").split(b"\r")
    between = ends[:2] if ends.startswith(b"\r\n") else ends
    content = b"\xef\xbb\xbf" + between.join(lines) + ends
    with listening(handler) as listener:
        assert send(listener.port, a_file(tmp_path, content=content)).exit_code == 0
    assert taken == [message()]


@pytest.mark.parametrize("answer", [Answer.AE, Answer.AR])
@pytest.mark.parametrize("mode", ["", "AL|NE"])
def test_a_negative_answer_is_shown_and_the_others_are_sent_all_the_same(
    tmp_path: Path, answer: Answer, mode: str
) -> None:
    first, second = (
        a_file(tmp_path, f"{name}.hl7", message(name, mode=mode)) for name in ("C1", "C2")
    )
    with listening(told(answer)) as listener:
        said = send(listener.port, first, second)
    code = answer.value.replace("A", "C", 1) if mode else answer.value
    assert said.exit_code == 1
    assert said.output.count(f"the receiver answered {code}, error 20") == 2
    assert "0 of 2 acknowledged" in said.output


def test_no_answer_is_waited_for_no_longer_than_told(tmp_path: Path) -> None:
    with listening(told(Answer.NONE)) as listener:
        said = send(listener.port, a_file(tmp_path), "--answer-timeout", "0.2")
    assert said.exit_code == 1
    assert "gave no answer to this message within 0.2 s" in said.output


def test_what_is_no_message_is_told_of_and_not_sent(tmp_path: Path) -> None:
    with listening(told(Answer.AA)) as listener:
        said = send(listener.port, a_file(tmp_path, content="MSH|é".encode("utf-16")))
    assert said.exit_code == 1
    assert "does not begin with an MSH segment" in said.output


@pytest.mark.parametrize("to", ["somewhere", "host:", ":2575", "host:0", "host:65536", "host:x"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, to: str) -> None:
    said = CliRunner().invoke(app, ["hl7", "send", str(a_file(tmp_path)), "--to", to])
    assert said.exit_code == 2
    assert "host:port" in said.output


def test_messages_go_over_tls_by_the_credentials_of_the_configuration(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    configuration = tmp_path / "node.toml"
    configuration.write_text(authority.issue("node").toml())
    words = (a_file(tmp_path), "--tls", "--config", configuration)
    ris = credentials(authority.issue("ris", host="ris.example"))
    with listening(told(Answer.AA), tls=tls_of(ris.server)) as listener:
        unnamed = send(listener.tls_port, *words)
        named = send(listener.tls_port, *words, "--server-name", "ris.example")
    assert (unnamed.exit_code, named.exit_code) == (1, 0)
    assert "server_name" in unnamed.output


def test_tls_without_credentials_is_refused(tmp_path: Path) -> None:
    said = send(1, a_file(tmp_path), "--tls")
    assert said.exit_code == 2
    assert "[tls]" in said.output
