"""What one HL7 destination wants: a site's differences as data, read from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from node.domain.errors import ConfigurationError
from node.hl7.message import CODECS

Name = Annotated[str, Field(max_length=180, pattern=r"^[^|^~\\&\x00-\x1f]*$")]
"""Namespace of an application or facility (HD.1)."""


def _known_charset(name: str) -> str:
    if name not in CODECS:
        raise PydanticCustomError("charset", "must be one of {known}", {"known": ", ".join(CODECS)})
    return name


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True, strict=True)


class Party(_Table):
    """One end of the exchange: MSH-3 and MSH-4, or MSH-5 and MSH-6."""

    application: Name = ""
    facility: Name = ""


class UniversalService(_Table):
    """OBR-4 of a result whose order named no procedure."""

    code: Annotated[str, Field(min_length=1, max_length=20)] = "ECG2CMR"
    text: Annotated[str, Field(min_length=1, max_length=199)] = "AI estimate of cardiac MR from ECG"
    scheme: Annotated[str, Field(min_length=1, max_length=20)] = "99CARDIONODE"


class Profile(_Table):
    """How an ORU for one destination is written; config/hl7/default.toml explains each key."""

    version: Literal["2.3.1", "2.4", "2.5.1"] = "2.5.1"
    charset: Annotated[str, AfterValidator(_known_charset)] = "UNICODE UTF-8"
    name_groups: Literal["all", "first"] = "all"
    processing_id: Literal["P", "T", "D"] = "P"
    acknowledgement_mode: Literal["original", "enhanced"] = "original"
    result_status: Literal["R", "P"] = "R"
    diagnostic_section: Annotated[str, Field(pattern=r"^[A-Z]{0,10}$")] = "RAD"
    text_report: bool = True
    abnormal_flags: bool = False
    sending: Party = Party(application="CARDIONODE")
    receiving: Party = Party()
    universal_service: UniversalService = UniversalService()


def read_profile(text: str) -> Profile:
    """The profile a TOML text describes; keys left out have their default.

    Raises ConfigurationError (not TOML, or every key that is unknown or has a value that is not
    allowed, in one message).
    """
    try:
        return Profile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"the HL7 profile is not TOML: {error}") from None
    except ValidationError as error:
        problems = "; ".join(_problem(detail) for detail in error.errors())
        raise ConfigurationError(f"the HL7 profile has to be changed: {problems}") from None


@cache
def default_profile() -> Profile:
    """The profile of config/hl7/default.toml."""
    return read_profile(files("config").joinpath("hl7", "default.toml").read_text(encoding="utf-8"))


def _problem(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key; see config/hl7/default.toml"
    return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
