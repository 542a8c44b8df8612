"""Head office that is killed at a chosen moment of a chosen batch: ``python -m tests.head_office.dying_office``.

The real program, with one function replaced by one that kills the process as ``kill -9`` does.
"""

import os
import signal
import sys
from typing import Any

from head_office import cli
from head_office.round import Round
from sync import receipt as wire
from sync.keys import Signer

MOMENTS = ("before the commit", "after the commit", "after signing")


def die(*_arguments: object, **_more: object) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    moment = sys.argv.pop(1)
    really_sign = wire.sign

    def sign_and_die(receipt: wire.Receipt, signer: Signer) -> bytes:
        really_sign(receipt, signer)
        die()
        return b""

    if moment == MOMENTS[0]:
        Round.finish = die  # type: ignore[method-assign]
    elif moment == MOMENTS[1]:
        wire.sign = die
    else:
        wire.sign = sign_and_die
    cli.main()


if __name__ == "__main__":
    main()
