"""Callbacks to URLs."""
