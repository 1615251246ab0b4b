"""Callbacks to bound ESMEs."""
