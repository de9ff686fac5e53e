"""`crystallize config show`, and the options `--profile` and `-o` of the commands that look for a stack."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys

import pytest

from crystallize_core.engine.replicates import ReplicateFunction
from crystallize_core.engine.run import Run
from crystallize_core.stack.files import load_file
from crystallize_core.stack.overrides import overridden

PLUGIN = """
import attrs

from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    size: int = 1
    token: str = ""
    table: dict[str, int] = attrs.field(factory=dict)

    def before_run(self, run): ...

    def describe_run(self):
        return {"size": self.size}

class Lucky(BasePlugin):
    def __init__(self, number: int = 1):
        self.number = number

    @classmethod
    def autoload(cls):
        return cls(7)

@attrs.define
class Runner(BasePlugin):
    workers: int = 1

    def run_experiment_loop(self, replicate_fn):
        return [replicate_fn(number) for number in replicate_fn.pending]
"""

EXPERIMENT = """
from conf_a import Plugin

from crystallize_core import Experiment

def steps(data):
    return data

experiment = Experiment(lambda ctx: 1, [steps], plugins={plugins})
"""


@pytest.fixture
def conf(project, install, monkeypatch):
    """The distribution `conf-a` is installed, and nothing else takes part."""
    monkeypatch.setenv("CRYSTALLIZE_ALLOW", "conf-*")
    install(
        "conf-a",
        {"crystallize.plugins": {"a": "conf_a:Plugin"}, "crystallize.executors": {"runner": "conf_a:Runner"}},
        {"conf_a": PLUGIN},
    )
    return install


@pytest.fixture
def shown(crystallize):
    """What the command prints as JSON."""

    def shown(*args):
        result = crystallize("config", "show", "--json", *args)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return shown


def _values(found):
    every = [*found["settings"], *(option for plugin in found["plugins"] for option in plugin["options"])]
    return {setting["name"]: setting["value"] for setting in every}


def _sources(found, name):
    every = [
        *found["settings"],
        *found["unused"],
        *(option for plugin in found["plugins"] for option in plugin["options"]),
    ]
    setting = next(setting for setting in every if setting["name"] == name)
    return (
        setting["value"],
        [(one["kind"], one["source"], one["line"]) for one in setting["from"]],
        [(one["value"], one["source"], one["line"]) for one in setting["overridden"]],
    )


ALLOW = [("environment", "environment variable CRYSTALLIZE_ALLOW", None)]


def test_without_anything_everything_is_a_default(conf, shown):
    """Each setting and each option is there."""
    found = shown()
    default = [("default", "default", None)]
    assert found["configuration"] is None
    assert _values(found) == {
        "profile": None,
        "extends": [],
        "plugins": ["a"],
        "disable": [],
        "executor": None,
        "allow": ["conf-*"],
        "autoload": True,
        "strict": False,
        "a.size": 1,
        "a.token": "***",
        "a.table": {},
    }
    assert _sources(found, "plugins")[1] == [("default", "default: everything that is installed", None)]
    assert _sources(found, "executor")[1] == [("default", "default: one replicate after the other", None)]
    assert _sources(found, "allow")[1] == ALLOW
    assert _sources(found, "strict")[1] == _sources(found, "profile")[1] == default
    assert _sources(found, "a.size")[1] == [("default", "default of conf-a 1.2", None)]


def test_every_value_has_its_origin_and_what_it_replaces(conf, shown, write, monkeypatch):
    """With the lines of the file."""
    path = write(
        "crystallize.toml",
        'plugins = ["a as one", "a"]\nexecutor = "x"\n[options.a]\nsize = 3\n[options.a.table]\nk = 1\n'
        '[profiles.ci]\nexecutor = "y"\n[profiles.ci.options.a]\nsize = 4\n',
    )
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "5")
    monkeypatch.setenv("CRYSTALLIZE_A__TABLE__K", "2")
    monkeypatch.setenv("CRYSTALLIZE_STRICT", "1")
    found = shown("--profile", "ci", "-o", "a.size=6", "-o", "executor=runner", "-o", "runner.workers=2")
    assert found["configuration"] == f"{path}, profile 'ci'"
    assert _sources(found, "profile") == ("ci", [("command line", "--profile", None)], [])
    assert _sources(found, "plugins") == (["one", "a"], [("file", f"{path}, plugins", 1)], [])
    assert _sources(found, "executor") == (
        "runner",
        [("command line", "-o executor", None)],
        [("y", f"{path}, profiles.ci.executor", 8), ("x", f"{path}, executor", 2)],
    )
    assert _sources(found, "a.size") == (
        6,
        [("command line", "-o a.size", None)],
        [
            (5, "environment variable CRYSTALLIZE_A__SIZE", None),
            (4, f"{path}, profiles.ci.options.a.size", 10),
            (3, f"{path}, options.a.size", 4),
        ],
    )
    assert _sources(found, "a.table")[:2] == ({"k": 2}, [("file", f"{path}, options.a.table", None)])
    assert _sources(found, "a.table.k")[:2] == (
        2,
        [("environment", "environment variable CRYSTALLIZE_A__TABLE__K", None)],
    )
    assert _sources(found, "strict")[:2] == (True, [("environment", "environment variable CRYSTALLIZE_STRICT", None)])
    assert _sources(found, "runner.workers")[:2] == (2, [("command line", "-o runner.workers", None)])
    assert [(p["name"], p["instance_of"], p["distribution"]) for p in found["plugins"]] == [
        ("one", "a", "conf-a"),
        ("a", None, "conf-a"),
        ("runner", None, "conf-a"),
    ]


def test_secrets_are_masked_wherever_they_come_from(conf, shown, crystallize, write, monkeypatch):
    """Also those that do not count, and those of plugins that are not there."""
    write("crystallize.toml", 'plugins = ["a"]\n[options.a]\ntoken = "s3cret"\n[options.runner]\ntoken = "s3cret"')
    monkeypatch.setenv("CRYSTALLIZE_A__TOKEN", "s3cret")
    found = shown("-o", "a.token=s3cret")
    assert _sources(found, "a.token")[0] == "***"
    assert [one[0] for one in _sources(found, "a.token")[2]] == ["***", "***"]
    assert _sources(found, "runner.token")[0] == "***"
    for arguments in (["--json"], []):
        assert "s3cret" not in crystallize("config", "show", *arguments, "-o", "a.token=s3cret").output


def test_it_works_while_plugins_are_broken(conf, shown, write, monkeypatch):
    """They are listed with the reason; the rest is shown."""
    monkeypatch.setenv("CRYSTALLIZE_ALLOW", "conf-*")
    conf("conf-b", {"crystallize.plugins": {"b": "conf_b:Plugin"}}, {"conf_b": "raise RuntimeError('no')"})
    write("crystallize.toml", 'plugins = ["b", "a", "c"]\n[options.a]\nsize = "x"\n[options.b]\nsize = 3')
    found = shown("-o", "a.size=3")
    reason = "plugin 'b' (conf_b:Plugin) cannot be imported: RuntimeError: no [distribution 'conf-b 1.2', plugin 'b']"
    assert found["skipped"] == [{"name": "b", "distribution": "conf-b 1.2", "reason": reason, "broken": True}]
    assert found["problems"] == [
        reason,
        "plugins: 'c' is not installed: pip install crystallize-c (installed: 'a', 'b'.)",
    ]
    assert _values(found)["a.size"] == 3
    assert [setting["name"] for setting in found["unused"]] == ["b.size"]


def test_it_works_where_the_configuration_cannot_be_read(conf, shown, write):
    """The error says where."""
    path = write("crystallize.toml", "plugins = [")
    found = shown()
    assert found["problems"] == [f"{path} cannot be read: Invalid value (at end of document)"]
    write("crystallize.toml", 'plugin = ["a"]\nexecutor = "runner"')
    found = shown()
    assert found["problems"] == ["plugin: unknown key; did you mean 'plugins'?"]
    assert _values(found)["executor"] == "runner"


def test_what_is_left_out_is_shown(conf, shown, install, monkeypatch):
    """With the reason."""
    install("other", {"crystallize.plugins": {"other": "other_:X"}}, {"other_": "raise SystemExit"})
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "a")
    found = shown()
    skipped = {s["name"]: (s["reason"], s["broken"]) for s in found["skipped"]}
    assert (skipped["a"], skipped["other"]) == (("disabled", False), ("not allowed", False))


def test_what_has_no_effect_is_shown(conf, shown, write, monkeypatch):
    """A name that belongs to nothing, and options of what is not in the stack."""
    monkeypatch.setenv("CRYSTALLIZE_DISABLE", "aa")
    assert shown("-o", "runner.workers=3")["idle"][1:] == [
        "-o runner.workers has no effect: plugin 'runner' is not in the stack"
    ]
    assert shown()["idle"][0].startswith("environment variable CRYSTALLIZE_DISABLE has no effect on 'aa': there is no")


def test_objects_and_autoload_are_no_defaults(conf, shown, install, write):
    """Somebody has made them with these values."""
    install(
        "conf-c",
        {"crystallize.plugins": {"lucky": "conf_a:Lucky", "ready": "conf_c:ready"}},
        {"conf_c": "from conf_a import Plugin\nready = Plugin(size=9)"},
    )
    found = shown()
    assert _sources(found, "lucky.number")[:2] == (7, [("default", "Lucky.autoload() of conf-c 1.2", None)])
    assert _sources(found, "ready.size")[:2] == (9, [("default", "an object of conf-c 1.2", None)])


def test_the_stack_of_a_target(conf, shown, write, monkeypatch):
    """With what was passed in Python, which counts most."""
    monkeypatch.setenv("CRYSTALLIZE_A__SIZE", "5")
    write("mine.py", EXPERIMENT.format(plugins="[Plugin(size=2), Plugin(size=3).named('more')]"))
    found = shown("mine.py")
    passed = [("argument", "an object that was passed in Python", None)]
    assert _values(found)["plugins"] == ["a", "more"]
    assert _sources(found, "plugins")[1][1] == ("argument", "in Python: a, more", None)
    assert _sources(found, "a.size") == (2, passed, [(5, "environment variable CRYSTALLIZE_A__SIZE", None)])
    assert _sources(found, "more.size") == (3, passed, [])


def test_the_stack_of_a_pipeline(conf, shown, write):
    """Which is the one that is configured here."""
    write("mine.py", "from crystallize_core import pipeline\np = pipeline(lambda data: data)")
    assert _values(shown("mine.py", "-o", "a.size=4"))["a.size"] == 4


def test_as_text(conf, crystallize, write, monkeypatch):
    """One line for each value."""
    monkeypatch.setenv("CRYSTALLIZE_ALLOW", "")
    path = write("crystallize.toml", 'plugins = ["a as b"]\n[options.b]\nsize = 3\n[options.runner]\nworkers = 3\n')
    output = crystallize("config", "show", "-o", "b.size=4").output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert lines[0] == f"configuration: {path}"
    assert "[b] instance of a, conf-a 1.2" in lines
    assert f"b.size 4 -o b.size (instead of 3: {path}, options.b.size, line 3)" in lines
    assert f"runner.workers = 3 ({path}, options.runner.workers, line 5)" in lines


# The options of all commands ------------------------------------------------------------------------------

RUNS = """
from crystallize_core import Experiment

