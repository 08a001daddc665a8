# What make has for looking; the Makefile includes it.

##@ Look
.PHONY: open
# $(call page_url,environment): the address of the app's documentation, or of Prometheus, of the container that runs
page_url = $(call container,$(1),$(if $(WHAT),prometheus,app)); port=$$(docker port "$$1" | sed -n 's/.*:\([0-9][0-9]*\)$$/\1/p' | head -n 1); \
	[ "$$port" ] || { echo "The $(1) environment publishes no port." >&2; exit 1; }; url="https://localhost:$$port/$(if $(WHAT),classic/alerts,docs)"
# A desktop: macOS always, elsewhere where a display is known and something can open an address.
opener = if [ "$$(uname)" = Darwin ]; then open "$$url"; \
	elif [ "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then xdg-open "$$url" >/dev/null 2>&1 || :; fi
open: ## open the app's documentation in a browser, or print its address if there is no desktop; WHAT=metrics LIMIT=test FORMAT=json
	@case $(call quote,$(WHAT)) in '' | metrics) ;; *) echo 'Say what to open: make open, or make open WHAT=metrics.' >&2; exit 1 ;; esac
	$(call one_of,'' | dev | test,make open$(arguments)$(comma) or LIMIT=test)
	@$(call grouped,$(call page_url,$(or $(LIMIT),dev)); $(if $(filter json,$(FORMAT)),printf "{\"url\": \"%s\"}\n" "$$url",echo "$$url"; $(opener)))
