# Everything a newcomer needs. Each target prepares what it uses.
.PHONY: demo kiosk test torture check format venv lock wheel clean

run = .venv/bin/python
# Real pcscd with virtual readers, where nothing else on this machine sees them.
private = $(run) -m mpos_agent.demo.private_pcscd --

demo: venv ## one claim from a (virtual) chip to head office and back; FINGERS=folder DPI=500 for real prints
	@$(private) $(run) -m mpos_agent.demo $(if $(FINGERS),--fingers "$(FINGERS)") $(if $(DPI),--dpi $(DPI))

kiosk: venv ## leaves agent, virtual devices and head office running until Ctrl-C
	@$(run) -m mpos_agent.demo.kiosk

test: ## every test that this machine can run
	@requirements/prepare test
	@$(private) $(run) -m pytest -n 2 --dist loadgroup -p no:cacheprovider $(ARGS)

torture: ## every fault on every path of custody, under an hour; prints one table
	@requirements/prepare torture
	@$(run) -m bench torture $(ARGS)

check: venv ## lint, types, import contracts
	$(run) -m ruff check .
	$(run) -m ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

format: venv ## put the code in order
	$(run) -m ruff format .
	$(run) -m ruff check --fix .

venv: ## only prepares .venv (and system packages)
	@requirements/prepare

wheel: venv ## the installable wheel, in dist/
	$(run) -m build --wheel --no-isolation

clean:
	rm -rf .venv .demo build dist *.egg-info

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile
