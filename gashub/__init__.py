"""The hub's vocabulary: what every stage of the line speaks, and the servers and tables it stands on."""

__version__ = "0.1.0"
