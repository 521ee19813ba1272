"""The third schema: what runs were seen to cost, so that a server that starts knows it already.

Its table is written out, not taken from `tables.py`: that one goes on, this step stays what it was.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what servers learn; what is registered stays as it is."""
    op.create_table(
        "learned_costs",
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("machine", sa.String(64), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", "machine", name="pk_learned_costs"),
    )
    op.create_index("ix_learned_costs_at", "learned_costs", ["at"])
