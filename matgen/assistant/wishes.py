"""A wish in plain words turned into a typed :class:`~matgen.data.request.Request`, for the user to confirm."""

from __future__ import annotations

import re
from dataclasses import fields

from matgen.assistant.materials import find_materials, systems
from matgen.assistant.notation import readable
from matgen.data.request import Request
from matgen.errors import ConfigError

_VERB = re.compile(
    r"\b(?:generate|propose|design|sample|suggest|create|give me|find|i want|i need|make)\b", re.IGNORECASE
)
_COUNT = re.compile(
    r"\b(\d+)\s+(?:new |novel |stable |different |unknown )*"
    r"(?:structures?|candidates?|crystals?|materials?|compounds?|samples?)\b",
    re.IGNORECASE,
)
_ATOMS = re.compile(r"\b(\d+)\s+atoms?\b|\bn_atoms\s*=?\s*(\d+)", re.IGNORECASE)
_GROUP = re.compile(r"\bspace ?group\s*(?:number|no\.?|=)?\s*(\d+)", re.IGNORECASE)
_TARGETS = {
    "band_gap": re.compile(
        r"\b(?:band ?)?gap\s*(?:of|=|around|near|about|close to|:)?\s*(\d+(?:\.\d+)?)\s*(meV|eV)", re.IGNORECASE
    ),
    "e_above_hull": re.compile(
        r"\babove (?:the )?hull\s*(?:of|=|around|near)?\s*(\d+(?:\.\d+)?)\s*(meV|eV)", re.IGNORECASE
    ),
    "e_form": re.compile(r"\bformation energy\s*(?:of|=|around|near)?\s*(-?\d+(?:\.\d+)?)\s*(meV|eV)", re.IGNORECASE),
    "density": re.compile(r"\bdensity\s*(?:of|=|around|near)?\s*(\d+(?:\.\d+)?)\s*(g)", re.IGNORECASE),
}


def is_wish(text: str) -> bool:
    """Whether a text asks for structures to be generated."""
    return _VERB.search(text) is not None and bool(
        _COUNT.search(text) or re.search(r"\b(?:structures?|candidates?|crystals?)\b", text)
    )


def parse_wish(text: str) -> Request:
    """The request that a text asks for.

    Raises:
        ConfigError: Nothing but the wish to generate was understood, or the parts exclude each other.
    """
    text = readable(text)
    count, atoms, group = _COUNT.search(text), _ATOMS.search(text), _GROUP.search(text)
    named, spelled = [m for m in find_materials(text) if m.formula], systems(text)
    if len(spelled) > 1 or (len(named) > 1 and not spelled):
        raise ConfigError("several compositions are named.", where=text[:80], fix="Ask for one at a time.")
    target = {}
    for name, pattern in _TARGETS.items():
        if match := pattern.search(text):
            target[name] = float(match[1]) * (1e-3 if match[2].lower() == "mev" else 1.0)
    request = Request(
        n=int(count[1]) if count else 1,
        formula=named[0].spelled if named and not spelled else None,
        chemical_system=spelled[0] if spelled else None,
        n_atoms=int(atoms[1] or atoms[2]) if atoms else None,
        space_group=int(group[1]) if group else None,
        target=target,
    )
    if not request.given and count is None:
        fix = "Say for example: 20 structures in the Li-P-S system with a band gap of 2 eV."
        raise ConfigError("no composition, size, symmetry or property was understood.", where=text[:80], fix=fix)
    return request


def spelled_out(request: Request) -> str:
    """A request in words, so that a user sees what was understood."""
    parts = [
        f"{f.name.replace('_', ' ')} {getattr(request, f.name)}" for f in fields(request) if f.name in request.given
    ]
    return f"{request.n} structure{'s' if request.n > 1 else ''}" + (f" with {'; '.join(parts)}" if parts else "")
