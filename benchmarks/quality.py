"""How good the cines are that each way draws: the shipped one beside the published procedure.

    python -m benchmarks.quality RUNS [SUBJECTS]

draws for held-out simulated subjects with the artefact of `benchmarks.artefact`, and writes
quality.json beside this file, which the report shows. Drawn with our graphs and loop, whose numbers
are those of the networks in torch (tests/unit/cardionets); what torch takes is in the report.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.artefact import artefact_training
from benchmarks.graph_files import graph_file
from benchmarks.networks import Networks
from benchmarks.shipped import NAME, Served, shipped_bundle
from node.domain.identifiers import digest_of, sha256
from pipelines.cardionets.published_bundle import Drawing, published_sampler
from pipelines.cli.console import progress_bar
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.evaluation.bootstrap import Measured, resamples
from pipelines.evaluation.cine import region_of_hearts
from pipelines.evaluation.cine_measures import (
    WHOLE,
    Cine,
    Region,
    crop,
    diversity,
    peak_signal_to_noise_db,
    sharpness,
)
from pipelines.evaluation.comparison import mean_of
from pipelines.evaluation.drawings import answer_to_ecg, reconstruct, true_cine
from pipelines.evaluation.frechet import cine_features, frechet_distance
from pipelines.layout_sampler import LayoutSampler
from pipelines.runtime import Array
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Sampler
from pipelines.similarity import structural_similarity

FILE: Final = Path(__file__).parent / "quality.json"
SUBJECTS: Final = 150
SHIPPED: Final = "shipped"
ONE_CINE: Final = (SHIPPED, f"{SHIPPED}, preset likely", f"{SHIPPED}, preset expected")
WHOLE_PROCEDURE: Final = "published, 16 x 100"
"""How the name of every way of the published procedure begins that takes all its steps."""
DRAWINGS: Final = {
    f"{WHOLE_PROCEDURE}, guidance 3": Drawing(),
    f"{WHOLE_PROCEDURE}, no guidance": Drawing(guidance=1.0),
    "published, 16 x 25, no guidance": Drawing(guidance=1.0, head_steps=25),
    "published, 4 x 25, no guidance": Drawing(guidance=1.0, ar_steps=4, head_steps=25),
}
"""Autoregressive steps x diffusion steps; the first is the published setting."""
LOSS: Final = 0.01
"""Of quality, that counts as none."""
SEED: Final = 1
VARIED: Final = 40

Draw = Callable[[Array, str], Array]
"""A condition (1, C) and whose it is -> a cine (frames, rows, columns) in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to draw; each mean with its 95 % interval over subjects."""

    name: str
    seconds: float
    """Of a drawing, median; beside other work, so to be compared within the run alone."""
    ssim: Measured
    psnr_db: Measured
    heart_ssim: Measured
    """In the region where hearts move."""
    heart_psnr_db: Measured
    frechet: float
    """Squared distance from the true cines."""
    sharpness: float
    """Over that of the true cines as the autoencoder draws them."""
    diversity: float
    """Root mean square distance of two drawings for an ECG, mean of the first `VARIED` subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    graphs: str
    """Digest of the bundle's graphs, which is all that the figures follow from."""
    subjects: int
    halves: float
    """Frechet distance between two halves of the true cines."""
    ways: tuple[Way, ...]

    @property
    def peers(self) -> tuple[Way, ...]:
        """The published procedure with all its steps, with guidance and without."""
        return tuple(each for each in self.ways if each.name.startswith(WHOLE_PROCEDURE))

    @property
    def as_good(self) -> Way | None:
        """The first shipped way at the cost of one cine that is as good within `LOSS`: by each
        measure as the peer that is best by it.
        """
        ssim = max(each.ssim.value for each in self.peers)
        psnr_db = max(each.psnr_db.value for each in self.peers)
        frechet = min(each.frechet for each in self.peers)
        ways = [each for each in self.ways if each.name in ONE_CINE]
        return next(
            (
                each for each in ways
                if each.ssim.value >= (1 - LOSS) * ssim
                and each.psnr_db.value >= (1 - LOSS) * psnr_db
                and each.frechet <= (1 + LOSS) * frechet
            ),
            None,
        )  # fmt: skip


