# Thin names for playbooks and docker commands. `make` alone lists them; GNU make 3.81 will do.
#   INSTANCE=<name> PORT_OFFSET=<n>   a copy of an environment; INSTANCE=auto is named after the git branch
#   LIMIT=<environment>               what clean, plan ... are about
#   ARGS="..."   pytest's arguments                                 ANSIBLE_ARGS="..."    ansible-playbook's, such as --check or -v
#   BUNDLE=1     evidence of a failure into reports/evidence/       CALLBACK=<name>       Ansible's own output: ansible.builtin.default

SHELL := /bin/sh
.DEFAULT_GOAL := help
# What a shell has set for other projects must not change a run. Kept are settings of the output, and of where Ansible's own files are.
# (PYTHONDONTWRITEBYTECODE is among the others: without bytecode Ansible takes twice as long to start.)
settings = $(filter ANSIBLE_% PYTHON%,$(.VARIABLES))
kept = ANSIBLE_FORCE_COLOR ANSIBLE_NOCOLOR ANSIBLE_HOME ANSIBLE_LOCAL_TEMP ANSIBLE_LOG_PATH ANSIBLE_BECOME_PASSWORD_FILE PYTHONUNBUFFERED
unexport $(filter-out $(kept),$(settings))
# Named, or Ansible would skip it in a folder that everybody can write to.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# All others are those of .venv, whatever is in a home or in /usr/share.
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/playbooks/collections
# Ansible needs UTF-8, and LANG may name a locale that this machine lacks.
export LC_ALL := $(if $(filter Darwin,$(shell uname)),en_US.UTF-8,C.UTF-8)

comma := ,
quote = '$(subst ','\'',$(1))'
json_string = "$(subst ",\",$(subst \,\\,$(1)))"
# $(call text,variable,value): for Ansible, which without !unsafe would run a template that is in the value; nothing for no value
text = $(if $(2),-e $(call quote,{"$(1)": !unsafe $(call json_string,$(2))}))
# Part of names, paths and advice, so nothing else is in them. The exact rules are Ansible's.
$(foreach name,INSTANCE PORT_OFFSET,$(if $($(name)),$(if $(shell case $(call quote,$($(name))) in (*[!A-Za-z0-9_-]*) echo 1 ;; esac),\
	$(error $(name)=$(call quote,$($(name))) is not made of letters, digits and hyphens alone))))

# A user who joined the socket's group a moment ago has it from the next login on; sg gives it to one command before.
grouped = sh -c 'if [ -z "$$DOCKER_HOST" ] && [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ] \
	&& group=$$(stat -c %G /var/run/docker.sock) && id -nG "$$(id -un)" | tr " " "\n" | grep -qxF "$$group"; \
	then exec sg "$$group" -c "$$1"; else exec sh -c "$$1"; fi' sh $(call quote,$(1))

# $(call play,playbooks/playbook and its arguments)
play = $(call grouped,$(if $(CALLBACK),ANSIBLE_STDOUT_CALLBACK=$(CALLBACK)) .venv/bin/ansible-playbook $(strip $(common) $(1) $(ANSIBLE_ARGS)))
common = $(call text,dashtam_instance,$(INSTANCE)) $(call text,dashtam_port_offset,$(PORT_OFFSET))
# What a hint has to say for this instance
arguments = $(if $(INSTANCE), INSTANCE=$(INSTANCE))$(if $(PORT_OFFSET), PORT_OFFSET=$(PORT_OFFSET))
status = playbooks/status.yml $(if $(INSTANCE),-e status_all_instances=false) $(status_format) $(if $(SHOW),-e status_show=true)
status_format = $(call text,status_format,$(FORMAT))
ci = -i inventories/ci
every = -i inventories/dev -i inventories/test $(ci) $(if $(LIMIT),--limit $(call quote,$(LIMIT)))
limit = $(if $(LIMIT),--limit $(call quote,$(LIMIT)) $(if $(filter ci,$(LIMIT)),$(ci)))
# $(call one_of,environments as a pattern of sh,what to type): the recipe ends unless LIMIT is one of them
define one_of
@case $(call quote,$(LIMIT)) in $(1)) ;; *) echo $(call quote,Say which environment: $(2). Nothing was touched.) >&2; exit 1 ;; esac
endef
pytest_args = $(call text,pytest_args,$(1))
# SHARD=2/4 runs the second of four parts of the tests.
shard = $(call text,test_shard,$(SHARD))
# $(call steps,JSON): which of init and pytest to do once the environment is up
steps = -e $(call quote,{"test_steps": [$(1)]})

# $(call tested,environment,playbook and arguments): with DOWN=1 the environment is taken down afterwards; the code stays pytest's
define tested
@code=0; $(call play,$(2)) || code=$$?; $(if $(DOWN),$(call play,$(if $(filter ci,$(1)),$(ci)) playbooks/down.yml --limit $(1)) \
	|| { down=$$?; [ $$code != 0 ] || code=$$down; };) exit $$code
