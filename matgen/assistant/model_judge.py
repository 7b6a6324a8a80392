"""A judge that is a language model, with versioned prompts, beside the deterministic one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from matgen.assistant.backends import fence, prompt
from matgen.errors import MatgenError

if TYPE_CHECKING:
    from matgen.assistant.backends import Backend

VERSION = "judge-1"
DEFINITIONS = {
    "groundedness": "5 if every statement of the answer follows from the context, 1 if none does or it contradicts it.",
    "relevance": "5 if the answer addresses the question fully using the context, 1 if it speaks of something else.",
    "coherence": "5 if the sentences of the answer follow from one another in a natural order, 1 if they are jumbled.",
    "fluency": "5 if the answer is correct English throughout, 1 if it can hardly be read.",
    "similarity": "5 if the answer says the same as the ground truth, 1 if it says something different.",
}
INPUTS = {
    "groundedness": ("question", "context", "answer"),
    "relevance": ("question", "context", "answer"),
    "coherence": ("question", "answer"),
    "fluency": ("question", "answer"),
    "similarity": ("question", "ground_truth", "answer"),
}
"""What each metric looks at."""


def judge_with_model(backend: Backend, given: dict[str, str]) -> dict[str, int]:
    """Grades (1 to 5) by metric from a language model; metrics whose inputs are not given are left out.

    A small model does not always follow the prompt: metrics for which its reply holds no grade are left out too.

    Args:
        backend: The model.
        given: Texts by name: ``question``, ``answer``, and where known ``context`` and ``ground_truth``.

    Raises:
        MatgenError: None of the model's replies holds a grade.
    """
    replies = {
        metric: _reply(backend, metric, {name: given[name] for name in names})
        for metric, names in INPUTS.items()
        if all(given.get(name) for name in names)
    }
    found = {metric: re.search(r"\b([1-5])\b(?!\s*(?:to|-|or))", reply) for metric, reply in replies.items()}
    grades = {metric: int(match[1]) for metric, match in found.items() if match}
    if replies and not grades:
        metric, reply = next(iter(replies.items()))
        fix = "A larger model follows the prompt; the deterministic judge needs none."
        raise MatgenError(f"the model's reply {reply[:60]!r} holds no grade.", where=metric, fix=fix)
    return grades


def _reply(backend: Backend, metric: str, texts: dict[str, str]) -> str:
    system = prompt(VERSION).replace("{metric}", metric).replace("{definition}", DEFINITIONS[metric])
    user = "\n".join(fence(name, text) for name, text in texts.items())
    return backend.chat([{"role": "system", "content": system}, {"role": "user", "content": user}], max_tokens=8)
