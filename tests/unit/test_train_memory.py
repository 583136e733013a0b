"""Memory of a run: the estimate, the memory available, and a hint that fits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training import config_of, open_data, write_region

from geojepa_cli import hints
from geojepa_cli.config.schema import PretrainConfig
from geojepa_cli.errors import UsageError
from geojepa_cli.hints import Invocation
from geojepa_cli.models.jepa.build import build_jepa
from geojepa_cli.models.jepa.jepa import JepaInput
from geojepa_cli.models.jepa.memory import LAYERS_PEAK, activation_bytes, layer_values
from geojepa_cli.models.jepa.pretraining import build
from geojepa_cli.nn.layouts import SharedLayout
from geojepa_cli.train import memory
from geojepa_cli.train.data import TrainingData
from geojepa_cli.train.memory import available_bytes, check_memory, estimate_memory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_region(tmp_path_factory.mktemp("regions") / "oak@000000000000")


def test_weights_gradients_and_moments_are_counted_from_the_model_itself(region: Path) -> None:
    config = config_of("model.predict_tile=true")
    module = build_jepa(config.model, 0)
    found = estimate_memory(config, open_data(region, config))
    assert found.weights == sum(tensor.numel() * 4 for tensor in module.state_dict().values())
    assert found.optimizer == 3 * sum(p.numel() * 4 for p in module.parameters() if p.requires_grad)


def test_activations_grow_with_layers_width_and_tokens_of_the_largest_batch(region: Path) -> None:
    def activations(*overrides: str) -> int:
        config = config_of(*overrides)
        return estimate_memory(config, open_data(region, config)).activations

    base = activations("train.batch_tokens=400")
    assert activations("train.batch_tokens=800") == pytest.approx(2 * base, rel=0.01)
    assert activations("train.batch_tokens=400", "model.depth=8") > 1.5 * base
    assert activations("train.batch_tokens=400", "model.embed_dim=64", "model.predictor_dim=32") == pytest.approx(
        2 * base, rel=0.01
    )
    whole = activations("train.batch_tokens=10000000")
    assert whole == activations("train.batch_tokens=16000000")  # the region has fewer tokens than either


def stored_bytes(region: Path, config: PretrainConfig) -> tuple[int, JepaInput]:
    """Bytes of the tensors that a training step keeps for its backward pass, without weights; and the step's input."""
    data = open_data(region, config)
    model = build(config, data.inputs, 0)
    prepared = model.prepare_input(next(iter(data.batches(0, [0]))), torch.Generator().manual_seed(0))
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # also keeps the place from being used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.module(prepared, data.inputs.tag_table)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.module.parameters()}
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights), prepared


@pytest.mark.parametrize("targets", [1, 8])
@pytest.mark.parametrize("shared", [False, True])
def test_layers_of_the_predictor_store_the_estimated_memory(region: Path, shared: bool, targets: int) -> None:
    settings = [f"model.shared_context={shared}", f"masking.num_targets={targets}", "model.predictor_dim=64"]
    settings += ["model.null_weight=0", "train.batch_tokens=2000"]
    config = config_of(*settings)
    (shallow, _), (deep, prepared) = (
        stored_bytes(region, config_of(*settings, f"model.predictor_depth={depth}")) for depth in (1, 3)
    )
    tokens, layout = len(prepared.arranged.index), prepared.arranged.layout
    assert isinstance(layout, SharedLayout) == shared
    keys = len(layout.key_token) if isinstance(layout, SharedLayout) else tokens
    assert deep - shallow == pytest.approx(2 * 4 * layer_values(64, config.model.mlp_ratio, tokens, keys), rel=0.05)


def test_recomputed_layers_store_one_vector_per_token_and_the_values_of_one_layer() -> None:
    plain = [f"model.depth={depth}" for depth in (2, 6)]
    settings = ["model.predictor_depth=1", "train.recompute=true"]
    given = ["masking.num_targets=1", "masking.random_ratio=0.25", "masking.area_low=0.25", "masking.area_high=0.25"]
    shallow, deep = (activation_bytes(config_of(*settings, *given, depth), 10_000) for depth in plain)
    assert deep - shallow == pytest.approx(LAYERS_PEAK * 4 * 10_000 * 0.75 * config_of().model.embed_dim * 4, abs=2)
    assert deep < activation_bytes(config_of(*given, plain[1], settings[0]), 10_000)


