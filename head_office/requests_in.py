"""Reading what a stranger sends, with a limit on size and time."""

import asyncio

from fastapi import Request

from head_office.errors import BadRequestError, TooLargeError

BODY_WITHIN_S = 300.0  # 1 MB at the slowest line we plan for (64 kbit/s with loss) takes about 180 s.


async def read_body(request: Request, largest: int) -> bytes:
    """The whole body, at most ``largest`` bytes.

    Raises TooLargeError as soon as the announced or the received size is over it, BadRequestError when it does not
    come in time.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > largest:
        raise TooLargeError(f"{announced} bytes announced, at most {largest}")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > largest:
                    raise TooLargeError(f"over {largest} bytes")
                chunks.append(chunk)
    except TimeoutError as error:
        raise BadRequestError(f"body not complete within {BODY_WITHIN_S:g} s") from error
    return b"".join(chunks)
