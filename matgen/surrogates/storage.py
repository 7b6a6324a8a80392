"""How surrogates travel: ``weights.safetensors`` beside a ``card.json`` that suffices to rebuild them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matgen.data.property import PROPERTIES, Property, declare, find_property
from matgen.errors import ConfigError, did_you_mean
from matgen.runtime import file_id, whole_file, write_json
from matgen.surrogates.base import SURROGATES

if TYPE_CHECKING:
    from torch import Tensor

    from matgen.surrogates.base import Surrogate

WEIGHTS, CARD = "weights.safetensors", "card.json"
SHIPPED = Path(__file__).parent.parent / "models"


def write_weights(folder: Path, tensors: dict[str, Tensor], card: dict[str, Any]) -> dict[str, Any]:
    """Write weights and card, with the weights' hash in the card; returns the card."""
    from safetensors.torch import save_file

    folder = Path(folder)
    with whole_file(folder / WEIGHTS) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary)
    card = {**card, "fingerprint": file_id(folder / WEIGHTS)}
    write_json(folder / CARD, card)
    return card


def read_weights(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor], Property]:
    """Card, tensors and property of a saved surrogate of one kind.

    Raises:
        ConfigError: The card names another kind, or weights and card do not belong together.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    card = read_card(folder)
    if card["surrogate"] != kind:
        raise ConfigError(f"this is a {card['surrogate']}, not a {kind}.", where=str(folder))
    if not (folder / WEIGHTS).is_file() or card.get("fingerprint") != file_id(folder / WEIGHTS):
        raise ConfigError("weights and card do not belong together.", where=str(folder), fix="Copy the folder again.")
    if card["property"] not in PROPERTIES and "defines" in card:
        declare(Property(card["property"], **card["defines"]))
    return card, load_file(folder / WEIGHTS), find_property(card["property"])


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a saved surrogate."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"no readable {CARD} ({error}).", where=str(folder)) from error
    if not isinstance(card, dict) or "surrogate" not in card:
        raise ConfigError("the card names no surrogate.", where=str(folder / CARD))
    return card


def load_surrogate(name: str | Path) -> Surrogate:
    """A trained surrogate by the name of a shipped model or the folder it was saved in.

    Raises:
        ConfigError: No such model, or its files do not belong together.
    """
    folder = next((f for f in (Path(name), SHIPPED / str(name)) if (f / CARD).is_file()), None)
    if folder is None:
        raise ConfigError(f"there is no trained surrogate {str(name)!r}.", fix=did_you_mean(str(name), shipped()))
    return SURROGATES.get(read_card(folder)["surrogate"]).load(folder)


def shipped() -> dict[str, dict[str, Any]]:
    """Cards of the surrogates in the package, by name."""
    cards = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in SHIPPED.glob(f"*/{CARD}")}
    return {name: card for name, card in sorted(cards.items()) if "surrogate" in card}
