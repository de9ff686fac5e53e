"""The configuration of a project: `crystallize.toml`, or `[tool.crystallize]` of a `pyproject.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from crystallize_core.errors import ConfigurationError, did_you_mean
from crystallize_core.stack.here import current_folder
from crystallize_core.stack.origins import Key, Kind, Origin, Trace
from crystallize_core.stack.overrides import overrides

__all__ = [
    "Environment",
    "StackConfig",
    "find_config",
    "from_environment",
    "look_for_config",
    "names_in",
    "parse_config",
    "switch",
]

_LISTS: Final = ("extends", "plugins", "disable", "allow")
_KEYS: Final = (*_LISTS, "executor", "options", "profiles")


@attrs.frozen
class StackConfig:
    """What a project says about its stack.

    Attributes:
        plugins: Names of installed plugins and paths of local files, in the order of wrapping; None
            where the project does not say, which means every installed plugin. `NAME as OTHER` is one more
            instance of a plugin.
        disable: Names that are left out.
        executor: The name of an executor, or None.
        options: Options by plugin name.
        extends: Names of stacks that distributions ship, the basis of this one.
        allow: The distributions that may be used; None where all may.
        folder: What local paths are relative to.
        source: Where this was read, for messages; None where there is no configuration.
        trace: Who said what.

    """

    plugins: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    executor: str | None = None
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)
    extends: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    folder: Path = attrs.field(factory=Path.cwd)
    source: str | None = None
    trace: Trace = attrs.field(factory=Trace, eq=False, repr=False)


def find_config(start: Path | None = None, *, profile: str | None = None) -> StackConfig:
    """The configuration of the nearest folder that has one, from `start` (default: here) upwards.

    Args:
        start: The folder to begin with.
        profile: The profile to apply; default that of the command line, else `CRYSTALLIZE_PROFILE`.

    Raises:
        ConfigurationError: It cannot be read, or has wrong keys or types; all of them are listed.

    """
    config, problems = look_for_config(start, profile=profile)
    _refuse(config.source or "the stack", problems)
    return config


def look_for_config(start: Path | None = None, *, profile: str | None = None) -> tuple[StackConfig, list[str]]:
    """The same, where what is wrong with it is told together with what else is wrong.

    Returns:
        What can be used of it, and what is wrong with the rest.

    Raises:
        ConfigurationError: It cannot be read at all.

    """
    chosen = _chosen_profile(profile)
    here = (start or current_folder()).resolve()
    for folder in (here, *here.parents):
        own = folder / "crystallize.toml"
        if own.is_file():
            return _Table(str(own), folder, own).read(_read(own), chosen)
        project = folder / "pyproject.toml"
        if project.is_file():
            tools = _read(project).get("tool")
            table = tools.get("crystallize") if isinstance(tools, Mapping) else None
            if table is not None:
                source = f"{project} [tool.crystallize]"
                return _Table(source, folder, project, ("tool", "crystallize")).read(table, chosen)
    if chosen is not None:
        message = f"profile {chosen[0]!r} was asked for, but no configuration was found from {here} upwards"
        raise ConfigurationError(message)
    return StackConfig(folder=here), []


def _chosen_profile(profile: str | None) -> tuple[str, Origin] | None:
    if profile:
        return profile, Origin("argument", "profile= in Python")
    if said := overrides().profile:
        return said, Origin("command line", "--profile")
    if said := os.environ.get("CRYSTALLIZE_PROFILE"):
        return said, Origin("environment", "environment variable CRYSTALLIZE_PROFILE")
    return None


def _read(path: Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - most runs have no configuration to read

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path} cannot be read: {error}"
        raise ConfigurationError(message) from error


def parse_config(table: Mapping[str, Any], source: str, folder: Path) -> StackConfig:
    """The configuration that the table of a shipped stack says.

    Raises:
        ConfigurationError: Wrong keys or types; all of them are listed.

    """
    config, problems = _Table(source, folder).read(table, None)
    if config.allow is not None:
        problems.append("allow: only a project says which distributions it allows")
    _refuse(source, problems)
    return config


def _refuse(source: str, problems: list[str]) -> None:
    if problems:
        raise ConfigurationError(f"{source}:" + "".join(f"\n  {problem}" for problem in problems))


@attrs.frozen
class _Table:
    """A table on its way to a configuration: where it was read.

    Attributes:
        source: Where it was read, for messages.
        folder: What local paths are relative to.
        file: The file, where it is one; else a distribution ships it.
        root: The table of the file.

    """

    source: str
    folder: Path
    file: Path | None = None
    root: Key = ()

    def read(self, table: Any, profile: tuple[str, Origin] | None) -> tuple[StackConfig, list[str]]:
        """What can be used of it with the profile applied, and what is wrong with the rest."""
        if not isinstance(table, Mapping):
            message = f"{self.source}: expected a table, found {table!r}"
            raise ConfigurationError(message)
        problems, base = _checked(table, "")
        profiles = table.get("profiles", {}) if isinstance(table.get("profiles", {}), Mapping) else {}
        usable = {}
        for name, values in profiles.items():
            if isinstance(values, Mapping):
                found, usable[name] = _checked(values, f"profiles.{name}.")
                problems += found
            else:
                problems.append(f"profiles.{name}: expected a table")
        if profile is not None and profile[0] not in profiles:
            hint = did_you_mean(profile[0], profiles, listing="the profiles are")
            problems.append(f"there is no profile {profile[0]!r}; {hint}")
        return self._config(base, usable, profile), problems

    def _config(
        self, base: Mapping[str, Any], profiles: Mapping[str, Any], profile: tuple[str, Origin] | None
    ) -> StackConfig:
        trace = Trace()
        self._trace(trace, base, "stack" if self.file is None else "file", ())
        source = self.source
        if profile is not None and profile[0] in profiles:
            name = profile[0]
            source = f"{source}, profile {name!r}"
            trace.replace(("profile",), *profile)
            self._trace(trace, profiles[name], "profile", ("profiles", name))
            base = _merged(base, profiles[name])
        return StackConfig(
            plugins=None if base.get("plugins") is None else tuple(base["plugins"]),
            disable=tuple(base.get("disable", ())),
            executor=base.get("executor"),
            options=base.get("options", {}),
            extends=tuple(base.get("extends", ())),
            allow=None if base.get("allow") is None else tuple(base["allow"]),
            folder=self.folder,
            source=source,
            trace=trace,
        )

    def _trace(self, trace: Trace, table: Mapping[str, Any], kind: Kind, path: Key) -> None:
        for key, value in table.items():
            if key != "options":
                trace.replace((key,), value, Origin(kind, self.source, (*path, key), self.file, self.root))
        for plugin, options in table.get("options", {}).items():
            for option, value in options.items():
                place = ("options", plugin, option)
                trace.replace(place, value, Origin(kind, self.source, (*path, *place), self.file, self.root))


def _checked(table: Mapping[str, Any], path: str) -> tuple[list[str], dict[str, Any]]:
    """What is wrong with a table or a profile of it, and the rest of it."""
    problems = []
    usable: dict[str, Any] = {}
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
            usable[key] = {name: options for name, options in value.items() if isinstance(options, Mapping)}
            problems += [
                f"{path}options.{name}: expected a table, found {options!r}"
                for name, options in value.items()
                if name not in usable[key]
            ]
        elif key != "profiles":
            usable[key] = value
    return problems, usable


def _merged(table: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """A profile replaces lists and names, and adds to options."""
    options = {name: dict(values) for name, values in table.get("options", {}).items()}
    for name, values in profile.get("options", {}).items():
        options[name] = {**options.get(name, {}), **values}
    return {**table, **profile, "options": options}


@attrs.frozen
class Environment:
    """What the environment variables say.

    Attributes:
        disable: `CRYSTALLIZE_DISABLE`: names that are left out, too.
        autoload: `CRYSTALLIZE_AUTOLOAD`: whether anything but what was passed in Python counts.
        strict: `CRYSTALLIZE_STRICT`: whether an installed plugin that is broken is an error.
        locked: `CRYSTALLIZE_LOCKED`: whether anything but the locked stack is an error.
        plugins, executor, allow: `CRYSTALLIZE_PLUGINS`, `_EXECUTOR` and `_ALLOW`: instead of what the project says.
        options: The variables `CRYSTALLIZE_<PLUGIN>__<OPTION>`, by their names.

    """

    disable: tuple[str, ...] = ()
    autoload: bool = True
    strict: bool = False
    locked: bool = False
    plugins: tuple[str, ...] | None = None
    executor: str | None = None
    allow: tuple[str, ...] | None = None
    options: Mapping[str, str] = attrs.field(factory=dict, repr=False)  # some may be secret


def from_environment() -> Environment:
    """The environment variables of this process.

    Raises:
        ConfigurationError: One of them is neither on nor off.

    """
    variables = {name: text for name, text in os.environ.items() if name.startswith("CRYSTALLIZE_")}
    return Environment(
        disable=names_in(variables.get("CRYSTALLIZE_DISABLE", "")),
        autoload=switch("CRYSTALLIZE_AUTOLOAD", default=True),
        strict=switch("CRYSTALLIZE_STRICT", default=False),
        locked=switch("CRYSTALLIZE_LOCKED", default=False),
        plugins=names_in(variables.get("CRYSTALLIZE_PLUGINS", "")) or None,
        executor=variables.get("CRYSTALLIZE_EXECUTOR", "").strip() or None,
        allow=names_in(variables.get("CRYSTALLIZE_ALLOW", "")) or None,
        options={name: text for name, text in sorted(variables.items()) if "__" in name},
    )


def names_in(text: str) -> tuple[str, ...]:
    """The names in a text that separates them by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def switch(variable: str, *, default: bool) -> bool:
    """Whether an environment variable is on.

    Raises:
        ConfigurationError: It is neither on nor off.

    """
    text = os.environ.get(variable, "").strip().lower()
    if text in ("", "1", "true", "yes", "on"):
        return default if not text else True
    if text in ("0", "false", "no", "off"):
        return False
    message = f"environment variable {variable}: expected 1 or 0, found {text!r}"
    raise ConfigurationError(message)
