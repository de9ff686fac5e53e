"""The conformance kit for plugins: what is correct passes, and each thing that is not fails where it should."""

from __future__ import annotations

import pytest

from crystallize_core.testing.plugins.checks import ALL

pytestmark = pytest.mark.heavy

HEAD = """
import broken_plugins as broken
from crystallize_core import BasePlugin, hookimpl
from crystallize_core.testing import PluginConformance
"""
CLASS = """

class Test{name}(PluginConformance):
    def make(self):
        return {made}
"""
# check -> what breaks it: how the plugin is made, and what the failure says
BROKEN = {
    "it_can_be_made": [("CannotBeMade()", "not today")],
    "hooks_take_declared_arguments_only": [("WrongArgument()", "hook 'after_step' has no argument 'stage'")],
    "it_implements_a_hook": [("NoHook()", "implements no hook")],
    "no_hook_is_async": [
        ("AsyncHook()", "hook 'before_step' is `async def`"),
        ("ReturnsCoroutine()", "hook 'before_step' returned coroutine, which nobody awaits"),
    ],
    "hooks_return_what_is_specified": [
        ("Returns()", "hook 'before_step' returned str"),
        ("Yields()", "hook 'before_step' returned generator"),
    ],
    "hooks_do_not_fail_by_themselves": [("RaisesAtFailures()", "hook 'step_failed' raised RuntimeError: not again")],
    "it_says_what_it_is": [
        ("TextForNames()", "before must be a tuple of names, found 'seeding'; write ('seeding',)"),
        ("ObserverThatSaysThatItChanges()", "an observer (essential = False) changes nothing"),
    ],
    "its_name_is_always_the_same": [("ManyNames()", "two plugins of one class have the names")],
    "each_is_a_new_one": [("only_one()", "make() gave the same object twice")],
    "it_can_be_made_where_it_is_merely_installed": [("Demanding(3)", "missing 1 required positional argument: 'size'")],
    "step_options_have_types": [("OptionsAsList()", "step_options returned list; it must be a mapping")],
    "its_options_have_types": [("Untyped()", "option 'size' of Untyped has no type")],
    "its_options_can_be_seen": [("Hidden()", "option 'size' is kept under no attribute of that name")],
    "its_options_survive_toml": [("Doubles()", "option 'size' was 6 and is 12")],
    "a_wrong_value_is_refused_when_it_is_made": [("TakesAnything()", "option 'size' of type <class 'object'> took")],
    "it_can_be_pickled": [
        ("HoldsLock()", "cannot pickle '_thread.lock' object"),
        ("LockedByRuns()", "cannot be sent any more after a run"),
    ],
    "a_pickled_one_has_the_same_options": [("ForgetsOptions(7)", "option 'size' was 7 and is 3 after pickling")],
    "a_pickled_one_works": [("Damaged()", "the digest with the pickled plugin is")],
    "it_can_be_imported_in_another_process": [("local()", "define it at the top of a module")],
    "its_exceptions_keep_their_address": [("Plain()", 'Lossy says "lossy: lossy: a message')],
    "it_leaves_random_numbers_alone": [("Draws()", "hook 'before_step' has changed it: random: ")],
    "it_leaves_the_environment_alone": [
        ("SetsVariable()", "hook 'before_step' has changed it: MY_PLUGIN: nothing became 'here'"),
        ("SetsVariableWhenMade()", "making the plugin has changed it: MY_PLUGIN"),
    ],
    "it_leaves_the_working_directory_alone": [("ChangesFolder()", "hook 'before_run' has changed it: ")],
    "it_leaves_the_locale_alone": [("ChangesLocale()", "hook 'before_run' has changed it: ")],
    "it_leaves_warnings_alone": [("Silences()", "hook 'before_run' has changed it: ")],
    "it_leaves_logging_alone": [("AddsHandler()", "hook 'before_run' has changed it: root: ")],
    "it_leaves_the_interpreter_alone": [("GoesDeep()", "hook 'before_run' has changed it: the limit of recursion: ")],
    "it_leaves_data_alone": [("Appends()", "hook 'after_step' has changed its argument 'data'")],
    "it_writes_only_into_its_folders": [
        ("WritesHome()", ".my_plugin was written, and no option names it"),
        ("WritesAndRemoves()", "once was written, and no option names it"),
    ],
    "it_writes_nothing_before_a_run": [("WritesAtOnce()", "early was written before anything ran")],
    "it_leaves_no_temporary_file": [("LeavesTemporary()", "is left behind")],
    "it_repeats_itself": [("Unrepeatable()", "replicate 0, condition 'baseline', metric 'now'")],
    "threads_come_to_the_same": [("MainThreadOnly()", "True under the plain loop, False under threads")],
    "processes_come_to_the_same": [("CoordinatorOnly()", "True under the plain loop, False under processes")],
    "processes_fail_alike": [("FailsOtherwiseElsewhere()", "True under the plain loop, False under processes")],
    "a_running_loop_comes_to_the_same": [("OwnLoop()", "asyncio.run() cannot be called from a running event loop")],
    "async_steps_work": [("ForgetsAsync()", "step 'later'")],
    "the_cache_makes_no_difference": [("CountsCalls()", "metric 'count': 4 with a cold cache, 3 with a warm one")],
    "an_observer_changes_no_result": [("Records()", "metric 'seen': 1 with it, nothing without it")],
    "it_works_without_treatments": [("WantsTreatments()", "tuple index out of range")],
    "it_takes_any_name": [("Formats()", "not enough arguments for format string")],
    "describe_run_is_plain": [
        ("DescribesObjects()", "Object of type object is not JSON serializable"),
        ("DescribesTime()", " and then {'when': "),
        ("DescribesPairs()", "returned {'sizes': (1, 2)}, and JSON gives back {'sizes': [1, 2]}"),
    ],
    "the_result_can_be_written": [("SpoilsNotes()", "")],
    "a_failing_step_costs_its_own_cell": [("EndsWithTheFirstFailure()", "RuntimeError: too bad")],
    "a_failure_keeps_its_address": [("HidesFailures()", "the error is HookError, and not the StepError of the engine")],
    "a_step_that_is_left_out_is_no_failure": [("WantsAllSteps()", "hook 'step_skipped' raised RuntimeError")],
    "it_takes_unusual_values": [
        ("Measures()", "after gives_none: plugin 'measures' (local) was switched off"),
        ("Pickles()", "after gives_lock: "),
    ],
    "ctrl_c_ends_the_run": [("CatchesAll()", "the run went on after Ctrl-C")],
    "a_failing_datasource_is_no_reason_to_fail": [("WantsData()", "'WantsData' object has no attribute 'began'")],
    "a_reader_may_leave_early": [("WantsAllReplicates()", "RuntimeError: something is missing")],
    "one_cell_can_be_tried": [
        ("NotForTrials()", "not for trials"),
        ("ChangesTrials()", "[0.0] with it"),
    ],
    "a_second_run_knows_nothing_of_the_first": [("CountsRuns()", "metric 'runs': 1 in its first run, 2 in its second")],
    "one_plugin_serves_two_experiments": [
        ("CountsRuns()", "metric 'runs': 1 before another experiment had run, 3 after")
    ],
    "two_experiments_at_once_do_not_mix": [("OneRunOfAll()", "there is a run already")],
    "two_runs_of_one_plugin_at_once_do_not_mix": [("OneRunOfEach()", "there is a run already")],
    "two_of_it_share_nothing": [("SharesList()", "a run has changed SharesList.seen")],
    "a_plugin_beside_it_is_called": [("DropsEvents()", "event 'summed' of replicate 0 is lost")],
    "no_thread_is_left": [("LeavesThread()", "is left behind")],
    "no_process_is_left": [("LeavesProcess()", "is left behind")],
    "no_file_is_left_open": [("LeavesFileOpen()", "open.txt is left open")],
    "nothing_waits_for_the_end_of_the_process": [("WaitsForTheEnd()", "a run has registered 1 functions with atexit")],
    "it_can_be_forgotten": [("KeepsItself()", "something still holds the plugin")],
    "runs_without_it_are_as_before": [("Patches()", "the digest is ")],
}
CORRECT = '''

class Counts(BasePlugin):
    """An observer without options."""

    essential = False

    def after_step(self, step, ctx):
        ctx.emit("stepped", step=step.name)

    def describe_run(self):
        return {"counted": True}


class Module:
    """Any object with marked functions."""

    plugin_name = "module"

    @hookimpl
    def before_replicate(self, ctx):
        ctx.emit("began")

    @hookimpl(wrapper=True)
    def before_step(self):
        yield


@hookimpl
def after_step(ctx):
    ctx.emit("seen by a module")


class Finds(BasePlugin):
    """One that looks for its class in its experiment."""

    def before_replicate(self, experiment):
        assert experiment.get_plugin(Finds) is self


class TestFinds(PluginConformance):
    def make(self):
        return Finds()


class TestThisModule(PluginConformance):
    def make(self):
        import sys

        return sys.modules[__name__]


class TestCounts(PluginConformance):
    def make(self):
        return Counts()


class TestModule(PluginConformance):
    def make(self):
        return Module()
'''


