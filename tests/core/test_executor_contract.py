"""What the core demands of an executor, and that a stranger's one needs nothing of ours."""

from __future__ import annotations

import asyncio
import functools
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import crystallize_core
from crystallize_core import (
    BasePlugin,
    CellOutcome,
    ExecutorError,
    Experiment,
    HookError,
    NotSendableError,
    PluginError,
    ReplicateOutcome,
    RunError,
    Treatment,
)


def made(loop: Any = None, **parts: Any) -> Experiment:
    """An experiment run by an executor named `mine` with this loop."""

    class Mine(BasePlugin):
        plugin_name = "mine"

        def run_experiment_loop(self, experiment, replicate_fn):
            return loop(experiment, replicate_fn)

    defaults: dict[str, Any] = {
        "datasource": lambda ctx: ctx["replicate"],
        "pipeline": [lambda data: (data, {"n": data})],
        "replicates": 3,
        "plugins": [Mine()] if loop is not None else [],
        "autoload": False,
    }
    return Experiment(**defaults | parts)


ADDRESS = "[plugin 'mine', hook 'run_experiment_loop']"


def all_of(experiment, replicate_fn):
    return [replicate_fn(number) for number in range(experiment.replicates)]


# What is accepted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loop",
    [
        all_of,
        lambda experiment, replicate_fn: tuple(all_of(experiment, replicate_fn)),
        lambda experiment, replicate_fn: all_of(experiment, replicate_fn)[::-1],
        lambda experiment, replicate_fn: all_of(experiment, replicate_fn) and [],
        lambda experiment, replicate_fn: all_of(experiment, replicate_fn)[:1],
        lambda experiment, replicate_fn: all_of(experiment, replicate_fn) * 2,
        lambda experiment, replicate_fn: [*all_of(experiment, replicate_fn), None],
        lambda experiment, replicate_fn: [pickle.loads(pickle.dumps(o)) for o in all_of(experiment, replicate_fn)],
        lambda experiment, replicate_fn: None,
        lambda experiment, replicate_fn: NotImplemented,
    ],
    ids=["list", "tuple", "reversed", "delivered", "some", "twice", "none among", "copies", "passes", "passes too"],
)
def test_outcomes_may_be_returned_or_delivered(loop):
    """In any order, twice, or not at all where `replicate_fn` has delivered them; passing leaves the plain loop."""
    result = made(loop).run()
    assert result.metrics.baseline["n"] == [0, 1, 2]
    assert result.digest == made().run().digest


def test_a_replicate_that_is_run_twice_counts_once():
    """The first outcome is the one; hooks hear of it once."""
    done = []

    class Watch(BasePlugin):
        def replicate_done(self, experiment, replicate, outcome):
            done.append(replicate)

    def twice(experiment, replicate_fn):
        replicate_fn(0)
        return [*all_of(experiment, replicate_fn), *all_of(experiment, replicate_fn)]

    experiment = made(twice)
    result = made(twice, plugins=[Watch(), *experiment.plugins]).run()
    assert result.metrics.baseline["n"] == [0, 1, 2]
    assert done == [0, 1, 2]


def test_replicates_can_be_awaited():
    """`replicate_fn.arun(number)` is the awaitable form, for executors with a loop of their own."""

    async def both(replicate_fn, count):
        return await asyncio.gather(*(replicate_fn.arun(number) for number in range(count)))

    async def later(data):
        await asyncio.sleep(0)
        return data, {"n": data}

    loop = lambda experiment, replicate_fn: asyncio.run(both(replicate_fn, experiment.replicates))  # noqa: E731
    assert made(loop, pipeline=[later]).run().metrics.baseline["n"] == [0, 1, 2]


