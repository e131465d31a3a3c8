"""Tries a destination of the configuration step by step.

Nothing is left behind there, unless results of a made-up patient are to be sent too.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from typing import Final
from urllib.parse import urlsplit

from pydicom.uid import generate_uid

from node.configured import build_credentials, build_routing, build_scu, build_sender
from node.conformance.trial_results import PATIENT_ID, trial_results
from node.dicom import dimse
from node.dicom.cine import CINE_CLASSES
from node.dicom.commitment import CommitmentScu, offers_commitment
from node.dicom.commitment_service import CommitmentService
from node.dicom.dicomweb import StowClient
from node.dicom.scu import StorageScu, keep_quiet
from node.dicom.structured_report import REPORT_CLASSES
from node.dicom.template import load_templates
from node.domain.commitment import CommitmentReport
from node.domain.delivery import ResultKind, ResultObject
from node.domain.errors import ConfigurationError, DeliveryError, Unreachable
from node.fhir.client import FhirClient
from node.hl7.message import Acknowledgement
from node.hl7.sender import Hl7Sender
from node.settings import DestinationSettings, DicomDestinationSettings, PeerSettings, Settings
from node.workflow.connection_test import Check, try_it
from node.workflow.ports import Sender
from node.workflow.route import Routing

_CONNECTS_WITHIN_S: Final = 5.0
_REPORTS_WITHIN_S: Final = 3.0
_ANSWERS_TLS_WITHIN_S: Final = 2.0
_WEB_PORTS: Final = {"http": 80, "https": 443}
Step = tuple[str, Callable[[], str]]
"""What is tried, and what tries it: gives what it found. Raises CardioNodeError."""


def try_destination(settings: Settings, name: str, *, sends: bool = False) -> Iterator[Check]:
    """Each step in its turn; the first that does not work is the last.

    Nothing is stored, told or asked for there: what is offered is looked at. If it `sends`, results
    of a made-up patient follow, which stay there.
    """
    rules: list[Step] = [("rules", partial(_gets, settings, name))]
    steps = chain(_steps(settings, name), rules, _sending_steps(settings, name) if sends else ())
    for subject, attempt in steps:
        step = try_it(subject, attempt)
        yield step
        if step.problem is not None:
            return


def _steps(settings: Settings, name: str) -> Iterator[Step]:
    destination = settings.destinations.get(name)
    if destination is None:
        raise ConfigurationError(f"the configuration has no destination {name!r}")
    sender = build_sender(settings, name, build_credentials(settings))
    host, port = _host_and_port(destination.address)
    yield "name", partial(_find, host, port)
    yield "connection", partial(_connect, host, port)
    over = " over TLS" if getattr(destination, "tls", False) else ""
    if isinstance(sender, StorageScu):
        yield "association and C-ECHO", partial(_echo, sender, name, host, port, over)
        for kind, sop_class_uid in _classes(settings, name):
            yield f"SOP class of the {kind.value}", partial(_offered, sender, kind, sop_class_uid)
        if isinstance(destination, DicomDestinationSettings) and destination.commitment:
            yield "Storage Commitment", partial(_commits, sender)
        return
    found = f"MLLP connection taken by {destination.address}{over}"
    what = "MLLP"
    if isinstance(sender, Hl7Sender):
        if not over:
            yield "without TLS", partial(_in_the_clear, name, host, port)
    else:
        what = "STOW-RS" if isinstance(sender, StowClient) else "FHIR transactions"
        clear = "" if destination.address.startswith("https:") else ", in the clear"
        found = f"{what} offered by {destination.address}{clear}"
    yield what, partial(_probe, sender, found)


def _sending_steps(settings: Settings, name: str) -> Iterator[Step]:
    """What an ECG would bring there: each result taken, and committed to where that is wanted."""
    credentials = build_credentials(settings)
    sender = build_sender(settings, name, credentials)
    configured, routing = settings.destinations[name], build_routing(settings)
    destination, decided = routing.destinations[name], routing.decide_for(name)
    kinds = _kinds(routing, name)
    made: list[ResultObject] = []

    def make() -> str:
        if kinds == {ResultKind.ECG}:
            return "it gets the ECG itself alone: there is nothing to make"
        form = decided.form_for(destination)
        made.extend(trial_results(destination, kinds, form, load_templates()))
        return f"made, of the made-up patient {PATIENT_ID}"

    yield "test results", make
    for kind, results in groupby(made, key=lambda each: each.kind):
        yield f"test {kind.value}", partial(_send_all, sender, list(results))
    if isinstance(sender, Hl7Sender):
        sender.close()
    if made and isinstance(configured, DicomDestinationSettings) and configured.commitment:
        scu = build_scu(settings, configured, credentials)
        yield "commitment to the test results", partial(_commit, scu, made)


def _kinds(routing: Routing, name: str) -> set[ResultKind]:
    """What some rule has sent there."""
    takes = routing.destinations[name].takes
    rules = [each for each in routing.rules if name in each.destinations]
    return {kind for rule in rules for kind in rule.results if takes(kind)}


def _gets(settings: Settings, name: str) -> str:
    kinds = _kinds(build_routing(settings), name)
    if not kinds:
        raise ConfigurationError(
            f"no rule has a result sent to {name}: name it in the destinations of one"
        )
    return f"have it sent: {', '.join(sorted(kind.value for kind in kinds))}"


def _send_all(sender: Sender, results: Sequence[ResultObject]) -> str:
    begun_s = time.monotonic()
    answers = [sender.send(each.content) for each in results]
    took_ms = 1e3 * (time.monotonic() - begun_s)
    last = answers[-1]
    said = f"acknowledged with {last.code.value}" if isinstance(last, Acknowledgement) else "taken"
    return f"{said} in {took_ms:.0f} ms"


def _commit(scu: StorageScu, results: Sequence[ResultObject]) -> str:
    told: list[CommitmentReport] = []
    service = CommitmentService(take=lambda report, _: told.append(report), report=keep_quiet)
    asking = CommitmentScu(scu, service, linger_s=_REPORTS_WITHIN_S)
    with asking.asked(generate_uid(), [(each.sop_class_uid, each.identifier) for each in results]):
        pass
    if not told:
        return "asked for; its report comes to the node's own port, which does not know this test"
    if told[0].failed:
        raise next(iter(told[0].failed.values()))
    return f"{len(told[0].committed)} instances committed"


def _host_and_port(address: str) -> tuple[str, int]:
    """address: HOST:PORT, or a URL."""
    if "://" not in address:
        host, _, port = address.rpartition(":")
        return host, int(port)
    parts = urlsplit(address)
    return parts.hostname or "", parts.port or _WEB_PORTS[parts.scheme]


def _find(host: str, port: int) -> str:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Unreachable(
            f"no machine is called {host}: is the name right, and does the DNS here know it?"
        ) from None
    addresses = dict.fromkeys(str(each[4][0]) for each in found)
    return f"{host} is {', '.join(addresses)}" if list(addresses) != [host] else host


def _connect(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=_CONNECTS_WITHIN_S).close()
    except ConnectionRefusedError:
        raise Unreachable(
            f"nobody listens on {host}:{port}: is it running, and is that its port?"
        ) from None
    except TimeoutError:
        raise Unreachable(
            f"{host}:{port} does not answer within {_CONNECTS_WITHIN_S:g} s: is the address right, "
            "and does every firewall between let it through?"
        ) from None
    except OSError as error:
        raise Unreachable(f"no way to {host}:{port}: {error.strerror}") from None
    return f"{host}:{port} takes connections"


def _echo(sender: StorageScu, name: str, host: str, port: int, over: str) -> str:
    try:
        sender.echo()
    except Unreachable:
        if not over:
            _in_the_clear(name, host, port)
        elif _answers_without_tls(sender, port):
            raise Unreachable(
                f"{host}:{port} speaks no TLS: name its port with TLS, or set "
                f"destinations.{name}.tls = false"
            ) from None
        raise
    return f"C-ECHO answered by {host}:{port}{over}"


def _answers_without_tls(sender: StorageScu, port: int) -> bool:
    """Whether it talks DICOM as it is: nothing but the two AE titles is said."""
    plain = StorageScu(
        calling_ae=sender.calling_ae,
        called_ae=sender.called_ae,
        host=sender.host,
        port=port,
        answer_timeout_s=_ANSWERS_TLS_WITHIN_S,
    )
    try:
        plain.echo()
    except DeliveryError as error:
        return not isinstance(error, Unreachable)
    return True


def _in_the_clear(name: str, host: str, port: int) -> str:
    """Pass where it does not ask for TLS. Raises Unreachable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_ANSWERS_TLS_WITHIN_S) as connection,
            context.wrap_socket(connection),
        ):
            pass
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):  # it says something, and not by TLS
            return _CLEAR
    except OSError:
        return _CLEAR
    raise Unreachable(f"{host}:{port} speaks TLS alone: set destinations.{name}.tls = true")


