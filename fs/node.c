#include "fs/node.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "fs/place.h"
#include "fs/prompt_name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BUCKETS = 4096,
    KEEP_SECONDS = 600, /* an unmade picture's size and mtime after the kernel forgot it */
    MAX_FORGOTTEN = 4096,
    MAX_PATH = 4096,
};

struct fsd_tree {
    pthread_mutex_t lock; /* protects everything below, and every node's names and numbers */
    fsd_node *by_ino[BUCKETS], *by_name[BUCKETS];
    fsd_node *root;
    uint64_t next_ino;
    unsigned epoch;
    size_t forgotten; /* pictures kept though the kernel has forgotten them */
};

/* --- the names that stand in folders ------------------------------------------------------------- */

typedef enum when { LISTED, HIDDEN, PROBLEM, WORDS } when;

/* One row a file in the mount. HIDDEN ones are found by name only; PROBLEM.txt exists while something
 * is wrong, words.txt where the model has one. */
static const struct {
    fsd_kind folder;
    const char *name;
    fsd_kind kind;
    when when;
    fsd_text_fn say;
} ROWS[] = {
    {FSD_KIND_ROOT, "README.txt", FSD_KIND_TEXT, LISTED, fsd_text_root_readme},
    {FSD_KIND_ROOT, "status.txt", FSD_KIND_TEXT, LISTED, fsd_text_status},
    {FSD_KIND_ROOT, "PROBLEM.txt", FSD_KIND_TEXT, PROBLEM, fsd_text_problem},
    {FSD_KIND_ROOT, "log.txt", FSD_KIND_TEXT, HIDDEN, fsd_text_log},
    {FSD_KIND_ROOT, "generate.ini", FSD_KIND_INI, LISTED, NULL},
    {FSD_KIND_ROOT, "models", FSD_KIND_MODELS, LISTED, NULL},
    {FSD_KIND_ROOT, "sessions", FSD_KIND_SESSIONS, LISTED, NULL},
    {FSD_KIND_ROOT, ".fsdfs", FSD_KIND_HIDDEN, HIDDEN, NULL},
    {FSD_KIND_MODEL, "info.txt", FSD_KIND_TEXT, LISTED, fsd_text_info},
    {FSD_KIND_MODEL, "words.txt", FSD_KIND_TEXT, WORDS, fsd_text_words},
    {FSD_KIND_MODEL, "PROBLEM.txt", FSD_KIND_TEXT, PROBLEM, fsd_text_problem},
    {FSD_KIND_MODEL, "model.ini", FSD_KIND_INI, LISTED, NULL},
    {FSD_KIND_MODEL, "generate.ini", FSD_KIND_INI, LISTED, NULL},
    {FSD_KIND_MODEL, "out", FSD_KIND_OUT, LISTED, NULL},
    {FSD_KIND_MODEL, ".fsdfs", FSD_KIND_HIDDEN, HIDDEN, NULL},
    {FSD_KIND_SESSION, "README.txt", FSD_KIND_TEXT, LISTED, fsd_text_session_readme},
    {FSD_KIND_SESSION, "status.txt", FSD_KIND_TEXT, LISTED, fsd_text_session_status},
    {FSD_KIND_SESSION, "PROBLEM.txt", FSD_KIND_TEXT, PROBLEM, fsd_text_problem},
    {FSD_KIND_SESSION, "generate.ini", FSD_KIND_INI, LISTED, NULL},
    {FSD_KIND_SESSION, "out", FSD_KIND_OUT, LISTED, NULL},
    {FSD_KIND_SESSION, ".fsdfs", FSD_KIND_HIDDEN, HIDDEN, NULL},
    {FSD_KIND_HIDDEN, "status", FSD_KIND_TEXT, LISTED, fsd_text_live_status},
    {FSD_KIND_HIDDEN, "progress", FSD_KIND_TEXT, LISTED, fsd_text_progress},
    {FSD_KIND_HIDDEN, "queue", FSD_KIND_TEXT, LISTED, fsd_text_queue},
    {FSD_KIND_HIDDEN, "version", FSD_KIND_TEXT, LISTED, fsd_text_version},
    {FSD_KIND_HIDDEN, "control", FSD_KIND_CONTROL, LISTED, NULL},
    {FSD_KIND_HIDDEN, "preview.png", FSD_KIND_PREVIEW, HIDDEN, NULL},
    {FSD_KIND_OUT, ".made", FSD_KIND_MADE, HIDDEN, NULL},
};

enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

bool fsd_kind_is_folder(fsd_kind kind)
{
    return kind <= FSD_KIND_FOLDER;
}

static bool row_is_there(fsd_fs *fs, int i, const char *folder)
{
    char *words;

    switch (ROWS[i].when) {
    case PROBLEM:
        return fsd_problem_any(fs->problems, folder);
    case WORDS:
        words = fsd_catalog_words(fs->catalog, folder + strlen("models/"));
        fsd_free(words);
        return words != NULL;
    default:
        return true;
    }
}

