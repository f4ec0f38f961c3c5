"""From an incident to a repair ticket and an interruption notice, each exactly once."""
