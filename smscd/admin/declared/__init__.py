"""Declarations: a file says which upstreams, routes, accounts and numbers there shall be. A module for a section."""
