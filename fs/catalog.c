#include "fs/catalog.h"

#include "engine/base/ini.h"
#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_MODELS = 4096,
    MAX_FOLDERS = 64,
    MAX_TEXT = 1 << 20,
    TRY_AGAIN = 5, /* seconds after which a model with a problem is looked at again */
};

typedef struct waiting {
    void (*ready)(void *user);
    void *user;
    struct waiting *next;
} waiting;

typedef struct model {
    fsd_model_entry entry;
    struct timespec changed; /* of its model_index.json, when it was probed */
    double probed_at;
    bool asked, hash_asked, seen;
    waiting *waiting;
    fsd_catalog *catalog;
    struct model *next;
} model;

struct fsd_catalog {
    fsd_store *store;
    fsd_queue *queue;
    char data_dir[4096];
    char *external[MAX_FOLDERS]; /* models = DIR of fsdfs.ini */
    int externals;

    pthread_mutex_t lock; /* protects all below */
    model *models;        /* never freed before the end: probes point to them */
    double refreshed;
    void (*changed)(void *user, const char *name);
    void *changed_user;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- probes -------------------------------------------------------------------------------------- */

static void answered(model *m)
{
    fsd_catalog *catalog = m->catalog;
    void (*changed)(void *, const char *);
    waiting *list;
    void *user;

    pthread_mutex_lock(&catalog->lock);
    list = m->waiting;
    m->waiting = NULL;
    changed = catalog->changed;
    user = catalog->changed_user;
    pthread_mutex_unlock(&catalog->lock);
    while (list) {
        waiting *w = list;

        list = w->next;
        w->ready(w->user);
        fsd_free(w);
    }
    if (changed)
        changed(user, m->entry.name);
}

static void on_probe(void *user, const fsd_probe *probe)
{
    model *m = user;
    fsd_model_entry *entry = &m->entry;
    const bool embedded = entry->embedded;

    pthread_mutex_lock(&m->catalog->lock);
    m->asked = false;
    m->probed_at = now();
    entry->probed = true;
    entry->problem_status = probe->status;
    snprintf(entry->problem, sizeof entry->problem, "%s", probe->error.msg);
    if (!probe->status) {
        entry->limits = probe->limits;
        snprintf(entry->sampler, sizeof entry->sampler, "%s", probe->sampler);
        snprintf(entry->schedule, sizeof entry->schedule, "%s", probe->schedule);
        snprintf(entry->about, sizeof entry->about, "%s", probe->about);
        snprintf(entry->note, sizeof entry->note, "%s", probe->note);
    }
    pthread_mutex_unlock(&m->catalog->lock);
    if (probe->status)
        fsd_log("model %s: %s", entry->name, probe->error.msg);
    answered(m);
    if (!probe->status && embedded)
        fsd_catalog_want_hash(m->catalog, entry->name);
}

static void on_hash(void *user, const fsd_probe *probe)
{
    model *m = user;

    pthread_mutex_lock(&m->catalog->lock);
    if (!probe->status)
        memcpy(m->entry.hash, probe->hash, sizeof m->entry.hash);
    else
        m->hash_asked = false;
    pthread_mutex_unlock(&m->catalog->lock);
    answered(m);
}

/* Called without the lock. */
static void ask(fsd_catalog *catalog, model *m)
{
    fsd_error err;
    const fsd_status st = fsd_queue_probe(catalog->queue, m->entry.folder, false, on_probe, m, &err);

    if (st)
        on_probe(m, &(fsd_probe){.status = st, .error = err});
}

static model *find(fsd_catalog *catalog, const char *name)
{
    for (model *m = catalog->models; m; m = m->next) {
        if (m->seen && strcmp(m->entry.name, name) == 0)
            return m;
    }
    return NULL;
}

void fsd_catalog_want_hash(fsd_catalog *catalog, const char *name)
{
    char folder[4096] = "";
    model *m;

    pthread_mutex_lock(&catalog->lock);
    m = find(catalog, name);
    if (m && !m->hash_asked && !m->entry.hash[0]) {
        m->hash_asked = true;
        snprintf(folder, sizeof folder, "%s", m->entry.folder);
    }
    pthread_mutex_unlock(&catalog->lock);
    if (*folder && fsd_queue_probe(catalog->queue, folder, true, on_hash, m, NULL)) {
        pthread_mutex_lock(&catalog->lock);
        m->hash_asked = false;
        pthread_mutex_unlock(&catalog->lock);
    }
}

/* --- where models lie ---------------------------------------------------------------------------- */

static fsd_status visit_ini(void *user, const char *section, const char *key, const char *value,
                            int line, fsd_error *err)
{
    fsd_catalog *catalog = user;
    char path[4096];

    (void)line;
    if (*section || strcmp(key, "models") != 0)
        return fsd_fail(err, FSD_INVALID, "\"%s\" is not understood: models = DIR is", key);
    if (catalog->externals == MAX_FOLDERS)
        return fsd_fail(err, FSD_INVALID, "more than %d folders of models", MAX_FOLDERS);
    if (*value == '/')
        snprintf(path, sizeof path, "%s", value);
    else
        snprintf(path, sizeof path, "%s/%s", fsd_store_root(catalog->store), value);
    catalog->external[catalog->externals] = fsd_strdup(path);
    if (!catalog->external[catalog->externals])
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for a folder of models");
    catalog->externals++;
    return FSD_OK;
}

/* A model's folder; called with the lock. Names are kept to what the mount can show. */
static void add_model(fsd_catalog *catalog, const char *parent, const char *name, bool embedded,
                      bool external)
{
    char index[4096 + 512];
    struct stat info;
    model *m;
    int count = 0;

    if (name[0] == '.' || strlen(name) >= sizeof m->entry.name)
        return;
    snprintf(index, sizeof index, "%s/%s/model_index.json", parent, name);
    if (stat(index, &info) || !S_ISREG(info.st_mode))
        return;
    for (m = catalog->models; m && strcmp(m->entry.name, name) != 0; m = m->next)
        count++;
    if (m && m->seen)
        return; /* one of higher precedence has the name */
    index[strlen(index) - strlen("/model_index.json")] = '\0';
    if (!m) {
        if (count >= MAX_MODELS || !(m = fsd_alloc(sizeof *m)))
            return;
        m->catalog = catalog;
        m->next = catalog->models;
        catalog->models = m;
        snprintf(m->entry.name, sizeof m->entry.name, "%s", name);
    }
    if (strcmp(m->entry.folder, index) != 0 || info.st_mtim.tv_sec != m->changed.tv_sec ||
        info.st_mtim.tv_nsec != m->changed.tv_nsec) {
        m->entry.probed = false;
        m->entry.hash[0] = '\0';
        m->hash_asked = false;
    } else if (m->entry.problem_status && now() - m->probed_at > TRY_AGAIN) {
        m->entry.probed = false;
    }
    snprintf(m->entry.folder, sizeof m->entry.folder, "%s", index);
    m->changed = info.st_mtim;
    m->entry.embedded = embedded;
    m->entry.external = external;
    m->seen = true;
}

static void scan(fsd_catalog *catalog, const char *parent, bool embedded, bool external)
{
    DIR *dir = opendir(parent);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        add_model(catalog, parent, entry->d_name, embedded, external);
    if (dir)
        closedir(dir);
}

void fsd_catalog_refresh(fsd_catalog *catalog)
{
    model *to_ask[64];
    char path[4096 + 16];
    int count = 0;

    pthread_mutex_lock(&catalog->lock);
    if (catalog->refreshed > 0 && now() - catalog->refreshed < 1) {
        pthread_mutex_unlock(&catalog->lock);
        return;
    }
    catalog->refreshed = now();
    for (model *m = catalog->models; m; m = m->next)
        m->seen = false;
    snprintf(path, sizeof path, "%s/models", fsd_store_root(catalog->store));
    scan(catalog, path, false, false);
    for (int i = 0; i < catalog->externals; i++)
        scan(catalog, catalog->external[i], false, true);
    snprintf(path, sizeof path, "%s/models", catalog->data_dir);
    scan(catalog, path, true, false);
    for (model *m = catalog->models; m && count < 64; m = m->next) {
        if (m->seen && !m->entry.probed && !m->asked) {
            m->asked = true;
            to_ask[count++] = m;
        }
    }
    pthread_mutex_unlock(&catalog->lock);
    for (int i = 0; i < count; i++)
        ask(catalog, to_ask[i]);
}

fsd_status fsd_catalog_open(fsd_catalog **out, fsd_store *store, fsd_queue *queue,
                            const char *data_dir, fsd_error *err)
{
    fsd_catalog *catalog = fsd_alloc(sizeof *catalog);
    char *text = NULL;
    size_t size = 0;
    fsd_status st;

    *out = NULL;
    if (!catalog)
        return fsd_fail(err, FSD_NO_MEMORY, "no memory for the models");
    catalog->store = store;
    catalog->queue = queue;
    snprintf(catalog->data_dir, sizeof catalog->data_dir, "%s", data_dir);
    pthread_mutex_init(&catalog->lock, NULL);
    st = fsd_store_read(store, "fsdfs.ini", MAX_TEXT, &text, &size, err);
    if (st == FSD_MISSING)
        st = FSD_OK;
    else if (!st)
        st = fsd_ini_parse(text, size, visit_ini, catalog, err);
    fsd_free(text);
    if (st) {
        fsd_wrap(err, st, "%s/fsdfs.ini", fsd_store_root(store));
        fsd_catalog_close(catalog);
        return st;
    }
    *out = catalog;
    fsd_catalog_refresh(catalog);
    return FSD_OK;
}

/* The queue is closed before: no probe is under way. */
void fsd_catalog_close(fsd_catalog *catalog)
{
    if (!catalog)
        return;
    while (catalog->models) {
        model *m = catalog->models;

        catalog->models = m->next;
        while (m->waiting) {
            waiting *w = m->waiting;

            m->waiting = w->next;
            fsd_free(w);
        }
        fsd_free(m);
    }
    for (int i = 0; i < catalog->externals; i++)
        fsd_free(catalog->external[i]);
    pthread_mutex_destroy(&catalog->lock);
    fsd_free(catalog);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

size_t fsd_catalog_list(fsd_catalog *catalog, char (**names)[256])
{
    size_t count = 0, i = 0;

    fsd_catalog_refresh(catalog);
    pthread_mutex_lock(&catalog->lock);
    for (const model *m = catalog->models; m; m = m->next)
        count += m->seen;
    *names = fsd_alloc_array(count + 1, sizeof **names);
    for (const model *m = catalog->models; m && *names; m = m->next) {
        if (m->seen)
            memcpy((*names)[i++], m->entry.name, sizeof **names);
    }
    pthread_mutex_unlock(&catalog->lock);
    if (i)
        qsort(*names, i, sizeof **names, by_name);
    return i;
}

bool fsd_catalog_get(fsd_catalog *catalog, const char *name, fsd_model_entry *out)
{
    const model *m;

    fsd_catalog_refresh(catalog);
    pthread_mutex_lock(&catalog->lock);
    m = find(catalog, name);
    if (m)
        *out = m->entry;
    pthread_mutex_unlock(&catalog->lock);
    return m != NULL;
}

void fsd_catalog_when_probed(fsd_catalog *catalog, const char *name, void (*ready)(void *user),
                             void *user)
{
    waiting *w = fsd_alloc(sizeof *w);
    bool now_ready = true;
    model *m;

    pthread_mutex_lock(&catalog->lock);
    m = find(catalog, name);
    if (w && m && !m->entry.probed) {
        *w = (waiting){ready, user, m->waiting};
        m->waiting = w;
        now_ready = false;
    }
    pthread_mutex_unlock(&catalog->lock);
    if (now_ready) {
        fsd_free(w);
        ready(user);
    }
}

void fsd_catalog_watch(fsd_catalog *catalog, void (*changed)(void *user, const char *name), void *user)
{
    pthread_mutex_lock(&catalog->lock);
    catalog->changed = changed;
    catalog->changed_user = user;
    pthread_mutex_unlock(&catalog->lock);
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    fsd_str text = {0};
    char piece[4096];
    size_t got;

    if (!file)
        return NULL;
    while ((got = fread(piece, 1, sizeof piece, file)) > 0 && text.length < MAX_TEXT)
        fsd_str_add_bytes(&text, piece, got);
    fclose(file);
    return fsd_str_take(&text);
}

char *fsd_catalog_model_ini(fsd_catalog *catalog, const char *name)
{
    char path[4096 + 512], *text;
    fsd_model_entry entry;

    snprintf(path, sizeof path, "models/%s/model.ini", name);
    if (fsd_store_read(catalog->store, path, MAX_TEXT, &text, NULL, NULL) == FSD_OK)
        return text;
    if (!fsd_catalog_get(catalog, name, &entry))
        return NULL;
    snprintf(path, sizeof path, "%s/model.ini", entry.folder);
    return read_text(path);
}

char *fsd_catalog_words(fsd_catalog *catalog, const char *name)
{
    char path[4096 + 512];
    fsd_model_entry entry;

    if (!fsd_catalog_get(catalog, name, &entry))
        return NULL;
    snprintf(path, sizeof path, "%s/words.txt", entry.folder);
    return read_text(path);
}
