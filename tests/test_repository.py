"""The shape of the repository: a new plugin that forgot one of its places is told which."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(
    not (CHECKOUT / "tox.ini").is_file() or not (CHECKOUT / "plugins").is_dir(),
    reason="the checkout is not beside the tests",
)

TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "contrib",
    "crystallize_core",
    "docs",
    "plugins",
    "pyproject.toml",
    "tests",
    "tox.ini",
}
UMBRELLA = "crystallize"


def _tracked() -> set[str]:
    """Names at the top that git knows or would add; all that are there where git is not."""
    git = shutil.which("git")
    if git is not None and (CHECKOUT / ".git").exists():
        command = [git, "-c", f"safe.directory={CHECKOUT}", "ls-files", "--cached", "--others", "--exclude-standard"]
        listing = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if listing.returncode == 0 and listing.stdout:
            return {line.partition("/")[0].strip('"') for line in listing.stdout.splitlines()}
    return {entry.name for entry in CHECKOUT.iterdir() if entry.name not in {"build", "dist"}}


def _folders(*parents: str) -> list[Path]:
    return sorted(
        folder
        for parent in parents
        if (CHECKOUT / parent).is_dir()
        for folder in (CHECKOUT / parent).iterdir()
        if folder.is_dir() and not folder.name.startswith((".", "__"))
    )


PLUGINS = _folders("plugins")
DISTRIBUTIONS = _folders("plugins", "contrib")
each_plugin = pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
each_distribution = pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)


def _pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def _package(folder: Path) -> str:
    return folder.name.replace("-", "_")


def _expanded(text: str) -> set[str]:
    """The names that `a-{b, c}` stands for in tox.ini."""
    group = re.search(r"\{([^{}]*)\}", text)
    if group is None:
        return {name for name in re.split(r"[\s,]+", text) if name}
    return {
        name
        for choice in group.group(1).split(",")
        for name in _expanded(text[: group.start()] + choice.strip() + text[group.end() :])
    }


def _tox() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read(CHECKOUT / "tox.ini", encoding="utf-8")
    return parser


def _environments() -> set[str]:
    sections = (name.removeprefix("testenv:") for name in _tox().sections() if name.startswith("testenv:"))
    return set().union(*(_expanded(section) for section in sections))


def _ran_by_default() -> set[str]:
    return set().union(*(_expanded(line) for line in _tox()["tox"]["env_list"].splitlines()))


def _imports(file: Path) -> set[str]:
    """The top-level packages that a file imports anywhere, also under `if TYPE_CHECKING`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_top_level_has_the_fixed_shape():
    names = {name for name in _tracked() if not name.startswith(".")}
    unexpected, missing = sorted(names - TOP_LEVEL), sorted(TOP_LEVEL - names)
    assert (unexpected, missing) == ([], [])


def test_the_changelog_has_a_place_for_the_next_entry():
    assert "\n## [Unreleased]\n" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_ci_script_can_be_run():
    assert os.access(CHECKOUT / ".ci" / "run", os.X_OK)


@each_distribution
def test_a_distribution_has_all_its_parts(folder):
    parts = ["README.md", "pyproject.toml", f"src/{_package(folder)}/py.typed", "tests"]
    assert [part for part in parts if not (folder / part).exists()] == []


@each_distribution
def test_folder_distribution_package_and_environment_have_one_name(folder):
    project = _pyproject(folder)
    assert project["project"]["name"] == folder.name
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [f"src/{_package(folder)}"]
    assert folder.name in _environments()


@each_plugin
def test_tox_without_arguments_tests_a_plugin_alone_and_together_with_the_others(folder):
    assert folder.name in _ran_by_default()
    installed = re.findall(r"plugins/([\w-]+)", _tox()["plugins"]["all"])
    assert folder.name in installed
    if folder.name != UMBRELLA:
        assert f"--reinstall-package {folder.name} " in _tox()["plugins"]["install_all"]


@each_plugin
def test_the_import_contracts_know_a_plugin(folder):
    settings = _pyproject(CHECKOUT)["tool"]["importlinter"]
    contracts = {contract["id"]: contract for contract in settings["contracts"]}
    package = _package(folder)
    assert package in settings["root_packages"]
    assert package in contracts["core-knows-no-plugin"]["forbidden_modules"]
    if folder.name != UMBRELLA:
        assert package in contracts["plugins-know-no-plugin"]["modules"]
        assert package in contracts["umbrella-on-top"]["source_modules"]


@each_distribution
def test_a_plugin_imports_no_other_plugin(folder):
    if folder.name == UMBRELLA:
        pytest.skip("the umbrella is there to import the others")
    others = {_package(other) for other in DISTRIBUTIONS if other != folder}
    found = {
        f"{file.relative_to(CHECKOUT)} imports {name}"
        for file in (folder / "src").rglob("*.py")
        for name in _imports(file) & others
    }
    assert found == set()


def test_the_core_imports_no_plugin():
    plugins = {_package(folder) for folder in DISTRIBUTIONS}
    found = {
        f"{file.relative_to(CHECKOUT)} imports {name}"
        for file in (CHECKOUT / "crystallize_core").rglob("*.py")
        for name in _imports(file) & plugins
    }
    assert found == set()


@pytest.mark.parametrize("folder", [CHECKOUT, *DISTRIBUTIONS], ids=lambda folder: folder.name)
def test_every_dependency_has_its_reason_beside_it(folder):
    project = _pyproject(folder)
    requirements = [
        *project["project"].get("dependencies", []),
        *(line for lines in project["project"].get("optional-dependencies", {}).values() for line in lines),
        *(line for lines in project.get("dependency-groups", {}).values() for line in lines if isinstance(line, str)),
    ]
    lines = (folder / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bare = [
        requirement
        for requirement in requirements
        if not any(re.match(rf'\s*"{re.escape(requirement)}",?\s+#\s\S', line) for line in lines)
    ]
    assert bare == []


@each_distribution
def test_a_distribution_is_of_the_version_of_the_core(folder):
    if folder.parent.name == "contrib":
        pytest.skip("bridges are released on their own")
    assert _pyproject(folder)["project"]["version"] == _pyproject(CHECKOUT)["project"]["version"]


@pytest.mark.parametrize("folder", [CHECKOUT / "crystallize_core", *DISTRIBUTIONS], ids=lambda folder: folder.name)
def test_no_source_is_ignored_by_git_and_so_missing_from_the_wheel(folder):
    git = shutil.which("git")
    if git is None or not (CHECKOUT / ".git").exists():
        pytest.skip("needs git and its folder")
    files = [str(file.relative_to(CHECKOUT)) for file in folder.rglob("*.py")]
    command = [git, "-c", f"safe.directory={CHECKOUT}", "check-ignore", "--no-index", "--stdin"]
    ignored = subprocess.run(command, cwd=CHECKOUT, input="\n".join(files), capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == []
