"""A cluster of one machine that knows as much of the commands of Slurm as submitit and this bridge use.

Installed in a folder of PATH as `sbatch`, `srun`, `scancel`, `sacct`, `squeue` and `scontrol`, which all are this file. What
it knows is in the folder FAKE_SLURM; the files there that are settings:

    slots           how many jobs run at a time
    minute          how many seconds a minute has
    killed          the state of a job whose process was killed by signal 9
    no_accounting   `sacct` fails
    down            the controller does not answer
    refuse          `sbatch` takes nothing, with this message
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["FAKE_SLURM"])
TICK = 0.02


def setting(name, default):
    path = HOME / name
    return type(default)(path.read_text()) if path.exists() else default


def state_of(job):
    return (HOME / "jobs" / job / "state").read_text()


@contextlib.contextmanager
def locked():
    with (HOME / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_state(job, state):
    folder = HOME / "jobs" / job
    (folder / ".state").write_text(state)
    (folder / ".state").replace(folder / "state")


def all_jobs():
    return sorted(path.name for path in (HOME / "jobs").iterdir())


def flags_of(script):
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return {name: value.strip("'") for name, value in found}


def sbatch(arguments):
    if (HOME / "refuse").exists():
        sys.exit((HOME / "refuse").read_text())
    script = Path(arguments[-1]).read_text()
    with locked():
        number = setting("number", 100) + 1
        (HOME / "number").write_text(str(number))
        (HOME / f"script-{number}.sh").write_text(script)
        array = re.match(r"0-(\d+)", flags_of(script).get("array", ""))
        jobs = [f"{number}_{index}" for index in range(int(array[1]) + 1)] if array else [str(number)]
        for job in jobs:
            (HOME / "jobs" / job).mkdir(parents=True)
            set_state(job, "PENDING")
    print(f"Submitted batch job {number}", flush=True)
    for job in jobs:
        subprocess.Popen(
            [sys.executable, __file__, "watch", job],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(HOME / "watch.log").open("a"),
            start_new_session=True,
        )


def watch(arguments):
    """What the daemons of Slurm do with one job."""
    (job,) = arguments
    while state_of(job) == "PENDING":
        with locked():
            running = sum(state_of(other) == "RUNNING" for other in all_jobs())
            if running < setting("slots", 2) and state_of(job) == "PENDING":
                set_state(job, "RUNNING")
        time.sleep(TICK)
    if state_of(job) == "RUNNING":
        set_state(job, run(job))


def run(job):
    main, _, index = job.partition("_")
    script = (HOME / f"script-{main}.sh").read_text()
    flags = flags_of(script)
    minute = setting("minute", 60.0)
    end = time.time() + float(flags["time"]) * minute
    own = {"SLURM_JOB_ID": str(int(main) + 5000 * bool(index)), "SLURM_JOB_END_TIME": str(int(end))}
    own |= {"SLURM_ARRAY_JOB_ID": main, "SLURM_ARRAY_TASK_ID": index} if index else {}
    own |= {"SLURM_CPUS_PER_TASK": flags["cpus-per-task"]} if "cpus-per-task" in flags else {}
    body = HOME / "jobs" / job / "script.sh"
    body.write_text(script)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    environment = {**os.environ, **own}
    try:
        log = Path(named(flags["error"], environment)).open("ab")  # noqa: SIM115 - it is closed below
    except OSError:  # cancelled between the queue and its start, and the folder for its log is gone
        return "CANCELLED by 1000" if (HOME / "jobs" / job / "cancelled").exists() else "FAILED"
    with log:
        process = subprocess.Popen(["bash", str(body)], env=environment, start_new_session=True, stdout=log, stderr=log)
    warned_at = end - float(flags["signal"].partition("@")[2]) / 60 * minute
    warned = False
    while process.poll() is None:
        cancelled = (HOME / "jobs" / job / "cancelled").exists()
        if time.time() > warned_at and not warned:
            warned = True
            to_tasks(process, signal.SIGUSR2)
        if cancelled or time.time() > end:
            to_tasks(process, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return "CANCELLED by 1000" if cancelled else "TIMEOUT"
        time.sleep(TICK)
    if process.returncode == 128 + signal.SIGKILL:
        return setting("killed", "FAILED")
    return "FAILED" if process.returncode else "COMPLETED"


def named(path, environment):
    """The name of a log file, with what Slurm replaces in it."""
    main = environment.get("SLURM_ARRAY_JOB_ID", environment["SLURM_JOB_ID"])
    patterns = {"%j": environment["SLURM_JOB_ID"], "%A": main, "%a": environment.get("SLURM_ARRAY_TASK_ID", "")}
    for pattern, value in {**patterns, "%t": "0"}.items():
        path = path.replace(pattern, value)
    return path


def to_tasks(process, number):
    """Signals go to what `srun` has started, and not to the shell around it."""
    with contextlib.suppress(OSError):
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(pid), number)


def srun(arguments):
    values = {}
    while arguments[0].startswith("--"):
        name = arguments.pop(0)
        if name != "--unbuffered":
            values[name] = arguments.pop(0)
    for name, stream in [("--output", 1), ("--error", 2)]:
        os.dup2(os.open(named(values[name], os.environ), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), stream)
    os.execvp(arguments[0], arguments)


def scancel(arguments):
    with locked():
        for job in all_jobs():
            if job in arguments or job.partition("_")[0] in arguments:
                if state_of(job) == "PENDING":
                    set_state(job, "CANCELLED by 1000")
                (HOME / "jobs" / job / "cancelled").touch()


def sacct(arguments):
    if (HOME / "no_accounting").exists():
        sys.exit("Slurm accounting storage is disabled")
    wanted = arguments[arguments.index("-j") + 1].split(",")
    print("JobID|State")
    for job in all_jobs():
        if job.partition("_")[0] in wanted:
            print(f"{job}|{state_of(job)}")


def squeue(arguments):
    for job in all_jobs():
        print(f"{job}|{state_of(job).split()[0]}")


def scontrol(arguments):
    assert arguments == ["ping"]
    if (HOME / "down").exists():
        sys.exit("Slurmctld(primary) at head is DOWN")
    print("Slurmctld(primary) at head is UP")


if __name__ == "__main__":
    globals()[sys.argv[1]](sys.argv[2:])
