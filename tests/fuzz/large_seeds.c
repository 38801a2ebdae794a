// large_seeds TARGET FOLDER: writes inputs of nearly 4 MB for a fuzz target: many of what a file may have many of. Too
// large to be kept as files, and too large for a fuzzer to grow by itself. Each is an input that a reader with work by
// the square would need minutes for.
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FULL = 4000000 };

typedef struct { uint8_t *p; size_t n; } bytes;

static void put(bytes *b, const void *v, size_t n)
{
    if (!b->p && !(b->p = malloc(FULL + (1 << 20)))) exit(1);
    if (b->n + n > FULL + (1 << 20)) exit(1);
    if (n) memcpy(b->p + b->n, v, n);
    b->n += n;
}
static void text(bytes *b, const char *s)      { put(b, s, strlen(s)); }
static void u32(bytes *b, uint32_t v)          { put(b, &v, 4); }
static void u64(bytes *b, uint64_t v)          { put(b, &v, 8); }
static void str(bytes *b, const char *s)       { u64(b, strlen(s)); text(b, s); }

static const char *number(const char *before, long i, const char *after)
{
    static char out[64];
    snprintf(out, sizeof out, "%s%ld%s", before, i, after);
    return out;
}

static int n_files;

static void save(const char *folder, bytes *b, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(b->p, 1, b->n, f) != b->n || fclose(f) != 0) { perror(path); exit(1); }
    free(b->p);
    *b = (bytes){ 0 };
    n_files++;
}

// ---- JSON ----------------------------------------------------------------------------------------------------------

static void many_members(bytes *b, size_t until)
{
    text(b, "{");
    for (long i = 0; b->n < until; i++) text(b, number(i ? ",\"member " : "\"member ", i, "\":0"));
    text(b, "}");
}

static void many_elements(bytes *b, const char *element, size_t until)
{
    text(b, "[");
    for (long i = 0; b->n < until; i++) { if (i) text(b, ","); text(b, element); }
    text(b, "]");
}

// head: what the target looks for first, up to where a value goes; tail: what closes it.
static void json_seeds(const char *folder, const char *head, const char *tail)
{
    bytes b = { 0 };
    text(&b, head); many_members(&b, FULL); text(&b, tail);             save(folder, &b, "members.json");
    text(&b, head); many_elements(&b, "1", FULL); text(&b, tail);       save(folder, &b, "numbers.json");
    text(&b, head); many_elements(&b, "\"layer\"", FULL); text(&b, tail);      save(folder, &b, "strings.json");
    text(&b, head); many_elements(&b, "{\"a\":{\"b\":[]}}", FULL); text(&b, tail); save(folder, &b, "objects.json");
    text(&b, head); text(&b, "\"");
    while (b.n < FULL) text(&b, "\\u00e9\\\"x");
    text(&b, "\""); text(&b, tail);                                     save(folder, &b, "long.json");
    while (b.n < FULL) text(&b, "[");
    save(folder, &b, "deep.json");
}

// ---- GGUF ----------------------------------------------------------------------------------------------------------

static void gguf_head(bytes *b, uint64_t tensors, uint64_t pairs)
{
    text(b, "GGUF");
    u32(b, 3);
    u64(b, tensors);
    u64(b, pairs);
}

static void text_pair(bytes *b, const char *key, const char *value) { str(b, key); u32(b, 8); str(b, value); }
static void array_pair(bytes *b, const char *key, uint32_t elem, uint64_t n)
{
    str(b, key);
    u32(b, 9);
    u32(b, elem);
    u64(b, n);
}
static void id_pair(bytes *b, const char *key, uint32_t id) { str(b, key); u32(b, 4); u32(b, id); }

// One F32 value, 32 bytes behind the one before.
static void tensor(bytes *b, const char *name, long i)
{
    str(b, name);
    u32(b, 1);
    u64(b, 1);
    u32(b, 0);
    u64(b, 32 * (uint64_t)i);
}

static void byte_tokens(bytes *b)
{
    for (int i = 0; i < 256; i++) {
        char s[8];
        snprintf(s, sizeof s, "<0x%02X>", (unsigned)i);
        str(b, s);
    }
}

static void finish_gguf(bytes *b, size_t data)
{
    static const uint8_t zeros[1 << 16];
    put(b, zeros, (32 - b->n % 32) % 32);
    while (data > 0) {
        const size_t n = data < sizeof zeros ? data : sizeof zeros;
        put(b, zeros, n);
        data -= n;
    }
}

