/* tokens.h - how text is cut up, defined exactly (also in README.md):
 *
 *   - Text is read as UTF-8; a byte that is not part of a well-formed sequence acts as a space.
 *   - Letters are lower-cased one code point at a time: ASCII, Latin-1, Latin Extended-A and Additional,
 *     Greek, Cyrillic and Armenian; others stay.
 *   - Word characters are ASCII letters, digits and '_', and code points from U+00AA on except
 *     punctuation, spaces, symbols (U+2000..206F, U+2190..2BFF, U+3000..3004, U+3008..3020, U+FF00..FF0F...).
 *   - A word is a run of word characters. A currency sign, and each of the CJK characters (U+3040..30FF,
 *     U+3400..9FFF), is a word alone. All else separates.
 *   - The words joined by single spaces are the "word text": an n-gram of words is a slice of it.
 *   - The lower-cased text with runs of white space as one space, and one space at each end, is the
 *     "character text": an n-gram of characters is a slice of n code points of it. */
#ifndef QN_FEATURE_TOKENS_H
#define QN_FEATURE_TOKENS_H

#include "base/buf.h"

typedef struct qn__tokens {
    qn_buf text;      /* owned; word text or character text */
    int64_t *begin;   /* owned; where token i begins; ends are in `end` */
    int64_t *end;     /* owned */
    int64_t n, cap;
} qn__tokens;

void qn__tokens_done(qn__tokens *tokens);
/* Replaces the contents by the words, or the code points, of `text` (NULL: none). */
qn_status qn__tokens_words(qn__tokens *tokens, const char *text, size_t n, qn_error *err)
    QN_MUST_USE;
qn_status qn__tokens_chars(qn__tokens *tokens, const char *text, size_t n, qn_error *err)
    QN_MUST_USE;

/* The next code point of bytes[*at..n), moving *at on; UINT32_MAX for a byte that is not UTF-8. */
uint32_t qn__utf8_next(const char *bytes, size_t n, size_t *at);
uint32_t qn__lower(uint32_t c);
bool qn__is_upper(uint32_t c);
bool qn__is_word(uint32_t c);

#endif
