"""Names become parts of paths: reversible, never the same for two names, safe everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_artifacts.layout import artifact_path, component, folders, original, run_folder, run_of, version_of

names = st.text(st.characters(exclude_categories=[]), max_size=40)
"""Any text that Python can hold, lone surrogates included."""
DEVICES = ["con", "NUL", "com1.txt", "Lpt9"]
TAKEN = ["replicate_0", "metadata.json", "MANIFEST.json"]


@given(st.text(st.characters(exclude_categories=[]), max_size=15))
def test_encoding_is_reversible(name):
    """Whatever a thing is called, its name can be read from its folder, unless it is too long (see below)."""
    assert original(component(name)) == name
    assert original(component(name, case=False)) == name


@given(names)
def test_encoded_name_is_one_safe_part(name):
    """An encoded name is one part of a path that no system takes for something else."""
    part = component(name)
    assert part
    assert not set('/\\:*?"<>|\0') & set(part)
    assert not part.startswith((".", " "))
    assert not part.endswith((".", " "))
    assert part.isprintable()


@given(st.lists(names, max_size=8))
def test_neighbours_differ_without_case(found):
    """Names that lie side by side have different folders where capital letters do not count."""
    made = folders(found)
    assert len({folder.casefold() for folder in made.values()}) == len(set(found))
    assert [original(folder) for folder in made.values()] == list(made)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("double", "double"),
        ("k = 5, scaled (min-max)", "k = 5, scaled (min-max)"),
        ("größer", "größer"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("", "%"),
        ("../../x", "%2E.%2F..%2Fx"),
        ("/etc/x", "%2Fetc%2Fx"),
        ("C:\\x", "C%3A%5Cx"),
        ("50%", "50%25"),
        (".run-1", "%2Erun-1"),
        ("ends. ", "ends.%20"),
        ("o\u0308", "o%CC%88"),
        ("line\nbreak", "line%0Abreak"),
    ],
)
def test_encoded_as_in_a_url(name, part):
    """What is safe stays readable, the rest is percent-encoded."""
    assert component(name) == part


@pytest.mark.parametrize("name", [*DEVICES, *TAKEN])
def test_names_that_mean_something_else_are_encoded(name):
    """A condition is not taken for a file of the version, nor for a device of Windows."""
    assert component(name) == f"%{ord(name[0]):02X}{name[1:]}"


@given(st.text(min_size=201, max_size=400), st.text(min_size=201, max_size=400))
def test_long_names_fit_and_differ(one, other):
    """A name that is too long for a folder keeps its start and gets a digest."""
    assert len(component(one).encode()) <= 200
    assert (component(one) == component(other)) == (one == other)


def test_long_name_is_not_read_back():
    """A shortened name does not pretend to be the whole one."""
    assert original(component("n" * 300)) is None


def test_neighbours_that_differ_in_case_only():
    """Capital letters are encoded only where they are all that tells two names apart."""
    assert folders(["KNN", "Double", "double"]) == {"KNN": "KNN", "Double": "%44ouble", "double": "double"}


def test_path_of_an_artifact():
    """replicate_R/condition/step/name, with folders in the name."""
    assert artifact_path(3, "double", "fit/model", "plots/curve.png") == (
        "replicate_3",
        "double",
        "fit%2Fmodel",
        "plots",
        "curve.png",
    )


@pytest.mark.parametrize(("folder", "number"), [("v0", 0), ("v12", 12), ("v01", None), ("v", None), ("v-1", None)])
def test_number_of_a_version(folder, number):
    """Only what could have been made by a run counts as a version."""
    assert version_of(folder) == number


def test_run_is_read_from_its_folder():
    """The folder of a run says which run it is."""
    assert run_of(run_folder("2024/7")) == ("2024/7", False)
    assert run_of("v0") is None
