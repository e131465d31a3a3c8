"""The configuration file as one frozen tree, checked whole: every problem at once, with its fix."""

from __future__ import annotations

import importlib.resources
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from node.dicom.attribute_path import parse_attribute_path
from node.domain.alert import MailSecurity
from node.domain.caller import Permission
from node.domain.delivery import Priority
from node.domain.errors import ConfigurationError
from node.domain.form import (
    CharacterSet,
    CineForm,
    Compression,
    ReportForm,
    ResultForm,
    StudyForm,
)
from node.domain.order import AskBy
from node.secret import Secret

AETitle = Annotated[str, Field(min_length=1, max_length=16, pattern=r"^[\x21-\x5b\x5d-\x7e]+$")]
"""1 to 16 characters, no backslash, no control characters. Source: DICOM PS3.5 table 6.2-1."""
AETitlePattern = Annotated[str, Field(min_length=1, max_length=64)]
"""An AE title with the wildcards "*", "?" and "[...]"; "[*]" is the character itself."""
Port = Annotated[int, Field(ge=0, le=65535)]


def _described(words: str) -> WithJsonSchema:
    """What a type takes, for the reference, where the type itself does not say it."""
    return WithJsonSchema({"description": words})


PortOrOff = Annotated[
    Port | None,
    BeforeValidator(lambda port: None if port == "off" else port),
    _described('a whole number, 0 to 65535, or `"off"`'),
]
"""TOML knows no None: it is written "off"."""
BundleChoice = Annotated[str, Field(pattern=r"^[^/]+(/[^/]+)?$")]
"""A bundle's name, and after a slash one of its presets."""
Seconds = Annotated[float, Field(gt=0, le=365 * 24 * 3600)]
_MAILBOX = r"^[^@\s<>,]+@[^@\s<>,]+$"


def _refer(reference: object) -> Secret:
    try:
        return Secret.parse(reference)
    except ConfigurationError as error:
        raise PydanticCustomError(_UNSHOWN, "{words}", {"words": error.message}) from None


_UNSHOWN = "unshown"
"""Kind of a problem whose input may be a secret."""

