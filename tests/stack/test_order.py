"""The order of a stack: the project's list, changed only where a plugin says so."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from crystallize_core import BasePlugin, PluginOrderError
from crystallize_core.stack.attached import ActivePlugin, Stack
from crystallize_core.stack.order import Constraint, Place, Reason, Wish, ordered, places, sentences

NAMES = list("abcdefgh")
some_names = st.lists(st.sampled_from(NAMES), unique=True).map(tuple)
any_order = st.permutations(NAMES)


@st.composite
def agreeing_constraints(draw):
    """Constraints by name that some order satisfies: they are read off a hidden one."""
    hidden = draw(any_order)
    place = {name: at for at, name in enumerate(hidden)}
    constraints = {}
    for name in NAMES:
        before = tuple(other for other in draw(some_names) if place[name] < place[other])
        after = tuple(other for other in draw(some_names) if place[other] < place[name])
        constraints[name] = Constraint(before, after)
    return constraints


def satisfied(names, constraints):
    place = {name: at for at, name in enumerate(names)}
    return all(
        all(place[name] < place[other] for other in constraint.before)
        and all(place[other] < place[name] for other in constraint.after)
        for name, constraint in constraints.items()
    )


@given(any_order)
def test_without_constraints_the_list_decides(names):
    """Nothing is moved that did not ask for it."""
    assert ordered(names, {}) == list(names)


@given(any_order, agreeing_constraints())
def test_every_constraint_holds(names, constraints):
    """Whatever the list, what the plugins say of each other is respected, and none is lost."""
    found = ordered(names, constraints)
    assert satisfied(found, constraints)
    assert sorted(found) == NAMES


@given(any_order, agreeing_constraints())
def test_a_list_that_satisfies_the_constraints_stays_as_it_is(names, constraints):
    """Ordering is stable: what it gave it leaves alone."""
    found = ordered(names, constraints)
    assert ordered(found, constraints) == found


@given(any_order, agreeing_constraints(), st.randoms())
def test_the_order_in_which_constraints_are_known_has_no_effect(names, constraints, random):
    """Neither a dictionary's order nor that of the names in a constraint decides."""
    items = list(constraints.items())
    random.shuffle(items)
    shuffled = {
        name: Constraint(tuple(random.sample(c.before, len(c.before))), tuple(random.sample(c.after, len(c.after))))
        for name, c in items
    }
    assert ordered(names, shuffled) == ordered(names, constraints)


@given(any_order, agreeing_constraints(), st.sampled_from(NAMES))
def test_before_all_others_yields_to_names_only(names, constraints, first):
    """A plugin with `before = "*"` comes behind exactly those that have to come before it."""
    constraints[first] = Constraint((*constraints[first].before, "*"), constraints[first].after)
    found = ordered(names, constraints)
    explicit = {n: Constraint(tuple(o for o in c.before if o != "*"), c.after) for n, c in constraints.items()}
    assert satisfied(found, explicit)
    ahead = found[: found.index(first)]
    assert set(ahead) == must_come_before(first, explicit)


@given(any_order, agreeing_constraints(), st.sampled_from(NAMES))
def test_after_all_others_yields_to_names_only(names, constraints, last):
    """A plugin with `after = "*"` comes before exactly those that have to come behind it."""
    constraints[last] = Constraint(constraints[last].before, (*constraints[last].after, "*"))
    found = ordered(names, constraints)
    explicit = {n: Constraint(c.before, tuple(o for o in c.after if o != "*")) for n, c in constraints.items()}
    assert satisfied(found, explicit)
    behind = found[found.index(last) + 1 :]
    assert set(behind) == {name for name in NAMES if last in must_come_before(name, explicit)}


def must_come_before(name, constraints):
    found = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        direct = {*constraints[one].after, *(other for other in NAMES if one in constraints[other].before)}
        waiting += direct - found
        found |= direct
    return found


