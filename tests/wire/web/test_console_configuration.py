"""The console where the configuration is seen and changed: connections, rules, the file."""

from __future__ import annotations

import re

from node.configured import build_routing
from node.domain.audit import Action
from node.domain.caller import Refusal
from node.domain.delivery import ResultKind
from node.domain.host import Host, HostRole
from node.settings import read_settings
from node.workflow.refused import RefusalBook
from tests.ecg_instances import mortara
from tests.wire.web.console_server import (
    Browser,
    ConsoleServer,
    Page,
)
from tests.wire.web.test_console import done, file_of

DESTINATION = """\
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
"""

RULES = """\
{DESTINATION}
[[rules]]
name = "all"  # of everybody
destinations = ["PACS"]

[[rules]]
name = "men"
destinations = ["PACS"]
attributes = {{ PatientSex = "M" }}
"""


def test_a_connection_is_tried_step_by_step(console: ConsoleServer, browser: Browser) -> None:
    browser.sign_in("operator")
    page = browser.get("/connections").text
    assert "ECG carts from 192.0.2.0/24 may store" in page
    right = browser.submit("/connections/test", {"name": "PACS"}).text
    assert right.count('<li class="good">') == 2
    wrong = browser.submit("/connections/test", {"name": "RIS"}).text
    assert (wrong.count('<li class="good">'), wrong.count('<li class="bad">')) == (1, 1)
    assert "nobody listens on 127.0.0.1:2575" in wrong
    for name in ("", "pacs", "OTHER"):
        assert browser.submit("/connections/test", {"name": name}).status == 404
    assert [action for _, action, _ in done(console)].count(Action.TRIED) == 2
    viewer = Browser(console.port)
    viewer.sign_in("viewer")
    assert viewer.submit("/connections/test", {"name": "PACS"}).status == 403


