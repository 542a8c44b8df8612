"""What a caller of a claim did that cannot be, and what the claim itself cannot do."""

from typing import ClassVar

from mpos_agent.errors import AgentError


class NotNowError(AgentError):
    """This step is not possible in the state the claim is in; ``detail`` names both."""

    code: ClassVar[str] = "not_now"

    def __init__(self, step: str, state: str) -> None:
        super().__init__(f"{step} is not possible while the claim is {state}")
        self.step, self.state = step, state


class DraftUnreadableError(AgentError):
    """A saved draft does not decrypt: its key was replaced, or the file was changed. Nothing is deleted."""

    code: ClassVar[str] = "draft_unreadable"


class DraftKeyError(AgentError):
    """The key file for drafts is missing, has the wrong size, or others may read it; ``detail`` says which."""

    code: ClassVar[str] = "draft_key"


class AuditBrokenError(AgentError):
    """The audit chain does not hold together; ``detail`` names the first row that does not fit."""

    code: ClassVar[str] = "audit_broken"
