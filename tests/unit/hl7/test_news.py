"""What messages tell of orders and patients, field by field."""

from __future__ import annotations

from datetime import date

import pytest

from node.domain.code import Code
from node.domain.order import Order
from node.domain.study import Patient
from node.hl7.message import ErrorCondition, UnacceptableContent, read_header
from node.hl7.news import News, read_news
from node.hl7.segment import MOST_TOLD

PID = "PID|1||P-1^^^HOSP&1.2.3&ISO^MR||DOE^JANE^Q^III^DR||19700102|F\r"


def message(event: str, *segments: str, charset: str = "", encoding: str = "ascii") -> bytes:
    msh = f"MSH|^~\\&|RIS|H|CN|H|20261126080000||{event}|C1|P|2.5.1||||||{charset}\r"
    return (msh + "".join(segments)).encode(encoding)


def told(content: bytes, unmarked: str = "ASCII") -> News:
    return read_news(content, read_header(content).event, unmarked=unmarked)


def objection(content: bytes) -> tuple[ErrorCondition, str]:
    with pytest.raises(UnacceptableContent) as caught:
        told(content)
    assert "DOE" not in caught.value.message and "P-1" not in caught.value.message
    return caught.value.condition, caught.value.message


def test_an_order_message_of_version_2_3_1_is_read_where_ihe_puts_things() -> None:
    order_segment = "ORC|NW|PL1^RIS^1.2^ISO|FI1^RAD||SC\r"
    request = "|".join(
        [
            "OBR",
            "1",
            "PL1^RIS",
            "FI1^RAD",
            "93000^ECG, 12 leads^C4",
            *[""] * 13,
            "A1",
            "RP1",
            "SPS1",
        ]
    )
    content = message(
        "ORM^O01", PID, order_segment, f"{request}\r", "ZDS|1.2.3.4^RIS^Application^DICOM\r"
    )
    (news,) = told(content).orders
    assert news.is_described and not news.scheduled.is_cancelled
    assert news.scheduled.study_instance_uid == "1.2.3.4"
    assert news.scheduled.order == Order(
        placer_order_number="PL1",
        placer_issuer=("RIS", "1.2", "ISO"),
        filler_order_number="FI1",
        filler_issuer=("RAD", "", ""),
        accession_number="A1",
        requested_procedure_id="RP1",
        procedure=Code(value="93000", scheme="C4", meaning="ECG, 12 leads"),
        procedure_text="ECG, 12 leads",
    )
    assert news.scheduled.patient == Patient(
        patient_id="P-1",
        issuer_of_patient_id="HOSP",
        issuer_universal_id="1.2.3",
        issuer_universal_id_type="ISO",
        name="DOE^JANE^Q^DR^III",
        birth_date=date(1970, 1, 2),
        sex="F",
    )


def test_an_imaging_order_has_its_numbers_in_ipc() -> None:
    content = message(
        "OMI^O23^OMI_O23",
        PID,
        "ORC|NW|PL1\r",
        "OBR|1|||X^Y^Z" + "|" * 14 + "NOT-THIS|NOR-THIS\r",
        "IPC|A1^RIS|RP1|1.2.3|SPS1|EC\r",
        "IPC|A1^RIS|RP1|1.2.3|SPS2|EC\r",
    )
    (news,) = told(content).orders
    order = news.scheduled.order
    assert (order.accession_number, order.requested_procedure_id) == ("A1", "RP1")
    assert news.scheduled.study_instance_uid == "1.2.3"


def test_a_study_uid_that_is_none_is_no_number_of_an_order() -> None:
    unusable = f"IPC|||{'7' * 65}\r"
    content = message("OMI^O23", PID, "ORC|NW|PL1\r", "OBR|1\r", unusable)
    (news,) = told(content).orders
    assert not news.is_described and news.scheduled.study_instance_uid == ""
    _, text = objection(message("OMI^O23", PID, "ORC|NW\r", "OBR|1\r", unusable))
    assert "number of the order" in text


def test_each_request_under_one_order_control_is_an_order() -> None:
    numbers = "|" * 14 + "A1\r"
    content = message(
        "OMG^O19",
        "ORC|XO|PL1\r",
        f"OBR|1|||A^First^L{numbers}",
        f"OBR|2|PL2||B^Second^L{numbers}",
        "ORC|OC|PL3\r",
    )
    orders = [each.scheduled for each in told(content).orders]
    assert [each.order.placer_order_number for each in orders] == ["PL1", "PL1", "PL3"]
    assert [each.order.procedure_text for each in orders] == ["First", "Second", ""]
    assert [each.is_cancelled for each in orders] == [False, False, True]
    assert [each.is_described for each in told(content).orders] == [True, True, False]


