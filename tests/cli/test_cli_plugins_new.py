"""`crystallize plugins new`: what it writes runs, and what cannot be written is refused with everything that is wrong."""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from crystallize_core import hookspecs
from crystallize_core.cli.scaffold.hooks import DEFAULT, method_of
from crystallize_core.cli.scaffold.names import Names
from crystallize_core.cli.scaffold.render import Plan, files_of, write_whole
from crystallize_core.hookspecs import HOOKS

PLUGIN_HOOKS = [hook for hook in HOOKS if hook != "run_experiment_loop"]
FILES = [
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "src/crystallize_my_own/__init__.py",
    "src/crystallize_my_own/py.typed",
    "tests/conftest.py",
    "tests/test_conformance.py",
    "tests/test_crystallize_my_own.py",
    "tests/test_readme.py",
    "tox.ini",
]


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def installed_in(site, *folders):
    """What pip leaves behind of distributions, and the variables of a process that takes them for installed."""
    sources = []
    for folder in folders:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
        groups = project["entry-points"].items()
        lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in found.items()) for group, found in groups]
        (info / "entry_points.txt").write_text("".join(lines), encoding="utf-8")
        sources.append(str(folder / "src"))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sources, *filter(None, sys.path)])}


def pytest_in(folder, environment, *args):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_distribution_has_all_its_files(crystallize, project):
    """And the command says where they are, and what to do next."""
    result = crystallize("plugins", "new", "my-own")
    folder = Path("crystallize-my-own")
    assert (result.exit_code, written(project / folder)) == (0, FILES)
    listed = "".join(f"{folder / path}\n" for path in FILES)
    assert result.output == f"{listed}\ntry it: cd {folder} && tox\nuse it: pip install -e {folder}\n"


@pytest.mark.parametrize("given", ["my-own", "my_own", "My.Own", "crystallize-my-own"])
def test_one_name_gives_all_names(given):
    """However it is written."""
    names = Names(given)
    assert (names.plugin, names.distribution, names.package, names.stem) == (
        "my_own",
        "crystallize-my-own",
        "crystallize_my_own",
        "MyOwn",
    )


def test_the_metadata_has_the_entry_point_and_the_core(crystallize, project):
    """Under the group of its kind; the only dependencies are attrs and the core."""
    for kind, (option, group, attribute) in {
        "one": ((), "crystallize.plugins", "OnePlugin"),
        "two": (("--executor",), "crystallize.executors", "TwoExecution"),
        "three": (("--step",), "crystallize.steps", "three"),
    }.items():
        assert crystallize("plugins", "new", kind, *option).exit_code == 0
        found = tomllib.loads((project / f"crystallize-{kind}" / "pyproject.toml").read_text(encoding="utf-8"))
        assert found["project"]["entry-points"] == {group: {kind: f"crystallize_{kind}:{attribute}"}}
        assert found["project"]["dependencies"] == ["attrs>=23.2", "crystallize-core>=0.1"]


def test_tox_has_an_environment_for_tests_lint_and_types(crystallize, project):
    """Those that `tox` runs without words."""
    crystallize("plugins", "new", "mine")
    parser = configparser.RawConfigParser()
    parser.read(project / "crystallize-mine" / "tox.ini")
    assert parser["tox"]["env_list"] == "tests, lint, types"
    assert {name for name in parser.sections() if ":" in name} == {"testenv:tests", "testenv:lint", "testenv:types"}


@pytest.mark.parametrize("hook", PLUGIN_HOOKS)
def test_a_hook_has_the_signature_of_its_specification(hook):
    """Argument by argument, with the annotations, so that a new argument appears by itself."""
    words = Plan(Names("mine")).words
    tree = ast.parse("from __future__ import annotations\nclass It:\n" + method_of(hook, **words))
    (method,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == hook]
    specified = ast.parse(Path(hookspecs.__file__).read_text(encoding="utf-8"))
    (wanted,) = [node for node in ast.walk(specified) if isinstance(node, ast.FunctionDef) and node.name == hook]
    arguments = [(argument.arg, ast.unparse(argument.annotation)) for argument in method.args.args[1:]]
    assert arguments == [(argument.arg, ast.unparse(argument.annotation)) for argument in wanted.args.args]
    assert ast.unparse(method.returns) == ast.unparse(wanted.returns)
    assert ast.get_docstring(method) == (ast.get_docstring(wanted) or "").partition("\n")[0]


def test_a_hook_that_has_no_template_yet_says_that_it_was_called(monkeypatch):
    """A specification that is added later gives code that runs."""

    def later(experiment: object) -> None:
        """Called later."""

    monkeypatch.setitem(HOOKS, "later", later)
    found = method_of("later", **Plan(Names("mine")).words)
    assert '_logger.debug("%s: hook %s was called", self.label, "later")' in found
    ast.parse("class It:\n" + found)


