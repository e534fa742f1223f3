# Everything a person runs. Each target sets itself up in .venv; nothing but Python >= 3.11.4 is needed.
PROFILE ?= demo
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# 1 to submit to SLURM with workflow/profiles/slurm, or the folder of another Snakemake profile.
SLURM ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help figures publish prepare paper test test-kills test-slurm fuzz bench notebooks site test-site lab clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Snakemake gives a notebook one thread and as many notebooks at once as there are cores.
figures: $(READY)  ## every figure and table; PROFILE=demo (default) or another of workflow/config/; SLURM=1 on a cluster
	@$(BIN)/python workflow/run.py $(PROFILE) --cores $(CORES) $(if $(SLURM),--slurm $(filter-out 1,$(SLURM)))

publish: $(READY)  ## for maintainers: what `make figures` made here replaces what is committed
	@$(BIN)/python workflow/run.py $(PROFILE) --publish

prepare: $(READY)  ## fetch what PROFILE needs, and say how long its trainings will take here
	@$(BIN)/python workflow/prepare.py $(PROFILE)

paper:  ## the paper's settings: downloads, an estimate of the time, all figures (needs a GPU)
	@$(MAKE) --no-print-directory prepare PROFILE=paper
	@$(MAKE) --no-print-directory figures PROFILE=paper

# One thread a worker: the workers share the cores, and sums do not depend on their number.
test: $(READY)  ## lint, types, unit tests, and every notebook with nbval
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

test-kills: $(READY)  ## `make figures` on a small grid, killed five times and started again
	$(BIN)/python tests/workflow/kill_figures.py

test-slurm: $(READY)  ## a small grid through a real SLURM on this machine, and faults in it (needs root, Debian)
	$(BIN)/python tests/workflow/slurm/check.py

fuzz: $(READY)  ## mutilated data sets for a minute: only documented errors may come out
	$(BIN)/python tests/data/fuzz.py --seconds 60

bench: $(READY)  ## speed beside peers and floors, into benchmarks/RESULTS.md
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[bench]'
	$(BIN)/python benchmarks/run.py

notebooks: $(READY)  ## execute the notebooks in place, with their defaults, as they are committed
	@for notebook in notebooks/*.ipynb; do echo "$$notebook"; \
	OMP_NUM_THREADS=1 TQDM_DISABLE=1 $(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level ERROR "$$notebook" || exit 1; done
	@$(BIN)/python workflow/strip.py notebooks/*.ipynb

site: $(READY)  ## the web page, with networks to play with, into build/site (opens from there, offline)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[site]'
	OMP_NUM_THREADS=1 $(BIN)/python workflow/site/build_site.py

test-site: $(READY)  ## the built site in a real browser (needs Chromium, and says so)
	@test -f build/site/index.html || { echo "build/site is not there: make site"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[site]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -rP tests/site/check_site.py

lab: $(READY)  ## JupyterLab on the series
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_overview.ipynb

clean:  ## remove trained runs and the environment (data and figures stay)
	rm -rf runs build .venv .snakemake

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4))' || { echo "Python 3.11.4 or newer is needed ($(PYTHON) is older); say which: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up .venv (a minute or two; PyTorch is large) ..."
	@rm -f $@
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c requirements.lock -e '.[dev]'
	@touch $@
