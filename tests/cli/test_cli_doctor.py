"""`crystallize plugins doctor`: every code is found in a real distribution that is wrong in that way, and nothing else is."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from crystallize_core.cli.doctor.codes import CODES

pytestmark = pytest.mark.heavy

PLUGIN = """
from crystallize_core import BasePlugin

class Plugin(BasePlugin):
    plugin_name = "sick"

    def after_run(self, result):
        pass
"""
TIMEOUT = 20


@pytest.fixture
def alone(alone, install, monkeypatch):
    """Install a distribution where there is nothing else."""
    monkeypatch.delenv("CRYSTALLIZE_AUTOLOAD")
    return install


@pytest.fixture
def sick(alone):
    """Install the distribution `sick` with a plugin of that name, whose module has this code."""

    def sick(code, plugin=PLUGIN, **more):
        entry_points = more.pop("entry_points", {"sick": "cli_sick:Plugin"})
        modules = {"cli_sick": textwrap.dedent(code) + textwrap.dedent(plugin), **more}
        return alone("sick", {"crystallize.plugins": entry_points}, modules)

    return sick


@pytest.fixture
def diagnosed(crystallize):
    """The findings and the exit code."""

    def diagnosed(*options):
        done = crystallize("plugins", "doctor", "--json", "--timeout", TIMEOUT, *options)
        assert done.stderr == ""
        return json.loads(done.stdout)["findings"], done.exit_code

    return diagnosed


def _short(findings):
    return [(found["code"], found["plugin"], found["message"]) for found in findings]


def test_a_healthy_plugin_has_no_findings(sick, crystallize):
    """One that is active, with an executor beside it, in words and as JSON."""
    sick("")
    done = crystallize("plugins", "doctor", "--json")
    assert json.loads(done.stdout) == {
        "examined": ["sick 1.2"],
        "left_out": [],
        "errors": 0,
        "warnings": 0,
        "findings": [],
    }
    assert done.exit_code == 0
    done = crystallize("plugins", "doctor")
    assert done.stdout == "1 distributions and files examined: 0 errors, 0 warnings\n"
    assert done.stderr == "each distribution is examined in a process of its own\n"


def test_a_finding_says_everything(sick, crystallize):
    """As a table of JSON and as text: code, severity, whose, what, and the remedy."""
    folder = sick("1 / 0")
    done = crystallize("plugins", "doctor", "--json")
    message = f"ZeroDivisionError: division by zero, at {folder / 'cli_sick.py'}:1"
    found = {
        "code": "CZ101",
        "name": "import-error",
        "severity": "error",
        "plugin": "sick",
        "distribution": "sick 1.2",
        "message": message,
        "remedy": "install what is missing, or another version of the plugin",
    }
    assert json.loads(done.stdout) == {
        "examined": ["sick 1.2"],
        "left_out": [],
        "errors": 1,
        "warnings": 0,
        "findings": [found],
    }
    assert done.exit_code == 1
    assert crystallize("plugins", "doctor").stdout.splitlines() == [
        f"error CZ101 import-error: plugin 'sick' of sick 1.2: {message}",
        "  install what is missing, or another version of the plugin",
        "1 distributions and files examined: 1 errors, 0 warnings",
    ]


# The import -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cli_nowhere:Plugin", "the entry point refers to cli_nowhere:Plugin, and there is no module 'cli_nowhere'"),
        ("cli_sick:Nothing", "the entry point refers to cli_sick:Nothing, and cli_sick has no 'Nothing'"),
    ],
)
def test_an_entry_point_to_nothing(sick, diagnosed, value, message):
    """A module or a name in it that is not there."""
    sick("", entry_points={"sick": value})
    findings, code = diagnosed()
    assert (_short(findings), code) == ([("CZ102", "sick", message)], 1)


def test_a_missing_dependency_is_no_missing_target(sick, diagnosed):
    """The module is there, and something that it imports is not."""
    folder = sick("import cli_not_there")
    findings, _ = diagnosed()
    message = f"ModuleNotFoundError: No module named 'cli_not_there', at {folder / 'cli_sick.py'}:1"
    assert _short(findings) == [("CZ101", "sick", message)]


@pytest.mark.parametrize("stage", ["imported", "made"])
def test_a_plugin_that_hangs_costs_nobody_else_anything(alone, crystallize, stage):
    """Those behind it in the same distribution are examined, and so are other distributions."""
    hang = "import threading\nthreading.Event().wait()"
    made = f"{PLUGIN}\n    def __init__(self):\n{textwrap.indent(hang, '        ')}"
    code = f"{hang}\n" if stage == "imported" else made
    modules = {"cli_hangs": code, "cli_fine": PLUGIN.replace("sick", "z_fine"), "cli_bad": "1 / 0"}
    entries = {"hangs": "cli_hangs:Plugin", "z_fine": "cli_fine:Plugin"}
    folder = alone("cli-hangs", {"crystallize.plugins": entries}, modules)
    alone("cli-other", {"crystallize.plugins": {"other": "cli_bad:Plugin"}})
    done = crystallize("plugins", "doctor", "--json", "--timeout", 3)
    found = json.loads(done.stdout)
    assert [line[:2] for line in _short(found["findings"])] == [("CZ003", None), ("CZ101", "other"), ("CZ103", "hangs")]
    line = 2 if stage == "imported" else len(made.splitlines())
    message = f"it had not been {stage} after 3 s, and was at {folder / 'cli_hangs.py'}:{line}"
    assert _short(found["findings"])[2][2] == message
    assert (found["examined"], done.exit_code) == (["cli-other 1.2", "cli-hangs 1.2"], 1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os\nos._exit(7)", "the process ended with exit code 7 while it was imported"),
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            "the process ended by SIGSEGV while it was imported",
        ),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_a_plugin_that_ends_the_process(sick, diagnosed, code, message):
    """The doctor goes on; the stack of this folder is ended by it as well."""
    sick(code)
    findings, exit_code = diagnosed()
    assert [line for line in _short(findings) if line[0] != "CZ003"] == [("CZ104", "sick", message)]
    assert [line[0] for line in _short(findings)] == ["CZ003", "CZ104"]
    assert exit_code == 1


def test_a_plugin_that_calls_sys_exit(sick, diagnosed):
    """With the line that does it."""
    folder = sick("import sys\nsys.exit('enough')")
    findings, _ = diagnosed()
    message = f"SystemExit: enough was raised, at {folder / 'cli_sick.py'}:2"
    assert _short(findings) == [("CZ104", "sick", message)]


def test_a_slow_import_names_the_package_that_takes_longest(sick, diagnosed):
    """Measured without what Python and the core take; a warning, which fails only if that is asked for."""
    slow = "import time\nend = time.perf_counter() + 0.3\nwhile time.perf_counter() < end:\n    pass\n"
    sick("import cli_slow_part", cli_slow_part=slow)
    ((code, plugin, message),) = _short(diagnosed("--budget", 0.2)[0])
    assert (code, plugin) == ("CZ105", None)
    assert message.startswith("importing it takes 0.")
    assert " s in 'cli_slow_part'; the budget is 0.2 s" in message
    assert diagnosed("--budget", 0.2)[1] == 0
    assert diagnosed("--budget", 0.2, "--strict")[1] == 1
    assert diagnosed("--budget", 60, "--strict") == ([], 0)


# The plugin -----------------------------------------------------------------------------------------


def test_wrong_hooks(alone, diagnosed):
    """With what is meant."""
    hooks = {
        "a": ("def after_stp(self): ...", "unknown hook 'after_stp'; did you mean 'after_step'?"),
        "b": ("def after_step(self, stp): ...", "hook 'after_step' has no argument 'stp'; did you mean 'step'?"),
        "c": ("async def after_step(self): ...", "hook 'after_step' is `async def`; hooks are plain functions"),
    }
    code = "from crystallize_core import hookimpl\nclass Plugin:\n    @hookimpl\n    "
    modules = {f"cli_{name}": f"{code}{hook}\n" for name, (hook, _) in hooks.items()}
    alone("sick", {"crystallize.plugins": {name: f"cli_{name}:Plugin" for name in hooks}}, modules)
    found = _short(diagnosed()[0])
    assert [line[:2] for line in found] == [("CZ201", name) for name in hooks]
    assert [hint in message for (_, hint), (_, _, message) in zip(hooks.values(), found, strict=True)] == [True] * 3


REQUIRES = """
import attrs
from crystallize_core import BasePlugin

