/* SPDX-License-Identifier: Apache-2.0 */
/* The tables. Order of rows is the order of export and of the manual. */
#include "document_schema.h"

#include "model.h"

#define TEXT(n, fmt, top, text)                                                \
    {                                                                          \
        .name = n, .type = GH_T_TEXT, .format = fmt, .min = 1, .max = top,     \
        .help = text                                                           \
    }
#define NAME_FIELD                                                             \
    {                                                                          \
        .name = "name", .type = GH_T_NAME, .flags = GH_REQUIRED,               \
        .help = "what it is called everywhere"                                 \
    }
#define COMMON_FIELDS                                                          \
    {.name = "description",                                                    \
     .type = GH_T_TEXT,                                                        \
     .format = GH_F_PROSE,                                                     \
     .max = 2000,                                                              \
     .help = "for people"},                                                    \
    {                                                                          \
        .name = "labels", .type = GH_T_MAP, .max = 64, .of = &label,           \
        .help = "for tools: names and values of your own"                      \
    }
#define REF(n, k, fl, text)                                                    \
    {                                                                          \
        .name = n, .type = GH_T_REF, .ref = k, .flags = fl, .help = text       \
    }
#define ENUM(n, list, std, text)                                               \
    {                                                                          \
        .name = n, .type = GH_T_ENUM, .values = list, .standard = std,         \
        .help = text                                                           \
    }
#define BOOL(n, text)                                                          \
    {                                                                          \
        .name = n, .type = GH_T_BOOL, .standard = "false", .help = text        \
    }
#define INT(n, lo, hi, std, fl, text)                                          \
    {                                                                          \
        .name = n, .type = GH_T_INT, .min = lo, .max = hi, .standard = std,    \
        .flags = fl, .help = text                                              \
    }
#define DURATION(n, lo, hi, std, text)                                         \
    {                                                                          \
        .name = n, .type = GH_T_DURATION, .min = lo, .max = hi,                \
        .standard = std, .help = text                                          \
    }
#define LIST(n, lo, hi, el, fl, text)                                          \
    {                                                                          \
        .name = n, .type = GH_T_LIST, .min = lo, .max = hi, .of = el,          \
        .flags = fl, .help = text                                              \
    }
#define OBJECT(n, fields, text)                                                \
    {                                                                          \
        .name = n, .type = GH_T_OBJECT, .of = fields, .help = text             \
    }
#define ELEMENT_OBJECT(fields)                                                 \
    {                                                                          \
        .type = GH_T_OBJECT, .of = fields                                      \
    }
#define END                                                                    \
    {                                                                          \
        .name = NULL                                                           \
    }

#define SECOND UINT64_C(1000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

static const struct gh_field label = {.type = GH_T_TEXT, .min = 0, .max = 255};

