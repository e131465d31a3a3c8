"""What the settings ask for, in the terms of the parts: callers, rules, destinations, senders."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from node.alerts.mail import Mail
from node.alerts.webhook import Webhook
from node.atna.syslog import SyslogReceiver
from node.dicom.attribute_path import parse_attribute_path
from node.dicom.credentials import Credentials
from node.dicom.dicomweb import Authorization, StowClient, TlsFiles
from node.dicom.negotiation import Peer
from node.dicom.origin_server import OriginServer
from node.dicom.scu import StorageScu, keep_quiet
from node.dicom.service import Report
from node.dicom.tls import CredentialFiles, explanation
from node.dicom.worklist import WorklistScu
from node.domain.alert import MailSecurity
from node.domain.delivery import DestinationKind, ResultKind
from node.domain.errors import ConfigurationError
from node.domain.form import DEFAULT_FORM
from node.domain.host import ALL_ROLES, HostRole
from node.domain.user import Role
from node.fhir.client import LONGEST_ANSWER_BYTES, FhirClient
from node.fhir.library import need_library
from node.fhir.site import Site
from node.hl7.profile import Profile, read_profile, shipped_profile, shipped_profiles
from node.hl7.sender import Hl7Sender
from node.hl7.tls import Tls
from node.settings import (
    MESSAGE_DESTINATIONS,
    AlertSettings,
    AuditRepositorySettings,
    DicomDestinationSettings,
    DicomWebDestinationSettings,
    FhirDestinationSettings,
    Hl7DestinationSettings,
    MailSettings,
    ProviderSettings,
    Settings,
    WebhookSettings,
)
from node.workflow.identity import IdentityPolicy
from node.workflow.inbox import Inbox
from node.workflow.ports import Clock, ObjectStore, Telemetry, UnitOfWork
from node.workflow.reconcile import OrderPolicy
from node.workflow.registry import Registry
from node.workflow.route import Destination, Routing, RoutingRule
from node.workflow.sessions import Provider


def listening_ports(
    settings: Settings, roles: frozenset[HostRole] = ALL_ROLES
) -> list[tuple[str, str, str, int]]:
    """Where a process of those roles listens: what for, the port's key, host and port of each."""
    dicom, hl7, web = settings.dicom, settings.hl7, settings.web
    ports: list[tuple[str, str, str, int | None]] = []
    if HostRole.RECEIVE in roles:
        ports += [
            ("DICOM port", "dicom.port", dicom.host, dicom.port),
            ("DICOM TLS port", "dicom.tls_port", dicom.host, dicom.tls_port),
            ("HL7 port", "hl7.port", hl7.host, hl7.port),
            ("HL7 TLS port", "hl7.tls_port", hl7.host, hl7.tls_port),
        ]
    ports += [
        ("web port", "web.port", web.host, web.port),
        ("web TLS port", "web.tls_port", web.host, web.tls_port),
    ]
    return [(name, key, host, port) for name, key, host, port in ports if port is not None]


def profile_of(destination: Hl7DestinationSettings) -> Profile:
    """The profile an HL7 destination names. Raises ConfigurationError."""
    name = destination.profile
    if name in shipped_profiles():
        return shipped_profile(name)
    try:
        return read_profile(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the HL7 profile {name}: {error.strerror}; it is the path of a file, or "
            f"one of {', '.join(shipped_profiles())}"
        ) from error


def profiles_of(settings: Settings) -> dict[str, Profile]:
    """Those that HL7 destinations use, by what they are called. Raises ConfigurationError."""
    return {
        each.profile: profile_of(each)
        for each in settings.destinations.values()
        if isinstance(each, Hl7DestinationSettings)
    }