def test_test_results_are_sent_by_an_administrator_alone(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("operator")
    assert "Send test results" not in browser.get("/connections").text
    assert browser.submit("/connections/send", {"name": "PACS"}).status == 403
    browser.sign_in("admin")
    assert "Send test results" in browser.get("/connections").text
    assert "taken in 9 ms" in browser.submit("/connections/send", {"name": "PACS"}).text
    (entry,) = [each for each in console.audited() if each.action is Action.TRIED]
    assert entry.said == "PACS, with test results: all right"


def test_an_ecg_shows_which_rule_decides_and_is_kept_nowhere(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("operator")
    page = browser.get("/rules")
    assert "calling AE ED_*" in page.text
    found = re.search(r'data-form-token="([0-9a-f]{64})"', page.text)
    assert found is not None
    ecg, token = file_of(mortara()), {"X_Form_Token": found[1]}

    def drop(content: bytes, query: str = "", **headers: str) -> Page:
        return browser.post(f"/rules{query}", content, Content_Type="application/dicom", **headers)

    usual = drop(ecg, **token).text
    assert "calling_ae SENDER is not ED_*" in usual
    assert usual.count("<td>RIS</td>") == 1
    stat = drop(ecg, "?calling=ED_7&address=192.0.2.5", **token).text
    assert "<strong>emergency</strong> decides" in stat
    assert "<td>RIS</td>" not in stat
    assert drop(ecg).status == 403
    assert drop(b"no ECG", **token).status == 400
    assert drop(bytes(5_000_001), **token).status == 413
    assert browser.get("/studies").text.count('href="/studies/1"') == 0
    assert [said for said in done(console) if said[1] is Action.REHEARSED] == [
        ("operator", Action.REHEARSED, None)
    ] * 2


def test_an_administrator_adds_tests_and_removes_a_pacs(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text("# Of the hospital.\n" + DESTINATION, encoding="utf-8")
    browser.sign_in("admin")
    page = browser.get("/connections").text
    assert page.count("until the change is taken up") == 1, "RIS runs, and is configured no more"
    new = {"name": "VNA", "kind": "dicom", "ae_title": "VNA", "host": "192.0.2.7", "port": "104"}
    added = browser.submit("/connections", new)
    assert (added.status, added.headers["Location"]) == (303, "/connections")
    settings = read_settings(console.file.path)
    assert settings.destinations["VNA"].address == "192.0.2.7:104"
    assert console.file.path.read_text(encoding="utf-8").startswith("# Of the hospital.\n")
    assert "not taken up yet" in browser.get("/connections").text
    assert browser.submit("/connections/test", {"name": "VNA"}).status == 200
    for wrong, said in (
        ({"name": "VNA"}, "already"),
        ({"name": "a.b"}, "letters"),
        ({"name": "X", "port": "99999"}, "port"),
        ({"name": "X", "ae_title": ""}, "ae_title"),
        ({"name": "X", "host": 'h"\nport = 1'}, "a host is"),
        ({"name": "X", "kind": "carrier pigeon"}, "a PACS speaks DICOM"),
    ):
        refused = browser.submit("/connections", new | wrong)
        assert refused.status == 409, wrong
        assert said in refused.text
    assert browser.submit("/connections/remove", {"name": "VNA"}).status == 303
    assert "VNA" not in read_settings(console.file.path).destinations
    assert ("admin", Action.CONFIGURED, None) in done(console)
    operator = Browser(console.port)
    operator.sign_in("operator")
    assert operator.submit("/connections", new).status == 403
    assert operator.submit("/connections/remove", {"name": "PACS"}).status == 403
    assert operator.get("/configuration").status == 403


def test_an_administrator_moves_a_pacs_and_what_else_it_has_stays(
    console: ConsoleServer, browser: Browser
) -> None:
    kept = "commitment = true  # as the vendor says"
    console.file.path.write_text(f"{DESTINATION}{kept}\n", encoding="utf-8")
    browser.sign_in("admin")
    page = browser.get("/connections").text
    assert 'name="ae_title" required maxlength="16" autocomplete="off" value="PACS"' in page
    moved = {"name": "PACS", "ae_title": "PACS", "host": "192.0.2.8", "port": "11112"}

    def change(fields: dict[str, str]) -> int:
        """As the page has it now."""
        revision = console.file.read().digest
        return browser.submit("/connections/change", {"revision": revision, **fields}).status

    def said() -> list[str]:
        return [each.said for each in console.audited() if each.action is Action.CONFIGURED]

    assert f'name="revision" value="{console.file.read().digest}"' in page
    assert change(moved) == 303
    text = console.file.path.read_text(encoding="utf-8")
    assert text == f"{DESTINATION}{kept}\n".replace("127.0.0.1", "192.0.2.8").replace(
        "104", "11112"
    )
    assert "not taken up yet, before: 127.0.0.1:104" in browser.get("/connections").text
    assert change(moved) == 303
    for wrong, status in (
        ({"port": "99999"}, 409), ({"port": "9" * 5000}, 409), ({"host": ""}, 409),
        ({"ae_title": "x" * 17}, 409), ({"tls": "1"}, 409), ({"name": "RIS"}, 409),
        ({"name": "OTHER"}, 404), ({"port": "104", "revision": "0" * 64}, 409),
    ):  # fmt: skip
        assert change(moved | wrong) == status, wrong
    assert console.file.path.read_text(encoding="utf-8") == text
    assert said() == ["PACS changed: host, port"]


def test_connections_and_rules_are_seen_though_the_file_is_broken(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text("dicom.port = half a li\n", encoding="utf-8")
    browser.sign_in("admin")
    for path, shown in (("/connections", "127.0.0.1:104"), ("/rules", "emergency")):
        page = browser.get(path)
        assert page.status == 200
        assert shown in page.text
        assert "not one that a node could start by" in page.text
        assert "TOML" in page.text
        assert "Remove" not in page.text
    new = {"name": "x", "kind": "hl7", "host": "a", "port": "1", "result-oru": "1", "to-RIS": "1"}
    for path in ("/connections", "/rules/add"):
        refused = browser.submit(path, new)
        assert (refused.status, "TOML" in refused.text) == (409, True)


def test_an_administrator_adds_orders_and_removes_rules(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text(RULES.format(DESTINATION=DESTINATION), encoding="utf-8")

    def names() -> list[str]:
        return [rule.name for rule in console.settings().rules]

    browser.sign_in("admin")
    page = browser.get("/rules").text
    assert "not taken up yet" in page
    assert re.findall(r'aria-label="(Move|Remove) (\w+)', page) == [
        ("Remove", "all"), ("Move", "men"), ("Remove", "men")
    ]  # fmt: skip
    new = {"name": "stat", "calling_ae": "ED_*", "result-report": "1", "to-PACS": "1",
           "priority": "stat"}  # fmt: skip
    assert browser.submit("/rules/add", new).status == 303
    rule = console.settings().rules[-1]
    assert (rule.name, rule.calling_ae, rule.results, rule.destinations, rule.priority.value) == (
        "stat", "ED_*", ("report",), ("PACS",), "stat"
    )  # fmt: skip
    page = browser.get("/rules").text

    def act(what: str, at: str) -> int:
        """As the page has it now."""
        revision = console.file.read().digest
        return browser.submit(f"/rules/{what}", {"revision": revision, "at": at}).status

    assert f'name="revision" value="{console.file.read().digest}"' in page
    assert (act("up", "2"), act("up", "1")) == (303, 303)
    assert names() == ["stat", "all", "men"]
    assert act("up", "0") == 303
    assert names() == ["stat", "all", "men"], "there is none before it"
    assert "# of everybody" in console.file.path.read_text(encoding="utf-8")
    stale = browser.submit("/rules/remove", {"revision": "0" * 64, "at": "0"})
    assert (stale.status, "changed by somebody else" in stale.text) == (409, True)
    assert [act("remove", at) for at in ("3", "x", "")] == [404, 404, 404]
    assert act("remove", "1") == 303
    assert names() == ["stat", "men"]
    assert [each.said for each in console.audited() if each.action is Action.CONFIGURED] == [
        "rule stat added", "rule stat moved up", "rule stat moved up", "rule stat moved up",
        "rule all removed",
    ]  # fmt: skip
    for wrong in ({"name": ""}, {"priority": "soon"}, {"to-NOBODY": "1"}):
        assert browser.submit("/rules/add", new | wrong).status == 409, wrong
    assert browser.submit("/rules/add", {"name": "none", "priority": "stat"}).status == 409
    assert names() == ["stat", "men"]
    operator = Browser(console.port)
    operator.sign_in("operator")
    assert "Remove" not in operator.get("/rules").text


def test_what_went_everywhere_still_does_behind_the_first_rule_that_is_written(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text(DESTINATION, encoding="utf-8")
    browser.sign_in("admin")
    page = browser.get("/rules").text
    assert "everything" in page
    assert "Remove" not in page, "there is nothing written to remove"
    refused = browser.submit("/rules/remove", {"at": "0", "revision": console.file.read().digest})
    assert (refused.status, "[[rules]]" in refused.text) == (409, True)
    new = {"name": "ED \U0001f9e1", "calling_ae": "ED_*", "result-report": "1", "to-PACS": "1"}
    assert browser.submit("/rules/add", new).status == 303
    first, rest = console.settings().rules
    assert (first.name, first.results) == ("ED \U0001f9e1", ("report",))
    assert (rest.name, rest.calling_ae, rest.destinations) == ("everything", "*", ("PACS",))
    console.file.path.write_text(DESTINATION, encoding="utf-8")
    assert build_routing(console.settings()).rules[0].results == {
        ResultKind(each) for each in rest.results
    }


def test_the_configuration_is_checked_before_it_is_saved_and_by_one_at_a_time(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text("# Of the hospital.\n" + DESTINATION, encoding="utf-8")
    browser.sign_in("admin")
    page = browser.get("/configuration")
    digest = re.findall(r'name="digest" value="([0-9a-f]{64})"', page.text)[0]
    assert "# Of the hospital." in page.text

    def send(do: str, text: str, digest: str = digest) -> Page:
        return browser.submit("/configuration", {"do": do, "text": text, "digest": digest})

    better = '# Of the hospital.\r\nlog.level = "warning"\r\n' + DESTINATION
    checked = send("check", better)
    assert "+log.level = &#34;warning&#34;" in checked.text
    assert "A node would take it." in checked.text
    wrong = send("save", better.replace("warning", "whisper"))
    assert wrong.status == 409
    assert "log.level" in wrong.text
    assert read_settings(console.file.path).log.level == "info"
    assert send("save", better).status == 303
    assert read_settings(console.file.path).log.level == "warning"
    assert "Take it up" in browser.get("/configuration").text
    for do in ("check", "save"):
        late = send(do, better.replace("warning", "error"))
        assert late.status == 409
        assert "changed by somebody else" in late.text
    assert read_settings(console.file.path).log.level == "warning"


def test_each_host_says_which_configuration_it_runs_by(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text("dicom.port = 11912\n")
    for name, by in (("a", console.file.read().digest), ("b", "0123456789abcdef"), ("c", "")):
        with console.work.begin() as transaction:
            transaction.hosts.join(
                Host(
                    executor_id=name, machine=f"machine-{name}", home="/", store="one",
                    roles=frozenset({HostRole.SEND}), configuration=by, beats=0,
                    not_taken_up="no bundle is called x" if name == "b" else "",
                    started_at=console.clock(), beat_at=console.clock(),
                )
            )  # fmt: skip
    browser.sign_in("admin")
    page = browser.get("/configuration").text
    shown = dict(re.findall(r"(machine-.): send <span class=\"badge[^>]*>([^<]+)<", page))
    assert shown == {
        "machine-a": "this file", "machine-b": "another: 01234567", "machine-c": "does not say"
    }  # fmt: skip
    assert page.count("Not taken up: no bundle is called x") == 1


def test_an_administrator_has_it_taken_up_where_a_node_could_start_by_it(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("admin")
    console.renewal.problem = "no bundle is called x"
    refused = browser.submit("/configuration/take-up")
    assert (refused.status, console.renewal.times) == (409, 0)
    assert "no bundle is called x" in refused.text
    console.renewal.problem = ""
    taken = browser.submit("/configuration/take-up")
    assert (taken.status, console.renewal.times) == (202, 1)
    assert "starts anew" in taken.text
    assert [each for each in done(console) if each[1] is Action.TOOK_UP] == [
        ("admin", Action.TOOK_UP, None)
    ]
    operator = Browser(console.port)
    operator.sign_in("operator")
    assert operator.submit("/configuration/take-up").status == 403
    assert console.renewal.times == 1


def test_who_was_turned_away_is_listed(console: ConsoleServer, browser: Browser) -> None:
    book = RefusalBook(work=console.work, telemetry=console.notes, clock=console.clock)
    book.start()
    book.note(Refusal(calling_ae="<b>CART</b>", called_ae="X", peer="192.0.2.9", reason="unknown"))
    book.stop()
    browser.sign_in("viewer")
    page = browser.get("/connections").text
    assert "192.0.2.9" in page
    assert "&lt;b&gt;CART&lt;/b&gt;" in page


def test_a_caller_that_was_turned_away_is_let_in_by_one_click(
    console: ConsoleServer, browser: Browser
) -> None:
    console.file.path.write_text("# ours\n[dicom]\nport = 11912\n")
    book = RefusalBook(work=console.work, telemetry=console.notes, clock=console.clock)
    book.start()
    for title, address in (("CART", "192.0.2.9"), ("", "192.0.2.10")):
        called = "CARDIONODE" if title else ""
        book.note(Refusal(calling_ae=title, called_ae=called, peer=address, reason="unknown"))
    book.stop()
    browser.sign_in("operator")
    assert "/allow" not in browser.get("/connections").text
    assert browser.submit("/connections/refused/1/allow").status == 403
    browser.sign_in("admin")
    assert 'aria-label="Allow caller 1"' in browser.get("/connections").text
    assert browser.submit("/connections/refused/1/allow").status == 303
    text = console.file.path.read_text()
    assert text.startswith("# ours\n[dicom]\nport = 11912\n")
    assert [peer.ae_title for peer in read_settings(console.file.path).dicom.peers] == ["*", "CART"]
    page = browser.get("/connections").text
    assert "may echo, report, store" in page
    assert 'aria-label="Allow caller 1"' not in page
    assert console.audited()[-1].said == "CART at 192.0.2.9 may call CARDIONODE"
    again = browser.submit("/connections/refused/1/allow")
    assert (again.status, "admits it already" in again.text) == (409, True)
    never = browser.submit("/connections/refused/2/allow")
    assert (never.status, "see to the caller" in never.text) == (409, True)
    assert browser.submit("/connections/refused/9/allow").status == 404