def test_the_results_of_earlier_orders_in_a_message_are_not_orders() -> None:
    content = message(
        "OMG^O19", PID, "ORC|NW|PL1\r", "OBR|1\r", "PID|||P-9\r", "ORC|NW|OLD\r", "OBR|1\r"
    )
    (news,) = told(content).orders
    assert news.scheduled.order.placer_order_number == "PL1"
    assert news.scheduled.patient.patient_id == "P-1"


@pytest.mark.parametrize(
    ("control", "cancelled"),
    [("NW", False), ("XO", False), ("SN", False), ("RO", False), ("SC||||IP", False),
     ("SR||||CA", True), ("XX||||CA", True),
     ("CA", True), ("OC", True), ("DC", True), ("DR", True), ("RP", True), ("SC||||CA", True)],
)  # fmt: skip
def test_an_order_control_says_whether_the_order_stands(control: str, cancelled: bool) -> None:
    code, _, status = control.partition("||||")
    content = message("ORM^O01", f"ORC|{code}|PL1|||{status}\r")
    (news,) = told(content).orders
    assert news.scheduled.is_cancelled is cancelled
    assert news.is_placed is (code in {"NW", "XO", "XX", "SN", "RO"})


def test_an_answer_that_nothing_was_done_tells_nothing() -> None:
    assert told(message("ORM^O01", "ORC|UC|PL1\r")).orders == ()


@pytest.mark.parametrize(
    ("segments", "names"),
    [
        ((PID,), "ORC"),
        (("ORC||PL1\r",), "ORC-1"),
        (("OBR|1|PL1\r",), "ORC-1"),
        ((PID, "ORC|NW\r", "OBR|1\r"), "number of the order"),
    ],
)
def test_an_order_that_leaves_out_what_it_has_to_have_is_told_so(
    segments: tuple[str, ...], names: str
) -> None:
    condition, words = objection(message("ORM^O01", *segments))
    assert condition is ErrorCondition.REQUIRED_FIELD_MISSING
    assert names in words


def test_a_number_no_result_can_repeat_is_none() -> None:
    content = message(
        "ORM^O01", "ORC|NW|PL1\r", "OBR|1" + "|" * 17 + "A23456789-123456X|RP\\E\\1\r"
    )
    order = told(content).orders[0].scheduled.order
    assert (order.accession_number, order.requested_procedure_id) == ("", "")


def test_a_merge_names_who_stays_and_who_goes_for_each_of_several() -> None:
    content = message(
        "ADT^A40^ADT_A39", PID, "MRG|P-2^^^HOSP^MR||||||DOE^J\r", "PID|||P-3\r", "MRG|P-4\r"
    )
    pairs = [
        (each.patient.patient_id, each.prior.patient_id if each.prior else "")
        for each in told(content).patients
    ]
    assert pairs == [("P-1", "P-2"), ("P-3", "P-4")]


@pytest.mark.parametrize(
    ("event", "segments", "names"),
    [
        ("ADT^A08", ("EVN|A08\r",), "PID"),
        ("ADT^A08", ("PID|1||\r",), "PID-3"),
        ("ADT^A40", (PID,), "MRG"),
        ("ADT^A40", (PID, "MRG|\r"), "MRG-1"),
        ("ADT^A47", (PID, "MRG|P-2\r", "PID|||P-3\r"), "MRG"),
    ],
)
def test_a_patient_message_that_leaves_out_what_it_has_to_have_is_told_so(
    event: str, segments: tuple[str, ...], names: str
) -> None:
    condition, words = objection(message(event, *segments))
    assert condition is ErrorCondition.REQUIRED_FIELD_MISSING
    assert f"no {names}" in words


def test_of_several_identifiers_the_medical_record_number_is_the_patients() -> None:
    content = message("ADT^A01", "PID|||123^^^USA^SS~P-1^^^H^MR~P-7^^^H^PI\r")
    assert told(content).patients[0].patient.patient_id == "P-1"


def test_what_is_deleted_or_not_known_is_empty() -> None:
    content = message("ADT^A31", 'PID|||P-1||""^""||1970|""\r')
    assert told(content).patients[0].patient == Patient(patient_id="P-1")


def test_each_way_to_write_a_name_is_a_group_of_it_and_escapes_are_read() -> None:
    names = "X^Y^^^^^L^I~VAN DER&van der&X^B\\T\\B^^^^^L^A~SECOND^ALIAS^^^^^A^A"
    patient = told(message("ADT^A01", f"PID|||P-1||{names}\r")).patients[0].patient
    assert patient.name == "VAN DER^B&B=X^Y"
    assert patient.leading_name == "VAN DER^B&B"