@attrs.define
class Plugin(BasePlugin):
    size: int = attrs.field(validator=attrs.validators.ge(1))

    def after_run(self): ...
"""


def test_a_plugin_that_needs_options(sick, diagnosed, write):
    """A warning, until the project gives them; wrong ones are an error."""
    sick("", REQUIRES)
    write("crystallize.toml", "plugins = []\n")
    message = "it cannot be made without options: options.sick.size: missing; expected int"
    assert _short(diagnosed()[0]) == [("CZ202", "sick", message)]
    write("crystallize.toml", 'plugins = ["sick"]\n[options.sick]\nsize = 3\n')
    assert diagnosed() == ([], 0)
    assert diagnosed("-o", "sick.size=4") == ([], 0)
    write("crystallize.toml", 'plugins = ["sick"]\n[options.sick]\nsize = 0\n')
    assert [line[:2] for line in _short(diagnosed()[0])] == [("CZ001", None), ("CZ203", "sick")]


def test_a_plugin_that_cannot_be_made(sick, diagnosed):
    """Whatever its constructor raises."""
    sick("", f"{PLUGIN}\n    def __init__(self):\n        raise OSError('no')\n")
    assert _short(diagnosed()[0]) == [("CZ203", "sick", "it cannot be made: OSError: no")]


def test_a_plugin_for_a_newer_core(sick, diagnosed):
    """With what is there."""
    sick("", f'{PLUGIN}\n    contract = "99.0"\n')
    findings = [line for line in _short(diagnosed()[0]) if line[0] != "CZ003"]
    ((code, plugin, message),) = findings
    assert (code, plugin) == ("CZ204", "sick")
    assert message.startswith("plugin 'sick' was written for contract 99.0, and crystallize-core ")


def test_a_plugin_that_uses_what_is_given_up(sick, diagnosed):
    """The plugin marks the hook itself here, because no hook is given up at present."""
    mark = "from crystallize_core.hookspecs import HOOKS\nfrom crystallize_core.deprecation import deprecated\n"
    sick(f"{mark}deprecated(since='0.1', removal='1.0', replacement='the hook before_run')(HOOKS['after_run'])\n")
    ((code, plugin, message),) = _short(diagnosed()[0])
    assert (code, plugin) == ("CZ205", "sick")
    assert "after_run" in message
    assert "the hook before_run" in message


# What the import does besides -----------------------------------------------------------------------


EFFECTS = [
    ("print('hello')", "CZ301", "its import prints 'hello'"),
    ("import sys\nprint('oh', file=sys.stderr)", "CZ301", "its import prints 'oh'"),
    ("import os\nos.write(1, b'low')", "CZ301", "its import prints 'low'"),
    (
        "import os\nos.environ['CLI_SICK'] = '1'",
        "CZ303",
        "its import changes the environment variables CLI_SICK",
    ),
    ("import random\nrandom.seed(1)", "CZ306", "its import changes the global state of random"),
    (
        "import threading\nthreading.Thread(target=threading.Event().wait, name='x', daemon=True).start()",
        "CZ307",
        "its import starts the threads x",
    ),
    (
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
        "CZ308",
        "its import sets handlers of SIGINT",
    ),
    ("import sys\nsys.path.append('/extra')", "CZ310", "its import changes sys.path: added '/extra'"),
    (
        "import crystallize_core.stack.order as order\norder.ordered = sorted",
        "CZ311",
        "its import replaces crystallize_core.stack.order.ordered",
    ),
    (
        "from crystallize_core.experiment import Experiment\nExperiment.run = None",
        "CZ311",
        "its import replaces crystallize_core.experiment.Experiment.run",
    ),
    (
        "import logging\nlogging.basicConfig()",
        "CZ312",
        "its import changes handlers of the root logger",
    ),
]


def test_what_an_import_does_besides(alone, diagnosed):
    """Each in a distribution of its own, said in words, and nothing else is found."""
    for at, (code, _, _) in enumerate(EFFECTS):
        name = f"cli-effect-{at:02}"
        module = name.replace("-", "_")
        plugin = PLUGIN.replace("sick", name)
        alone(name, {"crystallize.plugins": {name: f"{module}:Plugin"}}, {module: f"{code}\n{plugin}"})
    found = {f["distribution"]: (f["code"], f["message"]) for f in diagnosed()[0] if f["code"] != "CZ003"}
    assert found == {f"cli-effect-{at:02} 1.2": tuple(said) for at, (_, *said) in enumerate(EFFECTS)}


def test_a_changed_folder_is_found(sick, diagnosed):
    """With both."""
    sick("import os\nos.chdir('/')")
    ((code, _, message),) = _short(diagnosed()[0])
    assert (code, message[:43], message[-14:]) == (
        "CZ304", "its import changes the working directory: '", "/here' became '/'"[-14:]
    )  # fmt: skip


def test_a_changed_warning_filter_is_found(sick, diagnosed):
    """The whole filter is shown."""
    sick("import warnings\nwarnings.simplefilter('ignore')")
    ((code, _, message),) = _short(diagnosed()[0])
    assert code == "CZ309"
    assert message.startswith("its import changes the filters of warnings: added ('ignore', None, ")


def test_a_changed_locale_is_found(sick, diagnosed):
    """Where the machine has another one than that of the process."""
    import locale

    other = next((name for name in ("C.UTF-8", "en_US.UTF-8", "POSIX") if _can_be_set(locale, name)), None)
    if other is None:
        pytest.skip("this machine has no other locale")
    sick(f"import locale\nlocale.setlocale(locale.LC_ALL, {other!r})")
    ((code, _, message),) = _short(diagnosed()[0])
    assert code == "CZ305"
    assert message.startswith("its import changes the locale: ")


def _can_be_set(locale, name):
    before = locale.setlocale(locale.LC_ALL)
    try:
        return locale.setlocale(locale.LC_ALL, name) != locale.setlocale(locale.LC_ALL, "C")
    except locale.Error:
        return False
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_written_files_are_found(sick, diagnosed, tmp_path):
    """In the home folder, the temporary folder, the working directory and anywhere else; none of the user's is touched."""
    elsewhere = tmp_path / "elsewhere"
    sick(
        f"""
        import pathlib, tempfile
        for folder in (pathlib.Path.home(), pathlib.Path(tempfile.gettempdir()), pathlib.Path(), pathlib.Path({str(tmp_path)!r})):
            (folder / "elsewhere").write_text("x")
        """
    )
    parts = (
        "elsewhere in the home folder, elsewhere in the folder for temporary files, elsewhere in the working directory"
    )
    assert _short(diagnosed()[0]) == [("CZ302", None, f"its import writes {parts}, {elsewhere}")]


