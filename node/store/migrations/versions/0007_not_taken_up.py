"""Why a host goes on by the configuration it has; numbers of attempts that never come again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Hosts of before go on meanwhile, and say nothing of it.
    added = sa.Column("not_taken_up", sa.String(1024), nullable=False, server_default="")
    op.add_column("node_host", added)
    if op.get_bind().dialect.name == "sqlite":  # which else gives the last one's number again
        with op.batch_alter_table(
            "node_attempt", recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ):
            pass
        op.execute(
            "UPDATE node_relay SET told_to = 0 WHERE stream = 'attempts'"
            " AND told_to > (SELECT coalesce(max(attempt_id), 0) FROM node_attempt)"
        )
