"""The benchmark runs."""

from __future__ import annotations

import pytest

from benchmarks import ingest


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_benchmark_runs_tiny() -> None:
    rows = ingest.rows(quick=True)
    assert {"ingest.vs_copy", "ingest.vs_copy_large", "ingest.small_vs_bare"} <= {row["name"] for row in rows}
    assert all(row["value"] > 0 for row in rows)
