#include "engine/text/clip_bpe.h"

#include "engine/base/json.h"
#include "engine/base/mem.h"
#include "engine/base/str.h"
#include "tests/harness/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CLIP's own tokenizer folder, its vocabulary derived from the merges as CLIP's code does: the
 * alphabet, the alphabet at the end of a word, the merges, two marks. */
static const char *clip_folder(void)
{
    const char *dir = check_tmp_dir();
    char from[512], to[512], line[512];
    FILE *merges, *vocab;
    int id = 0;

    snprintf(from, sizeof from, "%s", check_path("packaging/data/clip/merges.txt"));
    snprintf(to, sizeof to, "%s/merges.txt", dir);
    CHECK(symlink(from, to) == 0);
    snprintf(to, sizeof to, "%s/vocab.json", dir);
    merges = fopen(from, "r");
    vocab = fopen(to, "w");
    if (!merges || !vocab)
        return dir;
    fputs("{", vocab);
    for (int end = 0; end < 2; end++) { /* printable Latin-1 first, then U+0100 and up for the rest */
        for (int b = 33; b < 256 + 68; b++) {
            if ((b > 126 && b < 161) || b == 173)
                continue;
            fprintf(vocab, "%s\"\\u%04x%s\":%d", id ? "," : "", b, end ? "</w>" : "", id);
            id++;
        }
    }
    while (fgets(line, sizeof line, merges)) {
        char left[256], right[256];
        json_t *word;
        char *quoted;

        if (line[0] == '#' && id == 512)
            continue;
        if (sscanf(line, "%255s %255s", left, right) != 2)
            continue;
        strncat(left, right, sizeof left - strlen(left) - 1);
        word = json_string(left);
        quoted = json_dumps(word, JSON_ENCODE_ANY);
        fprintf(vocab, ",%s:%d", quoted, id++);
        free(quoted);
        json_decref(word);
    }
    fprintf(vocab, ",\"<|startoftext|>\":%d,\"<|endoftext|>\":%d}", id, id + 1);
    fclose(merges);
    fclose(vocab);
    return dir;
}

static const char *tiny_folder(void)
{
    return check_path("packaging/models/tiny-emoji/tokenizer");
}

static void compare(const char *string, size_t length, const fsd_clip_bpe *bpe, char *golden)
{
    int32_t *ids;
    size_t count;
    char *at = golden;

    REQUIRE(fsd_clip_bpe_encode(bpe, string, length, &ids, &count, NULL) == FSD_OK);
    for (size_t i = 0; i < count; i++) {
        const long wanted = strtol(at, &at, 10);

        if (ids[i] != wanted) {
            fprintf(stderr, "  \"%s\": token %zu is %d, not %ld\n", string, i, (int)ids[i], wanted);
            CHECK_EQ(ids[i], wanted);
            break;
        }
    }
    at += strspn(at, " \n");
    CHECK_STR(at, ""); /* no more tokens are wanted */
    fsd_free(ids);
}

static void check_golden(const char *folder, const char *golden_path)
{
    FILE *strings = fopen(check_path("tests/golden/tokens/strings.txt"), "r");
    FILE *golden = fopen(check_path(golden_path), "r");
    char *line = NULL, *wanted = NULL;
    size_t line_size = 0, wanted_size = 0;
    fsd_clip_bpe *bpe;
    fsd_error err = {0};
    int count = 0;

    REQUIRE(strings && golden);
    if (fsd_clip_bpe_open(&bpe, folder, &err))
        fprintf(stderr, "%s\n", err.msg);
    REQUIRE(bpe != NULL);
    while (getline(&line, &line_size, strings) > 0 && getline(&wanted, &wanted_size, golden) > 0) {
        json_t *string = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        REQUIRE(string != NULL);
        compare(json_string_value(string), json_string_length(string), bpe, wanted);
        json_decref(string);
        count++;
    }
    CHECK(count >= 200);
    fclose(strings);
    fclose(golden);
    free(line);
    free(wanted);
    fsd_clip_bpe_close(bpe);
}

TEST(hard_strings_become_the_tokens_that_transformers_makes_with_clips_words)
{
    check_golden(clip_folder(), "tests/golden/tokens/clip.txt");
}

TEST(hard_strings_become_the_tokens_that_transformers_makes_with_tiny_emojis_words)
{
    check_golden(tiny_folder(), "tests/golden/tokens/tiny.txt");
}

