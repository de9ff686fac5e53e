"""The global generators of a process: how they are set, compared and put back."""

import random
import subprocess
import sys
import types

import pytest

from crystallize_seeding import default_seed_function
from crystallize_seeding._globals import GlobalState, is_unwatched


@pytest.fixture(autouse=True)
def _put_back():
    state = GlobalState.now()
    yield
    state.restore()


def test_random_is_seeded():
    """The same seed gives the same numbers."""
    default_seed_function(5)
    first = [random.random() for _ in range(3)]
    default_seed_function(5)
    assert [random.random() for _ in range(3)] == first


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, 2**200])
def test_numpy_takes_every_seed(seed):
    """Seeds that numpy would refuse reach it by their low 32 bits."""
    np = pytest.importorskip("numpy")
    default_seed_function(seed)
    expected = np.random.RandomState(seed % 2**32).random_sample(3)
    assert np.random.random_sample(3).tolist() == expected.tolist()


def test_nothing_is_imported_for_the_sake_of_seeding():
    """A process that does not use numpy does not load it."""
    code = (
        "import sys; from crystallize_seeding import default_seed_function as f; f(1);"
        "print([n for n in ('numpy', 'torch', 'tensorflow', 'cupy') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "path", "size"),
    [
        ("torch", ["manual_seed"], 2**63),
        ("tensorflow", ["random", "set_seed"], 2**32),
        ("cupy", ["random", "seed"], 2**32),
    ],
)
def test_other_libraries_are_seeded_where_they_are_loaded(monkeypatch, name, path, size):
    """Each gets the seed by its own function, in the range that it takes."""
    got = []
    holder = module = types.ModuleType(name)
    for attribute in path[:-1]:
        inner = types.ModuleType(attribute)
        setattr(holder, attribute, inner)
        holder = inner
    setattr(holder, path[-1], got.append)
    monkeypatch.setitem(sys.modules, name, module)
    default_seed_function(2**64 + 3)
    assert got == [(2**64 + 3) % size]
    assert is_unwatched()


@pytest.mark.parametrize("name", ["numpy", "torch", "tensorflow", "cupy"])
def test_a_library_that_is_only_half_there_does_not_matter(monkeypatch, name):
    """Something else of that name, or what is left of an import that failed."""
    monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    default_seed_function(1)
    assert random.random() == random.Random(1).random()


def test_draws_are_noticed_and_undone():
    """`moved` names the generators that something drew from; `restore` takes the draws back."""
    np = pytest.importorskip("numpy")
    np.random.seed(3)
    state = GlobalState.now()
    assert state.moved() == []
    expected = random.random(), np.random.random_sample()
    assert state.moved() == ["random", "numpy.random"]
    state.restore()
    assert state.moved() == []
    assert (random.random(), np.random.random_sample()) == expected


@pytest.mark.parametrize(("code", "found"), [("numpy.random", []), ("numpy.random.rand()", ["numpy.random"])])
def test_numpy_loaded_later_moved_only_if_it_was_drawn_from(code, found):
    """Loading numpy is no draw."""
    pytest.importorskip("numpy")
    script = (
        "from crystallize_seeding._globals import GlobalState; state = GlobalState.now();"
        f"import numpy; {code}; print(state.moved())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{found}\n"
