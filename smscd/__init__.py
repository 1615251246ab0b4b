"""The daemon: an SMS gateway that says yes only when a message is on disk and paid for."""

__version__ = "0.1.0"
