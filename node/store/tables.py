"""The node's own tables: jobs, deliveries, commitments, HL7, users, audit, turns, hosts.

Nothing here names a patient: identity stays in the spooled objects, and rows are found by digests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC in Python, naive UTC in the database: SQLite keeps no offset."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(
        self, value: datetime | None, dialect: sa.engine.Dialect
    ) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(
        self, value: datetime | None, dialect: sa.engine.Dialect
    ) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


metadata = sa.MetaData()

revision = sa.Table(
    "node_revision", metadata, sa.Column("version_num", sa.String(32), primary_key=True)
)
"""As Alembic has it; each change of a table is a script (`migrations/versions`) too."""

job = sa.Table(
    "node_job",
    metadata,
    sa.Column("job_id", sa.Integer, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run", sa.Integer, nullable=False, default=0),
    sa.Column("revision", sa.Integer, nullable=False, default=1),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("sop_instance_uid", sa.String(64), nullable=False),
    sa.Column("transfer_syntax_uid", sa.String(64), nullable=False),
    sa.Column("calling_ae", sa.String(16), nullable=False),
    sa.Column("called_ae", sa.String(16), nullable=False),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("content_digest", sa.String(64), nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("priority", sa.String(8), nullable=False),
    sa.Column("patient_digest", sa.String(64), index=True),
    sa.Column("study_instance_uid", sa.String(64), index=True),
    sa.Column("accession_digest", sa.String(64), index=True),
    sa.Column("order_digest", sa.String(64)),
    sa.Column("released", sa.String(64)),
    sa.Column("conflicts_with", sa.Integer, sa.ForeignKey("node_job.job_id")),
    sa.Column("settled_at", UtcDateTime),
    sa.Column("bundle", sa.String(128)),
    sa.Column("prediction_digest", sa.String(64)),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.String(1024)),
    sa.UniqueConstraint("sop_instance_uid", "content_digest"),
    sqlite_autoincrement=True,
)
sa.Index("node_job_new", job.c.state, job.c.run, job.c.priority, job.c.job_id)
sa.Index(
    "node_job_one_per_instance",
    job.c.sop_instance_uid,
    unique=True,
    sqlite_where=job.c.conflicts_with.is_(None),
    postgresql_where=job.c.conflicts_with.is_(None),
)

delivery = sa.Table(
    "node_delivery",
    metadata,
    sa.Column("delivery_id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("node_job.job_id"), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("identifier", sa.String(64), nullable=False),
    sa.Column("sop_class_uid", sa.String(64), nullable=False),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("destination_kind", sa.String(8), nullable=False),
    sa.Column("content_digest", sa.String(64), nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("signs", sa.Integer, sa.ForeignKey("node_delivery.delivery_id")),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("run", sa.Integer, nullable=False, default=1),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("under_way", sa.Boolean, nullable=False, default=False),
    sa.Column("owed_since", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("settled_at", UtcDateTime),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.String(1024)),
    sa.UniqueConstraint("job_id", "identifier", "destination"),
    sqlite_autoincrement=True,
)

attempt = sa.Table(
    "node_attempt",
    metadata,
    sa.Column("attempt_id", sa.Integer, primary_key=True),
    sa.Column(
        "delivery_id", sa.Integer, sa.ForeignKey("node_delivery.delivery_id"), nullable=False
    ),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.String(1024)),
    sa.Index("node_attempt_by_delivery", "delivery_id"),
    sqlite_autoincrement=True,
)

commitment = sa.Table(
    "node_commitment",
    metadata,
    sa.Column("commitment_id", sa.Integer, primary_key=True),
    sa.Column("transaction_uid", sa.String(64), nullable=False, unique=True),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("node_job.job_id"), nullable=False, index=True),
    sa.Column("destination", sa.String(64), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("run", sa.Integer, nullable=False, default=1),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("requested_at", UtcDateTime, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("settled_at", UtcDateTime),
    sa.Column("error_code", sa.String(64)),
    sa.Column("error_message", sa.String(1024)),
    sqlite_autoincrement=True,
)

commitment_instance = sa.Table(
    "node_commitment_instance",
    metadata,
    sa.Column(
        "commitment_id",
        sa.Integer,
        sa.ForeignKey("node_commitment.commitment_id"),
        primary_key=True,
    ),
    sa.Column(
        "delivery_id", sa.Integer, sa.ForeignKey("node_delivery.delivery_id"), primary_key=True
    ),
    sa.Index("node_commitment_instance_by_delivery", "delivery_id"),
)

hl7_message = sa.Table(
    "node_hl7_message",
    metadata,
    sa.Column("message_id", sa.Integer, primary_key=True),
    sa.Column("control_id", sa.String(199), nullable=False),
    sa.Column("message_type", sa.String(32), nullable=False),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("content_digest", sa.String(64), nullable=False),
    sa.Column("received_at", UtcDateTime, nullable=False),
    sa.Column("unmarked_charset", sa.String(32), nullable=False),
    sa.Column("error_message", sa.String(1024)),
    sa.UniqueConstraint("control_id", "content_digest"),
    sqlite_autoincrement=True,
)

order = sa.Table(
    "node_order",
    metadata,
    sa.Column("order_id", sa.Integer, primary_key=True),
    sa.Column(
        "message_id", sa.Integer, sa.ForeignKey("node_hl7_message.message_id"), nullable=False
    ),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("placer_digest", sa.String(64), index=True),
    sa.Column("filler_digest", sa.String(64), index=True),
    sa.Column("accession_digest", sa.String(64), index=True),
    sa.Column("procedure_digest", sa.String(64)),
    sa.Column("study_instance_uid", sa.String(64), index=True),
    sa.Column("is_cancelled", sa.Boolean, nullable=False),
    sqlite_autoincrement=True,
)

patient = sa.Table(
    "node_patient",
    metadata,
    sa.Column("patient_digest", sa.String(64), primary_key=True),
    sa.Column(
        "message_id", sa.Integer, sa.ForeignKey("node_hl7_message.message_id"), nullable=False
    ),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("merged_into", sa.String(64), index=True),
)

user = sa.Table(
    "node_user",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("person_name", sa.String(64), nullable=False),
    sa.Column("password_hash", sa.String(256), nullable=False),
    sa.Column("added_at", UtcDateTime, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", UtcDateTime),
)

session = sa.Table(
    "node_session",
    metadata,
    sa.Column("token_digest", sa.String(64), primary_key=True),
    sa.Column(
        "user_name", sa.String(64), sa.ForeignKey("node_user.name"), nullable=False, index=True
    ),
    sa.Column("signed_in_at", UtcDateTime, nullable=False),
    sa.Column("seen_at", UtcDateTime, nullable=False),
)

LONGEST_SAID: Final = 1024
"""In an entry of the audit; the rest is cut off."""
audit = sa.Table(
    "node_audit",
    metadata,
    sa.Column("entry_id", sa.Integer, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    # Of a user, and about a job, that may have been removed.
    sa.Column("user_name", sa.String(64), nullable=False, index=True),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("job_id", sa.Integer, index=True),
    sa.Column("said", sa.String(LONGEST_SAID), nullable=False),
    sqlite_autoincrement=True,
)

signature = sa.Table(
    "node_signature",
    metadata,
    sa.Column("signature_id", sa.Integer, primary_key=True),
    sa.Column("job_id", sa.Integer, sa.ForeignKey("node_job.job_id"), nullable=False, index=True),
    sa.Column("revision", sa.Integer, nullable=False),
    # Of a user who may have been removed.
    sa.Column("user_name", sa.String(64), nullable=False),
    sa.Column("person_name", sa.String(64), nullable=False),
    sa.Column("organization", sa.String(64), nullable=False),
    sa.Column("signed_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

refused_caller = sa.Table(
    "node_refused_caller",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("calling_ae", sa.String(64), nullable=False),
    sa.Column("called_ae", sa.String(64), nullable=False),
    sa.Column("peer", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(256), nullable=False),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    sa.Column("count", sa.Integer, nullable=False),
    sa.UniqueConstraint("peer", "calling_ae", "called_ae", "reason"),
    sqlite_autoincrement=True,
)

turn = sa.Table(
    "node_turn",
    metadata,
    sa.Column("work", sa.String(16), primary_key=True),
    sa.Column("row_id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("given", sa.Integer, nullable=False, default=1),
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("lane", sa.String(96), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("due_at", UtcDateTime),
    sa.Column("again_at", UtcDateTime),
    sa.Column("holder", sa.String(128)),
)
sa.Index("node_turn_place", turn.c.lane, turn.c.place)
sa.Index(
    "node_turn_waiting",
    turn.c.lane,
    sqlite_where=turn.c.holder.is_(None),
    postgresql_where=turn.c.holder.is_(None),
)
sa.Index(
    "node_turn_in_hand",
    turn.c.lane,
    turn.c.holder,
    sqlite_where=turn.c.holder.is_not(None),
    postgresql_where=turn.c.holder.is_not(None),
)

host = sa.Table(
    "node_host",
    metadata,
    sa.Column("executor_id", sa.String(128), primary_key=True),
    sa.Column("machine", sa.String(255), nullable=False),
    sa.Column("home", sa.String(1024), nullable=False),
    sa.Column("store", sa.String(64), nullable=False),
    sa.Column("roles", sa.String(32), nullable=False),
    sa.Column("configuration", sa.String(64), nullable=False, server_default=""),
    sa.Column("not_taken_up", sa.String(LONGEST_SAID), nullable=False, server_default=""),
    sa.Column("beats", sa.Integer, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("beat_at", UtcDateTime, nullable=False),
)

relay = sa.Table(
    "node_relay",
    metadata,
    sa.Column("stream", sa.String(32), primary_key=True),
    sa.Column("told_to", sa.Integer, nullable=False),
)