def test_an_executor_for_one_run():
    """`run(executor=...)` replaces the executor for that run."""
    used = []

    class Other(BasePlugin):
        plugin_name = "other"

        def run_experiment_loop(self, experiment, replicate_fn):
            used.append("other")
            return all_of(experiment, replicate_fn)

    experiment = made(all_of)
    assert experiment.run(executor=Other()).run.executor == "other"
    assert experiment.run().run.executor == "mine"
    assert used == ["other"]


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loop", "message"),
    [
        (lambda e, f: [], f"executor 'mine' lost 3 of 3 replicates: 0, 1, 2 {ADDRESS}"),
        (lambda e, f: [f(0), f(0), f(2)], f"executor 'mine' lost 1 of 3 replicates: 1 {ADDRESS}"),
        (lambda e, f: 5, f"executor 'mine' must return a list of outcomes, found int {ADDRESS}"),
        (
            lambda e, f: (f(n) for n in range(3)),
            f"executor 'mine' must return a list of outcomes, found generator {ADDRESS}",
        ),
        (
            lambda e, f: ["text"],
            f"str 'text' was delivered in place of a ReplicateOutcome {ADDRESS}",
        ),
        (
            lambda e, f: [ReplicateOutcome(7, [])],
            f"replicate 7 was delivered in a run of 3 {ADDRESS}",
        ),
        (
            lambda e, f: [ReplicateOutcome(-1, [])],
            f"replicate -1 was delivered in a run of 3 {ADDRESS}",
        ),
        (
            lambda e, f: [ReplicateOutcome("0", [])],
            f"replicate '0' was delivered in a run of 3 {ADDRESS}",
        ),
        (
            lambda e, f: [ReplicateOutcome(0, [])],
            f"replicate 0 has no conditions, and this run has 'baseline' {ADDRESS}",
        ),
        (
            lambda e, f: [ReplicateOutcome(0, [CellOutcome(0, "other", [], [], [])])],
            f"replicate 0 has the conditions 'other', and this run has 'baseline' {ADDRESS}",
        ),
    ],
    ids=[
        "loses all",
        "loses one",
        "number",
        "generator",
        "text",
        "beyond",
        "negative",
        "no number",
        "no cells",
        "other cells",
    ],
)
def test_wrong_outcomes_are_refused(loop, message):
    """The error says what was delivered, and holds what was finished."""
    with pytest.raises(ExecutorError) as caught:
        made(loop).run()
    assert str(caught.value) == message
    assert caught.value.result.run.executor == "mine"


def test_what_was_delivered_before_the_error_is_kept():
    """A broken executor loses none of the replicates that it had delivered."""

    def breaks(experiment, replicate_fn):
        replicate_fn(0)
        replicate_fn(2)
        raise OSError("pool gone")

    with pytest.raises(HookError) as caught:
        made(breaks).run()
    assert str(caught.value) == (
        "hook 'run_experiment_loop' of plugin 'mine' raised OSError: pool gone "
        "[experiment 'experiment', plugin 'mine', hook 'run_experiment_loop']"
    )
    assert caught.value.result.metrics.baseline["n"] == [0, 2]


@pytest.mark.parametrize("number", [3, -1, "0", True, None])
def test_a_replicate_that_is_not_of_the_run_is_refused(number):
    """`replicate_fn` takes the numbers of this run."""
    with pytest.raises(RunError) as caught:
        made(lambda e, f: [f(number)]).run()
    assert str(caught.value) == (
        f"a run of 3 replicates has no replicate {number!r} "
        "[experiment 'experiment', plugin 'mine', hook 'run_experiment_loop']"
    )


def test_two_executors_are_refused():
    """The error names both."""

    class Other(BasePlugin):
        plugin_name = "other"

        def run_experiment_loop(self, experiment, replicate_fn):
            return []

    with pytest.raises(PluginError) as caught:
        made(plugins=[*made(all_of).plugins, Other()])
    assert str(caught.value) == (
        "a stack has one executor, and this one has 'mine' (argument) and 'other' (argument); leave one of them out"
    )