@pytest.mark.parametrize(
    ("charset", "encoding", "name"),
    [
        ("UNICODE UTF-8", "utf-8", "Müller^Ђ"),
        ("8859/1", "iso8859-1", "Müller^Åsa"),
        ("8859/5", "iso8859-5", "Люкceмбypг^A"),
        ("ISO IR87", "iso2022_jp", "山田^太郎"),
        ("KS X 1001", "euc_kr", "김^희중"),
        ("GB 18030-2000", "gb18030", "王^小东"),
        ("BIG-5", "big5hkscs", "許功蓋^功"),
    ],
)
def test_a_name_is_read_in_the_character_set_that_is_stated(
    charset: str, encoding: str, name: str
) -> None:
    content = message("ADT^A01", f"PID|||P-1||{name}\r", charset=charset, encoding=encoding)
    assert told(content).patients[0].patient.name == name


@pytest.mark.parametrize(
    ("charset", "content"),
    [("", "Müller".encode()), ("UNICODE UTF-8", b"M\xfcller"), ("UNICODE UTF-16", b"M")],
)
def test_what_is_not_of_the_stated_character_set_is_not_guessed_at(
    charset: str, content: bytes
) -> None:
    whole = message("ADT^A01", "PID|||P-1||", charset=charset) + content + b"\r"
    condition, words = objection(whole)
    assert condition is ErrorCondition.DATA_TYPE_ERROR
    assert "MSH-18" in words


def test_an_unmarked_message_is_read_as_the_site_says_and_a_byte_order_mark_says_it_itself() -> (
    None
):
    latin = message("ADT^A01", "PID|||P-1||Müller\r", encoding="iso8859-1")
    assert told(latin, "8859/1").patients[0].patient.name == "Müller"
    marked = b"\xef\xbb\xbf" + message("ADT^A01", "PID|||P-1||Müller\r", encoding="utf-8")
    assert told(marked).patients[0].patient.name == "Müller"


@pytest.mark.parametrize("unfit", ["A" * 65, "A\\E\\B", "A\\X0D\\B", "A\tB"])
def test_an_identifier_that_no_ecg_can_have_is_passed_over(unfit: str) -> None:
    (news,) = told(message("ADT^A04", f"PID|||{unfit}^^^A^MR~P-2^^^{unfit}^PT\r")).patients
    assert (news.patient.patient_id, news.patient.issuer_of_patient_id) == ("P-2", "")
    objection(message("ADT^A04", f"PID|||{unfit}\r"))


def test_what_dicom_does_not_take_in_a_name_is_a_space() -> None:
    content = message("ADT^A04", "PID|||P-1||D\\X0D\\OE\\S\\X^J=\\E\\E\r")
    assert told(content).patients[0].patient.name == "D OE X^J  E"


@pytest.mark.parametrize(
    ("event", "one"),
    [("ORM^O01", "ORC|NW|PL1\rOBR|1\r"), ("ADT^A04", PID), ("ADT^A40", PID + "MRG|P-2\r")],
)
def test_so_many_orders_or_patients_that_nothing_else_could_be_written_meanwhile_are_refused(
    event: str, one: str
) -> None:
    most = told(message(event, *[one] * MOST_TOLD))
    assert len(most.orders) + len(most.patients) == MOST_TOLD
    condition, words = objection(message(event, *[one] * (MOST_TOLD + 1)))
    assert condition is ErrorCondition.SEGMENT_SEQUENCE_ERROR
    assert str(MOST_TOLD) in words


@pytest.mark.parametrize("field", ["PID-3", "PID-5"])
def test_a_field_of_more_values_than_anybody_has_is_refused(field: str) -> None:
    identifiers, names = "9^^^B^SS~" * 99 + "P-1^^^A^MR", "^^^^^^^P~" * 99 + "DOE^JANE"
    (news,) = told(message("ADT^A04", f"PID|||{identifiers}||{names}\r")).patients
    assert (news.patient.patient_id, news.patient.name) == ("P-1", "DOE^JANE")
    more = {"PID-3": f"PID|||{identifiers}~P-2||{names}\r", "PID-5": f"PID|||P-1||{names}~J\r"}
    condition, words = objection(message("ADT^A04", more[field]))
    assert condition is ErrorCondition.DATA_TYPE_ERROR
    assert field in words


def test_nothing_of_a_message_is_shown_by_repr() -> None:
    content = message("ORM^O01", PID, "ORC|NW|PL-1\r", "OBR|1\r")
    shown = repr(told(content)) + repr(told(content).orders[0])
    assert not any(secret in shown for secret in ("DOE", "P-1", "PL-1"))
