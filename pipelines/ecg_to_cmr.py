"""The served pipeline: one ECG in, phenotypes with intervals, disease screens and a cine out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Finding, Severity, Subject
from node.domain.errors import PredictionError
from node.domain.prediction import (
    Cine,
    DiseaseProbability,
    Estimate,
    ModelIdentity,
    Prediction,
    Spread,
)
from node.ecg.beats import heart_rate_bpm
from pipelines.cine_sampler import CineSampler
from pipelines.contract import InputSpec, Watch, unwatched
from pipelines.derivation import derive
from pipelines.manifest import Manifest, PhenotypeSpec
from pipelines.parity import Deviation
from pipelines.preprocessing import RECIPES, condition, subject_vector
from pipelines.runtime import Session

USUAL_RATE_BPM = (30.0, 180.0)
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class EcgToCmr:
    """A loaded bundle (pipelines.contract.Pipeline); may be asked from several threads at once."""

    manifest: Manifest
    identity: ModelIdentity
    ecg: Session = field(repr=False)
    cine: Session | None = field(repr=False)
    sampler: CineSampler | None = field(repr=False)
    proof: tuple[Deviation, ...] = field(default=(), repr=False)
    """Of the self-test that it passed."""

    @property
    def input_spec(self) -> InputSpec:
        return InputSpec(
            minimum_duration_s=RECIPES[self.manifest.preprocessing].minimum_duration_s,
            age_years=self.manifest.population.age_years,
        )

    def with_preset(self, name: str) -> EcgToCmr:
        """The same graphs, its cines drawn as the bundle's preset of this name says."""
        assert self.sampler is not None  # a bundle without one has no presets
        return replace(
            self,
            identity=replace(self.identity, preset=name),
            sampler=self.sampler.with_preset(name),
        )

    def predict(
        self,
        record: ECGRecord,
        subject: Subject,
        *,
        source_digest: str,
        findings: tuple[Finding, ...] = (),
        watch: Watch = unwatched,
    ) -> Prediction:
        """Answer for one ECG; a cine that is drawn follows from `source_digest` and the bundle's.

        Raises PredictionError (fewer than two beats, a lead missing, NaN or infinity).
        """
        rate = heart_rate_bpm(record)
        if rate is None:
            # A rate is printed as measured: none may be made up.
            raise PredictionError(
                "the ECG has fewer than two heart beats: the quality gate must refuse it"
            )
        inputs = {"ecg": condition(record, RECIPES[self.manifest.preprocessing])[np.newaxis]}
        if self.manifest.graphs.ecg.takes("subject"):
            inputs["subject"] = subject_vector(subject)[np.newaxis]
        watch(0.0)
        answer = self.ecg.run(inputs)
        estimates, limited = self._estimates(answer, rate)
        notes = (
            *_subject_notes(subject, self.manifest),
            *_rate_notes(rate),
            *_limit_notes(limited),
        )
        return Prediction(
            model=self.identity,
            estimates=estimates,
            diseases=self._diseases(answer),
            cine=self._cine(answer, rate, source_digest, watch),
            heart_rate_bpm=rate,
            findings=(*findings, *notes),
        )

    def _estimates(
        self, answer: dict[str, NDArray[np.float32]], rate: float
    ) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
        """The estimates, and the names of those whose value was moved into its range.

        A derived value follows from the values before rounding, as they are within their ranges.
        """
        values: dict[str, float] = {}
        estimates, limited = [], []
        for index, spec in enumerate(self.manifest.phenotypes):
            if spec.derivation is None:
                value = float(answer["phenotypes"][0, index])
            else:
                value = derive(spec.derivation, values, rate)
            values[spec.field_id] = within = min(max(value, spec.minimum), spec.maximum)
            if abs(within - value) > _ROUNDING:
                limited.append(spec.name)
            half_width = spec.interval_scale * float(answer["spread"][0, index])
            if half_width < 0:
                raise PredictionError(
                    f"the bundle gave a negative spread for field {spec.field_id}; "
                    "report this with the bundle's name and version"
                )
            estimates.append(_estimate(spec, within, half_width))
        return tuple(estimates), tuple(limited)

    def _diseases(self, answer: dict[str, NDArray[np.float32]]) -> tuple[DiseaseProbability, ...]:
        return tuple(
            DiseaseProbability(
                field_id=spec.field_id,
                name=spec.name,
                probability=round(_sigmoid(float(answer["diseases"][0, index])), 3),
            )
            for index, spec in enumerate(self.manifest.diseases)
        )

    def _cine(
        self, answer: dict[str, NDArray[np.float32]], rate: float, source_digest: str, watch: Watch
    ) -> Cine | None:
        if self.manifest.cine is None:
            return None
        spread = None
        if self.sampler is not None:
            drawn = self.sampler.shown(
                answer["condition"], source_digest, self.identity.digest, watch=watch
            )
            frames = drawn.mean
            if len(drawn.samples) > 1:
                spread = Spread(samples=len(drawn.samples), grey_levels=_grey(drawn.spread))
        elif self.cine is not None:
            frames = self.cine.run({"latent": answer["latent"]})["frames"][0]
        else:
            return None
        return Cine(
            frames=_grey(frames),
            spread=spread,
            frame_time_ms=60_000.0 / rate / self.manifest.cine.frames,
            view=self.manifest.cine.view,
        )


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    grey: NDArray[np.uint8] = np.rint(255.0 * np.clip(values, 0.0, 1.0)).astype(np.uint8)
    return grey


def _estimate(spec: PhenotypeSpec, value: float, half_width: float) -> Estimate:
    """Bounds are kept in the range and rounded like the value: rounding keeps their order."""
    lower = max(value - half_width, spec.minimum)
    upper = min(value + half_width, spec.maximum)
    value, lower, upper = (round(number, spec.decimals) + 0.0 for number in (value, lower, upper))
    return Estimate(
        field_id=spec.field_id,
        name=spec.name,
        value=value,
        lower=lower,
        upper=upper,
        unit=spec.unit,
        decimals=spec.decimals,
    )


def _sigmoid(logit: float) -> float:
    # tanh does not overflow, whatever the logit.
    return float(0.5 * (1.0 + np.tanh(0.5 * logit)))


def _subject_notes(subject: Subject, manifest: Manifest) -> Iterator[Finding]:
    unknown = [
        word for word, value in (("age", subject.age_years), ("sex", subject.sex)) if value is None
    ]
    if unknown and manifest.graphs.ecg.takes("subject"):
        yield _note(
            "subject-incomplete",
            f"The ECG does not state the subject's {' and '.join(unknown)}: "
            "the estimate does not use it.",
        )
    youngest, oldest = manifest.population.age_years
    if subject.age_years is not None and not youngest <= subject.age_years <= oldest:
        yield _note(
            "outside-training-population",
            "The subject's age is outside the training population "
            f"({youngest:g} to {oldest:g} years).",
        )


def _rate_notes(rate: float) -> Iterator[Finding]:
    lowest, highest = USUAL_RATE_BPM
    if not lowest <= rate <= highest:
        yield _note(
            "heart-rate-unusual",
            f"The heart rate is outside {lowest:g} to {highest:g} per minute: "
            "the estimate is less certain than its interval says.",
        )


def _limit_notes(names: tuple[str, ...]) -> Iterator[Finding]:
    if names:
        yield _note(
            "estimate-at-limit",
            f"At the limit of the believable range, and no further: {', '.join(names)}.",
        )


def _note(code: str, message: str) -> Finding:
    return Finding(code=code, severity=Severity.NOTE, message=message)
