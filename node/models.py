"""The bundles that answer, by the AE title that an ECG was sent to, each on its runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.cores import available_cores
from node.dicom.template import Templates
from node.domain.concept import check_unit
from node.domain.errors import CardioNodeError, ConfigurationError
from node.domain.prediction import ModelIdentity
from node.settings import ModelSettings, default_engines
from pipelines.bundle import Bundle
from pipelines.catalog import Served, find_bundles, serve_presets, shipped_bundles
from pipelines.contract import Pipeline
from pipelines.parity import Deviation
from pipelines.runtime.selection import Wish
from pipelines.runtime.tensorrt_library import Progress, unseen
from pipelines.signature import read_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What is loaded."""

    served: Mapping[str, Served]
    """By the bundle's name, with its preset if one is named: "simulated-4ch/mean"."""
    default: str
    by_ae_title: Mapping[str, str]
    """Called AE title -> key of `served`; all others get the default."""

    def served_for(self, called_ae: str) -> Served:
        """What answers an ECG that was sent to this AE title, and why."""
        return self.served[self.by_ae_title.get(called_ae, self.default)]

    def pipeline_for(self, called_ae: str) -> Pipeline:
        """Whatever answers an ECG that was sent to this AE title."""
        return self.served_for(called_ae).pipeline


def load_models(
    settings: ModelSettings,
    templates: Templates,
    said: Callable[[str], None],
    building: Progress = unseen,
) -> Models:
    """Every bundle that the settings name, checked, self-tested, with a code for each field.

    said: told when a device fails in service and the CPU takes over. building: told at each quarter
    of an engine that is not there yet.
    Raises ConfigurationError that names the bundles there are, BundleError, DeviceError.
    """
    keys, wish = read_keys(settings.trusted_keys), wish_of(settings, building)
    presets: dict[str, list[str]] = {}
    for choice in settings.choices:
        name, _, preset = choice.partition("/")
        presets.setdefault(name, []).append(preset)
    served: dict[str, Served] = {}
    for name, asked in presets.items():
        bundle = find_bundle(settings, name)
        check_fields(bundle, templates)
        found = serve_presets(bundle, wish, asked, keys=keys, said=said)
        served |= {f"{name}/{preset}" if preset else name: found[preset] for preset in asked}
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
    """A bundle by its name. Raises BundleError (it is broken), ConfigurationError that names those
    there are."""
    found = find_bundles([shipped_bundles(), *settings.folders])
    try:
        return found.bundle(name)
    except KeyError:
        raise ConfigurationError(
            f"[model]: no bundle is called {name!r}; found: {', '.join(found.bundles) or 'none'}, "
            f"broken: {', '.join(found.broken) or 'none'}. "
            "`cardionode bundle install` puts one into model.folders"
        ) from None


def check_fields(bundle: Bundle, templates: Templates) -> None:
    """Every field has a code, in its own unit. Raises BundleError."""
    codes = templates.codes(bundle.manifest.field_ids)
    for spec in bundle.manifest.phenotypes:
        check_unit(codes[spec.field_id], spec.field_id, spec.unit)


def wish_of(settings: ModelSettings, building: Progress = unseen) -> Wish:
    """What the settings ask of a runtime."""
    return Wish(
        runtime=settings.runtime,
        precision=settings.precision,
        threads=settings.threads or available_cores(),
        engines=settings.engines or default_engines(),
        building=_in_quarters(building),
    )


def _in_quarters(tell: Progress) -> Progress:
    """`tell`, at the first word of each quarter of an engine alone."""
    told: dict[str, int] = {}

    def building(graph: str, share: float) -> None:
        if told.get(graph) != (quarter := int(4 * share)):
            told[graph] = quarter
            tell(graph, share)

    return building
