-- The newest balance of a zone; an older one never replaces a newer.
INSERT INTO zone_balance (
    zone, at, inlet_m3h, offtake_m3h, expected_unmetered_m3h, linepack_rate_m3h,
    imbalance_m3h, sigma_m3h, smallest_leak_m3h, ready
)
VALUES (
    %(zone)s, %(at)s, %(inlet_m3h)s, %(offtake_m3h)s, %(expected_unmetered_m3h)s, %(linepack_rate_m3h)s,
    %(imbalance_m3h)s, %(sigma_m3h)s, %(smallest_leak_m3h)s, %(ready)s
)
ON CONFLICT (zone) DO UPDATE SET
    at = excluded.at,
    inlet_m3h = excluded.inlet_m3h,
    offtake_m3h = excluded.offtake_m3h,
    expected_unmetered_m3h = excluded.expected_unmetered_m3h,
    linepack_rate_m3h = excluded.linepack_rate_m3h,
    imbalance_m3h = excluded.imbalance_m3h,
    sigma_m3h = excluded.sigma_m3h,
    smallest_leak_m3h = excluded.smallest_leak_m3h,
    ready = excluded.ready
WHERE zone_balance.at <= excluded.at
