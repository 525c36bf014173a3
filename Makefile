# SPDX-License-Identifier: Apache-2.0
#   make run        a private system on loopback, shown working (HTTP_PORT,
#                   HTTPS_PORT, GATEHOUSE_DIR); make stop ends it
#   make test       every test, counted; make unit, make fuzz: parts of it
#   make lint       the rules that a compiler does not know
#   make bench      measurements beside stock nginx
#   make install    DESTDIR= PREFIX=
#   make reference  docs/reference.md from the tables in the code
# `make all` only builds. SAN=1 builds under ASan and UBSan into build/asan,
# SAN=fuzz with clang and libFuzzer into build/fuzz.

SAN ?=
BUILD ?= build$(if $(SAN),/$(if $(filter fuzz,$(SAN)),fuzz,asan))
CC = $(if $(filter fuzz,$(SAN)),clang,gcc)
PKG = pkg-config
WARN = -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes \
       -Wmissing-prototypes -Wno-unused-parameter -Werror
HARDEN = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIC \
         -fvisibility=hidden
SANFLAGS = $(if $(SAN),-fsanitize=address -fsanitize=undefined \
           -fno-sanitize-recover=undefined \
           -fno-omit-frame-pointer -U_FORTIFY_SOURCE) \
           $(if $(filter fuzz,$(SAN)),-fsanitize=fuzzer-no-link)
CPPFLAGS = -D_GNU_SOURCE -Ibase -Iplans -Iidp -Igateway
CFLAGS = -std=gnu11 -O2 -g $(WARN) $(HARDEN) $(SANFLAGS)
LDFLAGS = -Wl,-z,relro -Wl,-z,now

