"""Finds the command that rebuilds an `embeddings/` artifact from its manifest."""

from __future__ import annotations

from geojepa_cli import hints
from geojepa_cli.config.names import split_suffix
from geojepa_cli.hints import Hint
from geojepa_cli.stages.joined_images import with_same_images
from geojepa_cli.stages.rebuild import input_refs, limit_options, number, task_ref, text
from geojepa_cli.stages.shipped import noting_version, ref_in
from geojepa_cli.workspace.artifact import Artifact
from geojepa_cli.workspace.kinds import Remains, name_of
from geojepa_cli.workspace.workspace import Workspace


def rebuild_embeddings(remains: Remains) -> Hint:
    """Returns the command that makes the same embeddings: `embed`, or `probe` for those that `embed` cannot make."""
    params = remains.params
    name, region = _split_name(remains)
    model = next(iter(input_refs(remains, "models")), name)
    if split_suffix(name)[0] == name_of(model) != name:  # other weights than the last
        model = name + model.removeprefix(name_of(model))
    masked, task = params.get("masked") is True, text(params.get("task"))
    if params.get("without_shared") is True and task is not None:  # only `probe` makes such embeddings
        used_by = _probes_with(remains)
        regions = input_refs(remains, "processed")
        again = hints.run("probe", task=task, region=regions, masked=masked, model=model, without_shared=True)
        return used_by[-1].rebuild_hint() if used_by else with_same_images(remains, again)
    regions = [ref for ref in input_refs(remains, "processed") if name_of(ref) == region]
    task = task and task_ref(remains, task)
    limits = {} if task else limit_options(params)
    again = hints.run(
        "embed",
        model=model,
        region=regions or region or "R",
        task=task,
        masked=masked,
        alpha=number(params.get("alpha")),
        **limits,
    )
    return noting_version(with_same_images(remains, again), [ref_in(params)])


def _split_name(remains: Remains) -> tuple[str, str]:
    """Returns the names of the model and of the region of `embeddings/<model>.<region>`. Both may contain dots."""
    name, model = remains.name, text(remains.params.get("model"))
    if model is not None and name.startswith(f"{model}."):
        return model, name.removeprefix(f"{model}.")
    known = Workspace(remains.root).names("processed") if remains.root is not None else []
    for region in sorted(known, key=len, reverse=True):
        if name.endswith(f".{region}"):
            return name.removesuffix(f".{region}"), region
    model, _, region = name.partition(".")
    return model, region


def _probes_with(remains: Remains) -> list[Artifact]:
    """Returns the `probes/` artifacts that were made from the given `embeddings/` artifact."""
    if remains.path is None:
        return []
    ref = f"embeddings/{remains.path.name}"
    return [probe for probe in Workspace(remains.path.parent.parent).artifacts("probes") if ref in probe.inputs]
