"""What this machine has for steps: cores, memory, disk and GPUs, as far as this process may use them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import attrs

from crystallize_core import GPUConfig, ResourceRequest
from crystallize_core.accelerators import family_of
from crystallize_core.quantities import in_words

__all__ = ["VISIBLE", "Device", "Machine", "devices", "memory_limit"]

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
"""The environment variable with the devices that a process may use."""
SMI_SECONDS: Final = 20.0
"""A driver that answers later than this is taken for one that does not answer."""
MIB: Final = 1024**2


@attrs.frozen
class Device:
    """A GPU.

    Attributes:
        id: How `CUDA_VISIBLE_DEVICES` calls it.
        type, memory: Its name and its bytes, where they are known.

    """

    id: str
    type: str | None = None
    memory: int | None = None

    def suits(self, wanted: GPUConfig) -> bool:
        """Whether it may be given to who asks for this; what nobody knows about it does not stand in the way."""
        if wanted.memory is not None and self.memory is not None and self.memory < wanted.memory:
            return False
        own, asked = family_of(self.type), family_of(wanted.type)
        return own is None or asked is None or own == asked


@attrs.frozen
class Machine:
    """What there is.

    Attributes:
        cpu: Cores, by the affinity of this process and the limits of its container.
        memory: Bytes of main memory, or the limit of the container; None where nobody knows.
        storage: Bytes that are free on the disk of the current folder; None where nobody knows.
        devices: The GPUs.

    """

    cpu: float
    memory: int | None = None
    storage: int | None = None
    devices: tuple[Device, ...] = ()

    @classmethod
    def here(cls, *, with_gpus: bool) -> Self:
        """This machine, for this process. Its GPUs are looked for only where somebody asks for one."""
        import loky  # noqa: PLC0415 - it knows affinity and container limits, and only steps that ask need it

        return cls(loky.cpu_count(), _memory(), _storage(), devices(os.environ) if with_gpus else ())

    def limited(self, available: ResourceRequest) -> Machine:
        """This machine, where somebody has said what steps may use of it; what is not mentioned stays."""
        found = self
        for name in ("cpu", "memory", "storage"):
            if getattr(available, name) is not None:
                found = attrs.evolve(found, **{name: getattr(available, name)})
        if available.gpu is not None:
            said = available.gpu
            known = [device for device in self.devices if device.suits(said)][: said.count]
            made = [Device(str(number), said.type, said.memory) for number in range(len(known), said.count)]
            found = attrs.evolve(found, devices=(*known, *made))
        return found

    def suitable(self, wanted: GPUConfig) -> tuple[str, ...]:
        """The ids of the devices that may be given to who asks for this."""
        return tuple(device.id for device in self.devices if device.suits(wanted))

    def lacks(self, request: ResourceRequest) -> list[str]:
        """What the request asks for and this machine does not have, in words; empty where it fits."""
        found = []
        if request.cpu is not None and request.cpu > self.cpu:
            found.append(f"it asks for {request.cpu:g} cores, there are {self.cpu:g}")
        for name in ("memory", "storage"):
            wanted, there = getattr(request, name), getattr(self, name)
            if wanted is not None and there is not None and wanted > there:
                found.append(f"it asks for {in_words(wanted)} of {name}, there are {in_words(there)}")
        if request.gpu is not None and request.gpu.count > len(self.suitable(request.gpu)):
            shown = ", ".join(_in_words(device) for device in self.devices) or "none"
            found.append(f"it asks for {ResourceRequest(gpu=request.gpu)}, there are: {shown}")
        return found


def _in_words(device: Device) -> str:
    size = f" with {in_words(device.memory)}" if device.memory is not None else ""
    return f"{device.type or 'a GPU'} {device.id!r}{size}"


# Memory and disk --------------------------------------------------------------------------------------


def _memory() -> int | None:
    """The smaller of what the machine has and what the container may use."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, others have other names
        physical = -1
    limits = [limit for limit in (physical, memory_limit()) if limit is not None and limit > 0]
    return min(limits, default=None)


def memory_limit(root: Path = Path("/")) -> int | None:
    """The limit that control groups set to the memory of this process, of version 1 or 2; None for none.

    Args:
        root: Where the file systems of the kernel are found.

    """
    found = []
    for group in _memory_groups(root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (group / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdecimal():  # "max" is no limit
                found.append(int(text))
    return min(found, default=None)


def _memory_groups(root: Path) -> Iterator[Path]:
    """The folders of the groups that this process is in, and of those around them, whose limits hold too.

    Inside a container the path may be that of the host and lead nowhere; what is mounted is then the container's.
    """
    mounted = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        for top in [mounted / "memory"] if controllers else [mounted, mounted / "unified"]:
            group = top / path.lstrip("/")
            yield group
            yield from (above for above in group.parents if above.is_relative_to(top))


def _storage() -> int | None:
    try:
        return shutil.disk_usage(Path.cwd()).free
    except OSError:
        return None


# GPUs -------------------------------------------------------------------------------------------------


def devices(environ: Mapping[str, str], root: Path = Path("/")) -> tuple[Device, ...]:
    """The GPUs that this process may use: those of `CUDA_VISIBLE_DEVICES`, else all that the driver knows.

    Args:
        environ: The environment variables.
        root: Where the file systems of the kernel are found.

    """
    smi = shutil.which("nvidia-smi", path=environ.get("PATH"))
    known = (_from_smi(smi) if smi is not None else ()) or _from_driver(root)
    listed = environ.get(VISIBLE)
    if listed is None:
        return known
    # The order of CUDA is that of the driver only if it is told so; where all are alike, it does not matter.
    in_order = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len({(d.type, d.memory) for d in known}) == 1
    return tuple(_listed(listed, known, in_order=in_order))


def _listed(text: str, known: Sequence[Device], *, in_order: bool) -> Iterator[Device]:
    """The devices of a list; as CUDA reads it, the first that does not exist ends it."""
    for name in dict.fromkeys(part.strip() for part in text.split(",")):
        same = [device for device in known if name and device.id.startswith(name)]
        if name.isdecimal():
            if known and int(name) >= len(known):
                return
            same = [known[int(name)]] if known and in_order else []
        elif not name.startswith(("GPU-", "MIG-")):
            return
        yield attrs.evolve(same[0], id=name) if same else Device(name)


@functools.lru_cache(maxsize=4)
def _from_smi(program: str) -> tuple[Device, ...]:
    """What the program of the driver says; asked once, because it takes its time."""
    query = [program, "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=SMI_SECONDS, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ()
    found = []
    for line in done.stdout.splitlines():
        uuid, name, size = ([part.strip() for part in line.split(",")] + ["", ""])[:3]
        if uuid:
            found.append(Device(uuid, name or None, int(size) * MIB if size.isdecimal() else None))
    return tuple(found)


def _from_driver(root: Path) -> tuple[Device, ...]:
    """What the driver says in its files, which has no sizes."""
    found = []
    for file in (root / "proc/driver/nvidia/gpus").glob("*/information"):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        said = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        minor = said.get("Device Minor", "")
        place = (int(minor) if minor.isdecimal() else 0, file.parent.name)
        found.append((place, said.get("GPU UUID"), said.get("Model")))
    found.sort(key=lambda one: one[0])
    return tuple(Device(uuid or str(number), model) for number, (_, uuid, model) in enumerate(found))
