/* node.h: what each name in the mount is.
 *
 * The mount mirrors the store: a node's path is its name in the store too, where it has one there.
 * Kinds and the names that stand in each folder are tables in node.c; what a text says is in
 * texts.c. Folders of pictures hold every plausible name for look-up, and list those that are made. */
#ifndef FSD_FS_NODE_H
#define FSD_FS_NODE_H

#include "fs/fs.h"

#include <stdbool.h>
#include <sys/stat.h>

typedef enum fsd_kind {
    FSD_KIND_ROOT,
    FSD_KIND_MODELS,
    FSD_KIND_MODEL,
    FSD_KIND_SESSIONS,
    FSD_KIND_SESSION,
    FSD_KIND_OUT,     /* out/ and the folders in it */
    FSD_KIND_MADE,    /* out/.made/: the made ones only */
    FSD_KIND_HIDDEN,  /* .fsdfs/ */
    FSD_KIND_FOLDER,  /* a user's folder, as it is in the store */
    FSD_KIND_TEXT,    /* said by texts.c */
    FSD_KIND_INI,     /* generate.ini, model.ini: the user's, or what holds, as comments */
    FSD_KIND_PICTURE,
    FSD_KIND_TWIN,    /* out/x.txt: the settings of out/x.png */
    FSD_KIND_FILE,    /* a user's file, as it is in the store */
    FSD_KIND_CONTROL, /* commands are written to it */
    FSD_KIND_PREVIEW,
} fsd_kind;

typedef struct fsd_node fsd_node;
typedef void (*fsd_text_fn)(fsd_fs *fs, const char *folder, fsd_str *out);

struct fsd_node {
    uint64_t ino;
    fsd_kind kind;
    fsd_node *parent;     /* counted; NULL for the root */
    char *name;
    uint64_t lookups, children;
    bool detached;        /* its name is gone, or somebody else's by now */
    fsd_text_fn say;      /* TEXT */
    char *text;           /* what it said at its last look-up or getattr (TEXT, TWIN, INI by default) */
    size_t text_size;
    struct timespec mtime; /* of the text, or of a picture: fixed at its first look-up */
    uint64_t size;        /* of a picture */
    unsigned epoch;       /* of the INI files when the picture was first looked up */
    double forgotten;     /* when a picture's last look-up went */
    fsd_node *next_ino, *next_name;
};

/* A name in a folder, for readdir. */
typedef struct fsd_listed {
    char name[256];
    fsd_kind kind;
} fsd_listed;

fsd_tree *fsd_tree_new(void); /* NULL: no memory */
void fsd_tree_free(fsd_tree *tree);
/* Unmade pictures are looked at anew: an INI file has changed. */
void fsd_tree_next_epoch(fsd_tree *tree);

/* The node of an inode number, valid while the kernel knows it; NULL for a number never given. */
fsd_node *fsd_node_get(fsd_fs *fs, uint64_t ino);
/* Its path in the mount ("" for the root). False if it is too long. */
bool fsd_node_path(fsd_fs *fs, const fsd_node *node, char *out, size_t size);
bool fsd_kind_is_folder(fsd_kind kind);

/* Find `name` in a folder, one look-up more on success. 0 or errno; EAGAIN: the model `wait_for` must
 * be probed first. */
int fsd_node_lookup(fsd_fs *fs, fsd_node *folder, const char *name, fsd_node **out, char wait_for[256]);
void fsd_node_forget(fsd_fs *fs, uint64_t ino, uint64_t count);
/* One more look-up of a node the caller has. */
void fsd_node_again(fsd_fs *fs, fsd_node *node);

/* 0 or errno. Texts are said anew if `fresh`. */
int fsd_node_attr(fsd_fs *fs, fsd_node *node, struct stat *st, bool fresh);
/* What a folder lists, sorted but for the order of the table. *list is fsd_free'd. 0 or errno. */
int fsd_node_list(fsd_fs *fs, fsd_node *folder, fsd_listed **list, size_t *count);
/* A made picture's, FILE's or PREVIEW's descriptor in the store; -1 with errno. */
int fsd_node_openat(fsd_fs *fs, fsd_node *node, int flags);
bool fsd_node_is_made(fsd_fs *fs, const fsd_node *node);

/* Changes of names. 0 or errno. */
int fsd_node_create(fsd_fs *fs, fsd_node *folder, const char *name, mode_t mode, int flags, int *fd);
int fsd_node_mkdir(fsd_fs *fs, fsd_node *folder, const char *name);
int fsd_node_unlink(fsd_fs *fs, fsd_node *folder, const char *name);
int fsd_node_rmdir(fsd_fs *fs, fsd_node *folder, const char *name);
int fsd_node_rename(fsd_fs *fs, fsd_node *from, const char *name, fsd_node *to, const char *new_name,
                    unsigned flags);
/* An INI file, made real with what it says if it is not: so that it can be written to. 0 or errno. */
int fsd_node_make_real(fsd_fs *fs, fsd_node *node);
/* An INI file was written: PROBLEM.txt says at once what is wrong with it. */
void fsd_node_judge_ini(fsd_fs *fs, const char *path);
/* A command written to control. 0 or errno. */
int fsd_node_control(fsd_fs *fs, const char *command, size_t size);

/* Called when a picture is in its place: gives the file the node's mtime. */
void fsd_node_made(fsd_fs *fs, fsd_node *node);

/* texts.c */
void fsd_text_root_readme(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_session_readme(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_status(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_session_status(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_problem(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_log(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_info(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_words(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_progress(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_live_status(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_version(fsd_fs *fs, const char *folder, fsd_str *out);
void fsd_text_queue(fsd_fs *fs, const char *folder, fsd_str *out);
/* What an INI file says that nobody has written, and the twin of a picture. */
void fsd_text_ini(fsd_fs *fs, const char *path, fsd_str *out);
void fsd_text_twin(fsd_fs *fs, const char *folder, const char *picture, fsd_str *out);

#endif
