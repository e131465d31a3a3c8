"""Users, and who signed which results."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    # First, because hosts that work lock deliveries before jobs, too. Alembic would add the foreign
    # key by itself, which SQLite cannot.
    op.execute(
        "ALTER TABLE node_delivery ADD COLUMN signs INTEGER REFERENCES node_delivery (delivery_id)"
    )
    op.create_table(
        "node_user",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("person_name", sa.String(64), nullable=False),
        sa.Column("password_hash", sa.String(256), nullable=False),
        sa.Column("added_at", sa.DateTime, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("failed_at", sa.DateTime),
    )
    op.create_table(
        "node_signature",
        sa.Column("signature_id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("node_job.job_id"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("user_name", sa.String(64), nullable=False),
        sa.Column("person_name", sa.String(64), nullable=False),
        sa.Column("organization", sa.String(64), nullable=False),
        sa.Column("signed_at", sa.DateTime, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_node_signature_job_id", "node_signature", ["job_id"])
    # A version from before there were scripts reads this, and refuses the tables.
    op.execute("UPDATE node_schema_version SET version = 7")
