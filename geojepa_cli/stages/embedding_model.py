"""Models that compute embeddings: finds a trained model or a baseline, and loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from geojepa_cli import console, hints
from geojepa_cli.config.modality import Modality, Needs
from geojepa_cli.errors import GeojepaError, GeometryMismatchError, NotFoundError, unknown
from geojepa_cli.models.registry import BASELINES, DEFAULT_BASELINE, baseline_needs, open_baseline, open_published
from geojepa_cli.stages.arguments import wrong_type
from geojepa_cli.stages.geometry_features import GeometrySource, find_encoder_of, geometry_features, is_encoder
from geojepa_cli.stages.stage import check_own
from geojepa_cli.stages.training import CONFIG, model_config
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import legal_name
from geojepa_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from geojepa_cli.models.base import Embedder, FrozenInputs

TAGPOOL = DEFAULT_BASELINE
BEST = "-best"  # suffix of a model's name
BEST_WEIGHTS = "weights-best.safetensors"


class Model(NamedTuple):
    """A trained model or baseline that computes embeddings.

    Attributes:
        name: name of the `models/` artifact, or name of the baseline.
        artifact: `models/` artifact of a trained model; None for a baseline.
        best: use the weights that the figure `train.select` chose, instead of the last ones. The name of the model is
            then the name of the artifact with the suffix `-best`.
    """

    name: str
    artifact: Artifact | None = None
    best: bool = False

    @property
    def ref(self) -> str:
        """Reference to the model: `name@id` for a trained model, the name for a baseline."""
        return f"{self.name}@{self.artifact.id}" if self.artifact else self.name

    def needs(self) -> Needs:
        """Returns the modalities that the model reads.

        Raises:
            DataError: `config.yaml` of the model is damaged.
        """
        return baseline_needs(self.name) if self.artifact is None else model_config(self.artifact).needs

    def geometry(self, workspace: Workspace, processed: Artifact) -> GeometrySource | None:
        """Returns the geometry encoder whose vectors the model reads. None if it reads none.

        Raises:
            NotFoundError: the weights of the geometry encoder do not exist.
            DataError: `config.yaml` of the model is damaged.
        """
        from geojepa_cli.config.schema import PretrainConfig

        config = None if self.artifact is None else model_config(self.artifact)
        if not isinstance(config, PretrainConfig) or Modality.GEOMETRY not in config.needs:
            return None
        return find_encoder_of(workspace, processed, config.model)

    def geometry_features(self, workspace: Workspace, processed: Artifact, threads: int = 1) -> Artifact | None:
        """Returns the geometry vectors that the model reads in a region, or None. Computes missing vectors.

        Raises:
            NotFoundError: the vectors do not exist, and neither do the weights of the geometry encoder.
            DataError: a file of the model or the region is damaged.
        """
        source = self.geometry(workspace, processed)
        return geometry_features(workspace, processed, source, threads) if source else None

    def open(self, inputs: FrozenInputs) -> Embedder:
        """Loads the model, and returns an `Embedder`, which computes embeddings.

        Args:
            inputs: text embeddings of all tags. The model is loaded onto the device that contains them.

        Raises:
            DataError: the files of the model are damaged.
        """
        if self.artifact is None:
            return open_baseline(self.name, inputs)
        config = model_config(self.artifact)
        try:
            return open_published(self.artifact.path, config.family, inputs, self.best)
        except GeometryMismatchError:
            raise
        except GeojepaError as error:
            raise self.artifact.broken(error.message) from error


def find_model(workspace: Workspace, ref: str | Artifact | None) -> Model:
    """Finds a model or baseline.

    Args:
        workspace: workspace to search.
        ref: `name` or `name@id` of a model, name of a baseline, or `models/` artifact. With the suffix `-best` of the
            name: the model's weights that the figure `train.select` chose. None selects the newest model, except
            geometry encoders. If the workspace contains none, the default baseline is used and a note printed.

    Raises:
        UsageError: `ref` is neither text nor a `models/` artifact of this workspace.
        NotFoundError: there is no such model. The message suggests the most similar name.
        DataError: the model is incomplete or has another schema version. No older model is used instead.
    """
    check_own(workspace, ref)
    if isinstance(ref, Artifact) and ref.kind == "models":
        return Model(ref.name, ref)
    if ref is not None and not isinstance(ref, str):
        raise wrong_type(
            "model", ref, "the name of a model or its `models` artifact", 'workspace.find("models", "NAME")'
        )
    if ref in BASELINES:
        return Model(ref)
    if ref is None:
        newest = workspace.newest("models", None, lambda inputs, params: not is_encoder(params))
        if newest is not None:
            return Model(newest.name, newest)
        console.note(
            f"there is no trained model in `{workspace.root}`: using the baseline {DEFAULT_BASELINE}, which needs no "
            "training; `geojepa pretrain` trains a model"
        )
        return Model(DEFAULT_BASELINE)
    names = workspace.names("models")
    name, at, id_ = ref.partition("@")
    plain = name.removesuffix(BEST)
    if name not in names and name != plain and plain in names:
        artifact = workspace.find("models", f"{plain}{at}{id_}")
        _check_best(artifact)
        return Model(name, artifact, best=True)
    if name not in names:
        hint = hints.run("pretrain", config="tiny.yaml", name=legal_name(name))
        raise unknown("model", ref, [*names, *BASELINES], hint, "--model")
    artifact = workspace.find("models", ref)
    return Model(artifact.name, artifact)


def _check_best(model: Artifact) -> None:
    if not (model.path / BEST_WEIGHTS).is_file():
        hint = hints.run("pretrain", config=model.path / CONFIG, name=model.name, set={"train.select": "rankme_tiles"})
        raise NotFoundError(f"`{model.full_ref}` has only its last weights, no `{BEST_WEIGHTS}`", hint)
