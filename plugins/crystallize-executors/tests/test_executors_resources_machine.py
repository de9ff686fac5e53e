"""What this machine has: limits of containers, devices of the driver, and what a request has too much of."""

from __future__ import annotations

import os
import stat

import pytest

from crystallize_core import GPUConfig, as_request
from crystallize_executors.machine import Device, Machine, devices, memory_limit

GIB = 2**30


def tree(root, **files):
    """A copy of the kernel's files; `__` in a name is a slash."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_in_bytes", ".limit_in_bytes").replace("_max", ".max")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


# Memory -----------------------------------------------------------------------------------------------


def test_a_machine_without_control_groups_has_no_limit(tmp_path):
    assert memory_limit(tmp_path) is None


def test_the_smallest_limit_of_the_groups_around_holds(tmp_path):
    """Version 2: one line, and every group above it counts."""
    found = tree(
        tmp_path,
        proc__self__cgroup="0::/outer/inner\n",
        sys__fs__cgroup__outer__inner__memory_max="8589934592\n",
        sys__fs__cgroup__outer__memory_max="4294967296\n",
        sys__fs__cgroup__memory_max="max\n",
    )
    assert memory_limit(found) == 4 * GIB


def test_the_group_of_the_memory_controller_is_the_one_that_counts(tmp_path):
    """Version 1: a line for each controller, with paths of their own."""
    found = tree(
        tmp_path,
        proc__self__cgroup="9:cpu,cpuacct:/elsewhere\n4:memory:/mine\n0::/\n",
        sys__fs__cgroup__memory__mine__memory_in_bytes="2147483648\n",
        sys__fs__cgroup__memory__elsewhere__memory_in_bytes="1\n",
    )
    assert memory_limit(found) == 2 * GIB


def test_inside_a_container_the_path_is_that_of_the_host(tmp_path):
    """It leads nowhere, and what is mounted is the container's own."""
    found = tree(
        tmp_path,
        proc__self__cgroup="0::/docker/0123456789\n",
        sys__fs__cgroup__memory_max="1073741824",
    )
    assert memory_limit(found) == GIB


def test_this_machine_has_something_of_everything():
    found = Machine.here(with_gpus=False)
    assert found.cpu >= 1
    assert found.memory is None or found.memory > 0
    assert found.storage is None or found.storage >= 0
    assert found.devices == ()


# GPUs -------------------------------------------------------------------------------------------------


def driver(root, *models, uuids=True):
    """The files of a driver with these devices."""
    for number, model in enumerate(models):
        lines = [f"Model: \t\t {model}", "IRQ:   \t\t 35", f"Device Minor: \t {number}"]
        lines += [f"GPU UUID: \t GPU-{number}{number}"] if uuids else []
        folder = root / f"proc/driver/nvidia/gpus/0000:0{9 - number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text("\n".join(lines))
    return root


