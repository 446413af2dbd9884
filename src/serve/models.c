/* The models that are served: which they are, where they come from, and how a promotion becomes the
 * version that answers. A slot points at its present version; requests hold a reference to the one
 * they began with, so that a swap never mixes two. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "serve/served_int.h"
#include "store/workspace.h"

typedef struct slot {
    char *name;          /* owned */
    char *reference;     /* owned: of the registry; NULL: a file, which does not change */
    char *refused;       /* owned: hash of a version that would not open, so that it is told once */
    qn__served *current; /* owned reference */
} slot;

struct qn__models {
    pthread_mutex_t lock;       /* slots */
    slot *slots;                /* owned */
    size_t n, cap;
    bool named_first;           /* the first one was named by the user: it is the default */
    bool all_champions;         /* new champions join */
    pthread_mutex_t store_lock; /* workspace, pulse */
    qn_workspace *workspace;    /* owned; NULL: no registry is used */
    int64_t pulse;
};

/* --- slots ------------------------------------------------------------------------------------ */

static void slot_done(slot *s) {
    qn__served_release(s->current);
    qn_freep(&s->name);
    qn_freep(&s->reference);
    qn_freep(&s->refused);
}

void qn__models_free(qn__models **models) {
    if (!models || !*models)
        return;
    qn__models *m = *models;
    for (size_t i = 0; i < m->n; i++)
        slot_done(&m->slots[i]);
    qn_freep(&m->slots);
    qn_workspace_free(&m->workspace);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->store_lock);
    qn_freep(models);
}

/* Takes the reference to `served`, also on failure. */
static qn_status add_slot(qn__models *models, const char *reference, qn__served *served,
                          qn_error *err) {
    slot new = {.name = qn_strdup(served->name), .current = served,
                .reference = reference ? qn_strdup(reference) : NULL};
    bool ok = new.name && (new.reference || !reference);
    pthread_mutex_lock(&models->lock);
    if (ok && models->n == models->cap) {
        size_t cap = models->cap ? 2 * models->cap : 8;
        slot *larger = qn_realloc(models->slots, cap, sizeof *larger);
        ok = larger != NULL;
        models->slots = ok ? larger : models->slots;
        models->cap = ok ? cap : models->cap;
    }
    if (ok)
        models->slots[models->n++] = new;
    pthread_mutex_unlock(&models->lock);
    if (ok)
        return QN_OK;
    slot_done(&new);
    return qn_error_memory(err);
}

static bool has_reference(const qn__models *models, const char *reference) {
    for (size_t i = 0; i < models->n; i++)
        if (models->slots[i].reference && strcmp(models->slots[i].reference, reference) == 0)
            return true;
    return false;
}

/* --- opening ---------------------------------------------------------------------------------- */

static qn_status open_file(qn__models *models, const char *path, qn_error *err) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(base);
    qn_cleanup(qn_freep) char *name =
        qn_strndup(base, n > 3 && strcmp(base + n - 3, ".qn") == 0 ? n - 3 : n);
    struct stat info;
    qn__served *served;
    if (!name)
        return qn_error_memory(err);
    int64_t made_us = stat(path, &info) == 0 ? (int64_t)info.st_mtime * 1000000 : qn__wall_us();
    QN_TRY(qn__served_open(path, name, 0, "", made_us, &served, err));
    return add_slot(models, NULL, served, err);
}

static int is_model_file(const struct dirent *entry) {
    size_t n = strlen(entry->d_name);
    return n > 3 && strcmp(entry->d_name + n - 3, ".qn") == 0;
}

static qn_status open_folder(qn__models *models, const char *path, qn_error *err) {
    struct dirent **entries;
    int n = scandir(path, &entries, is_model_file, alphasort);
    if (n < 0)
        return qn_error_errno(err, "list", path);
    qn_status status = n ? QN_OK : qn_error_set(err, QN_ERR_NOT_FOUND,
                                                "there is no .qn file in the folder %s", path);
    for (int i = 0; i < n; i++) {
        qn_cleanup(qn_freep) char *file = qn_path_join(path, entries[i]->d_name);
        if (status == QN_OK)
            status = file ? open_file(models, file, err) : qn_error_memory(err);
        qn_freep(&entries[i]);
    }
    qn_freep(&entries);
    return status;
}

