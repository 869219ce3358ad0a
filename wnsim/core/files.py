"""File access with precise error messages, for input files and for output files."""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened(file: str, error: Callable[[str], ValueError]) -> Iterator[BinaryIO]:
    """Open a file, through gzip if it is compressed, and convert errors to messages.

    Parameters
    ----------
    file : path of the file
    error : returns the error to raise for a message about the file

    Raises
    ------
    ValueError
        the result of `error`, if the file cannot be read to the end
    """
    try:
        # A pipe or a device may have no end.
        if not stat.S_ISREG(Path(file).stat().st_mode):
            raise error("is not a regular file")
        with Path(file).open("rb") as raw:
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if compressed:
                with gzip.GzipFile(fileobj=raw) as stream:
                    yield io.BufferedReader(stream)
            else:
                yield raw
    except FileNotFoundError:
        raise error("no such file") from None
    except EOFError:
        raise error("the compressed file is truncated") from None
    except (gzip.BadGzipFile, zlib.error) as problem:
        raise error(f"the compressed file is damaged: {problem}") from None
    except OSError as problem:
        raise error(f"the file cannot be read: {problem.strerror}") from None


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to errors of writing a file, which the system does not always name.

    Raises
    ------
    OSError
        the one raised inside, with the path
    """
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
