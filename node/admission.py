"""What a configuration says of a caller that was turned away, and what would let it in."""

from __future__ import annotations

import glob
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from node.configured import build_peers
from node.dicom.negotiation import permissions
from node.domain.caller import Permission, Refusal
from node.domain.errors import NotPossible
from node.domain.instance import Origin
from node.settings import AETitle, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """By one configuration."""

    settings: Settings

    def now(self, refusal: Refusal) -> frozenset[Permission]:
        """What the caller may, if it shows the certificate that an entry may want."""
        if refusal.called_ae not in self.settings.dicom.ae_titles:
            return frozenset()
        return self._permissions(refusal)

    def changes(
        self, refusal: Refusal, may: frozenset[Permission] = frozenset(Permission)
    ) -> Sequence[str]:
        """What to change, as `ConfigurationFile.changed` has it, so that the caller may that.

        Nobody else is let in: what is a wildcard in its AE titles is escaped. Nothing where the
        configuration admits it already. Raises NotPossible (no configuration does).
        """
        for title in (refusal.calling_ae, refusal.called_ae):
            if not _is_ae_title(title):
                raise NotPossible(
                    f"nothing in the configuration lets {refusal.peer} in: it sent no request for "
                    f"an association with two AE titles ({refusal.reason}); see to the caller"
                )
        called = refusal.called_ae
        changes = []
        if called not in self.settings.dicom.ae_titles:
            changes.append(f"dicom.ae_titles+={json.dumps(called)}")
        if not may <= self._permissions(refusal):
            entry = {
                "ae_title": glob.escape(refusal.calling_ae),
                "networks": [str(ipaddress.ip_network(refusal.peer))],
                "called_ae": glob.escape(called),
                "may": [each.value for each in Permission if each in may],
            }
            written = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entry.items())
            changes.append(f"dicom.peers+={{ {written} }}")
        return changes

    def _permissions(self, refusal: Refusal) -> frozenset[Permission]:
        origin = Origin(
            calling_ae=refusal.calling_ae, called_ae=refusal.called_ae, peer=refusal.peer
        )
        return permissions(build_peers(self.settings), origin, None)


def _is_ae_title(text: str) -> bool:
    try:
        TypeAdapter(AETitle).validate_python(text)
    except ValidationError:
        return False
    return True