static void gguf_seeds(const char *folder)
{
    bytes b = { 0 };
    gguf_head(&b, 0, 65000);
    for (long i = 0; i < 65000; i++) id_pair(&b, number("a.key.with.a.long.name.", i, ""), 1);
    finish_gguf(&b, 0);
    save(folder, &b, "pairs.gguf");
    gguf_head(&b, 40000, 0);
    for (long i = 0; i < 40000; i++) tensor(&b, number("t", i, ""), i);
    finish_gguf(&b, 40000 * 32);
    save(folder, &b, "tensors.gguf");
    gguf_head(&b, 0, 1);
    array_pair(&b, "strings", 8, 390000);
    for (long i = 0; i < 390000; i++) str(&b, "ab");
    finish_gguf(&b, 0);
    save(folder, &b, "strings.gguf");
}

// Single bytes and letters, and then words; or longer and longer runs of one letter, with the merges that make them.
static void tokenizer_seed(bytes *b, const char *model, bool runs, bool merges)
{
    enum { SPECIALS = 3, RUNS = 1000, WORDS = 90000 };
    const long words = runs ? RUNS : WORDS, n = SPECIALS + 256 + 27 + words;
    gguf_head(b, 0, merges ? 6 : 5);
    text_pair(b, "tokenizer.ggml.model", model);
    array_pair(b, "tokenizer.ggml.tokens", 8, (uint64_t)n);
    str(b, "<unk>"); str(b, "<bos>"); str(b, "<eos>");
    byte_tokens(b);
    for (char c = 'a'; c <= 'z'; c++) { const char s[2] = { c, 0 }; str(b, s); }
    str(b, "\xe2\x96\x81");
    for (long i = 0; i < words; i++) {
        char run[RUNS + 3];
        snprintf(run, sizeof run, "%c%c%ld", (int)('a' + i % 26), (int)('a' + i / 26 % 26), i);
        if (runs) { memset(run, 'a', (size_t)i + 2); run[i + 2] = 0; }
        str(b, run);
    }
    array_pair(b, "tokenizer.ggml.token_type", 5, (uint64_t)n);
    for (long i = 0; i < n; i++) u32(b, i == 0 ? 2 : i < SPECIALS ? 3 : i < SPECIALS + 256 ? 6 : 1);
    id_pair(b, "tokenizer.ggml.bos_token_id", 1);
    id_pair(b, "tokenizer.ggml.unknown_token_id", 0);
    if (merges) {
        array_pair(b, "tokenizer.ggml.merges", 8, RUNS);
        for (long i = 0; i < RUNS; i++) {
            char s[RUNS + 8];
            memset(s, 'a', (size_t)i + 1);
            strcpy(s + i + 1, " a");
            str(b, s);
        }
    }
    finish_gguf(b, 0);
}

static void tokenizer_seeds(const char *folder)
{
    bytes b = { 0 };
    tokenizer_seed(&b, "llama", false, false); save(folder, &b, "words.gguf");
    tokenizer_seed(&b, "llama", true, false);  save(folder, &b, "runs.gguf");
    tokenizer_seed(&b, "gemma4", true, true);  save(folder, &b, "merged-runs.gguf");
    // Tokens that are found whole in a text, each the beginning of the next.
    gguf_head(&b, 0, 4);
    text_pair(&b, "tokenizer.ggml.model", "llama");
    array_pair(&b, "tokenizer.ggml.tokens", 8, 1 + 256 + 2500);
    str(&b, "<unk>");
    byte_tokens(&b);
    for (long i = 0; i < 2500; i++) {
        char s[1024];
        memset(s, 'b', sizeof s);
        s[1 + i % 1000] = 0;
        snprintf(s + strlen(s), 8, "%ld", i / 1000);
        str(&b, s);
    }
    array_pair(&b, "tokenizer.ggml.token_type", 5, 1 + 256 + 2500);
    u32(&b, 2);
    for (int i = 0; i < 256; i++) u32(&b, 6);
    for (long i = 0; i < 2500; i++) u32(&b, 4);
    id_pair(&b, "tokenizer.ggml.unknown_token_id", 0);
    finish_gguf(&b, 0);
    save(folder, &b, "added.gguf");
}

// ---- the others ----------------------------------------------------------------------------------------------------

