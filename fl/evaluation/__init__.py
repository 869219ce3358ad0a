"""Evaluation of adapters: test sets in passes, prompts with several choices, scoring rules."""

from __future__ import annotations

from .evaluator import Evaluator
from .scoring import Score

__all__ = ["Evaluator", "Score"]