static const char *const methods[] = {
    "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "OTHER", NULL};
static const char *const periods[] = {"second", "minute", "hour", "day", "week",
                                      "month",  "year",   "ever", NULL};
static const char *const modes[] = {"hard", "soft", "shadow", NULL};
static const char *const states[] = {"live", "pending", "suspended", NULL};
static const char *const store_down[] = {"bounded", "deny", "allow", NULL};
static const char *const algs[] = {"RS256", "PS256", "ES256", "EdDSA", NULL};

static const struct gh_field method = {.type = GH_T_ENUM, .values = methods};
static const struct gh_field alg = {.type = GH_T_ENUM, .values = algs};

/* ---- services */

static const struct gh_field upstream = {
    .type = GH_T_TEXT, .format = GH_F_UPSTREAM, .min = 1, .max = 200};

static const struct gh_field service_fields[] = {
    NAME_FIELD,
    COMMON_FIELDS,
    TEXT("url", GH_F_UPSTREAM, 200,
         "a plain upstream: http://IP:PORT, http://localhost:PORT or "
         "unix:/PATH; names are not looked up"),
    LIST("urls", 1, 64, &upstream, 0, "several of them; calls are spread"),
    {.name = "compose",
     .type = GH_T_RAW,
     .help = "run by the house: one service of the Compose subset, with "
             "`x-gatehouse`"},
    BOOL("disabled", "calls are answered 503 and nothing runs"),
    END};

/* ---- idps */

static const struct gh_field public_key_fields[] = {
    TEXT("kid", GH_F_FREE, 255, "key id of the tokens that it verifies"),
    LIST("algs", 1, 4, &alg, 0,
         "what it may verify; as the provider's `algs` "
         "when absent"),
    {.name = "jwk",
     .type = GH_T_RAW,
     .flags = GH_REQUIRED,
     .help = "public JWK (RFC 7517)"},
    END};
static const struct gh_field public_key = ELEMENT_OBJECT(public_key_fields);

static const struct gh_field session_fields[] = {
    DURATION("idle", 10 * SECOND, 365 * DAY, "30m",
             "a login session ends when not used for this long"),
    DURATION("max", 10 * SECOND, 365 * DAY, "12h",
             "and always after this long"),
    END};

static const struct gh_field idp_fields[] = {
    NAME_FIELD,
    COMMON_FIELDS,
    {.name = "issuer",
     .type = GH_T_TEXT,
     .format = GH_F_URL,
     .min = 1,
     .max = 500,
     .flags = GH_REQUIRED,
     .help = "issuer identifier, exactly as in `iss`; https, or http on "
             "loopback"},
    {.name = "algs",
     .type = GH_T_LIST,
     .min = 1,
     .max = 4,
     .of = &alg,
     .standard = "[RS256]",
     .help = "signature algorithms that are taken; all others are refused"},
    DURATION("skew", 0, 600 * SECOND, "60s", "clock difference allowed"),
    TEXT("client_id", GH_F_FREE, 255, "ours at the provider; needed for login"),
    {.name = "client_secret",
     .type = GH_T_TEXT,
     .min = 1,
     .max = 4096,
     .flags = GH_SECRET,
     .help = "goes to gatehouse-idp alone; never stored in the catalog, never "
             "exported"},
    {.name = "client_secret_file",
     .type = GH_T_TEXT,
     .format = GH_F_FILE,
     .min = 2,
     .max = 1000,
     .flags = GH_SECRET,
     .help = "read it from this file (readable by gatehouse-control) instead"},
    {.name = "scopes",
     .type = GH_T_TEXT,
     .min = 1,
     .max = 500,
     .standard = "openid",
     .help = "asked for at login, with spaces between"},
    TEXT("origin", GH_F_ORIGIN, 300,
         "where browsers meet the gate; https, or http on loopback; needed "
         "for login"),
    {.name = "user_claim",
     .type = GH_T_TEXT,
     .format = GH_F_CLAIM,
     .min = 1,
     .max = 200,
     .standard = "sub",
     .help = "claim that names the user; `a.b` descends"},
    {.name = "client_claim",
     .type = GH_T_TEXT,
     .format = GH_F_CLAIM,
     .min = 1,
     .max = 200,
     .standard = "azp",
     .help = "claim that names the client, which an application lists"},
    {.name = "roles_claim",
     .type = GH_T_TEXT,
     .format = GH_F_CLAIM,
     .min = 1,
     .max = 200,
     .standard = "roles",
     .help = "claim with the user's roles"},
    OBJECT("session", session_fields, "lifetimes of login sessions"),
    LIST("keys", 1, 32, &public_key, 0,
         "public keys known beforehand, beside those that the provider "
         "publishes"),
    END};

/* ---- apis */

static const struct gh_field key_fields[] = {
    TEXT("header", GH_F_HEADER, 100, "header that holds the key"),
    TEXT("query", GH_F_TOKEN, 100, "query argument that holds it"),
    TEXT("cookie", GH_F_TOKEN, 100, "cookie that holds it"), END};

static const struct gh_field id_key_fields[] = {
    {.name = "id_header",
     .type = GH_T_TEXT,
     .format = GH_F_HEADER,
     .min = 1,
     .max = 100,
     .standard = "X-App-Id",
     .help = "header with the application's name"},
    {.name = "key_header",
     .type = GH_T_TEXT,
     .format = GH_F_HEADER,
     .min = 1,
     .max = 100,
     .standard = "X-App-Key",
     .help = "header with its key"},
    END};

static const struct gh_field jwt_fields[] = {
    REF("idp", GH_KIND_IDP, GH_REQUIRED, "who issues the tokens"),
    {.name = "audience",
     .type = GH_T_TEXT,
     .min = 1,
     .max = 500,
     .flags = GH_REQUIRED,
     .help = "must be in `aud`"},
    END};
static const struct gh_field jwt = ELEMENT_OBJECT(jwt_fields);

static const struct gh_field credential_fields[] = {
    {.name = "api_key",
     .type = GH_T_OBJECT,
     .of = key_fields,
     .shorthand = "header",
     .help = "an API key; header X-API-Key when nothing else is named"},
    OBJECT("app_id_key", id_key_fields, "application id and key, two headers"),
    LIST("jwt", 1, 8, &jwt, 0, "`Authorization: Bearer` tokens of these"),
    REF("login", GH_KIND_IDP, 0, "browsers log in there"),
    REF("anonymous", GH_KIND_APP, 0,
        "calls without any credential are counted for this application"),
    END};

static const struct gh_field role = {
    .type = GH_T_TEXT, .format = GH_F_FREE, .min = 1, .max = 200};
static const struct gh_field host = {
    .type = GH_T_TEXT, .format = GH_F_HOST, .min = 1, .max = 253};
static const struct gh_field header = {
    .type = GH_T_TEXT, .format = GH_F_HEADER, .min = 1, .max = 100};

static const struct gh_field metric_fields[] = {
    {.name = "name",
     .type = GH_T_NAME,
     .flags = GH_REQUIRED,
     .help = "metric or method"},
    {.name = "parent",
     .type = GH_T_NAME,
     .help = "a hit counts for it too; at most 8 deep"},
    END};
static const struct gh_field metric = {
    .type = GH_T_OBJECT, .of = metric_fields, .shorthand = "name"};

static const struct gh_field rule_fields[] = {
    LIST("methods", 1, 8, &method, 0, "HTTP methods; any when absent"),
    TEXT("path", GH_F_TEMPLATE, 1000,
         "template below the API's path: `{x}` one segment, a last `**` any "
         "rest; any path when absent"),
    {.name = "metric",
     .type = GH_T_NAME,
     .flags = GH_REQUIRED,
     .help = "what a match counts"},
    INT("cost", 1, GH_COST_MAX, "1", 0, "how much it counts"),
    BOOL("last", "no rule after it is looked at"),
    END};
static const struct gh_field rule = ELEMENT_OBJECT(rule_fields);

#define LIMIT_FIELDS                                                           \
    {.name = "metric",                                                         \
     .type = GH_T_NAME,                                                        \
     .standard = "hits",                                                       \
     .help = "what is limited; `hits` counts every call"},                     \
        {.name = "period",                                                     \
         .type = GH_T_ENUM,                                                    \
         .values = periods,                                                    \
         .flags = GH_REQUIRED,                                                 \
         .help = "calendar period, UTC"},                                      \
        INT("value", 0, GH_LIMIT_MAX, NULL, GH_REQUIRED,                       \
            "at most so many; 0 refuses all"),                                 \
        ENUM("mode", modes, "hard",                                            \
             "hard refuses, soft admits and marks, shadow only counts")

static const struct gh_field api_limit_fields[] = {LIMIT_FIELDS, END};
static const struct gh_field api_limit = ELEMENT_OBJECT(api_limit_fields);
static const struct gh_field plan_limit_fields[] = {
    REF("api", GH_KIND_API, 0,
        "over this API alone; over all of the plan "
        "when absent"),
    LIMIT_FIELDS, END};
static const struct gh_field plan_limit = ELEMENT_OBJECT(plan_limit_fields);

static const struct gh_field api_fields[] = {
    NAME_FIELD,
    COMMON_FIELDS,
    {.name = "hosts",
     .type = GH_T_LIST,
     .min = 1,
     .max = 64,
     .of = &host,
     .standard = "[\"*\"]",
     .help = "host names without port; `*` is any that no other API names"},
    {.name = "path",
     .type = GH_T_TEXT,
     .format = GH_F_PREFIX,
     .min = 1,
     .max = 200,
     .standard = "/",
     .help = "path prefix on whole segments; the longest wins"},
    BOOL("strip_prefix", "the backend sees the path below the prefix"),
    REF("service", GH_KIND_SERVICE, GH_REQUIRED, "who answers"),
    OBJECT("credentials", credential_fields,
           "ways to authenticate; an API key in X-API-Key when absent"),
    LIST("roles", 1, 64, &role, 0,
         "a caller with a token or session needs one of them"),
    {.name = "claim_headers",
     .type = GH_T_MAP,
     .min = 1,
     .max = 32,
     .of = &header,
     .help = "claim to header for the backend; clients cannot send it"},
    BOOL("keep_credentials", "the backend sees the client's credential"),
    BOOL("classic_headers", "X-RateLimit-Limit, -Remaining and -Reset too"),
    BOOL("rules_only", "a path that no rule matches is 404 `no_rule`"),
    LIST("metrics", 0, GH_METRICS_MAX - 1, &metric, 0,
         "what is counted beside `hits`"),
    LIST("rules", 0, GH_RULES_MAX, &rule, 0,
         "method and path to metric; all matching rules add up"),
    LIST("limits", 0, GH_LIMITS_MAX, &api_limit, 0,
         "of the API over all its callers"),
    END};

/* ---- plans, accounts, apps */

static const struct gh_field allow_fields[] = {
    LIST("methods", 1, 8, &method, 0, "HTTP methods; any when absent"),
    TEXT("path", GH_F_TEMPLATE, 1000,
         "template below the API's path; any "
         "path when absent"),
    END};
static const struct gh_field allow = {
    .type = GH_T_OBJECT, .of = allow_fields, .shorthand = "path"};

static const struct gh_field entitlement_fields[] = {
    REF("api", GH_KIND_API, GH_REQUIRED, "an API that may be called"),
    LIST("allow", 1, GH_RULES_MAX, &allow, 0,
         "only these methods and paths; the whole API when absent"),
    END};
static const struct gh_field entitlement = {
    .type = GH_T_OBJECT, .of = entitlement_fields, .shorthand = "api"};

static const struct gh_field plan_fields[] = {
    NAME_FIELD,
    COMMON_FIELDS,
    LIST("apis", 0, 256, &entitlement, 0, "what may be called"),
    LIST("limits", 0, GH_LIMITS_MAX, &plan_limit, 0, "and how often"),
    ENUM("on_store_down", store_down, "bounded",
         "when Redis is away and what was leased is spent"),
    DURATION("bounded_for", SECOND, 24 * HOUR, "5m",
             "how long `bounded` admits calls"),
    END};

static const struct gh_field account_fields[] = {
    NAME_FIELD, COMMON_FIELDS,
    REF("plan", GH_KIND_PLAN, 0,
        "account plan: its limits hold for all applications together"),
    ENUM("state", states, "live", "suspended: all its calls are refused"), END};

static const struct gh_field client_fields[] = {
    REF("idp", GH_KIND_IDP, GH_REQUIRED, "the provider that knows it"),
    {.name = "client_id",
     .type = GH_T_TEXT,
     .min = 1,
     .max = 255,
     .flags = GH_REQUIRED,
     .help = "its client id there"},
    END};
static const struct gh_field client = ELEMENT_OBJECT(client_fields);

static const struct gh_field app_fields[] = {
    NAME_FIELD,
    COMMON_FIELDS,
    REF("account", GH_KIND_ACCOUNT, GH_REQUIRED, "whose it is"),
    REF("plan", GH_KIND_PLAN, GH_REQUIRED, "what it may do"),
    ENUM("state", states, "live", "only a live one may call"),
    LIST("clients", 0, 64, &client, 0,
         "OIDC clients whose tokens and logins count as this application"),
    END};

const struct gh_schema gh_schemas[GH_KINDS] = {
    {GH_KIND_SERVICE, "service", "services",
     "A backend: a plain upstream address, or run by the house.",
     service_fields},
    {GH_KIND_IDP, "idp", "idps",
     "An OpenID provider whose tokens and logins are taken.", idp_fields},
    {GH_KIND_API, "api", "apis",
     "What is published: hosts and path, the service behind, credentials, "
     "metrics.",
     api_fields},
    {GH_KIND_PLAN, "plan", "plans", "What may be called and how often.",
     plan_fields},
    {GH_KIND_ACCOUNT, "account", "accounts", "A customer.", account_fields},
    {GH_KIND_APP, "app", "apps", "A customer's client on a plan; holds keys.",
     app_fields},
};

const char *
gh_kind_name(enum gh_kind k)
{
    return gh_schemas[k].name;
}

const char *
gh_kind_plural(enum gh_kind k)
{
    return gh_schemas[k].plural;
}

int
gh_kind_find(struct gh_slice word)
{
    for (int k = 0; k < GH_KINDS; k++)
        if (gh_slice_eq_str(word, gh_schemas[k].name) ||
            gh_slice_eq_str(word, gh_schemas[k].plural))
            return k;
    return -1;
}

const struct gh_field *
gh_document_field(const struct gh_field *fields, struct gh_slice name)
{
    for (const struct gh_field *f = fields; f->name != NULL; f++)
        if (gh_slice_eq_str(name, f->name))
            return f;
    return NULL;
}
