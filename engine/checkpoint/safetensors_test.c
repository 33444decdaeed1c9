#include "engine/checkpoint/safetensors.h"

#include "engine/base/bytes.h"
#include "engine/base/mem.h"
#include "tests/harness/check.h"

#include <stdio.h>
#include <string.h>

/* A file with this header and `data` bytes behind it; the header's length may be lied about. */
static const char *make_file(const char *json, size_t data, long lie)
{
    const size_t length = strlen(json);
    unsigned char bytes[4096] = {0};

    fsd_store_u64le(bytes, lie < 0 ? length : (uint64_t)lie);
    memcpy(bytes + 8, json, length);
    return check_tmp_file(bytes, 8 + length + data);
}

static fsd_status index_json(const char *json, size_t data, fsd_index **index, fsd_error *err)
{
    char path[4096];

    snprintf(path, sizeof path, "%s.safetensors", make_file(json, data, -1));
    rename(make_file(json, data, -1), path);
    return fsd_checkpoint_index(index, path, err);
}

/* The sentence for a header that must be refused. */
static const char *refused(const char *json, size_t data)
{
    static fsd_error err;
    fsd_index *index;

    CHECK_EQ(index_json(json, data, &index, &err), FSD_FORMAT);
    CHECK(index == NULL);
    return err.msg;
}

TEST(tensors_are_found_with_their_shapes_and_places)
{
    const char *json = "{\"__metadata__\":{\"format\":\"pt\"},"
                       "\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},"
                       "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}";
    const fsd_tensor_entry *entry;
    fsd_error err = {0};
    fsd_index *index;

    REQUIRE(index_json(json, 16, &index, &err) == FSD_OK);
    CHECK_EQ(index->count, 2);
    entry = fsd_index_find(index, "b");
    REQUIRE(entry != NULL);
    CHECK_EQ(entry->dtype, FSD_F16);
    CHECK_EQ(entry->rank, 2);
    CHECK_EQ(entry->dim[0], 2);
    CHECK_EQ(entry->dim[1], 3);
    CHECK_EQ(entry->offset, 8 + strlen(json) + 4);
    CHECK_EQ(entry->size, 12);
    CHECK(fsd_index_find(index, "c") == NULL);
    fsd_index_free(index);
}

TEST(a_header_longer_than_its_file_is_a_format_error)
{
    static const uint64_t LIES[] = {100, UINT64_MAX, (uint64_t)INT64_MAX + 1, (100 << 20) + 1};
    fsd_index index = {0};
    unsigned char bytes[10] = "        {}";

    for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
        fsd_error err = {0};

        fsd_store_u64le(bytes, LIES[i]);
        CHECK_EQ(fsd_safetensors_parse(&index, 0, bytes, sizeof bytes, sizeof bytes, &err), FSD_FORMAT);
        CHECK_HAS(err.msg, "header of");
        CHECK_EQ(fsd_safetensors_index(&index, check_tmp_file(bytes, sizeof bytes), &err), FSD_FORMAT);
    }
    for (int i = 0; i < index.files; i++)
        fsd_free(index.file[i]);
    fsd_free(index.file);
}

TEST(a_tensor_that_lies_about_itself_is_named)
{
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7), "\"w\"");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7), "cut short");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8), "\"w\"");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8), "data_offsets");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8), "shape");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8), "F31");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
                      "\"data_offsets\":[0,0]}}", 8), "too large");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                      "\"data_offsets\":[0,4]}}", 8), "shape");
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 8), "shape");
    CHECK_HAS(refused("{\"w\":7}", 8), "\"w\"");
    CHECK_HAS(refused("[]", 8), "JSON");
    CHECK_HAS(refused("{\"w\":", 8), "JSON");
}

TEST(two_tensors_of_one_name_are_refused)
{
    CHECK_HAS(refused("{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                      "\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 8), "JSON");
}

TEST(every_cut_of_a_real_header_is_refused)
{
    const char *json = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    const size_t length = strlen(json);
    unsigned char bytes[128];

    fsd_store_u64le(bytes, length);
    memcpy(bytes + 8, json, length);
    for (size_t size = 0; size < 8 + length; size++) {
        fsd_index index = {0};

        CHECK_EQ(fsd_safetensors_parse(&index, 0, bytes, size, 8 + length + 8, NULL), FSD_FORMAT);
        CHECK_EQ(index.count, 0);
    }
}

TEST(shards_are_one_index)
{
    static const char A[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    static const char B[] = "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}";
    static const struct {
        const char *map, *problem;
    } MAPS[] = {
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}", "\"c\""},
        {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "not a name"},
        {"{\"weight_map\":{\"a\":\"3.safetensors\"}}", "3.safetensors"},
        {"{}", "weight_map"},
    };
    const char *dir = check_tmp_dir();
    char path[512];

    snprintf(path, sizeof path, "%s/1.safetensors", dir);
    rename(make_file(A, 1, -1), path);
    snprintf(path, sizeof path, "%s/2.safetensors", dir);
    rename(make_file(B, 1, -1), path);
    snprintf(path, sizeof path, "%s/m.safetensors.index.json", dir);
    for (size_t i = 0; i < sizeof MAPS / sizeof *MAPS; i++) {
        fsd_error err = {0};
        fsd_index *index;

        rename(check_tmp_file(MAPS[i].map, strlen(MAPS[i].map)), path);
        if (!MAPS[i].problem) {
            REQUIRE(fsd_checkpoint_index(&index, path, &err) == FSD_OK);
            CHECK_EQ(index->files, 2);
            CHECK(fsd_index_find(index, "a") && fsd_index_find(index, "b"));
            fsd_index_free(index);
        } else {
            CHECK(fsd_checkpoint_index(&index, path, &err) != FSD_OK);
            CHECK_HAS(err.msg, MAPS[i].problem);
        }
    }
}

TEST_OOM(an_index_copes_with_no_memory)
{
    fsd_index *index;

    if (index_json("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, &index, NULL) ==
        FSD_OK)
        fsd_index_free(index);
    else
        CHECK(index == NULL);
}
