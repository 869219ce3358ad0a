"""Tables for papers: any name is shown literally by LaTeX and has no other effect."""

from __future__ import annotations

import math

import pytest

from wnsim.core.statistics import Interval
from wnsim.scenario.summary.latex import escape, latex, plus_minus


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("so-lora", "so-lora"),
        ("a_1 & 50 % of $5 #3 {x}", r"a\_1 \& 50 \% of \$5 \#3 \{x\}"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("~^<|>", r"\textasciitilde{}\textasciicircum{}\textless{}\textbar{}\textgreater{}"),
        ("[2pt]*", "{[}2pt]{*}"),
        ("a--b", "a-{}-{}b"),
        ("a\nb\tc\u0000", "a b c "),
        ("基线", "基线"),
    ],
)
def test_a_text_is_shown_as_it_is(text: str, source: str) -> None:
    assert escape(text) == source


def test_means_have_half_of_their_interval() -> None:
    assert plus_minus(Interval(3, 0.8123, 0.8123 - 0.01349, 0.8123 + 0.01349), 3) == (
        r"$0.812 \pm 0.013$"
    )
    assert plus_minus(Interval(1, 0.9, 0.7, 0.95), 2) == r"$0.90\ [0.70, 0.95]$"
    assert plus_minus(Interval(1, -12.0, math.nan, math.nan), 0) == "$-12$"
    assert plus_minus(Interval(0, math.nan, math.nan, math.nan), 3) == "--"


def test_a_table_has_its_rules() -> None:
    assert latex(["A", "B"], [["x", "$1$"], ["y", "$2$"]], "lr") == (
        "\\begin{tabular}{lr}\n\\toprule\nA & B \\\\\n\\midrule\nx & $1$ \\\\\ny & $2$ \\\\\n"
        "\\bottomrule\n\\end{tabular}\n"
    )


def test_a_table_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="row 1 must have 2 cells, got 1"):
        latex(["A", "B"], [["x"]], "lr")
    for align in ("l", "l|"):
        with pytest.raises(ValueError, match="align must be a letter l, c or r for each of 2"):
            latex(["A", "B"], [], align)
