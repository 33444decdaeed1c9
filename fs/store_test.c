#include "fs/store.h"

#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static fsd_store *open_store(const char *dir)
{
    fsd_store *store = NULL;
    fsd_error err = {0};

    if (fsd_store_open(&store, dir, &err))
        fprintf(stderr, "%s\n", err.msg);
    return store;
}

TEST(a_file_is_written_whole_and_read_back)
{
    fsd_store *store = open_store(check_tmp_dir());
    char *text;
    size_t size;

    REQUIRE(store != NULL);
    CHECK_EQ(fsd_store_write(store, "models/x/generate.ini", "a\0b", 3, NULL), FSD_OK);
    REQUIRE(fsd_store_read(store, "models/x/generate.ini", 10, &text, &size, NULL) == FSD_OK);
    CHECK(size == 3 && memcmp(text, "a\0b", 4) == 0);
    fsd_free(text);
    CHECK_EQ(fsd_store_write(store, "models/x/generate.ini", "new", 3, NULL), FSD_OK);
    REQUIRE(fsd_store_read(store, "models/x/generate.ini", 10, &text, &size, NULL) == FSD_OK);
    CHECK_STR(text, "new");
    fsd_free(text);
    CHECK_EQ(fsd_store_read(store, "models/x/generate.ini", 2, &text, &size, NULL), FSD_FORMAT);
    CHECK_EQ(fsd_store_read(store, "models/y", 2, &text, &size, NULL), FSD_MISSING);
    fsd_store_close(store);
}

TEST(nothing_leads_out_of_the_store)
{
    const char *outside = check_tmp_file("secret", 6), *dir = check_tmp_dir();
    fsd_store *store = open_store(dir);
    char path[512];
    struct stat st;

    REQUIRE(store != NULL);
    snprintf(path, sizeof path, "%s/models/link", dir);
    REQUIRE(symlink(outside, path) == 0);
    snprintf(path, sizeof path, "%s/models/folder", dir);
    REQUIRE(symlink("/tmp", path) == 0);
    CHECK(fsd_store_openat(store, "models/link", O_RDONLY, 0) < 0 && errno == ELOOP);
    CHECK(fsd_store_openat(store, "models/folder/x", O_RDONLY | O_CREAT, 0600) < 0 && errno == ELOOP);
    CHECK(fsd_store_openat(store, "../x", O_RDONLY, 0) < 0 && errno == EXDEV);
    CHECK(fsd_store_openat(store, "/etc/passwd", O_RDONLY, 0) < 0 && errno == EXDEV);
    CHECK_EQ(fsd_store_mkdir(store, "models/folder/evil", 0700), ELOOP);
    CHECK_EQ(fsd_store_unlink(store, "models/.."), EINVAL);
    CHECK_EQ(fsd_store_rename(store, "models/link", "../link", 0), EXDEV);
    CHECK_EQ(fsd_store_remove_tree(store, "models/folder"), 0); /* the link goes, not what it names */
    CHECK(stat("/tmp", &st) == 0);
    fsd_store_close(store);
}

TEST(one_store_has_one_owner_who_is_named)
{
    const char *dir = check_tmp_dir();
    fsd_store *first = open_store(dir), *second;
    fsd_error err = {0};
    char pid[32];

    REQUIRE(first != NULL);
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    CHECK_EQ(fsd_store_open(&second, dir, &err), FSD_BUSY);
    CHECK_HAS(err.msg, pid);
    CHECK_HAS(err.msg, "host ");
    fsd_store_close(first);
    second = open_store(dir);
    CHECK(second != NULL);
    fsd_store_close(second);
}

TEST(a_newer_store_is_refused_and_an_unreadable_stamp_too)
{
    static const struct {
        const char *stamp;
        fsd_status status;
    } CASES[] = {
        {"written by 2 (fsdfs 9.0), readable by 1\n", FSD_OK},
        {"written by 9 (fsdfs 9.0), readable by 2\n", FSD_NEWER},
        {"nonsense\n", FSD_FORMAT},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const char *dir = check_tmp_dir();
        fsd_store *store = open_store(dir);
        char path[512];

        fsd_store_close(store);
        snprintf(path, sizeof path, "%s/.fsdfs/version", dir);
        REQUIRE(rename(check_tmp_file(CASES[i].stamp, strlen(CASES[i].stamp)), path) == 0);
        CHECK_EQ(fsd_store_open(&store, dir, NULL), CASES[i].status);
        fsd_store_close(store);
    }
}

TEST(what_a_crash_left_half_written_is_gone_at_the_next_open)
{
    const char *dir = check_tmp_dir();
    fsd_store *store = open_store(dir);
    char tmp[512];

    REQUIRE(store != NULL);
    fsd_store_tmp_name(store, ".png", tmp, sizeof tmp);
    REQUIRE(rename(check_tmp_file("half", 4), tmp) == 0);
    fsd_store_close(store);
    store = open_store(dir);
    CHECK(access(tmp, F_OK) != 0);
    fsd_store_close(store);
}

static int count_names(void *user, const char *name, const struct stat *st)
{
    (void)name, (void)st;
    ++*(int *)user;
    return 0;
}

TEST(folders_are_made_listed_and_removed_with_all_below)
{
    fsd_store *store = open_store(check_tmp_dir());
    int count = 0;

    REQUIRE(store != NULL);
    CHECK_EQ(fsd_store_mkdirs(store, "sessions/rex/out/big/deep"), 0);
    CHECK_EQ(fsd_store_mkdirs(store, "sessions/rex/out/big/deep"), 0);
    CHECK_EQ(fsd_store_write(store, "sessions/rex/out/a.png", "x", 1, NULL), FSD_OK);
    CHECK_EQ(fsd_store_list(store, "sessions/rex/out", count_names, &count), 0);
    CHECK_EQ(count, 2);
    CHECK_EQ(fsd_store_rmdir(store, "sessions/rex"), ENOTEMPTY);
    CHECK_EQ(fsd_store_rename(store, "sessions/rex", "sessions/max", 0), 0);
    CHECK_EQ(fsd_store_remove_tree(store, "sessions/max"), 0);
    CHECK_EQ(fsd_store_remove_tree(store, "sessions/max"), 0);
    CHECK_EQ(fsd_store_list(store, "sessions/max", count_names, &count), ENOENT);
    fsd_store_close(store);
}

TEST(a_full_disk_is_known_before_and_texts_still_fit)
{
    const char *dir = check_tmp_dir();
    fsd_error err = {0};
    fsd_store *store;
    char path[512], block[4096] = {0};
    int fd;

    if (geteuid() != 0 || mount("tmpfs", dir, "tmpfs", 0, "size=3m"))
        SKIP("a small disk can only be mounted by root");
    store = open_store(dir);
    if (store) {
        CHECK_EQ(fsd_store_room(store, 1 << 30, &err), FSD_NO_SPACE);
        CHECK_HAS(err.msg, "1073741824 bytes are needed");
        snprintf(path, sizeof path, "%s/filler", dir);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        while (write(fd, block, sizeof block) == sizeof block) {
        }
        close(fd);
        CHECK_EQ(fsd_store_write(store, "note.txt", "still said", 10, &err), FSD_OK); /* from the reserve */
    }
    CHECK(store != NULL);
    fsd_store_close(store);
    umount(dir);
}
