# Two commands do all the set-up:  make demo   and   make test.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
PINNED = -c .ci/constraints.txt
export CARDIONODE_SHARED ?= $(abspath ../shared)

.PHONY: demo test wheelhouse lint check docs bench bench-receiving bench-messages bench-engine bench-load peers pictures train-simulated soak-attacks soak-chaos soak-container soak-fuzz-dicom soak-fuzz-hl7 soak-fuzz-web soak-hl7 soak-hosts soak-kill soak-parked soak-forms soak-viewers soak-import soak-published soak-rtx soak-upgrade clean

demo: $(VENV)/.runtime
	$(BIN)/cardionode demo

# Three at once on two cores, because many wait for a peer, each in a network of its own; then those
# that compare times.
test: $(VENV)/.dev peers wheelhouse
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --tx "3*popen//python=.ci/own-network $(BIN)/python" --dist loadfile -m "not soak and not alone" tests
	.ci/own-network $(BIN)/python -m pytest -m "alone and not soak" tests

# All that an installation without a network needs, with its bill of materials and licences, in
# build/wheelhouse:  pip install --no-index --find-links build/wheelhouse cardionode
# EXTRAS="[fhir,s3]" adds what those need.
EXTRAS =
wheelhouse: build/wheelhouse/cardionode.cdx.json

build/wheelhouse/cardionode.cdx.json: $(VENV)/.dev .ci/sbom.py $(shell find node pipelines dicom_templates config docs/handbook -type f ! -name "*.pyc")
	rm -rf build/wheelhouse build/lib
	$(BIN)/pip wheel --quiet --disable-pip-version-check $(PINNED) --wheel-dir build/wheelhouse ".$(EXTRAS)"
	$(BIN)/python .ci/sbom.py build/wheelhouse

# Formatting, lint, types and import contracts: under a minute.
lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest -q tests/unit

# The documents as HTML, in build/docs; a warning is an error.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs build/docs

# The handbook's pictures of the console, anew: docs/handbook/pictures.
pictures: $(VENV)/.dev peers
	$(BIN)/python .ci/handbook_pictures.py

# Simulate, train, measure and export the bundle of config/training/simulated-4ch.toml on two cores;
# goes on where it was broken off.
SIMULATED = --config config/training/simulated-4ch.toml --out runs/simulated
train-simulated: $(VENV)/.dev
	$(BIN)/cardionets run --beside $(SIMULATED)
	$(BIN)/cardionets compare $(SIMULATED)
	$(BIN)/cardionets evaluate $(SIMULATED)
	$(BIN)/cardionets export $(SIMULATED)

# Cost and speed against named peers, in 15 minutes of a quiet machine: benchmarks/report.html and
# figures.json. BENCH="--runs runs/simulated" measures a finished training's networks in torch;
# BENCH=--quick only sees that it runs.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(BENCH)

# C-STOREs acknowledged a second, beside Orthanc and DCMTK (`make peers` installs them), in 4 minutes:
# benchmarks/receiving.html and receiving.json.
bench-receiving: $(VENV)/.dev
	$(BIN)/python -m benchmarks.receiving $(BENCH)

# HL7 messages acknowledged a second, in and out, beside python-hl7 and hl7apy, in 4 minutes:
# benchmarks/messages.html and messages.json. BENCH=--quick only sees that it runs.
bench-messages: $(VENV)/.dev
	$(BIN)/python -m benchmarks.messages $(BENCH)

# What the engine costs an ECG on SQLite and PostgreSQL, and what more hosts are worth, in 4 minutes:
# benchmarks/engine.html and engine.json. BENCH=--quick only sees that it runs.
bench-engine: $(VENV)/.dev peers
	$(BIN)/python -m benchmarks.engine $(BENCH)

# Carts, a node, Orthanc and a RIS on this machine: how long an ECG waits for its answer at 25 to 100 %
# of what the node bears, in 17 minutes: benchmarks/load.html and load.json. An hour at 80 %:
# BENCH="--share 0.8 --minutes 60".
bench-load: $(VENV)/.dev peers
	$(BIN)/python -m benchmarks.load $(BENCH)

