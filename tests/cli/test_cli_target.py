"""TARGET of `crystallize run`: every way to name an experiment, and every way to name none."""

from __future__ import annotations

import pytest

MAKE = "from crystallize_core import Experiment\nmake = lambda name: Experiment(lambda ctx: 1, [lambda data: data], name=name, autoload=False)\n"


def _ran(done):
    """The name of the experiment that ran, which the output starts with."""
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.partition(":")[0]


def _refused(done):
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    return done.stderr.removeprefix("error: ").rstrip("\n")


def test_the_only_experiment_of_a_file_needs_no_name(crystallize, write):
    """Also where it has two names."""
    write("one.py", MAKE + "whatever = make('a')\nalias = whatever\n")
    assert _ran(crystallize("run", "one.py")) == "a"


def test_of_several_the_one_named_experiment_is_meant(crystallize, write):
    """The others are reached by name."""
    write("two.py", MAKE + "experiment = make('a')\nother = make('b')\n")
    assert _ran(crystallize("run", "two.py")) == "a"
    assert _ran(crystallize("run", "two.py:other")) == "b"


def test_several_without_that_name_are_listed(crystallize, write):
    """The message can be copied from."""
    write("two.py", MAKE + "first = make('a')\nsecond = make('b')\n")
    expected = "two.py has several experiments; say which: two.py:first, two.py:second"
    assert _refused(crystallize("run", "two.py")) == expected


def test_a_function_that_returns_an_experiment_is_called(crystallize, write):
    """By its name, or without one if it is called `experiment` and there is nothing else."""
    write("made.py", MAKE + "def experiment(size=1):\n    return make('made')\n")
    assert _ran(crystallize("run", "made.py:experiment")) == "made"
    assert _ran(crystallize("run", "made.py")) == "made"


def test_a_module_is_found_in_the_current_folder(crystallize, write):
    """A package, a module in it, and one of its names."""
    write("cli_study/__init__.py", MAKE + "top = make('top')\n")
    write("cli_study/deep.py", MAKE + "a = make('a')\nb = make('b')\n")
    assert _ran(crystallize("run", "cli_study")) == "top"
    assert _ran(crystallize("run", "cli_study.deep:b")) == "b"


def test_a_file_may_import_what_lies_beside_it(crystallize, write):
    """From whatever folder it is run."""
    write("deep/cli_beside.py", "NAME = 'beside'\n")
    write("deep/main.py", MAKE + "from cli_beside import NAME\nexperiment = make(NAME)\n")
    assert _ran(crystallize("run", "deep/main.py")) == "beside"


def test_the_module_of_a_file_is_not_main(crystallize, write):
    """What stands under `if __name__ == "__main__"` does not run."""
    write("script.py", MAKE + "experiment = make('a')\nif __name__ == '__main__':\n    raise SystemExit('ran')\n")
    assert _ran(crystallize("run", "script.py")) == "a"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("stduy.py", "there is no file stduy.py; did you mean 'study.py'?"),
        ("folder/x.py", "there is no file folder/x.py; nothing lies beside it."),
        ("folder", "folder is a folder; it has no Python file"),
        ("study.py:", "target 'study.py:': expected file.py, file.py:NAME, package.module or package.module:NAME"),
        (
            "study.py:a b",
            "target 'study.py:a b': expected file.py, file.py:NAME, package.module or package.module:NAME",
        ),
        (":x", "target ':x': expected file.py, file.py:NAME, package.module or package.module:NAME"),
        ("study.py:stduy", "study.py has no 'stduy'; did you mean 'study'?"),
        (
            "study.py:scale",
            "study.py:scale is StepFactory; expected an Experiment, a Pipeline, or a function that returns one",
        ),
        (
            "study.py:doubled",
            "study.py:doubled needs baseline, treatment; only a function without arguments can be run",
        ),
    ],
)
def test_a_target_that_names_no_experiment_is_refused(crystallize, experiment_file, write, target, message):
    """Each with what was found and what was expected."""
    write("folder/.keep", "")
    assert _refused(crystallize("run", target)) == message


def test_a_folder_names_its_files(crystallize, write):
    """So that the next try succeeds."""
    write("studies/a.py", "")
    write("studies/b.py", "")
    assert _refused(crystallize("run", "studies")) == "studies is a folder; name one of its files: a.py, b.py"


def test_a_file_without_an_experiment_is_refused(crystallize, write):
    """The message says how to name a function."""
    write("empty.py", "")
    expected = "empty.py has no Experiment and no Pipeline; a function that returns one is named as empty.py:NAME"
    assert _refused(crystallize("run", "empty.py")) == expected


def test_a_module_that_is_not_there_is_refused(crystallize, project):
    """The message says where it was looked for."""
    expected = f"there is no module 'nowhere', neither installed nor in {project}; a file ends with .py"
    assert _refused(crystallize("run", "nowhere.deep:x")).splitlines()[0] == expected


def test_a_module_that_lacks_something_names_what_it_lacks(crystallize, write):
    """That is another problem than a missing target."""
    path = write("cli_lacking.py", "import cli_not_there\n")
    message = _refused(crystallize("run", "cli_lacking")).splitlines()
    assert message == [
        "cli_lacking cannot be imported: ModuleNotFoundError: No module named 'cli_not_there'",
        f'  File "{path}", line 1, in <module>',
    ]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("x = 1\nraise ValueError('not today')\n", "ValueError: not today"),
        ("x = 1\nimport cli_not_there\n", "ModuleNotFoundError: No module named 'cli_not_there'"),
        ("x = 1\nraise SystemExit(0)\n", "SystemExit: 0"),
    ],
)
def test_a_file_that_fails_names_its_line(crystallize, write, source, told):
    """One message with the line, and no traceback."""
    path = write("bad.py", source)
    message = _refused(crystallize("run", "bad.py")).splitlines()
    assert message == [f"{path} cannot be run: {told}", f'  File "{path}", line 2, in <module>']


def test_a_file_with_a_syntax_error_names_its_line(crystallize, write):
    """Nothing of it has run."""
    write("bad.py", "x = 1\nx = = 2\n")
    assert "line 2" in _refused(crystallize("run", "bad.py"))


def test_a_definition_that_is_wrong_names_the_line_that_made_it(crystallize, write):
    """All problems of the experiment, and where it stands."""
    path = write("bad.py", "from crystallize_core import Experiment\n\nExperiment(3, [], replicates=0)\n")
    message = _refused(crystallize("run", "bad.py"))
    assert "a datasource is a function of ctx" in message
    assert "replicates must be an int of at least 1, found int 0" in message
    assert message.splitlines()[-1] == f'  File "{path}", line 3, in <module>'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "made.py:build() returned int; expected an Experiment or a Pipeline"),
        ("raise KeyError('x')", "made.py:build() failed: KeyError: 'x'"),
    ],
)
def test_a_function_that_makes_no_experiment_is_refused(crystallize, write, body, message):
    """What it returned or raised is named."""
    write("made.py", f"def build():\n    {body}\n")
    assert _refused(crystallize("run", "made.py:build")).splitlines()[0] == message


def test_an_async_function_is_refused(crystallize, write):
    """And leaves no warning about a coroutine that was never awaited."""
    write("made.py", "async def build():\n    return 3\n")
    expected = "made.py:build() returned coroutine; expected an Experiment or a Pipeline"
    assert _refused(crystallize("run", "made.py:build")) == expected
