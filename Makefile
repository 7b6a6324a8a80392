# make discover   set up and run the main job
# make test       set up with the development tools and run all checks and tests
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
RUN    ?= runs/discover

.PHONY: discover install test check clean

discover: $(VENV)/.installed
	$(BIN)/matgen run workflows/discover.yaml --out $(RUN)

install: $(VENV)/.installed

# One thread in each of the two workers: more of them would only wait for each other.
test: $(VENV)/.installed-dev check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# torch comes first: its pinned version decides which build everything else gets.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev,assistant,latent,molecules,search]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
