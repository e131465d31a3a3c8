"""HL7 messages received: kept whole in the spool, listed here, each once."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from node.store.tables import hl7_message


class Messages:
    """Reads and writes the list of received messages inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self, *, control_id: str, message_type: str, peer: str, content_digest: str, at: datetime
    ) -> bool:
        """List a message; False when the same control id and content are listed already."""
        same = sa.select(hl7_message.c.message_id).where(
            hl7_message.c.control_id == control_id,
            hl7_message.c.content_digest == content_digest,
        )
        if self._connection.scalar(same) is not None:
            return False
        self._connection.execute(
            hl7_message.insert().values(
                control_id=control_id,
                message_type=message_type,
                peer=peer,
                content_digest=content_digest,
                received_at=at,
            )
        )
        return True
