"""A message that takes another back."""

from __future__ import annotations

import hl7

from node.hl7.withdrawal import WITHDRAWN, withdraw_oru
from tests.unit.hl7.test_oru import PDF, oru


def test_a_document_that_is_wrong_does_not_go_out_again() -> None:
    sent = oru(pdf=PDF)
    taken_back = hl7.parse(withdraw_oru(sent, control_id="CN2").decode())
    told = {str(obx[2]): (str(obx[5]), str(obx[11])) for obx in taken_back.segments("OBX")}
    assert told["ED"] == ('""', "W")
    assert WITHDRAWN in str(taken_back)
    assert len(taken_back) == len(hl7.parse(sent.decode()))
