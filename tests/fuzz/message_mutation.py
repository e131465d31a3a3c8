"""HL7 messages taken apart into fields, changed as only a reader would notice, and framed anew.

Written from HL7 v2.5.1 and MLLP alone: nothing of node.hl7 is used.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import SHARED_VARIABLE
from tests.fuzz.byte_mutation import mutated

PATIENT_ID, ACCESSION, BORN = "PATKENNUNG4711", "AKZESS889977", "19380817"
FAMILY, GIVEN, ADDRESS = "Geheimrat", "Walburga", "Blumenstrasse 17"
SECRETS = (PATIENT_ID, ACCESSION, BORN, FAMILY, GIVEN, ADDRESS)
"""Of the invented patient whom every original is about."""
VT, FS, CR = b"\x0b", b"\x1c", b"\r"

_CODECS = {
    "": "ascii",
    "UNICODE UTF-8": "utf-8",
    "8859/1": "latin-1",
    "8859/5": "iso8859-5",
    "8859/15": "iso8859-15",
    "ISO IR87": "iso2022_jp",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}
"""Table 0211 -> Python's name."""
_NAMES = {
    "UNICODE UTF-8": f"{FAMILY}^{GIVEN}^Ä^^Dr~山田^太郎^^^^^^I~やまだ^たろう^^^^^^P",
    "8859/1": f"{FAMILY}^{GIVEN}^Ä^^Dr",
    "8859/5": f"{FAMILY}^{GIVEN}~Люкceмбypг^^^^^^^I",
    "8859/15": f"{FAMILY}^{GIVEN}^Œ€",
    "ISO IR87": f"{FAMILY}^{GIVEN}~山田^太郎^^^^^^I",
    "GB 18030-2000": f"{FAMILY}^{GIVEN}~王^小东^^^^^^I",
    "KS X 1001": f"{FAMILY}^{GIVEN}~洪^吉洞^^^^^^I~홍^길동^^^^^^P",
    "BIG-5": f"{FAMILY}^{GIVEN}~許功蓋^淑^^^^^^I",  # some of their second bytes are a backslash
}
_EVENTS = (
    "ORM^O01", "OMG^O19^OMG_O19", "OMI^O23", "ADT^A01", "ADT^A04", "ADT^A08", "ADT^A31", "ADT^A40",
    "ADT^A47",
)  # fmt: skip

_TEXTS = (
    "", " ", '""', "\\", "\\\\", "\\F\\", "\\S\\T\\R\\E\\", "\\X\\", "\\X4\\", "\\X41\\",
    "\\XC3A4\\", "\\X0D\\", "\\X0B1C\\", "\\X00\\", "\\XFFFE\\", "\\H\\bold\\N\\", "\\.br\\", "\\E",
    "\\C2842\\",
    "\\Zx\\", "\\X1B2442\\", "|", "^", "&", "~", "^^^^^^^^", "&&&", "~~~", "^&~\\|", "\0", "\x1b",
    "\x85", "\u2028", "\x1b$B", "\udcff", "0", "-1", "1e999", "20260230", "99991231235959+9999",
    "00000000", "M\xfcller", "../../etc/passwd", "%s%n{}", "1.2.840.10008.1.2", "1.2..3", "2.25.0",
    "CA", "NW", "DC", "SC", "UX", "XO", "MR", "ISO", "MSH", "PID", "ACK", "A" * 65, "7" * 200,
)  # fmt: skip
_MANY = (2, 5, 60)
_VERY_MANY = (3000, 200_000, 700_000)
_LARGEST = 1_000_000
"""Characters of a field; twenty times as many of one segment that is repeated."""
_CHARSETS = (*_CODECS, "UNICODE", "UNICODE UTF-16", "ISO IR159", "ISO IR14", "utf-8", "none", "~")


@dataclass(frozen=True, slots=True)
class Original:
    """MSH-1 and MSH-2 are the standard's; field n of MSH at index n - 1, of others at index n."""

    segments: tuple[tuple[str, ...], ...]
    codec: str


def originals() -> list[Original]:
    """Generated ones, and the real ones of the sample data, with the patient in place of theirs."""
    generated = [
        _generated(event, charset, number)
        for number, (event, charset) in enumerate(
            (event, charset) for event in _EVENTS for charset in _CODECS
        )
    ]
    shared = Path(os.environ.get(SHARED_VARIABLE, Path(__file__).parents[3] / "shared"))
    files = sorted((shared / "data" / "hl7").glob("*.*"))
    files += sorted((shared / "data" / "malformed" / "hl7_fuzz").glob("*"))
    real = [_taken_apart(file.read_bytes().decode("latin-1")) for file in files]
    print(f"{len(files)} messages of the sample data, {len(generated)} generated")
    return generated * 3 + [each for each in real if each.segments]


