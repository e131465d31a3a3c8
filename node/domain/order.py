"""An imaging order that an ECG answers. Thin until orders are received over HL7 or worklist."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What links a result to the request: identifiers only, none shown by repr."""

    placer_order_number: str = field(default="", repr=False)
    filler_order_number: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    procedure_code: str = ""
    procedure_scheme: str = ""
    procedure_text: str = ""
