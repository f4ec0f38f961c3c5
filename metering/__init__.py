"""Accounts, service points and meters, and what they used."""
