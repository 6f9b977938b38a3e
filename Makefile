# What a newcomer types. `make run` and `make test` work in an empty clone; see README.md.

SWIFT ?= swift
RANKS ?= 2
PROGRAM = .build/release/swift-peft-train
# A file may import only what its target declares in Package.swift.
CHECKS = --explicit-target-dependency-import-check error

N ?= 1000

# What installs the libraries that the build needs; SETUP=true where somebody else has.
SETUP ?= scripts/setup.sh
# What is installed has Swift's runtime linked in, and a build of its own.
STATIC = .build-dist
PREFIX ?= /usr/local
DESTDIR ?=
# More options of `swift build`, such as where libraries are.
FLAGS ?=

.PHONY: run test torture fuzz build static install dist deb test-slurm test-hosts bench sanitize fixtures \
  slowest docs setup lint format clean

run: build
	scripts/mpirun.sh $(RANKS) $(PROGRAM)

test: setup lint
	$(SWIFT) build -c release --build-tests $(CHECKS)
	.build/release/benchmarks ops --check
	$(SWIFT) test -c release --skip-build --event-stream-output-path .build/tests.jsonl

# The ten slowest tests of the last `make test`.
slowest:
	scripts/slowest-tests.sh .build/tests.jsonl

# The kernels alone, then tests under AddressSanitizer with UndefinedBehaviorSanitizer, then ThreadSanitizer; see
# CONTRIBUTING.md.
sanitize: setup
	scripts/sanitize.sh kernels
	scripts/sanitize.sh address
	scripts/sanitize.sh thread

# `make fixtures CASE=ia3-llama`: those golden fixtures again, compared with the committed ones.
fixtures:
	scripts/check-fixtures.sh $(CASE)

build: setup
	$(SWIFT) build -c release $(CHECKS) --product swift-peft-train

# Runs where no Swift is.
static: setup
	$(SWIFT) build -c release $(CHECKS) --scratch-path $(STATIC) --static-swift-stdlib \
	  --product swift-peft-train $(FLAGS)

# `make install PREFIX=$$HOME/.local`: program, demo, manual, completions, Slurm scripts, module file.
install: static
	packaging/install.sh $(STATIC)/release $(DESTDIR)$(PREFIX)

# The same as a tarball that works wherever it is unpacked, and as a Debian package, in dist/.
dist: static
	packaging/dist.sh $(STATIC)/release dist

deb: static
	packaging/deb.sh $(STATIC)/release dist

# N times each: system calls that fail, kills and signals, bits that flip, changed files (N a reader).
# Each prints its figures. What is done is kept in .build/torture: stopped, it goes on behind it;
# `make torture WHAT=KillTests` does one of them.
WHAT ?= FaultTests|KillTests|FlipTests|MutationTests
torture: setup
	$(SWIFT) build -c release --build-tests $(CHECKS)
	TORTURE=$(N) TORTURE_STATE=$(CURDIR)/.build/torture TEST_TIMEOUT_SCALE=$(or $(TEST_TIMEOUT_SCALE),4) \
	  $(SWIFT) test -c release --skip-build --filter '$(WHAT)'

# The same readers and seeds, N changed files a reader, where libFuzzer of the toolchain learns from each
# which to change next. A file that is not survived is kept as .build/fuzz/lost-….
fuzz: setup
	$(SWIFT) build -c release --scratch-path .build-fuzz --product mutation-probe $(CHECKS) \
	  -Xswiftc -DFUZZER -Xswiftc -sanitize=fuzzer -Xswiftc -use-ld=lld
	$(SWIFT) build -c release --build-tests $(CHECKS)
	TORTURE=$(N) TORTURE_STATE=$(CURDIR)/.build/fuzz \
	  GUIDED_PROBE=$(CURDIR)/.build-fuzz/release/mutation-probe \
	  $(SWIFT) test -c release --skip-build --filter MutationTests

# The batch scripts on a Slurm of two nodes, and a job on three hosts, made of this machine (as root).
test-slurm: build
	scripts/test-slurm.sh $(PROGRAM)

test-hosts: build
	scripts/test-hosts.sh $(PROGRAM)

# On an idle machine; `make bench PEER=path/of/python` with Hugging Face PEFT by turns.
bench: setup
	$(SWIFT) build -c release --product swift-peft-train
	$(SWIFT) build -c release --product benchmarks
	.build/release/benchmarks all $(if $(PEER),--python $(PEER))

# Pages of every library target, in build/documentation.
docs: setup
	scripts/documentation.sh

setup:
	@$(SETUP)

lint:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Benchmarks examples/library \
	  Package.swift

format:
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Benchmarks examples/library \
	  Package.swift

clean:
	$(SWIFT) package clean
