"""The console over HTTP: who is let in, what they see, what they may do."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime

import pytest
from pydicom import Dataset, dcmread

from node.dicom.part10 import read_part10
from node.domain.audit import Action
from node.domain.delivery import DeliveryOutcome, DeliveryState, JobState, ResultKind
from node.models import Proved
from node.web.console.gate import UNATTENDED
from pipelines.parity import Deviation
from tests.ecg_instances import mortara
from tests.fakes import SOMEBODY
from tests.wire.web.console_server import (
    IDLE,
    PASSWORD,
    Browser,
    ConsoleServer,
    pipeline,
)

PAGES = (
    "/",
    "/studies",
    "/studies/1",
    "/connections",
    "/rules",
    "/messages",
    "/messages/1",
    "/messages/sent",
    "/model",
    "/handbook",
    "/handbook/operations",
    "/configuration",
    "/users",
    "/account",
    "/audit",
)
SHOWN = ("/studies/1/ecg.png", "/studies/1/cine.png", "/studies/1/results/1")
ACTS = ("retry", "send-again", "release", "reject", "correct", "cancel")


def done(console: ConsoleServer) -> list[tuple[str | None, Action, int | None]]:
    """What the audit has since the users are there, the first first."""
    return [(each.user_name, each.action, each.job_id) for each in console.audited()]


def test_every_page_asks_for_sign_in(console: ConsoleServer, browser: Browser) -> None:
    console.take()
    for path in (*PAGES, *SHOWN):
        page = browser.get(path)
        assert page.status == 303
        assert page.headers["Location"].startswith("/sign-in")
        assert browser.get(path, Sec_Fetch_Mode="cors").status == 401
    for act in ACTS:
        assert browser.post(f"/studies/1/{act}", {}).headers["Location"] == "/sign-in"
    assert done(console) == []


def test_who_signs_in_comes_back_to_where_they_were(browser: Browser) -> None:
    asked = browser.get("/studies/7")
    assert asked.headers["Location"] == "/sign-in?to=/studies/7"
    form = browser.get(asked.headers["Location"])
    assert 'name="to" value="/studies/7"' in form.text
    entered = browser.post("/sign-in", {"name": "viewer", "password": PASSWORD, "to": "/studies/7"})
    assert (entered.status, entered.headers["Location"]) == (303, "/studies/7")


@pytest.mark.parametrize(
    "elsewhere",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a//b"],
)
def test_sign_in_leads_nowhere_else(browser: Browser, elsewhere: str) -> None:
    entered = browser.post("/sign-in", {"name": "viewer", "password": PASSWORD, "to": elsewhere})
    assert (entered.status, entered.headers["Location"]) == (303, "/")


def test_the_overview_tells_how_the_node_does(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    console.refuse(job_id, "the PACS knows no such AE title")
    console.problems.append("what keeps the objects is nearly full: new instances are refused")
    browser.sign_in("viewer")
    text = browser.get("/").text
    for told in (
        "nearly full",
        "127.0.0.1:104",
        "the PACS knows no such AE title",
        "1 ECGs in the last 24 hours",
        "phantom 1.2.3",
    ):
        assert told in text


def test_a_study_shows_ecg_numbers_cine_and_where_its_results_went(
    console: ConsoleServer, browser: Browser
) -> None:
    ecg = mortara()
    ecg.PatientName = "Doe^Jane"
    job_id = console.take(ecg)
    browser.sign_in("viewer")
    listed = browser.get("/studies").text
    assert "Doe, Jane" in listed
    assert ecg.PatientID in listed
    assert "0 of 4" in listed
    page = browser.get(f"/studies/{job_id}").text
    assert "NOT FOR CLINICAL USE" in page
    assert "90 % interval" in page
    assert re.search(r"<strong>[\d.]+</strong> %", page), "an ejection fraction"
    assert 'data-sheet="/studies/1/cine.png' in page
    assert "OBX|1|" in page, "the message as it is sent"
    assert "PRELIMINARY" in page.upper()
    pictures = re.findall(r'="(/studies/1/(?:ecg|cine)\.png\?seen=[0-9a-f]{64})"', page)
    assert len(pictures) == 2
    for path in pictures:
        picture = browser.get(path)
        assert (picture.status, picture.content[:4]) == (200, b"\x89PNG")
        assert browser.get(path.partition("?")[0]).status == 403, "nobody was noted to look"
        assert browser.get(path.replace("seen=", "seen=0")).status == 403
        assert browser.get(path.replace("seen=", "seen=%C3%A9")).status == 403
    assert done(console) == [
        ("viewer", Action.SIGNED_IN, None),
        ("viewer", Action.LISTED, None),
        ("viewer", Action.VIEWED, job_id),
    ]


def test_an_open_study_is_told_when_there_is_more_to_see(
    console: ConsoleServer, browser: Browser
) -> None:
    job_id = console.take(answered=False)
    browser.sign_in("viewer")
    page = browser.get(f"/studies/{job_id}").text
    assert f'hx-get="/studies/{job_id}/deliveries?state=received"' in page
    asked = f"/studies/{job_id}/deliveries?state=received"
    assert "HX-Refresh" not in browser.get(asked).headers
    console.process(job_id)
    part = browser.get(asked)
    assert part.headers["HX-Refresh"] == "true"
    assert mortara().PatientID not in part.text
    console.refuse(job_id, "full")
    assert browser.get(f"/studies/{job_id}/deliveries?state=completed").headers["HX-Refresh"]


def test_a_study_is_shown_under_the_patient_whom_its_results_are_filed_under(
    console: ConsoleServer, browser: Browser
) -> None:
    job_id = console.take()
    with console.work.look() as transaction:
        (report,) = [
            each for each in transaction.outbox.of_job(job_id) if each.kind is ResultKind.REPORT
        ]
    merged = dcmread(io.BytesIO(console.spool.get(report.content_digest)))
    merged.PatientID, merged.PatientName = "SURVIVOR", "Curie^Marie"
    digest = console.spool.put(file_of(merged))
    with console.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE node_delivery SET content_digest = ? WHERE delivery_id = ?",
            (digest, report.delivery_id),
        )
    browser.sign_in("viewer")
    page = browser.get(f"/studies/{job_id}").text
    assert "SURVIVOR" in page
    assert "Curie, Marie" in page


def test_what_is_lost_is_said_and_the_rest_is_shown(
    console: ConsoleServer, browser: Browser
) -> None:
    job_id = console.take()
    console.refuse(job_id, "full")
    with console.work.look() as transaction:
        job = transaction.jobs.get(job_id)
    assert job is not None
    assert job.prediction_digest is not None
    console.spool.remove_if_older(job.prediction_digest, than=datetime(2100, 1, 1, tzinfo=UTC))
    browser.sign_in("operator")
    page = browser.get(f"/studies/{job_id}")
    assert page.status == 200
    assert "cannot be shown: the spool cannot read" in page.text
    assert "<button>Retry</button>" in page.text


def test_a_result_is_given_as_it_was_made(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    browser.sign_in("viewer")
    with console.work.look() as transaction:
        made = transaction.outbox.of_job(job_id)
    for each in made:
        result = browser.get(f"/studies/{job_id}/results/{each.delivery_id}")
        assert result.content == console.spool.get(each.content_digest)
        assert "attachment" in result.headers["Content-Disposition"]
        if each.kind is ResultKind.REPORT:
            assert read_part10(result.content).SOPInstanceUID == each.identifier
    assert [action for _, action, _ in done(console)].count(Action.DOWNLOADED) == len(made)
    assert browser.get(f"/studies/{job_id}/results/99").status == 404
    other = console.take(_other(), answered=False)
    assert browser.get(f"/studies/{other}/results/{made[0].delivery_id}").status == 404


def test_studies_are_found_by_patient_order_study_and_number(
    console: ConsoleServer, browser: Browser
) -> None:
    ecg = mortara()
    ecg.AccessionNumber = "ACC-1"
    job_id = console.take(ecg)
    console.take(_other(), answered=False)
    browser.sign_in("viewer")
    for sought in (
        ecg.PatientID, "ACC-1", ecg.StudyInstanceUID, ecg.SOPInstanceUID, str(job_id),
    ):  # fmt: skip
        found = browser.submit("/studies", {"sought": str(sought)})
        assert re.findall(r'href="/studies/(\d+)"', found.text) == [str(job_id)], sought
    for sought in ("nobody", "9" * 40, "\x00", ""):
        found = browser.submit("/studies", {"sought": sought})
        assert found.status == 200
        assert 'href="/studies/1"' not in found.text


def test_the_list_is_read_in_pages_and_by_state(console: ConsoleServer, browser: Browser) -> None:
    for number in range(27):
        console.take(_other(number), answered=False)
    browser.sign_in("viewer")
    first = browser.get("/studies")
    assert len(re.findall(r'href="/studies/\d+"', first.text)) == 25
    assert "/studies?before=3" in first.text
    rest = browser.get("/studies?before=3").text
    assert re.findall(r'href="/studies/(\d+)"', rest) == ["2", "1"]
    assert browser.get("/studies?state=received").status == 200
    assert 'href="/studies/1"' not in browser.get("/studies?state=failed").text
    for wrong in ("state=nothing", "before=x", "before=99999999999"):
        assert browser.get(f"/studies?{wrong}").status == 404


def test_an_operator_sets_going_again_what_was_refused(
    console: ConsoleServer, browser: Browser
) -> None:
    job_id = console.take()
    console.refuse(job_id, "full")
    browser.sign_in("operator")
    assert "Retry" in browser.get(f"/studies/{job_id}").text
    answer = browser.submit(f"/studies/{job_id}/retry")
    assert (answer.status, answer.headers["Location"]) == (303, f"/studies/{job_id}")
    with console.work.look() as transaction:
        states = {each.state for each in transaction.outbox.of_job(job_id)}
    assert states == {DeliveryState.PENDING}
    assert "4 deliveries are tried now" in browser.get(f"/studies/{job_id}").text
    assert ("operator", Action.RETRIED, job_id) in done(console)


def test_an_operator_has_sent_again_what_arrived(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    with console.work.begin() as transaction:
        for each in transaction.outbox.of_job(job_id):
            done_with = DeliveryOutcome(state=DeliveryState.DELIVERED)
            at = each.owed_since
            transaction.outbox.settle(each.delivery_id, done_with, started_at=at, at=at)
    browser.sign_in("operator")
    page = browser.get(f"/studies/{job_id}").text
    assert "Send again study" in page
    assert "Retry" not in page
    assert browser.submit(f"/studies/{job_id}/send-again").status == 303
    with console.work.look() as transaction:
        states = {each.state for each in transaction.outbox.of_job(job_id)}
    assert states == {DeliveryState.PENDING}
    assert ("operator", Action.SENT_AGAIN, job_id) in done(console)


def test_what_is_not_possible_is_said(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    browser.sign_in("operator")
    refused = browser.submit(f"/studies/{job_id}/release")
    assert refused.status == 409
    assert "is not held, but completed" in refused.text
    assert browser.submit("/studies/99/retry").status == 409
    assert browser.submit(f"/studies/{job_id}/explode").status == 404
    assert browser.submit("/studies/x/retry").status == 404


def test_a_held_study_is_released_or_rejected(console: ConsoleServer, browser: Browser) -> None:
    jobs = [console.take(_other(number), answered=False) for number in range(2)]
    for job_id in jobs:
        with console.work.begin() as transaction:
            transaction.jobs.settle(
                job_id, JobState.HELD, at=console.clock(), error_code="uncertain-patient",
                error_message="the ECG has no Patient ID",
            )  # fmt: skip
    browser.sign_in("operator")
    page = browser.get(f"/studies/{jobs[0]}").text
    assert "the ECG has no Patient ID" in page
    assert "Retry" not in page
    assert browser.submit(f"/studies/{jobs[0]}/release").status == 303
    assert browser.submit(f"/studies/{jobs[1]}/reject").status == 303
    with console.work.look() as transaction:
        states = [transaction.jobs.get(job_id).state for job_id in jobs]  # type: ignore[union-attr]
    assert states == [JobState.RECEIVED, JobState.CANCELLED]


def test_who_is_idle_or_a_shift_long_signed_in_has_to_sign_in_again(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("viewer")
    console.clock.move(IDLE.total_seconds() - 1)
    assert browser.get("/").status == 200, "and that was a sign of the person"
    console.clock.move(IDLE.total_seconds() - 1)
    assert browser.get("/", **{UNATTENDED.replace("-", "_"): "1"}).status == 200
    console.clock.move(2)
    assert browser.get("/").status == 303
    browser.sign_in("viewer")
    for _ in range(25):
        console.clock.move(IDLE.total_seconds() - 1)
        last = browser.get("/")
    assert last.status == 303, "12 hours later"


def test_sign_out_ends_the_session_for_everybody_who_has_its_token(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("viewer")
    thief = Browser(console.port)
    thief.cookies = dict(browser.cookies)
    assert thief.get("/").status == 200
    assert browser.submit("/sign-out").headers["Location"] == "/sign-in"
    assert browser.cookies == {}
    assert thief.get("/").status == 303


@pytest.mark.parametrize("how", ["password", "removed"])
def test_a_user_whom_an_administrator_changes_is_signed_out(
    console: ConsoleServer, browser: Browser, how: str
) -> None:
    browser.sign_in("operator")
    assert browser.get("/").status == 200
    if how == "password":
        console.accounts.set_password("operator", f"another {PASSWORD}", by=SOMEBODY)
    else:
        console.accounts.remove("operator", by=SOMEBODY)
    assert browser.get("/").status == 303


def test_the_audit_is_the_administrators_and_tells_who_did_what(
    console: ConsoleServer, browser: Browser
) -> None:
    Browser(console.port).sign_in("viewer")
    Browser(console.port).sign_in("operator", "wrong horse battery")
    browser.sign_in("admin")
    page = browser.get("/audit").text
    assert "sign-in refused" in page
    only = browser.get("/audit?user=viewer").text
    assert "sign-in refused" not in only
    assert "signed in" in only


def test_messages_are_listed_and_read(console: ConsoleServer, browser: Browser) -> None:
    said = b"MSH|^~\\&|RIS|H|CARDIONODE|H|20260102||ADT^A08|C1|P|2.5.1\rPID|1||P1||Doe^<b>Jane\r"
    with console.work.begin() as transaction:
        transaction.messages.add(
            control_id="C1", message_type="ADT^A08", peer="192.0.2.4", at=console.clock(),
            content_digest=console.spool.put(said), unmarked_charset="ASCII", error="no PV1",
        )  # fmt: skip
    browser.sign_in("viewer")
    listed = browser.get("/messages").text
    for told in ("ADT^A08", "C1", "192.0.2.4", "no PV1"):
        assert told in listed
    assert "Doe" not in listed
    assert "PID|1||P1||Doe^&lt;b&gt;Jane\n" in browser.get("/messages/1").text
    assert ("viewer", Action.READ, None) in done(console)
    assert browser.get("/messages/2").status == 404
    assert "C1" not in browser.get("/messages?before=1").text


def test_a_message_that_can_be_used_since_is_replayed(
    console: ConsoleServer, browser: Browser
) -> None:
    said = b"MSH|^~\\&|RIS|H|CARDIONODE|H|20260102||ADT^A08|C1|P|2.5.1\rPID|1||P1||Doe^Jane\r"
    with console.work.begin() as transaction:
        transaction.messages.add(
            control_id="C1", message_type="ADT^A08", peer="192.0.2.4", at=console.clock(),
            content_digest=console.spool.put(said), unmarked_charset="ASCII", error="no PV1",
        )  # fmt: skip
    browser.sign_in("viewer")
    assert "Replay" not in browser.get("/messages/1").text
    assert browser.submit("/messages/1/replay").status == 403
    browser.sign_in("operator")
    assert "Replay" in browser.get("/messages/1").text
    answer = browser.submit("/messages/1/replay")
    assert (answer.status, answer.headers["Location"]) == (303, "/messages/1")
    assert "Replay" not in browser.get("/messages/1").text
    assert ("operator", Action.REPLAYED, None) in done(console)
    assert browser.submit("/messages/1/replay").status == 409


def test_what_was_sent_is_listed_with_how_it_went(console: ConsoleServer, browser: Browser) -> None:
    job_id = console.take()
    console.refuse(job_id, "the disk there is full")
    browser.sign_in("viewer")
    listed = browser.get("/messages/sent").text
    assert listed.count("the disk there is full") == 4
    assert f'href="/studies/{job_id}"' in listed
    of_one = browser.get("/messages/sent?to=RIS").text
    assert of_one.count("the disk there is full") == 1
    assert browser.get("/messages/sent?to=nobody").text.count("is full") == 4
    assert "is full" not in browser.get("/messages/sent?before=1").text


def test_the_model_tells_of_itself_and_its_card_runs_nothing(browser: Browser) -> None:
    browser.sign_in("viewer")
    page = browser.get("/model").text
    for told in ("phantom 1.2.3", "onnxruntime 1.32.0 CPU", "90 %", "<td>1</td>", "Apache-2.0"):
        assert told in page
    assert "NOT FOR CLINICAL USE" in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_model_is_proved_anew_by_an_administrator(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("operator")
    assert "Prove" not in re.findall(r"<button>(\w+)", browser.get("/model").text)
    assert browser.submit("/model/prove").status == 403
    browser.sign_in("admin")
    assert "2.5e-07" in browser.get("/model").text
    deviation = Deviation(output="frames", largest=3e-6, allowed=2e-3)
    console.proved = [
        Proved(choice="quick", identity=pipeline().identity, proof=[deviation]),
        Proved(choice="gone", identity=None, reason="no bundle is called 'gone'"),
    ]
    page = browser.submit("/model/prove").text
    for told in ("frames", "3e-06", "0.002", "no bundle is called &#39;gone&#39;"):
        assert told in page
    (entry,) = [each for each in console.audited() if each.action is Action.PROVED]
    assert entry.said == "quick: proved; gone: no bundle is called 'gone'"


def test_files_of_the_pages_are_there_and_nothing_else(browser: Browser) -> None:
    for name in ("console.css", "console.js", "htmx.min.js", "heart.svg"):
        assert browser.get(f"/static/{name}").status == 200
    for path in (
        "/static/../pages.py",
        "/static/..%2fpages.py",
        "/static/%2e%2e/pages.py",
        "/static//etc/passwd",
        "/static/....//pages.py",
        "/static/templates/base.html",
    ):
        assert browser.get(path).status == 404, path


def file_of(ecg: Dataset) -> bytes:
    file = io.BytesIO()
    ecg.save_as(file)
    return file.getvalue()


def _other(number: int = 0) -> Dataset:
    ecg = mortara()
    ecg.SOPInstanceUID = ecg.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number + 1}"
    ecg.StudyInstanceUID, ecg.PatientID = f"1.2.3.5.{number + 1}", f"OTHER-{number}"
    return ecg


def test_an_administrator_adds_users_and_takes_them_away(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("admin")
    new = {"password": f"new {PASSWORD}", "again": f"new {PASSWORD}"}
    fields = {"name": "curie", "role": "operator", "signs_as": "Curie^Marie^^Dr", **new}
    assert browser.submit("/users", fields).status == 303
    listed = browser.get("/users").text
    assert "operator, signs as Curie^Marie^^Dr" in listed
    other = Browser(console.port)
    assert other.sign_in("curie", new["password"]).status == 303

    number = [each.name for each in console.accounts.all()].index("curie") + 1
    again = {"name": "curie", "password": f"third {PASSWORD}", "again": f"third {PASSWORD}"}
    assert browser.submit(f"/users/{number}/password", again).status == 303
    assert other.get("/").status == 303, "signed out"
    assert other.sign_in("curie", again["password"]).status == 303
    assert browser.submit(f"/users/{number}/remove", {"name": "curie"}).status == 303
    assert other.get("/").status == 303
    assert "curie" not in [each.name for each in console.accounts.all()]
    told = [
        (each.user_name, each.action, each.said)
        for each in console.audited()
        if each.user_name == "admin" and each.said
    ]
    assert told == [
        ("admin", Action.ADDED_USER, "curie, operator"),
        ("admin", Action.CHANGED_PASSWORD, "curie"),
        ("admin", Action.REMOVED_USER, "curie"),
    ]


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/users", {"role": "emperor"}, "a role is one of viewer, operator, admin"),
        ("/users", {"again": "another one, longer"}, "the two new passwords differ"),
        ("/users", {"password": "short", "again": "short"}, "12 to 256 characters"),
        ("/users", {"name": "Curie Marie"}, "a user&#39;s name has 1 to 64"),
        ("/users", {"name": "viewer"}, "there is a user &#39;viewer&#39; already"),
        ("/users", {"signs_as": "Curie^Marie^^Dr^^more=and"}, "as DICOM does"),
        ("/users/1/remove", {"name": "admin"}, "nobody removes themselves"),
        ("/users/2/remove", {"name": "viewer"}, "look at the list again"),
        ("/users/9/password", {}, "look at the list again"),
    ],
)
def test_a_user_that_does_not_do_is_refused_with_the_reason(
    console: ConsoleServer, browser: Browser, path: str, fields: dict[str, str], said: str
) -> None:
    browser.sign_in("admin")
    whole = {"name": "curie", "role": "viewer", "password": PASSWORD, "again": PASSWORD}
    page = browser.submit(path, whole | fields)
    assert page.status in (403, 409)
    assert said in page.text
    assert [each.name for each in console.accounts.all()] == ["admin", "operator", "viewer"]


def test_everybody_changes_their_own_password_and_nobody_guesses_it(
    console: ConsoleServer, browser: Browser
) -> None:
    browser.sign_in("viewer")
    new = {"password": f"new {PASSWORD}", "again": f"new {PASSWORD}"}
    assert "/account" in browser.get("/").text
    wrong = browser.submit("/account", {"present": "guess", **new})
    assert wrong.status == 403
    assert "the present password: it is another password" in wrong.text
    assert (
        browser.submit("/account", {"present": PASSWORD, **new}).headers["Location"] == "/sign-in"
    )
    assert browser.get("/").status == 303, "signed out"
    assert browser.sign_in("viewer").status == 403
    assert browser.sign_in("viewer", new["password"]).status == 303
    for _ in range(6):
        last = browser.submit("/account", {"present": "guess", **new})
    assert "too many wrong passwords" in last.text
