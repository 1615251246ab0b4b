"""CPU per message by the stages of DESIGN section 3, from a run of its own in which workers and scripts are sampled."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import redis

from storage.redis import scripts

SAMPLER = Path(__file__).parent / "sampler"

BUDGET_US = {
    "ingress SMPP": 12.0,
    "admission Redis": 6.0,
    "dispatch and submit_sm_resp": 12.0,
    "Redis turn and correlation": 8.0,
    "receipt in": 14.0,
    "receipt to the ESME": 10.0,
    "writer Python": 8.0,
    "PostgreSQL": 15.0,
}
"""DESIGN section 3; the sum is the goal of 85."""

MODULES: tuple[tuple[str, str], ...] = (
    ("smscd/ingress/http/", "ingress HTTP"),
    ("smscd/egress/webhooks", "webhooks"),
    ("smscd/ingress/", "ingress SMPP"),
    ("smscd/egress/receipts/", "receipt in"),
    ("storage/redis/receipts.py", "receipt in"),
    ("smscd/egress/esme/", "receipt to the ESME"),
    ("storage/redis/outbox.py", "receipt to the ESME"),
    ("smscd/archive/", "writer Python"),
    ("storage/postgres/", "writer Python"),
    ("storage/redis/journal.py", "writer Python"),
    ("storage/redis/admission.py", "ingress SMPP"),
    ("smscd/egress/", "dispatch and submit_sm_resp"),
    ("storage/redis/dispatch.py", "dispatch and submit_sm_resp"),
    ("smscd/transport/connection.py[smsc]", "ingress SMPP"),
    ("smscd/transport/connection.py[esme]", "dispatch and submit_sm_resp"),
)
"""Which stage a module works for; the first module of a stack, innermost first, that is named here decides."""

OTHER = "loop and other"

SCRIPTS = {
    "admit": "admission Redis",
    "turn": "Redis turn and correlation",
    "promote": "Redis turn and correlation",
    "correlate": "Redis turn and correlation",
    "match": "receipt in, Redis",
    "receipt": "receipt in, Redis",
    "settle_out": "receipt to the ESME, Redis",
    "settle_hooks": "webhooks, Redis",
}


def stage_of(stack: str) -> str:
    """The stage of one sampled stack of modules, outermost first."""
    for module in reversed(stack.split(" > ")):
        for prefix, stage in MODULES:
            if module.startswith(prefix):
                return stage
    return OTHER


def worker_seconds(directory: Path) -> tuple[dict[str, float], dict[str, float]]:
    """CPU seconds of all workers of a sampled run, by stage and by stack of modules."""
    stages: defaultdict[str, float] = defaultdict(float)
    stacks: defaultdict[str, float] = defaultdict(float)
    for path in directory.glob("*.json"):
        sampled = json.loads(path.read_text())
        for stack, count in sampled["counts"].items():
            seconds = count * sampled["interval_seconds"]
            stages[stage_of(stack)] += seconds
            stacks[stack or OTHER] += seconds
    return dict(stages), dict(stacks)


class ScriptTimes:
    """How long each Lua script runs in all, from the slow log with a threshold of 0: only for a run of its own."""

    def __init__(self, url: str) -> None:
        self._store = redis.Redis.from_url(url)
        self._names = {
            script.sha: script.name for script in vars(scripts).values() if isinstance(script, scripts.Script)
        }
        self.microseconds: Counter[str] = Counter()

    def begin(self) -> None:
        """Log every command from now on."""
        self._store.config_set("slowlog-max-len", 50_000)
        self._store.config_set("slowlog-log-slower-than", 0)
        self._store.slowlog_reset()

    def gather(self) -> None:
        """Take what was logged since the last call; call this more often than the log runs over."""
        entries = self._store.slowlog_get(-1)
        self._store.slowlog_reset()
        for entry in entries:
            words = entry["command"].split(b" ", 2)
            name = words[0].decode(errors="replace").lower()
            if name == "evalsha" and len(words) > 1:
                name = self._names.get(words[1].decode(errors="replace"), name)
            self.microseconds[name] += entry["duration"]

    def end(self) -> None:
        """Log no longer."""
        self.gather()
        self._store.config_set("slowlog-log-slower-than", 10_000)
        self._store.close()


def redis_seconds(microseconds: Mapping[str, int], cpu_seconds: float) -> dict[str, float]:
    """CPU seconds of Redis by stage: what the scripts ran, and the rest (network, fsync, other commands)."""
    stages: defaultdict[str, float] = defaultdict(float)
    for name, spent in microseconds.items():
        stages[SCRIPTS.get(name, "Redis, other commands")] += spent / 1_000_000
    stages["Redis, network and disk"] = max(0.0, cpu_seconds - sum(stages.values()))
    return dict(stages)


def stage_table(seconds: Mapping[str, float], messages: int) -> list[tuple[str, float | None, float]]:
    """(stage, budget, measured) in microseconds a message: those of DESIGN first, then the others by weight."""
    measured = {stage: round(spent * 1_000_000 / messages, 2) for stage, spent in seconds.items()}
    rows: list[tuple[str, float | None, float]] = [
        (stage, budget, measured.pop(stage, 0.0)) for stage, budget in BUDGET_US.items()
    ]
    rows += [(stage, None, spent) for stage, spent in sorted(measured.items(), key=lambda item: -item[1])]
    return rows


def heaviest(stacks: Mapping[str, float], messages: int, count: int = 15) -> Iterable[tuple[str, float]]:
    """The stacks of modules that cost most, in microseconds a message."""
    ranked = sorted(stacks.items(), key=lambda item: -item[1])[:count]
    return [(stack, round(spent * 1_000_000 / messages, 2)) for stack, spent in ranked]
