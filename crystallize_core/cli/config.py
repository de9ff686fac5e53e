"""`crystallize config`: every value that counts here, and where it came from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from crystallize_core.cli.stack_options import stack_options

if TYPE_CHECKING:
    from crystallize_core.stack.report import Setting, Source, StackReport

__all__ = ["config"]


@click.group()
def config() -> None:
    """Look at what the project, the environment and the command line say together."""


@config.command()
@click.argument("target", required=False)
@stack_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(*, target: str | None, as_json: bool) -> None:
    """Show every value that counts, and where it came from: of an experiment that is made here, or of TARGET.

    TARGET is an experiment or a pipeline, as for `crystallize run`. Without one it works where plugins or the
    configuration are broken, and says what is wrong with them.
    """
    from crystallize_core.cli.output import own_output, say  # noqa: PLC0415 - not for --help

    with own_output():  # plugins may print while they are imported
        found = _here() if target is None else _of(target)
    say(json.dumps(_as_json(found), indent=2, default=str) if as_json else _as_text(found))


def _here() -> StackReport:
    from crystallize_core.errors import CrystallizeError  # noqa: PLC0415 - not for --help
    from crystallize_core.stack.config import StackConfig  # noqa: PLC0415 - as above
    from crystallize_core.stack.report import report  # noqa: PLC0415 - as above
    from crystallize_core.stack.resolve import survey  # noqa: PLC0415 - as above

    try:
        found = survey()
    except CrystallizeError as error:  # nothing of it can be read
        return report(StackConfig(plugins=()), (), (), [str(error)])
    return report(found.config, found.plugins, found.skipped, found.problems, found.idle)


def _of(target: str) -> StackReport:
    from crystallize_core.cli.target import find_target  # noqa: PLC0415 - not for --help
    from crystallize_core.experiment import Experiment  # noqa: PLC0415 - as above
    from crystallize_core.stack.report import report  # noqa: PLC0415 - as above
    from crystallize_core.stack.resolve import resolve  # noqa: PLC0415 - as above

    found = find_target(target)
    stack = found.stack if isinstance(found, Experiment) else resolve()
    assert stack.config is not None  # only in workers
    return report(stack.config, stack.plugins, stack.skipped)


# As JSON ----------------------------------------------------------------------------------------------


def _as_json(found: StackReport) -> dict[str, Any]:
    import attrs  # noqa: PLC0415 - not for --help

    return {
        "configuration": found.configuration,
        "problems": list(found.problems),
        "settings": [_setting(setting) for setting in found.settings],
        "plugins": [
            attrs.asdict(plugin, recurse=False) | {"options": [_setting(option) for option in plugin.options]}
            for plugin in found.plugins
        ],
        "unused": [_setting(setting) for setting in found.unused],
        "skipped": [
            {"name": s.name, "distribution": s.distribution, "reason": s.reason, "broken": s.error is not None}
            for s in found.skipped
        ],
        "idle": list(found.idle),
    }


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "name": setting.name,
        "value": setting.value,
        "from": [{"kind": s.kind, "source": s.text, "line": s.line} for s in setting.sources],
        "overridden": [
            {"value": s.value, "kind": s.kind, "source": s.text, "line": s.line} for s in setting.overridden
        ],
    }


# As text ----------------------------------------------------------------------------------------------


def _as_text(found: StackReport) -> str:
    from crystallize_core.result_text import table  # noqa: PLC0415 - not for --help

    rows = [_row(setting) for setting in found.settings]
    for plugin in found.plugins:
        owner = f"{plugin.distribution} {plugin.version}" if plugin.distribution else plugin.origin
        kind = "" if plugin.instance_of is None else f"instance of {plugin.instance_of}, "
        rows += [(f"[{plugin.name}]", "", kind + owner), *map(_row, plugin.options)]
    parts = [
        [f"configuration: {found.configuration or 'none'}"],
        table(("setting", "value", "from"), rows, words=True),
        _listed("not in effect:", [_line(s) for s in found.unused]),
        _listed("left out:", [f"{s.name}: {s.reason}" for s in found.skipped if s.error is None]),
        _listed("broken:", [f"{s.name}: {s.reason}" for s in found.skipped if s.error is not None]),
        _listed("warnings:", list(found.idle)),
        _listed("an experiment that is made here is refused:", list(found.problems)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _listed(title: str, lines: list[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines)] if lines else []


def _row(setting: Setting) -> tuple[str, str, str]:
    return setting.name, _text(setting.value), _from(setting)


def _line(setting: Setting) -> str:
    return f"{setting.name} = {_text(setting.value)}  ({_from(setting)})"


def _from(setting: Setting) -> str:
    text = " and ".join(dict.fromkeys(map(str, setting.sources)))
    lost = "; ".join(map(_instead, setting.overridden))
    return f"{text} (instead of {lost})" if lost else text


def _instead(source: Source) -> str:
    return f"{_text(source.value)}: {source}"


def _text(value: Any) -> str:
    return "-" if value is None else json.dumps(value, default=str, ensure_ascii=False)
