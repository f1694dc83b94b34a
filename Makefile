# make claims   train what is missing, judge the claims, write reports/claims-<profile>.html
# make test     prove the parts
# Both set everything up first. ARGS go to pytest: make claims ARGS="-n 2 -k density --profile quick"

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

.PHONY: claims test lint setup chromium clean

claims: $(INSTALLED)
	$(BIN)/pytest claims -n auto $(ARGS)

test: $(INSTALLED) chromium
	$(BIN)/pytest tests -n auto --dist loadfile $(ARGS)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

# The report is tested in a real browser. Without one those tests are skipped, with the reason.
chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1 \
	  || echo "no Chromium and no right to install it: browser tests will be skipped"

clean:
	rm -rf .venv .runs .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
