"""`crystallize lock`, `--check`, `--requirements`, and `crystallize run --locked`."""

from __future__ import annotations

import json
import os
import tomllib

import pytest

PLUGIN = """
    import attrs
    from crystallize_core import BasePlugin

    @attrs.frozen
    class Plugin(BasePlugin):
        size: int = 1
        token: str = ""

        def after_run(self, experiment, result):
            pass
"""
STUDY = """
    import x_loud
    from crystallize_core import Experiment

    study = Experiment(lambda ctx: 1, [lambda data: (data, {"value": data})], name="study")
"""


@pytest.fixture
def loud(install, write):
    """A project with one installed plugin, and the folder of its distribution."""
    write(
        "crystallize.toml", 'plugins = ["loud"]\n\n[options.loud]\nsize = 3\n\n[profiles.ci.options.loud]\nsize = 4\n'
    )
    write("study.py", STUDY)
    return install("x-loud", {"crystallize.plugins": {"loud": "x_loud:Plugin"}}, {"x_loud": PLUGIN})


def _change(loud):
    (loud / "x_loud.py").write_text("raise SystemExit('this must not run')\n", encoding="utf-8")


def test_it_writes_the_lock_beside_the_configuration(crystallize, loud, project, monkeypatch):
    """From a folder below as well; it says what it wrote."""
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    done = crystallize("lock")
    written = tomllib.loads((project / "crystallize.lock").read_text(encoding="utf-8"))
    count = len(written["distribution"])
    assert (done.exit_code, done.stdout) == (
        0,
        f"wrote {project / 'crystallize.lock'}: 1 plugins, {count} distributions, digest {written['digest']}\n",
    )


def test_without_a_configuration_it_is_written_here(in_shell, project):
    """And has every installed plugin."""
    done = in_shell("lock")
    assert (done.returncode, sorted(path.name for path in project.iterdir())) == (0, ["crystallize.lock"])


def test_locking_again_changes_nothing_and_says_nothing(crystallize, loud, project):
    """The same bytes."""
    crystallize("lock")
    before = (project / "crystallize.lock").read_bytes()
    done = crystallize("lock")
    assert (before == (project / "crystallize.lock").read_bytes(), done.stdout.count("\n")) == (True, 1)


def test_locking_something_else_says_what_is_different(crystallize, loud, write):
    """As `--check` would."""
    crystallize("lock")
    write("crystallize.toml", 'plugins = ["loud"]\n\n[options.loud]\nsize = 5\n')
    lines = crystallize("lock").stdout.splitlines()
    assert lines[1:] == [
        "what was locked before, and is locked now:",
        "  option loud.size: 3 is locked, 5 is here",
    ]


def test_what_was_locked_besides_the_stack_is_kept(crystallize, loud, project):
    """Until something else is named."""
    crystallize("lock", "--also", "hypothesis")
    crystallize("lock")
    assert tomllib.loads((project / "crystallize.lock").read_text(encoding="utf-8"))["stack"]["also"] == ["hypothesis"]
    crystallize("lock", "--also", "pytest")
    assert tomllib.loads((project / "crystallize.lock").read_text(encoding="utf-8"))["stack"]["also"] == ["pytest"]


def test_a_damaged_lock_is_replaced(crystallize, loud, project):
    """That is what to do about it."""
    (project / "crystallize.lock").write_text("<<<<<<< ours\n", encoding="utf-8")
    assert crystallize("lock").exit_code == 0
    assert crystallize("lock", "--check").exit_code == 0


def test_check_says_that_all_is_as_locked(crystallize, loud, project):
    """With the digest, and writes nothing."""
    crystallize("lock")
    digest = tomllib.loads((project / "crystallize.lock").read_text(encoding="utf-8"))["digest"]
    before = (project / "crystallize.lock").stat().st_mtime_ns
    done = crystallize("lock", "--check")
    expected = f"what is here is what {project / 'crystallize.lock'} says (digest {digest})\n"
    assert (done.exit_code, done.stdout, done.stderr) == (0, expected, "")
    assert (project / "crystallize.lock").stat().st_mtime_ns == before


