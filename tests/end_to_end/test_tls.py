"""A node with TLS as its administrator meets it: check, send, renew, and what is told of it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from node.configured import tls_of
from node.dicom.scu import StorageScu
from node.hl7.sender import Hl7Sender
from tests.certificates import Authority, Files
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, free_port
from tests.wire.dicom.listening import Listening
from tests.wire.dicom.pki import credentials
from tests.wire.hl7.listening import listening


def with_tls_alone(folder: Path, files: Files, more: str = "") -> tuple[NodeProcess, int, int]:
    """A node, not started, and its ports of DICOM and HL7."""
    port, hl7_port = free_port(), free_port()
    ports = f"dicom.tls_port = {port}\nhl7.tls_port = {hl7_port}\n"
    node = NodeProcess(folder, extra=f"{ports}{files.toml()}\n{more}")
    text = node.configuration.read_text()
    for plain in (f"dicom.port = {node.dicom_port}", f"hl7.port = {node.hl7_port}"):
        text = text.replace(plain, f'{plain.partition(" ")[0]} = "off"')
    node.configuration.write_text(text)
    return node, port, hl7_port


def send(folder: Path, files: Files, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    """An ECG, as a cart with these files would."""
    configuration, ecg = folder / "cart.toml", folder / "ecg.dcm"
    configuration.write_text(files.toml())
    ecg.write_bytes(next(instances(1))[1])
    return subprocess.run(
        [sys.executable, "-m", "node", "send", str(ecg), "--to", f"CARDIONODE@127.0.0.1:{port}",
         "--config", str(configuration), *words],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def echo(files: Files, port: int) -> None:
    StorageScu(
        calling_ae="CART",
        called_ae="CARDIONODE",
        host="127.0.0.1",
        port=port,
        tls=credentials(files).client,
    ).echo()


def order(files: Files, port: int) -> None:
    """A message, acknowledged."""
    sender = Hl7Sender("127.0.0.1", port, tls=tls_of(credentials(files).client))
    try:
        sender.send(b"MSH|^~\\&|RIS||CN||2026||ADT^A01|C1|P|2.5.1\rPID|||1\r")
    finally:
        sender.close()


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def days_left(node: NodeProcess, file: Path) -> float:
    """As the metrics say."""
    with urllib.request.urlopen(f"http://127.0.0.1:{node.web_port}/metrics") as answer:
        text = answer.read().decode()
    pattern = rf'cardionode_certificate_days_left{{path="{re.escape(str(file))}"}} (\S+)'
    found = re.search(pattern, text)
    assert found is not None, text
    return float(found[1])


def test_a_node_with_tls_alone_serves_warns_and_takes_renewed_files_up(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files, cart = authority.issue("node", days=10.5), authority.issue("cart")
    node, port, hl7_port = with_tls_alone(tmp_path, files)
    try:
        node.start()
        (ready,) = node.events("node ready")
        assert f"dicom-tls:{port}" in ready["address"]
        assert f"hl7-tls:{hl7_port}" in ready["address"]
        assert "dicom:" not in ready["address"]
        assert "hl7:" not in ready["address"]
        (expires,) = node.events("certificate expires")
        assert (expires["level"], expires["path"]) == ("warning", str(files.certificate))
        assert 10 < days_left(node, files.certificate) < 11

        plain = send(tmp_path, cart, port)
        assert plain.returncode == 1
        secured = send(tmp_path, cart, port, "--tls")
        assert "1 of 1 acknowledged" in secured.stdout, secured.stdout

        files.key.write_text("half a ke")
        assert within(10, lambda: bool(node.events("certificates kept")))
        (kept,) = node.events("certificates kept")
        assert kept["level"] == "error"
        assert str(files.key) in kept["reason"]
        echo(cart, port)
        order(cart, hl7_port)

        authority.issue("node", days=90.5)
        assert within(10, lambda: bool(node.events("certificates loaded again")))
        assert 90 < days_left(node, files.certificate) < 91
        echo(cart, port)
        order(cart, hl7_port)
        assert "PRIVATE KEY" not in node.text()
    finally:
        node.close()


def test_check_tries_certificates_port_and_destinations_with_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files, pacs = authority.issue("node"), authority.issue("pacs")
    with (
        Listening(tls=credentials(pacs).server) as archive,
        listening(tls=tls_of(credentials(pacs).server)) as ris,
    ):
        destination = (
            '[destinations.PACS]\nkind = "dicom"\nae_title = "CARDIONODE"\nhost = "127.0.0.1"\n'
            f"port = {archive.scp.tls_port}\ntls = true\n"
            '[destinations.RIS]\nkind = "hl7"\nhost = "127.0.0.1"\n'
            f"port = {ris.tls_port}\ntls = true\n"
            '[[rules]]\nname = "what this archive takes"\nresults = ["ecg", "oru"]\n'
            'destinations = ["PACS", "RIS"]\n'
        )
        node, port, hl7_port = with_tls_alone(tmp_path, files, destination)
        right = node.run("check")
        assert right.returncode == 0, right.stdout
        for words in (
            f"ok    certificates: {files.certificate} expires on",
            f"ok    DICOM TLS port: 127.0.0.1:{port} is free",
            f"ok    HL7 TLS port: 127.0.0.1:{hl7_port} is free",
            f"ok    destination RIS: MLLP connection taken by 127.0.0.1:{ris.tls_port} over TLS",
            f"ok    destination PACS: C-ECHO answered by 127.0.0.1:{archive.scp.tls_port} over TLS",
        ):
            assert words in right.stdout
        assert "DICOM port" not in right.stdout
        assert "HL7 port" not in right.stdout

        authority.issue("node", days=-1)
        expired = node.run("check")
        assert expired.returncode == 1
        assert f"FAIL  certificates: {files.certificate} expired on" in expired.stdout
        refused = "finds the certificate of this node expired"
        assert expired.stdout.count(refused) == 2, "of the PACS, and of the RIS"

        files.key.unlink()
        gone = node.run("check")
        assert gone.returncode == 1
        assert f"FAIL  certificates: cannot read tls.key {files.key}" in gone.stdout