def test_processes_and_network_are_found(sick, diagnosed):
    """By what the interpreter says of itself; the connection need not succeed."""
    sick(
        """
        import socket, subprocess, sys
        subprocess.run([sys.executable, "-c", ""])
        s = socket.socket()
        s.settimeout(1)
        s.connect_ex(("127.0.0.1", 9))
        """
    )
    found = {code: message for code, _, message in _short(diagnosed()[0])}
    assert set(found) == {"CZ313", "CZ314"}
    assert found["CZ313"].startswith("its import starts processes: subprocess.Popen(")
    assert found["CZ314"] == "its import uses the network: socket.connect(('127.0.0.1', 9))"


@pytest.mark.skipif(importlib.util.find_spec("numpy") is None, reason="needs numpy")
@pytest.mark.parametrize("draw", ["numpy.random.seed(3)", "numpy.random.random()"])
def test_the_random_state_of_numpy_counts_also_where_the_plugin_imports_it(sick, diagnosed, draw):
    """Importing numpy itself is no change."""
    sick(f"import numpy\n{draw}")
    assert _short(diagnosed("--budget", 60)[0]) == [
        ("CZ306", None, "its import changes the global state of numpy.random")
    ]


def test_what_a_dependency_does_is_not_laid_at_the_door_of_the_plugin(sick, diagnosed):
    """Only the modules of the plugin's own package count."""
    sick(
        "import cli_loud",
        cli_loud="import os, warnings\nprint('loud')\nos.environ['X'] = '1'\nwarnings.simplefilter('ignore')\n",
    )
    assert diagnosed() == ([], 0)


