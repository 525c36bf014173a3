/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of single values: node in, canonical JSON out; NULL and a fault with
 * place and hint when it is not what the key wants.
 */
#ifndef GH_COMPOSE_READ_H
#define GH_COMPOSE_READ_H

#include "compose.h"

/* compose_read.c: scalars */
json_t *gh_compose_read_bool(const struct gh_compose_at *at);
json_t *gh_compose_read_read_only(const struct gh_compose_at *at);
json_t *gh_compose_read_size(const struct gh_compose_at *at);
json_t *gh_compose_read_duration(const struct gh_compose_at *at);
json_t *gh_compose_read_pids(const struct gh_compose_at *at);
json_t *gh_compose_read_retries(const struct gh_compose_at *at);
json_t *gh_compose_read_replicas(const struct gh_compose_at *at);
json_t *gh_compose_read_shares(const struct gh_compose_at *at);
json_t *gh_compose_read_log_files(const struct gh_compose_at *at);
json_t *gh_compose_read_cpus(const struct gh_compose_at *at);
json_t *gh_compose_read_cpuset(const struct gh_compose_at *at);
json_t *gh_compose_read_name(const struct gh_compose_at *at);
json_t *gh_compose_read_path(const struct gh_compose_at *at);
json_t *gh_compose_read_user(const struct gh_compose_at *at);
json_t *gh_compose_read_restart(const struct gh_compose_at *at);
json_t *gh_compose_read_signal(const struct gh_compose_at *at);
json_t *gh_compose_read_log_driver(const struct gh_compose_at *at);

/* compose_lists.c: lists and maps */
json_t *gh_compose_read_words(const struct gh_compose_at *at);
json_t *gh_compose_read_names(const struct gh_compose_at *at);
json_t *gh_compose_read_groups(const struct gh_compose_at *at);
json_t *gh_compose_read_caps(const struct gh_compose_at *at);
json_t *gh_compose_read_cap_drop(const struct gh_compose_at *at);
json_t *gh_compose_read_security(const struct gh_compose_at *at);
json_t *gh_compose_read_expose(const struct gh_compose_at *at);
json_t *gh_compose_read_environment(const struct gh_compose_at *at);
json_t *gh_compose_read_labels(const struct gh_compose_at *at);
json_t *gh_compose_read_ulimits(const struct gh_compose_at *at);
json_t *gh_compose_read_tmpfs(const struct gh_compose_at *at);
json_t *gh_compose_read_volumes(const struct gh_compose_at *at);

/* compose_own.c: x-gatehouse and configs */
json_t *gh_compose_read_listen(const struct gh_compose_at *at);
json_t *gh_compose_read_ready(const struct gh_compose_at *at);
json_t *gh_compose_read_egress(const struct gh_compose_at *at);
json_t *gh_compose_read_files(const struct gh_compose_at *at);
json_t *gh_compose_read_seccomp(const struct gh_compose_at *at);
json_t *gh_compose_read_configs(const struct gh_compose_at *at);
/* Puts the contents that the top level has for a service's configs into its
 * x-gatehouse.files. Takes the service, returns it or NULL. */
json_t *gh_compose_put_configs(json_t *service, const struct gh_node *root,
                               const struct gh_node *node, const char *path,
                               struct gh_faults *f);

/* The text of a scalar; NULL and a fault when it is none, empty (unless
 * allowed), longer than `most`, or has control characters. */
const char *gh_compose_text(const struct gh_compose_at *at, size_t most,
                            bool may_be_empty);

#endif
