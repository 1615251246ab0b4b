"""SMPP sessions over asyncio: connections, the listener, dialling out, and the registry of bound ESMEs."""
