"""Where an entry is written, and the entry as it may be shown: secrets masked, with the places of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mcpdoctor.clients import (
    Format,
    How,
    Proxy,
    Reach,
    Server,
    Setting,
    Value,
)
from mcpdoctor.from_files.hiding import OPEN, secret_arguments, secrets_of
from mcpdoctor.model import Origin, Written
from mcpdoctor.redaction import MASK, clean

_MOST_SHOWN = 6000
_PROFILE = "profile:"
_INSERT = "\x00"
"""In a form: it is put behind the value, and not in its place."""


def origin_of(server: Server, reached: Reach) -> Origin:
    """Where an entry is written, with the places of the values that decide what is sent."""
    place = server.place
    start, end = _span(server)
    masked = _masked(server, reached)
    values = list(_values(server, reached))
    pieces, spans = _cut(server, start, end, masked=masked, values=values, secrets=secrets_of(server, reached))
    written = []
    for name, value, form in values:
        at = spans.get(value.start) if form else None
        if at is not None and _INSERT in form:
            at = (at[1], at[1])
        written.append(
            Written(
                name=name,
                line=value.place.line,
                column=value.place.column,
                start=at[0] if at and pieces else None,
                end=at[1] if at and pieces else None,
                form=form.replace(_INSERT, "") if at and pieces else "",
            )
        )
    return Origin(
        file=clean(place.file, limit=1000),
        client=clean(server.client.title, limit=60),
        server=clean(server.name, limit=200),
        line=place.line,
        column=place.column,
        entry=pieces,
        values=tuple(written),
    )


def _span(server: Server) -> tuple[int, int]:
    """Where the entry stands in the text, from the beginning of its line where nothing else stands before it."""
    text = server.entry.source.text
    start = min(server.at.start, server.entry.start) if server.at.source is server.entry.source else server.entry.start
    line = text.rfind("\n", 0, start) + 1
    return (line if not text[line:start].strip() else start), server.entry.end


def _values(server: Server, reached: Reach) -> Iterator[tuple[str, Value, str]]:
    """Name, place and form of each value that decides what is sent."""
    if server.command is not None:
        yield "command", server.command.at, _form(server.command.at, server.command.text)
    proxy = reached.proxy
    if proxy is None:
        if reached.endpoint is not None:
            yield "endpoint", reached.endpoint.at, _form(reached.endpoint.at, reached.endpoint.text)
        return
    if proxy.endpoint is not None:
        yield "endpoint", proxy.endpoint.at, _form(proxy.endpoint.at, proxy.endpoint.text)
    for name, setting in (("service", proxy.service), ("region", proxy.region)):
        yield from _setting(name, setting, proxy, server)
    if proxy.profiles and proxy.profiles[0].at is not None:
        profile = proxy.profiles[0]
        assert profile.at is not None  # noqa: S101  # asked for above
        yield "profile", profile.at, _form(profile.at, profile.value or "")


def _setting(name: str, setting: Setting, proxy: Proxy, server: Server) -> Iterator[tuple[str, Value, str]]:
    if setting.how in (How.HOST, How.NOTHING):
        # What is read off the URL is corrected by saying it: one more option behind the URL.
        endpoint = proxy.endpoint
        if endpoint is not None:
            listed = server.client.format in (Format.JSON, Format.JSONC, Format.TOML)
            form = f'{_INSERT}, "--{name}", "{{}}"' if listed and _form(endpoint.at, endpoint.text) else ""
            yield name, endpoint.at, form
    elif setting.at is not None:
        yield name, setting.at, _form(setting.at, setting.value or "")


def _form(at: Value, text: str) -> str:
    """How a new value is written in place of `text` in a value of a file; empty where that cannot be told."""
    raw = at.raw
    if "\x00" in raw or raw.count(text) != 1 or not text:
        return ""
    return raw.replace(text, "{}") if "{}" not in raw else ""


def _masked(server: Server, reached: Reach) -> dict[int, tuple[int, str]]:
    """Values that hold secrets, or may: where each begins and ends, and what to show."""
    found = {}
    for names in (server.env, server.headers):
        for name, word in names.items():
            if not OPEN.fullmatch(name) and word.certain:
                raw = word.at.raw
                quote = raw[0] if raw[:1] in "\"'" else ""
                found[word.at.start] = (word.at.end, f"{quote}{MASK}{quote}")
    if reached.proxy is not None:
        for name, word in reached.proxy.headers.items():
            found[word.at.start] = (word.at.end, f'"{clean(name, limit=60)}={MASK}"')
    for word, text in secret_arguments(server):
        name, equals, _ = text.partition("=")
        found[word.at.start] = (word.at.end, f'"{clean(name, limit=60)}={MASK}"' if equals else f'"{MASK}"')
    return found


def _cut(
    server: Server,
    start: int,
    end: int,
    *,
    masked: Mapping[int, tuple[int, str]],
    values: Sequence[tuple[str, Value, str]],
    secrets: tuple[str, ...],
) -> tuple[str, dict[int, tuple[int, int]]]:
    """The entry with secrets masked, and where each value stands in it; each piece is cleaned for itself."""
    if end - start > _MOST_SHOWN:
        return "", {}
    text = server.entry.source.text
    cuts = sorted(
        {
            **{value.start: (value.end, None) for _, value, _ in values},
            **dict(masked.items()),
        }.items()
    )
    done, at, spans = "", start, dict[int, tuple[int, int]]()
    for first, (last, instead) in cuts:
        if not at <= first <= last <= end:
            continue
        done += clean(text[at:first], limit=_MOST_SHOWN, secrets=secrets)
        piece = instead if instead is not None else clean(text[first:last], limit=_MOST_SHOWN, secrets=secrets)
        spans[first] = (len(done), len(done) + len(piece))
        done += piece
        at = last
    done += clean(text[at:end], limit=_MOST_SHOWN, secrets=secrets)
    return done, spans
