"""Readable text from the notations that papers use: LaTeX fragments, Unicode subscripts, markup left by listings."""

from __future__ import annotations

import re
from functools import lru_cache

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "Gamma": "Γ", "Delta": "Δ",
    "Theta": "Θ", "Lambda": "Λ", "Sigma": "Σ", "Phi": "Φ", "Psi": "Ψ", "Omega": "Ω",
}  # fmt: skip
SYMBOLS = {
    "pm": "±", "approx": "≈", "simeq": "≈", "sim": "~", "times": "×", "cdot": "·", "AA": "Å", "circ": "°",
    "degree": "°", "deg": "°", "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "rightarrow": "→", "to": "→", "infty": "∞",
    "parallel": "∥", "perp": "⊥", "%": "%", "ll": "≪", "gg": "≫", "hbar": "ħ", "textendash": "-",
}  # fmt: skip
_DIGITS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻−–ₓ", "0123456789+-0123456789+---x")
_RAISED = re.compile(r"(?<=10)([⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")
_FONTS = re.compile(
    r"\\(?:mathrm|mathit|mathbf|mathcal|mathbb|mathsf|mathfrak|boldsymbol|text(?:rm|it|bf|sc|up|sf|tt)?|emph|rm|it|bf|ce|bm"
    r"|operatorname|left|right|bar|tilde|hat|vec|overline|displaystyle)(?![A-Za-z])\*?"
)
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)\s?|(%))")
_SPACES = re.compile(r"\\[,;:! ]|~(?=\w)")


@lru_cache(maxsize=64)  # the terms, materials and systems of a passage are sought one after the other
def readable(text: str) -> str:
    r"""Plain text of a passage: ``Bi$_2$Sr$_2$CaCu$_2$O$_{8+\delta}$`` becomes ``Bi2Sr2CaCu2O8+δ``.

    The result is for reading, indexing and comparing; offsets always refer to the original text.
    """
    if any(mark in text for mark in "\\${_"):
        text = text.replace(r"\sim", "~ ").replace("~ $", "~").replace("$~$", " ")
        text = _FONTS.sub("", _SPACES.sub(" ", text))
        text = _COMMAND.sub(_symbol, text)
        text = re.sub(r"\^\s*\{?\s*°\s*\}?\s*", "°", text)
        text = re.sub(r"\^\s*\{([^{}]*)\}", r"^\1", text)
        text = re.sub(r"_\s*\{([^{}]*)\}", r"\1", text)
        text = re.sub(r"(?<=[\w)\]])_(?=[\w+-])", "", text).replace("$_", "").replace("$", "")
        text = text.replace("{", "").replace("}", "").replace("\\", "")
    text = _RAISED.sub(lambda match: "^" + match[1], text)
    return " ".join(text.translate(_DIGITS).split())


def _symbol(match: re.Match[str]) -> str:
    name = match[1] or match[2]
    return GREEK.get(name) or SYMBOLS.get(name) or (name if len(name) > 3 else " ")


_ABBREVIATIONS = re.compile(
    r"(?:\b(?:e\.g|i\.e|et al|Fig|Figs|Eq|Eqs|Ref|Refs|vs|ca|approx|cf|No|Dr|Prof|resp|Tab|Sec|wt|vol|at|viz|St|Inc|Co"
    r"|Ltd|Corp|temp|min|max|etc)|(?<!\d\s)(?<!\d)\b[A-Z])\.$"
)
_BREAK = re.compile(r"(?<=[.!?])[\"')\]]?\s+(?=[\"'(\[$\\]?[A-Z0-9$\\])|\n\s*\n|\n(?=\s*(?:[-*•#]|\d+[.)])\s)")


def sentences(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Offsets ``(start, end)`` of the sentences in a text, without surrounding white space."""
    end = len(text) if end is None else end
    cuts, last = [], start
    for match in _BREAK.finditer(text, start, end):
        if not _ABBREVIATIONS.search(text[max(last, match.start() - 12) : match.start()]):
            cuts.append((last, match.start()))
            last = match.end()
    cuts.append((last, end))
    return [trimmed for a, b in cuts if (trimmed := _trim(text, a, b))[0] < trimmed[1]]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