TEST(clips_vocabulary_has_its_size_and_its_marks)
{
    fsd_clip_bpe *bpe;

    REQUIRE(fsd_clip_bpe_open(&bpe, clip_folder(), NULL) == FSD_OK);
    CHECK_EQ(fsd_clip_bpe_words(bpe), 49408);
    CHECK_EQ(fsd_clip_bpe_bos(bpe), 49406);
    CHECK_EQ(fsd_clip_bpe_eos(bpe), 49407);
    CHECK_EQ(fsd_clip_bpe_pad(bpe), 49407);
    fsd_clip_bpe_close(bpe);
}

TEST(a_chunk_is_77_tokens_and_tells_what_it_cut)
{
    static const char LONG[] = "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a "
                               "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a b";
    fsd_clip_bpe *bpe;
    int32_t ids[77];
    size_t cut = 99;

    REQUIRE(fsd_clip_bpe_open(&bpe, tiny_folder(), NULL) == FSD_OK);
    CHECK_EQ(fsd_clip_bpe_chunk(bpe, "", 0, ids, 77, &cut, NULL), FSD_OK);
    CHECK_EQ(cut, 0);
    CHECK_EQ(ids[0], 1712);
    for (int i = 1; i < 77; i++)
        CHECK_EQ(ids[i], 1713);
    CHECK_EQ(fsd_clip_bpe_chunk(bpe, LONG, sizeof LONG - 1, ids, 77, &cut, NULL), FSD_OK);
    CHECK_EQ(cut, 79 - 75);
    CHECK_EQ(ids[75], 320);
    CHECK_EQ(ids[76], 1713);
    fsd_clip_bpe_close(bpe);
}

TEST(invalid_utf8_reads_as_replacement_characters)
{
    static const char *const BAD[] = {"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf"};
    fsd_clip_bpe *bpe;

    REQUIRE(fsd_clip_bpe_open(&bpe, clip_folder(), NULL) == FSD_OK);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        char good[32] = "";
        int32_t *a, *b;
        size_t n, m;

        for (size_t k = 0; k < strlen(BAD[i]); k++)
            strncat(good, "\xef\xbf\xbd", 4);
        REQUIRE(fsd_clip_bpe_encode(bpe, BAD[i], strlen(BAD[i]), &a, &n, NULL) == FSD_OK);
        REQUIRE(fsd_clip_bpe_encode(bpe, good, strlen(good), &b, &m, NULL) == FSD_OK);
        CHECK(n == m && memcmp(a, b, n * sizeof *a) == 0);
        fsd_free(a);
        fsd_free(b);
    }
    fsd_clip_bpe_close(bpe);
}

static const char *folder_with(const char *vocab, const char *merges)
{
    const char *dir = check_tmp_dir();
    char path[512];

    snprintf(path, sizeof path, "%s/vocab.json", dir);
    rename(check_tmp_file(vocab, strlen(vocab)), path);
    snprintf(path, sizeof path, "%s/merges.txt", dir);
    rename(check_tmp_file(merges, strlen(merges)), path);
    return dir;
}

TEST(a_damaged_tokenizer_is_refused_with_the_file)
{
    static const char MARKS[] = "{\"a\":0,\"b</w>\":1,\"<|startoftext|>\":2,\"<|endoftext|>\":3}";
    static const struct {
        const char *vocab, *merges, *says;
    } CASES[] = {
        {"{", "", "vocab.json"},
        {"{\"a\":0}", "", "<|startoftext|>"},
        {"{\"a\":-1}", "", "\"a\""},
        {"{\"a\":\"0\"}", "", "\"a\""},
        {MARKS, "#version: 0.2\na b</w>\n", "merge 1"},
        {MARKS, "#version: 0.2\nab\n", "not a pair"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        fsd_error err = {0};
        fsd_clip_bpe *bpe;

        CHECK_EQ(fsd_clip_bpe_open(&bpe, folder_with(CASES[i].vocab, CASES[i].merges), &err), FSD_FORMAT);
        CHECK(bpe == NULL);
        CHECK_HAS(err.msg, CASES[i].says);
    }
    CHECK_EQ(fsd_clip_bpe_open(&(fsd_clip_bpe *){NULL}, check_tmp_dir(), NULL), FSD_MISSING);
}

TEST_OOM(encoding_copes_with_no_memory)
{
    static fsd_clip_bpe *bpe; /* opened by the first run, whose allocations are many */
    int32_t ids[77];

    if (!bpe) {
        fsd_mem_fail_after(-1);
        REQUIRE(fsd_clip_bpe_open(&bpe, tiny_folder(), NULL) == FSD_OK);
        fsd_mem_fail_after(0);
    }
    if (fsd_clip_bpe_chunk(bpe, "red apple", 9, ids, 77, NULL, NULL) == FSD_OK)
        CHECK_EQ(ids[0], 1712);
}