def build_credentials(settings: Settings) -> Credentials | None:
    """The node's certificate and whom it trusts; None without [tls]. Raises ConfigurationError."""
    tls = settings.tls
    if tls is None:
        return None
    return Credentials(
        CredentialFiles(
            certificate=tls.certificate,
            key=tls.key,
            authorities=tls.authorities,
            minimum_version=ssl.TLSVersion["TLSv" + tls.minimum_version.replace(".", "_")],
        )
    )


def build_sender(
    settings: Settings, name: str, credentials: Credentials | None, report: Report = keep_quiet
) -> StorageScu | StowClient | Hl7Sender | FhirClient:
    """What carries results to a destination. Raises ConfigurationError."""
    destination = settings.destinations[name]
    if isinstance(destination, FhirDestinationSettings):
        return build_fhir_client(destination)
    if isinstance(destination, DicomWebDestinationSettings):
        return build_stow_client(destination)
    if isinstance(destination, DicomDestinationSettings):
        return build_scu(settings, destination, credentials, report)
    return build_hl7_sender(destination, credentials)


def build_hl7_sender(
    destination: Hl7DestinationSettings, credentials: Credentials | None
) -> Hl7Sender:
    """What carries messages to an HL7 destination."""
    return Hl7Sender(
        destination.host,
        destination.port,
        connect_timeout_s=destination.connect_timeout_s,
        answer_timeout_s=destination.answer_timeout_s,
        tls=tls_of(credentials.client) if credentials is not None and destination.tls else None,
        server_name=destination.server_name,
    )


def tls_of(context: Callable[[], ssl.SSLContext]) -> Tls:
    """What HL7 needs of the credentials, for either direction."""
    return Tls(context=context, explain=explanation)


def build_stow_client(destination: DicomWebDestinationSettings) -> StowClient:
    """What stores at a DICOMweb server. Raises ConfigurationError."""
    return StowClient(
        url=destination.url,
        authorization=_authorization(destination),
        tls=_tls_files(destination),
        connect_timeout_s=destination.connect_timeout_s,
        answer_timeout_s=destination.answer_timeout_s,
    )


def build_fhir_client(destination: FhirDestinationSettings) -> FhirClient:
    """What posts to a FHIR server. Raises ConfigurationError."""
    need_library()
    server = OriginServer.of(
        destination.url,
        tls=_tls_files(destination).context,
        connect_timeout_s=destination.connect_timeout_s,
        answer_timeout_s=destination.answer_timeout_s,
        longest_answer_bytes=LONGEST_ANSWER_BYTES,
    )
    return FhirClient(url=destination.url, server=server, authorization=_authorization(destination))


def _authorization(
    destination: DicomWebDestinationSettings | FhirDestinationSettings,
) -> Authorization:
    """Reads the secret anew each time. Raises ConfigurationError at once if it is not there."""
    token, user, password = destination.token, destination.user, destination.password

    def authorization() -> str:
        if token is not None:
            return f"Bearer {token.read()}"
        if user is not None and password is not None:
            return f"Basic {b64encode(f'{user}:{password.read()}'.encode('ascii')).decode('ascii')}"
        return ""

    authorization()  # what is missing is better told of now than when a result is due
    return authorization


def _tls_files(destination: DicomWebDestinationSettings | FhirDestinationSettings) -> TlsFiles:
    """Raises ConfigurationError where they are needed and cannot be used."""
    tls = TlsFiles(
        authorities=destination.authorities,
        certificate=destination.certificate,
        key=destination.key,
    )
    if destination.url.startswith("https:"):
        tls.context()
    return tls


def build_audit_receiver(
    repository: AuditRepositorySettings, credentials: Credentials | None
) -> SyslogReceiver:
    """What audit messages are handed to."""
    assert credentials is not None  # the settings see to that
    return SyslogReceiver(
        host=repository.host,
        port=repository.port,
        server_name=repository.server_name or repository.host,
        tls=credentials.client,
        application=repository.source_id,
        timeout_s=repository.timeout_s,
    )


