"""The version of the contract that a plugin was written for, and what becomes of parts that are given up."""

from __future__ import annotations

import warnings

import pytest

from crystallize_core import BasePlugin, PluginDeprecationWarning, PluginError, PluginWarning, hookimpl, hookspecs
from crystallize_core.deprecation import deprecated, deprecations_of
from crystallize_core.stack import contract
from crystallize_core.stack.resolve import resolve
from crystallize_core.version import version

PLUGIN = """
from crystallize_core import BasePlugin

class Plugin(BasePlugin):
    contract = {contract!r}

    def __init__(self):
        assert {contract!r} in (None, "1.0", "1.2"), "it must not be made"

    def before_run(self, run): ...
"""

HERE = f"crystallize-core {version()}"


def plugin(said):
    return PLUGIN.format(contract=said)


def refused(*given):
    with pytest.raises(PluginError) as caught:
        resolve(given)
    return caught.value.message


@pytest.fixture
def newer(monkeypatch):
    """A core with a later contract than that of today, that has given up the first."""
    cores = {"1.2": "0.4", "2.0": "0.9", "2.1": "1.1"}
    monkeypatch.setattr(contract, "CORES", cores)
    monkeypatch.setattr(contract, "OLDEST", "1.2")
    monkeypatch.setattr(contract, "CONTRACT", "2.0")


def test_the_contract_of_this_core_is_the_last_of_those_that_it_keeps():
    """And the first core that has it is no later one than this."""
    assert list(hookspecs.CORES)[-1] == hookspecs.CONTRACT
    assert tuple(map(int, hookspecs.CORES[hookspecs.CONTRACT].split("."))) <= tuple(map(int, version().split(".")[:3]))


@pytest.mark.parametrize("said", [None, "1.0"])
def test_a_plugin_of_this_contract_works(site, project, said):
    """So does one that does not say."""
    site.plugin("a", plugin(said))
    project.config('plugins = ["a"]')
    assert [p.name for p in resolve()] == ["a"]


def test_an_older_one_within_the_promise_works(site, project, newer):
    """Arguments were added since, and it does not need them."""
    site.plugin("a", plugin("1.2"))
    project.config('plugins = ["a"]')
    assert [p.name for p in resolve()] == ["a"]


def test_a_newer_one_that_is_asked_for_is_refused_before_it_is_imported(site, project):
    """Where its distribution says what it needs: with the line to run."""
    site.plugin("a", plugin("1.7"))
    metadata = site.folder / "x_a-1.0.dist-info" / "METADATA"
    needs = "Requires-Dist: attrs\nRequires-Dist: Crystallize_Core (>=0.7, <2) ; python_version > '3'\n"
    metadata.write_text(metadata.read_text(encoding="utf-8") + needs, encoding="utf-8")
    project.config('plugins = ["a"]')
    assert refused() == (
        f"plugin 'a' needs crystallize-core>=0.7,<2, and {version()} is here: pip install -U 'crystallize-core>=0.7,<2'"
    )


def test_without_a_bound_the_newest_core_is_advised(site, project):
    """Which version has that contract is not known here."""
    site.plugin("a", plugin("2.0"))
    project.config('plugins = ["a"]')
    assert refused().endswith(f"and {HERE} has 1.0: pip install -U crystallize-core")


def test_a_known_contract_has_a_known_core(site, project, newer):
    """The table says which."""
    site.plugin("a", plugin("2.1"))
    project.config('plugins = ["a"]')
    assert refused().endswith("has 2.0: pip install -U 'crystallize-core>=1.1'")


def test_a_newer_one_that_is_merely_installed_is_skipped(site):
    """With a warning that says the same."""
    site.plugin("a", plugin("1.7"))
    with pytest.warns(PluginWarning, match=r"'a' of x-a 1.0 is skipped: .* pip install -U crystallize-core"):
        stack = resolve()
    assert [p.name for p in stack] == []


def test_one_that_is_too_old_is_refused(site, project, newer):
    """It uses something that is gone."""
    site.plugin("a", plugin("1.0"))
    project.config('plugins = ["a"]')
    assert refused() == (
        f"plugin 'a' was written for contract 1.0, and {HERE} has 2.0, which works with 1.2 and newer: "
        f"update the plugin"
    )


