"""Whose turn it is; the first host that starts gives one to all that is owed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "node_turn",
        sa.Column("work", sa.String(16), primary_key=True),
        sa.Column("row_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("given", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("lane", sa.String(96), nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("due_at", sa.DateTime),
        sa.Column("again_at", sa.DateTime),
        sa.Column("holder", sa.String(128)),
    )
    is_waiting, is_held = sa.text("holder IS NULL"), sa.text("holder IS NOT NULL")
    op.create_index("node_turn_place", "node_turn", ["lane", "place"])
    op.create_index(
        "node_turn_waiting",
        "node_turn",
        ["lane"],
        sqlite_where=is_waiting,
        postgresql_where=is_waiting,
    )
    op.create_index(
        "node_turn_in_hand",
        "node_turn",
        ["lane", "holder"],
        sqlite_where=is_held,
        postgresql_where=is_held,
    )
