"""The hosts that are one node."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "node_host",
        sa.Column("executor_id", sa.String(128), primary_key=True),
        sa.Column("machine", sa.String(255), nullable=False),
        sa.Column("home", sa.String(1024), nullable=False),
        sa.Column("store", sa.String(64), nullable=False),
        sa.Column("roles", sa.String(32), nullable=False),
        sa.Column("beats", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("beat_at", sa.DateTime, nullable=False),
    )
