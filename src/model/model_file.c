/* The container of a .qn file; docs/FORMAT.md draws it. Nothing here knows what is in the
 * sections. */
#include <string.h>

#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "model/model_int.h"

/* Like PNG's: a byte that is not ASCII, and line ends that a text-mode copy would spoil. */
static const unsigned char magic[8] = {0x89, 'Q', 'U', 'E', 'R', 'N', '\r', '\n'};

static size_t align_up(size_t x) {
    return (x + QN_MODEL_ALIGN - 1) / QN_MODEL_ALIGN * QN_MODEL_ALIGN;
}

static void put_table(const qn_section *sections, size_t n_sections, size_t offset, qn_buf *out) {
    for (size_t i = 0; i < n_sections; i++) {
        qn_buf_put(out, sections[i].name, QN_MODEL_NAME_BYTES);
        qn_buf_put_u64(out, offset);
        qn_buf_put_u64(out, sections[i].len);
        qn_buf_put_u64(out, qn_hash64(sections[i].data, sections[i].len, 0));
        qn_buf_put_u64(out, 0);
        offset = align_up(offset + sections[i].len);
    }
}

static void put_header(size_t n_sections, size_t file_bytes, uint64_t table_hash, qn_buf *out) {
    qn_cleanup(qn_buf_done) qn_buf header = {0};
    qn_buf_put(&header, magic, sizeof magic);
    qn_buf_put_u32(&header, QN_MODEL_VERSION);
    qn_buf_put_u32(&header, (uint32_t)n_sections);
    qn_buf_put_u64(&header, 0); /* compatible features */
    qn_buf_put_u64(&header, 0); /* incompatible features */
    qn_buf_put_u64(&header, file_bytes);
    qn_buf_put_u64(&header, 0);
    qn_buf_put_u64(&header, table_hash);
    if (header.status == QN_OK)
        qn_buf_put_u64(&header, qn_hash64(header.data, header.len, 0));
    if (header.status != QN_OK)
        out->status = header.status;
    else
        qn_buf_put(out, header.data, header.len);
}

qn_status qn__container_write(const qn_section *sections, size_t n_sections, qn_buf *out,
                              qn_error *err) {
    QN_FAIL_IF(n_sections > QN_MODEL_MAX_SECTIONS, err, QN_ERR_INTERNAL, "too many model sections");
    size_t first = QN_MODEL_HEADER_BYTES + n_sections * QN_MODEL_ENTRY_BYTES, end = first;
    for (size_t i = 0; i < n_sections; i++)
        end = align_up(end + sections[i].len);
    QN_FAIL_IF(end > QN_LIMIT_MODEL_BYTES, err, QN_ERR_LIMIT, "the model takes more than %zu bytes",
               QN_LIMIT_MODEL_BYTES);
    qn_cleanup(qn_buf_done) qn_buf table = {0};
    put_table(sections, n_sections, first, &table);
    QN_TRY(qn_buf_status(&table, err));
    size_t max = out->max;
    if (!max) /* a model may be longer than ordinary text */
        out->max = QN_LIMIT_MODEL_BYTES;
    put_header(n_sections, end, qn_hash64(table.data, table.len, 0), out);
    qn_buf_put(out, table.data, table.len);
    for (size_t i = 0; i < n_sections; i++) {
        qn_buf_put(out, sections[i].data, sections[i].len);
        qn_buf_align(out, QN_MODEL_ALIGN);
    }
    out->max = max;
    return qn_buf_status(out, err);
}

/* Magic, length and checksum of the first 64 bytes, whose meaning never changes. */
static qn_status read_header(const unsigned char *bytes, size_t n, size_t *ret_n_sections,
                             uint64_t *ret_table_hash, qn_error *err) {
    size_t have = n < sizeof magic ? n : sizeof magic;
    QN_FAIL_IF(n == 0, err, QN_ERR_FORMAT, "the file is empty");
    QN_FAIL_IF(memcmp(bytes, magic, have) != 0, err, QN_ERR_FORMAT, "not a Quern model");
    QN_FAIL_IF(n < QN_MODEL_HEADER_BYTES, err, QN_ERR_FORMAT,
               "the model is truncated: only %zu bytes are there", n);
    qn_reader reader = {.data = bytes, .len = n, .pos = sizeof magic};
    uint32_t version = qn_reader_u32(&reader), n_sections = qn_reader_u32(&reader);
    (void)qn_reader_u64(&reader); /* compatible features may be ignored: that is what they are */
    uint64_t incompatible = qn_reader_u64(&reader), file_bytes = qn_reader_u64(&reader);
    (void)qn_reader_u64(&reader);
    *ret_table_hash = qn_reader_u64(&reader);
    QN_FAIL_IF(qn_reader_u64(&reader) != qn_hash64(bytes, QN_MODEL_HEADER_BYTES - 8, 0), err,
               QN_ERR_FORMAT, "the model is damaged: its header has a wrong checksum");
    QN_FAIL_IF(version == 0 || version > QN_MODEL_VERSION, err, QN_ERR_FORMAT,
               "the model has format version %u and this Quern reads up to %d: use a newer Quern",
               version, QN_MODEL_VERSION);
    QN_FAIL_IF(incompatible & ~QN_MODEL_KNOWN_INCOMPATIBLE, err, QN_ERR_FORMAT,
               "the model needs features this Quern does not know (flags %#llx): use a newer Quern",
               (unsigned long long)(incompatible & ~QN_MODEL_KNOWN_INCOMPATIBLE));
    QN_FAIL_IF(file_bytes > n, err, QN_ERR_FORMAT,
               "the model is truncated: %zu of %llu bytes are there", n,
               (unsigned long long)file_bytes);
    QN_FAIL_IF(file_bytes < n, err, QN_ERR_FORMAT, "the model is followed by %llu foreign bytes",
               (unsigned long long)(n - file_bytes));
    QN_FAIL_IF(n_sections > QN_MODEL_MAX_SECTIONS ||
                   QN_MODEL_HEADER_BYTES + (size_t)n_sections * QN_MODEL_ENTRY_BYTES > n,
               err, QN_ERR_FORMAT, "the model is damaged: it claims %u sections", n_sections);
    *ret_n_sections = n_sections;
    return QN_OK;
}

