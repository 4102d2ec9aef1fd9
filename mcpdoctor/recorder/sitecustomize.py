# ruff: noqa: INP001, PTH100, PTH120  # a directory of the module search path; and pathlib is slow to import
"""Start the recorder in the program of `mcpdoctor run`, then step aside.

Python imports the first `sitecustomize` it finds, and PYTHONPATH put this one first. Afterwards everything is as if it
were not there: the directory leaves the module search path, and the next `sitecustomize` runs, or is missing, or fails,
as it would have. Every Python the program starts comes by here, so this file has to be valid in the oldest of them.
"""

import os
import sys

_here = os.path.normcase(os.path.dirname(os.path.abspath(__file__)))

try:
    if sys.version_info >= (3, 10):  # noqa: UP036  # the program's Python, not the one mcpdoctor needs
        import mcpdoctor_recorder  # type: ignore[import-not-found]  # lies beside this file

        mcpdoctor_recorder.start()
except Exception:  # noqa: BLE001, S110  # whatever is wrong with the recorder, the program has to run
    pass

sys.path[:] = [path for path in sys.path if os.path.normcase(os.path.abspath(path)) != _here]
sys.path_importer_cache.pop(_here, None)
# The import system hands out what stands in sys.modules after this file has run; `site` knows what to do with the
# ImportError where there is none.
sys.modules.pop("sitecustomize", None)
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
