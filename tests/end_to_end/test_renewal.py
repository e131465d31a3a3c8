"""A changed configuration: taken up by the same process, nothing lost; a bad one is refused."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from node.domain.errors import CardioNodeError
from node.hl7.stand_in import RisStandIn
from node.settings import read_settings
from tests.ecg_instances import instances
from tests.end_to_end import forked
from tests.end_to_end.node_process import ProgramNode, free_port
from tests.end_to_end.process_tree import tree
from tests.wire.web.console_server import Browser

PASSWORD = "correct horse battery"
KEPT = "# Of the hospital: keep this line.\n"
EACH = 4
PROVIDER = """
[web.console.provider]
issuer = "https://login.example.org"
client_id = "node"
client_secret = "file:/nowhere"
redirect_uri = "https://node.example.org/sign-in/provider/back"
admins = ["all"]
"""


class RenewedNode(ProgramNode):
    """One whose configuration changes."""

    def change(self, *words: str) -> bool:
        """`cardionode config`; whether it was done."""
        done = forked.run(["config", *words, "--config", str(self.configuration)])
        return done.returncode == 0

    def reload(self) -> None:
        """What `systemctl reload` does; returns once the process has begun anew."""
        ready = len(self.events("node ready"))
        os.kill(self.pid, signal.SIGHUP)
        self.wait_for("node ready", ready)

    def reload_in_vain(self) -> str:
        """Why the file was not taken up."""
        told = len(self.events("configuration not taken up"))
        os.kill(self.pid, signal.SIGHUP)
        return str(self.wait_for("configuration not taken up", told)["reason"])

    def wait_for(self, message: str, before: int) -> dict[str, object]:
        """The last of those log lines, once there are more than before."""
        until = time.monotonic() + 60.0
        while len(self.events(message)) == before:
            assert time.monotonic() < until, self.text()[-3000:]
            time.sleep(0.05)
        return self.events(message)[-1]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RenewedNode]:
    made = RenewedNode(tmp_path, extra=KEPT)
    made.start()
    yield made
    made.close()


def scu_of(port: int) -> StorageScu:
    return StorageScu(calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=port)


def store(port: int, content: bytes) -> None:
    """As a cart does: again until it is taken."""
    until = time.monotonic() + 60.0
    while True:
        try:
            return scu_of(port).send(content)
        except CardioNodeError:
            assert time.monotonic() < until, "nobody takes it"
            time.sleep(0.1)


def pacs_at(port: int) -> str:
    return f'destinations.PACS={{kind="dicom",ae_title="PACS",host="127.0.0.1",port={port}}}'


def test_the_same_process_begins_anew_and_what_was_acknowledged_meanwhile_is_answered(
    node: RenewedNode, outside: tuple[PacsStandIn, RisStandIn]
) -> None:
    pacs, ris = outside
    ecgs, done = 8, threading.Event()

    def cart() -> None:
        for _, content in instances(ecgs):
            store(node.dicom_port, content)
            time.sleep(0.2)
        done.set()

    assert node.change("set", pacs_at(pacs.start()))
    sending = threading.Thread(target=cart, daemon=True)
    sending.start()
    pid, started = node.pid, len(node.events("node ready"))
    node.reload()
    assert node.change(
        "set", f'destinations.RIS={{kind="hl7",host="127.0.0.1",port={ris.start()}}}'
    )
    node.reload()
    assert done.wait(60.0)
    ((_, last),) = instances(1, start=ecgs + 1)
    store(node.dicom_port, last)
    jobs = node.wait_for_jobs(
        lambda jobs: (
            len(jobs) == ecgs + 1
            and all(job["state"] == "completed" for job in jobs)
            and all(each["state"] == "delivered" for job in jobs for each in job["deliveries"])
        )
    )
    assert {each["destination"] for each in jobs[-1]["deliveries"]} == {"PACS", "RIS"}
    (host,) = json.loads(node.run("hosts", "--json").stdout)
    digest = sha256(node.configuration.read_bytes()).hexdigest()
    assert host["configuration"] == digest[:8], "it says what it runs by"
    assert node.pid == pid
    assert len(node.events("node ready")) == started + 2
    assert len(node.events("node stopped")) == 2
    assert "Traceback" not in node.text()
    assert node.stop() == 0


def test_nothing_is_left_of_what_ran_beside_it_before(tmp_path: Path) -> None:
    node = RenewedNode(tmp_path, at_once=2)
    node.start()
    try:
        for _ in range(2):
            node.reload()
        stats = [(folder / "stat").read_text(encoding="utf-8") for folder in tree(node.pid)]
        states = [stat.rpartition(")")[2].split()[0] for stat in stats]
        assert len(states) > 2, "what composes runs beside it"
        assert "Z" not in states, "it has ended, and nobody asked"
        assert node.stop() == 0
    finally:
        node.close()


def test_a_command_has_it_taken_up_and_says_whether_it_was(node: RenewedNode) -> None:
    pid = node.pid
    assert node.run("config", "set", "sign_off.organization=North").returncode == 0
    taken = node.run("config", "take-up")
    digest = sha256(node.configuration.read_bytes()).hexdigest()
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout == f"taken up: {node.configuration}, revision {digest[:8]}\n"
    (host,) = json.loads(node.run("hosts", "--json").stdout)
    assert (host["configuration"], node.pid) == (digest[:8], pid)
    noted = json.loads(node.run("audit", "--json").stdout)
    assert [(each["action"], each["said"]) for each in noted[::-1]] == [
        ("changed the configuration", "sign_off.organization set"),
        ("had the configuration taken up", f"revision {digest[:8]}"),
    ]
    good = node.configuration.read_text(encoding="utf-8")
    bad = good.replace("model.threads = 1", "model.threads = -1")
    node.configuration.write_text(bad, encoding="utf-8")
    refused = node.run("config", "take-up")
    assert refused.returncode == 1
    assert "model.threads" in refused.stderr
    unknown = good.replace('"quick-test"', '"nobody-knows-it"')
    node.configuration.write_text(unknown, encoding="utf-8")
    refused = node.run("config", "take-up")
    assert refused.returncode == 1
    assert "infer receive send goes on as it is: " in refused.stderr
    assert "no bundle is called" in refused.stderr
    (host,) = json.loads(node.run("hosts", "--json").stdout)
    assert "no bundle is called" in host["not_taken_up"]
    assert host["configuration"] == digest[:8]
    node.configuration.write_text(good, encoding="utf-8")
    assert node.run("config", "take-up").returncode == 0
    (host,) = json.loads(node.run("hosts", "--json").stdout)
    assert host["not_taken_up"] == ""
    assert node.stop() == 0
    nobody = node.run("config", "take-up")
    assert nobody.returncode == 1
    assert "no node runs in" in nobody.stderr


def test_what_no_node_could_start_by_is_told_of_and_the_old_one_goes_on(node: RenewedNode) -> None:
    good = node.configuration.read_text(encoding="utf-8")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for wrong, said in (
            ("this is no TOML", "TOML"),
            ('log.level = "whisper"', "log.level"),
            ('[tls]\ncertificate = "no.pem"\nkey = "no.key"\nauthorities = "no.pem"', "no.pem"),
            (f"web.tls_port = {port}", "tls"),
            ('[alerts.webhook]\nurl = "file:/nowhere"', "cannot read a secret"),
            (f"{PROVIDER}\n", "cannot read a secret"),
            ('[storage]\ndatabase_url = "sqlite:///elsewhere.db"', "what was acknowledged"),
        ):
            node.configuration.write_text(f"{good}\n{wrong}\n", encoding="utf-8")
            assert said in node.reload_in_vain(), wrong
        busy = good.replace(f"hl7.port = {node.hl7_port}", f"hl7.port = {port}")
        node.configuration.write_text(busy, encoding="utf-8")
        assert f"127.0.0.1:{port}" in node.reload_in_vain()
    unknown = good.replace('"quick-test"', '"nobody-knows-it"')
    node.configuration.write_text(unknown, encoding="utf-8")
    assert "no bundle is called" in node.reload_in_vain()
    ((_, content),) = instances(1)
    scu_of(node.dicom_port).send(content)
    node.wait_for_jobs(lambda jobs: jobs[0]["state"] == "completed")
    assert len(node.events("node ready")) == 1
    node.configuration.write_text(good, encoding="utf-8")
    node.reload()
    assert node.stop() == 0


def test_console_command_and_editor_change_it_at_once_and_none_undoes_another(
    node: RenewedNode,
) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    assert node.run("user", "add", "noether", "--role", "admin", typed=typed).returncode == 0
    browser = Browser(node.web_port)
    assert browser.sign_in("noether").status == 303
    refused: list[str] = []

    def at_console() -> None:
        for number in range(EACH):
            new = {"name": f"C{number}", "kind": "hl7", "host": "127.0.0.1", "port": "9"}
            while (page := browser.submit("/connections", new)).status != 303:
                assert page.status == 409, page.text
                refused.append("console")
                time.sleep(0.05)

    def at_command_line() -> None:
        for number in range(EACH):
            new = f'destinations.L{number}={{kind="hl7",host="127.0.0.1",port=9}}'
            while not node.change("set", new):
                refused.append("command line")

    writers = [threading.Thread(target=each, daemon=True) for each in (at_console, at_command_line)]
    for each in writers:
        each.start()
    broken = "dicom.port = half a li"
    while broken not in node.configuration.read_text(encoding="utf-8"):
        with node.configuration.open("a", encoding="utf-8") as editor:
            editor.write(f"\n{broken}\n")
    assert "TOML" in node.reload_in_vain()
    until = time.monotonic() + 60.0
    while set(refused) != {"console", "command line"}:  # nobody writes into what cannot be read
        assert time.monotonic() < until, refused
        time.sleep(0.05)
    half = node.configuration.read_text(encoding="utf-8")
    node.configuration.write_text(half.replace(broken, "# from an editor"), encoding="utf-8")
    for each in writers:
        each.join(60.0)

    node.reload()
    text = node.configuration.read_text(encoding="utf-8")
    assert KEPT in text
    assert "# from an editor" in text
    wanted = {f"{who}{number}" for who in "CL" for number in range(EACH)}
    assert set(read_settings(node.configuration).destinations) == wanted
    page = browser.get("/connections").text
    assert "not taken up yet" not in page
    assert all(name in page for name in wanted)
    ((_, content),) = instances(1)
    scu_of(node.dicom_port).send(content)
    (job,) = node.wait_for_jobs(lambda jobs: jobs[0]["state"] == "completed")
    assert {each["destination"] for each in job["deliveries"]} == wanted
    assert node.stop() == 0


def test_it_is_taken_up_from_the_console(node: RenewedNode, tmp_path: Path) -> None:
    typed = f"{PASSWORD}\n{PASSWORD}\n"
    assert node.run("user", "add", "noether", "--role", "admin", typed=typed).returncode == 0
    browser = Browser(node.web_port)
    assert browser.sign_in("noether").status == 303
    port = free_port()
    assert node.change("set", f"dicom.port={port}")
    assert "Take it up" in browser.get("/configuration").text
    ready = len(node.events("node ready"))
    assert browser.submit("/configuration/take-up").status == 202
    node.wait_for("node ready", ready)
    assert "Take it up" not in browser.get("/configuration").text
    assert "had the configuration taken up" in browser.get("/audit").text
    scu_of(port).echo()
    node.configuration.write_text("broken", encoding="utf-8")
    page = browser.submit("/configuration/take-up")
    assert page.status == 409
    assert "TOML" in page.text
    scu_of(port).echo()
    assert node.stop() == 0
