"""A broken plugin never stops an unrelated run; where it is asked for, the error says whose it is."""

from __future__ import annotations

import warnings

import pytest

from crystallize_core import Experiment, PluginError, PluginWarning, pipeline_step
from crystallize_core.stack.resolve import resolve

GOOD = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    calls: list = attrs.field(factory=list)

    def before_run(self, run):
        self.calls.append("before_run")
"""

BROKEN = {
    "raises on import": (
        "raise RuntimeError('no GPU')",
        "plugin 'broken' (x_broken:Plugin) cannot be imported: RuntimeError: no GPU",
    ),
    "exits on import": (
        "raise SystemExit('bye')",
        "plugin 'broken' (x_broken:Plugin) cannot be imported: SystemExit: bye",
    ),
    "has a syntax error": (
        "class Plugin(:",
        "plugin 'broken' (x_broken:Plugin) cannot be imported: SyntaxError: invalid syntax (x_broken.py, line 1)",
    ),
    "has nothing of that name": (
        "",
        "plugin 'broken' (x_broken:Plugin) cannot be imported: AttributeError: module 'x_broken' has no attribute 'Plugin'",
    ),
    "raises at construction": (
        """
        from crystallize_core import BasePlugin

        class Plugin(BasePlugin):
            def __init__(self):
                raise OSError("no licence")
        """,
        "plugin 'broken' cannot be made: OSError: no licence",
    ),
    "exits at construction": (
        """
        from crystallize_core import hookimpl

        class Plugin:
            def __init__(self):
                raise SystemExit(3)

            @hookimpl
            def before_run(self): ...
        """,
        "plugin 'broken' cannot be made: SystemExit: 3",
    ),
    "is no plugin": (
        "Plugin = object",
        "plugin 'broken' cannot be used:\n  it implements no hook; mark functions with @hookimpl or subclass BasePlugin",
    ),
    "has a misspelt hook": (
        """
        from crystallize_core import BasePlugin

        class Plugin(BasePlugin):
            def before_stp(self, step, ctx): ...
        """,
        (
            "plugin 'broken' cannot be used:\n  method 'before_stp' of Plugin looks like the hook 'before_step'; did you mean "
            "'before_step'? (a helper of that name starts with an underscore)"
        ),
    ),
    "takes an unknown argument": (
        """
        from crystallize_core import BasePlugin

        class Plugin(BasePlugin):
            def before_step(self, stepp, ctx): ...
        """,
        (
            "plugin 'broken' cannot be used:\n  hook 'before_step' has no argument 'stepp'; did you mean 'step'? The hook is "
            "before_step(experiment, step, ctx)"
        ),
    ),
}
each_broken = pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
ADDRESS = "[distribution 'x-broken 1.0', plugin 'broken']"


@pipeline_step()
def double(data, ctx):
    ctx.metrics.add("double", data * 2)
    return data * 2


def experiment(*plugins, **more):
    return Experiment(lambda ctx: 2, [double()], plugins=plugins, **more)


@each_broken
def test_what_is_merely_installed_is_skipped_with_one_warning(site, code, reason):
    """Without a stack everything else is active, and the run is what it would be without the broken one."""
    site.plugin("broken", code)
    site.plugin("good", GOOD)
    with pytest.warns(PluginWarning) as caught:
        made = experiment()
    assert [str(warning.message) for warning in caught] == [
        f"installed plugin 'broken' of x-broken 1.0 is skipped: {reason} {ADDRESS}"
    ]
    result = made.run()
    assert made.get_plugin("good").calls == ["before_run"]
    assert made.get_plugin("broken") is None
    assert result.metrics.baseline.metrics == {"double": [4]}
    assert result.warnings == [f"installed plugin 'broken' was skipped: {reason} {ADDRESS}"]


@each_broken
def test_what_the_stack_names_is_an_error(site, project, code, reason):
    """Who asks for a plugin is not given a run without it."""
    site.plugin("broken", code)
    project.config('plugins = ["broken"]')
    with pytest.raises(PluginError) as caught:
        experiment()
    assert str(caught.value) == f"{reason} {ADDRESS}"


@each_broken
def test_strict_mode_refuses_what_is_merely_installed(site, monkeypatch, code, reason):
    """With CRYSTALLIZE_STRICT=1 nothing is skipped."""
    site.plugin("broken", code)
    monkeypatch.setenv("CRYSTALLIZE_STRICT", "1")
    with pytest.raises(PluginError) as caught:
        experiment()
    assert str(caught.value) == f"{reason} {ADDRESS}"


@each_broken
def test_a_disabled_plugin_is_not_even_imported(site, monkeypatch, code, reason):
    """Disabling is the way out for whoever has a broken plugin."""
    site.plugin("broken", f"open('imported', 'w').close()\n{code}" if not code.startswith("\n") else code)
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "broken")
    monkeypatch.setenv("CRYSTALLIZE_STRICT", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = experiment()
    assert [(s.name, s.distribution, s.reason, s.error) for s in made.stack.skipped] == [
        ("broken", "x-broken 1.0", "disabled", None)
    ]
    assert made.run().warnings == []


def test_an_entry_point_to_a_module_that_is_not_there_is_skipped(site):
    """The rest of the sentence names the module."""
    site.distribution("x-broken", "[crystallize.plugins]\nbroken = nowhere_at_all:Plugin\n")
    with pytest.warns(PluginWarning) as caught:
        stack = resolve()
    assert list(stack) == []
    assert [str(warning.message) for warning in caught] == [
        (
            "installed plugin 'broken' of x-broken 1.0 is skipped: plugin 'broken' (nowhere_at_all:Plugin) cannot be imported: "
            f"ModuleNotFoundError: No module named 'nowhere_at_all' {ADDRESS}"
        )
    ]


def test_the_cause_of_a_failed_import_is_kept(site, project):
    """Its traceback leads to the line that raised."""
    site.plugin("broken", "raise RuntimeError('no GPU')")
    project.config('plugins = ["broken"]')
    with pytest.raises(PluginError) as caught:
        resolve()
    assert repr(caught.value.__cause__) == "RuntimeError('no GPU')"


def test_a_required_option_that_nobody_gave_skips_what_is_merely_installed(site):
    """A plugin that cannot do without an option waits for somebody who sets it."""
    site.plugin(
        "needy",
        """
        import attrs

        from crystallize_core import hookimpl

        @attrs.define
        class Plugin:
            token: str

            @hookimpl
            def before_run(self): ...
        """,
    )
    with pytest.warns(PluginWarning) as caught:
        stack = resolve()
    assert list(stack) == []
    assert len(caught) == 1
    assert "plugin 'needy' cannot be made: TypeError: " in str(caught[0].message)


def test_a_broken_plugin_among_passed_ones_is_an_error(site):
    """An object in plugins=[...] is asked for."""

    class Odd:
        pass

    with pytest.raises(PluginError) as caught:
        experiment(Odd())
    assert str(caught.value) == (
        "plugin 'odd' cannot be used:\n  it implements no hook; mark functions with @hookimpl or subclass BasePlugin "
        "[plugin 'odd']"
    )


def test_workers_of_a_run_with_a_skipped_plugin_do_not_look_for_it(site):
    """The recipe of a stack holds what is active and nothing else."""
    site.plugin("broken", "raise RuntimeError('no GPU')")
    with pytest.warns(PluginWarning):
        stack = resolve()
    rebuild, arguments = stack.__reduce__()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(rebuild(*arguments)) == []
