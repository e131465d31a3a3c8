"""A sign-off: the same numbers, verified by a person, wherever they were sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from argon2 import PasswordHasher
from pydicom import Dataset

from node.dicom.part10 import read_part10
from node.dicom.template import load_templates
from node.domain.delivery import (
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    JobState,
    ResultKind,
)
from node.domain.errors import ConfigurationError, NotAllowed, NotPossible
from node.domain.form import CharacterSet, ReportForm, ResultForm
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.user import Role
from node.domain.wording import SYNTHETIC, WITHDRAWN
from node.fhir.site import Site as FhirSite
from node.hl7.profile import Profile
from node.workflow.accounts import Accounts
from node.workflow.route import Destination
from node.workflow.sign_off import SignOff
from node.workflow.waiting import release_waiting
from pipelines.contract import InputSpec, Pipeline
from tests.fakes import SOMEBODY
from tests.judges import complaints, complaints_of_pixelmed
from tests.result_forms import brief, compose, of_kind, signed
from tests.result_phantom import ecg_head
from tests.unit.workflow import test_correct
from tests.unit.workflow.test_correct import instance, predecessors
from tests.unit.workflow.test_identity import pipeline
from tests.unit.workflow.test_withdraw import note, rejected, withdraw

__all__ = ["pipeline"]

PASSWORD = "correct horse battery"
EHR = Destination(
    name="EHR", kind=DestinationKind.FHIR, site=FhirSite(time_zone=ZoneInfo("Europe/Vienna"))
)


@dataclass(frozen=True)
class OfPatients:
    """A pipeline whose model was trained on people, as it says."""

    made: Pipeline

    @property
    def identity(self) -> ModelIdentity:
        return replace(self.made.identity, simulated=False)

    @property
    def input_spec(self) -> InputSpec:
        return self.made.input_spec

    def predict(self, *given: Any, **named: Any) -> Prediction:
        return replace(self.made.predict(*given, **named), model=self.identity)


class Site(test_correct.Site):
    """With a FHIR server, and a cardiologist who signs."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline)
        self.organization = "St. Francis"
        self.after: dict[str, str] = {}
        self.accounts = Accounts(
            work=self.work,
            telemetry=self.notes,
            clock=self.clock,
            hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
        )
        self.accounts.add(
            "curie", PASSWORD, role=Role.OPERATOR, by=SOMEBODY, person_name="Curie^Marie^S^Dr^MD"
        )
        self.accounts.add("admin", PASSWORD, role=Role.ADMIN, by=SOMEBODY)
        self._destinations["EHR"] = EHR
        self.goes_to(*self._destinations)

    def sign(self, user: str = "curie", password: str = PASSWORD, revision: int = 0) -> str:
        """revision: that was reviewed; left out, that there is."""
        return SignOff(
            peer=SOMEBODY.peer,
            work=self.work,
            spool=self.spool,
            accounts=self.accounts,
            organization=self.organization,
            templates=load_templates(),
            telemetry=self.notes,
            clock=self.clock,
            after=self.after,
        ).sign(
            1,
            revision=revision or self.job(1).revision,
            user_name=user,
            password=password,
        )

    def content(self, delivery: Delivery) -> bytes:
        return self.spool.get(delivery.content_digest)

    def deliveries(self) -> list[Delivery]:
        with self.work.begin() as transaction:
            return transaction.outbox.of_job(1)

    def pair(self, kind: ResultKind, destination: str) -> tuple[Delivery, Delivery]:
        """The last signed result, and what it is the copy of."""
        found = self.deliveries()
        signed = next(
            each
            for each in reversed(found)
            if each.signs is not None and (each.kind, each.destination) == (kind, destination)
        )
        return next(each for each in found if each.delivery_id == signed.signs), signed

    def reports(self, destination: str) -> tuple[Dataset, Dataset]:
        before, after = self.pair(ResultKind.REPORT, destination)
        return read_part10(self.content(before)), read_part10(self.content(after))

    def told(self) -> tuple[list[list[str]], list[list[str]]]:
        """The segments of the message before, and after."""
        before, after = (
            [line.split("|") for line in self.content(each).decode().split("\r") if line]
            for each in self.pair(ResultKind.ORU, "RIS")
        )
        return before, after


