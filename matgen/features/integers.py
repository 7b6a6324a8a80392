"""The sentence encoder in 8-bit integers, for thousands of texts on a processor that multiplies such numbers fast.

A linear map y = W x + b is computed as y = d ∘ (Q q) + b with q = round(x / s) and Q = round(W s / d): a scale s for
each input and d for each output, where s moves what makes an input large into the weight (SmoothQuant: Xiao et al.,
arXiv:2211.10438). The scales come from a few sentences beside this file that go through the network in float once,
so equal texts have equal vectors in every run. Attention stays in floating point.

Shapes: B texts of T tokens, R = B T rows, D = 384 features.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import layer_norm

from matgen.features.sentences import Encoder

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

MOVED = 0.75
"""Share of an input's range that moves into the weight, α of SmoothQuant."""
TOP = 127
"""Largest 8-bit integer; the operation wants them shifted by :data:`SHIFT` to be positive."""
SHIFT = 128
STEEPEST = 80.0
"""Attention scores beyond this would leave the range of floating point when exponentiated; none was seen above 40."""


def supported() -> bool:
    """Whether 8-bit integers are the fastest numbers here: VNNI, but no matrix unit, where bfloat16 is as fast."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_vnni") and not has.get("amx_tile") and hasattr(torch.ops.onednn, "qlinear_pointwise"))


class IntegerEncoder:
    """The network of an :class:`Encoder` in integers.

    Args:
        folder: Of the encoder.
    """

    def __init__(self, folder: Path) -> None:
        observed = _Observed(folder)
        for text in resources.files("matgen.features").joinpath("calibration.txt").read_text("utf-8").splitlines():
            observed.states([text])
        self.heads = observed.config["num_attention_heads"]
        self.epsilon = observed.config["layer_norm_eps"]
        # Products of single numbers are short: bfloat16 where the processor has it.
        self.dtype = torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32
        w = observed.weights
        words = w["embeddings.word_embeddings.weight"] + w["embeddings.token_type_embeddings.weight"][0]
        self.words, self.places = torch.from_numpy(words), _tensor(w["embeddings.position_embeddings.weight"])
        self.first_norm = observed.norm("embeddings.LayerNorm")
        self.layers = [_Layer.of(observed, i) for i in range(observed.config["num_hidden_layers"])]

    def __call__(self, ids: Tensor) -> Tensor:
        """(B, D) mean states of texts of equal length, from their (B, T) tokens."""
        b, t = ids.shape
        x = (self.words[ids] + self.places[:t]).view(b * t, -1)
        x = self._norm(x, self.first_norm)
        for layer in self.layers:
            mixed = layer.mix(self._attend(layer.ask(x, self.dtype), b, t))
            x = self._norm(mixed.add_(x), layer.mix_norm)
            x = self._norm(layer.narrow(layer.widen(x)).add_(x), layer.narrow_norm)
        return x.view(b, t, -1).mean(dim=1)

    def _attend(self, asked: Tensor, b: int, t: int) -> Tensor:
        """(R, D) what each token gathers, from (R, 3D) queries, keys and values."""
        parts = asked.view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = parts.reshape(3, b * self.heads, t, -1)
        # Exponentials without the maximum taken off first, in half the passes: the keys are centred.
        share = torch.bmm(q, k.transpose(1, 2)).clamp_(-STEEPEST, STEEPEST).exp_()
        found = torch.bmm(share, v) / share.sum(dim=-1, keepdim=True, dtype=torch.float32)
        return found.view(b, self.heads, t, -1).transpose(1, 2).reshape(b * t, -1)

    def _norm(self, x: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        return layer_norm(x, x.shape[1:], *parameters, self.epsilon)


class _Observed(Encoder):
    """An encoder that keeps the inputs of its linear maps."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._inputs: dict[str, list[np.ndarray]] = {}

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        self._inputs.setdefault(name, []).append(x.reshape(-1, x.shape[-1]))
        return super()._linear(x, name)

    def inputs(self, name: str) -> np.ndarray:
        """(R, D) what a map was given."""
        return np.concatenate(self._inputs[name])

    def map(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Weight and bias of a map."""
        return self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]

    def norm(self, name: str) -> tuple[Tensor, Tensor]:
        """Scale and shift of a normalisation."""
        return _tensor(self.weights[f"{name}.weight"]), _tensor(self.weights[f"{name}.bias"])


@dataclass(frozen=True)
class _Map:
    """A linear map of positive 8-bit integers (R, D) that stand for ``step * (q - zero)``."""

    packed: Any
    scales: Tensor
    bias: Tensor
    step: float
    zero: int

    @classmethod
    def of(cls, weight: np.ndarray, bias: np.ndarray, step: float = 1.0, zero: int = SHIFT) -> _Map:
        scales = np.abs(weight).max(axis=1) / TOP
        whole = torch.from_numpy(np.rint(weight / scales[:, None]).astype(np.int8))
        return cls(torch.ops.onednn.qlinear_prepack(whole, None), _tensor(scales), _tensor(bias), step, zero)

    def __call__(self, q: Tensor, dtype: Any, step: float = 1.0, zero: int = 0, function: str = "none") -> Tensor:
        """The map and a function of its result, as floating-point numbers or as integers of the given step."""
        zeros = torch.zeros(len(self.scales), dtype=torch.int32)
        weight = (self.packed, self.scales, zeros, self.bias)
        found: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, self.step, self.zero, *weight, step, zero, dtype, function, [], "none"
        )
        return found


@dataclass(frozen=True)
class _Layer:
    """The four linear maps of a layer with the inverse scales (D,) of their inputs.

    The scales of what the last of attention's maps reads are part of the values, so it needs none of its own; what the
    layer's last map reads (hidden, after GELU) has one step for all.
    """

    ask_map: _Map
    ask_scale: Tensor
    mix_map: _Map
    mix_norm: tuple[Tensor, Tensor]
    widen_map: _Map
    widen_scale: Tensor
    narrow_map: _Map
    narrow_norm: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, net: _Observed, i: int) -> _Layer:
        name = f"encoder.layer.{i}"
        attention = f"{name}.attention.self"
        (wq, bq), (wk, _), (wv, bv) = (net.map(f"{attention}.{part}") for part in ("query", "key", "value"))
        wo, bo = net.map(f"{name}.attention.output.dense")
        mixed = _scales(net.inputs(f"{name}.attention.output.dense"), wo)
        x = net.inputs(f"{attention}.query")
        root = np.sqrt(len(wq) // net.config["num_attention_heads"]).astype(np.float32)
        # A constant added to all keys changes no share: it centres the scores here.
        ask = np.concatenate([wq / root, wk, wv / mixed[:, None]])
        bias = np.concatenate([bq / root, -wk @ x.mean(axis=0), bv / mixed])
        asked = _scales(x, np.concatenate([wq, wk, wv]))
        ww, bw = net.map(f"{name}.intermediate.dense")
        widened = _scales(net.inputs(f"{name}.intermediate.dense"), ww)
        hidden = net.inputs(f"{name}.output.dense")
        step = float(hidden.max() - hidden.min()) / (2 * TOP + 1)
        return cls(
            ask_map=_Map.of(ask * asked, bias),
            ask_scale=_tensor(1.0 / asked),
            mix_map=_Map.of(wo * mixed, bo),
            mix_norm=net.norm(f"{name}.attention.output.LayerNorm"),
            widen_map=_Map.of(ww * widened, bw),
            widen_scale=_tensor(1.0 / widened),
            narrow_map=_Map.of(*net.map(f"{name}.output.dense"), step, round(-float(hidden.min()) / step)),
            narrow_norm=net.norm(f"{name}.output.LayerNorm"),
        )

    def ask(self, x: Tensor, dtype: Any) -> Tensor:
        """(R, 3D) queries, keys and values."""
        return self.ask_map(_whole(x * self.ask_scale), dtype)

    def mix(self, gathered: Tensor) -> Tensor:
        """(R, D) the heads joined."""
        return self.mix_map(_whole(gathered), torch.float32)

    def widen(self, x: Tensor) -> Tensor:
        """(R, 4D) hidden integers."""
        target = self.narrow_map
        return self.widen_map(_whole(x * self.widen_scale), torch.uint8, target.step, target.zero, "gelu")

    def narrow(self, hidden: Tensor) -> Tensor:
        """(R, D) back from hidden integers."""
        return self.narrow_map(hidden, torch.float32)


def _whole(x: Tensor) -> Tensor:
    """Integers of a tensor that is overwritten, shifted to be positive."""
    return x.round_().clamp_(-TOP, TOP).to(torch.int8).view(torch.uint8).add_(SHIFT)


def _scales(inputs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(D,) scales of inputs (R, D) such that all seen fit into 8 bits, shared with the weight's columns."""
    largest = np.maximum(np.abs(inputs).max(axis=0), 1e-4)
    scales = largest**MOVED / np.maximum(np.abs(weight).max(axis=0), 1e-4) ** (1.0 - MOVED)
    return np.asarray(scales * (largest / scales).max() / TOP)


def _tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
