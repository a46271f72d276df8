"""The command that serves: a page and a JSON API."""

from __future__ import annotations

import argparse
import os

from singerid.errors import ConfigError, MissingExtraError
from singerid.flags import read_settings
from singerid.terminal import warn

TOKEN_VARIABLE = "SINGERID_TOKEN"
_LEAST_TOKEN = 16  # characters


def serve(arguments: argparse.Namespace) -> None:
    """A page and a JSON API to enroll, identify, compare and look at singers."""
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise MissingExtraError("FastAPI, uvicorn or python-multipart", "web") from None
    from singerid.judge import load_judge
    from singerid.registry import Registry
    from singerid.registry.place import default_place
    from singerid.web.access import is_local
    from singerid.web.app import create_app
    from singerid.web.server import run

    config = read_settings(arguments)
    token = _token()
    if token is None and not is_local(config.serve.host):
        warn(
            f"everybody who reaches {config.serve.host} may enroll, hear and remove singers: set "
            f"{TOKEN_VARIABLE}, and put a proxy with TLS in front"
        )
    judge = load_judge(
        arguments.encoder, arguments.calibration, config.embed, arguments.prior,
        arguments.false_alarm,
    )  # fmt: skip
    registry = Registry.open(default_place(arguments.registry), create=True)
    run(create_app(judge, registry, config.serve, token), config.serve)


def _token() -> str | None:
    """The token of the environment; never of the command line, which all users can see.

    Raises:
        ConfigError: too short to be a secret.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if token and (len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ConfigError(
            "the token cannot be used", where=TOKEN_VARIABLE,
            expected=f"at least {_LEAST_TOKEN} printable ASCII characters",
            do="make one: openssl rand -hex 32",
        )  # fmt: skip
    return token or None
