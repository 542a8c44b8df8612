"""Numbers that are given out one after the other without a gap: agenda and acts.

Several processes write to PostgreSQL at once. Whoever takes a number holds its row until the transaction ends, so
that numbers are as gapless there as with one writer.
"""

from head_office.ledger.migrations.statements import run

revision = "0005_numbers"
down_revision = "0004_people"


def upgrade() -> None:
    run(
        """
        CREATE TABLE numbers (name TEXT PRIMARY KEY, last_no INTEGER NOT NULL);
        INSERT INTO numbers (name, last_no) VALUES ('agenda', 1000000), ('acts', 0)
        """
    )