def test_a_passed_plugin_is_looked_at_too():
    """Wherever it comes from."""

    class Mine(BasePlugin):
        contract = "3.0"

    assert refused(Mine()).startswith("plugin 'mine' was written for contract 3.0")


def test_a_module_says_it_too(project, site):
    """By an attribute of that name; one that is something else is not ours."""
    code = "from crystallize_core import hookimpl\n{}\n@hookimpl\ndef before_run(run): ..."
    project.config('plugins = ["./hooks.py"]')
    project.write("hooks.py", code.format("contract = '3.0'"))
    assert refused().startswith("plugin 'hooks' was written for contract 3.0")
    project.write("other.py", code.format("def contract(): ..."))
    project.config('plugins = ["./other.py"]')
    assert [p.name for p in resolve()] == ["other"]


@pytest.mark.parametrize("said", [1.0, 1, "one", "1", "1.0.0", ">=1.0"])
def test_what_is_no_version_is_refused(said):
    """It would be compared with one."""

    class Mine(BasePlugin):
        pass

    Mine.contract = said
    assert refused(Mine()) == (
        f"plugin 'mine' cannot be used: contract must be a version such as '1.0', found {said!r}"
    )


def test_a_property_of_a_stranger_is_not_run():
    """Whatever it is called."""

    class Stranger:
        @property
        def contract(self):
            raise AssertionError

        @hookimpl
        def before_run(self): ...

    assert [p.name for p in resolve([Stranger()], autoload=False)] == ["stranger"]


# What is given up ---------------------------------------------------------------------------------------


@pytest.fixture
def giving_up(monkeypatch):
    """Mark a hook of this core as given up, as hookspecs will do it; nothing was warned of yet."""
    monkeypatch.setattr(contract, "_told", set())

    def mark(hook, argument=None, **more):
        def spec(): ...

        deprecated(argument, **more)(spec)
        for name, value in vars(spec).items():
            monkeypatch.setattr(hookspecs.HOOKS[hook], name, value, raising=False)

    return mark


def warned(*given):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resolve(given)
    assert {warning.category for warning in caught} <= {PluginDeprecationWarning}
    return [str(warning.message) for warning in caught]


USES = """
from crystallize_core import BasePlugin

class Plugin(BasePlugin):
    def before_run(self, experiment, run): ...

    def after_run(self, result): ...
"""


def test_nothing_is_given_up_today():
    """This test goes when something is."""
    assert [name for name, spec in hookspecs.HOOKS.items() if deprecations_of(spec)] == []


def test_a_plugin_that_uses_a_hook_that_is_given_up_is_named_once(site, giving_up):
    """With its version, since when, and what to use; it still works."""
    site.plugin("a", USES)
    giving_up("before_run", since="1.2", removal="2.0", replacement="the hook 'run_starts'")
    assert warned() == [
        (
            "plugin 'a' (x-a 1.0) uses hook 'before_run', which is deprecated since contract 1.2 and will be gone in 2.0; "
            "use the hook 'run_starts' instead. It still works; look for an update of the plugin"
        )
    ]
    assert warned() == []
    assert resolve().find("a") is not None


def test_an_argument_that_is_given_up(site, project, giving_up):
    """Only those are named who take it; a local file by its path."""
    site.plugin("a", USES.replace("self, experiment, run", "self, run"))
    path = project.write("hooks.py", USES.replace("class Plugin", "class Mine"))
    project.config('plugins = ["a", "./hooks.py"]')
    giving_up("before_run", "experiment", since="1.1", removal="2.0", replacement="run.experiment")
    assert warned() == [
        (
            f"plugin 'mine' ({path}) uses argument 'experiment' of hook 'before_run', which is deprecated since contract "
            f"1.1 and will be gone in 2.0; use run.experiment instead. It still works; look for an update of the plugin"
        )
    ]


def test_those_who_use_nothing_of_it_are_not_named(site, giving_up):
    """Also where other hooks are given up."""
    site.plugin("a", USES)
    giving_up("on_event", since="1.2", removal="2.0", replacement="another hook")
    assert warned() == []


def test_users_see_the_warning():
    """Python hides a `DeprecationWarning` from those who did not write the code."""
    assert not issubclass(PluginDeprecationWarning, DeprecationWarning)
