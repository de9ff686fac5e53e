"""Files are whole or not there, links lead nowhere, and a lock ends with its holder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crystallize_artifacts.files import (
    files_below,
    locked,
    make_folders,
    refuse_other_spelling,
    remove_leftovers,
    reread,
    write_whole,
)

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


def test_written_file_replaces_the_earlier_one(tmp_path):
    """A file is replaced as a whole, and nothing else is left in the folder."""
    write_whole(tmp_path / "x", b"long content")
    write_whole(tmp_path / "x", b"short")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"short"}


@posix
def test_file_that_cannot_be_finished_leaves_nothing(tmp_path):
    """Where a file may not grow any further, the earlier content stays and no half of the new one is left."""
    code = (
        "import resource, sys; from pathlib import Path; from crystallize_artifacts.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_whole(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error:\n    print(error.errno)\n"
    )
    (tmp_path / "x").write_bytes(b"earlier")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"earlier"}


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    """Ctrl-C while a file is written leaves no half of it."""

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "x", b"content")
    assert list(tmp_path.iterdir()) == []


@posix
@pytest.mark.parametrize("target", ["elsewhere", "missing"])
def test_link_is_no_folder(tmp_path, target):
    """A folder is not made through a link, be it to an existing place or to none."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match="is a link or a file where a folder is needed"):
        make_folders(tmp_path / "root", tmp_path / "root" / "a" / "b")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert not (tmp_path / "missing").exists()


@posix
def test_file_is_not_read_through_a_link(tmp_path):
    """Neither a link in the place of a file nor one on the way to it is followed."""
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    for path in (root / "file", root / "folder" / "secret"):
        with pytest.raises(OSError, match="is a link or of the wrong kind"):
            reread(root, path)


def test_other_spelling_is_refused(tmp_path, monkeypatch):
    """Where the file system takes `A` for the `a` that is there, it is refused; the same name is not."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_bytes(b"")
    refuse_other_spelling(tmp_path, tmp_path / "f" / "a")
    with pytest.raises(FileExistsError, match="does not tell from it"):
        refuse_other_spelling(tmp_path, tmp_path / "f" / "A")


@posix
def test_leftovers_are_removed_and_nothing_else(tmp_path):
    """Halves of files and empty folders go; artifacts with similar names stay."""
    for name in ("a/.crystallize-0123456789abcdef.part", "b/.crystallize-x.part", "c/artifact", "d/e/.part"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "c")
    remove_leftovers(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == [
        "link",
        "b/.crystallize-x.part",
        "c/artifact",
        "d/e/.part",
    ]
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "empty").exists()


@posix
def test_lock_of_a_killed_process_is_free(tmp_path):
    """A process that is killed while it holds the lock does not keep others waiting."""
    code = (
        "import sys, signal; from pathlib import Path; from crystallize_artifacts.files import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    signal.pause()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    with holder.stdout:
        assert holder.stdout.readline() == b"held\n"
    assert not _is_free(tmp_path / "lock")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "lock"):
        assert not _is_free(tmp_path / "lock")
    assert _is_free(tmp_path / "lock")


@posix
def test_readers_share_the_lock(tmp_path):
    """Two readers may hold the lock at once."""
    (tmp_path / "lock").touch()
    with locked(tmp_path / "lock", shared=True), locked(tmp_path / "lock", shared=True):
        assert not _is_free(tmp_path / "lock")


@posix
def test_lock_is_no_link(tmp_path):
    """A link in the place of the lock does not make a file elsewhere."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock"):
        pass
    assert not (tmp_path / "elsewhere").exists()


def _is_free(path: Path) -> bool:
    import fcntl

    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        return True
