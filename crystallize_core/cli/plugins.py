"""`crystallize plugins`: what is installed, and what of it is active here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.plugins_check import ablate, check
from crystallize_core.cli.plugins_new import new
from crystallize_core.cli.see import doctor, explain, profile, show
from crystallize_core.cli.stack_options import stack_options

if TYPE_CHECKING:
    from crystallize_core.cli.catalog import Catalog, Entry

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """Look at the plugins that are installed, check them, and write new ones."""


plugins.add_command(ablate)
plugins.add_command(check)
plugins.add_command(new)


@plugins.command("list")
@stack_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_plugins(*, as_json: bool) -> None:
    """List every installed plugin and executor, and those in local files, and say which are active here.

    Only what the stack names is imported. Works where plugins or the configuration are broken, and says what is wrong
    with them. The active ones come first,
    in the order of the stack.
    """
    from crystallize_core.cli.catalog import catalog  # noqa: PLC0415 - not for --help
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - as above

    with own_output():  # plugins may print while they are imported
        found = catalog()
    say(json.dumps(_as_json(found), indent=2) if as_json else _as_text(found))


for command in (show, explain, doctor, profile):
    plugins.add_command(command)


def _as_json(found: Catalog) -> dict[str, Any]:
    import attrs  # noqa: PLC0415 - not for --help

    entries = [attrs.asdict(entry) | {"active": entry.active} for entry in found.plugins]
    return {"configuration": found.configuration, "error": found.error, "plugins": entries}


def _as_text(found: Catalog) -> str:
    from crystallize_core.result_text import table  # noqa: PLC0415 - not for --help

    header = ("name", "kind", "distribution", "version", "status", "hooks")
    rows = [_row(entry) for entry in found.plugins]
    parts = [
        table(header, rows, words=True) if rows else ["no plugins are installed"],
        [f"{entry.name}: {entry.reason}" for entry in found.plugins if entry.reason],
        [f"configuration: {found.configuration or 'none, every installed plugin is active'}"],
        [f"error: {found.error}"] if found.error else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _row(entry: Entry) -> tuple[str, ...]:
    owner = entry.distribution or entry.origin
    name = entry.name if entry.name.isprintable() and entry.name else repr(entry.name)
    name = name if entry.instance_of is None else f"{name} ({entry.instance_of})"
    return name, entry.kind, owner, entry.version or "-", entry.status, ", ".join(entry.hooks) or "-"