def test_a_lost_replicate_can_be_reported():
    """`replicate_fn.lost(number, error)` delivers failed cells with an address for a worker that died."""
    seen = []

    def dies(experiment, replicate_fn):
        seen.append(replicate_fn.lost(1, MemoryError("killed")))
        return [replicate_fn(0), replicate_fn(2)]

    result = made(dies, treatments=[Treatment("a", {})]).run()
    assert {name: str(error) for name, error in result.errors.items()} == {
        f"{condition}_rep_1": "the replicate was lost: MemoryError: killed "
        f"[experiment 'experiment', replicate 1, condition '{condition}']"
        for condition in ("baseline", "a")
    }
    assert result.metrics.baseline["n"] == [0, 2]
    assert seen[0].replicate == 1


# Other processes ----------------------------------------------------------------------------------

STUDY = """
    import os
    from crystallize_core import BasePlugin, Experiment, PipelineStep, Treatment, data_source, pipeline_step, treatment

    @data_source
    def numbers(ctx, *, size=3):
        return [ctx["replicate"] + n for n in range(size)]

    @pipeline_step()
    def scale(data, ctx, *, factor=1):
        ctx.record("factor", factor, {"of": ctx["condition"]})
        ctx.emit("scaled", by=factor)
        return [x * factor for x in data]

    def total(data, ctx):
        ctx.artifacts.add("total.txt", str(sum(data)))
        if sum(data) == 24:
            raise ValueError("two dozen")
        return data, {"total": sum(data), "seed": ctx["seed_used"]}

    class Same(PipelineStep):
        def __call__(self, data):
            return data

    @treatment("double")
    def double(ctx):
        ctx.add("factor", 2)

    class Seeds(BasePlugin):
        attached = 0

        def init_hook(self, experiment):
            type(self).attached += 1

        def before_run(self, experiment, run):
            run.shared["seeds"] = 1000

        def before_replicate(self, experiment, ctx):
            assert type(self).attached, "not attached in this process"
            ctx.add("seed_used", ctx.run.shared["seeds"] + ctx["replicate"])
            ctx.emit("process", id=os.getpid())

    class Hears(BasePlugin):
        def __init__(self):
            self.processes = set()
            self.scaled = 0

        def __getstate__(self):
            return {}

        def __setstate__(self, state):
            self.__init__()

        def on_event(self, experiment, event):
            if event.name == "process":
                self.processes.add(event.payload["id"])
            self.scaled += event.name == "scaled"

    class Processes(BasePlugin):
        plugin_name = "processes"

        def run_experiment_loop(self, experiment, replicate_fn):
            import multiprocessing
            from concurrent.futures import ProcessPoolExecutor

            with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
                return list(pool.map(replicate_fn, range(experiment.replicates)))

    def made(*executor):
        hears = Hears()
        experiment = Experiment(
            numbers(size=3), [scale, total, Same], plugins=[Seeds(), hears, *executor], name="study",
            treatments=[double, Treatment("ten", {"factor": 10})], replicates=4, autoload=False,
        )
        return experiment, hears
"""

SCRIPT = """
    import json, os, study

    if __name__ == "__main__":
        plain, hears = study.made()
        expected = plain.run()
        experiment, others = study.made(study.Processes())
        found = experiment.run()
        assert found.digest == expected.digest, (found.errors, expected.errors)
        assert list(found.rows()) == list(expected.rows())
        assert [a.read() for a in found.artifacts] == [a.read() for a in expected.artifacts]
        assert {k: str(e) for k, e in found.errors.items()} == {k: str(e) for k, e in expected.errors.items()}
        assert {type(e.__cause__) for e in found.errors.values()} == {ValueError}
        assert list(found.errors) == ["double_rep_3"], found.errors
        assert found.seeds == expected.seeds
        assert found.provenance.keys() == expected.provenance.keys()
        assert os.getpid() not in others.processes and others.processes, others.processes
        assert others.scaled == hears.scaled == 12
        print("same")
"""