# Libraries of the domain. What uses liboauth2 or lasso (idp/oauth2_*.c,
# idp/saml_*.c) goes into gatehouse-idp alone: their licences stay there.
BASE_C = $(wildcard base/*.c)
PLANS_C = $(wildcard plans/*.c)
IDP_LICENSED_C = $(wildcard idp/oauth2_*.c idp/saml_*.c)
IDP_C = $(filter-out $(IDP_LICENSED_C),$(wildcard idp/*.c))

# Programs: sources in gateway/, told apart by the first word of the file name.
src = $(foreach p,$(1),$(wildcard gateway/$(p).c gateway/$(p)_*.c))
gatehoused_C = $(call src,gatehoused launcher sandbox cgroup network launch)
gatehoused_L = base
gatehouse-shim_C = $(call src,shim)
gatehouse-shim_L =
# Static: it runs in every root, and shares no page with what may change.
gatehouse-shim_LDFLAGS = $(if $(SAN),,-static)
gatehouse-control_C = $(call src,control house compose seccomp launch document)
gatehouse-control_L = plans idp base
gatehouse-idp_C = $(call src,idpd) $(IDP_LICENSED_C)
gatehouse-idp_L = idp plans base
gatehouse_C = $(call src,cli)
gatehouse_L = base
PROGRAMS = gatehoused gatehouse-shim gatehouse-control gatehouse-idp gatehouse

gatehoused_LIBS = -lcrypto
gatehouse-control_LIBS = -lmicrohttpd -lsystemd -lyaml -ljansson -llmdb \
                         -lhiredis -lseccomp -lcurl -lcjose -lcrypto
gatehouse-idp_LIBS = -lmicrohttpd -loauth2 -lcurl -ljansson -llmdb -lhiredis \
                     -lcjose -lseccomp -lcrypto -lpthread
gatehouse_LIBS = -lcurl -ljansson -lcrypto
TEST_LIBS = -lcmocka -ljansson -llmdb -lhiredis -lcjose -lcrypto -lpthread

.DELETE_ON_ERROR:
.PHONY: all clean
all: $(addprefix $(BUILD)/,$(PROGRAMS)) $(BUILD)/ngx_http_gatehouse_module.so

objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

$(BUILD)/libbase.a: $(call objs,$(BASE_C))
$(BUILD)/libplans.a: $(call objs,$(PLANS_C))
$(BUILD)/libidp.a: $(call objs,$(IDP_C))
%.a:
	@mkdir -p $(@D) && rm -f $@
	ar rcs $@ $^

define program
$(BUILD)/$(1): $(call objs,$($(1)_C)) $(foreach l,$($(1)_L),$(BUILD)/lib$(l).a)
	$$(CC) $$(CFLAGS) $$(LDFLAGS) $$($(1)_LDFLAGS) -o $$@ $$^ $$($(1)_LIBS)
endef
$(foreach p,$(PROGRAMS),$(eval $(call program,$(p))))

# ---- the gate: nginx' own build of an add-on module (module/build.sh)
$(BUILD)/ngx_http_gatehouse_module.so: config module/build.sh $(wildcard \
    module/*.[ch] module/*.map base/*.[ch] plans/*.[ch] idp/*.[ch])
	@MAKEFLAGS= module/build.sh $(abspath $(BUILD)) $(SAN)

# ---- unit tests: tests/unit/test_NAME.c, one cmocka program each
UNIT_C = $(wildcard tests/unit/test_*.c)
UNIT = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(UNIT_C))
$(BUILD)/unit/%: tests/unit/%.c $(BUILD)/libidp.a $(BUILD)/libplans.a $(BUILD)/libbase.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $($*_FLAGS) -o $@ $< $($*_C) $(BUILD)/libidp.a \
	    $(BUILD)/libplans.a $(BUILD)/libbase.a $(TEST_LIBS) $($*_LIBS)

test_document_C = $(wildcard gateway/document*.c)
test_document_LIBS = -lyaml
test_oauth2_C = $(IDP_LICENSED_C)
test_oauth2_LIBS = -loauth2
fuzz_document_C = $(test_document_C)
fuzz_document_LIBS = -lyaml

.PHONY: unit units
units: $(UNIT)
# The house's parts that need no process.
house_unit_C = $(wildcard gateway/compose*.c gateway/seccomp*.c) gateway/launch.c \
               $(wildcard gateway/document*.c)
house_unit_L = -lseccomp -lyaml -ljansson -lcrypto
test_launch_C = gateway/launch.c
test_compose_C = $(house_unit_C)
test_compose_LIBS = $(house_unit_L)
fuzz_launch_C = gateway/launch.c
fuzz_compose_C = $(house_unit_C)
fuzz_compose_LIBS = $(house_unit_L)
$(BUILD)/bench/sandbox_start: gateway/launch.c
sandbox_start_LIBS = $(BUILD)/libbase.a
all: $(BUILD)/bench/sandbox_start

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done

# ---- fuzz targets: tests/fuzz/fuzz_NAME.c, seeds in tests/fuzz/seeds/NAME
FUZZ = $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
build/fuzz/%: tests/fuzz/%.c $(BUILD)/libidp.a $(BUILD)/libplans.a $(BUILD)/libbase.a
	$(CC) $(CPPFLAGS) $(CFLAGS) -fsanitize=fuzzer $($*_FLAGS) -o $@ $< $($*_C) \
	    $(BUILD)/libidp.a $(BUILD)/libplans.a $(BUILD)/libbase.a $(TEST_LIBS) $($*_LIBS)

.PHONY: fuzz fuzzers
fuzzers: $(FUZZ)
fuzz:
	$(MAKE) SAN=fuzz fuzzers

# ---- what people type; PACKAGES=present skips Debian's package manager
PACKAGES ?= conf/packages.sh
packages = $(if $(filter present,$(PACKAGES)),:,$(PACKAGES))
PYTHON = /usr/bin/python3 -B

.PHONY: run stop test lint reference install
run:
	@$(packages) build run
	@$(PYTHON) conf/demo/run.py
stop:
	@$(PYTHON) conf/demo/stop.py
test:
	@$(packages) build run test
	@$(PYTHON) tests/run.py
lint:
	@$(PYTHON) tests/lint/lint.py
reference: all
	@$(PYTHON) docs/reference.py
PREFIX = /usr/local
install: all
	@conf/install.sh $(BUILD) "$(DESTDIR)" "$(PREFIX)"

# ---- measurements, and what only tests put into a catalog: tests/bench
$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libplans.a $(BUILD)/libbase.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $^ $($*_LIBS) -llmdb -lcrypto
all: $(BUILD)/bench/fill_catalog

.PHONY: bench
bench:
	@$(packages) build run test
	@$(MAKE) -s all
	@$(PYTHON) tests/bench/bench.py

clean:
	rm -rf build
