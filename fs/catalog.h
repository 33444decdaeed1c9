/* catalog.h: which models there are, where they lie, and what each can make.
 *
 * A model is a diffusers folder (it has model_index.json). They come, in this order of precedence
 * by name, from STORE/models, from each `models = DIR` of STORE/fsdfs.ini (in place, read-only), and
 * from the program's own data folder (the embedded tiny-emoji). The mount never parses a model: a
 * "probe" job of the engine tells family, size and what is missing; a model whose probe failed stays
 * listed, and its sentence is the answer to every order in its out/.
 * model.ini beside the model (STORE/models/<name>/model.ini wins over the model's own) may say
 * sampler, schedule, steps, cfg, size …: the layer below every generate.ini. words.txt, if there,
 * lists the words the model knows, one a line. */
#ifndef FSD_FS_CATALOG_H
#define FSD_FS_CATALOG_H

#include "engine/engine.h"
#include "fs/queue.h"
#include "fs/store.h"

typedef struct fsd_catalog fsd_catalog;

typedef struct fsd_model_entry {
    char name[256];
    char folder[4096];  /* absolute */
    bool embedded, external;
    bool probed;        /* limits and problem below are known */
    fsd_limits limits;  /* valid if probed and problem_status is FSD_OK */
    char sampler[16], schedule[16]; /* what its scheduler config asks for, as we can do it */
    char about[512];    /* the probe's sentence */
    char note[256];     /* "the folder says PNDM; ddim stands in" or "" */
    char hash[65];      /* sha256 of its UNet file in hex, "" until known */
    fsd_status problem_status;
    char problem[1024];
} fsd_model_entry;

FSD_MUST_CHECK fsd_status fsd_catalog_open(fsd_catalog **out, fsd_store *store, fsd_queue *queue,
                                           const char *data_dir, fsd_error *err);
void fsd_catalog_close(fsd_catalog *catalog);

/* Look again which folders are there (cheap; called at lookup and readdir of models/, at most once a
 * second does work). New ones are probed in the background. */
void fsd_catalog_refresh(fsd_catalog *catalog);
/* Names, sorted. Returns their number; *names is one fsd_free'd block. */
size_t fsd_catalog_list(fsd_catalog *catalog, char (**names)[256]);
/* A copy of the entry; false if there is no such model. */
bool fsd_catalog_get(fsd_catalog *catalog, const char *name, fsd_model_entry *out);
/* `ready(user)` is called once, from any thread, holding no lock, when the model is probed (at once
 * if it is); used to park a lookup. */
void fsd_catalog_when_probed(fsd_catalog *catalog, const char *name, void (*ready)(void *user),
                             void *user);
/* Somebody draws with it: its hash is wanted, in the background. */
void fsd_catalog_want_hash(fsd_catalog *catalog, const char *name);
/* Called after a probe or a hash has changed what is known of a model. */
void fsd_catalog_watch(fsd_catalog *catalog, void (*changed)(void *user, const char *name), void *user);
/* The content of model.ini and words.txt (NULL if none; fsd_free'd by the caller). */
char *fsd_catalog_model_ini(fsd_catalog *catalog, const char *name);
char *fsd_catalog_words(fsd_catalog *catalog, const char *name);

#endif
