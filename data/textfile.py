"""A text file as it is streamed: decoded strictly, watched for change, its sha256 taken."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from data.finding import option, shown
from data.limits import BLOCK
from data.openfile import Unchanged
from data.registry import DataError

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


class TextFile:
    """Blocks of text of any length, as often as it is opened.

    Raises:
        DataError: while it is read, where it is not in its encoding, holds NUL, or changes.
    """

    def __init__(self, path: Path, encoding: str | None) -> None:
        self._file = Unchanged(path)
        self._chosen = encoding
        self._hash = hashlib.sha256()
        self._lines = 0  # before the block that is decoded
        self._before = ""  # the last character before it

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.__exit__(kind, error, trace)

    @property
    def sha256(self) -> str:
        """Of all that was read; of the file, once it was read to its end."""
        return self._hash.hexdigest()

    def head(self) -> str:
        """Return the first block."""
        return next(iter(self), "")

    def __iter__(self) -> Iterator[str]:
        mark = b""
        decoder: codecs.IncrementalDecoder | None = None
        while True:
            content = self._file.read(BLOCK)
            self._hash.update(content)
            if decoder is None:
                mark, encoding = _encoding(content, self._chosen)
                decoder = _decoder(encoding)
                content = content[len(mark) :]
            text = self._decoded(decoder, content, final=not content)
            self._lines += self._ended(text)
            self._before = text[-1:] or self._before
            if text:
                yield text
            if not content:
                return

    def _decoded(self, decoder: codecs.IncrementalDecoder, content: bytes, *, final: bool) -> str:
        try:
            text = decoder.decode(content, final)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(error.encoding, "replace")
            raise DataError(
                f"Line {self._lines + self._ended(before) + 1:,} is not {_called(error.encoding)}"
                f" (byte 0x{error.object[error.start]:02x}); save the file with the encoding UTF-8,"
                f" or say which it has ({option('--encoding', 'cp1252')} for Windows of the West)."
            ) from None
        if "\0" in text:
            line = self._lines + self._ended(text[: text.index("\0")]) + 1
            raise DataError(
                f"Line {line:,} holds the character NUL, which text never does; save the file as "
                f"UTF-8, or say which encoding it has ({option('--encoding', 'utf-16-le')} for "
                "UTF-16 without a mark)."
            )
        return text

    def _ended(self, text: str) -> int:
        """Return how many lines end in text that goes on: by LF, CR LF or CR."""
        returns = text.count("\r")
        pairs = text.count("\r\n") if returns else 0
        split = self._before == "\r" and text.startswith("\n")
        return text.count("\n") + returns - pairs - split


def _called(encoding: str) -> str:
    return "UTF-8" if encoding.lower().replace("_", "-") == "utf-8" else encoding


def _encoding(content: bytes, chosen: str | None) -> tuple[bytes, str]:
    """Return the mark at the start of a file and its encoding: as chosen, marked, or UTF-8."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark) and (chosen is None or _same(chosen, encoding)):
            return mark, chosen or encoding
    return b"", chosen or "utf-8"


def _same(chosen: str, encoding: str) -> bool:
    """Tell whether what was chosen writes the mark of an encoding."""
    plain = chosen.lower().replace("_", "-")
    return plain in (encoding, encoding[:6], encoding.replace("-", "", 1))


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        found = codecs.lookup(encoding)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding or found.incrementaldecoder is None:
        raise DataError(
            f"{shown(encoding)} is no encoding that is known; write one such as utf-8, cp1252, "
            "latin-1, gbk or utf-16-le."
        )
    return found.incrementaldecoder("strict")
