"""Blocking work beside an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """Run `work` in a daemon thread, so that a look-up or a login that hangs cannot hold up the end of the program."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(act: Callable[[Any], None], value: object) -> None:
        if not future.done():
            act(value)

    def run() -> None:
        try:
            act, value = future.set_result, work()
        except StopIteration as error:  # a future cannot carry it
            act, value = future.set_exception, RuntimeError(repr(error))  # type: ignore[assignment]
        except BaseException as error:  # noqa: BLE001  # handed to the caller, who waits for it
            act, value = future.set_exception, error  # type: ignore[assignment]
        with suppress(RuntimeError):  # the run ended before; nobody waits
            loop.call_soon_threadsafe(settle, act, value)

    threading.Thread(target=run, daemon=True, name="mcpdoctor").start()
    return await future
