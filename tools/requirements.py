"""Prints the requirements of the package and its extras `text` and `dev`, one a line, for `tools/setup.sh`."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
print("\n".join(line.replace(" ", "") for line in [*project["dependencies"], *extras["text"], *extras["dev"]]))
