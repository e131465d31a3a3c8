"""Data sets taken apart into elements, changed as only a parser would notice, and written again.

Written from PS3.5 alone: nothing of node.dicom is used, and pydicom only to read the originals.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from tests.fuzz.byte_mutation import mutated

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US ZZ".split())
_VRS = sorted(_LONG | _SHORT)
_WIDTHS = {b"US": 2, b"SS": 2, b"OW": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"FD": 8}
_UNDEFINED = 0xFFFFFFFF
WAVEFORM_DATA, BITS_ALLOCATED = (0x5400, 0x1010), (0x5400, 0x1004)
N_CHANNELS, N_SAMPLES = (0x003A, 0x0005), (0x003A, 0x0010)
_DEEP = 1500
"""Levels of sequences: more than Python's stack bears."""

_TEXTS = (
    b"", b" ", b"\0", b"NaN", b"-Inf", b"1e999", b"-1", b"0", b"99999999999999999999", b"1\\2\\3",
    b"\\" * 500, b"20260230", b"99991231", b"00000000", b"256161", b"M\xfcller", b"\x1b$B\x1b(B",
    b"\xff\xfe", b"ISO_IR 192", b"\\ISO 2022 IR 87", b"GB18030", b"nothing known", b"ORIGINAL",
    b"../../etc/passwd", b"1.2.840.10008.5.1.4.1.1.9.1.1", b"%s%n", b"5.6.3-9-1", b"2:1", b"uV",
)  # fmt: skip
_NUMBERS = (b"\0\0", b"\xff\xff", b"\0\x80", b"\x01\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x01")


@dataclass(frozen=True, slots=True)
class Element:
    tag: tuple[int, int]
    vr: bytes
    value: bytes | tuple[tuple[Element, ...], ...]
    """Bytes, little endian; or the items of a sequence."""
    stated_length: int | None = None
    """Where it is not the true one."""
    undefined_length: bool = False


Elements = tuple[Element, ...]


def taken_apart(dataset: Dataset) -> Elements:
    """The elements of a little endian data set as pydicom reads them."""
    elements = []
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        element = dataset[tag]
        value: bytes | tuple[Elements, ...]
        if element.VR == "SQ":
            value = tuple(taken_apart(item) for item in element.value)
        else:
            value = (raw.value or b"") if isinstance(raw, RawDataElement) else b""
        elements.append(Element((tag.group, tag.element), element.VR[:2].encode(), value))
    return tuple(elements)


def with_value(elements: Elements, tag: tuple[int, int], vr: bytes, value: bytes) -> Elements:
    """With that element alone under its tag."""
    others = [each for each in elements if each.tag != tag]
    return tuple(sorted([*others, Element(tag, vr, value)], key=lambda each: each.tag))


def shortened(elements: Elements, n_samples: int) -> Elements:
    """With so many samples of each waveform, declared as many."""
    short = []
    for each in elements:
        if isinstance(each.value, bytes):
            short.append(each)
        else:
            items = tuple(_cut(shortened(item, n_samples), n_samples) for item in each.value)
            short.append(replace(each, value=items))
    return tuple(short)


