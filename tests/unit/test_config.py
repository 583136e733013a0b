"""Configurations: packed and own files, overrides, and errors that name the nearest key."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from geojepa_cli import hints
from geojepa_cli.config.load import dump_config, load_config, load_run_config, packed_configs
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import GeojepaError, UsageError
from geojepa_cli.hints import Invocation


def refusal(path_or_name: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_config(path_or_name, overrides)
    return caught.value.message


@pytest.mark.parametrize("name", packed_configs())
def test_every_packed_config_loads_and_is_written_back_whole(name: str, tmp_path: Path) -> None:
    config = load_run_config(name)
    written = tmp_path / "config.yaml"
    written.write_text(dump_config(config))
    assert load_run_config(str(written)) == config


def test_the_family_selects_the_schema() -> None:
    assert load_run_config("geometry").family == "polygon_gnn"
    assert load_run_config("tiny").family == load_run_config("tiny", ["family=jepa"]).family == "jepa"
    assert "expected `jepa`" in refusal("geometry")
    with pytest.raises(UsageError, match=r"did you mean `glyphs\.shear`"):
        load_run_config("geometry", ["glyphs.sheer=0.1"])
    with pytest.raises(UsageError, match="`polygon_gnn`"):
        load_run_config("geometry", ["family=polygon_gn"])


def test_a_font_cannot_be_trained_on_and_tested_on() -> None:
    with pytest.raises(UsageError, match="share Lato"):
        load_run_config("geometry", ["glyphs.train_fonts={fonts-lato: Lato-*}"])


def test_t_has_the_thesis_size() -> None:
    config = load_config("t")
    model = config.model
    assert (model.depth, model.embed_dim, model.num_heads) == (12, 384, 8)
    assert (model.predictor_depth, model.predictor_dim) == (4, 256)
    paper, masking = load_config("paper-t").model, load_config("paper-t").masking
    assert (paper.pooling, paper.place_weight, paper.summary_dim) == ("max_mean", 1, 0)
    assert (masking.random, masking.area, masking.num_targets, masking.random_ratio) == (0.2, 0.6, 4, 0.45)
    assert (config.loss.vicreg_beta, config.loss.variance_weight, config.loss.covariance_weight) == (0.05, 25, 1)


def test_our_configurations_differ_in_size_modalities_and_training_only() -> None:
    free = {"modalities", "embed_dim", "depth", "num_heads", "predictor_dim", "predictor_depth", "predictor_heads"}
    free |= {"shared_context", "geometry_encoder", "geometry_dim", "fusion", "modality_dropout", "patch_px"}
    models = [load_config(name).model for name in ("t", "gt", "ti", "gti", "small", "tiny")]
    assert len({str(model.model_dump(exclude=free)) for model in models}) == 1
    for one, other in (("t", "gt"), ("t", "small"), ("t", "tiny"), ("ti", "gti")):
        first, second = load_config(one), load_config(other)
        assert (first.masking, first.loss) == (second.masking, second.loss)


def test_the_paper_configurations_have_the_values_of_table_34() -> None:
    ti, gti = load_config("paper-ti"), load_config("paper-gti")
    assert (ti.train.batch_tokens, ti.train.accumulation, ti.train.lr) == (96 * (84 + 197), 6, 8e-4)
    assert (gti.train.batch_tokens, gti.train.accumulation, gti.train.lr) == (48 * (84 + 197), 9, 1e-3)
    for config in (ti, gti):
        train, loss, model = config.train, config.loss, config.model
        assert (train.epochs, train.ema_momentum, train.ema_momentum_end) == (300, 0.99, 0.99999)
        assert (train.weight_decay, train.weight_decay_end, train.beta1, train.beta2) == (0.05, 0.1, 0.9, 0.95)
        assert (loss.vicreg_beta, loss.smooth_l1_beta, model.predictor_dim) == (0.01, 1.0, 256)
        assert (model.image_encoder, model.tokens_per_image) == ("vit_b_16", 197)


def test_a_path_wins_over_a_packed_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.yaml").write_text("train: {max_steps: 7}")
    monkeypatch.chdir(tmp_path)
    assert load_config("tiny.yaml").train.max_steps == 7
    assert load_config("tiny").train.max_steps != 7


def test_overrides_are_typed_and_later_ones_win() -> None:
    config = load_config("tiny", ["train.lr=1e-3", "train.max_steps=3", "train.max_steps=5", "loss.regulariser=none"])
    assert (config.train.lr, config.train.max_steps, config.loss.regulariser) == (1e-3, 5, "none")
    assert load_config("ti", ["model.modalities=[tags]"]).model.modalities == ("tags",)
    assert load_config("ti", ["loss.modality_weights.image=0.5"]).loss.modality_weights["image"] == 0.5
    assert load_config("tiny", ["train.max_steps=null", "train.epochs=2"]).train.max_steps is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.lrr=1", "`train.lr`"),
        ("trian.lr=1", "`train`"),
        ("masking.area_lo=0.3", "`masking.area_low`"),
        ("train.embed_dim=8", "`model.embed_dim`"),
        ("train.lr=fast", "`train.lr`"),
        ("train.lr=-1", "`train.lr`"),
        ("train.max_steps=1.5", "`train.max_steps`"),
        ("loss.regulariser=vic", "`loss.regulariser`"),
        ("model.num_heads=7", "not a multiple"),
        ("model.patch_px=33", "224"),
        ("masking.area_high=0.1", "area_low"),
        ("train.lr", "section.key=value"),
        ("=3", "section.key=value"),
        ("train..lr=3", "section.key=value"),
        (".".join("a" * 1000) + "=1", "section.key=value"),
        ("train.lr.x=1", "not a section"),
        ("model=3", "`model`"),
        ("loss.modality_weights.sound=1", "modality_weights"),
        ("loss.modality_weights.geometry=1", "`geometry`, which has no tokens: expected `tags`, `image`"),
        ("loss.modality_weights.tags=0", "is 0 for all modalities that the model reads"),
        ("model.modalities=[tags, nodes]", "no model supports"),
        ("model.modalities=[tags, tags]", "duplicate"),
        ("model.modalities=[tags, sound]", "`model.modalities.1`"),
        ("data.min_entities=2000", "above max_entities 1250"),
    ],
)
def test_the_error_of_a_wrong_override_has_the_dotted_key(override: str, expected: str) -> None:
    assert expected in refusal("tiny", override)


def test_an_unknown_key_in_a_file_names_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {max_steps: 1}\nmodel: {embed_dims: 64}\n")
    message = refusal(str(file))
    assert "`model.embed_dims`" in message and "`model.embed_dim`" in message and str(file) in message


def test_an_unknown_config_names_the_nearest_one() -> None:
    assert "`tiny.yaml`" in refusal("tinny.yaml")


def test_a_config_without_an_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("train: {lr: 0.1}")
    assert "max_steps, epochs or max_minutes" in refusal(str(file))
    file.write_text("model: {depth: 1}")
    assert "`train`" in refusal(str(file))


@pytest.mark.parametrize("text", ["train: [1", "- 1\n- 2\n", "train: !!python/object/apply:os.getcwd []", "\x00"])
def test_what_is_not_a_yaml_of_sections_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(GeojepaError):
        load_config(str(file))


def test_a_binary_file_is_no_config(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UsageError, match="UTF-8"):
        load_config(str(file))


def test_a_syntax_error_is_a_usage_error_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("train:\n  lr: [1, 2\nmodel:\n")
    assert "line 3, column 6" in refusal(str(file))


def test_every_key_is_described() -> None:
    for section in PretrainConfig.model_fields.values():
        for name, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description, name


def corrected(*arguments: str) -> list[str]:
    """Runs a configuration that is refused, and returns the `--set` values of the hint; the hint must load."""
    words = ["pretrain", *arguments]
    with hints.invocation(Invocation.parse(words)), pytest.raises(UsageError) as caught:
        load_from(words)
    assert caught.value.hint is not None
    command = shlex.split(str(caught.value.hint))
    assert command[:2] == ["geojepa", "pretrain"]
    load_from(command[1:])
    return [value for name, value in pairwise(command) if name == "--set"]


def load_from(words: list[str]) -> PretrainConfig:
    options = list(pairwise(words))
    config = [value for name, value in options if name == "--config"] or ["tiny.yaml"]
    return load_config(config[0], [value for name, value in options if name == "--set"])


@pytest.mark.parametrize(
    "override",
    [
        "model.depth=100000000",
        "model.predictor_depth=1000",
        "train.lr=-1",
        "train.lr=fast",
        "train.max_steps=null",
        "model.position=x",
        "model.modalities=[image]",
        "model.num_heads=7",
        "masking.kind_low=1",
        "masking.area_high=0.01",
        "train.warmup=0.9",
        "data.max_entities=1",
        "loss.modality_weights={tags: -1}",
        "train.lrr=1e-4",
        "trian.lr=1e-4",
        "train.embed_dim=64",
        "nonsense=1",
        "train.lr.x=1",
        "train.lr",
        "train.lr=[",
        "model=3",
    ],
)
def test_the_hint_of_a_wrong_override_is_a_command_that_loads(override: str) -> None:
    corrected("--set", override)


def test_the_hint_of_a_mistyped_override_keeps_its_value_and_the_others() -> None:
    assert corrected("--set", "train.lrr=5e-4", "--set", "train.epochs=3") == ["train.lr=5e-4", "train.epochs=3"]


def test_a_key_that_occurs_twice_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("train:\n  epochs: 1\n  lr: 0.1\n  epochs: 2\n")
    with pytest.raises(UsageError, match=r"line 4, column 3: duplicate key `epochs`"):
        load_config(str(file))
