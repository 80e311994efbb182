"""What both processes do alike: arguments, settings, logs, then serve."""

import argparse
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from kit import logs, serving, settings

_Settings = TypeVar("_Settings", bound=settings.Settings)


def run(
    name: str,
    description: str | None,
    settings_type: type[_Settings],
    serve: Callable[[_Settings], Coroutine[Any, Any, None]],
    options: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Load the settings and serve with them, or with `--check` only print them.

    `options` are settings that may be given on the command line, by their flags.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m deploy.servers.{name}", description=description
    )
    parser.add_argument(
        "--check", action="store_true", help="print the effective settings and exit"
    )
    for flag, setting in options.items():
        description = settings_type.model_fields[setting].description
        parser.add_argument(flag, dest=setting, metavar="N", help=description)
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in options.values()}
    try:
        loaded = settings_type.load(**{name: text for name, text in given.items() if text})
        if arguments.check:
            sys.stdout.write(json.dumps(loaded.effective(), indent=2) + "\n")
            return
        logs.configure(loaded.log_level, server=name)
        serving.run(serve(loaded))
    except settings.BadSettings as bad:
        sys.exit(str(bad))
