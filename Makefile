# `make demo` runs the whole pipeline on a small city, `make test` the gate; both install all they need first.
.PHONY: demo test test-all lint lint-python lint-native analyze unit native-test wheel test-wheel fuzz setup schema format clean

VENV := .venv/bin
GENERATED := -e columns/schema.hpp -e area_table.hpp -e tag_filter_default.hpp
NATIVE = $$(git ls-files 'native/*.cpp' 'native/*.hpp' | grep -v $(GENERATED))
# Compiled modules are kept even where the environment says otherwise: many tests start Python, and compiling torch takes
# longer than most of them.
export PYTHONDONTWRITEBYTECODE :=
# Two processes are faster than two threads in each: most tests are small. Commands without `--threads` use all cores, so
# threads of both processes wait for each other: asleep, not in a loop that takes the core from the others.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(VENV)/pytest -n 2 --dist loadfile --durations=15

demo:
	tools/setup.sh
	$(VENV)/geojepa demo

# The gate that CI runs: formatters, linters, types, import rules, generated files, and all tests but the slow ones.
test: setup
	tools/timed.sh lint unit native-test

# The slow tests and the static analyzer too.
test-all: setup
	tools/timed.sh lint analyze native-test
	$(PYTEST)

# Both at the same time: most of lint-python is one process of mypy.
lint:
	$(MAKE) --no-print-directory -j 2 --output-sync lint-python lint-native

lint-python:
	$(VENV)/ruff format --check --quiet .
	$(VENV)/ruff check --quiet .
	$(VENV)/mypy
	$(VENV)/lint-imports --no-cache
	$(VENV)/python tools/generate_schema.py --check
	$(VENV)/python tools/generate_configuration.py --check

lint-native:
	clang-format --dry-run -Werror $(NATIVE)
	$(VENV)/python tools/tidy.py

# clang-tidy with the static analyzer.
analyze:
	$(VENV)/python tools/tidy.py --analyze

unit:
	$(PYTEST) -m "not slow"

native-test:
	ctest --test-dir build/native --output-on-failure

# One wheel that needs no compiler, in `dist/`; `test-wheel` installs it in a bare Debian and runs the demo there.
wheel: setup
	tools/build_wheel.sh

test-wheel:
	tools/test_wheel.sh

# libFuzzer with ASan and UBSan on the reader and the clipper, ten minutes each unless FUZZ_SECONDS is set.
FUZZ_SECONDS := 600
fuzz: setup
	tools/fuzz.sh $(FUZZ_SECONDS)

setup:
	tools/setup.sh --test

# After a change of native/schema.yaml, native/areas.yaml, native/tag_filter.yaml or a setting in geojepa_cli/config.
schema:
	$(VENV)/python tools/generate_schema.py
	$(VENV)/python tools/generate_configuration.py

format:
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .
	clang-format -i $(NATIVE)

clean:
	rm -rf build dist .venv
