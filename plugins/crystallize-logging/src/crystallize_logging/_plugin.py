"""`LoggingPlugin`: what is said of a run, and the logger of each step."""

# ruff: noqa: ARG002 - overridden hooks have the arguments of the specification, also those that they do not need

from __future__ import annotations

import importlib
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from weakref import WeakKeyDictionary

import attrs

from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY
from crystallize_core.errors import describe, did_you_mean
from crystallize_core.plugin import BasePlugin
from crystallize_logging._logger import LEVELS, ContextLogger

if TYPE_CHECKING:
    from crystallize_core.context import FrozenContext
    from crystallize_core.outcome import ReplicateOutcome
    from crystallize_logging._output import Output  # noqa: TC004 - loads structlog; attrs does not need the type

__all__ = ["LoggingPlugin"]

_NAME: Final = "logging"
_OUTPUT: Final = "crystallize_logging._output"
_FAILURES_SHOWN: Final = 10


def _as_level(value: str) -> str:
    return value.upper() if isinstance(value, str) else value  # anything else is refused by the validator


def _check_level(_: object, __: attrs.Attribute[Any], value: object) -> None:
    if value not in LEVELS:
        hint = did_you_mean(str(value), LEVELS)
        message = f"log_level must be one of {', '.join(LEVELS)}, found {value!r}; {hint}"
        raise ValueError(message)


def _as_path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


@attrs.define(eq=False)
class _Run:
    """What the coordinator remembers of a run: its loggers, and how many cells failed."""

    logger: ContextLogger
    output: Callable[[], Output]
    failed: int = 0


_going_on: Final[WeakKeyDictionary[Any, dict[str, _Run]]] = WeakKeyDictionary()
"""By the experiment as a run sees it, which is the run's own, so that two runs are kept apart; by instance."""