def test_check_names_every_difference_and_exits_with_1(crystallize, loud, write, project):
    """Without importing what has changed."""
    crystallize("lock")
    _change(loud)
    write("crystallize.toml", 'plugins = ["loud"]\nexecutor = "other"\n')
    done = crystallize("lock", "--check")
    assert done.exit_code == 1
    assert done.stdout == (
        f"what is here is not what {project / 'crystallize.lock'} says:\n"
        "  distribution x-loud: version 1.2 as locked, but its files are not; changed: x_loud.py\n"
        "  executor: none is locked, other is here\n"
        "  option loud.size: 3 is locked, not set is here\n"
        "`crystallize lock` locks what is here; "
        "`crystallize lock --requirements` prints what pip needs for what is locked\n"
    )


def test_check_as_json_has_each_difference(crystallize, loud, project):
    """And what it compared."""
    crystallize("lock")
    digest = tomllib.loads((project / "crystallize.lock").read_text(encoding="utf-8"))["digest"]
    done = crystallize("lock", "--check", "--json", "-o", "loud.size=4")
    assert (done.exit_code, json.loads(done.stdout)) == (
        1,
        {
            "file": str(project / "crystallize.lock"),
            "digest": digest,
            "same": False,
            "differences": [
                {
                    "kind": "option",
                    "name": "loud.size",
                    "locked": 3,
                    "here": 4,
                    "text": "option loud.size: 3 is locked, 4 is here",
                }
            ],
        },
    )


def test_lock_as_json_has_its_digest(crystallize, loud, project):
    """And nothing that differs, the first time."""
    found = json.loads(crystallize("lock", "--json").stdout)
    assert found == {
        "file": str(project / "crystallize.lock"),
        "digest": found["digest"],
        "same": True,
        "differences": [],
    }


def test_check_without_a_lock_is_a_mistake(crystallize, loud, project):
    """One message."""
    done = crystallize("lock", "--check")
    assert (done.exit_code, done.stderr) == (
        2,
        f"error: there is no {project / 'crystallize.lock'}; `crystallize lock` writes it\n",
    )


def test_the_lock_of_one_profile_is_not_that_of_another(crystallize, loud):
    """It says so first."""
    crystallize("lock", "--profile", "ci")
    assert crystallize("lock", "--check", "--profile", "ci").exit_code == 0
    done = crystallize("lock", "--check")
    assert (done.exit_code, done.stdout.splitlines()[1:3]) == (
        1,
        ["  profile: ci is locked, none is here", "  option loud.size: 4 is locked, 3 is here"],
    )


def test_a_secret_is_never_written(crystallize, loud, project, monkeypatch):
    """Neither from a file, nor from the environment."""
    monkeypatch.setenv("CRYSTALLIZE_LOUD__TOKEN", "swordfish")
    crystallize("lock")
    text = (project / "crystallize.lock").read_text(encoding="utf-8")
    assert ("swordfish" in text, 'token = "***"' in text) == (False, True)


def test_what_plugins_print_is_not_in_the_output(in_shell, write, install, tmp_path):
    """Only JSON, for programs."""
    folder = install(
        "x-loud", {"crystallize.plugins": {"loud": "x_loud:Plugin"}}, {"x_loud": PLUGIN + "\n    print('hello')\n"}
    )
    write("crystallize.toml", 'plugins = ["loud"]\n')
    done = in_shell("lock", "--json", path=[folder])
    assert (json.loads(done.stdout)["same"], "hello" in done.stderr) == (True, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--check", "--requirements"),
        ("--also", "x", "--check"),
        ("--also", "x", "--requirements"),
        ("--requirements", "--json"),
    ],
)
def test_options_that_do_not_go_together_are_refused(crystallize, loud, options):
    """Nothing is written."""
    done = crystallize("lock", *options)
    assert (done.exit_code, "do not go together" in done.stderr) == (2, True)


# --- requirements --------------------------------------------------------------------------------------


