"""Prompts as messages of a user, in the chat template of a model.

The template comes with the tokenizer, and is rendered by transformers in Jinja's sandbox.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..tasks import Example, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def in_chat_template(
    tasks: Sequence[Task], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> list[Task]:
    """Return tasks whose prompts are user's messages, and whose answers the assistant's.

    Parameters
    ----------
    tasks : the tasks
    tokenizer : the model's, with a chat template
    max_length : maximum length of a sequence, for which messages are cut from the left [token]

    Raises
    ------
    ValueError
        if there is no template, or it leaves no room for a message
    """
    template = _Template(tokenizer, max_length)
    return [
        replace(
            task,
            train=tuple(map(template.example, task.train)),
            test=tuple(map(template.example, task.test)),
        )
        for task in tasks
    ]


class _Template:
    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        if not tokenizer.chat_template:
            raise ValueError("prompt_format chat-template: the model's tokenizer has no template")
        self._tokenizer, self._max_length = tokenizer, max_length
        self._lengths: dict[str, int] = {}

    def example(self, example: Example) -> Example:
        """Return an example in the template."""
        longest = max((example.answer, *example.choices), key=self._length)
        rendered = self._rendered(example.prompt)
        # One more for the end of the text.
        over = len(self._tokens(rendered)) + self._length(longest) + 1 - self._max_length
        if over > 0:
            tokens = self._tokens(example.prompt)
            if over >= len(tokens):
                raise ValueError(
                    f"prompt_format chat-template: template and answer leave no room for a prompt "
                    f"in max_length {self._max_length}: {longest[:80]!r}"
                )
            rendered = self._rendered(self._tokenizer.decode(tokens[over:]))
        return replace(example, prompt=rendered, separator="")

    def _rendered(self, message: str) -> str:
        text: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
        )
        return text

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)[
            "input_ids"
        ]
        return tokens

    def _length(self, answer: str) -> int:
        if answer not in self._lengths:
            self._lengths[answer] = len(self._tokens(answer))
        return self._lengths[answer]
