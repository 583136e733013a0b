"""Questions about images for language models, made from the definition of a task."""

from __future__ import annotations

from geojepa_cli.tasks.label_spec import FileLabels
from geojepa_cli.tasks.spec import TaskSpec


def build_prompt(spec: TaskSpec, images: int, side_m: float, drawn: bool) -> str:
    """Returns the question about the labels of several tiles, whose images follow.

    Args:
        spec: definition of the task. The question has its title, unit and limits. The unit of labels from a file
            is unknown.
        images: number of images.
        side_m: width of a tile, in metres.
        drawn: True if some of the images are drawn from the map.
    """
    seen = "1 image. It shows" if images == 1 else f"{images} images. Each shows"
    lines = [
        f"You see {seen} a square area of the ground from above, about {side_m:.0f} m wide, with north at the top."
    ]
    if drawn:
        lines.append("Some of the images are drawn from a map, in the style of aerial images.")
    source = " The true values come from OpenStreetMap." if spec.label.file is None else ""
    lines.append(f"Estimate for each image: {_quantity(spec)}.{source}")
    if spec.label.absent is not None:
        rules = " or ".join(f"`{rule}`" for rule in spec.label.requires)
        lines.append(f"For an area without any element with the tag {rules}, the value is {spec.label.absent:g}.")
    low, high = spec.label.clamp
    limits = [f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else ""]
    if any(limits):
        lines.append(f"Values are {' and '.join(filter(None, limits))}.")
    numbers = "1 number" if images == 1 else f"{images} numbers, one for each image, in the order of the images"
    lines.append(
        f'Answer only with JSON that has {numbers}: {{"answers": [{"number" if images == 1 else "first, second, …"}]}}'
    )
    return "\n".join(lines)


def _quantity(spec: TaskSpec) -> str:
    if spec.label.file is not None:
        return _quantity_of_file(spec.title, spec.label.file)
    unit = f" in {spec.label.unit}" if spec.label.unit else ""
    return {
        "any": f"1 if the area has this, otherwise 0: {spec.title}",
        "count": f"the number of {spec.title} in the area",
        "max": f"{spec.title}{unit}, the largest in the area",
        "sum": f"the total of {spec.title}{unit} in the area",
    }[spec.label.kind]


def _quantity_of_file(title: str, file: FileLabels) -> str:
    """Describes labels from a file, whose unit is unknown. Rows that are tiles have no reduction."""
    if file.binary:
        return f"1 or 0, the value of `{title}` for the area"
    return {
        None: f"`{title}`, the value for the area",
        "mean": f"`{title}`, the mean of the values in the area",
        "sum": f"`{title}`, the sum of the values in the area",
        "max": f"`{title}`, the largest of the values in the area",
        "nearest": f"`{title}`, the value nearest to the centre of the area",
    }[file.reduce]