static int find_row(fsd_kind folder, const char *name)
{
    for (int i = 0; i < ROW_COUNT; i++) {
        if (ROWS[i].folder == folder && strcmp(ROWS[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* --- the table of nodes -------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t hash_name(const fsd_node *parent, const char *name)
{
    uint64_t h = 0xcbf29ce484222325u ^ parent->ino;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return (size_t)(h >> 20) % BUCKETS;
}

fsd_tree *fsd_tree_new(void)
{
    fsd_tree *tree = fsd_alloc(sizeof *tree);
    fsd_node *root = fsd_alloc(sizeof *root);

    if (!tree || !root || !(root->name = fsd_strdup(""))) {
        fsd_free(root);
        fsd_free(tree);
        return NULL;
    }
    pthread_mutex_init(&tree->lock, NULL);
    root->ino = 1; /* FUSE's number for it */
    root->kind = FSD_KIND_ROOT;
    root->lookups = 1;
    clock_gettime(CLOCK_REALTIME, &root->mtime);
    tree->root = root;
    tree->by_ino[1] = root;
    tree->next_ino = 2;
    return tree;
}

static void node_free(fsd_node *node)
{
    fsd_free(node->name);
    fsd_free(node->text);
    fsd_free(node);
}

void fsd_tree_free(fsd_tree *tree)
{
    if (!tree)
        return;
    for (int i = 0; i < BUCKETS; i++) {
        while (tree->by_ino[i]) {
            fsd_node *node = tree->by_ino[i];

            tree->by_ino[i] = node->next_ino;
            node_free(node);
        }
    }
    pthread_mutex_destroy(&tree->lock);
    fsd_free(tree);
}

void fsd_tree_next_epoch(fsd_tree *tree)
{
    pthread_mutex_lock(&tree->lock);
    tree->epoch++;
    pthread_mutex_unlock(&tree->lock);
}

/* Below, "locked" functions are called with tree->lock. */

static fsd_node *locked_find(fsd_tree *tree, const fsd_node *parent, const char *name)
{
    fsd_node *node = tree->by_name[hash_name(parent, name)];

    while (node && (node->parent != parent || strcmp(node->name, name) != 0))
        node = node->next_name;
    return node;
}

static void locked_unname(fsd_tree *tree, fsd_node *node)
{
    fsd_node **link = &tree->by_name[hash_name(node->parent, node->name)];

    while (*link && *link != node)
        link = &(*link)->next_name;
    if (*link)
        *link = node->next_name;
    node->next_name = NULL;
}

static void locked_name(fsd_tree *tree, fsd_node *node)
{
    fsd_node **bucket = &tree->by_name[hash_name(node->parent, node->name)];

    node->next_name = *bucket;
    *bucket = node;
}

/* Nobody needs it any more: out of both tables, and its parent if that only waited for it. */
static void locked_drop(fsd_tree *tree, fsd_node *node)
{
    while (node != tree->root && !node->lookups && !node->children) {
        fsd_node **link = &tree->by_ino[node->ino % BUCKETS], *parent = node->parent;

        if (!node->detached)
            locked_unname(tree, node);
        while (*link != node)
            link = &(*link)->next_ino;
        *link = node->next_ino;
        if (node->forgotten > 0)
            tree->forgotten--;
        node_free(node);
        parent->children--;
        node = parent;
    }
}

/* Pictures that the kernel forgot long ago. */
static void locked_sweep(fsd_tree *tree)
{
    const double limit = now() - (tree->forgotten > 2 * MAX_FORGOTTEN ? 0 : KEEP_SECONDS);

    for (int i = 0; i < BUCKETS; i++) {
        for (fsd_node *node = tree->by_ino[i], *next; node; node = next) {
            next = node->next_ino;
            if (node->forgotten > 0 && node->forgotten < limit && !node->lookups && !node->children) {
                locked_drop(tree, node);
                next = tree->by_ino[i]; /* a parent in this bucket may have gone too */
            }
        }
    }
}

static fsd_node *locked_new(fsd_tree *tree, fsd_node *parent, const char *name, fsd_kind kind,
                            fsd_text_fn say)
{
    fsd_node *node = fsd_alloc(sizeof *node);
    fsd_node **bucket;

    if (!node || !(node->name = fsd_strdup(name))) {
        fsd_free(node);
        return NULL;
    }
    if (tree->forgotten > MAX_FORGOTTEN)
        locked_sweep(tree);
    node->ino = tree->next_ino++;
    node->kind = kind;
    node->parent = parent;
    node->say = say;
    node->epoch = tree->epoch;
    clock_gettime(CLOCK_REALTIME, &node->mtime);
    parent->children++;
    bucket = &tree->by_ino[node->ino % BUCKETS];
    node->next_ino = *bucket;
    *bucket = node;
    locked_name(tree, node);
    return node;
}

static void locked_detach(fsd_tree *tree, fsd_node *node)
{
    if (node->detached)
        return;
    locked_unname(tree, node);
    node->detached = true;
    locked_drop(tree, node);
}

static void locked_again(fsd_tree *tree, fsd_node *node)
{
    node->lookups++;
    if (node->forgotten > 0) {
        node->forgotten = 0;
        tree->forgotten--;
    }
}

fsd_node *fsd_node_get(fsd_fs *fs, uint64_t ino)
{
    fsd_tree *tree = fs->tree;
    fsd_node *node;

    pthread_mutex_lock(&tree->lock);
    node = tree->by_ino[ino % BUCKETS];
    while (node && node->ino != ino)
        node = node->next_ino;
    pthread_mutex_unlock(&tree->lock);
    return node;
}

void fsd_node_again(fsd_fs *fs, fsd_node *node)
{
    pthread_mutex_lock(&fs->tree->lock);
    locked_again(fs->tree, node);
    pthread_mutex_unlock(&fs->tree->lock);
}

void fsd_node_forget(fsd_fs *fs, uint64_t ino, uint64_t count)
{
    fsd_node *node = fsd_node_get(fs, ino);

    pthread_mutex_lock(&fs->tree->lock);
    if (node && node != fs->tree->root) {
        node->lookups -= count < node->lookups ? count : node->lookups;
        if (!node->lookups && node->kind == FSD_KIND_PICTURE && !node->detached) {
            node->forgotten = now();
            fs->tree->forgotten++;
        } else {
            locked_drop(fs->tree, node);
        }
    }
    pthread_mutex_unlock(&fs->tree->lock);
}

static bool locked_path(const fsd_node *node, char *out, size_t size)
{
    size_t at = size - 1;

    out[at] = '\0';
    for (; node->parent; node = node->parent) {
        const size_t n = strlen(node->name);

        if (at < n + 1)
            return false;
        if (at < size - 1)
            out[--at] = '/';
        at -= n;
        memcpy(out + at, node->name, n);
    }
    memmove(out, out + at, size - at);
    return true;
}

bool fsd_node_path(fsd_fs *fs, const fsd_node *node, char *out, size_t size)
{
    bool fits;

    pthread_mutex_lock(&fs->tree->lock);
    fits = locked_path(node, out, size);
    pthread_mutex_unlock(&fs->tree->lock);
    return fits;
}

/* The store's name of a picture in out/.made/ is that without it. */
static void real_path(char *path)
{
    char *made = strstr(path, "/.made");

    if (made)
        memmove(made, made + strlen("/.made"), strlen(made + strlen("/.made")) + 1);
}

static bool child_path(fsd_fs *fs, const fsd_node *folder, const char *name, char *out, size_t size)
{
    size_t used;

    if (!fsd_node_path(fs, folder, out, size))
        return false;
    used = strlen(out);
    if (snprintf(out + used, size - used, "%s%s", used ? "/" : "", name) >= (int)(size - used))
        return false;
    real_path(out);
    return true;
}

/* --- what a name is ------------------------------------------------------------------------------ */

typedef struct found {
    fsd_kind kind;
    fsd_text_fn say;
    uint64_t size; /* of a picture */
    bool made;
    struct timespec mtime;
} found;

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), k = strlen(end);

    return n > k && strcmp(name + n - k, end) == 0;
}

/* A name in out/ or a folder below it. */
static int find_in_out(fsd_fs *fs, const char *folder, const char *path, const char *name, bool made_only,
                       found *f, char wait_for[256])
{
    char picture[260];
    struct stat st;
    bool too_long;

    if (fsd_store_stat(fs->store, path, &st) == 0) {
        f->kind = S_ISDIR(st.st_mode)        ? made_only ? FSD_KIND_MADE : FSD_KIND_OUT
                  : ends_with(name, ".png") ? FSD_KIND_PICTURE
                  : strcmp(name, "generate.ini") == 0 ? FSD_KIND_INI
                                                       : FSD_KIND_FILE;
        f->made = true;
        f->size = (uint64_t)st.st_size;
        f->mtime = st.st_mtim;
        return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ? 0 : ENOENT;
    }
    if (made_only)
        return ENOENT;
    if (ends_with(name, ".txt") && strlen(name) < sizeof picture) {
        snprintf(picture, sizeof picture, "%.*s.png", (int)(strlen(name) - 4), name);
        if (fsd_prompt_name_plausible(picture, &too_long)) {
            f->kind = FSD_KIND_TWIN;
            return 0;
        }
    }
    if (fsd_prompt_name_plausible(name, &too_long)) {
        fsd_request request;

        if (!fsd_place_request(fs, folder, name, &request)) {
            snprintf(wait_for, 256, "%s", request.model.name);
            return EAGAIN;
        }
        f->kind = FSD_KIND_PICTURE;
        f->size = fsd_png_size(request.settings.width, request.settings.height);
        fsd_request_clear(&request);
        return 0;
    }
    return too_long ? ENAMETOOLONG : ENOENT;
}

static int find_real(fsd_fs *fs, const char *path, found *f)
{
    struct stat st;
    const int number = fsd_store_stat(fs->store, path, &st);

    if (number)
        return number;
    f->kind = S_ISDIR(st.st_mode) ? FSD_KIND_FOLDER : FSD_KIND_FILE;
    return S_ISDIR(st.st_mode) || S_ISREG(st.st_mode) ? 0 : ENOENT;
}

static int find_name(fsd_fs *fs, fsd_node *folder, const char *name, found *f, char wait_for[256])
{
    const int row = find_row(folder->kind, name);
    char where[MAX_PATH], path[MAX_PATH];
    fsd_model_entry entry;
    struct stat st;
    int number;

    if (strlen(name) > 255)
        return ENAMETOOLONG;
    if (!fsd_node_path(fs, folder, where, sizeof where) ||
        !child_path(fs, folder, name, path, sizeof path))
        return ENAMETOOLONG;
    if (row >= 0) {
        f->kind = ROWS[row].kind;
        f->say = ROWS[row].say;
        if (f->kind == FSD_KIND_PREVIEW && fsd_store_stat(fs->store, ".fsdfs/preview.png", &st))
            return ENOENT;
        return row_is_there(fs, row, where) ? 0 : ENOENT;
    }
    switch (folder->kind) {
    case FSD_KIND_MODELS:
        f->kind = FSD_KIND_MODEL;
        return fsd_catalog_get(fs->catalog, name, &entry) ? 0 : ENOENT;
    case FSD_KIND_SESSIONS:
        f->kind = FSD_KIND_SESSION;
        number = fsd_store_stat(fs->store, path, &st);
        return number ? number : S_ISDIR(st.st_mode) ? 0 : ENOENT;
    case FSD_KIND_OUT:
    case FSD_KIND_MADE:
        return find_in_out(fs, where, path, name, folder->kind == FSD_KIND_MADE, f, wait_for);
    case FSD_KIND_MODEL:
    case FSD_KIND_SESSION:
    case FSD_KIND_FOLDER:
        return find_real(fs, path, f);
    default:
        return ENOENT;
    }
}

/* What is known of it may be of another time: a picture that was made, an INI file that changed. */
static bool still_right(fsd_fs *fs, const fsd_node *node, const found *f)
{
    if (node->kind != f->kind)
        return false;
    return node->kind != FSD_KIND_PICTURE || f->made || node->epoch == fs->tree->epoch;
}

int fsd_node_lookup(fsd_fs *fs, fsd_node *folder, const char *name, fsd_node **out, char wait_for[256])
{
    fsd_tree *tree = fs->tree;
    found f = {0};
    const int number = find_name(fs, folder, name, &f, wait_for);
    fsd_node *node;

    pthread_mutex_lock(&tree->lock);
    node = locked_find(tree, folder, name);
    if (node && (number == ENOENT || (!number && !still_right(fs, node, &f)))) {
        locked_detach(tree, node);
        node = NULL;
    }
    if (!number && !node) {
        node = locked_new(tree, folder, name, f.kind, f.say);
        if (node && f.kind == FSD_KIND_PICTURE && f.made)
            node->mtime = f.mtime;
        if (node)
            node->size = f.size;
    }
    if (!number && node) {
        if (f.made)
            node->size = f.size;
        locked_again(tree, node);
    }
    pthread_mutex_unlock(&tree->lock);
    *out = number ? NULL : node;
    return number ? number : node ? 0 : ENOMEM;
}

/* --- attributes and texts ------------------------------------------------------------------------ */

/* Say the text anew; its mtime moves only with its content. */
static void renew_text(fsd_fs *fs, fsd_node *node, const char *folder, const char *path)
{
    fsd_str out = {0};
    char *text, *old = NULL, picture[260];
    size_t size;

    if (node->kind == FSD_KIND_TWIN) {
        snprintf(picture, sizeof picture, "%.*s.png", (int)(strlen(node->name) - 4), node->name);
        fsd_text_twin(fs, folder, picture, &out);
    } else if (node->kind == FSD_KIND_INI) {
        fsd_text_ini(fs, path, &out);
    } else {
        node->say(fs, folder, &out);
    }
    size = out.length;
    text = fsd_str_take(&out);
    pthread_mutex_lock(&fs->tree->lock);
    if (text && (!node->text || node->text_size != size || memcmp(node->text, text, size) != 0)) {
        old = node->text;
        node->text = text;
        node->text_size = size;
        clock_gettime(CLOCK_REALTIME, &node->mtime);
        text = NULL;
    }
    pthread_mutex_unlock(&fs->tree->lock);
    fsd_free(text);
    fsd_free(old);
}

static bool is_real_ini(fsd_fs *fs, const char *path, struct stat *st)
{
    return fsd_store_stat(fs->store, path, st) == 0 && S_ISREG(st->st_mode);
}

static void take_real(struct stat *st, const struct stat *real)
{
    st->st_mode = (real->st_mode & S_IFMT) | (S_ISDIR(real->st_mode) ? 0700 : real->st_mode & 0700);
    st->st_size = real->st_size;
    st->st_mtim = real->st_mtim;
    st->st_ctim = real->st_ctim;
    st->st_nlink = real->st_nlink;
}

int fsd_node_attr(fsd_fs *fs, fsd_node *node, struct stat *st, bool fresh)
{
    char path[MAX_PATH], folder[MAX_PATH] = "";
    struct stat real;

    if (!fsd_node_path(fs, node, path, sizeof path))
        return ENAMETOOLONG;
    real_path(path);
    if (node->parent)
        fsd_node_path(fs, node->parent, folder, sizeof folder);
    *st = (struct stat){.st_ino = node->ino, .st_uid = fs->uid, .st_gid = fs->gid, .st_nlink = 1,
                        .st_blksize = 1 << 17};
    if (fsd_kind_is_folder(node->kind)) {
        st->st_mode = S_IFDIR | 0700;
        st->st_nlink = 2;
        st->st_mtim = node->mtime;
        if (node->kind != FSD_KIND_HIDDEN && fsd_store_stat(fs->store, path, &real) == 0)
            st->st_mtim = real.st_mtim;
    } else if (node->kind == FSD_KIND_PICTURE) {
        st->st_mode = S_IFREG | 0600;
        pthread_mutex_lock(&fs->tree->lock);
        st->st_mtim = node->mtime;
        st->st_size = (off_t)node->size;
        pthread_mutex_unlock(&fs->tree->lock);
    } else if (node->kind == FSD_KIND_FILE || (node->kind == FSD_KIND_INI && is_real_ini(fs, path, &real))) {
        const int number = node->kind == FSD_KIND_FILE ? fsd_store_stat(fs->store, path, &real) : 0;

        if (number)
            return number;
        take_real(st, &real);
    } else if (node->kind == FSD_KIND_PREVIEW) {
        if (fsd_store_stat(fs->store, ".fsdfs/preview.png", &real))
            return ENOENT;
        take_real(st, &real);
    } else if (node->kind == FSD_KIND_CONTROL) {
        st->st_mode = S_IFREG | 0600;
        st->st_mtim = node->mtime;
    } else {
        if (fresh || !node->text)
            renew_text(fs, node, folder, path);
        st->st_mode = S_IFREG | (node->kind == FSD_KIND_INI ? 0600 : 0400);
        pthread_mutex_lock(&fs->tree->lock);
        st->st_mtim = node->mtime;
        st->st_size = (off_t)node->text_size;
        pthread_mutex_unlock(&fs->tree->lock);
    }
    if (!st->st_ctim.tv_sec)
        st->st_ctim = st->st_mtim;
    st->st_atim = st->st_mtim;
    st->st_blocks = (st->st_size + 511) / 512;
    return 0;
}

/* --- listing ------------------------------------------------------------------------------------- */

typedef struct listing {
    fsd_fs *fs;
    fsd_kind folder;
    fsd_listed *list;
    size_t count, capacity;
    int error;
} listing;

static void add(listing *l, const char *name, fsd_kind kind)
{
    if (l->count == l->capacity) {
        const size_t capacity = l->capacity ? 2 * l->capacity : 32;
        fsd_listed *grown = fsd_grow(l->list, capacity * sizeof *grown);

        if (!grown) {
            l->error = ENOMEM; /* a shorter list would be a lie that sync clients act on */
            return;
        }
        l->list = grown;
        l->capacity = capacity;
    }
    snprintf(l->list[l->count].name, sizeof l->list->name, "%s", name);
    l->list[l->count++].kind = kind;
}

static int add_real(void *user, const char *name, const struct stat *st)
{
    listing *l = user;
    const bool out = l->folder == FSD_KIND_OUT || l->folder == FSD_KIND_MADE;

    if (find_row(l->folder, name) >= 0 || (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode)))
        return 0;
    if (l->folder == FSD_KIND_SESSIONS) {
        if (S_ISDIR(st->st_mode))
            add(l, name, FSD_KIND_SESSION);
    } else if (l->folder != FSD_KIND_MADE || S_ISDIR(st->st_mode) || ends_with(name, ".png")) {
        add(l, name, S_ISDIR(st->st_mode) ? out ? l->folder : FSD_KIND_FOLDER : FSD_KIND_FILE);
    }
    return l->error;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const fsd_listed *)a)->name, ((const fsd_listed *)b)->name);
}

