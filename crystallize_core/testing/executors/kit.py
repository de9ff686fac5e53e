"""What the checks have in common: the attributes that a subclass may set, and the ways to run an experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import attrs
import pytest

from crystallize_core.experiment import Experiment
from crystallize_core.hypothesis import Hypothesis
from crystallize_core.result import Result
from crystallize_core.testing.executors import steps
from crystallize_core.testing.executors.plugins import Hears, Places
from crystallize_core.treatment import Treatment

__all__ = ["TREATMENTS", "Kit", "Recorded"]

T = TypeVar("T")

TREATMENTS = (Treatment("double", {"factor": 2}), Treatment("ten", {"factor": 10}))


@attrs.frozen
class Recorded:
    """One experiment under the plain loop and under the executor, with what plugins heard of it."""

    plain: Result
    found: Result
    heard_plain: Hears
    heard: Hears


class Kit:
    """The base of all checks: what a subclass gives, and how experiments are made and run.

    The attributes are those of `ExecutorConformance`, which describes them.
    """

    __test__: ClassVar[bool] = False  # the classes of the kit have no executor; what is derived from them elsewhere has

    workers: ClassVar[Sequence[int]] = (1, 2, 4)
    tiny: ClassVar[int] = 10_000
    huge_bytes: ClassVar[int] = 20_000_000
    ahead: ClassVar[int] = 20
    ends_hanging_steps: ClassVar[bool] = False
    keeps_workers: ClassVar[bool] = False
    patience_seconds: ClassVar[float] = 10.0
    timeout_seconds: ClassVar[float] = 60.0
    _made: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if "__test__" not in cls.__dict__:
            cls.__test__ = not f"{cls.__module__}.".startswith(f"{__package__}.")
        cls._made = {}

    def executor(self, workers: int) -> Any:
        """The executor under test, with so many workers; a new object at each call.

        Args:
            workers: One of the numbers in `workers`.

        """
        message = f"{type(self).__qualname__} must say what it tests: def executor(self, workers): return ..."
        raise NotImplementedError(message)

    # Fixtures -----------------------------------------------------------------------------------------

    @pytest.fixture(autouse=True)
    def _apart(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing that is installed or configured on this machine takes part, and nothing is written beside the tests."""
        for name in ("CRYSTALLIZE_PROFILE", "CRYSTALLIZE_DISABLE", "CRYSTALLIZE_LOCKED", "CRYSTALLIZE_STRICT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
        monkeypatch.setenv("CRYSTALLIZE_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
        monkeypatch.chdir(tmp_path)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        """A folder in which steps leave marks."""
        return steps.folder_of(tmp_path / "marks")

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run what has a parameter `workers` for each number of workers."""
        if "workers" in metafunc.fixturenames:
            metafunc.parametrize("workers", self.workers)

    # What is under test -------------------------------------------------------------------------------

    @property
    def usual(self) -> int:
        """The number of workers where it does not matter: two, if there can be two."""
        return min(2, max(self.workers))

    @property
    def kind(self) -> str:
        """What the replicates share: `serial`, `thread`, `async` or `process`."""
        return getattr(self.executor(self.usual), "concurrency", None) or "process"

    @property
    def fewest(self) -> int:
        """The number of workers where one is enough: starting them is what most of the time is spent on."""
        return min(self.workers)

    def only_for(self, *kinds: str, because: str) -> None:
        """Skip the test under other executors, with the reason."""
        if self.kind not in kinds:
            pytest.skip(f"this executor has concurrency {self.kind!r}, and {because}")

    # Running ------------------------------------------------------------------------------------------

    def study(
        self,
        *given: Any,
        plugins: Sequence[Any] = (),
        replicates: int = 6,
        treatments: Sequence[Treatment] = (),
        hypotheses: Sequence[Hypothesis] = (),
        source: Callable[..., Any] = steps.source,
        **initial: Any,
    ) -> Experiment:
        """An experiment of these steps; further keywords are its initial context."""
        return Experiment(
            source,
            list(given),
            list(plugins),
            name="study",
            initial_ctx=initial,
            treatments=list(treatments),
            hypotheses=list(hypotheses),
            replicates=replicates,
            autoload=False,
        )

    def run_there(self, experiment: Experiment, workers: int | None = None, **options: Any) -> Result:
        """The result of the executor under test."""
        return experiment.run(executor=self.executor(workers or self.usual), **options)

    def once(self, make: Callable[[], T]) -> T:
        """What this function makes, made once for all tests of the class that only look at it."""
        if make.__name__ not in self._made:
            self._made[make.__name__] = make()
        found: T = self._made[make.__name__]
        return found

    def recorded(self) -> Recorded:
        """One run of three conditions, in which nothing fails, with all that can be seen of a run."""
        heard_plain, heard = Hears(), Hears()

        def study(hears: Hears) -> Experiment:
            return self.study(steps.scale, steps.total, treatments=TREATMENTS, plugins=[Places(), hears])

        plain = study(heard_plain).run(provenance="all")
        return Recorded(plain, self.run_there(study(heard), provenance="all"), heard_plain, heard)

    def same(self, experiment: Experiment, workers: int | None = None) -> Result:
        """The result of the executor, after it was compared with that of the plain loop; values first, then the digest."""
        plain, found = experiment.run(), self.run_there(experiment, workers)
        expected = what_is_in(plain)
        for part, values in what_is_in(found).items():
            if values != expected[part]:
                pytest.fail(
                    f"the {part} are not those of the plain loop:\n  {values}\nthe plain loop has\n  {expected[part]}"
                )
        if found.digest != plain.digest:
            pytest.fail(f"the digest {found.digest} is not {plain.digest}, that of the plain loop")
        return found


def what_is_in(result: Result) -> dict[str, Any]:
    """All that may not depend on the executor, part by part, in an order that a message can follow."""
    return {
        "errors": {cell: str(error) for cell, error in result.errors.items()},
        "order of the errors": list(result.errors),
        "metrics": [(r.condition, r.replicate, r.metric, r.value, dict(r.tags), r.failed) for r in result.rows()],
        "artifacts": [(a.replicate, a.condition, a.step, a.name, a.digest) for a in result.artifacts],
        "seeds": {condition: dict(seeds) for condition, seeds in result.seeds.items()},
        "verdicts": [(h.name, dict(h.results), dict(h.ranking), dict(h.replicates)) for h in result.metrics.hypotheses],
        "conditions": list(result.metrics.conditions),
    }
