"""What `crystallize` exports, and that it costs no more than the core."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import crystallize
import crystallize_core

PLUGINS = {
    "ArtifactPlugin": "crystallize_artifacts",
    "AsyncExecution": "crystallize_executors",
    "CircuitBreaker": "crystallize_retries",
    "CircuitOpenError": "crystallize_retries",
    "Dataset": "crystallize_artifacts",
    "Exponential": "crystallize_retries",
    "ItemError": "crystallize_executors",
    "LoggingPlugin": "crystallize_logging",
    "Metrics": "crystallize_artifacts",
    "Model": "crystallize_artifacts",
    "ParallelExecution": "crystallize_executors",
    "ProcessExecution": "crystallize_executors",
    "ResourcesPlugin": "crystallize_executors",
    "RetryPlugin": "crystallize_retries",
    "SeedPlugin": "crystallize_seeding",
    "SerialExecution": "crystallize_executors",
    "StepTimeout": "crystallize_retries",
    "ThreadExecution": "crystallize_executors",
    "default_seed_function": "crystallize_seeding",
    "load_asset": "crystallize_artifacts",
    "on_failure": "crystallize_retries",
    "parallel_map": "crystallize_executors",
    "register_materializer": "crystallize_artifacts",
    "retry": "crystallize_retries",
}


def _python(code):
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_all_is_the_core_and_the_plugins():
    """A name that is added to the core has to be added here."""
    assert set(crystallize.__all__) == {*crystallize_core.__all__, *PLUGINS, "STANDARD_STACK"}


def test_all_is_sorted():
    """Constants, classes, functions: as ruff sorts them, without a name twice."""

    def kind(name):
        return (0 if name.isupper() else 1 if name[0].isupper() else 2), name

    assert crystallize.__all__ == sorted(set(crystallize.__all__), key=kind)


@pytest.mark.parametrize("name", crystallize_core.__all__)
def test_a_name_of_the_core_is_the_very_same_object(name):
    """So that `isinstance` and `except` work across both imports."""
    assert getattr(crystallize, name) is getattr(crystallize_core, name)


@pytest.mark.parametrize(("name", "package"), PLUGINS.items())
def test_a_name_of_a_plugin_is_the_very_same_object(name, package):
    """The one of its own package."""
    assert getattr(crystallize, name) is getattr(importlib.import_module(package), name)


def test_dir_has_all_names():
    """Also those that are not imported yet."""
    assert set(crystallize.__all__) <= set(dir(crystallize))


def test_importing_imports_no_plugin_and_nothing_heavy():
    """Not even the core, and none of the libraries that plugins stand on."""
    modules = set(_python("import crystallize, sys; print(*{name.partition('.')[0] for name in sys.modules})").split())
    assert {name for name in modules if name.startswith("crystallize")} == {"crystallize"}
    heavy = {
        "click",
        "cloudpickle",
        "fsspec",
        "joblib",
        "loky",
        "matplotlib",
        "numpy",
        "pandas",
        "rich",
        "scipy",
        "structlog",
    }
    assert modules & heavy == set()


def test_a_plugin_is_imported_when_its_name_is_used():
    """That one and no other."""
    code = (
        "from crystallize import SeedPlugin; import sys; print(*(n for n in sys.modules if '.' not in n and '_' in n))"
    )
    modules = set(_python(code).split())
    assert {name for name in modules if name.startswith("crystallize_")} == {"crystallize_core", "crystallize_seeding"}


def test_a_plugin_that_is_not_installed_is_told_of_with_the_command(monkeypatch):
    """What to type stands in the message."""
    monkeypatch.setitem(sys.modules, "crystallize_seeding", None)
    monkeypatch.delitem(vars(crystallize), "SeedPlugin", raising=False)
    with pytest.raises(ImportError) as caught:
        from crystallize import SeedPlugin  # noqa: F401
    assert str(caught.value) == (
        "SeedPlugin is in crystallize-seeding, which is not installed: pip install crystallize-seeding"
    )


def test_a_plugin_that_lacks_something_else_says_so_itself(monkeypatch, tmp_path):
    """Installing the plugin again would not help."""
    (tmp_path / "crystallize_seeding.py").write_text("import umbrella_not_there\n", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "crystallize_seeding", raising=False)
    monkeypatch.delitem(vars(crystallize), "SeedPlugin", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="umbrella_not_there"):
        crystallize.SeedPlugin


def test_an_unknown_name_is_an_attribute_error():
    """As in any module."""
    with pytest.raises(AttributeError, match="'SedPlugin'"):
        crystallize.SedPlugin
    assert not hasattr(crystallize, "SedPlugin")


def test_the_version_is_that_of_the_distribution():
    """Read when somebody asks."""
    from importlib.metadata import version

    assert crystallize.__version__ == version("crystallize")


def test_the_standard_stack_is_what_extends_gives(tmp_path, monkeypatch):
    """In its order, with what the project adds."""
    (tmp_path / "crystallize.toml").write_text(
        'extends = ["standard"]\n[options.seeding]\nseed = 7\n', encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    experiment = crystallize.Experiment(lambda ctx: 1, [lambda data: data])
    assert [plugin.name for plugin in experiment.stack] == crystallize.STANDARD_STACK["plugins"]
    assert experiment.get_plugin("seeding").seed == 7