# Pickling -------------------------------------------------------------------------------------------


def test_an_option_that_cannot_be_sent(sick, diagnosed):
    """By its name, with the reason."""
    sick(
        "",
        f"{PLUGIN}\n    def __init__(self, lock=None):\n        import threading\n        self.lock = threading.Lock()\n",
    )
    message = "option 'lock' cannot be sent to a worker: TypeError: cannot pickle '_thread.lock' object"
    assert _short(diagnosed()[0]) == [("CZ401", "sick", message)]


def test_a_plugin_that_cannot_be_sent(sick, diagnosed):
    """Because of something that is no option."""
    sick("", f"{PLUGIN}\n    def __init__(self):\n        import threading\n        self.lock = threading.Lock()\n")
    message = "it cannot be sent to a worker: TypeError: cannot pickle '_thread.lock' object"
    assert _short(diagnosed()[0]) == [("CZ402", "sick", message)]


def test_a_plugin_that_pickling_changes(sick, diagnosed):
    """The option is named with both values."""
    sick(
        "",
        f"{PLUGIN}\n    def __init__(self, size=3):\n        self.size = size\n"
        "    def __setstate__(self, state):\n        self.size = 0\n",
    )
    message = "option 'size' of plugin 'sick': 0 after pickling, 3 before"
    assert _short(diagnosed()[0]) == [("CZ403", "sick", message)]


