# What make has for looking; the Makefile includes it.

##@ Look
.PHONY: open board history
# $(call page_url,environment): the address of the app's documentation, or of Prometheus, of the container that runs
page_url = $(call container,$(1),$(if $(WHAT),prometheus,app)); port=$$(docker port "$$1" | sed -n 's/.*:\([0-9][0-9]*\)$$/\1/p' | head -n 1); \
	[ "$$port" ] || { echo "The $(1) environment publishes no port." >&2; exit 1; }; url="https://localhost:$$port/$(if $(WHAT),classic/alerts,docs)"
# A desktop: macOS always, elsewhere where a display is known and something can open an address.
opener = if [ "$$(uname)" = Darwin ]; then open "$$url"; \
	elif [ "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open >/dev/null; then xdg-open "$$url" >/dev/null 2>&1 || :; fi
board_url = url=$$(.venv/bin/python -m playbooks.board $(board_port) --where) || exit 1
board_port = $(if $(BOARD_PORT),--port $(call quote,$(BOARD_PORT)))
open: ## open the app's documentation, WHAT=board or WHAT=metrics in a browser, or print its address if there is no desktop; LIMIT=test FORMAT=json
	@case $(call quote,$(WHAT)) in '' | board | metrics) ;; *) echo 'Say what to open: make open, WHAT=board or WHAT=metrics.' >&2; exit 1 ;; esac
	$(call one_of,'' | dev | test,make open$(arguments)$(comma) or LIMIT=test)
	@$(call grouped,$(if $(filter board,$(WHAT)),$(board_url),$(call page_url,$(or $(LIMIT),dev))); \
		$(if $(filter json,$(FORMAT)),printf "{\"url\": \"%s\"}\n" "$$url",echo "$$url"; $(opener)))

board: venv ## a read-only page on this machine: instances as they change, logs, drift on demand, runs over time; BOARD_PORT=8901
	@$(call grouped,exec .venv/bin/python -m playbooks.board $(board_port))

history: venv ## the last runs: who, what, how long, what changed, whether it passed; COUNT=50 FORMAT=json
	@.venv/bin/python -m playbooks.board.history $(if $(COUNT),--count $(call quote,$(COUNT))) $(if $(FORMAT),--format $(call quote,$(FORMAT)))
