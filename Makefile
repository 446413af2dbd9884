# Quern. Two commands: `make demo` and `make check`. Meson and Ninja do the work.
PREFIX ?= /usr/local
BUILD  ?= build
MESON_FLAGS ?=

all: setup $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

setup:
	@scripts/setup

$(BUILD)/build.ninja: meson.build
	@meson setup $(BUILD) --buildtype=release -Db_lto=true -Dprefix=$(PREFIX) -Dtests=false $(MESON_FLAGS) >/dev/null

demo: all
	@scripts/demo $(BUILD)/src/cli/quern

check:
	@scripts/check

bench: all
	@scripts/bench $(BUILD)

# PREFIX can change between builds without building again.
install: all
	@meson configure $(BUILD) -Dprefix=$(abspath $(PREFIX))
	@meson install -C $(BUILD) --quiet
	@echo "installed: $(abspath $(PREFIX))/bin/quern"

# A build for debugging: no optimisation, address and undefined-behaviour sanitizers.
debug: setup
	@[ -d build-debug ] || meson setup build-debug --buildtype=debugoptimized -Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C build-debug --quiet

# The reference pages made from the same tables as --help.
docs: all
	@scripts/make-docs $(BUILD)/src/cli/quern

clean:
	@rm -rf build build-*

.PHONY: all setup demo check bench install debug docs clean
