"""Times as files have them: seconds, clock times with hours, and dates."""

from __future__ import annotations

import re
from datetime import datetime

from wnsim.mobility.trace_files.samples import Samples

_CLOCK = re.compile(r"(?:(\d{1,6}):)?(\d{1,6}):([0-5]?\d):([0-5]?\d(?:\.\d+)?)")


def clock_s(samples: Samples, text: str, what: str, line: int) -> float:
    """Return seconds, hours:minutes:seconds or days:hours:minutes:seconds [s].

    Raises
    ------
    BadRowError
        if the text is none of these
    """
    if ":" not in text:
        return samples.number(text, what, line)
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise samples.bad_row(f"{what} must be seconds, H:M:S or D:H:M:S, got {text[:40]!r}", line)
    days, hours, minutes, seconds = match.groups(default="0")
    return 86_400.0 * int(days) + 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)


def date(samples: Samples, text: str, what: str, line: int) -> datetime:
    """Return a date and time in ISO 8601.

    Raises
    ------
    BadRowError
        if the text is none
    """
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise samples.bad_row(
            f"a {what} must have a time in ISO 8601, got {text[:40]!r}", line
        ) from None
