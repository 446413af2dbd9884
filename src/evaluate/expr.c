/* Expressions compile to a postfix program over a small stack, with jumps for `if`, so evaluation
 * neither recurses nor allocates per row. The parser is recursive descent, bounded by
 * QN_LIMIT_EXPR_DEPTH. */
#include "evaluate/expr.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/text.h"

typedef enum operation {
    OP_NUMBER, /* push number */
    OP_NAME,   /* push the value of names[arg] */
    OP_IS,     /* push whether names[arg] is the text texts[arg2] */
    OP_ISNT,
    OP_JUMP_FALSE, /* pop; go to arg when it is 0 */
    OP_JUMP,
    OP_NEGATE,
    OP_ABS,
    OP_LOG,
    OP_LOG1P,
    OP_EXP,
    OP_SQRT,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_MIN,
    OP_MAX,
} operation;

typedef struct instruction {
    operation op;
    int32_t arg, arg2;
    double number;
} instruction;

struct qn_expr {
    char *text;         /* owned */
    instruction *code;  /* owned */
    size_t n_code, cap_code;
    char **names;       /* owned; NULL-terminated */
    size_t n_names;
    char **texts;       /* owned: quoted texts */
    size_t n_texts;
};

void qn_expr_free(qn_expr **expr) {
    if (!expr || !*expr)
        return;
    for (size_t i = 0; (*expr)->names && i < (*expr)->n_names; i++)
        qn_freep(&(*expr)->names[i]);
    for (size_t i = 0; (*expr)->texts && i < (*expr)->n_texts; i++)
        qn_freep(&(*expr)->texts[i]);
    qn_freep(&(*expr)->names);
    qn_freep(&(*expr)->texts);
    qn_freep(&(*expr)->code);
    qn_freep(&(*expr)->text);
    qn_freep(expr);
}

const char *qn_expr_text(const qn_expr *expr) {
    return expr->text;
}

const char *qn_expr_name(const qn_expr *expr, size_t i_name) {
    return i_name < expr->n_names ? expr->names[i_name] : NULL;
}

/* --- parsing ---------------------------------------------------------------------------------- */

typedef struct parser {
    const char *text, *at; /* borrowed */
    const char *const *names;
    size_t n_names;
    int depth;
    qn_expr *expr; /* being built; borrowed */
    qn_error *err;
} parser;


static qn_status QN_PRINTF(3, 4) fail(parser *p, const char *at, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return qn_error_set(p->err, QN_ERR_CONFIG, "character %zu of '%s': %s",
                        (size_t)(at - p->text) + 1, p->text, message);
}

static void skip_space(parser *p) {
    while (*p->at && strchr(" \t\r\n", *p->at))
        p->at++;
}

static bool take(parser *p, const char *token) {
    skip_space(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0)
        return false;
    p->at += n;
    return true;
}

static qn_status emit(parser *p, instruction code) {
    qn_expr *e = p->expr;
    if (e->n_code == e->cap_code) {
        size_t cap = e->cap_code ? 2 * e->cap_code : 16;
        instruction *more = qn_realloc(e->code, cap, sizeof *more);
        if (!more)
            return qn_error_memory(p->err);
        e->code = more;
        e->cap_code = cap;
    }
    e->code[e->n_code++] = code;
    return QN_OK;
}

static qn_status emit_op(parser *p, operation op) {
    return emit(p, (instruction){.op = op});
}

/* Adds a copy of text[n] to a growing list, NULL-terminated, or finds it there. */
static qn_status intern(parser *p, char ***list, size_t *n_list, const char *text, int32_t *ret_i) {
    for (size_t i = 0; i < *n_list; i++) {
        if (!strcmp((*list)[i], text)) {
            *ret_i = (int32_t)i;
            return QN_OK;
        }
    }
    char **more = qn_realloc(*list, *n_list + 2, sizeof *more);
    if (!more)
        return qn_error_memory(p->err);
    *list = more;
    more[*n_list + 1] = NULL;
    if (!(more[*n_list] = qn_strdup(text)))
        return qn_error_memory(p->err);
    *ret_i = (int32_t)(*n_list)++;
    return QN_OK;
}