@given(any_order, st.lists(st.sampled_from(NAMES), unique=True, min_size=2, max_size=5))
def test_a_circle_is_named(names, circle):
    """The message shows each plugin of the circle and what can be done."""
    constraints = {
        one: Constraint(before=(other,)) for one, other in zip(circle, [*circle[1:], circle[0]], strict=True)
    }
    with pytest.raises(PluginOrderError) as caught:
        ordered(names, constraints)
    text = str(caught.value)
    start, end = "each must come before the next: ", "; change before/after of one of them"
    shown = text[text.index(start) + len(start) : text.index(end)].split(" -> ")
    assert shown[0] == shown[-1]
    assert set(shown) == set(circle)
    assert all(other in constraints[one].before for one, other in itertools.pairwise(shown))


def test_the_whole_message_of_a_circle():
    """What to do is said as well."""
    with pytest.raises(PluginOrderError) as caught:
        ordered(["a", "b"], {"a": Constraint(before=("b",)), "b": Constraint(before=("a",))})
    assert str(caught.value) == (
        "these plugins cannot be ordered, because each must come before the next: a -> b -> a; change before/after of one "
        "of them, or leave one out with disable = [...]"
    )


@given(any_order)
def test_names_that_are_not_there_are_ignored(names):
    """A constraint speaks of plugins that may be installed."""
    constraints = {name: Constraint(("x",), ("y", name)) for name in NAMES}
    assert ordered(names, constraints) == list(names)


@given(any_order, st.sets(st.sampled_from(NAMES)), st.data())
def test_several_first_and_last_ones_keep_the_order_of_the_list(names, first, data):
    """Seeding-like plugins come first, artifact-like ones last, and among their like the list decides."""
    last = data.draw(st.sets(st.sampled_from([name for name in NAMES if name not in first] or ["z"])))
    constraints = {name: Constraint(before=("*",)) for name in first} | {
        name: Constraint(after=("*",)) for name in last
    }
    rank = dict.fromkeys(first, -1) | dict.fromkeys(last, 1)
    assert ordered(names, constraints) == sorted(names, key=lambda name: rank.get(name, 0))


def test_a_first_plugin_may_still_come_behind_one_that_it_names():
    """A name counts more than the star of the same plugin."""
    assert ordered(["a", "b", "c"], {"c": Constraint(before=("*",), after=("b",))}) == ["b", "c", "a"]


def test_a_plugin_may_come_behind_the_last_one_by_naming_it():
    """A name counts more than the star of another plugin."""
    constraints = {"files": Constraint(after=("*",)), "upload": Constraint(after=("files",))}
    assert ordered(["upload", "other", "files"], constraints) == ["other", "files", "upload"]


@st.composite
def constraints_with_stars(draw):
    """Agreeing constraints, some of which are about all others."""
    constraints = draw(agreeing_constraints())
    for name in draw(some_names):
        before, after = constraints[name].before, constraints[name].after
        constraints[name] = draw(
            st.sampled_from([Constraint((*before, "*"), after), Constraint(before, (*after, "*"))])
        )
    return constraints


def explained(names, constraints):
    """The places, or nothing where two stars contradict each other by way of a third plugin."""
    try:
        return places(names, constraints)
    except PluginOrderError:
        return reject()


@given(any_order, constraints_with_stars())
def test_places_are_the_order(names, constraints):
    """To explain is no second way to order."""
    assert [place.name for place in explained(names, constraints)] == ordered(names, constraints)


@given(any_order, constraints_with_stars())
def test_every_reason_is_true(names, constraints):
    """The plugin says what the reason says, the two stand as it says, and the list has them the other way round."""
    found = explained(names, constraints)
    at = {place.name: number for number, place in enumerate(found)}
    for place in found:
        assert place.listed == names.index(place.name)
        for reason in place.reasons:
            earlier, later = (place.name, reason.other) if reason.is_ahead else (reason.other, place.name)
            wish, waited_for = reason.wish, reason.third or earlier
            assert wish.other in getattr(constraints[wish.plugin], wish.word)
            pair = (waited_for, later) if wish.word == "before" else (later, waited_for)
            assert pair == (wish.plugin, wish.other if wish.other != "*" else pair[1])
            assert at[earlier] < at[later]
            assert at[earlier] <= at[waited_for] < at[later]
            assert names.index(earlier) > names.index(later)


