/* mem.h: the allocator of everything, so that running out of memory can be tested.
 *
 * fsd_alloc returns zeroed memory. Nothing here aborts: NULL means no memory, and callers say so.
 * fsd_mem_fail_after makes the n-th allocation from now fail (tests; see TEST_OOM in check.h). */
#ifndef FSD_BASE_MEM_H
#define FSD_BASE_MEM_H

#include <stddef.h>

void *fsd_alloc(size_t size);                      /* zeroed; size 0 gives a valid pointer */
void *fsd_alloc_array(size_t count, size_t size);  /* zeroed; NULL if count * size wraps */
void *fsd_grow(void *block, size_t size);          /* realloc: `block` lives on if it returns NULL */
char *fsd_strdup(const char *text);
char *fsd_strndup(const char *text, size_t length);
void fsd_free(void *block); /* NULL is fine */

/* The n-th allocation of this thread from now fails, once (0: the next one); -1: none does. */
void fsd_mem_fail_after(long n);
/* True if the failure asked for has happened. */
int fsd_mem_failed(void);

#endif
