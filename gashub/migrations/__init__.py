"""The database's history, one SQL file per step, applied in order by Alembic.

A step once released is never edited; a change is a new step. There is no downgrade: a hub is taken back by restoring
a backup, not by dropping columns that hold readings.
"""

from pathlib import Path

from alembic import op


def run_sql(revision_file: str) -> None:
    """Run the SQL file that lies beside a revision and has its name."""
    script = Path(revision_file).with_suffix(".sql").read_text(encoding="utf-8")
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    # Straight to the driver and without parameters: a per cent sign is an operator here, not a placeholder.
    driver.execute(script)