@pytest.fixture
def kit(run_kit):
    """Runs the kit on these plugins."""
    return lambda text, *wanted: run_kit("broken_plugins.py", HEAD + text, *wanted)


def test_correct_plugins_of_strangers_pass(kit):
    """A class of our base, and an object with marks, one of them a wrapper."""
    found = kit(CORRECT)
    assert {name: text for name, (kind, text) in found.items() if kind == "failure"} == {}
    assert sum(kind == "passed" for kind, _ in found.values()) > 90


def test_every_check_is_tried_on_a_plugin_that_breaks_it():
    """A check that cannot fail proves nothing."""
    assert [check.name for check in ALL if check.name not in BROKEN] == []
    assert [name for name in BROKEN if name not in {check.name for check in ALL}] == []


def test_a_broken_plugin_fails_where_its_fault_is(kit):
    """In the test that is named after the promise that it breaks, with what was found; all of them in one go."""
    cases = [(check, *case) for check, found in BROKEN.items() for case in found]
    text = "".join(CLASS.format(name=f"{at}", made=f"broken.{made}") for at, (_, made, _) in enumerate(cases))
    wanted = [f"Test{at}::test_{check}" for at, (check, _, _) in enumerate(cases)]
    outcomes = kit(text, *wanted)
    problems = []
    for test, (check, made, message) in zip(wanted, cases, strict=True):
        kind, said = outcomes[test]
        if kind != "failure" or message not in said:
            problems.append(f"{made} under {check}: {kind}, {said[-1500:]}")
    assert problems == []


def test_what_does_not_apply_is_skipped_with_the_reason(kit):
    """So that nobody thinks that it has passed."""
    found = kit(CORRECT, "TestCounts::test_its_options_survive_toml")
    ((kind, text),) = found.values()
    assert kind == "skipped"
    assert "the plugin has no options" in text


def test_a_class_that_does_not_say_how_the_plugin_is_made_fails(kit):
    """Not silently collected as nothing."""
    text = "\n\nclass TestNothing(PluginConformance):\n    pass\n"
    found = kit(text, "TestNothing::test_it_repeats_itself")
    ((kind, text),) = found.values()
    assert kind == "failure"
    assert "TestNothing must say what it tests: def make(self): return ..." in text


@pytest.mark.parametrize("check", ALL, ids=lambda check: check.name)
def test_every_check_says_what_is_promised(check):
    """In a sentence."""
    assert check.promise.endswith(".")
    assert len(check.promise) > 30
