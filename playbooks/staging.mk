# What make has for a stage on a Docker Swarm; the Makefile includes it.

staging = -i $(or $(INVENTORY),inventories/staging)
# Where somebody says which engine, it may be another machine's, which is not repaired from here.
staging_engine = $(if $(DOCKER_HOST)$(DOCKER_CONTEXT),venv,engine)
staging_image = $(call text,staging_image,$(IMAGE))

##@ Staging
.PHONY: staging staging-plan staging-status staging-drift staging-rotate staging-backup staging-drill staging-restore staging-down
staging: $(staging_engine) ## the release on a Docker Swarm, rolled out or rolled back; IMAGE=..., INVENTORY=<folder>
	@$(call play,$(staging) playbooks/staging.yml $(staging_image))

staging-plan: venv ## print its declared services, secrets masked, without an engine; IMAGE=..., FORMAT=json
	@$(call play,$(staging) playbooks/staging_plan.yml $(call text,plan_format,$(FORMAT)) $(staging_image))

staging-drift: $(staging_engine) ## show how it differs from its declaration, and fail if it does; IMAGE=..., FORMAT=json
	@$(call play,$(staging) playbooks/staging_drift.yml $(call text,drift_format,$(FORMAT)) $(staging_image))

staging-status: $(staging_engine) ## its services: tasks, nodes, image, and what became of the last update; FORMAT=json
	@$(call play,$(staging) playbooks/staging_status.yml $(status_format))

staging-rotate: $(staging_engine) ## new passwords and keys for it, data kept; everybody logs in again
	@$(call play,$(staging) playbooks/staging_rotate.yml)

staging-backup: $(staging_engine) ## its database into backups/, verified; FORMAT=json
	@$(call play,$(staging) playbooks/staging_backup.yml $(data))

staging-drill: $(staging_engine) ## restore its newest backup, or FILE=..., beside its database, compare and drop it; FORMAT=json
	@$(call play,$(staging) playbooks/staging_drill.yml $(call text,backup_source,$(FILE)) $(data))

staging-restore: $(staging_engine) ## its database from a backup, checked, after a snapshot: make staging-restore FILE=backups/...
	@$(call play,$(staging) playbooks/staging_restore.yml $(call text,backup_source,$(FILE)) $(data))

staging-down: $(staging_engine) ## its services and its schedule of backups gone, data and secrets kept
	@$(call play,$(staging) playbooks/staging_down.yml)
