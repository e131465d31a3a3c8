"""The HL7 statement: what is sent and taken, how each is answered, with messages to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from node.conformance.manuscript import Manuscript
from node.conformance.prose import load_prose
from node.conformance.specimen import message_specimens
from node.conformance.subject import Subject
from node.dicom.template import load_templates
from node.domain.errors import CardioNodeError, OutOfSpace
from node.hl7.acknowledgement import acknowledge
from node.hl7.grammar import definition_of
from node.hl7.message import (
    CODECS,
    Acknowledgement,
    AcknowledgementCode,
    ErrorCondition,
    Header,
    UnacceptableContent,
    read_acknowledgement,
)
from node.hl7.news import MESSAGES, read_news
from node.hl7.profile import Profile, shipped_profile, shipped_profiles
from node.hl7.sender import judged
from node.settings import Hl7DestinationSettings, Settings, read_settings

_AT: Final = datetime(2024, 2, 29, 12, 0, 5, tzinfo=UTC)
_FULL: Final = "The disk is full"
_MODES: Final = {
    "original mode": "|",
    "AL, NE": "AL|NE",
    "AL, AL": "AL|AL",
    "NE, AL": "NE|AL",
    "ER, NE": "ER|NE",
    "NE, NE": "NE|NE",
}
"""What MSH-15 and MSH-16 ask for."""
_HEAD: Final = "MSH|^~\\&|RIS|HOSPITAL|CARDIONODE||20240229120000||{}|{}|P|2.5.1\r"
_EXAMPLES: Final = {
    "ORM^O01": (
        "PID|1||PAT-1^^^HOSPITAL^MR||SPECIMEN^SAM||19640229|O\r"
        "ORC|NW|P-1^RIS|F-1^RIS||SC\r"
        "OBR|1|P-1^RIS|F-1^RIS|93000^Electrocardiogram, 12 leads^C4||||||||||||||A-1|R-1\r"
        "ZDS|2.25.2^RIS^Application^DICOM\r"
    ),
    "OMI^O23": (
        "PID|1||PAT-1^^^HOSPITAL^MR||SPECIMEN^SAM||19640229|O\r"
        "ORC|CA|P-1^RIS|F-1^RIS\r"
        "OBR|1|P-1^RIS|F-1^RIS|93000^Electrocardiogram, 12 leads^C4\r"
        "IPC|A-1|R-1|2.25.2|S-1|ECG\r"
    ),
    "ADT^A40": (
        "EVN||20240229120000\r"
        "PID|1||PAT-2^^^HOSPITAL^MR||SPECIMEN^SAM||19640229|O\r"
        "MRG|PAT-1^^^HOSPITAL^MR\r"
    ),
}
"""Of messages that come in, by their event."""


def message_statement(
    settings: Settings, configuration: str, profiles: Mapping[str, Profile]
) -> str:
    """The statement of a configuration as Markdown; the same input gives the same text.

    configuration: what it is called on the cover. profiles: by name, those that its destinations
    use; where there are none, all that come with the program.
    """
    subject = Subject(
        settings=settings,
        default=read_settings(),
        configuration=configuration,
        version=version("cardionode"),
        templates=load_templates(),
        prose=load_prose(),
    )
    words = subject.prose.messages
    manuscript = Manuscript(f"{subject.prose.product}: {words['title']}")
    manuscript.table(
        ("Cover", ""),
        [
            ("Product", subject.prose.product),
            ("Version", subject.version),
            ("Date", subject.prose.date),
            ("Configuration", configuration),
            ("Layout", words["layout"]),
        ],
    )
    manuscript.paragraph(words["cover"])
    manuscript.heading(1, "Table of Contents")
    manuscript.contents()
    _write_transport(manuscript, subject)
    profiles = profiles or {name: shipped_profile(name) for name in shipped_profiles()}
    _write_sent(manuscript, subject, profiles)
    _write_taken(manuscript, subject)
    _write_examples(manuscript, subject, next(iter(profiles.values())))
    return manuscript.text()


def _write_transport(manuscript: Manuscript, subject: Subject) -> None:
    words, hl7 = subject.prose.messages, subject.settings.hl7
    manuscript.heading(1, "Transport")
    manuscript.paragraph(words["transport"])
    manuscript.heading(2, "Messages That Come In")
    manuscript.table(
        ("Parameter", "Value"),
        [
            ("Address", hl7.host),
            ("Who may call", ", ".join(map(str, hl7.networks))),
            ("Port", "off" if hl7.port is None else str(hl7.port)),
            ("Port with TLS", "off" if hl7.tls_port is None else str(hl7.tls_port)),
            ("Longest message, bytes", str(hl7.maximum_message_bytes)),
            ("Connections at one time", str(hl7.maximum_connections)),
            ("Silence after which a connection is closed, s", f"{hl7.idle_timeout_s:g}"),
            ("Processing ids (MSH-11)", ", ".join(hl7.processing_ids)),
            ("Character set without MSH-18", hl7.unmarked_charset),
        ],
    )
    manuscript.heading(2, "Messages That Go Out")
    destinations = {
        name: each
        for name, each in subject.settings.destinations.items()
        if isinstance(each, Hl7DestinationSettings)
    }
    manuscript.paragraph(words["outbound" if destinations else "no_outbound"])
    manuscript.table(
        ("Destination", "Address", "TLS", "Profile", "Answer within, s", "After commitment of"),
        (
            (
                name,
                each.address,
                "yes" if each.tls else "no",
                each.profile,
                f"{each.answer_timeout_s:g}",
                each.after_committed or "none",
            )
            for name, each in destinations.items()
        ),
    )


def _write_sent(manuscript: Manuscript, subject: Subject, profiles: Mapping[str, Profile]) -> None:
    prose = subject.prose
    manuscript.heading(1, "What Is Sent")
    manuscript.paragraph(prose.claim["hl7_outbound"])
    for name, profile in profiles.items():
        manuscript.heading(2, f"ORU^R01, Profile {name}")
        manuscript.paragraph(
            prose.messages["fields"].format(
                profile=name, version=profile.version, charset=profile.charset
            )
        )
        result = message_specimens(subject.templates, profile)["Result"]
        manuscript.table(
            ("Field", "Name", "Type", "What it holds", "Example"),
            _field_rows(result.decode(CODECS[profile.charset]), subject, profile),
        )
    manuscript.heading(2, "What Follows From an Answer")
    manuscript.paragraph(prose.claim["hl7_acknowledgement"])
    manuscript.table(("MSA-1", "Then"), ((code.value, _then(code)) for code in AcknowledgementCode))


def _field_rows(
    message: str, subject: Subject, profile: Profile
) -> Iterator[tuple[str, str, str, str, str]]:
    """Every field that any segment has, in the order of the segments."""
    filled: dict[str, str] = {}
    for line in filter(None, message.split("\r")):
        name, *values = line.split("|")
        if name == "MSH":
            values.insert(0, "|")
        for number, value in enumerate(values, start=1):
            if value:
                filled.setdefault(f"{name}-{number}", value)
    order = list(dict.fromkeys(place.split("-")[0] for place in filled))
    for place in sorted(filled, key=lambda place: (order.index(place[:3]), int(place[4:]))):
        defined = definition_of(place, profile.version)
        yield (
            place,
            defined.name if defined is not None else "of the site",
            defined.data_type if defined is not None else "",
            subject.prose.hl7_field.get(place, "CONFIG"),
            filled[place],
        )


def _then(code: AcknowledgementCode) -> str:
    try:
        judged(Acknowledgement(code=code, control_id=""))
    except CardioNodeError as error:
        return f"{error.code}: {error.message}"
    return "done"


def _write_taken(manuscript: Manuscript, subject: Subject) -> None:
    prose = subject.prose
    manuscript.heading(1, "What Is Taken")
    for key in ("hl7_inbound", "hl7_orders", "hl7_patients"):
        manuscript.paragraph(prose.claim[key])
    manuscript.heading(2, "Fields")
    manuscript.paragraph(prose.messages["taken"])
    manuscript.table(
        ("Field", "Name", "Read for"),
        (
            (place, defined.name if defined is not None else "of IHE", use)
            for place, use in prose.hl7_read.items()
            for defined in [definition_of(place, "2.5.1")]
        ),
    )
    manuscript.heading(2, "Answers")
    manuscript.paragraph(prose.messages["answers"])
    manuscript.table(
        ("What speaks against it", *_MODES),
        (
            (what, *(_answer(what, text, mode, subject.settings) for mode in _MODES.values()))
            for what, text in _odd_messages().items()
        ),
    )


def _odd_messages() -> dict[str, str]:
    order = _incoming("ORM^O01")
    return {
        "Nothing": order,
        "A required field is missing (ORC-1)": order.replace("ORC|NW|", "ORC||"),
        "Bytes that are not of its character set": order.replace("SPECIMEN", "SPÉCIMEN"),
        "Another message in the same block": order + order,
        "Another processing id": order.replace("|P|2.5.1", "|?|2.5.1"),
        "An event that is not read": order.replace("ORM^O01", "ORM^O99"),
        "A type that is not read": order.replace("ORM^O01", "SIU^S12"),
        "No control id": order.replace("|C-1|", "||"),
        "No MSH": order.removeprefix("MSH"),
        _FULL: order,
    }


def _incoming(event: str) -> str:
    return _HEAD.format(event, "C-1") + _EXAMPLES[event]


def _acknowledgements(content: bytes, settings: Settings, *, is_full: bool) -> tuple[bytes, ...]:
    """As the node would give them."""

    def keep(message: bytes, header: Header) -> ErrorCondition | None:
        if is_full:
            raise OutOfSpace("the disk is full")
        try:
            read_news(message, header.event, unmarked=settings.hl7.unmarked_charset)
        except UnacceptableContent as unusable:
            return unusable.condition
        return None

    return acknowledge(
        content,
        keep,
        at=_AT,
        accepted_types=MESSAGES,
        processing_ids=frozenset(settings.hl7.processing_ids),
    )


def _answer(what: str, text: str, mode: str, settings: Settings) -> str:
    content = text.replace("|2.5.1\r", f"|2.5.1|||{mode}\r", 1).encode()
    given = map(read_acknowledgement, _acknowledgements(content, settings, is_full=what == _FULL))
    return ", ".join(f"{each.code.value} {each.error_code}".strip() for each in given) or "none"


def _write_examples(manuscript: Manuscript, subject: Subject, profile: Profile) -> None:
    manuscript.heading(1, "Examples")
    manuscript.paragraph(subject.prose.messages["examples"])
    for name, message in message_specimens(subject.templates, profile).items():
        manuscript.heading(2, name)
        manuscript.picture(_lines(message, CODECS[profile.charset]))
    for event in _EXAMPLES:
        message = _incoming(event).encode()
        manuscript.heading(2, f"{event} and Its Answer")
        manuscript.picture(_lines(message, "ascii"))
        for answer in _acknowledgements(message, subject.settings, is_full=False):
            manuscript.picture(_lines(answer, "ascii"))


def _lines(message: bytes, codec: str) -> str:
    return message.decode(codec).replace("\r", "\n")
