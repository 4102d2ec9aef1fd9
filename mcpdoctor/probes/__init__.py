"""One function for each stage: send what the stage needs, and say what was seen.

Probes record facts and judge nothing: whether a 401 means a wrong service, a check says. They let exceptions out; the
engine turns them into chains.
"""

from mcpdoctor.probes.client import (
    answers_as,
    call_tool,
    list_tools,
    load_client,
    one_call,
    open_session,
    probe_credential,
    protocol_facts,
    session,
)
from mcpdoctor.probes.posting import (
    NOWHERE,
    PROTOCOL,
    Signer,
    check_auth,
    check_http,
    clock_facts,
    heard,
    heard_first,
    initialize_body,
    post,
    refused_revision,
    release,
)
from mcpdoctor.probes.url import parse, url_problem

__all__ = [
    "NOWHERE",
    "PROTOCOL",
    "Signer",
    "answers_as",
    "call_tool",
    "check_auth",
    "check_http",
    "clock_facts",
    "heard",
    "heard_first",
    "initialize_body",
    "list_tools",
    "load_client",
    "one_call",
    "open_session",
    "parse",
    "post",
    "probe_credential",
    "protocol_facts",
    "refused_revision",
    "release",
    "session",
    "url_problem",
]