static bool name_is_fine(const char name[QN_MODEL_NAME_BYTES]) {
    size_t len = strnlen(name, QN_MODEL_NAME_BYTES);
    if (len == 0 || len == QN_MODEL_NAME_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
              name[i] == '_'))
            return false;
    }
    for (size_t i = len; i < QN_MODEL_NAME_BYTES; i++) {
        if (name[i])
            return false;
    }
    return true;
}

/* One entry. Sections stand in table order, each at the first multiple of 64 after the one before,
 * with zero bytes between, so a file has exactly one form. */
static qn_status read_entry(qn_reader *reader, size_t *at, qn_section *ret_section, qn_error *err) {
    qn_section section = {0};
    const void *name = qn_reader_bytes(reader, QN_MODEL_NAME_BYTES);
    QN_FAIL_IF(!name, err, QN_ERR_FORMAT, "the model is damaged: its section table ends early");
    memcpy(section.name, name, QN_MODEL_NAME_BYTES);
    uint64_t offset = qn_reader_u64(reader), len = qn_reader_u64(reader),
             hash = qn_reader_u64(reader);
    (void)qn_reader_u64(reader);
    QN_FAIL_IF(!name_is_fine(section.name), err, QN_ERR_FORMAT,
               "the model is damaged: a section has no proper name");
    QN_FAIL_IF(offset != *at || len > reader->len - *at || align_up(*at + len) > reader->len, err,
               QN_ERR_FORMAT, "the model is damaged: its section '%s' lies outside the file",
               section.name);
    section.data = reader->data + offset;
    section.len = len;
    *at = align_up(*at + len);
    QN_FAIL_IF(qn_hash64(section.data, section.len, 0) != hash, err, QN_ERR_FORMAT,
               "the model is damaged: its section '%s' has a wrong checksum", section.name);
    for (const unsigned char *p = section.data + section.len; p < reader->data + *at; p++)
        QN_FAIL_IF(*p, err, QN_ERR_FORMAT, "the model is damaged: stray bytes after section '%s'",
                   section.name);
    *ret_section = section;
    return QN_OK;
}

qn_status qn__container_read(const unsigned char *bytes, size_t n, qn_section *ret_sections,
                             size_t *ret_n_sections, qn_error *err) {
    size_t n_sections;
    uint64_t table_hash;
    QN_TRY(read_header(bytes, n, &n_sections, &table_hash, err));
    size_t at = QN_MODEL_HEADER_BYTES + n_sections * QN_MODEL_ENTRY_BYTES;
    QN_FAIL_IF(qn_hash64(bytes + QN_MODEL_HEADER_BYTES, at - QN_MODEL_HEADER_BYTES, 0) !=
                   table_hash,
               err, QN_ERR_FORMAT, "the model is damaged: its section table has a wrong checksum");
    qn_reader reader = {.data = bytes, .len = n, .pos = QN_MODEL_HEADER_BYTES};
    for (size_t i = 0; i < n_sections; i++) {
        QN_TRY(read_entry(&reader, &at, &ret_sections[i], err));
        for (size_t j = 0; j < i; j++)
            QN_FAIL_IF(!strcmp(ret_sections[i].name, ret_sections[j].name), err, QN_ERR_FORMAT,
                       "the model is damaged: it has two sections '%s'", ret_sections[i].name);
    }
    QN_FAIL_IF(at != n, err, QN_ERR_FORMAT, "the model is damaged: bytes after its last section");
    *ret_n_sections = n_sections;
    return QN_OK;
}