def build_provider(provider: ProviderSettings | None) -> Provider | None:
    """Who vouches for people. Raises ConfigurationError where what it needs is not there."""
    if provider is None:
        return None
    try:
        from node.web.openid import OpenIdProvider
    except ImportError:
        raise ConfigurationError(
            "web.console.provider needs libraries that are not installed: "
            'pip install "cardionode[oidc]"'
        ) from None
    provider.client_secret.read()
    if provider.authorities is not None:
        TlsFiles(authorities=provider.authorities).context()
    return OpenIdProvider(
        issuer=provider.issuer,
        client_id=provider.client_id,
        client_secret=provider.client_secret.read,
        redirect_uri=provider.redirect_uri,
        name_claim=provider.name_claim,
        roles_claim=provider.roles_claim,
        groups={
            Role.VIEWER: provider.viewers,
            Role.OPERATOR: provider.operators,
            Role.ADMIN: provider.admins,
        },
        authorities=provider.authorities,
        timeout_s=provider.timeout_s,
    )


def need_traces(settings: Settings) -> None:
    """Pass where traces can be made as wanted. Raises ConfigurationError."""
    if settings.traces is None:
        return
    try:
        import node.traces  # noqa: F401
    except ImportError:
        raise ConfigurationError(
            'traces need libraries that are not installed: pip install "cardionode[otel]"'
        ) from None


def build_notifiers(alerts: AlertSettings) -> dict[str, Mail | Webhook]:
    """The ways to people, by name. Raises ConfigurationError where what they need is not there."""
    found: dict[str, Mail | Webhook] = {}
    if alerts.mail is not None:
        found["mail"] = _mail(alerts.mail)
    if alerts.webhook is not None:
        found["webhook"] = _webhook(alerts.webhook)
    return found


def _mail(mail: MailSettings) -> Mail:
    tls = TlsFiles(authorities=mail.authorities).context
    if mail.security is not MailSecurity.NONE:
        tls()
    password = mail.password.read if mail.password is not None else str
    password()
    return Mail(
        host=mail.host,
        port=mail.port,
        security=mail.security,
        tls=tls,
        sender=mail.sender,
        recipients=mail.recipients,
        user=mail.user or "",
        password=password,
        timeout_s=mail.timeout_s,
    )


def _webhook(webhook: WebhookSettings) -> Webhook:
    tls = TlsFiles(authorities=webhook.authorities).context
    tls()

    def url() -> str:
        found = webhook.url.read()
        try:
            parts = urlsplit(found)
            parts.port  # noqa: B018 - raises where it is none
            is_one = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            is_one = False
        if not is_one or "@" in parts.netloc:
            raise ConfigurationError(
                "what alerts.webhook.url refers to is no http or https address of a host"
            )
        return found

    def server(of: str) -> OriginServer:
        return OriginServer.of(
            of,
            tls=tls,
            connect_timeout_s=webhook.timeout_s,
            answer_timeout_s=webhook.timeout_s,
        )

    url()
    return Webhook(url=url, server=server)


def site_of(destination: FhirDestinationSettings) -> Site:
    """What the site of a FHIR destination calls things."""
    return Site(
        time_zone=destination.time_zone,
        patient_system=destination.patient_system,
        finds_patient=destination.patient == "found",
        order_system=destination.order_system,
        category=destination.category,
        pdf=destination.pdf,
    )


def build_scu(
    settings: Settings,
    destination: DicomDestinationSettings,
    credentials: Credentials | None,
    report: Report = keep_quiet,
) -> StorageScu:
    """What opens associations with a DICOM destination. Raises ConfigurationError."""
    return StorageScu(
        calling_ae=destination.calling_ae or settings.dicom.ae_titles[0],
        called_ae=destination.ae_title,
        host=destination.host,
        port=destination.port,
        compression=destination.compression,
        report=report,
        tls=credentials.client if credentials is not None and destination.tls else None,
        server_name=destination.server_name,
    )