def test_bfloat16_halves_activations_on_a_gpu_only(region: Path) -> None:
    half = config_of("train.precision=bfloat16")
    data = open_data(region, half)
    base = estimate_memory(config_of(), data)
    assert estimate_memory(half, data) == base

    class OnGpu(TrainingData):
        @property
        def device(self) -> torch.device:
            return torch.device("cuda")

    on_gpu = OnGpu(**vars(data))
    assert estimate_memory(config_of(), on_gpu) == base
    found = estimate_memory(half, on_gpu)
    assert (found.activations, found.weights, found.optimizer) == (base.activations // 2, base.weights, base.optimizer)


def test_recomputation_is_suggested_before_smaller_batches(region: Path) -> None:
    deep = ["model.depth=12", "train.batch_tokens=100000"]
    config, recomputed = config_of(*deep), config_of(*deep, "train.recompute=true")
    data = open_data(region, config)
    enough = estimate_memory(recomputed, data).total
    assert enough < 0.7 * estimate_memory(config, data).total
    for available in (enough, enough - 1):
        with hints.invocation(Invocation("pretrain")), pytest.raises(UsageError) as caught:
            check_memory(config, data, available)
        assert caught.value.hint is not None
        changes = [value or "" for name, value in caught.value.hint.options if name == "--set"]
        assert (changes == ["train.recompute=true"]) == (available == enough)
        check_memory(config_of(*deep, *changes), data, available)


@pytest.mark.parametrize("targets", [1, 2, 8])
def test_a_shared_context_is_estimated_with_its_tokens_once_and_a_key_for_each_target(targets: int) -> None:
    settings = [f"masking.num_targets={targets}", "masking.random_ratio=0.25", "masking.area_low=0.25"]
    settings += ["masking.area_high=0.25", "model.null_weight=0"]
    separate, shared = (config_of(*settings, f"model.shared_context={value}") for value in (False, True))
    ratio, context = separate.model.mlp_ratio, max(0.75**targets, 0.15)
    wanted = [layer_values(16, ratio, n, n) for n in [targets * (context + 0.25)]]
    wanted.append(layer_values(16, ratio, context + targets * 0.25, context + targets * (context + 0.25)))
    found = [activation_bytes(config, 10_000) for config in (separate, shared)]
    assert found[0] - found[1] == pytest.approx(LAYERS_PEAK * 4 * 10_000 * (wanted[0] - wanted[1]), abs=2)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.embed_dim=8192", "model.num_heads=4"),
        ("model.predictor_dim=8192",),
        ("model.depth=24", "model.embed_dim=1024"),
        ("train.batch_tokens=16000000",),
        ("model.embed_dim=4096", "train.batch_tokens=16000000", "model.depth=6"),
    ],
)
@pytest.mark.parametrize("available", [20_000_000, 1_000_000_000])
def test_a_run_that_does_not_fit_is_refused_with_a_configuration_that_does(
    region: Path, overrides: tuple[str, ...], available: int
) -> None:
    config = config_of(*overrides)
    data = open_data(region, config)
    if estimate_memory(config, data).total <= available:
        check_memory(config, data, available)
        return
    with hints.invocation(Invocation("pretrain")), pytest.raises(UsageError, match="GB of memory") as caught:
        check_memory(config, data, available)
    assert caught.value.hint is not None and caught.value.hint.command == "pretrain"
    changes = [value or "" for name, value in caught.value.hint.options if name == "--set"]
    assert changes
    smaller = config_of(*overrides, *changes)
    check_memory(smaller, open_data(region, smaller), available)


def test_no_memory_at_all_is_refused_too(region: Path) -> None:
    config = config_of()
    with pytest.raises(UsageError, match="is available"):
        check_memory(config, open_data(region, config), 0)


def test_the_least_of_system_and_cgroup_is_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo, cgroup = tmp_path / "meminfo", tmp_path / "cgroup"
    monkeypatch.setattr(memory, "MEMINFO", meminfo)
    monkeypatch.setattr(memory, "CGROUP", cgroup)
    assert available_bytes(CPU) is None
    meminfo.write_text("MemTotal:   9000 kB\nMemFree:  1 kB\nMemAvailable:    2000 kB\n")
    assert available_bytes(CPU) == 2_048_000
    cgroup.mkdir()
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("700000\n")
    (cgroup / "memory.stat").write_text("anon 500000\ninactive_file 100000\n")
    assert available_bytes(CPU) == 2_048_000
    (cgroup / "memory.max").write_text("1000000\n")
    assert available_bytes(CPU) == 400_000
    (cgroup / "memory.max").unlink()
    (cgroup / "memory").mkdir()
    (cgroup / "memory/memory.limit_in_bytes").write_text("500000\n")
    (cgroup / "memory/memory.usage_in_bytes").write_text("700000\n")
    (cgroup / "memory/memory.stat").write_text("total_inactive_file 100000\n")
    assert available_bytes(CPU) == 0
    meminfo.write_text("garbage")
    assert available_bytes(CPU) == 0


def test_this_machine_says_how_much_is_available() -> None:
    available = available_bytes(CPU)
    assert available is not None and 10**8 < available < 10**14
