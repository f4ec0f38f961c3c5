"""The benchmark runs, with alarms and dispatch as processes: a value on the bus becomes a ticket and a notice."""

from __future__ import annotations

import pytest

from benchmarks import dispatch


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_benchmark_runs_tiny() -> None:
    rows = dispatch.rows(quick=True)
    assert {"dispatch.publish_to_ticket_p99_ms", "isolation.trace_ms"} <= {row["name"] for row in rows}
    assert all(row["value"] > 0 for row in rows)