/* "2026-11-23T01:44:55.120Z" as microseconds; 0 when it is something else. */
static int64_t read_time(const char *text) {
    int y, mon, d, h, min;
    double s;
    if (sscanf(text, "%d-%d-%dT%d:%d:%lfZ", &y, &mon, &d, &h, &min, &s) != 6)
        return 0;
    /* Days from civil (Hinnant 2013). */
    y -= mon <= 2;
    int64_t era = y / 400, yoe = y - era * 400;
    int64_t doy = (153 * (mon + (mon > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t days = era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
    return ((days * 24 + h) * 60 + min) * 60000000 + (int64_t)(s * 1e6);
}

/* The version that a reference means now. NULL in *ret_served when it is `present`, or the one that
 * was refused before; its hash in *ret_hash unless it is `present`. Under the lock of the store. */
static qn_status open_reference(qn__models *models, const char *reference,
                                const qn__served *present, const char *refused,
                                qn__served **ret_served, char **ret_hash, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *entry = NULL;
    qn_cleanup(qn_freep) char *path = NULL;
    const char *name, *hash, *created = "";
    int64_t version;
    QN_TRY(qn_registry_get(models->workspace, reference, &entry, err));
    QN_TRY(qn_json_get_text(entry, "name", true, &name, err));
    QN_TRY(qn_json_get_text(entry, "hash", true, &hash, err));
    QN_TRY(qn_json_get_i64(entry, "version", true, &version, err));
    QN_TRY(qn_json_get_text(entry, "created", false, &created, err));
    *ret_served = NULL;
    if (present && present->version == version && strcmp(present->hash, hash) == 0)
        return QN_OK;
    if (ret_hash && !(*ret_hash = qn_strdup(hash)))
        return qn_error_memory(err);
    if (refused && strcmp(refused, hash) == 0)
        return QN_OK;
    QN_TRY(qn_object_path(models->workspace, hash, &path, err));
    return qn__served_open(path, name, version, hash, read_time(created), ret_served, err);
}

static qn_status add_reference(qn__models *models, const char *reference, qn_error *err) {
    qn__served *served;
    pthread_mutex_lock(&models->store_lock);
    qn_status status = open_reference(models, reference, NULL, NULL, &served, NULL, err);
    pthread_mutex_unlock(&models->store_lock);
    QN_TRY(status);
    return add_slot(models, reference, served, err);
}

/* Names of models that have a champion and are not served: a list of texts. Under the lock of the
 * store. */
static qn_status find_champions(qn__models *models, json_t **ret_names, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *all = NULL;
    qn_cleanup(qn_json_free) json_t *names = json_array();
    size_t i, k;
    json_t *entry, *alias;
    QN_TRY(qn_registry_list(models->workspace, NULL, &all, err));
    json_array_foreach(all, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        json_array_foreach(json_object_get(entry, "aliases"), k, alias) {
            if (!name || strcmp(json_string_value(alias), "champion") != 0)
                continue;
            pthread_mutex_lock(&models->lock);
            bool known = has_reference(models, name);
            pthread_mutex_unlock(&models->lock);
            if (!known && json_array_append_new(names, json_string(name)) != 0)
                return qn_error_memory(err);
        }
    }
    *ret_names = qn_steal(&names);
    return QN_OK;
}

typedef void tell_function(void *user, const char *message);

static void tell(tell_function *told, void *user, const char *format, ...) QN_PRINTF(3, 4);
static void tell(tell_function *told, void *user, const char *format, ...) {
    char message[1600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (told)
        told(user, message);
}

/* With `told`, what cannot be served is told and keeps nothing else out; without, it is an error. */
static qn_status add_champions(qn__models *models, tell_function *told, void *user, qn_error *err) {
    qn_cleanup(qn_json_free) json_t *names = NULL;
    qn_error why = {0};
    pthread_mutex_lock(&models->store_lock);
    qn_status status = find_champions(models, &names, err);
    pthread_mutex_unlock(&models->store_lock);
    QN_TRY(status);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!told)
            QN_TRY(add_reference(models, name, err));
        else if (add_reference(models, name, &why) == QN_OK)
            tell(told, user, "%s is served now", name);
        else
            tell(told, user, "the new champion of %s cannot be served: %s", name, why.message);
    }
    return QN_OK;
}

static bool is_file_name(const char *reference) {
    size_t n = strlen(reference);
    return strchr(reference, '/') || (n > 3 && strcmp(reference + n - 3, ".qn") == 0)
           || qn_file_exists(reference);
}

/* A bare word is a model's name, also where a project's folder of the same name lies beside. */
static bool is_folder_name(const char *reference) {
    return strchr(reference, '/') && qn_folder_exists(reference);
}

static qn_status open_all(qn__models *models, const qn_server_options *options, qn_error *err) {
    bool registry = options->n_models == 0;
    for (size_t i = 0; i < options->n_models; i++)
        registry |= !is_file_name(options->models[i]);
    if (registry) {
        QN_TRY(qn_workspace_open(options->folder, false, &models->workspace, err));
        QN_TRY(qn_workspace_pulse(models->workspace, &models->pulse, err));
    }
    for (size_t i = 0; i < options->n_models; i++) {
        const char *reference = options->models[i];
        QN_TRY(!is_file_name(reference)    ? add_reference(models, reference, err)
               : is_folder_name(reference) ? open_folder(models, reference, err)
                                           : open_file(models, reference, err));
    }
    models->named_first = options->n_models > 0 && !is_folder_name(options->models[0]);
    models->all_champions = options->n_models == 0;
    if (models->all_champions)
        QN_TRY(add_champions(models, NULL, NULL, err));
    QN_FAIL_IF(models->n == 0, err, QN_ERR_NOT_FOUND,
               "no model of the project has a champion yet: `quern run` registers one, "
               "or `quern models promote NAME:VERSION`");
    return QN_OK;
}

qn_status qn__models_new(const qn_server_options *options, qn__models **ret_models,
                         qn_error *err) {
    qn_cleanup(qn__models_free) qn__models *models = qn_new(qn__models);
    if (!models)
        return qn_error_memory(err);
    pthread_mutex_init(&models->lock, NULL);
    pthread_mutex_init(&models->store_lock, NULL);
    QN_TRY(open_all(models, options, err));
    *ret_models = qn_steal(&models);
    return QN_OK;
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool is_asked(const slot *s, const char *name, const char *version) {
    return (!name || strcmp(s->name, name) == 0)
           && (!version || strcmp(s->current->version_text, version) == 0);
}

/* Under the lock. */
static void tell_absent(const qn__models *models, const char *name, const char *version,
                        qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf there = {0};
    for (size_t i = 0; i < models->n && there.len < 400; i++)
        qn_buf_printf(&there, "%s%.80s", i ? ", " : "", models->slots[i].current->label);
    if (!name && models->n > 1)
        qn_error_set(err, QN_ERR_NOT_FOUND,
                     "several models are served (%s): name one in the path, or start with --model",
                     qn_buf_text(&there));
    else
        qn_error_set(err, QN_ERR_NOT_FOUND, "model '%.80s%s%.20s' is not served; there is: %s",
                     name ? name : "", version ? ":" : "", version ? version : "",
                     models->n ? qn_buf_text(&there) : "none");
}

qn__served *qn__models_get(qn__models *models, const char *name, const char *version,
                           qn_error *err) {
    qn__served *found = NULL;
    pthread_mutex_lock(&models->lock);
    bool any = name || models->n == 1 || models->named_first;
    for (size_t i = 0; any && i < models->n && !found; i++)
        if (is_asked(&models->slots[i], name, version))
            found = models->slots[i].current;
    if (found)
        atomic_fetch_add_explicit(&found->n_refs, 1, memory_order_relaxed);
    else
        tell_absent(models, name, version, err);
    pthread_mutex_unlock(&models->lock);
    return found;
}

qn_status qn__models_all(qn__models *models, qn__served ***ret, size_t *ret_n, qn_error *err) {
    pthread_mutex_lock(&models->lock);
    size_t n = models->n;
    qn__served **all = qn_new_array(qn__served *, n);
    for (size_t i = 0; all && i < n; i++) {
        all[i] = models->slots[i].current;
        atomic_fetch_add_explicit(&all[i]->n_refs, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&models->lock);
    if (!all)
        return qn_error_memory(err);
    *ret = all;
    *ret_n = n;
    return QN_OK;
}

/* --- changing --------------------------------------------------------------------------------- */

/* Puts a version in the slot of that reference; takes the reference to it. */
static void swap(qn__models *models, const char *reference, qn__served *served, char **ret_from) {
    qn__served *old = served;
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->n; i++) {
        slot *s = &models->slots[i];
        if (!s->reference || strcmp(s->reference, reference) != 0)
            continue;
        old = s->current;
        s->current = served;
        qn_freep(&s->refused);
        break;
    }
    pthread_mutex_unlock(&models->lock);
    *ret_from = qn_strdup(old->label);
    qn__served_release(old);
}

static void note_refused(qn__models *models, const char *reference, char **hash) {
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->n; i++) {
        slot *s = &models->slots[i];
        if (s->reference && strcmp(s->reference, reference) == 0) {
            qn_freep(&s->refused);
            s->refused = qn_steal(hash);
            break;
        }
    }
    pthread_mutex_unlock(&models->lock);
}

/* Under the lock of the store, by which slots only change here. */
static void refresh_slot(qn__models *models, const char *reference, qn__served *present,
                         const char *refused, tell_function *told, void *user) {
    qn_cleanup(qn_freep) char *hash = NULL;
    qn_cleanup(qn_freep) char *from = NULL;
    qn__served *served = NULL;
    qn_error err = {0};
    if (open_reference(models, reference, present, refused, &served, &hash, &err) != QN_OK) {
        tell(told, user, "%s stays %s: %s", reference, present->label, err.message);
        note_refused(models, reference, &hash);
    } else if (served) {
        qn_cleanup(qn_freep) char *to = qn_strdup(served->label);
        swap(models, reference, served, &from);
        tell(told, user, "%s is now %s (was %s)", reference, to ? to : "another",
             from ? from : "?");
    } else {
        /* No hash when it is the present one: what was refused may be tried again. */
        note_refused(models, reference, &hash);
    }
}

static void refresh_all(qn__models *models, tell_function *told, void *user) {
    for (size_t i = 0;; i++) {
        qn_cleanup(qn_freep) char *reference = NULL;
        qn_cleanup(qn_freep) char *refused = NULL;
        qn__served *present = NULL;
        pthread_mutex_lock(&models->lock);
        bool more = i < models->n;
        if (more && models->slots[i].reference) {
            reference = qn_strdup(models->slots[i].reference);
            refused = models->slots[i].refused ? qn_strdup(models->slots[i].refused) : NULL;
            present = models->slots[i].current;
            atomic_fetch_add(&present->n_refs, 1);
        }
        pthread_mutex_unlock(&models->lock);
        if (!more)
            return;
        if (reference)
            refresh_slot(models, reference, present, refused, told, user);
        qn__served_release(present);
    }
}

void qn__models_refresh(qn__models *models, tell_function *told, void *user) {
    if (!models->workspace)
        return;
    qn_error err = {0};
    int64_t pulse;
    pthread_mutex_lock(&models->store_lock);
    bool changed = qn_workspace_pulse(models->workspace, &pulse, &err) == QN_OK
                   && pulse != models->pulse;
    if (changed) {
        models->pulse = pulse;
        refresh_all(models, told, user);
    }
    pthread_mutex_unlock(&models->store_lock);
    if (changed && models->all_champions && add_champions(models, told, user, &err) != QN_OK)
        tell(told, user, "the registry cannot be read: %s", err.message);
}

qn_status qn__models_load(qn__models *models, const char *name, qn_error *err) {
    pthread_mutex_lock(&models->lock);
    bool known = false;
    for (size_t i = 0; i < models->n; i++)
        known |= strcmp(models->slots[i].name, name) == 0;
    pthread_mutex_unlock(&models->lock);
    if (known)
        return QN_OK;
    QN_FAIL_IF(!models->workspace, err, QN_ERR_NOT_FOUND,
               "there is no registry to load '%.80s' from: the server was started with files",
               name);
    return add_reference(models, name, err);
}

qn_status qn__models_unload(qn__models *models, const char *name, qn_error *err) {
    slot gone = {0};
    pthread_mutex_lock(&models->lock);
    for (size_t i = 0; i < models->n && !gone.name; i++) {
        if (strcmp(models->slots[i].name, name) != 0)
            continue;
        gone = models->slots[i];
        memmove(&models->slots[i], &models->slots[i + 1],
                (models->n - i - 1) * sizeof *models->slots);
        models->n--;
        models->named_first &= i > 0;
        models->all_champions = false;
    }
    if (!gone.name)
        tell_absent(models, name, NULL, err);
    pthread_mutex_unlock(&models->lock);
    if (!gone.name)
        return QN_ERR_NOT_FOUND;
    slot_done(&gone);
    return QN_OK;
}
