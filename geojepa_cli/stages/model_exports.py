"""Stage `exports/`: a trained model as a folder for the Hugging Face Hub, with STAC metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geojepa_cli import hints
from geojepa_cli.errors import UsageError
from geojepa_cli.stages.embedding_model import Model, find_model
from geojepa_cli.stages.export_files import ATTRIBUTION_FILE, check_folder, copy_files
from geojepa_cli.stages.export_options import MODEL_FORMAT
from geojepa_cli.stages.export_rebuild import rebuild_export
from geojepa_cli.stages.stage import Stage, as_command
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.build import Build
from geojepa_cli.workspace.kinds import name_of
from geojepa_cli.workspace.workspace import Workspace, inputs_of_kind

if TYPE_CHECKING:
    from geojepa_cli.export.shipped_card import Figure
    from geojepa_cli.export.stac_model import PublishedModel

# `stages.exports` registers the kind
# version 2 leaves out the places of the training of GAIR models
MODELS = Stage("exports", version=2, rebuild=rebuild_export, registers=False)
_REPORT = "report.json"  # of a probe


@as_command("export")
def export_model(workspace: Workspace, model: str | Artifact | None = None, out: str | Path | None = None) -> Artifact:
    """Writes a trained model as a folder that the Hugging Face Hub reads.

    The folder has the weights, the configuration, a card with a YAML header, and a STAC item. The card has the scores
    of all probes of the model in the workspace.

    Args:
        workspace: workspace to read from and publish to.
        model: name, or `models/` artifact. Default: the newest model; without one, the model that comes with geojepa.
        out: folder to which the files are also copied; None for no copy.

    Returns:
        The `exports/` artifact.

    Raises:
        UsageError: the model is a baseline, which has no weights.
        NotFoundError: there is no such model.
        DataError: the model or a probe of it is damaged.
    """
    check_folder(out)
    chosen = find_model(workspace, model)
    config = chosen.config
    if config is None:
        message = f"`{chosen.name}` is a baseline, which has no weights to export"
        raise UsageError(message, hints.run("export", format=MODEL_FORMAT, model="geojepa-small"))
    probes = _probes_of(workspace, chosen) if chosen.artifact is not None else []
    params = {"format": MODEL_FORMAT, **chosen.params, "file": chosen.file}

    def write(build: Build) -> Artifact:
        from geojepa_cli.export.model_folder import ModelSource, write_model_folder

        shown = published_model(workspace, chosen)
        figures = _figures(chosen, probes)
        source = ModelSource(
            chosen.ref,
            _folder(chosen),
            chosen.file,
            config,
            shown.regions,
            shown.attribution,
            _text_encoder(workspace, chosen),
            figures,
        )
        counts = write_model_folder(source, build.partial)
        lines = "".join(f"{line}\n" for line in shown.attribution)
        (build.partial / ATTRIBUTION_FILE).write_text(lines, encoding="utf-8")
        return build.publish(counts, chosen.attribution)

    inputs = [*([chosen.artifact] if chosen.artifact else []), *probes]
    made = MODELS.make(workspace, f"{chosen.name}.{MODEL_FORMAT}", params, inputs, write)
    return made if out is None else copy_files(made, Path(out))


def published_model(workspace: Workspace, model: Model) -> PublishedModel:
    """Returns the facts about a trained model for its STAC item.

    Raises:
        DataError: the configuration or the weights of the model are damaged.
    """
    from geojepa_cli.export.stac_model import PublishedModel, count_weights

    assert model.config is not None
    attribution = model.artifact.attribution if model.artifact else list(model.attribution)
    count = count_weights(_folder(model) / model.file)
    return PublishedModel(model.ref, model.config, count, sorted(model.regions), attribution)


def weights_urn(model: Model) -> str:
    """Returns the identifier of the weights of a model, for metadata of vectors."""
    from geojepa_cli.export.stac import model_urn

    return model_urn(model.ref)


def _folder(model: Model) -> Path:
    """Returns the folder of a trained or shipped model.

    Raises:
        DataError: the weights of a trained model are damaged.
    """
    source = model.artifact or model.shipped
    assert source is not None
    return source.verified_file(model.file).parent


def _text_encoder(workspace: Workspace, model: Model) -> str | None:
    """Returns the name of the text encoder of the tag embeddings that a model was trained on. None if it is unknown."""
    if model.shipped is not None:
        return model.shipped.header.text_encoder
    for ref in inputs_of_kind(model.artifact, "features") if model.artifact else ():
        if (workspace.root / ref).is_dir():
            encoder = workspace.at(ref).params.get("encoder")
            return str(encoder) if encoder else None
    return None


def _probes_of(workspace: Workspace, model: Model) -> list[Artifact]:
    """Returns the newest probe of each task and variant whose report has scores of a model."""
    newest: dict[tuple[Any, ...], Artifact] = {}
    for probe in workspace.artifacts("probes"):
        refs = {score.get("ref") for score in probe.read_json(_REPORT)["scores"]}
        if model.ref in refs:
            newest[(probe.name, probe.params.get("masked"), tuple(inputs_of_kind(probe, "processed")))] = probe
    return list(newest.values())


def _figures(model: Model, probes: Sequence[Artifact]) -> list[Figure]:
    from geojepa_cli.export.shipped_card import Figure

    found = []
    for probe in probes:
        report = probe.read_json(_REPORT)
        task = f"{report['task']}, masked" if probe.params.get("masked") else str(report["task"])
        regions = ", ".join(name_of(ref) for ref in report["regions"])
        for score in report["scores"]:
            if score.get("ref") == model.ref and score["relative"] is not None:
                dataset = f"{regions} ({score['protocol']})"
                found.append(Figure(task, dataset, f"MAE / MAE of Dummy, {score['head']} head", score["relative"]))
    return sorted(found)
