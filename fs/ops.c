#include "fs/ops.h"

#include "engine/base/log.h"
#include "engine/base/mem.h"
#include "fs/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TIMEOUT 1.0           /* seconds the kernel may keep attributes and names */
#define NEGATIVE_TIMEOUT 30.0 /* and that a name is none: desktops ask again and again */

static fsd_mount *mount;

void fsd_ops_set_mount(fsd_mount *m)
{
    mount = m;
}

void fsd_ops_invalidate(uint64_t folder, const char *name)
{
    if (mount)
        fuse_lowlevel_notify_inval_entry(mount->session, folder, name, strlen(name));
}

static fsd_mount *mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static fsd_fs *fs_of(fuse_req_t req)
{
    return mount_of(req)->fs;
}

/* The node of a request; answers ENOENT itself if there is none. */
static fsd_node *node_of(fuse_req_t req, fuse_ino_t ino)
{
    fsd_node *node = fsd_node_get(fs_of(req), ino);

    if (!node)
        fuse_reply_err(req, ENOENT);
    return node;
}

/* An open file: a descriptor in the store, or a copy of a text as it was at the open. */
typedef struct handle {
    int fd;
    char *text;
    size_t size;
    bool dirty, ini;
} handle;

static handle *handle_of(const struct fuse_file_info *fi)
{
    return (handle *)(uintptr_t)fi->fh;
}

/* --- names --------------------------------------------------------------------------------------- */

/* What the kernel must ask for each time: texts, and orders that an INI file may still change. */
static bool may_change(fsd_fs *fs, const fsd_node *node)
{
    return node->kind == FSD_KIND_TEXT || node->kind == FSD_KIND_TWIN || node->kind == FSD_KIND_PREVIEW ||
           node->kind == FSD_KIND_INI || (node->kind == FSD_KIND_PICTURE && !fsd_node_is_made(fs, node));
}

static bool make_entry(fsd_fs *fs, fsd_node *node, struct fuse_entry_param *entry, int *number)
{
    *entry = (struct fuse_entry_param){.ino = node->ino, .generation = 1, .attr_timeout = TIMEOUT,
                                       .entry_timeout = TIMEOUT};
    *number = fsd_node_attr(fs, node, &entry->attr, true);
    if (may_change(fs, node))
        entry->attr_timeout = entry->entry_timeout = 0;
    return !*number;
}

static void reply_node(fuse_req_t req, fsd_node *node)
{
    struct fuse_entry_param entry;
    int number;

    if (!make_entry(fs_of(req), node, &entry, &number)) {
        fsd_node_forget(fs_of(req), node->ino, 1);
        fuse_reply_err(req, number);
    } else if (fuse_reply_entry(req, &entry) == -ENOENT) {
        fsd_node_forget(fs_of(req), entry.ino, 1);
    }
}

/* A look-up that waits for a model's probe, to be gone through again. */
typedef struct waiting {
    fuse_req_t req;
    uint64_t folder;
    char name[256];
} waiting;

static void look_up(fuse_req_t req, uint64_t ino, const char *name, bool may_wait);

static void look_again(void *user)
{
    waiting *w = user;

    look_up(w->req, w->folder, w->name, false);
    fsd_free(w);
}

