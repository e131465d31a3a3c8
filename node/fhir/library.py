"""The FHIR library, which is an extra: most sites have no FHIR server."""

from __future__ import annotations

from importlib.util import find_spec

from node.domain.errors import ConfigurationError


def need_library() -> None:
    """Raises ConfigurationError where it is not installed."""
    # Without the namespace package above it, find_spec of a module in it raises.
    if find_spec("fhir") is None or find_spec("fhir.resources") is None:
        raise ConfigurationError(
            'a destination of kind "fhir" needs the FHIR library: pip install "cardionode[fhir]"'
        )
