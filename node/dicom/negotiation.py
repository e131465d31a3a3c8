"""Who may associate, and what an association is agreed to carry."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

from node.dicom import dimse
from node.dicom.associate_pdu import (
    APPLICATION_CONTEXT_NAME,
    AssociateRequest,
    ProposedContext,
    ResultContext,
    Roles,
)
from node.dicom.pdu import printable
from node.domain.caller import Permission
from node.domain.instance import Origin

_IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
_VERIFIED_IN: Final = (
    _IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
"""Any will do: Verification has no data set."""
SUPPORTED: Final[Mapping[str, tuple[str, ...]]] = {
    dimse.VERIFICATION: _VERIFIED_IN,
    **dict.fromkeys(dimse.ECG_STORAGE, dimse.RECEIVED_TRANSFER_SYNTAXES),
    dimse.STORAGE_COMMITMENT: dimse.RECEIVED_TRANSFER_SYNTAXES[:2],
}
"""Transfer syntaxes by abstract syntax, most preferred first."""
AS_SCU: Final = frozenset({dimse.STORAGE_COMMITMENT})
"""Of these we are the SCU, whom the SCP calls with its reports; of all others the SCP."""
_NEEDED: Final[Mapping[str, Permission]] = {
    dimse.VERIFICATION: Permission.ECHO,
    **dict.fromkeys(dimse.ECG_STORAGE, Permission.STORE),
    dimse.STORAGE_COMMITMENT: Permission.REPORT,
}
"""What a caller has to be allowed for each of them."""

_ACCEPTED: Final = 0
_USER_REJECTION: Final = 1
_NO_ABSTRACT_SYNTAX: Final = 3
_NO_TRANSFER_SYNTAX: Final = 4
"""Source: DICOM PS3.8 table 9-18."""
CONTEXT_REFUSALS: Final = {
    _USER_REJECTION: (
        "the caller asks for the role this node takes: SCP of storage, SCU of storage commitment"
    ),
    _NO_ABSTRACT_SYNTAX: (
        "this node takes ECG waveform storage, commitment reports and verification, "
        "not this SOP class"
    ),
    _NO_TRANSFER_SYNTAX: (
        "none of the offered transfer syntaxes is read here; offer Explicit VR Little Endian"
    ),
}


class Rejection(Enum):
    """Result, source and reason, and what the log says. Source: DICOM PS3.8 table 9-21."""

    PROTOCOL_VERSION = (1, 2, 2, "the caller speaks another version of the protocol")
    APPLICATION_CONTEXT = (1, 1, 2, "the caller asks for another application than DICOM")
    CALLED_AE = (1, 1, 7, "no AE title of this node is called that; see dicom.ae_titles")
    CALLING_AE = (
        1, 1, 3, "no entry of dicom.peers admits this calling AE title from this address to the AE "
        "title it called; `cardionode peers refused` shows how to allow it",
    )  # fmt: skip
    CERTIFICATE = (
        1, 1, 3, "dicom.peers admits this caller with another certificate only; see `certificate` "
        "there, and the names in the one it has shown",
    )  # fmt: skip
    NOT_AN_AE_TITLE = (
        1, 1, 3, "the calling AE title holds characters that none may hold; change it there",
    )  # fmt: skip
    FULL = (2, 3, 2, "dicom.maximum_associations are open")

    @property
    def answer(self) -> tuple[int, int, int]:
        result, source, reason, _ = self.value
        return result, source, reason

    @property
    def explanation(self) -> str:
        return self.value[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An entry of the allow-list: who may associate, whence, to whom, and what it may ask then.

    certificate: a pattern too, for one of the names in the certificate that it has to show.
    """

    ae_title: str
    """Pattern (fnmatch) of the calling AE title; `called_ae` likewise."""
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    certificate: str | None = None
    called_ae: str = "*"
    may: frozenset[Permission] = frozenset(Permission)

    def admits(self, origin: Origin) -> bool:
        host = ipaddress.ip_address(origin.peer)
        return (
            fnmatchcase(origin.calling_ae, self.ae_title)
            and fnmatchcase(origin.called_ae, self.called_ae)
            and any(host in network for network in self.networks)
        )

    def knows(self, names: Sequence[str]) -> bool:
        """names: those in the certificate that was shown; none without TLS."""
        return self.certificate is None or any(
            fnmatchcase(name.lower(), self.certificate.lower()) for name in names
        )