def _cut(item: Elements, n_samples: int) -> Elements:
    values = {each.tag: each.value for each in item}
    data = values.get(WAVEFORM_DATA)
    numbers = [values.get(tag) for tag in (N_SAMPLES, N_CHANNELS, BITS_ALLOCATED)]
    if not isinstance(data, bytes) or not all(isinstance(each, bytes) for each in numbers):
        return item
    stored, channels, bits = (int.from_bytes(each, "little") for each in numbers)  # type: ignore[arg-type]
    kept = min(n_samples, stored)
    item = with_value(item, N_SAMPLES, b"UL", struct.pack("<I", kept))
    return with_value(item, WAVEFORM_DATA, b"OW", data[: kept * channels * bits // 8])


def changed(chance: random.Random, elements: Elements) -> Elements:
    """One to four changes, at any depth."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        elements = _change_somewhere(chance, elements)
    return elements


def _change_somewhere(chance: random.Random, elements: Elements) -> Elements:
    if not elements:
        return (Element((0x0040, 0x0001), b"LO", b"x"),)
    at = chance.randrange(len(elements))
    element = elements[at]
    if not isinstance(element.value, bytes) and element.value and chance.random() < 0.8:
        number = chance.randrange(len(element.value))
        items = list(element.value)
        items[number] = _change_somewhere(chance, items[number])
        return (*elements[:at], replace(element, value=tuple(items)), *elements[at + 1 :])
    return tuple(chance.choice(_CHANGES)(chance, elements, at))


def _one(change: Callable[[random.Random, Element], Element]) -> _Change:
    def applied(chance: random.Random, elements: Elements, at: int) -> Iterator[Element]:
        yield from elements[:at]
        yield change(chance, elements[at])
        yield from elements[at + 1 :]

    return applied


_Change = Callable[[random.Random, Elements, int], Iterator[Element]]


def _dropped(_: random.Random, elements: Elements, at: int) -> Iterator[Element]:
    yield from elements[:at]
    yield from elements[at + 1 :]


def _twice(_: random.Random, elements: Elements, at: int) -> Iterator[Element]:
    yield from elements[: at + 1]
    yield from elements[at:]


def _out_of_order(chance: random.Random, elements: Elements, _: int) -> Iterator[Element]:
    yield from chance.sample(elements, len(elements))


def _other_tag(chance: random.Random, element: Element) -> Element:
    group, number = element.tag
    tags = (
        (group, number ^ 1 << chance.randrange(16)), (group | 1, number), (group, 0),
        (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFC, 0xFFFC), (0x0002, 0x0010), (0x0008, 0x0005),
        (0x0000, 0x0100), (chance.randrange(1 << 16), chance.randrange(1 << 16)),
    )  # fmt: skip
    return replace(element, tag=chance.choice(tags))


def _other_vr(chance: random.Random, element: Element) -> Element:
    return replace(element, vr=chance.choice(_VRS))


def _other_value(chance: random.Random, element: Element) -> Element:
    old = element.value if isinstance(element.value, bytes) else b""
    values = (
        chance.choice(_TEXTS), chance.choice(_NUMBERS), old[: len(old) // 2], old * 3, old[:-1],
        chance.randbytes(chance.choice((1, 2, 8, 64))), mutated(chance, old or b"\0"),
    )  # fmt: skip
    return replace(element, value=chance.choice(values))


def _false_length(chance: random.Random, element: Element) -> Element:
    lengths = (0, 1, 3, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, _UNDEFINED, chance.randrange(1 << 12))
    return replace(element, stated_length=chance.choice(lengths))


def _undefined_length(_: random.Random, element: Element) -> Element:
    return replace(element, undefined_length=True)


def _other_items(chance: random.Random, element: Element) -> Element:
    items = element.value if not isinstance(element.value, bytes) else ()
    item = items[0] if items else (Element((0x0008, 0x0100), b"SH", b"2:1 "),)
    deep: Elements = item
    if not chance.randrange(20):
        for _ in range(chance.choice((20, _DEEP))):
            deep = (Element(element.tag, b"SQ", (deep,)),)
    choices = ((), ((),), (*items, item), items[1:], (item,) * 50, items[::-1], (deep,))
    return replace(element, vr=b"SQ", value=chance.choice(choices))


_CHANGES: tuple[_Change, ...] = (
    _dropped, _twice, _out_of_order,
    _one(_other_tag), _one(_other_vr), _one(_other_value), _one(_other_value), _one(_other_value),
    _one(_false_length), _one(_undefined_length), _one(_other_items),
)  # fmt: skip


def encoded(elements: Elements, transfer_syntax_uid: str) -> bytes:
    """The data set in one of the four transfer syntaxes. Lengths are wrong where so stated."""
    explicit = transfer_syntax_uid != IMPLICIT
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    content = b"".join(_parts(elements, explicit, order))
    if transfer_syntax_uid == DEFLATED:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        content = deflater.compress(content) + deflater.flush()
    return content


def _parts(elements: Elements, explicit: bool, order: str) -> Iterator[bytes]:
    """Depth first, without recursion: sequences are nested deeper than a stack bears."""
    yield from (_element(each, explicit, order) for each in elements)


def _element(element: Element, explicit: bool, order: str) -> bytes:
    levels = [element]
    while not isinstance(levels[-1].value, bytes) and len(levels[-1].value) == 1:
        (item,) = levels[-1].value
        if len(item) != 1:
            break
        levels.append(item[0])
    content = _framed(levels[-1], _content(levels[-1], explicit, order), explicit, order)
    for each in reversed(levels[:-1]):
        inside = struct.pack(order + "HHI", 0xFFFE, 0xE000, len(content)) + content
        content = _framed(each, inside, explicit, order)
    return content


def _content(element: Element, explicit: bool, order: str) -> bytes:
    if isinstance(element.value, bytes):
        width = _WIDTHS.get(element.vr, 1) if order == ">" else 1
        value = element.value
        return b"".join(value[at : at + width][::-1] for at in range(0, len(value), width)) if (
            width > 1
        ) else value  # fmt: skip
    items = []
    for item in element.value:
        content = b"".join(_parts(item, explicit, order))
        items.append(struct.pack(order + "HHI", 0xFFFE, 0xE000, len(content)) + content)
    return b"".join(items)


def _framed(element: Element, content: bytes, explicit: bool, order: str) -> bytes:
    length = len(content) if element.stated_length is None else element.stated_length
    end = b""
    if element.undefined_length:
        length, end = _UNDEFINED, struct.pack(order + "HHI", 0xFFFE, 0xE0DD, 0)
    head = struct.pack(order + "HH", *element.tag)
    if not explicit:
        head += struct.pack(order + "I", length)
    elif element.vr in _LONG or element.undefined_length:
        head += element.vr + b"\0\0" + struct.pack(order + "I", length)
    else:
        head += element.vr + struct.pack(order + "H", length & 0xFFFF)
    return head + content + end