SecretReference = Annotated[
    Secret,
    PlainValidator(_refer),
    PlainSerializer(lambda secret: secret.reference),
    _described("env:NAME or file:PATH"),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsSettings(_Table):
    certificate: Path
    key: Path
    authorities: Path
    minimum_version: Literal["1.2", "1.3"] = "1.2"


class PeerSettings(_Table):
    ae_title: AETitlePattern
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    called_ae: AETitlePattern = "*"
    may: tuple[Permission, ...] = Field(default=tuple(Permission), min_length=1)
    certificate: Annotated[str, Field(min_length=1)] | None = None


class DicomSettings(_Table):
    ae_titles: tuple[AETitle, ...] = Field(min_length=1)
    host: str
    port: PortOrOff
    tls_port: PortOrOff
    maximum_associations: Annotated[int, Field(ge=1, le=1000)]
    maximum_pdu_bytes: Annotated[int, Field(ge=4096, le=1048576)]
    maximum_instance_mb: Annotated[int, Field(ge=1, le=2000)]
    acse_timeout_s: Seconds
    dimse_timeout_s: Seconds
    network_timeout_s: Seconds
    peers: tuple[PeerSettings, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _listens(self) -> DicomSettings:
        if self.port is None and self.tls_port is None:
            raise ValueError('port and tls_port are both "off": give one of them a number')
        for peer in self.peers:
            if peer.certificate is not None and self.tls_port is None:
                raise ValueError(
                    f"peer {peer.ae_title!r} is bound to a certificate, which only TLS shows: set "
                    "tls_port"
                )
        return self


class Hl7Settings(_Table):
    host: str
    networks: tuple[IPv4Network | IPv6Network, ...] = Field(min_length=1)
    port: PortOrOff
    tls_port: PortOrOff
    maximum_message_bytes: Annotated[int, Field(ge=1024, le=67108864)]
    maximum_connections: Annotated[int, Field(ge=1, le=1000)]
    idle_timeout_s: Seconds
    processing_ids: tuple[Literal["P", "T", "D"], ...] = Field(min_length=1)
    unmarked_charset: Literal[
        "ASCII", "UNICODE UTF-8", "8859/1", "8859/2", "8859/3", "8859/4", "8859/5", "8859/6",
        "8859/7", "8859/8", "8859/9", "8859/15",
    ]  # fmt: skip

    @model_validator(mode="after")
    def _listens(self) -> Hl7Settings:
        if self.port is None and self.tls_port is None:
            raise ValueError('port and tls_port are both "off": give one of them a number')
        return self


class StowSettings(_Table):
    enabled: bool
    tokens: Path | None
    maximum_request_mb: Annotated[int, Field(ge=1, le=4000)]
    maximum_parts: Annotated[int, Field(ge=1, le=10000)]
    maximum_requests: Annotated[int, Field(ge=1, le=64)]
    timeout_s: Seconds

    @field_validator("tokens", mode="before")
    @classmethod
    def _empty_is_none(cls, file: object) -> object:
        return None if file == "" else file

    @model_validator(mode="after")
    def _callers_are_known(self) -> StowSettings:
        if self.enabled and self.tokens is None:
            raise ValueError("enabled needs tokens: a file that says who may store")
        return self


class ProviderSettings(_Table):
    label: Annotated[str, Field(min_length=1, max_length=64)] = "the hospital's account"
    issuer: Annotated[str, Field(pattern=r"^https://[^\s@?#]+$")]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: SecretReference
    redirect_uri: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+/sign-in/provider/back$")]
    name_claim: Annotated[str, Field(min_length=1)] = "preferred_username"
    roles_claim: Annotated[str, Field(min_length=1)] = "groups"
    viewers: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()
    admins: tuple[str, ...] = ()
    authorities: Path | None = None
    timeout_s: Seconds = 10.0

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if not (self.viewers or self.operators or self.admins):
            raise ValueError("nobody may sign in: name groups in viewers, operators or admins")
        return self


class ConsoleSettings(_Table):
    enabled: bool
    idle_minutes: Annotated[int, Field(ge=1, le=720)]
    proxies: tuple[IPv4Address | IPv6Address, ...]
    provider: ProviderSettings | None = None


class WebSettings(_Table):
    host: str
    port: Port
    tls_port: PortOrOff
    console: ConsoleSettings
    stow: StowSettings


class ModelSettings(_Table):
    bundle: BundleChoice
    folders: tuple[Path, ...]
    trusted_keys: tuple[Path, ...]
    by_ae_title: Mapping[AETitle, BundleChoice] = Field(default_factory=dict)
    runtime: Literal["auto", "onnx", "openvino", "tensorrt", "tensorrt-rtx"]
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"]
    engines: Path | None
    threads: Annotated[int, Field(ge=0, le=256)]
    at_once: Annotated[int, Field(ge=1, le=64)]

    @field_validator("engines", mode="before")
    @classmethod
    def _empty_is_default(cls, folder: object) -> object:
        return None if folder == "" else folder

    @property
    def choices(self) -> tuple[str, ...]:
        """Bundles with their presets, each once, the default first."""
        return tuple(dict.fromkeys((self.bundle, *self.by_ae_title.values())))

    @property
    def bundle_names(self) -> frozenset[str]:
        """All that are served."""
        return frozenset(choice.partition("/")[0] for choice in self.choices)


class _DestinationSettings(_Table):
    retry_initial_s: Seconds = 5.0
    retry_maximum_s: Seconds = 900.0
    give_up_after_s: Seconds = 604800.0


class _SocketDestinationSettings(_DestinationSettings):
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


class _ArchiveSettings(_DestinationSettings):
    cine: CineForm = CineForm.GRAYSCALE
    report: ReportForm = ReportForm.COMPREHENSIVE_3D
    study: StudyForm = StudyForm.SAME
    character_set: CharacterSet = CharacterSet.UTF_8

    @property
    def form(self) -> ResultForm:
        """How its results are composed."""
        return ResultForm(
            cine=self.cine,
            report=self.report,
            study=self.study,
            character_set=self.character_set,
        )


class _TlsChoice(_Table):
    """Whether a peer is called over TLS."""

    tls: bool = False
    server_name: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _a_name_is_checked_with_tls_only(self) -> Self:
        if self.server_name is not None and not self.tls:
            raise ValueError("server_name says which certificate to expect: set tls = true too")
        return self


class _AssociationSettings(_TlsChoice):
    """Whom we call."""

    ae_title: AETitle
    calling_ae: AETitle | None = None


class DicomDestinationSettings(_SocketDestinationSettings, _ArchiveSettings, _AssociationSettings):
    kind: Literal["dicom"]
    compression: Compression = Compression.NONE
    commitment: bool = False
    commitment_wait_s: Seconds = 600.0
    commitment_requests: Annotated[int, Field(ge=1, le=100)] = 3


class Hl7DestinationSettings(_SocketDestinationSettings, _TlsChoice):
    kind: Literal["hl7"]
    profile: str = "default"
    after_committed: str | None = None
    maximum_refusals: Annotated[int, Field(ge=1, le=10_000)] = 20
    connect_timeout_s: Seconds = 10.0
    answer_timeout_s: Seconds = 30.0


def _services_root(services: str, *below: str) -> Callable[[object], str]:
    """Judges the address of such services, which ends before paths below it."""

    def judged(url: object) -> str:
        problem = ""
        try:
            parts = urlsplit(url if isinstance(url, str) else "")
            parts.port  # noqa: B018 - raises where it is none
        except ValueError:
            problem = "is no URL"
        else:
            if parts.scheme not in ("http", "https") or not parts.hostname:
                problem = f"is the http or https address of the {services} services"
            elif "@" in parts.netloc:
                problem = "holds no user or password: use the keys user and password, or token"
            elif parts.query or parts.fragment or parts.path.rstrip("/").endswith(below):
                problem = f"ends before {' and '.join(below)}, and has no ? or #"
            elif not str(url).isascii() or not str(url).isprintable() or " " in str(url):
                problem = "has only ASCII characters, and no space"
        if problem:
            raise PydanticCustomError(_UNSHOWN, "{words}", {"words": problem})
        return str(url)

    return judged


_URL = _described("an http or https address")


class _WebServerSettings(_DestinationSettings):
    """A server that is called by HTTP; its address is `url`."""

    url: str
    token: SecretReference | None = None
    user: Annotated[str, Field(pattern=r"^[\x21-\x39\x3b-\x7e]+$")] | None = None
    password: SecretReference | None = None
    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    connect_timeout_s: Seconds = 10.0
    answer_timeout_s: Seconds = 60.0

    @model_validator(mode="after")
    def _credentials_and_files_are_whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.token is not None and self.user is not None:
            raise ValueError("either token, or user and password")
        if self.key is not None and self.certificate is None:
            raise ValueError("key goes with certificate")
        if not self.url.startswith("https:") and (self.authorities or self.certificate):
            raise ValueError("authorities and certificate need an https url")
        return self

    @property
    def address(self) -> str:
        return self.url


class DicomWebDestinationSettings(_ArchiveSettings, _WebServerSettings):
    kind: Literal["dicomweb"]
    url: Annotated[str, PlainValidator(_services_root("DICOMweb", "/studies")), _URL]


def _zone(name: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError(
            "time-zone",
            "is no time zone that this machine knows: write it as Europe/Vienna",
        ) from None


SystemUri = Annotated[str, Field(pattern=r"^([a-z][a-z0-9+.-]*:[\x21-\x7e]+)?$")]
"""Of an identifier; empty for none."""


class FhirDestinationSettings(_WebServerSettings):
    kind: Literal["fhir"]
    url: Annotated[
        str,
        PlainValidator(_services_root("FHIR", "/metadata", "/DiagnosticReport")),
        _URL,
    ]
    time_zone: Annotated[
        ZoneInfo, PlainValidator(_zone), PlainSerializer(str), _described("a time zone's name")
    ]
    patient_system: SystemUri = ""
    patient: Literal["named", "found"] = "named"
    order_system: SystemUri = ""
    category: Annotated[str, Field(pattern=r"^[A-Z]{1,10}$")] = "RAD"
    pdf: bool = False
    after_committed: str | None = None
    maximum_refusals: Annotated[int, Field(ge=1, le=10_000)] = 20

    @model_validator(mode="after")
    def _numbers_are_of_somebody(self) -> Self:
        if self.patient == "found" and not self.patient_system:
            raise ValueError(
                'patient = "found" needs patient_system: a number alone may be that of another'
            )
        return self


MESSAGE_DESTINATIONS = (Hl7DestinationSettings, FhirDestinationSettings)
"""Whose results are told in one message."""

DestinationSettings = Annotated[
    DicomDestinationSettings
    | DicomWebDestinationSettings
    | Hl7DestinationSettings
    | FhirDestinationSettings,
    Field(discriminator="kind"),
]


def _one_table(attributes: object, above: str = "") -> object:
    """Paths that TOML read as tables in tables, as it does where their dots are not quoted."""
    if not isinstance(attributes, dict):
        return attributes
    flat: dict[str, object] = {}
    for key, value in attributes.items():
        path = f"{above}{key}"
        inner = _one_table(value, f"{path}.")
        flat |= inner if isinstance(inner, dict) else {path: inner}
    return flat


class RuleSettings(_Table):
    name: Annotated[str, Field(min_length=1)]
    calling_ae: str = "*"
    called_ae: str = "*"
    sop_class_uid: str = "*"
    attributes: Annotated[Mapping[str, str], BeforeValidator(_one_table)] = Field(
        default_factory=dict
    )
    priority: Priority = Priority.ROUTINE
    ecg_to_sender: bool = False
    results: tuple[Literal["cine", "summary", "pdf", "report", "oru", "fhir", "ecg"], ...] = (
        "cine",
        "summary",
        "report",
        "oru",
        "fhir",
    )
    destinations: tuple[str, ...] = Field(min_length=1)

    @field_validator("attributes")
    @classmethod
    def _are_attributes(cls, attributes: Mapping[str, str]) -> Mapping[str, str]:
        problems = []
        for path in attributes:
            try:
                parse_attribute_path(path)
            except ConfigurationError as error:
                problems.append(error.message)
        if problems:
            raise ValueError("; ".join(problems))
        return attributes


class IdentitySettings(_Table):
    missing: Literal["hold", "process"]
    conflict: Literal["hold", "process"]


class OrdersSettings(_Table):
    unmatched: Literal["process", "hold"]
    late: Literal["tell", "correct"]


class WorklistSettings(_AssociationSettings):
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)]
    ask_by: AskBy = AskBy.ACCESSION_NUMBER
    patience_s: Seconds = 60.0
    connect_timeout_s: Seconds = 5.0
    answer_timeout_s: Seconds = 10.0


class S3Settings(_Table):
    """How the bucket is reached; what is not said is in the environment or the machine's role."""

    endpoint_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None
    region: str | None = None
    access_key: SecretReference | None = None
    secret_key: SecretReference | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        return self


class StorageSettings(_Table):
    database_url: str
    objects: str
    keys: tuple[SecretReference, ...]
    minimum_free_mb: Annotated[int, Field(ge=0)]
    finished_days: Annotated[int, Field(ge=0)]
    failed_days: Annotated[int, Field(ge=0)]
    message_days: Annotated[int, Field(ge=0)]
    audit_days: Annotated[int, Field(ge=0)]
    s3: S3Settings = S3Settings()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not url.startswith(("sqlite:", "postgresql:")):
            raise ValueError('is "", sqlite:///FILE or postgresql://USER@HOST/DATABASE')
        return url

    @field_validator("objects")
    @classmethod
    def _known_store(cls, objects: str) -> str:
        if "://" in objects and not re.match(r"s3://[^/]+", objects):
            raise ValueError('is "", a folder or s3://BUCKET/PREFIX')
        return objects

    @property
    def is_bucket(self) -> bool:
        """Whether the objects are in one, and not in a folder."""
        return "://" in self.objects


class SignOffSettings(_Table):
    organization: Annotated[str, Field(max_length=64, pattern=r"^[^\\\x00-\x1f\x7f]*$")]
    """LO. Source: DICOM PS3.5 table 6.2-1."""


class MailSettings(_Table):
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: MailSecurity = MailSecurity.STARTTLS
    authorities: Path | None = None
    sender: Annotated[str, Field(pattern=_MAILBOX)]
    recipients: tuple[Annotated[str, Field(pattern=_MAILBOX)], ...] = Field(min_length=1)
    user: Annotated[str, Field(min_length=1)] | None = None
    password: SecretReference | None = None
    timeout_s: Seconds = 20.0

    @model_validator(mode="after")
    def _a_password_does_not_cross_a_network_as_it_is(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        if self.user is not None and self.security is MailSecurity.NONE:
            raise ValueError('a password needs security = "starttls" or "tls"')
        return self


class WebhookSettings(_Table):
    url: SecretReference
    authorities: Path | None = None
    timeout_s: Seconds = 10.0


class AuditRepositorySettings(_Table):
    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 6514
    server_name: Annotated[str, Field(min_length=1)] | None = None
    source_id: Annotated[str, Field(min_length=1, max_length=48)] = "cardionode"
    site_id: str = ""
    timeout_s: Seconds = 10.0


class AlertSettings(_Table):
    after_minutes: Annotated[float, Field(ge=0, le=7 * 24 * 60)]
    again_hours: Annotated[float, Field(gt=0, le=365 * 24)]
    silent_hours: Annotated[
        float | None,
        Field(gt=0, le=365 * 24),
        BeforeValidator(lambda hours: None if hours == "off" else hours),
        _described('a number above 0, 8760 at most, or `"off"`'),
    ]
    mail: MailSettings | None = None
    webhook: WebhookSettings | None = None


class TraceSettings(_Table):
    url: Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]


class LogSettings(_Table):
    form: Literal["json", "text"]
    level: Literal["info", "warning", "error"]


class Settings(_Table):
    """The whole configuration."""

    tls: TlsSettings | None = None
    dicom: DicomSettings
    hl7: Hl7Settings
    web: WebSettings
    model: ModelSettings
    destinations: Mapping[str, DestinationSettings] = Field(default_factory=dict)
    rules: tuple[RuleSettings, ...] = ()
    identity: IdentitySettings
    orders: OrdersSettings
    worklist: WorklistSettings | None = None
    sign_off: SignOffSettings
    storage: StorageSettings
    audit_repository: AuditRepositorySettings | None = None
    alerts: AlertSettings
    log: LogSettings
    traces: TraceSettings | None = None

    @property
    def after_committed(self) -> dict[str, str]:
        """Destinations that wait, each with the one whose commitment they wait for."""
        return {
            name: each.after_committed
            for name, each in self.destinations.items()
            if isinstance(each, MESSAGE_DESTINATIONS) and each.after_committed is not None
        }

    @model_validator(mode="after")
    def _bundles_are_chosen_by_our_own_ae_titles(self) -> Settings:
        for ae_title in self.model.by_ae_title:
            if ae_title not in self.dicom.ae_titles:
                raise ValueError(
                    f"model.by_ae_title names {ae_title!r}, which is not among dicom.ae_titles"
                )
        return self

    @model_validator(mode="after")
    def _tls_has_a_certificate(self) -> Settings:
        users = ["dicom.tls_port"] if self.dicom.tls_port is not None else []
        users += ["hl7.tls_port"] if self.hl7.tls_port is not None else []
        users += ["web.tls_port"] if self.web.tls_port is not None else []
        users += [
            f"destinations.{name}.tls"
            for name, each in self.destinations.items()
            if isinstance(each, DicomDestinationSettings | Hl7DestinationSettings) and each.tls
        ]
        users += ["audit_repository"] if self.audit_repository is not None else []
        users += ["worklist.tls"] if self.worklist is not None and self.worklist.tls else []
        if users and self.tls is None:
            raise ValueError(
                f"{', '.join(users)}: TLS needs a table [tls] with certificate, key and authorities"
            )
        return self

    @model_validator(mode="after")
    def _rules_name_destinations(self) -> Settings:
        for rule in self.rules:
            for name in rule.destinations:
                if name not in self.destinations:
                    raise ValueError(
                        f"rule {rule.name!r} names destination {name!r}, "
                        f"but there is no [destinations.{name}]"
                    )
        return self

    @model_validator(mode="after")
    def _commitment_is_waited_for_where_it_is_asked_for(self) -> Settings:
        for name, each in self.destinations.items():
            if not isinstance(each, MESSAGE_DESTINATIONS) or each.after_committed is None:
                continue
            first = self.destinations.get(each.after_committed)
            if not isinstance(first, DicomDestinationSettings) or not first.commitment:
                raise ValueError(
                    f"destinations.{name}.after_committed names {each.after_committed!r}, "
                    "which is not a DICOM destination with commitment = true"
                )
        return self


def default_engines() -> Path:
    """Where engines are kept unless `model.engines` names a folder: with the user's caches."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "cardionode" / "engines"


def default_text() -> str:
    """The annotated default configuration that comes with cardionode."""
    return (importlib.resources.files("config") / "node.toml").read_text(encoding="utf-8")


def read_settings(file: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """The default, changed by the file, changed by overrides like "dicom.port=11912".

    Raises as `parse_settings`, and where the file cannot be read.
    """
    if file is None:
        return parse_settings("", "the configuration", overrides)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read {file}: {error}") from error
    return parse_settings(text, str(file), overrides)


def parse_settings(text: str, name: str, overrides: Sequence[str] = ()) -> Settings:
    """The default, changed by the text of a file of that name, changed by overrides.

    A table of the file replaces the default's keys one by one; lists are replaced whole.
    Raises ConfigurationError that lists every problem with its key path and what is expected.
    """
    tree = _parse(default_text(), "the default configuration")
    _merge(tree, _parse(text, name))
    for override in overrides:
        _override(tree, override)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        problems = "\n".join(f"  {_describe(problem)}" for problem in error.errors())
        count = error.error_count()
        raise ConfigurationError(
            f"{count} problem{'s' if count > 1 else ''} in {name}:\n{problems}"
        ) from error


def override_of(override: str) -> tuple[tuple[str, ...], Any]:
    """Key and value of one like "dicom.port=11912": the value as TOML, or plain text if it is none.

    Raises ConfigurationError.
    """
    path, separator, text = override.partition("=")
    if not separator or not path:
        raise ConfigurationError(f"{override}: write it as table.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return tuple(path.strip().split(".")), value


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is not TOML: {error}") from error


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value


def _override(tree: dict[str, Any], override: str) -> None:
    path, value = override_of(override)
    *tables, key = path
    for table in tables:
        tree = tree.setdefault(table, {})
        if not isinstance(tree, dict):
            raise ConfigurationError(f"{override}: {table} is not a table")
    tree[key] = value


def _describe(problem: Mapping[str, Any]) -> str:
    """One line, e.g. `dicom.port: Input should be less than or equal to 65535 (it is 99999)`."""
    path = ".".join(str(step) for step in problem["loc"])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{path}: there is no such key; see config/node.toml for those there are"
    if problem["type"] == "missing":
        return f"{path}: this key is needed"
    given = problem.get("input") if problem["type"] != _UNSHOWN else None
    shown = f" (it is {given!r})" if isinstance(given, str | int | float) else ""
    return f"{path}: {message}{shown}" if path else message