@given(any_order, constraints_with_stars())
def test_every_pair_that_is_not_as_in_the_list_has_its_reason_on_both_sides(names, constraints):
    """And no other pair has one."""
    found = explained(names, constraints)
    order = [place.name for place in found]
    turned = {(a, b) for a, b in itertools.combinations(order, 2) if names.index(a) > names.index(b)}
    assert {(place.name, r.other) for place in found for r in place.reasons if r.is_ahead} == turned
    assert {(r.other, place.name) for place in found for r in place.reasons if not r.is_ahead} == turned


@given(any_order, constraints_with_stars())
def test_the_reasons_are_enough(names, constraints):
    """Without everything that no reason names, the order is the same."""
    found = explained(names, constraints)
    named = {name: Constraint() for name in names}
    for place in found:
        for reason in place.reasons:
            later = reason.other if reason.is_ahead else place.name
            before = reason.third or (place.name if reason.is_ahead else reason.other)
            named[later] = Constraint(after=(*named[later].after, before))
    assert ordered(names, named) == [place.name for place in found]


def test_reasons_say_who_wants_what():
    """Whole places: the list, a name, a star, and one that waits for another."""
    said = {"c": Constraint(before=("b",)), "d": Constraint(before=("*",)), "b": Constraint(before=("a",))}
    star, by_c, by_b = Wish("d", "before", "*"), Wish("c", "before", "b"), Wish("b", "before", "a")
    assert places(["b", "a", "c", "d"], said) == [
        Place("d", 3, (Reason(True, "c", star), Reason(True, "b", star), Reason(True, "a", star))),
        Place("c", 2, (Reason(False, "d", star), Reason(True, "b", by_c), Reason(True, "a", by_b, "b"))),
        Place("b", 0, (Reason(False, "d", star), Reason(False, "c", by_c))),
        Place("a", 1, (Reason(False, "d", star), Reason(False, "c", by_b, "b"))),
    ]


def test_reasons_read_as_sentences():
    """From either side; what one wish decided is one sentence."""
    wish, star = Wish("b", "before", "a"), Wish("b", "before", "*")
    direct = [Reason(True, "a", wish), Reason(False, "b", wish)]
    assert sentences([*direct, *(Reason(True, other, star) for other in "cde")]) == [
        "ahead of 'a', because 'b' says before = ('a',)",
        "behind 'b', because 'b' says before = ('a',)",
        "ahead of 'c', 'd' and 'e', because 'b' says before = ('*',)",
    ]
    assert sentences([Reason(True, "a", wish, "b"), Reason(False, "c", wish, "b")]) == [
        "ahead of 'a', which waits for 'b', because 'b' says before = ('a',)",
        "behind 'c', because it waits for 'b', and 'b' says before = ('a',)",
    ]


class Named(BasePlugin):
    def __init__(self, before=(), after=()):
        self.before, self.after = before, after


def stack(**plugins):
    return [p.name for p in Stack([ActivePlugin(name, plugin, "test") for name, plugin in plugins.items()])]


def test_a_stack_is_ordered_by_what_its_plugins_say():
    """`before` and `after` are read from the plugins."""
    assert stack(a=Named(), b=Named(), c=Named(before=("a",)), d=Named(after=("b",))) == ["b", "c", "a", "d"]


def test_a_single_name_need_not_be_in_a_tuple():
    """A string is one name, not a sequence of letters."""
    assert stack(a=Named(), bc=Named(before="a")) == ["bc", "a"]


def test_what_happens_to_be_called_before_is_no_constraint():
    """A plugin of a stranger may have a method of that name."""
    assert stack(a=Named(), b=Named(before=lambda: "a", after=7)) == ["a", "b"]
