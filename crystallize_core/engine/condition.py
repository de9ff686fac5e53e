"""One condition of an experiment, with all that does not depend on the replicate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from crystallize_core.additions import keys_added_by
from crystallize_core.context import CONDITION_KEY, REPLICATE_KEY, FrozenContext
from crystallize_core.datasource import DataSource, ExperimentInput, FunctionSource
from crystallize_core.errors import DefinitionError
from crystallize_core.state import ALL_KEYS
from crystallize_core.treatment import Treatment

__all__ = ["Condition", "known_keys"]


@attrs.frozen
class Condition:
    """One condition with all that does not depend on the replicate.

    Attributes:
        name: Its name.
        values: What the context starts with: `initial_ctx` and a treatment that is a mapping.
        treatment: A treatment that is a function, still to be applied per cell; None otherwise.
        datasource: Where the data comes from.
        overridden: The keys of `initial_ctx` that the treatment replaces.
        fetch: What gives the data: the function itself where the datasource is nothing but a function of `ctx`.

    """

    name: str
    values: Mapping[str, Any]
    treatment: Treatment | None
    datasource: DataSource
    overridden: tuple[str, ...] = ()
    fetch: Callable[[Any], Any] = attrs.field(init=False, repr=False)

    @fetch.default
    def _fetch(self) -> Callable[[Any], Any]:
        return self.datasource.direct if isinstance(self.datasource, FunctionSource) else self.datasource.fetch

    @classmethod
    def of(
        cls, name: str, initial: Mapping[str, Any], treatment: Treatment | None, datasource: DataSource
    ) -> Condition:
        """Put a treatment on top of the first values.

        Raises:
            DefinitionError: A mapping meets a key that is there and does not say that it overrides.

        """
        ctx = FrozenContext(initial)
        values = ctx._state.values  # noqa: SLF001 - the engine is who looks behind the view
        if treatment is None:
            return cls(name, values, None, datasource)
        source = treatment.datasource or datasource
        if not isinstance(treatment.change, Mapping):
            return cls(name, values, treatment, source)
        overridden = tuple(key for key in treatment.change if key in values)
        if overridden and not treatment.override:
            named = ", ".join(map(repr, overridden))
            message = (
                f"treatment {name!r} sets {named}, which initial_ctx has already; to change a baseline value on "
                f"purpose write Treatment({name!r}, {{...}}, override=True), or a function that calls ctx.override"
            )
            raise DefinitionError(message, condition=name)
        ctx._state.overridable = True  # noqa: SLF001 - as above
        treatment.apply(ctx)
        return cls(name, values, None, source, overridden)


def known_keys(condition: Condition, hooks: Sequence[Any]) -> frozenset[str]:
    """The keys that are there before the first step; `ALL_KEYS` among them where others may be there too."""
    known: frozenset[str] = frozenset(condition.values) | {REPLICATE_KEY, CONDITION_KEY}
    sources = [*hooks, *_functions_of(condition.datasource)]
    if condition.treatment is not None:
        sources.append(condition.treatment.change)
    for source in sources:
        added = keys_added_by(source)
        known |= {ALL_KEYS} if added is None else added
    return known


def _functions_of(source: DataSource) -> list[Any]:
    """What a datasource calls with the context: its own code says what it adds, not that of our wrappers."""
    if isinstance(source, ExperimentInput):
        return [function for inner in source.inputs.values() for function in _functions_of(inner)]
    return [source.function if isinstance(source, FunctionSource) else source.fetch]
