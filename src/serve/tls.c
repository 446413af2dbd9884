/* TLS by GnuTLS, between socket and connection. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <string.h>

#include "base/file.h"
#include "serve/wire.h"

enum { PEM_BYTES = 1 << 20 };

struct qn__tls {
    gnutls_certificate_credentials_t credentials; /* owned */
};

static qn_status read_pem(qn__tls *tls, const char *cert, const char *key, qn_error *err) {
    gnutls_datum_t cert_pem = {0}, key_pem = {0};
    char *cert_text = NULL, *key_text = NULL;
    size_t n_cert = 0, n_key = 0;
    qn_status status = qn_file_read(cert, PEM_BYTES, &cert_text, &n_cert, err);
    if (status == QN_OK)
        status = qn_file_read(key, PEM_BYTES, &key_text, &n_key, err);
    cert_pem = (gnutls_datum_t){(unsigned char *)cert_text, (unsigned)n_cert};
    key_pem = (gnutls_datum_t){(unsigned char *)key_text, (unsigned)n_key};
    if (status == QN_OK
        && gnutls_certificate_set_x509_key_mem(tls->credentials, &cert_pem, &key_pem,
                                               GNUTLS_X509_FMT_PEM) < 0)
        status = qn_error_set(err, QN_ERR_IO, "the server cannot start: check that --tls-cert and "
                              "--tls-key are PEM files that belong together");
    if (key_text)
        explicit_bzero(key_text, n_key);
    qn_freep(&key_text);
    qn_freep(&cert_text);
    return status;
}

qn_status qn__tls_open(const char *cert, const char *key, qn__tls **ret_tls, qn_error *err) {
    qn_cleanup(qn__tls_free) qn__tls *tls = qn_new(qn__tls);
    if (!tls || gnutls_certificate_allocate_credentials(&tls->credentials) < 0)
        return qn_error_memory(err);
    QN_TRY(read_pem(tls, cert, key, err));
    *ret_tls = qn_steal(&tls);
    return QN_OK;
}

void qn__tls_free(qn__tls **tls) {
    if (!tls || !*tls)
        return;
    if ((*tls)->credentials)
        gnutls_certificate_free_credentials((*tls)->credentials);
    qn_freep(tls);
}

bool qn__tls_begin(const qn__tls *tls, qn__wire *wire) {
    static const gnutls_datum_t protocol = {(unsigned char *)"http/1.1", 8};
    gnutls_session_t session;
    if (gnutls_init(&session, GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) < 0)
        return false;
    wire->session = session;
    gnutls_transport_set_int(session, wire->fd);
    return gnutls_set_default_priority(session) >= 0
           && gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, tls->credentials) >= 0
           && gnutls_alpn_set_protocols(session, &protocol, 1, 0) >= 0;
}

/* -1 with errno for what GnuTLS calls an error; a direction it waits for is the wire's. */
static ssize_t as_errno(qn__wire *wire, ssize_t code) {
    if (code >= 0)
        return code;
    const bool later = code == GNUTLS_E_AGAIN || code == GNUTLS_E_INTERRUPTED;
    if (later && gnutls_record_get_direction(wire->session) == 1)
        wire->wants_out = true;
    errno = code == GNUTLS_E_INTERRUPTED ? EINTR : later ? EAGAIN : EIO;
    return -1;
}

static ssize_t tls_recv(qn__wire *wire, void *to, size_t n) {
    if (wire->state == QN__AT_END) /* to be dropped: it need not be understood */
        return recv(wire->fd, to, n, 0);
    while (!wire->shaken) {
        const int code = gnutls_handshake(wire->session);
        wire->shaken = code == GNUTLS_E_SUCCESS;
        if (code < 0 && (code == GNUTLS_E_AGAIN || gnutls_error_is_fatal(code)))
            return as_errno(wire, code);
    }
    return as_errno(wire, gnutls_record_recv(wire->session, to, n));
}

static ssize_t tls_send(qn__wire *wire, const void *bytes, size_t n, bool more) {
    return as_errno(wire, gnutls_record_send(wire->session, bytes, n));
}

static void tls_finish(qn__wire *wire) {
    if (wire->shaken)
        gnutls_bye(wire->session, GNUTLS_SHUT_WR);
    wire->shaken = false;
    shutdown(wire->fd, SHUT_WR);
}

const qn__transport qn__tls_transport = {tls_recv, tls_send, tls_finish, true};

void qn__tls_end(qn__wire *wire) {
    if (wire->shaken)
        gnutls_bye(wire->session, GNUTLS_SHUT_WR);
    gnutls_deinit(wire->session);
    wire->session = NULL;
}
