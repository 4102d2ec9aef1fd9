"""URLs may hold secrets in their query: they are sent as the user wrote them, and drawn without."""

from __future__ import annotations

import json
import re

from mcpdoctor.model import Report
from mcpdoctor.redaction import MASK, clean
from mcpdoctor.render.report_json import dumps, loads

_PARAMETER = re.compile(r"[?&]([^=&#]+)=([^&#]+)")


def hidden(report: Report) -> Report:
    """The report with the values of such parameters masked, wherever in it they stand.

    The names stay, so that whoever pastes the URL sees where the own value belongs.
    """
    found = {
        f"{name}={value}": f"{name}={MASK}"
        for url in {url for one in report.results for url in (one.target, one.configuration.endpoint)}
        for name, value in _PARAMETER.findall(url)
        if value != MASK and clean(f"?{name}={value}") == f"?{name}={MASK}"
    }
    if not found:
        return report
    text = dumps(report)
    for shown, safe in sorted(found.items(), key=lambda one: -len(one[0])):
        text = text.replace(json.dumps(shown)[1:-1], safe)
    return loads(text)
