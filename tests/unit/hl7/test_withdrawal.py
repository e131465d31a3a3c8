"""A message that takes another back."""

from __future__ import annotations

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from node.domain.wording import WITHDRAWN
from node.hl7.profile import Profile
from node.hl7.withdrawal import withdraw_oru
from tests.unit.hl7.test_oru import PDF, VERSIONS, oru


@pytest.mark.parametrize("version", VERSIONS)
def test_a_document_that_is_wrong_does_not_go_out_again(version: str) -> None:
    sent = oru(pdf=PDF, profile=Profile.model_validate({"version": version}))
    message = withdraw_oru(sent, control_id="CN2").decode()
    assert parse_message(message, validation_level=VALIDATION_LEVEL.TOLERANT).validate()
    taken_back = hl7.parse(message)
    told = {str(obx[2]): (str(obx[5]), str(obx[11])) for obx in taken_back.segments("OBX")}
    assert told["ED"] == ('""', "W")
    assert WITHDRAWN in str(taken_back)
    assert len(taken_back) == len(hl7.parse(sent.decode()))
