"""SMPP 3.4 without I/O: codec, session, receipts and times. Standard library only; no clock, socket or log."""
