"""The latent space of a generator, near the codes of known structures.

Shapes: N known structures, C size of a code, L coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from matgen.data.structures import from_batch, pack, read_structures, to_batch
from matgen.errors import ConfigError, DataError, MatgenError
from matgen.optimize.spaces.base import SPACES, Option, Proposal, Space
from matgen.optimize.spaces.realisation import gathered, loaded
from matgen.runtime import Streams, file_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import optuna

    from matgen.data.candidates import Candidates
    from matgen.execution import Executor, Row


@SPACES.register("latent")
@dataclass
class Latent(Space):
    """Codes of a generator that can encode and decode, in the leading principal components of known codes.

    Coordinates are in standard deviations of the known codes. Two Optuna constraints keep decodes valid:
    ``prior density`` (the squared norm of the coordinates stays below the 99 % quantile of a standard normal) and
    ``trust region`` (the distance to the nearest good code stays below ``trust`` times the median distance of known
    codes to their nearest neighbours).

    Args:
        source: Known structures: an ingested data set or structure file.
        model: A generator with ``encode`` and ``decode``.
        dimensions: L.
        best_by: Column by which codes are good (the lowest values); all are where it is not given.
        top: How many are good.
        trust: See above; the region shrinks with it.
        most: Structures of the source that are encoded, the first ones.
        noise: Seed of the noise that a decoder starts from. It is the same for all codes, so that a structure, and with
            it every objective, is a function of its code.
        decoding: Options of the decoder, by name.
    """

    name: ClassVar[str] = "latent"

    source: str
    model: str = "vae-mp20"
    dimensions: Annotated[int, Field(ge=1, le=64)] = 8
    best_by: str | None = None
    top: Annotated[int, Field(ge=1)] = 100
    trust: Annotated[float, Field(gt=0)] = 2.0
    most: Annotated[int, Field(ge=10)] = 2000
    noise: Annotated[int, Field(ge=0)] = 0
    decoding: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse a source that is not there and a generator without a latent space."""
        if not Path(self.source).exists():
            raise ConfigError("no such file or folder.", where="space.latent.source", fix="Check the path.")
        generator = loaded(self.model)
        if not (hasattr(generator, "encode") and hasattr(generator, "decode")):
            raise ConfigError(f"the generator {self.model!r} has no latent space.", where="space.latent.model")

    def identity(self) -> str:
        """Hashes of the known structures and of the generator."""
        return f"{file_id(self._file)} {loaded(self.model).fingerprint}"

    def propose(self, trial: optuna.Trial, taken: Collection[str]) -> Proposal:
        """The suggested code."""
        low, high = self._bounds
        point = np.array([trial.suggest_float(f"z{i}", low[i], high[i]) for i in range(self.size)])
        item = {"code": self.code(point).tolist(), "point": point.tolist()}
        return Proposal(item, None, self.violations(point))

    def violations(self, point: np.ndarray) -> dict[str, float]:
        """Optuna's constraints on coordinates (L,)."""
        nearest = float(np.sqrt(np.square(self.good - point).sum(axis=1).min()))
        return {
            "prior density": float(point @ point - self._radius),
            "trust region": nearest - self.trust * self.spacing,
        }

    def code(self, point: np.ndarray) -> np.ndarray:
        """(C,) code at coordinates (L,)."""
        return np.asarray(self._mean + (point * self._scale) @ self._axes)

    def realise(self, items: Sequence[Row], ids: Sequence[str], executor: Executor) -> Candidates:
        """The decoded structures."""
        work = [{"code": i["code"], "seed": self.noise, "model": self.model, "options": self.decoding} for i in items]
        return gathered(ids, executor.map(decode, work, name="decode", shard=8))

    def describe(self, items: Sequence[Row]) -> np.ndarray:
        """(n, L) coordinates."""
        return np.array([item["point"] for item in items])

    def options(self, taken: Collection[str], n: int, rng: np.random.Generator) -> list[Option]:
        """Random points inside both constraints: good codes, moved at random."""
        chosen = self.good[rng.integers(len(self.good), size=min(n, 2000))]
        step = self.spacing / self.size**0.5
        points = chosen + rng.normal(size=chosen.shape) * step
        inside = [p for p in points if max(self.violations(p).values()) <= 0]
        return [Option({f"z{i}": float(v) for i, v in enumerate(p)}, {"point": p.tolist()}) for p in inside]

    def start(self, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Points inside both constraints: in eight dimensions hardly any point of the box between the bounds is."""
        return [option.params for option in self.options((), 20 * n, rng)[:n]]

    @cached_property
    def _file(self) -> Path:
        inside = Path(self.source) / "structures.parquet"
        return inside if inside.is_file() else Path(self.source)

    @cached_property
    def _fitted(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean (C,), axes (L, C), standard deviations (L,), points of all (N, L) and of the good structures."""
        from sklearn.decomposition import PCA

        table, structures = read_structures(self._file)
        generator = loaded(self.model)
        parts = [structures[i : i + 64] for i in range(0, min(len(structures), self.most), 64)]
        codes = np.concatenate([generator.encode(to_batch(part)).double().numpy() for part in parts])  # type: ignore[operator]
        pca = PCA(min(self.dimensions, *codes.shape), random_state=0).fit(codes)
        scale = np.sqrt(pca.explained_variance_) + 1e-12
        points = pca.transform(codes) / scale
        good = points
        if self.best_by is not None:
            if self.best_by not in table:
                raise DataError(f"there is no column {self.best_by!r}.", where=self.source)
            order = np.argsort(table[self.best_by].to_numpy(dtype=float)[: len(points)], kind="stable")
            good = points[order[: self.top]]
        return pca.mean_, pca.components_, scale, points, good

    @property
    def _mean(self) -> np.ndarray:
        return self._fitted[0]

    @property
    def _axes(self) -> np.ndarray:
        return self._fitted[1]

    @property
    def _scale(self) -> np.ndarray:
        return self._fitted[2]

    @property
    def good(self) -> np.ndarray:
        """Coordinates of the good structures."""
        return self._fitted[4]

    @property
    def size(self) -> int:
        """L, or less where the codes are smaller."""
        return len(self._scale)

    @cached_property
    def spacing(self) -> float:
        """Median distance of known points to their nearest neighbours."""
        from scipy.spatial import cKDTree

        points = self._fitted[3]
        return float(np.median(cKDTree(points).query(points, k=2)[0][:, 1]))

    @cached_property
    def _bounds(self) -> tuple[list[float], list[float]]:
        """Ends of each coordinate: those of the trust region, within the prior's bulk."""
        reach, radius = self.trust * self.spacing, self._radius**0.5
        low, high = self.good.min(axis=0) - reach, self.good.max(axis=0) + reach
        return np.maximum(low, -radius).tolist(), np.minimum(high, radius).tolist()

    @cached_property
    def _radius(self) -> float:
        """Squared norm that 99 % of standard normal vectors do not exceed."""
        from scipy.stats import chi2

        return float(chi2.ppf(0.99, self.size))


@dataclass(frozen=True)
class SameNoise(Streams):
    """Streams of which all begin alike, so that what is decoded depends on the code only."""

    def at(self, index: int) -> np.random.Generator:
        """The first stream, whatever the index."""
        return super().at(-self.start)


def decode(items: Sequence[Row]) -> list[Row]:
    """Worker: the packed structure of each code, or the reason why there is none; the items are of one space."""
    try:
        return _decoded(items)
    except (MatgenError, ValueError) as error:
        if len(items) == 1:
            return [{"error": " ".join(str(error).split())}]
        return [row for item in items for row in decode([item])]


def _decoded(items: Sequence[Row]) -> list[Row]:
    import torch

    first = items[0]
    generator = loaded(first["model"])
    codes = torch.tensor([item["code"] for item in items], dtype=torch.float32)
    rng = SameNoise(first["seed"], generator.name)
    packed = pack(from_batch(generator.decode(codes, rng=rng, **first["options"])))  # type: ignore[operator]
    return [dict(zip(packed, values, strict=True)) for values in zip(*packed.values(), strict=True)]
