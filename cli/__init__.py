"""The `gashub` command: composes and starts what the other packages are. Nothing imports it."""