@pytest.fixture
def site(pipeline: Pipeline) -> Iterator[Site]:
    made = Site(OfPatients(pipeline))
    made.answer(1, patient="A")
    assert made.job(1).state is JobState.COMPLETED
    made.arrive(1)
    yield made
    made.work.close()


def test_each_archive_gets_its_report_verified_with_the_same_content(site: Site) -> None:
    assert site.sign() == "4 results are signed by Dr Marie S Curie MD and sent as final"
    for name in ("PACS", "OTHER"):
        before, after = site.reports(name)
        assert (before.VerificationFlag, before.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
        assert (after.VerificationFlag, after.PreliminaryFlag) == ("VERIFIED", "FINAL")
        (observer,) = after.VerifyingObserverSequence
        assert observer.VerifyingObserverName == "Curie^Marie^S^Dr^MD"
        assert observer.VerifyingOrganization == "St. Francis"
        assert observer.VerificationDateTime.endswith("+0000")
        assert predecessors(after) == [instance(before)]
        assert after.SOPClassUID == before.SOPClassUID
        assert after.SeriesDescription == f"{before.SeriesDescription}, SIGNED"
        words, said = (each["ContentSequence"].to_json(1024, None) for each in (before, after))
        assert "Not verified" in words and "Not verified" not in said
        verified = load_templates().report.verified
        assert said == words.replace("Not verified by a physician.", verified)
        assert after.SyntheticData == "YES"


@pytest.mark.parametrize("form", [each for each in ReportForm if each is not ReportForm.NONE])
def test_a_signed_report_is_what_the_standard_asks_for(form: ReportForm, tmp_path: Path) -> None:
    made = compose(brief(), ResultForm(report=form), ecg_head())
    (report,) = of_kind(ResultKind.REPORT, made)
    file = tmp_path / "signed.dcm"
    file.write_bytes(signed(report).content)
    assert complaints(file) == []
    if form is ReportForm.COMPREHENSIVE_3D:  # slow
        assert complaints_of_pixelmed(file) == []


def test_the_ris_gets_the_same_numbers_as_final_and_who_signed_them(site: Site) -> None:
    site.sign()
    before, after = site.told()
    assert after[0][9] != before[0][9]
    (obr,), (obr_before,) = ([s for s in each if s[0] == "OBR"] for each in (after, before))
    assert (obr[25], obr[:22]) == ("F", obr_before[:22])
    name, at = obr[32].split("^")
    assert name == "curie&Curie&Marie&S&MD&Dr"
    assert at == obr[22] and at.endswith("+0000")
    observed = [s for s in after if s[0] == "OBX"]
    assert {s[11] for s in observed} == {"F", "O"}
    assert [s[:5] + s[6:11] for s in observed if s[11] == "F"] == [
        s[:5] + s[6:11] for s in before if s[0] == "OBX" and s[11] != "O"
    ]
    _, report = site.reports("PACS")  # of this form; the message names the one that is final
    (named,) = [s[5] for s in observed if s[3].startswith("REPORT-UID")]
    assert named == report.SOPInstanceUID
    texts = [s[5] for s in observed if s[2] == "TX"]
    assert texts[0] == "AI ESTIMATE FROM ECG - SYNTHETIC - SIGNED BY Dr Marie S Curie MD"
    assert texts[1:] == [s[5] for s in before if s[0] == "OBX" and s[2] == "TX"][1:]


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5.1"])
def test_the_grammar_of_each_version_allows_it(pipeline: Pipeline, version: str) -> None:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.parser import parse_message

    site = Site(OfPatients(pipeline))
    ris = replace(site._destinations["RIS"], profile=Profile(version=version, pdf="ed"))
    site._destinations["RIS"] = ris
    site.goes_to("RIS")
    site.answer(1, patient="A")
    site.arrive(1)
    site.sign()
    text = site.content(site.pair(ResultKind.ORU, "RIS")[1]).decode()
    parsed = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
    assert parsed.validate()
    documents = [s.split("|") for s in text.split("\r") if s.split("|")[2:3] == ["ED"]]
    assert [s[11] for s in documents] == ["R"]  # it says itself that nobody has verified it
    site.work.close()


def test_a_fhir_server_gets_the_same_resources_as_final(site: Site) -> None:
    site.sign()
    before, after = (
        json.loads(site.content(each))["entry"] for each in site.pair(ResultKind.FHIR, "EHR")
    )
    assert [each["request"] for each in after] == [each["request"] for each in before]
    resources = [each["resource"] for each in after]
    assert {each["status"] for each in resources} == {"final"}
    metas = [each["meta"] for each in resources if "meta" in each]
    assert {} not in metas
    tags = {tag["code"] for meta in metas for tag in meta["tag"]}
    assert tags == {"SYNTHETIC"}
    report = resources[0]
    (interpreter,) = report["resultsInterpreter"]
    assert interpreter["display"] == "Dr Marie S Curie MD"
    assert f"urn:oid:{site.reports('PACS')[1].SOPInstanceUID}" in {
        each["value"] for each in report["identifier"]
    }
    assert report["conclusion"].splitlines()[0].endswith("SIGNED BY Dr Marie S Curie MD")
    assert "NOT VERIFIED" not in json.dumps(after) and "NOT VERIFIED" in json.dumps(before)
    numbers = [[each["resource"].get("valueQuantity") for each in of] for of in (before, after)]
    assert numbers[0] == numbers[1]


def test_who_signed_what_and_when_is_kept(site: Site) -> None:
    site.sign()
    with site.work.begin() as transaction:
        ((revision, signature),) = transaction.users.signatures_of(1)
    assert (revision, signature.user_name, signature.organization) == (1, "curie", "St. Francis")
    ((_, said),) = [each for each in site.notes.events if each[0] == "results signed by a person"]
    assert said == {"job_id": 1, "user": "curie", "count": 4}


def test_only_who_is_who_they_say_and_has_a_name_to_sign_by_can_sign(site: Site) -> None:
    with pytest.raises(NotAllowed):
        site.sign(password="wrong horse battery")
    with pytest.raises(NotAllowed):
        site.sign(user="joliot")
    with pytest.raises(NotPossible, match="no name to sign"):
        site.sign(user="admin")
    site.organization = ""
    with pytest.raises(ConfigurationError, match=r"sign_off\.organization"):
        site.sign()
    assert {each.signs for each in site.deliveries()} == {None}


def test_results_of_a_simulated_model_cannot_be_signed(pipeline: Pipeline) -> None:
    site = Site(pipeline)
    site.answer(1, patient="A")
    with pytest.raises(NotPossible, match="simulated"):
        site.sign()
    site.work.close()


def test_results_are_signed_once(site: Site) -> None:
    site.sign()
    with pytest.raises(NotPossible, match="nothing of job 1"):
        site.sign()
    site.person.correct(1)
    with pytest.raises(NotPossible, match="no results to sign: received"):
        site.sign()


def test_what_is_there_is_signed_though_it_was_refused_when_sent_again(site: Site) -> None:
    site.person.send_again(1, "RIS")
    site.arrive(1, DeliveryState.REFUSED, "refused")  # of what is on its way: the message alone
    assert site.made(1)[ResultKind.ORU, "RIS"].state is DeliveryState.REFUSED
    site.sign()
    unsigned, _ = site.pair(ResultKind.ORU, "RIS")
    assert unsigned.state is DeliveryState.REFUSED


def test_what_a_destination_refused_is_not_signed(pipeline: Pipeline) -> None:
    site = Site(OfPatients(pipeline))
    site.answer(1, patient="A")
    report, at = site.made(1)[ResultKind.REPORT, "PACS"], site.clock()
    refused = DeliveryOutcome(state=DeliveryState.REFUSED, error_code="refused")
    with site.work.begin() as transaction:
        transaction.outbox.settle(report.delivery_id, refused, started_at=at, at=at)
    assert site.sign().startswith("3 results")
    assert report.delivery_id not in {each.signs for each in site.deliveries()}
    site.work.close()


def test_pictures_stay_as_they_are(site: Site) -> None:
    site.sign()
    signed = [each for each in site.deliveries() if each.signs is not None]
    assert {each.kind for each in signed} == {
        ResultKind.REPORT, ResultKind.ORU, ResultKind.FHIR,
    }  # fmt: skip


def test_what_has_not_left_unsigned_does_not_leave_any_more(pipeline: Pipeline) -> None:
    """After the signed message it would make the result preliminary again."""
    site = Site(OfPatients(pipeline))
    site.answer(1, patient="A")
    under_way = site.made(1)[ResultKind.REPORT, "OTHER"]
    with site.work.begin() as transaction:
        assert transaction.outbox.begin_attempt(under_way.delivery_id)
    site.sign()
    for _ in range(2):
        for kind, name in ((ResultKind.REPORT, "PACS"), (ResultKind.ORU, "RIS")):
            unsigned, signed = site.pair(kind, name)
            assert (unsigned.state, signed.state) == (
                DeliveryState.CANCELLED, DeliveryState.PENDING,
            )  # fmt: skip
            with site.work.begin() as transaction:
                assert not transaction.outbox.begin_attempt(unsigned.delivery_id)
        site.person.cancel(1)
        site.person.retry(1)
    # A report that never left is not replaced; one that may have is.
    assert predecessors(site.reports("PACS")[1]) == []
    assert predecessors(site.reports("OTHER")[1]) == [instance(site.reports("OTHER")[0])]
    site.work.close()


def test_a_message_goes_once_the_signed_report_is_committed_whatever_became_of_the_unsigned(
    pipeline: Pipeline,
) -> None:
    site = Site(OfPatients(pipeline))
    site.answer(1, patient="A")  # and all is on its way still
    site.after = {"RIS": "PACS"}
    site.sign()
    (waiting,) = [each for each in site.deliveries() if each.state is DeliveryState.WAITING]
    at = site.clock()
    with site.work.begin() as transaction:
        for each in transaction.outbox.of_job(1):
            if each.state is DeliveryState.PENDING and each.destination == "PACS":
                outcome = DeliveryOutcome(state=DeliveryState.DELIVERED)
                transaction.outbox.settle(each.delivery_id, outcome, started_at=at, at=at)
        release_waiting(transaction, 1, after=site.after, at=at)
        released = transaction.outbox.get(waiting.delivery_id)
    assert released is not None and released.state is DeliveryState.PENDING
    site.work.close()


def test_two_archives_of_one_form_get_one_signed_report(pipeline: Pipeline) -> None:
    """Also where the unsigned one has reached but one of them: one UID is one object."""
    site = Site(OfPatients(pipeline))
    site._destinations["OTHER"] = replace(site._destinations["PACS"], name="OTHER")
    site.goes_to("PACS", "OTHER")
    site.answer(1, patient="A")
    report, at = site.made(1)[ResultKind.REPORT, "PACS"], site.clock()
    arrived = DeliveryOutcome(state=DeliveryState.DELIVERED)
    with site.work.begin() as transaction:
        transaction.outbox.settle(report.delivery_id, arrived, started_at=at, at=at)
    site.sign()
    signed = [site.pair(ResultKind.REPORT, name)[1] for name in ("PACS", "OTHER")]
    assert len({each.identifier for each in signed}) == 1
    assert len({each.content_digest for each in signed}) == 1
    site.work.close()


def test_results_that_changed_since_they_were_reviewed_are_not_signed(site: Site) -> None:
    site.correct()
    with pytest.raises(NotPossible, match="other results by now"):
        site.sign(revision=1)
    assert site.sign(revision=2).startswith("4 results")


def test_no_message_undoes_a_signature(site: Site) -> None:
    """An order or a merge that comes later is told to a person."""
    site.correct_late()
    site.sign()
    order = "ORC|NW|PL9^RIS|FI9^RAD\rOBR|1|||93000^ECG^C4\rZDS|1.2.3^RIS^Application^DICOM\r"
    head = "MSH|^~\\&|RIS|H|CN|H|20261126080000||{}|{}|P|2.5.1\r"
    site.tell((head.format("ORM^O01", "1") + "PID|||A\r" + order).encode())
    site.tell((head.format("ADT^A40", "2") + "PID|||B\rMRG|A\r").encode())
    assert (site.job(1).state, site.job(1).revision) == (JobState.COMPLETED, 1)
    told = [each for each in site.notes.events if "after a person had signed" in str(each)]
    assert len(told) == 2


def test_results_are_kept_for_as_long_as_the_signature_is_young(site: Site) -> None:
    site.clock.now += timedelta(days=80)
    site.sign()
    after = site.job(1).settled_at
    assert after == site.clock.now
    report, at = site.pair(ResultKind.REPORT, "PACS")[0], site.clock()
    site.arrive(1)
    # Whatever becomes of what its signed copy replaced, it keeps nothing.
    lost = DeliveryOutcome(state=DeliveryState.EXHAUSTED)
    with site.work.begin() as transaction:
        transaction.outbox.settle_commitment(report.delivery_id, lost, started_at=at, at=at)
        finished = transaction.jobs.ended_before(after + timedelta(days=1), limit=5)
    assert [job.job_id for job in finished] == [1]


def test_the_message_waits_for_the_commitment_to_the_signed_report(site: Site) -> None:
    site.after = {"RIS": "PACS"}
    site.sign()
    assert site.pair(ResultKind.ORU, "RIS")[1].state is DeliveryState.WAITING
    assert site.pair(ResultKind.REPORT, "PACS")[1].state is DeliveryState.PENDING


def test_a_correction_replaces_the_signed_report_and_is_not_signed(site: Site) -> None:
    site.sign()
    signed = site.reports("PACS")[1]
    site.arrive(1)
    site.correct()
    again = site.report(2, "PACS")
    assert predecessors(again) == [instance(signed)]
    assert again.VerificationFlag == "UNVERIFIED"
    (obr,) = [s for s in site.message(2) if s[0] == "OBR"]
    assert (obr[25], obr[32]) == ("C", '""')
    assert next(s[5] for s in site.message(2) if s[2:3] == ["TX"]) == SYNTHETIC
    site.arrive(2)
    site.sign()
    assert predecessors(site.reports("PACS")[1]) == [instance(again)]
    assert site.told()[1][4][25] == "F"


def test_a_withdrawal_takes_back_the_signed_and_the_unsigned(site: Site) -> None:
    site.sign()
    site.arrive(1)
    withdraw(site)
    sent = {
        each.identifier
        for each in site.deliveries()
        if each.destination == "PACS" and each.kind is not ResultKind.REJECTION
    }
    assert rejected(note(site, 2, "PACS")) == sent
    (message,) = site.messages(2)
    (obr,) = [s for s in message if s[0] == "OBR"]
    assert (obr[25], obr[32]) == ("X", '""')
    texts = [s[5] for s in message if s[2:3] == ["TX"]]
    assert texts[0] == WITHDRAWN and "SIGNED" not in str(texts)


def test_a_name_that_the_character_set_has_no_letters_for_is_refused(pipeline: Pipeline) -> None:
    for form, profile, wrong in (
        (ResultForm(character_set=CharacterSet.LATIN_1), Profile(), "of the report"),
        (ResultForm(), Profile(charset="8859/1"), "of the message"),
    ):
        site = Site(OfPatients(pipeline))
        site.accounts.add(
            "ivan", PASSWORD, role=Role.VIEWER, by=SOMEBODY, person_name="Павлов^Иван"
        )
        site._destinations["PACS"] = replace(site._destinations["PACS"], form=form)
        site._destinations["RIS"] = replace(site._destinations["RIS"], profile=profile)
        site.goes_to("PACS", "RIS")
        site.answer(1, patient="A")
        with pytest.raises(NotPossible, match=wrong):
            site.sign(user="ivan")
        assert {each.signs for each in site.deliveries()} == {None}
        site.sign()
        site.work.close()


def test_the_same_signature_gives_the_same_bytes(pipeline: Pipeline) -> None:
    made = []
    for _ in range(2):
        site = Site(OfPatients(pipeline))
        site.answer(1, patient="A")
        site.sign()
        made.append([(each.identifier, each.content_digest) for each in site.deliveries()])
        site.work.close()
    assert made[0] == made[1]
