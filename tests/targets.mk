# What make has for tests and checks; the Makefile includes it.

##@ Tests
.PHONY: test verify test-up test-setup test-down test-rebuild test-status test-verify test-unit test-integration test-smoke test-drift test-check test-foreign ci-test report shards shards-down durations molecule bench lint
test: engine ## all tests, with coverage, in the test environment; ARGS="-k name" selects; SHARD=2/4; DOWN=1 takes it down afterwards
	$(call tested,test,playbooks/test.yml $(call pytest_args,$(ARGS)) $(shard))

# What needs whole environments brings up its own.
verify: engine ## count what SECURITY.md says was measured, and write its table (minutes); FULL=1 repeats more (half an hour)
	@VERIFY_FULL=$(FULL) $(MAKE) --no-print-directory test ARGS="$$(.venv/bin/python -m tests.verify paths)"
	@.venv/bin/python -m tests.verify table reports/test$(if $(INSTANCE),.$(INSTANCE) --instance $(INSTANCE)) --write $(if $(FULL),--full)
	@$(call grouped,VERIFY_FULL=$(FULL) .venv/bin/python -m pytest -c tests/pytest.ini --junitxml=reports/drift/junit.xml \
		$$(.venv/bin/python -m tests.verify paths --drift))
	@.venv/bin/python -m tests.verify table reports/drift --drift --write $(if $(FULL),--full)

test-unit: venv ## the tests that need no engine
	@.venv/bin/python -m pytest -c tests/pytest.ini --rootdir=. tests/unit $(ARGS)

test-integration: engine ## the tests that need PostgreSQL and Redis
	$(call tested,test,playbooks/test.yml $(call pytest_args,tests/integration $(ARGS)))

test-smoke: engine ## the tests that ask the running containers
	$(call tested,test,playbooks/test.yml $(call pytest_args,tests/smoke $(ARGS)))

test-verify: engine ## start the test environment and run tests/smoke; its database is not changed
	@$(call play,playbooks/test.yml $(call steps,"pytest") $(call pytest_args,tests/smoke $(ARGS)))

test-up: engine ## start the test environment
	@$(call play,playbooks/test.yml $(call steps,))

test-setup: engine ## start the test environment with a clean database
	@$(call play,playbooks/test.yml $(call steps,"init"))

test-down: engine ## remove the test environment
	@$(call play,playbooks/down.yml --limit test)

test-rebuild: engine ## rebuild the test environment's images, then start it
	@$(call play,playbooks/test.yml $(call steps,) -e images_rebuild=true)

test-status: engine ## the test environment's state, the reason for it, and the addresses
	@$(call play,$(status) --limit test)

test-drift: engine ## test that changes made by hand are found and repaired (minutes)
	@$(call grouped,.venv/bin/python -m pytest -c tests/pytest.ini tests/drift --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS))

test-check: engine ## test that a run changes exactly what --check predicts, and --check nothing (minutes)
	@$(call grouped,.venv/bin/python -m pytest -c tests/pytest.ini tests/check_mode --numprocesses=2 --dist=loadfile $(ARGS))

test-foreign: engine ## test the roles with other applications (minutes)
	@$(call grouped,.venv/bin/python -m pytest -c tests/pytest.ini tests/foreign --numprocesses=2 --dist=loadfile $(ARGS))

ci-test: engine ## all tests in the ci environment; SHARD=2/4
	$(call tested,ci,$(ci) playbooks/test.yml $(call pytest_args,$(ARGS)) $(shard))

report: venv ## put the reports of all shards together: totals, coverage, a missing one; LIMIT=ci
	$(call one_of,'' | test | ci,make report LIMIT=test or LIMIT=ci)
	@.venv/bin/python -m tests.report reports/$(or $(LIMIT),test)$(if $(INSTANCE),.$(INSTANCE))

shards: venv ## all tests, a part on each host of inventories/shards (see inventories/shards.example); ARGS="tests/unit"
	@.venv/bin/ansible-playbook -i inventories/shards playbooks/shards.yml $(call text,shards_args,$(ARGS)) $(ANSIBLE_ARGS)

shards-down: venv ## remove what `make shards` has left on the hosts
	@.venv/bin/ansible-playbook -i inventories/shards playbooks/shards.yml -e shards_state=absent $(ANSIBLE_ARGS)

durations: venv ## write tests/durations.json, from which shards are made, after a `make test`
	@.venv/bin/python -m tests.durations reports/test$(if $(INSTANCE),.$(INSTANCE))

molecule: engine ## test every role and environment by itself: applied, checked from outside, broken, repaired; SCENARIO=roles/redis/molecule/default
	@$(call grouped,sh .config/molecule/all $(addsuffix /molecule.yml,$(SCENARIO)))

bench: engine ## measure how long it takes, compared with docker compose (half an hour); ROUNDS=3 ONLY=cold,second,change,down,again,test-file,...
	@$(call grouped,.venv/bin/python -m benchmarks $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY)))

lint: venv ## all checks: lint-python, lint-types, lint-yaml, lint-shell, lint-spelling, lint-workflows, lint-ansible
	@$(MAKE) --no-print-directory --keep-going $(lints)

# .pre-commit-config.yaml names the same ones.
lints = lint-python lint-types lint-yaml lint-shell lint-spelling lint-workflows lint-ansible
.PHONY: $(lints)
$(lints): venv
check = echo $(call quote,$(1)); PATH="$(CURDIR)/.venv/bin:$$PATH"; $(1)
# Those with another shell's first line are not shell scripts; those that are handed to a shell have no such line.
scripts = { git grep -lE '^\#!/(usr/)?bin/(env )?(ba)?sh'; git ls-files '*.sh'; } | sort -u

lint-python:
	@$(call check,ruff check --quiet && ruff format --check --quiet)

lint-types:
	@$(call check,mypy)

lint-yaml:
	@$(call check,yamllint --strict .)

lint-shell:
	@$(call check,$(scripts) | xargs shellcheck)

lint-spelling:
	@$(call check,git ls-files | xargs codespell)

# actionlint is no Python package; CI installs it.
lint-workflows:
	@$(call check,zizmor --offline --quiet .github)
	@if command -v actionlint >/dev/null; then $(call check,actionlint); else echo 'actionlint is not installed: CI runs it'; fi

lint-ansible:
	@$(call check,ansible-lint -q)