# How good cines are beside those of the published procedure, whose generator it trains first (80
# minutes in all, the training set of RUNS must be there): benchmarks/quality.json.
RUNS = runs/simulated
soak-published: $(VENV)/.dev
	$(BIN)/python -m benchmarks.artefact $(RUNS)
	$(BIN)/python -m benchmarks.quality $(RUNS)

# The full count of the kill test: 1,000 ECGs, 50 kills. SEED=n repeats a run.
soak-kill: $(VENV)/.dev peers
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_kill.py

# 1,000 ECGs under 50 kills of any of six hosts over PostgreSQL, which is restarted twice. SEED=n
# repeats a run.
soak-hosts: $(VENV)/.dev peers
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_hosts.py

# 200 ECGs over cables that lose a tenth of all packets, 300 to a PACS and a RIS that fail as often as not.
# SEED=n repeats a run.
soak-chaos: $(VENV)/.dev peers
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_chaos.py

# 10,000 results behind a PACS that is down: what they cost, how soon an ECG is picked up beside them,
# how fast they drain.
soak-parked: $(VENV)/.dev
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_parked.py

# The state of earlier commits, killed with work in flight, under this one, on SQLite and PostgreSQL; and
# hosts that are replaced one after the other while they work. Needs the repository's history.
soak-upgrade: $(VENV)/.dev peers
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_upgrade.py

# A hostile RIS, orders and merges, 20 kills. SEED=n repeats a run.
soak-hl7: $(VENV)/.dev
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_hl7_kill.py

# Each attack for SECONDS (300) on a live node while a friend stores ECGs: every second one, and with
# HALF=2 the others; 53 minutes each.
HALF = 1
soak-attacks: $(VENV)/.dev
	HALF=$(HALF) .ci/own-network $(BIN)/python -m pytest -m soak -s tests/end_to_end/test_attacks.py

# 50,000 mutated conversations and 50,000 mutated ECG objects. SEED=n repeats a run.
soak-fuzz-dicom: $(VENV)/.dev
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/fuzz/test_conversations.py tests/fuzz/test_objects.py

# 100,000 streams of mutated HL7 messages, 2,000 ORUs about what they told. SEED=n repeats a run.
soak-fuzz-hl7: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak -s tests/fuzz/test_messages.py

# 40,000 mutated HTTP requests to the console and 20,000 to STOW-RS. SEED=n repeats a run.
soak-fuzz-web: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak -s tests/fuzz/test_requests.py

# Checkpoints of the published size, with random weights, to a bundle and a cine: 16 GiB of memory.
soak-import: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak -s tests/soak/test_full_size_import.py

# The Dockerfile's steps in a root of Debian, and a node in it that may write to its volume alone: 4 to 7 minutes,
# as root.
soak-container: $(VENV)/.dev peers
	$(BIN)/python -m pytest -m soak -s tests/soak/test_container.py

# Results of every ECG of the sample data in every form and compression, before judges and decoders.
soak-forms: $(VENV)/.dev peers
	.ci/own-network $(BIN)/python -m pytest -m soak -s tests/soak/test_forms.py

# NVIDIA's compiler on graphs of the published size; no GPU is needed.
soak-rtx: $(VENV)/.dev
	$(BIN)/python -m pytest -m soak -s tests/soak/test_rtx_builds.py

# OHIF over Orthanc's DICOMweb, and dwv in colour; pictures of both stay in build/screenshots.
soak-viewers: $(VENV)/.dev peers
	CARDIONODE_SCREENSHOTS=build/screenshots .ci/own-network $(BIN)/python -m pytest -s tests/wire/viewers

peers: $(VENV)/.runtime
	@.ci/install-peers $(VENV)

$(VENV)/.runtime: pyproject.toml .ci/constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "no $(PYTHON): apt-get install python3.11 python3.11-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check $(PINNED) -e .
	@touch $@

$(VENV)/.docs: $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check $(PINNED) -e ".[docs]"
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/pip install --quiet --disable-pip-version-check $(PINNED) -e ".[dev,train]"
	@touch $@

clean:
	rm -rf $(VENV) demo-results build *.egg-info
