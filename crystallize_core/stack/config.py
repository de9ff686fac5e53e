"""The configuration of a project: `crystallize.toml`, or `[tool.crystallize]` of a `pyproject.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.errors import ConfigurationError, did_you_mean
from crystallize_core.stack.overrides import overrides

__all__ = ["StackConfig", "find_config", "from_environment", "parse_config"]

_LISTS: Final = ("extends", "plugins", "disable")
_KEYS: Final = (*_LISTS, "executor", "options", "profiles")


@attrs.frozen
class StackConfig:
    """What a project says about its stack.

    Attributes:
        plugins: Names of installed plugins and paths of local files, in the order of wrapping; None
            where the project does not say, which means every installed plugin.
        disable: Names that are left out.
        executor: The name of an executor, or None.
        options: Options by plugin name.
        extends: Names of stacks that distributions ship, the basis of this one.
        folder: What local paths are relative to.
        source: Where this was read, for messages; None where there is no configuration.

    """

    plugins: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    executor: str | None = None
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    extends: tuple[str, ...] = ()
    folder: Path = attrs.field(factory=Path.cwd)
    source: str | None = None


def find_config(start: Path | None = None, *, profile: str | None = None) -> StackConfig:
    """The configuration of the nearest folder that has one, from `start` (default: here) upwards.

    Args:
        start: The folder to begin with.
        profile: The profile to apply; default that of the command line, else `CRYSTALLIZE_PROFILE`.

    Raises:
        ConfigurationError: It cannot be read, or has wrong keys or types; all of them are listed.

    """
    profile = profile or overrides().profile or os.environ.get("CRYSTALLIZE_PROFILE") or None
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        own = folder / "crystallize.toml"
        if own.is_file():
            return parse_config(_read(own), str(own), folder, profile=profile)
        project = folder / "pyproject.toml"
        if project.is_file():
            tools = _read(project).get("tool")
            table = tools.get("crystallize") if isinstance(tools, Mapping) else None
            if table is not None:
                return parse_config(table, f"{project} [tool.crystallize]", folder, profile=profile)
    if profile is not None:
        message = f"profile {profile!r} was asked for, but no configuration was found from {here} upwards"
        raise ConfigurationError(message)
    return StackConfig(folder=here)


def _read(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most runs have no configuration to read

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise ConfigurationError(message) from error


def parse_config(table: Mapping[str, Any], source: str, folder: Path, *, profile: str | None = None) -> StackConfig:
    """The configuration that a table says, with a profile applied.

    Raises:
        ConfigurationError: Wrong keys or types; all of them are listed.

    """
    if not isinstance(table, Mapping):
        message = f"{source}: expected a table, found {table!r}"
        raise ConfigurationError(message)
    problems = _problems(table, "")
    profiles = table.get("profiles", {}) if isinstance(table.get("profiles", {}), Mapping) else {}
    for name, values in profiles.items():
        problems += (
            _problems(values, f"profiles.{name}.")
            if isinstance(values, Mapping)
            else [f"profiles.{name}: expected a table"]
        )
    if profile is not None and profile not in profiles:
        problems.append(
            f"there is no profile {profile!r}; {did_you_mean(profile, profiles, listing='the profiles are')}"
        )
    if problems:
        raise ConfigurationError(f"{source}:" + "".join(f"\n  {problem}" for problem in problems))
    base = _merged(table, profiles[profile]) if profile is not None else table
    plugins = base.get("plugins")
    return StackConfig(
        plugins=None if plugins is None else tuple(plugins),
        disable=tuple(base.get("disable", ())),
        executor=base.get("executor"),
        options=base.get("options", {}),
        extends=tuple(base.get("extends", ())),
        folder=folder,
        source=source if profile is None else f"{source}, profile {profile!r}",
    )


def _problems(table: Mapping[str, Any], path: str) -> list[str]:
    problems = []
    keys = _KEYS if not path else _KEYS[:-1]  # a profile has no profiles
    for key, value in table.items():
        if key not in keys:
            problems.append(f"{path}{key}: unknown key; {did_you_mean(str(key), keys, listing='the keys are')}")
        elif key in _LISTS and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            problems.append(f"{path}{key}: expected a list of str, found {value!r}")
        elif key == "executor" and not isinstance(value, str):
            problems.append(f"{path}{key}: expected a str, found {value!r}")
        elif key in ("options", "profiles") and not isinstance(value, Mapping):
            problems.append(f"{path}{key}: expected a table, found {value!r}")
        elif key == "options":
            problems += [
                f"{path}options.{name}: expected a table, found {options!r}"
                for name, options in value.items()
                if not isinstance(options, Mapping)
            ]
    return problems


def _merged(table: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile replaces lists and names, and adds to options."""
    options = {name: dict(values) for name, values in table.get("options", {}).items()}
    for name, values in profile.get("options", {}).items():
        options[name] = {**options.get(name, {}), **values}
    return {**table, **profile, "options": options}


@attrs.frozen
class Environment:
    """What the environment variables say: `CRYSTALLIZE_DISABLE`, `_AUTOLOAD` and `_STRICT`."""

    disable: tuple[str, ...] = ()
    autoload: bool = True
    strict: bool = False


def from_environment() -> Environment:
    """The environment variables of this process.

    Raises:
        ConfigurationError: One of them is neither on nor off.

    """
    disable = tuple(name.strip() for name in os.environ.get("CRYSTALLIZE_DISABLE", "").split(",") if name.strip())
    return Environment(
        disable, _switch("CRYSTALLIZE_AUTOLOAD", default=True), _switch("CRYSTALLIZE_STRICT", default=False)
    )


def _switch(variable: str, *, default: bool) -> bool:
    text = os.environ.get(variable, "").strip().lower()
    if text in ("", "1", "true", "yes", "on"):
        return default if not text else True
    if text in ("0", "false", "no", "off"):
        return False
    message = f"environment variable {variable}: expected 1 or 0, found {text!r}"
    raise ConfigurationError(message)
