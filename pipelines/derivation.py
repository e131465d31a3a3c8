"""Phenotypes that follow from others: identities of physiology hold in every answer."""

from __future__ import annotations

from pipelines.manifest import DerivationSpec


def derive(derivation: DerivationSpec, values: dict[str, float], rate_bpm: float) -> float:
    """A derived phenotype from its operands; volumes in mL, output in L/min."""
    operands = [values[name] for name in derivation.of]
    if derivation.kind == "difference":
        return operands[0] - operands[1]
    if derivation.kind == "ejection-fraction":
        return 100.0 * (operands[0] - operands[1]) / operands[0]
    return operands[0] * rate_bpm / 1000.0
