"""`crystallize plugins list`: what is installed, what is active here, and why the rest is not."""

from __future__ import annotations

import json

import pytest

GOOD = """
from crystallize_core import BasePlugin, hookimpl

class Good(BasePlugin):
    plugin_name = "good"

    def after_step(self, step):
        pass

    def before_run(self, experiment):
        pass

class Runner(BasePlugin):
    def run_experiment_loop(self, experiment, replicate_fn):
        return NotImplemented

class Object:
    @hookimpl
    def after_run(self, result):
        pass

an_object = Object()

@hookimpl
def init_hook(experiment):
    pass
"""


@pytest.fixture
def autoload(monkeypatch, project):
    """Installed plugins are active, as they are where nothing is configured."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")


@pytest.fixture
def listed(crystallize):
    """The entries of these names, in the order of the list, from JSON."""

    def listed(*names):
        done = crystallize("plugins", "list", "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        return [entry for entry in json.loads(done.stdout)["plugins"] if entry["name"] in names]

    return listed


def _states(entries):
    return [(entry["name"], entry["status"], entry["reason"]) for entry in entries]


def test_an_entry_says_what_there_is_to_know(listed, install, autoload):
    """Whole entries: a class, an object, a module, and an executor that is not chosen and so not imported."""
    found = {"good": "cli_good:Good", "an_object": "cli_good:an_object", "module": "cli_good"}
    install(
        "cli-good",
        {"crystallize.plugins": found, "crystallize.executors": {"runner": "cli_good:Runner"}},
        {"cli_good": GOOD},
    )
    common = {"distribution": "cli-good", "version": "1.2", "reason": None, "instance_of": None}
    active = {"kind": "plugin", "active": True, "status": "active"}
    assert sorted(listed("good", "an_object", "module", "runner"), key=lambda entry: entry["name"]) == [
        {"name": "an_object", "origin": "cli_good:an_object", "hooks": ["after_run"], **active, **common},
        {"name": "good", "origin": "cli_good:Good", "hooks": ["before_run", "after_step"], **active, **common},
        {"name": "module", "origin": "cli_good", "hooks": ["init_hook"], **active, **common},
        {
            "name": "runner",
            "origin": "cli_good:Runner",
            "hooks": [],
            "kind": "executor",
            "active": False,
            "status": "not chosen",
            **common,
        },
    ]


def test_the_table_has_one_line_for_each_plugin(crystallize, install, write):
    """Columns are aligned, reasons stand below."""
    install(
        "cli-good",
        {"crystallize.plugins": {"good": "cli_good:Good", "zz_broken": "cli_nowhere:Plugin"}},
        {"cli_good": GOOD},
    )
    path = write("crystallize.toml", 'plugins = ["good"]\n')
    lines = crystallize("plugins", "list").stdout.splitlines()
    header, rule, first, *_ = lines
    assert header.split() == ["name", "kind", "distribution", "version", "status", "hooks"]
    assert first.split() == ["good", "plugin", "cli-good", "1.2", "active", "before_run,", "after_step"]
    assert [header.index("status"), header.index("hooks")] == [first.index("active"), first.index("before_run")]
    assert set(rule) == {"-", " "}
    assert f"zz_broken: {path} does not name it" in lines
    assert lines[-1] == f"configuration: {path}"


def test_active_plugins_stand_in_the_order_of_the_stack(listed, install, write):
    """Behind them the others, by name."""
    names = dict.fromkeys(("a_first", "b_second", "c_third"), "cli_good:an_object")
    install("cli-good", {"crystallize.plugins": names}, {"cli_good": GOOD})
    path = write("crystallize.toml", 'plugins = ["c_third", "b_second"]\n')
    assert _states(listed(*names)) == [
        ("c_third", "active", None),
        ("b_second", "active", None),
        ("a_first", "not in the stack", f"{path} does not name it"),
    ]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("import cli_not_there", "ModuleNotFoundError: No module named 'cli_not_there'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("Plugin = 3", "it implements no hook"),
        (
            "from crystallize_core import hookimpl\nclass Plugin:\n    @hookimpl\n    def after_stp(self): ...",
            "'after_step'",
        ),
        (
            "from crystallize_core import hookimpl\nclass Plugin:\n    @hookimpl\n    def after_step(self, stp): ...",
            "'step'",
        ),
        ("class Plugin:\n    def __new__(cls): raise OSError", "cannot be made: OSError"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_hides_no_other(listed, install, autoload, module, reason):
    """Whatever is wrong with it."""
    install("cli-broken", {"crystallize.plugins": {"zz_broken": "cli_broken:Plugin"}}, {"cli_broken": module})
    install("cli-good", {"crystallize.plugins": {"good": "cli_good:Good"}}, {"cli_good": GOOD})
    good, broken = listed("good", "zz_broken")
    assert (good["status"], broken["status"], broken["hooks"]) == ("active", "broken", [])
    assert reason in broken["reason"]


def test_a_plugin_that_prints_does_not_disturb_json(crystallize, install, autoload):
    """What it prints goes to standard error."""
    install("cli-loud", {"crystallize.plugins": {"loud": "cli_loud:an_object"}}, {"cli_loud": GOOD + "\nprint('loud')"})
    done = crystallize("plugins", "list", "--json")
    assert done.stderr == "loud\n"
    assert "loud" in {entry["name"] for entry in json.loads(done.stdout)["plugins"]}


def test_a_disabled_plugin_says_who_disabled_it(listed, install, write, autoload, monkeypatch):
    """The configuration or the environment."""
    names = dict.fromkeys(("a_first", "b_second"), "cli_good:an_object")
    install("cli-good", {"crystallize.plugins": names}, {"cli_good": GOOD})
    path = write("crystallize.toml", 'disable = ["a_first"]\n')
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "b_second")
    assert _states(listed(*names)) == [
        ("a_first", "disabled", f"disabled in {path}"),
        ("b_second", "disabled", "disabled by CRYSTALLIZE_DISABLE"),
    ]


def test_without_autoload_nothing_is_active(listed, install, monkeypatch):
    """The reason names the variable."""
    monkeypatch.setenv("CRYSTALLIZE_AUTOLOAD", "0")
    install("cli-good", {"crystallize.plugins": {"good": "cli_good:Good"}}, {"cli_good": GOOD})
    assert _states(listed("good")) == [("good", "not in the stack", "CRYSTALLIZE_AUTOLOAD is off")]


def test_two_distributions_with_one_name_are_both_listed(listed, install, autoload):
    """Neither is active, and the reason names both."""
    for name, version in (("cli-one", "1.0"), ("cli-two", "2.0")):
        module = name.replace("-", "_")
        install(name, {"crystallize.plugins": {"same": f"{module}:an_object"}}, {module: GOOD}, version)
    reason = "shipped by cli-one 1.0 and cli-two 2.0; uninstall one of them, or disable = ['same']"
    entries = listed("same")
    assert _states(entries) == [("same", "duplicate", reason)] * 2
    assert [entry["distribution"] for entry in entries] == ["cli-one", "cli-two"]


def test_the_chosen_executor_is_active(listed, install, write):
    """The others are not chosen."""
    executors = {"one_at_a_time": "cli_good:Runner", "two_at_a_time": "cli_good:Runner"}
    install("cli-good", {"crystallize.executors": executors}, {"cli_good": GOOD})
    write("crystallize.toml", 'plugins = []\nexecutor = "two_at_a_time"\n')
    assert _states(listed(*executors)) == [("two_at_a_time", "active", None), ("one_at_a_time", "not chosen", None)]


def test_local_plugins_are_listed(listed, write):
    """By the names that they have in the stack, with their files."""
    write("crystallize.toml", 'plugins = ["./hooks.py"]\n')
    path = write(
        "hooks.py",
        """
        from crystallize_core import BasePlugin

        class Mine(BasePlugin):
            def after_run(self, result):
                pass
        """,
    )
    assert listed("mine") == [
        {
            "name": "mine",
            "kind": "local",
            "distribution": None,
            "version": None,
            "origin": str(path),
            "hooks": ["after_run"],
            "active": True,
            "status": "active",
            "reason": None,
            "instance_of": None,
        }
    ]


def test_a_broken_local_plugin_is_listed_with_its_reason(crystallize, write, project):
    """And the error of the stack is shown."""
    write("crystallize.toml", 'plugins = ["./hooks.py", "./other.py"]\n')
    path = write("hooks.py", "1 / 0\n")
    write("other.py", "from crystallize_core import hookimpl\n@hookimpl\ndef after_run():\n    pass\n")
    found = json.loads(crystallize("plugins", "list", "--json").stdout)
    reason = f"{path} cannot be run: ZeroDivisionError: division by zero"
    assert found["error"] == reason
    local = [entry for entry in found["plugins"] if entry["kind"] == "local"]
    assert _states(local) == [("hooks", "broken", reason), ("other", "not active", None)]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("plugins = [", "crystallize.toml cannot be read: "),
        ('plugin = ["good"]', "plugin: unknown key; did you mean 'plugins'?"),
        ('plugins = ["goood"]', "plugins: 'goood' is not installed; did you mean 'good'?"),
        ('plugins = ["good"]\nexecutor = "clutser"', "executor 'clutser' is not installed"),
        ('plugins = ["good"]\n[options.good]\nsize = 3', "size"),
    ],
)
def test_a_broken_configuration_is_shown_and_the_list_is_still_there(crystallize, install, write, text, error):
    """With the exit code 0: to list is what was asked for."""
    install("cli-good", {"crystallize.plugins": {"good": "cli_good:Good"}}, {"cli_good": GOOD})
    write("crystallize.toml", text)
    done = crystallize("plugins", "list", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, done.stderr) == (0, "")
    assert error in found["error"]
    assert ("good", "not active", None) in _states(found["plugins"])
    assert f"error: {found['error']}" in crystallize("plugins", "list").stdout


def test_a_wrong_environment_variable_is_shown(crystallize, monkeypatch):
    """As any other reason why an experiment would be refused."""
    monkeypatch.setenv("CRYSTALLIZE_STRICT", "perhaps")
    found = json.loads(crystallize("plugins", "list", "--json").stdout)
    assert found["error"] == "environment variable CRYSTALLIZE_STRICT: expected 1 or 0, found 'perhaps'"


def test_a_stack_that_a_distribution_ships_and_that_is_broken_is_shown(crystallize, install, write):
    """It is a stranger's code, and it may be of any kind."""
    install("cli-stack", {"crystallize.stacks": {"odd": "cli_stack:STACK"}}, {"cli_stack": "STACK = 3"})
    write("crystallize.toml", 'extends = ["odd"]\n')
    done = crystallize("plugins", "list", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["error"]
