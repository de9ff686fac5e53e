"""Signatures of one user, and nobody else's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystallize_core.signing import SIGNATURE_SIZE, is_signed, sign, user_key


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user of its own for each test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path


def test_the_key_is_made_once_and_readable_by_its_user_only(home):
    """In a file below the folder of the user's settings."""
    key = user_key()
    file = home / "crystallize" / "cache.key"
    assert (key, len(key)) == (file.read_bytes(), 32)
    assert file.stat().st_mode & 0o077 == 0
    assert user_key() == key
    assert [path.name for path in file.parent.iterdir()] == ["cache.key"]


@given(payload=st.binary(max_size=100), what=st.text(max_size=10), key=st.binary(min_size=32, max_size=32))
def test_a_signature_holds_for_these_bytes_as_this_with_this_key(payload, what, key):
    """And for nothing else."""
    signature = sign(what, payload, key=key)
    assert len(signature) == SIGNATURE_SIZE
    assert is_signed(what, memoryview(payload), signature, key=key)
    assert not is_signed(what, payload + b"x", signature, key=key)
    assert not is_signed(what + "?", payload, signature, key=key)
    assert not is_signed(what, payload, signature, key=bytes([key[0] ^ 1]) + key[1:])
    assert not is_signed(what, payload, signature[:-1], key=key)
    assert not is_signed(what, payload, b"", key=key)


def test_another_user_has_another_key(home, monkeypatch):
    """What one signed, the other does not trust."""
    signature = sign("note", b"text")
    assert is_signed("note", b"text", signature)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "other"))
    assert not is_signed("note", b"text", signature)


def test_without_a_place_for_the_key_nothing_is_signed(home, monkeypatch):
    """The error is the one of the file system."""
    (home / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "file"))
    with pytest.raises(OSError, match="file"):
        sign("note", b"text")
