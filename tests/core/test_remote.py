"""What executors send to workers elsewhere, and what comes back; here both ends are in one process."""

from __future__ import annotations

import pickle
import sys

import attrs
import pytest

from crystallize_core import (
    BasePlugin,
    Experiment,
    HookError,
    StackMismatchError,
    StepError,
    WorkerError,
    pipeline_step,
)
from crystallize_core.remote import Answer, Payload, close, for_a_moment, knows, payload_of, run_chunk, take
from crystallize_core.schedule import Schedule
from crystallize_core.stack.files import load_file
from crystallize_core.stack.parity import Parity

pytestmark = pytest.mark.usefixtures("alone")


@pytest.fixture
def alone(monkeypatch):
    """Nothing that is installed takes part."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")


@attrs.frozen
class ByChunks(BasePlugin):
    """Sends replicates as bytes, in chunks of two, and takes the answers from the last to the first."""

    concurrency = "process"
    answers: list = attrs.field(factory=list, eq=False)

    def __reduce__(self):
        return type(self), ()

    def run_experiment_loop(self, experiment, replicate_fn):
        payload = payload_of(replicate_fn)
        numbers = replicate_fn.pending
        schedule = Schedule(numbers, 1, 3)
        chunks = [numbers[at : at + 2] for at in range(0, len(numbers), 2)]
        self.answers.extend(pickle.loads(pickle.dumps(run_chunk(payload, chunk))) for chunk in chunks)
        close(payload)
        for answer in reversed(self.answers):
            take(replicate_fn, answer, schedule)
        while chunk := schedule.next_chunk([]):
            if chunk[0] not in replicate_fn.pending:
                break
            take(replicate_fn, run_chunk(payload, chunk), schedule)
        return []


class Twice(ByChunks):
    """Runs everything twice."""

    def run_experiment_loop(self, experiment, replicate_fn):
        payload, schedule = payload_of(replicate_fn), Schedule(replicate_fn.pending, 1, 3)
        answers = [run_chunk(payload, replicate_fn.pending) for _ in range(2)]
        assert [take(replicate_fn, answer, schedule) for answer in answers] == [5, 0]
        return []


class Empty(ByChunks):
    """Sends nothing to run, and leaves the rest to the plain loop."""

    def run_experiment_loop(self, experiment, replicate_fn):
        self.answers.append(run_chunk(payload_of(replicate_fn), []))


class Elsewhere(ByChunks):
    """Runs everything where the module of the steps is not loaded."""

    def run_experiment_loop(self, experiment, replicate_fn):
        payload = payload_of(replicate_fn)
        del sys.modules[experiment.initial_ctx["module"]]
        take(replicate_fn, run_chunk(payload, replicate_fn.pending), Schedule([], 1, 3))
        return []


@pipeline_step()
def scored(data, ctx):
    """A metric of the replicate."""
    return data, {"score": data * ctx["replicate"]}


@pipeline_step()
def fails_in_two(data, ctx):
    """The third replicate fails."""
    if ctx["replicate"] == 2:
        raise ValueError(data)
    return data


class Unsendable:
    """Can be copied, and cannot be pickled."""

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        raise TypeError("it holds a wire")


@pipeline_step()
def has_a_wire(data, ctx):
    """The metric of the second replicate cannot be sent."""
    return data, {"wire": Unsendable() if ctx["replicate"] == 1 else 1}


@pipeline_step()
def leaves(data, ctx):
    """The third replicate wants to end the process."""
    if ctx["replicate"] == 2:
        sys.exit(3)
    return data


def three(ctx):
    """What all experiments start from."""
    return 3


def experiment(*steps, plugins=(), **more):
    return Experiment(three, list(steps), plugins, replicates=5, **more)


def test_the_result_is_that_of_the_plain_loop():
    """Whatever the order in which the answers are taken."""
    executor = ByChunks()
    found = experiment(scored, plugins=[executor]).run()
    assert found.digest == experiment(scored).run().digest
    assert [answer.ran for answer in executor.answers] == [2, 2, 1]


def test_a_failure_has_its_address():
    """Errors travel in the outcome."""
    found = experiment(fails_in_two, plugins=[ByChunks()]).run()
    (error,) = found.errors.values()
    assert isinstance(error, StepError)
    assert (error.address["replicate"], error.address["step"], repr(error.__cause__)) == (
        2,
        "fails_in_two",
        "ValueError(3)",
    )


def test_an_outcome_that_cannot_be_sent_fails_its_own_replicate():
    """The other one of its chunk arrives."""
    found = experiment(has_a_wire, plugins=[ByChunks()]).run()
    (error,) = found.errors.values()
    assert isinstance(error, WorkerError)
    assert error.address["replicate"] == 1
    assert "its outcome cannot be sent from its worker" in str(error)
    assert "it holds a wire" in str(error)
    assert found.metrics.baseline.metrics["wire"] == [1, 1, 1, 1]


def test_what_keeps_a_worker_from_going_on_is_raised_where_the_run_is():
    """What it had done before is delivered."""
    with pytest.raises(HookError) as caught:
        experiment(leaves, plugins=[ByChunks()]).run()
    assert repr(caught.value.__cause__) == "SystemExit(3)"


def test_an_answer_that_is_too_late_changes_nothing():
    """A replicate that was run twice counts once."""
    assert experiment(scored, plugins=[Twice()]).run().metrics.baseline.metrics == {"score": [0, 3, 6, 9, 12]}


def test_an_empty_chunk_is_an_empty_answer():
    """Nothing is read for it that is not there."""
    executor = Empty()
    experiment(scored, plugins=[executor]).run()
    (answer,) = executor.answers
    assert attrs.evolve(answer, seconds=0.0, process="") == Answer()


# A worker that is not like the coordinator --------------------------------------------------------------


def with_recipe(monkeypatch, **fields):
    """Let the coordinator describe itself otherwise."""
    of = Parity.of
    monkeypatch.setattr(Parity, "of", lambda stack: attrs.evolve(of(stack), place=(), **fields))


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({"python": "2.7"}, ["Python: {python} in the worker, 2.7 in the coordinator"]),
        (
            {"core": "99.0", "distributions": {"attrs": "1.0", "crystallize-nowhere": "2.0"}},
            [
                "crystallize-core: {core} in the worker, 99.0 in the coordinator",
                "attrs: {attrs} in the worker, 1.0 in the coordinator",
                "crystallize-nowhere: not there in the worker, 2.0 in the coordinator",
                "install the same in the worker: pip install crystallize-core==99.0 attrs==1.0 crystallize-nowhere==2.0",
            ],
        ),
    ],
)
def test_a_worker_with_other_versions_is_refused_before_it_runs_anything(monkeypatch, fields, lines):
    """All differences are in the message, and what to install."""
    here = {"python": "{}.{}".format(*sys.version_info), "core": Parity.of([]).core, "attrs": attrs.__version__}
    with_recipe(monkeypatch, **fields)
    with pytest.raises(StackMismatchError) as caught:
        experiment(scored, plugins=[ByChunks()]).run()
    first, *rest = caught.value.message.splitlines()
    assert first.startswith("the worker on ")
    assert first.endswith(" has another stack than the coordinator:")
    assert [line.strip() for line in rest] == [line.format(**here) for line in lines]


@attrs.define
class Forgetful(BasePlugin):
    """Loses an option where it is pickled."""

    level: int = 1
    names: list = attrs.field(factory=list)

    def __reduce__(self):
        return Forgetful, (1, self.names)


def test_a_plugin_that_loses_an_option_on_the_way_is_refused():
    """Its observations would be others in the worker."""
    with pytest.raises(StackMismatchError) as caught:
        experiment(scored, plugins=[ByChunks(), Forgetful(level=7, names=["a"])]).run()
    assert caught.value.message.splitlines()[1:] == [
        "  option 'level' of plugin 'forgetful': 1 in the worker, 7 in the coordinator",
        "  a plugin must be the same after it was pickled and read back",
    ]


@pytest.mark.parametrize("there", ["gone", "another"])
def test_a_file_is_run_by_the_text_that_was_sent(tmp_path, there):
    """Where the worker's machine does not have it, or has another one."""
    file = tmp_path / f"hooks_{there}.py"
    file.write_text("def scaled(data, ctx):\n    return data, {'score': data * 10}\n")
    module = load_file(file)
    file.unlink() if there == "gone" else file.write_text("raise RuntimeError('the other one')")

    found = experiment(
        pipeline_step()(module.scaled), plugins=[Elsewhere()], initial_ctx={"module": module.__name__}
    ).run()
    assert found.metrics.baseline.metrics == {"score": [30] * 5}


class Echo:
    def __call__(self, number):
        return number

    def close(self):
        pass


def test_a_worker_knows_what_it_has_read():
    """The body need not be sent with every chunk, and after `close` it is needed again."""
    payload = Payload("known-by-its-token", pickle.dumps(Echo()))
    assert not knows(payload.token)
    assert run_chunk(payload, [1]).raised is None
    assert knows(payload.token)
    assert run_chunk(Payload(payload.token, b""), [2]).ran == 1
    close(payload)
    assert not knows(payload.token)


def test_a_chunk_ends_when_its_time_is_over():
    """What was finished is sent before more is begun, and at least one replicate is run."""
    assert list(for_a_moment([3, 4, 5], seconds=60)) == [3, 4, 5]
    assert list(for_a_moment([3, 4, 5], seconds=-1)) == [3]
    assert list(for_a_moment([], seconds=60)) == []