experiment = Experiment(lambda ctx: 1, [lambda data: data], plugins=[])

def later():
    return Experiment(lambda ctx: 1, [lambda data: data], replicates=2)
"""


@pytest.mark.parametrize("name", ["experiment", "later"])
def test_a_run_uses_what_the_command_line_says(conf, crystallize, write, name):
    """In the code of the user, whenever it makes its experiment; and not in the next run."""
    write("crystallize.toml", "[profiles.ci.options.a]\nsize = 4\n")

    def size(*args):
        file = f"runs_{len(args)}.py"  # a process runs a file once
        write(file, RUNS)
        result = crystallize("run", f"{file}:{name}", "--json", *args)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["run"]["described"]["a"]["size"]

    assert size("-o", "a.size=3", "--profile", "ci") == 3
    assert size("--profile", "ci") == 4
    assert size() == 1


def test_a_mistake_is_one_message(conf, crystallize, write, project):
    """And exit code 2."""
    write("runs.py", RUNS)
    result = crystallize("run", "runs.py", "-o", "a.siz=3", "-o", "executor=runer")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[:3] == [
        f"error: {project / 'runs.py'} cannot be run: ConfigurationError: the stack:",
        "  -o a.siz: plugin 'a' has no option 'siz'; did you mean 'size'?",
        "  executor 'runer' is not installed; did you mean 'runner'?",
    ]


def test_the_list_of_plugins_goes_by_them(conf, crystallize):
    """As an experiment would."""
    result = crystallize("plugins", "list", "--json", "-o", "plugins=a, a as b", "-o", "allow=conf-a")
    found = [e for e in json.loads(result.stdout)["plugins"] if e["status"] != "not allowed"]
    assert [(e["name"], e["status"], e["instance_of"]) for e in found] == [
        ("a", "active", None),
        ("b", "active", "a"),
        ("runner", "not chosen", None),
    ]


def test_the_list_of_plugins_says_who_left_something_out(conf, crystallize, install, write):
    """A shipped stack, the command line, or a list that does not name it."""
    install(
        "conf-b",
        {"crystallize.plugins": {"b": "conf_a:Plugin", "c": "conf_a:Plugin"}, "crystallize.stacks": {"s": "conf_b:S"}},
        {"conf_b": "S = {'disable': ['b']}"},
    )
    write("crystallize.toml", 'extends = ["s"]')

    def reasons(*options):
        result = crystallize("plugins", "list", "--json", *options)
        entries = json.loads(result.stdout)["plugins"]
        return {e["name"]: (e["status"], e["reason"]) for e in entries if e["name"] in ("a", "b", "c")}

    assert reasons("-o", "disable=a") == {
        "a": ("disabled", "disabled by -o disable"),
        "b": ("disabled", "disabled by stack 's' of conf-b 1.2, disable"),
        "c": ("active", None),
    }
    assert reasons("-o", "plugins=a")["c"] == ("not in the stack", "-o plugins does not name it")


def test_what_is_not_allowed_is_listed_and_not_imported(conf, crystallize, install, project):
    """With the distribution to add, and where."""
    install(
        "stranger", {"crystallize.plugins": {"st": "stranger_:X"}}, {"stranger_": "open('imported', 'w').write('x')"}
    )
    result = crystallize("plugins", "list", "--json")
    entry = next(e for e in json.loads(result.stdout)["plugins"] if e["name"] == "st")
    assert (entry["status"], entry["hooks"], entry["active"]) == ("not allowed", [], False)
    assert entry["reason"] == (
        "plugin 'st' is of stranger 1.2, which is not allowed; add 'stranger' to environment variable CRYSTALLIZE_ALLOW"
    )
    assert not (project / "imported").exists()


def test_a_command_that_is_not_allowed_is_refused(conf, crystallize, install, project):
    """Before it is imported."""
    install("stranger", {"crystallize.commands": {"st": "stranger_:X"}}, {"stranger_": "open('imported', 'w')"})
    result = crystallize("st")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: command 'st' is of stranger 1.2, which is not allowed; add 'stranger' to environment variable "
        "CRYSTALLIZE_ALLOW\n"
    )
    assert not (project / "imported").exists()


WORKERS = """
from crystallize_core import Experiment
from crystallize_core.stack.overrides import overrides

HERE = overrides()

def step(data):
    return data, {"ci": HERE.profile == "ci", "options": len(HERE.options)}

def source(ctx):
    return 1

experiment = Experiment(source, [step])
"""
IN_A_WORKER = """
import pickle, sys
replicate_fn = pickle.loads(sys.stdin.buffer.read())
print([(name, value) for name, value, _ in replicate_fn(0).cells[0].metrics])
"""


def test_workers_get_what_the_command_line_says(project, write, monkeypatch):
    """Before they load a file again, which may make experiments."""
    monkeypatch.setenv("CRYSTALLIZE_ALLOW", "none")
    write("crystallize.toml", "plugins = []\n[profiles.ci]\n")
    with overridden(profile="ci", options=("disable=cache", "allow=none")):
        run = Run(load_file(write("workers.py", WORKERS)).experiment)
        sent = pickle.dumps(ReplicateFunction(run.session, None))
    answer = subprocess.run(
        [sys.executable, "-c", IN_A_WORKER], input=sent, capture_output=True, check=True, timeout=120
    )
    assert answer.stdout.decode().strip() == "[('ci', True), ('options', 2)]"