def _generated(event: str, charset: str, number: int) -> Original:
    modes = (("", ""), ("AL", "NE"), ("AL", "AL"), ("ER", "SU"), ("NE", ""))[number % 5]
    name = _NAMES.get(charset, f"{FAMILY}^{GIVEN}")
    head = [
        "MSH", "^~\\&", "RIS", "HOSPITAL^1.2.3^ISO", "CARDIONODE", "ECG", "20261126080000", "",
        event, f"N{number}", "P", ("2.3.1", "2.4", "2.5.1")[number % 3], "", "", *modes, "",
        charset,
    ]  # fmt: skip
    pid = ["PID", "1", "", f"{PATIENT_ID}^^^HOSP&1.2.40.0.13&ISO^MR~999^^^OTHER^SS", "", name, "",
           BORN, "F", "", "", ADDRESS]  # fmt: skip
    if event.startswith("ADT"):
        merge = [["MRG", "ALTEKENNUNG^^^HOSP^MR", "", "", "", "", "", f"{FAMILY}^{GIVEN}"]]
        segments = [head, ["EVN", "", "2026"], pid, *(merge if event > "ADT^A31" else [])]
        return _original(segments, charset)
    control = ("NW", "XO", "CA", "SC")[number % 4]
    placer, filler = f"PL{number % 7}^RIS\\T\\X^1.2^ISO", f"FI{number % 7}^RAD"
    orc = ["ORC", control, placer, filler, "", "CA" if control == "SC" else "SC"]
    service = "93000^ECG, 12 leads \\T\\ report^C4"
    obr = ["OBR", "1", placer, filler, service, *[""] * 13, ACCESSION, f"RP{number % 3}"]
    study = f"1.2.826.0.1.3680043.8.498.77.{number}"
    third = {"ORM^O01": ["ZDS", f"{study}^RIS^Application^DICOM"], "OMI^O23": [
        "IPC", ACCESSION, f"RP{number % 3}", study,
    ]}.get(event, ["NTE", "1"])  # fmt: skip
    return _original([head, pid, ["PV1", "1", "I"], orc, obr, third], charset)


def _original(segments: list[list[str]], charset: str) -> Original:
    return Original(tuple(map(tuple, segments)), _CODECS[charset])


def _taken_apart(text: str) -> Original:
    lines = [
        line for line in re.split("[\r\n]+", text.replace("\x0b", "").replace("\x1c", "")) if line
    ]
    segments = []
    for line in lines:
        fields = line.split("|")
        if fields[0] == "PID":
            fields = (fields + [""] * 12)[: max(12, len(fields))]
            fields[3], fields[5], fields[7] = PATIENT_ID, f"{FAMILY}^{GIVEN}", BORN
            fields[11] = ADDRESS
        segments.append(tuple(fields))
    return Original(tuple(segments), "latin-1")


def message(chance: random.Random, found: list[Original], number: int) -> bytes:
    """One message: fields and segments of an original changed, then here and there its bytes."""
    original = chance.choice(found)
    accession = f"{ACCESSION[:6]}{number:06}" if chance.random() < 0.9 else ACCESSION
    segments = [
        [field.replace(ACCESSION, accession) for field in segment] for segment in original.segments
    ]
    if len(segments[0]) > 9 and chance.random() < 0.9:
        segments[0][9] = f"C{number}" if chance.random() < 0.9 else "C1"
    if chance.random() < 0.8:
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            _change_somewhere(chance, segments)
    end = chance.choices(("\r", "\n", "\r\n", "\r\r"), (20, 2, 2, 1))[0]
    text = end.join("|".join(segment) for segment in segments) + end
    if chance.random() < 0.15:
        text = _with_other_separators(chance, text)
    codec = original.codec if chance.random() < 0.9 else chance.choice(list(_CODECS.values()))
    content = text.encode(codec, errors="replace")
    if chance.random() < 0.03:
        content = b"\xef\xbb\xbf" + content
    return mutated(chance, content) if content and chance.random() < 0.3 else content


Segments = list[list[str]]


def _change_somewhere(chance: random.Random, segments: Segments) -> None:
    if not all(segments) or not segments:
        segments[:] = [["MSH", "^~\\&"], *filter(None, segments)]
    chance.choice(_CHANGES)(chance, segments)


def _drop_segment(chance: random.Random, segments: Segments) -> None:
    del segments[chance.randrange(len(segments))]


