"""The second schema: how each model's calls are shared out, and what rollouts need to go on after a crash.

Its tables are written out, not taken from `tables.py`: that one goes on, this step stays what it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _name(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Add what rollouts keep; what is registered stays as it is."""
    op.add_column("models", sa.Column("traffic", sa.JSON(), nullable=False, server_default="{}"))
    _create_rollouts()
    op.create_table(
        "rollout_windows",
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "server", name="pk_rollout_windows"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_windows_rollouts"),
        sa.UniqueConstraint("rollout", "number", name="uq_rollout_windows_rollout_number"),
    )
    op.create_table(
        "rollout_evidence",
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", name="pk_rollout_evidence"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_evidence_rollouts"),
    )
    lease = op.create_table(
        "controller_lease",
        sa.Column("fence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("fence", name="pk_controller_lease"),
    )
    op.bulk_insert(lease, [{"fence": 0, "beat": 0, "holder": ""}])
    op.create_table(
        "webhook_places",
        sa.Column("hook", sa.String(64), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hook", name="pk_webhook_places"),
    )
    op.create_table(
        "metric_reports",
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("report", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rollout", "report", name="pk_metric_reports"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_metric_reports_rollouts"),
        sa.UniqueConstraint("rollout", "number", name="uq_metric_reports_rollout_number"),
    )


def _create_rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("model", _name(128), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_rollouts_models"),
        sa.UniqueConstraint("place", name="uq_rollouts_place"),
    )
    op.create_index("ix_rollouts_model", "rollouts", ["model"])
    op.create_table(
        "rollout_journal",
        sa.Column("place", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rollout", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("event", sa.String(32), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("numbers", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("place", name="pk_rollout_journal"),
        sa.ForeignKeyConstraint(["rollout"], ["rollouts.id"], name="fk_rollout_journal_rollouts"),
        sa.UniqueConstraint("rollout", "number", name="uq_rollout_journal_rollout_number"),
    )
