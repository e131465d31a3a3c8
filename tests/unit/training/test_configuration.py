"""The training configuration: every problem is named by its key, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.errors import UnusableData
from pipelines.training.configuration import read_configuration
from tests.conftest import SHRUNKEN


def _changed(folder: Path, *changes: tuple[str, str]) -> Path:
    text = SHRUNKEN.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after, 1)
    file = folder / "changed.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ("seed = 7", 'seed = "many"', "seed: "),
        ("train = 40", "train = 0", "cohort.train: "),
        ("train = 40", "trains = 40", "cohort.trains: "),
        ('precision = "32-true"', 'precision = "8-bit"', "hardware.precision: "),
        ("seq_len = 1275", "seq_len = 1276", "networks.ecg_encoder: .* whole number of patches"),
        ("keep_amplitude = true", "keep_amplitud = true", "networks.ecg_encoder.keep_amplitud: "),
        ("side = 96", "", "networks.cmr_encoder.side: "),
        ("embedding = 16", "embeding = 16", "stages.align.embeding: "),
        ("rows_apart = true", "rows = true", "stages.pretrain_ecg.decoder.rows: "),
        ("average = 0.9", "average = -0.9", "stages.phenotypes.average: "),
        ("average = 0.9", "labels = 1.5", "stages.phenotypes.labels: "),
        ("[stages.tokenizer]", "[stages.tokeniser]", "stages.tokenizer: "),
    ],
)
def test_a_problem_is_named_by_its_key(tmp_path: Path, before: str, after: str, key: str) -> None:
    with pytest.raises(UnusableData, match=key):
        read_configuration(_changed(tmp_path, (before, after)))


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    file = _changed(tmp_path, ("seed = 7", "sed = 7"), ("embedding = 16", "embedding = -1"))
    with pytest.raises(UnusableData) as caught:
        read_configuration(file)
    for key in ("seed: ", "sed: ", "stages.align.embedding: "):
        assert key in caught.value.message


def test_what_is_no_toml_is_refused(tmp_path: Path) -> None:
    file = _changed(tmp_path, ("[cohort]", "[cohort"))
    with pytest.raises(UnusableData, match="is not TOML"):
        read_configuration(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match=r"none\.toml cannot be read: No such file"):
        read_configuration(tmp_path / "none.toml")


def test_the_sampler_says_which_tables_must_be_there(tmp_path: Path) -> None:
    file = _changed(tmp_path, ('sampler = "layout"', 'sampler = "generator"'))
    text = file.read_text(encoding="utf-8").replace("[networks.generator]", "[networks.layout.x]")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UnusableData, match=r"networks\."):
        read_configuration(file)


def test_a_generator_cannot_show_what_only_a_layout_has(tmp_path: Path) -> None:
    file = _changed(tmp_path, ('sampler = "layout"', 'sampler = "generator"\nshown = "expected"'))
    with pytest.raises(UnusableData, match=r"sampling\.shown 'expected'"):
        read_configuration(file)
