"""What has to be true of a Redis server before a message is entrusted to it: its settings, its role, its file.

Each wrong thing is one sentence that says what to do. DESIGN section 1, law 10.
"""

from __future__ import annotations

from redis.exceptions import ResponseError

from storage.redis.errors import RewriteUnderWay, UnsafeStorage
from storage.redis.link import Command

VERSION_MIN = (6, 2)
# The first Valkey that replays a script under a default user that is switched off.
REPLAYS_SCRIPTS_SINCE = (8, 0, 11)
SETTINGS = {
    b"appendonly": (b"yes", "set `appendonly yes`: without the append-only file nothing survives a restart"),
    b"appendfsync": (b"always", "set `appendfsync always`: a message is acknowledged only when it is on disk"),
    b"no-appendfsync-on-rewrite": (
        b"no",
        "set `no-appendfsync-on-rewrite no`: nothing would be synced while the file is rewritten",
    ),
    b"maxmemory-policy": (b"noeviction", "set `maxmemory-policy noeviction`: any other policy deletes messages"),
}
UNLIMITED = (
    "maxmemory is 0; set it to what this machine can spare: admission stops at a share of it, and without a limit the "
    "kernel ends the server instead."
)
REPLICA = "it is a replica; give the address of the primary."
CLUSTER = "cluster-enabled is yes; give the address of a server that is not part of a Redis Cluster."
DEFAULT_USER_OFF = (
    "its default user is off and may do nothing, so that it drops scripts when it loads its file; set `user default "
    "off ~* &* +@all` in the ACL file (still nobody can log in as it)."
)


async def check_server(command: Command) -> None:
    """Raise UnsafeStorage with one sentence for everything about this server that would lose messages."""
    server = _fields(await command("INFO", "server"))
    wrong = _wrong_version(server)
    for name, (wanted, advice) in SETTINGS.items():
        value = await _setting(command, name)
        if value != wanted:
            wrong.append(f"{name.decode()} is {value.decode()}; {advice}.")
    if await _setting(command, b"maxmemory") == b"0":
        wrong.append(UNLIMITED)
    if _fields(await command("INFO", "replication")).get("role") == "slave":
        wrong.append(REPLICA)
    if server.get("redis_mode") == "cluster":
        wrong.append(CLUSTER)
    if _version(server.get("valkey_version", "")) < REPLAYS_SCRIPTS_SINCE and await _default_user_is_powerless(command):
        wrong.append(DEFAULT_USER_OFF)
    if wrong:
        raise UnsafeStorage("Redis is not safe to work on. " + " ".join(wrong))


async def check_file(command: Command, meta: str, run_id: str) -> None:
    """Return when the append-only file was rewritten since this server started; raise RewriteUnderWay until then.

    A power loss in the middle of a script leaves its beginning at the file's end. The server leaves that out when it
    loads the file, but a start later, when something stands behind it, it would be carried out: half a script. meta: a
    hash of ours in which this is noted.
    """
    done, asked = await command("HMGET", meta, "rewritten", "rewriting")
    if done == run_id.encode():
        return
    state = _fields(await command("INFO", "persistence"))
    if state.get("aof_rewrite_in_progress") == "1" or state.get("aof_rewrite_scheduled") == "1":
        raise RewriteUnderWay
    is_ok = state.get("aof_last_bgrewrite_status") == "ok"
    if is_ok and (asked == run_id.encode() or int(state.get("aof_rewrites", "0")) > 0):
        await command("HSET", meta, "rewritten", run_id)
        return
    try:
        await command("BGREWRITEAOF")
    except ResponseError as refused:
        if "in progress" not in str(refused):
            raise UnsafeStorage(
                f"Redis does not rewrite its file ({refused}): allow this user BGREWRITEAOF."
            ) from refused
    await command("HSET", meta, "rewriting", run_id)
    raise RewriteUnderWay


async def _setting(command: Command, name: bytes) -> bytes:
    try:
        reply = await command("CONFIG", "GET", name)
    except ResponseError as refused:
        raise UnsafeStorage(f"Redis does not show its settings ({refused}): allow this user CONFIG GET.") from refused
    value: bytes = reply[1] if len(reply) > 1 else b"unknown"
    return value


async def _default_user_is_powerless(command: Command) -> bool:
    try:
        reply = await command("ACL", "GETUSER", "default")
    except ResponseError as refused:
        raise UnsafeStorage(
            f"Redis does not show its default user ({refused}): allow this user ACL GETUSER."
        ) from refused
    user = dict(zip(reply[::2], reply[1::2], strict=True))
    has_all = b"+@all" in user[b"commands"].split() and b"-" not in user[b"commands"]
    return b"off" in user[b"flags"] and not has_all


def _wrong_version(server: dict[str, str]) -> list[str]:
    text = server.get("redis_version", "")
    if _version(text) >= VERSION_MIN:
        return []
    return [f"it is version {text or 'unknown'}; {'.'.join(map(str, VERSION_MIN))} or later is needed: upgrade it."]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _fields(info: bytes) -> dict[str, str]:
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
