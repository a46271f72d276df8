"""The API for people: one plain page made from the OpenAPI description, without any script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from singerid.report.markup import escape

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API · singerid</title><link rel="stylesheet" href="static/style.css"></head>
<body><main id="main"><h1>API</h1>
<p>Described for programs in <a href="openapi.json">openapi.json</a>. Every error is
<code>{"error": {"what", "where", "found", "expected", "do"}}</code>.</p>
"""


def api_page(description: Mapping[str, Any]) -> str:
    """A section an address: what it takes, what it answers."""
    schemas = description["components"]["schemas"]
    parts = [
        part
        for path, methods in sorted(description["paths"].items())
        for method, operation in methods.items()
        for part in _operation(f"{method.upper()} {path}", operation, schemas)
    ]
    return _HEAD + "\n".join(parts) + "\n</main></body></html>\n"


def _operation(
    title: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]
) -> Iterator[str]:
    yield f"<section><h2><code>{escape(title)}</code></h2>"
    yield f"<p>{escape(operation.get('description', ''))}</p>"
    rows = [
        (f"{one['name']} ({one['in']})", one.get("description", ""), one.get("required", False))
        for one in operation.get("parameters", ())
    ]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        rows += _fields(_resolved(content["schema"], schemas), kind)
    yield from _list("Takes", rows)
    for status, response in sorted(operation["responses"].items()):
        if status.startswith("2"):
            for kind, content in response.get("content", {}).items():
                schema = _resolved(content.get("schema", {}), schemas)
                yield from _list(f"Answers {status}, {kind}", _fields(schema))
    failures = sorted(s for s in operation["responses"] if not s.startswith("2"))
    yield f"<p>Or: {escape(', '.join(failures))}.</p></section>"


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Mapping[str, Any] = schemas[name] if name else schema
    return found


def _fields(schema: Mapping[str, Any], kind: str = "") -> list[tuple[str, str, bool]]:
    required = schema.get("required", ())
    where = f" ({kind})" if kind else ""
    return [
        (name + where, field.get("description", ""), name in required)
        for name, field in schema.get("properties", {}).items()
    ]


def _list(title: str, rows: list[tuple[str, str, bool]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h3>{escape(title)}</h3><ul>"
    for name, text, required in rows:
        more = (f": {text}" if text else "") + ("" if required else " (optional)")
        yield f"<li><code>{escape(name)}</code>{escape(more)}</li>"
    yield "</ul>"
