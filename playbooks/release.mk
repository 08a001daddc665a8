# What make has for stages; the Makefile includes it.

##@ Stages
.PHONY: release
release: engine ## the image with the present commit's source, without tests and fakes; FORMAT=json
	@$(call play,playbooks/release.yml $(data))
