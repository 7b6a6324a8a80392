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

    Args:
        backend: The model.
        given: Texts by name: ``question``, ``answer``, and where known ``context`` and ``ground_truth``.

    Raises:
        MatgenError: The model's reply holds no grade.
    """
    return {
        metric: _grade(backend, metric, {name: given[name] for name in names})
        for metric, names in INPUTS.items()
        if all(given.get(name) for name in names)
    }


def _grade(backend: Backend, metric: str, texts: dict[str, str]) -> int:
    system = prompt(VERSION).replace("{metric}", metric).replace("{definition}", DEFINITIONS[metric])
    user = "\n".join(fence(name, text) for name, text in texts.items())
    reply = backend.chat([{"role": "system", "content": system}, {"role": "user", "content": user}], max_tokens=8)
    match = re.search(r"\b([1-5])\b(?!\s*(?:to|-|or))", reply)
    if match is None:
        fix = "A larger model follows the prompt; the deterministic judge needs none."
        raise MatgenError(f"the model's reply {reply[:60]!r} holds no grade.", where=metric, fix=fix)
    return int(match[1])
