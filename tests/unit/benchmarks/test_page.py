"""The report and its claims, of figures that are made up."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.claims import claims
from benchmarks.figures import Figures, write_figures
from benchmarks.graphs import GraphCost
from benchmarks.growth import Growth, ManyEcgs
from benchmarks.machine import Machine
from benchmarks.page import COST_ONLY, render
from benchmarks.processes import ServingNode, Started
from benchmarks.published import PublishedProcedure
from benchmarks.quality import (
    SHIPPED,
    WHOLE_PROCEDURE,
    Quality,
    Way,
    read_quality,
    shipped_graphs,
)
from benchmarks.roofline import Placed, Roofline
from benchmarks.runtimes import RuntimeFigures, Strayed
from benchmarks.stopwatch import FUNCTIONS, PARTS, Stopwatch
from benchmarks.throughput import Throughput
from benchmarks.timing import Wall
from benchmarks.whole_answer import Steps, WholeAnswer
from pipelines.evaluation.bootstrap import Measured

KILOBYTE = 1024


def wall(seconds: float) -> Wall:
    return Wall(p50_s=seconds, p95_s=2 * seconds, least_s=seconds, count=3)


def steps(seconds: float) -> Steps:
    return Steps(predict=wall(seconds), answer=wall(2 * seconds), process=wall(4 * seconds))


@pytest.fixture
def figures() -> Figures:
    return Figures(
        machine=Machine(
            processor="A <processor>",
            cores=2,
            features=("avx2",),
            memory_gib=8.0,
            system="Linux x86_64",
            python="3.11.7",
            packages={"numpy": "2.4"},
            load_before=0.1,
        ),
        measured_at="2026-11-26 10:00 UTC",
        bundle="made-up 1.0.0",
        trained=False,
        quick=False,
        took_s=60.0,
        whole=WholeAnswer(
            started={
                "onnx": Started(ready=wall(1.5), peak_mb=300.0),
                "torch": Started(ready=wall(3.0), peak_mb=900.0),
            },
            node=ServingNode(ready_s=2.0, peak_mb=500.0, beside_mb=200.0, answered=8),
            steps={"onnx": steps(0.2), "torch": steps(0.5)},
            parts_s=dict.fromkeys(PARTS, 0.01),
            throughput=(
                Throughput(threads=2, at_once=1, ecgs_a_second=2.0, digest="a"),
                Throughput(threads=1, at_once=2, ecgs_a_second=3.2, digest="a"),
            ),
        ),
        published=PublishedProcedure(
            procedure="many steps",
            parameters=3_000_000,
            in_torch=wall(4.0),
            torch_threads=1,
            in_onnx=wall(2.0),
            shipped=wall(0.2),
        ),
        graphs=(
            GraphCost(graph="ecg", flop=10**8, eager_s=0.025, compiled_s=None,
                      ours_s={"onnx fp32": 0.010, "onnx int8": 0.005, "openvino bf16": 0.001},
                      strayed={"onnx fp32": 0.0, "onnx int8": 0.003, "openvino bf16": 0.03},
                      passing=("onnx fp32", "onnx int8")),
            GraphCost(graph="decoder", flop=10**9, eager_s=0.150, compiled_s=0.140,
                      ours_s={"onnx fp32": 0.100, "onnx int8": 0.060, "openvino bf16": 0.001},
                      strayed={"onnx fp32": 0.0, "onnx int8": 0.0, "openvino bf16": 0.004},
                      passing=("onnx fp32", "onnx int8", "openvino bf16")),
        ),
        roofline=Roofline(
            peak_flop_s=100e9,
            bandwidth_byte_s=10e9,
            graphs=(
                Placed(graph="dense", flop=10**9, weight_bytes=10**7, activation_bytes=10**7,
                       seconds=0.02),
                Placed(graph="thin", flop=10**7, weight_bytes=10**7, activation_bytes=0,
                       seconds=0.002),
            ),
        ),
        growth=Growth(
            ecgs=(ManyEcgs(count=1, seconds=0.4, grown_mb=0.0),
                  ManyEcgs(count=10, seconds=3.0, grown_mb=1.0)),
            samples={1: 0.1, 2: 0.2},
            ar_steps={1: 0.1, 2: 0.2},
            flow_steps={1: 0.1, 2: 0.2},
            batches={"ecg": {1: 0.01, 8: 0.011}},
        ),
        runtimes=(
            RuntimeFigures(name="onnx fp32", predict=wall(0.2), strayed=Strayed(
                lvef_percent=0.0, lvedv_ml=0.0, lvesv_ml=0.0, least_similarity=1.0)),
            RuntimeFigures(name="onnx int8", predict=wall(0.15), strayed=Strayed(
                lvef_percent=0.1, lvedv_ml=0.5, lvesv_ml=0.3, least_similarity=0.999)),
            RuntimeFigures(name="openvino bf16", predict=wall(0.1), strayed=Strayed(
                lvef_percent=0.6, lvedv_ml=0.1, lvesv_ml=0.1, least_similarity=0.995)),
            RuntimeFigures(name="another", refused="it is not here"),
        ),
        quality=None,
    )  # fmt: skip


def test_a_claim_is_the_peer_over_ours_and_met_when_the_aim_is(figures: Figures) -> None:
    found = {each.what: each for each in claims(figures)}
    started = found["new process to a pipeline that has proved itself (median)"]
    assert (started.ratio, started.met) == (2.0, True)
    queue = found["8 ECGs in a queue, answers bit-identical"]
    assert (queue.ratio, queue.met) == (pytest.approx(1.6), True)
    graphs = [each for name, each in found.items() if "graph decoder, which gains least" in name]
    assert [(each.peer, pytest.approx(each.ratio), each.met) for each in graphs] == [
        ("torch eager fp32", 2.5, True),  # in int8: what strays beyond the gates does not count
        ("torch.compile, fp32", 1.4, None),  # the line of torch eager in fp32 has the same name
    ]


def test_a_precision_that_fails_the_gate_of_a_graph_is_not_its_best(figures: Figures) -> None:
    ecg, decoder = figures.graphs
    assert ecg.fastest(ecg.ours_s) == "onnx int8"
    assert decoder.fastest(decoder.ours_s) == "openvino bf16"
    assert "1.00 ms (3.0e-02, FAILS)" in render(figures)


def way(name: str, *, ssim: float, frechet: float) -> Way:
    def mean(value: float) -> Measured:
        return Measured(value=value, low=value, high=value)

    return Way(
        name=name, seconds=0.1, ssim=mean(ssim), psnr_db=mean(17.0), heart_ssim=mean(ssim),
        heart_psnr_db=mean(16.0), frechet=frechet, sharpness=1.0, diversity=0.1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ssim", "frechet", "equal"), [(0.596, 0.5, True), (0.59, 0.5, False), (0.596, 0.52, False)]
)
def test_faster_counts_where_no_measure_is_worse_by_a_hundredth(
    figures: Figures, tmp_path: Path, ssim: float, frechet: float, equal: bool
) -> None:
    """Each measure is held against the peer that is best by it."""
    peers = [(f"{WHOLE_PROCEDURE}, guidance 3", 0.6, 0.9), (f"{WHOLE_PROCEDURE}, none", 0.5, 0.5)]
    quality = Quality(
        graphs=shipped_graphs(),
        subjects=9,
        halves=0.1,
        ways=(
            way(SHIPPED, ssim=ssim, frechet=frechet),
            *(way(name, ssim=a, frechet=b) for name, a, b in peers),
            way("published, 4 x 25, no guidance", ssim=0.9, frechet=0.0),  # not all its steps
        ),
    )
    assert (quality.as_good is not None) is equal
    shown = replace(figures, quality=quality)
    (claim,) = [each for each in claims(shown) if "published procedure" in each.peer]
    assert (claim.ratio, claim.met) == (20.0, equal)
    assert COST_ONLY not in render(shown)
    file = tmp_path / "quality.json"
    file.write_text(json.dumps(asdict(quality)), encoding="utf-8")
    assert read_quality(file) == quality
    file.write_text(json.dumps(asdict(replace(quality, graphs="others"))), encoding="utf-8")
    assert read_quality(file) is None


def test_answers_that_differ_meet_no_aim(figures: Figures) -> None:
    one, other = figures.whole.throughput
    whole = replace(figures.whole, throughput=(one, replace(other, digest="b")))
    found = [each for each in claims(replace(figures, whole=whole)) if "NOT IDENTICAL" in each.what]
    assert [each.met for each in found] == [False]


def test_a_graph_is_limited_by_what_its_intensity_says(figures: Figures) -> None:
    dense, thin = figures.roofline.graphs
    assert figures.roofline.is_compute_bound(dense)  # 50 FLOP/byte where the ridge is at 10
    assert figures.roofline.of_peak(dense) == pytest.approx(0.5)
    assert not figures.roofline.is_compute_bound(thin)  # 1 FLOP/byte: at most 10 GFLOP/s
    assert figures.roofline.of_roof(thin) == pytest.approx(0.5)


def test_the_page_holds_every_figure_and_stays_small(figures: Figures) -> None:
    page = render(figures)
    assert "A &lt;processor&gt;" in page
    assert COST_ONLY in page
    assert "does not serve: it is not here" in page
    assert page.count("<img") == 4
    assert len(page) < 400 * KILOBYTE
    assert "http" not in page


def test_the_page_warns_of_a_machine_that_was_busy(figures: Figures) -> None:
    busy = replace(figures, machine=replace(figures.machine, load_before=2.5))
    assert "Others were working on this machine (load 2.5" in render(busy)


def test_figures_are_kept_as_json(figures: Figures, tmp_path: Path) -> None:
    write_figures(figures, tmp_path / "figures.json")
    found = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert found["whole"]["steps"]["onnx"]["predict"]["p50_s"] == 0.2
    assert found["growth"]["samples"] == {"1": 0.1, "2": 0.2}


def test_every_part_of_an_answer_is_where_the_stopwatch_looks_for_it() -> None:
    stopwatch = Stopwatch()
    with stopwatch.watching():
        pass
    assert set(FUNCTIONS) <= set(PARTS)
