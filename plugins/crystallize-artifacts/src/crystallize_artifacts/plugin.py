"""The plugin: which hook does what, in which process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from crystallize_artifacts.finish import Retention, finish
from crystallize_artifacts.staging import Staging
from crystallize_artifacts.storing import POLICIES, Policy, store
from crystallize_artifacts.versions import owner, recover
from crystallize_core import CONDITION_KEY, REPLICATE_KEY, ArtifactError, Asset, BasePlugin, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ArtifactPlugin"]

RETENTION_VARIABLE: Final = "CRYSTALLIZE_ARTIFACT_RETENTION"
THRESHOLD_VARIABLE: Final = "CRYSTALLIZE_BIG_FILE_THRESHOLD_MB"
_NAME: Final = "artifacts"


class _Default(int):
    """A number that nobody asked for: equal to what a user could have written, and yet told from it.

    Files are deleted only for a user who set a retention option, be it to the value of its default.
    """

    __slots__ = ()


def _at_least(least: int) -> Any:
    def check(_: object, field: attrs.Attribute[int], value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            text = f"{field.name} must be a whole number of at least {least}, found {value!r}"
            raise ValueError(text)

    return check


@attrs.define(eq=False)
class ArtifactPlugin(BasePlugin):
    """Store the artifacts of steps as files, the moment their step has succeeded.

    The layout is `root_dir/experiment/vN/replicate_R/condition/step/name`. A run becomes visible there as
    a whole when it has finished; until then it is in a folder of its own, and an earlier run stays as it was.

    Raises:
        ValueError: An option is out of its range.

    """

    plugin_name: ClassVar[str | None] = _NAME
    after: ClassVar[tuple[str, ...]] = ("*",)  # after_run unwinds: files are in place before others look at them

    root_dir: str = attrs.field(
        default="./data",
        converter=os.fspath,
        validator=attrs.validators.instance_of(str),
        metadata={"help": "the folder of all experiments; made when it is needed"},
    )
    versioned: bool = attrs.field(
        default=False,
        validator=attrs.validators.instance_of(bool),
        metadata={"help": "keep every run as v0, v1, …; otherwise a finished run replaces v0"},
    )
    artifact_retention: int = attrs.field(
        default=_Default(3),
        validator=_at_least(1),
        metadata={"help": "how many of the newest versions keep their big files, once this or the threshold is set"},
    )
    big_file_threshold_mb: int = attrs.field(
        default=_Default(10),
        validator=_at_least(0),
        metadata={"help": "files of more than this many MB (1024 * 1024 bytes) are big"},
    )
    on_unstorable: Policy = attrs.field(
        default="fail",
        validator=attrs.validators.in_(POLICIES),
        metadata={
            "help": "an asset whose data has no form to be stored in: fail the cell, warn in the result, or ignore"
        },
    )
    _retention: Retention | None = attrs.field(default=None, init=False, repr=False)
    _wrong_variables: tuple[str, ...] = attrs.field(default=(), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        keep, keep_set, keep_wrong = _effective(self.artifact_retention, RETENTION_VARIABLE, 1)
        limit, limit_set, limit_wrong = _effective(self.big_file_threshold_mb, THRESHOLD_VARIABLE, 0)
        self.artifact_retention, self.big_file_threshold_mb = keep, limit
        self._wrong_variables = keep_wrong + limit_wrong
        if keep_set or limit_set:
            self._retention = Retention(keep, limit)

    def before_run(self, experiment: Any, run: Any) -> None:  # noqa: ARG002 - the contract's signature
        """Decide where the run writes, and tell the workers; nothing is made yet.

        Raises:
            ConfigurationError: An environment variable holds something else than a number.

        """
        if self._wrong_variables:  # not in the constructor, where it would only keep the plugin from being loaded
            raise ConfigurationError("; ".join(self._wrong_variables), plugin=_NAME)
        if getattr(run, "trial", False):  # `apply` and `debug` are for looking: their artifacts stay in memory
            return
        staging = Staging.plan(self.root_dir, run, versioned=self.versioned, owner=owner())
        try:
            notes = recover(staging.experiment)
        except OSError:  # a read-only disk, say: whoever reads does not depend on it
            notes = []
        run.shared[_NAME] = {**staging.to_shared(), "notes": notes}

    def store_asset(self, experiment: Any, asset: Asset, ctx: Any) -> str | None:  # noqa: ARG002 - as above
        """Write an asset as artifacts of its step, which are stored like any other once it has succeeded.

        Returns:
            The name of the artifact with the data; None where `on_unstorable` allows that there is none.

        Raises:
            ArtifactError: Its data cannot be stored, or its name cannot be that of an artifact or is taken.

        """
        return store(asset, ctx, self.on_unstorable)

    def after_step(self, experiment: Any, step: Any, data: Any, ctx: Any) -> None:  # noqa: ARG002 - as above
        """Store what the step wrote; it is on the disk when this returns.

        Raises:
            ArtifactError: A file could not be stored; none of it remains.

        """
        _store(ctx, ctx.artifacts)

    def after_replicate(self, experiment: Any, ctx: Any, outcome: Any) -> None:  # noqa: ARG002 - as above
        """Store what was written outside of steps, by a datasource or another plugin.

        Raises:
            ArtifactError: As in `after_step`.

        """
        _store(ctx, outcome.artifacts)

    def after_run(self, experiment: Any, result: Any) -> None:  # noqa: ARG002 - as above
        """Put the run into place, and say in the result what a person should know."""
        shared = result.run.info.shared.get(_NAME)
        if shared is None:  # our before_run failed, and nothing was stored
            return
        retention = self._retention if self.versioned else None
        for text in shared["notes"] + finish(Staging.of(shared), result, retention):
            result.add_warning(text, plugin=_NAME)


def _store(ctx: Any, artifacts: Iterable[Any]) -> None:
    pending = [record for record in artifacts if record.data is not None]
    if not pending or ctx.run is None or _NAME not in ctx.run.shared:
        return  # nothing to do, or a pipeline that runs on its own: the bytes stay in memory
    staging = Staging.of(ctx.run.shared[_NAME])
    replicate, condition = ctx[REPLICATE_KEY], ctx[CONDITION_KEY]
    for record in pending:
        parts = staging.parts(replicate, condition, record.step, record.name)
        try:
            path = staging.write(parts, record.data)
        except (OSError, ValueError) as error:  # ValueError: a name that this file system cannot spell
            address = {"replicate": replicate, "condition": condition, "step": record.step}
            raise _not_stored(record, staging.path(parts), error, address) from error
        record.stored_at(str(path))


def _effective(value: int, variable: str, least: int) -> tuple[int, bool, tuple[str, ...]]:
    """The value in effect, whether a user set it, and what is wrong with the environment variable."""
    if not isinstance(value, _Default):
        return value, True, ()
    text = os.environ.get(variable)
    if text is None:
        return int(value), False, ()
    if text.strip().isdecimal() and int(text) >= least:
        return int(text), True, ()
    wrong = f"the environment variable {variable} must be a whole number of at least {least}, found {text!r}"
    return int(value), False, (wrong,)


def _not_stored(record: Any, path: os.PathLike[str], error: Exception, address: dict[str, Any]) -> ArtifactError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    message = f"artifact {record.name!r} ({record.size} bytes) could not be stored in {os.fspath(path)!r}: {reason}"
    return ArtifactError(message, **address, artifact=record.name, path=os.fspath(path))
