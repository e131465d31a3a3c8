"""The report: one HTML page without anything beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks import plots
from benchmarks.claims import claims
from benchmarks.figures import Figures
from benchmarks.graphs import DEFAULT, EXACT, GraphCost
from benchmarks.growth import USUAL_AR_STEPS, USUAL_FLOW_STEPS
from benchmarks.quality import Quality
from benchmarks.roofline import DECODED
from benchmarks.runtimes import NUMERICS, RuntimeFigures
from benchmarks.timing import Wall, ratio
from pipelines.cohort import page
from pipelines.evaluation.bootstrap import Measured
from pipelines.parity import EJECTION_FRACTION_PERCENT, GATES, LEAST_SIMILARITY, VOLUME_ML

COST_ONLY = (
    "Cost only; equal quality is not shown: benchmarks.quality has not been run on this bundle."
)


def write_page(figures: Figures, file: Path) -> None:
    file.write_text(render(figures), encoding="utf-8")


def render(figures: Figures) -> str:
    parts = [
        *_machine(figures),
        *_claims(figures),
        *_whole_answer(figures),
        *_published(figures),
        *_graphs(figures),
        *_roofline(figures),
        *_growth(figures),
        *_runtimes(figures),
    ]
    return page.render_page("CardioNode benchmarks", _banner(figures), parts)


def _banner(figures: Figures) -> str:
    if figures.quick:
        return "A quick run, to see that everything works: its figures are of nothing."
    if figures.machine.contended:
        return (
            f"Others were working on this machine (load {figures.machine.load_before:g} before the "
            "run): run it again when it is quiet."
        )
    return (
        "Figures of one machine and one run. Compare ratios, which name their peers; seconds are "
        "of this machine."
    )


def _machine(figures: Figures) -> Iterator[str]:
    machine = figures.machine
    weights = "of the finished training" if figures.trained else "random, at the bundle's sizes"
    yield page.heading("What was measured, and on what")
    yield page.table(
        ("", ""),
        [
            ("processor", machine.processor),
            ("cores", f"{machine.cores}, {', '.join(machine.features) or 'no vector extensions'}"),
            ("memory", f"{machine.memory_gib:g} GiB"),
            ("system", f"{machine.system}, Python {machine.python}"),
            ("packages", ", ".join(f"{name} {v}" for name, v in machine.packages.items())),
            ("load before the run", f"{machine.load_before:g}"),
            ("bundle", figures.bundle),
            ("weights of the networks in torch", weights),
            ("measured", f"{figures.measured_at}, in {figures.took_s / 60.0:.0f} min"),
        ],
    )
    yield page.paragraph(
        "Wall times are medians and 95th percentiles over calls in which peers take turns, with as "
        "many threads as there are cores. Figures of one thread are the least CPU time of a call. "
        "The ECGs are simulated. Again: make bench."
    )


def _claims(figures: Figures) -> Iterator[str]:
    yield page.heading("Against what was aimed at")
    yield page.table(
        ("what", "peer, in the same run", "here", "peer's", "ratio", "aim", "met?"),
        [
            (
                each.what, each.peer, each.ours, each.theirs, f"{each.ratio:.2f}", each.aim,
                {True: "yes", False: "NO", None: ""}[each.met],
            )
            for each in claims(figures)
        ],
    )  # fmt: skip


def _whole_answer(figures: Figures) -> Iterator[str]:
    whole = figures.whole
    ours, theirs = whole.steps["onnx"], whole.steps["torch"]
    yield page.heading("The whole answer")
    yield page.table(
        ("one further ECG", "shipped: median", "95 %", "torch eager: median", "95 %", "ratio"),
        [
            _beside("numbers and cine", ours.predict, theirs.predict),
            _beside("and the DICOM objects", ours.answer, theirs.answer),
            _beside("and the HL7 message, all files and pictures", ours.process, theirs.process),
        ],
    )
    yield page.paragraph("Where the time goes, ms of a mean ECG with all files:")
    yield page.picture(plots.plot_parts(whole.parts_s), "parts of an answer")
    yield page.paragraph("New processes, and a node:")
    yield page.table(
        ("new process", "ready: median", "slowest", "most memory after 4 answers"),
        [
            (
                {"onnx": "shipped", "torch": "torch eager"}[way],
                f"{started.ready.p50_s:.2f} s",
                f"{started.ready.p95_s:.2f} s (95 %)",
                f"{started.peak_mb:.0f} MB",
            )
            for way, started in whole.started.items()
        ]
        + [
            (
                f"cardionode serve, {whole.node.answered} ECGs over DICOM",
                f"{whole.node.ready_s:.2f} s (all of the node)",
                "",
                f"{whole.node.peak_mb:.0f} MB, and {whole.node.beside_mb:.0f} MB beside it",
            )
        ],
    )
    first = whole.throughput[0]
    yield page.paragraph("ECGs that wait:")
    yield page.table(
        ("8 ECGs in a queue", "ECGs/s", "over one at a time", "same bytes?"),
        [
            (
                each.name,
                f"{each.ecgs_a_second:.2f}",
                f"{each.ecgs_a_second / first.ecgs_a_second:.2f}",
                "yes" if each.digest == first.digest else "NO",
            )
            for each in whole.throughput
        ],
    )


def _beside(what: str, ours: Wall, theirs: Wall) -> tuple[str, ...]:
    mine, peer = ((f"{each.p50_s:.3f} s", f"{each.p95_s:.3f} s") for each in (ours, theirs))
    return (what, *mine, *peer, f"{ratio(theirs.p50_s, ours.p50_s):.2f}")


def _published(figures: Figures) -> Iterator[str]:
    found = figures.published
    yield page.heading("Against the published procedure")
    yield page.paragraph(
        f"Published procedure: {found.procedure}; {found.parameters / 1e6:.1f} million parameters. "
        "ECG network and decoder are the shipped ones in every row."
    )
    yield page.table(
        ("numbers and a cine of one ECG", "median", "over the shipped"),
        [
            (name, f"{taken.p50_s:.3f} s", f"{ratio(taken.p50_s, found.shipped.p50_s):.1f}")
            for name, taken in (
                (
                    f"published procedure, torch eager fp32, {found.torch_threads} thread"
                    f"{'s' if found.torch_threads > 1 else ''}",
                    found.in_torch,
                ),
                ("published procedure, our graphs and loop", found.in_onnx),
                ("shipped: the cine is laid out whole", found.shipped),
            )
        ],
    )
    if figures.quality is None:
        yield page.paragraph(COST_ONLY)
    else:
        yield from _quality(figures.quality)


def _quality(found: Quality) -> Iterator[str]:
    yield page.paragraph(
        f"How good the cines are: {found.subjects} simulated subjects whom nothing was trained on, "
        "one cine each from the ECG alone (means with 95 % intervals; heart: where hearts move). "
        "The published procedure is a development artefact trained on the same cohort, latents and "
        "conditions for 50 minutes of one core (benchmarks.artefact); its guesses are cut at five "
        "deviations, without which a head that has learnt so briefly leaves the latents. The 0.7 "
        "of preset likely were chosen among 0.5, 0.7, 0.8 and 0.9 on these subjects. "
        f"1000 x Frechet distance between two halves of the true cines: {1e3 * found.halves:.2f}. "
        "Varied: the distance of two drawings for one ECG. Measured apart, by make soak-published."
    )
    yield page.table(
        (
            "",
            "SSIM",
            "PSNR, dB",
            "SSIM, heart",
            "PSNR, heart, dB",
            "1000 x Frechet",
            "sharpness",
            "varied",
            "s a cine",
        ),
        [
            (
                way.name,
                _mean(way.ssim, 3),
                _mean(way.psnr_db, 2),
                _mean(way.heart_ssim, 3),
                _mean(way.heart_psnr_db, 2),
                f"{1e3 * way.frechet:.2f}",
                f"{way.sharpness:.2f}",
                f"{way.diversity:.3f}",
                f"{way.seconds:.3f}",
            )
            for way in found.ways
        ],
    )  # fmt: skip


def _mean(measured: Measured, digits: int) -> str:
    return f"{measured.value:.{digits}f} ({measured.low:.{digits}f} to {measured.high:.{digits}f})"


def _graphs(figures: Figures) -> Iterator[str]:
    peak, runtimes = figures.roofline.peak_flop_s, list(figures.graphs[0].ours_s)
    yield page.heading("Each graph, one thread")
    yield page.table(
        ("graph", *runtimes, "torch eager", "ratio in fp32", "best ratio", "torch.compile",
         "ratio in fp32", "limit in fp32"),
        [
            (
                each.graph,
                *(_cost(each, runtime) for runtime in runtimes),
                _ms(each.eager_s),
                f"{ratio(each.eager_s, each.default_s):.2f}",
                f"{ratio(each.eager_s, each.ours_s[each.fastest(runtimes)]):.2f}",
                "not measured" if each.compiled_s is None else _ms(each.compiled_s),
                "" if each.compiled_s is None else f"{ratio(each.compiled_s, each.default_s):.2f}",
                f"{ratio(each.eager_s, each.flop / peak):.2f}",
            )
            for each in figures.graphs
        ],
    )  # fmt: skip
    yield page.paragraph(
        "Ratios are to torch in fp32, eager or compiled, with the network as it is trained. The "
        "limit is what a runtime would gain that did the graph's matrix products at the peak "
        "measured below, and everything else in no time: none that does them all gains more in "
        "fp32. In brackets: how far the outputs stray from onnx fp32 (root mean square over the "
        "size of what strays most), with FAILS where that is more than the gate of a precision "
        f"allows ({_gates()}; in fp32 {EXACT:g} of the largest value). The best ratio is of what "
        "passes. Gates of what a reader sees, for the shipped bundle, stand at the end; trunk, "
        "head and base have random weights here."
    )
    yield page.picture(plots.plot_graphs(figures.graphs), "cost of each graph")


def _cost(graph: GraphCost, runtime: str) -> str:
    strayed = "" if runtime == DEFAULT else f" ({graph.strayed[runtime]:.1e}"
    failed = "" if runtime in graph.passing else ", FAILS"
    return _ms(graph.ours_s[runtime]) + strayed + failed + (")" if strayed else "")


def _gates() -> str:
    return ", ".join(f"{name} {gate.root_mean_square:g}" for name, gate in GATES.items())


def _roofline(figures: Figures) -> Iterator[str]:
    found = figures.roofline
    yield page.heading("How near to what the processor can do")
    yield page.paragraph(
        f"One thread. The roof: {found.peak_flop_s / 1e9:.0f} GFLOP/s in a square matrix product "
        f"of the same runtime, {found.bandwidth_byte_s / 1e9:.1f} GB/s in a copy. Counted are "
        "matrix products and convolutions, and the bytes of their weights, inputs and outputs: "
        "what a graph does besides makes its share smaller; weights that stay in a cache make it "
        "larger than memory allows. base is the published size, with "
        "random weights: a step of the trunk with guidance and half of the tokens known; "
        f"{DECODED} latent frames of the decoder's 25, which do a fifth of its 15 TFLOP."
    )
    yield page.table(
        ("graph", "GFLOP", "weights, MB", "activations, MB", "FLOP/byte", "limited by", "time",
         "GFLOP/s", "of the peak", "of the roof"),
        [
            (
                each.graph,
                f"{each.flop / 1e9:.3g}",
                f"{each.weight_bytes / 1e6:.1f}",
                f"{each.activation_bytes / 1e6:.1f}",
                f"{found.intensity(each):.3g}",
                "processor" if found.is_compute_bound(each) else "memory",
                _ms(each.seconds),
                f"{each.flop / each.seconds / 1e9:.0f}",
                f"{found.of_peak(each):.0%}",
                f"{found.of_roof(each):.0%}",
            )
            for each in found.graphs
        ],
    )  # fmt: skip
    yield page.picture(plots.plot_roofline(found), "roofline")


def _growth(figures: Figures) -> Iterator[str]:
    found = figures.growth
    yield page.heading("How the cost grows")
    yield page.table(
        ("ECGs in a row, one process", "seconds", "s an ECG", "memory grown"),
        [
            (
                str(each.count),
                f"{each.seconds:.2f}",
                f"{each.seconds / each.count:.3f}",
                f"{each.grown_mb:.0f} MB",
            )
            for each in found.ecgs
        ],
    )
    curves = {
        "samples of a cine (shipped)": found.samples,
        f"AR steps (tiny, {USUAL_FLOW_STEPS} of flow)": found.ar_steps,
        f"flow steps (tiny, {USUAL_AR_STEPS} AR)": found.flow_steps,
    }
    for title, curve in curves.items():
        yield page.table(
            (title, *map(str, curve)), [("seconds", *(f"{value:.3f}" for value in curve.values()))]
        )
    counts = list(next(iter(found.batches.values())))
    yield page.table(
        ("ECGs in one run of a network, one thread: an ECG", *map(str, counts)),
        [(role, *(_ms(taken[count]) for count in counts)) for role, taken in found.batches.items()],
    )
    yield page.paragraph(
        "That is why a node runs each ECG by itself: what waits is answered side by side instead."
    )
    yield page.picture(
        plots.plot_growth({"ECGs": {e.count: e.seconds for e in found.ecgs}} | curves), "growth"
    )


def _runtimes(figures: Figures) -> Iterator[str]:
    first = figures.runtimes[0]
    yield page.heading("Runtimes side by side")
    yield page.paragraph(
        "Numbers and a cine of one ECG; beside it the most that any of the ECGs strayed from ONNX "
        f"Runtime in fp32. Gates: LVEF {EJECTION_FRACTION_PERCENT:g} %, volumes {VOLUME_ML:g} mL, "
        f"SSIM of every frame {LEAST_SIMILARITY:g}. {NUMERICS}: the graphs that TensorRT is given, "
        "on this processor; nothing here has run on a GPU."
    )
    yield page.table(
        ("runtime", "median", "95 %", "over onnx fp32", "LVEF, %", "LVEDV, mL", "LVESV, mL",
         "least SSIM", "passes?"),
        [_runtime(each, first) for each in figures.runtimes],
    )  # fmt: skip


def _runtime(each: RuntimeFigures, first: RuntimeFigures) -> tuple[str, ...]:
    strayed, taken = each.strayed, each.predict
    if strayed is None:
        return (each.name, f"does not serve: {each.refused}", *[""] * 7)
    times = ("", "", "")
    if taken is not None and first.predict is not None:
        faster = ratio(first.predict.p50_s, taken.p50_s)
        times = (f"{taken.p50_s:.3f} s", f"{taken.p95_s:.3f} s", f"{faster:.2f}")
    return (
        each.name, *times, f"{strayed.lvef_percent:.2g}", f"{strayed.lvedv_ml:.2g}",
        f"{strayed.lvesv_ml:.2g}", f"{strayed.least_similarity:.5f}",
        "yes" if strayed.passes else "NO",
    )  # fmt: skip


def _ms(seconds: float) -> str:
    return f"{1000.0 * seconds:.2f} ms"