/* Reads "..." or '...' at p->at, a doubled quote standing for one, into text[QN_LIMIT_EXPR_BYTES +
 * 1]. */
static qn_status read_quoted(parser *p, char *text) {
    const char *start = p->at;
    char quote = *p->at++;
    size_t n = 0;
    for (; *p->at; p->at++) {
        if (*p->at == quote && *++p->at != quote) {
            text[n] = '\0';
            return QN_OK;
        }
        text[n++] = *p->at;
    }
    return fail(p, start, "the quote %c is not closed", quote);
}

static bool is_name_byte(char c, bool first) {
    unsigned char u = (unsigned char)c;
    return (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || u == '_' || u >= 0x80 ||
           (!first && u >= '0' && u <= '9');
}

static void read_bare(parser *p, char *text) {
    size_t n = 0;
    while (is_name_byte(*p->at, n == 0))
        text[n++] = *p->at++;
    text[n] = '\0';
}

static qn_status unknown_name(parser *p, const char *at, const char *name) {
    const char *nearest = qn_text_nearest(name, p->names, p->n_names);
    if (nearest)
        return fail(p, at, "there is no column '%s'; did you mean '%s'?", name, nearest);
    return fail(p, at, "there is no column '%s'", name);
}

static qn_status parse_comparison(parser *p);

static qn_status parse_name(parser *p, const char *at, const char *name) {
    for (size_t i = 0; i < p->n_names; i++) {
        if (!strcmp(p->names[i], name)) {
            instruction code = {.op = OP_NAME};
            QN_TRY(intern(p, &p->expr->names, &p->expr->n_names, name, &code.arg));
            return emit(p, code);
        }
    }
    return unknown_name(p, at, name);
}

static qn_status parse_if(parser *p) {
    qn_expr *e = p->expr;
    QN_TRY(parse_comparison(p));
    if (!take(p, ","))
        return fail(p, p->at, "if() takes a condition and two values: ',' expected");
    size_t i_false = e->n_code;
    QN_TRY(emit_op(p, OP_JUMP_FALSE));
    QN_TRY(parse_comparison(p));
    if (!take(p, ","))
        return fail(p, p->at, "if() takes a condition and two values: ',' expected");
    size_t i_end = e->n_code;
    QN_TRY(emit_op(p, OP_JUMP));
    e->code[i_false].arg = (int32_t)e->n_code;
    QN_TRY(parse_comparison(p));
    e->code[i_end].arg = (int32_t)e->n_code;
    return take(p, ")") ? QN_OK : fail(p, p->at, "')' expected");
}

static qn_status parse_min_max(parser *p, operation op, const char *name) {
    QN_TRY(parse_comparison(p));
    int n = 1;
    for (; take(p, ","); n++) {
        QN_TRY(parse_comparison(p));
        QN_TRY(emit_op(p, op));
    }
    if (!take(p, ")"))
        return fail(p, p->at, "',' or ')' expected");
    return n >= 2 ? QN_OK : fail(p, p->at, "%s() takes at least two values", name);
}

static qn_status parse_call(parser *p, const char *at, const char *name) {
    static const struct {
        const char *name;
        operation op;
    } functions[] = {{"abs", OP_ABS}, {"log", OP_LOG},   {"log1p", OP_LOG1P},
                     {"exp", OP_EXP}, {"sqrt", OP_SQRT}};
    if (!strcmp(name, "if"))
        return parse_if(p);
    if (!strcmp(name, "min"))
        return parse_min_max(p, OP_MIN, name);
    if (!strcmp(name, "max"))
        return parse_min_max(p, OP_MAX, name);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (!strcmp(name, functions[i].name)) {
            QN_TRY(parse_comparison(p));
            QN_TRY(emit_op(p, functions[i].op));
            return take(p, ")") ? QN_OK
                                : fail(p, p->at, "%s() takes one value: ')' expected", name);
        }
    }
    return fail(p, at,
                "there is no function '%s'; there are abs, exp, if, log, log1p, max, min, sqrt",
                name);
}

