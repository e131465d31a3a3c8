"""Which order an ECG answers: so far, what the ECG itself states."""

from __future__ import annotations

from node.domain.order import Order
from node.domain.study import Study


def reconcile(study: Study) -> Order | None:
    """The order the ECG names by accession, placer or filler number; None when it names none."""
    if not (study.accession_number or study.placer_order_number or study.filler_order_number):
        return None
    return Order(
        placer_order_number=study.placer_order_number,
        filler_order_number=study.filler_order_number,
        accession_number=study.accession_number,
    )
