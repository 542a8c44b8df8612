"""How often a device has changed its cluster: which of two hand-over files is the newer one."""

from head_office.ledger.migrations.statements import run

revision = "0016_moves"
down_revision = "0015_key_bounds"


def upgrade() -> None:
    run("ALTER TABLE devices ADD COLUMN moves INTEGER NOT NULL DEFAULT 0")
