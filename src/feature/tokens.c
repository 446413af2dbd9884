#include "feature/tokens.h"

#include <string.h>

#include "base/mem.h"

void qn__tokens_done(qn__tokens *tokens) {
    if (!tokens)
        return;
    qn_buf_done(&tokens->text);
    qn_freep(&tokens->begin);
    qn_freep(&tokens->end);
    *tokens = (qn__tokens){0};
}

uint32_t qn__utf8_next(const char *bytes, size_t n, size_t *at) {
    const unsigned char *s = (const unsigned char *)bytes + *at;
    size_t left = n - *at;
    uint32_t c = s[0];
    size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2
                  : c >= 0xF0 && c < 0xF5              ? 3 : 9;
    if (more == 9 || left <= more) {
        (*at)++;
        return UINT32_MAX;
    }
    c = more == 0 ? c : c & (0x3Fu >> more);
    for (size_t k = 1; k <= more; k++) {
        if ((s[k] & 0xC0) != 0x80) {
            (*at)++;
            return UINT32_MAX;
        }
        c = c << 6 | (s[k] & 0x3F);
    }
    *at += more + 1;
    return c;
}

static void put_utf8(qn_buf *out, uint32_t c) {
    char b[4];
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 1)
        b[0] = (char)c;
    for (size_t k = n - 1; n > 1 && k > 0; k--, c >>= 6)
        b[k] = (char)(0x80 | (c & 0x3F));
    if (n > 1)
        b[0] = (char)((0xF0u << (4 - n) & 0xFF) | c);
    qn_buf_put(out, b, n);
}

uint32_t qn__lower(uint32_t c) {
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if (c < 0x100)
        return c >= 0xC0 && c <= 0xDE && c != 0xD7 ? c + 32 : c;
    if (c < 0x180) { /* pairs; which of them is the capital changes twice */
        if (c == 0x130 || c == 0x131 || c == 0x138 || c == 0x149 || c == 0x17F)
            return c == 0x130 ? 'i' : c;
        if (c == 0x178)
            return 0xFF;
        bool odd_capitals = (c >= 0x139 && c <= 0x148) || c >= 0x179;
        return (c & 1) == odd_capitals ? c + 1 : c;
    }
    if (c >= 0x386 && c <= 0x3AB)
        return c == 0x386                 ? 0x3AC
               : c >= 0x388 && c <= 0x38A ? c + 37
               : c == 0x38C               ? 0x3CC
               : c == 0x38E || c == 0x38F ? c + 63
               : c >= 0x391 && c != 0x3A2 ? c + 32
                                          : c;
    if (c >= 0x400 && c <= 0x42F)
        return c < 0x410 ? c + 80 : c + 32;
    if ((c >= 0x460 && c <= 0x481) || (c >= 0x48A && c <= 0x4BF) || (c >= 0x4D0 && c <= 0x52F) ||
        (c >= 0x1E00 && c <= 0x1E95) || (c >= 0x1EA0 && c <= 0x1EFF))
        return c | 1;
    return c >= 0x531 && c <= 0x556 ? c + 48 : c;
}

bool qn__is_upper(uint32_t c) {
    return qn__lower(c) != c;
}

static bool is_space(uint32_t c) {
    return c <= 0x20 || c == 0x7F || c == 0x85 || c == 0xA0 || (c >= 0x2000 && c <= 0x200B) ||
           c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 ||
           c == UINT32_MAX;
}

/* A word of its own. */
static bool stands_alone(uint32_t c) {
    return c == '$' || (c >= 0xA2 && c <= 0xA5) || (c >= 0x20A0 && c <= 0x20CF) ||
           (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF);
}

bool qn__is_word(uint32_t c) {
    if (c < 0x80)
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_';
    if (c < 0xC0)
        return c == 0xAA || c == 0xB5 || c == 0xBA;
    return c != UINT32_MAX && c != 0xD7 && c != 0xF7 && !(c >= 0x2000 && c <= 0x206F) &&
           !(c >= 0x2190 && c <= 0x2BFF) && !(c >= 0x3000 && c <= 0x3004) &&
           !(c >= 0x3008 && c <= 0x3020) && !(c >= 0xFF00 && c <= 0xFF0F) &&
           !(c >= 0xFF1A && c <= 0xFF20);
}

static bool push(qn__tokens *t, int64_t begin, int64_t end) {
    if (t->n == t->cap) {
        size_t cap = t->cap ? (size_t)t->cap * 2 : 64;
        int64_t *grown = qn_realloc(t->begin, cap, sizeof *grown);
        if (!grown)
            return false;
        t->begin = grown;
        grown = qn_realloc(t->end, cap, sizeof *grown);
        if (!grown)
            return false;
        t->end = grown;
        t->cap = (int64_t)cap;
    }
    t->begin[t->n] = begin;
    t->end[t->n++] = end;
    return true;
}

qn_status qn__tokens_words(qn__tokens *tokens, const char *text, size_t n, qn_error *err) {
    qn_buf *out = &tokens->text;
    qn_buf_clear(out);
    tokens->n = 0;
    int64_t begin = -1; /* of the word being read */
    for (size_t at = 0; text && at < n;) {
        uint32_t c = qn__utf8_next(text, n, &at);
        bool alone = stands_alone(c), word = !alone && qn__is_word(c);
        if (begin >= 0 && !word) {
            if (!push(tokens, begin, (int64_t)out->len))
                return qn_error_memory(err);
            begin = -1;
        }
        if (!word && !alone)
            continue;
        if (begin < 0) {
            if (tokens->n > 0)
                qn_buf_put_char(out, ' ');
            begin = (int64_t)out->len;
        }
        put_utf8(out, qn__lower(c));
        if (alone) {
            if (!push(tokens, begin, (int64_t)out->len))
                return qn_error_memory(err);
            begin = -1;
        }
    }
    if (begin >= 0 && !push(tokens, begin, (int64_t)out->len))
        return qn_error_memory(err);
    return qn_buf_status(out, err);
}

static bool put_char(qn__tokens *tokens, uint32_t c) {
    int64_t begin = (int64_t)tokens->text.len;
    put_utf8(&tokens->text, c);
    return push(tokens, begin, (int64_t)tokens->text.len);
}

qn_status qn__tokens_chars(qn__tokens *tokens, const char *text, size_t n, qn_error *err) {
    qn_buf_clear(&tokens->text);
    tokens->n = 0;
    bool in_space = false, ok = true;
    for (size_t at = 0; text && at < n && ok;) {
        uint32_t c = qn__utf8_next(text, n, &at);
        if (is_space(c)) {
            in_space = true;
            continue;
        }
        if (in_space || tokens->n == 0)
            ok = put_char(tokens, ' ');
        in_space = false;
        ok = ok && put_char(tokens, qn__lower(c));
    }
    if (tokens->n > 0)
        ok = ok && put_char(tokens, ' ');
    return ok ? qn_buf_status(&tokens->text, err) : qn_error_memory(err);
}
