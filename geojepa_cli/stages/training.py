"""Training of models of all kinds: the stage `models/`, and settings and results of training runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from geojepa_cli import console, hints
from geojepa_cli.config.names import BEST_WEIGHTS, CHECKPOINT, CONFIG, KEPT_WEIGHTS, METRICS, WEIGHTS
from geojepa_cli.errors import InterruptedRunError, NotFoundError, OtherRankError, UsageError
from geojepa_cli.hints import Hint
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.rebuild import input_refs, number
from geojepa_cli.stages.stage import Stage
from geojepa_cli.train.ranks import Ranks
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.durable import file_sha256
from geojepa_cli.workspace.kinds import Remains, legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.config.families import RunConfig
    from geojepa_cli.models.base import FrozenInputs
    from geojepa_cli.train.loop import Result
    from geojepa_cli.train.steps import Data

CANDIDATES = "best-*.safetensors"  # of an unfinished run
BOARD = "tensorboard/*"
PICTURES = "pictures/*"

ConfigT = TypeVar("ConfigT", bound="RunConfig", covariant=True)


@dataclass(frozen=True)
class TrainingRun(Generic[ConfigT]):
    """Settings of a training run.

    Attributes:
        config: configuration of the model and of its training.
        name: name of the model.
        seed: random seed of the initial weights, and of the training data (for example of masks and order of tiles).
        resume: True to resume an interrupted run from its last checkpoint. False to train from the start.
        device: `cpu`, `cuda` or `auto`.
        threads: number of CPU threads.
        ranks: processes that train the model together.
    """

    config: ConfigT
    name: str
    seed: int = 0
    resume: bool = True
    device: str = "auto"
    threads: int = 1
    ranks: Ranks = field(default_factory=Ranks.alone)


class Trained(NamedTuple):
    """Result of a training run.

    Attributes:
        result: progress at the end of the run, and the limit that ended the run.
        parameters: number of parameters of each part of the model, by name of the part.
        timing: entries of `timing.json`.
    """

    result: Result
    parameters: dict[str, int]
    timing: dict[str, Any]

    def counts(self, first: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the counts for `manifest.json`, such as numbers of steps, tiles and parameters.

        Args:
            first: counts of the training data, which come before the other counts.
        """
        progress = self.result.progress
        return {
            **first,
            "steps": progress.step,
            "epochs": progress.epoch,
            "tiles_seen": progress.tiles,
            "tokens_seen": progress.tokens,
            **self.parameters,
            "stopped_by": self.result.stopped_by,
        }


def _rebuild(remains: Remains) -> Hint:
    """Returns the command that trains a model again.

    The command uses the configuration file in the model's artifact or, if this file is missing or damaged, `tiny.yaml`.
    """
    known = remains.files.get(CONFIG)
    path = remains.path / CONFIG if remains.path else None
    if path is None or known is None or not path.is_file() or file_sha256(path) != known:
        return hints.run("pretrain", config="tiny.yaml", name=legal_name(remains.name))
    regions, seed = input_refs(remains, "processed"), number(remains.params.get("seed"))
    again = hints.run("pretrain", config=path, name=remains.name, region=regions, seed=seed)
    return with_same_images(remains, again)


MODELS = Stage(
    "models",
    version=1,
    rebuild=_rebuild,
    keep=(CHECKPOINT, METRICS, CANDIDATES, KEPT_WEIGHTS.format(step="*"), BOARD, PICTURES),
    resumes_from=(CHECKPOINT,),
    files=(CONFIG, METRICS, WEIGHTS),
)


def publish_model(
    workspace: Workspace,
    run: TrainingRun[RunConfig],
    inputs: Sequence[Artifact],
    params: Mapping[str, Any],
    train: Callable[[Path], tuple[dict[str, Any], dict[str, Any]]],
    describe: Callable[[Path, Mapping[str, Any]], None],
) -> Artifact:
    """Trains a model and publishes the artifact `models/<name>`. Returns the existing artifact if there is one.

    Args:
        workspace: workspace to publish to.
        run: settings of the training run.
        inputs: artifacts to train on.
        params: parameters that change the result, in addition to the configuration and the seed.
        train: function that trains the model, and writes its files to a folder. Returns two dicts: the counts for
            `manifest.json`, and the entries for `timing.json`. Called by all processes of the run.
        describe: function that writes plot and model card to a folder. Its arguments are the folder and the counts.

    Raises:
        InterruptedRunError: the run was stopped with Ctrl-C or SIGTERM.
        MissingExtraError: the configuration asks for TensorBoard, but it is not installed.
    """

    if run.config.train.tensorboard:
        from geojepa_cli.train.tensorboard import check_installed

        check_installed()

    def publish(build: Build) -> Artifact:
        if not run.resume:
            build.clear()
        run.ranks.share(build.partial.name)
        try:
            counts, timing = train(build.partial)
            describe(build.partial, counts)
        except KeyboardInterrupt:
            raise _interrupted(build) from None
        return build.publish(counts=counts, extra={"seed": run.seed}, timing=timing)

    if not run.ranks.leads:
        return _follow(workspace, run.ranks, train)
    identity = {"config": run.config.model_dump(mode="json"), "seed": run.seed, **params}
    model = MODELS.make(workspace, run.name, identity, inputs, publish)
    run.ranks.share(model.full_ref)
    return model


