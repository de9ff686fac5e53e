"""A plugin may say which of its hooks a run has no use for."""

from __future__ import annotations

import pytest

from crystallize_core import BasePlugin, Experiment, PluginError, hookimpl, pipeline_step


@pipeline_step()
def same(data):
    return data


def run(plugin, replicates=2):
    return Experiment(lambda ctx: 1, [same], [plugin], replicates=replicates, autoload=False).run()


class Counting(BasePlugin):
    """Writes its calls down; does not want to hear of replicates where there is a single one."""

    unneeded = ("replicate_done", "after_run")

    def __init__(self):
        self.calls = []

    def unneeded_hooks(self, experiment):
        return self.unneeded if experiment.replicates == 1 else ()

    def before_run(self, experiment, run):
        self.calls.append("before_run")

    def replicate_done(self, experiment, replicate, outcome):
        self.calls.append("replicate_done")

    def after_run(self, experiment, result):
        self.calls.append("after_run")


def test_a_hook_that_a_run_has_no_use_for_is_not_called():
    """The others are."""
    plugin = Counting()
    run(plugin, replicates=1)
    assert plugin.calls == ["before_run"]


def test_each_run_is_asked_about_anew():
    """One plugin serves runs of both kinds."""
    plugin = Counting()
    run(plugin, replicates=2)
    assert plugin.calls == ["before_run", "replicate_done", "replicate_done", "after_run"]


def test_a_plugin_without_a_base_class_may_say_so_too():
    """Any object has the same means."""

    class Plain:
        calls = 0

        def unneeded_hooks(self, experiment):
            return ["after_run"]

        @hookimpl
        def after_run(self):
            Plain.calls += 1

    run(Plain())
    assert Plain.calls == 0


def test_what_cannot_be_left_out_is_refused():
    """The plan needs the hooks of the plan; and a misspelt hook is an error as everywhere."""
    plugin = Counting()
    plugin.unneeded = ("wrap_step", "replicate_don")
    with pytest.raises(PluginError) as caught:
        run(plugin, replicates=1)
    assert str(caught.value) == (
        "unneeded_hooks of plugin 'counting' names 'replicate_don', 'wrap_step'; it may name: after_replicate, "
        "after_run, after_step, before_replicate, before_run, before_step, cache_dependencies, describe_run, "
        "load_replicate, on_event, replicate_done, should_stop, step_failed, step_skipped, store_asset "
        "[plugin 'counting']"
    )


def test_a_plugin_that_cannot_say_is_named():
    """Its error is the cause."""

    class Broken(BasePlugin):
        def unneeded_hooks(self, experiment):
            raise OSError("disk")

    with pytest.raises(PluginError) as caught:
        run(Broken())
    assert str(caught.value) == "unneeded_hooks of plugin 'broken' raised OSError: disk [plugin 'broken']"
    assert repr(caught.value.__cause__) == "OSError('disk')"
