"""Load by locust: customers who send, look at what became of it, and ask what is left.

    SMSCD_API_KEY=smk_live_... locust -f tools/locustfile.py --host http://127.0.0.1:8080

opens locust's page on port 8089; with --headless -u 50 -r 50 -t 20s it runs at once and prints figures. For what the
gateway can take, use `smscd bench http`, which is several times as fast as locust.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import count
from typing import Any
from uuid import uuid4

from locust import FastHttpUser, constant_throughput, task

_numbers = count()


class Customer(FastHttpUser):
    """One connection of one customer, ten requests a second where SMSCD_RATE does not say otherwise."""

    wait_time = constant_throughput(float(os.environ.get("SMSCD_RATE", "10")))

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._key = os.environ["SMSCD_API_KEY"]
        self._sent: deque[str] = deque(maxlen=100)

    @task(20)
    def send(self) -> None:
        """A message with a key of its own."""
        answer = self._post("/v1/messages", {"X-Request-ID": str(uuid4())}, 202)
        if answer is not None:
            self._sent.append(answer["id"])

    @task(2)
    def estimate(self) -> None:
        """What it would cost."""
        self._post("/v1/messages/estimate", {}, 200)

    @task(4)
    def look(self) -> None:
        """One of the last messages."""
        if self._sent:
            self._get(f"/v1/messages/{self._sent[0]}", "/v1/messages/{id}")

    @task(1)
    def list(self) -> None:
        """The newest messages."""
        self._get("/v1/messages?limit=20", "/v1/messages?limit")

    @task(1)
    def balance(self) -> None:
        """What is left."""
        self._get("/v1/balance", "/v1/balance")

    def _post(self, path: str, headers: dict[str, str], status: int) -> Any:
        number = next(_numbers) % 1_000_000
        body = {"to": f"+447700{number:06d}", "from": "ACME", "text": f"Code {number}"}
        with self.client.post(
            path, json=body, headers={"X-Api-Key": self._key, **headers}, catch_response=True
        ) as answer:
            if answer.status_code == status:
                return answer.json()
            answer.failure(f"status {answer.status_code}")
        return None

    def _get(self, path: str, name: str) -> None:
        self.client.get(path, name=name, headers={"X-Api-Key": self._key})
