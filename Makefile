# Short targets for people. Everything happens in .venv, which the first target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_HOME := $(CURDIR)/dagster_home
# numpy's BLAS has little to do here, and its threads have been seen to wait for one another for ever.
export OPENBLAS_NUM_THREADS ?= 1
# Threads of OpenCV wait for one another by spinning, and the tests run side by side.
export OMP_NUM_THREADS ?= 1
export OPENCV_FOR_THREADS_NUM ?= 1

.PHONY: help install demo up doctor fleet soak bench matrix fuzz hosts test audit lint types contracts tests kernels screenshots format clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | awk -F ':.*?## ' '{printf "  %-11s %s\n", $$1, $$2}'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dualface needs Python 3.11 or newer; set PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(VENV)/installed ## Make .venv with everything in it.

demo: install ## Run the main job on a sample video and print where the verified result is.
	$(BIN)/python -m dualface_assets.service.demo

up: install ## Start the Dagster UI and the daemon on http://127.0.0.1:3000, the upload sensor on.
	$(BIN)/python -m dualface_assets.service.serve

doctor: install ## Check whether everything is set up as it should be, and say what to do.
	$(BIN)/python -m dualface_assets.service.doctor

test: install lint types contracts tests ## Everything that must pass: format, lint, types, import contracts, tests.

audit: install ## Look for known vulnerabilities of the dependencies; "Not audited" where no service answers.
	@report=$$(timeout 120 $(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --progress-spinner off 2>&1); \
	case "$$report" in \
	*Found\ [0-9]*) echo "$$report"; exit 1 ;; \
	*"could not be audited"*) echo "Not audited: the vulnerability service knows nothing of $$(echo "$$report" | grep -c 'could not be audited') packages." ;; \
	"No known vulnerabilities found"*) echo "Audited: no vulnerability is known of the pinned packages." ;; \
	*) echo "Not audited: pip-audit had no answer. $$(echo "$$report" | tail -n 1)" ;; \
	esac

lint: install ## Check format and lint.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install ## Check types (mypy --strict).
	$(BIN)/mypy

contracts: install ## Check who may import whom.
	$(BIN)/lint-imports

# What fails beside other tests is run once more by itself: what passes then is a defect all the same, and told as one,
# but it tells a machine that was busy from code that is wrong.
alone := $(BIN)/pytest --last-failed --last-failed-no-failures none -n 0 && echo 'UNSTEADY: the tests named under "short test summary" failed beside others and passed alone. Mend them.'

tests: install ## Run the tests.
	$(BIN)/pytest -n 2 --dist loadgroup -m 'not daemon and not matrix and not hosts' || { $(alone); }
	$(BIN)/pytest -m daemon || { $(alone); }

matrix: install ## Every kind of input: make it, run it, and ask ffprobe whether the result agrees (half an hour).
	$(BIN)/pytest -n 2 tests/matrix

fuzz: install ## 2,000 damaged files, each in a process with limits: nothing may crash, hang or be left behind.
	$(BIN)/python -m tests.fuzz

hosts: install ## Runs on several hosts, one of which is killed: all on this machine, with PostgreSQL, Redis and S3 (minutes).
	$(BIN)/pytest -m hosts

fleet: install ## Two hosts and their servers on this machine, 20 videos at a time, and what faults do to them (most of an hour).
	$(BIN)/python -m benchmarks.fleet

soak: install ## The instance under load and under fire, at length (half an hour); writes docs/soak.md.
	$(BIN)/python -m benchmarks.soak

# What is measured goes here; what is here already, of this machine, these versions and this code, is not measured again.
measured := benchmarks/speed_measured.jsonl

bench: install $(VENV)/deface ## Time, memory and size beside other programs (hours, with the machine to itself; goes on where it was stopped); writes docs/benchmarks.md.
	PATH="$$PATH:$(CURDIR)/$(VENV)/deface/bin" $(BIN)/python -m benchmarks.speed --results $(measured)
	$(BIN)/python -m benchmarks.speed --page $(measured)

$(VENV)/deface:
	$(PYTHON) -m venv $@
	$@/bin/python -m pip install --quiet deface==1.5.0 onnxruntime || echo "deface cannot be had: the page says so."

kernels: install ## Compile the CUDA kernels anew, after a change of their source.
	$(BIN)/python -m dualface_core.system.compile_kernels

screenshots: install ## Make the images of the web page and of layouts in docs/images anew (needs Chromium).
	DUALFACE_SCREENSHOTS=$(CURDIR)/docs/images $(BIN)/pytest tests/end_to_end/test_browser.py tests/core/rendering/test_layouts.py --basetemp /tmp/dualface-screenshots

format: install ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove the environment and caches. Videos and results stay.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
