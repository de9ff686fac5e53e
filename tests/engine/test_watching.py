"""Watching the calls of hooks: what is counted, what is left out of the times, and that results do not change."""

from __future__ import annotations

import time

import pytest

from crystallize_core import BasePlugin, Experiment, hookimpl, pipeline_step
from crystallize_core.engine.hooks import HookCalls
from crystallize_core.engine.timing import timing
from crystallize_core.stack.attached import ActivePlugin, Stack

SLOW = 0.02
"""Seconds that a step works; what is not its own time of a policy."""


def work(seconds=SLOW):
    """Keep the processor busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Policy(BasePlugin):
    """Tries a step again, once."""

    def step_options(self):
        return {"again": bool}

    def wrap_step(self, experiment, step, call):
        if "again" not in step.options:
            return None

        def policy(data, ctx):
            try:
                return call(data, ctx)
            except ValueError:
                return call(data, ctx)

        async def async_policy(data, ctx):
            try:
                return await call(data, ctx)
            except ValueError:
                return await call(data, ctx)

        return async_policy if step.is_async else policy


class Observer(BasePlugin):
    plugin_name = "observer"
    essential = False

    def before_run(self, run): ...

    def before_step(self, step): ...

    def after_replicate(self, ctx): ...


def fails_once(data, ctx):
    work()
    if ctx.attempt == 1:
        raise ValueError("once")
    return data, {"x": 1}


def experiment(*plugins, step=fails_once, **options):
    made = pipeline_step(**options)(step)
    return Experiment(
        datasource=lambda ctx: 1, pipeline=[made], replicates=2, plugins=list(plugins), autoload=False, name="watched"
    )


def rows(times):
    return {(row.plugin, row.hook): row for row in times.take()}


def test_every_call_is_counted():
    """By plugin and hook, those of the plan and the policy too; nothing else is there."""
    with timing() as times:
        experiment(Policy(), Observer(), again=True).run()
    found = rows(times)
    assert {key: row.calls for key, row in found.items()} == {
        ("policy", "step_options"): 1,
        ("policy", "wrap_step"): 1,
        ("policy", "policy"): 2,
        ("observer", "before_run"): 1,
        ("observer", "before_step"): 4,
        ("observer", "after_replicate"): 2,
    }
    assert all(0 <= row.longest <= row.nanoseconds for row in found.values())


@pytest.mark.parametrize("is_async", [False, True])
def test_the_time_of_a_policy_is_its_own(is_async):
    """Two attempts of the step are left out, in plain and in async steps."""

    async def fails_once_async(data, ctx):
        return fails_once(data, ctx)

    step = fails_once_async if is_async else fails_once
    with timing() as times:
        experiment(Policy(), step=step, again=True).run()
    row = rows(times)["policy", "policy"]
    assert row.calls == 2
    assert row.nanoseconds < 2 * SLOW * 1e9  # there were four attempts


def test_the_time_of_an_attempt_in_another_thread_is_left_out_too():
    """Also where the policy does not wait for its end."""
    import threading

    ended = threading.Event()

    class GivesUp(BasePlugin):
        def step_options(self):
            return {"again": bool}

        def wrap_step(self, experiment, step, call):
            def policy(data, ctx):
                started = threading.Event()

                def attempt():
                    started.set()
                    call(data, ctx)
                    ended.set()

                threading.Thread(target=attempt).start()
                started.wait()
                work()
                ctx.abandon(TimeoutError())
                raise TimeoutError

            return policy

    def waits(data, ctx):
        work(3 * SLOW)

    with timing() as times:
        made = experiment(GivesUp(), step=waits, again=True)
        made.run(replicates=1)
    assert ended.wait(10)
    assert rows(times)["gives_up", "policy"].nanoseconds < SLOW * 1e9


def test_a_wrapper_counts_what_is_on_both_sides_of_its_yield():
    """And not the implementations that it is around."""

    class Around:
        @hookimpl(wrapper=True)
        def before_step(self):
            work(SLOW / 2)
            yield
            work(SLOW / 2)

    class Inner(BasePlugin):
        def before_step(self):
            work(5 * SLOW)

    with timing() as times:
        experiment(Around(), Inner(), step=lambda data: data).run(replicates=1)
    found = rows(times)
    assert SLOW <= found["around", "before_step"].nanoseconds / 1e9 < 4 * SLOW
    assert found["inner", "before_step"].nanoseconds / 1e9 >= 5 * SLOW


@pytest.mark.parametrize("kind", ["plain", "wrapper before", "wrapper behind"])
def test_what_raises_is_counted_where_it_was_raised(kind):
    """By the plugin itself; a wrapper that only lets an error pass has not failed."""

    class Fails(BasePlugin):
        plugin_name = "fails"

        def before_step(self):
            raise OSError("no")

    class Around:
        plugin_name = "around"

        @hookimpl(wrapper=True)
        def before_step(self):
            if kind == "wrapper before":
                raise OSError("no")
            yield
            raise OSError("no")

    class Passes:
        plugin_name = "passes"

        @hookimpl(wrapper=True)
        def before_step(self):
            yield

    plugins = [Passes(), Fails() if kind == "plain" else Around()]
    with timing() as times:
        result = experiment(*plugins, step=lambda data: data).run(replicates=1)
    assert len(result.errors) == 1
    failed = {plugin: row.failed for (plugin, _), row in rows(times).items()}
    assert failed == {"passes": 0, "fails" if kind == "plain" else "around": 1}


def test_results_are_the_same_watched_or_not(monkeypatch):
    """Digest, notes, provenance and stack."""

    def came_to(result):
        run = result.run
        return result.digest, run.notes, run.stack, result.metrics.baseline.metrics, list(result.provenance)

    plain = came_to(experiment(Policy(), Observer(), again=True).run())
    with timing():
        assert came_to(experiment(Policy(), Observer(), again=True).run()) == plain
    monkeypatch.setenv("CRYSTALLIZE_TRACE_HOOKS", "1")
    assert came_to(experiment(Policy(), Observer(), again=True).run()) == plain


def test_what_a_policy_promises_is_kept():
    """`single_attempt` spares the engine a copy of the input, watched or not."""

    class Once(BasePlugin):
        def step_options(self):
            return {"again": bool}

        def wrap_step(self, experiment, step, call):
            def policy(data, ctx):
                return call(data, ctx)

            policy.single_attempt = True
            return policy

    seen = []
    given = [1]

    def look(data, ctx):
        seen.append(data is given)

    made = pipeline_step(again=True)(look)
    with timing():
        Experiment(datasource=lambda ctx: given, pipeline=[made], plugins=[Once()], autoload=False).run()
    assert seen == [True]


def test_a_policy_that_declines_leaves_nothing_around_the_step():
    """Whether it returns None or the call that it was given."""

    class Declines(BasePlugin):
        def wrap_step(self, experiment, step, call):
            return call

    with timing() as times:
        experiment(Policy(), Declines(), step=lambda data: data).run()
    assert "policy" not in {hook for _, hook in rows(times)}


def test_unwatched_calls_are_compiled_as_before():
    """The functions of the plugins themselves, and nothing around them."""

    class One(BasePlugin):
        def before_step(self, step): ...

    entry = ActivePlugin("one", One(), "argument")
    calls = HookCalls(Stack([entry]))
    scope = calls.before_step.__globals__
    assert scope["call_0"] == entry.plugin.before_step
    assert calls.times is None
    with timing():
        watched = HookCalls(Stack([entry]))
    assert watched.before_step.__globals__["call_0"] != entry.plugin.before_step
    assert watched.functions("before_step") == [entry.plugin.before_step]


def test_two_who_measure_at_once_both_get_it():
    """Each what was called inside of its block."""
    with timing() as outer:
        with timing() as inner:
            experiment(Observer(), step=lambda data: data).run()
        experiment(Observer(), step=lambda data: data).run()
    assert rows(inner)["observer", "before_run"].calls == 1
    assert rows(outer)["observer", "before_run"].calls == 2
