"""What the configuration would do with an ECG: may it come, which rule decides, what goes where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.configured import build_identity_policy, build_peers, build_routing
from node.dicom.negotiation import permissions
from node.domain.caller import Permission
from node.domain.delivery import ResultKind
from node.domain.instance import Origin
from node.models import find_bundle
from node.settings import MESSAGE_DESTINATIONS, DicomDestinationSettings, Settings
from node.workflow.rehearse import Rehearsal, rehearse
from node.workflow.route import Destination
from pipelines.preprocessing import RECIPES


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """A result that somebody would get."""

    destination: str
    at: str
    """Protocol and address."""
    kind: ResultKind
    form: str
    """Nothing of a message, whose settings say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    refused: str
    """Why the association would be rejected; nothing where it would not."""
    bundle: str
    """Name and version of what would answer."""
    found: Rehearsal
    deliveries: Sequence[PlannedDelivery]


def plan_for(settings: Settings, content: bytes, origin: Origin) -> Plan:
    """What would become of an ECG from there; nothing is predicted, looked up, written or sent.

    content: a PS3.10 file.
    Raises MalformedInstance, UnsupportedInstance, ConfigurationError.
    """
    choice = settings.model.by_ae_title.get(origin.called_ae, settings.model.bundle)
    manifest = find_bundle(settings.model, choice.partition("/")[0]).manifest
    found = rehearse(
        content,
        origin=origin,
        routing=build_routing(settings),
        minimum_duration_s=RECIPES[manifest.preprocessing].minimum_duration_s,
        offers_cine=manifest.cine is not None,
        identity=build_identity_policy(settings),
    )
    return Plan(
        refused=_refusal(settings, origin),
        bundle=f"{manifest.name} {manifest.version}",
        found=found,
        deliveries=[
            PlannedDelivery(
                destination=destination.name,
                at=f"{destination.kind.value} {settings.destinations[destination.name].address}",
                kind=kind,
                form=_form(destination, kind, settings),
            )
            for destination, kind in found.owed
        ],
    )


def _refusal(settings: Settings, origin: Origin) -> str:
    if origin.called_ae not in settings.dicom.ae_titles:
        return f"{origin.called_ae} is not among dicom.ae_titles"
    if Permission.STORE not in permissions(build_peers(settings), origin, None):
        return f"no entry of dicom.peers lets {origin.calling_ae} from {origin.peer} store"
    return ""


def _form(destination: Destination, kind: ResultKind, settings: Settings) -> str:
    """Of one result at its destination."""
    configured = settings.destinations[destination.name]
    if isinstance(configured, MESSAGE_DESTINATIONS):
        return ""
    form = destination.form
    chosen = [f"{form.study.value} study", form.character_set.value]
    if kind is ResultKind.ECG:
        return "as it came, in the transfer syntax it came in"
    compression = (
        [f"compression {configured.compression.value}"]
        if isinstance(configured, DicomDestinationSettings)
        else []
    )
    said = {
        ResultKind.CINE: [form.cine.value, *chosen, *compression],
        ResultKind.SUMMARY: [*chosen, *compression],
        ResultKind.REPORT: [form.report.value, *chosen],
    }
    return ", ".join(said.get(kind, chosen))
