"""HTTP, the live feed, log-in and audit: what people and programs see of the hub. No rules of its own."""