def _repeat_segment(chance: random.Random, segments: Segments) -> None:
    at = chance.randrange(len(segments))
    times = _times(chance, (1, 1, 2, 30), (2000, 40_000))
    times = min(times, 20 * _LARGEST // (sum(map(len, segments[at])) + 1) + 1)
    segments[at:at] = [list(segments[at]) for _ in range(times)]


def _shuffle_segments(chance: random.Random, segments: Segments) -> None:
    chance.shuffle(segments)


def _new_segment(chance: random.Random, segments: Segments) -> None:
    made = [chance.choice(("MSH", "PID", "MRG", "ORC", "OBR", "IPC", "ZDS", "BHS", "NTE", "", "X"))]
    made += [chance.choice(_TEXTS) for _ in range(chance.randrange(25))]
    segments.insert(chance.randrange(len(segments) + 1), made)


def _change_field(chance: random.Random, segments: Segments) -> None:
    fields = chance.choice(segments)
    at = chance.randrange(len(fields))
    old = fields[at]
    times = _times(chance, _MANY, _VERY_MANY)
    match chance.randrange(9):
        case 0:
            del fields[at]
        case 1:
            fields.insert(at, old)
        case 2:
            other = chance.randrange(len(fields))
            fields[at], fields[other] = fields[other], old
        case 3:
            times = min(times, _LARGEST // (len(old) + 1) + 1)
            fields[at] = chance.choice("~^&|\\").join([old] * times)[:_LARGEST]
        case 4:
            part = chance.choice(("A", "~", "^", "\\", "&", "\\X", "1."))
            fields[at] = (part * times)[:_LARGEST]
        case 5:
            fields[at] = old[: len(old) // 2] + chance.choice(_TEXTS) + old[len(old) // 2 :]
        case 6:
            fields[at] = "".join(chance.sample(old, len(old)))
        case _:
            fields[at] = chance.choice(_TEXTS)


def _change_header(chance: random.Random, segments: Segments) -> None:
    head = segments[0] = (segments[0] + [""] * 18)[: max(18, len(segments[0]))]
    match chance.randrange(6):
        case 0:
            head[8] = chance.choice((*_EVENTS, "ACK", "ORM", "ADT^A99", "^", "orm^o01", "ORM^O01^"))
        case 1:
            head[9] = chance.choice(_TEXTS)
        case 2:
            head[10] = chance.choice(("T", "D", "P^T", "", "X"))
        case 3:
            head[14:16] = chance.choices(("AL", "NE", "ER", "SU", "", "XX"), k=2)
        case 4:
            head[11] = chance.choice(("2.1", "2.8.2^USA^x", "9" * 50, "", "two"))
        case _:
            head[17] = chance.choice(_CHARSETS)


def _change_pattern(chance: random.Random, segments: Segments) -> None:
    """MSH-2 says other than what the message is written in."""
    if len(segments[0]) > 1:
        segments[0][1] = "".join(chance.sample("^~\\&#$@!", chance.choice((0, 1, 2, 3, 4, 5, 6))))


def _times(chance: random.Random, usual: tuple[int, ...], seldom: tuple[int, ...]) -> int:
    return chance.choice(seldom if chance.random() < 0.01 else usual)


_CHANGES: tuple[Callable[[random.Random, Segments], None], ...] = (
    _drop_segment, _repeat_segment, _shuffle_segments, _new_segment, _change_pattern,
    *[_change_header] * 3, *[_change_field] * 8,
)  # fmt: skip


def _with_other_separators(chance: random.Random, text: str) -> str:
    """All separators exchanged: the message means the same, or what they do not part any more."""
    others = chance.sample("|^~\\&#$@!%*+;:,", 5)
    return text.translate(dict(zip(map(ord, "|^~\\&"), others, strict=True)))


def framed(chance: random.Random, messages: list[bytes]) -> bytes:
    """The blocks of these messages, some of them broken, as one stream."""
    stream = b"".join(_block(chance, content) for content in messages)
    return mutated(chance, stream) if stream and chance.random() < 0.1 else stream


def _block(chance: random.Random, content: bytes) -> bytes:
    whole = VT + content + FS + CR
    if chance.random() < 0.8:
        return whole
    at = chance.randrange(len(content) + 1)
    return chance.choice((
        content + FS + CR, VT + content, VT + whole, whole + FS + CR, VT + content + FS, whole[:at],
        VT + content + CR + FS, VT + content + FS + b"\n", VT + FS + CR, b"\r\n" + whole + b"\r\n",
        VT + content[:at] + VT + content[at:] + FS + CR, chance.randbytes(30) + whole,
        VT + content[:at] + FS + content[at:] + FS + CR, whole + b"x" * chance.choice((9, 2000)),
        VT + content[:at] + FS + CR + content[at:] + FS + CR, b"",
    ))  # fmt: skip


def portions(chance: random.Random, stream: bytes) -> Iterator[bytes]:
    """As a network may deliver it."""
    size = chance.choice((1, 7, 300, 65536)) if len(stream) < 5000 else 65536
    while stream:
        length = chance.randint(1, size)
        yield stream[:length]
        stream = stream[length:]


def blocks(stream: bytes) -> list[bytes]:
    """Contents of the blocks in a stream, until something is in it that is none."""
    found = []
    while VT in stream:
        content, end, stream = stream[stream.index(VT) + 1 :].partition(FS)
        if not end or VT in content or not stream.startswith(CR):
            break
        found.append(content)
        stream = stream[1:]
    return found
