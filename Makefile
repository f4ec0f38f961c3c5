# Each target is a script that works without make as well.
.PHONY: demo test check bench fmt lock screenshot
demo: ; @scripts/demo
test: ; @scripts/test
check: ; @scripts/check
bench: ; @ONLY="$(ONLY)" scripts/bench
fmt: ; @scripts/fmt
lock: ; @.venv/bin/python scripts/lock.py
screenshot: ; @.venv/bin/python scripts/screenshot.py
