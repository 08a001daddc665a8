# What make has for databases and their keys; the Makefile includes it.

##@ Database
.PHONY: migrate migrate-create migrate-down rotate-keys rotate-secrets backup restore
migrate: ## bring dev's schema to the newest revision
	@$(call grouped,$(call container,dev,app); exec docker exec "$$1" python -m src.core.schema.migrate upgrade $(REVISION))

# The container writes nothing below /app, so the file is made here, by its owner.
migrate-create: ## a revision from what the models changed: make migrate-create MESSAGE="add a column" [EMPTY=1]
	@[ -n "$$MESSAGE" ] || { echo 'Say what changes: make migrate-create MESSAGE="add a column"' >&2; exit 1; }
	@$(call grouped,$(call container,dev,app); new=$$(docker exec "$$1" python -m src.core.schema.migrate create -m "$$MESSAGE" $(if $(EMPTY),--empty)) || exit 1; \
	file=src/migrations/versions/$$(printf "%s\n" "$$new" | head -n 1) && printf "%s\n" "$$new" | tail -n +2 >"$$file" \
	&& chmod a+r "$$file" && echo "$$file")

migrate-down: ## dev's schema one revision down, or to REVISION
	@$(call grouped,$(call container,dev,app); exec docker exec "$$1" python -m src.core.schema.migrate downgrade $(REVISION))

# On this machine, because no app starts with two heads.
.PHONY: migrate-merge
migrate-merge: venv ## a revision that joins two heads, after two branches each added one
	@new=$$(.venv/bin/python -m src.core.schema.migrate merge) || exit 1; \
	file=src/migrations/versions/$$(printf "%s\n" "$$new" | head -n 1) && printf "%s\n" "$$new" | tail -n +2 >"$$file" \
	&& chmod a+r "$$file" && echo "$$file"

rotate-keys: ## re-encrypt dev's stored tokens under the first key of ENCRYPTION_KEY
	@$(call grouped,$(call container,dev,app); exec docker exec "$$1" python -m src.core.security.rotate_encryption_keys)

rotate-secrets: engine ## new passwords and keys for dev, data kept; everybody logs in again
	@$(call play,playbooks/rotate.yml)

backup: engine ## dev's database into backups/, verified
	@$(call play,playbooks/backup.yml --limit dev)

restore: engine ## dev's database from a backup: make restore LIMIT=dev FILE=backups/...
	$(call one_of,dev,make restore LIMIT=dev$(arguments) FILE=$(or $(FILE),backups/...))
	@$(call play,playbooks/restore.yml $(limit) $(if $(FILE),-e $(call quote,{"backup_source": !unsafe $(call json_string,$(FILE))})))
