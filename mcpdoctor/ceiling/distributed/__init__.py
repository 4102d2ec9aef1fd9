"""The same search from several machines, over dask.distributed.

`crew` connects to the machines, `hands` carries actions out on them, `remote` stands for one of them here, `leg` is
what lives there, and `orders` is what travels between the two. dask itself is imported by `crew` alone, and only when
it is asked for.

Nothing is submitted as a task. dask runs a task again when its worker died, whatever `retries` says, and repeats a call
to an actor when its connection broke; a probe that is silently repeated is a false result. `Client.run` calls a
function on a worker at once and never twice, and what has to live between calls lives in a registry there.
"""

from __future__ import annotations

import importlib.util

from mcpdoctor.model import Unusable

EXTRA = 'pip install "mcpdoctor[distributed]"'


def require() -> None:
    """Make sure that dask.distributed is installed.

    Raises:
        Unusable: it is not.
    """
    try:
        found = importlib.util.find_spec("distributed") is not None
    except ValueError:  # somebody has put nothing in its place
        found = False
    if not found:
        raise Unusable(f"Measuring from several machines needs dask.distributed; install it with {EXTRA}.")