def test_requirements_are_what_is_locked(crystallize, loud, install):
    """Pinned, sorted, with where things came from."""
    folder = install("x-git", {"crystallize.executors": {"far": "x_git:Plugin"}}, {"x_git": PLUGIN})
    info = next(folder.glob("*.dist-info"))
    said = {"url": "https://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}}
    (info / "direct_url.json").write_text(json.dumps(said), encoding="utf-8")
    local = {"url": (folder / "x y").as_uri(), "dir_info": {}}
    (next(loud.glob("*.dist-info")) / "direct_url.json").write_text(json.dumps(local), encoding="utf-8")
    crystallize("lock", "--also", "x-git")
    lines = crystallize("lock", "--requirements").stdout.splitlines()
    assert lines[-4:-1] == [
        "x-git @ git+https://host/x.git@c0ffee",
        "# local path, on this machine only:",
        f"x-loud @ {(folder / 'x y').as_uri()}",
    ]
    names = [line.partition("==")[0].partition(" @")[0] for line in lines if not line.startswith("#")]
    assert names == sorted(names, key=lambda name: name.lower().replace("_", "-"))
    assert {"attrs", "blake3", "click", "crystallize-core", "pluggy", "x-git", "x-loud"} <= set(names)


def test_requirements_are_read_by_packaging(crystallize, loud):
    """And so by pip and uv."""
    from packaging import requirements

    crystallize("lock")
    lines = crystallize("lock", "--requirements").stdout.splitlines()
    read = [requirements.Requirement(line) for line in lines if not line.startswith("#")]
    assert all(found.url or str(found.specifier).startswith("==") for found in read)


def test_requirements_without_a_lock_are_a_mistake(crystallize, loud):
    """There is nothing to print."""
    done = crystallize("lock", "--requirements")
    assert (done.exit_code, "`crystallize lock` writes it" in done.stderr) == (2, True)


# --- run --locked --------------------------------------------------------------------------------------


def test_a_locked_run_is_what_any_run_is(in_shell, loud):
    """And says which lock it was compared with."""
    in_shell("lock", path=[loud])
    done = in_shell("run", "--locked", "study.py", "--json", path=[loud])
    with_digest = json.loads(done.stdout)["run"]["lock_digest"]
    check = json.loads(in_shell("lock", "--check", "--json", path=[loud]).stdout)
    assert (done.returncode, with_digest) == (0, check["digest"])


def test_a_locked_run_prints_its_lock(in_shell, loud):
    """Another one does not."""
    in_shell("lock", path=[loud])
    digest = json.loads(in_shell("lock", "--check", "--json", path=[loud]).stdout)["digest"]
    printed = [in_shell("run", *options, "study.py", path=[loud]).stdout for options in ((), ("--locked",))]
    assert [f"\nlock: {digest}\n" in text for text in printed] == [False, True]


def test_a_locked_run_refuses_before_the_target_imports_the_plugin(in_shell, loud, project):
    """With exit code 2 and the same differences."""
    in_shell("lock", path=[loud])
    _change(loud)
    done = in_shell("run", "--locked", "study.py", path=[loud])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: what is here is not what {project / 'crystallize.lock'} says:\n"
        "  distribution x-loud: version 1.2 as locked, but its files are not; changed: x_loud.py\n"
        "`crystallize lock` locks what is here; "
        "`crystallize lock --requirements` prints what pip needs for what is locked\n"
    )


def test_the_variable_does_the_same(crystallize, loud, monkeypatch):
    """For every run in this environment."""
    crystallize("lock")
    monkeypatch.setenv("CRYSTALLIZE_LOCKED", "1")
    assert crystallize("run", "study.py", "-o", "loud.size=9").exit_code == 2
    assert crystallize("run", "study.py").exit_code == 0


def test_the_option_holds_for_one_command(crystallize, loud):
    """The environment is as before."""
    crystallize("lock")
    assert crystallize("run", "--locked", "study.py").exit_code == 0
    assert "CRYSTALLIZE_LOCKED" not in os.environ


def test_a_dry_run_is_compared_as_well(crystallize, loud):
    """It imports the plugins, too."""
    crystallize("lock")
    _change(loud)
    assert crystallize("run", "--locked", "--dry-run", "study.py").exit_code == 2


def test_help_imports_nothing_for_the_lock(in_shell, project):
    """It stays quick."""
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from crystallize_core.cli import main\n"
        "main(['lock', '--help'], standalone_mode=False)\n"
        "print([name for name in ('pluggy', 'blake3', 'tomllib') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
