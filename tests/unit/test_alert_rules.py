"""conf/prometheus-rules.yml: every alert asks for metrics that there are, and says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from smscd.monitoring.metrics import BY_NAME

FILE = Path(__file__).parents[2] / "conf" / "prometheus-rules.yml"
RULES: list[dict[str, Any]] = [rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]]


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_measured_and_says_what_to_do(rule: dict[str, Any]) -> None:
    names = re.findall(r"\bsmscd_\w+", rule["expr"])
    assert names
    labels = {label for name in names for label in BY_NAME[name].labels}
    for grouped in re.findall(r"\bby \(([^)]*)\)", rule["expr"]):
        assert set(grouped.replace(" ", "").split(",")) <= labels
    texts = rule["annotations"]
    assert set(texts) == {"summary", "action"}
    assert set(re.findall(r"\$labels\.(\w+)", texts["summary"] + texts["action"])) <= labels
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_alert_has_a_name_of_its_own() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
