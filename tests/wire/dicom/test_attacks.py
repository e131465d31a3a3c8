"""What the listener itself is to bear: idle associations at no cost, whoever knocks without end.

Attacks while a friend stores are in tests/end_to_end/test_attacks.py.
"""

from __future__ import annotations

import gc
import time

from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.attacks import ATTACKS, said
from tests.wire.dicom.listening import Listening


def test_every_line_is_printable_and_whoever_knocks_without_end_has_few(
    listening: Listening,
) -> None:
    for name in ("garbage_ae_titles", "uids_that_are_none", "random_bytes"):
        ATTACKS[name](listening.scp.port, time.monotonic() + 0.5)
    for _ in range(50):
        with listening.scu(address="127.0.0.77") as scu:
            assert said(scu, raw.RELEASE) == 0x07
    refusals = listening.said("connection refused")
    assert 1 <= len([each for each in refusals if each["peer"] == "127.0.0.77"]) <= 3
    assert len(listening.refusals) > 50
    for message, fields in listening.reports:
        for value in (message, *fields.values()):
            assert str(value).isprintable(), (message, fields)
            assert len(str(value)) < 200
    for refusal in listening.refusals:
        assert f"{refusal.calling_ae}{refusal.called_ae}".isprintable()


def test_forty_idle_associations_cost_no_cpu() -> None:
    with Listening(maximum_associations=50) as listening:
        connections = [listening.associated() for _ in range(40)]
        gc.collect()
        begun_s, cpu_s = time.monotonic(), time.process_time()
        time.sleep(3)
        share = (time.process_time() - cpu_s) / (time.monotonic() - begun_s)
        for each in connections:
            each.socket.close()
    assert share < 0.05
