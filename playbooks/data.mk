# What make has for databases and their keys; the Makefile includes it.

# INSTANCE=auto is named after the git branch. What it is called, and its block of ports, is remembered, as is that of a copy.
ifneq ($(if $(PORT_OFFSET),$(filter auto,$(INSTANCE)),$(INSTANCE)),)
instance := $(shell python3 -IS playbooks/instances.py $(call quote,$(INSTANCE)) $(if $(FROM),--new))
ifeq ($(instance),)
$(error No instance was chosen)
endif
override INSTANCE := $(firstword $(instance))
override PORT_OFFSET := $(or $(PORT_OFFSET),$(word 2,$(instance)))
endif

# A shell expands ~ at the beginning of a word alone, and not after FILE=.
ifneq ($(filter ~/%,$(firstword $(FILE))),)
override FILE := $(shell printf %s "$$HOME"; printf %s $(call quote,$(FILE)) | cut -c2-)
else ifneq ($(filter ~%,$(firstword $(FILE))),)
$(error FILE=$(FILE): only ~/ is expanded. Write the whole path, or ./$(FILE) for a file of this name)
endif

data = $(call text,data_format,$(FORMAT))

##@ Database
.PHONY: migrate migrate-create migrate-down rotate-keys rotate-secrets backup restore
migrate: ## bring dev's schema to the newest revision
	@$(call grouped,$(call container,dev,app); exec docker exec "$$1" python -m src.core.schema.migrate upgrade $(if $(REVISION),$(call quote,$(REVISION))))

# The container writes nothing below /app, so the file is made here, by its owner.
migrate-create: ## write a revision for what changed in the models: make migrate-create MESSAGE="add a column" [EMPTY=1]
	@[ -n "$$MESSAGE" ] || { echo 'Say what changes: make migrate-create MESSAGE="add a column"' >&2; exit 1; }
	@$(call grouped,$(call container,dev,app); new=$$(docker exec "$$1" python -m src.core.schema.migrate create -m "$$MESSAGE" $(if $(EMPTY),--empty)) || exit 1; \
	file=src/migrations/versions/$$(printf "%s\n" "$$new" | head -n 1) && printf "%s\n" "$$new" | tail -n +2 >"$$file" \
	&& chmod a+r "$$file" && echo "$$file")

migrate-down: engine ## take dev's schema one revision down, or to REVISION, after a snapshot
	@$(call play,playbooks/snapshot.yml -e snapshot_reason=downgrade $(call text,downgrade_revision,$(REVISION)))

# On this machine, because no app starts with two heads.
.PHONY: migrate-merge
migrate-merge: venv ## write a revision that joins two heads, if two branches each added one
	@new=$$(.venv/bin/python -m src.core.schema.migrate merge) || exit 1; \
	file=src/migrations/versions/$$(printf "%s\n" "$$new" | head -n 1) && printf "%s\n" "$$new" | tail -n +2 >"$$file" \
	&& chmod a+r "$$file" && echo "$$file"

rotate-keys: ## re-encrypt dev's stored tokens under the first key of ENCRYPTION_KEY
	@$(call grouped,$(call container,dev,app); exec docker exec "$$1" python -m src.core.security.rotate_encryption_keys)

rotate-secrets: engine ## new passwords and keys for dev, data kept; everybody logs in again
	@$(call play,playbooks/rotate.yml)

backup: engine ## dump dev's database into backups/, and verify the dump
	@$(call play,playbooks/backup.yml --limit dev $(data))

restore: engine ## restore dev's database from a backup: make restore LIMIT=dev FILE=backups/...
	$(call one_of,dev,make restore LIMIT=dev$(arguments) FILE=$(or $(FILE),backups/...))
	@$(call play,playbooks/restore.yml $(limit) $(call text,backup_source,$(FILE)) $(data))

.PHONY: snapshot snapshots snapshot-restore dev-reset seed import export upgrade-postgres
snapshot: engine ## keep dev's data under a name: make snapshot NAME=before-refactor
	@$(call play,playbooks/snapshot.yml $(call text,snapshot_name,$(NAME)) $(data))

snapshots: venv ## list the snapshots: age, size, revision; FORMAT=json
	@$(call play,playbooks/snapshots.yml $(data))

snapshot-restore: engine ## go back to the data of a snapshot: make snapshot-restore NAME=before-refactor
	@$(call play,playbooks/snapshot_restore.yml $(call text,snapshot_name,$(NAME)) $(data))

dev-reset: engine ## empty dev's database, then migrate and seed it, after a snapshot
	@$(call play,playbooks/reset.yml $(data))

seed: engine ## create a user to develop with, and connect the fake Schwab if it runs
	@$(call play,playbooks/seed.yml $(data))

import: engine ## import SQL, or a pg_dump -Fc file of any server, into dev, checked, after a snapshot: make import FILE=dump.sql
	@$(call play,playbooks/import.yml $(call text,backup_source,$(FILE)) $(data))

export: engine ## write dev's database as SQL into backups/, or to FILE=...
	@$(call play,playbooks/export.yml $(call text,backup_target,$(FILE)) $(data))

upgrade-postgres: engine ## move dev's data to the PostgreSQL version of the present image, all rows kept
	@$(call play,playbooks/upgrade_postgres.yml $(data))