def run_script(folder: Path, **files: str) -> subprocess.CompletedProcess[str]:
    """Run `script.py` of these files in a process of its own."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    package = Path(crystallize_core.__file__).parents[1]
    path = os.pathsep.join([str(folder), str(package)])
    return subprocess.run(
        [sys.executable, str(folder / "script.py")],
        capture_output=True, text=True, timeout=120, check=False, cwd=folder, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def test_a_strangers_process_pool_gives_the_same_result(tmp_path):
    """`concurrent.futures` with spawned processes and the standard pickle: same digest, errors and artifacts."""
    done = run_script(tmp_path, study=STUDY, script=SCRIPT)
    assert (done.returncode, done.stdout) == (0, "same\n"), done.stderr


def test_what_cannot_be_sent_is_named(monkeypatch):
    """The error lists every part that cannot be pickled and says what to do."""
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    experiment = made(lambda e, f: [pickle.dumps(f)], name="local")
    with pytest.raises(NotSendableError) as caught:
        experiment.run()
    text = str(caught.value)
    assert text.startswith("this experiment cannot be sent to another process:\n  datasource: ")
    assert "step '<lambda>': " in text
    assert "plugin 'mine': " in text
    assert text.endswith(
        "define functions at the top level of a module, make what cannot be sent in the worker with "
        "resource_factory(...), or use the thread executor "
        "[experiment 'local', plugin 'mine', hook 'run_experiment_loop']"
    )


def test_an_unpicklable_step_under_processes_is_named(tmp_path):
    """A script whose step is a lambda gets the list, not a broken pool; cloudpickle, where it is, sends it."""
    script = """
        import study
        from crystallize_core import Experiment

        if __name__ == "__main__":
            steps = [study.scale, lambda data: data]
            experiment = Experiment(study.numbers, steps, plugins=[study.Processes()], replicates=2, autoload=False)
            try:
                experiment.run()
            except Exception as error:
                print(type(error).__name__, "step '<lambda>'" in str(error))
            else:
                import cloudpickle
                print("NotSendableError True")
    """
    done = run_script(tmp_path, study=STUDY, script=script)
    assert done.stdout == "NotSendableError True\n", done.stderr


def test_a_worker_that_dies_is_an_error_of_the_executor(tmp_path):
    """A step that kills its process: the pool's error has an address, and nothing hangs."""
    script = """
        import os, study
        from crystallize_core import Experiment
        from study import dies

        if __name__ == "__main__":
            experiment = Experiment(study.numbers, [dies], plugins=[study.Processes()], replicates=2, autoload=False)
            try:
                experiment.run()
            except Exception as error:
                print(type(error).__name__, type(error.__cause__).__name__, error.plugin)
    """
    study = STUDY + "\n    def dies(data):\n        os._exit(3)\n"
    done = run_script(tmp_path, study=study, script=script)
    assert done.stdout == "HookError BrokenProcessPool processes\n", done.stderr


def test_a_worker_keeps_its_session():
    """What was sent once is rebuilt once per process, not per replicate."""
    attached.clear()
    step = functools.partial(add, by=1)
    experiment = Experiment(source, [step], plugins=[Counts()], replicates=3, autoload=False)
    assert len(attached) == 1
    result = experiment.run(executor=Pickles())
    assert result.metrics.baseline["n"] == [1, 2, 3]
    assert len(attached) == 3  # the definition, the stack of this run, the worker


attached: list[int] = []


def source(ctx):
    return ctx["replicate"]


def add(data, by):
    return data + by, {"n": data + by}


class Counts(BasePlugin):
    def init_hook(self, experiment):
        attached.append(1)


class Pickles(BasePlugin):
    """An executor that sends `replicate_fn` through pickle for every replicate, as a pool does."""

    def run_experiment_loop(self, experiment, replicate_fn):
        return [
            pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(replicate_fn))(number)))
            for number in range(experiment.replicates)
        ]
