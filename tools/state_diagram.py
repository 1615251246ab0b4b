"""The session's states as diagrams, from its table: `python -m tools.state_diagram` writes protocols/smpp/states.md."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from protocols.smpp.state import TABLE, Flow, Role, Row, SessionState

PATH: Final = Path(__file__).parent.parent / "protocols" / "smpp" / "states.md"
_HEAD: Final = """# The states of an SMPP session

Made from `TABLE` in `state.py` by `python -m tools.state_diagram`; a test compares. Losing the connection leads from
every state to `closed`. A response with an error status changes no state. `+` is sent by this end, `-` is received.
"""
_TITLES: Final = {Role.SMSC: "As an SMSC", Role.ESME: "As an ESME"}
_SIGNS: Final = {Flow.SENT: "+", Flow.RECEIVED: "-"}


def render() -> str:
    """The whole page: for each role a Mermaid diagram of what changes the state, and a table of what does not."""
    parts = [_HEAD]
    for role in Role:
        parts += [f"## {_TITLES[role]}\n", "```mermaid", *_diagram(role), "```\n", *_allowed(role), ""]
    return "\n".join(parts)


def _diagram(role: Role) -> list[str]:
    lines = ["stateDiagram-v2", f"    [*] --> {SessionState.OPEN.value}"]
    for state in SessionState:
        moves: dict[SessionState, list[str]] = {}
        for row in _rows(role, state):
            if row.after is not None:
                moves.setdefault(row.after, []).append(_name(row))
        lines += [f"    {state.value} --> {after.value}: {', '.join(names)}" for after, names in moves.items()]
    return [
        *lines,
        f"    {SessionState.UNBOUND.value} --> {SessionState.CLOSED.value}",
        f"    {SessionState.CLOSED.value} --> [*]",
    ]


def _allowed(role: Role) -> list[str]:
    lines = ["| in | without leaving it |", "|---|---|"]
    for state in SessionState:
        names = [_name(row) for row in _rows(role, state) if row.after is None]
        lines.append(f"| {state.value} | {', '.join(names) or 'nothing'} |")
    return lines


def _rows(role: Role, state: SessionState) -> list[Row]:
    return [row for row in TABLE if role in row.roles and state in row.states]


def _name(row: Row) -> str:
    return f"{_SIGNS[row.flow]}{row.command.name.lower()}"


if __name__ == "__main__":
    PATH.write_text(render(), encoding="utf-8")
