"""SMPP 3.3 to 5.0 without I/O: codec, session, receipts and times. Standard library only; no clock, socket or log."""
