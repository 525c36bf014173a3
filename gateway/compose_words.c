/* SPDX-License-Identifier: Apache-2.0 */
/* Names of Linux that a file may use: capabilities and limits. */
#include "compose.h"

#include <string.h>
#include <sys/resource.h>

static const struct {
    const char *name;
    int number;
} capabilities[] =
    {
        {"CHOWN", 0},  {"DAC_OVERRIDE", 1}, {"FOWNER", 3},
        {"FSETID", 4}, {"KILL", 5},         {"SETGID", 6},
        {"SETUID", 7}, {"SETPCAP", 8},      {"NET_BIND_SERVICE", 10},
},
  limits[] = {
      {"as", RLIMIT_AS},
      {"core", RLIMIT_CORE},
      {"cpu", RLIMIT_CPU},
      {"data", RLIMIT_DATA},
      {"fsize", RLIMIT_FSIZE},
      {"locks", RLIMIT_LOCKS},
      {"memlock", RLIMIT_MEMLOCK},
      {"msgqueue", RLIMIT_MSGQUEUE},
      {"nice", RLIMIT_NICE},
      {"nofile", RLIMIT_NOFILE},
      {"nproc", RLIMIT_NPROC},
      {"rss", RLIMIT_RSS},
      {"rtprio", RLIMIT_RTPRIO},
      {"rttime", RLIMIT_RTTIME},
      {"sigpending", RLIMIT_SIGPENDING},
      {"stack", RLIMIT_STACK},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int
gh_compose_capability(const char *name)
{
    if (strncmp(name, "CAP_", 4) == 0)
        name += 4;
    for (size_t i = 0; i < COUNT(capabilities); i++)
        if (strcmp(name, capabilities[i].name) == 0)
            return capabilities[i].number;
    return -1;
}

const char *
gh_compose_capability_name(int number)
{
    for (size_t i = 0; i < COUNT(capabilities); i++)
        if (capabilities[i].number == number)
            return capabilities[i].name;
    return "?";
}

int
gh_compose_rlimit(const char *name)
{
    for (size_t i = 0; i < COUNT(limits); i++)
        if (strcmp(name, limits[i].name) == 0)
            return limits[i].number;
    return -1;
}

const char *
gh_compose_rlimit_name(int number)
{
    for (size_t i = 0; i < COUNT(limits); i++)
        if (limits[i].number == number)
            return limits[i].name;
    return "?";
}
