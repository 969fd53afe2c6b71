# Targets for the databases of a project. Copy this file, or include it, after the settings:
#
#   MIGRATE_DIR         folder of the migrations that `migrate` applies: sql
#   MIGRATE_NAMESPACES  its namespaces, if it has any: core billing identity
#   MIGRATE_MASTER_DIR  folder of the master database's migrations: sql/master
#   MIGRATE_TENANT_DIR  folder of the tenants' migrations: sql/tenant
#   MIGRATE_TENANTS     flags that say which tenants there are: --schemas-like 'tenant\_%'
#   MIGRATE_FLAGS       flags for every command: --env test --timeout 10m
#
# The databases are in the environment or in .env, so that no password is in a command line: GOOSEPLUS_DSN for `migrate`,
# MASTER_DB_URL for the master database and the list of the tenants. Without it the master's targets are refused.

GOOSEPLUS          ?= go run github.com/gooseplus/gooseplus/cmd/gooseplus
MIGRATE_DIR        ?= sql
MIGRATE_NAMESPACES ?=
MIGRATE_MASTER_DIR ?= sql/master
MIGRATE_TENANT_DIR ?= sql/tenant
MIGRATE_TENANTS    ?=
MIGRATE_FLAGS      ?=

empty :=
space := $(empty) $(empty)
comma := ,

gooseplus-run     = $(GOOSEPLUS) $(MIGRATE_FLAGS) --dir $(MIGRATE_DIR) \
	$(if $(strip $(MIGRATE_NAMESPACES)),--namespaces $(subst $(space),$(comma),$(strip $(MIGRATE_NAMESPACES))))
gooseplus-master  = $(GOOSEPLUS) $(MIGRATE_FLAGS) --master --dir $(MIGRATE_MASTER_DIR)
gooseplus-tenants = $(GOOSEPLUS) $(MIGRATE_FLAGS) --dir $(MIGRATE_TENANT_DIR) tenants

gooseplus-targets := new status master tenants all down-master down-tenants down-all
ifneq ($(filter $(gooseplus-targets),$(MIGRATE_NAMESPACES)),)
$(error MIGRATE_NAMESPACES: migrate-$(firstword $(filter $(gooseplus-targets),$(MIGRATE_NAMESPACES))) is a target already)
endif

.PHONY: migrate $(addprefix migrate-,$(gooseplus-targets) $(MIGRATE_NAMESPACES))

migrate: ## apply all pending migrations
	$(gooseplus-run) up

$(addprefix migrate-,$(MIGRATE_NAMESPACES)): migrate-%:
	$(gooseplus-run) --namespace $* up

# A bounded context is a namespace.
NAMESPACE ?= $(CONTEXT)
quoted     = '$(subst ','\'',$(1))'

migrate-new: ## make a migration: NAME=add_users_email, and CONTEXT= (or NAMESPACE=), ENV=, GO=1 or PAIRED=1
	$(if $(NAME),,$(error NAME is missing: make migrate-new NAME=add_users_email))
	$(gooseplus-run) create $(call quoted,$(NAME)) $(if $(ENV),--env $(call quoted,$(ENV))) \
		$(if $(NAMESPACE),--namespace $(call quoted,$(NAMESPACE))) $(if $(GO),--go) $(if $(PAIRED),--paired)

migrate-status: ## show what is applied and what is pending
	$(gooseplus-run) status

migrate-master: ## migrate the master database
	$(gooseplus-master) up

migrate-tenants: ## migrate all tenants
	$(gooseplus-tenants) up $(MIGRATE_TENANTS)

migrate-all: ## migrate the master database, and then all tenants
	$(gooseplus-master) --tenants-dir $(MIGRATE_TENANT_DIR) up --then-tenants $(MIGRATE_TENANTS)

migrate-down-master: ## undo the master database's last migration; YES=1 doesn't ask
	$(gooseplus-master) down $(if $(YES),--yes)

migrate-down-tenants: ## undo the last migration of every tenant; YES=1 doesn't ask
	$(gooseplus-tenants) down $(MIGRATE_TENANTS) $(if $(YES),--yes)

migrate-down-all: ## undo the last migration of every tenant, and then the master database's; YES=1 doesn't ask
	$(gooseplus-tenants) down $(MIGRATE_TENANTS) $(if $(YES),--yes)
	$(gooseplus-master) down $(if $(YES),--yes)