_CLEAR: Final = "in the clear"


def _classes(settings: Settings, name: str) -> Iterator[tuple[ResultKind, str]]:
    """The SOP class of each kind of result that a rule sends there, but for the ECG's own."""
    routing = build_routing(settings)
    destination = routing.destinations[name]
    classes = {
        ResultKind.CINE: CINE_CLASSES.get(destination.form.cine),
        ResultKind.SUMMARY: dimse.SECONDARY_CAPTURE,
        ResultKind.PDF: dimse.ENCAPSULATED_PDF,
        ResultKind.REPORT: REPORT_CLASSES.get(destination.form.report),
    }
    kinds = _kinds(routing, name)
    for kind, sop_class_uid in classes.items():
        if sop_class_uid and kind in kinds:
            yield kind, sop_class_uid


def _offered(sender: StorageScu, kind: ResultKind, sop_class_uid: str) -> str:
    sender.offer(sop_class_uid)
    return f"{kind.value} taken"


def _commits(sender: StorageScu) -> str:
    offers_commitment(sender)
    return "Storage Commitment offered"


def _probe(sender: StowClient | FhirClient | Hl7Sender, found: str) -> str:
    sender.probe()
    return found


def describe_destination(destination: DestinationSettings) -> str:
    """Protocol and address, for a person."""
    title = ""
    if isinstance(destination, DicomDestinationSettings):
        title = f"{destination.ae_title} at "
    over = " over TLS" if getattr(destination, "tls", False) else ""
    return f"{destination.kind}: {title}{destination.address}{over}"


def describe_caller(peer: PeerSettings) -> str:
    """Who may associate, from where, and for what, for a person."""
    called = "" if peer.called_ae == "*" else f", called as {peer.called_ae},"
    networks = ", ".join(str(network) for network in peer.networks)
    certificate = f" with the certificate {peer.certificate}" if peer.certificate else ""
    may = ", ".join(permission.value for permission in peer.may)
    return f"{peer.ae_title} from {networks}{certificate}{called} may {may}"
