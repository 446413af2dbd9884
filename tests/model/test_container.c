/* The container: what was written is read, every flipped bit and every cut is noticed and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "model/model_int.h"

static const qn_section sections[] = {
    {"manifest", (const unsigned char *)"{\"a\": 1}", 8},
    {"empty", (const unsigned char *)"", 0},
    {"learner",
     (const unsigned char *)"0123456789012345678901234567890123456789012345678901234567890123", 64},
};

static void write_sections(qn_buf *out) {
    assert_int_equal(qn__container_write(sections, 3, out, NULL), QN_OK);
}

/* Puts right the header's own checksum after a change. */
static void seal(unsigned char *bytes) {
    uint64_t hash = qn_hash64(bytes, 56, 0);
    for (int i = 0; i < 8; i++)
        bytes[56 + i] = (unsigned char)(hash >> 8 * i);
}

static qn_status read_bytes(const void *bytes, size_t n, qn_error *err) {
    qn_section got[QN_MODEL_MAX_SECTIONS];
    size_t n_sections;
    return qn__container_read(bytes, n, got, &n_sections, err);
}

static void reads_what_was_written(void **state) {
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    qn_section got[QN_MODEL_MAX_SECTIONS];
    size_t n = 0;
    write_sections(&file);
    assert_int_equal(file.len % QN_MODEL_ALIGN, 0);
    assert_int_equal(qn__container_read((unsigned char *)file.data, file.len, got, &n, NULL),
                     QN_OK);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(got[i].name, sections[i].name);
        assert_int_equal(got[i].len, sections[i].len);
        assert_memory_equal(got[i].data, sections[i].data, sections[i].len);
        assert_int_equal((size_t)(got[i].data - (unsigned char *)file.data) % QN_MODEL_ALIGN, 0);
    }
}

static void every_flipped_bit_is_noticed(void **state) {
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    write_sections(&file);
    for (size_t i = 0; i < 8 * file.len; i++) {
        qn_error err = {0};
        file.data[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(read_bytes(file.data, file.len, &err), QN_ERR_FORMAT);
        file.data[i / 8] ^= (char)(1 << i % 8);
    }
}

static void every_cut_is_noticed(void **state) {
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    write_sections(&file);
    for (size_t n = 0; n < file.len; n++) {
        qn_error err = {0};
        qn_cleanup(qn_freep) char *copy = qn_calloc(n, 1); /* so that the sanitizer sees reads beyond it */
        memcpy(copy, file.data, n);
        assert_int_equal(read_bytes(copy, n, &err), QN_ERR_FORMAT);
        if (n > 0)
            assert_non_null(strstr(err.message, "truncated"));
    }
}

static void expect(const char *bytes, size_t n, const char *message) {
    qn_error err = {0};
    assert_int_equal(read_bytes(bytes, n, &err), QN_ERR_FORMAT);
    assert_string_equal(err.message, message);
}

static void messages_say_what(void **state) {
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    write_sections(&file);
    char *bytes = file.data;
    size_t first = 64 + 3 * 64;
    expect("hello, world", 12, "not a Quern model");
    expect("", 0, "the file is empty");
    bytes[first + 3] ^= 1;
    expect(bytes, file.len, "the model is damaged: its section 'manifest' has a wrong checksum");
    bytes[first + 3] ^= 1;
    bytes[first + 64 - 1] = 1;
    expect(bytes, file.len, "the model is damaged: stray bytes after section 'manifest'");
    bytes[first + 64 - 1] = 0;
    bytes[64] ^= 1;
    expect(bytes, file.len, "the model is damaged: its section table has a wrong checksum");
    bytes[64] ^= 1;
    bytes[16] ^= 1;
    expect(bytes, file.len, "the model is damaged: its header has a wrong checksum");
    seal((unsigned char *)bytes); /* a compatible feature we do not know is fine */
    assert_int_equal(read_bytes(bytes, file.len, NULL), QN_OK);
    bytes[16] ^= 1;
    bytes[24] = 4;
    seal((unsigned char *)bytes);
    expect(bytes, file.len,
           "the model needs features this Quern does not know (flags 0x4): use a newer Quern");
    bytes[24] = 0;
    bytes[8] = 2;
    seal((unsigned char *)bytes);
    expect(bytes, file.len,
           "the model has format version 2 and this Quern reads up to 1: use a newer Quern");
    bytes[8] = 1;
    bytes[13] = 127; /* 32515 sections */
    seal((unsigned char *)bytes);
    expect(bytes, file.len, "the model is damaged: it claims 32515 sections");
    bytes[13] = 0;
    seal((unsigned char *)bytes);
    assert_int_equal(read_bytes(bytes, file.len, NULL), QN_OK);
    qn_buf_put_text(&file, "x");
    expect(file.data, file.len, "the model is followed by 1 foreign bytes");
}

/* A table whose checksums are right but whose content lies. */
static void lying_tables_are_refused(void **state) {
    static const struct {
        size_t at;
        unsigned char value;
    } lies[] = {{64 + 32, 1}, {64 + 33, 0}, {64 + 40, 255}, {64 + 47, 255},
                {64, 'M'},    {64, 0},      {64 + 20, 'x'}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        qn_cleanup(qn_buf_done) qn_buf file = {0};
        qn_error err = {0};
        write_sections(&file);
        unsigned char *bytes = (unsigned char *)file.data;
        bytes[lies[i].at] = lies[i].value;
        uint64_t hash = qn_hash64(bytes + 64, 3 * 64, 0);
        for (int k = 0; k < 8; k++)
            bytes[48 + k] = (unsigned char)(hash >> 8 * k);
        seal(bytes);
        assert_int_equal(read_bytes(bytes, file.len, &err), QN_ERR_FORMAT);
    }
    const qn_section twice[] = {sections[0], sections[0]};
    qn_cleanup(qn_buf_done) qn_buf file = {0};
    assert_int_equal(qn__container_write(twice, 2, &file, NULL), QN_OK);
    expect(file.data, file.len, "the model is damaged: it has two sections 'manifest'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(messages_say_what),
        cmocka_unit_test(lying_tables_are_refused),
    };
    return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}
