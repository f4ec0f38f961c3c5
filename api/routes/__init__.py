"""The routes of /api/v1, a module for each thing an operator names."""