int fsd_node_list(fsd_fs *fs, fsd_node *folder, fsd_listed **list, size_t *count)
{
    listing l = {.fs = fs, .folder = folder->kind};
    char where[MAX_PATH];
    size_t rows;
    int number = 0;

    if (!fsd_node_path(fs, folder, where, sizeof where))
        return ENAMETOOLONG;
    for (int i = 0; i < ROW_COUNT; i++) {
        if (ROWS[i].folder == folder->kind && ROWS[i].when != HIDDEN && row_is_there(fs, i, where))
            add(&l, ROWS[i].name, ROWS[i].kind);
    }
    rows = l.count;
    real_path(where);
    if (folder->kind == FSD_KIND_MODELS) {
        char(*names)[256];
        const size_t n = fsd_catalog_list(fs->catalog, &names);

        for (size_t i = 0; i < n; i++)
            add(&l, names[i], FSD_KIND_MODEL);
        fsd_free(names);
    } else if (folder->kind != FSD_KIND_ROOT && folder->kind != FSD_KIND_HIDDEN) {
        number = fsd_store_list(fs->store, where, add_real, &l);
        if (number == ENOENT && folder->kind != FSD_KIND_FOLDER)
            number = 0; /* an out/ in which nothing was made yet */
    }
    number = l.error ? l.error : number;
    if (number) {
        fsd_free(l.list);
        return number;
    }
    if (l.count > rows)
        qsort(l.list + rows, l.count - rows, sizeof *l.list, by_name);
    *list = l.list;
    *count = l.count;
    return 0;
}