static void look_up(fuse_req_t req, uint64_t ino, const char *name, bool may_wait)
{
    fsd_node *folder = node_of(req, ino), *node;
    char wait_for[256] = "";
    int number;

    if (!folder)
        return;
    number = fsd_node_lookup(fs_of(req), folder, name, &node, wait_for);
    if (!number) {
        reply_node(req, node);
    } else if (number == EAGAIN && may_wait) {
        waiting *w = fsd_alloc(sizeof *w);

        if (!w) {
            fuse_reply_err(req, ENOMEM);
            return;
        }
        w->req = req;
        w->folder = ino;
        snprintf(w->name, sizeof w->name, "%s", name);
        fsd_catalog_when_probed(fs_of(req)->catalog, wait_for, look_again, w);
    } else if (number == ENOENT && folder->kind == FSD_KIND_OUT) {
        const struct fuse_entry_param none = {.entry_timeout = name[0] == '.' ? NEGATIVE_TIMEOUT : 0};

        fuse_reply_entry(req, &none); /* inode 0: there is none, and this may be kept */
    } else {
        fuse_reply_err(req, number == EAGAIN ? EIO : number);
    }
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (fsd_publisher_asks(fs_of(req)->publisher, fuse_req_ctx(req)->pid, parent, name))
        fuse_reply_err(req, ENOENT); /* to it alone: it is about to create it */
    else
        look_up(req, parent, name, true);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    fsd_node_forget(fs_of(req), ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        fsd_node_forget(fs_of(req), forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    fsd_node *folder = node_of(req, parent);
    int number;

    (void)mode; /* the mount is its user's own */
    if (!folder)
        return;
    number = fsd_node_mkdir(fs_of(req), folder, name);
    if (number)
        fuse_reply_err(req, number);
    else
        look_up(req, parent, name, false);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fsd_node *folder = node_of(req, parent);

    if (folder)
        fuse_reply_err(req, fsd_node_unlink(fs_of(req), folder, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fsd_node *folder = node_of(req, parent);

    if (folder)
        fuse_reply_err(req, fsd_node_rmdir(fs_of(req), folder, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    fsd_node *from = node_of(req, parent), *to = from ? node_of(req, new_parent) : NULL;

    if (to)
        fuse_reply_err(req, fsd_node_rename(fs_of(req), from, name, to, new_name, flags));
}

/* No links, pipes, sockets or devices: everything is a file. */
static void op_symlink(fuse_req_t req, const char *link, fuse_ino_t parent, const char *name)
{
    (void)link, (void)parent, (void)name;
    fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    (void)ino, (void)parent, (void)name;
    fuse_reply_err(req, EPERM);
}

/* --- attributes ---------------------------------------------------------------------------------- */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fsd_node *node = node_of(req, ino);
    struct stat st;
    int number;

    if (!node)
        return;
    number = fsd_node_attr(fs_of(req), node, &st, true);
    if (fi && handle_of(fi) && handle_of(fi)->fd >= 0 && node->kind != FSD_KIND_PICTURE) {
        struct stat real; /* an open file knows itself, even after its name went */

        if (!number || number == ENOENT) {
            if (number && fstat(handle_of(fi)->fd, &real) == 0) {
                st.st_mode = S_IFREG | 0600;
                st.st_size = real.st_size;
                st.st_mtim = real.st_mtim;
                st.st_nlink = 0;
                number = 0;
            }
        }
    }
    if (number)
        fuse_reply_err(req, number);
    else
        fuse_reply_attr(req, &st, may_change(fs_of(req), node) ? 0 : TIMEOUT);
}

static int set_real(fsd_fs *fs, fsd_node *node, const struct stat *attr, int what, const handle *h)
{
    const struct timespec now = {.tv_nsec = UTIME_NOW}, keep = {.tv_nsec = UTIME_OMIT};
    const bool own = !h || h->fd < 0;
    int fd = own ? fsd_node_openat(fs, node, what & FUSE_SET_ATTR_SIZE ? O_WRONLY : O_RDONLY) : h->fd;
    int number = 0;

    if (fd < 0)
        return errno;
    if (what & FUSE_SET_ATTR_SIZE)
        number = ftruncate(fd, attr->st_size) ? errno : 0;
    if (!number && (what & FUSE_SET_ATTR_MODE))
        number = fchmod(fd, (attr->st_mode & 0700) | 0400) ? errno : 0;
    if (!number && (what & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))) {
        const struct timespec times[2] = {keep, what & FUSE_SET_ATTR_MTIME_NOW ? now : attr->st_mtim};

        number = futimens(fd, times) ? errno : 0;
    }
    if (own)
        close(fd);
    return number;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int what,
                       struct fuse_file_info *fi)
{
    fsd_node *node = node_of(req, ino);
    fsd_fs *fs = fs_of(req);
    struct stat st;
    int number = 0;

    if (!node)
        return;
    if ((what & FUSE_SET_ATTR_UID && attr->st_uid != fs->uid) ||
        (what & FUSE_SET_ATTR_GID && attr->st_gid != fs->gid))
        number = EPERM;
    else if (node->kind == FSD_KIND_INI && what & FUSE_SET_ATTR_SIZE)
        number = fsd_node_make_real(fs, node);
    if (!number && (node->kind == FSD_KIND_FILE || node->kind == FSD_KIND_INI)) {
        number = set_real(fs, node, attr, what, fi ? handle_of(fi) : NULL);
        if (number == ENOENT && node->kind == FSD_KIND_INI)
            number = 0; /* times of a text nobody has written */
        if (!number && node->kind == FSD_KIND_INI && what & FUSE_SET_ATTR_SIZE)
            fsd_tree_next_epoch(fs->tree);
    } else if (!number && what & FUSE_SET_ATTR_SIZE && node->kind != FSD_KIND_CONTROL) {
        number = EACCES;
    }
    if (!number)
        number = fsd_node_attr(fs, node, &st, false);
    if (number)
        fuse_reply_err(req, number);
    else
        fuse_reply_attr(req, &st, may_change(fs, node) ? 0 : TIMEOUT);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs info;

    (void)ino;
    if (statvfs(fsd_store_root(fs_of(req)->store), &info)) {
        fuse_reply_err(req, errno);
        return;
    }
    info.f_namemax = 255;
    fuse_reply_statfs(req, &info);
}

/* --- files --------------------------------------------------------------------------------------- */

static handle *handle_new(int fd)
{
    handle *h = fsd_alloc(sizeof *h);

    if (h)
        h->fd = fd;
    else if (fd >= 0)
        close(fd);
    return h;
}

static void handle_free(handle *h)
{
    if (!h)
        return;
    if (h->fd >= 0)
        close(h->fd);
    fsd_free(h->text);
    fsd_free(h);
}

static void reply_open(fuse_req_t req, handle *h, struct fuse_file_info *fi)
{
    if (!h) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)h;
    if (fuse_reply_open(req, fi) == -ENOENT)
        handle_free(h); /* the caller was interrupted and will never release it */
}

/* A text as it was said at the last look: what stat told is what is read. */
static void open_text(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi)
{
    handle *h = handle_new(-1);
    struct stat st;

    if (h && !node->text)
        fsd_node_attr(fs_of(req), node, &st, true);
    if (h) {
        h->text = fsd_alloc(node->text_size + 1);
        if (h->text && node->text) {
            h->size = node->text_size;
            memcpy(h->text, node->text, h->size);
        }
    }
    reply_open(req, h, fi);
}

static void open_real(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi)
{
    const int fd = fsd_node_openat(fs_of(req), node, fi->flags);
    handle *h;

    if (fd < 0) {
        fuse_reply_err(req, errno);
        return;
    }
    h = handle_new(fd);
    if (h) {
        h->ini = node->kind == FSD_KIND_INI;
        h->dirty = (fi->flags & O_TRUNC) != 0;
    }
    reply_open(req, h, fi);
}

static bool for_writing(const struct fuse_file_info *fi)
{
    return (fi->flags & O_ACCMODE) != O_RDONLY || fi->flags & O_TRUNC;
}

static void open_picture(fuse_req_t req, fsd_node *node, struct fuse_file_info *fi)
{
    if (for_writing(fi)) {
        fuse_reply_err(req, EACCES);
        return;
    }
    fi->keep_cache = 1;
    if (fsd_node_is_made(fs_of(req), node))
        open_real(req, node, fi);
    else if (node->detached)
        fuse_reply_err(req, ESTALE);
    else
        fsd_park_open(mount_of(req)->parking, req, node, fi, open_real);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fsd_node *node = node_of(req, ino);
    int number = 0;
    struct stat st;

    if (!node)
        return;
    switch (node->kind) {
    case FSD_KIND_PICTURE:
        open_picture(req, node, fi);
        return;
    case FSD_KIND_INI:
        if (for_writing(fi))
            number = fsd_node_make_real(fs_of(req), node);
        if (number)
            fuse_reply_err(req, number);
        else if (fsd_node_is_made(fs_of(req), node))
            open_real(req, node, fi);
        else
            open_text(req, node, fi);
        return;
    case FSD_KIND_FILE:
        open_real(req, node, fi);
        return;
    case FSD_KIND_PREVIEW:
        if (for_writing(fi))
            fuse_reply_err(req, EACCES);
        else
            open_real(req, node, fi);
        return;
    case FSD_KIND_CONTROL:
        fi->direct_io = 1;
        reply_open(req, handle_new(-1), fi);
        return;
    default:
        if (for_writing(fi))
            fuse_reply_err(req, EACCES);
        else if (!node->text && (number = fsd_node_attr(fs_of(req), node, &st, true)))
            fuse_reply_err(req, number);
        else
            open_text(req, node, fi);
    }
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    fsd_node *folder = node_of(req, parent), *node;
    fsd_fs *fs = fs_of(req);
    const bool publisher = fsd_publisher_asks(fs->publisher, fuse_req_ctx(req)->pid, parent, name);
    struct fuse_entry_param entry;
    char wait_for[256];
    int number = 0, fd = -1;
    handle *h;

    if (!folder)
        return;
    if (!publisher)
        number = fsd_node_create(fs, folder, name, mode, fi->flags, &fd);
    if (!number)
        number = fsd_node_lookup(fs, folder, name, &node, wait_for);
    if (number) {
        if (fd >= 0)
            close(fd);
        fuse_reply_err(req, number == EAGAIN ? EIO : number);
        return;
    }
    h = handle_new(fd);
    if (h && !publisher) {
        h->ini = node->kind == FSD_KIND_INI;
        h->dirty = true;
    }
    if (!h || !make_entry(fs, node, &entry, &number)) {
        handle_free(h);
        fsd_node_forget(fs, node->ino, 1);
        fuse_reply_err(req, h ? number : ENOMEM);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)h;
    fi->keep_cache = publisher;
    if (fuse_reply_create(req, &entry, fi) == -ENOENT) {
        handle_free(h);
        fsd_node_forget(fs, entry.ino, 1);
    }
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    const handle *h = handle_of(fi);
    char *buffer;
    ssize_t got;

    (void)ino;
    if (h->fd < 0) {
        const size_t from = (size_t)offset < h->size ? (size_t)offset : h->size;

        fuse_reply_buf(req, h->text + from, h->size - from < size ? h->size - from : size);
        return;
    }
    buffer = fsd_alloc(size);
    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    got = pread(h->fd, buffer, size, offset);
    if (got < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_buf(req, buffer, (size_t)got);
    fsd_free(buffer);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    handle *h = handle_of(fi);
    fsd_node *node = node_of(req, ino);
    ssize_t wrote;

    if (!node)
        return;
    if (node->kind == FSD_KIND_CONTROL) {
        const int number = fsd_node_control(fs_of(req), bytes, size);

        if (number)
            fuse_reply_err(req, number);
        else
            fuse_reply_write(req, size);
        return;
    }
    if (h->fd < 0) {
        fuse_reply_err(req, EBADF);
        return;
    }
    wrote = fi->flags & O_APPEND ? write(h->fd, bytes, size) : pwrite(h->fd, bytes, size, offset);
    h->dirty = true;
    if (wrote < 0)
        fuse_reply_err(req, errno);
    else
        fuse_reply_write(req, (size_t)wrote);
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0); /* a judgement never fails close */
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    const handle *h = handle_of(fi);

    (void)ino, (void)datasync;
    fuse_reply_err(req, h->fd >= 0 && fsync(h->fd) ? errno : 0);
}

/* An INI file that was written holds from now on; whether it can be read, PROBLEM.txt tells at once. */
static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    handle *h = handle_of(fi);
    fsd_fs *fs = fs_of(req);
    char path[4096];

    if (h && h->ini && h->dirty) {
        fsd_node *node = fsd_node_get(fs, ino);

        fsd_tree_next_epoch(fs->tree);
        if (node && fsd_node_path(fs, node, path, sizeof path))
            fsd_node_judge_ini(fs, path);
    }
    handle_free(h);
    fuse_reply_err(req, 0);
}

/* --- folders ------------------------------------------------------------------------------------- */

typedef struct listing {
    fsd_listed *list;
    size_t count;
} listing;

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fsd_node *folder = node_of(req, ino);
    listing *l = folder ? fsd_alloc(sizeof *l) : NULL;
    int number;

    if (!folder)
        return;
    number = l ? fsd_node_list(fs_of(req), folder, &l->list, &l->count) : ENOMEM;
    if (number) {
        fsd_free(l);
        fuse_reply_err(req, number);
        return;
    }
    fi->fh = (uint64_t)(uintptr_t)l;
    if (fuse_reply_open(req, fi) == -ENOENT) {
        fsd_free(l->list);
        fsd_free(l);
    }
}

/* Inode numbers in a listing are only a hint (-1: unknown); a look-up gives the true one. */
static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    const listing *l = (const listing *)(uintptr_t)fi->fh;
    char *buffer = fsd_alloc(size);
    size_t used = 0;

    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    for (size_t i = (size_t)offset; i < l->count + 2; i++) {
        const bool dot = i < 2;
        struct stat st = {.st_ino = i == 0 ? ino : (ino_t)-1,
                          .st_mode = dot || fsd_kind_is_folder(l->list[i - 2].kind) ? S_IFDIR : S_IFREG};
        const char *name = i == 0 ? "." : i == 1 ? ".." : l->list[i - 2].name;
        const size_t need = fuse_add_direntry(req, buffer + used, size - used, name, &st, (off_t)i + 1);

        if (need > size - used)
            break;
        used += need;
    }
    fuse_reply_buf(req, buffer, used);
    fsd_free(buffer);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    listing *l = (listing *)(uintptr_t)fi->fh;

    (void)ino;
    fsd_free(l->list);
    fsd_free(l);
    fuse_reply_err(req, 0);
}

/* --- the session --------------------------------------------------------------------------------- */

/* The settings that 33 clients agreed on: no splicing (slower), no write-back cache (size and mtime would
 * be the kernel's), enough room in the background that waiting readers starve nobody. */
static void op_init(void *user, struct fuse_conn_info *connection)
{
    (void)user;
    connection->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                                    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS |
                                    FUSE_CAP_READDIRPLUS_AUTO);
    connection->max_background = 64;
    connection->congestion_threshold = 48;
    connection->max_readahead = 1 << 20;
}

const struct fuse_lowlevel_ops fsd_ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .link = op_link,
    .rename = op_rename,
    .open = op_open,
    .create = op_create,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .fsync = op_fsync,
    .release = op_release,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .releasedir = op_releasedir,
    .statfs = op_statfs,
};
