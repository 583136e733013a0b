"""Models in a report: their numbers of parameters, and what training them and embedding tiles with them took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from geojepa_cli.baselines.registry import SUPERVISED
from geojepa_cli.config.images import ENCODER_PARAMETERS
from geojepa_cli.config.names import WEIGHTS, split_suffix
from geojepa_cli.errors import DataError, GeojepaError
from geojepa_cli.models.registry import BASELINES
from geojepa_cli.stages.geometry_source import ENCODER as GEOMETRY_ENCODER
from geojepa_cli.stages.image_features import IMAGE_ENCODER
from geojepa_cli.stages.shipped import open_shipped, ref_in, shipped_names
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.stages.report_probes import ReadProbe

_FOURIER = "fourier"  # geometry encoder without weights
_PARTS = ("predictor_parameters", "decoder_parameters", "classifier_parameters")  # not used after training


class ReportModels:
    """Models of the probes in a report.

    Args:
        workspace: workspace with the artifacts of the models.
        probes: probes of the report, oldest first.
    """

    def __init__(self, workspace: Workspace, probes: Sequence[ReadProbe]) -> None:
        self._workspace, self._probes = workspace, probes
        self._embeddings: dict[str, list[Artifact]] = {}
        refs = dict.fromkeys(ref for one in probes for ref in inputs_of_kind(one.artifact, "embeddings"))
        for made in self._existing(refs):
            self._embeddings.setdefault(_model_of(made), []).append(made)
        scores = [score for one in probes for score in one.content["scores"]]
        self.refs = sorted({score["ref"] for score in scores if score.get("ref")})

    def facts(self) -> dict[str, dict[str, Any]]:
        """Returns the numbers of parameters of each model, by its reference. A number is None if it is unknown.

        - `parameters`: trained parameters of the network that computes vectors or predictions.
        - `all_parameters`: these, and the parameters of the frozen image and geometry encoders that the model reads.
          The text encoder of tags is left out: it runs once per tag, not once per tile.
        - `training_parameters`: parameters of the predictor or decoder, which are trained too and then not used.
        """
        return {ref: self._parameters(ref) for ref in self.refs}

    def costs(self) -> dict[str, dict[str, Any]]:
        """Returns measured costs of each model, by its reference. Entries that were not measured are left out.

        - `training`: `seconds`, `device`, `threads`, and numbers of `steps`, `tokens` and `tiles`. Of a model that
          `probe` trains on labels: `seconds` per task (all folds, mean over tasks and seeds) and number of `tasks`.
        - `embedding`: number of `tiles`, their `seconds`, `encoder_seconds` (share of the image and geometry vectors
          that were computed before), `device`, and `tiles_per_s`, in which both times count.
        """
        found = {ref: {"training": self._training(ref), "embedding": self._embedding(ref)} for ref in self.refs}
        measured = {ref: {name: part for name, part in parts.items() if part} for ref, parts in found.items()}
        return {ref: parts for ref, parts in measured.items() if parts}

    def _existing(self, refs: Iterable[str]) -> list[Artifact]:
        found = []
        for ref in refs:
            try:
                found.append(self._workspace.at(ref))
            except GeojepaError:
                continue  # removed or damaged: what it would say is unknown
        return found

    def _parameters(self, ref: str) -> dict[str, Any]:
        made = self._embeddings.get(ref, [])
        counts: Mapping[str, Any] = {}
        if ref in SUPERVISED:
            trained = max((n for one in self._probes for n in _supervised(one.content, ref)), default=None)
        elif ref in BASELINES:
            trained = 0
        else:
            model = self._model(made)
            counts = dict(model.counts) if model else {}
            trained = counts.get("parameters") if model else _shipped_parameters(ref)
        frozen = self._frozen(made[0]) if made else 0 if ref in SUPERVISED else None
        only = [counts[name] for name in _PARTS if name in counts]
        return {
            "parameters": trained,
            "all_parameters": None if trained is None or frozen is None else trained + frozen,
            "training_parameters": sum(only) if only else None,
        }

    def _model(self, made: Sequence[Artifact]) -> Artifact | None:
        return next(iter(self._existing(ref for one in made for ref in inputs_of_kind(one, "models"))), None)

    def _frozen(self, made: Artifact) -> int | None:
        """Returns the number of parameters of the frozen encoders that a model reads; None if it is unknown."""
        total = 0
        for features in self._existing(inputs_of_kind(made, "features")):
            image, geometry = features.params.get(IMAGE_ENCODER), features.params.get(GEOMETRY_ENCODER)
            if isinstance(image, str):
                count = ENCODER_PARAMETERS.get(image)
            elif geometry is None or geometry == _FOURIER:
                count = 0
            else:
                encoder = self._model([features])
                count = (
                    dict(encoder.counts).get("parameters") if encoder else _shipped_parameters(ref_in(features.params))
                )
            if count is None:
                return None
            total += count
        return total

    def _training(self, ref: str) -> dict[str, Any]:
        if ref in SUPERVISED:
            seconds = [s for one in self._probes for s in _supervised_seconds(one, ref)]
            return {"seconds": round(sum(seconds) / len(seconds), 1), "tasks": len(seconds)} if seconds else {}
        model = self._model(self._embeddings.get(ref, []))
        if model is None or split_suffix(ref.partition("@")[0])[1] not in ("", "best"):
            return {}  # the measured time is that of all steps
        timing, counts = model.timing, dict(model.counts)
        found = {"seconds": timing.get("training_s"), "device": timing.get("device"), "threads": timing.get("threads")}
        found |= {"steps": counts.get("steps"), "tokens": counts.get("tokens_seen"), "tiles": counts.get("tiles_seen")}
        return {name: value for name, value in found.items() if value is not None}

    def _embedding(self, ref: str) -> dict[str, Any]:
        tiles, seconds, encoders, devices = 0, 0.0, 0.0, set()
        for made in self._embeddings.get(ref, []):
            timing, count = made.timing, dict(made.counts).get("tiles")
            if not isinstance(count, int) or not _is_time(timing.get("seconds")):
                continue
            tiles += count
            seconds += timing["seconds"]
            features = self._existing(inputs_of_kind(made, "features"))
            encoders += count * sum(self._seconds_per_tile(one) for one in features)
            devices |= {timing["device"]} if isinstance(timing.get("device"), str) else set()
        if not tiles:
            return {}
        rate = {"tiles_per_s": float(f"{tiles / (seconds + encoders):.3g}")}
        device = {"device": devices.pop()} if len(devices) == 1 else {}
        return {"tiles": tiles, "seconds": round(seconds, 1), "encoder_seconds": round(encoders, 1), **rate, **device}

    def _seconds_per_tile(self, features: Artifact) -> float:
        """Returns the time that image or geometry vectors took per tile. 0 for the text embeddings of tags."""
        if IMAGE_ENCODER not in features.params and GEOMETRY_ENCODER not in features.params:
            return 0.0
        counted = [features, *self._existing(inputs_of_kind(features, "processed"))]
        known = [dict(one.counts).get(name) for one in counted for name in ("images", "tiles")]
        tiles = next((count for count in known if isinstance(count, int) and count), None)
        seconds = features.timing.get("seconds")
        return float(seconds) / tiles if tiles and isinstance(seconds, int | float) else 0.0


def _model_of(made: Artifact) -> str:
    """Returns the reference of the model that made an `embeddings/` artifact, as in the scores of probes."""
    name = str(made.params.get("model"))
    models = inputs_of_kind(made, "models")
    return f"{name}@{models[0].rpartition('@')[2]}" if models else ref_in(made.params) or name


def _shipped_parameters(ref: str | None) -> int | None:
    """Returns the number of weights of a model that comes with the package. None if it is another version of it."""
    from geojepa_cli.export.stac_model import count_weights

    name = (ref or "").partition("@")[0]
    if name not in shipped_names():
        return None
    try:
        shipped = open_shipped(name)
    except DataError:
        return None
    return count_weights(shipped.folder / WEIGHTS) if shipped.ref == ref else None


def _supervised(content: Mapping[str, Any], ref: str) -> list[int]:
    labels = {score["model"] for score in content["scores"] if score.get("ref") == ref}
    known = content.get("supervised", {})
    return [known[label]["parameters"] for label in sorted(labels) if label in known]


def _supervised_seconds(probe: ReadProbe, ref: str) -> list[float]:
    labels = {score["model"] for score in probe.content["scores"] if score.get("ref") == ref}
    known = probe.artifact.timing.get("training_s")
    return [known[label] for label in sorted(labels) if label in known] if isinstance(known, Mapping) else []


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