# The installation -----------------------------------------------------------------------------------


def test_one_name_in_two_distributions(alone, diagnosed):
    """Both are named."""
    for name in ("cli-one", "cli-two"):
        alone(name, {"crystallize.plugins": {"same": "cli_same:Plugin"}}, {"cli_same": PLUGIN})
    ((code, plugin, message), *others) = [line for line in _short(diagnosed()[0]) if line[0] != "CZ003"]
    assert (code, plugin, others) == ("CZ501", "same", [])
    assert message == "'same' in the group crystallize.plugins is shipped by cli-two 1.2 and cli-one 1.2"


def test_one_plugin_under_two_names(sick, diagnosed):
    """It would be attached twice."""
    sick("", entry_points={"sick": "cli_sick:Plugin", "again": "cli_sick:Plugin"})
    message = "cli_sick:Plugin has the names 'sick' and 'again', and would be attached twice"
    assert [line for line in _short(diagnosed()[0]) if line[0] != "CZ003"] == [("CZ502", "sick", message)]


def test_two_entry_points_of_one_name(sick, diagnosed):
    """A file that somebody wrote by hand."""
    folder = sick("")
    (info,) = folder.glob("*.dist-info")
    info.joinpath("entry_points.txt").write_text(
        "[crystallize.plugins]\nsick = cli_sick:Plugin\nsick = cli_sick:Plugin\n"
    )
    assert _short(diagnosed()[0]) == [("CZ502", "sick", "it has 2 entry points in the group crystallize.plugins")]


