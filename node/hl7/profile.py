"""What one HL7 destination wants: a site's differences as data, read from TOML."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from node.domain.errors import ConfigurationError
from node.hl7.message import CODECS
from node.hl7.placeholder import unknown_placeholders

Name = Annotated[str, Field(max_length=180, pattern=r"^[^|^~\\&\x00-\x1f]*$")]
"""Namespace of an application or facility (HD.1)."""

LINK_PLACES: Final = ("study_uid", "accession")
SEGMENT_PLACES: Final = (
    *LINK_PLACES,
    "report_uid",
    "cine_uid",
    "patient_id",
    "placer_order_number",
    "filler_order_number",
    "requested_procedure_id",
)
"""What a profile's own texts may name."""
_LAYOUT: Final = r"^[^|^~\\&\x00-\x1f]*(\^[^|^~\\&\x00-\x1f]*){2}\^Base64$"
"""ED.1 to ED.4 (HL7 v2.5.1 §2.A.24)."""
_LINK: Final = re.compile(r"https?://[!-~]+")
_Z_SEGMENT: Final = re.compile(r"Z[A-Z0-9]{2}")
_SEPARATOR: Final = re.compile(r"[|\x00-\x1f\x7f]")


def _known_charset(name: str) -> str:
    if name not in CODECS:
        raise _problem_of(f"must be one of {', '.join(CODECS)}")
    return name


def _checked_link(link: str) -> str:
    if link and not _LINK.fullmatch(link):
        raise _problem_of(
            "must begin with http:// or https:// and hold ASCII characters alone, no spaces"
        )
    return _with_known_places(link, LINK_PLACES)


def _checked_segment(segment: tuple[str, ...]) -> tuple[str, ...]:
    name, *fields = segment or ("",)
    if not _Z_SEGMENT.fullmatch(name) or not fields:
        raise _problem_of("must be a name of Z and two capital letters or digits, then its fields")
    if any(_SEPARATOR.search(field) for field in fields):
        raise _problem_of("a field must not hold | or a line's end: give each as a text of its own")
    return name, *(_with_known_places(field, SEGMENT_PLACES) for field in fields)


def _with_known_places(template: str, known: Collection[str]) -> str:
    if problem := unknown_placeholders(template, known):
        raise _problem_of(problem)
    return template


def _problem_of(words: str) -> PydanticCustomError:
    return PydanticCustomError("profile", "{words}", {"words": words})


def _as_tuple(value: object) -> object:
    """TOML has lists."""
    return tuple(value) if isinstance(value, list) else value


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


ZSegment = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), AfterValidator(_checked_segment)]
"""Name and fields."""
PlacerField = Literal["none", "accession", "requested-procedure-id"]
"""What OBR-18 or OBR-19 holds."""


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
    pdf: Literal["none", "ed"] = "none"
    pdf_layout: Annotated[str, Field(pattern=_LAYOUT)] = "^application^pdf^Base64"
    study_link: Annotated[str, AfterValidator(_checked_link)] = ""
    placer_field_1: PlacerField = "accession"
    placer_field_2: PlacerField = "none"
    z_segments: Annotated[tuple[ZSegment, ...], BeforeValidator(_as_tuple)] = ()
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


def shipped_profiles() -> list[str]:
    """The names of the profiles in config/hl7."""
    found = (each.name for each in files("config").joinpath("hl7").iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


@cache
def shipped_profile(name: str = "default") -> Profile:
    """The profile of config/hl7 with that name."""
    file = files("config").joinpath("hl7", f"{name}.toml")
    return read_profile(file.read_text(encoding="utf-8"))


def _problem(detail: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{key}: no such key; see config/hl7/default.toml"
    return f"{key}: {detail['msg'][0].lower()}{detail['msg'][1:]}"
