"""Bring a ledger's schema up to date: revisions in a line, each applied once and recorded.

A revision that was released is never edited: add the next one, its ``down_revision`` the newest there is. The file
is named like its revision, so that the newest is known from the folder alone, and a ledger that is up to date
opens without loading Alembic (half a second, on each admin command).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
VERSION_QUERY = "SELECT version_num FROM alembic_version"


def newest() -> str:
    """The revision a ledger has to be at."""
    return max(file.stem for file in (HERE / "versions").glob("[0-9]*.py"))


def upgrade(dialect: str, connect: Callable[[], Any], *, to: str = "head") -> None:
    """Apply what is missing, all of it in one transaction.

    Parameters
    ----------
    dialect
        ``sqlite`` or ``postgresql+psycopg``.
    connect
        Gives a connection of that dialect's driver, to be closed here; nobody else may write while it is used.
    to
        Up to which revision; tests stop earlier.
    """
    import sqlalchemy  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.set_main_option("path_separator", "os")
    engine = sqlalchemy.create_engine(f"{dialect}://", creator=connect, poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        if dialect == "sqlite":
            # The driver begins no transaction before CREATE TABLE by itself; half a schema must not stay.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        command.upgrade(config, to)
        connection.commit()
    engine.dispose()
