"""A town that does not exist: its network, weather, customers and field devices, with a truth to compare against."""
