"""Which configuration a host was started by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Hosts of before go on meanwhile, and say nothing of it.
    added = sa.Column("configuration", sa.String(64), nullable=False, server_default="")
    op.add_column("node_host", added)