def test_all_hooks_together_and_each_alone_pass_their_tests(tmp_path):
    """The tests of what the bodies do, for every hook, in one go."""
    plans = [Plan(Names(f"only-{hook}"), hooks=[hook]) for hook in PLUGIN_HOOKS]
    plans += [Plan(Names("everything"), hooks=PLUGIN_HOOKS)]
    folders = [tmp_path / plan.names.distribution for plan in plans]
    for plan, folder in zip(plans, folders, strict=True):
        write_whole(files_of(plan), folder)
    environment = installed_in(tmp_path / "site", *folders)
    tests = [str(test) for folder in folders for test in (folder / "tests").glob("test_[cr][re]*.py")]
    options = ["--import-mode=importlib", "--noconftest", "-p", "crystallize_core.testing", "-W", "error"]
    code, output = pytest_in(tmp_path, environment, *options, *tests)
    assert code == 0, output
    assert len(tests) == 2 * len(plans)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(Names("everything"), hooks=PLUGIN_HOOKS),
        Plan(Names("watcher"), hooks=DEFAULT, observer=True),
        Plan(Names("stepper"), "step"),
    ],
    ids=["all hooks", "observer", "step"],
)
def test_a_variant_passes_all_its_own_tests(plan, tmp_path):
    """With the conformance kit, as its own tox would run them."""
    folder = tmp_path / plan.names.distribution
    write_whole(files_of(plan), folder)
    code, output = pytest_in(folder, installed_in(tmp_path / "site", folder))
    assert code == 0, output


def test_an_executor_passes_its_own_tests(tmp_path):
    """But for those of the kit that take longest."""
    folder = tmp_path / "crystallize-swift"
    write_whole(files_of(Plan(Names("swift"), "executor")), folder)
    few = "not tiny and not huge and not hash and not script and not ctrl"
    code, output = pytest_in(folder, installed_in(tmp_path / "site", folder), "-k", few)
    assert code == 0, output


def test_an_observer_says_so(tmp_path):
    """In the class, and in the README."""
    files = files_of(Plan(Names("watcher"), observer=True))
    assert "    essential: ClassVar[bool] = False" in files["src/crystallize_watcher/__init__.py"]
    assert "An observer: it looks on and changes no result." in files["README.md"]
    assert "essential: ClassVar" not in files_of(Plan(Names("watcher")))["src/crystallize_watcher/__init__.py"]


def test_everything_that_is_wrong_is_said_at_once(crystallize, project):
    """And nothing is written."""
    (project / "crystallize-class").mkdir()
    (project / "crystallize-class" / "mine.txt").touch()
    result = crystallize("plugins", "new", "class", "--hooks", "after_stepp,run_experiment_loop", "--executor")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "error: class cannot be made:",
        "  name 'class': 'class' is a word of Python; choose another",
        "  --hooks: there is no hook 'after_stepp'; did you mean 'after_step'?",
        "  --hooks: 'run_experiment_loop' is what an executor has; use --executor",
        "  --hooks and --observer are for plugins, and this is to be an executor",
        "  crystallize-class is there already and is not empty; choose another name or --dir, or remove it",
    ]
    assert written(project) == ["crystallize-class/mine.txt"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("../mine", "a distribution is named by letters, digits"),
        ("", "a distribution is named by letters, digits"),
        ("mine-", "a distribution is named by letters, digits"),
        ("2fast", "'2fast' is no Python name; begin with a letter"),
        ("import", "'import' is a word of Python"),
        ("cache", "'cache' means something else in configurations"),
        ("core", "'core' means something else in configurations"),
    ],
)
def test_a_wrong_name_is_refused(crystallize, project, name, problem):
    """With what is wrong with it."""
    result = crystallize("plugins", "new", "--", name)
    assert result.exit_code == 2
    assert problem in result.output
    assert written(project) == []


def test_the_name_of_an_installed_plugin_is_refused(crystallize, install):
    """Two plugins of one name could not be installed together."""
    install("x-meter", {"crystallize.executors": {"meter": "x_meter:Meter"}})
    result = crystallize("plugins", "new", "meter")
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "error: meter cannot be made:",
        "  name 'meter': x-meter 1.2 ships 'meter' already; choose another, or uninstall it",
    ]


def test_an_installed_distribution_of_that_name_is_refused(crystallize, install):
    """Also where it ships something else."""
    install("crystallize-meter", {})
    result = crystallize("plugins", "new", "meter")
    assert result.exit_code == 2
    assert "a distribution 'crystallize-meter' is installed already" in result.output


def test_an_empty_folder_is_used(crystallize, project):
    """A repository that was made before, say."""
    (project / "below" / "crystallize-mine").mkdir(parents=True)
    assert crystallize("plugins", "new", "mine", "--dir", "below").exit_code == 0
    assert "pyproject.toml" in written(project / "below" / "crystallize-mine")


def test_no_hook_at_all_is_refused(crystallize):
    """An empty list is a mistake, and not a wish."""
    result = crystallize("plugins", "new", "mine", "--hooks", ",")
    assert result.exit_code == 2
    assert "--hooks: no hook is named" in result.output


def test_an_executor_that_is_a_step_is_refused(crystallize):
    """One distribution, one of them."""
    result = crystallize("plugins", "new", "mine", "--executor", "--step")
    assert result.exit_code == 2
    assert "--executor and --step: a distribution of this command has one of them" in result.output


def test_a_hook_brings_what_it_needs(crystallize, project):
    """A policy is of no use without the option that asks for it."""
    crystallize("plugins", "new", "mine", "--hooks", "wrap_step")
    code = (project / "crystallize-mine" / "src" / "crystallize_mine" / "__init__.py").read_text(encoding="utf-8")
    assert [line.split("(")[0].split()[1] for line in code.splitlines() if line.startswith("    def ")] == [
        "step_options",
        "wrap_step",
    ]


def test_nothing_half_written_is_left_behind(tmp_path):
    """Where a file cannot be written, the folder is not there, and neither is the temporary one."""
    with pytest.raises(OSError):
        write_whole({"a.txt": "whole", "a.txt/b.txt": "impossible"}, tmp_path / "made")
    assert list(tmp_path.iterdir()) == []
