# The commands a person types. Everything real is in tools/; here are their names and their options.
# `make` alone lists them.

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
PORT ?=
INGRESS ?=
STACK ?= prod
BASE ?=
PLAN ?=
MARKDOWN ?=
WHAT ?=
FOLLOW ?=
ARGS ?=
ALL ?=
DEBUG ?=
export PAYMENTS_HOME
# The providers' SDKs are large: compiled anew at every start they would cost each command seconds.
unexport PYTHONDONTWRITEBYTECODE

bootstrap = $(PYTHON) -m tools.bootstrap
tools = .venv/bin/python -m tools $(if $(DEBUG),--debug)

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^## / { printf "\n%s\n", substr($$0, 4) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

## The platform on this machine
.PHONY: up down status logs open
up: infra ## bring it up: engine, Docker, images, twin, platform (PORT=8443, INGRESS=direct, PAYMENTS_HOME=.local)
	@$(tools) up $(if $(PORT),--port "$(PORT)") $(if $(INGRESS),--ingress "$(INGRESS)")

down: infra ## remove it, whatever state it is in
	@$(tools) down

status: infra ## what runs, and whether the site answers
	@$(tools) status

logs: infra ## the last lines of every log (WHAT=api, FOLLOW=1)
	@$(tools) logs $(if $(WHAT),--what "$(WHAT)") $(if $(FOLLOW),--follow)

open: infra ## open the site in a browser
	@$(tools) open

## Checks
.PHONY: test e2e stress lint format types bench
test: infra app ## every test that needs neither root nor Docker (ARGS="-k name")
	@$(tools) test -- $(ARGS)

e2e: infra ## the whole platform once through, paid in a browser; needs Docker (ARGS=...)
	@$(tools) e2e -- $(ARGS)

stress: infra app ## what moves money under load: kill -9, a bad network, thousands at once; minutes (ARGS=...)
	@$(tools) stress -- $(ARGS)

lint: infra app ## style, types, Dockerfiles, shell scripts, workflows
	@$(tools) lint

format: infra ## rewrite the sources in the house style
	@.venv/bin/ruff check --fix-only --quiet . && .venv/bin/ruff format .

types: infra app ## strict types of both environments
	@$(tools) types

bench: infra ## measure against the figures this project promises (ARGS=...)
	@.venv/bin/python -m bench $(ARGS)

## Staging and prod
.PHONY: preview report drift
preview: infra ## what an update would change, without an account (STACK=prod, BASE=main, PLAN=free)
	@$(tools) preview --stack "$(STACK)" $(if $(BASE),--base "$(BASE)") \
	  $(if $(PLAN),--plan "$(PLAN)")

report: infra ## the same as a table (STACK=prod, BASE=main, MARKDOWN=file)
	@$(tools) report --stack "$(STACK)" $(if $(BASE),--base "$(BASE)") \
	  $(if $(MARKDOWN),--markdown "$(MARKDOWN)")

drift: infra ## would an update change anything? Asks the accounts, changes nothing (STACK=prod)
	@$(tools) drift --stack "$(STACK)"

## The house
.PHONY: lock clean infra app
lock: ## resolve requirements anew into the locks
	@$(PYTHON) -m tools.locks

clean: infra ## remove environments and caches (ALL=1: the engine and images too)
	@$(tools) clean $(if $(ALL),--all)

infra: # the environment of the program, the twin and the tools
	@$(bootstrap) infra

app: # the environment of the service
	@$(bootstrap) app