static void safetensors_seeds(const char *folder)
{
    bytes b = { 0 }, head = { 0 };
    text(&head, "{");
    for (long i = 0; head.n < FULL / 2; i++) {
        char row[128];
        snprintf(row, sizeof row, "%s\"t%ld\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%ld,%ld]}",
                 i ? "," : "", i, i, i + 1);
        text(&head, row);
    }
    text(&head, "}");
    u64(&b, head.n);
    put(&b, head.p, head.n);
    long n = 0;
    for (size_t i = 0; i + 1 < head.n; i++) n += head.p[i] == '}' ;
    for (; n > 0; n--) text(&b, "x");
    save(folder, &b, "tensors.safetensors");
    head.n = 0;
    text(&head, "{\"__metadata__\":");
    many_members(&head, FULL);
    text(&head, "}");
    u64(&b, head.n);
    put(&b, head.p, head.n);
    save(folder, &b, "metadata.safetensors");
    free(head.p);
}

static void imatrix_seeds(const char *folder)
{
    bytes b = { 0 };
    u32(&b, 100000);
    for (long i = 0; i < 100000; i++) {
        const char *name = number("blk.", i, ".x");
        u32(&b, (uint32_t)strlen(name));
        text(&b, name);
        u32(&b, 1);
        u32(&b, 2);
        u64(&b, 0x3f8000003f800000);
    }
    u32(&b, 1);
    u32(&b, 1);
    text(&b, "d");
    save(folder, &b, "entries.dat");
    gguf_head(&b, 36000, 1);
    text_pair(&b, "general.type", "imatrix");
    for (long i = 0; i < 36000; i++) tensor(&b, number("t", i / 2, i % 2 ? ".counts" : ".in_sum2"), i);
    finish_gguf(&b, 36000 * 32);
    save(folder, &b, "entries.gguf");
}

static void tokenizer_json_seeds(const char *folder)
{
    bytes b = { 0 };
    text(&b, "{\"model\":{\"type\":\"BPE\",\"vocab\":");
    many_members(&b, FULL / 2);
    text(&b, ",\"merges\":");
    many_elements(&b, "\"a b\"", FULL);
    text(&b, "}}");
    save(folder, &b, "vocab.json");
    json_seeds(folder, "{\"added_tokens\":", "}");
}

static void model_card_seeds(const char *folder)
{
    static const char *const units[] = { "- a\n", "k: v\n", "[", "a: &b c\n", "\n", "'" };
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        bytes b = { 0 };
        char  name[32];
        text(&b, "---\ntags:\n");
        for (long n = 0; n < FULL; n += (long)strlen(units[i])) text(&b, units[i]);
        text(&b, "\n---\n");
        snprintf(name, sizeof name, "%zu.md", i);
        save(folder, &b, name);
    }
}

static void make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return;
    perror(path);
    exit(1);
}

int main(int argc, char **argv)
{
    static const struct { const char *target, *head, *tail; void (*write)(const char *folder); } targets[] = {
        { "gguf", NULL, NULL, gguf_seeds },
        { "tokenizer", NULL, NULL, tokenizer_seeds },
        { "safetensors", NULL, NULL, safetensors_seeds },
        { "imatrix", NULL, NULL, imatrix_seeds },
        { "tokenizer_json", NULL, NULL, tokenizer_json_seeds },
        { "model_card", NULL, NULL, model_card_seeds },
        { "config", "{\"architectures\":[\"Gemma4ForCausalLM\"],\"model_type\":\"gemma4_text\",\"per_layer_config\":",
          "}", NULL },
        { "gate", "{\"hallmark_gate\":1,\"drift\":", "}", NULL },
        { "remote", "0{\"tokens\":[],\"completion_probabilities\":", "}", NULL },
        { "lab_record", "{\"format\":1,\"caches\":", "}", NULL },
        { "lab", "{\"format\":1,\"texts\":", "}", NULL },
        { "steps", "{\"hallmark_steps\":1,\"artifacts\":", "}", NULL },
        { "record", "{\"artifact\":\"a.gguf\",\"fixtures\":", "}", NULL },
        { "fixture", "{\"hallmark_fixture\":1,\"config\":", "}", NULL },
        { "bundle", "{\"predicate\":{\"resources\":", "}}", NULL },
    };
    if (argc != 3) { fprintf(stderr, "usage: large_seeds TARGET FOLDER\n"); return 2; }
    char parent[4096];
    snprintf(parent, sizeof parent, "%s", argv[2]);
    if (strrchr(parent, '/')) *strrchr(parent, '/') = 0;
    make_folder(parent);
    make_folder(argv[2]);
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        if (strcmp(argv[1], targets[i].target) != 0) continue;
        if (targets[i].write) targets[i].write(argv[2]);
        else                  json_seeds(argv[2], targets[i].head, targets[i].tail);
    }
    if (n_files == 0) fprintf(stderr, "large_seeds: no target '%s'\n", argv[1]);
    return n_files == 0;
}
