"""At which moment of which boot a device answered for missing places: what it says afterwards counts, nothing older."""

from head_office.ledger.migrations.statements import run

revision = "0019_answers"
down_revision = "0018_relays"


def upgrade() -> None:
    run(
        """
        ALTER TABLE missing_places ADD COLUMN answered_boot BLOB;
        ALTER TABLE missing_places ADD COLUMN answered_ns INTEGER
        """
    )