@attrs.frozen(eq=False, slots=False)
class LoggingPlugin(BasePlugin):
    """Say when a run starts and ends and what failed, and give steps a logger, `ctx.logger`, that knows where it is.

    Lines go to standard error. They are for people, or one JSON object each. Nothing global is configured:
    neither structlog nor the loggers of the standard library.

    Args:
        verbose: Whether to say as well when each step has finished and which attempts failed.
        log_level: The lowest level that is written: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        format: `console` for people, `json` for one object per line.
        file: A file to which every line is appended as JSON, whatever `format` is.

    """

    plugin_name: ClassVar[str | None] = _NAME
    essential: ClassVar[bool] = False

    verbose: bool = attrs.field(
        default=False,
        validator=attrs.validators.instance_of(bool),
        metadata={"help": "say as well when each step has finished and which attempts failed"},
    )
    log_level: str = attrs.field(
        default="INFO",
        converter=_as_level,
        validator=_check_level,
        metadata={"help": "the lowest level that is written: DEBUG, INFO, WARNING, ERROR or CRITICAL"},
    )
    format: Literal["console", "json"] = attrs.field(
        default="console",
        kw_only=True,
        validator=attrs.validators.in_(("console", "json")),
        metadata={"help": "console for people, json for one object per line"},
    )
    file: Path | None = attrs.field(
        default=None,
        kw_only=True,
        converter=_as_path,
        metadata={"help": "a file to which every line is appended as JSON"},
    )

    def __attrs_post_init__(self) -> None:
        if not self.verbose:
            # What is not there is not called: only who watches steps pays for it at every step.
            vars(self).update(dict.fromkeys(("before_step", "after_step")))

    @classmethod
    def autoload(cls) -> LoggingPlugin:
        """Speaks up for warnings and failures only, where nobody asked for logging."""
        return cls(log_level="WARNING")

    # In the coordinator -------------------------------------------------------------------------

    def before_run(self, experiment: Any, run: Any) -> None:
        """Say what starts."""
        path = None if self.file is None else os.path.abspath(self.file)  # noqa: PTH100 - `resolve` follows links
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        run.shared[self._own] = {"file": path}
        output = partial(_output, self.format, path)
        logger = ContextLogger(output, LEVELS[self.log_level], {"experiment": run.experiment, "run": run.id})
        _going_on.setdefault(experiment, {})[self._own] = _Run(logger, output)
        seeds = [said["seed"] for said in run.shared.values() if isinstance(said, Mapping) and "seed" in said]
        logger.info(
            "run started",
            replicates=run.replicates,
            treatments=list(run.conditions[1:]),
            hypotheses=[hypothesis.name for hypothesis in experiment.hypotheses],
            **{"seed": seeds[0]} if seeds else {},
        )

    def replicate_done(self, experiment: Any, replicate: int, outcome: ReplicateOutcome) -> None:
        """Say which cells failed; after ten of them only how many."""
        run = _going_on.get(experiment, {}).get(self._own)
        if run is None or not outcome.failed:
            return
        for cell in outcome.cells:
            if cell.error is None:
                continue
            run.failed += 1
            if run.failed <= _FAILURES_SHOWN:
                step = cell.error.address.get("step")
                where = {"replicate": cell.replicate, "condition": cell.condition} | ({"step": step} if step else {})
                logger = ContextLogger(run.output, LEVELS[self.log_level], {**run.logger.values, **where})
                logger.error("cell failed", error=describe(cell.error.__cause__ or cell.error))
            elif run.failed == _FAILURES_SHOWN + 1:
                run.logger.error("more cells failed; they are counted and no longer named")

    def after_run(self, experiment: Any, result: Any) -> None:
        """Say how it ended."""
        run = _going_on.get(experiment, {}).pop(self._own, None)
        if run is None:
            return
        write = run.logger.warning if result.errors or result.run.interrupted else run.logger.info
        write(
            "run interrupted" if result.run.interrupted else "run finished",
            seconds=round(result.run.duration, 3),
            errors=len(result.errors),
            best={h.name: h.ranking["best"] for h in result.metrics.hypotheses if h.ranking.get("best") is not None},
        )
        # Whoever has written nothing has no structlog loaded, and has lost nothing.
        problem = run.output().take_problem() if _OUTPUT in sys.modules else None
        if problem is not None:
            result.add_warning(f"log lines were lost: {problem}", plugin=self._own)

    # In the workers -----------------------------------------------------------------------------

    def before_replicate(self, experiment: Any, ctx: FrozenContext) -> None:
        """Give the steps of the cell their logger."""
        # The core reads this code to learn which keys it adds; it can while `ctx` is only asked for attributes.
        first, *others = _instances(experiment)
        if first is self:  # there is one `ctx.logger`, which writes for all instances
            logger = partial(self._logger, others, ctx.run, ctx.get(REPLICATE_KEY), ctx.get(CONDITION_KEY))
            ctx.provide("logger", logger, tracked=False)

    def _logger(
        self, others: Sequence[LoggingPlugin], run: Any, replicate: int, condition: str, ctx: FrozenContext
    ) -> ContextLogger:
        """The logger of one attempt of a step, or of what runs outside the steps."""
        also = tuple(other._logger((), run, replicate, condition, ctx) for other in others)  # noqa: SLF001 - of our kind
        values: dict[str, Any] = {} if run is None else {"experiment": run.experiment, "run": run.id}
        values |= {"replicate": replicate, "condition": condition}
        if ctx.step_name is not None:
            values |= {"step": ctx.step_name, "attempt": ctx.attempt}
        path = None if run is None else run.shared.get(self._own, {}).get("file")
        return ContextLogger(partial(_output, self.format, path), LEVELS[self.log_level], values, also)

    @property
    def _own(self) -> str:
        """The name of this instance."""
        return self.plugin_name or _NAME

    def before_step(self, experiment: Any, step: Any, ctx: FrozenContext) -> None:
        """Look at the clock."""
        # `ctx` is only asked for attributes, for the reason given in `before_replicate`.
        logger = ctx.logger
        if isinstance(logger, ContextLogger):
            logger.started = perf_counter()

    def after_step(self, experiment: Any, step: Any, data: Any, ctx: FrozenContext) -> None:
        """Say that the step has finished."""
        logger = ctx.logger
        if not isinstance(logger, ContextLogger):
            return  # a pipeline that runs on its own has no logger of ours
        mine = logger if not logger.also else logger.of(_instances(experiment).index(self))
        if logger.started is None:
            mine.info("step answered without running")  # by the cache, or by a policy
        else:
            mine.info("step finished", seconds=round(perf_counter() - logger.started, 6))

    def step_failed(self, experiment: Any, step: Any, ctx: FrozenContext, error: BaseException, attempt: int) -> None:
        """Say which attempt failed; a failed cell is told of in any case."""
        logger = ctx.logger
        if self.verbose and isinstance(logger, ContextLogger):
            mine = logger if not logger.also else logger.of(_instances(experiment).index(self))
            mine.warning("attempt failed", error=describe(error))


def _instances(experiment: Any) -> list[LoggingPlugin]:
    """All instances of this plugin in the stack, in its order."""
    return [plugin for plugin in experiment.plugins if isinstance(plugin, LoggingPlugin)]


def _output(style: str, path: str | None) -> Output:
    if _OUTPUT not in sys.modules:
        _load_output()
    from crystallize_logging._output import output_to  # noqa: PLC0415 - loads structlog, so only to write a line

    return output_to(style, path)


def _load_output() -> None:
    """Load structlog, and with it rich, whose import draws from the generator that scripts may have seeded."""
    state = random.getstate()
    try:
        importlib.import_module(_OUTPUT)
    finally:
        random.setstate(state)
