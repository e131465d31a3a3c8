"""What every message at hand is answered, and why: HL7 v2.5.1 §2.9.2.2, tables 0008 and 0357."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.hl7.message import read_acknowledgement
from node.workflow.inbox import Inbox
from node.workflow.registry import Registry
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes

ANSWERS = {
    # Of a type that is read, with all that it has to have, in its character set.
    "AA": """
        hapi_ADT_A01.txt mirth_batch02.hl7 mirth_nonbatch_04.hl7 mirth_nonbatch_05.hl7
        msfhir_ADT-A01-01.hl7 msfhir_ADT-A01-02.hl7 msfhir_ADT-A04-01.hl7 msfhir_ADT-A08-01.hl7
        msfhir_ORM-O01-01.hl7 msfhir_ORM-O01-02.hl7 msfhir_ORM-O01-03.hl7 msfhir_ORM-O01-05.hl7
    """,
    # The same, of a sender that asks for an accept acknowledgement (MSH-15 is AL): it is kept. Some
    # of these orders have no ORC, which the accept acknowledgement is not about.
    "CA": """
        mirth_test-hl7-input.hl7 mirth_test-hl7-missing-components-output.hl7
        mirth_test-hl7-missing-fields-output.hl7 mirth_test-hl7-repetitions-input.hl7
        mirth_test-hl7-subcomponents-input.hl7 mirth_test-hl7-whitespace-input.hl7
    """,
    # Its sender wants no answer: MSH-15 and MSH-16 are NE, or one of them and nothing.
    "none": """
        cdc_fail_onboarding.hl7 cdc_hl7_2.7.hl7 cdc_single_message.hl7 cdc_valid_altered_msh.hl7
        efferent_Sample-ORM.hl7 msfhir_ADT-A40-01.hl7
    """,
    # No MSH where a message begins: a batch (FHS), another file, or MSH-2 with a mark twice.
    "AR 100": """
        cdc_Example.hl7 cdc_batch_message.hl7 mirth_test-hl7-batch-input.hl7
        python-hl7_samples.py.txt lfh_sample_unix.hl7 lfh_sample_win.hl7
    """,
    # Several messages in one block, of which one acknowledgement would speak for the first alone.
    "AE 100": "mirth_batch03.hl7",
    # An order whose only number is that of its group.
    "AE 101": "msfhir_OMG-O19-01.hl7",
    # Results, appointments, documents, vaccinations: nothing this node reads.
    "AR 200": """
        cdc_output-invalid.hl7 hapi_cv.04_001_chem.hl7 lfh_ORU-multiline-short-mixed.hl7
        lfh_ORU-multiline-short.hl7 mirth_batch01.hl7 mirth_nonbatch_01.hl7 msfhir_MDM-T02-01.hl7
        msfhir_OML-O21-01.hl7 msfhir_ORU-R01-RMGEAD.hl7 msfhir_OUL-R22-01.hl7
        msfhir_SIU-S12-01.hl7 msfhir_VXU-V04-01.hl7
    """,
    # The same, of a sender that asks for an accept acknowledgement.
    "CR 200": """
        hapi_omd_o03.txt mirth_small.hl7 msfhir_MDM-T02-03.hl7 msfhir_ORU-R01-01.hl7
    """,
    # ADT, but not of an event that is read: a discharge, and one that there is not.
    "AR 201": "hapi_adt_a03.txt efferent_Sample-ADT.hl7",
    "CR 201": "hapi_segmentfinder_a24.hl7",
}
NEGATIVE = ("AE", "AR", "CE", "CR")


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    work = MemoryUnitOfWork()
    spool = MemorySpool()
    registry = Registry(spool=spool, work=work)
    yield Inbox(spool=spool, work=work, telemetry=Notes(), clock=Clock(), registry=registry)
    work.close()


def answer(inbox: Inbox, content: bytes) -> str:
    """E.g. "AE 101"."""
    given = [read_acknowledgement(each) for each in inbox.answer(content, "192.0.2.9")]
    return ", ".join(f"{each.code.value} {each.error_code}".strip() for each in given) or "none"


def test_each_message_gets_the_answer_of_the_standard(inbox: Inbox, shared: Path) -> None:
    expected = {name: code for code, names in ANSWERS.items() for name in names.split()}
    files = sorted((shared / "data" / "hl7").iterdir())
    assert {file.name: answer(inbox, file.read_bytes()) for file in files} == expected


def test_what_is_no_message_is_never_taken(inbox: Inbox, shared: Path) -> None:
    files = sorted((shared / "data" / "malformed" / "hl7_fuzz").iterdir())
    assert len(files) > 30
    for file in files:
        assert answer(inbox, file.read_bytes()).startswith(NEGATIVE), file.name


@pytest.mark.parametrize("megabytes", [0.8, 5])
def test_a_large_message_is_answered_soon(inbox: Inbox, megabytes: float) -> None:
    head = "MSH|^~\\&|RIS|H|CN|H|20261126||OMG^O19|C1|P|2.5.1\rPID|||P-1\rORC|NW|PL1\rOBR|1\r"
    line = "OBX|1|ED|PDF^Document^L||^application^pdf^Base64^" + "QUJD" * 250 + "||||||F\r"
    content = (head + line * int(megabytes * 1e6 / len(line))).encode()
    begun_s = time.process_time()
    assert answer(inbox, content) == "AA"
    assert time.process_time() - begun_s < 1  # of the processor: others may run beside
