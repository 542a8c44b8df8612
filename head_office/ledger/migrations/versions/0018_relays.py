"""Whether anybody tells events: where nobody does they are kept for a while, not for ever."""

from head_office.ledger.migrations.statements import run

revision = "0018_relays"
down_revision = "0017_missing_places"


def upgrade() -> None:
    run(
        """
        CREATE TABLE relays (name TEXT PRIMARY KEY, first_at INTEGER NOT NULL);
        INSERT INTO relays (name, first_at)
            SELECT 'relay', relayed_at FROM events WHERE relayed_at IS NOT NULL ORDER BY relayed_at LIMIT 1
        """
    )
