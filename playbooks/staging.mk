# What make has for a stage on a Docker Swarm; the Makefile includes it.

staging = -i $(or $(INVENTORY),inventories/staging)
# Where somebody says which engine, it may be another machine's, which is not repaired from here.
staging_engine = $(if $(DOCKER_HOST)$(DOCKER_CONTEXT),venv,engine)
staging_image = $(call text,staging_image,$(IMAGE))

##@ Staging
.PHONY: staging staging-status staging-rotate staging-backup staging-down
staging: $(staging_engine) ## the release on a Docker Swarm, rolled out or rolled back; IMAGE=..., INVENTORY=<folder>
	@$(call play,$(staging) playbooks/staging.yml $(staging_image))

staging-status: $(staging_engine) ## its services: tasks, nodes, image, and what became of the last update; FORMAT=json
	@$(call play,$(staging) playbooks/staging_status.yml $(status_format))

staging-rotate: $(staging_engine) ## new passwords and keys for it, data kept; everybody logs in again
	@$(call play,$(staging) playbooks/staging_rotate.yml)

staging-backup: $(staging_engine) ## its database into backups/, verified; FORMAT=json
	@$(call play,$(staging) playbooks/staging_backup.yml $(data))

staging-down: $(staging_engine) ## its services gone, data and secrets kept
	@$(call play,$(staging) playbooks/staging_down.yml)
