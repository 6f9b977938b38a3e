# What a newcomer types. `make run` and `make test` work in an empty clone; see README.md.

SWIFT ?= swift
RANKS ?= 2
PROGRAM = .build/release/swift-peft-train
# A file may import only what its target declares in Package.swift.
CHECKS = --explicit-target-dependency-import-check error

.PHONY: run test build setup lint format clean

run: build
	scripts/mpirun.sh $(RANKS) $(PROGRAM)

test: setup lint
	$(SWIFT) build -c release --build-tests $(CHECKS)
	$(SWIFT) test -c release --skip-build

build: setup
	$(SWIFT) build -c release $(CHECKS) --product swift-peft-train

setup:
	@scripts/setup.sh

lint:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests Package.swift

format:
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Package.swift

clean:
	$(SWIFT) package clean