/* --- files --------------------------------------------------------------------------------------- */

int fsd_node_openat(fsd_fs *fs, fsd_node *node, int flags)
{
    char path[MAX_PATH];

    if (node->kind == FSD_KIND_PREVIEW) {
        snprintf(path, sizeof path, ".fsdfs/preview.png");
    } else if (!fsd_node_path(fs, node, path, sizeof path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    real_path(path);
    return fsd_store_openat(fs->store, path, (flags & ~(O_CREAT | O_EXCL)) | O_NOFOLLOW | O_NONBLOCK, 0);
}

bool fsd_node_is_made(fsd_fs *fs, const fsd_node *node)
{
    char path[MAX_PATH];
    struct stat st;

    if (node->detached || !fsd_node_path(fs, node, path, sizeof path))
        return false;
    real_path(path);
    return fsd_store_stat(fs->store, path, &st) == 0;
}

void fsd_node_made(fsd_fs *fs, fsd_node *node)
{
    const int fd = fsd_node_openat(fs, node, O_RDONLY);
    struct timespec times[2];

    if (fd < 0)
        return;
    pthread_mutex_lock(&fs->tree->lock);
    times[0] = times[1] = node->mtime;
    pthread_mutex_unlock(&fs->tree->lock);
    futimens(fd, times);
    close(fd);
}

int fsd_node_make_real(fsd_fs *fs, fsd_node *node)
{
    char path[MAX_PATH];
    fsd_str text = {0};
    struct stat st;
    fsd_status status;

    if (!fsd_node_path(fs, node, path, sizeof path))
        return ENAMETOOLONG;
    if (is_real_ini(fs, path, &st))
        return 0;
    fsd_text_ini(fs, path, &text);
    status = text.failed ? FSD_NO_MEMORY
                         : fsd_store_write(fs->store, path, text.text ? text.text : "", text.length, NULL);
    fsd_str_clear(&text);
    return fsd_status_errno(status);
}

/* --- changes of names ---------------------------------------------------------------------------- */

static bool holds_files(fsd_kind kind)
{
    return kind == FSD_KIND_MODEL || kind == FSD_KIND_SESSION || kind == FSD_KIND_OUT ||
           kind == FSD_KIND_FOLDER;
}

/* May a file of this name be made or put here by a user? Names with a row are ours, but for the INI
 * files; a final *.png in out/ is an order, and pictures from elsewhere cannot be adopted yet. */
static int may_write(const fsd_node *folder, const char *name)
{
    const int row = find_row(folder->kind, name);
    bool too_long;

    if (strlen(name) > 255)
        return ENAMETOOLONG;
    if (row >= 0 && ROWS[row].kind == FSD_KIND_INI)
        return 0;
    if (row >= 0 || !holds_files(folder->kind) || strcmp(name, ".made") == 0)
        return EACCES;
    if (folder->kind == FSD_KIND_OUT && fsd_prompt_name_plausible(name, &too_long))
        return EACCES;
    return 0;
}

/* A folder that is only a name yet becomes one in the store. */
static int make_folder(fsd_fs *fs, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[MAX_PATH];

    if (!slash)
        return 0;
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return fsd_store_mkdirs(fs->store, folder);
}

static void forget_name(fsd_fs *fs, fsd_node *folder, const char *name)
{
    fsd_node *node;

    pthread_mutex_lock(&fs->tree->lock);
    node = locked_find(fs->tree, folder, name);
    if (node)
        locked_detach(fs->tree, node);
    pthread_mutex_unlock(&fs->tree->lock);
}

int fsd_node_create(fsd_fs *fs, fsd_node *folder, const char *name, mode_t mode, int flags, int *fd)
{
    char path[MAX_PATH];
    int number = may_write(folder, name);

    if (!number && !child_path(fs, folder, name, path, sizeof path))
        number = ENAMETOOLONG;
    if (!number)
        number = make_folder(fs, path);
    if (number)
        return number;
    *fd = fsd_store_openat(fs->store, path, (flags & ~O_NOFOLLOW) | O_CREAT | O_NONBLOCK, mode & 0700);
    return *fd < 0 ? errno : 0;
}

int fsd_node_mkdir(fsd_fs *fs, fsd_node *folder, const char *name)
{
    char path[MAX_PATH];
    int number;

    if (strncmp(name, ".Trash", 6) == 0 || find_row(folder->kind, name) >= 0 || name[0] == '.')
        return EPERM; /* file managers then offer to delete for good */
    if (strlen(name) > 255 || !child_path(fs, folder, name, path, sizeof path))
        return ENAMETOOLONG;
    if (folder->kind != FSD_KIND_SESSIONS && !holds_files(folder->kind))
        return EPERM;
    number = make_folder(fs, path);
    number = number ? number : fsd_store_mkdir(fs->store, path, 0700);
    if (!number && folder->kind == FSD_KIND_SESSIONS)
        fsd_log("session %s begins", name);
    return number;
}

/* All that is known of a picture beside its file. */
static void drop_picture(fsd_fs *fs, const char *path)
{
    char info[MAX_PATH + 32];

    fsd_queue_cancel(fs->queue, path);
    fsd_queue_forget(fs->queue, path);
    fsd_problem_clear(fs->problems, path);
    snprintf(info, sizeof info, ".fsdfs/info/%s.txt", path);
    fsd_store_unlink(fs->store, info);
}

int fsd_node_unlink(fsd_fs *fs, fsd_node *folder, const char *name)
{
    char path[MAX_PATH];
    const int row = find_row(folder->kind, name);
    bool too_long;
    int number;

    if (row >= 0 && ROWS[row].kind != FSD_KIND_INI)
        return EPERM;
    if (!child_path(fs, folder, name, path, sizeof path))
        return ENAMETOOLONG;
    number = fsd_store_unlink(fs->store, path);
    if (folder->kind == FSD_KIND_OUT || folder->kind == FSD_KIND_MADE) {
        drop_picture(fs, path);
        if (number == ENOENT && fsd_prompt_name_plausible(name, &too_long))
            number = 0; /* an order that was never carried out is forgotten */
    }
    if (!number) {
        fsd_problem_clear(fs->problems, path);
        forget_name(fs, folder, name);
        if (row >= 0 || strcmp(name, "generate.ini") == 0)
            fsd_tree_next_epoch(fs->tree);
    }
    return number == ENOENT && row >= 0 ? EPERM : number;
}

/* A session goes as rm -r leaves it: its own texts are nobody's files, its out/ may never have been. */
static int remove_session(fsd_fs *fs, const char *path)
{
    char below[MAX_PATH + 32];
    int number;

    snprintf(below, sizeof below, "%s/", path);
    fsd_queue_cancel_prefix(fs->queue, below);
    snprintf(below, sizeof below, "%s/out", path);
    number = fsd_store_rmdir(fs->store, below);
    if (number && number != ENOENT)
        return number;
    number = fsd_store_rmdir(fs->store, path);
    if (number)
        return number;
    snprintf(below, sizeof below, ".fsdfs/info/%s", path);
    fsd_store_remove_tree(fs->store, below);
    snprintf(below, sizeof below, "%s/", path);
    fsd_problem_clear_below(fs->problems, below);
    return 0;
}

int fsd_node_rmdir(fsd_fs *fs, fsd_node *folder, const char *name)
{
    char path[MAX_PATH], below[MAX_PATH + 32];
    int number;

    if (!child_path(fs, folder, name, path, sizeof path))
        return ENAMETOOLONG;
    if (folder->kind == FSD_KIND_SESSION && strcmp(name, "out") == 0) {
        number = fsd_store_rmdir(fs->store, path); /* rm -r empties it first; it comes back by name */
        return number == ENOENT ? 0 : number;
    }
    if (find_row(folder->kind, name) >= 0 || folder->kind == FSD_KIND_MODELS)
        return EPERM;
    if (folder->kind == FSD_KIND_SESSIONS) {
        number = remove_session(fs, path);
        if (!number)
            fsd_log("session %s ends", name);
    } else {
        number = fsd_store_rmdir(fs->store, path);
        snprintf(below, sizeof below, ".fsdfs/info/%s", path);
        if (!number)
            fsd_store_remove_tree(fs->store, below);
    }
    if (!number)
        forget_name(fs, folder, name);
    return number;
}

/* The node moves with its name, so that what has it open keeps it. */
static void move_node(fsd_fs *fs, fsd_node *from, const char *name, fsd_node *to, const char *new_name)
{
    fsd_tree *tree = fs->tree;
    char *copy = fsd_strdup(new_name);
    fsd_node *node, *there;

    pthread_mutex_lock(&tree->lock);
    there = locked_find(tree, to, new_name);
    node = locked_find(tree, from, name);
    if (there && there != node)
        locked_detach(tree, there);
    if (node && copy) {
        locked_unname(tree, node);
        fsd_free(node->name);
        node->name = copy;
        copy = NULL;
        from->children--;
        to->children++;
        node->parent = to;
        if (node->kind == FSD_KIND_FILE || node->kind == FSD_KIND_INI)
            node->kind = strcmp(new_name, "generate.ini") == 0 || strcmp(new_name, "model.ini") == 0
                             ? FSD_KIND_INI
                             : FSD_KIND_FILE;
        locked_name(tree, node);
    }
    pthread_mutex_unlock(&tree->lock);
    fsd_free(copy);
}

int fsd_node_rename(fsd_fs *fs, fsd_node *from, const char *name, fsd_node *to, const char *new_name,
                    unsigned flags)
{
    char a[MAX_PATH], b[MAX_PATH], info_a[MAX_PATH + 32], info_b[MAX_PATH + 32];
    const bool session = from->kind == FSD_KIND_SESSIONS && to->kind == FSD_KIND_SESSIONS;
    bool too_long;
    struct stat st;
    int number;

    if (flags & ~1u) /* RENAME_NOREPLACE is understood */
        return EINVAL;
    if (!child_path(fs, from, name, a, sizeof a) || !child_path(fs, to, new_name, b, sizeof b))
        return ENAMETOOLONG;
    number = fsd_store_stat(fs->store, a, &st);
    if (number)
        return number;
    if (session) {
        snprintf(info_a, sizeof info_a, "%s/", a);
        fsd_queue_cancel_prefix(fs->queue, info_a);
    } else if (from->kind == FSD_KIND_OUT && to->kind == FSD_KIND_OUT &&
               fsd_prompt_name_plausible(name, &too_long) && S_ISREG(st.st_mode) &&
               !fsd_prompt_name_plausible(new_name, &too_long)) {
        return EACCES; /* a made picture keeps a picture's name */
    } else if (from->kind != FSD_KIND_OUT || !ends_with(name, ".png") || to->kind != FSD_KIND_OUT) {
        number = may_write(to, new_name);
        if (!number && find_row(from->kind, name) >= 0 && S_ISDIR(st.st_mode))
            number = EPERM;
    }
    if (!number)
        number = make_folder(fs, b);
    if (!number)
        number = fsd_store_rename(fs->store, a, b, flags);
    if (number)
        return number;
    snprintf(info_a, sizeof info_a, ".fsdfs/info/%s%s", a, S_ISDIR(st.st_mode) ? "" : ".txt");
    snprintf(info_b, sizeof info_b, ".fsdfs/info/%s%s", b, S_ISDIR(st.st_mode) ? "" : ".txt");
    if (fsd_store_stat(fs->store, info_a, &st) == 0) {
        make_folder(fs, info_b);
        fsd_store_remove_tree(fs->store, info_b);
        fsd_store_rename(fs->store, info_a, info_b, 0);
    }
    fsd_problem_clear(fs->problems, a);
    move_node(fs, from, name, to, new_name);
    if (strcmp(new_name, "generate.ini") == 0 || strcmp(new_name, "model.ini") == 0 || session)
        fsd_tree_next_epoch(fs->tree);
    return 0;
}

void fsd_node_judge_ini(fsd_fs *fs, const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[MAX_PATH];
    fsd_settings s;
    fsd_error err;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 0, path);
    fsd_problem_clear(fs->problems, path);
    if (fsd_place_settings(fs, folder, &s, &err))
        fsd_problem_set(fs->problems, path, err.msg, "Nothing can be drawn below it until that line is mended.");
    fsd_settings_clear(&s);
}

int fsd_node_control(fsd_fs *fs, const char *command, size_t size)
{
    char text[MAX_PATH], sentence[MAX_PATH + 64];
    fsd_progress progress;

    while (size && (command[size - 1] == '\n' || command[size - 1] == ' '))
        size--;
    if (size >= sizeof text)
        return EINVAL;
    memcpy(text, command, size);
    text[size] = '\0';
    fsd_problem_clear(fs->problems, ".fsdfs/control");
    if (strcmp(text, "cancel") == 0) {
        fsd_queue_progress(fs->queue, &progress);
        if (*progress.key)
            fsd_queue_cancel(fs->queue, progress.key);
        return 0;
    }
    if (strncmp(text, "cancel ", 7) == 0) {
        fsd_queue_cancel(fs->queue, text + 7);
        return 0;
    }
    snprintf(sentence, sizeof sentence, "\"%.200s\" is no command: \"cancel\" and \"cancel <path>\" are",
             text);
    fsd_problem_set(fs->problems, ".fsdfs/control", sentence, NULL);
    return EINVAL;
}