endef

# $(call containers,environment,services,docker ps' arguments): $$@ becomes their names, or the recipe ends with one line
define containers
owner=$$(sed -n 's/^dashtam_owner_checkout: *//p' env/local.$(1).yml $(if $(INSTANCE),env/local.$(1).$(INSTANCE).yml) 2>/dev/null | tail -n 1 | tr -d \'\"); \
here=$(call quote,$(CURDIR)); \
found=$$(docker ps $(3) --filter "label=dashtam.checkout=$${owner:-$$here}" --filter label=dashtam.environment=$(1) \
	$(foreach service,$(2),--filter label=dashtam.service=$(service)) $(if $(INSTANCE),--filter label=dashtam.instance=$(INSTANCE)) \
	--format '{{.Names}}' | sort) || exit 1; \
set -- $$found; \
if [ $$# = 0 ]; then echo "The $(1) environment's $(or $(2),containers) $(if $(2),is,are) not running. Start it: make $(1)-up$(arguments)" >&2; exit 1; fi
endef
# The same for one container
define container
$(call containers,$(1),$(2)); \
if [ $$# != 1 ]; then echo "There are $$# of them ($$*): say which with INSTANCE=<name>" >&2; exit 1; fi
endef
# A terminal where there is one, so that `echo ... | make dev-shell` works, too; not 1, which is the substitution's own
terminal = $$(if [ -t 0 ] && [ -t 2 ]; then echo --tty; fi)

# $(call logs,environment,services): of stopped ones, too; followed where a person looks
define logs
$(call containers,$(1),$(2),--all); \
if [ -t 1 ]; then follow=--follow; else follow=; fi; \
if [ $$# = 1 ]; then exec docker logs --tail 200 $$follow "$$1" 2>&1; fi; \
for name; do \
	docker logs --tail 50 $$follow "$$name" 2>&1 | while IFS= read -r line; do printf '%s | %s\n' "$${name##*-$(1)-}" "$$line"; done & \
done; wait
endef

# What make finds no rule for
.DEFAULT:
	@$(or $(wildcard .venv/bin/python),python3) -Ic $(call quote,$(nearest)) $(call quote,$@) $(MAKEFILE_LIST) >&2; exit 2
nearest = import difflib, re, sys; \
	text = "".join(open(name).read() for name in sys.argv[2:]); \
	names = " ".join(re.findall("^([a-z][a-z -]*):(?!=)", text, re.MULTILINE)).split(); \
	near = difflib.get_close_matches(sys.argv[1], names, 1); \
	print(f"There is no target {sys.argv[1]};", f"did you mean: make {near[0]}" if near else "make alone lists all")

.PHONY: help
help: # Nothing but this list
	@awk -F ' *## *' '/^##@/ {printf "\n%s\n", substr($$0, 5); next} \
		/^[a-z -]+:.*##/ {sub(/:.*/, "", $$1); sub(/ /, " = ", $$1); printf "  %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Once
.PHONY: setup venv engine certs keys trust lock generate
setup: engine ## everything that `make dev` needs, except images and containers: .venv, Docker Engine, secrets, certificates
	@$(call play,playbooks/certificates.yml)
	@$(call play,playbooks/keys.yml)

venv: ## create or update .venv, with the pinned Ansible
	@IFS= read -r line <bootstrap; case $$line in *"$$(printf '\r')") fault='Lines end with CRLF' ;; *) \
		[ -d playbooks/roles/environment ] && fault= || fault='Symbolic links are missing' ;; esac; if [ "$$fault" ]; then \
		echo "$$fault in this folder. Make it with: git clone -c core.autocrlf=false -c core.symlinks=true" >&2; exit 1; fi
	@sh bootstrap

# Where an engine answers, this costs a few milliseconds; what is wrong with one, the playbook says.
engine: venv ## install and start Docker Engine if none answers (Debian, Ubuntu)
	@if [ -z "$$DOCKER_HOST" ] && $(call grouped,$(answers)); then exit 0; fi; \
	ask=; if [ -f /etc/debian_version ] && [ "$$(id -u)" != 0 ] && [ -t 0 ] && command -v sudo >/dev/null && ! sudo -n true 2>/dev/null; then \
		ask=--ask-become-pass; fi; \
	export ask; $(call grouped,.venv/bin/ansible-playbook playbooks/engine.yml -e engine_access_required=false $$ask)
answers = .venv/bin/python -ISc "import socket; socket.socket(socket.AF_UNIX).connect(\"/var/run/docker.sock\")" 2>/dev/null

certs: venv ## create or renew the local CA and the servers' certificates
	@$(call play,playbooks/certificates.yml)

keys: engine ## generate passwords and keys, once
	@$(call play,playbooks/keys.yml)

trust: venv ## show how to make this system and browsers trust the local CA
	@$(call play,playbooks/trust.yml $(limit))

lock: venv ## pin the packages that pyproject.toml asks for; UPGRADE=1 takes the newest of all
	@UV_CUSTOM_COMPILE_COMMAND='make lock'; export UV_CUSTOM_COMPILE_COMMAND; \
	compile() { .venv/bin/uv pip compile --quiet --system-certs --generate-hashes --no-emit-index-url --no-emit-find-links --universal \
		$(if $(UPGRADE),--upgrade) pyproject.toml "$$@" >/dev/null; }; \
	compile --python-version 3.13 --output-file requirements/app.txt && \
	compile --group test --group debug --python-version 3.13 --constraint requirements/app.txt --output-file requirements/tests.txt && \
	compile --group ops --python-version 3.11 --constraint requirements/tests.txt --output-file requirements/ops.txt && \
	git diff --stat -- requirements

generate: venv ## write the generated files: tables in READMEs, docs/variables.md, plans, pictures, examples of env files
	@.venv/bin/python roles/readme.py && .venv/bin/python -m benchmarks.readme
	@.venv/bin/python -m tests.provisioning.clean_plan && .venv/bin/python -m docs.picture
	@$(call play,$(every) playbooks/examples.yml) && .venv/bin/python docs/variables.py

##@ Development
.PHONY: dev dev-up dev-down dev-rebuild dev-status dev-shell dev-db-shell dev-redis-cli
.PHONY: dev-logs dev-logs-app dev-logs-postgres dev-logs-redis dev-logs-callback dev-logs-fake-schwab dev-logs-mail
dev dev-up: engine ## start the development environment (dev); INSTANCE=feature FROM=dev starts one with a copy of dev's data
	@$(call play,$(if $(FROM),playbooks/branch.yml $(call text,dashtam_from,$(FROM)),playbooks/dev.yml))

dev-down: engine ## stop dev and remove its containers, data kept
	@$(call play,playbooks/down.yml --limit dev)

dev-rebuild: engine ## rebuild dev's images, then start dev
	@$(call play,playbooks/dev.yml -e images_rebuild=true)

dev-status: engine ## dev's state, the reason for it, and the addresses; FORMAT=json; SHOW=1 adds passwords
	@$(call play,$(status) --limit dev)

dev-logs: ## dev's logs, followed in a terminal; dev-logs-{app,postgres,redis,callback,fake-schwab,mail} for one service
	@$(call grouped,$(call logs,dev))

dev-logs-app dev-logs-postgres dev-logs-redis dev-logs-callback dev-logs-fake-schwab dev-logs-mail:
	@$(call grouped,$(call logs,dev,$(@:dev-logs-%=%)))

dev-shell: ## a shell in the app's container
	@$(call grouped,$(call container,dev,app); exec docker exec -i $(terminal) "$$1" bash)

# The environment's own, whatever its name: the only one whose owner is called after it. A person may have made others.
database = psql -U postgres -AtXc "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = datname || '_user'"
dev-db-shell: ## psql as the administrator, in PostgreSQL's container
	@$(call grouped,$(call container,dev,postgres); exec docker exec -i $(terminal) -u postgres "$$1" sh -c $(call quote,exec psql -U postgres "$$($(database))"))

dev-redis-cli: ## redis-cli as the administrator, in Redis's container
	@$(call grouped,$(call container,dev,redis); exec docker exec -i $(terminal) "$$1" sh /tmp/redis-admin)

# By folder, in the order of `make help`.
include $(wildcard playbooks/*.mk tests/targets.mk)

##@ All environments
.PHONY: plan drift status-all ls clean
plan: venv ## print the declared state of each environment, secrets masked, without an engine; LIMIT=test, FORMAT=json, mermaid or compose
	@$(call play,$(every) playbooks/plan.yml $(call text,plan_format,$(FORMAT)))

drift: engine ## show how running environments differ from their declaration, and fail if they do; LIMIT=dev FORMAT=json
	@$(call play,$(every) playbooks/drift.yml $(call text,drift_format,$(FORMAT)))

status-all: engine ## the state of dev, test and ci: all instances of this checkout, or INSTANCE; FORMAT=json SHOW=1
	@$(call play,$(every) $(status))

ls: engine ## list every instance of every checkout on this engine: state and ports; FORMAT=json
	@$(call play,playbooks/ls.yml $(status_format))

clean: engine ## remove an environment and its volumes, after a backup: make clean LIMIT=dev
	$(call one_of,dev | test | ci,make clean LIMIT=dev$(arguments)$(comma) or LIMIT=test$(comma) or LIMIT=ci)
	@$(call play,playbooks/clean.yml $(limit))

# The names of old.
.PHONY: up down build logs status test-clean
up: dev-up
down: dev-down
build: dev-rebuild
logs: dev-logs
status: dev-status
test-clean: test-down
