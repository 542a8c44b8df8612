"""One claim through the command line, unattended, as its flow tests need it."""

import json
import subprocess
from collections.abc import Mapping
from typing import Any

from mpos_agent.demo.stage import Stage, command, program
from mpos_agent.demo.story import answers_toml

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
