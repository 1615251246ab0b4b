"""A plan as operators see it, and the name by which they have it applied; the same by command and over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from smscd.admin.declared.steps import Step


def shown(step: Step) -> dict[str, Any]:
    """A step as JSON."""
    fields = {name: {"before": old, "after": new} for name, (old, new) in step.differences.items()}
    return {"section": step.section, "name": step.name, "verb": step.verb, "fields": fields}


def plan_id(file: bytes, plan: Sequence[Step]) -> str:
    """What names this plan of this file: another file, or another state of the instance, has another."""
    steps = msgspec.json.encode([shown(step) for step in plan])
    return sha256(sha256(file).digest() + steps).hexdigest()[:32]
