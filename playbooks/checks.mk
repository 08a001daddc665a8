# What make has to look at this machine; the Makefile includes it.

##@ Checks
.PHONY: doctor
# Not `venv` first: that may be what is broken, and looking installs nothing.
doctor: ## what could keep environments from working, and what to do about it; INSTANCE, FORMAT=json
	@for python in .venv/bin/python python3; do if $$python -c "" 2>/dev/null; then found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then echo 'Python is missing. Install it, or run: ./bootstrap' >&2; exit 1; fi; \
	export found; $(call grouped,"$$found" -m doctor $(if $(INSTANCE),--instance $(INSTANCE)) $(if $(PORT_OFFSET),--port-offset $(PORT_OFFSET)) $(if $(FORMAT),--format $(call quote,$(FORMAT))))
