"""The bundles that answer, by the AE title that an ECG was sent to, each on its runtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.dicom.template import Templates
from node.domain.errors import CardioNodeError, ConfigurationError
from node.domain.prediction import ModelIdentity
from node.settings import ModelSettings, default_engines
from pipelines.bundle import Bundle
from pipelines.catalog import Served, list_bundles, serve_bundle, shipped_bundles
from pipelines.contract import Pipeline
from pipelines.parity import Deviation
from pipelines.runtime.selection import Wish
from pipelines.signature import read_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What is loaded."""

    served: Mapping[str, Served]
    """By the bundle's name, with its preset if one is named: "simulated-4ch/mean"."""
    default: str
    by_ae_title: Mapping[str, str]
    """Called AE title -> key of `served`; all others get the default."""

    def pipeline_for(self, called_ae: str) -> Pipeline:
        """Whatever answers an ECG that was sent to this AE title."""
        return self.served[self.by_ae_title.get(called_ae, self.default)].pipeline


def load_models(
    settings: ModelSettings, templates: Templates, said: Callable[[str], None]
) -> Models:
    """Every bundle that the settings name, checked, self-tested, with a code for each field.

    said: told when a device fails in service and the CPU takes over.
    Raises ConfigurationError that names the bundles there are, BundleError, DeviceError.
    """
    keys, wish = read_keys(settings.trusted_keys), wish_of(settings)
    served = {}
    for choice in settings.choices:
        name, _, preset = choice.partition("/")
        bundle = find_bundle(settings, name)
        templates.codes(bundle.manifest.field_ids)
        served[choice] = serve_bundle(bundle, wish, preset=preset, keys=keys, said=said)
    return Models(served=served, default=settings.bundle, by_ae_title=settings.by_ae_title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """What came of loading a bundle anew, beside the one that answers; nothing of it is kept."""

    choice: str
    """The bundle's name, with its preset if one is named."""
    identity: ModelIdentity | None
    """None where it cannot be served."""
    proof: Sequence[Deviation] = ()
    reason: str = ""
    """Why it is this runtime's, as of `Served`; of one that cannot be served, why not."""


def prove_models(settings: ModelSettings, templates: Templates) -> Iterator[Proved]:
    """As `load_models`, but each by itself: engines that are missing are built on the way."""
    for choice in settings.choices:
        alone = settings.model_copy(update={"bundle": choice, "by_ae_title": {}})
        try:
            served = load_models(alone, templates, lambda _: None).served[choice]
        except CardioNodeError as error:
            yield Proved(choice=choice, identity=None, reason=error.message)
        else:
            yield Proved(
                choice=choice,
                identity=served.pipeline.identity,
                proof=served.proof,
                reason=served.reason,
            )


def find_bundle(settings: ModelSettings, name: str) -> Bundle:
    """A bundle by its name. Raises ConfigurationError that names those there are."""
    bundles = list_bundles([shipped_bundles(), *settings.folders])
    for bundle in bundles:
        if bundle.manifest.name == name:
            return bundle
    found = ", ".join(bundle.manifest.name for bundle in bundles) or "none"
    raise ConfigurationError(
        f"[model]: no bundle is called {name!r}; found: {found}. "
        "`cardionode bundle install` puts one into model.folders"
    )


def wish_of(settings: ModelSettings) -> Wish:
    """What the settings ask of a runtime."""
    return Wish(
        runtime=settings.runtime,
        precision=settings.precision,
        threads=settings.threads or available_cores(),
        engines=settings.engines or default_engines(),
    )


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
