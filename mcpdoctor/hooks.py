"""Explain failures where they end a program: after the traceback that Python, asyncio or IPython prints."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any

_RELATED = ("mcp", "fastmcp", "strands", "httpx", "httpx2", "httpcore", "botocore", "anyio")
_MARK = "_mcpdoctor_explains"


def install() -> None:
    """Have every unhandled failure of this process followed by its explanation, on standard error.

    The traceback is printed as before, by whatever printed it before: `sys.excepthook`, `threading.excepthook`, the
    exception handler of asyncio, IPython. Failures that have nothing to do with MCP are left alone. A second call
    changes nothing.
    """
    import threading

    if getattr(sys.excepthook, _MARK, False):
        return
    sys.excepthook = _then_explain(sys.excepthook, lambda _, exc, __: exc)
    threading.excepthook = _then_explain(threading.excepthook, lambda args: args.exc_value)
    _install_asyncio()
    _install_ipython()


def _then_explain(before: Callable[..., Any], failure_in: Callable[..., BaseException | None]) -> Callable[..., Any]:
    """Call what was there, then explain the failure that `failure_in` finds in the arguments."""

    def hook(*args: Any) -> Any:
        result = before(*args)
        _explain(failure_in(*args))
        return result

    setattr(hook, _MARK, True)
    return hook


def _install_asyncio() -> None:
    """Wrap the handler that every event loop of asyncio falls back to; a handler that a program sets stays its own."""
    from asyncio import base_events

    loop = base_events.BaseEventLoop
    loop.default_exception_handler = _then_explain(  # type: ignore[method-assign]  # there is no other place for all loops
        loop.default_exception_handler, lambda _, context: context.get("exception")
    )


def _install_ipython() -> None:
    """IPython shows tracebacks itself and asks no hook of Python's."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None:
        return

    def show(
        shell: Any,
        kind: type[BaseException],
        exc: BaseException,
        tb: TracebackType | None,
        tb_offset: int | None = None,
    ) -> None:
        shell.showtraceback((kind, exc, tb), tb_offset=tb_offset)
        _explain(exc)

    shell.set_custom_exc((Exception,), show)


def _explain(exc: BaseException | None) -> None:
    """Print the explanation of a failure that has to do with MCP; never fails, since something failed already."""
    if exc is None or isinstance(exc, KeyboardInterrupt | SystemExit) or sys.stderr is None:
        return
    try:
        from mcpdoctor.explanation import explain

        explanation = explain(exc)
        related = any(link.type.split(".")[0] in _RELATED for chain in explanation.chains for link in chain)
        if explanation.explained or related:
            sys.stderr.write(f"\nmcpdoctor: {explanation}\n")
            sys.stderr.flush()
    except Exception as error:  # noqa: BLE001  # the failure of the program was shown; ours must not follow it
        sys.stderr.write(f"\nmcpdoctor could not explain this ({type(error).__name__}).\n")
