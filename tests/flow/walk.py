"""One claim as flow tests need it: through the command line, or step by step over the local API."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from mpos_agent.api.client import AgentClient
from mpos_agent.demo.stage import OPERATOR, Stage, command, program
from mpos_agent.demo.story import answers_toml

FINGER_TRIES = 4
"""Attempts the policy allows a finger."""
CLAIM_TIMEOUT_S = 110.0
"""Below the limit of one test, so that the claim's own words are seen when it hangs."""


def claim(
    stage: Stage, name: str, form: Mapping[str, object] | None = None, *, check: bool = True, **start: str
) -> subprocess.CompletedProcess[str]:
    """``mpos-agent claim --answers``; gives exit code and output."""
    answers = stage.folder / f"answers-{name}.toml"
    answers.write_text(answers_toml(form or {}, **start))
    try:
        return command(
            [*program("mpos-agent"), "claim", "--answers", str(answers), "--json", "--config", str(stage.config)],
            check=check,
            timeout_s=CLAIM_TIMEOUT_S,
        )
    finally:
        answers.unlink()


def objects(output: str) -> list[dict[str, Any]]:
    """The JSON objects a command printed, in order."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


class Walk:
    """An operator's application on the local API, signed in; use ``with``."""

    def __init__(self, stage: Stage) -> None:
        token = (stage.folder / "run" / "cli.token").read_text().strip()
        self.client = AgentClient(stage.folder / "run" / "agent.sock", token)
        signed_in = self.client.post("/v1/sign-in", {"person_id": OPERATOR[0], "pin": OPERATOR[1]})
        self.client.sign_in_token(signed_in["operator"])

    def __enter__(self) -> "Walk":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def start(self) -> str:
        """Open a claim and get consent; gives its id."""
        wish = {"programme": "JHT", "reason_code": "RESIGN", "segment": "PU", "relation": "SELF"}
        claim_id = str(self.client.post("/v1/claims", wish)["claim_id"])
        self.step(claim_id, "consent", {"given": True, "method": "ON_SCREEN"})
        return claim_id

    def step(self, claim_id: str, name: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One step; the reply with event, state, next prompt and findings."""
        return self.client.post(f"/v1/claims/{claim_id}/{name}", body)

    def state(self, claim_id: str) -> str:
        """Where the claim stands."""
        return str(self.client.get(f"/v1/claims/{claim_id}")["state"])

    def finger(self, claim_id: str) -> None:
        """The holder's finger, placed again when a touch was poor, as an operator would ask for it."""
        for _ in range(FINGER_TRIES - 1):
            if self.step(claim_id, "finger")["state"] == "VERIFIED":
                return
        assert self.step(claim_id, "finger")["state"] == "VERIFIED"

    def papers(self, claim_id: str) -> None:
        """Photo check, documents and form of a claim whose finger matched."""
        self.step(claim_id, "photo-check", {"result": "SAME"})
        self.step(claim_id, "documents", {"documents": []})
        self.step(claim_id, "form", {"fields": {"kpj": "99ZZ0000001", "npp": "ZZ0Z0001", "phone": "080000000001"}})

    def confirm(self, claim_id: str) -> dict[str, Any]:
        """The member confirms."""
        return self.step(claim_id, "confirm", {"member_confirms": True, "declaration": "CONFIRMED_ON_SCREEN"})
