/* engine.h: the one header of the engine that fs/ sees.
 *
 * The engine is a process of its own, `fsdfs engine`, that reads jobs from stdin and answers on
 * stdout, so that the mount survives whatever happens in it and a person can drive it by hand:
 *
 *     fsdfs engine <<END
 *     job=generate
 *     id=1
 *     model=packaging/models/tiny-emoji
 *     prompt=red apple
 *     out=apple.png
 *
 *     END
 *
 * A job is key=value lines and ends with a blank line. A value runs to the end of its line; in it
 * "\n" stands for a newline, "\r" for a carriage return and "\\" for a backslash. Unknown keys are
 * an error (INVALID), so that a typing mistake does not pass for a default. End of input ends the
 * engine once what was asked for is done.
 *
 *     job=generate   one picture. id, model (a diffusers folder), out (written as out.tmp-PID, fsynced,
 *                    renamed), and any setting of settings.h by its key. Optional: preview (a PNG
 *                    rewritten during the work), model_name and model_hash (for the parameters
 *                    text), note_sampler (why another sampler than the folder's stands in)
 *     job=probe      what is this folder? id, model; hash=1 also computes sha256
 *     job=cancel     id: stop that job at its next step; it answers failed status=CANCELLED
 *     job=quit       finish nothing more and exit
 *
 * Jobs run one after another in the order they came; cancel and probe are answered at once.
 * Answers are one line each; `text` is always last and runs to the end of the line, escaped:
 *
 *     ready backend=cpu about=<…>                      once, when the engine can take jobs
 *     started id=1                                     the job left the queue
 *     progress id=1 step=3 steps=20                    after each step
 *     preview id=1                                     the preview file has been renewed
 *     note id=1 text=<sentence>                        worth telling: an unknown word, another size
 *     done id=1 width=128 height=128 seed=7 seconds=0.61 first_step=0.02 planned=31457280
 *           text=<A1111's parameters>    (one line; seconds until the first step began; bytes of the
 *           largest plan that ran)
 *     model id=2 family=sd1 width=128 height=128 multiple=8 max_side=2048 sampler=ddim
 *           schedule=leading hash=<64 hex or -> text=<sentence about the model>    (one line)
 *           a note line with the same id before it tells why another sampler stands in
 *     failed id=1 status=FORMAT text=<sentence>
 *
 * status is a word of engine/base/status.h. */
#ifndef FSD_ENGINE_H
#define FSD_ENGINE_H

#include "engine/base/status.h"
#include "engine/image/png.h"
#include "engine/pipeline/settings.h"

/* The engine's main loop over these descriptors; returns the process's exit code. Dies with its
 * parent if `die_with_parent`. */
int fsd_engine_main(int in_fd, int out_fd, int die_with_parent);

#endif