def _recorded(folder, *names):
    """Write down the files of a distribution, as a package manager does."""
    (info,) = folder.glob("*.dist-info")
    rows = []
    for name in names:
        digest = base64.urlsafe_b64encode(hashlib.sha256((folder / name).read_bytes()).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{(folder / name).stat().st_size}\n")
    (info / "RECORD").write_text("".join([*rows, f"{info.name}/RECORD,,\n"]), encoding="utf-8")


def test_files_that_were_changed_or_removed(sick, diagnosed):
    """Compared with what was recorded when they were installed."""
    folder = sick("", cli_sick_data="x = 1\n")
    _recorded(folder, "cli_sick.py", "cli_sick_data.py")
    assert diagnosed() == ([], 0)
    (folder / "cli_sick_data.py").unlink()
    with (folder / "cli_sick.py").open("a") as stream:
        stream.write("\nx = 1\n")
    message = "since it was installed, cli_sick.py was changed, cli_sick_data.py is missing"
    assert _short(diagnosed()[0]) == [("CZ503", None, message)]


def _editable(folder, source):
    (info,) = folder.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}}))


def test_an_editable_installation_whose_source_is_gone(sick, diagnosed, tmp_path):
    """With the folder."""
    _editable(sick(""), tmp_path / "gone away")
    message = f"it is installed from {tmp_path / 'gone away'}, which is not there any more"
    assert _short(diagnosed()[0]) == [("CZ504", None, message)]


def test_an_editable_installation_with_other_entry_points_than_its_source(sick, diagnosed, write):
    """New ones, ones that are gone, and ones that refer to something else."""
    path = write(
        "source/pyproject.toml",
        """
        [project]
        name = "sick"
        [project.entry-points."crystallize.plugins"]
        sick = "cli_sick:Other"
        new = "cli_sick:New"
        """,
    )
    _editable(sick("", entry_points={"sick": "cli_sick:Plugin"}), path.parent)
    message = f"{path} has other entry points now: 'new' is new, 'sick' is cli_sick:Other, not cli_sick:Plugin"
    assert _short(diagnosed()[0]) == [("CZ505", None, message)]


def _requires(folder, *requirements):
    (info,) = folder.glob("*.dist-info")
    with (info / "METADATA").open("a") as stream:
        stream.writelines(f"Requires-Dist: {requirement}\n" for requirement in requirements)


def test_requirements_that_are_not_met(sick, diagnosed):
    """Another version, and nothing; what holds, and what is for extras and other systems, is left alone."""
    _requires(
        sick(""),
        "crystallize-core>=99",
        "cli-not-there",
        "attrs",
        "cli-never; python_version < '3'",
        "cli-extra; extra == 'more'",
    )
    from crystallize_core.version import version

    assert _short(diagnosed()[0]) == [
        ("CZ506", None, "it needs cli-not-there, which is not installed: pip install 'cli-not-there'"),
        (
            "CZ506",
            None,
            f"it needs crystallize-core>=99, and crystallize-core {version()} is installed: pip install 'crystallize-core>=99'",
        ),
    ]


def test_a_requirement_that_cannot_be_read(sick, diagnosed):
    """The others are looked at all the same."""
    _requires(sick(""), "no requirement at all", "cli-not-there")
    assert [line[:2] for line in _short(diagnosed()[0])] == [("CZ506", None), ("CZ507", None)]


def test_metadata_that_cannot_be_read(sick, diagnosed):
    """Nothing else suffers."""
    folder = sick("")
    (info,) = folder.glob("*.dist-info")
    (info / "RECORD").write_bytes(b"\xff\xfe,,\n")
    ((code, _, message),) = _short(diagnosed()[0])
    assert (code, message.partition(":")[0]) == ("CZ508", "UnicodeDecodeError")


