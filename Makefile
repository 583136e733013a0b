# `make demo` runs the main job, `make test` the tests; both set up all they need first.
.PHONY: demo test test-all check fuzz setup schema format clean

VENV := .venv/bin

demo: setup
	$(VENV)/geojepa demo

test: setup
	$(VENV)/pytest -m "not slow" --durations=15
	ctest --test-dir build/native --output-on-failure

test-all: setup
	$(VENV)/pytest
	ctest --test-dir build/native --output-on-failure

# What a change must pass: format and lint of both languages, types, imports, generated files, tests.
check:
	tools/setup.sh --check-tools
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/lint-imports --no-cache
	$(VENV)/python tools/generate_schema.py --check
	clang-format --dry-run -Werror $$(git ls-files 'native/*.cpp' 'native/*.hpp' | grep -v -e schema.hpp -e area_table.hpp -e tag_filter_default.hpp)
	clang-tidy --quiet -p build/native $$(git ls-files 'native/src/*.cpp')
	$(MAKE) test

# libFuzzer with ASan and UBSan on the reader and the clipper, ten minutes each unless FUZZ_SECONDS says otherwise.
FUZZ_SECONDS := 600
fuzz:
	tools/setup.sh --check-tools
	tools/fuzz.sh $(FUZZ_SECONDS)

setup:
	tools/setup.sh

# After a change of native/schema.yaml, native/areas.yaml or native/tag_filter.yaml.
schema:
	$(VENV)/python tools/generate_schema.py

format:
	$(VENV)/ruff format .
	$(VENV)/ruff check --fix .
	clang-format -i $$(git ls-files 'native/*.cpp' 'native/*.hpp' | grep -v -e schema.hpp -e area_table.hpp -e tag_filter_default.hpp)

clean:
	rm -rf build .venv
