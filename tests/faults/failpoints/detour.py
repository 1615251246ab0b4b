"""The supervisor and its workers reach the embedded servers over other ports: those of proxies.

SMSCD_DETOURS says which ports stand for which, as "of the server:of the proxy" with commas between them. The servers
keep the ports that they are configured to have, and so does what watches over them.
"""

from __future__ import annotations

import os

DETOURS = dict(pair.split(":") for pair in os.environ.get("SMSCD_DETOURS", "").split(",") if pair)


def plant() -> None:
    """Turn the URLs that a supervisor works with. Raises AttributeError when they are not made there any more."""
    import msgspec

    from smscd.config import Config
    from smscd.supervision.startup import Servers

    resolve = Servers.resolve

    def turned(self: Servers, config: Config) -> Config:
        config = resolve(self, config)
        names = ("redis_url", "postgres_dsn", "postgres_owner_dsn")
        urls = {name: getattr(config, name) for name in names}
        for server, proxy in DETOURS.items():
            urls = {name: url.replace(f":{server}/", f":{proxy}/") for name, url in urls.items()}
        return msgspec.structs.replace(config, **urls)

    Servers.resolve = turned  # type: ignore[method-assign]  # a test's own copy of the daemon
