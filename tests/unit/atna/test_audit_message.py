"""Every message is one by the standard's schema, and says who did what to which study."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.atna.audit_message import (
    Outcome,
    Reporter,
    Subject,
    Transfer,
    activity,
    of_entry,
    of_transfer,
)
from node.domain.audit import COMMAND_LINE, Action, AuditEntry
from tests.audit_schema import read_audit_message, summary

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REPORTER = Reporter(source_id="cardionode", site_id="St. Francis", machine="heart")
SUBJECT = Subject(
    study_instance_uid="1.2.3", patient_id="P1", sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1"
)
UNTOLD = (Action.TRIED, Action.PROVED, Action.REHEARSED, Action.UNKNOWN)


def entry(action: Action, *, peer: str = "192.0.2.7", said: str = "") -> AuditEntry:
    return AuditEntry(
        entry_id=1, at=AT, user_name="curie", peer=peer, action=action, job_id=3, said=said
    )


@pytest.mark.parametrize("action", [each for each in Action if each not in UNTOLD])
@pytest.mark.parametrize("subject", [SUBJECT, None])
def test_what_a_person_does_is_a_message(action: Action, subject: Subject | None) -> None:
    content = of_entry(REPORTER, entry(action, said="dicom.port"), subject)
    assert content is not None
    message = read_audit_message(content)
    person, node = message.findall("ActiveParticipant")
    assert (person.get("UserID"), person.get("UserIsRequestor")) == ("curie", "true")
    assert person.get("NetworkAccessPointID") == "192.0.2.7"
    assert node.get("UserIsRequestor") == "false"
    assert message.find("AuditSourceIdentification").get("AuditEnterpriseSiteID") == "St. Francis"


@pytest.mark.parametrize("action", UNTOLD)
def test_what_is_of_no_patient_and_no_security_is_none(action: Action) -> None:
    assert of_entry(REPORTER, entry(action), None) is None


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Action.SIGNED_IN, "User Authentication, Login, 0: curie, cardionode"),
        (Action.REFUSED, "User Authentication, Login, 4: curie, cardionode"),
        (Action.SIGNED_OUT, "User Authentication, Logout, 0: curie, cardionode"),
        (Action.VIEWED, "DICOM Instances Accessed, 0: curie, cardionode"),
        (Action.SEARCHED, "Query, 0: curie, cardionode"),
        (Action.CONFIGURED, "Security Alert, Software Configuration, 0: curie, cardionode"),
        (
            Action.ADDED_USER,
            "Security Alert, User security Attributes Changed, 0: curie, cardionode",
        ),
    ],
)
def test_events_have_the_codes_of_the_standard(action: Action, said: str) -> None:
    content = of_entry(REPORTER, entry(action), SUBJECT)
    assert content is not None
    assert summary(content) == said


def test_who_looks_at_a_study_is_told_with_study_and_patient_and_without_a_name() -> None:
    content = of_entry(REPORTER, entry(Action.VIEWED), SUBJECT)
    assert content is not None
    study, patient = read_audit_message(content).findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert study.find("ParticipantObjectIDTypeCode").get("csd-code") == "110180"
    assert study.find(".//SOPClass").get("UID") == SUBJECT.sop_class_uid
    assert patient.get("ParticipantObjectID") == "P1"
    assert patient.get("ParticipantObjectTypeCodeRole") == "1"
    assert not patient.findtext("ParticipantObjectName")


def test_a_command_is_of_this_machine() -> None:
    content = of_entry(REPORTER, entry(Action.RETRIED, peer=COMMAND_LINE), SUBJECT)
    assert content is not None
    person, _ = read_audit_message(content).findall("ActiveParticipant")
    assert person.get("NetworkAccessPointID") == COMMAND_LINE
    assert person.get("NetworkAccessPointTypeCode") == "1"


@pytest.mark.parametrize("outcome", Outcome)
def test_a_transfer_has_its_two_ends(outcome: Outcome) -> None:
    transfer = Transfer(
        at=AT, sop_class_uid="1.2.840.10008.5.1.4.1.1.7.2", source="CARDIONODE",
        source_address="", destination="PACS", destination_address="192.0.2.10", outcome=outcome,
        is_new_there=True,
    )  # fmt: skip
    message = read_audit_message(of_transfer(REPORTER, transfer, SUBJECT))
    assert message.find("EventIdentification").get("EventOutcomeIndicator") == outcome.value
    ends = [
        (each.get("UserID"), each.get("NetworkAccessPointID"), each[0].get("originalText"))
        for each in message.findall("ActiveParticipant")
    ]
    assert ends == [
        ("CARDIONODE", "heart", "Source Role ID"),
        ("PACS", "192.0.2.10", "Destination Role ID"),
    ]
    assert message.find(".//SOPClass").get("UID") == "1.2.840.10008.5.1.4.1.1.7.2"
    assert "Doe" not in repr(SUBJECT)
    assert "P1" not in repr(SUBJECT)


def test_the_node_tells_that_it_starts_and_stops() -> None:
    started, stopped = (activity(REPORTER, has_started=each, at=AT) for each in (True, False))
    assert summary(started) == "Application Activity, Application Start, 0: cardionode"
    assert summary(stopped) == "Application Activity, Application Stop, 0: cardionode"


@given(text=st.text(max_size=40))
@example(text="\r")
def test_whatever_a_field_holds_the_message_is_one(text: str) -> None:
    subject = Subject(study_instance_uid=text, patient_id=text, sop_class_uid=text)
    told = AuditEntry(
        entry_id=1, at=AT, user_name=text, peer=text, action=Action.VIEWED, job_id=3, said=text
    )
    content = of_entry(REPORTER, told, subject)
    assert content is not None
    read_audit_message(content)
