"""Page template, filled so that all text of a scenario is escaped.

The content security policy allows the page's one script and one style sheet by their digests, and
no other source.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

_SCRIPTS = ("data.js", "colors.js", "map.js", "curve.js", "legend.js", "player.js")


def script_json(data: Any) -> Markup:
    """Return data as JSON for an element `script`, escaped so that it cannot end the element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  (no character that means anything in HTML is left)


def filled(values: Mapping[str, Any]) -> bytes:
    """Return the page as UTF-8.

    Parameters
    ----------
    values : values of the template's variables by name
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style = _own("page.css")
    # Strict mode and a common scope for all scripts.
    script = f'"use strict";\n(() => {{\n{"".join(_own(name) for name in _SCRIPTS)}}})();\n'
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    text = environment.from_string(_own("page.html")).render(
        values,
        policy=policy,
        # Both files belong to this package.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
    )
    return text.encode()


@functools.cache
def _own(name: str) -> str:
    return (resources.files("wnsim.report") / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
