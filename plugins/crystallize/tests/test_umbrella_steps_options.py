"""What the options of a step do for a user: caching, failures, resources."""

from __future__ import annotations

import textwrap

import pytest

from crystallize import (
    CircuitBreaker,
    CircuitOpenError,
    DefinitionError,
    Pipeline,
    StepOptionError,
    StepTimeout,
    as_request,
    on_failure,
    retry,
    step,
)
from crystallize_core.clock import FakeClock, clock, use_clock


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    """The cache and the artifacts of a test stay with it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CRYSTALLIZE_CACHE_DIR", raising=False)


@pytest.fixture
def fake_clock():
    """Nobody waits."""
    with use_clock(FakeClock()) as fake:
        yield fake


def _states(result):
    """What became of the steps, in the order in which they ran."""
    return {name: found.state for name, found in result.step_results.items()}


@step(outputs=["rows"])
def read():
    return [3, 1, 2]


@step(inputs=["rows"], outputs=["ordered"])
def order(rows):
    return sorted(rows)


# Caching ----------------------------------------------------------------------------------------------


def _made(source, name, tmp_path):
    """What a module of its own, with this source, has under a name; as if the file had been edited."""
    file = tmp_path / "edited.py"
    file.write_text(f"from crystallize import step\n{textwrap.dedent(source)}", encoding="utf-8")
    namespace = {"__name__": "edited", "__file__": str(file)}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
    return namespace[name]


@pytest.mark.parametrize(
    ("strategy", "after_editing", "after_new_input"),
    [("'code_hash'", "ok", "ok"), ("'input_hash'", "cached", "ok"), ("False", "ok", "ok")],
)
def test_what_makes_a_step_run_again(strategy, after_editing, after_new_input, tmp_path):
    """Its code, what it is given, or nothing at all, by its strategy."""
    source = "@step(cache={})\ndef scale(data, by=2):\n    return data * {}\n"
    before = _made(source.format(strategy, "by"), "scale", tmp_path)
    edited = _made(source.format(strategy, "by + 0"), "scale", tmp_path)
    inputs = {"data": 1}
    assert _states(Pipeline([before]).run(inputs=inputs)) == {"scale": "ok"}
    assert _states(Pipeline([before]).run(inputs=inputs)) == {"scale": "ok" if strategy == "False" else "cached"}
    assert _states(Pipeline([edited]).run(inputs=inputs)) == {"scale": after_editing}
    assert _states(Pipeline([before]).run(inputs={"data": 5})) == {"scale": after_new_input}


def test_a_step_that_loads_a_path_is_not_answered_with_another_one(tmp_path):
    """The default looks at what a step is given, too."""

    @step
    def load(path):
        return (tmp_path / path).read_text()

    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    loading = Pipeline([load])
    assert [loading.run(inputs={"path": name})["load"] for name in ("a", "b", "a")] == ["a", "b", "a"]


def test_none_is_a_value_like_any_other():
    """It is cached and passed on."""

    @step
    def nothing():
        return None

    @step
    def seen(nothing):
        return [nothing]

    pipeline = Pipeline([nothing, seen])
    results = [pipeline.run(), pipeline.run()]
    assert [result["seen"] for result in results] == [[None], [None]]
    assert _states(results[1]) == {"nothing": "cached", "seen": "cached"}


def test_a_misspelt_strategy_is_refused_where_it_is_written():
    """With what was meant."""
    with pytest.raises(DefinitionError) as caught:
        step(cache="input-hash")(lambda data: data)
    assert str(caught.value) == (
        "step '<lambda>' cannot be made:\n"
        "  cache must be 'code_hash', 'input_hash', False, or a function key(step, inputs, context) -> str; "
        "found 'input-hash'; did you mean 'input_hash'?"
    )


def test_a_step_with_a_side_effect_runs_but_may_come_from_the_cache():
    """What it changes besides its output is not repeated; `cache=False` repeats it."""
    counts = {"kept": [], "always": []}

    @step(cache="input_hash")
    def kept():
        counts["kept"].append(1)

    @step(cache=False)
    def always():
        counts["always"].append(1)

    for _ in range(2):
        assert Pipeline([kept, always]).run().success
    assert {name: len(calls) for name, calls in counts.items()} == {"kept": 1, "always": 2}


# Failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failing", "success", "waits"), [(0, True, []), (3, True, [1, 2, 4]), (9, False, [1, 2, 4])])
def test_retry_counts_the_attempts_after_the_first(failing, success, waits, fake_clock):
    """`retry=3` is four calls at most."""
    calls = []

    @step(retry=3)
    def ask():
        calls.append(1)
        if len(calls) <= failing:
            raise ConnectionError("busy")
        return "answer"

    result = Pipeline("asking").add_step(ask).run()
    assert (result.success, result.step_results["ask"].retries, fake_clock.slept) == (success, len(waits), waits)
    assert len(calls) == len(waits) + 1


def test_a_timeout_ends_a_step(fake_clock):
    """With an error that names the step and the limit; the run has the rest."""

    @step(timeout=300)
    def long_wait():
        clock.sleep(3600)

    result = Pipeline("waiting").add_steps(long_wait, read).run()
    error = result.step_results["long_wait"].exception
    assert isinstance(error, StepTimeout)
    assert isinstance(error, TimeoutError)
    assert "'long_wait'" in str(error)
    assert "300" in str(error)
    assert _states(result) == {"long_wait": "failed", "read": "ok"}


def _careful(calls, error, fallback):
    """The decorators in the order of the page."""

    @step
    @retry(max_attempts=3, backoff=2.0)
    @on_failure(fallback)
    @CircuitBreaker(failure_threshold=5, timeout=60)
    def ask():
        calls.append(1)
        raise error

    return ask


def test_the_fallback_comes_after_all_attempts(fake_clock):
    """Though it stands below `@retry`."""
    calls = []
    ask = _careful(calls, ConnectionError("no route"), lambda: {"level": None})
    result = Pipeline("careful").add_step(ask).run()
    found = result.step_results["ask"]
    assert (len(calls), fake_clock.slept) == (3, [1.0, 2.0])
    assert (result.success, found.output, found.fallback_used, found.retries) == (True, {"level": None}, True, 2)


def test_a_fallback_is_asked_again_in_the_next_run(fake_clock):
    """Its value is not cached."""

    def explained(error):
        return f"nothing: {error}"

    calls = []
    ask = _careful(calls, ConnectionError("no route"), explained)
    careful = Pipeline("careful").add_step(ask)
    first, second = (careful.run()["ask"] for _ in range(2))
    assert first == "nothing: no route"
    assert second.startswith("nothing: 'ask' was not called: 5 calls in a row failed")
    assert len(calls) == 5


def test_an_open_circuit_is_not_asked_until_its_time_is_over(fake_clock):
    """Five failures open it, and nobody retries against it."""
    calls = []

    @step(cache=False)
    @CircuitBreaker(failure_threshold=5, timeout=60)
    @retry(max_attempts=5)
    def ask():
        calls.append(1)
        raise ConnectionError("no route")

    asking = Pipeline("asking").add_step(ask)
    assert isinstance(asking.run().step_results["ask"].exception, ConnectionError)
    assert isinstance(asking.run().step_results["ask"].exception, CircuitOpenError)
    assert len(calls) == 5
    fake_clock.now += 60
    assert not asking.run().success
    assert len(calls) == 6


@pytest.mark.parametrize(
    "decorate", [lambda f: step(retry(max_attempts=2)(f)), lambda f: retry(max_attempts=2)(step(f))]
)
def test_a_decorator_means_the_same_below_and_above_step(decorate, fake_clock):
    """Both give a step that is tried twice."""
    calls = []

    def ask():
        calls.append(1)
        raise ConnectionError("no route")

    result = Pipeline("asking").add_step(decorate(ask)).run()
    assert (result.success, len(calls), result.step_results["ask"].retries) == (False, 2, 1)


def test_a_failed_step_costs_only_those_that_need_it():
    """The exception is there as an object, and why the others did not run."""

    @step
    def broken(rows):
        raise ValueError("no")

    @step
    def after(broken):
        return broken

    result = Pipeline("failing").add_steps(read, broken, after, order).run()
    assert _states(result) == {"read": "ok", "broken": "failed", "after": "not run", "order": "ok"}
    assert (result.success, result.state) == (False, "failed")
    assert isinstance(result.step_results["broken"].exception, ValueError)
    assert result.step_results["after"].reason == "it needs output 'broken' of 'broken', which failed"


# Resources --------------------------------------------------------------------------------------------


def test_resources_are_read_into_one_form():
    """Cores and sizes as text; a type of accelerator with a number."""

    @step(resources={"cpu": "4", "memory": "16Gi"})
    def on_cores(): ...

    @step(resources={"gpu": "nvidia-tesla-v100", "gpu_count": 2})
    def on_gpus(): ...

    assert as_request(on_cores.resources).to_dict() == {"cpu": 4.0, "memory": 16 * 2**30}
    assert str(as_request(on_gpus.resources)) == "2 GPUs of type nvidia-tesla-v100"


def test_an_unknown_resource_is_refused_where_it_is_written():
    """With what was meant."""
    with pytest.raises(DefinitionError) as caught:
        step(resources={"gpus": 1})(lambda data: data)
    assert "has no key 'gpus'; did you mean 'gpu'?" in str(caught.value)


def test_a_step_with_resources_runs_where_the_machine_has_them():
    """And is refused before anything runs where it has not."""
    ran = []

    @step(resources={"cpu": 1}, cache=False)
    def small():
        ran.append("small")

    @step(resources={"memory": "900Ti"})
    def huge():
        ran.append("huge")

    assert Pipeline([small]).run().success
    with pytest.raises(StepOptionError, match="step 'huge' asks for 900 TiB of memory"):
        Pipeline([small, huge]).run()
    assert ran == ["small"]