def permissions(
    peers: Sequence[Peer], origin: Origin, names: Sequence[str] | None
) -> frozenset[Permission]:
    """What a caller may ask: all that any entry that admits it allows; nothing where none does.

    names: those in its certificate; None where that is not known, and any would do.
    """
    admitting = [
        peer for peer in peers if peer.admits(origin) and (names is None or peer.knows(names))
    ]
    return frozenset[Permission]().union(*(peer.may for peer in admitting))


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What an association carries."""

    may: frozenset[Permission]
    """What the caller may ask."""
    accepted: Mapping[int, ProposedContext]
    """By presentation context ID, each with the one transfer syntax that was chosen."""
    refused: Mapping[str, str]
    """Abstract syntaxes, each with its reason in an administrator's words."""
    denied: frozenset[Permission]
    """What the caller asked for and may not; those abstract syntaxes are not among `refused`."""
    results: tuple[ResultContext, ...]
    roles: Mapping[str, Roles]


def ae_title(raw: bytes) -> str:
    """An AE title for matching and showing: no padding, nothing unprintable.

    Some devices pad with NUL instead of blanks.
    """
    return printable(raw.strip(b"\0 "))


def objection(
    request: AssociateRequest,
    origin: Origin,
    names: Sequence[str],
    ae_titles: Sequence[str],
    peers: Sequence[Peer],
) -> Rejection | None:
    """Why a request is rejected, or None.

    names: those in the caller's certificate.
    """
    if not request.protocol_version & 1:
        return Rejection.PROTOCOL_VERSION
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return Rejection.APPLICATION_CONTEXT
    if origin.called_ae not in ae_titles:
        return Rejection.CALLED_AE
    if not permissions(peers, origin, names):
        admitted = any(peer.admits(origin) for peer in peers)
        return Rejection.CERTIFICATE if admitted else Rejection.CALLING_AE
    if origin.calling_ae != request.calling_ae.strip(b"\0 ").decode("ascii", "replace"):
        return Rejection.NOT_AN_AE_TITLE
    return None


def agree(request: AssociateRequest, may: frozenset[Permission]) -> Agreement:
    """Judge each presentation context: of the transfer syntaxes offered, the first of our order.

    may: what the caller is allowed; a context for anything else is rejected.
    We take one role alone, so a requestor that asks for no other than that one is refused it. One
    that selects none is taken as what it has to be: many send commitment reports that way.
    Source: DICOM PS3.8 §9.3.3.2, PS3.7 D.3.3.4.
    """
    results = []
    accepted: dict[int, ProposedContext] = {}
    refused: dict[str, str] = {}
    denied: set[Permission] = set()
    roles: dict[str, Roles] = {}
    for context in request.contexts:
        needed = _NEEDED.get(context.abstract_syntax)
        if needed is None or needed in may:
            result, transfer_syntax = _judge(context, request.roles.get(context.abstract_syntax))
            if result != _ACCEPTED:
                refused.setdefault(context.abstract_syntax, CONTEXT_REFUSALS[result])
        else:
            result, transfer_syntax = _USER_REJECTION, _IMPLICIT_LITTLE
            denied.add(needed)
        results.append(
            ResultContext(
                context_id=context.context_id, result=result, transfer_syntax=transfer_syntax
            )
        )
        if result != _ACCEPTED:
            continue
        accepted[context.context_id] = ProposedContext(
            context_id=context.context_id,
            abstract_syntax=context.abstract_syntax,
            transfer_syntaxes=(transfer_syntax,),
        )
        if context.abstract_syntax in request.roles:
            we_are_scu = context.abstract_syntax in AS_SCU
            roles[context.abstract_syntax] = Roles(scu=not we_are_scu, scp=we_are_scu)
    return Agreement(
        may=may,
        accepted=accepted,
        refused=refused,
        denied=frozenset(denied),
        results=tuple(results),
        roles=roles,
    )


def _judge(context: ProposedContext, proposed: Roles | None) -> tuple[int, str]:
    """Result, and the transfer syntax, which means nothing unless the result is acceptance."""
    supported = SUPPORTED.get(context.abstract_syntax)
    if supported is None:
        return _NO_ABSTRACT_SYNTAX, _IMPLICIT_LITTLE
    we_are_scu = context.abstract_syntax in AS_SCU
    if proposed is not None and not (proposed.scp if we_are_scu else proposed.scu):
        return _USER_REJECTION, _IMPLICIT_LITTLE
    for transfer_syntax in supported:
        if transfer_syntax in context.transfer_syntaxes:
            return _ACCEPTED, transfer_syntax
    return _NO_TRANSFER_SYNTAX, _IMPLICIT_LITTLE
