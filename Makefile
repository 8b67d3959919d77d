# Every target does all the set-up it needs: on a fresh clone `make test` is enough.

PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo chromium test check fuzz crash-test torchrun-test seeds residual docs clean
.PHONY: bench bench-startup bench-feeding bench-throughput bench-cifar bench-exact bench-estimate
.PHONY: bench-transfer bench-published bench-load bench-recover bench-inference export-parity
.PHONY: gpu gpu-dry-run gallery pretrained screens page-memory bench-watching

help: ## show this list
	@grep -E '^[a-z-]+:.* ## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.* ## (.*)/  make \1	\2/' | expand -t 22

setup: $(READY) ## make .venv and install striate with its tools (PYTHON=python3.12 for another Python)

$(READY): pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time takes some minutes."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

demo: $(READY) ## read, build and train a small network
	$(BIN)/python examples/demo.py

chromium: ## install Chromium, which the tests of the lab's page drive (Debian and its likes)
	@command -v chromium chromium-browser >/dev/null || { \
	  run=; [ "$$(id -u)" = 0 ] || run=sudo; \
	  echo "Installing Chromium for the tests of the page."; \
	  $$run apt-get update -qq && $$run apt-get install -y -qq --no-install-recommends chromium >/dev/null; }

# One thread per worker, or the workers would contend for the cores.
test: $(READY) chromium ## run the tests (WORKERS=8 for more processes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(READY) ## check format, lint, types and documentation
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory docs

fuzz: $(READY) ## try 100,000 generated texts on the notation
	$(BIN)/python tests/fuzz.py --texts 100000

crash-test: $(READY) ## kill 200 training runs, tear and flip 400 checkpoints, fill disks
	OMP_NUM_THREADS=1 $(BIN)/python tests/crash.py --kills 200 --tears 200 --flips 200

torchrun-test: $(READY) ## two processes as one, one of them killed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/test_torchrun.py -v

seeds: $(READY) ## train LeNet-5 on MNIST over five seeds (MNIST=folder)
	$(BIN)/python bench/seeds.py lenet5 --data $(or $(MNIST),mnist) --seeds 5

residual: $(READY) ## train plain and residual networks of 20 and 56 layers (CIFAR10=file)
	$(BIN)/python bench/residual.py --data $(or $(CIFAR10),cifar10-jpeg.zip)

CHECKOUTS = AIRBENCH=$(AIRBENCH) HIVERGE=$(HIVERGE) CIFAR10=$(CIFAR10) MNIST=$(MNIST)

bench: $(READY) ## measure all that can be here (CIFAR10=file MNIST=folder AIRBENCH=DIR HIVERGE=DIR)
	$(CHECKOUTS) $(BIN)/python bench/run.py

bench-startup bench-feeding bench-throughput bench-cifar bench-exact: bench-%: $(READY)
	$(CHECKOUTS) $(BIN)/python bench/run.py $*

bench-estimate: $(READY) ## how far striate estimate is off over the zoo
	$(BIN)/python bench/estimate.py

bench-transfer: $(READY) ## five classes of CIFAR-10, then five others from 50 images each (CIFAR10=file)
	$(BIN)/python bench/transfer.py --data $(or $(CIFAR10),cifar10-jpeg.zip)

bench-published: $(READY) ## torchvision's and timm's networks through the zoo's: the same scores
	$(BIN)/python bench/published.py

export-parity: $(READY) ## every network of the zoo in every format, compared with the model
	$(BIN)/python bench/parity.py

gpu: $(READY) ## on a GPU: correctness, then 20 runs each of airbench, hiverge and ours
	$(CHECKOUTS) $(BIN)/python bench/run.py gpu

gpu-dry-run: $(READY) ## the same on the CPU with few images
	$(CHECKOUTS) $(BIN)/python bench/gpu.py --dry-run --data $(or $(CIFAR10),cifar10-jpeg.zip)

bench-watching: $(READY) ## what watching in the lab costs (CIFAR10=file)
	$(CHECKOUTS) $(BIN)/python bench/watching.py

bench-load: $(READY) ## striate serve under ten times what it can do, and beside 500 slow connections
	$(BIN)/python bench/load.py

bench-recover: $(READY) ## torchvision's and timm's ConvNets through striate recover (both, and fvcore, in .venv)
	$(BIN)/python bench/recover.py

bench-inference: $(READY) ## predicting, beside PyTorch, ONNX Runtime and OpenVINO by hand (openvino in .venv)
	$(BIN)/python bench/inference.py

page-memory: $(READY) chromium ## the lab's page for ten minutes: its memory must not grow
	$(BIN)/python tests/page_memory.py

gallery: $(READY) ## every way of seeing on a network trained on CIFAR-10: docs/gallery.md (CIFAR10=file)
	$(BIN)/python examples/gallery.py $(or $(CIFAR10),cifar10-jpeg.zip)

screens: $(READY) chromium ## pictures of the lab's page for the docs (CIFAR10=file)
	$(BIN)/python examples/screens.py $(CIFAR10)

pretrained: $(READY) ## train the networks that come along with striate (CIFAR10=file)
	$(BIN)/python examples/pretrained.py $(if $(CIFAR10),--cifar10 $(CIFAR10))

# The variable silences a notice about the future of the theme, not about our pages.
docs: $(READY) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove what these targets made, .venv too
	rm -rf .venv build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
