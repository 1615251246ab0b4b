"""Waits until a key that a command has just made is known to the workers."""

from __future__ import annotations

import urllib.error
import urllib.request

# Each request is a connection of its own, so that every worker is asked, most likely.
ASKED_TIMES = 8


def is_known(url: str, api_key: str) -> bool:
    """True when the daemon at this URL answers whoever shows the key."""
    request = urllib.request.Request(f"{url}/v1/balance", headers={"X-Api-Key": api_key})
    try:
        for _ in range(ASKED_TIMES):
            urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as refused:
        refused.close()
        return False
    return True