def test_a_distribution_that_is_there_twice(sick, alone, diagnosed):
    """With both places."""
    folder = sick("")
    (info,) = folder.glob("*.dist-info")
    other = folder / info.name.replace("1.2", "1.1")
    other.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (other / name).write_text((info / name).read_text().replace("1.2", "1.1"))
    ((code, _, message),) = _short(diagnosed()[0])
    assert code == "CZ509"
    assert message.startswith("it is installed 2 times: ")
    assert f"1.1 in {folder}" in message
    assert f"1.2 in {folder}" in message


# The project ----------------------------------------------------------------------------------------


def test_a_wrong_configuration(sick, diagnosed, write):
    """With all that is wrong in it; the plugins are examined all the same."""
    sick("print('hello')")
    path = write("crystallize.toml", 'plugins = ["sock"]\n')
    assert _short(diagnosed()[0]) == [
        ("CZ001", None, f"{path}:\n  plugins: 'sock' is not installed; did you mean 'sick'?"),
        ("CZ301", None, "its import prints 'hello'"),
    ]


@pytest.mark.parametrize(("variable", "value"), [("CRYSTALLIZE_STRICT", "perhaps"), ("CRYSTALLIZE_PROFILE", "none")])
def test_a_wrong_environment(sick, diagnosed, monkeypatch, variable, value):
    """Said once."""
    sick("")
    monkeypatch.setenv(variable, value)
    assert [line[0] for line in _short(diagnosed()[0])] == ["CZ001"]


def test_plugins_that_cannot_be_ordered(alone, diagnosed):
    """The circle is shown."""
    code = PLUGIN.replace("sick", "a") + "    before = ('b',)\n", PLUGIN.replace("sick", "b") + "    before = ('a',)\n"
    alone("cli-a", {"crystallize.plugins": {"a": "cli_a:Plugin"}}, {"cli_a": code[0]})
    alone("cli-b", {"crystallize.plugins": {"b": "cli_b:Plugin"}}, {"cli_b": code[1]})
    ((number, _, message),) = _short(diagnosed()[0])
    assert number == "CZ002"
    assert "a -> b -> a" in message


def test_a_local_file_is_examined_too(alone, diagnosed, write):
    """By its path."""
    path = write("hooks.py", f"print('hello')\n{PLUGIN}")
    write("crystallize.toml", 'plugins = ["./hooks.py"]\n')
    (found,) = diagnosed()[0]
    assert (found["code"], found["distribution"], found["message"]) == ("CZ301", str(path), "its import prints 'hello'")


@pytest.mark.parametrize("where", ["configuration", "environment", "command line", "allow"])
def test_what_is_left_out_is_not_imported(sick, crystallize, write, monkeypatch, tmp_path, where):
    """It is said that it was not looked at."""
    mark, options = tmp_path / "imported", []
    sick(f"import pathlib\npathlib.Path({str(mark)!r}).touch()")
    if where == "configuration":
        write("crystallize.toml", 'disable = ["sick"]\n')
    elif where == "environment":
        monkeypatch.setenv("CRYSTALLIZE_DISABLE", "sick")
    elif where == "command line":
        options = ["-o", "disable=sick"]
    else:
        write("crystallize.toml", 'allow = ["crystallize-*"]\n')
    done = crystallize("plugins", "doctor", *options)
    assert done.stdout.splitlines() == [
        "0 distributions and files examined: 0 errors, 0 warnings",
        "not examined, because they are disabled or not allowed: sick",
    ]
    assert not mark.exists()


def test_nothing_is_imported_into_the_process_of_the_doctor(sick, diagnosed):
    """Whatever the plugins do, it is not done to who asks."""
    sick("1 / 0")
    diagnosed()
    assert "cli_sick" not in sys.modules


def test_every_code_has_a_test():
    """In this file."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in CODES if text.count(f'"{code}"') == 0] == []
