"""Distributions whose metadata is hostile: names, entry points and files that are damaged or say what cannot be."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.heavy

CODE = "class Plugin(BasePlugin):\n    def before_run(self): ...\n"
SKIPPED = "installed plugin {name!r} was skipped: "


def distribution(entry_points, **more):
    """One distribution `x-hostile` with the module `x_hostile` and these entry points."""

    def install(machine):
        machine.module("x_hostile", f"from crystallize_core import BasePlugin\n{CODE}")
        machine.distribution("x-hostile", entry_points, **more)

    return install


def two(first, second):
    """Two distributions, `x-one` and `x-two`."""

    def install(machine):
        machine.module("x_hostile", f"from crystallize_core import BasePlugin\n{CODE}")
        machine.distribution("x-one", f"[crystallize.plugins]\n{first}\n")
        machine.distribution("x-two", f"[crystallize.plugins]\n{second}\n")

    return install


def circle(machine):
    for name, other in (("hostile", "other"), ("other", "hostile")):
        machine.plugin(f"{CODE}    before = ({other!r},)\n", name=name)


def requires(requirement):
    return distribution(
        "[crystallize.plugins]\nhostile = x_hostile:Plugin\n", metadata=f"Requires-Dist: {requirement}\n"
    )


def named(name):
    return distribution(f"[crystallize.plugins]\n{name} = x_hostile:Plugin\n")


NAME = "plugin name {!r} cannot be used: expected letters, digits, '_', '-' and '.', and no path"
ALIKE = "plugin name 'hostile' is shipped by x-one 1.0 and x-two 1.0; uninstall one, or disable = ['hostile']"
CIRCLE = (
    "these plugins cannot be ordered, because each must come before the next: hostile -> other -> hostile; change "
    "before/after of one of them, or leave one out with disable = [...]"
)
NOT_KNOWN = "so that its plugins are not known; install it anew"

BROKEN = {
    "has an entry point to a module that is not there": (
        distribution("[crystallize.plugins]\nhostile = x_nowhere:Plugin\n"),
        "hostile",
        "plugin 'hostile' (x_nowhere:Plugin) cannot be imported: ModuleNotFoundError: No module named 'x_nowhere'",
    ),
    "has an entry point to nothing in its module": (
        distribution("[crystallize.plugins]\nhostile = x_hostile:Nothing\n"),
        "hostile",
        (
            "plugin 'hostile' (x_hostile:Nothing) cannot be imported: AttributeError: module 'x_hostile' has no attribute "
            "'Nothing'"
        ),
    ),
    "has an entry point that is no reference": (
        distribution("[crystallize.plugins]\nhostile = a thing!\n"),
        "hostile",
        "plugin 'hostile' (a thing!) cannot be imported: ValueError: ",
    ),
    "has an entry point without a value": (
        distribution("[crystallize.plugins]\nhostile\n"),
        "x-hostile",
        f"entry_points.txt of x-hostile is malformed, {NOT_KNOWN}",
    ),
    "has entry points that are not text in UTF-8": (
        distribution(b"[crystallize.plugins]\nhostile = x_hostile:Plug\xffin\n"),
        "x-hostile",
        f"entry_points.txt of x-hostile is not text in UTF-8, {NOT_KNOWN}",
    ),
    "has the name of another": (two("hostile = x_hostile:Plugin", "hostile = x_other:Plugin"), "hostile", ALIKE),
    "is shipped by two distributions": (two(*["hostile = x_hostile:Plugin"] * 2), "hostile", ALIKE),
    "wants to be before one that wants to be before it": (circle, "hostile", CIRCLE),
    "needs a newer core": (
        requires("crystallize-core>=99"),
        "hostile",
        "plugin 'hostile' needs crystallize-core>=99, and ",
    ),
    "needs an older core": (
        requires("crystallize_core (<0.0.1,>=0) ; python_version > '3'"),
        "hostile",
        "plugin 'hostile' needs crystallize-core<0.0.1,>=0, and ",
    ),
    "has a name that is a path": (named("../../hooks"), "../../hooks", NAME.format("../../hooks")),
    "has the name of a file": (named("hostile.py"), "hostile.py", NAME.format("hostile.py")),
    "has an empty name": (named(""), "", NAME.format("")),
    "has a name with spaces": (named("my plugin"), "my plugin", NAME.format("my plugin")),
    "has a name with control characters": (named("\x1b[2Jhostile"), "\x1b[2Jhostile", NAME.format("\x1b[2Jhostile")),
}
each = pytest.mark.parametrize(("install", "name", "reason"), BROKEN.values(), ids=BROKEN)


@each
def test_it_is_skipped_with_one_message_and_the_run_is_what_it_was(machine, clean, install, name, reason):
    """Nobody else misses a call, and the digest is the same."""
    install(machine)
    done = machine.run()
    assert (done.code, done.err) == (0, "")
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)
    notes = [note["text"] for note in done.result["run"]["notes"] if note["plugin"] == name]
    assert len(notes) == 1
    assert notes[0].startswith(SKIPPED.format(name=name) + reason)


@each
def test_it_is_listed_and_refused_in_strict_mode_and_can_be_left_out(machine, clean, install, name, reason):
    """The ways to see it, to insist on it and to be rid of it."""
    install(machine)
    listed = machine.listed(name)
    assert {status for status, _, _ in listed} <= {"broken", "duplicate"}
    strict = machine.run(CRYSTALLIZE_STRICT="1")
    assert (strict.code, strict.out, strict.calls) == (2, "", ())
    assert strict.err.count(reason) == strict.err.count("error: ") == 1
    if not name:
        return  # what has no name cannot be named
    without = machine.run(CRYSTALLIZE_DISABLE=name)
    assert (without.code, without.err, without.result["run"]["notes"]) == (0, "", [])
    assert (without.result["digest"], without.calls) == (clean.result["digest"], clean.calls)


def two_names(machine):
    distribution("[crystallize.plugins]\nhostile = x_hostile:Plugin\nagain = x_hostile:Plugin\n")(machine)


USED = {
    "has metadata that is not text in UTF-8": (
        distribution(
            "[crystallize.plugins]\nhostile = x_hostile:Plugin\n",
            metadata=b"Metadata-Version: 2.1\nName: x-hostile\nVersion: 1.0\nSummary: \xff\xfe\n",
        ),
        ["hostile", "witness"],
    ),
    "has no metadata": (
        distribution("[crystallize.plugins]\nhostile = x_hostile:Plugin\n", metadata=None),
        ["hostile", "witness"],
    ),
    "has empty metadata": (
        distribution("[crystallize.plugins]\nhostile = x_hostile:Plugin\n", metadata=b""),
        ["hostile", "witness"],
    ),
    "registers one class twice": (two_names, ["again", "hostile", "witness"]),
    "has a name that is a keyword": (named("class"), ["class", "witness"]),
    "needs a core in words of its own": (
        requires("crystallize-core @ https://example.org/core"),
        ["hostile", "witness"],
    ),
}


@pytest.mark.parametrize(("install", "names"), USED.values(), ids=USED)
def test_it_is_used_all_the_same(machine, clean, install, names):
    """Under the name of its entry point, and nothing is said."""
    install(machine)
    done = machine.run()
    assert (done.code, done.err, done.result["run"]["notes"]) == (0, "", [])
    assert (done.result["digest"], done.calls) == (clean.result["digest"], clean.calls)
    assert sorted(plugin["name"] for plugin in done.result["run"]["stack"]) == names


def test_nothing_of_a_name_reaches_the_terminal_as_it_is(machine):
    """It could move the cursor, or clear what is there."""
    install, _, _ = BROKEN["has a name with control characters"]
    install(machine)
    table, refused = machine("plugins", "list"), machine("run", "study.py", CRYSTALLIZE_STRICT="1")
    assert "\x1b" not in table.out + table.err + refused.out + refused.err
    assert "'\\x1b[2Jhostile'" in table.out


def test_nothing_of_the_metadata_reaches_the_terminal_as_it_is(machine):
    """Neither does the name of a distribution."""
    machine.module("x_hostile", "")
    machine.distribution(
        "x-hostile",
        "[crystallize.plugins]\nhostile = x_hostile:Plugin\n",
        metadata=b"Metadata-Version: 2.1\nName: x-\x1b[2J\nVersion: 1\x07\n",
    )
    done = machine("plugins", "list")
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err


def test_a_hundred_thousand_unknown_options_are_one_short_message(machine):
    """It says how many more there are."""
    machine.plugin(CODE)
    options = "".join(f"key{number} = 1\n" for number in range(100_000))
    (machine.work / "crystallize.toml").write_text(f"plugins = ['hostile']\n[options.hostile]\n{options}")
    done = machine.run(seconds=120)
    assert (done.code, done.out) == (2, "")
    assert "options.hostile: 100000 problems" in done.err
    assert "options.hostile.key0: unknown option; Plugin has no options" in done.err
    assert "and 99980 more" in done.err
    assert len(done.err) < 5_000


def test_an_option_of_ten_megabytes_is_used_and_not_quoted(machine, clean):
    """In the record of the run it is whole; a message about it is short."""
    machine.plugin(f"import attrs\n\n@attrs.define\n{CODE}".replace(":\n", ":\n    text: str = ''\n", 1))
    text = "x" * 10_000_000
    (machine.work / "crystallize.toml").write_text(f"[options.hostile]\ntext = '{text}'\n")
    done = machine.run(seconds=120)
    assert (done.code, done.err) == (0, "")
    assert done.result["digest"] == clean.result["digest"]
    assert json.loads(done.out)["run"]["stack"][0]["options"] == {"text": text}
    (machine.work / "crystallize.toml").write_text(f"[options.hostile]\ntext = ['{text}']\n")
    refused = machine.run(seconds=120)
    assert refused.code == 2
    assert len(refused.err) < 5_000
