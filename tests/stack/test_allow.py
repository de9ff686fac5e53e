"""`allow`: nothing of a distribution that it does not name is imported."""

from __future__ import annotations

import warnings

import pytest

from crystallize_core import ConfigurationError
from crystallize_core.stack.allowing import Allowance
from crystallize_core.stack.overrides import overridden
from crystallize_core.stack.resolve import resolve

PLUGIN = """
from crystallize_core import BasePlugin

class Plugin(BasePlugin):
    def before_run(self, run): ...
"""


@pytest.fixture
def evil(site, tmp_path):
    """A distribution that writes a file when any part of it is imported; what it has written."""
    mark = tmp_path / "imported"
    code = f"open({str(mark)!r}, 'a').write('x')\n{PLUGIN}"
    site.module("x_evil", f"{code}\nSTACK = {{}}\nclass Runner(BasePlugin):\n    def run_experiment_loop(self): ...")
    site.distribution(
        "X_Evil",
        """
        [crystallize.plugins]
        evil = x_evil:Plugin
        [crystallize.executors]
        evil-runner = x_evil:Runner
        [crystallize.stacks]
        evil-stack = x_evil:STACK
        """,
    )
    site.plugin("good", PLUGIN)
    yield mark
    assert not mark.exists()


def names(stack):
    return [plugin.name for plugin in stack]


def refused(**more):
    with pytest.raises(ConfigurationError) as caught:
        resolve(**more)
    return str(caught.value)


def test_what_is_merely_installed_is_left_out_in_silence(evil, project):
    """It is in nobody's way; the reason is kept for `crystallize plugins list`."""
    project.config('allow = ["x-good"]')
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stack = resolve()
    assert names(stack) == ["good"]
    assert [(s.name, s.distribution, s.reason) for s in stack.skipped] == [("evil", "X_Evil 1.0", "not allowed")]


def test_what_is_asked_for_by_name_is_refused(evil, project):
    """Plugin, executor and stack, all at once, with what to add where."""
    path = project.config(
        'allow = ["x-good"]\nplugins = ["good", "evil", "evil as e"]\nexecutor = "evil-runner"\nextends = ["evil-stack"]'
    )
    why = f"is of X_Evil 1.0, which is not allowed; add 'x-evil' to {path}, allow"
    assert refused().splitlines() == [
        f"{path}:",
        f"  extends: stack 'evil-stack' {why}",
        f"  plugins: plugin 'evil' {why}",
        f"  plugins: plugin 'evil' {why}",
        f"  executor 'evil-runner' {why}",
    ]


def test_an_executor_of_one_run_is_refused(evil, project):
    """However it is asked for by name."""
    path = project.config('allow = ["x-good"]')
    assert refused(executor="evil-runner") == (
        f"{path}:\n  executor 'evil-runner' is of X_Evil 1.0, which is not allowed; add 'x-evil' to {path}, allow"
    )


@pytest.mark.parametrize("how", ["environment", "command line"])
def test_the_environment_and_the_command_line_can_say_it(evil, project, monkeypatch, how):
    """In place of the project, and without one; also where only what is passed counts."""
    project.config('allow = ["*"]')
    if how == "environment":
        monkeypatch.setenv("CRYSTALLIZE_ALLOW", "x-good, other-*")
    with overridden(options=("allow=x-good,other-*",) if how == "command line" else ()):
        assert names(resolve()) == ["good"]
        assert "which is not allowed" in refused(executor="evil-runner", autoload=False)


def test_nothing_at_all_may_be_allowed(evil, project):
    """Local files are the project's own."""
    project.write("hooks.py", PLUGIN.replace("class Plugin", "class Mine"))
    project.config("allow = []")
    assert names(resolve()) == []
    project.config('allow = []\nplugins = ["./hooks.py"]')
    assert names(resolve()) == ["mine"]


def test_options_for_what_is_not_allowed_are_no_mistake(evil, project, monkeypatch):
    """They are for those who allow it."""
    project.config('allow = ["x-good"]\n[options.evil]\nsize = 3')
    monkeypatch.setenv("CRYSTALLIZE_EVIL__SIZE", "3")
    assert names(resolve()) == ["good"]


def test_a_mistake_in_the_list_lets_nothing_in(evil, project):
    """It is not read as if there were no list."""
    path = project.config('allow = "x-good"')
    assert refused() == f"{path}:\n  allow: expected a list of str, found 'x-good'"


def test_of_two_distributions_the_allowed_one_ships_it(evil, site, project):
    """A stranger cannot take a name away."""
    site.distribution("x-other", "[crystallize.plugins]\ngood = x_evil:Plugin\n")
    project.config('allow = ["x-good"]\nplugins = ["good"]')
    assert [(p.name, p.distribution) for p in resolve()] == [("good", "x-good")]


def test_a_shipped_stack_cannot_allow_anything(evil, site, project):
    """Whom to trust is for the project to say."""
    site.plugin("house", "Plugin = {'allow': ['*']}", group="stacks")
    project.config('extends = ["house"]')
    assert refused() == ("stack 'house' of x-house 1.0:\n  allow: only a project says which distributions it allows")


@pytest.mark.parametrize(
    ("pattern", "distribution", "permitted"),
    [
        ("crystallize-seeding", "Crystallize_Seeding", True),
        ("Acme.Plugins", "acme-plugins", True),
        ("acme-*", "acme-one", True),
        ("acme_*", "acme-one", True),
        ("acme-*", "acme", False),
        ("acme", "acme-one", False),
        ("acme-?", "acme-1", True),
        ("*", "?", True),
        ("acme-*", "?", False),
    ],
)
def test_names_are_compared_as_package_indexes_compare_them(pattern, distribution, permitted):
    """With `*` and `?` as in names of files; what has no name is nobody."""
    assert Allowance((pattern,)).permits(distribution) is permitted