static qn_status parse_number(parser *p) {
    size_t n = strspn(p->at, "0123456789.");
    if (n && (p->at[n] == 'e' || p->at[n] == 'E')) {
        size_t sign = p->at[n + 1] == '+' || p->at[n + 1] == '-';
        size_t digits = strspn(p->at + n + 1 + sign, "0123456789");
        n += digits ? 1 + sign + digits : 0;
    }
    char text[64];
    instruction code = {.op = OP_NUMBER};
    if (n < sizeof text) {
        memcpy(text, p->at, n);
        text[n] = '\0';
    }
    if (n >= sizeof text || !qn_text_to_double(text, &code.number))
        return fail(p, p->at, "this is not a number");
    p->at += n;
    return emit(p, code);
}

/* number | name | name(arguments) | (expression) */
static qn_status parse_primary(parser *p) {
    skip_space(p);
    const char *at = p->at;
    if (take(p, "(")) {
        QN_TRY(parse_comparison(p));
        return take(p, ")") ? QN_OK : fail(p, p->at, "')' expected");
    }
    if (*at == '\'')
        return fail(
            p, at,
            "a 'text' can only be compared with a column, by == or !=; column names take \"\"");
    if ((*at >= '0' && *at <= '9') || *at == '.')
        return parse_number(p);
    qn_cleanup(qn_freep) char *name = qn_new_array(char, QN_LIMIT_EXPR_BYTES + 1);
    if (!name)
        return qn_error_memory(p->err);
    if (*at == '"') {
        QN_TRY(read_quoted(p, name));
        return parse_name(p, at, name);
    }
    if (!is_name_byte(*at, true))
        return *at ? fail(p, at, "a number, a column or '(' expected")
                   : fail(p, at, "the expression ends too early");
    read_bare(p, name);
    return take(p, "(") ? parse_call(p, at, name) : parse_name(p, at, name);
}

static qn_status parse_unary(parser *p) {
    int n_minus = 0;
    while (take(p, "-"))
        n_minus++;
    QN_TRY(parse_primary(p));
    return n_minus % 2 ? emit_op(p, OP_NEGATE) : QN_OK;
}

static qn_status parse_product(parser *p) {
    QN_TRY(parse_unary(p));
    for (;;) {
        operation op = take(p, "*") ? OP_MULTIPLY : take(p, "/") ? OP_DIVIDE : OP_NUMBER;
        if (op == OP_NUMBER)
            return QN_OK;
        QN_TRY(parse_unary(p));
        QN_TRY(emit_op(p, op));
    }
}

static qn_status parse_sum(parser *p) {
    QN_TRY(parse_product(p));
    for (;;) {
        operation op = take(p, "+") ? OP_ADD : take(p, "-") ? OP_SUBTRACT : OP_NUMBER;
        if (op == OP_NUMBER)
            return QN_OK;
        QN_TRY(parse_product(p));
        QN_TRY(emit_op(p, op));
    }
}

/* After `column ==` or `column !=`: turns the column just emitted and the text into one
 * instruction. */
static qn_status parse_text_test(parser *p, operation op, const char *at) {
    qn_expr *e = p->expr;
    instruction *last = &e->code[e->n_code - 1];
    if (last->op != OP_NAME || (op != OP_EQUAL && op != OP_NOT_EQUAL))
        return fail(p, at, "a 'text' can only be compared with a column, by == or !=");
    qn_cleanup(qn_freep) char *text = qn_new_array(char, QN_LIMIT_EXPR_BYTES + 1);
    if (!text)
        return qn_error_memory(p->err);
    QN_TRY(read_quoted(p, text));
    QN_TRY(intern(p, &e->texts, &e->n_texts, text, &last->arg2));
    last->op = op == OP_EQUAL ? OP_IS : OP_ISNT;
    return QN_OK;
}