def build_worklist(settings: Settings, credentials: Credentials | None) -> WorklistScu | None:
    """Who knows which order an ECG answers; None where nobody is to be asked."""
    worklist = settings.worklist
    if worklist is None:
        return None
    scu = StorageScu(
        calling_ae=worklist.calling_ae or settings.dicom.ae_titles[0],
        called_ae=worklist.ae_title,
        host=worklist.host,
        port=worklist.port,
        connect_timeout_s=worklist.connect_timeout_s,
        answer_timeout_s=worklist.answer_timeout_s,
        tls=credentials.client if credentials is not None and worklist.tls else None,
        server_name=worklist.server_name,
    )
    return WorklistScu(scu, worklist.ask_by)


def build_order_policy(settings: Settings) -> OrderPolicy:
    """What becomes of ECGs without an order."""
    policy = OrderPolicy(holds_unmatched=settings.orders.unmatched == "hold")
    worklist = settings.worklist
    return policy if worklist is None else replace(policy, patience_s=worklist.patience_s)


def build_peers(settings: Settings) -> tuple[Peer, ...]:
    """Who may associate."""
    return tuple(
        Peer(
            ae_title=peer.ae_title,
            networks=tuple(ip_network(str(network)) for network in peer.networks),
            called_ae=peer.called_ae,
            may=frozenset(peer.may),
            certificate=peer.certificate,
        )
        for peer in settings.dicom.peers
    )


def build_registry(settings: Settings, *, spool: ObjectStore, work: UnitOfWork) -> Registry:
    """What messages have told, and what is to follow from it."""
    return Registry(spool=spool, work=work, corrects_late=settings.orders.late == "correct")


def build_inbox(
    settings: Settings, registry: Registry, telemetry: Telemetry, clock: Clock
) -> Inbox:
    """What takes messages, into the same rows and objects."""
    return Inbox(
        registry=registry,
        spool=registry.spool,
        work=registry.work,
        telemetry=telemetry,
        clock=clock,
        processing_ids=frozenset(settings.hl7.processing_ids),
        unmarked_charset=settings.hl7.unmarked_charset,
    )


def build_identity_policy(settings: Settings) -> IdentityPolicy:
    """Which ECGs are held."""
    return IdentityPolicy(
        holds_missing=settings.identity.missing == "hold",
        holds_conflict=settings.identity.conflict == "hold",
    )


def build_routing(settings: Settings) -> Routing:
    """Rules and destinations; without rules everything goes everywhere."""
    destinations = {
        name: Destination(
            name=name,
            kind=DestinationKind(each.kind),
            profile=profile_of(each) if isinstance(each, Hl7DestinationSettings) else None,
            site=site_of(each) if isinstance(each, FhirDestinationSettings) else None,
            form=DEFAULT_FORM if isinstance(each, MESSAGE_DESTINATIONS) else each.form,
            ae_title=each.ae_title if isinstance(each, DicomDestinationSettings) else None,
            host=each.host if isinstance(each, DicomDestinationSettings) else None,
            after_committed=(
                each.after_committed if isinstance(each, MESSAGE_DESTINATIONS) else None
            ),
        )
        for name, each in settings.destinations.items()
    }
    rules = [
        RoutingRule(
            name=rule.name,
            calling_ae=rule.calling_ae,
            called_ae=rule.called_ae,
            sop_class_uid=rule.sop_class_uid,
            attributes=tuple(
                (parse_attribute_path(path), pattern) for path, pattern in rule.attributes.items()
            ),
            results=frozenset(ResultKind(result) for result in rule.results),
            destinations=rule.destinations,
            priority=rule.priority,
            ecg_to_sender=rule.ecg_to_sender,
        )
        for rule in settings.rules
    ]
    everything = RoutingRule(name="everything", destinations=tuple(destinations))
    return Routing(rules=rules or [everything], destinations=destinations)
