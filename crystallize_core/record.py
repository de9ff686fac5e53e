"""What is known about a run: while it goes on (`RunInfo`) and afterwards (`RunRecord`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["PluginRecord", "RunInfo", "RunRecord"]


@attrs.frozen
class RunInfo:
    """One run, as its plugins and steps see it; the same in every process.

    Attributes:
        id: Unique, sorts by time.
        experiment: The name of the experiment.
        replicates: How many replicates were asked for.
        conditions: The names of the conditions, the baseline first.
        started: Seconds since 1970, UTC.
        concurrency: What replicates share: `serial`, `thread`, `async` or `process`.
        step_workers: How many steps of one cell may run side by side; more than one only under `thread` and `async`.
        trial: Whether this is `apply` or `debug`: one cell, nothing of which is to be kept.
        shared: What plugins said in `before_run` for their copies in the workers, by plugin name. Plain
            values; a worker must not change them.

    """

    id: str
    experiment: str
    replicates: int
    conditions: tuple[str, ...]
    started: float
    concurrency: str
    step_workers: int = 1
    trial: bool = False
    shared: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class PluginRecord:
    """One plugin of the stack that a run used.

    Attributes:
        name: Its name in the stack.
        distribution, version: What it was installed with; None for a local one.
        options: Its options, secrets masked.
        instance_of: The plugin that it is an instance of, where it has another name; else None.

    """

    name: str
    distribution: str | None
    version: str | None
    options: Mapping[str, Any]
    instance_of: str | None = None


@attrs.frozen
class RunRecord:
    """All that is known about a finished run besides its values.

    Attributes:
        info: What the run was while it went on.
        description: What the experiment says about itself.
        duration: Seconds.
        stack: The plugins in their order.
        stack_digest: One digest over the stack: its order, names, distributions, versions, options, and the text of
            local files. What is in the files of distributions is covered by a lock only.
        lock_digest: The digest of the lock that the stack was compared with before the run, files included; None
            where the run was not to be locked.
        executor: The name of the plugin that ran the replicates; None for the plain loop.
        core_version, python, platform: What it ran on.
        overrides: The treatments that replaced values of `initial_ctx`, with the keys.
        described: What plugins added, by plugin name, such as `{"seeding": {"seed": 7}}`.
        timings: Per condition and step: calls and seconds in all, at least and at most.
        notes: What the result should say: warnings, and plugins that were switched off.
        interrupted: Whether it ended before every replicate that was wanted had arrived: by Ctrl-C, by a failure,
            or because a stream was left.
        finished: How many replicates arrived and count.
        stopped_at: The last replicate, where a plugin had enough before all were run.

    """

    info: RunInfo
    description: str
    duration: float
    stack: tuple[PluginRecord, ...]
    stack_digest: str
    executor: str | None
    core_version: str
    python: str
    platform: str
    overrides: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    described: Mapping[str, Any] = attrs.field(factory=dict)
    timings: Mapping[str, Mapping[str, Mapping[str, float]]] = attrs.field(factory=dict)
    notes: list[Any] = attrs.field(factory=list)
    interrupted: bool = False
    finished: int = 0
    stopped_at: int | None = None
    lock_digest: str | None = None

    @property
    def id(self) -> str:
        """The id of the run."""
        return self.info.id
