"""Prompts in a model's chat template."""

from __future__ import annotations

from typing import Any

import pytest

from fl.models.chat import in_chat_template
from fl.models.language_model import IGNORED, encode, encode_choices, load
from fl.tasks import Example, Task
from wnsim.scenario import load as load_scenario
from wnsim.scenario.errors import ScenarioError

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}</>"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    _, found = load("tiny")
    found.chat_template = TEMPLATE
    return found


def task(*examples: Example) -> Task:
    return Task("task", examples, examples, 0.0)


def test_rows_are_the_template_and_the_answer(tokenizer: Any) -> None:
    """Law: prompt tokens decode to the rendered message, labels to the answer without a space."""
    (made,) = in_chat_template([task(Example("a b c", "yes no", ("yes no", "no")))], tokenizer, 96)
    rows = encode(made.train, tokenizer, 96)
    labels = rows.labels[0][rows.labels[0] != IGNORED].tolist()
    assert labels[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(labels[:-1]) == "yes no"
    whole = rows.ids[0][rows.mask[0] == 1].tolist()
    assert tokenizer.decode(whole[:-1]) == "<user>a b c</><assistant>yes no"
    choices, owner, correct = encode_choices(made.test, tokenizer, 96)
    assert len(choices.ids) == 2
    assert owner.tolist() == [0, 0]
    assert correct.tolist() == [True, False]


def test_a_long_message_is_cut_and_the_template_is_not(tokenizer: Any) -> None:
    long = " ".join(f"w{number}" for number in range(60))
    (made,) = in_chat_template([task(Example(long, "yes"))], tokenizer, 64)
    prompt = made.train[0].prompt
    assert prompt.startswith("<user>")
    assert prompt.endswith("w59</><assistant>")
    rows = encode(made.train, tokenizer, 64)
    whole = rows.ids[0][rows.mask[0] == 1].tolist()
    assert tokenizer.decode(whole[:-1]) == prompt + "yes"


def test_what_does_not_fit_is_said(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="leave no room for a prompt in max_length 12"):
        in_chat_template([task(Example("a b c", "yes"))], tokenizer, 12)
    _, plain = load("tiny")
    with pytest.raises(ValueError, match="tokenizer has no template"):
        in_chat_template([task(Example("a", "yes"))], plain, 64)
    with pytest.raises(ScenarioError, match="model tiny has no template"):
        load_scenario("fair.yaml", settings={"fl.prompt_format": "chat-template"})
