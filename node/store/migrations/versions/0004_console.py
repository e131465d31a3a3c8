"""Who is signed in, and who saw or did what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "node_session",
        sa.Column("token_digest", sa.String(64), primary_key=True),
        sa.Column("user_name", sa.String(64), sa.ForeignKey("node_user.name"), nullable=False),
        sa.Column("signed_in_at", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
    )
    op.create_index("ix_node_session_user_name", "node_session", ["user_name"])
    op.create_table(
        "node_audit",
        sa.Column("entry_id", sa.Integer, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("user_name", sa.String(64), nullable=False),
        sa.Column("peer", sa.String(64), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("job_id", sa.Integer),
        sa.Column("said", sa.String(1024), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_node_audit_user_name", "node_audit", ["user_name"])
    op.create_index("ix_node_audit_job_id", "node_audit", ["job_id"])
