"""Bytes, changed here and there."""

from __future__ import annotations

import random


def mutated(chance: random.Random, content: bytes) -> bytes:
    stream = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(stream))
        length = chance.choice((1, 1, 2, 4, 40))
        match chance.randrange(6):
            case 0:
                stream[at] ^= 1 << chance.randrange(8)
            case 1:
                stream[at : at + length] = chance.randbytes(length)
            case 2:
                del stream[at : at + length]
            case 3:
                stream[at:at] = chance.randbytes(length)
            case 4:
                stream[at:at] = stream[at : at + 10 * length]
            case _:
                extreme = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
                stream[at : at + length] = extreme * length
        stream = stream or bytearray(b"\0")
    if not chance.randrange(10):
        del stream[chance.randrange(len(stream)) :]
    return bytes(stream)