def _follow(workspace: Workspace, ranks: Ranks, train: Callable[[Path], object]) -> Artifact:
    """Trains a model together with process 0, and returns the artifact that process 0 publishes.

    Process 0 shares the name of the folder in which it builds the artifact, and then the reference of the artifact. If
    the artifact exists already, process 0 shares the reference only.
    """
    try:
        shared = ranks.share()
        if shared.endswith(".partial"):
            train(workspace.root / MODELS.kind / shared)
            shared = ranks.share()
    except KeyboardInterrupt:
        raise OtherRankError("interrupted") from None
    return workspace.at(shared)


def prepare_torch(device: str, threads: int) -> None:
    """Sets the number of threads that torch uses. On a CPU, also makes the results of torch repeatable."""
    import torch

    torch.set_num_threads(threads)
    # otherwise, threads add up the gradients of repeated rows in random order
    torch.use_deterministic_algorithms(torch.device(device).type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def train_model(
    folder: Path, run: TrainingRun[RunConfig], data: Data[Any], inputs: FrozenInputs, device: str
) -> Trained:
    """Trains a new model, and writes weights, configuration and metrics to a folder.

    Args:
        folder: folder of the artifact that is being built. If it has a checkpoint of an interrupted run, the run is
            resumed.
        run: settings of the training run.
        data: training data, on the training device.
        inputs: text embeddings of tags, on the training device. They are computed before training.
        device: training device, such as `cpu`.

    Raises:
        KeyboardInterrupt: the run received SIGTERM, and saved a checkpoint.
    """
    from geojepa_cli.models.published import save_model
    from geojepa_cli.models.registry import build_pretrainable
    from geojepa_cli.train.loop import TERMINATED, train
    from geojepa_cli.train.watch import discard, publish_best

    model = build_pretrainable(run.config, inputs, run.seed)
    with console.progress("pretrain", 100.0) as meter:
        result = train(model, data, run.config.train, folder, run.seed, meter, run.ranks)
    if result.resumed_from is not None:
        console.note(f"training resumed from the checkpoint at step {result.resumed_from:,}")
    if run.ranks.leads:
        if result.stopped_by == TERMINATED:
            raise KeyboardInterrupt
        save_model(folder, model.module, run.config)
        publish_best(folder, run.config.train)
        discard(folder)
    timing = {
        "tokens_per_s": round(result.tokens_per_s, 1),
        "training_s": round(result.progress.elapsed_s, 1),
        "threads": run.threads,
        "device": device,
    }
    return Trained(result, model.parameter_counts(), timing)


def model_config(model: Artifact) -> RunConfig:
    """Returns the configuration with which a model was trained.

    Raises:
        DataError: `config.yaml` of the model is damaged.
    """
    from geojepa_cli.config.load import load_run_config

    try:
        return load_run_config(str(model.verified_file(CONFIG)))
    except UsageError as error:  # `pretrain` wrote the file, so this is a data error
        raise model.broken(error.message) from error


def other_weights(model: Artifact, suffix: str, ref: str) -> str:
    """Returns the name of the file with other weights of a model than the last.

    Args:
        model: the model.
        suffix: `best` for the weights that `train.select` chose, `step-N` for those of a step in `train.keep_at`.
        ref: reference that the user gave, for the hint.

    Raises:
        NotFoundError: these weights were not kept, or the run had fewer steps.
    """
    step = suffix.removeprefix("step-")
    name = BEST_WEIGHTS if step == suffix else KEPT_WEIGHTS.format(step=step)
    done = int(dict(model.counts).get("steps", 0))
    if step != suffix and int(step) >= done:
        if int(step) == done:
            return WEIGHTS
        last = hints.instead(("--model", ref), ("--model", model.ref))
        message = f"`{model.full_ref}` was trained for {console.counted(done, 'step')}, so it has no step {int(step):,}"
        raise NotFoundError(message, last)
    if (model.path / name).is_file():
        return name
    kept = {"train.select": "rankme_tiles"}
    if step != suffix:
        kept = {"train.keep_at": str(sorted({*model_config(model).train.keep_at, int(step)}))}
    # the hint has the regions and the seed of the training, not the options of the failed command
    hint = model.rebuild_hint().adding(set=kept)
    raise NotFoundError(f"`{model.full_ref}` does not have these weights: `{name}` does not exist", hint)


def _interrupted(build: Build) -> InterruptedRunError:
    """Returns the error for a run that was stopped with Ctrl-C or SIGTERM. The hint is the command that resumes it.

    A run without a checkpoint cannot be resumed, so its files are deleted.
    """
    from geojepa_cli.train.checkpoint import checkpoint_step

    step = checkpoint_step(build.partial / CHECKPOINT)
    if step is None:
        build.clear()
        earlier = hints.again(set={"train.checkpoint_every": 10})
        return InterruptedRunError("interrupted before the first checkpoint", earlier)
    resumed = hints.again().noting("add --no-resume to start again")
    return InterruptedRunError(f"interrupted; the last checkpoint is from step {step:,}", resumed)
