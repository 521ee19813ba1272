"""The tables in which the registry is kept: one schema for SQLite and PostgreSQL."""

import datetime as dt
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect

LONGEST_MODEL: Final = 128
LONGEST_VERSION: Final = 32
LONGEST_ALIAS: Final = 64
LONGEST_ACTOR: Final = 256
LONGEST_WORD: Final = 32
LONGEST_ID: Final = 64

SCHEMA_TABLE: Final = "serinus_schema"
"""Where alembic keeps the schema's own version; not its default name, because a PostgreSQL database may be shared."""


def _name(length: int) -> sa.types.TypeEngine[str]:
    # Names are compared byte by byte, as SQLite does by itself; PostgreSQL would follow its operator's language.
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


class UtcTime(sa.TypeDecorator[dt.datetime]):
    """A point in time in microseconds; SQLite keeps no time zones, so that UTC is what goes in and comes out."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:
        """What the database is given."""
        if value is None:
            return None
        utc = value.astimezone(dt.UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: Any | None, dialect: Dialect) -> dt.datetime | None:
        """What the program is given."""
        del dialect
        if value is None:
            return None
        assert isinstance(value, dt.datetime)
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _column(name: str, kind: sa.types.TypeEngine[Any], *more: sa.schema.SchemaItem) -> sa.Column[Any]:
    return sa.Column(name, kind, *more, nullable=False)


def _part_of_rollout() -> sa.Column[Any]:
    return sa.Column("rollout", sa.String(LONGEST_ID), sa.ForeignKey("rollouts.id"), primary_key=True)


models: Final = sa.Table(
    "models",
    metadata,
    sa.Column("name", _name(LONGEST_MODEL), primary_key=True),
    _column("next_number", sa.Integer()),
    _column("created_at", UtcTime()),
    _column("revision", sa.BigInteger()),
    # {} where nothing was decided, as for every model that is new.
    sa.Column("traffic", sa.JSON(), nullable=False, server_default="{}"),
    sa.Index(None, "revision"),
)

versions: Final = sa.Table(
    "versions",
    metadata,
    sa.Column("model", _name(LONGEST_MODEL), sa.ForeignKey("models.name"), primary_key=True),
    sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
    _column("version", sa.String(LONGEST_VERSION)),
    _column("state", sa.String(LONGEST_WORD)),
    _column("placement", sa.String(LONGEST_WORD)),
    _column("manifest", sa.JSON()),
    _column("digest", sa.String(64)),
    _column("facts", sa.Text()),
    _column("examination", sa.JSON()),
    _column("report", sa.JSON()),
    _column("tags", sa.JSON()),
    _column("notes", sa.Text()),
    _column("change", sa.String(LONGEST_WORD)),
    _column("is_forced", sa.Boolean()),
    _column("created_at", UtcTime()),
    _column("created_by", sa.String(LONGEST_ACTOR)),
    _column("revision", sa.BigInteger()),
    # A deleted version keeps its row: its name and its number are never used again.
    sa.UniqueConstraint("model", "version"),
)

aliases: Final = sa.Table(
    "aliases",
    metadata,
    sa.Column("model", _name(LONGEST_MODEL), primary_key=True),
    sa.Column("alias", _name(LONGEST_ALIAS), primary_key=True),
    _column("number", sa.Integer()),
    _column("revision", sa.BigInteger()),
    sa.ForeignKeyConstraint(["model", "number"], ["versions.model", "versions.number"]),
)

audit: Final = sa.Table(
    "audit",
    metadata,
    # The registry's revision: 1, 2, 3 and so on, without gaps.
    sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
    _column("at", UtcTime()),
    _column("actor", sa.String(LONGEST_ACTOR)),
    _column("action", sa.String(LONGEST_WORD)),
    _column("model", _name(LONGEST_MODEL)),
    _column("version", sa.String(LONGEST_VERSION)),
    _column("before", sa.JSON()),
    _column("after", sa.JSON()),
    _column("previous_hash", sa.String(64)),
    _column("hash", sa.String(64)),
)

rollouts: Final = sa.Table(
    "rollouts",
    metadata,
    sa.Column("id", sa.String(LONGEST_ID), primary_key=True),
    # The registry's revision at which it started, so that rollouts have an order.
    _column("place", sa.BigInteger()),
    _column("model", _name(LONGEST_MODEL), sa.ForeignKey("models.name")),
    _column("status", sa.String(LONGEST_WORD)),
    _column("is_active", sa.Boolean()),
    _column("document", sa.JSON()),
    _column("started_at", UtcTime()),
    _column("revision", sa.BigInteger()),
    sa.UniqueConstraint("place"),
    sa.Index(None, "model"),
)

rollout_journal: Final = sa.Table(
    "rollout_journal",
    metadata,
    # The registry's revision at which it was written: each write of a rollout makes one entry and one revision.
    sa.Column("place", sa.BigInteger(), primary_key=True, autoincrement=False),
    _column("rollout", sa.String(LONGEST_ID), sa.ForeignKey("rollouts.id")),
    _column("number", sa.Integer()),
    _column("at", UtcTime()),
    _column("actor", sa.String(LONGEST_ACTOR)),
    _column("event", sa.String(LONGEST_WORD)),
    _column("status", sa.String(LONGEST_WORD)),
    _column("reason", sa.Text()),
    _column("numbers", sa.JSON()),
    sa.UniqueConstraint("rollout", "number"),
)

# What follows is no part of the registry's history: it has no revision, and the audit does not name it.

rollout_windows: Final = sa.Table(
    "rollout_windows",
    metadata,
    _part_of_rollout(),
    sa.Column("server", sa.String(LONGEST_ID), primary_key=True),
    _column("number", sa.BigInteger()),
    _column("document", sa.JSON()),
    sa.UniqueConstraint("rollout", "number"),
)

rollout_evidence: Final = sa.Table(
    "rollout_evidence",
    metadata,
    _part_of_rollout(),
    _column("document", sa.JSON()),
)

# One row, which is made with the table.
controller_lease: Final = sa.Table(
    "controller_lease",
    metadata,
    sa.Column("fence", sa.BigInteger(), primary_key=True, autoincrement=False),
    _column("beat", sa.BigInteger()),
    # "" while it is nobody's.
    _column("holder", sa.String(LONGEST_ID)),
)

webhook_places: Final = sa.Table(
    "webhook_places",
    metadata,
    # SHA-256 of what tells a hook from others: a URL may hold a secret.
    sa.Column("hook", sa.String(64), primary_key=True),
    _column("place", sa.BigInteger()),
)

metric_reports: Final = sa.Table(
    "metric_reports",
    metadata,
    _part_of_rollout(),
    # SHA-256 of what its sender calls it, which may be any text.
    sa.Column("report", sa.String(64), primary_key=True),
    _column("number", sa.BigInteger()),
    sa.UniqueConstraint("rollout", "number"),
)

learned_costs: Final = sa.Table(
    "learned_costs",
    metadata,
    # Hashes of what was run, and of where: see `registry.learned_costs`.
    sa.Column("subject", sa.String(LONGEST_ID), primary_key=True),
    sa.Column("machine", sa.String(LONGEST_ID), primary_key=True),
    _column("document", sa.JSON()),
    _column("at", UtcTime()),
    sa.Index("ix_learned_costs_at", "at"),
)
