/* What commands that make a model of another have in common: --output, --register, --alias. */
#include <string.h>

#include "base/file.h"
#include "cli/command.h"
#include "flow/made.h"

qn_status qn__cli_check_made(const qn_cli_args *args, const char *command, qn_error *err) {
    const char *output = qn__cli_value(args, "output");
    QN_FAIL_IF(!output, err, QN_ERR_USAGE, "'quern %s' needs --output FILE", command);
    QN_FAIL_IF(strlen(output) < 4 || strcmp(output + strlen(output) - 3, ".qn") != 0, err,
               QN_ERR_USAGE, "--output must end in .qn, not '%s'", output);
    QN_FAIL_IF(qn__cli_value(args, "alias") && !qn__cli_value(args, "register"), err, QN_ERR_USAGE,
               "--alias needs --register NAME");
    return QN_OK;
}

static qn_status register_made(const qn_cli_args *args, const char *name, const qn_buf *bytes,
                               json_t *result, qn_error *err) {
    const char *alias = qn__cli_value(args, "alias");
    int64_t version;
    QN_TRY(qn_made_register(args->folder, name, alias, bytes, &version, err));
    json_t *registered = json_pack("{s:s, s:I, s:s*}", "name", name, "version",
                                   (json_int_t)version, "alias", alias);
    return json_object_set_new(result, "registered", registered) == 0 ? QN_OK
                                                                      : qn_error_memory(err);
}

qn_status qn__cli_keep_made(const qn_cli_args *args, const qn_buf *bytes, const char *why_not,
                            json_t *result, qn_error *err) {
    const char *output = qn__cli_value(args, "output"), *name = qn__cli_value(args, "register");
    QN_TRY(qn_file_write(output, bytes->data, bytes->len, err));
    QN_FAIL_IF(name && why_not, err, QN_ERR_USAGE, "nothing to register: %s", why_not);
    if (name)
        QN_TRY(register_made(args, name, bytes, result, err));
    return json_object_set_new(result, "output", json_string(output)) == 0 ? QN_OK
                                                                           : qn_error_memory(err);
}

void qn__cli_put_registered(const json_t *result, qn_buf *out) {
    const json_t *registered = json_object_get(result, "registered");
    const char *alias = json_string_value(json_object_get(registered, "alias"));
    if (registered)
        qn_buf_printf(out, "Registered %s version %lld%s%s\n",
                      json_string_value(json_object_get(registered, "name")),
                      (long long)json_integer_value(json_object_get(registered, "version")),
                      alias ? " as " : "", alias ? alias : "");
}
