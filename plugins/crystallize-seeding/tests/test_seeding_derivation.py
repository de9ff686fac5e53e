"""The numbers themselves: which they are, and that no two places share them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_seeding._derivation import Path

ROOTS = st.integers()
NAMES = st.text(max_size=8)


def test_the_numbers_of_a_seed_are_the_same_for_ever():
    """A recorded seed gives these numbers on every machine, Python and version of this plugin."""
    cell = Path(7).cell(0)
    assert cell.seed == 8344374239766403696
    assert cell.of("a") == (2596043276481839768, 15407602229771331961993131729755483217)
    assert cell.of(None) == (1072121986027770176, 222517512388234996664596615160730645882)
    assert Path(7).cell(3, "double").of("a") == (7808401114433271884, 159247905831504128663991554588728707688)


@pytest.mark.parametrize(("root", "seed"), [(-7, 4769846126298089889), (2**4000, 6210779724238353988)])
def test_any_integer_is_a_root(root, seed):
    """Negative numbers are not those without the sign, and there is no largest one."""
    assert Path(root).cell(0).seed == seed


@given(ROOTS, st.integers(min_value=0), st.none() | NAMES, st.none() | NAMES)
def test_seeds_fit_where_they_are_put(root, replicate, condition, step):
    """The seed of a cell and those for global generators fit a signed 64-bit integer."""
    cell = Path(root).cell(replicate, condition)
    ours, stream = cell.of(step)
    assert 0 <= cell.seed < 2**63
    assert 0 <= ours < 2**63
    assert 0 <= stream < 2**128


@given(st.lists(NAMES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_asking_does_not_matter(names, shuffler):
    """A step has the same numbers whoever asked before it, and however often."""
    expected = {name: Path(3).cell(1).of(name) for name in names}
    cell = Path(3).cell(1)
    asked = names * 2
    shuffler.shuffle(asked)
    assert {name: cell.of(name) for name in asked} == expected


def test_no_two_places_share_numbers():
    """Roots, replicates, conditions and steps next to each other all differ, in both halves."""
    cells = [
        Path(root).cell(replicate, condition)
        for root, replicate, condition in itertools.product((0, 1, 2), range(20), (None, "", "a", "b"))
    ]
    places = [cell.of(step) for cell in cells for step in (None, "", "outside,", "a", "b", "a#2")]
    assert len({cell.seed for cell in cells}) == len(cells)
    assert len({ours for ours, _ in places} | {stream for _, stream in places}) == 2 * len(places)


@given(NAMES, NAMES)
def test_names_do_not_run_into_each_other(condition, step):
    """A condition and a step that read the same when joined are different places."""
    joined = Path(0).cell(0, condition + step).of("")
    assert (Path(0).cell(0, condition).of(step) == joined) is (step == "")
