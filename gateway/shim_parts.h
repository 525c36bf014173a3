/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a shim; each keeps its state in its own file. */
#ifndef GH_SHIM_PARTS_H
#define GH_SHIM_PARTS_H

#include "shim.h"

#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>

/* What a service can make its shim do in a second: bytes of log, and refused
 * calls and opened traps together. More has to wait. */
#define GH_SHIM_LOG_RATE ((uint64_t)4 << 20)
#define GH_SHIM_ANSWER_RATE ((uint64_t)2000)

uint64_t gh_shim_now_ms(void);

/* ---- shim_confine.c: what it may still do */

/* No core, no look from processes of its uid, and a filter of system calls:
 * what is in it serves the loop, the rest is refused with EPERM. */
int gh_shim_confine(void);

/* ---- shim_log.c: DIR/log/services/NAME/R.log, R.log.1, ... */

void gh_shim_log_open(const struct gh_shim_state *s);
/* Copies a piece of what the FIFO holds and returns its bytes; turns the file
 * over when it is full. When the disk is full what cannot be written is
 * dropped, so nobody blocks. */
size_t gh_shim_log_copy(int fifo);

/* ---- shim_report.c: R.reports, mapped */

void gh_shim_report_open(void);
void gh_shim_report_call(const struct seccomp_notif *call);
void gh_shim_report_file(const char *path, int pid);
/* Bytes of log files that have been turned over, for readers of offsets. */
void gh_shim_report_log_base(uint64_t bytes);
uint64_t gh_shim_report_get_log_base(void);

/* ---- shim_trap.c: the FUSE file system of the traps */

/* 0 when `fd` is a FUSE device. */
int gh_shim_trap_open(int fd);
/* One request for that trap; -1 when it is unmounted. */
int gh_shim_trap_answer(int fd, int trap);

/* ---- shim_init.c: pid 1 of a service that asks for one */

int gh_shim_init(char **argv);

#endif
