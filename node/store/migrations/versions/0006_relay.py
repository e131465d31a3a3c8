"""How far the audit repository was told of what was done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "node_relay",
        sa.Column("stream", sa.String(32), primary_key=True),
        sa.Column("told_to", sa.Integer, nullable=False),
    )
