"""Parameters of runs in words: a paragraph of LaTeX for the section on methods of a paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

Values = Mapping[str, Any]
# By the ending of a key: the unit, and whether it takes a prefix.
_UNITS = {
    "_flops_per_s": ("FLOP/s", True), "_bits_per_s": ("bit/s", True), "_per_s": ("/s", False),
    "_bps_hz": ("bit/s/Hz", False), "_bps": ("bit/s", True), "_dbm": ("dBm", False),
    "_dbi": ("dBi", False), "_db": ("dB", False), "_hz": ("Hz", True), "_mps": ("m/s", False),
    "_bytes": ("byte", True), "_s": ("s", False), "_us": ("us", False), "_m": ("m", False),
    "_w": ("W", False), "_j": ("J", False), "_mbps": ("Mbit/s", False),
}  # fmt: skip
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_SPECIAL = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{each: f"\\{each}" for each in "&%$#_{}"},
}  # fmt: skip


def in_words(
    runs: Sequence[Values],
    labels: Sequence[str],
    seeds: Sequence[int],
    version: str,
    cites: Callable[[str, Any], Sequence[str]],
) -> str:
    r"""Return the parameters that runs have in common, and those in which they differ.

    Parameters
    ----------
    runs : values of each run by their dotted keys
    labels : label of the variant of each run
    seeds : seeds of the runs
    version : version of the program
    cites : returns the keys of the sources of a value

    Returns
    -------
    LaTeX, with a \cite command behind each model
    """
    common = {
        key: value
        for key, value in runs[0].items()
        if all(key in each and each[key] == value for each in runs)
    }
    sections: dict[str, list[str]] = {}
    for key, value in common.items():
        section, _, rest = key.rpartition(".") if "." not in key else key.partition(".")
        phrase = _phrase(rest, value, cites(key, value))
        sections.setdefault(section or "scenario", []).append(phrase)
    known = ", ".join(map(str, sorted(set(seeds))))
    number = "seeds" if len(set(seeds)) > 1 else "seed"
    program = rf"wnsim {escaped(version)}~\cite{{wnsim}}"
    lines = [f"The simulations were run with {program} ({number} {known}), with these parameters."]
    lines += [f"{_name(name)}: {'; '.join(phrases)}." for name, phrases in sections.items()]
    varied: dict[str, list[str]] = {}
    for values, label in zip(runs, labels, strict=True):
        own = [
            _phrase(key, value, cites(key, value))
            for key, value in values.items()
            if key not in common
        ]
        varied.setdefault(label, own)
    if len(varied) > 1:
        lines += [
            f"Variant ``{escaped(label)}'': {'; '.join(own) or 'as above'}."
            for label, own in varied.items()
        ]
    return "\n".join(lines)


def _phrase(key: str, value: Any, sources: Sequence[str]) -> str:
    """Return a value with its name and unit."""
    ending = next((each for each in _UNITS if f"_{key.split('.')[-1]}".endswith(each)), "")
    # `flops_per_s` is all ending.
    stem = key.removesuffix(ending if key.endswith(ending) else "_per_s")
    name = _name(stem.removesuffix(".model"))
    text = _shown(value, *_UNITS.get(ending, ("", False)))
    cite = rf"~\cite{{{','.join(sources)}}}" if sources else ""
    return f"{text}{cite}" if key == "model" else f"{name} {text}{cite}"


def _shown(value: Any, unit: str, has_prefix: bool) -> str:
    """Return a value with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        if not value:
            return "none"
        return "[" + ", ".join(_shown(each, unit, has_prefix) for each in value) + "]"
    if isinstance(value, Mapping):
        known = {key: each for key, each in value.items() if each is not None}
        return "(" + ", ".join(_phrase(str(key), each, ()) for key, each in known.items()) + ")"
    if not isinstance(value, int | float):
        text = str(value)
        # Where a file lies on this machine is of no use to a reader.
        paths = (PurePosixPath(text), PureWindowsPath(text))
        return escaped(next((each.name for each in paths if each.is_absolute()), text))
    factor, prefix = 1.0, ""
    if has_prefix:
        factor, prefix = next(
            ((size, letter) for size, letter in _PREFIXES if abs(value) >= size), (1.0, "")
        )
    number = f"{value / factor:.10g}" if factor != 1.0 else f"{value:.10g}"
    return f"{number}~{prefix}{unit}" if unit else number


def _name(key: str) -> str:
    return escaped(key.replace(".", " ").replace("_", " "))


def escaped(text: str) -> str:
    """Return a text that LaTeX prints as it is."""
    return "".join(_SPECIAL.get(each, each) if each.isprintable() else "?" for each in text)