static qn_status parse_compared(parser *p) {
    static const struct {
        const char *token;
        operation op;
    } tests[] = {{"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL}, {"==", OP_EQUAL},
                 {"!=", OP_NOT_EQUAL},  {"<", OP_LESS},           {">", OP_GREATER}};
    size_t first = p->expr->n_code;
    QN_TRY(parse_sum(p));
    skip_space(p);
    const char *at = p->at;
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (!take(p, tests[i].token))
            continue;
        skip_space(p);
        if (*p->at == '\'' && p->expr->n_code == first + 1)
            return parse_text_test(p, tests[i].op, at);
        QN_TRY(parse_sum(p));
        return emit_op(p, tests[i].op);
    }
    if (*at == '=')
        return fail(p, at, "equality is written ==");
    return QN_OK;
}

static qn_status parse_comparison(parser *p) {
    if (++p->depth > QN_LIMIT_EXPR_DEPTH)
        return qn_error_set(p->err, QN_ERR_LIMIT, "the expression is nested deeper than %d levels",
                            QN_LIMIT_EXPR_DEPTH);
    QN_TRY(parse_compared(p));
    p->depth--;
    return QN_OK;
}

qn_status qn_expr_compile(const char *text, const char *const *names, size_t n_names,
                          qn_expr **ret_expr, qn_error *err) {
    QN_FAIL_IF(strnlen(text, QN_LIMIT_EXPR_BYTES + 1) > QN_LIMIT_EXPR_BYTES, err, QN_ERR_LIMIT,
               "the expression is longer than %d bytes", QN_LIMIT_EXPR_BYTES);
    qn_cleanup(qn_expr_free) qn_expr *expr = qn_new(qn_expr);
    if (!expr || !(expr->text = qn_strdup(text)))
        return qn_error_memory(err);
    parser p = {
        .text = text, .at = text, .names = names, .n_names = n_names, .expr = expr, .err = err};
    QN_TRY(parse_comparison(&p));
    skip_space(&p);
    if (*p.at)
        return fail(&p, p.at, "nothing more expected here");
    *ret_expr = qn_steal(&expr);
    return QN_OK;
}

/* --- evaluation ------------------------------------------------------------------------------- */

/* Where a name's values are: a column of the frame or an extra. */
typedef struct binding {
    const qn_column *column; /* borrowed; NULL for an extra */
    const double *extra;     /* borrowed */
} binding;

/* The deepest stack: each level of nesting holds at most a comparison's left side, a sum's and a
 * product's, and the running value of min or max. */
enum { STACK = 4 * QN_LIMIT_EXPR_DEPTH + 4 };

typedef struct machine {
    const qn_expr *expr;
    const binding *bindings; /* expr->n_names */
    qn_error *err;
} machine;

static qn_status bind(const qn_expr *expr, const qn_frame *frame, const qn_expr_extra *extras,
                      size_t n_extras, binding *bindings, qn_error *err) {
    for (size_t i = 0; i < expr->n_names; i++) {
        for (size_t j = 0; j < n_extras && !bindings[i].extra; j++) {
            if (!strcmp(extras[j].name, expr->names[i]))
                bindings[i].extra = extras[j].values;
        }
        if (!bindings[i].extra)
            QN_TRY(qn_frame_get(frame, expr->names[i], &bindings[i].column, err));
    }
    return QN_OK;
}

static qn_status no_value(const machine *m, int32_t i_name, int64_t row, const char *why) {
    return qn_error_set_at(m->err, QN_ERR_DATA, NULL, row + 1, m->expr->names[i_name],
                           "the expression '%s' %s", m->expr->text, why);
}

