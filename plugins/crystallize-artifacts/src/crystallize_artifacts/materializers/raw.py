"""Bytes and text, as they are."""

from __future__ import annotations

from crystallize_artifacts.materializers.base import UnsuitableError

__all__ = ["Raw", "Text"]


class Raw:
    """Bytes, as they are."""

    id = "bytes"
    suffix = ".bin"
    executes_code = False

    def handles(self, value: object) -> bool:
        """Bytes only; a bytearray is told from them."""
        return type(value) is bytes

    def dump(self, value: bytes) -> bytes:
        """The bytes themselves."""
        return value

    def load(self, content: bytes) -> bytes:
        """The bytes themselves."""
        return content


class Text:
    """Text, in UTF-8."""

    id = "text"
    suffix = ".txt"
    executes_code = False

    def handles(self, value: object) -> bool:
        """Text only, and no subclass of it."""
        return type(value) is str

    def dump(self, value: str) -> bytes:
        """The text in UTF-8."""
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            message = f"this text cannot be written in UTF-8: {error}"
            raise UnsuitableError(message) from error

    def load(self, content: bytes) -> str:
        """The text."""
        return content.decode()
