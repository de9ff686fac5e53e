"""Which plugin runs the replicates: the configured one, the passed one, or that of one run."""

from __future__ import annotations

import attrs
import pytest

from crystallize_core import BasePlugin, ConfigurationError, ExecutorError, Experiment, PluginError
from crystallize_core.stack.resolve import resolve

EXECUTOR = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    workers: int = 1
    {option}

    def run_experiment_loop(self, replicate_fn):
        return [replicate_fn(number) for number in replicate_fn.pending]
"""


def executor(name="swarm", option=""):
    return name, EXECUTOR.format(option=option)


def experiment(*plugins, **more):
    return Experiment(lambda ctx: 1, [lambda data: data], plugins, replicates=2, **more)


def refused(call, error=ConfigurationError, **more):
    with pytest.raises(error) as caught:
        call(**more)
    return str(caught.value)


@attrs.define
class Backwards(BasePlugin):
    plugin_name = "backwards"
    concurrency = "serial"
    seen: list = attrs.field(factory=list)

    def run_experiment_loop(self, replicate_fn):
        for number in reversed(replicate_fn.pending):
            self.seen.append(number)
            replicate_fn(number)
        return []


def test_an_executor_is_chosen_by_name(site, project):
    """With the options that the project has for it."""
    site.plugin(*executor(), group="executors")
    project.config('executor = "swarm"\n[options.swarm]\nworkers = 4')
    made = experiment()
    assert [(p.name, p.distribution, p.plugin.workers) for p in made.stack] == [("swarm", "x-swarm", 4)]
    result = made.run()
    assert (result.run.executor, result.run.info.concurrency, result.errors) == ("swarm", "process", {})


def test_an_executor_can_be_given_an_address(site, project):
    """`name://address` reaches it as its option `address`, whole."""
    site.plugin(*executor(option='address: str = ""'), group="executors")
    project.config('executor = "swarm://host:8786"\n[options.swarm]\nworkers = 4')
    plugin = resolve().executor.plugin
    assert (plugin.workers, plugin.address) == (4, "swarm://host:8786")


def test_an_address_for_an_executor_that_takes_none_is_refused(site, project):
    """An option that nobody has is an error."""
    site.plugin(*executor(), group="executors")
    path = project.config('executor = "swarm://host"')
    assert refused(resolve) == f"{path}:\n  options.swarm.address: unknown option; known: 'workers'."


def test_an_executor_that_is_not_installed_comes_with_the_line_that_installs_it(site, project):
    """The official ones come together in one distribution."""
    site.plugin(*executor(), group="executors")
    path = project.config('executor = "process"')
    assert refused(resolve) == (
        f"{path}:\n  executor 'process' is not installed: pip install crystallize-executors (installed: 'swarm'.)"
    )


def test_a_misspelt_executor_comes_with_a_suggestion(site, project):
    """Installing something is not what is missing."""
    site.plugin(*executor(), group="executors")
    path = project.config('executor = "swrm"')
    assert refused(resolve) == f"{path}:\n  executor 'swrm' is not installed; did you mean 'swarm'?"


def test_an_unknown_executor_of_one_run_is_refused(site):
    """Where no file is to blame, the stack is."""
    made = experiment()
    assert refused(made.run, executor="dask") == (
        "the stack:\n  executor 'dask' is not installed: pip install crystallize-dask (nothing is installed.)"
    )


def test_a_plugin_that_runs_nothing_is_no_executor(site, project):
    """The run would be another one than was asked for."""
    site.plugin("swarm", "from crystallize_core import BasePlugin\nclass Plugin(BasePlugin): ...", group="executors")
    project.config('executor = "swarm"')
    assert refused(resolve, PluginError) == (
        "plugin 'swarm' is no executor: it does not implement the hook 'run_experiment_loop' "
        "[distribution 'x-swarm 1.0', plugin 'swarm']"
    )


def test_an_object_that_runs_nothing_is_no_executor(project):
    """The same for what is passed."""
    made = experiment(autoload=False)
    assert refused(made.run, PluginError, executor=BasePlugin()) == (
        "plugin 'base' is no executor: it does not implement the hook 'run_experiment_loop' [plugin 'base']"
    )
    assert refused(made.run, PluginError, executor=Backwards) == (
        "plugin 'backwards' is a class; have you forgotten the parentheses? Backwards() [plugin 'backwards']"
    )


def test_an_executor_that_cannot_be_imported_is_an_error(site, project):
    """It was asked for by name."""
    site.plugin("swarm", "raise RuntimeError('no network')", group="executors")
    project.config('executor = "swarm"')
    assert refused(resolve, PluginError) == (
        "plugin 'swarm' (x_swarm:Plugin) cannot be imported: RuntimeError: no network "
        "[distribution 'x-swarm 1.0', plugin 'swarm']"
    )


def test_two_executors_are_an_error_that_names_both(site, project):
    """Neither is silently the first."""
    site.plugin(*executor())
    project.config('plugins = ["swarm"]')
    with pytest.raises(PluginError) as caught:
        experiment(Backwards())
    assert str(caught.value) == (
        "a stack has one executor, and this one has 'swarm' (x-swarm) and 'backwards' (argument); leave one of them out"
    )


def test_a_passed_executor_takes_the_place_of_the_configured_one(site, project):
    """The configured one is not imported."""
    site.plugin("swarm", "raise RuntimeError", group="executors")
    project.config('executor = "swarm"')
    mine = Backwards()
    assert experiment(mine).run().run.executor == "backwards"
    assert mine.seen == [1, 0]


@pytest.mark.parametrize("how", ["in the list", "configured", "passed", "of the experiment"])
def test_the_executor_of_one_run_takes_the_place_of_any_other(site, project, how):
    """And only for that run."""
    site.plugin(*executor(), group="plugins" if how == "in the list" else "executors")
    project.config({"in the list": 'plugins = ["swarm"]', "configured": 'executor = "swarm"'}.get(how, ""))
    plugins = [Backwards()] if how == "passed" else []
    made = experiment(*plugins, executor="swarm" if how == "of the experiment" else None)
    before = made.run().run.executor

    class Other(Backwards):
        plugin_name = "other"

    result = made.run(executor=Other())
    assert (result.run.executor, [p.name for p in result.run.stack]) == ("other", ["other"])
    assert made.run().run.executor == before


def test_the_executor_of_one_run_can_be_a_name(site):
    """What is passed as an object and can run replicates makes way."""
    site.plugin(*executor(), group="executors")
    made = experiment(Backwards())
    assert made.run(executor="swarm").run.executor == "swarm"
    assert made.run().run.executor == "backwards"


def test_an_executor_may_leave_the_work_to_the_plain_loop(project):
    """None and NotImplemented both pass."""

    class Passing(BasePlugin):
        def __init__(self, answer):
            self.answer = answer

        def run_experiment_loop(self):
            return self.answer

    for answer in (None, NotImplemented):
        result = experiment(Passing(answer), autoload=False).run()
        assert (result.errors, result.run.executor) == ({}, "passing")


def test_an_executor_that_loses_replicates_is_named(project):
    """What did arrive is in the result of the error."""

    class Lossy(BasePlugin):
        def run_experiment_loop(self, replicate_fn):
            return [replicate_fn(0)]

    with pytest.raises(ExecutorError) as caught:
        experiment(Lossy(), autoload=False).run()
    assert str(caught.value) == (
        "executor 'lossy' lost 1 of 2 replicates: 1 [plugin 'lossy', hook 'run_experiment_loop']"
    )
    assert caught.value.result.errors == {}
