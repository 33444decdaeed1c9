/* place.h: whose model and whose settings hold at a path of the mount.
 *
 * A picture's settings come, lowest first, from the family, the model's model.ini, each generate.ini
 * from the root down to the picture's folder, and its name. */
#ifndef FSD_FS_PLACE_H
#define FSD_FS_PLACE_H

#include "fs/fs.h"

/* The settings of everything in a folder ("models/x/out/big"), before any name: *s is the caller's
 * (fsd_settings_clear), also after a failure. FSD_INVALID with the file and line of a bad INI. */
FSD_MUST_CHECK fsd_status fsd_place_settings(fsd_fs *fs, const char *folder, fsd_settings *s,
                                             fsd_error *err);
/* The model that draws in a folder when its settings name none: that of models/<name>, else the
 * first embedded one. */
void fsd_place_own_model(fsd_fs *fs, const char *folder, char *name, size_t size);

/* What the name of a picture in a folder asks for. */
typedef struct fsd_request {
    fsd_settings settings;
    fsd_model_entry model;
    fsd_status status; /* why it cannot be made, with the sentence; sizes are right all the same */
    fsd_error error;
} fsd_request;

/* Fills *request, which the caller clears. False: the model's probe is not there yet (its name is in
 * request->model.name). */
bool fsd_place_request(fsd_fs *fs, const char *folder, const char *name, fsd_request *request);
void fsd_request_clear(fsd_request *request);

/* Words of the prompt that the model does not know, joined by ", "; "" if it has no words.txt. */
void fsd_place_unknown_words(fsd_fs *fs, const char *model, const char *prompt, fsd_str *out);

#endif