def smi(folder, text, code=0):
    """A program of that name that prints this."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    return {"PATH": str(folder)}


def test_a_machine_without_a_driver_has_none(tmp_path):
    assert devices({"PATH": str(tmp_path)}, tmp_path) == ()


def test_the_files_of_the_driver_name_them_in_its_order(tmp_path):
    found = devices({"PATH": ""}, driver(tmp_path, "Tesla V100-SXM2-16GB", "Tesla T4"))
    assert found == (Device("GPU-00", "Tesla V100-SXM2-16GB"), Device("GPU-11", "Tesla T4"))


def test_an_old_driver_that_has_no_names_numbers_them(tmp_path):
    assert devices({"PATH": ""}, driver(tmp_path, "Tesla K80", uuids=False)) == (Device("0", "Tesla K80"),)


@pytest.mark.skipif(os.name != "posix", reason="the program is a script of a shell")
def test_the_program_of_the_driver_knows_their_memory(tmp_path):
    path = smi(tmp_path, "GPU-a, NVIDIA A100, 40960\\nGPU-b, NVIDIA A100, [N/A]\\n\\n")
    assert devices(path, tmp_path) == (Device("GPU-a", "NVIDIA A100", 40 * GIB), Device("GPU-b", "NVIDIA A100"))


@pytest.mark.skipif(os.name != "posix", reason="the program is a script of a shell")
def test_a_program_that_fails_leaves_it_to_the_files(tmp_path):
    path = smi(tmp_path, "NVIDIA-SMI has failed", code=9)
    assert devices(path, driver(tmp_path, "Tesla T4")) == (Device("GPU-00", "Tesla T4"),)


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("1", ("1",)),
        ("1,0", ("1", "0")),
        ("0,0", ("0",)),
        ("GPU-1", ("GPU-1",)),
        ("0,7,1", ("0",)),
        ("-1", ()),
        ("", ()),
        ("NoDevFiles", ()),
        ("0,-1,1", ("0",)),
    ],
)
def test_the_environment_says_which_of_them_may_be_used(tmp_path, listed, found):
    """As CUDA reads it: the first that does not exist ends the list."""
    there = driver(tmp_path, "Tesla T4", "Tesla T4")
    expected = tuple(Device(name, "Tesla T4") for name in found)
    assert devices({"PATH": "", "CUDA_VISIBLE_DEVICES": listed}, there) == expected


def test_numbers_mean_nothing_where_the_order_is_not_known(tmp_path):
    """CUDA puts the fastest first, unless it is told to keep the order of the driver."""
    there = driver(tmp_path, "Tesla T4", "Tesla V100")
    listed = {"PATH": "", "CUDA_VISIBLE_DEVICES": "0"}
    assert devices(listed, there) == (Device("0"),)
    assert devices(listed | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, there) == (Device("0", "Tesla T4"),)


def test_without_a_driver_the_environment_is_believed(tmp_path):
    listed = {"PATH": "", "CUDA_VISIBLE_DEVICES": "0,1"}
    assert devices(listed, tmp_path) == (Device("0"), Device("1"))


# What fits --------------------------------------------------------------------------------------------

V100 = Device("0", "Tesla V100-SXM2-16GB", 16 * GIB)
A100 = Device("1", "NVIDIA A100-SXM4-40GB", 40 * GIB)
UNKNOWN = Device("2")
THEY = "Tesla V100-SXM2-16GB '0' with 16 GiB, NVIDIA A100-SXM4-40GB '1' with 40 GiB, a GPU '2'"
HERE = Machine(4, 8 * GIB, 100 * GIB, (V100, A100, UNKNOWN))


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (GPUConfig(), ("0", "1", "2")),
        (GPUConfig("nvidia-tesla-v100"), ("0", "2")),
        (GPUConfig("a100"), ("1", "2")),
        (GPUConfig("tpu-v4"), ("0", "1", "2")),
        (GPUConfig(memory=20 * GIB), ("1", "2")),
        (GPUConfig("v100", memory=20 * GIB), ("2",)),
    ],
)
def test_a_device_suits_by_family_and_memory_as_far_as_they_are_known(wanted, ids):
    assert HERE.suitable(wanted) == ids


@pytest.mark.parametrize(
    ("wanted", "lacking"),
    [
        ({"cpu": 4, "memory": "8Gi", "storage": "100Gi", "gpu": 3}, []),
        ({}, []),
        ({"cpu": 4.5}, ["it asks for 4.5 cores, there are 4"]),
        ({"memory": "9Gi"}, ["it asks for 9 GiB of memory, there are 8 GiB"]),
        ({"storage": "1Ti"}, ["it asks for 1 TiB of storage, there are 100 GiB"]),
        (
            {"gpu": "v100", "gpu_count": 3},
            ["it asks for 3 GPUs of type v100, there are: " + THEY],
        ),
    ],
)
def test_what_is_lacking_is_said_in_words(wanted, lacking):
    assert HERE.lacks(as_request(wanted)) == lacking


def test_everything_that_is_lacking_is_said():
    everything = as_request({"cpu": 5, "memory": "9Gi", "storage": "1Ti", "gpu": 1})
    assert len(Machine(4, 8 * GIB, GIB).lacks(everything)) == 4
    assert Machine(4).lacks(as_request({"memory": "9Gi", "storage": "1Ti"})) == []  # nobody knows


def test_somebody_may_say_what_there_is():
    """More or less than there is; what is not mentioned stays."""
    assert HERE.limited(as_request({"cpu": 64, "memory": "1Gi"})) == Machine(64, GIB, 100 * GIB, HERE.devices)
    assert HERE.limited(as_request({"gpu": "a100", "gpu_count": 3})) == Machine(
        4, 8 * GIB, 100 * GIB, (A100, UNKNOWN, Device("2", "a100"))
    )
    assert Machine(4).limited(as_request({"gpu": 2})).devices == (Device("0"), Device("1"))