static qn_status name_value(const machine *m, int32_t i_name, int64_t i, int64_t row,
                            double *ret_x) {
    const binding *b = &m->bindings[i_name];
    if (b->extra)
        *ret_x = b->extra[i];
    else if (b->column->type == QN_TYPE_CATEGORY || b->column->type == QN_TYPE_TEXT)
        return no_value(m, i_name, row, "needs a number, and this column is text");
    else
        *ret_x = qn_column_number(b->column, row);
    return isnan(*ret_x) ? no_value(m, i_name, row, "needs a value, and it is missing") : QN_OK;
}

static qn_status text_test(const machine *m, const instruction *code, int64_t row, double *ret_x) {
    const qn_column *column = m->bindings[code->arg].column;
    if (!column || (column->type != QN_TYPE_CATEGORY && column->type != QN_TYPE_TEXT))
        return no_value(m, code->arg, row, "compares with a text, and this column is not text");
    size_t n = 0;
    const char *have = qn_column_text(column, row, &n), *want = m->expr->texts[code->arg2];
    bool same = have && n == strlen(want) && !memcmp(have, want, n);
    *ret_x = same == (code->op == OP_IS);
    return QN_OK;
}

static double two(operation op, double a, double b) {
    switch (op) {
    case OP_ADD: return a + b;
    case OP_SUBTRACT: return a - b;
    case OP_MULTIPLY: return a * b;
    case OP_DIVIDE: return a / b;
    case OP_LESS: return a < b;
    case OP_LESS_EQUAL: return a <= b;
    case OP_GREATER: return a > b;
    case OP_GREATER_EQUAL: return a >= b;
    case OP_EQUAL: return a == b;
    case OP_NOT_EQUAL: return a != b;
    case OP_MIN: return b < a ? b : a;
    default: return b > a ? b : a;
    }
}

static double one(operation op, double a) {
    switch (op) {
    case OP_NEGATE: return -a;
    case OP_ABS: return fabs(a);
    case OP_LOG: return log(a);
    case OP_LOG1P: return log1p(a);
    case OP_EXP: return exp(a);
    default: return sqrt(a);
    }
}

static qn_status run_row(const machine *m, int64_t i, int64_t row, double *ret_x) {
    double stack[STACK] = {0};
    size_t n = 0;
    for (size_t at = 0; at < m->expr->n_code; at++) {
        const instruction *code = &m->expr->code[at];
        if (code->op == OP_NUMBER) {
            stack[n++] = code->number;
        } else if (code->op == OP_NAME) {
            QN_TRY(name_value(m, code->arg, i, row, &stack[n]));
            n++;
        } else if (code->op == OP_IS || code->op == OP_ISNT) {
            QN_TRY(text_test(m, code, row, &stack[n]));
            n++;
        } else if (code->op == OP_JUMP) {
            at = (size_t)code->arg - 1;
        } else if (code->op == OP_JUMP_FALSE) {
            if (stack[--n] == 0)
                at = (size_t)code->arg - 1;
        } else if (code->op <= OP_SQRT) {
            stack[n - 1] = one(code->op, stack[n - 1]);
        } else {
            n--;
            stack[n - 1] = two(code->op, stack[n - 1], stack[n]);
        }
    }
    if (!isfinite(stack[0]))
        return qn_error_set_at(m->err, QN_ERR_DATA, NULL, row + 1, NULL,
                               "the expression '%s' gives no finite number", m->expr->text);
    *ret_x = stack[0];
    return QN_OK;
}

qn_status qn_expr_eval(const qn_expr *expr, const qn_frame *frame, const int64_t *rows, int64_t n,
                       const qn_expr_extra *extras, size_t n_extras, double *values, size_t stride,
                       qn_error *err) {
    qn_cleanup(qn_freep) binding *bindings = qn_new_array(binding, expr->n_names);
    if (!bindings)
        return qn_error_memory(err);
    QN_TRY(bind(expr, frame, extras, n_extras, bindings, err));
    machine m = {.expr = expr, .bindings = bindings, .err = err};
    for (int64_t i = 0; i < n; i++)
        QN_TRY(run_row(&m, i, rows ? rows[i] : i, &values[(size_t)i * stride]));
    return QN_OK;
}
