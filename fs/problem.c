#include "fs/problem.h"

#include "engine/base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 100 };

typedef struct problem {
    char path[1024], sentence[1024], advice[256];
} problem;

struct fsd_problems {
    pthread_mutex_t lock;
    problem *list[MOST]; /* oldest first; protected by lock */
    int count;
};

fsd_problems *fsd_problems_new(void)
{
    fsd_problems *problems = fsd_alloc(sizeof *problems);

    if (problems)
        pthread_mutex_init(&problems->lock, NULL);
    return problems;
}

void fsd_problems_free(fsd_problems *problems)
{
    if (!problems)
        return;
    for (int i = 0; i < problems->count; i++)
        fsd_free(problems->list[i]);
    pthread_mutex_destroy(&problems->lock);
    fsd_free(problems);
}

static void take_out(fsd_problems *problems, int i)
{
    fsd_free(problems->list[i]);
    problems->count--;
    memmove(problems->list + i, problems->list + i + 1,
            (size_t)(problems->count - i) * sizeof *problems->list);
}

static void clear(fsd_problems *problems, const char *path, bool below)
{
    const size_t n = strlen(path);

    for (int i = problems->count - 1; i >= 0; i--) {
        const char *its = problems->list[i]->path;

        if (strncmp(its, path, n) == 0 && (below || !its[n]))
            take_out(problems, i);
    }
}

void fsd_problem_set(fsd_problems *problems, const char *path, const char *sentence,
                     const char *advice)
{
    problem *p = fsd_alloc(sizeof *p);

    if (!p)
        return; /* the errno was given all the same */
    snprintf(p->path, sizeof p->path, "%s", path);
    snprintf(p->sentence, sizeof p->sentence, "%s", sentence);
    snprintf(p->advice, sizeof p->advice, "%s", advice ? advice : "");
    pthread_mutex_lock(&problems->lock);
    clear(problems, path, false);
    if (problems->count == MOST)
        take_out(problems, 0);
    problems->list[problems->count++] = p;
    pthread_mutex_unlock(&problems->lock);
}

void fsd_problem_clear(fsd_problems *problems, const char *path)
{
    pthread_mutex_lock(&problems->lock);
    clear(problems, path, false);
    pthread_mutex_unlock(&problems->lock);
}

void fsd_problem_clear_below(fsd_problems *problems, const char *prefix)
{
    pthread_mutex_lock(&problems->lock);
    clear(problems, prefix, true);
    pthread_mutex_unlock(&problems->lock);
}

static bool is_at(const problem *p, const char *place)
{
    const size_t n = strlen(place);

    return !n || (strncmp(p->path, place, n) == 0 && (p->path[n] == '/' || !p->path[n]));
}

bool fsd_problem_any(fsd_problems *problems, const char *place)
{
    bool any = false;

    pthread_mutex_lock(&problems->lock);
    for (int i = 0; i < problems->count && !any; i++)
        any = is_at(problems->list[i], place);
    pthread_mutex_unlock(&problems->lock);
    return any;
}

void fsd_problem_text(fsd_problems *problems, const char *place, fsd_str *out)
{
    pthread_mutex_lock(&problems->lock);
    for (int i = problems->count - 1; i >= 0; i--) {
        const problem *p = problems->list[i];

        if (!is_at(p, place))
            continue;
        fsd_str_printf(out, "%s\n    %s\n", p->path, p->sentence);
        if (*p->advice)
            fsd_str_printf(out, "    %s\n", p->advice);
    }
    pthread_mutex_unlock(&problems->lock);
}

bool fsd_problem_of(fsd_problems *problems, const char *path, char *out, size_t size)
{
    bool found = false;

    pthread_mutex_lock(&problems->lock);
    for (int i = 0; i < problems->count && !found; i++) {
        found = strcmp(problems->list[i]->path, path) == 0;
        if (found)
            snprintf(out, size, "%s", problems->list[i]->sentence);
    }
    pthread_mutex_unlock(&problems->lock);
    return found;
}
