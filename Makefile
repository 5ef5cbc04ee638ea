# make run · make test · make lint · make audit · make bench · make screenshots · make train: each does its own set-up in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test lint format audit bench screenshots reference train clean

run: $(VENV)/app
	$(BIN)/python app.py

# Side by side, a file at a time; what is timed by itself, and replicas, since MindSpore can't be imported where Ray was.
TIMED := tests/ui/test_listening.py tests/ui/test_operations.py
test: $(VENV)/dev browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov-report= tests/unit tests/engine
	$(BIN)/python -m pytest --cov-append --cov-report= tests/replicas
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov-append --cov-report= $(TIMED:%=--ignore=%) tests/ui
	$(BIN)/python -m pytest --cov-append $(TIMED)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Holes that are known in what is installed. Needs the network; SECURITY.md has a note for each that stays.
audit: $(VENV)/app
	$(PYTHON) -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(BIN)/python -m pip freeze | grep == > $(VENV)-audit/installed.txt
	$(VENV)-audit/bin/pip-audit --no-deps --disable-pip --strict -r $(VENV)-audit/installed.txt

# Ten minutes on 2 cores with nothing else running; compares with real torch, in a venv of its own.
bench: $(VENV)/app $(VENV)-benchmarks/installed
	$(BIN)/python -m benchmarks

screenshots: $(VENV)/dev browser
	$(BIN)/python -m tests.ui.screenshots

# Real torch, for the reference values that tests/engine compares with; in a venv of its own.
reference: $(VENV)-reference/installed
	$(VENV)-reference/bin/python -m tests.reference.make_reference

# Hours on 2 cores; each stage but text_encoder goes on where it was stopped. Real torch again, in a venv of its own.
train: $(VENV)-training/installed $(VENV)/app
	$(VENV)-training/bin/python -m training.data --minutes 20
	$(VENV)-training/bin/python -m training.codec --minutes 40
	$(VENV)-training/bin/python -m training.encode
	$(VENV)-training/bin/python -m training.redecode --minutes 90
	$(VENV)-training/bin/python -m training.encoder --minutes 60
	$(VENV)-training/bin/python -m training.text_encoder --minutes 12
	$(VENV)-training/bin/python -m training.language_model --minutes 150
	$(VENV)-training/bin/python -m training.language_model --melody --minutes 120
	$(VENV)-training/bin/python -m training.export
	$(BIN)/python -m training.evaluate

clean:
	rm -rf $(VENV) $(VENV)-audit $(VENV)-benchmarks $(VENV)-reference $(VENV)-training benchmarks/out

# The three parts of requirements.txt: with dependencies, without (they would bring torch), not at all.
$(VENV)/app: requirements.txt
	$(PYTHON) -m venv --clear $(VENV)
	sed '/^# Without dependencies/,$$d' requirements.txt > $(VENV)/with-dependencies.txt
	sed -n '/^# Without dependencies/,/^# Only wanted/p' requirements.txt > $(VENV)/without-dependencies.txt
	$(PIP) -r $(VENV)/with-dependencies.txt
	$(PIP) --no-deps -r $(VENV)/without-dependencies.txt
	touch $@

$(VENV)/dev: $(VENV)/app requirements-dev.txt requirements-replicas.txt
	$(PIP) -r requirements-dev.txt -r requirements-replicas.txt
	touch $@

$(VENV)-benchmarks/installed: benchmarks/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)-benchmarks
	$(VENV)-benchmarks/bin/python -m pip install --quiet -r benchmarks/requirements.txt
	touch $@

$(VENV)-reference/installed: tests/reference/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)-reference
	$(VENV)-reference/bin/python -m pip install --quiet -r tests/reference/requirements.txt
	touch $@

$(VENV)-training/installed: training/requirements.txt
	$(PYTHON) -m venv --clear $(VENV)-training
	$(VENV)-training/bin/python -m pip install --quiet -r training/requirements.txt
	touch $@

.PHONY: browser
browser: $(VENV)/dev
	@command -v "$${CHROMIUM:-chromium}" google-chrome >/dev/null 2>&1 || test -x /usr/bin/chromium \
	|| { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq chromium; } \
	|| $(BIN)/python -m playwright install --with-deps chromium
