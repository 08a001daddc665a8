# What make has for a stage on a Docker Swarm; the Makefile includes it.

staging = -i $(or $(INVENTORY),inventories/staging)
staging_image = $(call text,staging_image,$(IMAGE))

##@ Staging
.PHONY: staging staging-status staging-backup staging-down
staging: engine ## the release on a Docker Swarm, rolled out or rolled back; IMAGE=..., INVENTORY=<folder>
	@$(call play,$(staging) playbooks/staging.yml $(staging_image))

staging-status: engine ## its services: tasks, nodes, image, and what became of the last update; FORMAT=json
	@$(call play,$(staging) playbooks/staging_status.yml $(status_format))

staging-backup: engine ## its database into backups/, verified; FORMAT=json
	@$(call play,$(staging) playbooks/staging_backup.yml $(data))

staging-down: engine ## its services gone, data and secrets kept
	@$(call play,$(staging) playbooks/staging_down.yml)