def measure_quality(runs: Path, subjects: int, progress: Progress) -> Quality:
    """Raises UnusableData (the artefact is not trained, or the training set is another's)."""
    training, served = artefact_training(runs, NAME), Served.with_threads(1).pipeline
    data = training.data
    rows = data.cines_of(data.statement.test_part)[:subjects]
    subjects_of_rows = [int(data.cine_subject[row]) for row in rows]
    conditions = [answer_to_ecg(served, data, each)["condition"] for each in subjects_of_rows]
    true = [true_cine(data, row) for row in rows]
    region = region_of_hearts(data)
    features = np.stack([cine_features(cine) for cine in true])
    again = [reconstruct(training.autoencoder(), cine[np.newaxis])[0] for cine in true]
    sharp = float(np.mean([sharpness(cine) for cine in again]))
    weights = resamples(len(rows), seed=SEED)
    found = []
    for name, draw in _ways(Networks.read(NAME, runs=runs), served).items():
        task = progress.add_task(name, total=len(rows))
        cines, taken = [], []
        for place, (condition, subject) in enumerate(
            zip(conditions, subjects_of_rows, strict=True)
        ):
            began = time.perf_counter()
            cines.append(draw(condition, str(subject)))
            taken.append(time.perf_counter() - began)
            progress.update(task, completed=place + 1)
        others = [draw(condition, "another") for condition in conditions[:VARIED]]
        score = partial(_score, cines, true, weights)
        found.append(
            Way(
                name=name,
                seconds=float(np.median(taken)),
                ssim=score(structural_similarity, WHOLE),
                psnr_db=score(peak_signal_to_noise_db, WHOLE),
                heart_ssim=score(structural_similarity, region),
                heart_psnr_db=score(peak_signal_to_noise_db, region),
                frechet=frechet_distance(features, np.stack([cine_features(x) for x in cines])),
                sharpness=float(np.mean([sharpness(cine) for cine in cines])) / sharp,
                diversity=float(
                    np.mean(
                        [
                            diversity(np.stack(two))
                            for two in zip(cines[:VARIED], others, strict=True)
                        ]
                    )
                ),
            )
        )
    return Quality(
        graphs=shipped_graphs(),
        subjects=len(rows),
        halves=frechet_distance(features[::2], features[1::2]),
        ways=tuple(found),
    )


def _score(
    cines: Sequence[Cine],
    true: Sequence[Cine],
    weights: NDArray[np.float64],
    of: Callable[[Cine, Cine], float],
    region: Region,
) -> Measured:
    pairs = zip(cines, true, strict=True)
    return mean_of(weights, np.array([of(crop(a, region), crop(b, region)) for a, b in pairs]))


def _ways(networks: Networks, served: EcgToCmr) -> Mapping[str, Draw]:
    shipped = served.sampler
    assert isinstance(shipped, LayoutSampler)  # of the shipped bundle
    runtime, size = OnnxRuntime(threads=1), networks.mar_size
    sizes = published_sampler(size).sizes
    trunk, head, decoder = (
        runtime.load(graph_file(networks, role), sizes)
        for role in ("trunk", "diffusion-head", "decoder")
    )
    drawing_with = networks.drawing(head, decoder)
    ways: dict[str, Draw] = {
        SHIPPED: lambda condition, subject: shipped.shown(condition, "evaluation", subject).mean
    }
    for preset in ("likely", "expected", "mean"):
        ways[f"{SHIPPED}, preset {preset}"] = _drawn_by(shipped.with_preset(preset))
    for name, drawing in DRAWINGS.items():
        spec = published_sampler(size, drawing)
        ways[name] = _drawn_by(Sampler(spec=spec, trunk=trunk, **drawing_with))
    unguided = Sampler(
        spec=published_sampler(size, Drawing(guidance=1.0)), trunk=trunk, **drawing_with
    )
    next_only = unguided.spec.model_copy(update={"decoding": "next"})
    fewer_bits = OnnxRuntime(threads=1, precision="int8").load(graph_file(networks, "trunk"), sizes)
    ways["published, no guidance, next tokens alone"] = _drawn_by(replace(unguided, spec=next_only))
    ways["published, no guidance, int8 trunk"] = _drawn_by(replace(unguided, trunk=fewer_bits))
    return ways


def _drawn_by(sampler: LayoutSampler | Sampler) -> Draw:
    return lambda condition, subject: sampler.shown(condition, "evaluation", subject).mean


def shipped_graphs() -> str:
    bundle = shipped_bundle()
    files = sorted(spec.file for spec in bundle.manifest.graphs.offered.values())
    return digest_of(*(sha256((bundle.folder / file).read_bytes()) for file in files))


def read_quality(file: Path = FILE) -> Quality | None:
    """What was measured last; None where it was of other graphs, or never."""
    if not file.exists():
        return None
    told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    found = Quality(**told | {"ways": tuple(_read_way(way) for way in told["ways"])})
    return found if found.graphs == shipped_graphs() else None


def _read_way(told: dict[str, Any]) -> Way:
    scores = {name: Measured(**value) for name, value in told.items() if isinstance(value, dict)}
    return Way(**told | scores)


def main(runs: str, subjects: str = str(SUBJECTS)) -> None:
    with progress_bar() as progress:
        found = measure_quality(Path(runs), int(subjects), progress)
    FILE.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
