"""Which revision of the tables a database has, and how it comes to that of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from node.domain.errors import ConfigurationError
from node.store import tables

SCRIPTS: Final = Path(__file__).with_name("migrations")
HEAD: Final = "0007"
"""The last of `migrations/versions`."""
BASE: Final = "0000"
"""Tables from before there were scripts, in the last form that they had."""
_NUMBER_OF_BASE: Final = 6
"""What such a database says in a table of its own."""
_ONE_AT_A_TIME: Final = 0x434E  # of PostgreSQL's advisory locks
_LONGEST_LOCK_WAIT: Final = "5s"


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of a database; None where there is none of our tables.

    Raises ConfigurationError (it is of a version that can no longer be upgraded).
    """
    inspected = sa.inspect(connection)
    if inspected.has_table(tables.revision.name):
        return connection.scalar(sa.select(tables.revision.c.version_num))
    if not inspected.has_table("node_schema_version"):
        return None
    number = connection.scalar(sa.text("SELECT version FROM node_schema_version"))
    if number != _NUMBER_OF_BASE:
        raise ConfigurationError(
            f"the database has schema {number}, which this version of cardionode cannot upgrade; "
            "run the version that wrote it until all is delivered, then start this one with "
            "another home folder or database"
        )
    return BASE


def check_revision(connection: sa.Connection) -> None:
    """Pass where the tables are those of this version. Raises ConfigurationError."""
    found = revision_of(connection)
    if found is None:
        raise ConfigurationError(
            "the database has no tables of a node yet; `cardionode serve` makes them at its start"
        )
    if found < HEAD:
        raise ConfigurationError(
            f"the database has schema {found}, this version of cardionode needs {HEAD}: "
            "`cardionode serve` upgrades it at its next start"
        )
    _check_known(found)


def bring_up_to_date(connection: sa.Connection) -> str | None:
    """Make the tables, or upgrade them; the revision that they had, None where they were not there.

    One host at a time does it; the transaction is the caller's.
    Raises ConfigurationError, before anything is changed, for a database of a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_AT_A_TIME)))
    found = revision_of(connection)
    _check_known(found)
    if found is None:
        tables.metadata.create_all(connection)
        connection.execute(tables.revision.insert().values(version_num=HEAD))
    elif found != HEAD:
        _run_scripts(connection)
    return found


def _check_known(found: str | None) -> None:
    if found is not None and found > HEAD:
        raise ConfigurationError(
            f"the database has schema {found}, which a newer version of cardionode wrote; this one "
            f"knows {HEAD} at most: install that version again, or restore the backup from before"
        )


def _run_scripts(connection: sa.Connection) -> None:
    # Imported where it is needed: most starts find the tables as they are.
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        # Who waits for a lock holds up all who come after, on hosts that work.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LONGEST_LOCK_WAIT}'")

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
