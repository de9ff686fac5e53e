"""What a step needs of a machine: every way to write it comes to one normal form, and all that is wrong is said."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core import (
    BasePlugin,
    DefinitionError,
    Experiment,
    GPUConfig,
    ResourceRequest,
    as_request,
    combined,
    pipeline_step,
)
from crystallize_core.accelerators import FAMILIES, best_type, family_of
from crystallize_core.requirements import asked_by

SIZES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
SIZES |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
SIZES |= {"Pi": 2**50, "B": 1, "KiB": 2**10, "GiB": 2**30}


class Mute:
    def __repr__(self):
        raise RuntimeError("no words")

    __str__ = __repr__


class Broken(Mapping):
    def __iter__(self):
        raise RuntimeError("no")

    def __len__(self):
        return 1

    def __getitem__(self, key):
        return 1


def refused(value):
    """The message for it."""
    with pytest.raises(DefinitionError) as caught:
        as_request(value)
    return str(caught.value)


requests = st.builds(
    ResourceRequest,
    cpu=st.none() | st.floats(0, 1e6),
    memory=st.none() | st.integers(0, 2**70),
    storage=st.none() | st.integers(0, 2**70),
    gpu=st.none()
    | st.builds(
        GPUConfig,
        st.none() | st.sampled_from(["nvidia-tesla-v100", "a100", "tpu-v4", "mi250"]),
        st.integers(1, 64),
        st.none() | st.integers(0, 2**40),
    ),
    affinity=st.lists(st.sampled_from(["zone=eu", "zone=us", "fast"])),
)


# One normal form --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "cores"),
    [
        (4, 4.0), (0.5, 0.5), ("4", 4.0), ("0.5", 0.5), ("500m", 0.5), ("1500m", 1.5), (" 2 ", 2.0), (0, 0.0), (".5", 0.5),
        (Fraction(1, 4), 0.25), (np.int64(3), 3.0), (np.float64(1.5), 1.5),
    ],
)  # fmt: skip
def test_cores_are_written_in_many_ways(written, cores):
    found = as_request({"cpu": written})
    assert found == ResourceRequest(cpu=cores)
    assert type(found.cpu) is float


@pytest.mark.parametrize(("unit", "factor"), SIZES.items())
@pytest.mark.parametrize("key", ["memory", "storage"])
def test_every_unit_of_bytes_is_read(key, unit, factor):
    assert as_request({key: f"16{unit}"}).to_dict() == {key: 16 * factor}
    assert as_request({key: f"1.5 {unit}"}).to_dict() == {key: -(-3 * factor // 2)}


def test_bytes_are_ints_of_any_kind_and_fractions_are_rounded_up():
    assert as_request({"memory": np.int32(7), "storage": "1.0001k"}) == ResourceRequest(memory=7, storage=1001)


@pytest.mark.parametrize(
    ("written", "gpu"),
    [
        ({"gpu": "nvidia-tesla-v100", "gpu_count": 2}, GPUConfig("nvidia-tesla-v100", 2)),
        ({"gpu": "nvidia-tesla-v100"}, GPUConfig("nvidia-tesla-v100", 1)),
        ({"gpu": 2}, GPUConfig(None, 2)),
        ({"gpu": "2"}, GPUConfig(None, 2)),
        ({"gpu_count": 3}, GPUConfig(None, 3)),
        ({"gpu": 0}, None),
        ({"gpu": None}, None),
        ({"gpu_count": 0}, None),
        ({"gpu": "a100", "gpu_count": 0}, None),
        ({"gpu": {"type": "a100", "count": 2, "memory": "40Gi"}}, GPUConfig("a100", 2, 40 * 2**30)),
        ({"gpu": {"type": "a100"}, "gpu_count": 4}, GPUConfig("a100", 4)),
        ({"gpu": {"type": "a100", "count": 0}}, None),
        ({"gpu": {}}, GPUConfig()),
        ({"gpu": GPUConfig("a100", 2)}, GPUConfig("a100", 2)),
        ({"gpu": GPUConfig("a100", 2), "gpu_count": 2}, GPUConfig("a100", 2)),
        ({"gpu": 2, "gpu_count": 2}, GPUConfig(None, 2)),
    ],
)
def test_accelerators_are_written_in_many_ways(written, gpu):
    assert as_request(written) == ResourceRequest(gpu=gpu)


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("fast", ("fast",)),
        (["b", "a", "b"], ("a", "b")),
        ({"zone": "eu"}, ("zone=eu",)),
        ({"zone": ["us", "eu"], "disk": "ssd"}, ("disk=ssd", "zone=eu", "zone=us")),
        ([], ()),
        (None, ()),
    ],
)
def test_labels_are_written_in_many_ways(written, labels):
    assert as_request({"affinity": written}).affinity == labels


@given(requests)
def test_a_request_survives_its_plain_form_and_pickling(request):
    """What is recorded can be asked for again."""
    assert as_request(request) is request
    assert as_request(request.to_dict()) == request
    assert pickle.loads(pickle.dumps(request)) == request
    assert hash(as_request(request.to_dict())) == hash(request)


def test_the_classes_read_what_the_mapping_does():
    assert ResourceRequest(cpu="500m", memory="1Ki", gpu="a100", affinity="fast") == as_request(
        {"cpu": 0.5, "memory": 1024, "gpu": {"type": "a100", "memory": None}, "affinity": ["fast"]}
    )
    assert GPUConfig("a100", 1, "1Ki") == GPUConfig("a100", 1, 1024)


def test_a_request_is_shown_by_what_it_asks_for():
    request = as_request({"cpu": 1, "memory": "1.5Gi", "gpu": "a100", "gpu_count": 2, "affinity": "fast"})
    assert str(request) == "1 core, 1.5 GiB of memory, 2 GPUs of type a100, a machine with fast"
    assert repr(request) == (
        "ResourceRequest(cpu=1.0, memory=1610612736, gpu=GPUConfig(type='a100', count=2, memory=None), affinity=('fast',))"
    )
    assert (str(ResourceRequest()), repr(ResourceRequest())) == ("nothing", "ResourceRequest()")
    assert str(as_request({"storage": 10, "gpu": {"memory": "1Ki"}})) == "10 bytes of storage, 1 GPU with 1 KiB"


# What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "4", 4, [], b"", Mute(), ResourceRequest])
def test_what_is_no_mapping_is_refused(value):
    shown = "a Mute that cannot be shown (RuntimeError)" if isinstance(value, Mute) else repr(value)
    assert refused(value) == (
        'resources must be a mapping such as {"cpu": 4, "memory": "16Gi"} or a ResourceRequest; found ' + shown
    )


@pytest.mark.parametrize(
    "value", [-1, True, float("nan"), float("inf"), 10**400, "four", "4x", "-1", "", [], Mute(), b"4"]
)
def test_what_is_no_number_of_cores_is_refused(value):
    expected = 'resources: cpu must be a number of cores of at least 0, such as 4, 0.5, "4" or "500m"; found '
    assert refused({"cpu": value}).startswith(expected)


@pytest.mark.parametrize("value", [-1, True, 1.5, "", "Gi", "-1Gi", "1e3", "9" * 5000, [], Mute(), b"1"])
@pytest.mark.parametrize("key", ["memory", "storage"])
def test_what_is_no_number_of_bytes_is_refused(key, value):
    message = refused({key: value})
    assert message.startswith(f"resources: {key} must be an int of bytes of at least 0, or a text such as ")
    assert len(message) < 300


def test_a_unit_that_does_not_exist_comes_with_a_suggestion_or_the_list():
    assert refused({"memory": "16gi"}) == "resources: memory has the unknown unit 'gi' in '16gi'; did you mean 'Gi'?"
    assert refused({"memory": "16 parsec"}).startswith(
        "resources: memory has the unknown unit 'parsec' in '16 parsec'; the units are B, k, kB, K, M, G, T, P, KB, "
    )


@pytest.mark.parametrize("value", [-1, True, 1.5, [], Mute()])
def test_what_is_no_accelerator_is_refused(value):
    expected = 'how many, a type such as "nvidia-tesla-v100", a mapping with type, count and memory, or a GPUConfig'
    assert refused({"gpu": value}).startswith(f"resources: gpu must be {expected}; found ")


@pytest.mark.parametrize(
    "value", [3, b"fast", [1], [""], {"zone": 1}, {"zone": {"eu": 1}}, {1: "eu"}, Mute(), iter("a")]
)
def test_what_is_no_label_is_refused(value):
    expected = (
        'resources: affinity must be a label, a list of labels or a mapping of names to values, such as {"zone": "eu"}'
    )
    assert refused({"affinity": value}).startswith(expected)


def test_everything_that_is_wrong_is_said_at_once():
    wrong = {"cpu": -1, "memry": 1, "gpu": {"typ": "a100", "count": True}, "gpu_count": "x", 3: 4}
    assert refused(wrong) == (
        "resources: 6 problems\n"
        "  resources has no key 'memry'; did you mean 'memory'?\n"
        "  resources has no key 3; known: 'affinity', 'cpu', 'gpu', 'gpu_count', 'memory', 'storage'.\n"
        '  cpu must be a number of cores of at least 0, such as 4, 0.5, "4" or "500m"; found -1\n'
        "  gpu_count must be an int of at least 0; found 'x'\n"
        "  gpu has no key 'typ'; did you mean 'type'?\n"
        "  gpu count must be an int of at least 0; found True"
    )


def test_two_numbers_of_accelerators_are_refused():
    assert refused({"gpu": 2, "gpu_count": 3}) == "resources: gpu asks for 2 and gpu_count for 3; keep one of them"
    assert "gpu asks for 1 and gpu_count for 3" in refused({"gpu": GPUConfig("a100"), "gpu_count": 3})


def test_a_thousand_unknown_keys_do_not_fill_the_screen():
    message = refused({f"key{number}": number for number in range(1000)})
    assert message.splitlines()[-1] == "  and 990 more keys"
    assert len(message) < 2000


def test_a_mapping_that_cannot_be_read_is_refused():
    assert refused({"gpu": Broken()}) == "resources: gpu cannot be read: RuntimeError from Broken"


def test_the_classes_refuse_what_the_mapping_does():
    with pytest.raises(DefinitionError, match=r"^gpu count must be at least 1; found 0$"):
        GPUConfig("a100", 0)
    with pytest.raises(DefinitionError, match=r"^gpu type must be a non-empty str; found 3$"):
        GPUConfig(3)
    with pytest.raises(DefinitionError, match=r"^gpu count must be at least 1; found None$"):
        GPUConfig("a100", None)
    with pytest.raises(DefinitionError, match=r"^cpu must be a number of cores"):
        ResourceRequest(cpu=-1)


@given(
    st.dictionaries(
        st.sampled_from(["cpu", "memory", "storage", "gpu", "gpu_count", "affinity", "x"]),
        st.none() | st.booleans() | st.floats() | st.text() | st.integers() | st.from_regex(r"\A[0-9.]+ ?[kMGi]*\Z"),
    )
)
def test_anything_is_either_read_or_refused(value):
    """No other error comes out, and what was read can be read again."""
    found = None
    with suppress(DefinitionError):
        found = as_request(value)
    if found is not None:
        assert as_request(found.to_dict()) == found


# Several together -------------------------------------------------------------------------------------------------


def test_steps_of_one_place_need_the_most_of_each():
    found = combined(
        [
            {"cpu": 4, "memory": "1Gi", "affinity": "zone=eu"},
            {"cpu": "500m", "memory": "2Gi", "storage": "1G", "gpu": "t4", "gpu_count": 4},
            {"gpu": {"type": "nvidia-a100", "memory": "40Gi"}, "affinity": ["fast"]},
        ]
    )
    gpu = GPUConfig("nvidia-a100", 4, 40 * 2**30)
    assert found == ResourceRequest(4, 2 * 2**30, 10**9, gpu, ("fast", "zone=eu"))
    assert combined([]) == ResourceRequest()


@given(st.lists(requests))
def test_what_steps_need_together_is_enough_for_each(several):
    """And asking for the whole once more changes nothing."""
    whole = combined(several)
    for request in several:
        assert all((getattr(request, n) or 0) <= (getattr(whole, n) or 0) for n in ("cpu", "memory", "storage"))
        assert set(request.affinity) <= set(whole.affinity)
        if request.gpu is not None:
            assert request.gpu.count <= whole.gpu.count
            assert (request.gpu.memory or 0) <= (whole.gpu.memory or 0)
    assert combined([whole, whole]) == whole


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("nvidia-tesla-v100", "v100"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("AMD Instinct MI250X", "mi250x"),
        ("NVIDIA GeForce RTX 4090", "4090"),
        ("tpu-v4", None),
        ("", None),
        (None, None),
    ],
)
def test_a_type_is_known_by_the_family_in_its_name(kind, family):
    assert family_of(kind) == family


@pytest.mark.parametrize(
    ("found", "best"),
    [
        ([], None),
        ([(None, 10)], None),
        ([("t4", None), ("NVIDIA H100", None), ("v100", None)], "NVIDIA H100"),
        ([("t4", 100), ("a100", 1)], "a100"),
        ([("a100", None), ("nvidia-a100", None)], "a100"),
        ([("a100", None), ("nvidia-a100-80gb", 80)], "nvidia-a100-80gb"),
        ([("tpu-v4", None), ("a100", None)], "tpu-v4"),
        ([("tpu-v4", None), ("a100", 40)], "a100"),
        ([("mi250", None), ("h100", None)], "mi250"),
    ],
)
def test_the_best_type_is_that_of_the_best_family_where_they_can_be_compared(found, best):
    """Otherwise the one with the most memory, otherwise the first."""
    assert best_type(found) == best


def test_no_family_stands_in_two_lines():
    """Its place would depend on the order of the table."""
    everything = [family for line in FAMILIES for family in line]
    assert len(everything) == len(set(everything))


def test_a_replicate_needs_the_most_of_what_its_steps_ask_for():
    """Steps that ask for nothing do not count; what schedulers are asked for, whichever it is."""

    class Claims(BasePlugin):
        def step_options(self):
            return {"resources": as_request}

    @pipeline_step(resources={"cpu": 2})
    def first(data, ctx):
        return data

    @pipeline_step()
    def second(data, ctx):
        return data

    @pipeline_step(resources={"cpu": 1, "memory": "1Gi"})
    def third(data, ctx):
        return data

    asks = Experiment(lambda ctx: 1, [first, second, third], [Claims()], autoload=False)
    asks_nothing = Experiment(lambda ctx: 1, [second], autoload=False)
    assert asked_by(asks) == as_request({"cpu": 2, "memory": "1Gi"})
    assert asked_by(asks_nothing) == ResourceRequest()
